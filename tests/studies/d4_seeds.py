"""What D4 claims of its stories, over seeds: run it with -rP for the numbers."""

import re
from dataclasses import replace

import pytest
import torch

from course import ROOT
from helpers.data.story_rows import StoryRows
from helpers.measuring.story_measures import bigram_loss, held_out, sample_stories, story_scores
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.training_loops.story_run import StoryRun
from solutions.d4_deepseek import DeepSeek, count_parameters, generate, train

STEPS = 800
SMALL = DeepSeekConfig(
    vocab_size=1024,
    num_layers=3,
    d_model=128,
    num_heads=4,
    d_head=32,
    d_latent=64,
    d_rope=16,
    num_experts=8,
    top_k=2,
    expert_dim=64,
    num_shared=1,
    theta=200.0,
)
DENSE = replace(SMALL, dense_layers=3, dense_dim=192)
LESSON = ROOT / "lessons" / "d4_deepseek.py"


@pytest.fixture(scope="module")
def rows() -> StoryRows:
    return StoryRows.build()


def trained(rows: StoryRows, config: DeepSeekConfig, seed: int) -> DeepSeek:
    """The lesson's model, trained as in the lesson."""
    torch.manual_seed(seed)
    model = DeepSeek(config)
    StoryRun(model, rows, STEPS, every=STEPS, seed=seed).train(train, STEPS)
    return model


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("config", [SMALL, DENSE], ids=["mixture", "dense"])
def test_it_writes_stories_that_hold_together(rows, config, seed) -> None:
    model = trained(rows, config, seed)
    texts, found = sample_stories(model, rows, generate, 200), held_out(model, rows)
    scores, bigram = story_scores(texts, rows), bigram_loss(rows)
    print(f"\nheld-out loss {found.loss:.3f}, a table of pairs {bigram:.3f} nats a token")
    print(f"CV {[round(cv, 3) for cv in found.cvs]}, {scores}\n{texts[0]}")
    assert scores.coherent >= 0.9
    assert scores.distinct >= 150
    assert scores.copied == 0
    assert found.loss < bigram
    assert all(cv < 0.1 for cv in found.cvs)


def test_the_rival_computes_as_much_for_a_token() -> None:
    (_, active), (total, of_dense) = count_parameters(SMALL), count_parameters(DENSE)
    assert total == of_dense
    assert active == pytest.approx(of_dense, rel=0.01)


def test_the_lesson_trains_the_same_model_for_as_long() -> None:
    text, names = LESSON.read_text(encoding="utf-8"), {"DeepSeekConfig": DeepSeekConfig}
    exec(re.search(r"^small = DeepSeekConfig\(.*?^\)$", text, re.MULTILINE | re.DOTALL)[0], names)
    assert names["small"] == SMALL
    assert f"\nSTEPS = {STEPS}\n" in text
