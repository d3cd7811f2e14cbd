"""What a learner's process may not do is forbidden where the system can, and said where not."""

import socket
import subprocess
import sys

from checks.learner.class_report import confinement
from course import ROOT

IMPORT = "from pathlib import Path\nfrom checks.learner.class_report import confinement\n"


def run(program, way=()):
    """What a process prints, run as a learner's is."""
    command = [*way, sys.executable, "-P", "-c", IMPORT + program]
    environment = {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_only_its_own_folder_can_be_changed(tmp_path):
    pen, other = tmp_path / "pen", tmp_path / "other"
    for folder in (pen, other):
        folder.mkdir()
        (folder / "kept").write_text("kept")
    program = f"""
def can(change, *arguments):
    try:
        change(*arguments)
        return True
    except OSError:
        return False
done = confinement.write_only_below(Path({str(pen)!r}))
for place in (Path({str(pen)!r}), Path({str(other)!r})):
    tried = [can((place / "new").write_text, ""), can((place / "kept").unlink)]
    print(*tried, can((place / "folder").mkdir))
print(done, can(Path("/dev/null").write_text, "x"))
"""
    printed = run(program)
    forbidden = confinement.landlock_version() > 0
    assert printed[:3] == ["True"] * 3
    assert printed[3:6] == [str(not forbidden)] * 3
    assert printed[6:] == [str(forbidden), "True"]
    assert (other / "kept").exists() is forbidden


def test_no_network_but_between_its_own_processes():
    way = confinement.namespaces()
    raised = "confinement.raise_loopback()\n" if way else ""
    with socket.create_server(("127.0.0.1", 0)) as ours:
        program = f"""{raised}
import socket
def reached(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True
    except OSError:
        return False
with socket.create_server(("127.0.0.1", 0)) as own:
    print(reached(own.getsockname()[1]), reached({ours.getsockname()[1]}))
"""
        assert run(program, way) == ["True", str(not way)]


def test_memory_is_limited_where_the_system_knows_how():
    program = """
confinement.limit(600_000_000, False)
try:
    print(len(bytearray(900_000_000)))
except MemoryError:
    print("refused")
"""
    assert run(program) == (["refused"] if sys.platform == "linux" else ["900000000"])


def test_where_nothing_takes_the_network_away_it_is_graded_all_the_same(monkeypatch):
    monkeypatch.setattr(confinement, "WAYS", (("no-such-command",), ("false",)))
    confinement.namespaces.cache_clear()
    try:
        assert confinement.namespaces() == ()
    finally:
        confinement.namespaces.cache_clear()


def test_the_report_says_what_was_forbidden(monkeypatch):
    monkeypatch.setattr(confinement, "landlock_version", lambda: 3)
    strict = confinement.described(confinement.WAYS[0])
    assert "no network" in strict
    assert "processes of its own only" in strict
    assert "write only to its own folder" in strict
    monkeypatch.setattr(confinement, "landlock_version", lambda: 0)
    loose = confinement.described(())
    assert "the network, which this system would not take away" in loose
    assert "write wherever you can" in loose
