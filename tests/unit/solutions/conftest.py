"""The places where the model is tested: the CPU, and a GPU where there is one."""

from collections.abc import Iterator

import pytest
import torch

PLACES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Tensors and models that a test makes lie there."""
    with torch.device(request.param) as device:
        yield device
