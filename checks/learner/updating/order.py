"""The order of a merged notebook's cells, by their keys."""

from collections.abc import Collection, Hashable, Sequence

Key = Hashable  # the place in the base, or ("mine", place) and ("new", place) of what is not there


def ordered(mine: Sequence[Key], new: Sequence[Key]) -> list[Key]:
    """All keys of both: in the lesson's new order, unless the learner has reordered.

    Then it is the learner's. What only one of them has stands behind what it stood behind there.
    """
    places = [key for key in mine if isinstance(key, int)]
    if places == sorted(places):
        return woven(new, mine)
    return woven(mine, new, {key for key in mine if not isinstance(key, int)})


def woven(ground: Sequence[Key], other: Sequence[Key], clinging: Collection[Key] = ()) -> list[Key]:
    """`ground` with what only `other` has, each behind the one before it there.

    Keys that are `clinging` are not parted from what they stand behind.
    """
    keys, at = list(ground), 0
    for key in other:
        if key in keys:
            at = keys.index(key) + 1
            continue
        while at < len(keys) and keys[at] in clinging:
            at += 1
        keys.insert(at, key)
        at += 1
    return keys
