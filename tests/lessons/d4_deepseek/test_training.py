"""What the checks of D4's loss, training, sampling, generation and worth say."""

import inspect
import textwrap

import pytest
import torch

from checks import CheckFailed
from checks.d4_deepseek.generation.generate import check_generate
from checks.d4_deepseek.generation.sample import check_sample
from checks.d4_deepseek.training.loss import check_masked_loss
from checks.d4_deepseek.training.train import check_train
from checks.d4_deepseek.worth import check_worth
from solutions import d4_deepseek as reference
from solutions.d2_deepseek_moe import DeepSeekMoE, rebalance
from solutions.d4_deepseek import masked_loss, nn

CHECKS = (check_masked_loss, check_train, check_sample, check_generate, check_worth)
EACH = pytest.mark.parametrize("check", CHECKS, ids=[check.id for check in CHECKS])


def failure(check, answer, seed=0) -> CheckFailed:
    with pytest.raises(CheckFailed) as failed:
        check(answer, seed=seed)
    return failed.value


def with_slip(check, old, new):
    """The check's reference with one part of its text exchanged for another."""
    text = textwrap.dedent(inspect.getsource(check.reference_answer))
    assert old in text
    names = dict(vars(reference))
    exec(compile(text.replace(old, new), "<slip>", "exec"), names)
    return names[check.name]


class Odd:
    def __eq__(self, other):
        raise RuntimeError("not to be compared")

    __hash__ = None


ODD = {
    "None": None,
    "nothing": (),
    "three": (1.0, 2.0, 3.0),
    "text": "0.5",
    "NaN": torch.tensor(float("nan")),
    "two NaN": (float("nan"), float("nan")),
    "complex": torch.zeros(2, 2, dtype=torch.complex64),
    "no memory": torch.empty(2, 9, dtype=torch.int64, device="meta"),
    "sparse": torch.eye(3).to_sparse(),
    "a class": Odd,
    "an object": Odd(),
    "objects": [Odd(), Odd()],
    "a generator": (x for x in ()),
}


@EACH
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_whatever_comes_back_gets_a_message(check, value):
    failed = failure(check, lambda *args, **kind: value)
    assert failed.state == "wrong" and "cannot" not in failed.message
    assert len(failed.message) < 300


PICKED = "F.cross_entropy(logits.flatten(0, 1), marked.flatten())"
SUM_OF_ALL = PICKED, "F.cross_entropy(logits.flatten(0, 1), targets.flatten())"
REAL_OVER_ALL = PICKED, f"{PICKED} * real.double().mean().to(logits)"
OF_PADDING = f"{PICKED[:-1]}.masked_fill(real.flatten(), -100), reduction='sum')"
OF_LOGITS = "-logits.gather(-1, targets[..., None])[..., 0][real].mean()"
ROWS = "((ids[i : i + 1], real[i : i + 1]) for ids, real in batches for i in range(len(ids)))"
FORGETFUL = "optimizer.state.clear(); optimizer.step"
BEST = "return logits.argmax(dim=-1)"
DRAWN = "torch.multinomial(probs, 1).squeeze(-1)"
NOISY = "(logits + temperature * torch.randn_like(logits)).argmax(-1)"
CALLED = "model(new, caches) if use_cache else model(ids)"
SLIPS = [
    (check_masked_loss, *SUM_OF_ALL, "what stands", "loss of padding"),
    (check_masked_loss, *REAL_OVER_ALL, "the mean over", "number of"),
    (check_masked_loss, PICKED, OF_PADDING, "every target", "Are the marks turned"),
    (check_masked_loss, PICKED, OF_LOGITS, "every target", "taken as they are?"),
    (check_train, "in batches", f"in {ROWS}", "one loss", "the number of all rows"),
    (check_train, "loss.item())", "loss.item()); model(ids[:, :-1])", "the first", "batch 0 again"),
    (check_train, "1:], real[:, 1:]", "1:], real[:, 1:] & real[:, :-1]", "the loss", "before it"),
    (check_train, "loss.backward()", "loss.clamp(max=1.0).backward()", "one step", "clamped one?"),
    (check_train, "loss.backward()", "(99 * loss).backward()", "one step", "the sum?"),
    (check_train, "(model.parameters(", "(model.blocks.parameters(", "a long", "Are embedding and"),
    (check_train, "optimizer.step", FORGETFUL, "three", "remembers?"),
    (check_train, "        optimizer.zero_grad()\n", "", "the gradients of each", "add up"),
    (check_train, "model.parameters(), 1.0", "model.parameters(), 1e9", "a long", "clipped"),
    (check_train, "layer, real[:, :-1]", "layer, real[:, 1:]", "every bias", "real[:, :-1] or"),
    (check_train, "in batches", "in list(batches)", "every bias", "used before the next"),
    (check_train, "loss.item()", "loss", "one loss", "plain number"),
    (check_sample, "(logits / temperature)", "logits", "a small temperature", "divided"),
    (check_sample, "probs, 1", "probs[:1].expand_as(probs), 1", "a token", "its own"),
    (check_sample, BEST, "temperature = 1e-3", "temperature 0", "Equal rows got other tokens"),
    (check_sample, "logits.argmax(", "logits.amax(", "one id", "largest logit of each row"),
    (check_sample, ").softmax(dim=-1)", ").softmax(-1).softmax(-1)", "a token", "taken twice?"),
    (check_sample, "probs, 1).squeeze(-1)", "probs, 2)", "one id", "more than one token drawn"),
    (check_sample, DRAWN, NOISY, "every token", "normal noise"),
    (check_generate, CALLED, "model(ids)", "with it: the prompt", "got none"),
    (check_generate, "(len(ids), capacity)", "(1, capacity)", "prompt and model", "rows, got 1"),
    (check_generate, "logits[:, -1]", "logits[:, 0]", "one new token", "last position"),
    (check_generate, " if use_cache else None", "", "without a cache: the", "use_cache decide"),
    (check_generate, "temperature)[", "min(temperature, 1e-4))[", "temperature", "always taken"),
    (check_worth, "saved.std()", "saved.std(correction=0)", "the standard", "divided by n - 1"),
    (check_worth, "without - with_part", "with_part - without", "the mean", "sign turned"),
]


@pytest.mark.parametrize(
    ("check", "old", "new", "stage", "ask"), SLIPS, ids=[f"{s[0].id} {s[2][:20]}" for s in SLIPS]
)
def test_a_slip_is_asked_about(check, old, new, stage, ask):
    failed = failure(check, with_slip(check, old, new))
    assert failed.state == "wrong" and failed.stage.startswith(stage)
    assert ask in failed.message and len(failed.message) < 400


def asks_for_the_class(model, batches, optimizer, bias_step):
    """A closure, gradients zeroed behind the step, and layers found by their class."""
    losses = []
    for ids, real in batches:

        def closure(ids=ids, real=real):
            loss = masked_loss(model(ids[:, :-1]), ids[:, 1:], real[:, 1:])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            return loss

        losses.append(optimizer.step(closure).item())
        optimizer.zero_grad(set_to_none=False)
        for layer in model.modules():
            if isinstance(layer, DeepSeekMoE):
                rebalance(layer, real[:, :-1], bias_step())
    return losses


def test_layers_may_be_found_by_a_class_of_the_learners_own(monkeypatch):
    assert check_train(asks_for_the_class, seed=0).passed
    other = type("DeepSeekMoE", (nn.Module,), {})
    monkeypatch.setitem(asks_for_the_class.__globals__, "DeepSeekMoE", other)
    assert check_train(asks_for_the_class, seed=0).passed


def test_a_part_that_does_not_pass_is_named_first():
    answer = with_slip(check_train, "loss.item()", "loss.item()")
    answer.__globals__["masked_loss"] = lambda logits, targets, real: logits.mean()
    assert failure(check_train, answer).message.startswith("D4.3a masked_loss does not pass yet")
