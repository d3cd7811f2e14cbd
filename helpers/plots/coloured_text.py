"""Text in which each token has the colour and the number of the expert that took it."""

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from helpers.plots.palette import choices, text_background, validate_length


@dataclass(frozen=True)
class ColouredText:
    """Tokens and their experts: colours and numbers in a notebook, `token/3` in a terminal."""

    pieces: tuple[str, ...]
    experts: tuple[int, ...]

    def __repr__(self) -> str:
        return "".join(map(_tagged, self.pieces, self.experts))

    def _repr_html_(self) -> str:
        tokens = "".join(map(_span, self.pieces, self.experts))
        counts = sorted(Counter(self.experts).items())
        legend = " ".join(f"{_swatch(f'expert {e}', e)} {count}" for e, count in counts)
        return (
            f'<div><pre style="white-space: pre-wrap; line-height: 1.7">{tokens}</pre>'
            f"<p>tokens: {legend}</p></div>"
        )


def colour_text(
    pieces: Sequence[str], experts: Int[Tensor, " T"], num_experts: int
) -> ColouredText:
    """The text of the tokens `pieces`, each marked with its expert; of K experts, pass the first.

    Line ends and spaces are kept; HTML in a piece is shown as text, never interpreted.
    """
    chosen = choices("experts", experts, "T", num_experts)
    validate_length("pieces", pieces, "token of experts", len(chosen))
    return ColouredText(tuple(pieces), tuple(chosen.tolist()))


def _tagged(piece: str, expert: int) -> str:
    word = piece.rstrip()
    return f"{word}/{expert}{piece[len(word) :]}"


def _span(piece: str, expert: int) -> str:
    # The number is outside the piece's last white space, so that a line's end stays last.
    word = piece.rstrip("\n")
    mark = "" if word else "⏎"  # else the numbers of two tokens would run together
    return _swatch(word, expert, f"<sub>{mark}{expert}</sub>") + piece[len(word) :]


def _swatch(text: str, expert: int, after: str = "") -> str:
    style = f"background-color: {text_background(expert)}; color: #000000"
    return f'<span style="{style}" title="expert {expert}">{html.escape(text)}{after}</span>'
