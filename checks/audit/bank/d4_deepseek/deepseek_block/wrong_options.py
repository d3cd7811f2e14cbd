"""Wrong answers to D4.1 DeepSeekBlock: options that reach one kind of layer and not the other."""

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.deepseek_block.steps import Stepwise
from helpers.model.llama import RMSNorm
from solutions.d2_deepseek_moe import DeepSeekMoE
from solutions.d3_mla import MultiHeadLatentAttention


@wrong
class DenseOfDefaultEpsilon(Stepwise):
    """The configuration's epsilon reaches the norms of layers with experts only."""

    def __init__(self, config, layer):
        super().__init__(config, layer)
        if layer < config.dense_layers:
            self.attention_norm, self.ffn_norm = RMSNorm(config.d_model), RMSNorm(config.d_model)


@wrong
class DenseOfDefaultTheta(Stepwise):
    """The configuration's theta reaches the attention of layers with experts only."""

    def __init__(self, config, layer):
        super().__init__(config, layer)
        if layer < config.dense_layers:
            options = {k: v for k, v in config.attention().items() if k != "theta"}
            self.attention = MultiHeadLatentAttention(**options)


@wrong
class RouterOfSegmentsOnly(Stepwise):
    """The router's affinity and renormalisation are the configuration's with segments only."""

    def __init__(self, config, layer):
        super().__init__(config, layer)
        options = config.experts()
        if config.num_segments == 1:
            options |= {"affinity": "sigmoid", "renormalise": True}
        if layer >= config.dense_layers:
            self.ffn = DeepSeekMoE(**options)


@wrong
class NormsFrozen(Stepwise):
    """The norms' weights are taken from the optimiser."""

    def __init__(self, config, layer):
        super().__init__(config, layer)
        self.attention_norm.requires_grad_(False)
        self.ffn_norm.requires_grad_(False)
