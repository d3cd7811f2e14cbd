"""Right answers to D4.2a DeepSeek."""

from functools import reduce
from itertools import repeat

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import right
from helpers.model.llama import RMSNorm
from solutions.d4_deepseek import DeepSeek, DeepSeekBlock


@right
class ZipWithNone(DeepSeek):
    """Blocks and caches side by side; without caches, None again and again."""

    def forward(self, ids, caches=None):
        x = self.embed(ids)
        caches = repeat(None) if caches is None else caches
        for block, cache in zip(self.blocks, caches, strict=False):
            x = block(x, cache)
        return self.head(self.norm(x))


@right
class ListOfNone(DeepSeek):
    """`caches or` a list of None, which is safe since a model has a layer."""

    def forward(self, ids, caches=None):
        hidden = self.embed(ids)
        for block, cache in zip(self.blocks, caches or [None] * len(self.blocks), strict=True):
            hidden = block(hidden, cache=cache)
        hidden = self.norm(hidden)
        logits = self.head(hidden)
        return logits


@right
class TwoLoops(DeepSeek):
    """A loop without caches and one with them."""

    def forward(self, ids, caches=None):
        x = self.embed(ids)
        if caches is None:
            for block in self.blocks:
                x = block(x)
        else:
            for i in range(len(self.blocks)):
                x = self.blocks[i](x, caches[i])
        return F.linear(self.norm(x), self.head.weight)


@right
class Reduced(DeepSeek):
    """The blocks folded over the embedding."""

    def forward(self, ids, caches=None):
        caches = [None for _ in self.blocks] if caches is None else list(caches)
        steps = zip(self.blocks, caches, strict=True)
        x = reduce(lambda x, step: step[0](x, step[1]), steps, self.embed.weight[ids])
        return self.norm(x) @ self.head.weight.T


@right
class OneHot(DeepSeek):
    """The embedding as a product with one-hot rows, the last norm written out."""

    def forward(self, ids, caches=None):
        table = self.embed.weight
        x = F.one_hot(ids, len(table)).to(table.dtype) @ table
        taken = iter(() if caches is None else caches)
        for block in self.blocks:
            x = block(x, next(taken, None))
        x = x / (x.pow(2).mean(-1, keepdim=True) + self.norm.eps).sqrt()
        return torch.einsum("bld,vd->blv", x * self.norm.weight, self.head.weight)


@right
class LayerAfterLayer(DeepSeek):
    """A recursion over the layers."""

    def after(self, layer, x, caches):
        """x behind this layer and all later ones."""
        if layer == len(self.blocks):
            return x
        cache = caches[layer] if caches is not None else None
        return self.after(layer + 1, self.blocks[layer](x, cache), caches)

    def forward(self, ids, caches=None):
        return self.head(self.norm(self.after(0, self.embed(ids), caches)))


@right
class StandsAlone(nn.Module):
    """The whole class, written without the given constructor."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.d_model)
        self.embed.weight.data.normal_(0, 0.02)
        layers = [DeepSeekBlock(config, i) for i in range(config.num_layers)]
        self.blocks = nn.ModuleList(layers)
        self.norm = RMSNorm(config.d_model, config.norm_eps)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)

    def new_caches(self, batch, capacity):
        """An empty cache for each layer."""
        return [block.attention.new_cache(batch, capacity) for block in self.blocks]

    from_hf = classmethod(DeepSeek.from_hf.__func__)

    def forward(self, ids, caches=None):
        x = F.embedding(ids, self.embed.weight)
        for i, block in enumerate(self.blocks):
            own = () if caches is None else (caches[i],)
            x = block(x, *own)
        return self.head(self.norm(x))
