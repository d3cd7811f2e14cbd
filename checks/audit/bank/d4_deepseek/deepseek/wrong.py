"""Wrong answers to D4.2a DeepSeek: the wrong function."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.deepseek.steps import Stepwise


@wrong
class LastNormForgotten(Stepwise):
    """The head reads what the last block gives."""

    def read(self, x):
        return self.head(x)


@wrong
class LogitsNormed(Stepwise):
    """The norm behind the head."""

    def read(self, x):
        return F.rms_norm(self.head(x), (len(self.head.weight),), eps=self.norm.eps)


@wrong
class NormBehindEveryBlock(Stepwise):
    """The last norm stands inside the loop."""

    def through(self, x, caches):
        for i, block in enumerate(self.blocks):
            x = self.norm(block(x, None if caches is None else caches[i]))
        return x

    def read(self, x):
        return self.head(x)


@wrong
class NormBeforeTheBlocks(Stepwise):
    """The last norm stands behind the embedding."""

    def embedded(self, ids):
        return self.norm(self.embed(ids))

    def read(self, x):
        return self.head(x)


@wrong
class EmbeddingNormed(Stepwise):
    """The norm behind the embedding and before the head."""

    def embedded(self, ids):
        return self.norm(self.embed(ids))


@wrong
class EmbeddingForHead(Stepwise):
    """The embedding's weights in place of the head's."""

    def read(self, x):
        return F.linear(self.norm(x), self.embed.weight)


@wrong
class Tied(Stepwise):
    """Head and embedding are one parameter."""

    def __init__(self, config):
        super().__init__(config)
        self.head.weight = self.embed.weight


@wrong
class EmbeddingScaled(Stepwise):
    """The embedding times the square root of the width, as in the first transformer."""

    def embedded(self, ids):
        return math.sqrt(self.config.d_model) * self.embed(ids)


@wrong
class PositionsAdded(Stepwise):
    """Sines of the position on the embedding."""

    def embedded(self, ids):
        x = self.embed(ids)
        place = torch.arange(ids.shape[1])[:, None] / 100 ** torch.linspace(0, 1, x.shape[-1])
        return x + place.sin().to(x)


@wrong
class LogitsScaled(Stepwise):
    """The logits divided by the square root of the width."""

    def read(self, x):
        return super().read(x) / math.sqrt(self.config.d_model)


@wrong
class Probabilities(Stepwise):
    """A softmax on the logits."""

    def read(self, x):
        return super().read(x).softmax(dim=-1)


@wrong
class LogProbabilities(Stepwise):
    """A log-softmax on the logits."""

    def read(self, x):
        return super().read(x).log_softmax(dim=-1)


@wrong
class HiddenStates(Stepwise):
    """The head is forgotten."""

    def read(self, x):
        return self.norm(x)


@wrong
class LastPositionOnly(Stepwise):
    """The logits of the last position only."""

    def read(self, x):
        return super().read(x[:, -1:])


@wrong
class BestTokens(Stepwise):
    """The tokens with the highest logits."""

    def read(self, x):
        return super().read(x).argmax(dim=-1)


@wrong
class AllButTheLastToken(Stepwise):
    """The last token is cut off inside, as the training loop does outside."""

    def embedded(self, ids):
        return super().embedded(ids[:, :-1] if ids.shape[1] > 1 else ids)


@wrong
class BlocksReversed(Stepwise):
    """The last block first, each with its own cache."""

    def through(self, x, caches):
        for i in reversed(range(len(self.blocks))):
            x = self.blocks[i](x, None if caches is None else caches[i])
        return x


@wrong
class LastBlockSkipped(Stepwise):
    """A loop over all blocks but the last."""

    def through(self, x, caches):
        for i in range(len(self.blocks) - 1):
            x = self.blocks[i](x, None if caches is None else caches[i])
        return x


@wrong
class OneBlockForAll(Stepwise):
    """The first block as often as there are layers."""

    def through(self, x, caches):
        for i in range(len(self.blocks)):
            x = self.blocks[0](x, None if caches is None else caches[i])
        return x


@wrong
class EveryBlockFromTheEmbedding(Stepwise):
    """Each block reads the embedding; only what the last one gives is left."""

    def through(self, x, caches):
        for i, block in enumerate(self.blocks):
            y = block(x, None if caches is None else caches[i])
        return y


@wrong
class ResidualAroundBlocks(Stepwise):
    """Each block's output is added to what it read, which it holds already."""

    def through(self, x, caches):
        for i, block in enumerate(self.blocks):
            x = x + block(x, None if caches is None else caches[i])
        return x


@wrong
class EmbeddingAddedAtTheEnd(Stepwise):
    """The embedding once more before the last norm."""

    def through(self, x, caches):
        return x + super().through(x, caches)


@wrong
class DetachedBetweenBlocks(Stepwise):
    """No gradient passes from a block to the one before it."""

    def through(self, x, caches):
        for i, block in enumerate(self.blocks):
            x = block(x.detach(), None if caches is None else caches[i])
        return x


@wrong
class EmbeddingDetached(Stepwise):
    """The embedding does not learn."""

    def embedded(self, ids):
        return self.embed(ids).detach()


@wrong
class DropsEmbedding(Stepwise):
    """Dropout on the embedding, in training."""

    def embedded(self, ids):
        return F.dropout(self.embed(ids), 0.1, self.training)


@wrong
class LastThirtyTwo(Stepwise):
    """The text is cut to its last 32 tokens."""

    def forward(self, ids, caches=None):
        return super().forward(ids[:, -32:], caches)


@wrong
class LastTokenIsPadding(Stepwise):
    """`padding_idx`: the vocabulary's last token has an embedding that never learns."""

    def __init__(self, config):
        super().__init__(config)
        padding = config.vocab_size - 1
        self.embed = nn.Embedding(config.vocab_size, config.d_model, padding_idx=padding)
