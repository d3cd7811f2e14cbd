"""What a study measured over its seeds, read where a lesson shows more than it can train."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "lessons" / "studies"


def stored_rows(name: str) -> list[dict[str, Any]]:
    """The rows of `lessons/studies/<name>.json`, one per seed, each with its `"seed"`.

    `python -m tests.studies <name>` measures them. Raises ValueError where there is no such study.
    """
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(study.stem for study in FOLDER.glob("*.json")))
        raise ValueError(f"there is no stored study {name!r}; there are {known}")
    return json.loads(path.read_text(encoding="utf-8"))["rows"]
