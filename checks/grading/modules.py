"""What the check of every module asks of it, whatever the module computes."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from checks.grading import expect
from checks.grading.result import Built, Wrong
from checks.grading.stage_run import Stage, require_unchanged_torch


def in_both_modes(stages: Mapping[str, Stage]) -> dict[str, Stage]:
    """The stages, each of them judging the answer's modules in training and in evaluation mode."""
    return {title: _in_both_modes(stage) for title, stage in stages.items()}


def _in_both_modes(stage: Stage) -> Stage:
    """The stage from the same random numbers in each mode; a slip of one mode names it."""

    def both(answer: Callable, case: object) -> None:
        random = torch.get_rng_state()
        training = _slip(stage, answer, case)
        torch.set_rng_state(random)
        try:
            evaluation = _slip(stage, _evaluating(answer), case)
        except Exception:
            if training is None:
                raise
            evaluation = training
        if training and evaluation:
            raise training
        if training or evaluation:
            mode = "training" if training else "evaluation"
            raise Wrong(f"only in {mode} mode (see `self.training`): {training or evaluation}")

    return both


def _slip(stage: Stage, answer: Callable, case: object) -> Wrong | None:
    seed = torch.initial_seed()
    try:
        stage(answer, case)
        require_unchanged_torch(seed)
    except Wrong as wrong:
        return wrong
    return None


def _evaluating(answer: Callable) -> Callable:
    """A constructor that hands over its module in evaluation mode."""

    def made(*sizes: Any, **options: Any) -> object:
        module = answer(*sizes, **options)
        return module.eval() if isinstance(module, nn.Module) else module

    return made


def made_in_type_in_force(make: Callable[[Any, Any], Built]) -> Stage:
    """A stage in which `make(answer, case)` returns a module of torch's default type."""
    return lambda answer, case: expect_type_in_force(make(answer, case))


def expect_type_in_force(module: nn.Module) -> None:
    """Raise Wrong unless all floating-point numbers of a new module are in torch's default type."""
    wanted = torch.get_default_dtype()
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        expect.require(
            value.dtype == wanted or not value.is_floating_point(),
            f"{name} must be in torch's default type until the caller asks for another, and it is "
            f"{expect.shown(value)}",
            "Does the constructor fix a type (`.double()`, `.bfloat16()`, `dtype=`)?",
        )


def expect_other_starts(make: Callable[[], nn.Module], what: str) -> None:
    """Raise Wrong if two modules, made one after the other, hold the same numbers."""
    first, second = (nn.utils.parameters_to_vector(make().parameters()) for _ in range(2))
    expect.require(
        not torch.equal(first, second),
        f"two {what}, made one after the other, must start from different numbers, and they are "
        "equal",
        "Is a seed set in the constructor, or are all weights made equal?",
    )


def expect_own_memory(module: nn.Module) -> None:
    """Raise Wrong if a number of one parameter is also one of another's. Writes into them all."""
    named = list(module.named_parameters())
    with torch.no_grad():
        for i, (_, parameter) in enumerate(named):
            parameter.fill_(i)
    for i, (name, parameter) in enumerate(named):
        if (parameter != i).any():
            other = named[int(parameter[parameter != i][0])][0]
            expect.require(
                False,
                f"{name} and {other} lie in the same memory: what one learns overwrites the other",
                "Is the `.data` of one handed to the other?",
            )


def new_module(answer: Callable, name: str, *sizes: object, **options: object) -> Built:
    """The module that `answer` makes, once it is one and in torch's default type."""
    made = answer(*sizes, **options)
    expect.module(made, name)
    expect_type_in_force(made)
    return made
