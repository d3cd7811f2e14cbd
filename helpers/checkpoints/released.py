"""Released checkpoints in a table: what each holds, and whether this model reads it, or why not."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from helpers.checkpoints.fields import model_fields
from helpers.model.deepseek_config import DeepSeekConfig

STORED = Path(__file__).with_name("released_configs.json")
# Without a configuration of their own here: the nearest one, and what differs from it.
MADE: dict[str, tuple[str, dict[str, Any], str]] = {
    "R1": ("V3", {}, "V3's configuration"),
    "V3.1": ("V3", {}, "V3's configuration; its FP8 scales are powers of 2"),
    "V4": ("V3", {"model_type": "deepseek_v4"}, "V3's configuration under V4's model_type"),
}


@dataclass(frozen=True)
class ReleasedRow:
    """A checkpoint: parameters in all and for a token, or `refusal`; `made` says from what else."""

    name: str
    total: int | None
    active: int | None
    refusal: str
    made: str


def released_configs() -> dict[str, dict[str, Any]]:
    """The configuration of each checkpoint, in the order of the table."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    made = {name: stored[nearest] | changed for name, (nearest, changed, _) in MADE.items()}
    return stored | made


def released_rows(count: Callable[[DeepSeekConfig], tuple[int, int]]) -> list[ReleasedRow]:
    """A row for each; `count` is the lesson's count_parameters."""
    once = cache(count)  # R1 and V3.1 are as large as V3
    return [_row(name, config, once) for name, config in released_configs().items()]


def _row(name: str, config: dict[str, Any], count: Callable) -> ReleasedRow:
    made = MADE[name][2] if name in MADE else ""
    try:
        fields = model_fields(config)
    except ValueError as error:
        return ReleasedRow(name, None, None, str(error), made)
    total, active = count(DeepSeekConfig(**fields))
    return ReleasedRow(name, total, active, "", made)
