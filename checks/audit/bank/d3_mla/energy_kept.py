"""Right and wrong answers to D3.I1 energy_kept."""

from itertools import accumulate

import numpy as np
import torch
from torch.nn import functional as F

from checks.audit.answers import right, wrong
from solutions.d3_mla import energy_kept


@right
def eigenvalues_of_gram(outputs):
    """Eigenvalues of the smaller Gram matrix, turned round."""
    tall = outputs if outputs.shape[0] >= outputs.shape[1] else outputs.T
    squares = torch.linalg.eigvalsh(tall.T @ tall).flip(0)
    return squares.cumsum(0) / squares.sum()


@right
def whole_from_the_rows(outputs):
    """The whole is the rows' squared length, not the sum of the singular values' squares."""
    sizes = torch.linalg.svd(outputs, full_matrices=False).S
    return torch.cumsum(sizes.square(), dim=0) / outputs.square().sum()


@right
def running_sum_in_a_loop(outputs):
    """A loop that adds one square after the other."""
    squares = [size**2 for size in torch.linalg.svdvals(outputs)]
    kept, shares = 0, []
    for square in squares:
        kept = kept + square
        shares.append(kept / sum(squares))
    return torch.stack(shares)


@right
def shares_first(outputs):
    """Singular values brought to length one, then squared and summed by a triangle."""
    shares = F.normalize(torch.linalg.svdvals(outputs), dim=0).pow(2)
    return torch.ones(len(shares), len(shares)).to(shares).tril() @ shares


@right
def rows_along_directions(outputs):
    """The squared lengths of the rows along each direction, measured."""
    directions = torch.linalg.svd(outputs, full_matrices=False).Vh
    along = (outputs @ directions.T).square().sum(dim=0).sort(descending=True).values
    return along.cumsum(0) / outputs.norm() ** 2


@right
def one_less_what_is_left(outputs):
    """Each direction taken off in turn: one less the share that is left."""
    left, sizes, right = torch.linalg.svd(outputs, full_matrices=False)
    shares, whole = [], outputs.square().sum()
    for i in range(len(sizes)):
        outputs = outputs - sizes[i] * torch.outer(left[:, i], right[i])
        shares.append(1 - outputs.square().sum() / whole)
    return torch.stack(shares)


@right
def in_numpy(outputs):
    """NumPy's singular values and Python's accumulate."""
    squares = np.linalg.svd(outputs.detach().numpy(), compute_uv=False) ** 2
    shares = np.array(list(accumulate(squares))) / squares.sum()
    return torch.from_numpy(shares).to(outputs)


@right
def from_triangle(outputs):
    """The triangle of a QR has the same singular values; in float64, cast back."""
    wide = outputs.double() if outputs.shape[0] >= outputs.shape[1] else outputs.double().T
    squares = torch.linalg.svdvals(torch.linalg.qr(wide, mode="r").R).square()
    return (squares.cumsum(-1) / squares.sum(-1, keepdim=True)).to(outputs)


@wrong
def of_the_axes(outputs):
    """Squared lengths along the axes, not along the best directions."""
    squares = (outputs**2).sum(0 if len(outputs) >= outputs.shape[1] else 1)
    squares = squares.sort(descending=True).values
    return squares.cumsum(0) / squares.sum()


@wrong
def without_small_ones(outputs):
    """Singular values below 0.01 are taken for noise, whatever the size of the rest."""
    values = torch.linalg.svdvals(outputs)
    squares = torch.where(values < 1e-2, 0, values) ** 2
    return squares.cumsum(0) / squares.sum().clamp(min=1e-12)


@wrong
def without_squares(outputs):
    """The singular values themselves: it is the share of their sum."""
    sizes = torch.linalg.svdvals(outputs)
    return sizes.cumsum(0) / sizes.sum()


@wrong
def fourth_powers(outputs):
    """Squares of the Gram matrix's eigenvalues, which are squares already."""
    squares = torch.linalg.svdvals(outputs.T @ outputs)[: min(outputs.shape)] ** 2
    return squares.cumsum(0) / squares.sum()


@wrong
def not_normalised(outputs):
    """The squared length itself, not its share."""
    return (torch.linalg.svdvals(outputs) ** 2).cumsum(0)


@wrong
def mean_over_rows(outputs):
    """Squared length a row, not its share."""
    return (torch.linalg.svdvals(outputs) ** 2).cumsum(0) / len(outputs)


@wrong
def smallest_first(outputs):
    """eigvalsh as it comes: the worst directions first."""
    squares = (torch.linalg.svdvals(outputs) ** 2).flip(0)
    return squares.cumsum(0) / squares.sum()


@wrong
def turned_too_late(outputs):
    """Summed smallest first and then turned round: falls from 1."""
    squares = (torch.linalg.svdvals(outputs) ** 2).flip(0)
    return (squares.cumsum(0) / squares.sum()).flip(0)


@wrong
def without_sum(outputs):
    """The share of each direction, not of the first so many."""
    squares = torch.linalg.svdvals(outputs) ** 2
    return squares / squares.sum()


@wrong
def what_is_lost(outputs):
    """The share that is lost."""
    return 1 - energy_kept(outputs)


@wrong
def centred(outputs):
    """PCA: the mean of the rows is taken off first."""
    return energy_kept(outputs - outputs.mean(dim=0))


@wrong
def spoils_outputs(outputs):
    """Right shares, and the caller's outputs come back divided by their length."""
    shares = energy_kept(outputs)
    outputs /= outputs.norm()
    return shares


@wrong
def product(outputs):
    """A running product."""
    squares = torch.linalg.svdvals(outputs) ** 2
    return (squares / squares.sum()).cumprod(0)


@wrong
def for_each_row(outputs):
    """Each row's own numbers sorted: one curve a row."""
    squares = outputs.square().sort(dim=-1, descending=True).values
    return squares.cumsum(-1) / squares.sum(-1, keepdim=True)


@wrong
def best_coordinates(outputs):
    """The largest coordinates in place of the best directions."""
    squares = outputs.square().sum(0).sort(descending=True).values
    return (squares.cumsum(0) / squares.sum())[: min(outputs.shape)]


@wrong
def coordinates_as_they_stand(outputs):
    """The coordinates in their order, not even the largest first."""
    squares = outputs.square().sum(0)
    return (squares.cumsum(0) / squares.sum())[: min(outputs.shape)]


@wrong
def directions_of_first_rows(outputs):
    """QR's directions, in the order of the coordinates."""
    squares = torch.linalg.qr(outputs).R.square().sum(dim=1)
    return squares.cumsum(0) / squares.sum()


@wrong
def rows_of_one_length(outputs):
    """Each row brought to length one first: long keys count no more than short ones."""
    return energy_kept(F.normalize(outputs, dim=-1))


@wrong
def coordinates_of_one_size(outputs):
    """Each coordinate brought to one size first."""
    return energy_kept(F.normalize(outputs, dim=0))


@wrong
def from_none(outputs):
    """Starts with the share of no direction, and the last is missing."""
    return energy_kept(outputs).roll(1).index_fill(0, torch.tensor(0), 0)


@wrong
def one_more(outputs):
    """The share of no direction in front: one number more."""
    return F.pad(energy_kept(outputs), (1, 0))


@wrong
def without_last(outputs):
    """The last one, which is 1, is left out."""
    return energy_kept(outputs)[:-1]


@wrong
def one_for_each_coordinate(outputs):
    """W numbers, also where fewer rows leave fewer directions."""
    squares = torch.linalg.eigvalsh(outputs.T @ outputs).flip(0)
    return squares.cumsum(0) / squares.sum()


@wrong
def one_for_each_row(outputs):
    """N numbers, from the Gram matrix of the rows."""
    squares = torch.linalg.eigvalsh(outputs @ outputs.T).flip(0)
    return squares.cumsum(0) / squares.sum()


@wrong
def against_largest(outputs):
    """Divided by the largest: starts at 1 and rises."""
    squares = torch.linalg.svdvals(outputs) ** 2
    return squares.cumsum(0) / squares.max()


@wrong
def share_of_length(outputs):
    """The root: the share of the length, not of its square."""
    return energy_kept(outputs).sqrt()


@wrong
def squared_after_sum(outputs):
    """Summed first and then squared."""
    sizes = torch.linalg.svdvals(outputs)
    return (sizes.cumsum(0) / sizes.sum()) ** 2


@wrong
def softmax_of_squares(outputs):
    """softmax makes shares of anything."""
    return (torch.linalg.svdvals(outputs) ** 2).softmax(0).cumsum(0)


@wrong
def best_alone(outputs):
    """The share of the best direction, one number."""
    return energy_kept(outputs)[0]


@wrong
def in_percent(outputs):
    """Percent."""
    return 100 * energy_kept(outputs)


@wrong
def as_list(outputs):
    """A Python list."""
    return energy_kept(outputs).tolist()


@wrong
def small_ones_dropped(outputs):
    """Directions under a hundredth of the strongest count as noise."""
    squares = torch.linalg.svdvals(outputs) ** 2
    squares = torch.where(squares < 1e-4 * squares.max(), 0, squares)
    return squares.cumsum(0) / squares.sum()


@wrong
def of_rows_of_length_one(outputs):
    """Every row is brought to length one first."""
    return energy_kept(F.normalize(outputs, dim=-1))
