"""Whatever a learner passes, returns or raises, a check answers in one short message.

Every check meets every such value.
"""

import types

import pytest
import torch
from torch import nn

from checks import CHECKS, CheckFailed

EVERY = pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
LONGEST = 400  # letters of a message


class RaisesOnAttributes:
    def __getattr__(self, name):
        raise ValueError(f"no {name}")

    def __call__(self, *parts):
        raise ValueError("called")


class RaisesOnEquals:
    __hash__ = None

    def __eq__(self, other):
        raise ValueError("no equals")

    def __bool__(self):
        raise ValueError("no truth")


class RaisesOnLength(tuple):
    def __len__(self):
        raise ValueError("no length")


class RaisesOnRepr:
    def __repr__(self):
        raise ValueError("no repr")

    __str__ = __repr__


class RaisesOnClass:
    @property
    def __class__(self):
        raise ValueError("no class")


class OwnTensor(torch.Tensor):
    pass


def nested(depth: int = 2000) -> list:
    inner = []
    for _ in range(depth):
        inner = [inner]
    return inner


NAMELESS = type("", (), {})()
WHOLE = torch.zeros(3, 2, dtype=torch.int64)
NAN = torch.full((3, 2), float("nan"))
RETURNED = {
    "None": None,
    "1-tuple": (torch.ones(3, 2),),
    "3-tuple": (torch.ones(3, 2), WHOLE, WHOLE),
    "pair of None": (None, None),
    "pair of text": ("gates", "experts"),
    "NaN": NAN,
    "NaN and choices": (NAN, WHOLE),
    "int8": torch.ones(3, dtype=torch.int8),
    "bool tensor": torch.ones(3, dtype=torch.bool),
    "complex": torch.ones((), dtype=torch.complex64),
    "meta": torch.ones(3, 2, device="meta"),
    "meta number": torch.ones((), device="meta"),
    "sparse": torch.eye(3).to_sparse(),
    "quiet empty": torch.ones(0),
    "generator": (n for n in range(3)),
    "text": "a text",
    "bytes": b"bytes",
    "raises on attributes": RaisesOnAttributes(),
    "raises on ==": RaisesOnEquals(),
    "raises on len": RaisesOnLength((1, 2)),
    "raises on repr": RaisesOnRepr(),
    "raises on class": RaisesOnClass(),
    "nameless": NAMELESS,
    "nested list": nested(),
    "long list": list(range(100_000)),
    "tensor subclass": torch.ones(3).as_subclass(OwnTensor),
    "true": True,
    "infinity": float("inf"),
    "not a number": float("nan"),
    "huge number": 10**5000,
    "module": torch,
    "class": dict,
}

# The methods of these values that raise.
OWN = ("__len__", "__class__", "__eq__", "__repr__", "__getattr__", "__call__", "__bool__")


class NoText(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class ExitingText(Exception):
    def __str__(self):
        raise SystemExit(1)


RAISED = {
    "ValueError": ValueError("not so"),
    "KeyError": KeyError("odd\n\nlines \x1b[31m" * 60),
    "colours": ValueError("\x1b[31mred\x07\r\nand long " * 100),
    "SystemExit": SystemExit(3),
    "RecursionError": None,
    "no text": NoText(),
    "exiting text": ExitingText(),
    "GeneratorExit": GeneratorExit(),
    "StopIteration": StopIteration(4),
    "AssertionError": AssertionError(),
    "BaseException": BaseException("base"),
    "group": ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
}


def raising(error: BaseException | None):
    def fail(*parts):
        if error is None:
            return fail(*parts)
        raise error

    return fail


def answering(check, call):
    """A function or a class of the right form that answers with `call(...)` throughout."""
    if not isinstance(check.reference_answer, type):
        return lambda *parts, **named: call(*parts)

    class Answer(check.reference_answer):
        def __getitem__(self, i):
            return call

        def forward(self, *parts, **named):
            return call(*parts)

        down = up = append = forward

    return Answer


def refused(check, answer) -> CheckFailed:
    """The failure, once it is one short sentence or two that IPython shows without a traceback."""
    with pytest.raises(CheckFailed) as failed:
        check(answer, seed=1)
    failed = failed.value
    assert not failed.passed and failed.__cause__ is None and failed.__suppress_context__
    assert 10 < len(failed.message) < LONGEST and failed.message.isprintable()
    shown = failed._render_traceback_()
    assert len(failed.lines) <= 4 and all("\n" not in line for line in shown)
    assert "Traceback" not in "".join(shown) and "0x" not in "".join(shown)
    assert str(failed) == f"{check.id} {check.name}: {failed.message}"
    return failed


def class_raising(error: BaseException | None):
    class Answer(nn.Module):
        def __init__(self, *sizes):
            raising(error)()

    return Answer


class OtherSignature(nn.Module):
    def __init__(self, size):
        super().__init__()


class ReturnsFromInit(nn.Module):
    def __init__(self, *sizes):
        return 3


class NotAModule:
    def __init__(self, *sizes):
        pass


class ForgotSuper(nn.Module):
    def __init__(self, *sizes):
        self.layer = nn.Linear(2, 2)


GIVEN = {
    "instance": nn.Linear(2, 2),
    "module": types,
    "None": None,
    "text": "TopKRouter",
    "number": 3,
    "tensor": torch.ones(2),
    "raises on class": RaisesOnClass(),
    "raises on attributes": RaisesOnAttributes(),
    "raises on ==": RaisesOnEquals(),
    "raises on repr": RaisesOnRepr(),
    "nameless": NAMELESS,
    "no parameters": lambda: 1,
    "another function": lambda a, b, c, d, e, f, g: 1,
    "builtin": abs,
    "a check": CHECKS["D1.1"],
    "type": type,
    "object": object,
    "int": int,
    "mapping": types.MappingProxyType,
    "OtherSignature": OtherSignature,
    "ReturnsFromInit": ReturnsFromInit,
    "NotAModule": NotAModule,
    "ForgotSuper": ForgotSuper,
}
