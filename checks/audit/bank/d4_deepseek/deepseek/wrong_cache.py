"""Wrong answers to D4.2a DeepSeek: the wrong use of the caches."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.deepseek.steps import Stepwise


@wrong
class CachesForgotten(Stepwise):
    """The caches are taken and not passed on."""

    def through(self, x, caches):
        return super().through(x, None)


@wrong
class OneCacheForAll(Stepwise):
    """Every layer appends to the first cache."""

    def through(self, x, caches):
        return super().through(x, caches and [caches[0]] * len(self.blocks))


@wrong
class CachesReversed(Stepwise):
    """The first layer fills the last cache."""

    def through(self, x, caches):
        return super().through(x, caches and caches[::-1])


@wrong
class FirstLayerCached(Stepwise):
    """The first layer has its cache, the others have none."""

    def through(self, x, caches):
        return super().through(x, caches and [caches[0], *[None] * (len(self.blocks) - 1)])


@wrong
class LastLayerUncached(Stepwise):
    """All layers but the last have their cache."""

    def through(self, x, caches):
        return super().through(x, caches and [*caches[:-1], None])


@wrong
class ZippedWithTheRest(Stepwise):
    """`caches[1:]` in the zip: the last block finds no partner and is left out."""

    def through(self, x, caches):
        if caches is None:
            return super().through(x, None)
        for block, cache in zip(self.blocks, caches[1:], strict=False):
            x = block(x, cache)
        return x


@wrong
class CachesOfItsOwn(Stepwise):
    """New caches in every call, in place of those that came."""

    def forward(self, ids, caches=None):
        return super().forward(ids, self.new_caches(*ids.shape))


@wrong
class NewCachesInsteadOfGiven(Stepwise):
    """New caches in every call that comes with caches."""

    def forward(self, ids, caches=None):
        return super().forward(ids, None if caches is None else self.new_caches(*ids.shape))


@wrong
class KeepsTheFirstCaches(Stepwise):
    """The first caches that come serve all later calls with some."""

    first = None

    def forward(self, ids, caches=None):
        if self.first is None and caches is not None:
            self.first = list(caches)
        return super().forward(ids, None if caches is None else self.first)


@wrong
class CachesInEvaluation(Stepwise):
    """The caches are used in evaluation mode only."""

    def through(self, x, caches):
        return super().through(x, None if self.training else caches)


@wrong
class TruthOfACache(Stepwise):
    """`if cache:` takes an empty cache for none, so that it stays empty."""

    def through(self, x, caches):
        return super().through(x, caches and [cache if cache else None for cache in caches])


@wrong
class PromptNotCached(Stepwise):
    """The caches are used for single tokens only."""

    def through(self, x, caches):
        return super().through(x, caches if x.shape[1] == 1 else None)


@wrong
class LastTokenWithCaches(Stepwise):
    """With caches, all ids but the last are taken for known."""

    def forward(self, ids, caches=None):
        return super().forward(ids if caches is None else ids[:, -1:], caches)


@wrong
class WholeTextWithCaches(Stepwise):
    """With caches, ids are taken for the whole text, of which the cached part is cut off."""

    def forward(self, ids, caches=None):
        return super().forward(ids if caches is None else ids[:, len(caches[0]) :], caches)


@wrong
class LastLogitsWithCaches(Stepwise):
    """With caches, only the last position's logits come out."""

    def forward(self, ids, caches=None):
        logits = super().forward(ids, caches)
        return logits if caches is None else logits[:, -1:]


@wrong
class ReturnsTheCachesToo(Stepwise):
    """A pair of logits and caches, as older libraries return it."""

    def forward(self, ids, caches=None):
        return super().forward(ids, caches), caches


@wrong
class GradientsWithCachesOnly(Stepwise):
    """Gradients are kept with caches and off without: the two cases exchanged."""

    def forward(self, ids, caches=None):
        with torch.set_grad_enabled(torch.is_grad_enabled() and caches is not None):
            return super().forward(ids, caches)


@wrong
class EmptiesTheCaches(Stepwise):
    """A call with several tokens begins the caches anew."""

    def forward(self, ids, caches=None):
        for cache in caches or ():
            cache.used = 0 if ids.shape[1] > 1 else cache.used
        return super().forward(ids, caches)


@wrong
class CachesKept(Stepwise):
    """Without caches the model goes on with those of the call before."""

    kept = None

    def through(self, x, caches):
        self.kept = caches or self.kept
        return super().through(x, self.kept)


@wrong
class IdsOverwritten(Stepwise):
    """The caller's ids become 0 behind the embedding."""

    def forward(self, ids, caches=None):
        logits = super().forward(ids, caches)
        ids.zero_()
        return logits


@wrong
class HalfOfEachBlock(Stepwise):
    """Half of what comes out of a block, and half of what went in."""

    def hidden(self, ids, caches=None):
        x = self.embed(ids)
        for i, block in enumerate(self.blocks):
            x = (x + block(x, None if caches is None else caches[i])) / 2
        return self.norm(x)

    def forward(self, ids, caches=None):
        return self.head(self.hidden(ids, caches))
