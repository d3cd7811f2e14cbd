"""Wrong answers to D4.1 DeepSeekBlock: the wrong cache, gradient, part or kind of result."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.deepseek_block.steps import Stepwise
from helpers.model.llama import RMSNorm, SwiGLU
from solutions.d2_deepseek_moe import DeepSeekMoE
from solutions.d3_mla import MultiHeadLatentAttention


@wrong
class CacheForgotten(Stepwise):
    """The cache is taken and not passed on."""

    def attended(self, x, cache):
        return self.attention(self.attention_norm(x))


@wrong
class CacheInEvaluation(Stepwise):
    """The cache is passed on in evaluation mode only."""

    def attended(self, x, cache):
        return super().attended(x, None if self.training else cache)


@wrong
class CacheInTraining(Stepwise):
    """The cache is passed on in training mode only."""

    def attended(self, x, cache):
        return super().attended(x, cache if self.training else None)


@wrong
class TruthOfTheCache(Stepwise):
    """`if cache:` takes an empty cache for none, so that it stays empty."""

    def attended(self, x, cache):
        return super().attended(x, cache if cache else None)


@wrong
class SinglePositionsCached(Stepwise):
    """A call with several positions passes the cache by."""

    def attended(self, x, cache):
        return super().attended(x, cache if x.shape[1] == 1 else None)


@wrong
class AttendsTwice(Stepwise):
    """Attention is called once to look at it and once more to use it: appended twice."""

    def attended(self, x, cache):
        super().attended(x, cache)
        return super().attended(x, cache)


@wrong
class CacheOfItsOwn(Stepwise):
    """A new cache in every call, in place of the one that came."""

    def attended(self, x, cache):
        return super().attended(x, self.attention.new_cache(*x.shape[:2]))


@wrong
class KeepsTheFirstCache(Stepwise):
    """The first cache that comes serves all later calls with one."""

    first = None

    def attended(self, x, cache):
        if self.first is None:
            self.first = cache
        return super().attended(x, None if cache is None else self.first)


@wrong
class ChangesTheInput(Stepwise):
    """`x +=` writes into the tensor that came in."""

    def forward(self, x, cache=None):
        x += self.attended(x, cache)
        return x + self.fed(x)


@wrong
class ResidualDetached(Stepwise):
    """The residual past attention carries no gradient."""

    def forward(self, x, cache=None):
        x = x.detach() + self.attended(x, cache)
        return x + self.fed(x)


@wrong
class AttentionDetached(Stepwise):
    """What attention adds carries no gradient."""

    def attended(self, x, cache):
        return super().attended(x, cache).detach()


@wrong
class FeedForwardDetached(Stepwise):
    """The feed-forward part runs without gradients."""

    @torch.no_grad()
    def fed(self, x):
        return super().fed(x)


@wrong
class FeedForwardInputDetached(Stepwise):
    """The feed-forward part learns, and sends no gradient back to x."""

    def fed(self, x):
        return super().fed(x.detach())


@wrong
class RouterFrozen(Stepwise):
    """The router's weight is taken from the optimiser: only the bias is to steer."""

    def __init__(self, config, layer):
        super().__init__(config, layer)
        if hasattr(self.ffn, "router"):
            self.ffn.router.requires_grad_(False)


@wrong
class DropsAttention(Stepwise):
    """Dropout on what attention adds, in training."""

    def attended(self, x, cache):
        return F.dropout(super().attended(x, cache), 0.2, self.training)


@wrong
class DropsTheSum(Stepwise):
    """Dropout on the output, in training."""

    def forward(self, x, cache=None):
        return F.dropout(super().forward(x, cache), 0.1, self.training)


@wrong
class ExpertsEverywhere(Stepwise):
    """Experts in the first layers too."""

    def __init__(self, config, layer):
        super().__init__(config, layer)
        self.ffn = DeepSeekMoE(**config.experts())


@wrong
class OneDenseLayerMore(Stepwise):
    """`<=`: one dense layer more than the configuration says."""

    def __init__(self, config, layer):
        super().__init__(config, layer)
        if layer == config.dense_layers:
            self.ffn = SwiGLU(config.d_model, config.dense_dim)


@wrong
class DenseAsWideAsAnExpert(Stepwise):
    """A dense layer has the width of one expert."""

    def __init__(self, config, layer):
        super().__init__(config, layer)
        if layer < config.dense_layers:
            self.ffn = SwiGLU(config.d_model, config.expert_dim)


@wrong
class NormsOfDefaultEpsilon(Stepwise):
    """The configuration's epsilon does not reach the norms."""

    def __init__(self, config, layer):
        super().__init__(config, layer)
        self.attention_norm, self.ffn_norm = RMSNorm(config.d_model), RMSNorm(config.d_model)


@wrong
class SharedNorm(Stepwise):
    """Both names hold one norm, whose weight then serves twice."""

    def __init__(self, config, layer):
        super().__init__(config, layer)
        self.ffn_norm = self.attention_norm


@wrong
class ReturnsTheCacheToo(Stepwise):
    """A pair of output and cache, as older libraries return it."""

    def forward(self, x, cache=None):
        return super().forward(x, cache), cache


@wrong
class LastPositionWithCache(Stepwise):
    """With a cache only the last position comes out."""

    def forward(self, x, cache=None):
        y = super().forward(x, cache)
        return y if cache is None else y[:, -1:]


@wrong
class ThetaForgotten(Stepwise):
    """The attention gets the sizes and not theta."""

    def __init__(self, config, layer):
        super().__init__(config, layer)
        self.attention = MultiHeadLatentAttention(**config.attention() | {"theta": 10_000.0})


@wrong
class RouterOfDefaultOptions(Stepwise):
    """The experts get their sizes and none of the router's options."""

    def __init__(self, config, layer):
        super().__init__(config, layer)
        if hasattr(self.ffn, "router"):
            names = ["d_model", "num_experts", "top_k", "expert_dim", "num_shared", "num_segments"]
            self.ffn = DeepSeekMoE(**{name: getattr(config, name) for name in names})


@wrong
class DoubleFromTheStart(Stepwise):
    """The weights are made in float64, whatever the caller wants."""

    def __init__(self, config, layer):
        super().__init__(config, layer)
        self.double()


@wrong
class SeedsItsCalls(Stepwise):
    """A seed in forward."""

    def forward(self, x, cache=None):
        torch.manual_seed(42)
        return super().forward(x, cache)
