"""What the checks of D3.1 to D3.3b ask of wrong answers in the bank."""

import pytest

from checks import CHECKS, CheckFailed
from checks.audit.bank.d3_mla.latent_cache import (
    wrong,
    wrong_capacity,
    wrong_form,
    wrong_truncate,
    wrong_views,
)


def message(id, answer) -> str:
    with pytest.raises(CheckFailed) as failed:
        CHECKS[id](answer, seed=3)
    return failed.value.message


@pytest.mark.parametrize(
    ("answer", "asks"),
    [
        (wrong.NewOnly, "Do the new positions come back alone?"),
        (wrong.CountsAppends, "and not by 1 for each call?"),
        (wrong.MovesOnForEachPart, "once for each append, and not once for each part?"),
        (wrong.LengthIsNumberOfCalls, "Does `len` count positions, and not calls?"),
        (wrong.LengthIsCapacity, "not how many there is room for?"),
        (wrong.OverTheLastRow, "one position too early? They go to `used` and on."),
        (wrong.OneRowFree, "one position too late? They go to `used` and on."),
        (wrong.BuffersMadeEachTime, "by the first append alone, and kept?"),
        (wrong.FirstPartInAll, "These are the numbers of part 0"),
        (wrong.WritesIntoOneRow, "is the whole batch written?"),
        (wrong.EmptiesTheInput, "part 0, which was appended, must not be changed"),
        (wrong_form.InHalf, "It is rounded to bfloat16"),
        (wrong_form.TypeOfTheLast, "Are they cast to each new part's type?"),
        (wrong_form.WidthBeforePositions, "one too many?"),
        (wrong_form.BytesOfUsedRows, "and not grown by `torch.cat`?"),
        (wrong_views.CopiesEverything, "without clone or contiguous? Or"),
        (wrong_truncate.ListsOfParts, "nothing of the caller's kept beside them?"),
    ],
)
def test_a_cache_is_asked_about_what_it_does_otherwise(answer, asks):
    assert asks in message("D3.2", answer)


@pytest.mark.parametrize(
    ("answer", "asks"),
    [
        (wrong_capacity.KeepsWhatFits, "and not cut, filled up or passed over?"),
        (wrong_capacity.Asserts, "got AssertionError. Is it a ValueError that is raised?"),
        (wrong_capacity.LeftToTorch, "Is that looked at before anything is written?"),
        (wrong_capacity.EmptiedByRefusal, "written or emptied by a call that is refused?"),
        (wrong_form.NumbersNotBytes, "The buffers are right. Are bytes counted, and not numbers?"),
        (wrong_form.BytesOfOneSequence, "Are all sequences of the batch counted, and not one?"),
        (wrong_form.TwoBytesANumber, "Does a number have 8 bytes here, and not 2?"),
        (wrong_form.SpareBuffers, "does a buffer hold `capacity` rows, and no more?"),
    ],
)
def test_a_cache_is_asked_how_it_refuses_and_what_it_counts(answer, asks):
    assert asks in message("D3.2", answer)


def buffers(made):
    class LatentCache(wrong.LatentCache):
        def append(self, *parts):
            self.buffers = self.buffers or made(parts)
            end = self.used + parts[0].shape[1]
            for buffer, part in zip(self.buffers, parts, strict=True):
                buffer[:, self.used : end] = part.detach()
            self.used = end
            return tuple(buffer[:, :end] for buffer in self.buffers)

    return LatentCache


def test_a_cache_without_buffers_of_its_own_is_asked_for_them():
    assert "made by the first append" in message("D3.2", buffers(lambda parts: []))
    assert "tensors of their own" in message("D3.2", buffers(list))
