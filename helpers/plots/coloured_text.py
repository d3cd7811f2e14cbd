"""Text in which each token has its expert's colour, and each word the number of its expert."""

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from helpers.plots.palette import choices, text_background, validate_length

Word = list[tuple[str, int]]  # its pieces, each with its expert
# JupyterLab breaks the lines of a <pre> at any letter.
_WHOLE_WORDS = (
    "white-space: pre-wrap; word-break: normal; overflow-wrap: break-word; line-height: 1.7"
)


@dataclass(frozen=True)
class ColouredText:
    """Tokens and their experts: colours and numbers in a notebook, `word/3` in a terminal.

    A word's number stands at its end; where its tokens went to several experts there are several,
    in the order of the tokens.
    """

    pieces: tuple[str, ...]
    experts: tuple[int, ...]

    def __repr__(self) -> str:
        return "".join(map(_tagged, self._words()))

    def _repr_html_(self) -> str:
        text = "".join(map(_marked, self._words()))
        counts = sorted(Counter(self.experts).items())
        legend = " ".join(f"{_swatch(f'expert {e}', e)} {count}" for e, count in counts)
        return f'<div><pre style="{_WHOLE_WORDS}">{text}</pre><p>tokens: {legend}</p></div>'

    def _words(self) -> list[Word]:
        words: list[Word] = []
        for piece, expert in zip(self.pieces, self.experts, strict=True):
            if words and _goes_on(words[-1][-1][0], piece):
                words[-1].append((piece, expert))
            else:
                words.append([(piece, expert)])
        return words


def colour_text(
    pieces: Sequence[str], experts: Int[Tensor, " T"], num_experts: int
) -> ColouredText:
    """The text of the tokens `pieces`, its words marked with their experts; of K, pass the first.

    Line ends and spaces are kept; HTML in a piece is shown as text, never interpreted.
    """
    chosen = choices("experts", experts, "T", num_experts)
    validate_length("pieces", pieces, "token of experts", len(chosen))
    return ColouredText(tuple(pieces), tuple(chosen.tolist()))


def _goes_on(before: str, piece: str) -> bool:
    """Whether `piece` continues the word of `before`: letters and digits after such."""
    return before[-1:].isalnum() and piece[:1].isalnum()


def _mark(word: Word) -> str:
    """The word's experts, each named once for tokens that follow each other."""
    experts = [expert for _, expert in word]
    kept = [e for i, e in enumerate(experts) if i == 0 or experts[i - 1] != e]
    return ",".join(map(str, kept))


def _tagged(word: Word) -> str:
    text = "".join(piece for piece, _ in word)
    shown = text.rstrip()
    return f"{shown}/{_mark(word)}{text[len(shown) :]}"


def _marked(word: Word) -> str:
    # The number is before the last white space, so that a line's end stays last.
    last, expert = word[-1]
    shown = last.rstrip("\n")
    sign = "" if shown else "↵"  # else the numbers of two words would run together
    number = f"<sub>{sign}{_mark(word)}</sub>"
    inner = "".join(_swatch(piece, e) for piece, e in word[:-1])
    return inner + _swatch(shown, expert, number) + last[len(shown) :]


def _swatch(text: str, expert: int, after: str = "") -> str:
    style = f"background-color: {text_background(expert)}; color: #000000"
    start = text[: len(text) - len(text.lstrip(" "))] if text.strip() else ""
    word = html.escape(text[len(start) :])
    return f'{start}<span style="{style}" title="expert {expert}">{word}{after}</span>'
