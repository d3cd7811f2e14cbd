"""What answers to D1.3 dispatch_combine are built from."""

import torch


def choices(experts, expert_array):
    """Each expert that was chosen, with the tokens and slots that chose it."""
    for i in range(len(expert_array)):
        token, slot = torch.where(experts == i)
        if len(token):
            yield expert_array[i], token, slot
