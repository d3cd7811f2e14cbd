"""Runs a solved lesson where there is no network but the machine's own loopback, or says why not.

`unshare --user --map-root-user --net python -m tests.offline.lesson d3_mla` is how it is meant.
"""

import socket
import sys
import tempfile
from pathlib import Path

import nbformat

from checks.learner.class_report.confinement import raise_loopback
from course import ROOT
from lessons.execute import execute

OUTSIDE = ("192.0.2.1", 443)  # an address that documents use, and nobody has


def require_no_network() -> None:
    """Ends the program unless loopback is all there is, and packets to elsewhere have no way."""
    names = [name for _, name in socket.if_nameindex()]
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as outward:
        outward.settimeout(5)
        try:
            outward.connect(OUTSIDE)
        except TimeoutError:
            sys.exit("there is a network: packets to elsewhere leave")
        except OSError as error:
            print(f"interfaces: {', '.join(names)}; elsewhere: {error.strerror}")
    if names != ["lo"]:
        sys.exit("there is a network: run it under unshare --net")


def main(stem: str) -> None:
    """Afterwards every cell of the solved lesson has run, in an empty folder."""
    require_no_network()
    raise_loopback()
    notebook = nbformat.read(ROOT / "solutions" / f"{stem}.ipynb", as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        seconds = execute(notebook, Path(folder))
    print(f"{stem}: {len(seconds)} cells ran in {sum(seconds):.0f} s")


if __name__ == "__main__":
    main(sys.argv[1])
