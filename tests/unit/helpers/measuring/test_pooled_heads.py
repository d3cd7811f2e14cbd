"""helpers/measuring/pooled_heads.py: key-value heads merged by their mean."""

import pytest
import torch

from helpers.measuring.conversion import converted_output, key_and_value_weights, standard_output
from helpers.measuring.pooled_heads import PooledHeads
from helpers.model.llama import CausalSelfAttention


def test_as_many_groups_as_heads_change_nothing():
    torch.manual_seed(0)
    attention, x = CausalSelfAttention(16, 4), torch.randn(2, 5, 16)
    pooled = PooledHeads(*key_and_value_weights(attention), num_heads=4, groups=4)
    wanted = standard_output(attention, x)
    torch.testing.assert_close(converted_output(attention, x, pooled), wanted)
    one = PooledHeads(*key_and_value_weights(attention), num_heads=4, groups=1)
    assert not torch.allclose(converted_output(attention, x, one), wanted, atol=1e-3)


def test_a_group_gets_the_mean_of_its_heads():
    keys, values = torch.tensor([[2.0], [4.0], [1.0], [5.0]]), torch.zeros(4, 1)
    pooled = PooledHeads(keys, values, num_heads=4, groups=2)
    kept = pooled.down(torch.ones(1, 1, 1))
    assert [part.shape for part in kept] == [(1, 1, 2, 1)] * 2
    assert pooled.up(*kept)[0].flatten().tolist() == [3.0, 3.0, 3.0, 3.0]
    uneven = PooledHeads(torch.tensor([[2.0], [4.0], [1.0], [9.0]]), values, 4, 2)
    assert uneven.up(*uneven.down(torch.ones(1, 1, 1)))[0].flatten().tolist() == [
        3.0,
        3.0,
        5.0,
        5.0,
    ]


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="groups must divide num_heads=4, got 3"):
        PooledHeads(torch.zeros(4, 1), torch.zeros(4, 1), 4, 3)
