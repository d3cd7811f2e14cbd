"""Old names of modules still import, from wherever a module lies now."""

import importlib
import importlib.util
import subprocess
import sys

import pytest

from helpers.moved import MOVED, RENAMED, MovedFinder, install


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_is_the_module_at_its_new_place(old):
    module, new = importlib.import_module(old), importlib.import_module(MOVED[old])
    assert module.__name__ == old
    shared = [name for name in vars(new) if not name.startswith("__")]
    assert all(getattr(module, name) is getattr(new, name) for name in shared)
    for name, now in RENAMED.get(old, {}).items():
        assert getattr(module, name) is getattr(new, now)


def test_no_old_name_hides_a_module():
    for old in MOVED:
        package, _, name = old.rpartition(".")
        folder = importlib.import_module(package).__path__
        assert importlib.util.find_spec(old).loader.__class__.__name__ == "_Forwarding", (
            name,
            folder,
        )


def test_a_name_that_never_was_is_still_missing():
    install()
    assert sum(isinstance(finder, MovedFinder) for finder in sys.meta_path) == 1
    with pytest.raises(ModuleNotFoundError, match=r"helpers\.never_was"):
        importlib.import_module("helpers.never_was")
    with pytest.raises(ImportError, match="nothing_here"):
        exec("from helpers.llama import nothing_here")


def test_an_old_set_up_cell_runs_in_a_new_process():
    old = "from checks.outcome import CheckFailed", "from helpers.llama import SwiGLU"
    subprocess.run(
        [sys.executable, "-c", "; ".join([*old, "from checks import limit"])], check=True
    )
