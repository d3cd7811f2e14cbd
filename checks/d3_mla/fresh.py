"""Modules as an answer has just made them: of torch's own type, drawn by torch's own generator, and
with the settings that an older notebook's constructor does not take.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from checks.grading import expect
from checks.grading.result import Built
from checks.grading.source import value_read_as
from checks.grading.stages import Used

_UNLIKELY = 0x5EED_1E55  # a seed that no answer sets
_PARTS = ("QueryPath", "RotaryKey")  # what an attention hands its settings on to


def fresh(answer: Callable, name: str, *sizes: object, **options: object) -> Built:
    """The module that `answer` makes, once its weights have torch's default type."""
    with unseeded(f"{name}(...)"):
        made = answer(*sizes, **options)
    expect.module(made, name)
    for key, value in made.named_parameters():
        expect.require(
            value.dtype == torch.get_default_dtype(),
            f"{name} must be made in torch's default type, float32, and {key} is "
            f"{str(value.dtype).removeprefix('torch.')}",
            "Is a type fixed in the constructor? Whoever uses the module chooses it, by `.to`.",
        )
    return made


@contextmanager
def unseeded(what: str) -> Iterator[None]:
    """Raise Wrong if torch's generator is seeded anew within it."""
    kept = torch.get_rng_state()
    torch.default_generator.manual_seed(_UNLIKELY)  # torch.manual_seed asks every device too
    try:
        yield
        seed = torch.initial_seed()
    finally:
        torch.set_rng_state(kept)
    expect.require(
        seed == _UNLIKELY,
        f"{what} must draw from torch's generator as it is, and it sets a seed",
        "Is there a `torch.manual_seed`? It makes all later draws of the program the same.",
    )


def unseeding(use: Callable[[Any, Any], Used], what: str) -> Callable[[Any, Any], Used]:
    """`use`, whose call must not seed torch's generator."""

    def guarded(answer: Callable, case: object) -> Used:
        call, tensors = use(answer, case)

        def once() -> None:
            with unseeded(what):
                call()

        return once, tensors

    return guarded


def as_taken(stages: Mapping[str, Callable], name: str, **plain: object) -> dict[str, Callable]:
    """The stages, with the case's fields `plain` for an answer that does not take `name`."""
    return {title: _settled(stage, name, plain) for title, stage in stages.items()}


def _settled(stage: Callable[[Any, Any], None], name: str, plain: dict[str, Any]) -> Callable:
    def settled(answer: Callable, case: Any) -> None:
        parts = [value_read_as(part, answer, None) for part in _PARTS]
        takers = [answer, *(part for part in parts if part is not None)]
        stage(answer, case if all(takes(t, name) for t in takers) else replace(case, **plain))

    return settled


def takes(answer: object, name: str) -> bool:
    """Whether it has a parameter of this name, or takes whatever is passed by name."""
    try:
        parameters = inspect.signature(answer).parameters.values()  # type: ignore[arg-type]
    except Exception:  # written in C, or it answers for its own attributes
        return True
    return any(p.name == name or p.kind is p.VAR_KEYWORD for p in parameters)
