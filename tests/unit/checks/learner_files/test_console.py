"""The command's output where nobody reads it to the end, and where a console lacks the symbols."""

import os
import subprocess
import sys

from checks.learner_files import paths
from checks.learner_files.board import SYMBOLS
from checks.learner_files.console import IN_ASCII

STATUS = [sys.executable, "-m", "checks", "status"]


def test_the_states_stay_distinguishable_in_ascii():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    run = subprocess.run(STATUS, cwd=paths.ROOT, env=environment, capture_output=True, check=True)
    shown = run.stdout.decode("ascii")
    assert ("?" not in shown and "\n- D1.1 Top-K router" in shown.replace("\r", "")) or "+" in shown
    symbols = {*SYMBOLS.values(), "·"}
    assert len({IN_ASCII[symbol] for symbol in symbols}) == len(symbols)


def test_a_closed_pipe_is_no_traceback():
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        run = subprocess.run(STATUS, cwd=paths.ROOT, stdout=write_end, stderr=subprocess.PIPE)
    finally:
        os.close(write_end)
    assert run.stderr == b""
