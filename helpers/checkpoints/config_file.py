"""The config.json of a checkpoint's folder, read without running any code that comes with it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIG = "config.json"


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's configuration; raises a ValueError or FileNotFoundError with one sentence."""
    if not folder.is_dir():
        raise FileNotFoundError(f"a checkpoint is a folder, and {folder} is none")
    return read_json(folder / CONFIG)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises with the file's name where there is none."""
    if not path.is_file():
        raise FileNotFoundError(f"the folder must hold a {path.name}, and {path.parent} does not")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path.name} is no valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} must hold a JSON object, got {type(found).__name__}")
    return found


class Fields:
    """A configuration whose fields are asked for by name and kind."""

    def __init__(self, config: Mapping[str, Any]):
        self._config = config

    def get(self, name: str, default: Any = None) -> Any:
        """The field as it stands, or `default` where it is missing or null."""
        value = self._config.get(name)
        return default if value is None else value

    def whole(self, name: str, at_least: int = 1, default: int | None = None) -> int:
        """A whole number; raises a ValueError unless it is one of at least `at_least`."""
        value = self._config.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise ValueError(f"{name} must be a whole number of at least {at_least}, got {value!r}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A number above 0; raises a ValueError unless it is one."""
        value = self._config.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ValueError(f"{name} must be a number above 0, got {value!r}")
        return float(value)

    def must_be(self, name: str, wanted: Any, why: str, default: Any = None) -> None:
        """Raise a ValueError unless the field, or `default` where it is missing, is `wanted`."""
        value = self.get(name, default)
        if value != wanted:
            raise ValueError(f"{name} must be {wanted!r}, got {value!r}: {why}")
