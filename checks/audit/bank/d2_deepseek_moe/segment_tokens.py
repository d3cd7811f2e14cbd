"""Right and wrong answers to D2.2a segment_tokens."""

import torch
from torch.nn import functional as F

from checks.audit.answers import right, wrong
from solutions.d2_deepseek_moe import segment_tokens


def slice_width(x, num_segments):
    """The width of a slice, or the refusal that the exercise gives."""
    if num_segments < 1 or x.shape[1] % num_segments:
        raise ValueError(f"num_segments must divide the width {x.shape[1]}, got {num_segments}")
    return x.shape[1] // num_segments


@right
def rows_counted(x, num_segments):
    """A reshape with both sizes written out."""
    width = slice_width(x, num_segments)
    return x.reshape(x.size(0) * num_segments, width)


@right
def unflattened(x, num_segments):
    """The features unflattened to (m, D/m), then joined with the tokens."""
    width = slice_width(x, num_segments)
    return x.unflatten(1, (num_segments, width)).flatten(0, 1)


@right
def contiguous_view(x, num_segments):
    """view on a contiguous copy."""
    width = slice_width(x, num_segments)
    return x.contiguous().view(-1, width)


@right
def split_and_stacked(x, num_segments):
    """split along the features, stacked between tokens and features."""
    parts = x.split(slice_width(x, num_segments), dim=1)
    return torch.stack(parts, dim=1).flatten(end_dim=1)


@right
def every_mth_row(x, num_segments):
    """An empty tensor whose every m-th row is filled with one slice."""
    width = slice_width(x, num_segments)
    rows = x.new_empty(len(x) * num_segments, width)
    for s in range(num_segments):
        rows[s::num_segments] = x[:, s * width : (s + 1) * width]
    return rows


@right
def unfolded(x, num_segments):
    """Windows as wide as their step."""
    width = slice_width(x, num_segments)
    return x.unfold(1, width, width).reshape(-1, width)


@right
def token_by_token(x, num_segments):
    """A loop over tokens and slices."""
    width = slice_width(x, num_segments)
    starts = range(0, x.shape[1], width)
    return torch.stack([token[i : i + width] for token in x for i in starts])


@right
def gathered(x, num_segments):
    """The slices picked by index, with the token and the feature of every number."""
    width = slice_width(x, num_segments)
    row = torch.arange(len(x) * num_segments)[:, None]
    return x[row // num_segments, row % num_segments * width + torch.arange(width)]


@wrong
def slice_major(x, num_segments):
    """chunk and cat: all first slices, then all second ones."""
    slice_width(x, num_segments)
    return torch.cat(x.chunk(num_segments, dim=1), dim=0)


@wrong
def slice_major_transposed(x, num_segments):
    """(T, m, d) turned to (m, T, d) before it is flattened."""
    width = slice_width(x, num_segments)
    return x.reshape(-1, num_segments, width).transpose(0, 1).reshape(-1, width)


@wrong
def strided(x, num_segments):
    """Slice s takes every m-th feature, as RoPE's pairs or `x[:, s::m]` do."""
    width = slice_width(x, num_segments)
    return x.reshape(-1, width, num_segments).transpose(1, 2).reshape(-1, width)


@wrong
def strided_slice_major(x, num_segments):
    """`x[:, s::m]`, one slice after the other for all tokens."""
    slice_width(x, num_segments)
    return torch.cat([x[:, s::num_segments] for s in range(num_segments)])


@wrong
def transposed_first(x, num_segments):
    """`x.T` before the reshape: a row mixes tokens."""
    return x.T.reshape(-1, slice_width(x, num_segments))


@wrong
def segments_outside(x, num_segments):
    """Read as (m, T, d), which is not how the features lie."""
    width = slice_width(x, num_segments)
    return x.reshape(num_segments, -1, width).transpose(0, 1).reshape(-1, width)


@wrong
def rows_as_wide_as_m(x, num_segments):
    """Rows of width m where they should have width D/m."""
    slice_width(x, num_segments)
    return x.reshape(-1, num_segments)


@wrong
def as_many_rows_as_m(x, num_segments):
    """num_segments rows: the whole batch cut in m, not each token."""
    slice_width(x, num_segments)
    return x.reshape(num_segments, -1)


@wrong
def repeated_tokens(x, num_segments):
    """Each token m times, whole."""
    slice_width(x, num_segments)
    return x.repeat_interleave(num_segments, dim=0)


@wrong
def masked_tokens(x, num_segments):
    """Each token m times with all but one slice set to zero: rows of width D."""
    width = slice_width(x, num_segments)
    mask = torch.eye(num_segments).to(x).repeat_interleave(width, dim=1)
    return (x[:, None] * mask).flatten(0, 1)


@wrong
def last_slice_first(x, num_segments):
    """The slices of a token in reverse order."""
    width = slice_width(x, num_segments)
    return x.unflatten(1, (num_segments, width)).flip(1).flatten(0, 1)


@wrong
def first_slices(x, num_segments):
    """Only the first slice of each token."""
    return x[:, : slice_width(x, num_segments)]


@wrong
def first_slice_repeated(x, num_segments):
    """The first slice in every row of a token: the loop's start never moves."""
    width = slice_width(x, num_segments)
    return x[:, :width].repeat_interleave(num_segments, dim=0)


@wrong
def three_axes(x, num_segments):
    """(T, m, d), not flattened."""
    return x.unflatten(1, (num_segments, slice_width(x, num_segments)))


@wrong
def as_tuple(x, num_segments):
    """The tuple that chunk returns."""
    slice_width(x, num_segments)
    return x.chunk(num_segments, dim=1)


@wrong
def always_two(x, num_segments):
    """Two segments, whatever num_segments says."""
    slice_width(x, num_segments)
    return x.reshape(2 * len(x), -1)


@wrong
def always_eight(x, num_segments):
    """The plan's eight segments where the width allows."""
    return x.reshape(-1, x.shape[1] // 8 if x.shape[1] % 8 == 0 else slice_width(x, num_segments))


@wrong
def view_only(x, num_segments):
    """`view` on x as it comes: an error when x is not contiguous."""
    return x.view(-1, slice_width(x, num_segments))


@wrong
def in_memory_order(x, num_segments):
    """Reads the numbers as they lie in memory, which is not their order in a transpose."""
    width = slice_width(x, num_segments)
    rows = len(x) * num_segments
    return x.as_strided((rows, width), (width, 1)) if num_segments > 1 else x


@wrong
def in_float32(x, num_segments):
    """float32 whatever x is."""
    return segment_tokens(x, num_segments).float()


@wrong
def detached_copy(x, num_segments):
    """A copy that is cut off from x: no gradient."""
    return segment_tokens(x, num_segments).detach().clone()


@wrong
def through_numpy(x, num_segments):
    """NumPy and back: no gradient."""
    rows = x.detach().numpy().reshape(-1, slice_width(x, num_segments))
    return torch.from_numpy(rows.copy())


@wrong
def normalised(x, num_segments):
    """Each slice brought to length one."""
    return F.normalize(segment_tokens(x, num_segments), dim=-1)


@wrong
def scaled(x, num_segments):
    """Each slice divided by sqrt(m), out of habit from attention."""
    return segment_tokens(x, num_segments) / num_segments**0.5


@wrong
def squeezed(x, num_segments):
    """`squeeze` loses an axis of length one."""
    return segment_tokens(x, num_segments).squeeze()


@wrong
def overlapping(x, num_segments):
    """Windows that move by one feature: too many rows, and they overlap."""
    width = slice_width(x, num_segments)
    return x.unfold(1, width, 1).reshape(-1, width)


@wrong
def spoils_input(x, num_segments):
    """Right rows, and the caller's x is zero afterwards."""
    rows = segment_tokens(x, num_segments).clone()
    x.data.zero_()
    return rows


@wrong
def without_the_refusal(x, num_segments):
    """The line that refuses is gone: the last numbers of a token are lost without a word."""
    width = x.shape[1] // num_segments
    rows = [x[:, s * width : (s + 1) * width] for s in range(num_segments)]
    return torch.stack(rows, dim=1).reshape(-1, width)
