"""A file is written whole or not at all, and no temporary one is left."""

from pathlib import Path

import pytest

from helpers import atomic_file
from helpers.atomic_file import write_atomically


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize(
    ("data", "written"), [("é\na\r\n", b"\xc3\xa9\na\r\n"), (b"\x00\r\n", b"\x00\r\n"), ("", b"")]
)
def test_data_is_written_as_it_stands(tmp_path, data, written):
    path = tmp_path / "file.txt"
    for _ in range(2):  # new, then over the old one
        write_atomically(path, data)
        assert path.read_bytes() == written
        assert names(tmp_path) == ["file.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_atomically(path, "old")

    def refuse(old, new):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(atomic_file.os, "replace", refuse)
    with pytest.raises(PermissionError):
        write_atomically(path, "new")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\udcff")
    assert path.read_text() == "old" and names(tmp_path) == ["file.txt"]


def test_a_folder_that_is_missing_is_an_os_error(tmp_path):
    with pytest.raises(OSError):
        write_atomically(tmp_path / "missing" / "file.txt", "text")
