"""What is asked about a cache that returns, counts or holds something else than it should."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from checks.d3_mla.cached.cases import Cached
from checks.grading.expect import joined

TAKEN_BACK = "Does truncate take back all that says where the next append writes, as `used` does?"
_NARROW = (torch.float32, torch.bfloat16, torch.float16)

Turns = Sequence[list[Tensor]]  # the parts of each append


def _fitting(asks: dict[str, bool], otherwise: str) -> str:
    return joined([ask for ask, fits in asks.items() if fits]) or otherwise


def why_it_fits(seen: int, case: Cached) -> str:
    """The question to an append that is refused though it fits, `seen` positions with the new."""
    if seen == case.capacity:
        return "They fit: may an append fill the cache to its last row?"
    return f"They fit, {seen} of {case.capacity} with the new ones: which line refuses them?"


def why_other_shape(part: object, shape: tuple[int, int, int], case: Cached) -> str:
    """The question to a part of another shape or type that does not only count other positions."""
    if not isinstance(part, Tensor):
        return ""
    if part.ndim != 3:
        return "Do all positions so far come back, with the batch in front, also one of 1?"
    if part.shape == shape:
        return "Do the buffers take type and device of what is appended first?"
    if part.shape[:2] == shape[:2] and part.shape[2] in case.widths:
        return "Do the parts come back in the order of the widths, the first one first?"
    return ""


def why_other_positions(rows: int, seen: int, new: int, case: Cached) -> str:
    """The question where `rows` positions come back of `seen`, of which `new` are the last's."""
    asks = {
        "Does the whole buffer come back, where only its used positions are asked for?": (
            rows == case.capacity
        ),
        "Do the new positions come back alone? All so far are asked for.": rows == new,
        "Is `used` moved on by the number of positions that came, and not by 1 for each call?": (
            rows == case.appends(seen)
        ),
        "Are the positions counted once for each append, and not once for each part?": (
            rows == seen * len(case.widths)
        ),
    }
    return _fitting(
        asks,
        "Is `used` moved on once for each append, by the number of positions that came, and does "
        "all up to it come back?",
    )


def why_other_length(got: object, seen: int, new: int, case: Cached) -> str:
    """The question where len(cache) is another number than `seen`, of which `new` are the last."""
    asks = {
        "It is the capacity: does `len` say how many positions are used, and not how many there "
        "is room for?": got == case.capacity,
        "Does `len` count positions, and not calls?": got == case.appends(seen),
        "Is the number of used positions moved on by what was appended?": got == seen - new,
    }
    return _fitting(asks, "Is `used`, which len(cache) is, moved on by what was appended?")


def why_no_view(nbytes: int, case: Cached, size: int) -> str:
    """The question to a part that does not lie in a buffer of full size; `size` is a number's."""
    if nbytes < case.nbytes(size):
        return (
            f"Is a buffer made once, for all {case.capacity} positions, and not grown by "
            "`torch.cat`?"
        )
    return (
        "Does a slice of the buffer come back as it is, without clone or contiguous? Or is the "
        f"buffer not made once, for all {case.capacity} positions?"
    )


def why_other_bytes(said: int, held: int, used: int, case: Cached, size: int) -> str:
    """The question where nbytes is `said`, and what came back lies in `held` bytes."""
    want = case.nbytes(size)
    if held > want:
        rows = f"{held * case.capacity / want:.4g} positions where the capacity is {case.capacity}"
        return f"That is enough for {rows}: does a buffer hold `capacity` rows, and no more?"
    asks = {
        "Are the buffers kept in self.buffers, which `nbytes` sums?": said == 0,
        "Are bytes counted, and not numbers?": said * size == want,
        "Are all sequences of the batch counted, and not one?": said * case.batch == want,
        "Are the unused rows counted too?": said * case.capacity == want * used,
        "Are all parts counted, and not one?": said
        in {want * w // sum(case.widths) for w in case.widths},
        **{
            f"Does a number have {size} bytes here, and not {other}?": said * size == want * other
            for other in {2, 4, 8} - {size}
        },
    }
    return "The buffers are right. " + _fitting(asks, "Does `nbytes` count all of them, in bytes?")


def part_slips(
    got: Tensor, turns: Turns, i: int, when: str, changed: Turns = ()
) -> dict[str, Callable[[], Tensor]]:
    """What slips make of part i, by the question each calls for.

    `changed` is what became of the appended tensors outside, `when` what was done before.
    """
    slips = _place_slips(got, turns, i) | _source_slips(got, together(turns), i)
    if len(turns) > 1 and when.startswith("after append"):
        ask = "What the last append wrote is right, and what is before it is gone: are the "
        ask += "buffers made by the first append alone, and kept?"
        slips[ask] = partial(_last_kept, together(turns)[i], got, turns[-1][i])
    if changed:
        ask = "Is the appended tensor itself kept, and not copied into a buffer?"
        slips[ask] = lambda: together(changed)[i]
    return slips | {_default_question(when): got.detach}


def _place_slips(got: Tensor, turns: Turns, i: int) -> dict[str, Callable[[], Tensor]]:
    """The right numbers, written elsewhere."""
    first = len(turns) == 1
    early, late = "Do they stand one position too early? ", "Do they stand one position too late? "
    front = "Are the new positions written at the start, over the old ones? "
    places: dict[str, Callable[[int], int]] = {
        early: lambda used: max(used - 1, 0),
        late if first else front: lambda used: 1 if first else 0,
    }
    slips: dict[str, Callable[[], Tensor]] = {
        f"{ask}They go to `used` and on.": partial(_written, turns, i, got, place)
        for ask, place in places.items()
    }
    return slips | {"Do the new positions come last?": lambda: together(turns[::-1])[i]}


def _source_slips(got: Tensor, wants: list[Tensor], i: int) -> dict[str, Callable[[], Tensor]]:
    """At the right positions, what belongs to another sequence or part, or is rounded."""
    want, width = wants[i], got.shape[-1]
    ask = "Every sequence holds what the first one brought: is the whole batch written?"
    slips: dict[str, Callable[[], Tensor]] = {ask: lambda: want[:1].expand_as(want)}
    for other, part in enumerate(wants):
        if other != i:
            ask = f"These are the numbers of part {other}: is it used twice, or exchanged?"
            slips[ask] = partial(torch.cat, [part[..., :width], got[..., part.shape[-1] :]], dim=-1)
    for narrow in _NARROW:
        ask = f"It is rounded to {str(narrow)[6:]}: do the buffers have the type of what came?"
        slips[ask] = want.to(narrow).to(want.dtype).clone
    return slips


def together(turns: Turns) -> list[Tensor]:
    """Every part over all appends, in their order."""
    return [
        torch.cat([part.detach() for part in parts], dim=1) for parts in zip(*turns, strict=True)
    ]


def _written(turns: Turns, i: int, got: Tensor, place: Callable[[int], int]) -> Tensor:
    """Part i if each append were written from another place than `used` on; what nothing wrote is
    as it came.
    """
    made, used = got.clone(), 0
    for parts in turns:
        into = made[:, place(used) :][:, : parts[i].shape[1]]
        into.copy_(parts[i].detach()[:, : into.shape[1]])
        used += parts[i].shape[1]
    return made


def _last_kept(want: Tensor, got: Tensor, last: Tensor) -> Tensor:
    """What the last append wrote as it should be, and the rest as it came."""
    before = want.shape[1] - last.shape[1]
    return torch.cat([got[:, :before], want[:, before:]], dim=1)


def _default_question(when: str) -> str:
    """What is asked where no known slip makes the numbers, by what was done before."""
    if "truncate" in when:
        return TAKEN_BACK
    if "changed in place" in when:
        return (
            "Is what was appended copied into the cache's own buffers, number by number, and "
            "nothing of the caller's kept beside them?"
        )
    if "two caches" in when:
        return "Are the buffers made for each object, and not kept on the class or in a global?"
    if "looked at" in when:
        return "Do the positions that are there stay where they are when more come?"
    return (
        "Is each part written whole, as it came, to the rows of its own buffer from `used` on, "
        "and is what earlier appends wrote still there?"
    )
