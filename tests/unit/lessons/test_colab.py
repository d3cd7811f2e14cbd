"""The cell that installs the course in Colab: what it takes is what the course is tested with."""

import pytest

from lessons.build import ROOT, stems
from lessons.colab import colab_notebook, homepage, pins
from lessons.notebooks import learner_notebook


@pytest.mark.parametrize("stem", stems(ROOT))
def test_after_a_text_and_a_cell_it_is_the_learners_notebook(stem):
    made = colab_notebook(ROOT, stem)
    text, install, *rest = made.cells
    assert rest == learner_notebook(ROOT, stem).cells
    assert (text.cell_type, install.cell_type) == ("markdown", "code")
    assert f"!git clone -q --depth 1 {homepage(ROOT)} {{folder}}" in install.source
    assert "%pip install -q --extra-index-url" in install.source


def test_colab_keeps_its_own_jupyter_and_takes_the_rest_as_pinned():
    taken = pins(ROOT)
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert set(taken) < set(pinned) and "torch==2.13.0" in taken
    left = {line.partition("==")[0] for line in pinned if line[0].isalpha()} - {
        line.partition("==")[0] for line in taken
    }
    assert left == {"jupyterlab", "ipykernel", "nbclient", "nbval", "pytest"}


def test_the_pages_lead_to_the_address_that_pyproject_gives():
    config = (ROOT / "book" / "_config.yml").read_text(encoding="utf-8")
    assert f"repository_url: {homepage(ROOT)}\n" in config


def test_readmes_buttons_lead_to_the_address_that_pyproject_gives():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    name = homepage(ROOT).removeprefix("https://github.com/")
    places = ["codespaces.new/", "mybinder.org/v2/gh/", "colab.research.google.com/github/"]
    for place in places:
        assert readme.count(place) == readme.count(f"{place}{name}") > 0
