"""D4.I1 MultiTokenPrediction, answered with the wrong part, gradient or kind of result."""

from torch import nn
from torch.nn import functional as F

from checks.answers.bank import Bank
from checks.answers.d4_mtp_wrong import Stepwise
from helpers.llama import RMSNorm
from solutions.d4_deepseek import DeepSeekBlock

bank = Bank("d4_deepseek")


@bank.wrong("D4.I1")
class HeadOfItsOwn(Stepwise):
    """Logits, by a head of its own."""

    def __init__(self, config):
        super().__init__(config)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)

    def forward(self, hidden, next_embedding):
        return self.head(super().forward(hidden, next_embedding))


@bank.wrong("D4.I1")
class HiddenDetached(Stepwise):
    """The main model learns nothing from this loss."""

    def parts(self, hidden, next_embedding):
        return super().parts(hidden.detach(), next_embedding)


@bank.wrong("D4.I1")
class EmbeddingDetached(Stepwise):
    """The embedding learns nothing from this loss."""

    def parts(self, hidden, next_embedding):
        return super().parts(hidden, next_embedding.detach())


@bank.wrong("D4.I1")
class DenseBlock(Stepwise):
    """A block like the first one, which is dense where the model begins with dense layers."""

    def __init__(self, config):
        super().__init__(config)
        self.block = DeepSeekBlock(config, layer=0)


@bank.wrong("D4.I1")
class JoinWithBias(Stepwise):
    """The join has a bias."""

    def __init__(self, config):
        super().__init__(config)
        self.join = nn.Linear(2 * config.d_model, config.d_model)


@bank.wrong("D4.I1")
class LastNormShared(Stepwise):
    """The hidden state's norm is the last norm too."""

    def __init__(self, config):
        super().__init__(config)
        self.norm = self.hidden_norm


@bank.wrong("D4.I1")
class NormsOfDefaultEpsilon(Stepwise):
    """The configuration's epsilon does not reach the three norms."""

    def __init__(self, config):
        super().__init__(config)
        for name in ("embed_norm", "hidden_norm", "norm"):
            setattr(self, name, RMSNorm(config.d_model))


@bank.wrong("D4.I1")
class DropsTheJoin(Stepwise):
    """Dropout behind the join, in training."""

    def joined(self, embedding, hidden):
        return F.dropout(super().joined(embedding, hidden), 0.1, self.training)


@bank.wrong("D4.I1")
class ReturnsTheJoinToo(Stepwise):
    """A pair of the normed output and the one before the norm."""

    def forward(self, hidden, next_embedding):
        x = self.block(self.joined(*self.parts(hidden, next_embedding)))
        return self.norm(x), x


@bank.wrong("D4.I1")
class InputsOverwritten(Stepwise):
    """The caller's hidden states become 0 once they are used."""

    def forward(self, hidden, next_embedding):
        out = super().forward(hidden.clone(), next_embedding)
        hidden.detach().zero_()
        return out
