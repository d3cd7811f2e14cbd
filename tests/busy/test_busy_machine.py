"""Fresh processes beside four busy loops, with a tenth of the time limit: every verdict holds."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks import CHECKS, LESSONS
from course import ROOT

LOOPS = 4
A_TENTH = """
import checks.grading.check, checks.learner.shared_names
checks.grading.check.SECONDS /= 10
checks.learner.shared_names.SECONDS /= 10
"""
# Each check in a process of its own, in which torch has been loaded and nothing else was done.
EACH_CHECK = """
import os, sys
assert "torch._dynamo" not in sys.modules
for check in checks.CHECKS.values():
    process = os.fork()
    if process == 0:
        code = 1
        try:
            check(check.reference_answer)
            after = check(check.reference_answer)  # whatever was loaded is whole
            code = 0 if after.passed else 1
        except BaseException as failed:
            print(check.id, failed, flush=True)
        os._exit(code)
    print(check.id, os.waitpid(process, 0)[1], flush=True)
"""
IN_WORK = """
from pathlib import Path
from checks.learner_files import paths
paths.WORK = Path(sys.argv[1])
"""
CARRY = """
from checks.learner.carry import saved_parts
print(json.dumps(saved_parts(checks.STEMS, {}).origin))
"""
EXPORT = "from checks.learner import export\nprint(export.export().read_text(encoding='utf-8'))\n"
VALIDATE = "from checks.learner.validate import validate\nsys.exit(validate(checks.STEMS))\n"


@pytest.fixture(scope="module", autouse=True)
def busy() -> Iterator[None]:
    """Four processes that take every core they get, for the length of these tests."""
    loop = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(loop) for _ in range(LOOPS)]
    yield
    assert all(process.poll() is None for process in loops)
    for process in loops:
        process.kill()
        process.wait()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work folder with all four lessons solved."""
    folder = tmp_path / "work"
    folder.mkdir()
    for stem in LESSONS:
        shutil.copy(ROOT / "solutions" / f"{stem}.ipynb", folder)
    return folder


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", f"import json, sys, checks\n{A_TENTH}{code}", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, encoding="utf-8"
    )


def test_no_check_refuses_its_reference():
    lines = run(EACH_CHECK).stdout.splitlines()
    assert lines == [f"{exercise} 0" for exercise in CHECKS]


def test_carrying_takes_every_part_and_remembers_passes_only(work):
    done = run(IN_WORK + CARRY, str(work))
    assert done.returncode == 0, done.stderr
    origin = json.loads(done.stdout)
    assert len(origin) == len(CHECKS) and set(origin.values()) == {"yours"}
    assert set(json.loads((work / "verdicts.json").read_text()).values()) == {""}
    assert json.loads(run(IN_WORK + CARRY, str(work)).stdout) == origin


def test_an_export_is_wholly_the_learners(work):
    done = run(IN_WORK + EXPORT, str(work))
    assert done.returncode == 0, done.stderr
    assert "\nYours: " in done.stdout and "From the course's reference" not in done.stdout


def test_validation_passes_every_exercise(work, tmp_path):
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "limit.py").write_text(A_TENTH, encoding="utf-8")
    done = run(IN_WORK + VALIDATE, str(work), IPYTHONDIR=str(tmp_path / "ipython"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓") == len(CHECKS)
