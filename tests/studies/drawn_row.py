"""The one stored row that a full test measures again: another one with each commit."""

import subprocess
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from lessons import stored_studies

ROUNDING = 0.02  # as a share: what another processor's order of additions may move a figure


def drawn(commit: str) -> tuple[str, int]:
    """The study and the seed that the commit's hash falls on; each row is as likely as another."""
    every = [
        (name, seed)
        for name in stored_studies.names()
        for seed in import_module(f"tests.studies.{name}").SEEDS
    ]
    return every[int(commit, 16) % len(every)]


def commit() -> str:
    """The hash of the commit that is checked out."""
    command = ["git", "-C", str(stored_studies.ROOT), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def far_off(found: Any, seed: int, rows: list[dict[str, Any]]) -> list[str]:
    """A line per figure of `found` farther from the stored row of `seed` than the seeds' spread."""
    of_rows = {row["seed"]: dict(figures(row)) for row in rows}
    lines = []
    for name, value in figures(found):
        over_seeds = [row[name] for row in of_rows.values() if name in row]
        wanted = of_rows[seed].get(name)
        spread = max(over_seeds, default=0.0) - min(over_seeds, default=0.0)
        if wanted is None or abs(value - wanted) > max(spread, ROUNDING * abs(wanted)):
            lines.append(f"{name}: {value:.4g} here, {wanted} stored, spread {spread:.4g}")
    return lines


def figures(found: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number in a row with the way to it; times are left out, since no two are alike."""
    if isinstance(found, dict):
        for key, value in found.items():
            if not {"ms", "seconds"} & set(str(key).replace("_", " ").split()):
                yield from figures(value, f"{name} {key}".strip())
    elif isinstance(found, list | tuple):
        for i, value in enumerate(found):
            yield from figures(value, f"{name} {i}")
    elif isinstance(found, int | float) and name != "seed":
        yield name, float(found)
