"""The check of D3.3f: latents for a trained attention, with the smallest squared error."""

from collections.abc import Callable

import torch
from torch import Tensor

from checks.d3_mla.conversion_cases import (
    ALONE,
    Trained,
    least_lost,
    lost,
    main_directions,
    own_of,
    rank_of,
    slips_of_directions,
    traineds,
)
from checks.d3_mla.projections import check_latent_projections
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built, Wrong
from checks.grading.stages import Used, untouched
from solutions import d3_mla as reference

_BOUND = 1e-6  # the largest share that may be lost beside the smallest one
_FEW = (
    "Are there as many directions as asked for where activations are few? A decomposition without "
    "full matrices returns min(N, W)."
)
_BACK = (
    "Are the directions those of the keys or values, y = activations @ W.T? Is down the weights "
    "along them, and up the way back along the same?"
)
_SIZED = (
    "Up leads back along the best directions, and what it gets along them has other sizes. Is down "
    "basis.T @ W alone, without singular values or square roots of them?"
)
_DOWN = (
    "Up leads back along the best directions, and down does not read those. Is down basis.T @ W, "
    "with the columns of basis in the same order as up has them?"
)
_CHOICE = (
    "down and up fit each other, along directions that are not the strongest of {name}. Are they "
    "the last columns of the eigenvectors, and of y.T @ y with all rows y as they come?"
)


def _made(answer, case: Trained, d_latent: int, joint: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Both latents of the activations, and the keys and values `(N, W)` they are expanded to."""
    W_K, W_V = case.weights()
    options = {"joint": True} if joint else {}
    try:
        got = answer(W_K, W_V, case.activations(), d_latent, **options)
    except (RuntimeError, IndexError) as error:
        if case.rows >= (2 * d_latent if joint else d_latent):
            raise
        raise Wrong(
            f"{case.rows} activations and d_latent={d_latent}{', joint' * joint} must go in, and "
            f"they end in {type(error).__name__}. {_FEW}"
        ) from None
    wanted = f"the call must return a LatentProjections, got {expect.shown(got)}"
    expect.require(got is not None, wanted, "Did you forget a `return`?")
    expect.require(hasattr(got, "down") and hasattr(got, "up"), f"{wanted}, without down and up")
    width = 2 * d_latent if joint else d_latent
    latents = _of_kind(got.down(case.activations()[None]), "latent", (width,), case)
    expanded = _of_kind(got.up(*latents), "expansion", (1, case.width), case)
    return latents, [value.detach().double().reshape(case.rows, -1) for value in expanded]


def _of_kind(pair: Built, name: str, last: tuple[int, ...], case: Trained) -> list[Tensor]:
    names = f"the {name} of the keys", f"the {name} of the values"
    ask = "One head holds the whole width W, and with joint a latent is 2 · d_latent wide."
    for value, each in zip(expect.pair(pair, names), names, strict=True):
        expect.tensor(value, each, (1, case.rows, *last), case.dtype, ask)
    return list(pair)


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
    _, got = _made(answer, case, case.width, joint=False)
    for part, outputs, came in zip(ALONE, case.outputs(), got, strict=True):
        slips = {
            "Are keys and values exchanged?": lambda part=part: case.outputs()[1 - ALONE[part]],
            _unlike(came, outputs): lambda came=came: came,
        }
        name = f"with d_latent={case.width} nothing is lost: a number of the {part}"
        expect.close(came, outputs, name, axes=("row",), slips=slips, bound=1e-4)


def _unlike(came: Tensor, outputs: Tensor) -> str:
    """The question to `came`, which is not all of `outputs`."""
    mixed = torch.linalg.lstsq(outputs, came).solution
    return _SIZED if _is_sized(mixed, outputs) else _BACK


def _is_sized(mixed: Tensor, outputs: Tensor) -> bool:
    """Whether outputs @ mixed only stretches the outputs along their own directions."""
    own = main_directions(outputs)
    stretched = own.T @ mixed @ own
    crossed = stretched - stretched.diagonal().diag()
    return float(crossed.abs().max()) < 1e-3 * float(stretched.abs().max())


def _expect_best(came: Tensor, case: Trained, part: str) -> None:
    """The loss is the smallest possible; another basis of the same directions loses as much."""
    outputs, least = own_of(case.outputs(), part, 1), least_lost(case, part)
    loss = float((outputs - came).square().sum() / outputs.square().sum())
    if loss <= least * (1 + 1e-3) + _BOUND:
        return
    near = 1e-3 * loss + _BOUND
    slips = slips_of_directions(case, part) | _columns(case, part)
    slips |= _of_both(case) if part == "both" else {}
    asks = [ask for ask, slip in slips.items() if abs(slip() - loss) <= near]
    if not asks and _of_some_rows(outputs, rank_of(case, part), loss, near):
        asks = ["Do all activations count, and not the first ones alone?"]
    name = "keys and values together" if part == "both" else f"the {part}"
    digits = 2 if f"{least:.2%}" != f"{loss:.2%}" else 6
    expect.require(
        False,
        f"the best {rank_of(case, part)} directions lose {least:.{digits}%} of the squared length "
        f"of {name} on these activations, and yours {loss:.{digits}%}",
        asks[0] if asks else _where(came, outputs, rank_of(case, part), least, name),
    )


def _of_some_rows(outputs: Tensor, rank: int, loss: float, near: float) -> bool:
    """Whether the best directions of the first rows alone, however many, lose as much."""
    return any(
        abs(lost(outputs, main_directions(outputs[:n])[:, :rank]) - loss) <= near
        for n in range(rank, len(outputs))
    )


def _where(came: Tensor, outputs: Tensor, rank: int, least: float, name: str) -> str:
    """Which half of the way is wrong: the directions that `came` lies along, or what comes to them.

    `came` and `outputs` are `(N, W)`.
    """
    basis = torch.linalg.svd(came, full_matrices=False).Vh[:rank].T  # (W, rank)
    kept = outputs @ basis  # what the best latent along these directions holds
    if lost(outputs, basis) <= least * (1 + 1e-2) + 1e-4:
        mixed = torch.linalg.lstsq(kept, came @ basis).solution
        return _SIZED if _is_sized(mixed, kept) else _DOWN
    fits = expect.near(came, kept @ basis.T, 1e-3)
    return _CHOICE.format(name=name) if fits else _BACK


def _of_both(case: Trained) -> dict[str, Callable[[], float]]:
    """What slips with one latent for both lose."""
    whole, rank = torch.cat(case.outputs(), 1), 2 * case.d_latent
    sizes = torch.cat([part.norm().expand(case.width) for part in case.outputs()])

    def scaled_alike() -> float:
        even = whole / sizes
        kept = even @ main_directions(even)[:, :rank] @ main_directions(even)[:, :rank].T * sizes
        return float((whole - kept).square().sum() / whole.square().sum())

    def of_each() -> float:
        bases = [main_directions(part)[:, : case.d_latent] for part in case.outputs()]
        return lost(whole, torch.block_diag(*bases))

    return {
        "Are keys and values brought to one size first? Larger ones count for more.": scaled_alike,
        "Is half of the latent the keys' and half the values'? The best directions are those of "
        "both side by side.": of_each,
    }


def _columns(case: Trained, part: str) -> dict[str, Callable[[], float]]:
    """What other choices among the right eigenvectors lose."""
    outputs, rank = own_of(case.outputs(), part, 1), rank_of(case, part)
    strongest = main_directions(outputs)  # (W, W), strongest first
    upwards = strongest.flip(-1)  # as eigh returns them
    return {
        "Is the best direction left out? The last column of eigh is the strongest.": lambda: lost(
            outputs, strongest[:, 1 : rank + 1]
        ),
        "Are rows taken, where directions are the columns of eigh's eigenvectors?": lambda: lost(
            outputs, torch.linalg.qr(upwards[-rank:].T).Q
        ),
        "Are columns of Vh taken, where directions are its rows?": lambda: lost(
            outputs, torch.linalg.svd(outputs).Vh[:, :rank]
        ),
        "Are these coordinates as they stand, and not directions?": lambda: lost(
            outputs, torch.eye(outputs.shape[1]).to(outputs)[:, :rank]
        ),
        "Is every row brought to one length first? Long ones count for more.": lambda: lost(
            outputs, main_directions(torch.nn.functional.normalize(outputs, dim=1))[:, :rank]
        ),
        "Is every coordinate brought to one size first? Large ones count for more.": lambda: lost(
            outputs, main_directions(torch.nn.functional.normalize(outputs, dim=0))[:, :rank]
        ),
        "Do all activations count, and not a part of them?": lambda: lost(
            outputs, main_directions(outputs[: (len(outputs) + 1) // 2])[:, :rank]
        ),
    }


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
            answer(*values.values(), case.d_latent, joint=joint)

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
