# %% [markdown]
# # D3 · Multi-head Latent Attention
#
# You write the attention that lets DeepSeek-V3 keep 576 numbers per token and layer, where standard attention with its 128 heads keeps 32,768. At the end you can say what the smaller cache costs in quality, when it saves time and when it wastes it, and you have measured all three.
#
# In the picture MHA keeps a key and a value for every head, GQA a pair per group of heads, MQA one pair. MLA, yours, keeps a latent: a short vector from which all are made.

# %% tags=["setup"] jupyter={"source_hidden": true}
import helpers  # before torch: its threads then sleep while they wait

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float
from torch import Tensor, nn

import solutions.d3_mla as reference
import solutions.d3_open as open_reference
from checks import predict, progress, truth
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
    check_small_cache,
    check_yarn_frequencies,
)
from checks.learner.open_tasks.d3_mla import cache_measure
from checks.learner.resume import resume
from helpers.diagrams.absorption import expand_or_absorb
from helpers.diagrams.cache_filling import cache_filling, cache_filling_explorer
from helpers.diagrams.kept_numbers import kept_by
from helpers.diagrams.two_part_key import two_part_key
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
from helpers.plots.latent_plots import plot_loss_over_cache
from helpers.plots.spread_plots import plot_spread
from helpers.measuring.pooled_heads import PooledHeads
from helpers.measuring.decode_steps import WAYS, StepSizes, copy_bandwidth, decode_milliseconds
from helpers.measuring.stored_studies import stored_rows
from helpers.checkpoints.hf_attention import attention_sizes, attention_weights
from helpers.model.kv_cache import cache_bytes, cache_rows, cached_numbers, ways_to_cache
from helpers.model.llama import Decoder, RMSNorm, SwiGLU, rotate
from helpers.model.published import LLAMA_2_70B, V3
from helpers.training_loops.language_model import Training, held_out_loss, train_lm

torch.manual_seed(0)
torch.set_num_threads(1)  # the same numbers whatever else runs, and hardly slower at this size

# %%
kept_by(num_heads=128, d_head=128, kv_heads=8, d_latent=512, d_rope=64)

# %% [markdown]
# About {lesson}. You should know attention; RoPE is reviewed, and nothing of D1 or D2 is used.
#
# {map}

# %% [markdown]
# ## How this notebook works
#
# As before: write where a cell raises `NotImplementedError`, run the check below it, ask `.hint()` when stuck. The folded cell above is the set-up.
#
# Letters: B batch, L new positions, S positions seen so far, D = `d_model`, H heads, R = `d_latent`, d = `d_head`, r = `d_rope`, v = `d_value`; from D3.3f on also N tokens, one in each row, and W = H · d, the width of all heads' keys together. Layers count from 1, heads from 0. In docstrings V2p is arXiv 2405.04434, V3p arXiv 2412.19437.

# %% [markdown]
# After a restart of the kernel run the set-up and the next cell: it brings back every part that you have passed and saved, so that you can go on at any section.

# %%
resume("d3_mla", globals())

# %% [markdown]
# ## D3.1 Latent projections · {section} minutes
#
# To write token 5 a model compares the query of token 4 with the keys of tokens 1 to 4 and mixes their values. For token 6 only a query, a key and a value of token 5 are new, so the earlier keys and values are kept rather than made again. The keys and values of 2 heads of width 3 are 2 · 2 · 3 = 12 numbers per token in each layer, and they stay until the text ends.

# %% [markdown]
# The idea of a latent: squeeze, keep, expand. Keys of 4 heads × 8 = 32 numbers become a latent of 8, and so do the values: 16 numbers are kept in place of 64, a quarter. It can work because many directions of the keys hardly vary on real text (Investigation 1, near the end, measures it).

# %% [markdown]
# The course's study plan (see README) asks for one latent for keys and one for values; you write this first. DeepSeek has one for both, which follows in D3.3b.
#
# $$k^{\mathrm{lat}} = W^{DK} x, \quad K = W^{UK} k^{\mathrm{lat}}, \quad v^{\mathrm{lat}} = W^{DV} x, \quad V = W^{UV} v^{\mathrm{lat}}$$

# %% tags=["exercise"] exercise="D3.1"
from solutions.d3_mla import LatentProjections

# %% tags=["check"] exercise="D3.1"
check_latent_projections(LatentProjections)

# %% [markdown]
# Take 32 heads of 128 and two latents of 512: what is kept of three tokens, and what attention needs of them.

# %%
at_plan_sizes = LatentProjections(d_model=4096, d_latent=512, num_heads=32, d_head=128)
with torch.no_grad():
    kept_latents = at_plan_sizes.down(torch.randn(1, 3, 4096))
    expanded_again = at_plan_sizes.up(*kept_latents)
print("kept:", [tuple(part.shape) for part in kept_latents])
print("needed:", [tuple(part.shape) for part in expanded_again])
numbers_needed, numbers_kept = (
    sum(part.numel() for part in parts) for parts in (expanded_again, kept_latents)
)
print(f"compression: {numbers_needed / numbers_kept:.1f}x")

# %% [markdown]
# ## The bill of a conversation · {section} minutes
#
# With 64 key-value heads of 128 in 80 layers, LLaMA-70B would keep 10.7 GB for 4,096 tokens, the first row of the table below. As deployed, it shares each key and value among 8 query heads (GQA), an eighth of the bill. A ratio needs its baseline named.

# %%
as_planned = cache_bytes(2 * 64 * 128, layers=80, context=4096)
deployed = cache_bytes(cached_numbers(LLAMA_2_70B.attention), layers=80, context=4096)
print(f"64 key-value heads: {as_planned / 1e9:.2f} GB = {as_planned / 2**30:.2f} GiB")
print(f"8 key-value heads, as deployed: {deployed / 1e9:.2f} GB\n")
print(f"{'at 4,096 tokens, 2 bytes per number':36}{'per token':>10}{'cache':>10}{'ratio':>8}")
for cached in cache_rows(4096):
    print(
        f"{cached.name:36}{cached.numbers:10,}{cached.bytes_cached / 1e9:8.2f}GB{cached.ratio:7.2f}x"
    )
print("\nper token: numbers, in each layer; ratio: MHA with the same heads over this cache")

# %% [markdown]
# Attention went from a key and a value for every head (MHA) to one for all (MQA), to one for a group (GQA), to a latent (MLA).

# %% [markdown]
# Take 32 heads of 128, 8 key-value heads in GQA, and a latent of 512 with 64 more in MLA. Which of the four keeps least?

# %%
predict("D3.p1", guess=None)

# %%
ways = ways_to_cache(heads=32, d_head=128, kv_heads=8, d_latent=512, d_rope=64)
for name, numbers in ways.items():
    print(f"{name:26}{numbers:7,} numbers per token{ways['MHA'] / numbers:7.1f}x")
least = min(ways, key=ways.get)
truth("D3.p1", f"{least}, {ways[least]} numbers; MLA keeps {ways['MLA']}")

# %% [markdown]
# So bytes alone do not decide. MQA keeps least and pays in quality: in DeepSeek's 7B ablation it scored 37.9 on MMLU, GQA with 8 groups 41.2 and MHA 45.2 (V2p, table 8). In another ablation, of models with experts, MLA kept a seventh of MHA's numbers and scored 50.0 to MHA's 48.7, but on C-Eval 50.9 to 51.6 (table 9). You will measure a small version yourself, after D3.3f.

# %%
growth = {cached.name: cached.bytes_cached // 4096 for cached in cache_rows(4096)}
plot_cache_growth(growth, [1024, 4096, 16384, 65536, 131072], "What one conversation keeps")
plt.show()

# %% [markdown]
# Above the dashed line one conversation is too large for the card.

# %% [markdown]
# The cache costs time as well as room. While it writes, a model reads its whole cache for every token, so fewer bytes also mean less waiting.

# %% [markdown]
# In training and while it reads a prompt, many tokens share what is read; there arithmetic is the limit and the cache is not.

# %% [markdown]
# ## D3.2 The latent cache · {section} minutes
#
# Decoding fills a cache one position at a time: at each step one column is written and all so far are read.

# %% [markdown]
# Below, a cache with room for six tokens is at its fourth. It has two parts, here a latent of 8 and a small key of 2, whose use you meet in D3.3c.

# %%
torch.manual_seed(0)
cache_filling(
    torch.randn(6, 8),
    torch.randn(6, 2),
    position=3,
    words=["Mila", "found", "a", "red", "drum", "."],
)

# %% [markdown]
# The buffers are made once, because appending by `torch.cat` copies the whole cache at every step: 1 + 2 + 3 + 4 = 10 rows for 4 tokens, some 8 million for 4,096. With room for 5 positions and 2 used, an append of 3 fills the cache; one of 4 must be refused and change nothing, or a wrong call would leave half a step behind.

# %% tags=["exercise"] exercise="D3.2"
from solutions.d3_mla import LatentCache

# %% tags=["check"] exercise="D3.2"
check_latent_cache(LatentCache)

# %% [markdown]
# Two latents of 512 should make the cache 8 times smaller. Count the bytes of the buffers: a prompt of 60 tokens, then four single ones, through two latents of 512. The control is a cache of the same class that holds the keys and values themselves.

# %%
projections = LatentProjections(d_model=4096, d_latent=512, num_heads=32, d_head=128)
latent_cache, standard_cache = LatentCache(1, 64, 512, 512), LatentCache(1, 64, 4096, 4096)
with torch.no_grad():
    for piece in torch.randn(1, 64, 4096).split([60, 1, 1, 1, 1], dim=1):
        latents = projections.down(piece)
        latent_cache.append(*latents)
        standard_cache.append(*(part.flatten(-2) for part in projections.up(*latents)))
print(f"{len(latent_cache)} positions: {latent_cache.nbytes:,} bytes of latents")
print(f"{len(standard_cache)} positions: {standard_cache.nbytes:,} bytes of keys and values")
print(f"{standard_cache.nbytes / latent_cache.nbytes:.0f} times smaller")
try:
    latent_cache.append(*latents)
except ValueError as error:
    print("one more is refused:", error)

# %% [markdown]
# ## RoPE, refreshed · {section} minutes
#
# A score must know how far apart two tokens are. Rotary embeddings turn each pair of neighbouring numbers by position × angle: the pair (1, 0) at position 1 with angle 1 turns by 1 radian and becomes (0.54, 0.84). `rotate(x, start, theta, angles)` takes (…, L, H, d) and turns pair i of width d by theta^(−2i/d) per position, or by `angles`, one per pair in radians, where they are given. YaRN, in Investigation 2, gives some, and a `scale` for all scores.

# %%
pair = torch.tensor([1.0, 0.0]).expand(1, 4, 1, 2)  # one sequence, four positions, one head
turned = rotate(pair)[0, :, 0]
for position, (a, b) in enumerate(turned.tolist()):
    print(f"position {position}: ({a:+.2f}, {b:+.2f}) = (cos {position}, sin {position})")

# %% [markdown]
# Turning both by the same angle leaves their product as it is, so a score sees only the difference of two positions: a query at 7 and a key at 4 score like 103 and 100. The control moves one of the two.

# %%
torch.manual_seed(0)
q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64)
scores = {
    (i, j): float((rotate(q, start=i) * rotate(k, start=j)).sum())
    for i, j in ((7, 4), (103, 100), (7, 5))
}
for (i, j), score in scores.items():
    print(f"query at {i:3}, key at {j:3}: {score:.6f}")

# %% [markdown]
# ## DeepSeek's attention, piece by piece
#
# Latents and RoPE do not go together well. The fast decode of D3.4 never expands a latent into keys: the query *absorbs* W_UK, the matrix that would expand it. A turn by position between query and matrix would forbid that. So DeepSeek leaves the content unturned and adds a small turned part beside it: every key has two parts, and so has every query.

# %% [markdown]
# Numbers small enough to check by hand: two heads, two content numbers each, two rotary ones. Head 0 scores 2 for content and 1 for position, 3 in all, and 3 / √4 = 1.5; head 1 gets 5 / √4 = 2.5. The rotary key (1, 2) is one for both heads; their queries differ.

# %%
two_part_key(
    q_content=torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
    q_rotary=torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
    k_content=torch.tensor([[2.0, 1.0], [1.0, 3.0]]),
    k_rotary=torch.tensor([1.0, 2.0]),
)

# %% [markdown]
# So DeepSeek's attention differs from the two latents of D3.1 in three ways: one latent for keys and values together, an RMSNorm on it, and the rotary part. The large models also squeeze the query. You write its pieces.

# %% [markdown]
# ## D3.3a The query path · {section} minutes
#
# Each head asks with d content numbers and r rotary ones: with d = 3 and r = 2, two heads make 10 numbers, 3 + 2 each. Only the last 2 of each head are rotated.

# %% [markdown]
# V3 and V2 first squeeze the query into a normed latent of 1,536. Queries are never cached, so this saves nothing there. It saves weights (7,168 · 1,536 + 1,536 · 24,576, 49 million, in place of 7,168 · 24,576, 176 million) and activations in training, for which the paper does it. V2-Lite does without: `q_latent` is None (V2p, section 2.1.2 and appendix B).

# %% tags=["exercise"] exercise="D3.3a"
from solutions.d3_mla import QueryPath

# %% tags=["check"] exercise="D3.3a"
check_query_path(QueryPath)

# %% [markdown]
# ## D3.3b One latent for keys and values · {section} minutes
#
# Keys and values come from the same x, so one latent can serve both: it spends its numbers where either needs them.

# %% [markdown]
# Two heads with a key of 3 and a value of 2 make 2 · (3 + 2) = 10 numbers out of a latent of, say, 4; V3 makes 32,768 out of 512.

# %% [markdown]
# What is cached is the latent after its norm, since the norm would otherwise be computed again for every cached token at every step. Each head's rows of `kv_up` are its key, then its value.

# %% tags=["exercise"] exercise="D3.3b"
from solutions.d3_mla import JointLatent

# %% tags=["check"] exercise="D3.3b"
check_joint_latent(JointLatent)

# %% [markdown]
# ## D3.3c The shared rotary key · {section} minutes
#
# Position reaches attention through one small key per token, the same for all heads. One per head would cost 128 · 64 = 8,192 numbers per token at V3's sizes, sixteen latents of 512; one for all costs 64, and a token keeps 512 + 64 = 576.

# %% [markdown]
# The rotary key is made from x itself, not from the latent. V2's paper gives no reason. It is cached after its turn, so no matrix has to be absorbed for it, and one made from the latent would work, too.

# %% tags=["exercise"] exercise="D3.3c"
from solutions.d3_mla import RotaryKey

# %% tags=["check"] exercise="D3.3c"
check_rotary_key(RotaryKey)

# %% [markdown]
# ## Investigation 2: longer contexts with YaRN · {section} minutes
#
# It stands here because it is about the rotary pairs. Nothing else in this lesson needs it: you can go on at D3.3d and come back at the end.

# %% [markdown]
# V3 was trained on 4,096 positions; then its slow angles were divided by 40 and it was trained further at 32K and 128K (V3p, section 4.3). A pair that turns 100 times within 4,096 positions has shown every angle, and keeps its own. A pair that makes half a turn would meet new angles in a longer text; it gets a fortieth of its angle, and stays within its half turn.

# %% tags=["exercise"] exercise="D3.I2"
from solutions.d3_mla import yarn_frequencies

# %% tags=["check"] exercise="D3.I2"
check_yarn_frequencies(yarn_frequencies)

# %% [markdown]
# Between the two ends lies a ramp. DeepSeek's code lets it rise evenly from pair to pair; the paper of YaRN (arXiv 2309.00071, eqs. 11 and 13) lets it rise evenly in turns, from 1 turn to 32. Yours follows the code. The last column is the paper's.

# %%
plain, stretched = (yarn_frequencies(64, factor) for factor in (1.0, 40.0))
turns = 4096 * plain / (2 * math.pi)
kept_by_paper = ((turns - 1) / (32 - 1)).clamp(0, 1)
paper = plain * kept_by_paper + plain / 40 * (1 - kept_by_paper)
print(f"{'pair':>5}{'turns in 4,096':>16}{'angle divided by':>18}{'in the paper':>14}")
for i in (0, 8, 12, 16, 20, 24, 31):
    divided, by_paper = float(plain[i] / stretched[i]), float(plain[i] / paper[i])
    print(f"{i:5}{float(turns[i]):16.2f}{divided:18.1f}{by_paper:14.1f}")

# %% [markdown]
# What it is for: count the pairs that meet an angle at position 163,840, the limit in V3's `config.json`, that 4,096 positions never showed. The control is the angles as they were.
#
# YaRN also multiplies all scores, by (0.1 · ln 40 + 1)² = 1.87: over forty times as many positions the softmax would otherwise spread too thin.

# %%
whole_turn = 2 * math.pi
trained_on = (4096 * plain).clamp(max=whole_turn)
for name, angles in (("as they were", plain), ("with YaRN", stretched)):
    met = (163_840 * angles).clamp(max=whole_turn)
    unseen = int((met > 1.0001 * trained_on).sum())
    print(f"{name}: {unseen} of 32 pairs meet angles that training at 4,096 never showed")
sharper = (0.1 * math.log(40) + 1) ** 2  # and 192 is V3's d + r, 128 + 64
print(
    f"softmax scale {192**-0.5:.4f} becomes {192**-0.5 * sharper:.4f}, {sharper:.2f} times as large"
)

# %% [markdown]
# The stretch costs no room: the cache keeps R + r numbers per token as before. How large is the cache of V3's 61 layers at these 163,840 tokens, at 2 bytes per number, in GB? (DeepSeek states 128K, 131,072, as its context.)

# %%
predict("D3.p2", guess=None)

# %%
per_token = cached_numbers(V3.attention)
v3_caches = {n: cache_bytes(per_token, V3.layers, n) / 1e9 for n in (4096, 163_840)}
for context, gigabytes in v3_caches.items():
    print(f"{context:7,} tokens: {gigabytes:.2f} GB, {per_token} numbers per token and layer")
truth("D3.p2", f"{v3_caches[163_840]:.1f} GB, forty times that of 4,096")

# %% [markdown]
# ## D3.3d Attend · {section} minutes
#
# The same picture from your own pieces: one token asks, one answers. A content score of 1.5 and a rotary one of 0.5, with d = 14 and r = 2, give 2 / √16 = 0.5. The root is that of both widths, because both products are added before the softmax.

# %%
torch.manual_seed(0)
one_token = torch.randn(1, 1, 24)
with torch.no_grad():
    q_parts = QueryPath(d_model=24, num_heads=3, d_head=4, d_rope=2)(one_token)
    joint = JointLatent(d_model=24, num_heads=3, d_head=4, d_value=4, d_latent=6)
    key_content, _ = joint.up(joint.down(one_token))
    key_rotary = RotaryKey(d_model=24, d_rope=2)(one_token)
two_part_key(*(part[0, 0] for part in (*q_parts, key_content, key_rotary)))

# %% [markdown]
# The queries are those of the last L of S positions, since the others were asked in earlier steps. With S = 5 and L = 2 the first query sees four positions, the second all five.
#
# $$o_{t,h} = \sum_{s \le t} \mathrm{softmax}_s\Big(\frac{q^C_{t,h} \cdot k^C_{s,h} + q^R_{t,h} \cdot k^R_s}{\sqrt{d + r}}\Big)\, v_{s,h}$$

# %% tags=["exercise"] exercise="D3.3d"
from solutions.d3_mla import attend

# %% tags=["check"] exercise="D3.3d"
check_attend(attend)

# %% [markdown]
# ## D3.3e The whole layer · {section} minutes
#
# Glue: with 5 positions in the cache the next x starts at position 5, without a cache at 0. The latent and the rotary key go through the cache, in this order, and come back with all positions before them; keys and values are expanded from what comes back.

# %% tags=["exercise"] exercise="D3.3e"
from solutions.d3_mla import MultiHeadLatentAttention

# %% tags=["check"] exercise="D3.3e"
check_mla(MultiHeadLatentAttention)

# %% [markdown]
# Prefill and decode are the same function of the text: all at once, one by one, or in chunks. Your layer reads twelve tokens each way; the control begins every chunk with an empty cache.

# %%
torch.manual_seed(0)
mla = MultiHeadLatentAttention(d_model=64, num_heads=4, d_head=16, d_latent=24, d_rope=8)
twelve = torch.randn(2, 12, 64)
with torch.no_grad():
    whole = mla(twelve)
    for sizes in ([12], [1] * 12, [5, 4, 1, 2]):
        cache = mla.new_cache(batch=2, capacity=12)
        parts = torch.cat([mla(part, cache) for part in twelve.split(sizes, dim=1)], dim=1)
        print(f"{sizes!s:40} the same: {torch.allclose(parts, whole, atol=1e-5)}")
    forgetful = torch.cat([mla(part) for part in twelve.split([5, 4, 1, 2], dim=1)], dim=1)
print(
    f"{'[5, 4, 1, 2], each without the others':40} the same: {torch.allclose(forgetful, whole, atol=1e-5)}"
)
print("numbers per token:", cache.nbytes // (2 * 12 * 4), "= 24 + 8")

# %% [markdown]
# What lies in that cache, position by position: move the slider and watch what a step writes and what it reads.

# %%
words_of_twelve = [
    "Mila",
    "found",
    "a",
    "red",
    "drum",
    ".",
    "She",
    "gave",
    "the",
    "drum",
    "to",
    "Otto",
]
cache_filling_explorer(cache.buffers[0][0], cache.buffers[1][0], words_of_twelve)

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
    positions = hf.DeepseekV3RotaryEmbedding(config)(twelve, torch.arange(12)[None])
    mask = torch.full((12, 12), -torch.inf).triu(1)[None, None]
    judged = theirs(twelve, positions, mask)[0]
    mine = MultiHeadLatentAttention.from_hf(theirs)
    said = mine(twelve)
    mine.latent.kv_norm.weight.fill_(1.0)  # the control: the weights of one norm forgotten
    without_norm = mine(twelve)

# %%
bound = 1e-5 * max(1.0, float(judged.abs().max()))
print("transformers says the same within 1e-5:", float((said - judged).abs().max()) <= bound)
without = float((without_norm - judged).abs().max())
print("and with the weights of the latent's norm forgotten:", without <= bound)

# %% [markdown]
# ## D3.3f From keys to latents · {section} minutes
#
# DeepSeek trains its attention from the start; others convert trained models (TransMLA, arXiv 2502.07864). One can ask of such a conversion that the cosine between old and new outputs stays above 0.95.

# %% [markdown]
# So train a standard model, replace its keys and values by latents, and see how far the outputs turn.

# %% [markdown]
# Keys (3, 0), (4, 0), (0, 1) lie mostly along one direction: the first axis keeps 25 of their 26 units of squared length. So one number per key, in place of two, loses a 26th. Keep the directions that hold most of the keys on real text.

# %% [markdown]
# With K the keys of N tokens, one in each row, `torch.linalg.eigh(K.T @ K)` gives these directions as columns, smallest first: take the last. Let them be the columns of U: then k ≈ U Uᵀ k, and k = W_K x, so the down-projection, which reads x, is Uᵀ W_K, and the up-projection is U. Keys are taken before RoPE, which turns them after they are expanded.

# %% [markdown]
# One latent of 2R for keys and values together, `joint`, costs the same bytes as two of R, and may spend them where they are needed. Put each token's key and value side by side in one row of 2W numbers, and do the same.

# %% tags=["exercise"] exercise="D3.3f"
from solutions.d3_mla import latents_from_mha

# %% tags=["check"] exercise="D3.3f"
check_latents_from_mha(latents_from_mha)

# %% [markdown]
# A trained model to convert: four layers of eight heads on prose, code and stories. The training is cut in two cells: the first begins anew, the second goes on where it stopped.

# %% tags=["nbval-ignore-output"]
corpus = Corpus.build()
torch.manual_seed(0)
standard_model = Decoder(corpus.vocab_size, 256, 4, 8, lambda: SwiGLU(256, 512))
training = Training(standard_model, corpus, steps=150)
training.run(75)

# %% tags=["nbval-ignore-output"]
training.run(75)
print(f"held-out loss {held_out_loss(standard_model, corpus):.2f} nats per token")

# %% [markdown]
# What its heads look at, on a story it has not seen: each row is a token, each column what it attends to. This is what a conversion must keep.

# %% tags=["nbval-ignore-output"]
story = corpus.held_out(1, 16)[0][-1, :16]
maps = attention_maps(
    standard_model.blocks[1].attention, attention_inputs(standard_model, story[None])[1]
)
plot_attention_maps(maps[0], corpus.pieces(story), "Layer 2, heads 0 to 7")
plt.show()

# %% [markdown]
# Four methods at ranks 16, 32, 51 and 64, which are 16x, 8x, 5x and 4x less cache; rank 32 is two latents of 32 or a joint one of 64. Independent latents know nothing of the model. The SVD of the weights is your function with the identity as activations: its "keys" are then the weights themselves. Then comes yours on real text, which statisticians call PCA, apart and joint.

# %%
methods = {
    "independent latents": lambda K, V, x, R: LatentProjections(K.shape[1], R, 1, len(K)),
    "SVD of the weights": lambda K, V, x, R: latents_from_mha(K, V, torch.eye(K.shape[1]), R),
    "PCA of keys and values": lambda K, V, x, R: latents_from_mha(K, V, x, R),
    "one joint latent": lambda K, V, x, R: latents_from_mha(K, V, x, R, joint=True),
}
ranks = (16, 32, 51, 64)

# %% [markdown]
# Latents are fitted on text that the model was trained on, and measured on documents it never saw, in the layer that agrees least.

# %% [markdown]
# Which of the four stay above 0.95 at rank 32, where 512 numbers become 64?

# %%
predict("D3.p3", guess=None)


# %% tags=["nbval-ignore-output"]
@torch.no_grad()
def worst_layer(method, rank):
    """The agreement of the layer that agrees least, on held-out documents."""
    found = []
    for layer, fit, held in zip(standard_model.blocks, fitted_on, measured_on):
        fitted = method(*key_and_value_weights(layer.attention), fit.flatten(0, 1), rank)
        got = converted_output(layer.attention, held, fitted)
        found.append(agreement(got, standard_output(layer.attention, held)))
    return min(found, key=lambda agreed: agreed.mean)


train_ids, _ = corpus.batch(96, 64, torch.Generator().manual_seed(1))
held_ids, _ = corpus.held_out(32, 64)
fitted_on = attention_inputs(standard_model, train_ids[:, :-1])
measured_on = attention_inputs(standard_model, held_ids[:, :-1])
cosines = {
    name: {rank: worst_layer(method, rank).mean for rank in ranks}
    for name, method in methods.items()
}

# %% [markdown]
# A cosine may be high for cheap reasons, so two controls belong in the picture: one fixed vector for every token, and attention spread evenly over everything before. Independent latents are left out of it: near 0, they would lie far below the rest.

# %% tags=["nbval-ignore-output"]
controls = {"mean output": [], "uniform attention": []}
with torch.no_grad():
    for layer, fit, held in zip(standard_model.blocks, fitted_on, measured_on):
        want = standard_output(layer.attention, held)
        fixed = mean_output(standard_output(layer.attention, fit), want)
        even = uniform_attention(layer.attention, held)
        controls["mean output"].append(agreement(fixed, want).mean)
        controls["uniform attention"].append(agreement(even, want).mean)
by_chance = {name: min(found) for name, found in controls.items()}
plot_cosine_over_rank(
    {name: list(row.values()) for name, row in cosines.items() if name != "independent latents"},
    ranks,
    "Agreement with standard attention, worst layer",
    full_width=256,
    controls=by_chance,
)
plt.show()

# %%
above = [name for name, row in cosines.items() if row[32] > 0.95]
truth("D3.p3", ", ".join(above))
print("a control stays above 0.95, too:", max(by_chance.values()) > 0.95)
print(
    "independent latents, for comparison, stay below 0.5:", cosines["independent latents"][32] < 0.5
)

# %% [markdown]
# One seed may be luck. Five are stored, each a model of its own; yours repeats the first. All are converted at the same eighth of the cache.

# %% tags=["nbval-ignore-output"]
stored_names = {
    "joint": "one joint latent",
    "PCA": "PCA of keys and values",
    "weights' SVD": "SVD of the weights",
    "uniform attention": "uniform attention",
}
plot_spread(
    {
        name: [min(row[key]) for row in stored_rows("d3_seeds")]
        for key, name in stored_names.items()
    },
    "An eighth of the cache, worst layer of four",
    "cosine to standard attention",
    live={name: cosines[name][32] for name in stored_names.values() if name in cosines},
)
plt.show()

# %%
worst_of_five = {
    name: sorted(min(row[key]) for row in stored_rows("d3_seeds"))
    for key, name in stored_names.items()
}
print("over five seeds, from the worst to the best:")
for name, found in worst_of_five.items():
    print(f"{name:24}{found[0]:.3f} to {found[-1]:.3f}")

# %% [markdown]
# So the criterion holds in this small model: an eighth of the directions keeps most of the squared length of its keys and values, and the cosine forgives the rest. Weights alone tell much of it, text the remainder, and a joint latent shares its numbers between keys and values, as DeepSeek's does.

# %% [markdown]
# What this conversion does not give is fast decode. RoPE turns its keys after they are expanded, all their numbers, so at every step they must be expanded again; D3.4 shows why. To move what the heads know of position into a small part of its own is the hard part of converting a trained model.

# %% [markdown]
# ## What a smaller cache costs · {section} minutes
#
# A cosine is not a loss. Now the whole model that you trained is converted, all four layers, and asked for its held-out loss.

# %% [markdown]
# The other way to a smaller cache is the latents' rival here: heads that share a key and a value, made as the GQA paper makes them, by the mean of those they replace (arXiv 2305.13245, section 2.1). The mean of 2 and 4 is 3, whatever each head needed.

# %% [markdown]
# One head of 32 for all eight keeps 64 numbers per token and layer, and so does a joint latent of 64, rank 32 above. Both get the same 20 steps of fine-tuning. Which loses less against the 512 numbers of eight heads?

# %%
predict("D3.p4", guess=None)


# %%
def converted_by(model, inputs, make):
    """A copy of the model whose keys and values are made by `make` in each layer."""
    with torch.no_grad():
        per_layer = [
            make(*key_and_value_weights(block.attention), x.flatten(0, 1))
            for block, x in zip(model.blocks, inputs)
        ]
    return converted_model(model, per_layer)


# %% [markdown]
# This uses the model of D3.3f, which repeats the first stored seed: run its two training cells and the cell of its cosines first.

# %% tags=["nbval-ignore-output"]
smaller = {
    "1 head": lambda K, V, x: PooledHeads(K, V, num_heads=8, groups=1),
    "latent 64": lambda K, V, x: latents_from_mha(K, V, x, 32, joint=True),
}
ran_here = {}
for name, make in smaller.items():
    tuned = converted_by(standard_model, fitted_on, make)
    before = held_out_loss(tuned, corpus, 16)
    train_lm(tuned, corpus, 20, rows=8, length=64, lr=3e-4, seed=0)
    ran_here[name] = held_out_loss(tuned, corpus, 16)
    print(f"{name:10}: {before:.3f} as converted, {ran_here[name]:.3f} after 20 steps")

# %% [markdown]
# The stored seeds have all sizes, and a control: latents of 64 that know nothing of the model, with the same fine-tune.

# %% tags=["nbval-ignore-output"]
stored = stored_rows("d3_latents")
tuned_loss = {name: [row[name]["tuned"] for row in stored] for name in stored[0] if name != "seed"}
plot_loss_over_cache(
    {
        "heads that share": {
            f"{n} head{'s' * (n > 1)}": (2 * 2 * n * 32, tuned_loss[f"{n} heads"])
            for n in (1, 2, 4, 8)
        },
        "one joint latent": {
            f"latent {width}": (2 * width, tuned_loss[f"latent {width}"])
            for width in (16, 32, 64, 128)
        },
    },
    "What a smaller cache costs, after 20 steps",
    live={
        "heads that share": (128, [ran_here["1 head"]]),
        "one joint latent": (128, [ran_here["latent 64"]]),
    },
)
plt.show()

# %%
kept_by_way = {"independent latents": 64}
kept_by_way |= {f"{n} heads": 2 * n * 32 for n in (8, 4, 2, 1)}
kept_by_way |= {f"latent {width}": width for width in (16, 32, 64, 128)}
print(
    f"{'three stored seeds':22}{'numbers':>8}{'converted':>11}{'tuned':>8}{'lowest':>8}{'highest':>9}"
)
for name, losses in tuned_loss.items():
    as_made = sum(row[name]["converted"] for row in stored) / len(stored)
    print(
        f"{name.replace('1 heads', '1 head'):22}{kept_by_way[name]:8}{as_made:11.3f}{sum(losses) / len(losses):8.3f}"
        f"{min(losses):8.3f}{max(losses):9.3f}"
    )
more = {
    name: [loss - full for loss, full in zip(tuned_loss[name], tuned_loss["8 heads"])]
    for name in ("1 heads", "latent 64", "independent latents")
}
truth(
    "D3.p4",
    "one head loses "
    + ", ".join(f"{gap:.3f}" for gap in more["1 heads"])
    + ", a latent of 64 "
    + ", ".join(f"{gap:.3f}" for gap in more["latent 64"]),
)

# %% [markdown]
# At the same 64 numbers the merged head loses some 0.5 nats and the latent 0.02 at most. Merging always throws away the same directions, the differences between heads. The latent keeps those that vary on real text, whichever head they belong to, so even 16 numbers, a 32nd, lose less than 0.1. Latents of 64 that know nothing lose more than a nat, so the fine-tuning alone does not explain it.

# %% [markdown]
# This says what a trained attention can spare. A model that is trained with one shared head from the start learns to live with it, and the gap is smaller: that is what DeepSeek's ablations measure.

# %% [markdown]
# ## D3.4 Absorbed decode · {section} minutes
#
# After 16,384 tokens one more costs 16,384 expansions by a large matrix. Let the query absorb the matrix, and it is used once: q · (W c) = (Wᵀ q) · c. With W = (2, 1)ᵀ, q = (1, 3) and c = 4: (1, 3) · (8, 4) = 20, and Wᵀq = 5, times 4 is 20.

# %%
expand_or_absorb(num_heads=128, d_head=128, d_latent=512, positions=16_384)

# %% [markdown]
# The scores do not change, nor do their scale and softmax. The same works behind them: mix the latents first, then expand one mixture per head.
#
# $$q^C \cdot (W^{UK} c) = (W^{UK\top} q^C) \cdot c, \qquad \sum_s a_s\, W^{UV} c_s = W^{UV} \sum_s a_s\, c_s$$

# %% tags=["exercise"] exercise="D3.4"
from solutions.d3_mla import absorbed_decode

# %% tags=["check"] exercise="D3.4"
check_absorbed_decode(absorbed_decode)

# %%
torch.manual_seed(0)
layer_of_four = MultiHeadLatentAttention(d_model=64, num_heads=4, d_head=16, d_latent=24, d_rope=8)
text = torch.randn(2, 12, 64)
for dtype, bound in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
    exact, given = layer_of_four.to(dtype), text.to(dtype)
    two_caches = [exact.new_cache(batch=2, capacity=12) for _ in range(2)]
    with torch.no_grad():
        for each in two_caches:
            exact(given[:, :8], each)
        steps = [
            (exact(t, two_caches[0]), absorbed_decode(exact, t, two_caches[1]))
            for t in given[:, 8:].split(1, 1)
        ]
    gap = max(float((a - b).abs().max()) for a, b in steps)
    print(f"{dtype!s:14} expanded and absorbed differ by less than {bound}: {gap < bound}")

# %% [markdown]
# This is why the rotary key stands apart. If the content key were turned, a turn would stand between the two matrices, another one for each distance, and no single matrix could be absorbed. The converted attention of D3.3f has exactly this problem. The control leaves the turn out.

# %%
torch.manual_seed(0)
W_UK, W_UQ = torch.randn(2, 8, 5, dtype=torch.float64)  # one head of width 8, latents of 5
by_distance = [
    rotate(torch.eye(8, dtype=torch.float64)[:, None, None], s)[:, 0, 0].T for s in range(3)
]
between = [W_UQ.T @ turn @ W_UK for turn in by_distance]  # what would be absorbed
print("one matrix for distances 1 and 2:", torch.allclose(between[1], between[2]))
print("without a turn it is W_UQᵀ W_UK:", torch.allclose(between[0], W_UQ.T @ W_UK))

# %% [markdown]
# ## Is it faster? · {section} minutes
#
# A smaller cache is not yet a faster step. Expanding costs R · H · 2d multiplications for each cached token, a million with 16 heads of 128 and a latent of 256.

# %% [markdown]
# Standard attention is measured twice below, by PyTorch's `scaled_dot_product_attention` (SDPA) and by two matrix products; the faster one counts. At a context of 8,192, is expanding at each step faster or slower than standard attention, and by how much?

# %%
predict("D3.p5", guess=None)

# %% tags=["nbval-ignore-output"]
step_sizes = StepSizes(d_model=256, num_heads=16, d_head=128, d_latent=256, d_rope=64)
contexts = (1024, 2048, 4096, 8192)
taken = decode_milliseconds(MultiHeadLatentAttention, absorbed_decode, step_sizes, contexts)
plot_times(taken, "One token more, 16 heads of 128, latent 256", contexts, "context, tokens")
plt.show()

# %% tags=["nbval-ignore-output"]
faster_mha = min(taken[WAYS[0]][-1], taken[WAYS[1]][-1])
expanded, absorbed = taken["latents expanded"][-1], taken["latents absorbed"][-1]
truth(
    "D3.p5",
    f"expanding takes {expanded / faster_mha:.1f} times as long as MHA, "
    f"absorbing {absorbed / faster_mha:.2f} times",
)

# %%
print("expanding at each step is slower than standard attention:", expanded > faster_mha)
print("absorbing is at least 5 times faster than expanding:", expanded > 5 * absorbed)

# %% [markdown]
# Expanding is slow because it multiplies: 8.6 billion products a token beside 34 million. (It also writes the keys and values that it expands and reads them again.)

# %% [markdown]
# For the other two, divide the bytes of cache that a token reads by its time, and compare with the speed at which this machine copies memory. Standard attention comes near it: it waits for memory. Absorbed decode reads 13 times less and stays far below it: now its products take the time, 75 million in place of 34, so it gains less than the bytes promise.

# %% tags=["nbval-ignore-output"]
reads = {
    "MHA": step_sizes.standard_bytes(8192),
    "latents expanded": step_sizes.expanded_bytes(8192),
    "latents absorbed": step_sizes.absorbed_bytes(8192),
}
spent = {"MHA": faster_mha, "latents expanded": expanded, "latents absorbed": absorbed}
multiplied = {
    "MHA": step_sizes.standard_multiplications(8192),
    "latents expanded": step_sizes.expanded_multiplications(8192),
    "latents absorbed": step_sizes.absorbed_multiplications(8192),
}
title = "One token after 8,192 others"
plot_bandwidth(reads, spent, copy_bandwidth() / 1e9, title, multiplications=multiplied)
plt.show()

# %%
print(f"bytes read, MHA over absorbed: {reads['MHA'] / reads['latents absorbed']:.1f}x")
products_of_mha = multiplied["MHA"]
print(f"products, expanded over MHA: {multiplied['latents expanded'] / products_of_mha:.0f}x")
print(f"products, absorbed over MHA: {multiplied['latents absorbed'] / products_of_mha:.2f}x")

# %% tags=["nbval-ignore-output"]
print(f"time, MHA over absorbed: {faster_mha / absorbed:.1f}x")

# %% [markdown]
# `python -m benchmarks decode` measures 32 heads of 128 with a latent of 512 up to 16,384 tokens. With few heads, short contexts or a slow processor the gain shrinks further. At V3's sizes a key has d + r = 192 numbers per head and a value 128. The next cell compares absorbed decode with such heads, expanded and kept: 128 · (192 + 128) numbers per token, each of them multiplied once.

# %%
v3 = StepSizes(d_model=7168, num_heads=128, d_head=128, d_latent=512, d_rope=64)
own_heads = 128 * (192 + 128)  # numbers, and products, per token
times = v3.absorbed_multiplications(1) / own_heads
fewer = own_heads * 2 / v3.absorbed_bytes(1, itemsize=2)
print("absorbed, beside V3's own heads, expanded and kept:")
print(f"{times:.1f} times the multiplications, {fewer:.0f} times fewer bytes")

# %% [markdown]
# So absorbing pays where bytes are dear: one token at a time. A prompt's tokens share what is read, and multiplications are all that counts: prefill expands. D4's block does both by itself.

# %% [markdown]
# ## Explore · {section} minutes, optional
#
# It starts at V3's sizes. Between which two numbers of key-value heads does GQA keep as little as MLA? Then compute the exact number: MLA keeps 576, a key-value head 2 · 128.

# %% tags=["nbval-ignore-output"]
cache_explorer()

# %% [markdown]
# ## Break it · {section} minutes
#
# Choose a slip of the whole layer and read what the check says. Some give the right output for a whole text and go wrong only in decode, token by token. `list(known_mistakes("D3.3e"))` names all.

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
# From here on you need the model that you trained in D3.3f, and the cell of its cosines. Judge from them: how many of 256 directions keep 99% of the squared length of the keys of layer 1?

# %%
predict("D3.p6", guess=None)

# %% tags=["nbval-ignore-output"]
K, V = key_and_value_weights(standard_model.blocks[0].attention)
with torch.no_grad():
    energies = {
        name: energy_kept(fitted_on[0].flatten(0, 1) @ W.T)
        for name, W in (("keys", K), ("values", V))
    }
directions = {name: int((shares < 0.99).sum()) + 1 for name, shares in energies.items()}
for name, shares in energies.items():
    print(f"{name} of layer 1: 32 of {len(shares)} directions keep {float(shares[31]):.1%}")
truth("D3.p6", f"{directions['keys']} for the keys, {directions['values']} for the values")

# %%
print("keys need more directions for 99% than the 32 of the conversion:", directions["keys"] > 32)
print("and the cosine at 32 was above 0.95 all the same:", cosines["one joint latent"][32] > 0.95)

# %% [markdown]
# ## Open task: the smallest cache · {section} minutes, optional
#
# A latent of 64 numbers is 256 bytes in float32, 128 in bfloat16 and 64 in int8. With a step of 0.1, 0.73 is kept as the whole number 7 and comes back as 0.7: the smaller the step, the closer, and int8 holds −128 to 127 of them.

# %% [markdown]
# The rules: write `SmallCache`, which is made for an attention from its weights and activations, keeps a row of any type for each token, and expands rows to keys, before RoPE, and values. The figure is the bytes kept per token and layer; it counts only if in every layer the mean cosine of its output on held-out text is at least 0.98.

# %% [markdown]
# It uses the model of D3.3f and the cell of its cosines. What is possible, in the same measure: the joint latent that keeps 98% of the squared length of keys and values, in float32 and in bfloat16, the reference's answer, and one from the check's bank of answers. A key and its value take 2 · 256 · 2 = 1,024 bytes in bfloat16.

# %% tags=["nbval-ignore-output"]
from checks.audit.bank.d3_mla.small_cache.right import InBfloat16, TwoPerByte
from checks.audit.bank.d3_mla.small_cache.steps import Latent

measure_cache = cache_measure(standard_model, fitted_on, measured_on)
measure_cache.beside(
    {
        "a joint latent in float32": Latent,
        "the same in bfloat16": InBfloat16,
        "the reference's answer": open_reference.SmallCache,
        "one more, from the bank": TwoPerByte,
    }
)

# %% tags=["exercise"] exercise="D3.O1"
from solutions.d3_open import SmallCache

# %% tags=["nbval-ignore-output"]
measure_cache(SmallCache)

# %% [markdown]
# `check_small_cache(SmallCache)` says in full what is not right. Do the last directions need as many bits as the first?

# %% [markdown]
# ## What you built
#
# Two latents, a cache, DeepSeek's attention, in four pieces and as one layer, latents for a trained model, and the decode that never expands them. D4 stacks your layer with your DeepSeekMoE.

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# ## What surprised us
#
# - Expanding latents at each step is many times slower than keeping the keys.
# - The rotary key is not in the latent, and not per head.
# - Weights alone tell many of the directions that matter; only text tells the best ones.
# - A converted attention keeps few numbers and still cannot be absorbed.
# - The same latent makes the cache 7 times smaller beside V2-Lite's 16 heads, and 57 times beside V3's 128.

# %% [markdown]
# ## Read next
#
# - DeepSeek-V2 (arXiv 2405.04434): section 2.1, appendix D.
# - Fast Transformer Decoding (arXiv 1911.02150): multi-query attention.
# - GQA (arXiv 2305.13245): groups between the two.
# - `MLA.forward` in DeepSeek-V3's `inference/model.py`: "absorb" is your decode; "naive" caches the expanded keys and values of every head, as your layer never does.
