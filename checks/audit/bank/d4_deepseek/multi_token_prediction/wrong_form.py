"""Wrong answers to D4.I1 MultiTokenPrediction: the wrong part, gradient or kind of result."""

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.multi_token_prediction.steps import Stepwise
from helpers.model.llama import RMSNorm
from solutions.d4_deepseek import DeepSeekBlock, MultiTokenPrediction


@wrong
class HeadOfItsOwn(Stepwise):
    """Logits, by a head of its own."""

    def __init__(self, config):
        super().__init__(config)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)

    def forward(self, hidden, next_embedding):
        return self.head(super().forward(hidden, next_embedding))


@wrong
class HiddenDetached(Stepwise):
    """The main model learns nothing from this loss."""

    def parts(self, hidden, next_embedding):
        return super().parts(hidden.detach(), next_embedding)


@wrong
class EmbeddingDetached(Stepwise):
    """The embedding learns nothing from this loss."""

    def parts(self, hidden, next_embedding):
        return super().parts(hidden, next_embedding.detach())


@wrong
class DenseBlock(Stepwise):
    """A block like the first one, which is dense where the model begins with dense layers."""

    def __init__(self, config):
        super().__init__(config)
        self.block = DeepSeekBlock(config, layer=0)


@wrong
class JoinWithBias(Stepwise):
    """The join has a bias."""

    def __init__(self, config):
        super().__init__(config)
        self.join = nn.Linear(2 * config.d_model, config.d_model)


@wrong
class LastNormShared(Stepwise):
    """The hidden state's norm is the last norm too."""

    def __init__(self, config):
        super().__init__(config)
        self.norm = self.hidden_norm


@wrong
class NormsOfDefaultEpsilon(Stepwise):
    """The configuration's epsilon does not reach the three norms."""

    def __init__(self, config):
        super().__init__(config)
        for name in ("embed_norm", "hidden_norm", "norm"):
            setattr(self, name, RMSNorm(config.d_model))


@wrong
class DropsTheJoin(Stepwise):
    """Dropout behind the join, in training."""

    def joined(self, embedding, hidden):
        return F.dropout(super().joined(embedding, hidden), 0.1, self.training)


@wrong
class ReturnsTheJoinToo(Stepwise):
    """A pair of the normed output and the one before the norm."""

    def forward(self, hidden, next_embedding):
        x = self.block(self.joined(*self.parts(hidden, next_embedding)))
        return self.norm(x), x


@wrong
class InputsOverwritten(Stepwise):
    """The caller's hidden states become 0 once they are used."""

    def forward(self, hidden, next_embedding):
        out = super().forward(hidden.clone(), next_embedding)
        hidden.detach().zero_()
        return out


@wrong
class CacheForgotten(MultiTokenPrediction):
    """The cache is taken and not handed to the block."""

    def forward(self, hidden, next_embedding, cache=None):
        parts = self.embed_norm(next_embedding), self.hidden_norm(hidden)
        return self.norm(self.block(self.join(torch.cat(parts, dim=-1))))


@wrong
class CacheForPromptsAlone(MultiTokenPrediction):
    """The cache is used while it is empty."""

    def forward(self, hidden, next_embedding, cache=None):
        parts = self.embed_norm(next_embedding), self.hidden_norm(hidden)
        both = self.join(torch.cat(parts, dim=-1))
        return self.norm(self.block(both, None if cache is None or len(cache) else cache))
