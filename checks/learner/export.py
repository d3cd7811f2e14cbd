"""A learner's DeepSeek as one file that needs nothing of the course: `my_deepseek.py`."""

import ast
import re
import textwrap
from importlib import import_module
from pathlib import Path

import checks
from checks.learner.carry import Carried, saved_parts
from checks.learner_files import paths
from checks.learner_files.answers import answers, definitions
from checks.learner_files.notebook import CodeCell, UnreadableNotebook, read
from helpers import solution_markers
from helpers.atomic_file import write_atomically
from helpers.moved import RENAMED

NAME = "my_deepseek.py"
HELPERS = {
    "helpers.model.interfaces": ("ExpertList", "CachingModel"),
    "helpers.model.llama": ("SwiGLU", "RMSNorm", "rotate", "_turns"),
    "helpers.model.router_options": ("validate_router",),
    "helpers.model.attention_sizes": ("validate_sizes",),
    "helpers.measuring.traffic": ("layers_of",),
    "helpers.model.yarn": ("Yarn",),
    "helpers.model.deepseek_config": ("DeepSeekConfig",),
    "helpers.model.small_sizes": ("SIZES",),
    "helpers.model.v2_router": ("V2Router",),
    "helpers.checkpoints.loading": ("use_v2_routers",),
    "helpers.model.attention_ways": (
        "QUERY_BLOCK",
        "BREAK_EVEN",
        "DECODINGS",
        "absorbs",
        "can_absorb",
        "attended_in_blocks",
    ),
    "helpers.model.device": ("device_of",),
    "helpers.data.corpus": ("END_OF_TEXT", "SMALLEST_VOCABULARY", "train_tokenizer"),
    "helpers.data.shuffled": ("Shuffled",),
    "helpers.data.token_file": ("TokenWindows",),
    "helpers.training_loops.optimiser": ("optimiser_and_schedule", "warm_up_then_decay"),
    "helpers.training_loops.loop": (
        "ANNEALED",
        "Batch",
        "BiasStep",
        "Train",
        "Batches",
        "TrainingLoop",
    ),
}
MAIN = "checks.learner.export_main"  # what the file does when it is run
PARTS = {
    "d1_moe": ("ExpertArray", "dispatch_combine", "expert_load", "load_cv"),
    "d2_deepseek_moe": (
        "SharedExperts",
        "segment_tokens",
        "merge_segments",
        "keep_top_groups",
        "BiasedRouter",
        "update_bias",
        "DeepSeekMoE",
        "rebalance",
    ),
    "d3_mla": (
        "LatentCache",
        "QueryPath",
        "JointLatent",
        "RotaryKey",
        "attend",
        "MultiHeadLatentAttention",
        "absorbed_decode",
        "yarn_frequencies",
    ),
    "d4_deepseek": (
        "DeepSeekBlock",
        "DeepSeek",
        "count_parameters",
        "masked_loss",
        "train",
        "sample",
        "generate",
    ),
}
LEFT_OUT = ("from_hf", "to_hf", "v3", "v2_lite")  # what needs transformers, or published tables
OF_THE_COURSE = re.compile(r"(from|import) (helpers|solutions|checks|jaxtyping)\b")
HEAD = '''\
"""A DeepSeek in one file.

{whose}

    python {name} a_text_file.txt
"""

import argparse
import hashlib
import json
import math
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
{more}

class Shape:
    """Shapes in signatures are for the reader: `Float[Tensor, "B L D"]`."""

    def __class_getitem__(cls, item):
        return Tensor


Bool = Complex = Float = Int = Integer = Shape
'''


def export() -> Path:
    """The path of `work/my_deepseek.py`, written anew; a file of that name is replaced.

    Prints what carrying the parts had to leave out.
    """
    paths.WORK.mkdir(exist_ok=True)
    carried = saved_parts(checks.STEMS, {})
    print("".join(f"{note}\n" for note in carried.notes), end="")
    path = paths.WORK / NAME
    write_atomically(path, text(carried))
    return path


def text(carried: Carried) -> str:
    """The file: head, helpers, parts in the order of the lessons, and what trains and writes."""
    helpers = [
        _helper(_text_of(module), name) for module, names in HELPERS.items() for name in names
    ]
    pieces: list[str] = []
    for lesson, names in PARTS.items():
        cells = _cells(lesson)
        ids = {check.name: check.id for check in checks.LESSONS[lesson]}
        own = answers(cells, {ids[name]: name for name in ids})
        chosen = [
            _without(own[ids[name]].source)
            if carried.origin[name] == "yours"
            else _reference(lesson, name)
            for name in names
        ]
        chosen = list(dict.fromkeys(chosen))  # one cell may hold the answers to two exercises
        around = [cell for cell in definitions(cells, own).values() if cell.role == "plain"]
        pieces += [*_used(around, chosen), *chosen]
    pieces = [*helpers, *_old_names(pieces), *pieces]
    more, bodies = _imports_apart([*pieces, _text_of(MAIN).partition('"""\n\n')[2]])
    return "\n\n\n".join([_head(carried, more).strip("\n"), *bodies]) + "\n"


def _helper(module: str, name: str) -> str:
    """A function, a class or a constant of a module's text."""
    for node in ast.parse(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.unparse(node)
    return _without(solution_markers.source_of(module, name))


def _old_names(pieces: list[str]) -> list[str]:
    """Lines that let parts from an older notebook call a helper by the name it had then."""
    known = {name for names in HELPERS.values() for name in names}
    renamed = [pair for names in RENAMED.values() for pair in names.items() if pair[1] in known]
    text = "\n".join(pieces)
    return [f"{old} = {new}" for old, new in renamed if re.search(rf"\b{old}\b", text)]


def _head(carried: Carried, more: str) -> str:
    wanted = [name for names in PARTS.values() for name in names]
    yours = [name for name in wanted if carried.origin[name] == "yours"]
    others = [name for name in wanted if name not in yours]
    lines = [f"Yours: {', '.join(yours) or 'none yet'}."]
    lines += [f"From the course's reference: {', '.join(others)}."] if others else []
    whose = "\n\n".join(textwrap.fill(line, 96) for line in lines)
    return HEAD.format(whose=whose, name=NAME, more=more)


def _cells(lesson: str) -> list[CodeCell]:
    try:
        return read(paths.WORK / f"{lesson}.ipynb")
    except UnreadableNotebook:
        return []  # then carry took all of this lesson's parts from the reference


def _used(cells: list[CodeCell], chosen: list[str]) -> list[str]:
    """Those of the learner's definitions that the chosen parts name."""
    wanted = "\n".join(chosen)
    plain = [cell.python.strip("\n") for cell in cells]
    return [s for s in plain if any(re.search(rf"\b{name}\b", wanted) for name in _defined(s))]


def _defined(source: str) -> list[str]:
    kinds = ast.FunctionDef | ast.ClassDef
    return [node.name for node in ast.parse(source).body if isinstance(node, kinds)]


def _reference(lesson: str, name: str) -> str:
    return _without(
        solution_markers.solved(solution_markers.source_of(_text_of(f"solutions.{lesson}"), name))
    )


def _text_of(module: str) -> str:
    return Path(str(import_module(module).__file__)).read_text(encoding="utf-8")


def _without(source: str) -> str:
    """The source without the methods that are left out."""
    lines = source.split("\n")
    methods = [
        node
        for cls in ast.parse(source).body
        if isinstance(cls, ast.ClassDef)
        for node in cls.body
        if isinstance(node, ast.FunctionDef) and node.name in LEFT_OUT
    ]
    for node in reversed(methods):
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        del lines[first - 1 : node.end_lineno]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _imports_apart(pieces: list[str]) -> tuple[str, list[str]]:
    """The imports that the head lacks, a line each, and the pieces without any import."""
    found: dict[str, None] = {}
    bodies = []
    for piece in pieces:
        lines = piece.split("\n")
        for node in reversed(ast.parse(piece).body):
            if isinstance(node, ast.Import | ast.ImportFrom):
                line = ast.unparse(node)
                if not OF_THE_COURSE.match(line) and line not in HEAD:
                    found[line] = None
                del lines[node.lineno - 1 : node.end_lineno]
        bodies.append("\n".join(lines).strip("\n"))
    return "".join(f"{line}\n" for line in sorted(found)), bodies
