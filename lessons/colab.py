"""The learner's notebook for Google Colab: a cell before it fetches and installs the course."""

import tomllib
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from lessons.notebooks import learner_notebook

# Colab's kernel and editor are its own, and nothing there runs nbval.
COLABS_OWN = ("jupyterlab", "ipykernel", "nbclient", "nbval", "pytest")

TEXT = """\
*For Google Colab.* The next cell fetches the course and installs what the lesson needs, in some \
minutes and anew in every session. It replaces Colab's torch, by a CPU build, its numpy, \
matplotlib and transformers by those that the course is tested with; pip then names packages of \
Colab that wanted others: the course uses none of them. Colab keeps its own Jupyter packages. If \
it asks to restart the session, let it, and run the cell again.

Colab gives every notebook a machine of its own, which it takes back: save a copy in Drive. There \
is no `work/` there, so the board stays empty, and later lessons take the reference's parts."""

CELL = """\
import os, sys

folder = "/content/{name}"
if not os.path.isdir(folder):
    !git clone -q --depth 1 {address} {{folder}}
%pip install -q --extra-index-url https://download.pytorch.org/whl/cpu {pins}
os.environ["PYTHONPATH"] = folder
sys.path.insert(0, folder)"""


def colab_notebook(root: Path, stem: str) -> NotebookNode:
    """The learner's notebook with a text and a cell before it."""
    notebook = learner_notebook(root, stem)
    address = homepage(root)
    cell = CELL.format(name=address.rpartition("/")[2], address=address, pins=" ".join(pins(root)))
    notebook.cells[:0] = [
        new_markdown_cell(TEXT, id="colab-text"),
        new_code_cell(cell, id="colab-install"),
    ]
    return notebook


def homepage(root: Path) -> str:
    """Where the course lies: the one place that says so is pyproject.toml."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]["urls"]["Homepage"]


def pins(root: Path) -> list[str]:
    """What the lessons need of `requirements.txt`, without what Colab has as its own."""
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    needed = [line for line in lines if line[:1].isalpha()]
    return [line for line in needed if line.partition("==")[0] not in COLABS_OWN]
