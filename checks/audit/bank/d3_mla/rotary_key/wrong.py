"""Wrong answers to D3.3c RotaryKey."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.rotations import (
    angles,
    by_complex,
    evens_then_odds,
    halves,
    of_slow_exponent,
)
from helpers.model.llama import rotate
from solutions.d3_mla import RotaryKey


@wrong
class TurnsItsInput(RotaryKey):
    """x is negated in place after the key is made."""

    def forward(self, x, start=0):
        key = super().forward(x.clone(), start)
        with torch.no_grad():
            x.neg_()
        return key


class Stepwise(RotaryKey):
    """The right key in two steps, of which an answer below spoils one."""

    def key(self, x):
        """(B, L, r), not turned."""
        return self.k_down(x)

    def turn(self, key, start):
        """(B, L, 1, r), turned."""
        return rotate(key, start, self.theta, self.angles)

    def forward(self, x, start=0):
        """(B, L, r)."""
        return self.turn(self.key(x).unsqueeze(-2), start).squeeze(-2)


@wrong
class FromNormedX(Stepwise):
    """x is normed before the projection."""

    def key(self, x):
        return self.k_down(F.rms_norm(x, x.shape[-1:]))


@wrong
class KeyNormed(Stepwise):
    """The key has a norm, like the latent."""

    def key(self, x):
        key = self.k_down(x)
        return F.rms_norm(key, key.shape[-1:])


@wrong
class KeyScaled(Stepwise):
    """Divided by sqrt(r), which attention will do."""

    def key(self, x):
        return self.k_down(x) / self.k_down.out_features**0.5


@wrong
class KeyActivated(Stepwise):
    """A SiLU behind the projection."""

    def key(self, x):
        return F.silu(self.k_down(x))


@wrong
class KeyDetached(Stepwise):
    """No gradient, as if the key came from the cache."""

    def key(self, x):
        return self.k_down(x).detach()


@wrong
class MeanOfTheTokens(Stepwise):
    """One key for the whole sequence, turned for each position."""

    def key(self, x):
        return self.k_down(x).mean(dim=1, keepdim=True).expand(-1, x.shape[1], -1)


@wrong
class XTurned(Stepwise):
    """x is rotated, then projected; it fits where d_model is even."""

    def forward(self, x, start=0):
        return self.k_down(rotate(x.unsqueeze(-2), start, self.theta).squeeze(-2))


@wrong
class XNormedInPlace(Stepwise):
    """x is normed in place: the caller's x changes."""

    def key(self, x):
        with torch.no_grad():
            x /= (x.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt()
        return self.k_down(x)


@wrong
class NotTurned(Stepwise):
    """The key is not rotated."""

    def turn(self, key, start):
        return key


@wrong
class StartIgnored(Stepwise):
    """Every call counts its positions from 0."""

    def turn(self, key, start):
        return rotate(key, theta=self.theta, angles=self.angles)


@wrong
class StartOneLate(Stepwise):
    """Positions counted from 1."""

    def turn(self, key, start):
        return rotate(key, start + 1, self.theta, self.angles)


@wrong
class StartAtTheEnd(Stepwise):
    """The number of all positions so far, the new ones among them, taken as the start."""

    def turn(self, key, start):
        return rotate(key, start + key.shape[1], self.theta, self.angles)


@wrong
class StartInRadians(Stepwise):
    """start is added to the angles, not to the positions."""

    def turn(self, key, start):
        return by_complex(key, angles(key, 0, self.theta, self.angles) + start)


@wrong
class CountsByItself(Stepwise):
    """A counter in the module takes the place of start."""

    seen = 0

    def turn(self, key, start):
        start, self.seen = self.seen, self.seen + key.shape[1]
        return rotate(key, start, self.theta, self.angles)


@wrong
class AnglesOfFirstCall(Stepwise):
    """Angles are kept as long as the number of positions stays the same."""

    kept = None

    def turn(self, key, start):
        if self.kept is None or len(self.kept) != key.shape[1]:
            self.kept = angles(key, start, self.theta, self.angles)
        return by_complex(key, self.kept)


@wrong
class CountedFromTheEnd(Stepwise):
    """The newest position is turned least."""

    def turn(self, key, start):
        return rotate(key.flip(1), start, self.theta, self.angles).flip(1)


@wrong
class ThetaIgnored(Stepwise):
    """theta is 10,000 whatever was asked."""

    def turn(self, key, start):
        return rotate(key, start, angles=self.angles)


@wrong
class HalvesTurned(Stepwise):
    """LLaMA's rotate_half where neighbours are pairs."""

    def turn(self, key, start):
        return halves(key, angles(key, start, self.theta, self.angles))


@wrong
class EvensThenOdds(Stepwise):
    """The first numbers of all pairs before the second ones."""

    def turn(self, key, start):
        return evens_then_odds(key, angles(key, start, self.theta, self.angles))


@wrong
class TurnedBackwards(Stepwise):
    """The key is turned the other way than the query."""

    def turn(self, key, start):
        return by_complex(key, -angles(key, start, self.theta, self.angles))


@wrong
class TurnedTwice(Stepwise):
    """The key is rotated twice."""

    def turn(self, key, start):
        return rotate(rotate(key, start, self.theta, self.angles), start, self.theta, self.angles)


@wrong
class SlowExponent(Stepwise):
    """Angles with exponent −i / r for pair i where −2i / r is asked."""

    def turn(self, key, start):
        return of_slow_exponent(key, start, self.theta, self.angles)


@wrong
class BatchAsPositions(Stepwise):
    """rotate gets (B, L, r): it counts the sequences and takes positions for heads."""

    def forward(self, x, start=0):
        return rotate(self.k_down(x), start, self.theta, self.angles)


@wrong
class HeadAtTheWrongPlace(Stepwise):
    """unsqueeze(1): rotate sees one position and L heads."""

    def forward(self, x, start=0):
        return rotate(self.k_down(x).unsqueeze(1), start, self.theta, self.angles).squeeze(1)


@wrong
class PairsAsHeads(Stepwise):
    """Cut into heads of width 2: every pair is turned by the angle of the first."""

    def forward(self, x, start=0):
        first = None if self.angles is None else self.angles[:1]
        return rotate(self.k_down(x).unflatten(-1, (-1, 2)), start, self.theta, first).flatten(-2)


@wrong
class PositionsRunOn(Stepwise):
    """Batch and positions in one line: the second sequence goes on counting."""

    def forward(self, x, start=0):
        line = rotate(self.k_down(x.flatten(0, 1)).unsqueeze(1), start, self.theta, self.angles)
        return line.reshape(*x.shape[:2], -1)


@wrong
class AllSqueezed(Stepwise):
    """squeeze() drops a batch of one and a single position, too."""

    def forward(self, x, start=0):
        return self.turn(self.key(x).unsqueeze(-2), start).squeeze()


@wrong
class HeadKept(Stepwise):
    """Returns (B, L, 1, r)."""

    def forward(self, x, start=0):
        return self.turn(self.key(x).unsqueeze(-2), start)


@wrong
class KeyInSingle(Stepwise):
    """The key comes in float32, whatever x is."""

    def turn(self, key, start):
        return rotate(key.float(), start, self.theta, self.angles)


@wrong
class TurnedWithoutGradient(Stepwise):
    """The rotation runs under no_grad."""

    @torch.no_grad()
    def turn(self, key, start):
        return rotate(key, start, self.theta, self.angles)
