"""`to_hf`: a folder that transformers opens with the same logits, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers.checkpoints.weight_files import WEIGHTS
from helpers.data.corpus import END_OF_TEXT, train_tokenizer
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.yarn import Yarn
from solutions.d4_deepseek import DeepSeek
from tests.unit.helpers.checkpoints.test_folders import CONFIG

SOFTMAX = {"affinity": "softmax", "renormalise": False}
V2_GROUPS = {"num_groups": 2, "top_groups": 1, "groups_by_best": True, "scale": 16.0}
WRITTEN = {
    "a small V3": {},
    "query latent, groups, scale": {
        "q_latent": 24,
        "d_value": 12,
        "num_groups": 2,
        "top_groups": 1,
        "scale": 2.5,
    },
    "YaRN": {"yarn": Yarn(factor=40.0, trained=64, mscale_all_dim=1.0)},
    "gates not renormalised": {"renormalise": False},
    "experts everywhere": {"dense_layers": 0, "dense_dim": 0},
    "V2-Lite": SOFTMAX,
    "V2": SOFTMAX | V2_GROUPS | {"yarn": Yarn(factor=40.0, trained=64, mscale_all_dim=0.707)},
}


def shaken(config: DeepSeekConfig) -> DeepSeek:
    """Norms that are not 1, and biases where the kind has some."""
    torch.manual_seed(0)
    model = DeepSeek(config)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if "norm" in name or (name.endswith("bias") and config.affinity == "sigmoid"):
                value.add_(0.3 * torch.randn_like(value))
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", WRITTEN)
def test_transformers_opens_it_with_the_same_logits(kind: str, tmp_path: Path) -> None:
    ours = shaken(replace(CONFIG, **WRITTEN[kind]))
    ours.to_hf(tmp_path)
    theirs, seen = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(seen.values())
    ids = torch.randint(0, 97, (2, 33), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want = theirs(ids).logits
        assert (ours(ids) - want).abs().max() <= 1e-5 * max(1.0, float(want.abs().max()))
    back = DeepSeek.from_hf(tmp_path)
    named = {"d_value": ours.config.d_value, "dense_dim": ours.config.dense_dim}
    assert replace(back.config, **named) == ours.config
    for (name, a), b in zip(ours.state_dict().items(), back.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_the_tokenizer_lies_beside_it(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["once upon a time " * 20], 300)
    model = DeepSeek(replace(CONFIG, vocab_size=tokenizer.get_vocab_size()))
    model.to_hf(tmp_path, tokenizer=tokenizer, end_of_text=END_OF_TEXT)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    end = tokenizer.token_to_id(END_OF_TEXT)
    assert theirs("upon a time")["input_ids"] == [end, *tokenizer.encode("upon a time").ids]
    assert theirs.eos_token == END_OF_TEXT


REFUSED = {
    "segments": ({"num_segments": 2, "num_experts": 8}, "num_segments must be 1, got 2: no class"),
    "a softmax that is renormalised": ({"affinity": "softmax"}, "a softmax affinity is V2's"),
    "a softmax with V3's groups": (
        SOFTMAX | {"num_groups": 2, "top_groups": 1},
        "a softmax affinity is V2's",
    ),
}


@pytest.mark.parametrize("title", REFUSED)
def test_what_no_class_computes_is_refused_and_nothing_written(title: str, tmp_path: Path) -> None:
    changes, sentence = REFUSED[title]
    with pytest.raises(ValueError, match=rf"^{sentence}"):
        DeepSeek(replace(CONFIG, **changes)).to_hf(tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_whoever_may_read_the_configuration_may_read_the_weights(tmp_path: Path) -> None:
    DeepSeek(CONFIG).to_hf(tmp_path)
    modes = [(tmp_path / name).stat().st_mode for name in (WEIGHTS, "config.json")]
    assert modes[0] == modes[1]


def test_a_bias_that_v2_has_not_is_refused(tmp_path: Path) -> None:
    model = DeepSeek(replace(CONFIG, **SOFTMAX))
    model.blocks[1].ffn.router.bias.fill_(0.1)
    with pytest.raises(ValueError, match=r"^blocks\.1\.ffn\.router\.bias must be 0"):
        model.to_hf(tmp_path / "made")


def test_a_part_that_names_its_weights_otherwise_is_named(tmp_path: Path) -> None:
    model = DeepSeek(CONFIG)
    array = model.blocks[1].ffn.experts
    array.own = array.experts  # as an array that a learner laid out otherwise
    del array.experts
    with pytest.raises(ValueError, match=r"^ExpertArray must hold blocks\.1\.ffn\.experts\."):
        model.to_hf(tmp_path / "made")
