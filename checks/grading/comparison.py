"""An answer beside the reference: the same inputs and weights, the difference and the time."""

import ast
import difflib
import html
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from checks.grading.seeded import seeded
from checks.grading.source import source_of
from helpers.measuring.timing import median_milliseconds


@dataclass(frozen=True)
class Comparison:
    """How to hold an answer against the reference.

    `build(answer)` makes what is called (itself for a function), `run(built, inputs)` returns one
    tensor, whose order is fixed where the answer's is free, and `inputs()` draws the inputs.
    """

    inputs: Callable[[], tuple]
    run: Callable[[Any, tuple], Tensor]
    build: Callable[[Any], Any] = lambda answer: answer


COLOURS = {"-": "#a4133c", "+": "#1b7f3b"}  # of lines that only one of the two has


class Compared:
    """What `check.compare` shows: a sentence, and how the two sources differ, line by line."""

    def __init__(self, name: str, sentence: str, yours: str, reference: str):
        self.name, self.sentence = name, sentence
        self.yours, self.reference = yours, reference

    def difference(self) -> list[str]:
        """A unified diff of the sources without their docstrings; empty where they are the same."""
        yours, reference = (
            _without_docstrings(text).splitlines() for text in (self.yours, self.reference)
        )
        return [*difflib.unified_diff(yours, reference, "yours", "reference", lineterm="", n=2)]

    def __repr__(self) -> str:
        return "\n".join([self.sentence, "", *(self.difference() or ["The sources are the same."])])

    def _repr_html_(self) -> str:
        lines = (
            f"<span style='color:{COLOURS.get(line[:1], 'inherit')}'>{html.escape(line)}</span>"
            for line in self.difference() or ["The sources are the same."]
        )
        shown = "\n".join(lines)
        return f"<p>{html.escape(self.sentence)}</p><pre style='line-height:1.3'>{shown}</pre>"


def _without_docstrings(source: str) -> str:
    """The source without its docstrings; as it is where it cannot be parsed."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    lines = source.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            said = node.body[0]
            lines[said.lineno - 1 : said.end_lineno] = [""] * _height(said)
    return "\n".join(line for line in lines if line.strip())


def _height(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def comparison(name: str, answer: Callable, reference: Callable, how: Comparison) -> Compared:
    """The answer beside the reference: both run on the same inputs and weights, timed in turn."""
    with seeded(0):
        mine, true = how.build(answer), how.build(reference)
    yours, source = (source_of(a) or "(its source is not available)" for a in (answer, reference))
    refused = _share_weights(mine, true)
    if refused:
        return Compared(name, refused, yours, source)
    inputs = how.inputs()
    with torch.no_grad():
        gap = (how.run(mine, inputs).double() - how.run(true, inputs).double()).abs().max()
        ratio = _time_ratio(lambda: how.run(mine, inputs), lambda: how.run(true, inputs))
    sentence = f"largest difference {float(gap):.1e} · your time is {ratio:.2f} of the reference's"
    return Compared(name, sentence, yours, source)


def _share_weights(answer: object, reference: object) -> str:
    """Empty once `answer` has the weights of `reference`, else why it cannot have them."""
    if not (isinstance(answer, nn.Module) and isinstance(reference, nn.Module)):
        return ""
    try:
        answer.load_state_dict(reference.state_dict())
    except RuntimeError:
        names = ", ".join(name for name, _ in answer.named_parameters()) or "none"
        return f"The reference's weights do not fit yours ({names}), so only the sources compare."
    return ""


def _time_ratio(first: Callable, second: Callable) -> float:
    """The first's median time over the second's, from at most 15 turns in about a second."""
    start = time.perf_counter()
    first(), second()
    turns = min(15, int(1 / (time.perf_counter() - start)) + 1)
    taken = median_milliseconds({"first": first, "second": second}, turns)
    return taken["first"] / taken["second"]
