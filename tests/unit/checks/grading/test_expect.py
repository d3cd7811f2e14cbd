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


@pytest.mark.parametrize(
    ("got", "asked"),
    [
        ((2, 4), r"Dimension 1 \(heads\) is missing"),
        ((2, 1, 4), r"Dimension 1 \(heads\) has only 1 entry of 3"),
        ((2, 3, 1, 4), "Dimension 2, of size 1, is one too many: is it left over from an `unsq"),
        ((2, 3, 5, 4), "Dimension 2, of size 5, is one too many: is it left over from a sum"),
        ((3, 2, 4), r"Dimensions 0 \(tokens\) and 1 \(heads\) are exchanged"),
        ((4, 2, 3), "in another order: which `transpose` or `permute`"),
        ((2, 12), r"Dimensions 1 \(heads\) and 2 \(d_head\) are laid together"),
        ((2, 3, 2, 2), r"Dimension 2 \(d_head\) is still taken apart into 2 × 2"),
        ((2, 3, 7), "Dimension 2 must count d_head, 4, and has 7: what sets that size"),
    ],
)
def test_another_shape_is_asked_about_by_the_name_of_its_dimension(got, asked):
    with pytest.raises(Wrong, match=f"{asked}.* Is it y"):
        axes = "tokens", "heads", "d_head"
        expect.tensor(torch.zeros(got), "y", (2, 3, 4), torch.float32, "Is it y?", axes)


def test_a_shape_whose_dimensions_have_no_name_is_asked_about_by_size():
    with pytest.raises(Wrong, match=r"Dimension 0 \(size 2\) is missing"):
        expect.tensor(torch.zeros(3), "y", (2, 3), torch.float32)


@pytest.mark.parametrize(
    ("got", "want", "asked"),
    [
        (torch.float64, torch.float32, "y must be float32, got float64, .* is that type fixed"),
        (torch.int64, torch.float32, "Are these indices or counts"),
        (torch.bool, torch.float32, "Is that a mask"),
        (torch.float32, torch.int64, "did a division, a mean, a cast or a `torch.zeros`"),
    ],
)
def test_another_type_says_which_came(got, want, asked):
    with pytest.raises(Wrong, match=asked):
        expect.tensor(torch.zeros(2, dtype=got), "y", (2,), want)


def test_a_rounded_number_is_not_asked_about_its_shape():
    with pytest.raises(Wrong, match=r"or not turned back at the end\?$"):
        expect.tensor(torch.zeros(2), "y", (2,), torch.float64, "Is there one per token?")


@pytest.mark.parametrize(
    ("got", "asked"),
    [
        ((torch.zeros(2), torch.zeros(2)), "alone, and nothing beside it.* Or are these its parts"),
        ([0.0, 1.0], r"by `\.tolist\(\)`"),
    ],
)
def test_what_is_no_tensor_is_asked_about_by_what_it_holds(got, asked):
    with pytest.raises(Wrong, match=asked):
        expect.tensor(got, "y", (2,), torch.float32)


WANT = torch.tensor([[1.0, 2.0, 4.0], [3.0, 7.0, 5.0], [6.0, 8.0, 9.5], [0.5, 0.25, 11.0]])


@pytest.mark.parametrize(
    ("got", "asked"),
    [
        (0 * WANT, "All of it is 0"),
        (-WANT, "Every number has its sign turned"),
        (WANT / 3, r"Every number is 0\.3333 times what it must be"),
        (WANT + 0.5, r"Every number is off by 0\.5"),
        (WANT.round(decimals=1) * 1.0001 + 1e-3 * WANT.flip(0), "It agrees to 3 digits"),
        (WANT.flip(-1), "The numbers of each token are right, in another order"),
        (WANT.flip(0), "The rows are right, in another order"),
        (WANT.T.reshape(4, 3), "in other places: does a `reshape` stand"),
        (WANT + torch.eye(4)[:, :1] * WANT, "Only the first token is wrong"),
        (WANT + torch.eye(4)[:, 3:] * WANT, "Only the last token is wrong"),
        (WANT * torch.tensor([[1.0], [1], [2], [3]]), "right up to token 1 and wrong from token 2"),
        (WANT * torch.tensor([[1.0], [2], [1], [1]]), "Of 4, only token 1 is wrong"),
        (WANT**2, "Every number is the square of what it must be"),
        (WANT * torch.tensor([[2.0], [3], [4], [5]]), "but for a factor of its own"),
        (1 / WANT, "Every number is 1 over what it must be"),
        (WANT**1.5 + 1, "No number is right: which step"),
        (WANT**1.5, "1 of 12 numbers are right: what is alike in these"),
        (WANT ** torch.tensor([[1], [1.5], [1.5], [1.5]]), "Only the first token is right"),
        (WANT ** torch.tensor([[1.5], [1], [1.5], [1.5]]), "1 of 4 are right, token 1 among"),
    ],
)
def test_differences_that_no_slip_explains_are_described(got, asked):
    with pytest.raises(Wrong, match=asked):
        expect.close(got, WANT, "y")


def test_where_only_position_0_is_right_what_is_alike_there_is_said():
    off = torch.tensor([[1.0], [1.5], [1.5], [1.5]])
    with pytest.raises(Wrong, match="Nothing is turned there, and nothing stands before it"):
        expect.close(WANT**off, WANT, "y", axes=("position",))


def test_rows_of_one_number_are_not_said_to_be_right_but_for_a_factor():
    want = torch.tensor([[1.0, 1.0], [3.0, 3.0]])
    with pytest.raises(Wrong, match="No number is right"):
        expect.close(want * torch.tensor([[2.0], [5.0]]), want, "y")


def test_counts_are_printed_whole():
    with pytest.raises(Wrong, match="must be 145364, got 79828"):
        expect.close(torch.tensor([79828]), torch.tensor([145364]), "the load")


def test_numbers_cut_off_at_0_are_described():
    with pytest.raises(Wrong, match="and right elsewhere: is it cut off"):
        expect.close((WANT - 4).clamp(min=0), WANT - 4, "y")


def test_questions_that_fit_alike_are_both_asked_and_a_default_only_where_none_fits():
    got, want = torch.tensor([2.0, 4.0]), torch.tensor([1.0, 2.0])
    default = {"At all?": lambda: got}
    twice = {"Twice?": lambda: 2 * want, "The sum?": lambda: want + want, "Thrice?": lambda: want}
    with pytest.raises(Wrong, match=r"got 4\. Twice\? Or: The sum\?$"):
        expect.close(got, want, "y", slips=default | twice)
    with pytest.raises(Wrong, match=r"At all\?$"):
        expect.close(got, want, "y", slips=default)


@pytest.mark.parametrize(
    ("got", "asked"),
    [(0.0, "cut to a whole number"), (0.3, "rounded to 1 digit[?]"), (0.32, "rounded to 2 digits")],
)
def test_a_number_with_fewer_digits_is_asked_about(got, asked):
    with pytest.raises(Wrong, match=asked):
        expect.number_close(got, 0.3204, "the share", otherwise="Otherwise?")


@pytest.mark.parametrize(
    ("got", "asked"),
    [
        (-0.3, "Only its sign is wrong"),
        (0.6, "It is twice what it must be"),
        (0.15, "It is half what it must be"),
        (0.09, "It is the square of what it must be"),
        (0.3**0.5, "It is the root of what it must be"),
        (0.3003, "It agrees to 3 digits"),
        (0.7, r"got 0\.7\.$"),
    ],
)
def test_a_number_that_no_slip_explains_is_described(got, asked):
    with pytest.raises(Wrong, match=asked):
        expect.number_close(got, 0.3, "the share")
    with pytest.raises(Wrong, match=r"Otherwise\?$"):
        expect.number_close(got, 0.3, "the share", otherwise="Otherwise?")
