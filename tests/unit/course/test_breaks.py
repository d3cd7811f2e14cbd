"""The deliberate breaks still find their code, and the tests that could notice them are found."""

import ast

import pytest

from tests.breaks import ROOT, applied, breaks
from tests.importing import importing

EVERY = breaks()
TREE = {
    "checks/__init__.py": "from checks.inner import near as close\n",
    "checks/inner.py": "def near(a, b):\n    return abs(a - b) < 1\n",
    "checks/deeper.py": "class Deep:\n    def depth(self):\n        return 1 + 1\n",
    "checks/user.py": "def use():\n    from checks import deeper\n",
    "course.py": "def lab():\n    return 0\n",
    "tests/test_named.py": "from checks import close\n",
    "tests/test_direct.py": "import checks.inner\n",
    "tests/test_through.py": "import common\n",
    "tests/test_farther.py": "from tests.farther import use\n",
    "tests/farther.py": "from common import use\n",
    "tests/common.py": "from checks.user import use\n",
    "tests/test_script.py": "NAME = 'course.py'\n",
    "tests/studies/test_long.py": "from checks import deeper\n",
}


@pytest.fixture
def tree(tmp_path):
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("wanted", EVERY, ids=[wanted["symbol"] for wanted in EVERY])
def test_a_break_changes_one_place_into_other_code(wanted):
    path, text = applied(wanted, ROOT)
    whole = path.read_text(encoding="utf-8")
    assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(whole))
    assert len(text) - len(whole) == len(wanted["new"]) - len(wanted["old"])


def test_every_part_has_at_least_two():
    parts = [wanted["part"] for wanted in EVERY]
    assert len(parts) >= 24 and all(parts.count(part) >= 2 for part in parts)


@pytest.mark.parametrize("symbol", ["near", "its_name_before"])
def test_a_break_is_found_by_its_symbol_or_by_its_text_alone(tree, symbol):
    path, text = applied({"symbol": symbol, "old": "< 1", "new": "> 1"}, tree)
    assert path == tree / "checks" / "inner.py"
    assert text == "def near(a, b):\n    return abs(a - b) > 1\n"


@pytest.mark.parametrize("old", ["return 7", "1"])
def test_a_text_that_is_nowhere_or_in_two_places_is_refused(tree, old):
    with pytest.raises(ValueError, match=f"'{old}' is in "):
        applied({"symbol": "Deep.depth", "old": old, "new": ""}, tree)


@pytest.mark.parametrize(
    "broken, tests",
    [
        ("checks/inner.py", ["test_direct.py", "test_named.py"]),
        ("checks/deeper.py", ["test_through.py", "test_farther.py"]),
        ("course.py", ["test_script.py"]),
    ],
)
def test_the_tests_of_a_module_are_those_that_import_it(tree, broken, tests):
    assert importing(tree / broken, tree) == [f"tests/{name}" for name in tests]


def test_a_module_that_no_test_imports_is_named(tree):
    (tree / "checks" / "lonely.py").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match=r"no test imports checks.lonely\.py"):
        importing(tree / "checks" / "lonely.py", tree)
