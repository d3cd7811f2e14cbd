"""The tensors of a checkpoint's safetensors, mapped from the files and not copied."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from helpers.checkpoints.config_file import read_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Every tensor by its name; the memory is the files', which the system reads as it is used.

    Raises a ValueError or FileNotFoundError with the name of the file that is missing, cut, or a
    pointer of git-lfs, or of a tensor that the index promises and its file does not hold.
    """
    weights: dict[str, Tensor] = {}
    for path in weight_files(folder):
        weights |= _read(path)
    index = _index(folder) or {}
    missing = next((name for name in index if name not in weights), None)
    if missing is not None:
        raise ValueError(f"{index[missing]} must hold {missing}, as {INDEX} says, and does not")
    return weights


def weight_files(folder: Path) -> list[Path]:
    """The safetensors that make up the model, each of them there and whole.

    Raises a ValueError or FileNotFoundError with the name of one that is not.
    """
    index = _index(folder)
    names = [WEIGHTS] if index is None else sorted(set(index.values()))
    for name in names:
        _require_whole(folder / name)
    return [folder / name for name in names]


def _index(folder: Path) -> dict[str, str] | None:
    """The file of each tensor, None where there is one file for all."""
    if not (folder / INDEX).is_file():
        return None
    found = read_json(folder / INDEX).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{INDEX} must hold a weight_map with the file of each tensor")
    return found


def _read(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as tensors:
        return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118


def _require_whole(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"the folder must hold {path.name}, and {path.parent} does not")
    with path.open("rb") as file:
        start = file.read(200)
    if b"git-lfs" in start:
        raise ValueError(
            f"{path.name} is a pointer of git-lfs and no weights: fetch the file itself"
        )
    try:
        with safe_open(path, framework="pt"):
            pass
    except SafetensorError as error:
        raise ValueError(
            f"{path.name} is no whole safetensors file ({error}): was its download cut?"
        ) from None
