"""What an answer does to the process, and what the process has set, leave each other alone."""

import pytest
import torch

from checks import CHECKS, CheckFailed
from checks.grading.printing import SHOWN
from checks.grading.seeded import seeded
from solutions import d1_moe as reference
from solutions import d4_deepseek

SETS_THE_SEED = "your code sets torch's random seed"


class SeedInConstructor(reference.TopKRouter):
    def __init__(self, d_model, num_experts, top_k):
        torch.manual_seed(0)
        super().__init__(d_model, num_experts, top_k)


class SeedInForward(reference.TopKRouter):
    def forward(self, x):
        torch.random.manual_seed(3)
        return super().forward(x)


def seed_in_generate(model, ids, max_new_tokens, **options):
    torch.manual_seed(0)
    return d4_deepseek.generate(model, ids, max_new_tokens, **options)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [("D1.1", SeedInConstructor), ("D1.1", SeedInForward), ("D4.3d", seed_in_generate)],
)
@pytest.mark.parametrize("seed", range(3))
def test_an_answer_that_sets_the_seed_is_refused(exercise, answer, seed):
    with pytest.raises(CheckFailed, match=SETS_THE_SEED):
        CHECKS[exercise](answer, seed=seed)


class DefaultTypeInConstructor(reference.ExpertArray):
    def __init__(self, *sizes):
        torch.set_default_dtype(torch.float64)
        super().__init__(*sizes)


def on_meta(experts, num_experts):
    load = reference.expert_load(experts, num_experts)
    torch.set_default_device("meta")
    return load


def on_two_threads(experts, num_experts):
    torch.set_num_threads(2)
    return reference.expert_load(experts, num_experts)


def gradients_off(experts, num_experts):
    torch.set_grad_enabled(False)
    return reference.expert_load(experts, num_experts)


@pytest.mark.parametrize(
    ("exercise", "answer", "says"),
    [
        ("D1.2", DefaultTypeInConstructor, "changes torch's default type"),
        ("D1.4a", on_meta, "changes torch's default device"),
        ("D1.4a", on_two_threads, "changes the number of torch's threads"),
        ("D1.4a", gradients_off, "turns gradients off"),
    ],
)
def test_an_answer_that_changes_torch_for_all_is_refused_and_nothing_stays_changed(
    exercise, answer, says
):
    with pytest.raises(CheckFailed, match=says):
        CHECKS[exercise](answer, seed=0)
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
    assert torch.get_default_device().type == "cpu"


def test_a_generator_of_its_own_sets_no_seed():
    def expert_load(experts, num_experts):
        torch.Generator().manual_seed(0)
        return reference.expert_load(experts, num_experts)

    assert CHECKS["D1.4a"](expert_load, seed=0).passed


def test_seeded_draws_are_the_same_and_leave_the_others():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with seeded(1):
        first = torch.rand(3)
    with seeded(1):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.get_rng_state(), before) and torch.initial_seed() == 7


@pytest.mark.parametrize("exercise", ["D1.5", "D2.3d", "D3.3e"])
def test_autocast_in_force_changes_no_verdict_and_stays(exercise):
    check = CHECKS[exercise]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert check(check.reference_answer, seed=1).passed
        assert torch.is_autocast_enabled("cpu")


def test_coarse_products_change_no_verdict_and_stay():
    torch.set_float32_matmul_precision("medium")
    try:
        assert CHECKS["D1.5"](reference.MoELayer, seed=1).passed
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def noisy(lines: int):
    def expert_load(experts, num_experts):
        for i in range(lines):
            print("line", i)
        return reference.expert_load(experts, num_experts)

    return expert_load


def test_what_an_answer_prints_is_shown_in_part(capsys):
    assert CHECKS["D1.4a"](noisy(1000), seed=0).passed
    lines = capsys.readouterr().out.splitlines()
    assert lines[:SHOWN] == [f"line {i}" for i in range(SHOWN)]
    assert len(lines) == SHOWN + 1
    assert lines[-1].startswith("… your code printed ") and lines[-1].endswith(" more lines")


def test_a_failure_shows_them_in_part_too(capsys):
    def expert_load(experts, num_experts):
        print("seen\n" * 50)

    with pytest.raises(CheckFailed):
        CHECKS["D1.4a"](expert_load, seed=0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:SHOWN] == ["seen"] * SHOWN and lines[SHOWN].startswith("… your code printed ")


def test_a_word_or_two_are_shown_whole(capsys):
    def expert_load(experts, num_experts):
        print("shape", end=" ")
        return None

    with pytest.raises(CheckFailed):
        CHECKS["D1.4a"](expert_load, seed=0)
    assert capsys.readouterr().out == "shape "
