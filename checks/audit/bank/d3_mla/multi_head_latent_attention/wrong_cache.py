"""Wrong answers to D3.3e MultiHeadLatentAttention: the wrong use of the cache."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.multi_head_latent_attention.steps import Stepwise
from helpers.model.llama import rotate
from solutions.d3_mla import LatentCache


@wrong
class RestartsAtZero(Stepwise):
    """What is cached does not move the positions: every call starts at zero."""

    def start(self, cache):
        return 0


@wrong
class QueriesAfterAppend(Stepwise):
    """The queries' positions are read off the cache after the append: too large."""

    def ask(self, x, start):
        return self.queries(x, self.after + x.shape[1])

    def forward(self, x, cache=None):
        self.after = -x.shape[1] if cache is None else len(cache)
        return super().forward(x, cache)


@wrong
class StartsAtTheEnd(Stepwise):
    """All positions are counted from what the cache will hold after the append."""

    def forward(self, x, cache=None):
        self.length = x.shape[1]
        return super().forward(x, cache)

    def start(self, cache):
        return 0 if cache is None else len(cache) + self.length


@wrong
class MaskFromTheStart(Stepwise):
    """The mask takes the new queries for the first positions of the cache."""

    def later(self, length, seen):
        return torch.ones(length, seen, dtype=torch.bool).triu(1)


@wrong
class CausalFlag(Stepwise):
    """`is_causal=True` although there are fewer queries than keys: aligned to the start."""

    def forward(self, x, cache=None):
        start = self.start(cache)
        latent, key = self.keep(cache, self.latents(x), self.key(x, start))
        keys, values = self.expand(latent)
        key = key[:, :, None].expand(-1, -1, keys.shape[2], -1)
        q, k = torch.cat(self.ask(x, start), dim=-1), torch.cat([keys, key], dim=-1)
        q, k, v = (y.transpose(1, 2) for y in (q, k, values))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(self.merge(y.transpose(1, 2)))


@wrong
class NoMaskWithCache(Stepwise):
    """No mask as soon as there is a cache."""

    def forward(self, x, cache=None):
        self.masked = cache is None
        return super().forward(x, cache)

    def later(self, length, seen):
        return super().later(length, seen) & self.masked


@wrong
class NoMaskAfterPrefill(Stepwise):
    """No mask once something is cached: right for one new position, wrong for a chunk."""

    def later(self, length, seen):
        return super().later(length, seen) & (length == seen)


@wrong
class MaskBlindToThePast(Stepwise):
    """The first row of a chunk sees what is cached and itself, the others the chunk only."""

    def later(self, length, seen):
        hidden = super().later(length, seen)
        hidden[1:, : seen - length] = True
        return hidden


@wrong
class CachesUnnormed(Stepwise):
    """The latent is cached before its norm, and normed each time it is read."""

    def latents(self, x):
        return self.latent.kv_down(x)

    def expand(self, latent):
        return self.latent.up(self.latent.kv_norm(latent))


@wrong
class CachesUnturned(Stepwise):
    """The rotary key is cached as it is, and all of them are turned each time."""

    def key(self, x, start):
        return self.rotary_key.k_down(x)

    def keep(self, cache, latent, key):
        latent, key = super().keep(cache, latent, key)
        part = self.rotary_key
        return latent, rotate(key[:, :, None], 0, part.theta, part.angles)[:, :, 0]


@wrong
class TurnsAllByTheNewStart(Stepwise):
    """Caches unturned keys, and turns all of them from where the new ones start."""

    def key(self, x, start):
        return self.rotary_key.k_down(x)

    def keep(self, cache, latent, key):
        start = self.start(cache)
        latent, key = super().keep(cache, latent, key)
        part = self.rotary_key
        return latent, rotate(key[:, :, None], start, part.theta, part.angles)[:, :, 0]


@wrong
class TurnsCachedAgain(Stepwise):
    """The turned keys are cached, and turned once more when they are read."""

    def keep(self, cache, latent, key):
        latent, key = super().keep(cache, latent, key)
        if cache is not None:
            part = self.rotary_key
            key = rotate(key[:, :, None], 0, part.theta, part.angles)[:, :, 0]
        return latent, key


@wrong
class CachesExpanded(Stepwise):
    """Keys and values of every head are cached instead of the latent."""

    def new_cache(self, batch, capacity):
        part, rotary = self.latent, self.rotary_key.k_down.out_features
        widths = part.num_heads * part.d_head, part.num_heads * part.d_value
        return LatentCache(batch, capacity, *widths, rotary)

    def keep(self, cache, latent, key):
        if cache is None:
            return latent, key
        keys, values = self.latent.up(latent)
        *both, key = cache.append(keys.flatten(-2), values.flatten(-2), key)
        self.kept = [y.unflatten(-1, (self.latent.num_heads, -1)) for y in both]
        return None, key

    def expand(self, latent):
        return self.kept if latent is None else self.latent.up(latent)


@wrong
class CachesKeyByHead(Stepwise):
    """The shared rotary key is cached once for every head."""

    def new_cache(self, batch, capacity):
        latent, key = super().new_cache(batch, capacity).widths
        return LatentCache(batch, capacity, latent, self.latent.num_heads * key)

    def keep(self, cache, latent, key):
        if cache is None:
            return latent, key
        latent, keys = cache.append(latent, key.repeat(1, 1, self.latent.num_heads))
        return latent, keys[..., : key.shape[-1]]


@wrong
class AppendsKeyFirst(Stepwise):
    """The rotary key is appended before the latent."""

    def new_cache(self, batch, capacity):
        return LatentCache(batch, capacity, *super().new_cache(batch, capacity).widths[::-1])

    def keep(self, cache, latent, key):
        return (latent, key) if cache is None else cache.append(key, latent)[::-1]


@wrong
class NewPositionsOnly(Stepwise):
    """Appends, and goes on with the new positions only."""

    def keep(self, cache, latent, key):
        super().keep(cache, latent, key)
        return latent, key


@wrong
class CacheForgotten(Stepwise):
    """The cache is never written nor read."""

    def forward(self, x, cache=None):
        return super().forward(x)


@wrong
class TruthOfTheCache(Stepwise):
    """`if cache:` takes an empty cache for none, so that it stays empty."""

    def forward(self, x, cache=None):
        return super().forward(x, cache if cache else None)


@wrong
class PrefillNotCached(Stepwise):
    """Only single positions are cached."""

    def forward(self, x, cache=None):
        return super().forward(x, cache if x.shape[1] == 1 else None)


@wrong
class CachesInEvaluation(Stepwise):
    """The cache is used in evaluation mode only."""

    def forward(self, x, cache=None):
        return super().forward(x, None if self.training else cache)


@wrong
class AppendsTwice(Stepwise):
    """The new positions are appended twice."""

    def keep(self, cache, latent, key):
        super().keep(cache, latent, key)
        return super().keep(cache, latent, key)


@wrong
class EmptiesForChunks(Stepwise):
    """A call with several positions begins the cache anew."""

    def forward(self, x, cache=None):
        if cache is not None and x.shape[1] > 1:
            cache.used = 0
        return super().forward(x, cache)


@wrong
class FirstRowForAll(Stepwise):
    """The first sequence's latents and keys serve the whole batch."""

    def keep(self, cache, latent, key):
        return tuple(y[:1].expand_as(y) for y in super().keep(cache, latent, key))


@wrong
class RemembersWithoutCache(Stepwise):
    """Without a cache, it goes on from what the call before saw."""

    past = None

    def keep(self, cache, latent, key):
        if cache is not None:
            return super().keep(cache, latent, key)
        if self.past is not None and self.past[0].shape[0] == latent.shape[0]:
            latent, key = (torch.cat(y, 1) for y in zip(self.past, (latent, key), strict=True))
        self.past = latent.detach(), key.detach()
        return latent, key


@wrong
class KeepsFirstCache(Stepwise):
    """The first cache it is given serves all later calls with one."""

    first = None

    def forward(self, x, cache=None):
        if self.first is None:
            self.first = cache
        return super().forward(x, None if cache is None else self.first)
