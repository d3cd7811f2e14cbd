"""Right answers to D3.3e MultiHeadLatentAttention."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import right
from helpers.model.llama import rotate
from solutions.d3_mla import JointLatent, MultiHeadLatentAttention, QueryPath, RotaryKey, attend

EQUIVALENT_MUTANTS = {
    (
        "start = 0 if cache is None else len(cache) → start = 1 if cache is None else len(cache)"
    ): "without a cache only differences of positions count",
}


@right
class ConcatenatedKeys(MultiHeadLatentAttention):
    """Both parts of queries and keys side by side, torch's attention with an explicit mask."""

    def forward(self, x, cache=None):
        start = len(cache) if cache is not None else 0
        parts = self.latent.down(x), self.rotary_key(x, start)
        latent, k_rotary = parts if cache is None else cache.append(*parts)
        content, values = self.latent.up(latent)
        shared = k_rotary.unsqueeze(2).expand(-1, -1, content.shape[2], -1)
        q = torch.cat(self.queries(x, start), dim=-1)
        k = torch.cat([content, shared], dim=-1)
        seen = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool, device=x.device).tril(start)
        q, k, v = (y.transpose(1, 2) for y in (q, k, values))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return self.out(y.transpose(1, 2).reshape(*x.shape[:2], -1))


@right
class AbsorbedAlways(MultiHeadLatentAttention):
    """The up-projections absorbed into queries and outputs, in training and prefill too."""

    def forward(self, x, cache=None):
        start = 0 if cache is None else len(cache)
        part, (q_content, q_rotary) = self.latent, self.queries(x, start)
        latent, key = part.down(x), self.rotary_key(x, start)
        if cache is not None:
            latent, key = cache.append(latent, key)
        weight = part.kv_up.weight.view(part.num_heads, -1, latent.shape[-1])
        W_UK, W_UV = weight[:, : part.d_head], weight[:, part.d_head :]
        q = torch.einsum("blhd,hdc->bhlc", q_content, W_UK)
        scores = q @ latent[:, None].mT + q_rotary.transpose(1, 2) @ key[:, None].mT
        later = torch.ones(scores.shape[-2:], device=x.device).triu(start + 1).bool()
        scores = scores.masked_fill(later, float("-inf")) * (part.d_head + key.shape[-1]) ** -0.5
        mixed = scores.softmax(-1) @ latent[:, None]
        return self.out(torch.einsum("bhlc,hvc->blhv", mixed, W_UV).flatten(2))


@right
class HeadByHead(MultiHeadLatentAttention):
    """A loop over heads; each adds its own columns of the output projection."""

    def forward(self, x, cache=None):
        start = 0 if cache is None else len(cache)
        q_content, q_rotary = self.queries(x, start)
        latent, key = self.latent.down(x), self.rotary_key(x, start)
        if cache is not None:
            latent, key = cache.append(latent, key)
        keys, values = self.latent.up(latent)
        hide = torch.full((x.shape[1], key.shape[1]), -math.inf).to(x).triu(start + 1)
        y = torch.zeros_like(x)
        for h, columns in enumerate(self.out.weight.chunk(keys.shape[2], dim=1)):
            scores = q_content[:, :, h] @ keys[:, :, h].mT + q_rotary[:, :, h] @ key.mT
            scores = scores / math.sqrt(keys.shape[-1] + key.shape[-1]) + hide
            y = y + scores.softmax(dim=-1) @ values[:, :, h] @ columns.T
        return y


@right
class QueryByQuery(MultiHeadLatentAttention):
    """A loop over the new positions, each with the keys up to its own: no mask is needed."""

    def forward(self, x, cache=None):
        start = 0 if cache is None else len(cache)
        q = torch.cat(self.queries(x, start), dim=-1)
        parts = [self.latent.down(x), self.rotary_key(x, start)]
        if cache is not None:
            parts = cache.append(*parts)
        keys, values = self.latent.up(parts[0])
        shared = parts[1][:, :, None].repeat(1, 1, keys.shape[2], 1)
        k = torch.cat((keys, shared), dim=-1)
        rows = []
        for i in range(x.shape[1]):
            seen = start + i + 1
            scores = (q[:, i, None] * k[:, :seen]).sum(-1, keepdim=True)  # (B, seen, H, 1)
            weights = torch.softmax(scores / k.shape[-1] ** 0.5, dim=1)
            rows.append((weights * values[:, :seen]).sum(1))
        return self.out(torch.stack(rows, dim=1).flatten(2))


@right
class MaskByPositions(MultiHeadLatentAttention):
    """The positions of queries and keys compared; the softmax by logsumexp."""

    def forward(self, x, cache=None):
        start = 0 if cache is None else len(cache)
        q_content, q_rotary = self.queries(x, start)
        kept = self.latent.down(x), self.rotary_key(x, start)
        kept = kept if cache is None else cache.append(*kept)
        keys, values = self.latent.up(kept[0])
        scores = torch.einsum("bqhd,bkhd->bqkh", q_content, keys)
        scores = scores + torch.einsum("bqhr,bkr->bqkh", q_rotary, kept[1])
        scores = scores / math.sqrt(q_content.size(-1) + q_rotary.size(-1))
        asks = torch.arange(start, start + x.shape[1], device=x.device)
        told = torch.arange(keys.shape[1], device=x.device)
        visible = (told[None, :] <= asks[:, None])[..., None]
        scores = torch.where(visible, scores, scores.new_tensor(-math.inf))
        weights = (scores - scores.logsumexp(dim=2, keepdim=True)).exp()
        return self.out(torch.einsum("bqkh,bkhv->bqhv", weights, values).flatten(-2))


@right
class TokenByToken(MultiHeadLatentAttention):
    """One new position after the other goes into the cache, or into a list without one."""

    def forward(self, x, cache=None):
        first = 0 if cache is None else len(cache)
        made, latents, keys = [], [], []
        for i, token in enumerate(x.split(1, dim=1)):
            asked = self.queries(token, first + i)
            latents.append(self.latent.down(token))
            keys.append(self.rotary_key(token, first + i))
            if cache is None:
                latent, key = torch.cat(latents, dim=1), torch.cat(keys, dim=1)
            else:
                latent, key = cache.append(latents[-1], keys[-1])
            content, values = self.latent.up(latent)
            made.append(attend(*asked, content, key, values))
        return self.out(torch.cat(made, dim=1).flatten(-2))


@right
class FusedProjections(MultiHeadLatentAttention):
    """One product with both down-projections, as DeepSeek's wkv_a, and the weights cut by hand."""

    def forward(self, x, cache=None):
        start = 0 if cache is None else len(cache)
        part = self.latent
        fused = torch.cat([part.kv_down.weight, self.rotary_key.k_down.weight])
        latent, key = F.linear(x, fused).tensor_split([part.kv_down.out_features], dim=-1)
        latent = part.kv_norm(latent)
        part = self.rotary_key
        key = rotate(key[:, :, None], start, part.theta, part.angles)[:, :, 0]
        if cache is not None:
            latent, key = cache.append(latent, key)
        part = self.latent
        both = F.linear(latent, part.kv_up.weight)
        both = both.reshape(*latent.shape[:2], part.num_heads, part.d_head + part.d_value)
        keys, values = both[..., : part.d_head], both[..., part.d_head :]
        return self.out(attend(*self.queries(x, start), keys, key, values).flatten(-2))


@right
class OneSharedHead(MultiHeadLatentAttention):
    """Torch's grouped attention: the latent and rotary key are one head that all queries share."""

    def forward(self, x, cache=None):
        start = 0 if cache is None else len(cache)
        part, (content, rotary) = self.latent, self.queries(x, start)
        latent, key = part.down(x), self.rotary_key(x, start)
        if cache is not None:
            latent, key = cache.append(latent, key)
        W_UK, W_UV = part.kv_up.weight.unflatten(0, (part.num_heads, -1)).tensor_split(
            [part.d_head], dim=1
        )
        q = torch.cat([torch.einsum("blhd,hdc->blhc", content, W_UK), rotary], dim=-1)
        k = torch.cat([latent, key], dim=-1)[:, None]
        mask = torch.ones(x.shape[1], k.shape[2], dtype=torch.bool).tril(start).to(x.device)
        scale = (part.d_head + key.shape[-1]) ** -0.5
        mixed = F.scaled_dot_product_attention(
            q.transpose(1, 2), k, latent[:, None], attn_mask=mask, scale=scale, enable_gqa=True
        )
        return self.out(torch.einsum("bhlc,hvc->blhv", mixed, W_UV).flatten(-2))


@right
class HeadsInTheBatch(MultiHeadLatentAttention):
    """Heads folded into the batch for bmm, from an older notebook without angles and scale."""

    def __init__(
        self,
        d_model,
        num_heads,
        d_head,
        d_latent,
        d_rope,
        *,
        q_latent=None,
        d_value=None,
        theta=10_000.0,
    ):
        nn.Module.__init__(self)
        self.num_heads, self.d_value = num_heads, d_value or d_head
        self.scale = 1 / math.sqrt(d_head + d_rope)
        self.rotary_key = RotaryKey(d_model, d_rope, theta=theta)
        self.latent = JointLatent(d_model, num_heads, d_head, self.d_value, d_latent)
        self.queries = QueryPath(d_model, num_heads, d_head, d_rope, q_latent=q_latent, theta=theta)
        self.out = nn.Linear(num_heads * self.d_value, d_model, bias=False)

    def folded(self, y):
        """(B·H, L, width) of (B, L, H, width)."""
        return y.transpose(1, 2).reshape(-1, y.shape[1], y.shape[3])

    def forward(self, x, cache=None):
        start = 0 if cache is None else len(cache)
        q = self.folded(torch.cat(self.queries(x, start), dim=-1) * self.scale)
        latent, key = self.latent.down(x), self.rotary_key(x, start)
        if cache is not None:
            latent, key = cache.append(latent, key)
        keys, values = self.latent.up(latent)
        key = key.repeat_interleave(self.num_heads, dim=0)
        k = torch.cat([self.folded(keys), key], dim=-1)
        mask = torch.zeros(q.shape[1], k.shape[1]).masked_fill(
            torch.ones(q.shape[1], k.shape[1]).triu(start + 1) == 1, -math.inf
        )
        weights = torch.baddbmm(mask.to(x), q, k.mT).softmax(dim=2)
        y = torch.bmm(weights, self.folded(values)).view(len(x), self.num_heads, -1, self.d_value)
        return self.out(y.transpose(1, 2).contiguous().view(len(x), x.shape[1], -1))


@right
class GrowingMask(MultiHeadLatentAttention):
    """A causal mask kept as a buffer, made anew where a longer text comes."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.register_buffer("mask", torch.ones(0, 0, dtype=torch.bool))

    def forward(self, x, cache=None):
        start = 0 if cache is None else len(cache)
        q_content, q_rotary = self.queries(x, start)
        latent, key = self.latent.down(x), self.rotary_key(x, start)
        if cache is not None:
            latent, key = cache.append(latent, key)
        keys, values = self.latent.up(latent)
        scores = torch.einsum("blhd,bshd->bhls", q_content, keys)
        scores = scores + torch.einsum("blhr,bsr->bhls", q_rotary, key)
        scores = scores / math.sqrt(q_content.shape[-1] + q_rotary.shape[-1])
        length, seen = scores.shape[-2:]
        if len(self.mask) < seen:
            self.mask = torch.ones(seen, seen, dtype=torch.bool).triu(1)
        later = self.mask[seen - length : seen, :seen]
        weights = scores.masked_fill(later, -torch.inf).softmax(-1)
        return self.out(torch.einsum("bhls,bshv->blhv", weights, values).flatten(-2))
