"""The check of D3.3f: latents for a trained attention, with the smallest squared error."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from checks.d3_mla.conversion_cases import (
    ALONE,
    Trained,
    least_lost,
    own_of,
    rank_of,
    slips_of_directions,
    traineds,
)
from checks.d3_mla.conversion_ways import which_half, why_not_whole
from checks.d3_mla.projections import check_latent_projections
from checks.d3_mla.slips.conversion import of_both, of_columns, of_some_rows
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built
from checks.grading.stages import Used, untouched
from solutions import d3_mla as reference

_BOUND = 1e-6  # the largest share that may be lost beside the smallest one
_UNDER = (
    "Keys and values come out the same. Is a row a token's key and value side by side, 2W numbers "
    "(`dim=-1`), and is up one half of the directions for each?"
)
_NO_PRODUCT = "shapes cannot be multiplied"
_READS = (
    "down reads x, of D={D} numbers, and up leads to W={W}: are they basis.T @ W and basis, as the "
    "weights of nn.Linear are (out, in)?"
)
_FEW = (
    "Here are {} activations and a latent of {} numbers: are there so many directions? A "
    "decomposition without full matrices returns min(N, W)."
)


def _called(answer, case: Trained, inputs: Sequence[Tensor], d_latent: int, joint: bool) -> Built:
    """What the answer returns; what it raises is told with what this call has of its own."""
    width, options = (2 * d_latent, {"joint": True}) if joint else (d_latent, {})
    asks = ["That is with joint=True."] if joint else []
    if case.rows < width:
        asks.append(_FEW.format(case.rows, width))
    elif case.rows < case.d_model:
        asks.append(
            f"Here are {case.rows} activations, fewer than D={case.d_model} numbers in each: does "
            "a line need more?"
        )
    with expect.asking(" ".join(asks), ".") if asks else nullcontext():
        return answer(*inputs, d_latent, **options)


def _made(answer, case: Trained, d_latent: int, joint: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Both latents of the activations, and the keys and values `(N, W)` they are expanded to."""
    got = _called(answer, case, [*case.weights(), case.activations()], d_latent, joint)
    wanted = f"the call must return a LatentProjections, got {expect.shown(got)}"
    expect.require(got is not None, wanted, "Did you forget a `return`?")
    expect.require(hasattr(got, "down") and hasattr(got, "up"), f"{wanted}, without down and up")
    width = 2 * d_latent if joint else d_latent
    with expect.asking(_READS.format(D=case.d_model, W=case.width), _NO_PRODUCT):
        down = got.down(case.activations()[None])
        latents = _of_kind(down, "latent", (width,), case, _why_other_width(down, case, width))
        up = got.up(*latents)
    expanded = _of_kind(up, "expansion", (1, case.width), case, "One head holds the whole width W.")
    return latents, [value.detach().double().reshape(case.rows, -1) for value in expanded]


def _of_kind(
    pair: Built, name: str, last: tuple[int, ...], case: Trained, ask: str
) -> list[Tensor]:
    names = f"the {name} of the keys", f"the {name} of the values"
    for value, each in zip(expect.pair(pair, names), names, strict=True):
        expect.tensor(value, each, (1, case.rows, *last), case.dtype, ask)
    return list(pair)


def _why_other_width(pair: Built, case: Trained, width: int) -> str:
    """A question on latents that are not `width` wide."""
    first = pair[0] if isinstance(pair, tuple | list) and pair else None
    got = first.shape[-1] if isinstance(first, Tensor) and first.ndim else width
    if got == case.rows < width:
        return _FEW.format(case.rows, width)
    if got == width:
        return ""
    return "Alone a latent is d_latent wide, and with joint one of 2 · d_latent serves both."


def _kind(answer, case: Trained) -> None:
    _made(answer, case, case.d_latent, joint=False)


def _kind_joint(answer, case: Trained) -> None:
    latents, _ = _made(answer, case, case.d_latent, joint=True)
    k, v = (latent.detach()[0] for latent in latents)
    ask = "Is there one weight down, for keys and values side by side, used for both?"
    name = "with joint=True the latent of the values, which is that of the keys,"
    expect.close(v, k, name, slips={ask: lambda: v}, bound=1e-4)


def _all_kept(answer, case: Trained) -> None:
    """As many directions as there are: nothing is lost, whichever basis is taken."""
    if case.width > case.d_model:
        return  # more directions than keys can have: another stage grades these sizes
    latents, got = _made(answer, case, case.width, joint=False)
    for part, i in ALONE.items():
        outputs, read = case.outputs()[i], latents[i].detach()[0].double()
        whole = expect.near(got[i], outputs, 1e-4)
        ask = (
            "" if whole else _other_part(got, case, i) or why_not_whole(read, got[i], outputs, part)
        )
        name = f"with d_latent={case.width} nothing is lost: a number of the {part}"
        slips = {ask: lambda i=i: got[i]}
        expect.close(got[i], outputs, name, axes=("row",), slips=slips, bound=1e-4)


def _other_part(got: list[Tensor], case: Trained, i: int) -> str:
    """The question to keys where values belong, or values where keys do."""
    mine, other = list(ALONE)[i], list(ALONE)[1 - i]
    true = case.outputs()
    if not expect.near(got[i], true[1 - i], 1e-4):
        return ""
    if expect.near(got[1 - i], true[i], 1e-4):
        return "Are keys and values exchanged?"
    return (
        f"These are the {other}, where the {mine} belong. Are the {mine} made from "
        f"W_{mine[0].upper()}?"
    )


def _expect_best(came: Tensor, case: Trained, part: str) -> None:
    """The loss is the smallest possible; another basis of the same directions loses as much."""
    outputs, least = own_of(case.outputs(), part, 1), least_lost(case, part)
    loss = float((outputs - came).square().sum() / outputs.square().sum())
    if loss <= least * (1 + 1e-3) + _BOUND:
        return
    near = 1e-3 * loss + _BOUND
    slips = slips_of_directions(case, part) | of_columns(case, part)
    slips |= of_both(case) if part == "both" else {}
    first, second = came.chunk(2, 1)
    asks = [_UNDER] if part == "both" and expect.near(first, second) else []
    asks += [ask for ask, slip in slips.items() if abs(slip() - loss) <= near]
    if not asks and of_some_rows(outputs, rank_of(case, part), loss, near):
        asks = ["Do all activations count, and not the first ones alone?"]
    name = "keys and values together" if part == "both" else f"the {part}"
    digits = 2 if f"{least:.2%}" != f"{loss:.2%}" else 6
    expect.require(
        False,
        f"the best {rank_of(case, part)} directions lose {least:.{digits}%} of the squared length "
        f"of {name} on these activations, and yours {loss:.{digits}%}",
        asks[0] if asks else which_half(came, outputs, rank_of(case, part), least, name),
    )


def _best_keys(answer, case: Trained) -> None:
    _expect_best(_made(answer, case, case.d_latent, joint=False)[1][0], case, "keys")


def _best_values(answer, case: Trained) -> None:
    _expect_best(_made(answer, case, case.d_latent, joint=False)[1][1], case, "values")


def _best_joint(answer, case: Trained) -> None:
    _, expanded = _made(answer, case, case.d_latent, joint=True)
    exchanged = torch.cat(expanded[::-1], dim=1)
    whole = torch.cat(case.outputs(), dim=1)
    lost = float((whole - exchanged).square().sum() / whole.square().sum())
    expect.require(
        lost > least_lost(case, "both") * (1 + 1e-3) + _BOUND,
        "with joint=True keys come where values belong, and values where keys do",
        "Are the first W rows of the basis the keys', as in torch.cat([W_K, W_V])?",
    )
    _expect_best(torch.cat(expanded, dim=1), case, "both")


def _use(answer, case: Trained) -> Used:
    values = dict(zip(("W_K", "W_V"), case.weights(), strict=True))
    values["activations"] = case.activations()

    def both() -> None:
        for joint in (False, True):
            _called(answer, case, list(values.values()), case.d_latent, joint)

    return both, lambda: values


def _kept(answer, inputs: tuple) -> Tensor:
    """Keys and values after the latents, separate and joint."""
    both = [answer(*inputs, 16, joint=joint) for joint in (False, True)]
    x = inputs[2][None]
    return torch.stack([torch.stack(made.up(*made.down(x))) for made in both])


check_latents_from_mha = Check(
    id="D3.3f",
    name="latents_from_mha",
    reference_answer=reference.latents_from_mha,
    draw=traineds,
    stages={
        "a LatentProjections of one head": _kind,
        "weights and activations untouched": untouched(_use),
        "with d_latent = W nothing is lost": _all_kept,
        "keys: the smallest squared error": _best_keys,
        "values: the smallest squared error": _best_values,
        "joint: one latent of 2 · d_latent for both": _kind_joint,
        "joint: the smallest squared error of both together": _best_joint,
    },
    hints=(
        "The activations lie mostly along a few directions. Does a direction of W_K matter along "
        "which no key of these activations points?",
        "Look at y = activations @ W_K.T, (N, W), and at y.T @ y: the eigenvectors of its largest "
        "eigenvalues, (W, rank), are the directions that hold most of the squared length.",
        "With the basis of y's last `rank` eigenvectors (eigh sorts upwards): down is basis.T @ "
        "W_K and up is the basis; values likewise. With joint, the same once for W_K and W_V one "
        "under the other, down used twice, and the basis split into its first W rows and the rest.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(64, 96), torch.randn(64, 96), torch.randn(512, 96)),
        run=_kept,
    ),
    needs=(check_latent_projections,),
)
