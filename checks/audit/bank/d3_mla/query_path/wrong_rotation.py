"""Wrong answers to D3.3a QueryPath: wrong rotations."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.query_path.steps import Stepwise
from checks.audit.bank.d3_mla.rotations import (
    angles,
    by_complex,
    evens_then_odds,
    halves,
    of_slow_exponent,
    positions,
)
from helpers.model.llama import rotate


@wrong
class NotTurned(Stepwise):
    """The rotary part is not rotated."""

    def turn(self, rotary, start):
        return rotary


@wrong
class AllTurned(Stepwise):
    """The whole query is rotated, then split."""

    def heads(self, q):
        return rotate(super().heads(q), self.start, self.theta)

    def turn(self, rotary, start):
        return rotary

    def forward(self, x, start=0):
        self.start = start
        return super().forward(x, start)


@wrong
class BothTurned(Stepwise):
    """The content is rotated like the rotary part."""

    def forward(self, x, start=0):
        content, rotary = super().forward(x, start)
        return rotate(content, start, self.theta), rotary


@wrong
class ContentTurned(Stepwise):
    """The content is rotated in place of the rotary part."""

    def forward(self, x, start=0):
        content, rotary = self.parts(self.q_up(self.squeezed(x)))
        return rotate(content, start, self.theta), rotary


@wrong
class StartIgnored(Stepwise):
    """Every call counts its positions from 0."""

    def turn(self, rotary, start):
        return rotate(rotary, 0, self.theta, self.angles)


@wrong
class StartOneLate(Stepwise):
    """Positions counted from 1."""

    def turn(self, rotary, start):
        return rotate(rotary, start + 1, self.theta, self.angles)


@wrong
class StartAtTheEnd(Stepwise):
    """The number of all positions so far, the new ones among them, taken as the start."""

    def turn(self, rotary, start):
        return rotate(rotary, start + rotary.shape[1], self.theta, self.angles)


@wrong
class StartForAll(Stepwise):
    """All new positions are turned by the angle of the first."""

    def turn(self, rotary, start):
        return rotate(rotary.unsqueeze(2), start, self.theta, self.angles).squeeze(2)


@wrong
class CountsByItself(Stepwise):
    """A counter in the module takes the place of start."""

    seen = 0

    def turn(self, rotary, start):
        start, self.seen = self.seen, self.seen + rotary.shape[1]
        return rotate(rotary, start, self.theta, self.angles)


@wrong
class ThetaIgnored(Stepwise):
    """theta is 10,000 whatever was asked."""

    def turn(self, rotary, start):
        return rotate(rotary, start, angles=self.angles)


@wrong
class StartInRadians(Stepwise):
    """start is added to the angles, not to the positions."""

    def turn(self, rotary, start):
        return by_complex(rotary, angles(rotary, 0, self.theta, self.angles) + start)


@wrong
class HalvesTurned(Stepwise):
    """LLaMA's rotate_half where neighbours are pairs."""

    def turn(self, rotary, start):
        return halves(rotary, angles(rotary, start, self.theta, self.angles))


@wrong
class EvensThenOdds(Stepwise):
    """The first numbers of all pairs before the second ones."""

    def turn(self, rotary, start):
        return evens_then_odds(rotary, angles(rotary, start, self.theta, self.angles))


@wrong
class TurnedBackwards(Stepwise):
    """The sine's sign is exchanged."""

    def turn(self, rotary, start):
        return by_complex(rotary, -angles(rotary, start, self.theta, self.angles))


@wrong
class TurnedTwice(Stepwise):
    """The rotary part is rotated twice."""

    def turn(self, rotary, start):
        return rotate(
            rotate(rotary, start, self.theta, self.angles), start, self.theta, self.angles
        )


@wrong
class HeadsAsPositions(Stepwise):
    """rotate gets (B, H, L, r) and counts the heads."""

    def turn(self, rotary, start):
        return rotate(rotary.transpose(1, 2), start, self.theta, self.angles).transpose(1, 2)


@wrong
class PositionsRunOn(Stepwise):
    """Batch and positions in one line: the second sequence goes on counting."""

    def turn(self, rotary, start):
        line = rotate(rotary.reshape(-1, *rotary.shape[2:]), start, self.theta, self.angles)
        return line.reshape(rotary.shape)


@wrong
class SlowExponent(Stepwise):
    """Angles with exponent −i / r for pair i where −2i / r is asked."""

    def turn(self, rotary, start):
        return of_slow_exponent(rotary, start, self.theta, self.angles)


@wrong
class WidthOfWholeHead(Stepwise):
    """The exponent counts d + r where r is the width that turns."""

    def turn(self, rotary, start):
        pairs = torch.arange(self.d_rope // 2, dtype=torch.float64)
        frequencies = self.theta ** (-2 * pairs / (self.d_head + self.d_rope))
        frequencies = frequencies if self.angles is None else self.angles
        return by_complex(rotary, positions(rotary, start) * frequencies)


@wrong
class OneAngle(Stepwise):
    """Every pair is turned by the angle of the first."""

    def turn(self, rotary, start):
        pairs = rotary.flatten(2).unflatten(-1, (-1, 2))
        first = None if self.angles is None else self.angles[:1]
        return rotate(pairs, start, self.theta, first).reshape(rotary.shape)


@wrong
class AnglesIgnored(Stepwise):
    """Turned by theta's angles, whatever angles were given."""

    def turn(self, rotary, start):
        return rotate(rotary, start, self.theta)


@wrong
class TurnedWithoutGradient(Stepwise):
    """The rotation runs under no_grad."""

    @torch.no_grad()
    def turn(self, rotary, start):
        return rotate(rotary, start, self.theta, self.angles)


@wrong
class TurnedInSingle(Stepwise):
    """The rotary part comes in float32, whatever x is."""

    def turn(self, rotary, start):
        return rotate(rotary.float(), start, self.theta, self.angles)
