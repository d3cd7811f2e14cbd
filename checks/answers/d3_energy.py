"""D3.I1 energy_kept, answered rightly and wrongly."""

from itertools import accumulate

import numpy as np
import torch
from torch.nn import functional as F

from checks.answers.bank import Bank
from solutions.d3_mla import energy_kept

bank = Bank("d3_mla")


@bank.right("D3.I1")
def eigenvalues_of_gram(outputs):
    """Eigenvalues of the smaller Gram matrix, turned round."""
    tall = outputs if outputs.shape[0] >= outputs.shape[1] else outputs.T
    squares = torch.linalg.eigvalsh(tall.T @ tall).flip(0)
    return squares.cumsum(0) / squares.sum()


@bank.right("D3.I1")
def whole_from_the_rows(outputs):
    """The whole is the rows' squared length, not the sum of the singular values' squares."""
    sizes = torch.linalg.svd(outputs, full_matrices=False).S
    return torch.cumsum(sizes.square(), dim=0) / outputs.square().sum()


@bank.right("D3.I1")
def running_sum_in_a_loop(outputs):
    """A loop that adds one square after the other."""
    squares = [size**2 for size in torch.linalg.svdvals(outputs)]
    kept, shares = 0, []
    for square in squares:
        kept = kept + square
        shares.append(kept / sum(squares))
    return torch.stack(shares)


@bank.right("D3.I1")
def shares_first(outputs):
    """Singular values brought to length one, then squared and summed by a triangle."""
    shares = F.normalize(torch.linalg.svdvals(outputs), dim=0).pow(2)
    return torch.ones(len(shares), len(shares)).to(shares).tril() @ shares


@bank.right("D3.I1")
def rows_along_directions(outputs):
    """The squared lengths of the rows along each direction, measured."""
    directions = torch.linalg.svd(outputs, full_matrices=False).Vh
    along = (outputs @ directions.T).square().sum(dim=0).sort(descending=True).values
    return along.cumsum(0) / outputs.norm() ** 2


@bank.right("D3.I1")
def one_less_what_is_left(outputs):
    """Each direction taken off in turn: one less the share that is left."""
    left, sizes, right = torch.linalg.svd(outputs, full_matrices=False)
    shares, whole = [], outputs.square().sum()
    for i in range(len(sizes)):
        outputs = outputs - sizes[i] * torch.outer(left[:, i], right[i])
        shares.append(1 - outputs.square().sum() / whole)
    return torch.stack(shares)


@bank.right("D3.I1")
def in_numpy(outputs):
    """NumPy's singular values and Python's accumulate."""
    squares = np.linalg.svd(outputs.detach().numpy(), compute_uv=False) ** 2
    shares = np.array(list(accumulate(squares))) / squares.sum()
    return torch.from_numpy(shares).to(outputs)


@bank.right("D3.I1")
def from_triangle(outputs):
    """The triangle of a QR has the same singular values; in float64, cast back."""
    wide = outputs.double() if outputs.shape[0] >= outputs.shape[1] else outputs.double().T
    squares = torch.linalg.svdvals(torch.linalg.qr(wide, mode="r").R).square()
    return (squares.cumsum(-1) / squares.sum(-1, keepdim=True)).to(outputs)


@bank.wrong("D3.I1")
def without_squares(outputs):
    """The singular values themselves: it is the share of their sum."""
    sizes = torch.linalg.svdvals(outputs)
    return sizes.cumsum(0) / sizes.sum()


@bank.wrong("D3.I1")
def fourth_powers(outputs):
    """Squares of the Gram matrix's eigenvalues, which are squares already."""
    squares = torch.linalg.svdvals(outputs.T @ outputs)[: min(outputs.shape)] ** 2
    return squares.cumsum(0) / squares.sum()


@bank.wrong("D3.I1")
def not_normalised(outputs):
    """The squared length itself, not its share."""
    return (torch.linalg.svdvals(outputs) ** 2).cumsum(0)


@bank.wrong("D3.I1")
def mean_over_rows(outputs):
    """Squared length a row, not its share."""
    return (torch.linalg.svdvals(outputs) ** 2).cumsum(0) / len(outputs)


@bank.wrong("D3.I1")
def smallest_first(outputs):
    """eigvalsh as it comes: the worst directions first."""
    squares = (torch.linalg.svdvals(outputs) ** 2).flip(0)
    return squares.cumsum(0) / squares.sum()


@bank.wrong("D3.I1")
def turned_too_late(outputs):
    """Summed smallest first and then turned round: falls from 1."""
    squares = (torch.linalg.svdvals(outputs) ** 2).flip(0)
    return (squares.cumsum(0) / squares.sum()).flip(0)


@bank.wrong("D3.I1")
def without_sum(outputs):
    """The share of each direction, not of the first so many."""
    squares = torch.linalg.svdvals(outputs) ** 2
    return squares / squares.sum()


@bank.wrong("D3.I1")
def what_is_lost(outputs):
    """The share that is lost."""
    return 1 - energy_kept(outputs)


@bank.wrong("D3.I1")
def centred(outputs):
    """PCA: the mean of the rows is taken off first."""
    return energy_kept(outputs - outputs.mean(dim=0))


@bank.wrong("D3.I1")
def spoils_outputs(outputs):
    """Right shares, and the caller's outputs come back divided by their length."""
    shares = energy_kept(outputs)
    outputs /= outputs.norm()
    return shares


@bank.wrong("D3.I1")
def product(outputs):
    """A running product."""
    squares = torch.linalg.svdvals(outputs) ** 2
    return (squares / squares.sum()).cumprod(0)


@bank.wrong("D3.I1")
def for_each_row(outputs):
    """Each row's own numbers sorted: one curve a row."""
    squares = outputs.square().sort(dim=-1, descending=True).values
    return squares.cumsum(-1) / squares.sum(-1, keepdim=True)


@bank.wrong("D3.I1")
def best_coordinates(outputs):
    """The largest coordinates in place of the best directions."""
    squares = outputs.square().sum(0).sort(descending=True).values
    return (squares.cumsum(0) / squares.sum())[: min(outputs.shape)]


@bank.wrong("D3.I1")
def coordinates_as_they_stand(outputs):
    """The coordinates in their order, not even the largest first."""
    squares = outputs.square().sum(0)
    return (squares.cumsum(0) / squares.sum())[: min(outputs.shape)]


@bank.wrong("D3.I1")
def directions_of_first_rows(outputs):
    """QR's directions, in the order of the coordinates."""
    squares = torch.linalg.qr(outputs).R.square().sum(dim=1)
    return squares.cumsum(0) / squares.sum()


@bank.wrong("D3.I1")
def rows_of_one_length(outputs):
    """Each row brought to length one first: long keys count no more than short ones."""
    return energy_kept(F.normalize(outputs, dim=-1))


@bank.wrong("D3.I1")
def coordinates_of_one_size(outputs):
    """Each coordinate brought to one size first."""
    return energy_kept(F.normalize(outputs, dim=0))


@bank.wrong("D3.I1")
def from_none(outputs):
    """Starts with the share of no direction, and the last is missing."""
    return energy_kept(outputs).roll(1).index_fill(0, torch.tensor(0), 0)


@bank.wrong("D3.I1")
def one_more(outputs):
    """The share of no direction in front: one number more."""
    return F.pad(energy_kept(outputs), (1, 0))


@bank.wrong("D3.I1")
def without_last(outputs):
    """The last one, which is 1, is left out."""
    return energy_kept(outputs)[:-1]


@bank.wrong("D3.I1")
def one_for_each_coordinate(outputs):
    """W numbers, also where fewer rows leave fewer directions."""
    squares = torch.linalg.eigvalsh(outputs.T @ outputs).flip(0)
    return squares.cumsum(0) / squares.sum()


@bank.wrong("D3.I1")
def one_for_each_row(outputs):
    """N numbers, from the Gram matrix of the rows."""
    squares = torch.linalg.eigvalsh(outputs @ outputs.T).flip(0)
    return squares.cumsum(0) / squares.sum()


@bank.wrong("D3.I1")
def against_largest(outputs):
    """Divided by the largest: starts at 1 and rises."""
    squares = torch.linalg.svdvals(outputs) ** 2
    return squares.cumsum(0) / squares.max()


@bank.wrong("D3.I1")
def share_of_length(outputs):
    """The root: the share of the length, not of its square."""
    return energy_kept(outputs).sqrt()


@bank.wrong("D3.I1")
def squared_after_sum(outputs):
    """Summed first and then squared."""
    sizes = torch.linalg.svdvals(outputs)
    return (sizes.cumsum(0) / sizes.sum()) ** 2


@bank.wrong("D3.I1")
def softmax_of_squares(outputs):
    """softmax makes shares of anything."""
    return (torch.linalg.svdvals(outputs) ** 2).softmax(0).cumsum(0)


@bank.wrong("D3.I1")
def best_alone(outputs):
    """The share of the best direction, one number."""
    return energy_kept(outputs)[0]


@bank.wrong("D3.I1")
def in_percent(outputs):
    """Percent."""
    return 100 * energy_kept(outputs)


@bank.wrong("D3.I1")
def as_list(outputs):
    """A Python list."""
    return energy_kept(outputs).tolist()
