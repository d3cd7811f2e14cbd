"""helpers/model/grouped_heads.py: MHA, GQA and MQA by one number."""

import pytest
import torch

from helpers.model.grouped_heads import GroupedHeads, NoAttention, decoder_with
from helpers.model.llama import CausalSelfAttention


def test_as_many_key_value_heads_as_heads_is_the_courses_attention():
    torch.manual_seed(0)
    standard, grouped = CausalSelfAttention(16, 4), GroupedHeads(16, 4, 4)
    q, k, v = standard.qkv.weight.detach().chunk(3)
    weights = {"query.weight": q, "key_value.weight": torch.cat([k, v])}
    grouped.load_state_dict(weights | {"out.weight": standard.out.weight})
    x = torch.randn(2, 5, 16)
    torch.testing.assert_close(grouped(x), standard(x))


def test_heads_of_a_group_share_their_key_and_value():
    torch.manual_seed(0)
    one = GroupedHeads(16, 4, 1)
    every = GroupedHeads(16, 4, 4)
    key, value = one.key_value.weight.detach().chunk(2)
    repeated = torch.cat([key] * 4 + [value] * 4)
    every.load_state_dict(one.state_dict() | {"key_value.weight": repeated})
    x = torch.randn(2, 5, 16)
    torch.testing.assert_close(one(x), every(x))
    assert (one.cached_numbers, every.cached_numbers) == (8, 32)


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="kv_heads must divide num_heads"):
        GroupedHeads(16, 4, 3)


def test_without_attention_nothing_is_added():
    assert not NoAttention()(torch.randn(2, 3, 4)).any()


def test_models_with_other_attentions_are_of_equal_size():
    def size(make_attention):
        sizes = {"d_model": 32, "num_layers": 2, "num_heads": 4, "expert_dim": 64}
        model = decoder_with(make_attention, 50, **sizes)
        assert model(torch.zeros(1, 3, dtype=torch.long)).shape == (1, 3, 50)
        return sum(weight.numel() for weight in model.parameters())

    standard = size(lambda: GroupedHeads(32, 4, 4))
    assert all(
        abs(size(make) - standard) <= 2 * 3 * 32
        for make in (lambda: GroupedHeads(32, 4, 1), NoAttention)
    )
