"""Wrong answers to D3.3e MultiHeadLatentAttention: wrong positions or rotations."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.multi_head_latent_attention.steps import Stepwise
from helpers.model.llama import rotate


class Turning(Stepwise):
    """The turns of queries and keys written out, of which an answer below spoils one."""

    def turn(self, rotary, start):
        """(B, L, H, r), turned by the positions from `start`."""
        return rotate(rotary, start, self.queries.theta, self.queries.angles)

    def turn_query(self, rotary, start):
        """The rotary queries."""
        return self.turn(rotary, start)

    def turn_key(self, rotary, start):
        """The rotary keys, as one head."""
        return self.turn(rotary, start)

    def ask(self, x, start):
        part = self.queries
        if part.q_latent is not None:
            x = part.q_norm(part.q_down(x))
        q = part.scale * part.q_up(x).unflatten(-1, (part.num_heads, -1))
        content, rotary = q.split([part.d_head, part.d_rope], dim=-1)
        return content, self.turn_query(rotary, start)

    def key(self, x, start):
        return self.turn_key(self.rotary_key.k_down(x).unsqueeze(-2), start).squeeze(-2)


def turned_in_pairs(y, theta, start=0):
    """`y` turned by its positions but for the last number of an odd width."""
    even = y.shape[-1] // 2 * 2
    return torch.cat([rotate(y[..., :even], start, theta), y[..., even:]], dim=-1)


@wrong
class ContentTurnedToo(Stepwise):
    """RoPE on the content of queries and keys as well."""

    def ask(self, x, start):
        content, rotary = self.queries(x, start)
        return turned_in_pairs(content, self.queries.theta, start), rotary

    def expand(self, latent):
        keys, values = self.latent.up(latent)
        return turned_in_pairs(keys, self.queries.theta), values


@wrong
class ValuesTurnedToo(Stepwise):
    """RoPE on the values as well."""

    def expand(self, latent):
        keys, values = self.latent.up(latent)
        return keys, turned_in_pairs(values, self.queries.theta)


@wrong
class HalvesPaired(Turning):
    """Pairs (0, r/2), (1, r/2 + 1), … as LLaMA's code has them, instead of neighbours."""

    def turn(self, rotary, start):
        pairs = rotary.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
        turned = super().turn(pairs, start)
        return turned.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)


@wrong
class ThetaIgnored(Turning):
    """RoPE's base is 10000 whatever theta is."""

    def turn(self, rotary, start):
        return rotate(rotary, start, angles=self.queries.angles)


@wrong
class AnglesIgnored(Turning):
    """Queries and key turn by theta's angles, whatever angles were given."""

    def turn(self, rotary, start):
        return rotate(rotary, start, self.queries.theta)


@wrong
class ScaleIgnored(Stepwise):
    """The scale multiplies no scores."""

    def divisor(self):
        return super().divisor() * self.queries.scale


@wrong
class QueryOnlyTurned(Turning):
    """The rotary key is cached and used as it is."""

    def turn_key(self, rotary, start):
        return rotary


@wrong
class KeyOnlyTurned(Turning):
    """The rotary queries are not turned."""

    def turn_query(self, rotary, start):
        return rotary


@wrong
class QueryTurnedTwice(Turning):
    """RoPE once in the query path, and once more."""

    def turn_query(self, rotary, start):
        return self.turn(self.turn(rotary, start), start)


@wrong
class KeyTurnedTwice(Turning):
    """RoPE once in the rotary key, and once more."""

    def turn_key(self, rotary, start):
        return self.turn(self.turn(rotary, start), start)


@wrong
class HeadAsPosition(Turning):
    """Queries are turned with heads before positions: each by its head's number."""

    def turn_query(self, rotary, start):
        return self.turn(rotary.transpose(1, 2), start).transpose(1, 2)


@wrong
class BatchRowAsPosition(Turning):
    """Queries and keys are turned by their row of the batch."""

    def turn(self, rotary, start):
        return super().turn(rotary.transpose(0, 1), start).transpose(0, 1)


@wrong
class KeyByBatchRow(Turning):
    """The key is turned without its axis of heads: by its row of the batch."""

    def turn_key(self, rotary, start):
        return self.turn(rotary.squeeze(-2), start).unsqueeze(-2)


@wrong
class TurnedAcrossHeads(Turning):
    """Queries are turned before they are cut into heads, as one vector of width H·r."""

    def turn_query(self, rotary, start):
        angles = self.queries.angles
        angles = None if angles is None else angles.repeat(rotary.shape[2])
        line = rotate(rotary.flatten(-2).unsqueeze(-2), start, self.queries.theta, angles)
        return line.reshape(rotary.shape)


@wrong
class AlwaysFromOne(Stepwise):
    """The first new row is at position 1, whatever is cached."""

    def start(self, cache):
        return 1


@wrong
class PositionsFromOne(Stepwise):
    """The first position of all is 1: outputs fit, but no cached key stands where it says."""

    def start(self, cache):
        return super().start(cache) + 1


@wrong
class OneBehind(Stepwise):
    """After the first call, the first new row takes the position of the last cached one."""

    def start(self, cache):
        return max(super().start(cache) - 1, 0)
