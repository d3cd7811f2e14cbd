"""What slips of dispatch and combination make, so that a refusal can ask about the one it sees."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from checks.d1_moe.cases import Experts, slow_combination
from checks.grading import expect

RESIDUAL = "Is x added to y? The residual is the block's work."
_OTHER_COUNT = (
    "Does an index count something else than what it points into? x and y have T rows, one per "
    "token, choice c of the T·K is token c // K's, and one expert may get up to T rows."
)
_NO_DIMENSION = (
    "Which dimension is meant? x is (T, D), and gates and experts are (T, K): places 0 and 1."
)
_BELOW_0 = (
    "Rows and places count up from 0, and this index is below: what is taken off it? An expert's "
    "run begins where the runs before it end."
)


@contextmanager
def index_past_the_end(more: str = "", size: int = 0) -> Iterator[None]:
    """Asks about an index that an answer takes for another count's.

    `more` is asked too where the dimension it points into is the first and not of that `size`.
    """
    both = expect.joined([_OTHER_COUNT, more])
    with (
        expect.asking(_OTHER_COUNT, "^IndexError: .*out of (range|bounds)"),
        expect.asking(
            both, rf"^IndexError: .*dimension 0 with size (?!{size}\b)" if more else "$^"
        ),
        expect.asking(_BELOW_0, "^IndexError: index -"),
        expect.asking(_NO_DIMENSION, "^IndexError: (tuple index|Dimension) out of range"),
    ):
        yield


def axis_squeezed(experts: Tensor) -> AbstractContextManager[None]:
    """Asks about a missing dimension, where experts `(T, K)` has one of size 1."""
    if 1 not in experts.shape:
        return nullcontext()
    ask = f"Here experts is of shape {tuple(experts.shape)}: is an axis of size 1 squeezed away?"
    lost = "not enough values to unpack|too many indices|Dimension out of range"
    return expect.asking(ask, f"^(ValueError|IndexError): .*({lost})")


def one_choice_slips(
    want: Tensor, x: Tensor, experts: Tensor, array: Experts
) -> dict[str, Callable[[], Tensor]]:
    """What `want` becomes, of one choice per token with gate 1, by the question that it calls for.

    `experts` `(T, 1)` are the choices.
    """

    def of_the_others() -> Tensor:
        return torch.stack([array[i](x).detach() for i in experts.unique().tolist()]).sum(0) - want

    return {
        RESIDUAL: lambda: want + x,
        "Does each expert get the tokens that chose it, and not all the others?": of_the_others,
        "Is the gate multiplied by the output, and not divided by it?": want.reciprocal,
    }


def combination_slips(
    x: Tensor, gates: Tensor, experts: Tensor, array: Experts
) -> dict[str, Callable[[], Tensor]]:
    """Other sums `(T, D)` by the question that each calls for."""

    def slow(gates: Tensor, experts: Tensor = experts) -> Tensor:
        return slow_combination(x, gates, experts, array)

    total, last = gates.sum(-1, keepdim=True), experts.argmax(-1, keepdim=True)
    top_k = experts.shape[1]
    own_slot = "Does each row take its own choice's gate, and not another slot's?"
    right, left = (f"{own_slot} It is the one to the {side}." for side in ("right", "left"))
    return {
        "Where do the gates come in?": lambda: slow(torch.ones_like(gates)),
        "Where do the gates come in? Are all of a token's experts weighted alike, 1/K?": lambda: (
            slow(torch.full_like(gates, 1 / top_k))
        ),
        "Does one share replace another? `y[token] = …` overwrites what another expert left "
        "there, and so does `y[token] += …` where a token comes twice in one go.": lambda: slow(
            gates.gather(1, last), experts.gather(1, last)
        ),
        "Does the last choice replace the others, not add to them?": lambda: slow(
            gates[:, -1:], experts[:, -1:]
        ),
        "Is only the first choice used?": lambda: slow(gates[:, :1], experts[:, :1]),
        "Are only the first two choices used, whatever K is?": lambda: slow(
            gates[:, :2], experts[:, :2]
        ),
        "Are only the first and the last choice used, whatever K is?": lambda: slow(
            gates[:, [0, -1]], experts[:, [0, -1]]
        ),
        "Is one choice of each token used, that of its largest gate? All K count.": lambda: slow(
            *(of.gather(1, gates.argmax(1, keepdim=True)) for of in (gates, experts))
        ),
        "Does a gate below 0 count too?": lambda: slow(gates.clamp(min=0)),
        "Is the size of a gate taken, without its sign?": lambda: slow(gates.abs()),
        "Are the gates renormalised once more?": lambda: slow(gates / total),
        "Is a softmax taken over the gates once more?": lambda: slow(gates.softmax(-1)),
        "Do the gates come in twice?": lambda: slow(gates**2),
        "Does the gate weigh what comes out of the expert, and not what goes in?": lambda: (
            _weighted_before(x, gates, experts, array)
        ),
        "Are a token's shares summed, and not the largest of them taken?": lambda: _largest(
            x, gates, experts, array
        ),
        "Is the sum divided by K?": lambda: slow(gates) / top_k,
        RESIDUAL: lambda: slow(gates) + x,
        "Does each expert read x, and not what the experts before it made?": lambda: (
            _one_after_the_other(x, gates, experts, array)
        ),
        "Does every choice take the first gate?": lambda: slow(gates[:, :1].expand_as(gates)),
        "Does every choice take the token's largest gate?": lambda: slow(
            gates.amax(1, keepdim=True).expand_as(gates)
        ),
        own_slot: lambda: slow(gates.flip(-1)),
        right if top_k > 2 else own_slot: lambda: slow(gates.roll(-1, 1)),
        left if top_k > 2 else own_slot: lambda: slow(gates.roll(1, 1)),
        "Are gates and experts flattened in the same order, both token by token?": lambda: slow(
            gates.flatten().view(top_k, -1).T
        ),
        "Are gates and experts flattened in one order, and not slot by slot beside token by token?"
        "": lambda: slow(gates.T.reshape(gates.shape)),
        "Is the gate read in the token's own row, gates[token, slot]?": lambda: slow(
            _gates_in_line(gates, experts)
        ),
        "Are tokens and slots exchanged by a reshape, where `.T` was meant?": lambda: slow(
            gates, experts.reshape(top_k, -1).T
        ),
        "Does each run of rows meet its own expert? One that nobody chose has a run too, of 0 "
        "rows.": lambda: slow(gates, experts.unique(return_inverse=True)[1]),
        **_sorting_slips(x, gates, experts, array),
    }


def _sorting_slips(
    x: Tensor, gates: Tensor, experts: Tensor, array: Experts
) -> dict[str, Callable[[], Tensor]]:
    """Those of answers that sort the choices by expert."""
    order, flat = experts.flatten().argsort(stable=True), gates.flatten()
    backwards = experts.numel() - 1 - experts.flatten().flip(0).argsort(stable=True)

    def with_gates_of_rows(of_rows: Tensor) -> Tensor:
        by_choice = torch.empty_like(flat).index_copy(0, order, of_rows)
        return slow_combination(x, by_choice.view_as(gates), experts, array)

    return {
        "Are the gates in the order of the sorted rows, gates.flatten()[order]?": lambda: (
            with_gates_of_rows(flat)
        ),
        "Are the sorted rows' gates taken by `order`, and not by the row's token?": lambda: (
            with_gates_of_rows(flat[order // experts.shape[1]])
        ),
        "Are the gates sorted by their own size? They follow the rows, gates.flatten()[order].": (
            lambda: with_gates_of_rows(flat.sort().values)
        ),
        "Are the gates taken by `order`, and not by its inverse? Sorted row n is choice "
        "order[n].": lambda: with_gates_of_rows(flat[order.argsort()]),
        "Are the gates in order, and the rows of x not? Row n is of token order[n] // K.": lambda: (
            _rows_of(torch.arange(len(flat)) // experts.shape[1], x, gates, experts, array)
        ),
        "Does x stand K times, as `repeat` lays it, where each row comes K times in turn, as "
        "`repeat_interleave` does?": lambda: _rows_of(order % len(x), x, gates, experts, array),
        "Are the experts sorted slot by slot (`.T.flatten()`), and x and gates token by token?": (
            lambda: _sorted_by_slot(x, gates, experts, array)
        ),
        "Are the rows brought back by `order`, where its inverse, order.argsort(), is needed?": (
            lambda: _brought_back(order, x, gates, experts, array)
        ),
        "Do rows and gates come from one and the same sort? Choices of one expert are equal to it, "
        "and another sort may exchange them.": lambda: with_gates_of_rows(flat[backwards]),
        "Does each expert take as many of the sorted rows as chose it, and not an even share?": (
            lambda: slow_combination(x, gates, _evenly(order, experts), array)
        ),
        "Does choice c belong to token c // K, and not to c % T?": lambda: _by_remainder(
            x, gates, experts, array
        ),
    }


def _evenly(order: Tensor, experts: Tensor) -> Tensor:
    """The experts that the sorted choices meet in runs of equal length."""
    run = -(-len(order) // (int(experts.max()) + 1))
    met = torch.arange(len(order)) // run
    return torch.empty_like(met).index_copy(0, order, met).view_as(experts)


def _rows_of(token: Tensor, x: Tensor, gates: Tensor, experts: Tensor, array: Experts) -> Tensor:
    """Sorted row n is made of x[token[n]] and added where it belongs."""
    order = experts.flatten().argsort(stable=True)
    by, one = gates.flatten()[order, None], experts.flatten()[order, None]
    rows = slow_combination(x[token], by, one, array)
    return torch.zeros_like(x).index_add(0, order // experts.shape[1], rows)


def _sorted_by_slot(x: Tensor, gates: Tensor, experts: Tensor, array: Experts) -> Tensor:
    """The order is that of choices slot by slot, and read as if it were token by token."""
    flat = experts.T.flatten()
    order = flat.argsort(stable=True)
    token = order // experts.shape[1]
    rows = slow_combination(x[token], gates.flatten()[order, None], flat[order, None], array)
    return torch.zeros_like(x).index_add(0, token, rows)


def _brought_back(
    order: Tensor, x: Tensor, gates: Tensor, experts: Tensor, array: Experts
) -> Tensor:
    """The sorted rows are indexed by the order once more, and summed K by K."""
    by, one = gates.flatten()[order, None], experts.flatten()[order, None]
    rows = slow_combination(x[order // experts.shape[1]], by, one, array)
    return rows[order].unflatten(0, experts.shape).sum(1)


def _largest(x: Tensor, gates: Tensor, experts: Tensor, array: Experts) -> Tensor:
    """The largest share, or 0, in each number of y."""
    slots = zip(gates.split(1, 1), experts.split(1, 1), strict=True)
    shares = [slow_combination(x, gate, expert, array) for gate, expert in slots]
    return torch.stack(shares).amax(0).clamp(min=0)


def _weighted_before(x: Tensor, gates: Tensor, experts: Tensor, array: Experts) -> Tensor:
    ones = torch.ones_like(gates[:, :1])
    slots = zip(gates.T, experts.T, strict=True)
    parts = [slow_combination(g[:, None] * x, ones, i[:, None], array) for g, i in slots]
    return torch.stack(parts).sum(0)


def _one_after_the_other(x: Tensor, gates: Tensor, experts: Tensor, array: Experts) -> Tensor:
    y = x.clone()
    for i in experts.unique().tolist():
        token, slot = torch.where(experts == i)
        y = y.index_add(0, token, gates[token, slot, None] * array[i](y[token]))
    return y - x


def _gates_in_line(gates: Tensor, experts: Tensor) -> Tensor:
    """Each expert's n-th token takes the gate of token n, in its own slot."""
    taken = gates.clone()
    for i in experts.unique().tolist():
        token, slot = torch.where(experts == i)
        taken[token, slot] = gates[torch.arange(len(token)), slot]
    return taken


def _by_remainder(x: Tensor, gates: Tensor, experts: Tensor, array: Experts) -> Tensor:
    """Choice c reads and feeds token c % T."""
    choice = torch.arange(experts.numel())
    token, one = choice % len(x), experts.flatten()[:, None]
    rows = slow_combination(x[token], gates.flatten()[:, None], one, array)
    return torch.zeros_like(x).index_add(0, token, rows)


def whose_row(got: Tensor, want: Tensor, x: Tensor, experts: Tensor, array: Experts) -> str:
    """The question about the first wrong row, where it is an expert's output for some token."""
    wrong = (got - want).abs().amax(-1).gt(1e-5).nonzero().flatten().tolist()
    runs = [(experts[:, 0] == i).nonzero().flatten().tolist() for i in experts.unique()]
    t = wrong[0]
    if not got.any() and len(runs) > 1:
        return "All of y is 0: does what the experts return ever reach it?"
    if not got[wrong].any() and len(wrong) < len(x):
        if wrong == sorted(run[-1] for run in runs):
            return "Does every expert's run of rows end one row too early?"
        if wrong == sorted(run[0] for run in runs):
            return "Does every expert's run of rows begin one row too late?"
    if not got[t].any():
        return f"Is expert {int(experts[t, 0])} left out, or some of its tokens?"
    for i in range(int(experts.max()) + 1):
        outs = array[i](x).detach()
        tokens = (s for s in range(len(x)) if expect.near(got[t], outs[s]))
        s = next(tokens, None)
        if s == t:
            chosen = int(experts[t, 0])
            return (
                f"Token {t} chose expert {chosen} and got expert {i}'s output: does it meet "
                f"expert_array[{chosen}]?"
            )
        if s is not None:
            return f"Row {t} is made from token {s}: do rows go back to the tokens they came from?"
    return ""
