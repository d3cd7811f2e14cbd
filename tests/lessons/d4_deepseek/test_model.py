"""What the checks of D4's model say: block, stack, count and the layer for two tokens ahead."""

import inspect
import random
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from checks import CheckFailed
from checks.audit.audit import stub_of
from checks.d4_deepseek.block import check_deepseek_block
from checks.d4_deepseek.cases import draw_config
from checks.d4_deepseek.count import check_count_parameters, counted_parts
from checks.d4_deepseek.mtp import check_mtp
from checks.d4_deepseek.stack import check_deepseek
from helpers import solution_markers
from helpers.model.llama import SwiGLU
from solutions import d2_deepseek_moe, d3_mla
from solutions import d4_deepseek as reference

CHECKS = (check_deepseek_block, check_deepseek, check_count_parameters, check_mtp)


def with_slip(name, old, new, **others):
    """The reference's answer with one text exchanged, and other names bound beside it."""
    source = solution_markers.source_of(inspect.getsource(reference), name)
    assert old in source
    names = dict(vars(reference), F=F, **others)
    exec(compile(source.replace(old, new), "<slip>", "exec"), names)
    return names[name]


def failure(check, answer, seed=0) -> CheckFailed:
    with pytest.raises(CheckFailed) as failed:
        check(answer, seed=seed)
    return failed.value


FIRST = "x = x + self.attended(self.attention_norm(x), cache)"
SECOND = "x + self.ffn(self.ffn_norm(x))"
NORM = "RMSNorm(config.d_model, config.norm_eps)"
EMPTIED = "[setattr(c, 'used', 0) for c in caches or () if ids.shape[1] > 1]"
JOINED = "self.block(self.join(both), cache)"
SLIPS = [
    (0, FIRST, "x = self.attention_norm(x + self.attended(x, cache))", "with both parts", "past"),
    (
        0,
        FIRST,
        "x = self.attended(self.attention_norm(x), cache)",
        "with both parts",
        "Is x added",
    ),
    (0, FIRST, FIRST.replace("x = x", "x = x + x"), "with both parts", "more than once"),
    (0, FIRST, "x = x + self.attended(x, cache)", "with one part", "before attention left out?"),
    (0, SECOND, SECOND.replace("ffn_norm", "attention_norm"), "with one part", "behind its own"),
    (0, FIRST, FIRST.replace("x = x", "h = x; x = x") + "; x = h", "with one part", "adds reach"),
    (0, SECOND, f"{SECOND} + 0 * x.mean()", "", ""),
    (0, "x), cache)", "x))", "with a cache", "handed to self.attended?"),
    (0, "x), cache)", "x), cache or None)", "with a cache", "An empty cache counts as false"),
    (0, "x = x + self", "x += self", "x, weights", "in place"),
    (0, "(self.attention_norm(x)", "(self.attention_norm(x).detach()", "gradients", "detached"),
    (
        1,
        "ids, caches))",
        "ids, caches)).softmax(-1)",
        "embedding, last norm",
        "Are the logits raw?",
    ),
    (1, "self.norm(x)", "x", "embedding, last norm", "Is the last norm there"),
    (1, "(self.blocks)", "(self.blocks[::-1])", "every block once", "the first one first?"),
    (1, "x = block", "x = x + block", "embedding, last norm", "Its residuals are inside."),
    (1, "caches[i]", "caches[0]", "each block with its own", "Does block i get caches[i]?"),
    (1, "caches[i]", "caches[-1 - i]", "each block with its own", "in the order of the blocks?"),
    (1, "caches[i]", "None", "each block with its own", "handed on to the blocks?"),
    (0, f"return {SECOND}", f"return self.ffn_norm({SECOND})", "with both parts", "once more?"),
    (0, SECOND, f"F.dropout({SECOND}, 0.1, self.training)", "with both parts", "such as dropout"),
    (0, FIRST, f"a = {FIRST[8:]}; return x + a + self.ffn(self.ffn_norm(a))", "with one", "alone?"),
    (0, "ffn_norm(x)", "ffn_norm(self.attention_norm(x))", "with one part", "input normed twice?"),
    (0, SECOND, f"{SECOND} / 3", "with one part", "What ffn adds is 0.333 times"),
    (0, f"self.ffn_norm = {NORM}", "self.ffn_norm = self.attention_norm", "within", "one module"),
    (1, "self.norm(x)", "self.norm(x + self.embed(ids))", "embedding, last", "on top of"),
    (1, "config.d_model)\n", "config.d_model, padding_idx=0)\n", "gradients", "`padding_idx`"),
    (1, "x = self.embed", f"{EMPTIED}; x = self.embed", "each block with its own", "thrown away?"),
    (1, "self.head(", "(", "parts, shapes", "pass the head?"),
    (1, "self.embed(ids)", "self.embed(ids).detach()", "gradients", "detached"),
    (2, "model.parameters()", "model.state_dict().values()", "all parameters", "buffers counted?"),
    (2, "config.top_k * config.num_segments", "config.top_k", "with segments", "Each of its"),
    (2, "idle += ", "idle = ", "of a layer's experts", "and not only one?"),
    (2, "total, total - idle", "total - idle, total", "all parameters", "total the first"),
    (2, "idle += ", "idle -= ", "of a layer's experts", "more than the total"),
    (2, "layer.experts.parameters()", "layer.experts", "two whole", "a module that is asked"),
    (2, "config.top_k *", "config.top_k //", "with segments", "divided by num_segments?"),
    (2, "total, total - idle", "671_026_404_352, idle", "all layers dense", "Are these V3's?"),
    (2, "total - idle", "total - idle / 1", "two whole numbers", "`//` divides whole numbers"),
    (3, JOINED, "self.join(both)", "through the block", "Where does the block come in?"),
    (3, "self.embed_norm(next_embedding)", "next_embedding", "both normed", "embedding normed?"),
    (3, JOINED, f"hidden + {JOINED}", "both normed", "`join` alone brings it in."),
    (3, "(hidden)", "(hidden.detach())", "gradients", "detached"),
    (3, "layer=config.num_layers", "layer=0", "parts, shapes", "Which number does this block get"),
    (
        3,
        "return self.norm(self.block(self.join(both), cache))",
        "half = self.join.weight.chunk(2, dim=1)[0]\n"
        "        return self.norm(self.block(F.linear(sum(both.chunk(2, dim=-1)), half)))",
        "both normed",
        "has a half of its weight for each",
    ),
    (
        3,
        "return self.norm(self.block(self.join(both), cache))",
        "return self.norm(self.join(torch.cat([both.chunk(2, -1)[0], "
        "self.block(both.chunk(2, -1)[1])], dim=-1)))",
        "through the block",
        "behind `join`, and not before",
    ),
]


@pytest.mark.parametrize(("i", "old", "new", "stage", "ask"), SLIPS, ids=range(len(SLIPS)))
def test_a_slip_is_asked_about(i, old, new, stage, ask):
    check = replace(CHECKS[i], needs=())
    answer = with_slip(check.name, old, new)
    if not stage:  # the same numbers in other words
        assert check(answer, seed=0).passed
        return
    failed = failure(check, answer)
    assert failed.stage.startswith(stage)
    assert ask in failed.message and len(failed.message) < 400


def test_the_order_of_the_joined_halves_is_asked_about():
    class MultiTokenPrediction(reference.MultiTokenPrediction):
        def forward(self, hidden, next_embedding):
            both = [self.hidden_norm(hidden), self.embed_norm(next_embedding)]
            return self.norm(self.block(self.join(torch.cat(both, dim=-1))))

    message = failure(check_mtp, MultiTokenPrediction).message
    assert message.endswith("Which comes first, side by side? The embedding does.")


def test_counting_by_formula_agrees_with_a_model():
    rng = random.Random(5)
    for segments in (1, 2, 3):
        config = draw_config(rng, num_segments=segments, dense_layers=1)
        held = sum(p.numel() for p in reference.DeepSeek(config).parameters())
        assert sum(counted_parts(config).values()) == held


def test_a_default_device_that_stays_is_refused_and_put_back():
    def count_parameters(config):
        torch.set_default_device("meta")
        return reference.count_parameters(config)

    assert "default device" in failure(check_count_parameters, count_parameters).message
    assert torch.get_default_device().type == "cpu"


class OtherExperts(d2_deepseek_moe.DeepSeekMoE):
    """Experts in a list of its own, shared ones apart: other names of the same weights."""

    def __init__(self, d_model, num_experts, top_k, expert_dim, num_shared, **options):
        super().__init__(d_model, num_experts, top_k, expert_dim, num_shared, **options)
        self.experts = self.experts.experts
        self.shared = SharedApart(d_model, expert_dim, num_shared)


class SharedApart(nn.Module):
    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__()
        self.each = nn.ModuleList(SwiGLU(d_model, expert_dim) for _ in range(num_shared))

    def forward(self, x):
        return sum(expert(x) for expert in self.each)


def test_experts_in_another_form_pass():
    block = with_slip("DeepSeekBlock", "+", "+", DeepSeekMoE=OtherExperts)
    assert check_deepseek_block(block, seed=0).passed
    for check in (check_deepseek, check_mtp):
        assert check(with_slip(check.name, "self", "self", DeepSeekBlock=block), seed=0).passed


def test_an_earlier_part_that_fails_is_named():
    class MultiHeadLatentAttention(d3_mla.MultiHeadLatentAttention):
        def forward(self, x, cache=None):
            raise NotImplementedError

    class DeepSeekMoE(d2_deepseek_moe.DeepSeekMoE):
        def forward(self, x):
            return 1.01 * super().forward(x)

    for part, said in (
        (MultiHeadLatentAttention, "D3.3e MultiHeadLatentAttention is not written yet."),
        (DeepSeekMoE, "D2.3d DeepSeekMoE does not pass yet: "),
    ):
        block = with_slip("DeepSeekBlock", "+", "+", **{part.__name__: part})
        assert failure(check_deepseek_block, block).message.startswith(said)


def test_an_unwritten_block_is_named():
    stub = stub_of(check_deepseek_block)
    answer = with_slip("MultiTokenPrediction", "self", "self", DeepSeekBlock=stub)
    assert failure(check_mtp, answer).message == "D4.1 DeepSeekBlock is not written yet."


def test_a_count_of_a_model_with_other_weights_names_the_model():
    class DeepSeek(reference.DeepSeek):
        def __init__(self, config):
            super().__init__(config)
            self.more = nn.Linear(3, 3)

    answer = with_slip("count_parameters", "total", "total", DeepSeek=DeepSeek)
    said = failure(check_count_parameters, answer).message
    assert said.startswith("D4.2a DeepSeek does not pass yet: DeepSeek(config) must hold ")
