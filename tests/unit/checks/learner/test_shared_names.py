"""Parts that are carried behave as if they had been imported."""

import inspect
import pickle

import pytest

from checks.learner.carry import carry
from checks.learner.shared_names import SharedNames

PART = "class Part:\n    def size(self):\n        return helper() + 1\n"
HELPER = "def helper():\n    return 2\n"
RECORD = "from dataclasses import dataclass\n@dataclass\nclass Record:\n    size: 'int' = 3\n"


@pytest.fixture
def names() -> SharedNames:
    shared = SharedNames()
    assert shared.run(HELPER, "<a.ipynb, code cell 1>", "carried_a") == ""
    assert shared.run(PART, "<a.ipynb, D0.1>", "carried_a_Part") == ""
    return shared


def test_the_source_of_a_class_and_of_a_function_is_found(names):
    assert inspect.getsource(names["Part"]) == PART
    assert inspect.getsource(names["helper"]) == HELPER


def test_parts_find_each_other_and_can_be_pickled(names):
    assert names["Part"]().size() == 3
    assert pickle.loads(pickle.dumps(names["Part"]())).size() == 3


def test_a_dataclass_can_be_carried(names):
    assert names.run(RECORD, "<a.ipynb, D0.2>", "carried_a_Record") == ""
    assert names["Record"]().size == 3


def test_the_sources_of_carried_references_are_found():
    parts = carry("d1_moe").parts
    assert "class TopKRouter" in inspect.getsource(parts["TopKRouter"])
    assert "def expert_load" in inspect.getsource(parts["expert_load"])


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit(3)", "GeneratorExit"])
def test_whatever_a_cell_raises_is_told_and_goes_no_further(names, error):
    said = names.run(f"raise {error}", "<a.ipynb, D0.3>", "carried_a_x")
    assert said == error.replace("(3)", ": 3")


def test_the_stop_button_works(names, monkeypatch):
    stop = "import signal\nsignal.raise_signal(signal.SIGINT)\n"
    with pytest.raises(KeyboardInterrupt):
        names.run(stop, "<a.ipynb, D0.4>", "carried_a_x")
