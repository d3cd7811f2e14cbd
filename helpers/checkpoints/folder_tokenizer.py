"""The tokenizer of a checkpoint's folder, read without running any code that comes with it."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from helpers.checkpoints.config_file import CONFIG, read_json

TOKENIZER = "tokenizer.json"


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Raises a ValueError with one sentence where there is none, or only code that makes one."""
    if not (folder / TOKENIZER).is_file():
        settings = folder / "tokenizer_config.json"
        if settings.is_file() and read_json(settings).get("auto_map"):
            raise ValueError(
                f"the tokenizer of {folder} is code of its own, which is not run here: --ids "
                "generates without one"
            )
        raise ValueError(f"{folder} has no {TOKENIZER}: --ids generates without a tokenizer")
    try:
        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # of the tokenizers' own kinds, which share no other base
        reason = " ".join(str(error).split())
        raise ValueError(f"{TOKENIZER} could not be read: {reason}") from None


def ends_of_text(folder: Path) -> set[int]:
    """The ids behind which a text is over: those of generation_config.json and config.json."""
    found: set[int] = set()
    for name in ("generation_config.json", CONFIG):
        if (folder / name).is_file():
            found |= _as_ids(read_json(folder / name).get("eos_token_id"))
    return found


def _as_ids(value: Any) -> set[int]:
    return {i for i in (value if isinstance(value, list) else [value]) if isinstance(i, int)}
