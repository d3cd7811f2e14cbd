"""D1.4a expert_load, answered rightly and wrongly."""

from collections import Counter

import numpy as np
import torch
from torch.nn import functional as F

from checks.answers.bank import Bank
from solutions.d1_moe import expert_load

bank = Bank("d1_moe")


@bank.right("D1.4a")
def one_hot_sum(experts, num_experts):
    """One-hot vectors, summed over tokens and slots."""
    return F.one_hot(experts, num_experts).sum(dim=(0, 1))


@bank.right("D1.4a")
def scatter_of_ones(experts, num_experts):
    """scatter_add of ones into zeros."""
    flat = experts.reshape(-1)
    return torch.zeros(num_experts, dtype=torch.int64).scatter_add(0, flat, torch.ones_like(flat))


@bank.right("D1.4a")
def one_comparison_an_expert(experts, num_experts):
    """A loop over the experts."""
    return torch.stack([(experts == i).sum() for i in range(num_experts)])


@bank.right("D1.4a")
def in_numpy(experts, num_experts):
    """NumPy's bincount and back."""
    counts = np.bincount(experts.numpy().ravel(), minlength=num_experts)
    return torch.from_numpy(counts.astype(np.int64))


@bank.right("D1.4a")
def by_counter(experts, num_experts):
    """A Counter of Python numbers."""
    counts = Counter(experts.flatten().tolist())
    return torch.tensor([counts[i] for i in range(num_experts)])


@bank.right("D1.4a")
def unique_filled_in(experts, num_experts):
    """unique with counts, put in their places among zeros."""
    numbers, counts = experts.unique(return_counts=True)
    load = torch.zeros(num_experts, dtype=torch.long)
    load[numbers] = counts
    return load


@bank.right("D1.4a")
def compared_with_range(experts, num_experts):
    """One broadcast comparison with arange."""
    return (experts[..., None] == torch.arange(num_experts)).flatten(0, 1).sum(0)


@bank.right("D1.4a")
def index_put_ones(experts, num_experts):
    """index_put of a one with accumulate."""
    load = torch.zeros(num_experts, dtype=torch.int64)
    return load.index_put_((experts,), torch.tensor(1), accumulate=True)


@bank.wrong("D1.4a")
def no_minlength(experts, num_experts):
    """bincount without minlength: too short when the last expert is empty."""
    return torch.bincount(experts.flatten())


@bank.wrong("D1.4a")
def unique_counts(experts, num_experts):
    """unique with counts: no zero for an expert nobody chose."""
    return experts.unique(return_counts=True)[1]


@bank.wrong("D1.4a")
def unique_padded(experts, num_experts):
    """The counts of unique with zeros at the end: in the wrong places."""
    counts = experts.unique(return_counts=True)[1]
    return F.pad(counts, (0, num_experts - len(counts)))


@bank.wrong("D1.4a")
def first_choices(experts, num_experts):
    """Only each token's first choice."""
    return torch.bincount(experts[:, 0], minlength=num_experts)


@bank.wrong("D1.4a")
def as_floats(experts, num_experts):
    """Floating-point counts."""
    return expert_load(experts, num_experts).float()


@bank.wrong("D1.4a")
def as_int32(experts, num_experts):
    """int32 counts."""
    return expert_load(experts, num_experts).int()


@bank.wrong("D1.4a")
def as_list(experts, num_experts):
    """A Python list."""
    return expert_load(experts, num_experts).tolist()


@bank.wrong("D1.4a")
def as_array(experts, num_experts):
    """A NumPy array that never came back to PyTorch."""
    return np.bincount(experts.numpy().ravel(), minlength=num_experts)


@bank.wrong("D1.4a")
def shares(experts, num_experts):
    """Shares that sum to one, not counts."""
    return expert_load(experts, num_experts) / experts.numel()


@bank.wrong("D1.4a")
def tokens_worth(experts, num_experts):
    """Counts divided by K, rounded down."""
    return expert_load(experts, num_experts) // experts.shape[1]


@bank.wrong("D1.4a")
def one_too_many(experts, num_experts):
    """A place more than there are experts."""
    return torch.bincount(experts.flatten(), minlength=num_experts + 1)


@bank.wrong("D1.4a")
def counted_from_one(experts, num_experts):
    """Experts numbered from 1: everything moves one place on."""
    load = expert_load(experts, num_experts)
    return torch.cat([load.new_zeros(1), load[:-1]])


@bank.wrong("D1.4a")
def four_places(experts, num_experts):
    """Four experts, whatever num_experts says."""
    return torch.bincount(experts.flatten(), minlength=4)[:4]


@bank.wrong("D1.4a")
def busiest_first(experts, num_experts):
    """Sorted, so it no longer says which expert."""
    return expert_load(experts, num_experts).sort(descending=True).values


@bank.wrong("D1.4a")
def per_slot(experts, num_experts):
    """One row a slot: summed over the tokens only."""
    return F.one_hot(experts, num_experts).sum(dim=0)


@bank.wrong("D1.4a")
def whether_chosen(experts, num_experts):
    """One for any expert that was chosen: scatter without add."""
    return torch.zeros(num_experts, dtype=torch.int64).scatter(0, experts.flatten(), 1)


@bank.wrong("D1.4a")
def repeated_places(experts, num_experts):
    """`load[experts] += 1`, which adds once where an index repeats."""
    load = torch.zeros(num_experts, dtype=torch.int64)
    load[experts.flatten()] += 1
    return load


@bank.wrong("D1.4a")
def histogram_of_range(experts, num_experts):
    """histc between the smallest and largest number that came, not 0 and num_experts."""
    return torch.histc(experts.double(), bins=num_experts).long()


@bank.wrong("D1.4a")
def running_total(experts, num_experts):
    """Cumulative counts."""
    return expert_load(experts, num_experts).cumsum(0)


@bank.wrong("D1.4a")
def sorts_in_place(experts, num_experts):
    """Right counts, and the caller's choices come back sorted."""
    load = expert_load(experts, num_experts)
    experts.copy_(experts.sort(dim=0).values)
    return load
