"""The lessons' open tasks: each has a check, a measure of its own, and no place among exercises."""

from dataclasses import replace

import pytest
import torch

import checks
from checks import CHECKS, OPEN_TASKS
from checks.audit.audit import stub_of
from checks.d4_deepseek import my_config
from checks.learner.measured import SECONDS, Measure
from checks.learner.open_tasks import d1_moe, d2_deepseek_moe, d3_mla, d4_deepseek
from checks.learner_files import paths
from helpers.data.story_rows import StoryRows
from helpers.measuring.conversion import attention_inputs
from helpers.model.llama import Decoder, SwiGLU
from solutions.d3_mla import yarn_frequencies
from solutions.d4_deepseek import count_parameters
from tests.studies.d4_seeds import SMALL


def measure_of_small_caches() -> Measure:
    """D3's measure on two layers of width 16, which were never trained."""
    torch.manual_seed(0)
    model = Decoder(50, 16, 2, 2, lambda: SwiGLU(16, 32))
    fit, held = (attention_inputs(model, torch.randint(50, (8, 12))) for _ in range(2))
    return d3_mla.cache_measure(model, fit, held)


MEASURES = {
    "D1.O1": d1_moe.measure_dispatch,
    "D2.O1": d2_deepseek_moe.measure_steering,
    "D3.O1": measure_of_small_caches(),
    "D4.O1": d4_deepseek.config_measure(StoryRows.build(count=300, held_out=20)),
}
TASKS = {check.id: check for tasks in OPEN_TASKS.values() for check in tasks}

every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)


def test_every_open_task_has_a_measure() -> None:
    assert MEASURES.keys() == TASKS.keys()


@every_measure
def test_a_measure_asks_its_tasks_check_and_takes_at_most_90_seconds(measure: Measure) -> None:
    assert measure.check is TASKS[measure.exercise]
    assert measure.seconds <= SECONDS == 90


@every_measure
def test_an_unwritten_answer_is_one_sentence_and_no_figure(measure: Measure, capsys) -> None:
    stub = stub_of(TASKS[measure.exercise])
    assert measure(stub).value is None
    told = f"{measure.exercise} {measure.title}: no figure, because it is not written yet.\n"
    assert capsys.readouterr().out == told


def test_open_tasks_are_no_exercises_and_count_nowhere(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(paths, "WORK", tmp_path)
    assert not CHECKS.keys() & TASKS.keys()
    board = checks.progress().text
    assert board.startswith("0 of 14 subtasks done")
    assert [check.name for check in TASKS.values() if check.name in board] == []


def test_the_board_shows_the_best_figure_of_an_open_task_and_the_check_of_none(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(paths, "WORK", tmp_path)
    monkeypatch.chdir(tmp_path)
    task = TASKS["D1.O1"]
    assert task(task.reference_answer).passed
    assert "D1.O1" not in checks.progress().text
    figure = d1_moe.measure_dispatch(task.reference_answer)
    assert 0 < figure.value == figure.best
    assert "Open tasks, best so far\n    D1.O1 the fastest dispatch: " in checks.progress().text
    assert checks.progress().text.startswith("0 of 14 subtasks done")


@pytest.mark.parametrize("stem", OPEN_TASKS)
def test_every_answer_of_an_open_task_is_the_reference_of_a_module_of_its_own(stem) -> None:
    """So carrying and exporting, which run the modules of exercises, never meet it."""
    exercises = {check.reference_answer.__module__ for check in checks.LESSONS[stem]}
    assert not exercises & {check.reference_answer.__module__ for check in OPEN_TASKS[stem]}


# D1: the fastest dispatch


def test_d1_is_measured_at_the_sizes_that_the_lesson_states() -> None:
    sizes = d1_moe.SIZES
    wanted = (1024, 64, 2, 32)
    assert (sizes.tokens, sizes.num_experts, sizes.top_k, sizes.expert_dim) == wanted
    assert sizes.dtype == torch.float32
    rows = sizes.routing()[1].numel() / sizes.num_experts
    assert rows == 32


def test_d1_an_answer_that_is_wrong_at_these_sizes_has_no_figure(capsys) -> None:
    task = TASKS["D1.O1"]

    def fast_dispatch(x, gates, experts, expert_array):
        y = task.reference_answer(x, gates, experts, expert_array)
        return y * 1.1 if len(expert_array) == 64 else y

    assert d1_moe.measure_dispatch(fast_dispatch).value is None
    assert "on 1,024 tokens and 64 experts it returns other numbers" in capsys.readouterr().out


def test_d1_beside_prints_a_row_for_each_answer_and_keeps_none(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(paths, "WORK", tmp_path)
    monkeypatch.chdir(tmp_path)
    task = TASKS["D1.O1"]
    d1_moe.measure_dispatch.beside({"own": task.reference_answer, "none": lambda *inputs: None})
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("own ") and first.endswith(" of the expert loop's time")
    assert (
        second.startswith("none ")
        and "no figure, because fast_dispatch does not pass its check: " in second
    )
    assert list(tmp_path.iterdir()) == []


# D2: the most even load


@pytest.fixture
def no_training(monkeypatch):
    """Models that are not trained: who steers by what the test says of its loss and CV."""
    found = {}
    monkeypatch.setattr(d2_deepseek_moe, "trained", lambda steer, seed: found[steer](seed))
    found[d2_deepseek_moe.unsteered] = lambda seed: (2.0 + seed, 1.0)
    d2_deepseek_moe._unsteered_losses.cache_clear()
    yield found
    d2_deepseek_moe._unsteered_losses.cache_clear()


def test_d2_the_figure_is_the_mean_over_seeds(no_training) -> None:
    steer = TASKS["D2.O1"].reference_answer
    no_training[steer] = lambda seed: (2.0 + seed, 0.1 + 0.2 * seed)
    assert d2_deepseek_moe.measure_steering(steer).value == pytest.approx(0.2)


@pytest.mark.parametrize(("risen", "counts"), [(0.019, True), (0.022, False), (-0.3, True)])
def test_d2_a_loss_that_rises_by_more_than_is_allowed_has_no_figure(
    no_training, capsys, risen, counts
) -> None:
    steer = TASKS["D2.O1"].reference_answer
    no_training[steer] = lambda seed: (2.0 + seed + 2 * risen * seed, 0.1)
    assert (d2_deepseek_moe.measure_steering(steer).value is not None) == counts
    told = f"its loss is {risen:.3f} above that of nobody steering, and 0.02 is allowed"
    assert (told in capsys.readouterr().out) != counts


def test_d2_a_model_is_steered_in_every_layer_and_batch(monkeypatch) -> None:
    monkeypatch.setattr(d2_deepseek_moe, "BATCHES", 2)
    seen = []

    def steer(bias, load, batch):
        seen.append((batch, int(load.sum())))
        return bias

    loss, cv = d2_deepseek_moe.trained(steer, 0)
    assert seen == [(0, 2048), (0, 2048), (1, 2048), (1, 2048)]
    assert loss > 0 and cv > 0


def test_d2_what_the_lesson_states_is_so() -> None:
    assert (len(d2_deepseek_moe.SEEDS), d2_deepseek_moe.BATCHES) == (2, 100)
    assert d2_deepseek_moe.ALLOWED == 0.02
    load = torch.tensor([0, 3, 4, 5])
    missing = (1 - 4 * load / load.sum()).tolist()
    assert missing == pytest.approx([1, 0, -1 / 3, -2 / 3])


# D3: the smallest cache


class KeepsAll:
    """A cache that keeps the activation itself: exact, 16 numbers of four bytes."""

    def __init__(self, W_K, W_V, activations):
        self.weights = W_K, W_V

    def keep(self, x):
        return (x,)

    def expand(self, x):
        return [x @ weight.T for weight in self.weights]


def unchecked() -> Measure:
    return replace(MEASURES["D3.O1"], check=None)


def test_d3_the_figure_is_the_bytes_that_a_token_takes_in_a_layer() -> None:
    class OneByteMore(KeepsAll):
        def keep(self, x):
            return x, torch.zeros(len(x), 1, dtype=torch.int8)

        def expand(self, x, nothing):
            return super().expand(x)

    assert unchecked()(KeepsAll).value == 16 * 4
    assert unchecked()(OneByteMore).value == 16 * 4 + 1


def test_d3_a_cache_that_changes_the_output_has_no_figure(capsys) -> None:
    class NoValues(KeepsAll):
        def expand(self, x):
            keys, values = super().expand(x)
            return keys, 0 * values

    assert unchecked()(NoValues).value is None
    why = "layer 1 has a cosine of 0.000, below 0.98"
    assert f"no figure, because {why}." in capsys.readouterr().out


def test_d3_what_keep_leaves_in_the_object_helps_nobody(capsys) -> None:
    class Remembers(KeepsAll):
        seen = None

        def keep(self, x):
            self.seen = x
            return (torch.zeros(len(x), 1, dtype=torch.int8),)

        def expand(self, nothing):
            return super().expand(self.seen)

    assert unchecked()(Remembers).value is None
    assert "no figure, because it raised TypeError" in capsys.readouterr().out


def test_d3_what_the_lesson_states_is_so() -> None:
    kept = torch.zeros(64)
    assert [part.nbytes for part in (kept, kept.bfloat16(), kept.char())] == [256, 128, 64]
    digit = torch.tensor(0.73 / 0.1).round().to(torch.int8)
    assert (digit.item(), float(digit * 0.1)) == (7, pytest.approx(0.7))
    limits = torch.iinfo(torch.int8)
    assert (limits.min, limits.max) == (-128, 127)
    assert d3_mla.ASKED == 0.98
    assert 2 * torch.zeros(256, dtype=torch.bfloat16).nbytes == 1024


# D4: the best model of a budget


@pytest.fixture
def short(monkeypatch) -> Measure:
    """D4's measure with two steps in place of all."""
    monkeypatch.setattr(d4_deepseek, "STEPS", 2)
    return MEASURES["D4.O1"]


def tiny(vocab_size: int, **changed):
    sizes = {"d_model": 16, "num_layers": 1, "d_head": 4, "d_rope": 2, "expert_dim": 8}
    return replace(SMALL, vocab_size=vocab_size, **sizes | changed)


def test_d4_the_figure_is_that_of_a_training_which_is_the_same_each_time(short) -> None:
    first, other, again = (short(make).value for make in (tiny, wide_tiny, tiny))
    assert 0 < first == again != other


def wide_tiny(vocab_size: int):
    return tiny(vocab_size, expert_dim=9)


def test_d4_a_configuration_above_the_budget_has_no_figure(short, capsys) -> None:
    def larger(vocab_size):
        return replace(SMALL, vocab_size=vocab_size, num_experts=9)

    assert short(larger).value is None
    assert "at most 690,240 parameters, as of `small`, and uses 690,624" in capsys.readouterr().out


def test_d4_what_the_lesson_states_is_so() -> None:
    assert SMALL.vocab_size == my_config.VOCABULARY
    assert my_config.BUDGET == count_parameters(SMALL)[1] == 690_240
    assert my_config.MOST == 20_000_000
    narrow = replace(SMALL, expert_dim=32)
    of_a_layer = [
        count_parameters(replace(config, num_layers=4))[1] - count_parameters(config)[1]
        for config in (SMALL, narrow)
    ]
    assert of_a_layer == [142_656, 105_792]
    assert 3 * 3 * SMALL.d_model * SMALL.expert_dim == 73_728
    assert (4 * 105_792, 3 * 142_656) == (423_168, 427_968)


def test_d4_the_reference_sharpens_scores_and_leaves_the_angles() -> None:
    """As its comment and the last hint say."""
    config = TASKS["D4.O1"].reference_answer(1024).stretched(yarn_frequencies)
    assert config.yarn.scale == pytest.approx(2, rel=0.01)
    plain = config.theta ** (-torch.arange(0, config.d_rope, 2) / config.d_rope)
    torch.testing.assert_close(config.angles.float(), plain)
