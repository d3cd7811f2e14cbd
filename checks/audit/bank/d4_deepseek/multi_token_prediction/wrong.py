"""Wrong answers to D4.I1 MultiTokenPrediction: the wrong function."""

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.multi_token_prediction.steps import Stepwise


@wrong
class HiddenFirst(Stepwise):
    """Side by side as eq. 21 prints it, against the released weights."""

    def joined(self, embedding, hidden):
        return super().joined(hidden, embedding)


@wrong
class NormsExchanged(Stepwise):
    """Each part behind the other's norm."""

    def parts(self, hidden, next_embedding):
        return self.hidden_norm(next_embedding), self.embed_norm(hidden)


@wrong
class OneNorm(Stepwise):
    """The hidden state's norm for both parts."""

    def parts(self, hidden, next_embedding):
        return self.hidden_norm(next_embedding), self.hidden_norm(hidden)


@wrong
class NothingNormed(Stepwise):
    """Both parts as they come."""

    def parts(self, hidden, next_embedding):
        return next_embedding, hidden


@wrong
class EmbeddingUnnormed(Stepwise):
    """The embedding as it comes."""

    def parts(self, hidden, next_embedding):
        return next_embedding, self.hidden_norm(hidden)


@wrong
class HiddenUnnormed(Stepwise):
    """The hidden state as it comes."""

    def parts(self, hidden, next_embedding):
        return self.embed_norm(next_embedding), hidden


@wrong
class HiddenNormedByLastNorm(Stepwise):
    """The hidden state behind the last norm, as if it were to be read by the head."""

    def parts(self, hidden, next_embedding):
        return self.embed_norm(next_embedding), self.norm(hidden)


@wrong
class NormedTogether(Stepwise):
    """One root mean square over both parts."""

    def joined(self, embedding, hidden):
        both = torch.cat([embedding, hidden], dim=-1)
        return self.join(F.rms_norm(both, both.shape[-1:], eps=self.norm.eps))

    def parts(self, hidden, next_embedding):
        return next_embedding * self.embed_norm.weight, hidden * self.hidden_norm.weight


@wrong
class PartsSummed(Stepwise):
    """The sum of both parts through the first half of the join."""

    def joined(self, embedding, hidden):
        return F.linear(embedding + hidden, self.join.weight.chunk(2, dim=1)[0])


@wrong
class NarrowJoin(Stepwise):
    """A join as narrow as the model, for the sum of both parts."""

    def __init__(self, config):
        super().__init__(config)
        self.join = nn.Linear(config.d_model, config.d_model, bias=False)

    def joined(self, embedding, hidden):
        return self.join(embedding + hidden)


@wrong
class PartsInterleaved(Stepwise):
    """The numbers of both parts in turn, in place of side by side."""

    def joined(self, embedding, hidden):
        return self.join(torch.stack([embedding, hidden], dim=-1).flatten(-2))


@wrong
class HiddenOnly(Stepwise):
    """The hidden state twice: the next token stays unknown."""

    def joined(self, embedding, hidden):
        return super().joined(hidden, hidden)


@wrong
class EmbeddingOnly(Stepwise):
    """The embedding twice."""

    def joined(self, embedding, hidden):
        return super().joined(embedding, embedding)


@wrong
class ShiftedAgain(Stepwise):
    """The embeddings, which are the next tokens' already, moved one further."""

    def parts(self, hidden, next_embedding):
        return super().parts(hidden, next_embedding.roll(-1, dims=1))


@wrong
class ShiftedBack(Stepwise):
    """The embeddings moved back, to the tokens that the hidden states have seen."""

    def parts(self, hidden, next_embedding):
        return super().parts(hidden, next_embedding.roll(1, dims=1))


@wrong
class CutAndShifted(Stepwise):
    """The first embedding and the last hidden state cut off: one position fewer."""

    def parts(self, hidden, next_embedding):
        return super().parts(hidden[:, :-1], next_embedding[:, 1:])


@wrong
class ArgumentsExchanged(Stepwise):
    """The embedding is the first argument."""

    def forward(self, next_embedding, hidden):
        return super().forward(hidden, next_embedding)


@wrong
class JoinActivated(Stepwise):
    """A SiLU behind the join."""

    def joined(self, embedding, hidden):
        return F.silu(super().joined(embedding, hidden))


@wrong
class BlockForgotten(Stepwise):
    """The joined parts go straight to the last norm."""

    def forward(self, hidden, next_embedding):
        return self.norm(self.joined(*self.parts(hidden, next_embedding)))


@wrong
class BlockTwice(Stepwise):
    """The block is applied twice."""

    def joined(self, embedding, hidden):
        return self.block(super().joined(embedding, hidden))


@wrong
class BlockBeforeJoin(Stepwise):
    """The block on the hidden state, and the join behind it."""

    def forward(self, hidden, next_embedding):
        embedding, hidden = self.parts(hidden, next_embedding)
        return self.norm(self.joined(embedding, self.block(hidden)))


@wrong
class LastNormForgotten(Stepwise):
    """What the block gives."""

    def forward(self, hidden, next_embedding):
        return self.block(self.joined(*self.parts(hidden, next_embedding)))


@wrong
class LastNormBeforeBlock(Stepwise):
    """The last norm between join and block."""

    def forward(self, hidden, next_embedding):
        return self.block(self.norm(self.joined(*self.parts(hidden, next_embedding))))


@wrong
class HiddenAdded(Stepwise):
    """A residual from the hidden state past the block."""

    def forward(self, hidden, next_embedding):
        return self.norm(hidden + self.block(self.joined(*self.parts(hidden, next_embedding))))


@wrong
class JoinAdded(Stepwise):
    """A residual past the block, which has its own."""

    def forward(self, hidden, next_embedding):
        x = self.joined(*self.parts(hidden, next_embedding))
        return self.norm(x + self.block(x))


@wrong
class HiddenTwice(Stepwise):
    """The hidden state in both halves."""

    def forward(self, hidden, next_embedding):
        both = torch.cat([self.embed_norm(hidden), self.hidden_norm(hidden)], dim=-1)
        return self.norm(self.block(self.join(both)))


@wrong
class AddedNotJoined(Stepwise):
    """Both are added, and the sum fills both halves."""

    def forward(self, hidden, next_embedding):
        added = self.embed_norm(next_embedding) + self.hidden_norm(hidden)
        return self.norm(self.block(self.join(torch.cat([added, added], dim=-1))))
