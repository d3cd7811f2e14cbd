"""D3, the reference: attention through two latents, and Multi-head Latent Attention as published.

Letters: B batch, L new positions, S positions seen so far, D = d_model, H = num_heads, N rows,
R = d_latent, d = d_head, r = d_rope, v = d_value, W = H·d.
V2p is arXiv 2405.04434; V3p is arXiv 2412.19437.

| here                                    | in DeepSeek-V3's config.json and inference/model.py |
|-----------------------------------------|-----------------------------------------------------|
| d_latent, q_latent                      | kv_lora_rank, q_lora_rank                           |
| d_head, d_rope, d_value                 | qk_nope_head_dim, qk_rope_head_dim, v_head_dim      |
| theta, yarn_frequencies                 | rope_theta, precompute_freqs_cis                    |
| QueryPath: q_down, q_norm, q_up         | wq_a, q_norm, wq_b; wq without q_latent             |
| JointLatent: kv_down; RotaryKey: k_down | wkv_a, the rows of both in one weight               |
| JointLatent: kv_norm, kv_up             | kv_norm, wkv_b                                      |
| MultiHeadLatentAttention: out           | wo                                                  |
| q_content, q_rotary; k_rotary           | q_nope, q_pe; k_pe                                  |
| LatentCache of latents and rotary keys  | kv_cache and pe_cache                               |
| absorbed_decode                         | the branch "absorb" of MLA.forward                  |
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.checkpoints.hf_attention import attention_sizes, attention_weights
from helpers.model.attention_sizes import validate_sizes
from helpers.model.llama import RMSNorm, rotate


class LatentProjections(nn.Module):
    """Keys and values each pass through a latent of `d_latent`: two latents, as in the study plan.

    `.down(x)` returns what is cached, the latent of the keys and that of the values; `.up(k, v)`
    what attention needs. `k_down`, `v_down`, `k_up` and `v_up` are linear maps without bias; rows
    of the last two are per head. DeepSeek has one latent for both (`JointLatent`).
    """

    def __init__(self, d_model: int, d_latent: int, num_heads: int, d_head: int):
        super().__init__()
        validate_sizes(d_model=d_model, d_latent=d_latent, num_heads=num_heads, d_head=d_head)
        # BEGIN SOLUTION
        self.num_heads = num_heads
        self.k_down = nn.Linear(d_model, d_latent, bias=False)
        self.v_down = nn.Linear(d_model, d_latent, bias=False)
        self.k_up = nn.Linear(d_latent, num_heads * d_head, bias=False)
        self.v_up = nn.Linear(d_latent, num_heads * d_head, bias=False)
        # END SOLUTION

    def down(self, x: Float[Tensor, "B L D"]) -> tuple[Float[Tensor, "B L R"], ...]:
        # BEGIN SOLUTION
        return self.k_down(x), self.v_down(x)
        # END SOLUTION

    def up(
        self, k: Float[Tensor, "B S R"], v: Float[Tensor, "B S R"]
    ) -> tuple[Float[Tensor, "B S H d"], ...]:
        # BEGIN SOLUTION
        heads = (self.num_heads, -1)
        return self.k_up(k).unflatten(-1, heads), self.v_up(v).unflatten(-1, heads)
        # END SOLUTION


class LatentCache:
    """Room for `capacity` positions of a batch: one buffer `(batch, capacity, width)` per part.

    `len(cache)` is `used`, the number of positions used. The buffers take the dtype and device of
    what is appended first. The cache is for decoding: no gradient is asked to pass through it.
    """

    def __init__(self, batch: int, capacity: int, *widths: int):
        validate_sizes(batch=batch, capacity=capacity, **{f"width {w}": w for w in widths})
        if not widths:
            raise ValueError("a cache must have at least one width, got none")
        self.batch, self.capacity, self.widths = batch, capacity, widths
        self.used = 0
        self.buffers: list[Tensor] = []  # made by the first append

    def __len__(self) -> int:
        return self.used

    @property
    def nbytes(self) -> int:
        """The bytes of the buffers, used or not; 0 before the first append."""
        return sum(buffer.nbytes for buffer in self.buffers)

    def append(self, *parts: Float[Tensor, "..."]) -> tuple[Float[Tensor, "_ _ _"], ...]:
        """Returns all positions so far, the new ones last: one view `(B, S, width)` per width.

        Raises a ValueError, and keeps what it has, unless there is one part per width, each of
        shape `(batch, L, width)`, and room for L more. The first append makes `buffers`, one
        `(batch, capacity, width)` per part; every one moves `used` on by L.
        """
        # BEGIN SOLUTION
        length = max((part.shape[1] for part in parts if part.ndim == 3), default=0)
        shapes = [(self.batch, length, width) for width in self.widths]
        if [tuple(part.shape) for part in parts] != shapes:
            raise ValueError(f"parts must be {shapes}, got {[tuple(part.shape) for part in parts]}")
        end = self.used + length
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} positions, and {end} are needed")
        if not self.buffers:
            self.buffers = [p.new_empty(self.batch, self.capacity, p.shape[-1]) for p in parts]
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[:, self.used : end] = part.detach()
        self.used = end
        return tuple(buffer[:, :end] for buffer in self.buffers)
        # END SOLUTION

    def truncate(self, length: int) -> None:
        """Forgets all positions from `length` on; the next append writes over them.

        Raises a ValueError unless `length` is between 0 and `len(cache)`.
        """
        if not 0 <= length <= self.used:
            raise ValueError(f"length must be between 0 and {self.used}, got {length}")
        self.used = length


class QueryPath(nn.Module):
    """The queries of every head: a content part, and a rotary part rotated by its position.

    `helpers.model.llama.rotate` rotates pairs of neighbours, by `angles` in radians per position,
    one per pair; by theta's where they are None. With `q_latent` the queries come from a normed
    latent of that width, which saves activations in training and nothing in the cache (V2p, section
    2.1.2 and eqs. 37-40). Rows of `q_up` are per head, content then rotary. Both parts come
    multiplied by `scale`.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_head: int,
        d_rope: int,
        *,
        q_latent: int | None = None,
        theta: float = 10_000.0,
        angles: Float[Tensor, " pairs"] | None = None,
        scale: float = 1.0,
    ):
        super().__init__()
        validate_sizes(d_rope, d_model=d_model, num_heads=num_heads, d_head=d_head)
        validate_sizes(q_latent=q_latent)
        self.num_heads, self.d_head, self.d_rope = num_heads, d_head, d_rope
        self.q_latent, self.theta, self.angles, self.scale = q_latent, theta, angles, scale
        if q_latent is not None:
            self.q_down = nn.Linear(d_model, q_latent, bias=False)
            self.q_norm = RMSNorm(q_latent)
        self.q_up = nn.Linear(q_latent or d_model, num_heads * (d_head + d_rope), bias=False)

    def forward(
        self, x: Float[Tensor, "B L D"], start: int = 0
    ) -> tuple[Float[Tensor, "B L H d"], Float[Tensor, "B L H r"]]:
        # BEGIN SOLUTION
        if self.q_latent is not None:
            x = self.q_norm(self.q_down(x))
        q = self.scale * self.q_up(x).unflatten(-1, (self.num_heads, -1))  # (B, L, H, d + r)
        content, rotary = q.split([self.d_head, self.d_rope], dim=-1)
        return content, rotate(rotary, start, self.theta, self.angles)
        # END SOLUTION


class JointLatent(nn.Module):
    """One normed latent of width `d_latent`, from which the keys and values of all heads come.

    `.down(x)` returns the normed latent that is cached, `.up(latent)` keys and values (V2p, eqs.
    9-11). `kv_down` and `kv_up` are linear maps without bias, `kv_norm` an RMSNorm of width
    `d_latent`; rows of `kv_up` are per head, `d_head` for the key, then `d_value` for the value.
    Keeps `num_heads`, `d_head` and `d_value` under these names: D3.4 cuts `kv_up` by them.
    """

    def __init__(self, d_model: int, num_heads: int, d_head: int, d_value: int, d_latent: int):
        super().__init__()
        validate_sizes(d_model=d_model, num_heads=num_heads, d_head=d_head, d_latent=d_latent)
        validate_sizes(d_value=d_value)
        # BEGIN SOLUTION
        self.num_heads, self.d_head, self.d_value = num_heads, d_head, d_value
        self.kv_down = nn.Linear(d_model, d_latent, bias=False)
        self.kv_norm = RMSNorm(d_latent)
        self.kv_up = nn.Linear(d_latent, num_heads * (d_head + d_value), bias=False)
        # END SOLUTION

    def down(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L R"]:
        # BEGIN SOLUTION
        return self.kv_norm(self.kv_down(x))
        # END SOLUTION

    def up(
        self, latent: Float[Tensor, "B S R"]
    ) -> tuple[Float[Tensor, "B S H d"], Float[Tensor, "B S H v"]]:
        # BEGIN SOLUTION
        both = self.kv_up(latent).unflatten(-1, (self.num_heads, -1))  # (B, S, H, d + v)
        keys, values = both.split([self.d_head, self.d_value], dim=-1)
        return keys, values
        # END SOLUTION


class RotaryKey(nn.Module):
    """One key of width `d_rope` per token, rotated by its position and shared by all heads.

    `helpers.model.llama.rotate` rotates pairs of neighbours, by `angles` in radians per position,
    one per pair; by theta's where they are None. The key comes from x itself, not from the latent,
    for which V2p gives no reason, and has no norm (V2p, eq. 15).
    """

    def __init__(
        self,
        d_model: int,
        d_rope: int,
        *,
        theta: float = 10_000.0,
        angles: Float[Tensor, " pairs"] | None = None,
    ):
        super().__init__()
        validate_sizes(d_rope, d_model=d_model)
        self.theta, self.angles = theta, angles
        self.k_down = nn.Linear(d_model, d_rope, bias=False)

    def forward(self, x: Float[Tensor, "B L D"], start: int = 0) -> Float[Tensor, "B L r"]:
        # BEGIN SOLUTION
        key = self.k_down(x).unsqueeze(-2)  # (B, L, 1, r): rotate wants heads
        return rotate(key, start, self.theta, self.angles).squeeze(-2)
        # END SOLUTION


def attend(
    q_content: Float[Tensor, "B L H d"],
    q_rotary: Float[Tensor, "B L H r"],
    k_content: Float[Tensor, "B S H d"],
    k_rotary: Float[Tensor, "B S r"],
    values: Float[Tensor, "B S H v"],
) -> Float[Tensor, "B L H v"]:
    """Causal attention with two-part keys, the rotary one shared by all heads (V2p, eqs. 16-18).

    The L queries are those of the last L of the S positions; scores are divided by sqrt(d + r).
    """
    # BEGIN SOLUTION
    shared = k_rotary[:, :, None].expand(-1, -1, q_rotary.shape[2], -1)
    q, k = torch.cat([q_content, q_rotary], dim=-1), torch.cat([k_content, shared], dim=-1)
    scores = torch.einsum("blhd,bshd->bhls", q / math.sqrt(q.shape[-1]), k)
    length, seen = scores.shape[-2:]
    later = torch.full_like(scores[0, 0], -torch.inf).triu(seen - length + 1)  # (L, S), else 0
    weights = (scores + later).softmax(dim=-1)
    return torch.einsum("bhls,bshv->blhv", weights, values)
    # END SOLUTION


class MultiHeadLatentAttention(nn.Module):
    """DeepSeek's attention, which caches R + r numbers per token: a normed latent and a rotary key.

    `angles` are the radians per position of each rotary pair, theta's where they are None; `scale`
    multiplies the queries, and so all scores: YaRN sets both. V2p, section 2.1 and eqs. 37-47;
    V3p, eqs. 1-11.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_head: int,
        d_latent: int,
        d_rope: int,
        *,
        q_latent: int | None = None,
        d_value: int | None = None,
        theta: float = 10_000.0,
        angles: Float[Tensor, " pairs"] | None = None,
        scale: float = 1.0,
    ):
        super().__init__()
        d_value = d_head if d_value is None else d_value
        turns: dict[str, Any] = {"theta": theta} | ({} if angles is None else {"angles": angles})
        asks = {"q_latent": q_latent} | turns | ({} if scale == 1.0 else {"scale": scale})
        self.queries = QueryPath(d_model, num_heads, d_head, d_rope, **asks)
        self.latent = JointLatent(d_model, num_heads, d_head, d_value, d_latent)
        self.rotary_key = RotaryKey(d_model, d_rope, **turns)
        self.out = nn.Linear(num_heads * d_value, d_model, bias=False)

    def forward(
        self, x: Float[Tensor, "B L D"], cache: LatentCache | None = None
    ) -> Float[Tensor, "B L D"]:
        # with a cache: x starts at len(cache); cache.append takes the latent, then the rotary key
        # BEGIN SOLUTION
        start = 0 if cache is None else len(cache)
        q_content, q_rotary = self.queries(x, start)
        latent, k_rotary = self.latent.down(x), self.rotary_key(x, start)
        if cache is not None:
            latent, k_rotary = cache.append(latent, k_rotary)
        k_content, values = self.latent.up(latent)
        y = attend(q_content, q_rotary, k_content, k_rotary, values)
        return self.out(y.flatten(-2))
        # END SOLUTION

    def new_cache(self, batch: int, capacity: int) -> LatentCache:
        """An empty cache of the two parts that this attention appends."""
        widths = self.latent.kv_down.out_features, self.rotary_key.k_down.out_features
        return LatentCache(batch, capacity, *widths)

    @classmethod
    def from_hf(cls, attention: Any) -> "MultiHeadLatentAttention":
        """The same attention as transformers' `DeepseekV3Attention`, with its weights.

        Raises a ValueError with one sentence for rotary pairs (i, i + r/2) in place of neighbours,
        and for biases.
        """
        sizes = attention_sizes(attention.config)
        if yarn := sizes.pop("yarn"):
            angles = yarn.angles(yarn_frequencies, sizes["d_rope"], sizes["theta"])
            sizes |= {"angles": angles, "scale": yarn.scale}
        made = cls(**sizes).to(attention.o_proj.weight)
        made.load_state_dict(attention_weights(attention.state_dict(), sizes["d_latent"]))
        return made


def latents_from_mha(
    W_K: Float[Tensor, "W D"],
    W_V: Float[Tensor, "W D"],
    activations: Float[Tensor, "N D"],
    d_latent: int,
    *,
    joint: bool = False,
) -> LatentProjections:
    """Latents for a trained attention: the best `d_latent` directions of its keys on real inputs,
    and of its values.

    Weights are as `nn.Linear` holds them. The result has one head of width W; no other latent of
    this size restores the keys and values of these activations with a smaller squared error. With
    `joint` one latent of width 2·d_latent serves both: `down` returns it twice, and one is cached.
    """
    if not 1 <= d_latent <= len(W_K):
        raise ValueError(f"d_latent must be between 1 and W={len(W_K)}, got {d_latent}")
    rank = 2 * d_latent if joint else d_latent
    # makes k_down and v_down (rank, D), k_up and v_up (W, rank), which the lines below copy
    # BEGIN SOLUTION
    weights = [torch.cat([W_K, W_V])] if joint else [W_K, W_V]
    outputs = [activations @ weight.T for weight in weights]
    bases = [torch.linalg.eigh(y.T @ y).eigenvectors[:, -rank:] for y in outputs]
    downs = [basis.T @ weight for basis, weight in zip(bases, weights, strict=True)]
    k_down, v_down = downs * 2 if joint else downs
    k_up, v_up = bases[0].split(len(W_K)) if joint else bases
    # END SOLUTION
    made = LatentProjections(W_K.shape[1], rank, 1, len(W_K)).to(W_K)
    names = ("k_down.weight", "v_down.weight", "k_up.weight", "v_up.weight")
    made.load_state_dict(dict(zip(names, (k_down, v_down, k_up, v_up), strict=True)))
    if joint:
        made.v_down = made.k_down  # one projection, also when it is trained on
    return made


def absorbed_decode(
    attention: MultiHeadLatentAttention, x: Float[Tensor, "B one D"], cache: LatentCache
) -> Float[Tensor, "B one D"]:
    """What `attention(x, cache)` returns for one new token, without expanding any cached latent.

    The token joins the cache, which is left as `attention(x, cache)` would leave it.
    The up-projections move to the other side: W_UK into the query, W_UV behind the mixing
    (V2p, section 2.1.2; "absorb" in DeepSeek-V3's inference/model.py).
    """
    if x.shape[1] != 1:
        raise ValueError(f"x must hold one new position, (B, 1, D), got {x.shape[1]} positions")
    # BEGIN SOLUTION
    start, part = len(cache), attention.latent
    q_content, q_rotary = attention.queries(x, start)
    latent, k_rotary = cache.append(part.down(x), attention.rotary_key(x, start))
    both = part.kv_up.weight.unflatten(0, (part.num_heads, -1))  # (H, d + v, R)
    W_UK, W_UV = both.split([part.d_head, part.d_value], dim=1)
    q_latent = torch.einsum("blhd,hdR->bhR", q_content, W_UK)
    scores = q_latent @ latent.mT + q_rotary[:, 0] @ k_rotary.mT  # (B, H, S)
    weights = (scores / math.sqrt(part.d_head + q_rotary.shape[-1])).softmax(dim=-1)
    mixed = weights @ latent  # (B, H, R)
    y = torch.einsum("bhR,hvR->bhv", mixed, W_UV)
    return attention.out(y.flatten(1)[:, None])
    # END SOLUTION


def energy_kept(outputs: Float[Tensor, "N W"]) -> Float[Tensor, " rank"]:
    """The share of the squared length of all rows that the best 1, 2, 3, … directions keep.

    One number for each of the min(N, W) directions, rising to 1: what a latent of that width can
    keep of these keys or values.
    """
    # BEGIN SOLUTION
    squares = torch.linalg.svdvals(outputs) ** 2
    return squares.cumsum(0) / squares.sum()
    # END SOLUTION


def yarn_frequencies(
    d_rope: int,
    factor: float,
    *,
    trained: int = 4096,
    theta: float = 10_000.0,
    beta_fast: float = 32.0,
    beta_slow: float = 1.0,
) -> Float[Tensor, " pairs"]:
    """YaRN's angle per position, in radians, for each of the d_rope / 2 rotary pairs.

    A pair that turns `beta_fast` times or more within the `trained` positions keeps its angle, one
    that turns less than `beta_slow` times has it divided by `factor`. Between them both angles are
    mixed: the share of the divided one rises evenly over the pairs, from 0 at pair `first` to 1 at
    pair `last`. Where both are one pair, that one keeps its angle and all after it are divided.
    The result may be float64 or float32 (V3p, section 4.3; `precompute_freqs_cis` in DeepSeek-V3's
    model.py; the ramp of arXiv 2309.00071, eqs. 11 and 13, is linear in turns instead).
    """
    validate_sizes(d_rope, trained=trained)
    pair = torch.arange(d_rope // 2, dtype=torch.float64, device="cpu")
    angle = theta ** (-2 * pair / d_rope)

    def pair_that_turns(times: float) -> float:
        return d_rope * math.log(trained / (times * 2 * math.pi)) / (2 * math.log(theta))

    first, last = math.floor(pair_that_turns(beta_fast)), math.ceil(pair_that_turns(beta_slow))
    first, last = max(first, 0), min(last, d_rope - 1)
    # BEGIN SOLUTION
    ramp = ((pair - first) / max(last - first, 0.001)).clamp(0, 1)
    return angle * (1 - ramp) + angle / factor * ramp
    # END SOLUTION
