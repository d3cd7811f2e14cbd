"""Right and wrong answers to D2.2b merge_segments."""

import torch

from checks.audit.answers import right, wrong
from solutions.d2_deepseek_moe import merge_segments


def number_of_tokens(y, num_segments):
    """How many tokens the rows make, or the refusal that the exercise gives."""
    if num_segments < 1 or y.shape[0] % num_segments:
        raise ValueError(f"num_segments must divide the {y.shape[0]} rows, got {num_segments}")
    return y.shape[0] // num_segments


@right
def tokens_counted(y, num_segments):
    """A reshape with the number of tokens written out."""
    return y.reshape(number_of_tokens(y, num_segments), -1)


@right
def unflattened(y, num_segments):
    """The rows unflattened to (T, m), then the slices joined."""
    tokens = number_of_tokens(y, num_segments)
    return y.unflatten(0, (tokens, num_segments)).flatten(1)


@right
def contiguous_view(y, num_segments):
    """view on a contiguous copy."""
    tokens = number_of_tokens(y, num_segments)
    return y.contiguous().view(tokens, num_segments * y.shape[1])


@right
def every_mth_row(y, num_segments):
    """Every m-th row is one slice of all tokens; cat along the features."""
    number_of_tokens(y, num_segments)
    return torch.cat([y[s::num_segments] for s in range(num_segments)], dim=-1)


@right
def heaps_of_rows(y, num_segments):
    """split in heaps of m rows, each flattened to one token."""
    number_of_tokens(y, num_segments)
    return torch.stack([heap.flatten() for heap in y.split(num_segments)])


@right
def filled_in(y, num_segments):
    """A tensor of zeros filled slice by slice."""
    tokens, width = number_of_tokens(y, num_segments), y.shape[1]
    merged = y.new_zeros(tokens, num_segments * width)
    for row in range(len(y)):
        token, s = divmod(row, num_segments)
        merged[token, s * width : (s + 1) * width] = y[row]
    return merged


@right
def through_transposes(y, num_segments):
    """(d, T, m) by the transpose, then to (T, m, d) and flat."""
    columns = y.T.unflatten(1, (number_of_tokens(y, num_segments), num_segments))
    return columns.permute(1, 2, 0).flatten(start_dim=1)


@wrong
def slice_major(y, num_segments):
    """chunk and cat: undoes a cut with all first slices first."""
    number_of_tokens(y, num_segments)
    return torch.cat(y.chunk(num_segments, dim=0), dim=1)


@wrong
def slice_major_transposed(y, num_segments):
    """Rows read as (m, T, d)."""
    tokens = number_of_tokens(y, num_segments)
    return y.reshape(num_segments, tokens, -1).transpose(0, 1).reshape(tokens, -1)


@wrong
def strided(y, num_segments):
    """The features of a token's slices interleaved: undoes `x[:, s::m]`."""
    tokens = number_of_tokens(y, num_segments)
    return y.reshape(tokens, num_segments, -1).transpose(1, 2).reshape(tokens, -1)


@wrong
def stacked_last(y, num_segments):
    """The slices stacked on a last axis before they are flattened: interleaved."""
    number_of_tokens(y, num_segments)
    return torch.stack([y[s::num_segments] for s in range(num_segments)], dim=-1).flatten(1)


@wrong
def transposed_first(y, num_segments):
    """`y.T` before the reshape: a token mixes all rows."""
    return y.T.reshape(number_of_tokens(y, num_segments), -1)


@wrong
def as_many_rows_as_m(y, num_segments):
    """num_segments rows, where T belong."""
    number_of_tokens(y, num_segments)
    return y.reshape(num_segments, -1)


@wrong
def last_slice_first(y, num_segments):
    """The slices of a token in reverse order."""
    tokens = number_of_tokens(y, num_segments)
    return y.unflatten(0, (tokens, num_segments)).flip(1).flatten(1)


@wrong
def summed(y, num_segments):
    """A token's slices added up: width D/m."""
    return y.unflatten(0, (number_of_tokens(y, num_segments), num_segments)).sum(dim=1)


@wrong
def averaged(y, num_segments):
    """The mean of a token's slices in each of its places."""
    tokens = number_of_tokens(y, num_segments)
    return y.unflatten(0, (tokens, num_segments)).mean(dim=1).repeat(1, num_segments)


@wrong
def over_number_of_segments(y, num_segments):
    """Right places, divided by m."""
    return merge_segments(y, num_segments) / num_segments


@wrong
def first_slices(y, num_segments):
    """Only the first row of each token."""
    number_of_tokens(y, num_segments)
    return y[::num_segments]


@wrong
def first_slice_repeated(y, num_segments):
    """A token's first slice in each of its places."""
    number_of_tokens(y, num_segments)
    return y[::num_segments].repeat(1, num_segments)


@wrong
def three_axes(y, num_segments):
    """(T, m, d), not flattened."""
    return y.unflatten(0, (number_of_tokens(y, num_segments), num_segments))


@wrong
def untouched(y, num_segments):
    """The rows as they came."""
    number_of_tokens(y, num_segments)
    return y


@wrong
def always_two(y, num_segments):
    """Two segments, whatever num_segments says."""
    number_of_tokens(y, num_segments)
    return y.reshape(-1, 2 * y.shape[1])


@wrong
def cut_once_more(y, num_segments):
    """Cuts the features once more where it should join them."""
    tokens, width = number_of_tokens(y, num_segments), y.shape[1]
    return y.reshape(-1, width // num_segments) if width % num_segments == 0 else y[:tokens]


@wrong
def view_only(y, num_segments):
    """`view` on y as it comes: an error when y is not contiguous."""
    return y.view(number_of_tokens(y, num_segments), -1)


@wrong
def in_float32(y, num_segments):
    """float32 whatever y is."""
    return merge_segments(y, num_segments).float()


@wrong
def filled_in_float32(y, num_segments):
    """`torch.zeros(T, D)` filled slice by slice: float32 whatever y is."""
    tokens, width = number_of_tokens(y, num_segments), y.shape[1]
    merged = torch.zeros(tokens, num_segments * width)
    for s in range(num_segments):
        merged[:, s * width : (s + 1) * width] = y[s::num_segments].float()
    return merged


@wrong
def detached_copy(y, num_segments):
    """A copy that is cut off from y: no gradient."""
    return merge_segments(y, num_segments).detach().clone()


@wrong
def squeezed(y, num_segments):
    """`squeeze` loses the token axis when there is one token."""
    return merge_segments(y, num_segments).squeeze()


@wrong
def neighbours_mixed(y, num_segments):
    """The slices one place on: a token ends with the first slice of the next."""
    return merge_segments(y.roll(-1, dims=0), num_segments)


@wrong
def as_list(y, num_segments):
    """A list of tokens."""
    return list(merge_segments(y, num_segments))


@wrong
def spoils_input(y, num_segments):
    """Right tokens, and the caller's y is zero afterwards."""
    merged = merge_segments(y, num_segments).clone()
    y.data.zero_()
    return merged


@wrong
def without_the_refusal(y, num_segments):
    """The line that refuses is gone: the last rows are lost without a word."""
    tokens = len(y) // num_segments
    return y[: tokens * num_segments].reshape(tokens, -1)
