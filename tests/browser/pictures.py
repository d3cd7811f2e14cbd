"""README's pictures, taken anew: `python -m tests.browser.pictures`, or with another folder.

Two are of a check in JupyterLab, below a wrong router and below a right one. The others are what
the solved notebooks show, so build those first.
"""

import base64
import json
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import ElementHandle, FloatRect, Page, sync_playwright

from tests.browser.lab import FLAGS, PANEL, ROOT, Notebook, copy_project, opened, running_lab

FOLDER = ROOT / ".github" / "pictures"
WIDTH, HEIGHT = 1240, 2400  # of the window, high enough for a cell and its output as a whole
EDGE = 8  # pixels around what is shown

WRONG = """class TopKRouter(nn.Module):
    def __init__(self, d_model, num_experts, top_k):
        super().__init__()
        self.top_k = top_k
        self.gate = nn.Linear(d_model, num_experts, bias=False)

    def forward(self, x):
        probs = self.gate(x).softmax(dim=-1)  # (T, E)
        gates, experts = probs.topk(self.top_k, dim=-1)
        return gates, experts"""
RIGHT = WRONG.replace("return gates,", "return gates / gates.sum(dim=-1, keepdim=True),")

# A picture's name, its notebook, what its cell calls, and which of the cell's pictures it is.
PLOTS = {
    "traffic.png": ("d1_moe", ("plot_load(", "plot_load_before_after("), 0),
    "curves.png": ("d4_deepseek", ("plot_story_curves(",), 0),
}
STORY = ("d4_deepseek", ("show_experts(", "StoryBox("))
PAGE = """<style>body {{ margin: 0; background: white; font: 15px sans-serif }}
div {{ padding: 8px 16px }} pre {{ font-size: 17px; margin: 0 }}</style>{}"""


def main(folder: Path) -> None:
    """Writes the five pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (stem, calls, which) in PLOTS.items():
        (folder / name).write_bytes(base64.b64decode(shown(stem, calls, "image/png")[which]))
    story(folder / "story.png")
    checks(folder)


def checks(folder: Path) -> None:
    """A wrong and a right router in an unfilled D1, each with what its check says."""
    with (
        tempfile.TemporaryDirectory() as place,
        running_lab(copy_project(Path(place))) as lab,
        opened(lab, "d1_moe.ipynb") as notebook,
    ):
        notebook.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        notebook.page.add_style_tag(content=".jp-cell-toolbar { visibility: hidden }")
        exercise, check = (notebook.find(tag, "D1.1") for tag in ("exercise", "check"))
        for number, cell in enumerate(notebook.cells()[:exercise]):
            if "from checks.d1_moe import" in cell["source"]:
                notebook.run(number, 120)
        for source, name in ((WRONG, "check-fails.png"), (RIGHT, "check-passes.png")):
            notebook.write(exercise, source)
            notebook.run(exercise)
            notebook.run(check)
            picture(notebook, [exercise, check], folder / name)


def picture(notebook: Notebook, numbers: list[int], path: Path) -> None:
    """The cells of these numbers with their outputs, whole, as one picture."""
    boxes = [notebook.element(number) for number in numbers]
    notebook.page.evaluate(f"{PANEL}.activeCellIndex = 0")  # so that neither is marked
    notebook.page.wait_for_timeout(500)  # until the editors have their colours
    areas = [area(box) for box in boxes]
    top, left = min(a["y"] for a in areas), min(a["x"] for a in areas)
    bottom = max(a["y"] + a["height"] for a in areas)
    right = max(a["x"] + a["width"] for a in areas)
    if top < 0 or bottom > HEIGHT:
        raise AssertionError(f"the cells {numbers} are higher than the window")
    clip = FloatRect(x=left, y=top, width=right - left, height=bottom - top + EDGE)
    notebook.page.screenshot(path=path, clip=clip)


def area(element: ElementHandle) -> FloatRect:
    box = element.bounding_box()
    if box is None:
        raise AssertionError("a cell is not on the screen")
    return box


def story(path: Path) -> None:
    """The coloured story that D4 shows, in a window of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page: Page = browser.new_page(viewport={"width": 960, "height": HEIGHT})
        page.set_content(PAGE.format(shown(*STORY, "text/html")[0]))
        page.locator("div").first.screenshot(path=path)
        browser.close()


def shown(stem: str, calls: tuple[str, ...], kind: str) -> list[str]:
    """What the solved notebook's first cell with one of `calls` shows of this kind."""
    notebook = json.loads((ROOT / "solutions" / f"{stem}.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and any(call in "".join(cell["source"]) for call in calls):
            outputs = [output.get("data", {}) for output in cell["outputs"]]
            found = ["".join(data[kind]) for data in outputs if kind in data]
            if found:
                return found
    raise AssertionError(f"no cell of {stem} that calls one of {calls} shows {kind}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
