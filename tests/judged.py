"""What was judged last, by digest: `judged.json` says of which sources each verdict is true."""

import json
from pathlib import Path

from helpers.atomic_file import write_atomically
from lessons import closure
from lessons.freshness import digest, stems, stems_up_to


def digests(root: Path) -> dict[str, str]:
    """The digest of what each judging step runs on, by the step's name."""
    found = {}
    for stem in stems(root):
        for kind, starts in _starts(root, stem).items():
            files = closure.closure(root, starts, stems_up_to(root, stem))
            found[f"{kind} {stem}"] = closure.digest(root, [root / "requirements.txt", *files])
        found[f"nbval {stem}"] = _of_notebook(root, stem)
    return found


def _starts(root: Path, stem: str) -> dict[str, list[Path]]:
    """The files that a judging step begins with, by kind; what they import counts too."""
    checks, tests, old = root / "checks", root / "tests", root / "tests" / "old_notebooks"
    own = [checks / stem / "__init__.py", root / "solutions" / f"{stem}.py"]
    bank = sorted((checks / "audit" / "bank" / stem).rglob("*.py"))
    looks = sorted((tests / "oracle").glob(f"{stem[:2]}_*.py"))
    lessons = tests / "lessons"
    held = [*sorted(lessons.glob("*.py")), *sorted((lessons / stem).rglob("*.py"))]
    both = [root / folder / f"{stem}.ipynb" for folder in ("notebooks", "solutions")]
    return {
        "checks": [*held, *own, *(path for path in both if path.is_file())],
        "audit": [checks / "audit" / "audit.py", checks / "__main__.py", *own, *bank],
        "oracle": [tests / "oracle" / "faults.py", tests / "oracle" / "answers.py", *looks, *bank],
        "old notebook": [old / f"{stem}.ipynb", root / "helpers" / "moved.py", *own],
    }


def _of_notebook(root: Path, stem: str) -> str:
    notebook = root / "solutions" / f"{stem}.ipynb"
    return closure.digest(root, [notebook] if notebook.is_file() else []) + digest(root, stem)[:16]


def stale(root: Path) -> set[str]:
    """The steps whose verdict is of other sources, or of none."""
    known = recorded(root)
    return {name for name, now in digests(root).items() if known.get(name) != now}


def recorded(root: Path) -> dict[str, str]:
    """What `judged.json` holds; nothing where it is missing."""
    path = _path(root)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def update(root: Path) -> bool:
    """Whether the file had to be written, since it held other digests than today's."""
    now = digests(root)
    if recorded(root) == now:
        return False
    write_atomically(_path(root), json.dumps(now, indent=1, sort_keys=True) + "\n")
    return True


def _path(root: Path) -> Path:
    return root / "tests" / "judged.json"
