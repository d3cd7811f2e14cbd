"""Each test draws as a notebook does that has just begun."""

import pytest

from helpers.plots import palette


@pytest.fixture(autouse=True)
def unused_names(monkeypatch):
    """No name has a colour yet."""
    monkeypatch.setattr(palette, "_places", {})
