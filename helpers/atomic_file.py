"""Files that are written whole or not at all."""

import os
from pathlib import Path


def write_atomically(path: Path, data: bytes | str) -> None:
    """Put `data` into the file `path`; whatever goes wrong, the file holds what it held before.

    Text is written as UTF-8, its line ends as they stand (`\\n` on every system). Raises `OSError`
    where the folder cannot be written to.
    """
    fresh = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        fresh.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
