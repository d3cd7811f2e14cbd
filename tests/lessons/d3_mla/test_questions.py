"""What the checks of D3.1 to D3.3b ask of wrong answers in the bank."""

import pytest
import torch
from torch import nn

from checks import CHECKS, CheckFailed
from checks.audit.bank.d3_mla.joint_latent import wrong as joint
from checks.audit.bank.d3_mla.latent_cache import (
    wrong,
    wrong_capacity,
    wrong_form,
    wrong_truncate,
    wrong_views,
)
from checks.audit.bank.d3_mla.latent_projections import wrong as projections
from checks.audit.bank.d3_mla.latent_projections import wrong_constructor
from checks.audit.bank.d3_mla.query_path import wrong as queries
from checks.audit.bank.d3_mla.query_path import wrong_rotation as rotation
from checks.audit.bank.d3_mla.query_path import wrong_settings as settings
from checks.d3_mla.slips.common import dropped, in_each_mode
from checks.grading.expect import require
from checks.grading.result import Wrong


def message(id, answer) -> str:
    with pytest.raises(CheckFailed) as failed:
        CHECKS[id](answer, seed=3)
    return failed.value.message


@pytest.mark.parametrize(
    ("answer", "asks"),
    [
        (projections.ValuesUpFirst, "Do the keys come back first, and then the values?"),
        (projections.Activated, "Is there an activation on the latent?"),
        (projections.ActivatedBeforeUp, "Is there an activation on the latent?"),
        (projections.Normed, "It is cached as the projection makes it."),
        (projections.NormedBeforeUp, "It is expanded as it came."),
        (projections.DroppedOut, "Some numbers are 0, and the others 1.43 times"),
        (projections.Summed, "Is it the sum of both?"),
        (projections.ViewedHeadsFirst, "Is the last dimension alone cut (unflatten, view)"),
    ],
)
def test_projections_are_asked_about_what_they_do_otherwise(answer, asks):
    assert asks in message("D3.1", answer)


def test_a_name_that_holds_no_layer_is_told_from_one_that_is_missing():
    class LatentProjections(projections.LatentProjections):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            self.k_up = self.made()

        def made(self):
            return nn.Sequential(nn.Linear(3, 3, bias=False))

    class Classed(LatentProjections):
        def made(self):
            del self.k_up
            return nn.Linear

    class Missing(LatentProjections):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            del self.k_up

    said = message("D3.1", LatentProjections)
    assert "self.k_up is there, and is a Sequential: is it the nn.Linear itself" in said
    assert "self.k_up is there, and is the class Linear" in message("D3.1", Classed)
    assert "Has the module that holds it this name" in message("D3.1", Missing)


def test_a_size_that_is_no_whole_number_is_asked_about():
    class LatentProjections(projections.LatentProjections):
        def __init__(self, d_model, d_latent, num_heads, d_head):
            super().__init__(d_model, d_latent, num_heads, d_head)
            self.k_up = nn.Linear(d_latent, num_heads / d_head, bias=False)

    assert "made with `/`, which gives a float?" in message("D3.1", LatentProjections)


def test_a_case_in_evaluation_mode_says_so():
    with pytest.raises(CheckFailed) as failed:
        CHECKS["D3.1"](wrong_constructor.HalvedInEvaluation, seed=3)
    assert "evaluation mode" in failed.value.lines[-1]


def test_a_slip_of_one_mode_names_it():
    layer = nn.Linear(1, 1)
    with pytest.raises(Wrong, match=r"only in evaluation mode .*: no"):
        in_each_mode(layer, lambda: require(layer.training, "no"))
    with pytest.raises(Wrong, match=r"^no\.$"):
        in_each_mode(layer, lambda: require(False, "no"))


def test_zeros_are_a_dropout_only_where_the_rest_is_larger():
    want = torch.arange(1.0, 7.0, dtype=torch.float64)
    kept = torch.tensor([0, 1, 1, 0, 1, 1])
    assert list(dropped(2 * want * kept, want)) and not dropped(want * kept, want)


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
        (wrong_form.WidthBeforePositions, "in each other's place?"),
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


@pytest.mark.parametrize(
    ("answer", "asks"),
    [
        (queries.NormOverSequence, "and not one for all positions?"),
        (queries.NormToLengthOne, "RMSNorm divides by the root of the mean square."),
        (queries.NormAfterUp, "Is each head's query normed?"),
        (queries.NormWithoutLatent, "Is x normed? Without q_latent there is no norm."),
        (queries.ScaledInTraining, "only in evaluation mode"),
        (queries.ScaleIgnored, "multiplied by scale, without q_latent too?"),
        (queries.RotaryOfFirstHead, "does each take its own rows of q_up?"),
        (rotation.WidthOfWholeHead, "and not the width of a whole head?"),
        (rotation.PositionsRunOn, "Do the positions begin anew in each sequence?"),
        (rotation.OneAngle, "Has each pair its own angle, and not pair 0's?"),
        (settings.TableOf64Positions, "is a table made for a fixed number of positions?"),
        (rotation.StartForAll, "Or do all positions get the turn of position 0"),
    ],
)
def test_queries_are_asked_about_what_they_do_otherwise(answer, asks):
    assert asks in message("D3.3a", answer)


@pytest.mark.parametrize(
    ("answer", "asks"),
    [
        (joint.NormOverSequence, "and not one for all positions?"),
        (joint.OneHeadForAll, "does each take its own rows of kv_up?"),
        (joint.ValuesFromKeyRows, "Does the value begin where the key ends"),
        (joint.PartsExchanged, "is d_value: do the keys come first, and then the values?"),
        (joint.CutInHalf, "That is half of a head's rows"),
    ],
)
def test_a_joint_latent_is_asked_about_what_it_does_otherwise(answer, asks):
    assert asks in message("D3.3b", answer)
