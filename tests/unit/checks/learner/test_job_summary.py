"""The page of a GitHub job: what validation printed, as a table that GitHub shows as it is."""

from pathlib import Path

import pytest

from checks.learner import job_summary, validate
from checks.learner_files import paths

LINES = [
    "D1.1: code cells 3 and 5 define TopKRouter; the last of them counts.",
    "✓ D1.1 TopKRouter: passed",
    "✗ D1.2 ExpertArray: not written yet.",
    "✗ D1.3 dispatch_combine · one token: expected |y| = 2, got: `nan` <b>",
]
TABLE = r"""### d1\_moe: 1 of 3 passed

| | exercise | |
|---|---|---|
|  | D1.1 | code cells 3 and 5 define TopKRouter; the last of them counts. |
| ✓ | D1.1 TopKRouter | passed |
| ✗ | D1.2 ExpertArray | not written yet. |
| ✗ | D1.3 dispatch\_combine · one token | expected \|y\| = 2, got: \`nan\` &lt;b&gt; |

"""


def test_every_line_is_a_row_and_means_nothing_to_markdown():
    assert job_summary.table("d1_moe", LINES) == TABLE


def test_validation_adds_a_table_for_each_lesson(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    page = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    monkeypatch.setattr(paths, "WORK", tmp_path)
    assert validate.validate(["d1_moe", "d3_mla"]) == 1
    rows = [
        line for line in page.read_text(encoding="utf-8").splitlines() if "not in work/" in line
    ]
    assert len(rows) == 2 and capsys.readouterr().out.count("not in work/") == 2


def test_elsewhere_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.chdir(tmp_path)
    job_summary.add("d1_moe", LINES)
    assert list(tmp_path.iterdir()) == []
