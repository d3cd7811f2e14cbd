"""Which folder the notebook of this process lies in, wherever the process itself may be by now."""

import os
import tempfile
from pathlib import Path

from IPython import get_ipython

from checks.learner_files import paths


def folder() -> Path | None:
    """The notebook's folder, the current folder outside a notebook, or None where that is gone.

    VS Code tells a kernel its notebook's file, JupyterLab sets a variable of the environment;
    every other kernel began in its notebook's folder.
    """
    shell = get_ipython()
    try:
        if shell is None:
            return Path.cwd().resolve()
        file = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
        return Path(file).resolve().parent if file else Path(shell.starting_dir).resolve()
    except OSError:
        return None


def is_learners() -> bool:
    """Whether it lies in `work/`, where the learner's notebooks are."""
    return folder() == paths.WORK.resolve()


def folder_of_its_own(name: str) -> Path:
    """`work/name` for a learner's notebook, which keeps it; any other gets a temporary folder."""
    if is_learners():
        return paths.WORK / name
    return Path(tempfile.mkdtemp()) / name


def why_not() -> str:
    """Where the notebook lies instead, in half a sentence; empty for a solved one, and in `work/`.

    Solved notebooks are the course's own: nobody expects their checks on the board.
    """
    place = folder()
    if (
        place in (paths.WORK.resolve(), (paths.ROOT / "solutions").resolve())
        or get_ipython() is None
    ):
        return ""
    return f"this notebook lies in {place}, not in {paths.WORK}"
