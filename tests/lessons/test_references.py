"""Every check of a lesson: with its reference, its stub, its hints and `compare`."""

import random
import re

import pytest
import torch

from checks import CHECKS, CheckFailed, CheckResult
from checks.audit import audit

EVERY = pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)


@EVERY
def test_the_reference_passes_and_shows_the_same_on_every_run(check):
    seeds = range(3, 5 if check.id.startswith("D4") else 8)  # the audit has 0 to 2
    results = [check(check.reference_answer, seed=seed) for seed in seeds]
    for seed, result in zip(seeds, results, strict=True):
        assert isinstance(result, CheckResult)
        assert result.passed and result.state == "passed" and not result.borrowed
        assert result.details["seed"] == seed and result.details["seconds"] > 0
    first, second = results[:2]
    assert repr(first) == repr(second)
    assert first._repr_html_() == second._repr_html_()
    assert f"{check.id} {check.name}: passed" in repr(first)
    assert all(stage in repr(first) for stage in check.stages)


# Modes of either kind do not touch each other, so that a run can be in one of each.
MODES = {
    "float32 on meta without gradients": (torch.float32, "meta", torch.no_grad),
    "float64 in inference mode": (torch.float64, "cpu", torch.inference_mode),
}


def state_of_torch() -> tuple:
    modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    defaults = torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()
    return *modes, *defaults, torch.get_rng_state().tolist()


@EVERY
@pytest.mark.parametrize(("dtype", "device", "mode"), MODES.values(), ids=MODES)
def test_the_notebooks_own_modes_do_not_matter_and_stay(check, dtype, device, mode):
    kept = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with mode(), torch.device(device):
            before = state_of_torch()
            assert check(check.reference_answer, seed=1).passed
            assert state_of_torch() == before
    finally:
        torch.set_default_dtype(kept)


@EVERY
def test_the_stub_is_not_written_yet_and_says_so_in_one_line(check):
    with pytest.raises(CheckFailed) as stopped:
        check(audit.stub_of(check))
    failed = stopped.value
    assert failed.state == "unwritten" and not failed.passed
    assert failed._render_traceback_() == [f"{check.id} {check.name}: not written yet."]
    assert str(failed) == f"{check.id} {check.name}: not written yet."


@EVERY
def test_cases_follow_from_the_seed_alone(check):
    first, second, other = (
        [str(case) for case in check.draw(random.Random(seed))] for seed in (4, 4, 5)
    )
    assert first == second != other


@EVERY
def test_there_are_three_levels_of_hints(check):
    assert len(set(check.hints)) == 3
    check._level = 0
    shown = [check.hint().text for _ in range(4)]
    for level, text in zip((1, 2, 3, 3), shown, strict=True):
        assert text.startswith(f"{check.id} hint {level} of 3 (")
        assert text.endswith(check.hints[level - 1])
    assert check.hint(1).text == shown[0] and check.hint().text == shown[1]
    check._level = 0


@EVERY
def test_the_reference_is_lent_and_its_source_shown(check):
    assert check.reference() is check.reference_answer
    source = check.solution().text
    assert re.search(rf"^(class|def) {check.name}\b", source, re.MULTILINE)
    assert "SOLUTION" not in source and "NotImplementedError" not in source


@EVERY
def test_compare_shows_difference_time_and_both_sources(check):
    compared = check.compare(check.reference_answer)
    pattern = r"largest difference 0\.0e\+00 · your time is \d+\.\d\d of the reference's"
    assert re.fullmatch(pattern, compared.sentence)
    assert compared.yours == compared.reference == check.solution().text
    assert repr(compared).endswith("The sources are the same.")


@EVERY
def test_compare_refuses_an_answer_that_does_not_pass(check):
    with pytest.raises(CheckFailed) as failed:
        check.compare(audit.stub_of(check))
    assert failed.value.state == "unwritten"
