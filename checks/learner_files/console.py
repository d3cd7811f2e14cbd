"""Consoles that know less than Unicode: what they lack is replaced by something distinct."""

import codecs
import io
from typing import TextIO

IN_ASCII = {"✓": "+", "◐": "~", "✗": "x", "·": "-", "…": "...", "→": "->", "−": "-", "×": "x"}


def print_anything(*streams: TextIO) -> None:
    """From now on the streams print everything: a letter they lack as another one, or as `?`."""
    codecs.register_error("in_ascii", _in_ascii)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="in_ascii")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(IN_ASCII.get(letter, "?") for letter in letters), error.end
