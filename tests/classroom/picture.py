"""README's picture of a class, taken anew: `python -m tests.classroom.picture REPORT`.

REPORT is the folder of pages that grading a class has left, as `tests.classroom.measure` does where
it is given a folder. The picture is the head of the teacher's page, down to the last row of D1.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import FloatRect, sync_playwright

from tests.browser.lab import FLAGS, ROOT

PICTURE = ROOT / ".github" / "pictures" / "class.png"
WIDTH, HEIGHT = 1100, 2400
LAST = "D1.5"


def main(report: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto((report / "index.html").resolve().as_uri())
        box = page.locator(f"tr:has(td:text-matches('^{LAST} '))").first.bounding_box()
        if box is None:
            raise AssertionError(f"{LAST} is not on the page")
        clip = FloatRect(x=0, y=0, width=WIDTH, height=box["y"] + box["height"])
        page.screenshot(path=PICTURE, clip=clip)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
