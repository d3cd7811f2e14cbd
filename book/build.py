"""Makes the course's pages: `python3 book/build.py FOLDER` leaves them in `FOLDER/html`.

They are README, the solved lessons with the outputs that they have, the reference's docstrings and
docs/. Jupyter Book lies in an environment of its own, `FOLDER/venv`; nothing is executed.
"""

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
sys.path.insert(0, str(ROOT))

from book.reference import page  # noqa: E402

SHOWN = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md", "solutions/*.ipynb"]
SHOWN += [".github/pictures/*"]
WIDGET = "application/vnd.jupyter.widget-view+json"
MOVES = "*Sliders and buttons stand here when the lesson runs.*"


def build(folder: Path) -> Path:
    """The folder of the pages; whatever Sphinx warns of ends the program."""
    python, source = environment(folder / "venv"), folder / "source"
    gather(source)
    book = [python, "-c", "from jupyter_book.cli.main import main; main()", "build", str(source)]
    subprocess.run([*book, "-W", "-n", "--keep-going", "--path-output", str(folder)], check=True)
    pages = folder / "html"
    shutil.copytree(folder / "_build" / "html", pages, dirs_exist_ok=True)
    return pages


def environment(folder: Path) -> str:
    """The Python of an environment that holds Jupyter Book."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
    wanted = str(BOOK / "requirements.txt")
    install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", wanted]
    subprocess.run([str(python), *install], check=True)
    return str(python)


def gather(source: Path) -> None:
    """What the pages are made from lies in `source` as it does in the course."""
    shutil.rmtree(source, ignore_errors=True)
    for path in [found for pattern in SHOWN for found in ROOT.glob(pattern)]:
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        copy.write_bytes(for_a_page(content) if path.suffix == ".ipynb" else content)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copyfile(BOOK / name, source / name)
    shutil.copytree(BOOK / "_static", source / "_static")
    (source / "reference").mkdir()
    for module in ROOT.glob("solutions/d*.py"):
        text = page(f"solutions.{module.stem}", module.read_text(encoding="utf-8"))
        (source / "reference" / f"{module.stem}.md").write_text(text, encoding="utf-8")


def for_a_page(notebook: bytes) -> bytes:
    """The notebook as a page can show it.

    Its folded cells are folded there, too; pictures keep their words; a widget leaves its picture.
    """
    content = json.loads(notebook)
    for cell in content["cells"]:
        if "jupyter" in cell["metadata"]:
            cell["metadata"].setdefault("tags", []).append("hide-input")
        for output in cell.get("outputs", []):
            if words := output.get("metadata", {}).get("image/png", {}).get("alt"):
                cell["metadata"]["mystnb"] = {"image": {"alt": words}}
            if output.get("data", {}).pop(WIDGET, None) and "image/png" not in output["data"]:
                output["data"] = {"text/markdown": MOVES}
    return json.dumps(content).encode()


if __name__ == "__main__":
    print(build(Path(sys.argv[1]).resolve()))
