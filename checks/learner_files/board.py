"""The board: the fourteen subtasks of the plan, and how far the learner has come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from checks.learner_files import progress

SUBTASKS = {
    "D1.1": "Top-K router",
    "D1.2": "Expert array",
    "D1.3": "Token dispatch and combination",
    "D1.4": "Load balancing metrics",
    "D1.5": "Complete MoE layer",
    "D2.1": "Shared experts",
    "D2.2": "Fine-grained segment routing",
    "D2.3": "Bias-based load balancing",
    "D3.1": "Latent projections",
    "D3.2": "Latent KV cache",
    "D3.3": "Full MLA integration",
    "D4.1": "Single DeepSeek block",
    "D4.2": "Complete decoder",
    "D4.3": "Training and validation",
}

SYMBOLS = {"passed": "✓", "borrowed": "◐", "wrong": "✗", "raised": "✗", "stopped": "✗"}
WORDS = {"unwritten": "not written yet", "borrowed": "borrowed from the reference"}


def text(exercises: Mapping[str, str]) -> str:
    """The fourteen subtasks, and what lies beyond them, with the state of each exercise.

    `exercises` are the names of those there are, by id. A verdict is shown of the code as saved.
    """
    kept, saved = progress.read(), progress.saved_codes(exercises)
    rows = {e: _Row.of(name, kept.get(e, {}), saved.get(e)) for e, name in exercises.items()}
    lines = []
    for subtask, title in SUBTASKS.items():
        own = [row for exercise, row in rows.items() if exercise.startswith(subtask)]
        lines += _section(f"{subtask} {title}", own)
    done = sum(line.startswith(("✓", "◐")) for line in lines)
    beyond = [row for exercise, row in rows.items() if not exercise.startswith(tuple(SUBTASKS))]
    lines += _section("Investigations, and beyond the plan", beyond)
    lines += _open_tasks({e: entry for e, entry in kept.items() if e not in exercises})
    return "\n".join([f"{done} of {len(SUBTASKS)} subtasks done", *lines])


def _section(title: str, rows: Sequence["_Row"]) -> list[str]:
    symbols = {row.symbol for row in rows} or {"·"}
    overall = next(symbol for symbol in "·✗◐✓" if symbol in symbols)
    return [f"{overall} {title}", *(f"    {row.symbol} {row.name}: {row.words}" for row in rows)]


def _open_tasks(kept: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The best figure of every open task that was measured; none of them counts as done."""
    measured = {e: entry for e, entry in sorted(kept.items()) if "figure" in entry}
    rows = [f"    {e} {entry['title']}: {_figure(entry)}" for e, entry in measured.items()]
    return ["Open tasks, best so far", *rows] if rows else []


def _figure(entry: Mapping[str, Any]) -> str:
    return f"{entry['figure']:.3g} {entry['unit']}"


@dataclass(frozen=True)
class _Row:
    """An exercise on the board."""

    name: str
    symbol: str
    words: str

    @classmethod
    def of(cls, name: str, entry: Mapping[str, Any], saved: str | None) -> "_Row":
        """What is known of the exercise; `saved` is the digest of its code as it lies there now."""
        state, code = entry.get("state", "not started"), entry.get("code", "")
        symbol, words = SYMBOLS.get(state, "·"), WORDS.get(state, state)
        if code and saved is not None and saved != code:
            if saved == entry.get("saved"):
                words += " (not saved yet)"
            else:
                symbol, words = "·", f"edited since (before: {words})"
        words += f", best so far {_figure(entry)}" if "figure" in entry else ""
        hints = entry.get("hints")
        return cls(name, symbol, words + (f" (hints seen: {hints} of 3)" if hints else ""))
