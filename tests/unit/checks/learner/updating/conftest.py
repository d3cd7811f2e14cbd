"""The small course, in a folder of its own."""

import pytest

from checks.learner_files import paths
from tests.unit.checks.learner.updating.small_course import SmallCourse


@pytest.fixture
def course(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "WORK", tmp_path / "work")
    return SmallCourse(tmp_path)
