"""A verdict is remembered until something is redefined that the answer reads, and no longer."""

import pytest
import torch

from checks import CHECKS, Check, CheckFailed
from checks.grading.expect import require
from checks.grading.verdicts import MOST, Verdicts, read_by
from solutions import d1_moe as reference

CELL = """
import functools
import math
import torch
from torch import nn
from torch.nn import functional as F

LIMIT, TABLE = 3, [1]

def inner(x):
    return x * LIMIT

def outer(x):
    return [inner(part) for part in x]

def plain(x, size=2):
    return F.relu(torch.ones(size)) + math.pi + len(x)

def changeable(x):
    return TABLE[0] * x

@torch.no_grad()
def decorated(x):
    return inner(x)

def counted(function):
    calls = []

    @functools.wraps(function)
    def wrapper(x):
        calls.append(x)
        return function(x)

    return wrapper

watched = counted(inner)

def endless(x):
    return endless(x) if x else LIMIT

class Base:
    width = 2

class Layer(nn.Module, Base):
    def __init__(self):
        super().__init__()

    @property
    def size(self):
        return LIMIT

    def forward(self, x):
        return outer(x) if self.inner else x
"""


@pytest.fixture
def cell() -> dict:
    """The names that a notebook's cell leaves behind."""
    names = {"__name__": "__main__"}
    exec(compile(CELL, "<cell>", "exec"), names)
    return names


def same(answer, change) -> bool:
    """Whether `read_by(answer)` returns the same objects after the change as before it."""
    before = read_by(answer)
    assert before is not None and list(map(id, before)) == list(map(id, read_by(answer)))
    change()
    after = read_by(answer)
    return after is not None and list(map(id, before)) == list(map(id, after))


@pytest.mark.parametrize("name", ["outer", "decorated", "endless", "Layer"])
def test_a_value_that_is_read_on_the_way_is_seen(cell, name):
    assert not same(cell[name], lambda: cell.update(LIMIT=4.5))


@pytest.mark.parametrize("name", ["outer", "decorated", "Layer"])
def test_a_function_that_is_called_on_the_way_is_seen(cell, name):
    assert not same(cell[name], lambda: exec("def inner(x): return x", cell))


def test_exchanged_functions_are_seen(cell):
    exec("def a(x): return 1\ndef b(x): return 2\ndef c(x): return a(x) + b(x)", cell)
    assert not same(cell["c"], lambda: cell.update(a=cell["b"], b=cell["a"]))
    cell["b"] = cell["a"]
    assert not same(cell["c"], lambda: exec("def b(x): return 3", cell))


@pytest.mark.parametrize(
    "change",
    [
        lambda cell: setattr(cell["Layer"], "forward", lambda self, x: x),
        lambda cell: setattr(cell["Base"], "width", 7.5),
        lambda cell: setattr(cell["inner"], "__code__", (lambda x: x + 1).__code__),
        lambda cell: cell.pop("LIMIT"),
    ],
)
def test_what_is_changed_within_a_class_is_seen(cell, change):
    assert not same(cell["Layer"], lambda: change(cell))


def test_what_is_not_read_does_not_matter(cell):
    assert same(cell["outer"], lambda: cell.update(x=3, plain=None, part=4, TABLE=[2]))
    assert same(cell["plain"], lambda: cell.update(LIMIT=9))


def test_a_default_is_seen(cell):
    assert not same(cell["plain"], lambda: setattr(cell["plain"], "__defaults__", (3000,)))


@pytest.mark.parametrize("name", ["changeable", "watched"])
def test_what_may_change_in_place_is_never_remembered(cell, name):
    assert read_by(cell[name]) is None


@pytest.mark.parametrize("answer", [3.5, "text", [1], torch.ones(2), object(), range(3)])
def test_whatever_is_no_code_does_no_harm(answer):
    read = read_by(answer)
    assert read is None or read == [answer]


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_the_verdict_on_every_reference_can_be_remembered(check):
    assert read_by(check.reference_answer)[0] is check.reference_answer


def test_old_verdicts_are_forgotten():
    verdicts, answers = Verdicts(), [lambda n=n: n for n in range(MOST + 1)]
    for answer in answers:
        verdicts[read_by(answer)] = None
    assert [read_by(answer) in verdicts for answer in answers] == [False] + MOST * [True]
    verdicts[None] = "not kept"
    assert None not in verdicts


# In a check

RUNS: list = []


def small_check(**kind) -> Check:
    def stage(answer, case):
        RUNS.append(answer)
        require(answer(case) == 2 * case, "not twice")

    parts = {"draw": lambda rng: [3], "stages": {"twice": stage}, "hints": ("1", "2", "3")}
    return Check("D9.9", "double", lambda number: 2 * number, **parts, **kind)


def test_a_check_judges_an_answer_again_only_when_something_changed(cell):
    check, cell["LIMIT"] = small_check(), 2
    RUNS.clear()
    for _ in range(3):
        assert check.failure(cell["inner"]) is None
    assert len(RUNS) == 1
    cell["LIMIT"] = 5
    assert check.failure(cell["inner"]).state == "wrong"
    cell["LIMIT"] = 2
    assert check.failure(cell["inner"]) is None


def test_a_stop_is_not_remembered(monkeypatch):
    check, stopped = small_check(), []

    def stop(*_, **__):
        stopped.append(1)
        raise CheckFailed("D9.9", "double", "stopped", "your code was still running")

    monkeypatch.setattr(Check, "_run", stop)
    for _ in range(2):
        assert check.failure(lambda number: number).state == "stopped"
    assert len(stopped) == 2


def test_a_helper_of_an_earlier_part_that_is_redefined_is_seen():
    """The layer and the router stay the same objects; what the router calls is another one."""
    cell = dict(vars(reference), __name__="__main__")
    exec(
        "def largest(probs, k):\n    return probs.topk(k, dim=-1)\n"
        "class TopKRouter(nn.Module):\n"
        "    def __init__(self, d_model, num_experts, top_k):\n"
        "        super().__init__()\n"
        "        self.top_k, self.gate = top_k, nn.Linear(d_model, num_experts, bias=False)\n"
        "    def forward(self, x):\n"
        "        gates, experts = largest(self.gate(x).softmax(-1), self.top_k)\n"
        "        return gates / gates.sum(-1, keepdim=True), experts\n",
        cell,
    )
    check = CHECKS["D1.1"]
    assert check.failure(cell["TopKRouter"]) is None
    exec("def largest(probs, k):\n    return probs.topk(k, dim=0)\n", cell)
    assert check.failure(cell["TopKRouter"]) is not None
