"""Wrong answers to D3.3e: settings without a query latent, large scores."""

import math

import torch

from checks.audit.answers import wrong
from helpers.model.llama import rotate
from solutions.d3_mla import MultiHeadLatentAttention, QueryPath


class _SettingsOnlyWithALatent(QueryPath):
    def forward(self, x, start=0):
        if self.q_latent is not None:
            return super().forward(x, start)
        q = self.q_up(x).unflatten(-1, (self.num_heads, -1))
        content, rotary = q.split([self.d_head, self.d_rope], dim=-1)
        return content, rotate(rotary, start)


@wrong
class SettingsOnlyWithALatent(MultiHeadLatentAttention):
    """Theta, angles and scale are forgotten in queries without a latent."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.queries.__class__ = _SettingsOnlyWithALatent


@wrong
class ExpWithoutTheLargest(MultiHeadLatentAttention):
    """exp of the scores themselves, which overflows."""

    def forward(self, x, cache=None):
        start = 0 if cache is None else len(cache)
        q_content, q_rotary = self.queries(x, start)
        latent, key = self.latent.down(x), self.rotary_key(x, start)
        if cache is not None:
            latent, key = cache.append(latent, key)
        keys, values = self.latent.up(latent)
        scores = torch.einsum("blhd,bshd->bhls", q_content, keys)
        scores = scores + torch.einsum("blhr,bsr->bhls", q_rotary, key)
        raised = (scores / math.sqrt(q_content.shape[-1] + q_rotary.shape[-1])).exp()
        length, seen = raised.shape[-2:]
        raised = raised * torch.ones(length, seen).tril(seen - length).to(raised)
        weights = raised / raised.sum(-1, keepdim=True)
        return self.out(torch.einsum("bhls,bshv->blhv", weights, values).flatten(-2))
