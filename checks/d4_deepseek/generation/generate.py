"""The check of D4.3d: new tokens behind a prompt, with caches and without."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from checks.d4_deepseek.generation.generation_cases import Text, Watched, texts
from checks.d4_deepseek.generation.greedy import expect_greedy_text, greedy
from checks.d4_deepseek.generation.sample import check_sample
from checks.d4_deepseek.generation.shares import expect_shares, wrong_shares
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from solutions import d4_deepseek as reference

_DRAWS = 1500
_MANY = 70  # new tokens
_CACHED: dict[str, Any] = {}  # the cache is used unless it is said otherwise
_UNCACHED = {"use_cache": False}


def _text(
    answer, model: Watched, ids: Tensor, new: int, temperature: float = 0, **kind: Any
) -> Tensor:
    """What the answer returns, once it is the prompt and `new` ids of the vocabulary behind it."""
    model.forget()
    got = _asked(answer, model, ids.clone(), new, temperature=temperature, **kind)
    length = ids.shape[1]
    shape = len(ids), length + new
    ask = _why_other_length(got, ids, new)
    expect.tensor(got, "prompt and new tokens", shape, torch.int64, ask, ("rows", "tokens"))
    expect.require(
        torch.equal(got[:, :length], ids),
        f"the first {length} tokens must be those of the prompt, and they are others",
        "Do new tokens come behind it?",
    )
    return got


def _asked(answer, model: Watched, ids: Tensor, new: int, **kind: Any) -> Any:
    """What the answer returns; caches of too few rows are named before what they lead to."""
    ask = "Does sample get the logits first, then temperature? Or: Is a tensor taken for true or "
    try:
        with expect.asking(f"{ask}false?", "Boolean value of Tensor"):
            return answer(model, ids, new, **kind)
    except Exception:
        for batch, capacity in model.made:
            expect.require(
                batch == len(ids),
                f"caches must be asked for {len(ids)} rows, got {batch} rows and {capacity} "
                "positions",
                "Does the batch come first, with all its rows, and then the capacity?",
            )
        raise


def _why_other_length(got: object, ids: Tensor, new: int) -> str:
    """The question to a text that is too long or too short."""
    came = got.shape[1] - ids.shape[1] if isinstance(got, Tensor) and got.ndim == 2 else new
    if isinstance(got, Tensor) and got.shape == (len(ids), new) and new > 0:
        return "Does the prompt come first?"
    if came > new:
        return "Is one token drawn for each of max_new_tokens, and none where that is 0?"
    if came < new:
        return "Do max_new_tokens tokens come behind the whole prompt? None of them ends the text."
    return "They are L tokens of prompt and the new."


def _prompt_first(answer, case: Text) -> None:
    """Also where the text is long and any token comes: none of them ends it."""
    if case.batch == 1:
        _text(answer, case.model(), case.ids(), 30, 50.0, **_UNCACHED)
    for new in {0, 1, case.new} if case.length > 1 else {1, case.new}:
        _text(answer, case.model(), case.ids(), new, **_UNCACHED)


def _none_asked(answer, case: Text) -> None:
    """With caches too, of which the prompt needs one."""
    if case.length > 1:
        _text(answer, case.model(), case.ids(), 0, **_CACHED)


def _expect_greedy(answer, case: Text, new: int, **kind: Any) -> None:
    """Two prompts one after the other, with one model."""
    model = case.model()
    for offset in (0, 1):
        ids = case.ids(offset)
        got = _text(answer, model, ids, new, **kind)
        if offset and not torch.equal(got, greedy(case.model(), ids, new)):
            fresh = _text(answer, case.model(), ids, new, **kind)
            expect.require(
                not torch.equal(fresh, greedy(case.model(), ids, new)),
                "a second prompt continues otherwise than it does with a fresh model",
                "Are caches kept from an earlier call? Each text begins with empty ones.",
            )
        when = "" if kind.get("use_cache", True) else " with use_cache=False"
        expect_greedy_text(got, case, ids, new, when)


def _one_more(answer, case: Text) -> None:
    _expect_greedy(answer, case, 1, **_UNCACHED)


def _without(answer, case: Text) -> None:
    _expect_greedy(answer, case, case.new, **_UNCACHED)


def _with(answer, case: Text) -> None:
    for new in (1, case.new):
        _expect_greedy(answer, case, new, **_CACHED)
    _expect_greedy(answer, case, case.new, use_cache=True)


def _whole_each_time(answer, case: Text) -> None:
    _expect_whole(answer, case)
    if case.batch == 1:
        _expect_whole(answer, case.long())


def _expect_whole(answer, case: Text) -> None:
    model, ids = case.model(), case.ids()
    _text(answer, model, ids, case.new, **_UNCACHED)
    fed = [call.tokens for call in model.calls]
    expect.require(
        not model.made and not any(call.caches for call in model.calls),
        "with use_cache=False no caches must be made, and the model must get none",
        "What does use_cache decide?",
    )
    wants = [case.length + i for i in range(case.new + 1)]
    ask = "Is the whole text fed each time, however long it is?"
    _expect_fed(fed, wants, "with use_cache=False", ask)


def _expect_fed(fed: list[int], wants: list[int], when: str, ask: str) -> None:
    """Calls of these numbers of tokens; the last, whose logits nobody needs, may be left out."""
    expect.require(
        fed in (wants, wants[:-1]),
        f"{when} the calls must be fed {wants[:-1]} tokens per row, got {fed}",
        ask,
    )


def _one_a_step(answer, case: Text) -> None:
    for new in {1, case.new}:
        _expect_one_a_step(answer, case, new)
    if case.batch == 1:
        _expect_one_a_step(answer, case, _MANY)
        _expect_one_a_step(answer, case.long(), 1)


def _expect_one_a_step(answer, case: Text, new: int) -> None:
    model, ids = case.model(), case.ids()
    _text(answer, model, ids, new, **_CACHED)
    wants = [case.length] + [1] * new
    ask = "Does the whole prompt go in once, and then only the newest token?"
    expect.require(
        bool(model.calls) and all(call.caches for call in model.calls),
        "with the cache the model must get the caches in every call, and it did not",
        _why_without([bool(call.caches) for call in model.calls]),
    )
    _expect_fed([call.tokens for call in model.calls], wants, "with the cache", ask)
    sets = len({tuple(map(id, call.caches)) for call in model.calls})
    expect.require(
        sets == 1 and len(model.made) < 2,
        f"a text must have one set of caches, got {max(sets, len(model.made))}",
        "One set of caches holds all that was fed. Is it made before the loop?",
    )
    for cache in model.calls[0].caches:
        asked = model.made[0] if model.made else (cache.batch, cache.capacity)
        _expect_capacity(asked, case, new)


def _why_without(cached: list[bool]) -> str:
    """The question where calls went without caches; `cached` says which had them."""
    if cached == [False]:
        return "The call with the prompt got none, and it fills them. Is use_cache true by default?"
    if not any(cached):
        return "No call got them: is use_cache true by default, and does it reach the call?"
    if not cached[0]:
        return "The call with the prompt got none, and it fills them."
    return "A call behind the first got none: it begins behind the positions that they hold."


def _expect_capacity(asked: tuple[int, int], case: Text, new: int) -> None:
    """All positions fit, in any room; the last token need not, since nothing comes after it."""
    length = case.length + new
    (batch, capacity), wanted = asked, f"{case.batch} rows and {length} positions or more"
    expect.require(
        batch == case.batch and capacity >= length - 1,
        f"caches must be asked for {wanted}, got {batch} rows and {capacity} positions",
        "How long is the whole text in the end?",
    )


def _temperature(answer, case: Text) -> None:
    """Many rows with the same prompt; the shares of the first new token, then of the second."""
    if case.deep:
        return
    model, ids = case.model(), case.ids()[:1]
    for temperature in (0.6, 1.7):
        many = _text(answer, model, ids.repeat(_DRAWS, 1), 2, temperature, **_CACHED)
        first, second = many[:, -2], many[:, -1]
        with torch.no_grad():
            scores = model(ids)[0, -1]
            later = torch.cat([ids.repeat(case.vocab, 1), torch.arange(case.vocab)[:, None]], 1)
            after = model(later)[:, -1]
        slips = wrong_shares(scores, temperature)
        twice = "Are the logits divided by temperature once? sample does it."
        slips[twice] = partial(torch.softmax, scores / temperature**2, -1)
        when = f"at temperature {temperature}, as the first new token"
        expect_shares(first, (scores / temperature).softmax(-1), when, slips)
        when = f"at temperature {temperature}, as the second new token"
        best = torch.eye(case.vocab, dtype=torch.float64)[after.argmax(-1)]
        slips = {
            "Does temperature reach every draw?": partial(_mixed, first, after.softmax(-1)),
            "Is the best token always taken? That is for temperature 0.": partial(
                _mixed, first, best
            ),
        }
        want = _mixed(first, (after / temperature).softmax(-1))
        expect_shares(second, want, when, slips)


def _mixed(first: Tensor, after: Tensor) -> Tensor:
    """The shares of the second token behind the first tokens that came."""
    counts = first.bincount(minlength=len(after)).double()
    return counts @ after / counts.sum()


def _untouched(answer, case: Text) -> None:
    model, ids = case.model(), case.ids()
    modes = [part.training for part in model.modules()]
    with expect.untouched(lambda: {"ids": ids}):
        for kind in (_CACHED, _UNCACHED):
            text = _asked(answer, model, ids, case.new, temperature=0, **kind)
            _expect_usable(text)
    expect.require(
        modes == [part.training for part in model.modules()],
        f"the model must be left in {'training' if modes[0] else 'evaluation'} mode, as it came, "
        "and it is not",
        "Does a `model.eval()` or `model.train()` stay in force after the call?",
    )
    expect.require(
        not any(call.graph for call in model.calls),
        "no gradient must be kept, and the model's logits have a graph",
        "Is it still under `@torch.no_grad()`?",
    )
    expect.require(torch.is_grad_enabled(), "gradients must be on again afterwards, and are off")


def _expect_usable(text: Tensor) -> None:
    expect.require(
        not text.is_inference(),
        "a model must be able to learn from the text, and autograd refuses an inference tensor",
        "Is it still under `@torch.no_grad()`, and not under `torch.inference_mode()`?",
    )


def _compared(function: Callable, inputs: tuple) -> Tensor:
    model, ids = inputs[0].model(), inputs[0].ids()
    return function(model, ids, inputs[0].new, temperature=0)


check_generate = Check(
    id="D4.3d",
    name="generate",
    reference_answer=reference.generate,
    draw=texts,
    stages={
        "the prompt, and so many tokens behind it": _prompt_first,
        "prompt and model as they were, no gradient kept": _untouched,
        "no new token: the prompt alone, with a cache too": _none_asked,
        "one new token: the best behind the last position": _one_more,
        "several, without a cache": _without,
        "without a cache: the whole text each time": _whole_each_time,
        "with it: the prompt once, then one token per step": _one_a_step,
        "with the cache the same tokens": _with,
        "temperature reaches every draw": _temperature,
    },
    hints=(
        "A prompt of 5 tokens is in the caches, and one token has been sampled. Which tokens does "
        "the next call need to be fed?",
        "Look at logits[:, -1], (B, V): it alone says what comes next. sample returns (B,), and "
        "ids are (B, L).",
        "Make caches for len(ids) rows and L + max_new_tokens positions; feed the prompt; sample "
        "from the last position; append the tokens as a column; feed only that column next. "
        "Without a cache feed all ids each time.",
    ),
    compared=Comparison(
        inputs=lambda: (Text(4, 16, 32, vocab=50, seed=0, deep=True),), run=_compared
    ),
    needs=(check_sample,),
)
