"""One layer of a DeepSeek, and all of them."""

from itertools import pairwise

from helpers.diagrams.drawing.box import Box, Pixels, Point
from helpers.diagrams.drawing.canvas import (
    EMPTY,
    INK,
    LINE,
    MAIN,
    MARGIN,
    PALE,
    PALE_SECOND,
    PALE_THIRD,
    QUIET,
    SECOND,
    SMALL,
    THIRD,
    WIDTH,
    Canvas,
)
from helpers.diagrams.drawing.card import Card
from helpers.diagrams.drawing.checked import big, counted
from helpers.diagrams.part_sizes import (
    PartSize,
    attention_size,
    block_size,
    ffn_size,
    plain,
    prediction_size,
)
from helpers.model.deepseek_config import DeepSeekConfig

_MIDDLE = 188  # of a block's row of parts


def block(config: DeepSeekConfig, layer: int) -> Card:
    """Norm, attention, residual, norm, feed-forward part, residual.

    `layer` counts from 0, as in the code; the card counts layers from 1.
    """
    if not 0 <= layer <= config.num_layers:
        raise ValueError(f"layer must be between 0 and {config.num_layers}, got {layer}")
    kind = "dense" if layer < config.dense_layers else "sparse"
    size = block_size(config, layer)
    canvas = Canvas(
        276,
        f"Layer {layer + 1}: a {kind} block, {_sizes(size)}",
        f"along every arrow {config.d_model:,} numbers per token",
    )
    x = canvas.box(_part(MARGIN, 54, 40), "x", weight="bold", edge=INK)
    norm = canvas.box(_part(108, 66, 40), "norm", fill=EMPTY)
    attention = canvas.listing(
        _part(196, 176, 112), "attention", _attention(config), fill=PALE, edge=MAIN
    )
    plus = canvas.sum_sign((408, _MIDDLE))
    after = canvas.box(_part(452, 66, 40), "norm", fill=EMPTY)
    heading = "SwiGLU" if kind == "dense" else "mixture of experts"
    fill, edge = (PALE_THIRD, THIRD) if kind == "dense" else (PALE_SECOND, SECOND)
    ffn = canvas.listing(_part(540, 180, 112), heading, _ffn(config, layer), fill=fill, edge=edge)
    end = canvas.sum_sign((756, _MIDDLE))
    for start, stop in ((x, norm), (norm, attention), (attention, plus), (plus, after)):
        canvas.arrow(start.east, stop.west, INK)
    for start, stop in ((after, ffn), (ffn, end)):
        canvas.arrow(start.east, stop.west, INK)
    canvas.arrow(end.east, (WIDTH - MARGIN + 2, _MIDDLE), INK)
    _residual(canvas, x.right + 10, plus.north)
    _residual(canvas, plus.right + 10, end.north)
    return canvas.card(
        f"layer {layer + 1}: norm, attention, residual, norm, {heading}, residual",
        f"x plus attention of norm(x), then that plus {heading} of its norm. "
        f"Attention: {', '.join(_attention(config))}. {heading}: {', '.join(_ffn(config, layer))}.",
    )


def _part(left: Pixels, width: Pixels, height: Pixels) -> Box:
    return Box(left, _MIDDLE - height / 2, width, height)


def _residual(canvas: Canvas, left: Pixels, end: Point) -> None:
    """A line that leaves the row at `left` and comes down on the sum, past the boxes."""
    top = _MIDDLE - 84
    canvas.arrow((left, _MIDDLE), end, QUIET, via=((left, top), (end[0], top)), thick=1.6)
    canvas.text(((left + end[0]) / 2, top - 11), "residual", SMALL, QUIET)


def _attention(config: DeepSeekConfig) -> list[str]:
    query = [] if config.q_latent is None else [f"query latent {config.q_latent:,}"]
    return [
        f"{counted(config.num_heads, 'head')} of {config.d_head} + {config.d_rope}",
        f"latent {config.d_latent:,}",
        *query,
        f"{big(attention_size(config).total)} parameters",
    ]


def _ffn(config: DeepSeekConfig, layer: int) -> list[str]:
    size = ffn_size(config, layer)
    if layer < config.dense_layers:
        return [f"hidden width {config.dense_dim:,}", f"{big(size.total)} parameters"]
    return [
        f"{config.num_shared} shared, {config.top_k} of {config.num_experts} routed",
        f"each of hidden width {config.expert_dim:,}",
        f"{big(size.total)} parameters",
        f"{big(size.active)} per token",
    ]


def _sizes(size: PartSize) -> str:
    per_token = "" if size.total == size.active else f", {big(size.active)} per token"
    return f"{big(size.total)} parameters{per_token}"


_TOP, _TALL, _GAP, _TOWER, _SHEET = 106, 40, 26, 208, 4
_WHAT, _EACH, _ALL, _TOKEN = 262, 632, 712, WIDTH - MARGIN  # the columns of the stack's table


def stack(config: DeepSeekConfig, name: str) -> Card:
    """The whole model from embedding to head, and multi-token prediction beside it.

    Parameters are counted of each part, of all alike, and per token; the whole embedding counts.
    """
    rows = _rows(config)
    total = rows[0][3].plus(*(size for *_, size in rows[1:]))
    canvas = Canvas(
        _TOP + (len(rows) + 1) * (_TALL + _GAP) + 50,
        f"{name}: {_sizes(total)}",
        f"{counted(config.num_layers, 'layer')}, {config.d_model:,} numbers per token",
    )
    for x, text in ((_EACH, "each"), (_ALL, "all"), (_TOKEN, "per token")):
        canvas.text((x, _TOP - 18), text, SMALL, QUIET, align="right")
    boxes = [_row(canvas, i, *row) for i, row in enumerate(rows)]
    for (above, below), (number, *_) in zip(pairwise(boxes), rows[1:], strict=True):
        canvas.arrow(above.south, (below.north[0], below.y - _SHEET * _sheets(number)), INK)
    under = boxes[-1].bottom + 14
    canvas.arrow((_WHAT, under), (_TOKEN, under), LINE, head=False)
    canvas.text((_WHAT, under + 18), "the model", align="left", weight="bold")
    for x, number in ((_ALL, total.total), (_TOKEN, total.active)):
        canvas.text((x, under + 18), big(number), align="right", weight="bold")
    _prediction(canvas, config, boxes[-2], Box(MARGIN, under + 46, _TOWER, _TALL))
    parts = "; ".join(f"{part}: {big(size.total)}" for _, part, _, size in rows)
    return canvas.card(
        f"{name}, from embedding to head: {counted(config.dense_layers, 'dense layer')} and "
        f"{config.num_layers - config.dense_layers} sparse, with multi-token prediction",
        f"{name} has {total.total:,} parameters, {total.active:,} per token. {parts}.",
    )


def _rows(config: DeepSeekConfig) -> list[tuple[int, str, str, PartSize]]:
    """Of each part: how many alike, its name, what it is, and the size of all."""
    words = plain(config.vocab_size * config.d_model)
    table = f"{config.vocab_size:,} × {config.d_model:,}"
    dense, sparse = config.dense_layers, config.num_layers - config.dense_layers
    last = config.num_layers - 1
    mixture = f"{config.num_shared} shared, {config.top_k} of {config.num_experts} experts"
    blocks = [
        (dense, _layers("dense", 0, dense - 1), f"attention, SwiGLU of {config.dense_dim:,}", 0),
        (
            sparse,
            _layers("sparse", dense, last),
            f"attention, {mixture} of {config.expert_dim:,}",
            last,
        ),
    ]
    return [
        (1, "embedding", table, words),
        *(
            (number, text, what, block_size(config, layer).times(number))
            for number, text, what, layer in blocks
            if number
        ),
        (1, "norm", f"{config.d_model:,}", plain(config.d_model)),
        (1, "head", table, words),
    ]


def _layers(kind: str, first: int, last: int) -> str:
    """The name of the layers `first` to `last`, given from 0 and named from 1."""
    one, other = first + 1, last + 1
    return f"{kind} layer {one}" if first == last else f"{kind} layers {one} to {other}"


def _sheets(number: int) -> int:
    """How many sheets are seen behind the first of so many alike."""
    return min(number, 3) - 1


def _row(canvas: Canvas, i: int, number: int, name: str, what: str, size: PartSize) -> Box:
    box = Box(MARGIN, _TOP + i * (_TALL + _GAP), _TOWER, _TALL)
    fill, edge = EMPTY, LINE
    if "dense" in name:
        fill, edge = PALE_THIRD, THIRD
    elif "sparse" in name:
        fill, edge = PALE_SECOND, SECOND
    for behind in range(_sheets(number), 0, -1):
        canvas.box(box.moved(_SHEET * behind, -_SHEET * behind), fill=fill, edge=edge)
    canvas.box(box, name, fill=fill, edge=edge, weight="bold")
    middle = box.centre[1]
    canvas.text((_WHAT, middle), what, SMALL, align="left", most=_EACH - _WHAT - 54)
    each = f"{number} × {big(size.total // number)}" if number > 1 else ""
    for x, text in ((_EACH, each), (_ALL, big(size.total)), (_TOKEN, big(size.active))):
        if text:
            canvas.text((x, middle), text, SMALL, align="right")
    return box


def _prediction(canvas: Canvas, config: DeepSeekConfig, norm: Box, box: Box) -> None:
    canvas.box(box, "multi-token prediction", fill="white", edge=MAIN, dashed=True, weight="bold")
    x = MARGIN - 12
    canvas.arrow(norm.west, box.west, MAIN, via=((x, norm.centre[1]), (x, box.centre[1])))
    size, middle = prediction_size(config), box.centre[1]
    what = "optional: one sparse layer more; not in the sum"
    canvas.text((_WHAT, middle), what, SMALL, align="left", most=_EACH - _WHAT - 54)
    for place, number in ((_ALL, size.total), (_TOKEN, size.active)):
        canvas.text((place, middle), big(number), SMALL, align="right")
