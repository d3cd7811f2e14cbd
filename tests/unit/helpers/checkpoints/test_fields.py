"""Released configurations: what is accepted, with its counts, and what is refused, and why."""

import json
import re
from functools import cache
from pathlib import Path

import pytest

from course import ROOT
from helpers.checkpoints import fields as fields_module
from helpers.checkpoints.fields import model_fields
from helpers.checkpoints.released import released_rows
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.published import V2, V2_LITE, V3, active_parameters, total_parameters
from helpers.model.yarn import Yarn
from solutions.d4_deepseek import count_parameters

RELEASED = json.loads(
    (Path(fields_module.__file__).parent / "released_configs.json").read_text(encoding="utf-8")
)
counted = cache(count_parameters)  # V3 and its kind have thousands of modules
COUNTED = {
    "V2-Lite": (total_parameters(V2_LITE), active_parameters(V2_LITE)),
    "V2": (total_parameters(V2), active_parameters(V2)),
    "V3": (total_parameters(V3), active_parameters(V3)),
    "Moonlight": (15_960_108_544, 2_914_774_528),
    "Kimi-K2": (1_026_408_209_408, 32_861_477_888),
}


@pytest.mark.parametrize("name", COUNTED)
def test_a_released_configuration_is_counted_to_the_last_parameter(name: str) -> None:
    assert counted(DeepSeekConfig(**model_fields(RELEASED[name]))) == COUNTED[name]


@pytest.mark.parametrize(
    ("name", "yarn"),
    [
        ("V2-Lite", Yarn(factor=40.0, mscale_all_dim=0.707)),
        ("V3", Yarn(factor=40.0, mscale_all_dim=1.0)),
        ("Kimi-K2", Yarn(factor=32.0, beta_fast=1.0, mscale_all_dim=1.0)),
        ("Moonlight", None),
    ],
)
def test_yarn_is_read_from_the_rotary_options(name: str, yarn: Yarn | None) -> None:
    assert model_fields(RELEASED[name])["yarn"] == yarn


def test_v2_chooses_groups_by_their_best_expert_and_scales_by_16() -> None:
    fields = model_fields(RELEASED["V2"])
    names = "affinity", "renormalise", "num_groups", "top_groups", "groups_by_best", "scale"
    assert [fields[name] for name in names] == ["softmax", False, 8, 3, True, 16.0]


V3_FIELDS = RELEASED["V3"]
REFUSED = {
    "V3.2": (RELEASED["V3.2-Exp"], "'deepseek_v32' is another model: V3.2 chooses"),
    "dense layers in between": (
        RELEASED["GLM-4.7-Flash"] | {"mlp_layer_types": ["dense", "sparse", "dense"]},
        "mlp_layer_types must have all dense layers before those with experts",
    ),
    "V4": (V3_FIELDS | {"model_type": "deepseek_v4"}, "'deepseek_v4' is another model: V4 has"),
    "a stranger": (V3_FIELDS | {"model_type": "mixtral"}, "model_type must be one of deepseek_v3"),
    "no kind": (
        {},
        "model_type must be one of deepseek_v3, kimi_k2, glm4_moe_lite, deepseek_v2, got None",
    ),
    "biases of experts": (V3_FIELDS | {"mlp_bias": True}, "mlp_bias must be False, got True"),
    "every second layer": (V3_FIELDS | {"moe_layer_freq": 2}, "moe_layer_freq must be 1, got 2"),
    "another affinity": (
        V3_FIELDS | {"scoring_func": "softmax"},
        "scoring_func must be 'sigmoid', got 'softmax': so has deepseek_v3",
    ),
    "V2 with a sigmoid": (
        RELEASED["V2"] | {"scoring_func": "sigmoid"},
        "scoring_func must be 'softmax', got 'sigmoid': so has deepseek_v2",
    ),
    "V2 renormalised": (RELEASED["V2"] | {"norm_topk_prob": True}, "norm_topk_prob must be False"),
    "no groups": (V3_FIELDS | {"n_group": None}, "n_group must be a whole number of at least 1"),
    "no shared expert": (V3_FIELDS | {"n_shared_experts": 0}, "n_shared_experts must be a whole"),
    "a size that is text": (V3_FIELDS | {"hidden_size": "7168"}, "hidden_size must be a whole"),
    "a size that is missing": (
        {name: value for name, value in V3_FIELDS.items() if name != "kv_lora_rank"},
        "kv_lora_rank must be a whole number of at least 1, got None",
    ),
    "halves": (V3_FIELDS | {"rope_interleave": False}, "rope_interleave must be True, got False"),
    "other stretched angles": (
        V3_FIELDS | {"rope_scaling": {"type": "linear", "factor": 4.0}},
        "rope_type must be 'default' or 'yarn', got 'linear'",
    ),
    "rotary parts scaled apart": (
        V3_FIELDS | {"rope_scaling": V3_FIELDS["rope_scaling"] | {"mscale": 0.5}},
        "mscale must be mscale_all_dim, 1.0, got 0.5",
    ),
    "four bits": (
        V3_FIELDS | {"quantization_config": {"quant_method": "compressed-tensors"}},
        "quant_method must be 'fp8', got 'compressed-tensors'",
    ),
    "other blocks": (
        V3_FIELDS | {"quantization_config": {"quant_method": "fp8", "weight_block_size": [1, 64]}},
        "weight_block_size must be [128, 128], got [1, 64]",
    ),
}


@pytest.mark.parametrize("title", REFUSED)
def test_what_this_model_does_not_compute_is_refused_in_one_sentence(title: str) -> None:
    config, sentence = REFUSED[title]
    with pytest.raises(ValueError, match=rf"^{re.escape(sentence)}") as refused:
        model_fields(config)
    assert "\n" not in str(refused.value)


def test_readme_has_the_table_of_released_checkpoints() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for row in released_rows(counted):
        verdict = f"refused: {row.refusal}" if row.refusal else "read"
        made = f" ({row.made})" if row.made and not row.refusal else ""
        sizes = f"{row.total:,} | {row.active:,}" if row.total else "|"
        assert f"| {row.name} | {sizes} | {verdict}{made} |" in readme
