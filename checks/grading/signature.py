"""Whether a check got what it grades: the class or function, with the lesson's parameters."""

import inspect
from collections.abc import Callable
from typing import Any

from checks.grading.expect import shown


def refusal(name: str, reference: Callable, answer: Any) -> str:
    """Why `answer` cannot be graded as `name`, in one sentence; empty where it can."""
    wants_class = _is_class(reference)
    fits = _is_class(answer) if wants_class else callable(answer) and not _is_class(answer)
    if fits:
        return _other_parameters(name, reference, answer)
    wanted = f"the check takes the {'class' if wants_class else 'function'} {name} itself"
    ask = " Are there brackets or quotes beside its name?"
    return f"{wanted}, got {shown(answer)}.{'' if _is_class(answer) else ask}"


def _is_class(value: object) -> bool:
    return issubclass(type(value), type)  # isinstance would ask the value itself


def _other_parameters(name: str, reference: Callable, answer: Callable) -> str:
    parameters = inspect.signature(reference).parameters.values()
    wanted = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    try:
        signature = inspect.signature(answer)
    except Exception:  # written in C, or it answers for its own attributes
        return ""
    try:
        signature.bind(*wanted, **dict.fromkeys(by_name))
    except TypeError:
        came = ", ".join(signature.parameters)
        return f"the parameters of {name} must be ({', '.join(wanted)}), got ({came})."
    return ""
