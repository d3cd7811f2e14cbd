"""The source of an answer, from a module, from a cell that ran, and in a running notebook."""

import functools
import linecache
import re

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from checks.grading import source
from solutions import d1_moe as reference

CELL = '''
import functools
from torch import nn

def plain(x):
    """What plain does."""
    # BEGIN SOLUTION
    return x
    # END SOLUTION

class Router(nn.Module):
    """First of its name."""

    def forward(self, x):
        return old

class Router(nn.Module):
    """Second of its name."""

    scale = 2

    def __init__(self):
        super().__init__()

    @property
    def size(self):
        return earlier_part

    @staticmethod
    def half(x):
        return x / 2

    def forward(self, x):
        return later_part(x)

@functools.cache
def remembered(x):
    return earlier_part + x

def built(n):
    return [later_part(i) for i in range(n)], list(inner_part(i) for i in range(n))

class Empty:
    pass
'''


def run_as_cell(text: str, name: str = "<cell of a test>") -> dict:
    """The names that a notebook's cell leaves behind, with its text where IPython keeps it."""
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    names = {"__name__": "__main__"}
    exec(compile(text, name, "exec"), names)
    return names


def test_a_function_without_its_fences():
    text = source.source_of(run_as_cell(CELL)["plain"])
    assert text == 'def plain(x):\n    """What plain does."""\n    return x'


def test_a_class_that_inspect_cannot_find():
    text = source.source_of(run_as_cell(CELL)["Router"])
    assert text.startswith('class Router(nn.Module):\n    """Second of its name."""\n')
    assert text.endswith("    def forward(self, x):\n        return later_part(x)")


def test_a_class_of_a_module():
    text = source.source_of(reference.ExpertArray)
    assert text.startswith("class ExpertArray(nn.Module):")
    assert text.endswith("return self.experts[i]") and "SOLUTION" not in text


def test_a_decorated_function_and_class():
    names = run_as_cell("def same(x):\n    return x\n\n@same\nclass A:\n    def f(self): pass\n")
    assert source.source_of(names["A"]) == "@same\nclass A:\n    def f(self): pass"
    assert source.source_of(run_as_cell(CELL)["remembered"]).startswith("@functools.cache\n")


@pytest.mark.parametrize("answer", [len, dict, functools.partial(max), 3, None])
def test_no_source_is_none(answer):
    assert source.source_of(answer) is None


def test_a_class_without_methods_has_no_source():
    assert source.source_of(run_as_cell(CELL)["Empty"]) is None


@pytest.mark.parametrize("text", ["class Router:\n", "def broken(:\n", ""])
def test_a_file_that_changed_since_it_ran_has_no_source(text):
    names = run_as_cell(CELL, "<changed>")
    linecache.cache["<changed>"] = (len(text), None, text.splitlines(True), "<changed>")
    assert source.source_of(names["Router"]) is None


def test_functions_of_a_class_are_its_methods_under_their_decorators():
    router = run_as_cell(CELL)["Router"]
    own = [function.__name__ for function in source.methods_of(router)]
    assert own == ["__init__", "size", "half", "forward"]
    assert {function.__code__ for function in source.methods_of(router)} <= source.codes_of(router)


def test_what_an_answer_means_by_a_name():
    names = run_as_cell(CELL)
    assert source.value_read_as("later_part", names["Router"], "default") == "default"
    names["later_part"] = names["earlier_part"] = "theirs"
    assert source.value_read_as("later_part", names["Router"], "default") == "theirs"
    assert source.value_read_as("earlier_part", names["remembered"], "default") == "theirs"
    assert source.value_read_as("later_part", names["built"], "default") == "theirs"
    assert source.value_read_as("inner_part", names["built"], "default") == "default"
    assert source.value_read_as("later_part", names["plain"], "default") is None
    assert source.value_read_as("later_part", 3, "default") is None


def test_source_is_escaped_in_a_notebook():
    shown = source.Source("a < b")
    assert repr(shown) == "a < b" and "a &lt; b" in shown._repr_html_()


LEARNERS = """
import torch
from torch import nn

def renormalised(gates):
    return gates / gates.sum(dim=-1, keepdim=True)

class TopKRouter(nn.Module):
    def __init__(self, d_model, num_experts, top_k):
        super().__init__()
        self.top_k = top_k
        self.gate = nn.Linear(d_model, num_experts, bias=False)

    def forward(self, x):
        gates, experts = self.gate(x).softmax(-1).topk(self.top_k)
        return renormalised(gates), experts
"""
SHOWN = "from checks.d1_moe import check_router\ncheck_router.{}"
FAILS = """\
class Unfinished(TopKRouter):
    def forward(self, x):
        raise NotImplementedError

class Misspelt(TopKRouter):
    def forward(self, x):
        return self.gaet(x)

class Endless(TopKRouter):
    def forward(self, x):
        while True:
            pass

import checks.grading.check
checks.grading.check.SECONDS = 0.5
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> list:
    """What each cell of a real notebook, run by a real kernel, left as its output."""
    calls = ["compare(TopKRouter)", "solution()", "__call__(TopKRouter)"]
    failing = [f"check_router({name})" for name in ("Unfinished", "Misspelt", "Endless")]
    sources = [LEARNERS, *(SHOWN.format(call) for call in calls), FAILS, *failing, "print(1 + 1)"]
    cells = [new_code_cell(text) for text in sources]
    notebook = new_notebook(cells=cells)
    folder = {"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}}
    client = NotebookClient(notebook, kernel_name="python3", resources=folder, allow_errors=True)
    client.execute()
    nbformat.validate(notebook)
    return [cell.outputs[-1] if cell.outputs else None for cell in notebook.cells]


def test_compare_in_a_running_notebook_shows_the_learners_class(outputs):
    text = outputs[1].data["text/plain"]
    assert text.startswith("largest difference ")
    assert "\n--- yours\n+++ reference\n" in text
    own = [
        "    def __init__(self, d_model, num_experts, top_k):",
        "        return renormalised(gates), experts",
    ]
    assert all(f"\n-{line}" in text and line in outputs[1].data["text/html"] for line in own)


def test_solution_in_a_running_notebook_shows_the_reference(outputs):
    assert outputs[2].data["text/plain"] == source.source_of(reference.TopKRouter)


def test_a_pass_in_a_running_notebook(outputs):
    assert outputs[3].data["text/plain"].startswith("✓ D1.1 TopKRouter: passed (6 cases per stage)")
    assert "<b>✓ D1.1 TopKRouter: passed (6 cases per stage)</b>" in outputs[3].data["text/html"]


def test_failures_in_a_running_notebook_are_short_and_name_the_learners_line(outputs):
    unfinished, misspelt, endless = outputs[5:8]
    assert unfinished.ename == misspelt.ename == endless.ename == "CheckFailed"
    assert unfinished.traceback == ["D1.1 TopKRouter: not written yet."]
    assert "  line 7, in forward: return self.gaet(x)" in misspelt.traceback
    assert re.search(r"still running after 0.5 s of computing on \d+ tokens", endless.evalue)
    assert ", in forward: while True:" in endless.evalue
    shown = [len(output.traceback) for output in (misspelt, endless)]
    assert all(lines <= 12 for lines in shown), (misspelt.traceback, endless.traceback)


def test_the_kernel_lives_on_after_an_endless_loop(outputs):
    assert outputs[8].text == "2\n"
