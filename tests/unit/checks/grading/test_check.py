"""What a check says in every state, and that its ladder, borrowing and replay hold."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import checks.grading.check
from checks import CHECKS, Check, CheckFailed
from checks.audit import audit
from checks.grading.comparison import Comparison
from checks.grading.expect import asking, require
from checks.grading.stage_run import StageRun
from checks.grading.stages import untouched
from helpers import solution_markers
from helpers.model.llama import rotate
from solutions import d1_moe as reference


def failure(check, answer, **kind) -> CheckFailed:
    with pytest.raises(CheckFailed) as failed:
        check(answer, **kind)
    return failed.value


def small_check(stages, **kind) -> Check:
    """A check of a function of one number, drawn from the seed."""
    return Check(
        id="D9.9",
        name="double",
        reference_answer=lambda number: 2 * number,
        draw=lambda rng: [rng.randint(10, 10**6) for _ in range(3)],
        stages=stages,
        hints=("What is twice?", "Look at number.", "Return 2 * number."),
        **kind,
    )


def is_double(answer, case):
    require(answer(case) == 2 * case, f"double({case}) must be {2 * case}", "Is it twice?")


def is_whole(answer, case):
    require(isinstance(answer(case), int), "double must be whole")


DOUBLE = small_check({"whole": is_whole, "twice": is_double})


def plain(lines: list[str]) -> str:
    return re.sub(r"\x1b\[\d+m", "", "\n".join(lines))


def test_an_argument_changed_in_place_is_told_before_the_second_call():
    def use(answer, case):
        x = torch.ones(3)
        return lambda: answer(x), lambda: {"x": x}

    def changes(x):
        return x.mul_(2).clone()

    failed = failure(small_check({"untouched": untouched(use)}), changes)
    assert failed.message.startswith("x must not be changed, and it was")


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (torch.ones(5, 2), "Rows of 3 numbers come where rows of 5 are read"),
        (torch.ones(3, 2).bfloat16(), "turned into another type on its way"),
    ],
)
def test_an_error_of_torchs_is_asked_about_in_other_words(second, said):
    failed = failure(DOUBLE, lambda number: torch.ones(4, 3) @ second)
    assert said in " ".join(failed.lines)


def test_sizes_that_do_not_fit_are_asked_about():
    failed = failure(DOUBLE, lambda number: torch.ones(4, 3) + torch.ones(4, 2))
    assert "Along dimension 1 one has 3 and the other 2" in " ".join(failed.lines)


def test_the_helper_that_refuses_is_named_with_its_arguments():
    failed = failure(DOUBLE, lambda number: rotate(torch.ones(2, 1, 3)))
    assert "inside rotate(x, start, theta, angles)" in failed.message


def test_a_module_without_forward_is_not_called_unwritten():
    class TopKRouter(nn.Module):
        def __init__(self, d_model, num_experts, top_k):
            super().__init__()

    failed = failure(CHECKS["D1.1"], TopKRouter)
    assert failed.state == "wrong"
    assert 'missing the required "forward" function' in failed.message


def test_a_helper_that_is_not_written_is_named_with_its_line():
    def unwritten():
        raise NotImplementedError("later")

    failed = failure(DOUBLE, lambda number: unwritten())
    assert failed.state == "raised"
    assert failed.message == "your code raised NotImplementedError: later"
    assert 'in unwritten: raise NotImplementedError("later")' in failed.lines[0]


def test_a_name_of_another_cell_is_asked_for():
    failed = failure(DOUBLE, lambda number: expert_load(number))
    assert "Is there a cell that defines `expert_load`, and has it run?" in failed.lines


# Wrong


def test_the_first_stage_that_fails_is_told_and_later_ones_are_not_run():
    failed = failure(DOUBLE, lambda number: number, seed=3)
    assert (failed.state, failed.stage) == ("wrong", "twice")
    case = failed.details["case"]
    assert failed.details == {"seed": 3, "case": case}
    head, message, where, again = plain(failed._render_traceback_()).splitlines()
    assert head == "✗ D9.9 double · twice"
    assert message == f"  double({case}) must be {2 * case}. Is it twice?"
    assert where.replace("\N{NO-BREAK SPACE}", " ") == "  ✓ whole · ✗ twice"
    assert again == f"  {case} · seed=3 reproduces this case"
    assert str(failed) == f"D9.9 double: {failed.message}"

    failed = failure(DOUBLE, lambda number: 0.5, seed=3)
    assert failed.lines[:2] == ("✗ whole", "not run: twice")


def test_a_seed_replays_a_failure():
    drawn = failure(DOUBLE, lambda number: number)
    seed = drawn.details["seed"]
    assert f"seed={seed}" in plain(drawn._render_traceback_())
    again = failure(DOUBLE, lambda number: number, seed=seed)
    assert again.message == drawn.message and again.details == drawn.details
    assert failure(DOUBLE, lambda number: number, seed=seed + 1).message != drawn.message


def test_every_run_draws_anew():
    seeds = {DOUBLE(lambda number: number + number).details["seed"] for _ in range(5)}
    assert len(seeds) > 1


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "1", True])
def test_a_seed_that_is_none_is_refused_in_one_sentence(seed):
    with pytest.raises(ValueError, match=r"seed must be a whole number from 0 to 2\*\*32 - 1, got"):
        DOUBLE(lambda number: number, seed=seed)


# Raised


def test_an_exception_is_shown_with_the_learners_own_line():
    def double(number):
        return {"a": number}["b"]

    failed = failure(DOUBLE, double)
    assert (failed.state, failed.stage) == ("raised", "whole")
    assert failed.message == "your code raised KeyError: 'b'"
    assert re.fullmatch(r'line \d+, in double: return \{"a": number\}\["b"\]', failed.lines[0])


def test_an_exception_inside_torch_is_shown_with_the_line_that_called_it():
    def double(number):
        return torch.ones(2, 3) @ torch.ones(2, 3)

    failed = failure(DOUBLE, double)
    assert failed.message.startswith("your code raised RuntimeError: mat1 and mat2 shapes")
    assert failed.lines[0].endswith("in double: return torch.ones(2, 3) @ torch.ones(2, 3)")


def asks_about_keys(answer, case):
    with asking("Is there such a key?", "^KeyError"):
        answer(case)


def test_a_stage_asks_about_what_the_answer_raises_where_its_pattern_fits():
    def double(number):
        return {"a": number}["b"]

    def other(number):
        return [number][1]

    check = small_check({"whole": asks_about_keys})
    failed = failure(check, double)
    assert failed.state == "raised"
    assert failed.message == "your code raised KeyError: 'b'. Is there such a key?"
    assert failed.lines[0].endswith('in double: return {"a": number}["b"]')
    assert failure(check, other).message == "your code raised IndexError: list index out of range"


# Needs


def namespace(**parts) -> dict:
    """The names of a notebook in which MoELayer is defined as in the reference."""
    names = dict(vars(reference), __name__="notebook", **parts)
    text = Path(reference.__file__).read_text(encoding="utf-8")
    exec(solution_markers.source_of(text, "MoELayer"), names)
    return names


def test_an_earlier_part_that_does_not_pass_is_to_be_mended_first():
    class TopKRouter(reference.TopKRouter):
        def forward(self, x):
            gates, experts = super().forward(x)
            return gates[:, :1], experts[:, :1]

    failed = failure(CHECKS["D1.5"], namespace(TopKRouter=TopKRouter)["MoELayer"])
    assert failed.message.startswith("D1.1 TopKRouter does not pass yet: gates must be a ")
    assert failed.lines == ("Mend D1.1 first: MoELayer is built from it.",)
    assert failed.stage is not None and "seed" in failed.details


def test_an_earlier_part_that_is_not_written_is_to_be_written_first():
    stub = audit.stub_of(CHECKS["D1.3"])
    failed = failure(CHECKS["D1.5"], namespace(dispatch_combine=stub)["MoELayer"])
    assert failed.state == "raised"
    assert failed.message == "D1.3 dispatch_combine is not written yet."
    assert failed.lines == ("Write D1.3 first: MoELayer is built from it.",)


def test_a_layer_that_is_wrong_by_itself_is_told_its_own_mistake():
    class Added(reference.MoELayer):
        def forward(self, x):
            return x + super().forward(x)

    failed = failure(CHECKS["D1.5"], Added)
    assert "The residual is the block's work." in failed.message


def test_a_part_the_answer_does_not_use_is_not_asked_for():
    def sorted_dispatch(x, gates, experts, expert_array):
        return x

    broken = {"expert_load": lambda experts, num_experts: None}
    sorted_dispatch = type(sorted_dispatch)(sorted_dispatch.__code__, broken)
    assert "D1.4a" not in failure(CHECKS["D1.I1"], sorted_dispatch).message


def test_a_mended_part_is_seen_at_once():
    names = namespace(dispatch_combine=lambda *parts: parts[0])
    assert "Mend D1.3 first" in failure(CHECKS["D1.5"], names["MoELayer"]).lines[0]
    names["dispatch_combine"] = reference.dispatch_combine
    assert CHECKS["D1.5"](names["MoELayer"]).passed


@pytest.mark.parametrize("level", [0, 4, True, "1", 1.0])
def test_a_level_that_is_none_is_refused_in_one_sentence(level):
    with pytest.raises(ValueError, match="level must be 1, 2 or 3, got"):
        DOUBLE.hint(level)


def test_compare_tells_the_largest_difference():
    numbers = torch.tensor([1.0, 2.0, 3.0])
    compared = Comparison(inputs=lambda: (numbers,), run=lambda double, inputs: double(*inputs))
    check = small_check({"twice": is_double}, compared=compared)
    shown = check.compare(lambda number: 2 * number + 0.5 * (torch.as_tensor(number) == 3))
    assert shown.sentence.startswith("largest difference 5.0e-01 · ")


def test_compare_shows_the_lines_that_differ_without_docstrings():
    def expert_load(experts, num_experts):
        """Counts."""
        flat = experts.flatten()
        return torch.bincount(flat, minlength=num_experts)

    shown = CHECKS["D1.4a"].compare(expert_load)
    text, page = repr(shown), shown._repr_html_()
    assert "--- yours\n+++ reference" in text
    assert "-    flat = experts.flatten()" in text.replace("+", "-") and "Counts" not in text
    assert "flat = experts.flatten()</span>" in page and "<table>" not in page


def test_compare_says_where_weights_do_not_fit():
    class OtherNames(nn.Module):
        def __init__(self, d_model, num_experts, top_k):
            super().__init__()
            self.top_k, self.weight = top_k, nn.Parameter(torch.randn(num_experts, d_model))

        def forward(self, x):
            gates, experts = (x @ self.weight.T).topk(self.top_k)
            return gates.softmax(-1), experts

    compared = CHECKS["D1.1"].compare(OtherNames)
    assert compared.sentence == (
        "The reference's weights do not fit yours (weight), so only the sources compare."
    )
    assert "class OtherNames" in compared.yours


def test_compare_tells_of_an_answer_that_fails_on_larger_inputs():
    def segment_tokens(x, num_segments):
        if len(x) > 500:
            raise MemoryError("too many")
        if x.shape[1] % num_segments:
            raise ValueError
        return x.reshape(-1, x.shape[1] // num_segments)

    with pytest.raises(CheckFailed) as failed:
        CHECKS["D2.2a"].compare(segment_tokens)
    assert failed.value.message == "your code raised MemoryError: too many"
    assert failed.value.stage == "compare"


def test_compare_stops_an_answer_that_takes_too_long(monkeypatch):
    monkeypatch.setattr(checks.grading.check, "COMPARE_SECONDS", 0.2)

    def expert_load(experts, num_experts):
        while len(experts) > 1000:
            pass
        return reference.expert_load(experts, num_experts)

    with pytest.raises(CheckFailed) as failed:
        CHECKS["D1.4a"].compare(expert_load)
    assert failed.value.state == "stopped"


def test_a_check_introduces_itself():
    assert repr(DOUBLE) == "check of D9.9 double: call it with your double"


def test_a_stage_run_passes_in_silence():
    stage_run = StageRun("D9.9", "double", ("twice",), "twice", is_double, lambda n: 2 * n, 4, 0)
    assert stage_run.run(5.0) is None


def test_a_stage_run_puts_torchs_random_state_back():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    drawn = StageRun("D9.9", "double", ("draws",), "draws", lambda *_: torch.rand(3), None, 4, 0)
    drawn.run(5.0)
    assert torch.equal(torch.get_rng_state(), before)
