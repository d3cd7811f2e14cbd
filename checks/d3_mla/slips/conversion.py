"""What other choices of directions lose in D3.3f, by the question that each calls for."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d3_mla.conversion_cases import Trained, lost, main_directions, own_of, rank_of


def of_some_rows(outputs: Tensor, rank: int, loss: float, near: float) -> bool:
    """Whether the best directions of the first rows alone, however many, lose as much."""
    return any(
        abs(lost(outputs, main_directions(outputs[:n])[:, :rank]) - loss) <= near
        for n in range(rank, len(outputs))
    )


def of_both(case: Trained) -> dict[str, Callable[[], float]]:
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

    def of_one(i: int) -> Callable[[], float]:
        """The latent best for keys or values alone, and the others as near as it comes to them."""

        def slip() -> float:
            own, other = case.outputs()[i], case.outputs()[1 - i]
            latent = own @ main_directions(own)[:, :rank]
            rest = other - latent @ torch.linalg.lstsq(latent, other).solution
            left = own.square().sum() - latent.square().sum() + rest.square().sum()
            return float(left / whole.square().sum())

        return slip

    alone = (
        "Are they the directions of the {} alone? A row is a token's key and value side by side."
    )
    return {
        alone.format("keys"): of_one(0),
        alone.format("values"): of_one(1),
        "Are keys and values brought to one size first? Larger ones count for more.": scaled_alike,
        "Is half of the latent the keys' and half the values'? The best directions are those of "
        "both side by side.": of_each,
    }


def of_columns(case: Trained, part: str) -> dict[str, Callable[[], float]]:
    """What other choices among the right eigenvectors lose."""
    outputs, rank = own_of(case.outputs(), part, 1), rank_of(case, part)
    strongest = main_directions(outputs)  # (W, W), strongest first
    upwards = strongest.flip(-1)  # as eigh returns them
    largest = outputs.square().sum(0).topk(rank).indices
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
        "Are these the largest coordinates as they stand, and not directions?": lambda: lost(
            outputs, torch.eye(outputs.shape[1]).to(outputs)[:, largest]
        ),
        "Is every row brought to one length first? Long ones count for more.": lambda: lost(
            outputs, main_directions(F.normalize(outputs, dim=1))[:, :rank]
        ),
        "Is every coordinate brought to one size first? Large ones count for more.": lambda: lost(
            outputs, main_directions(F.normalize(outputs, dim=0))[:, :rank]
        ),
        "Do all activations count, and not a part of them?": lambda: lost(
            outputs, main_directions(outputs[: (len(outputs) + 1) // 2])[:, :rank]
        ),
    }
