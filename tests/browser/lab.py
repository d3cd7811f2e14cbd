"""A JupyterLab that `course.py lab` started in a copy of the project, and its notebook in Chromium.

The learner's own `work/` and Jupyter settings stay as they are: both are the copy's.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import ElementHandle, Page, sync_playwright

from course import ROOT

NOT_COPIED = shutil.ignore_patterns(".*", "work", "tests", "*.egg-info", "__pycache__")
LOOKS_AGAIN = 0.1  # seconds

# course.py with this Python's packages, so that nothing is installed into the copy.
START = """
import pathlib, sys
import course
course.VENV = pathlib.Path(sys.prefix)
course.prepare = lambda dev=False: None
sys.exit(course.run(sys.argv[1:]))
"""

# Chromium runs as root in CI, and looks for servers of its own unless it is told not to.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

READY = """async () => {
    await jupyterapp.restored;
    const context = jupyterapp.shell.currentWidget.sessionContext;
    await context.ready;
    await context.session.kernel.info;
}"""
PANEL = "jupyterapp.shell.currentWidget.content"


@dataclass
class Lab:
    """A running server: its project's folder, its address, its token."""

    root: Path
    url: str
    token: str


def copy_project(folder: Path) -> Path:
    """A copy of the project under `folder`, without environment, tests and `work/`."""
    return Path(shutil.copytree(ROOT, folder / "project", ignore=NOT_COPIED))


@contextmanager
def running_lab(root: Path) -> Iterator[Lab]:
    """The server of the copy at `root`, answering; it has ended afterwards."""
    lab = Lab(root, f"http://127.0.0.1:{free_port()}", secrets.token_hex())
    command = [sys.executable, "-c", START, "lab", "--no-browser", "--port", lab.url.split(":")[-1]]
    log = root / "lab.log"
    with log.open("wb") as output:
        env = own_environment(root, lab.token)
        process = subprocess.Popen(command, cwd=root, env=env, stdout=output, stderr=output)
        try:
            wait_until_answers(lab, process, log)
            yield lab
        finally:
            shut_down(lab, process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def own_environment(root: Path, token: str) -> dict[str, str]:
    """Variables that keep all that Jupyter reads and writes under `root`."""
    home = root / ".jupyter-home"
    home.mkdir()
    shown = {"LabApp": {"expose_app_in_browser": True}}  # READY and the driver ask the page's app
    (home / "jupyter_lab_config.json").write_text(json.dumps(shown), encoding="utf-8")
    folders = {f"JUPYTER_{name}_DIR": str(home) for name in ("CONFIG", "DATA", "RUNTIME")}
    folders |= {f"JUPYTERLAB_{name}_DIR": str(home / name) for name in ("SETTINGS", "WORKSPACES")}
    own = {"JUPYTER_TOKEN": token, "PYTHONPATH": str(root), "IPYTHONDIR": str(home / "ipython")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return kept | folders | own


def wait_until_answers(lab: Lab, process: subprocess.Popen, log: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        try:
            return ask(lab, "GET", "/api/status")
        except OSError:
            time.sleep(LOOKS_AGAIN)
    raise AssertionError("JupyterLab did not start:\n" + log.read_text(encoding="utf-8"))


def ask(lab: Lab, method: str, path: str) -> None:
    request = urllib.request.Request(lab.url + path, method=method)
    request.add_header("Authorization", f"token {lab.token}")
    with urllib.request.urlopen(request, timeout=10):
        pass


def shut_down(lab: Lab, process: subprocess.Popen) -> None:
    if process.poll() is None:
        try:
            ask(lab, "POST", "/api/shutdown")
            process.wait(timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            process.send_signal(signal.SIGINT)  # course.py then ends JupyterLab as well
            process.wait(timeout=60)


@contextmanager
def opened(lab: Lab, name: str) -> Iterator["Notebook"]:
    """`work/<name>` in Chromium, its kernel ready."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        notebook = Notebook(page)
        page.goto(f"{lab.url}/lab/tree/work/{name}?token={lab.token}")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.evaluate(READY)
        yield notebook
        browser.close()


class Notebook:
    """What a learner does with the open notebook. Cells are numbered from 0, texts included."""

    def __init__(self, page: Page):
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def cells(self) -> list[dict]:
        """The notebook as it is on the screen now, as nbformat has cells."""
        return self.page.evaluate(f"{PANEL}.model.toJSON().cells")

    def find(self, tag: str, exercise: str) -> int:
        """The number of the cell with this tag that belongs to this exercise."""
        wanted = [
            number
            for number, cell in enumerate(self.cells())
            if tag in cell["metadata"].get("tags", [])
            and cell["metadata"].get("exercise") == exercise
        ]
        if len(wanted) != 1:
            raise AssertionError(f"{len(wanted)} cells have the tag {tag} and exercise {exercise}")
        return wanted[0]

    def explorer(self) -> int:
        """The number of the first cell that has both a slider and a picture under it."""
        for number, cell in enumerate(self.cells()):
            shown = [output.get("data", {}) for output in cell.get("outputs", [])]
            if any("application/vnd.jupyter.widget-view+json" in data for data in shown):
                box = self.element(number)
                if box.query_selector(".noUi-handle") and box.query_selector("img"):
                    return number
        raise AssertionError("no cell shows a slider and a picture")

    def write(self, number: int, source: str) -> None:
        """Puts `source` into a cell in the place of what it held."""
        script = f"([i, text]) => {PANEL}.model.cells.get(i).sharedModel.setSource(text)"
        self.page.evaluate(script, [number, source])

    def run_all(self, seconds: float = 60) -> None:
        """Run All Cells, to its end or to the first cell that fails."""
        self._command("notebook:run-all-cells", seconds)

    def run(self, number: int, seconds: float = 60) -> None:
        self.page.evaluate(f"i => {{ {PANEL}.activeCellIndex = i }}", number)
        self._command("notebook:run-cell", seconds)

    def _command(self, name: str, seconds: float) -> None:
        script = """([name, limit]) => Promise.race([
            jupyterapp.commands.execute(name).then(() => true),
            new Promise(resolve => setTimeout(() => resolve(false), limit)),
        ])"""
        if not self.page.evaluate(script, [name, seconds * 1000]):
            raise AssertionError(f"{name} is still running after {seconds} s")

    def failure(self, number: int) -> str:
        """What a cell's failure looks like on the screen, "" where it has none."""
        box = self.element(number).query_selector(
            '[data-mime-type="application/vnd.jupyter.stderr"]'
        )
        return box.inner_text() if box else ""

    def text(self, number: int) -> str:
        """All that stands under a cell on the screen."""
        boxes = self.element(number).query_selector_all(".jp-OutputArea-output")
        return "\n".join(box.inner_text() for box in boxes)

    def element(self, number: int) -> ElementHandle:
        """The cell on the page, scrolled to: JupyterLab draws only what is in view."""
        script = f"async i => {{ await {PANEL}.scrollToItem(i); return {PANEL}.widgets[i].node; }}"
        return self.page.evaluate_handle(script, number).as_element()

    def picture(self, number: int) -> bytes:
        """The first picture under a cell, as it is drawn."""
        image = self.element(number).wait_for_selector(".jp-OutputArea img")
        return image.screenshot()

    def move_slider(self, number: int, which: int = 0, steps: int = 1) -> None:
        """Moves a slider under a cell with the arrow keys; a negative number of steps goes back."""
        cell = self.element(number)
        cell.wait_for_selector(".noUi-handle")
        cell.query_selector_all(".noUi-handle")[which].focus()
        for _ in range(abs(steps)):
            self.page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")

    def fill(self, number: int, text: str) -> None:
        """Puts `text` into the text field under a cell, as if typed, and leaves the field."""
        field = self.element(number).wait_for_selector("input[type=text]")
        field.fill(text)
        field.press("Tab")

    def press(self, number: int, label: str) -> None:
        """Presses the button under a cell that says `label`."""
        self.element(number).wait_for_selector(f"button:has-text('{label}')").click()

    def wait_for_text(self, number: int, wanted: str, seconds: float = 30) -> str:
        """All that stands under a cell, once `wanted` is in it."""
        end = time.monotonic() + seconds
        while wanted not in (shown := self.text(number)):
            if time.monotonic() > end:
                raise AssertionError(f"{wanted!r} is not under cell {number} after {seconds} s")
            self.page.wait_for_timeout(LOOKS_AGAIN * 1000)
        return shown

    def wait_for_other_picture(self, number: int, before: bytes, seconds: float = 10) -> bytes:
        """The picture under a cell, once it is not `before` any more."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            after = self.picture(number)
            if after != before:
                return after
            self.page.wait_for_timeout(LOOKS_AGAIN * 1000)
        raise AssertionError(f"the picture under cell {number} is the same after {seconds} s")

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)
