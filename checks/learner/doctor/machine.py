"""`python3 course.py doctor`: what can be said of a machine without the packages, then the rest.

It is a script that needs nothing but Python, since it also runs where nothing is installed yet.
"""

import importlib.util
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NEEDED = 3.0  # GB of disk for the packages
LEFT = 0.2  # GB for notebooks and trained models, once they are there
LONG = 90  # characters of a folder's name from which Windows' limit of 260 is near
SECONDS = 180  # that the environment may take to answer
TESTED = (3, 11)
SIGNS = {True: "✓", False: "✗", None: "·"}

# What is looked at, whether it is good (None: a remark), and what there is to say or to do.
Finding = tuple[str, bool | None, str]


def python() -> Finding:
    version = platform.python_version()
    if sys.maxsize <= 2**32:
        return "Python", False, f"{version} has 32 bits, PyTorch needs 64: install a 64-bit Python."
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            return "Python", False, f"{version} has no {module}: sudo apt install python3-venv."
    if sys.version_info[:2] != TESTED:
        return "Python", None, f"{version}; the course is tested with {TESTED[0]}.{TESTED[1]}."
    return "Python", True, f"{version}."


def system() -> Finding:
    """Whether PyTorch comes for it."""
    name, processor = platform.system(), platform.machine()
    if (name, processor) == ("Darwin", "x86_64"):
        advice = "use one with Apple's processor, Linux or Windows, or Colab."
        return (
            "system",
            False,
            f"PyTorch no longer comes for a Mac with Intel's processor: {advice}",
        )
    if "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or ""):
        advice = "use a Linux with glibc, such as Debian, or its container."
        return "system", False, f"PyTorch does not come for a Linux with musl, as Alpine: {advice}"
    if name == "Linux":
        return "system", True, f"{name} on {processor}."
    return "system", None, f"{name} on {processor}; the course was tested on Linux only."


def folder(root: Path = ROOT) -> Finding:
    """Whether files can be made where the course writes, and whether Windows bears the names."""
    for place in (root / "work", root / ".venv", root, Path(tempfile.gettempdir())):
        if not place.is_dir() and place.parent == root:
            continue
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            advice = "make it writable, or move the course into your home."
            return (
                "folder",
                False,
                f"{place} cannot be written to ({error.strerror or error}): {advice}",
            )
    if os.name == "nt" and len(str(root)) > LONG:
        return "folder", False, f"{root} is too long a name for Windows: move it nearer to C:\\."
    return "folder", True, f"{root} can be written to."


def disk(installed: bool, root: Path = ROOT) -> Finding:
    free, needed = shutil.disk_usage(root).free / 1e9, LEFT if installed else NEEDED
    if free < needed:
        return "disk", False, f"{free:.1f} GB are free, {needed} are needed: delete something."
    return "disk", True, f"{free:.1f} GB are free."


def notebooks(root: Path = ROOT) -> Finding:
    missing = [s for s in ("d1", "d2", "d3", "d4") if not list((root / "notebooks").glob(f"{s}_*"))]
    if missing:
        return "notebooks", False, f"{missing[0]} is missing: python3 course.py build makes it."
    return "notebooks", True, "the four lessons are there."


def port(wanted: int = 8888) -> Finding:
    """Whether JupyterLab can listen on this machine, and on the port that it tries first."""
    if not _can_listen(0):
        advice = "a firewall or a sandbox forbids it; open the notebooks in an editor."
        return "port", False, f"no port of 127.0.0.1 can be used: {advice}"
    if not _can_listen(wanted):
        return "port", None, f"{wanted} is taken, so JupyterLab takes the next that is free."
    return "port", True, f"{wanted} is free."


def _can_listen(number: int) -> bool:
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True


def environment(state: str) -> Finding:
    """`state` is one of course.py's `state_of_environment`."""
    said = {
        "none": "not made yet: python3 course.py lab makes it, in some minutes.",
        "broken": "does not start: python3 course.py lab makes it anew, in some minutes.",
        "old": "made for other pins: python3 course.py lab installs what changed.",
        "pinned": "made, from the pins of this version.",
    }
    return "environment", True if state == "pinned" else None, said[state]


def of_packages(command: list[str]) -> list[Finding]:
    """What the environment's own Python says; where it cannot, the one finding that it does not."""
    advice = "delete the folder .venv, and python3 course.py lab makes it anew."
    env = dict(os.environ, PYTHONUTF8="1")
    try:
        run = subprocess.run(
            command, env=env, capture_output=True, encoding="utf-8", timeout=SECONDS
        )
        return [(word, good, text) for word, good, text in json.loads(run.stdout.splitlines()[-1])]
    except (OSError, subprocess.TimeoutExpired) as error:
        return [("packages", False, f"{error}: {advice}")]
    except (ValueError, IndexError, TypeError):  # nothing, or something else, on its last line
        said = (run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1]
        return [("packages", False, f"the environment does not answer ({said}): {advice}")]


def findings(state: str, python_of_packages: str) -> list[Finding]:
    """All of them; those of the packages where there is a Python that should have them."""
    installed = state in ("old", "pinned")
    found = [python(), system(), folder(), disk(installed), notebooks(), port(), environment(state)]
    if installed or importlib.util.find_spec("torch") is not None:  # as on Colab, without a .venv
        found += of_packages([python_of_packages, str(Path(__file__).with_name("packages.py"))])
    return found


def line(finding: Finding) -> str:
    word, good, text = finding
    return f"{SIGNS[good]} {word:<12} {text}"


def main(state: str, python_of_packages: str) -> int:
    """Prints a line for each; 0 unless something is to be mended."""
    found = findings(state, python_of_packages)
    for finding in found:
        print(line(finding))
    bad = sum(good is False for _, good, _ in found)
    print(f"{bad} to mend." if bad else "Nothing to mend.")
    return 1 if bad else 0


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    sys.exit(main(*sys.argv[1:]))
