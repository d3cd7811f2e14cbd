"""What a check says of what is not an answer at all."""

import pytest
import torch
from torch import nn

from checks import CHECKS
from tests.lessons.hostile import RAISED, NotAModule, OtherSignature, raising, refused


def class_raising(error: BaseException | None):
    class Answer(nn.Module):
        def __init__(self, *sizes):
            raising(error)()

    return Answer


@pytest.mark.parametrize("check", [CHECKS["D1.1"], CHECKS["D1.2"], CHECKS["D1.5"]], ids=repr)
def test_whatever_a_constructor_raises(check, subtests):
    for title, error in RAISED.items():
        with subtests.test(title):
            failed = refused(check, class_raising(error))
            assert failed.state == "raised" and failed.message.startswith("your code raised ")


@pytest.mark.parametrize(
    ("exercise", "given", "message"),
    [
        (
            "D1.1",
            nn.Linear(2, 2),
            "the check takes the class TopKRouter itself, got a Linear. "
            "Are there brackets or quotes beside its name?",
        ),
        (
            "D1.1",
            "TopKRouter",
            "the check takes the class TopKRouter itself, got a str. "
            "Are there brackets or quotes beside its name?",
        ),
        (
            "D1.4b",
            0.5,
            "the check takes the function load_cv itself, got 0.5. "
            "Are there brackets or quotes beside its name?",
        ),
        ("D1.4b", dict, "the check takes the function load_cv itself, got the class dict."),
        (
            "D1.1",
            OtherSignature,
            "the parameters of TopKRouter must be (d_model, num_experts, top_k), got (size).",
        ),
        (
            "D1.4a",
            lambda experts: experts,
            "the parameters of expert_load must be (experts, num_experts), got (experts).",
        ),
        (
            "D1.1",
            NotAModule,
            "TopKRouter must be an nn.Module, and it is not. "
            "Does it begin with `class TopKRouter(nn.Module):`?",
        ),
    ],
)
def test_the_wrong_thing_is_named(exercise, given, message):
    failed = refused(CHECKS[exercise], given)
    assert (failed.state, failed.message) == ("wrong", message)


def test_a_forward_with_other_parameters_is_named():
    class TopKRouter(nn.Module):
        def __init__(self, d_model, num_experts, top_k):
            super().__init__()

        def forward(self):
            return None

    message = refused(CHECKS["D1.1"], TopKRouter).message
    assert message.startswith(
        "your code does not accept the arguments the lesson passes (TypeError: "
    )
    assert "takes 1 positional argument but 2 were given" in message


def test_a_callable_object_is_as_good_as_a_function():
    class Load:
        def __call__(self, experts, num_experts):
            return torch.bincount(experts.flatten(), minlength=num_experts)

    assert CHECKS["D1.4a"](Load()).passed
