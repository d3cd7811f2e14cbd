"""The check of D2.3e: the load of real tokens steers the bias, one step per batch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from checks.d1_moe.load import check_expert_load
from checks.d2_deepseek_moe.balancing.batches import Batch, batches
from checks.d2_deepseek_moe.balancing.bias import check_update_bias
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built
from checks.grading.stages import Used, untouched
from solutions import d2_deepseek_moe as reference


def bias_of(layer: Built) -> Tensor:
    """The balancing bias of a layer of experts."""
    return layer.router.bias


def _called(answer: Callable, layer: reference.DeepSeekMoE, real: Tensor, case: Batch) -> Any:
    """What the call returns, once the layer's bias still is a buffer."""
    tokens, m = case.rows * case.length, case.num_segments
    marked = (
        f"last_experts has {len(layer.last_experts)} rows, m = {m} for each of {tokens} tokens: is "
        "real (B, L) flattened, and each mark repeated for its token's rows?"
    )
    counted = (
        f"The bias has {case.num_experts} numbers, one for each expert: does the load have as many?"
    )
    with (
        expect.asking(marked, "IndexError: The shape of the mask"),
        expect.asking(counted, rf"\({case.num_experts}\) (must match|at non-singleton)"),
    ):
        got = answer(layer, real, case.step)
    is_parameter = "bias" in dict(layer.router.named_parameters())
    expect.require(
        "bias" in dict(layer.router.named_buffers()),
        "layer.router.bias must stay a buffer, saved with the model and without gradient, and it "
        f"is {'an nn.Parameter' if is_parameter else 'none'}",
        "Is the new bias copied into the buffer that is there, by copy_?",
    )
    return got


def _counted(answer: Callable, layer: reference.DeepSeekMoE, real: Tensor, case: Batch) -> Tensor:
    """The load that the call returns, once it has the right kind."""
    ask = "Is it what expert_load counts, one whole number for each expert, and not the new bias?"
    name = "the load" if case.step else "the load, at a step of 0 too,"
    got = _called(answer, layer, real, case)
    return expect.tensor(got, name, (case.num_experts,), torch.int64, ask, ("experts",))


def _load_of(layer: reference.DeepSeekMoE, real: Tensor, case: Batch) -> Tensor:
    """The slow count: one row of a segment at a time, those of padding left out."""
    counts, marks = [0] * case.num_experts, real.reshape(-1).tolist()
    for row, chosen in enumerate(layer.last_experts.tolist()):
        for i in chosen:
            counts[i] += bool(marks[row // case.num_segments])
    return torch.tensor(counts)


def _everything(layer: reference.DeepSeekMoE, case: Batch) -> Tensor:
    return torch.bincount(layer.last_experts.flatten(), minlength=case.num_experts)


def _rebalance_load(answer, case: Batch) -> None:
    layer, real = case.layer(), case.real()
    want, chosen = _load_of(layer, real, case), layer.last_experts.clone()
    slips = _load_slips(chosen, want, real, case)
    got = _counted(answer, layer, real, case)
    expect.close(got, want, "the load of real tokens", axes=("expert",), slips=slips)


def _load_slips(
    chosen: Tensor, want: Tensor, real: Tensor, case: Batch
) -> dict[str, Callable[[], Tensor]]:
    """Other loads by the question that each calls for."""
    m, marks = case.num_segments, real.reshape(-1)
    rows, on_the_right = (
        marks.repeat_interleave(m),
        torch.arange(case.length) < real.sum(1)[:, None],
    )

    def counted(experts: Tensor) -> Tensor:
        return torch.bincount(experts.flatten(), minlength=case.num_experts)

    everything = counted(chosen)
    return {
        "Is padding counted too?": lambda: everything,
        "Is padding counted, and the real tokens left out?": lambda: everything - want,
        "Is only each row's first choice counted?": lambda: counted(chosen[rows, :1]),
        "Which m rows belong to token t? They are t·m to t·m + m - 1, so each mark is repeated in "
        "place: repeat_interleave, and not repeat.": lambda: counted(chosen[marks.repeat(m)]),
        "Do all m rows of a real token count, and not its first alone?": lambda: counted(
            chosen[::m][marks]
        ),
        "Are the first T of the T·m rows taken for the tokens?": lambda: counted(
            chosen[: len(marks)][marks]
        ),
        "Is each of a token's m rows counted whole, and the load not divided by m?": lambda: (
            want // m
        ),
        "Is padding left out, and not counted for expert 0?": lambda: counted(
            chosen * rows[:, None]
        ),
        "Are the real tokens those that real marks, and not the first ones of the batch?": lambda: (
            counted(chosen[: int(rows.sum())])
        ),
        "Are the real tokens those that real marks, and not the first ones of each row?": lambda: (
            counted(chosen[on_the_right.reshape(-1).repeat_interleave(m)])
        ),
        "Is real (B, L) flattened row by row, as the layer flattens x?": lambda: counted(
            chosen[real.T.reshape(-1).repeat_interleave(m)]
        ),
        "Does every row of the batch count, and not the first alone?": lambda: counted(
            chosen[: case.length * m][rows[: case.length * m]]
        ),
    }


def _rebalance_bias(answer, case: Batch) -> None:
    layer, real = case.layer(), case.real()
    bias, load = bias_of(layer).clone(), _load_of(layer, real, case)
    want = torch.tensor(moved(bias.tolist(), load.tolist(), case.step))
    padded = torch.tensor(moved(bias.tolist(), _everything(layer, case).tolist(), case.step))
    _called(answer, layer, real, case)
    got = bias_of(layer)
    ask = "Is the new bias copied into the buffer that is there, by copy_?"
    expect.tensor(got, "layer.router.bias", bias.shape, bias.dtype, ask, ("experts",))
    expect.require(
        not torch.equal(got, bias) or torch.equal(want, bias),
        "layer.router.bias must have moved by a step, and it is what it was",
        "Is the new bias put into layer.router's own buffer, and not into a local name or another "
        "attribute?",
    )
    slips = {
        "Does the load that steers count padding?": lambda: padded,
        "Is there one step for the whole batch, and not one for each sequence?": lambda: (
            _step_per_sequence(layer, real, bias, case)
        ),
        "Does it go down where an expert has too few?": lambda: 2 * bias - want,
        "Is the step taken twice?": lambda: 2 * want - bias,
        "Does the step go on from the bias there is, and not from zero?": lambda: want - bias,
        "Is it the step that is handed over, and not V3's 0.001?": lambda: torch.tensor(
            moved(bias.tolist(), load.tolist(), 0.001)
        ),
        "Is the step the same for all, however far an expert is from the mean?": lambda: (
            bias + case.step * (load.double().mean() - load)
        ),
    }
    name = "the bias" if case.step else "at a step of 0 the bias"
    expect.close(got, want, name, axes=("expert",), slips=slips)
    expect.require(
        "bias" in layer.router.state_dict(),
        "the router's bias must be saved with the model, and it is no longer in state_dict()",
        "Is it put there by copy_, and not registered anew with persistent=False?",
    )


def _step_per_sequence(layer: Built, real: Tensor, bias: Tensor, case: Batch) -> Tensor:
    """The bias after a step for each sequence's own load."""
    rows = layer.last_experts.reshape(case.rows, -1, case.top_k)
    marks, now = real.repeat_interleave(case.num_segments, dim=1), bias.tolist()
    for chosen, marked in zip(rows, marks, strict=True):
        load = torch.bincount(chosen[marked].flatten(), minlength=case.num_experts)
        now = moved(now, load.tolist(), case.step)
    return torch.tensor(now)


def moved(bias: list[float], load: list[int], step: float) -> list[float]:
    """The sign rule in plain numbers."""
    mean = sum(load) / len(load)
    return [b + step * ((n < mean) - (n > mean)) for b, n in zip(bias, load, strict=True)]


def _rebalance_twice(answer, case: Batch) -> None:
    """A second batch whose tokens all chose the last experts: the first must be forgotten."""
    layer, real = case.layer(), case.real()
    _called(answer, layer, real, case)
    bias = bias_of(layer).clone()
    late = torch.arange(case.num_experts - case.top_k, case.num_experts)
    layer.last_experts = late.expand_as(layer.last_experts).contiguous()
    want = moved(bias.tolist(), _load_of(layer, real, case).tolist(), case.step)
    _called(answer, layer, real, case)
    expect.close(
        bias_of(layer),
        torch.tensor(want),
        "after a second batch the bias",
        axes=("expert",),
        slips={"Does the load of earlier batches still count?": lambda: bias_of(layer)},
    )


def _rebalance_use(answer, case: Batch) -> Used:
    layer, real = case.layer(), case.real()

    def tensors() -> dict[str, Tensor]:
        return {"real": real, "layer.last_experts": layer.last_experts}

    return lambda: _counted(answer, layer, real, case), tensors


def _compared_rebalance(function, inputs: tuple) -> Tensor:
    layer, real = inputs[0].layer(), inputs[0].real()
    return torch.stack([function(layer, real, 0.01), bias_of(layer)])


check_rebalance = Check(
    id="D2.3e",
    name="rebalance",
    reference_answer=reference.rebalance,
    draw=batches,
    stages={
        "inputs untouched": untouched(_rebalance_use),
        "the load of real tokens": _rebalance_load,
        "the bias moved one step, in the layer": _rebalance_bias,
        "a second batch by its own load": _rebalance_twice,
    },
    hints=(
        "last_experts has T·m rows and real has T entries. Which rows belong to token 3?",
        "Look at real.reshape(-1).repeat_interleave(layer.num_segments): one mark per row.",
        "Take the rows of last_experts of real tokens, m rows per token, and their load by "
        "expert_load; put the new bias that update_bias gives into layer.router.bias with copy_, "
        "and return the load.",
    ),
    compared=Comparison(
        inputs=lambda: (Batch(16, 64, 1, 32, 4, 0.01, seed=0),), run=_compared_rebalance
    ),
    needs=(check_update_bias, check_expert_load),
)
