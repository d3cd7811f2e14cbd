"""D3.3e and D3.4, answered rightly for one text from its start, and wrongly for the next."""

import torch

from checks.answers.bank import Bank
from solutions.d3_mla import MultiHeadLatentAttention, attend

bank = Bank("d3_mla")


@bank.wrong("D3.3e")
class CountsItself(MultiHeadLatentAttention):
    """Positions are counted in the layer, from the last empty cache on, not read from the cache."""

    def forward(self, x, cache=None):
        if cache is None or len(cache) == 0:
            self.seen = 0
        start = self.seen
        self.seen = start + x.shape[1]
        q_content, q_rotary = self.queries(x, start)
        latent, k_rotary = self.latent.down(x), self.rotary_key(x, start)
        if cache is not None:
            latent, k_rotary = cache.append(latent, k_rotary)
        k_content, values = self.latent.up(latent)
        return self.out(attend(q_content, q_rotary, k_content, k_rotary, values).flatten(-2))


def decode(attention, x, cache, start, shown=None):
    """One absorbed step at position `start`; `shown` is put in place of the newest latent."""
    part = attention.latent
    q_content, q_rotary = attention.queries(x, start)
    latent, k_rotary = cache.append(part.down(x), attention.rotary_key(x, start))
    if shown is not None:
        latent = torch.cat([latent[:, :-1], shown], dim=1)
    weights = part.kv_up.weight.unflatten(0, (part.num_heads, -1))
    W_UK, W_UV = weights.split([part.d_head, part.d_value], dim=1)
    q_latent = torch.einsum("blhd,hdR->blhR", q_content, W_UK)
    scores = torch.einsum("blhR,bsR->bhls", q_latent, latent)
    scores = scores + torch.einsum("blhr,bsr->bhls", q_rotary, k_rotary)
    scores = scores / (part.d_head + q_rotary.shape[-1]) ** 0.5
    mixed = torch.einsum("bhls,bsR->blhR", scores.softmax(-1), latent)
    return attention.out(torch.einsum("blhR,hvR->blhv", mixed, W_UV).flatten(-2))


@bank.wrong("D3.4")
def remembers_its_first_position(attention, x, cache):
    """The position of the first step is kept in the attention and used for all that follow."""
    if not hasattr(attention, "first_position"):
        attention.first_position = len(cache)
    return decode(attention, x, cache, attention.first_position)
