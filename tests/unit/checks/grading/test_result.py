"""How a result is shown in a notebook."""

import re

from checks.grading.result import WIDTH, CheckFailed, CheckResult


def shown(state: str, *lines: str) -> list[str]:
    failed = CheckFailed("D9.9", "double", state, "it is three.", stage="twice", lines=lines)
    return [re.sub(r"\x1b\[\d+m", "", line) for line in failed._render_traceback_()]


def test_only_what_is_not_written_yet_and_says_no_more_is_one_plain_line():
    assert shown("unwritten") == ["D9.9 double: it is three."]
    assert shown("unwritten", "Write D9.8 first.") == [
        "✗ D9.9 double · twice",
        "  it is three.",
        "  Write D9.8 first.",
    ]
    assert shown("wrong") == ["✗ D9.9 double · twice", "  it is three."]


def test_a_stage_is_text_and_no_markup_in_a_notebook():
    page = CheckResult("D9.9", "double", ("a <b> & c",), 3)._repr_html_()
    assert "✓ a &lt;b&gt; &amp; c</div>" in page and "<b> &" not in page


def test_long_lines_end_between_words_where_a_notebook_would_break_them_anywhere():
    words = [f"word-{i}_of.many" for i in range(40)]
    lines = shown("wrong", " ".join(words))[2:]
    assert all(line.startswith("  ") and len(line) <= WIDTH for line in lines)
    assert " ".join(lines).split() == words
