"""lessons/closure.py: what a notebook is made from, and which edits can change it."""

import ast

import pytest

from lessons.build import ROOT
from lessons.closure import BY_NAME, closure, digest, tree_text
from lessons.freshness import digest as lesson_digest
from lessons.freshness import stems

FILES = {
    "lessons/d1_moe.py": "from checks.d1_moe import check\nfrom helpers.plots import bar\n",
    "lessons/d2_more.py": "from helpers.later import bar\n",
    "checks/__init__.py": "",
    "checks/d1_moe/__init__.py": "from checks.d1_moe.router import check\n",
    "checks/d1_moe/router.py": "def run():\n    from helpers import lazily\n",
    "checks/d2_more/__init__.py": "",
    "checks/audit/bank/d1_moe/router.py": "WRONG = 1\n",
    "helpers/__init__.py": '"""Says nothing."""\n',
    "helpers/plots/__init__.py": "",
    "helpers/plots/bar.py": "WIDTH = 0.8  # of a bar\n",
    "helpers/lazily.py": "",
    "helpers/later.py": "bar = 1\n",
    "requirements.txt": "numpy\n",
}
MADE_FROM = {
    "lessons/d1_moe.py",
    "checks/__init__.py",
    "checks/d1_moe/__init__.py",
    "checks/d1_moe/router.py",
    "helpers/__init__.py",
    "helpers/plots/__init__.py",
    "helpers/plots/bar.py",
    "helpers/lazily.py",
}


@pytest.fixture
def course(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_a_closure_follows_packages_and_imports_inside_functions(course):
    found = closure(course, [course / "lessons" / "d1_moe.py"])
    assert {path.relative_to(course).as_posix() for path in found} == MADE_FROM


def test_lessons_loaded_by_name_count_up_to_this_one(course):
    with_more = closure(
        course, [course / "lessons/d2_more.py", course / "checks/__init__.py"], ["d2_more"]
    )
    assert course / "checks/d2_more/__init__.py" in with_more
    assert course / "checks/d1_moe/__init__.py" not in with_more


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("helpers/plots/bar.py", "WIDTH = 0.8\n"),
        ("helpers/plots/bar.py", '"""What a bar is."""\n\nWIDTH   = (0.8)\n'),
        ("helpers/__init__.py", ""),
        ("helpers/later.py", "bar = 2\n"),
        ("checks/d2_more/__init__.py", "x = 1\n"),
        ("lessons/d2_more.py", "x = 1\n"),
    ],
)
def test_comments_docstrings_and_other_lessons_leave_a_notebook_fresh(course, name, text):
    before = lesson_digest(course, "d1_moe")
    (course / name).write_text(text, encoding="utf-8")
    assert lesson_digest(course, "d1_moe") == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("helpers/plots/bar.py", "WIDTH = 0.9  # of a bar\n"),
        ("helpers/lazily.py", "x = 1\n"),
        ("checks/d1_moe/router.py", "def run():\n    return 1\n"),
        ("checks/audit/bank/d1_moe/router.py", "WRONG = 1  # quoted by a failure\n"),
        ("lessons/d1_moe.py", FILES["lessons/d1_moe.py"] + "print(1)\n"),
        ("requirements.txt", "numpy==2\n"),
    ],
)
def test_what_can_change_an_output_makes_a_notebook_stale(course, name, text):
    before = lesson_digest(course, "d1_moe")
    (course / name).write_text(text, encoding="utf-8")
    assert lesson_digest(course, "d1_moe") != before


def test_only_docstrings_are_left_out_of_a_tree():
    said = 'def f():\n    """Says."""\n    return 1'
    assert tree_text(ast.parse(said)) == tree_text(ast.parse("def f(): return 1"))
    assert tree_text(ast.parse('x = """Says."""')) != tree_text(ast.parse('x = "says"'))


def test_every_import_by_a_computed_name_is_known():
    """Else an edit of what is imported so would leave a notebook fresh."""
    found = set()
    for folder in ("checks", "helpers", "solutions"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                named = isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                    "import_module"
                )
                if named and not isinstance(node.args[0], ast.Constant):
                    found.add(path.relative_to(ROOT).as_posix())
    # These import what their caller imported already, or old names of what is imported by its new.
    others = {"checks/audit/audit.py", "checks/audit/answers.py", "helpers/moved.py"}
    others |= {"checks/learner/export.py"}  # whose text is copied, in no notebook
    others |= {"checks/grading/check.py"}  # torch's own modules
    others |= {"checks/learner/watch/child.py"}  # what a lesson's set-up and checks import anyway
    assert found - others == set(BY_NAME)


def test_a_digest_of_the_course_is_made_from_the_lessons_own_checks():
    for stem in stems(ROOT):
        found = closure(ROOT, [ROOT / "lessons" / f"{stem}.py"])
        assert any(path.is_relative_to(ROOT / "checks" / stem) for path in found)
    assert len(digest(ROOT, found)) == 64
