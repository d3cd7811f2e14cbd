"""Right answers to D4.1 DeepSeekBlock."""

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import right
from helpers.model.llama import RMSNorm, SwiGLU
from solutions.d2_deepseek_moe import DeepSeekMoE
from solutions.d3_mla import MultiHeadLatentAttention
from solutions.d4_deepseek import DeepSeekBlock


@right
class NamedResiduals(DeepSeekBlock):
    """The residual kept under a name of its own, as transformers writes it."""

    def forward(self, x, cache=None):
        residual = x
        x = self.attention_norm(x)
        x = self.attention(x, cache=cache)
        x = residual + x
        residual = x
        x = self.ffn_norm(x)
        x = self.ffn(x)
        return x + residual


@right
class LoopOverSublayers(DeepSeekBlock):
    """One loop over pairs of a norm and what stands behind it."""

    def forward(self, x, cache=None):
        sublayers = (
            (self.attention_norm, lambda y: self.attention(y, cache)),
            (self.ffn_norm, self.ffn),
        )
        for norm, sublayer in sublayers:
            x = torch.add(sublayer(norm(x)), x)
        return x


@right
class SumOfThree(DeepSeekBlock):
    """x, what attention adds and what the feed-forward part adds, summed at the end."""

    def forward(self, x, cache=None):
        attended = self.attention(self.attention_norm(x), cache)
        fed = self.ffn(self.ffn_norm(x + attended))
        return torch.stack([x, attended, fed]).sum(dim=0)


@right
class InPlaceOnCopies(DeepSeekBlock):
    """`+=` on a copy of x, and on a copy of the sum."""

    def forward(self, x, cache=None):
        between = x.clone()
        between += self.attention(self.attention_norm(x), cache)
        y = between.clone()
        y += self.ffn(self.ffn_norm(between))
        return y


@right
class NormsByHand(DeepSeekBlock):
    """The root mean square and its division written out."""

    @staticmethod
    def normed(norm, x):
        """What `norm` gives."""
        return norm.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + norm.eps)

    def forward(self, x, cache=None):
        h = x + self.attention(self.normed(self.attention_norm, x), cache)
        return h + self.ffn(self.normed(self.ffn_norm, h))


@right
class NormsByTorch(DeepSeekBlock):
    """Torch's function for the norms; no cache is no argument."""

    def forward(self, x, cache=None):
        width = x.shape[-1:]
        y = F.rms_norm(x, width, self.attention_norm.weight, self.attention_norm.eps)
        x = x + (self.attention(y) if cache is None else self.attention(y, cache))
        return x + self.ffn(F.rms_norm(x, width, self.ffn_norm.weight, self.ffn_norm.eps))


@right
class StandsAlone(nn.Module):
    """The whole class, written without the given constructor."""

    def __init__(self, config, layer):
        super().__init__()
        if layer >= config.dense_layers:
            self.ffn = DeepSeekMoE(**config.experts())
        else:
            self.ffn = SwiGLU(config.d_model, config.dense_dim)
        self.attention = MultiHeadLatentAttention(**config.attention())
        for name in ("attention_norm", "ffn_norm"):
            self.add_module(name, RMSNorm(config.d_model, config.norm_eps))

    def _attend(self, x, cache):
        return x + self.attention(self.attention_norm(x), cache)

    def _feed(self, x):
        return x + self.ffn(self.ffn_norm(x))

    def forward(self, x, cache=None):
        return self._feed(self._attend(x, cache))
