"""Which cells of a notebook decide on its exercises, by their numbers, as `validate` runs them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from checks.learner_files.answers import Answer, definitions
from checks.learner_files.notebook import CodeCell


def deciding(cells: Sequence[CodeCell], found: Mapping[str, Answer]) -> dict[int, CodeCell]:
    """Set-up, definitions and exercises by index, and of other cells the answers in them."""
    elsewhere = {answer.cell: answer.source for answer in found.values()}
    around = definitions(cells, found)
    return {
        i: cell if cell.role == "exercise" or cell.only_defines else replace(cell, source=source)
        for i, cell in enumerate(cells)
        for source in [elsewhere.get(i, cell.source)]
        if i in around or i in elsewhere or cell.role == "exercise"
    }
