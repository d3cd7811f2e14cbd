"""Answers to D4.O1 my_config."""

from dataclasses import replace
from itertools import count

import torch

from checks.audit.answers import right, wrong
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.yarn import Yarn
from solutions.d4_deepseek import DeepSeek, count_parameters

ANOTHER = "another configuration within the budget: the measure tells such apart, not the check"
YARN = "sharper = Yarn(factor=2.0, trained=2 ** 20, mscale_all_dim=6.0)"
EXPERTS = "experts: Any = {'num_experts': 16, 'top_k': 2, 'expert_dim': 32, 'num_shared': 1}"
CONFIG = (
    "return DeepSeekConfig(vocab_size=vocab_size, d_rope=16, theta=200.0, yarn=sharper, "
    "**sizes, **experts)"
)

EQUIVALENT_MUTANTS = {
    f"{before} → {before.replace(*change)}": ANOTHER
    for before, change in [
        (YARN, (" trained=2 ** 20,", "")),
        (YARN, ("6.0", "7.0")),
        (YARN, ("2 ** 20", "2 ** 21")),
        (YARN, ("2.0", "3.0")),
        (EXPERTS, ("16", "17")),
        (CONFIG, ("200.0", "201.0")),
        (CONFIG, (" yarn=sharper,", "")),
    ]
}


def small(vocab_size):
    """The lesson's own configuration, which the budget is taken from."""
    return DeepSeekConfig(
        vocab_size=vocab_size,
        num_layers=3,
        d_model=128,
        num_heads=4,
        d_head=32,
        d_latent=64,
        d_rope=16,
        num_experts=8,
        top_k=2,
        expert_dim=64,
        num_shared=1,
        theta=200.0,
    )


@right
def as_the_lesson(vocab_size):
    """The lesson's own, to the last parameter of the budget."""
    return small(vocab_size)


@right
def all_layers_dense(vocab_size):
    """No experts: as wide as what a token uses."""
    return replace(small(vocab_size), dense_layers=3, dense_dim=192)


@right
def four_narrow_layers(vocab_size):
    """A layer more, with experts of half the width."""
    return replace(small(vocab_size), num_layers=4, expert_dim=32)


@right
def narrow_and_deep(vocab_size):
    """Narrower rows, whose embedding and head cost less, in five layers."""
    return replace(small(vocab_size), num_layers=5, d_model=96, expert_dim=40)


@right
def many_fine_experts(vocab_size):
    """64 experts, of which a token chooses 4 in groups, by V3's router."""
    options = {"num_experts": 64, "top_k": 4, "num_groups": 8, "top_groups": 4, "scale": 2.5}
    return replace(small(vocab_size), expert_dim=24, num_shared=2, **options)


@right
def every_expert_chosen(vocab_size):
    """Two experts for every token, and V2's router."""
    options = {"affinity": "softmax", "renormalise": False}
    return replace(small(vocab_size), num_experts=2, **options)


@right
def two_segments(vocab_size):
    """Token segments, each of which chooses two experts of half the width."""
    return replace(small(vocab_size), num_segments=2)


@right
def what_is_left(vocab_size):
    """Five layers, and experts as wide as the budget leaves room for."""
    for width in range(64, 0, -1):
        config = replace(small(1024), num_layers=5, d_latent=32, expert_dim=width)
        if count_parameters(config)[1] <= 690_240:
            break
    return replace(config, vocab_size=vocab_size)


@right
def query_latent_and_yarn(vocab_size):
    """A latent for queries, wider values, and scores that YaRN sharpens."""
    sharper = Yarn(factor=2.0, trained=128, mscale_all_dim=1.0)
    sizes = {"q_latent": 48, "d_value": 40, "expert_dim": 60}
    return replace(small(vocab_size), yarn=sharper, **sizes)


@wrong
def vocabulary_written_in(vocab_size):
    """1,024 tokens, whatever is given."""
    return small(1024)


_first: list[DeepSeekConfig] = []


@wrong
def remembers_the_first(vocab_size):
    """The configuration of the first call, for all that follow."""
    _first.append(small(vocab_size))
    return _first[0]


@wrong
def forgets_to_return(vocab_size):
    """The configuration is made and not returned."""
    small(vocab_size)


@wrong
def as_a_dict(vocab_size):
    """The numbers as a dict."""
    return {**vars(small(vocab_size))}


@wrong
def the_model_itself(vocab_size):
    """The model in place of its configuration."""
    return DeepSeek(small(vocab_size))


@wrong
def counted_by_a_model(vocab_size):
    """A model is made on the CPU to count it, which draws its weights."""
    config = small(vocab_size)
    assert sum(weight.numel() for weight in DeepSeek(config).parameters()) < 2_000_000
    return config


@wrong
def with_its_counts(vocab_size):
    """The counts come back beside the configuration."""
    config = small(vocab_size)
    return config, count_parameters(config)


class _Wider(DeepSeekConfig):
    """Experts that are four times as wide as they say."""

    def experts(self):
        found = super().experts()
        return {**found, "expert_dim": 4 * found["expert_dim"]}


@wrong
def a_class_of_its_own(vocab_size):
    """A configuration whose parts are another size than its numbers say."""
    return _Wider(**vars(small(vocab_size)))


@wrong
def equal_in_all(vocab_size):
    """Dense and as large as all experts together: the budget taken for the total."""
    return replace(small(vocab_size), dense_layers=3, dense_dim=579)


@wrong
def one_layer_more(vocab_size):
    """Four layers as wide as the three."""
    return replace(small(vocab_size), num_layers=4)


@wrong
def one_expert_more(vocab_size):
    """A ninth expert: idle, but its row of the router is used."""
    return replace(small(vocab_size), num_experts=9)


@wrong
def fine_but_not_narrower(vocab_size):
    """Twice the experts, twice the choices, and the same width."""
    return replace(small(vocab_size), num_experts=16, top_k=4)


@wrong
def segments_for_free(vocab_size):
    """Four segments of width 32: a token may use all eight experts, and the shared one is wide."""
    return replace(small(vocab_size), num_segments=4, expert_dim=128)


@wrong
def more_than_memory_holds(vocab_size):
    """1,024 experts a layer: few are used, and all take memory."""
    return replace(small(vocab_size), num_experts=1024, top_k=1, expert_dim=32)


@wrong
def half_of_an_odd_width(vocab_size):
    """A width that `/` makes a float."""
    return replace(small(vocab_size), expert_dim=64 / 2)


@wrong
def more_chosen_than_there_are(vocab_size):
    """Top-4 of two experts."""
    return replace(small(vocab_size), num_experts=2, top_k=4, expert_dim=16)


@wrong
def groups_that_do_not_divide(vocab_size):
    """Eight experts in three groups."""
    return replace(small(vocab_size), num_groups=3, top_groups=2, expert_dim=60)


@wrong
def segments_that_do_not_divide(vocab_size):
    """128 numbers in three segments."""
    return replace(small(vocab_size), num_segments=3, expert_dim=32)


@wrong
def odd_rotary_width(vocab_size):
    """A rotary width of 15, which has no pairs."""
    return replace(small(vocab_size), d_rope=15)


@wrong
def no_base(vocab_size):
    """Rotary angles of base 0."""
    return replace(small(vocab_size), theta=0.0)


@wrong
def scaled_without_end(vocab_size):
    """Experts times a number that float32 does not hold."""
    return replace(small(vocab_size), scale=1e39)


_layers = count(1)


@wrong
def another_each_time(vocab_size):
    """A base that grows from call to call."""
    return replace(small(vocab_size), theta=100.0 + next(_layers))


@wrong
def drawn_by_torch(vocab_size):
    """A base drawn from torch's generator."""
    return replace(small(vocab_size), theta=100 + 900 * float(torch.rand(())))


@wrong
def sets_the_seed(vocab_size):
    """The seed is set, so that the model is always the same."""
    torch.manual_seed(0)
    return small(vocab_size)


@wrong
def sets_the_type(vocab_size):
    """torch's default type is bfloat16 afterwards."""
    torch.set_default_dtype(torch.bfloat16)
    return small(vocab_size)


@wrong
def sets_the_threads(vocab_size):
    """torch computes on two threads afterwards."""
    torch.set_num_threads(2)
    return small(vocab_size)


@wrong
def leaves_the_meta_device(vocab_size):
    """A count on the meta device, which stays the default."""
    torch.set_default_device("meta")
    return small(vocab_size)
