"""What a check can grade: the kind of thing the reference is, called as the lesson calls it."""

import pytest

from checks.grading.signature import refusal


def reference(x, *, scale, bias=0.0):
    return x * scale + bias


class Layer:
    def __init__(self, size):
        self.size = size


@pytest.mark.parametrize("answer", [3, "reference", None, Layer, Layer(2)])
def test_what_is_not_a_function_is_refused_where_one_is_wanted(answer):
    said = refusal("reference", reference, answer)
    assert said.startswith("the check takes the function reference itself, got ")


@pytest.mark.parametrize("answer", [reference, Layer(2), 3])
def test_what_is_not_a_class_is_refused_where_one_is_wanted(answer):
    assert refusal("Layer", Layer, answer).startswith("the check takes the class Layer itself, got")


def test_a_keyword_that_the_lesson_passes_must_be_taken_and_one_with_a_default_need_not():
    assert refusal("reference", reference, lambda x, *, scale: x) == ""
    assert refusal("reference", reference, lambda x, scale: x) == ""
    wanted = "the parameters of reference must be (x), got (x, bias)."
    assert refusal("reference", reference, lambda x, *, bias=0.0: x) == wanted
