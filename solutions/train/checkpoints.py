"""Checkpoints that any number of processes can go on from, by `torch.distributed.checkpoint`."""

import shutil
from pathlib import Path

import torch
from torch import distributed as dist
from torch import nn
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)

COMPLETE = ".metadata"  # written last, by rank 0


def save(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Afterwards `folder` holds what training goes on from after `step` steps, and no older one.

    A kill on the way leaves the one before.
    """
    target = folder / f"step-{step:08d}"
    if dist.get_rank() == 0:
        shutil.rmtree(target, ignore_errors=True)  # what a kill left unfinished
    dist.barrier()
    weights, state = get_state_dict(model, optimizer)
    checkpoint.save({"model": weights, "optimizer": state}, checkpoint_id=target)
    dist.barrier()
    if dist.get_rank() == 0:
        for older in folder.glob("step-*"):
            if older.name < target.name:
                shutil.rmtree(older)


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint in `folder`."""
    found = [path for path in sorted(folder.glob("step-*")) if (path / COMPLETE).is_file()]
    return found[-1] if found else None


def resume(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """The number of steps that `model` and `optimizer` have behind them after they were loaded.

    0, and nothing changed, where `folder` has no checkpoint.
    """
    found = latest(folder)
    if found is None:
        return 0
    weights, state = get_state_dict(model, optimizer)
    checkpoint.load({"model": weights, "optimizer": state}, checkpoint_id=found)
    set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=state)
    return int(found.name.partition("-")[2])


def load_weights(folder: Path, model: nn.Module) -> None:
    """Loads a whole model, in one process, from the newest checkpoint in `folder`."""
    weights = get_model_state_dict(model)
    checkpoint.load({"model": weights}, checkpoint_id=latest(folder), no_dist=True)
    model.load_state_dict(weights)
