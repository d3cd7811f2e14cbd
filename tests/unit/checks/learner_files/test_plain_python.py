"""What a cell is outside a notebook, and which of its lines only a notebook can run."""

import pytest

from checks.learner_files.plain_python import plain

CELLS = {
    "%%time\ndef f():\n    return 1": ("def f():\n    return 1", []),
    "  \n%%capture out\nx = 1": ("x = 1", []),
    "%%bash\nls": ("", ["%%bash"]),
    "x = 1\n%matplotlib inline\n!pip install x\ny = !ls": (
        "x = 1\npass\npass\npass",
        ["%matplotlib inline", "!pip install x", "y = !ls"],
    ),
    "def f():\n    %time g()\n    return 1": ("def f():\n    pass\n    return 1", ["%time g()"]),
    "if x:\n    !ls\nelse:\n    y = 1": ("if x:\n    pass\nelse:\n    y = 1", ["!ls"]),
    "f?": ("pass", ["f?"]),
    "await g()\nx = 2": ("pass\nx = 2", ["await g()"]),
    "x = (\n    await g()\n)\ny = 1": ("pass\n\n\ny = 1", ["x = ("]),
    "async def f():\n    await g()": ("async def f():\n    await g()", []),
    "async def f():\n    !ls\n    await g()": (
        "async def f():\n    pass\n    await g()",
        ["!ls"],
    ),
    "a = (1,\n  2)\n%timeit f(": ("a = (1,\n  2)\npass", ["%timeit f("]),
    "def broken(:": ("def broken(:", []),
    "x = 1\n%time\ndef broken(:": None,
    "": ("", []),
}


@pytest.mark.parametrize("cell", [cell for cell, wanted in CELLS.items() if wanted is not None])
def test_a_cell_is_its_python_and_what_was_left_out(cell):
    text, left_out = plain(cell)
    assert (text.strip("\n"), left_out) == CELLS[cell]


def test_a_cell_with_a_syntax_error_stays_for_the_error_to_be_told():
    text, left_out = plain("x = 1\n%time\ndef broken(:")
    assert left_out == [] and "def broken(:" in text
