"""The course's pages, built as the workflow does it: every link within them leads somewhere."""

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

from book.build import build
from course import ROOT
from lessons.freshness import stems

LESSONS = stems(ROOT)


class Page(HTMLParser):
    """What a page leads to, and the places in it that others may lead to."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: set[str] = set()
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.links.add(value)


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("book"))


def test_every_link_within_the_pages_leads_somewhere(pages: Path):
    found = {path: Page(path) for path in pages.rglob("*.html") if "_static" not in path.parts}
    broken = [
        f"{path.relative_to(pages)}: {link}"
        for path, page in found.items()
        for link in page.links
        if not leads_somewhere(path, link, found)
    ]
    assert len(found) > len(LESSONS)
    assert not broken


def leads_somewhere(path: Path, link: str, found: dict[Path, Page]) -> bool:
    """Whether a link of the page at `path` leads out of the pages, or to a place that exists."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target not in found or not parts.fragment:
        return target.is_file()
    return unquote(parts.fragment) in found[target].places


@pytest.mark.parametrize("stem", LESSONS)
def test_a_lesson_shows_its_cells_and_the_outputs_that_it_has(pages: Path, stem: str):
    text = (pages / "solutions" / f"{stem}.html").read_text(encoding="utf-8")
    cells = nbformat.read(ROOT / "solutions" / f"{stem}.ipynb", as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    pictures = [o for cell in code for o in cell.outputs if "image/png" in o.get("data", {})]
    assert text.count('class="cell_input ') == len(code)
    assert text.count('class="cell_output ') == sum(bool(cell.outputs) for cell in code)
    assert len(re.findall(r'<img [^>]*src="\.\./_images/', text)) == len(pictures)
    assert "widget-view" not in text
    for words in [word for o in pictures if (word := o.metadata.get("image/png", {}).get("alt"))]:
        assert words in html.unescape(text)


def test_the_reference_says_what_its_docstrings_say(pages: Path):
    text = (pages / "reference" / "d1_moe.html").read_text(encoding="utf-8")
    for name in ("TopKRouter", "dispatch_combine", "MoELayer"):
        assert f'id="{name.lower().replace("_", "-")}"' in text
    assert "BEGIN SOLUTION" not in text and "NotImplementedError" not in text
