"""A model of stories: rows, a run that goes on where it stopped, what is measured and shown."""

import math

import matplotlib.pyplot as plt
import pytest
import torch

from helpers.data.story_rows import StoryRows
from helpers.measuring.memory import activation_bytes, standard_cache_bytes, weight_bytes
from helpers.measuring.story_measures import (
    bigram_loss,
    held_out,
    names_told,
    sample_stories,
    story_scores,
)
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.plots.story_box import StoryBox, show_experts
from helpers.plots.story_plots import plot_memory, plot_story_curves
from helpers.training_loops.story_run import StoryRun
from solutions.d4_deepseek import DeepSeek, generate, train

SMALL = {
    "num_layers": 2,
    "d_model": 16,
    "num_heads": 2,
    "d_head": 8,
    "d_latent": 8,
    "d_rope": 4,
    "num_experts": 4,
    "top_k": 2,
    "expert_dim": 8,
    "num_shared": 1,
}


@pytest.fixture(scope="module")
def rows() -> StoryRows:
    return StoryRows.build(count=120, held_out=20, vocab_size=400)


def new_model(rows: StoryRows) -> DeepSeek:
    torch.manual_seed(0)
    return DeepSeek(DeepSeekConfig(vocab_size=rows.vocab_size, **SMALL))


def test_a_row_is_one_story_between_two_end_marks(rows: StoryRows) -> None:
    assert rows.texts(rows.ids[:5]) == [story.text for story in rows.train[:5]]
    assert rows.texts(rows.held_ids) == [story.text for story in rows.held]
    assert not {story.text for story in rows.train} & {story.text for story in rows.held}
    ids, real = rows.ids[0], rows.real[0]
    length = int(real.sum())
    assert ids[0] == ids[length - 1] == rows.end and bool(real[:length].all())
    assert not (ids[1 : length - 1] == rows.end).any() and bool((ids[length:] == rows.end).all())


def test_a_run_in_parts_is_the_run_in_one(rows: StoryRows) -> None:
    losses = []
    for parts in ([6], [2, 1, 3], [4, 9]):
        model = new_model(rows)
        run = StoryRun(model, rows, 6, every=3, batch=4)
        losses.append([loss for steps in parts for loss in run.train(train, steps)])
        assert [point.step for point in run.points] == [3, 6]
        assert run.done == 6
    assert losses[0] == losses[1] == losses[2]
    assert len(losses[0]) == 6


def test_a_run_is_what_its_docstring_says_written_out(rows: StoryRows) -> None:
    """Rates, bias steps, batches, losses and points, from one loop of its own."""
    run = StoryRun(new_model(rows), rows, 10, every=4, batch=4, lr=0.02, bias=0.5, seed=3)
    losses = [loss for steps in (3, 7) for loss in run.train(train, steps)]
    model, drawn = new_model(rows), torch.Generator().manual_seed(3)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1)
    by_hand, points, waiting = [], [], []
    for step in range(10):
        optimizer.param_groups[0]["lr"] = 0.02 * (step + 1) / 10
        if not waiting:  # 8 batches drawn together, of like lengths, last of the order first
            picked = torch.randint(len(rows.ids), (32,), generator=drawn)
            lengths = rows.real[picked].sum(dim=1)
            batches = picked[lengths.argsort(stable=True)].view(8, 4)
            waiting = list(batches[torch.randperm(8, generator=drawn)])
        picked = waiting.pop()
        longest = int(rows.real[picked].sum(dim=1).max())
        batch = rows.ids[picked, :longest], rows.real[picked, :longest]
        bias_step = 0.5 * min(1.0, (9 - step) / 3)
        by_hand += train(model, [batch], optimizer, lambda bias_step=bias_step: bias_step)
        if step in (3, 7, 9):
            found = held_out(model, rows, count=100)
            points.append((step + 1, found.loss, found.told, 0.0, tuple(found.cvs)))
    assert losses == by_hand
    assert [(p.step, p.loss, p.told, p.coherent, p.cvs) for p in run.points] == points


def test_the_step_of_the_bias_ends_at_zero(rows: StoryRows) -> None:
    run, steps = StoryRun(new_model(rows), rows, 10, batch=2, bias=0.5), []

    def note_bias_step(model, batches, optimizer, bias_step) -> list[float]:
        optimizer.step()
        steps.append(bias_step())
        return []

    run.train(note_bias_step, 10)
    assert len(steps) == 10 and steps[0] == 0.5 and steps[-1] == 0.0
    assert steps == sorted(steps, reverse=True)


def test_a_notebook_that_iterates_its_batches_is_told_what_to_write(rows: StoryRows) -> None:
    run = StoryRun(new_model(rows), rows, 10)
    with pytest.raises(TypeError, match=r"write run\.train\(train, 5\) in place of train\("):
        train(run.model, run.batches(5), run.optimizer, run.bias_step)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        run.train(train, 0)


def test_held_out_counts_real_tokens_alone(rows: StoryRows) -> None:
    model = new_model(rows)
    found = held_out(model, rows)
    fed = int(rows.held_real[:, :-1].sum())
    assert [int(load.sum()) for load in found.loads] == [2 * fed, 2 * fed]
    assert found.loss == pytest.approx(math.log(rows.vocab_size), abs=1.0)
    assert bigram_loss(rows) < math.log(rows.vocab_size)


def test_a_name_counts_as_told_from_its_second_mention() -> None:
    rows = StoryRows.build(count=120, held_out=20)
    text = "Mila the fox met Otto. Then Mila gave the lamp to Otto, and the fox thanked Mila."
    ids = torch.cat([rows.prompt(text), rows.prompt(text)])
    told = names_told(rows, ids)
    pieces = [piece.strip() for piece in rows.pieces(ids[1][told[1]])]
    assert pieces == ["Otto", "Mila"]  # the first word has no space before it, so is another token
    assert torch.equal(told[0], told[1])


def test_scores_of_true_stories_copies_and_nonsense(rows: StoryRows) -> None:
    held = [story.text for story in rows.held[:3]]
    scores = story_scores([*held, rows.train[0].text, "Nothing of this world.", held[0]], rows)
    assert (scores.count, scores.distinct, scores.copied) == (6, 5, 1)
    assert scores.coherent == pytest.approx(5 / 6)
    assert scores.problems == {"sentence": 1}


def test_samples_end_at_the_mark_and_begin_with_the_prompt(rows: StoryRows) -> None:
    torch.manual_seed(0)
    texts = sample_stories(new_model(rows), rows, generate, 3, prompt="Mila the fox")
    assert len(texts) == 3 and all(text.startswith("Mila the fox") for text in texts)
    assert not any("<|end|>" in text for text in texts)


def test_the_box_writes_and_tells_what_went_wrong(rows: StoryRows) -> None:
    box = StoryBox(new_model(rows), rows, generate)
    before = box.story.value
    assert box._repr_mimebundle_()["text/html"] == before  # what a page without a kernel shows
    box.beginning.value = "Wren the mole"
    box.write()
    assert "expert" in box.story.value and box.story.value != before
    box.generate = lambda *parts, **named: 1 / 0
    box.write()
    assert box.story.value == "<b>ZeroDivisionError: division by zero</b>"
    with pytest.raises(ValueError, match="layer must be between 0 and 1, got 2"):
        show_experts(box.model, rows, "Mila", layer=2)


def test_memory_is_what_the_tensors_hold(rows: StoryRows) -> None:
    model = new_model(rows)
    numbers = sum(p.numel() for p in model.parameters()) + 2 * 4  # and two biases of 4 experts
    assert weight_bytes(model) == 4 * numbers
    one, two = (activation_bytes(model, rows.ids[:n]) for n in (2, 4))
    assert 1.5 * one < two < 2.5 * one
    assert standard_cache_bytes(2, 16, 10) == 2 * 2 * 16 * 10 * 4


def test_the_pictures_show_every_curve_and_bar(rows: StoryRows) -> None:
    model = new_model(rows)
    run = StoryRun(model, rows, 4, every=2, batch=2, generate=generate)
    plot_story_curves(run.train(train, 4), run.points, 3.0, "Curves")
    assert len(plt.gcf().axes) == 2
    plot_memory({"weights": [1.0, 2.0], "cache": [3.0, 4.0]}, ["one", "other"], "Memory")
    assert [len(ax.patches) for ax in plt.gcf().axes] == [2, 2]
    plt.close("all")
