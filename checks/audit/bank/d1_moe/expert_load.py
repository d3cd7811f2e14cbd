"""Right and wrong answers to D1.4a expert_load."""

from collections import Counter

import numpy as np
import torch
from torch.nn import functional as F

from checks.audit.answers import right, wrong
from solutions.d1_moe import expert_load


@right
def one_hot_sum(experts, num_experts):
    """One-hot vectors, summed over tokens and slots."""
    return F.one_hot(experts, num_experts).sum(dim=(0, 1))


@right
def scatter_of_ones(experts, num_experts):
    """scatter_add of ones into zeros."""
    flat = experts.reshape(-1)
    return torch.zeros(num_experts, dtype=torch.int64).scatter_add(0, flat, torch.ones_like(flat))


@right
def one_comparison_an_expert(experts, num_experts):
    """A loop over the experts."""
    return torch.stack([(experts == i).sum() for i in range(num_experts)])


@right
def in_numpy(experts, num_experts):
    """NumPy's bincount and back."""
    counts = np.bincount(experts.numpy().ravel(), minlength=num_experts)
    return torch.from_numpy(counts.astype(np.int64))


@right
def by_counter(experts, num_experts):
    """A Counter of Python numbers."""
    counts = Counter(experts.flatten().tolist())
    return torch.tensor([counts[i] for i in range(num_experts)])


@right
def unique_filled_in(experts, num_experts):
    """unique with counts, put in their places among zeros."""
    numbers, counts = experts.unique(return_counts=True)
    load = torch.zeros(num_experts, dtype=torch.long)
    load[numbers] = counts
    return load


@right
def compared_with_range(experts, num_experts):
    """One broadcast comparison with arange."""
    return (experts[..., None] == torch.arange(num_experts)).flatten(0, 1).sum(0)


@right
def index_put_ones(experts, num_experts):
    """index_put of a one with accumulate."""
    load = torch.zeros(num_experts, dtype=torch.int64)
    return load.index_put_((experts,), torch.tensor(1), accumulate=True)


@wrong
def no_minlength(experts, num_experts):
    """bincount without minlength: too short when the last expert is empty."""
    return torch.bincount(experts.flatten())


@wrong
def unique_counts(experts, num_experts):
    """unique with counts: no zero for an expert nobody chose."""
    return experts.unique(return_counts=True)[1]


@wrong
def unique_padded(experts, num_experts):
    """The counts of unique with zeros at the end: in the wrong places."""
    counts = experts.unique(return_counts=True)[1]
    return F.pad(counts, (0, num_experts - len(counts)))


@wrong
def first_choices(experts, num_experts):
    """Only each token's first choice."""
    return torch.bincount(experts[:, 0], minlength=num_experts)


@wrong
def as_floats(experts, num_experts):
    """Floating-point counts."""
    return expert_load(experts, num_experts).float()


@wrong
def as_int32(experts, num_experts):
    """int32 counts."""
    return expert_load(experts, num_experts).int()


@wrong
def as_list(experts, num_experts):
    """A Python list."""
    return expert_load(experts, num_experts).tolist()


@wrong
def as_array(experts, num_experts):
    """A NumPy array that never came back to PyTorch."""
    return np.bincount(experts.numpy().ravel(), minlength=num_experts)


@wrong
def shares(experts, num_experts):
    """Shares that sum to one, not counts."""
    return expert_load(experts, num_experts) / experts.numel()


@wrong
def tokens_worth(experts, num_experts):
    """Counts divided by K, rounded down."""
    return expert_load(experts, num_experts) // experts.shape[1]


@wrong
def one_too_many(experts, num_experts):
    """A place more than there are experts."""
    return torch.bincount(experts.flatten(), minlength=num_experts + 1)


@wrong
def counted_from_one(experts, num_experts):
    """Experts numbered from 1: everything moves one place on."""
    load = expert_load(experts, num_experts)
    return torch.cat([load.new_zeros(1), load[:-1]])


@wrong
def four_places(experts, num_experts):
    """Four experts, whatever num_experts says."""
    return torch.bincount(experts.flatten(), minlength=4)[:4]


@wrong
def busiest_first(experts, num_experts):
    """Sorted, so it no longer says which expert."""
    return expert_load(experts, num_experts).sort(descending=True).values


@wrong
def per_slot(experts, num_experts):
    """One row a slot: summed over the tokens only."""
    return F.one_hot(experts, num_experts).sum(dim=0)


@wrong
def whether_chosen(experts, num_experts):
    """One for any expert that was chosen: scatter without add."""
    return torch.zeros(num_experts, dtype=torch.int64).scatter(0, experts.flatten(), 1)


@wrong
def repeated_places(experts, num_experts):
    """`load[experts] += 1`, which adds once where an index repeats."""
    load = torch.zeros(num_experts, dtype=torch.int64)
    load[experts.flatten()] += 1
    return load


@wrong
def histogram_of_range(experts, num_experts):
    """histc between the smallest and largest number that came, not 0 and num_experts."""
    return torch.histc(experts.double(), bins=num_experts).long()


@wrong
def running_total(experts, num_experts):
    """Cumulative counts."""
    return expert_load(experts, num_experts).cumsum(0)


@wrong
def counted_in_a_byte(experts, num_experts):
    """Counts in uint8, which begin again at 256."""
    return (
        F.one_hot(experts, num_experts)
        .flatten(0, 1)
        .to(torch.uint8)
        .cumsum(0, dtype=torch.uint8)[-1]
        .long()
    )


@wrong
def counted_in_int16(experts, num_experts):
    """Counts in int16, which ends at 32,767."""
    return F.one_hot(experts, num_experts).sum((0, 1), dtype=torch.int16).long()


@wrong
def counted_in_half(experts, num_experts):
    """Counts in float16, which rounds from 2,048 on."""
    return F.one_hot(experts, num_experts).half().sum((0, 1)).long()


@wrong
def numbered_in_a_byte(experts, num_experts):
    """The experts' numbers in int8, which ends at 127."""
    return torch.bincount(experts.flatten().to(torch.int8), minlength=num_experts)


@wrong
def sorts_in_place(experts, num_experts):
    """Right counts, and the caller's choices come back sorted."""
    load = expert_load(experts, num_experts)
    experts.copy_(experts.sort(dim=0).values)
    return load


@wrong
def python_sum_of_rows(experts, num_experts):
    """Python's sum over the tokens, which is the number 0 where there is none."""
    return sum(F.one_hot(row, num_experts).sum(0) for row in experts)


@wrong
def as_wide_as_the_largest(experts, num_experts):
    """Padded to its width from the largest number, which an empty tensor does not have."""
    load = torch.zeros(num_experts, dtype=torch.int64)
    found = experts.flatten().bincount()
    load[: int(experts.max()) + 1] = found
    return load
