"""Parts from older notebooks: their constructors lack settings that were added since."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from checks.grading.source import value_read_as

_PARTS = ("QueryPath", "RotaryKey")  # what an attention hands its settings on to


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
