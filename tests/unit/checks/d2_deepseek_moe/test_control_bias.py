"""What D2.I1 says of tensors that do not fit, and of a step of 0."""

import pytest
import torch

from checks.audit.known_mistakes import known_mistakes
from checks.d2_deepseek_moe.balancing.control import check_control_bias
from checks.grading.result import CheckFailed


def along_the_tokens(affinity, top_k, step):
    """Each expert chooses tokens."""
    bias = affinity[0, 0] * 0
    load = torch.bincount(affinity[0].topk(top_k, dim=0).indices.flatten(), minlength=15)
    return bias + step * (load.double().mean() - load).sign()


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (along_the_tokens, "numbers each: are experts chosen along E, and does the load count all"),
        (lambda affinity, top_k, step: affinity[1], "There is a single batch here"),
        (known_mistakes("D2.I1")["published_step_for_none"], "at a step of 0 the bias after"),
    ],
)
def test_a_refusal_names_the_case_and_its_sizes(mistake, said, monkeypatch):
    if mistake.__name__ == "<lambda>":
        draw = check_control_bias.draw
        monkeypatch.setattr(check_control_bias, "draw", lambda rng: draw(rng)[3:4])
    with pytest.raises(CheckFailed, match=said):
        check_control_bias(mistake, seed=0)
