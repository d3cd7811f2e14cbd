"""Wrong answers to D4.1 DeepSeekBlock: norms and residuals in the wrong places."""

import math

from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.deepseek_block.steps import Stepwise


@wrong
class NoResidual(Stepwise):
    """Two sublayers in a row, and no residual."""

    def forward(self, x, cache=None):
        return self.fed(self.attended(x, cache))


@wrong
class NoResidualAtAttention(Stepwise):
    """The residual goes past the feed-forward part only."""

    def forward(self, x, cache=None):
        x = self.attended(x, cache)
        return x + self.fed(x)


@wrong
class NoResidualAtFeedForward(Stepwise):
    """The residual goes past attention only."""

    def forward(self, x, cache=None):
        return self.fed(x + self.attended(x, cache))


@wrong
class NormedResidualAtAttention(Stepwise):
    """The name x is used again for the normed x, which becomes the first residual."""

    def forward(self, x, cache=None):
        x = self.attention_norm(x)
        x = x + self.attention(x, cache)
        return x + self.fed(x)


@wrong
class NormedResidualAtFeedForward(Stepwise):
    """The second residual is the normed x."""

    def forward(self, x, cache=None):
        x = self.ffn_norm(x + self.attended(x, cache))
        return x + self.ffn(x)


@wrong
class PostNorm(Stepwise):
    """The norms behind the sums, as in the first transformer."""

    def forward(self, x, cache=None):
        x = self.attention_norm(x + self.attention(x, cache))
        return self.ffn_norm(x + self.ffn(x))


@wrong
class OutputsNormed(Stepwise):
    """Each norm on what the sublayer gives instead of on what it takes."""

    def attended(self, x, cache):
        return self.attention_norm(self.attention(x, cache))

    def fed(self, x):
        return self.ffn_norm(self.ffn(x))


@wrong
class OneNorm(Stepwise):
    """The attention's norm before both sublayers."""

    def fed(self, x):
        return self.ffn(self.attention_norm(x))


@wrong
class NormsExchanged(Stepwise):
    """Each sublayer behind the other's norm."""

    def attended(self, x, cache):
        return self.attention(self.ffn_norm(x), cache)

    def fed(self, x):
        return self.ffn(self.attention_norm(x))


@wrong
class NormedTwice(Stepwise):
    """The feed-forward part behind both norms."""

    def fed(self, x):
        return self.ffn(self.ffn_norm(self.attention_norm(x)))


@wrong
class AttentionUnnormed(Stepwise):
    """Attention reads x as it is."""

    def attended(self, x, cache):
        return self.attention(x, cache)


@wrong
class FeedForwardUnnormed(Stepwise):
    """The feed-forward part reads x as it is."""

    def fed(self, x):
        return self.ffn(x)


@wrong
class MeanRemoved(Stepwise):
    """A layer norm, which takes the mean away, in place of the root mean square."""

    def fed(self, x):
        norm = self.ffn_norm
        return self.ffn(F.layer_norm(x, x.shape[-1:], norm.weight, eps=norm.eps))


@wrong
class NormAtTheEnd(Stepwise):
    """One norm more, on the sum."""

    def forward(self, x, cache=None):
        return self.ffn_norm(super().forward(x, cache))


@wrong
class BothFromTheInput(Stepwise):
    """Attention and feed-forward part side by side, both from the x that came in."""

    def forward(self, x, cache=None):
        return x + self.attended(x, cache) + self.fed(x)


@wrong
class SecondResidualFromTheInput(Stepwise):
    """The second residual is the x that came in: attention reaches the feed-forward part only."""

    def forward(self, x, cache=None):
        return x + self.fed(x + self.attended(x, cache))


@wrong
class FeedForwardReadsAttentionOnly(Stepwise):
    """The feed-forward part reads what attention gave, without the residual."""

    def forward(self, x, cache=None):
        attended = self.attended(x, cache)
        return x + attended + self.fed(attended)


@wrong
class FeedForwardFirst(Stepwise):
    """The feed-forward part before attention."""

    def forward(self, x, cache=None):
        x = x + self.fed(x)
        return x + self.attended(x, cache)


@wrong
class FeedForwardForgotten(Stepwise):
    """Attention and its residual, and nothing behind them."""

    def forward(self, x, cache=None):
        return x + self.attended(x, cache)


@wrong
class AttentionForgotten(Stepwise):
    """Attention runs, and what it gives is dropped."""

    def forward(self, x, cache=None):
        self.attended(x, cache)
        return x + self.fed(x)


@wrong
class InputAddedTwice(Stepwise):
    """The x that came in is added at both sums."""

    def forward(self, x, cache=None):
        between = x + self.attended(x, cache)
        return x + between + self.fed(between)


@wrong
class SumsDivided(Stepwise):
    """Each sum divided by the square root of 2."""

    def forward(self, x, cache=None):
        x = (x + self.attended(x, cache)) / math.sqrt(2)
        return (x + self.fed(x)) / math.sqrt(2)


@wrong
class AttentionDividedByRoot(Stepwise):
    """What attention adds is divided by the square root of the width."""

    def attended(self, x, cache):
        return super().attended(x, cache) / math.sqrt(x.shape[-1])
