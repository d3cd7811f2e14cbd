"""What a stage asks of a value: how close numbers must be, and that all of them are numbers."""

import pytest
import torch

from checks.grading import expect
from checks.grading.result import Wrong


def test_the_bound_grows_with_the_largest_number_and_not_below_one():
    large, small = torch.tensor([1000.0, 1.0]), torch.tensor([0.001, 0.0])
    assert expect.near(large + 0.005, large) and not expect.near(large + 0.05, large)
    assert expect.near(small + 5e-6, small) and not expect.near(small + 5e-5, small)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_one_number_that_is_not_finite_is_enough(odd):
    with pytest.raises(Wrong, match="gates must be finite, got NaN or infinity"):
        expect.tensor(torch.tensor([0.5, odd]), "gates", (2,), torch.float32)


def test_numbers_that_print_alike_get_as_many_digits_as_it_takes():
    assert expect.apart(0.82431, 0.82434, 4) == ("0.82431", "0.82434")
    assert expect.apart(1.0, 2.0, 4) == ("1", "2")
    with pytest.raises(Wrong, match=r"y of token 0 must be 0\.82431, got 0\.82434"):
        expect.close(torch.tensor([0.82434]), torch.tensor([0.82431]), "y")
    with pytest.raises(Wrong, match=r"the share must be 123\.456, got 123\.458"):
        expect.number_close(123.458, 123.456, "the share")
