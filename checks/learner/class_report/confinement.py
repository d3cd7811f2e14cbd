"""What a learner's process may not do, as far as this system can forbid it.

Linux has namespaces, which take the network and everybody else's processes away, and Landlock,
which takes away writing outside a process' own folders. Neither needs root; where one is not there
the class is graded without it, and the report says so. Every system has the limits that the
process that watches keeps by itself.
"""

import ctypes
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

USER = ("unshare", "--user", "--map-root-user", "--net")
ALONE = ("--pid", "--fork", "--kill-child", "--mount-proc")
WAYS = ((*USER, *ALONE), ("unshare", "--net", *ALONE), USER, ("unshare", "--net"))

FILE_BYTES = 500_000_000  # that a file of theirs may have
THREADS = 4000  # of all their processes; older kernels count everything of this account

CREATE, ADD, RESTRICT = 444, 445, 446  # Landlock's system calls, on every architecture but Alpha
NO_NEW_PRIVILEGES = 38
WRITE_FILE, REFER, TRUNCATE = 1 << 1, 1 << 13, 1 << 14
CHANGE_FOLDER = sum(1 << bit for bit in range(4, 13))  # make and remove entries of every kind
SIGNALS = 1 << 1
OPENS = ("/dev/null", "/dev/shm", "/dev/zero", "/dev/full")


@cache
def namespaces() -> tuple[str, ...]:
    """The command that runs another one without network, () where this system allows none."""
    tried = "from checks.learner.class_report.confinement import raise_loopback as r; r()"
    for way in WAYS:
        with suppress(OSError, subprocess.SubprocessError):
            run = [*way, sys.executable, "-P", "-c", tried]
            off = subprocess.DEVNULL
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
            if (
                subprocess.run(run, stdout=off, stderr=off, env=environment, timeout=120).returncode
                == 0
            ):
                return way
    return ()


def described(way: Sequence[str]) -> str:
    """In a sentence or two, what learners' code could not do on this system."""
    without = "no network" if way else "the network, which this system would not take away"
    others = "processes of its own only" if "--pid" in way else "this account's processes in sight"
    files = "write only to its own folder" if landlock_version() else "write wherever you can"
    return f"Each learner's code had {without} and {others}, and could {files}."


def raise_loopback() -> None:
    """The processes of an exercise talk over 127.0.0.1, which a new network has switched off."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up = struct.pack("16sH22x", b"lo", 0x41)  # IFF_UP and IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS


def limit(memory: int, counted_apart: bool) -> None:
    """From now on this process and each that it starts keep to the limits that the system knows."""
    if resource is None:
        return
    wanted = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": FILE_BYTES}
    if sys.platform == "linux":
        wanted["RLIMIT_DATA"] = memory  # what is mapped from files, as torch itself, does not count
    if counted_apart:
        wanted["RLIMIT_NPROC"] = THREADS
    for name, most in wanted.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))


def landlock_version() -> int:
    """0 where there is no Landlock."""
    if sys.platform != "linux":
        return 0
    with suppress(OSError, AttributeError):
        return max(0, _libc().syscall(CREATE, None, 0, 1))
    return 0


def write_only_below(*folders: Path) -> bool:
    """Whether from now on this thread, and all that it starts, can change files only there."""
    version = landlock_version()
    if not version:
        return False
    changes = WRITE_FILE | CHANGE_FOLDER
    changes |= (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    ruleset = _ruleset(version, changes)
    for path in [*map(str, folders), *OPENS]:
        _allow(ruleset, path, changes if os.path.isdir(path) else changes & (WRITE_FILE | TRUNCATE))
    _libc().prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    done = _libc().syscall(RESTRICT, ruleset, 0) == 0
    os.close(ruleset)
    return done


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _ruleset(version: int, changes: int) -> int:
    """Landlock's description of what is forbidden, also signals to others where it knows that."""
    attributes = struct.pack("QQQ", changes, 0, SIGNALS if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _libc().syscall(CREATE, attributes, size, 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "Landlock makes no ruleset")
    return ruleset


def _allow(ruleset: int, path: str, changes: int) -> None:
    with suppress(OSError):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        _libc().syscall(ADD, ruleset, 1, struct.pack("=Qi", changes, place), 0)
        os.close(place)
