# %% [markdown]
# # D3 · Multi-head Latent Attention
#
# You write the attention that lets DeepSeek-V3 keep 576 numbers a token and layer where standard attention with its 128 heads keeps 32,768. First as the study plan has it, then as DeepSeek published it, then as DeepSeek runs it.

# %% [markdown]
# About 3 to 4 hours: nine exercises of 10 to 25 minutes; two investigations of 30 lie beyond. You need attention, RoPE is refreshed, and no part of D1 or D2 is used here.

# %% [markdown]
# ## How this notebook works
#
# As before: write where a cell raises `NotImplementedError`, run the check below it, ask `.hint()` when stuck.
#
# Letters: B batch, L new positions, S positions seen so far, D = `d_model`, H heads, R = `d_latent`, d = `d_head`, r = `d_rope`, v = `d_value`. In docstrings V2p is arXiv 2405.04434, V3p arXiv 2412.19437.

# %% tags=["setup"]
import helpers  # before torch: its threads then sleep while they wait

import copy
import math
from typing import Any

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float
from torch import Tensor, nn

import solutions.d3_mla as reference
from checks import progress
from checks.audit.known_mistakes import known_mistakes
from checks.d3_mla import (
    check_absorbed_decode,
    check_attend,
    check_energy_kept,
    check_joint_latent,
    check_latent_cache,
    check_latent_projections,
    check_latents_from_mha,
    check_mla,
    check_query_path,
    check_rotary_key,
    check_yarn_frequencies,
)
from helpers.plots.attention_plots import (
    plot_attention_maps,
    plot_bandwidth,
    plot_cache_growth,
    plot_cosine_over_rank,
)
from helpers.model.attention_sizes import validate_sizes
from helpers.plots.cache_explorer import cache_explorer
from helpers.measuring.conversion import (
    agreement,
    attention_inputs,
    attention_maps,
    converted_model,
    converted_output,
    key_and_value_weights,
    mean_output,
    standard_output,
    uniform_attention,
)
from helpers.data.corpus import Corpus
from helpers.plots.curve_plots import plot_times
from helpers.measuring.decode_steps import WAYS, StepSizes, copy_bandwidth, decode_milliseconds
from helpers.checkpoints.hf_attention import attention_sizes, attention_weights
from helpers.model.kv_cache import cache_bytes, cache_rows, cached_numbers, ways_to_cache
from helpers.model.llama import Decoder, RMSNorm, SwiGLU, rotate
from helpers.model.published import LLAMA_2_70B, V3
from helpers.training_loops.language_model import Training, held_out_loss, train_lm

torch.manual_seed(0)
torch.set_num_threads(1)  # the same numbers whatever else runs, and hardly slower at this size

# %% [markdown]
# ## The problem, computed · {section} minutes
#
# To write token 4,097 a model needs the keys and values of the 4,096 before it. Key and value of two heads of width 3 are 2 · 2 · 3 = 12 numbers a token and layer. The plan counts LLaMA-70B with 64 key-value heads of 128 in 80 layers.

# %%
as_planned = cache_bytes(2 * 64 * 128, layers=80, context=4096)
deployed = cache_bytes(cached_numbers(LLAMA_2_70B.attention), layers=80, context=4096)
print(f"as the plan counts it: {as_planned / 1e9:.2f} GB = {as_planned / 2**30:.2f} GiB")
print(f"as deployed, with 8 key-value heads: {deployed / 1e9:.2f} GB")

# %% [markdown]
# The plan prints 10.5 GB for the first, between its GB and its GiB, and does not name the second: LLaMA-2-70B shares each key and value among 8 query heads (GQA). A ratio says nothing until its baseline is named.

# %%
print(f"{'at 4,096 tokens, 2 bytes a number':34}{'a token and layer':>18}{'cache':>10}{'ratio':>8}")
for row in cache_rows(4096):
    print(f"{row.name:34}{row.numbers:18,}{row.bytes_cached / 1e9:8.2f}GB{row.ratio:7.2f}x")
print("\nratio: standard attention with the same heads over this cache")

# %% [markdown]
# Attention went from a key and a value for every head (MHA) to one for all (MQA), to one for a group (GQA), to a latent (MLA). Predict for 32 heads of 128, 8 key-value heads in GQA, and 576 numbers in MLA: which keeps least? The plan's two latents of 512 follow in D3.1.

# %%
ways = ways_to_cache(heads=32, d_head=128, kv_heads=8, d_latent=512, d_rope=64)
for name, numbers in ways.items():
    print(f"{name:26}{numbers:7,} numbers a token{ways['MHA'] / numbers:7.1f}x")

# %% [markdown]
# MQA keeps least and pays in quality: in DeepSeek's 7B ablation it scored 37.9 on MMLU, GQA-8 41.2 and MHA 45.2 (arXiv 2405.04434, table 8). In another ablation, with experts, MLA kept a seventh of MHA's numbers and scored 50.0 to its 48.7, but on C-Eval 50.9 to 51.6 (table 9).

# %%
growth = {row.name: row.bytes_cached // 4096 for row in cache_rows(4096)}
plot_cache_growth(growth, [1024, 4096, 16384, 65536, 131072], "What one conversation keeps")
plt.show()

# %% [markdown]
# While it writes, a model reads its whole cache for every token, so fewer bytes also mean less waiting. In training and while reading a prompt the arithmetic is the limit, and the cache is not.

# %% [markdown]
# ## D3.1 Latent projections · {section} minutes
#
# The plan's idea: squeeze, keep, expand. Keys of 4 heads × 8 = 32 numbers become a latent of 8, and so do the values: 16 numbers kept in place of 64, which is 4x.
#
# $$k^{\mathrm{lat}} = W^{DK} x, \quad K = W^{UK} k^{\mathrm{lat}}, \quad v^{\mathrm{lat}} = W^{DV} x, \quad V = W^{UV} v^{\mathrm{lat}}$$

# %% tags=["exercise"] exercise="D3.1"
from solutions.d3_mla import LatentProjections

# %% tags=["check"] exercise="D3.1"
check_latent_projections(LatentProjections)

# %%
plan = LatentProjections(d_model=4096, d_latent=512, num_heads=32, d_head=128)
with torch.no_grad():
    kept = plan.down(torch.randn(1, 3, 4096))
    expanded = plan.up(*kept)
print("kept:", [tuple(part.shape) for part in kept])
print("needed:", [tuple(part.shape) for part in expanded])
print("the plan's compression:", sum(y.numel() for y in expanded) / sum(y.numel() for y in kept))

# %% [markdown]
# ## D3.2 The latent cache · {section} minutes
#
# Room for 5 positions, 2 used: an append of 3 fills it, one of 4 is refused and changes nothing. The buffers are made once, for all positions, so a step writes one row and copies none.

# %% tags=["exercise"] exercise="D3.2"
from solutions.d3_mla import LatentCache

# %% tags=["check"] exercise="D3.2"
check_latent_cache(LatentCache)

# %% [markdown]
# The plan asks for a cache 5 to 10 times smaller. Count the bytes of buffers: a prompt of 60 tokens, then one token at a time, with the plan's sizes, beside a cache of the keys and values themselves.

# %%
latent_cache, standard = LatentCache(1, 64, 512, 512), LatentCache(1, 64, 4096, 4096)
with torch.no_grad():
    for x in torch.randn(1, 64, 4096).split([60, 1, 1, 1, 1], dim=1):
        kept = plan.down(x)
        latents = latent_cache.append(*kept)
        standard.append(*(y.flatten(-2) for y in plan.up(*kept)))
print(len(latent_cache), "positions,", latent_cache.nbytes, "bytes beside", standard.nbytes)
print("between 5x and 10x smaller:", 5 <= standard.nbytes / latent_cache.nbytes <= 10)

# %%
try:
    latent_cache.append(*kept)
except ValueError as error:
    print(error)
print(len(latent_cache), "positions still")

# %% [markdown]
# ## RoPE, refreshed · {section} minutes
#
# Rotary embeddings turn each pair of neighbours by position × angle. The pair (1, 0) at position 1 with angle 1 turns by 1 radian and becomes (0.54, 0.84). `rotate(x, start, theta)` takes (…, L, H, d) and turns pair i of width d by theta^(−2i/d) a position.

# %%
pair = torch.tensor([1.0, 0.0]).expand(1, 4, 1, 2)  # one sequence, four positions, one head
turned = rotate(pair)[0, :, 0]
for position, (a, b) in enumerate(turned.tolist()):
    print(f"position {position}: ({a:+.2f}, {b:+.2f}) = (cos {position}, sin {position})")

# %% [markdown]
# What a score sees is the difference of two positions, never the positions: a query at 7 and a key at 4 score like 103 and 100.

# %%
torch.manual_seed(0)
q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64)
near = (rotate(q, start=7) * rotate(k, start=4)).sum()
far = (rotate(q, start=103) * rotate(k, start=100)).sum()
other = (rotate(q, start=7) * rotate(k, start=5)).sum()
print("7 and 4 score like 103 and 100:", torch.allclose(near, far))
print("7 and 5 do not:", not torch.allclose(near, other))

# %% [markdown]
# ## DeepSeek's attention, piece by piece
#
# The plan's two latents say nothing of RoPE. DeepSeek's attention differs in three ways: one latent for keys and values together, an RMSNorm on it, and a small rotary part beside the content. The large models also squeeze the query. You write its pieces.

# %% [markdown]
# ## D3.3a The query path · {section} minutes
#
# Each head asks with d content numbers and r rotary ones: with d = 3 and r = 2, two heads make 10 numbers, 3 + 2 for the first, 3 + 2 for the second. Only the 2s are turned.

# %% [markdown]
# V3 and V2 first squeeze the query into a latent of 1,536 and norm it, which saves memory in training and nothing in the cache; V2-Lite does not, and there `q_latent` is None (arXiv 2405.04434, section 2.1.2 and appendix B).

# %% tags=["exercise"] exercise="D3.3a"
from solutions.d3_mla import QueryPath

# %% tags=["check"] exercise="D3.3a"
check_query_path(QueryPath)

# %% [markdown]
# ## D3.3b One latent for keys and values · {section} minutes
#
# A latent of 512 serves 128 keys of 128 and 128 values of 128: 32,768 numbers out of 512. What is cached is the latent after its norm. Each head's rows of `kv_up` are its key, then its value.

# %% tags=["exercise"] exercise="D3.3b"
from solutions.d3_mla import JointLatent

# %% tags=["check"] exercise="D3.3b"
check_joint_latent(JointLatent)

# %% [markdown]
# ## D3.3c The shared rotary key · {section} minutes
#
# Position reaches attention through one small key a token, the same for all heads, made from x itself. V2 gives no reason for that; one made from the latent could be absorbed as well. With r = 64 and R = 512 a token keeps 576 numbers.

# %% tags=["exercise"] exercise="D3.3c"
from solutions.d3_mla import RotaryKey

# %% tags=["check"] exercise="D3.3c"
check_rotary_key(RotaryKey)

# %% [markdown]
# ## D3.I2 Longer contexts with YaRN · {section} minutes
#
# V3 was trained on 4,096 positions, then stretched 40 times and trained on at 32K and 128K (V3p, section 4.3). A pair that turns 100 times in 4,096 positions keeps its angle; one that turns half a turn gets a fortieth of it, since a longer text would show it angles it has never seen.

# %% tags=["exercise"] exercise="D3.I2"
from solutions.d3_mla import yarn_frequencies

# %% tags=["check"] exercise="D3.I2"
check_yarn_frequencies(yarn_frequencies)

# %%
plain, stretched = (yarn_frequencies(64, factor) for factor in (1.0, 40.0))
turns = 4096 * plain / (2 * math.pi)
print(f"{'pair':>5}{'turns in 4,096':>16}{'angle divided by':>18}")
for i in (0, 8, 12, 16, 20, 24, 31):
    print(f"{i:5}{float(turns[i]):16.2f}{float(plain[i] / stretched[i]):18.1f}")

# %% [markdown]
# The softmax scale grows with it, by (0.1 · ln 40 + 1)² for V3, which makes attention over many positions sharper again. The cache keeps R + r numbers a token as before. Predict: how large is the cache at 163,840 tokens, the limit in `config.json`?

# %%
sharper = (0.1 * math.log(40) + 1) ** 2  # and 192 is V3's d + r, 128 + 64
print(f"scale {192**-0.5:.4f} becomes {192**-0.5 * sharper:.4f}")
numbers = cached_numbers(V3.attention)
for context in (4096, 163_840):
    print(
        f"{context:7,} tokens: {cache_bytes(numbers, V3.layers, context) / 1e9:.2f} GB, {numbers} a token"
    )

# %%
whole_turn = 2 * math.pi
trained_on = (4096 * plain).clamp(max=whole_turn)
for name, angles in (("as it was", plain), ("with YaRN", stretched)):
    met = (163_840 * angles).clamp(max=whole_turn)
    unseen = int((met > 1.0001 * trained_on).sum())
    print(f"{name}: {unseen} of 32 pairs meet angles at 163,840 that 4,096 never showed")

# %% [markdown]
# ## D3.3d Attend · {section} minutes
#
# A score has two parts, content and rotary: 1.5 and 0.5 with d = 14 and r = 2 give 2 / √16 = 0.5. The queries are those of the last L of S positions: with S = 5 and L = 2, the first query sees four positions.
#
# $$o_{t,h} = \sum_{s \le t} \mathrm{softmax}_s\Big(\frac{q^C_{t,h} \cdot k^C_{s,h} + q^R_{t,h} \cdot k^R_s}{\sqrt{d + r}}\Big)\, v_{s,h}$$

# %% tags=["exercise"] exercise="D3.3d"
from solutions.d3_mla import attend

# %% tags=["check"] exercise="D3.3d"
check_attend(attend)

# %% [markdown]
# ## D3.3e The whole layer · {section} minutes
#
# Glue: x starts at position `len(cache)`, 0 without one. The latent and the rotary key go through the cache, in this order, and come back with all positions before them; keys and values are expanded from what comes back.

# %% tags=["exercise"] exercise="D3.3e"
from solutions.d3_mla import MultiHeadLatentAttention

# %% tags=["check"] exercise="D3.3e"
check_mla(MultiHeadLatentAttention)

# %% [markdown]
# Prefill and decode are the same function of the text: all at once, one by one, or in chunks. A token adds R + r numbers to the cache.

# %%
torch.manual_seed(0)
mla = MultiHeadLatentAttention(d_model=64, num_heads=4, d_head=16, d_latent=24, d_rope=8)
x = torch.randn(2, 12, 64)
with torch.no_grad():
    whole = mla(x)
    for sizes in ([12], [1] * 12, [5, 4, 1, 2]):
        cache = mla.new_cache(batch=2, capacity=12)
        parts = torch.cat([mla(part, cache) for part in x.split(sizes, dim=1)], dim=1)
        print(f"{sizes!s:40} the same: {torch.allclose(parts, whole, atol=1e-5)}")
print("numbers a token:", cache.nbytes // (2 * 12 * 4), "= 24 + 8")

# %% [markdown]
# The outside judge: transformers' `DeepseekV3Attention`. Your class keeps `from_hf`, which copies its weights name by name; all weights are drawn anew, norms too, so that each of them matters.

# %% tags=["nbval-ignore-output"]
from transformers import DeepseekV3Config
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as hf

config = DeepseekV3Config(
    hidden_size=64,
    num_attention_heads=4,
    num_key_value_heads=4,
    kv_lora_rank=24,
    q_lora_rank=40,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=12,
    attn_implementation="eager",
    rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
)
theirs = hf.DeepseekV3Attention(config, layer_idx=0)
with torch.no_grad():
    for weight in theirs.parameters():
        weight.copy_(
            torch.randn_like(weight) / 8 if weight.ndim > 1 else 1 + torch.rand_like(weight)
        )
    positions = hf.DeepseekV3RotaryEmbedding(config)(x, torch.arange(12)[None])
    mask = torch.full((12, 12), -torch.inf).triu(1)[None, None]
    judged = theirs(x, positions, mask)[0]
    mine = MultiHeadLatentAttention.from_hf(theirs)(x)

# %%
bound = 1e-5 * max(1.0, float(judged.abs().max()))
print("transformers says the same within 1e-5:", float((mine - judged).abs().max()) <= bound)

# %% [markdown]
# ## The plan's criterion: cosine above 0.95 · {section} minutes beside D3.3f
#
# DeepSeek trains its attention from the start; others convert trained models (TransMLA, arXiv 2502.07864). The plan compares with standard attention, so you do too: train a standard model, replace its keys and values by latents, and see how far the outputs turn.

# %% [markdown]
# First a standard model: four layers of eight heads on prose, code and stories. The training is cut in two cells that go on where the last one stopped.

# %% tags=["nbval-ignore-output"]
corpus = Corpus.build()
torch.manual_seed(0)
standard_model = Decoder(corpus.vocab_size, 256, 4, 8, lambda: SwiGLU(256, 512))
training = Training(standard_model, corpus, steps=150)
training.run(75)

# %% tags=["nbval-ignore-output"]
training.run(75)
print(f"held-out loss {held_out_loss(standard_model, corpus):.2f} nats a token")

# %% [markdown]
# What its heads look at, on a story it has not seen: each row is a token, each column what it attends to.

# %% tags=["nbval-ignore-output"]
story = corpus.held_out(1, 16)[0][-1, :16]
maps = attention_maps(
    standard_model.blocks[1].attention, attention_inputs(standard_model, story[None])[1]
)
plot_attention_maps(maps[0], corpus.pieces(story), "Layer 2, eight heads")
plt.show()

# %% [markdown]
# ## D3.3f From keys to latents · {section} minutes
#
# Keys (3, 0), (4, 0), (0, 1) lie mostly along one direction: the first axis keeps 25 of their 26 units of squared length. Keep the directions that hold most of the keys on real text; the down-projection reads them, the up-projection puts them back.

# %% [markdown]
# `torch.linalg.eigh(K.T @ K)` gives these directions, smallest first: take the last. Keys are taken before RoPE, which turns them after they are expanded. One latent of 2R for keys and values together, `joint`, costs the same bytes as two of R, and may spend them where they are needed.

# %% tags=["exercise"] exercise="D3.3f"
from solutions.d3_mla import latents_from_mha

# %% tags=["check"] exercise="D3.3f"
check_latents_from_mha(latents_from_mha)

# %% [markdown]
# Four methods at ranks 16, 32, 51 and 64, which are 16x, 8x, 5x and 4x. Independent latents know nothing of the model; the SVD of the weights is your function with the identity for activations, so that its keys are the weights; then yours, apart and joint.

# %%
methods = {
    "independent latents": lambda K, V, x, R: LatentProjections(K.shape[1], R, 1, len(K)),
    "SVD of the weights": lambda K, V, x, R: latents_from_mha(K, V, torch.eye(K.shape[1]), R),
    "PCA of keys and values": lambda K, V, x, R: latents_from_mha(K, V, x, R),
    "one joint latent": lambda K, V, x, R: latents_from_mha(K, V, x, R, joint=True),
}
ranks = (16, 32, 51, 64)

# %% [markdown]
# Fit on text the model was trained on, measure on documents it never saw. Predict: which methods stay above 0.95 at rank 32, where 512 numbers become 64?


# %% tags=["nbval-ignore-output"]
@torch.no_grad()
def worst_layer(method, rank):
    """The agreement of the layer that agrees least, on held-out documents."""
    found = []
    for layer, fit, held in zip(standard_model.blocks, fitted_on, measured_on):
        latents = method(*key_and_value_weights(layer.attention), fit.flatten(0, 1), rank)
        got = converted_output(layer.attention, held, latents)
        found.append(agreement(got, standard_output(layer.attention, held)))
    return min(found, key=lambda agreed: agreed.mean)


train_ids, _ = corpus.batch(96, 64, torch.Generator().manual_seed(1))
held_ids, _ = corpus.held_out(32, 64)
fitted_on = attention_inputs(standard_model, train_ids[:, :-1])
measured_on = attention_inputs(standard_model, held_ids[:, :-1])
table = {
    name: {rank: worst_layer(method, rank) for rank in ranks} for name, method in methods.items()
}

# %% [markdown]
# Two controls belong in the table, for a cosine may be high for cheap reasons: one fixed vector for every token, and attention spread evenly over everything before.

# %% tags=["nbval-ignore-output"]
controls = {"mean output": [], "uniform attention": []}
with torch.no_grad():
    for layer, fit, held in zip(standard_model.blocks, fitted_on, measured_on):
        want = standard_output(layer.attention, held)
        fixed = mean_output(standard_output(layer.attention, fit), want)
        controls["mean output"].append(agreement(fixed, want).mean)
        controls["uniform attention"].append(
            agreement(uniform_attention(layer.attention, held), want).mean
        )
print(
    f"{'cosine, worst layer (5th percentile)':38}"
    + "".join(f"{512 / (2 * r):>13.0f}x" for r in ranks)
)
for name, row in table.items():
    print(f"{name:38}" + "".join(f"{a.mean:7.3f} ({a.fifth_percentile:.2f})" for a in row.values()))
for name, cosines in controls.items():
    print(f"{name:38}{min(cosines):7.3f}, the same at any size")

# %%
at_8x = {name: row[32].mean for name, row in table.items()}
print("joint latent above 0.95 at 8x:", at_8x["one joint latent"] > 0.95)
print("PCA of keys and values above 0.95:", at_8x["PCA of keys and values"] > 0.95)
print("SVD of the weights above 0.95:", at_8x["SVD of the weights"] > 0.95)
print("independent latents below 0.5:", at_8x["independent latents"] < 0.5)
print("both controls below 0.95:", max(min(c) for c in controls.values()) < 0.95)

# %% tags=["nbval-ignore-output"]
trained_ways = list(table.items())[1:]  # independent latents lie near 0, far below the rest
plot_cosine_over_rank(
    {name: [row[rank].mean for rank in ranks] for name, row in trained_ways},
    ranks,
    "Agreement with standard attention, worst layer",
    full_width=256,
    controls={name: min(cosines) for name, cosines in controls.items()},
)
plt.show()

# %% [markdown]
# So the criterion holds in this small model: an eighth of the directions keeps most of the squared length of its keys and values, and the cosine forgives the rest. Weights alone tell much of it, text the remainder, and a joint latent shares its numbers between keys and values, as DeepSeek's does.

# %% [markdown]
# ## D3.4 Absorbed decode · {section} minutes
#
# After 16,384 tokens one more costs 16,384 expansions by a large matrix. Move it, and the scores stay the same numbers, scale and all: q · (W c) = (Wᵀ q) · c. With W = (2, 1)ᵀ, q = (1, 3) and c = 4: (1, 3) · (8, 4) = 20, and Wᵀq = 5, times 4 is 20.
#
# $$q^C \cdot (W^{UK} c) = (W^{UK\top} q^C) \cdot c, \qquad \sum_s a_s\, W^{UV} c_s = W^{UV} \sum_s a_s\, c_s$$

# %% tags=["exercise"] exercise="D3.4"
from solutions.d3_mla import absorbed_decode

# %% tags=["check"] exercise="D3.4"
check_absorbed_decode(absorbed_decode)

# %%
for dtype, bound in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
    exact, given = mla.to(dtype), x.to(dtype)
    caches = [exact.new_cache(batch=2, capacity=12) for _ in range(2)]
    with torch.no_grad():
        for cache in caches:
            exact(given[:, :8], cache)
        steps = [
            (exact(t, caches[0]), absorbed_decode(exact, t, caches[1]))
            for t in given[:, 8:].split(1, 1)
        ]
    gap = max(float((a - b).abs().max()) for a, b in steps)
    print(f"{dtype!s:14} expanded and absorbed differ by less than {bound}: {gap < bound}")

# %% [markdown]
# Why is the rotary key apart? If the content key were turned, a turn would stand between the two matrices, another one for each distance, and no single matrix could be absorbed.

# %%
torch.manual_seed(0)
W_UK, W_UQ = torch.randn(2, 8, 5, dtype=torch.float64)  # one head of width 8, latents of 5
turns = [rotate(torch.eye(8, dtype=torch.float64)[:, None, None], s)[:, 0, 0].T for s in range(3)]
between = [W_UQ.T @ turn @ W_UK for turn in turns]  # what would be absorbed
print("one matrix for distances 1 and 2:", torch.allclose(between[1], between[2]))
print("without a turn it is W_UQᵀ W_UK:", torch.allclose(between[0], W_UQ.T @ W_UK))

# %% [markdown]
# ## Is it faster? · {section} minutes
#
# The plan says so. Expanding costs R · H · 2d multiplications for each cached token, a million with 16 heads of 128 and a latent of 256. Predict for a context of 4,096: is it faster or slower than standard attention, measured in two ways below?

# %% tags=["nbval-ignore-output"]
sizes = StepSizes(d_model=256, num_heads=16, d_head=128, d_latent=256, d_rope=64)
contexts = (1024, 2048, 4096, 8192)
taken = decode_milliseconds(MultiHeadLatentAttention, absorbed_decode, sizes, contexts)
print(f"{'milliseconds a token at':24}" + "".join(f"{context:>9,}" for context in contexts))
for way, milliseconds in taken.items():
    print(f"{way:24}" + "".join(f"{ms:9.2f}" for ms in milliseconds))
plot_times(taken, "One token more, 16 heads of 128, latent 256", contexts, "context, tokens")
plt.show()

# %%
faster_mha = min(taken[WAYS[0]][-1], taken[WAYS[1]][-1])
expanded, absorbed = taken["latents expanded"][-1], taken["latents absorbed"][-1]
print("expanding at each step is slower than standard attention:", expanded > faster_mha)
print("absorbed is at least 5 times faster than expanding:", expanded > 5 * absorbed)

# %% [markdown]
# Why? Count the bytes of the cache that one token must read, and divide by the time: how much of the machine's own copying speed is reached. Standard attention waits for memory; the absorbed one reads far less, and computes more with each byte.

# %% tags=["nbval-ignore-output"]
reads = {
    "MHA": sizes.standard_bytes(8192),
    "latents expanded": sizes.expanded_bytes(8192),
    "latents absorbed": sizes.absorbed_bytes(8192),
}
needed = {"MHA": faster_mha, "latents expanded": expanded, "latents absorbed": absorbed}
multiplied = {
    "MHA": sizes.standard_multiplications(8192),
    "latents expanded": sizes.expanded_multiplications(8192),
    "latents absorbed": sizes.absorbed_multiplications(8192),
}
title = "One token after 8,192 others"
plot_bandwidth(reads, needed, copy_bandwidth() / 1e9, title, multiplications=multiplied)
plt.show()

# %%
print(f"bytes read, MHA over absorbed: {reads['MHA'] / reads['latents absorbed']:.1f}x")

# %% tags=["nbval-ignore-output"]
print(f"time, MHA over absorbed: {faster_mha / absorbed:.1f}x")

# %% [markdown]
# `python -m benchmarks decode` measures 32 heads of 128 with a latent of 512 up to 16,384 tokens. With few heads, short contexts or a slow processor the gain over standard attention shrinks: absorbed decode trades bytes for multiplications. How many, at V3's sizes? Its keys have d + r = 192 numbers a head and its values 128.

# %%
v3 = StepSizes(d_model=7168, num_heads=128, d_head=128, d_latent=512, d_rope=64)
times = v3.absorbed_multiplications(1) / (128 * (192 + 128))
fewer = v3.standard_bytes(1) / v3.absorbed_bytes(1)
print(f"absorbed: {times:.1f} times the multiplications of V3's own heads, expanded and kept")
print(f"and {fewer:.0f} times fewer bytes than MHA with 128 heads of 128")

# %% [markdown]
# So absorbing pays where bytes are dear: one token at a time. A prompt's tokens share what is read, and multiplications are all that counts: prefill expands. D4's block does both by itself.

# %% [markdown]
# ## Explore · {section} minutes
#
# It starts at V3's sizes. Between which two numbers of key-value heads does GQA keep as little as MLA? Compute the exact one: 576 / (2 · 128).

# %% tags=["nbval-ignore-output"]
cache_explorer()

# %% [markdown]
# ## Break it · {section} minutes
#
# Choose a slip of the whole layer and read what the check says. Some of them give the right output for a whole text and go wrong only in decode, one token at a time.

# %%
print(", ".join(list(known_mistakes("D3.3e"))[:14]), "…")
bug = "RestartsAtZero"  # or one of these names
print(check_mla.failure(known_mistakes("D3.3e")[bug]))

# %% [markdown]
# ## Investigation 1: how much width do keys need · {section} minutes
#
# Rows (3, 0) and (0, 1) have squared lengths 9 and 1: the best direction keeps 0.9 of it, two keep all. Write the share kept by the best 1, 2, 3, … directions.

# %% tags=["exercise"] exercise="D3.I1"
from solutions.d3_mla import energy_kept

# %% tags=["check"] exercise="D3.I1"
check_energy_kept(energy_kept)

# %% [markdown]
# Predict from the cosines above: how many of 256 directions keep 99% of the keys of layer 1, and what is the loss after you convert the whole model at rank 4, 8, 16 and 32, before and after a short fine-tune?

# %% tags=["nbval-ignore-output"]
K, V = key_and_value_weights(standard_model.blocks[0].attention)
with torch.no_grad():
    kept = {
        name: energy_kept(fitted_on[0].flatten(0, 1) @ W.T)
        for name, W in (("keys", K), ("values", V))
    }
for name, shares in kept.items():
    needed = int((shares < 0.99).sum()) + 1
    print(
        f"{name} of layer 1: 99% in {needed} of {len(shares)} directions, 32 keep {float(shares[31]):.1%}"
    )


# %% tags=["nbval-ignore-output"]
def converted(rank):
    """The standard model with one joint latent of 2 · rank in each layer."""
    with torch.no_grad():
        latents = [
            latents_from_mha(
                *key_and_value_weights(block.attention), fit.flatten(0, 1), rank, joint=True
            )
            for block, fit in zip(standard_model.blocks, fitted_on)
        ]
    return converted_model(standard_model, latents)


losses = {}
for rank in (None, 4, 8, 16, 32):  # None: the standard model itself, trained on as well
    small = copy.deepcopy(standard_model) if rank is None else converted(rank)
    before = held_out_loss(small, corpus)
    train_lm(small, corpus, 20, rows=8, length=64, lr=3e-4, seed=2)
    losses[rank] = before, held_out_loss(small, corpus)
    name = "not converted" if rank is None else f"rank {rank}, {256 // rank}x"
    print(f"{name:14}: {before:.3f}, after 20 steps {losses[rank][1]:.3f}")

# %%
print("fewer numbers, more loss:", losses[4][0] > losses[8][0] > losses[16][0])
gained = {rank: before - after for rank, (before, after) in losses.items()}
print("the fine-tune helps most where most was lost:", max(gained, key=gained.get) == 4)

# %% [markdown]
# ## What you built
#
# The plan's two latents, a cache, DeepSeek's attention in four pieces and one, latents for a trained model, and the decode that never expands them. D4 stacks your layer with your DeepSeekMoE.

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# ## What surprised us
#
# - Expanding latents at each step is many times slower than keeping the keys.
# - The rotary key is not in the latent, and not per head.
# - Weights alone tell many of the directions that matter; only text tells the best ones.
# - "5 to 10 times smaller" is right for V2-Lite's 16 heads; with V3's 128 it is 57.

# %% [markdown]
# ## Read next
#
# - DeepSeek-V2 (arXiv 2405.04434): section 2.1, appendix D.
# - Fast Transformer Decoding (arXiv 1911.02150): multi-query attention.
# - GQA (arXiv 2305.13245): groups between the two.
# - `MLA.forward` in DeepSeek-V3's `inference/model.py`: "absorb" is your decode; "naive" caches the expanded keys and values of every head, as your layer never does.
