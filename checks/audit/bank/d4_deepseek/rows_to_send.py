"""Right and wrong answers to D4.I3a rows_to_send."""

import torch

from checks.audit.answers import right, wrong


def counted(flat, num_experts):
    """How often each expert stands there."""
    return torch.bincount(flat, minlength=num_experts)


@right
def by_sort(experts, num_experts, num_processes):
    """`sort` gives the order beside the sorted."""
    flat = experts.reshape(-1)
    order = flat.sort(stable=True).indices
    return order, counted(flat, num_experts).view(num_processes, -1)


@right
def expert_by_expert(experts, num_experts, num_processes):
    """The places of each expert, one after the other."""
    flat = experts.flatten()
    places = [torch.where(flat == i)[0] for i in range(num_experts)]
    counts = torch.tensor([len(place) for place in places])
    return torch.cat(places), counts.reshape(num_processes, num_experts // num_processes)


@right
def in_python(experts, num_experts, num_processes):
    """A sorted list, which is stable."""
    flat = experts.flatten().tolist()
    order = sorted(range(len(flat)), key=flat.__getitem__)
    local = num_experts // num_processes
    counts = [[flat.count(r * local + i) for i in range(local)] for r in range(num_processes)]
    return torch.tensor(order, dtype=torch.int64), torch.tensor(counts)


@right
def by_one_key(experts, num_experts, num_processes):
    """Expert and place in one number, so that no sort needs to be stable."""
    flat = experts.flatten()
    key = flat * max(1, len(flat)) + torch.arange(len(flat))
    ones = torch.ones_like(flat)
    counts = torch.zeros(num_experts, dtype=torch.int64).index_add(0, flat, ones)
    return key.argsort(), counts.unflatten(0, (num_processes, -1))


@right
def one_hot(experts, num_experts, num_processes):
    """A row of a one-hot table per choice; their sum are the counts."""
    flat = experts.flatten()
    table = torch.nn.functional.one_hot(flat, num_experts)
    order = table.T.nonzero()[:, 1]
    return order, table.sum(0).view(num_processes, -1)


@wrong
def unsorted(experts, num_experts, num_processes):
    """In the order of the tokens."""
    flat = experts.flatten()
    return torch.arange(len(flat)), counted(flat, num_experts).view(num_processes, -1)


@wrong
def by_process_alone(experts, num_experts, num_processes):
    """Sorted by process; within one by token."""
    flat = experts.flatten()
    order = (flat // (num_experts // num_processes)).argsort(stable=True)
    return order, counted(flat, num_experts).view(num_processes, -1)


@wrong
def where_it_goes(experts, num_experts, num_processes):
    """The inverse of the order."""
    flat = experts.flatten()
    order = flat.argsort(stable=True).argsort()
    return order, counted(flat, num_experts).view(num_processes, -1)


@wrong
def tokens(experts, num_experts, num_processes):
    """The token of each row in place of the choice."""
    flat = experts.flatten()
    order = flat.argsort(stable=True) // experts.shape[1]
    return order, counted(flat, num_experts).view(num_processes, -1)


@wrong
def dealt_out(experts, num_experts, num_processes):
    """Expert i at process i % n."""
    flat = experts.flatten()
    order = (flat % num_processes).argsort(stable=True)
    return order, counted(flat, num_experts).view(-1, num_processes).T.contiguous()


@wrong
def counts_dealt_out(experts, num_experts, num_processes):
    """The counts of experts dealt out in turn, with the right order."""
    flat = experts.flatten()
    counts = counted(flat, num_experts).view(-1, num_processes).T.contiguous()
    return flat.argsort(stable=True), counts


@wrong
def per_process(experts, num_experts, num_processes):
    """One count per process."""
    flat = experts.flatten()
    counts = counted(flat, num_experts).view(num_processes, -1).sum(1)
    return flat.argsort(stable=True), counts


@wrong
def per_expert(experts, num_experts, num_processes):
    """One row of counts."""
    flat = experts.flatten()
    return flat.argsort(stable=True), counted(flat, num_experts)


@wrong
def descending(experts, num_experts, num_processes):
    """From the last expert to the first."""
    flat = experts.flatten()
    order = flat.argsort(stable=True, descending=True)
    return order, counted(flat, num_experts).view(num_processes, -1)


@wrong
def turned_within(experts, num_experts, num_processes):
    """Rows for the same expert from the last to the first."""
    flat = experts.flatten()
    order = len(flat) - 1 - flat.flip(0).argsort(stable=True)
    return order, counted(flat, num_experts).view(num_processes, -1)


@wrong
def up_to_the_largest(experts, num_experts, num_processes):
    """As many counts as the largest chosen expert needs, padded behind by what is there."""
    flat = experts.flatten()
    counts = torch.bincount(flat)
    return flat.argsort(stable=True), counts.view(num_processes, -1)


@wrong
def first_choices(experts, num_experts, num_processes):
    """The first choice of each token alone."""
    flat = experts[:, 0]
    return flat.argsort(stable=True), counted(flat, num_experts).view(num_processes, -1)


@wrong
def by_slot(experts, num_experts, num_processes):
    """Choices numbered by slot, then token."""
    flat = experts.T.flatten()
    return flat.argsort(stable=True), counted(flat, num_experts).view(num_processes, -1)


@wrong
def as_floats(experts, num_experts, num_processes):
    """Counts as float32."""
    flat = experts.flatten()
    counts = counted(flat, num_experts).view(num_processes, -1).float()
    return flat.argsort(stable=True), counts


@wrong
def counts_first(experts, num_experts, num_processes):
    """The two in the other order."""
    flat = experts.flatten()
    return counted(flat, num_experts).view(num_processes, -1), flat.argsort(stable=True)


@wrong
def sorted_in_place(experts, num_experts, num_processes):
    """The caller's choices are sorted."""
    flat = experts.view(-1)
    order = flat.argsort(stable=True)
    counts = counted(flat, num_experts).view(num_processes, -1)
    flat.copy_(flat.sort().values)
    return order, counts


@wrong
def running_sums(experts, num_experts, num_processes):
    """Where each expert's rows end, in place of how many there are."""
    flat = experts.flatten()
    counts = counted(flat, num_experts).cumsum(0).view(num_processes, -1)
    return flat.argsort(stable=True), counts
