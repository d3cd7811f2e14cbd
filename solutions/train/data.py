"""What a training reads: stories, or text files of any size, as batches by their step."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from torch import distributed as dist

from helpers.data.corpus import train_tokenizer
from helpers.data.story_batches import StoryBatches
from helpers.data.story_rows import StoryRows
from helpers.data.token_file import TokenWindows, read_tokens, write_tokens
from helpers.training_loops.loop import Batches

SAMPLE = 1 << 24  # characters of each text that the tokenizer learns from
HELD_OUT = 64  # stories of which the loss is told


@dataclass(frozen=True)
class Data:
    """Batches to train on, batches of other texts to measure on, and their tokenizer."""

    tokenizer: Tokenizer
    batches: Batches
    held_out: Batches


def read(chosen: Namespace) -> Data:
    """The data that the arguments ask for; text files are encoded once, by the first process."""
    return _of_text(chosen) if chosen.text else _of_stories(chosen)


def _of_stories(chosen: Namespace) -> Data:
    rows = StoryRows.build(vocab_size=chosen.vocabulary)
    return Data(
        rows.tokenizer,
        StoryBatches(rows.ids, rows.real, chosen.batch, chosen.seed),
        StoryBatches(rows.held_ids, rows.held_real, HELD_OUT, 0),
    )


def _of_text(chosen: Namespace) -> Data:
    """The last twentieth of the texts, in the order in which they are named, is held out."""
    tokens = chosen.folder / "text.tokens"
    if dist.get_rank() == 0 and not tokens.is_file():
        tokenizer = train_tokenizer((_head(path) for path in chosen.text), chosen.vocabulary)
        tokenizer.save(str(chosen.folder / "tokenizer.json"))
        write_tokens(chosen.text, tokenizer, tokens)
    dist.barrier()
    ids = read_tokens(tokens)
    return Data(
        Tokenizer.from_file(str(chosen.folder / "tokenizer.json")),
        TokenWindows(ids, chosen.length, chosen.batch, chosen.seed, (0.0, 0.95)),
        TokenWindows(ids, chosen.length, 4 * dist.get_world_size(), 0, (0.95, 1.0)),
    )


def _head(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(SAMPLE)
