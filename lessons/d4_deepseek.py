# %% [markdown]
# # D4 · A complete DeepSeek
#
# You assemble a DeepSeek from the parts you wrote. It will count DeepSeek-V3's parameters to the last one, give the same logits as transformers' implementation on the same weights, and write stories that hold together.

# %% [markdown]
# About 3 hours: seven exercises of 5 to 25 minutes and three minutes of training; two investigations of 30 lie beyond.

# %% [markdown]
# ## How this notebook works
#
# As before. The set-up cell collects your parts of D1, D2 and D3 where they pass and says whose each one is. Save those notebooks first (Ctrl+S).
#
# Letters: B batch, L positions, N = L plus new ones, D = `d_model`, V vocabulary, E experts, K = `top_k`.

# %% tags=["setup"]
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import matplotlib.pyplot as plt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

import solutions.d4_deepseek as reference
from checks import CheckFailed, progress
from checks.carry import carry
from checks.d4_deepseek import (
    check_count_parameters,
    check_deepseek,
    check_deepseek_block,
    check_generate,
    check_masked_loss,
    check_mtp,
    check_sample,
    check_train,
    check_worth,
)
from checks.slips import slips
from helpers.deepseek_config import DeepSeekConfig
from helpers.hf_model import read_model
from helpers.llama import RMSNorm, SwiGLU
from helpers.memory import active_bytes, activation_bytes, weight_bytes
from helpers.memory_plots import plot_memory
from helpers.published import V2_LITE, V3, active_parameters, total_parameters
from helpers.story_measures import bigram_loss, held_out, sample_stories, story_scores
from helpers.story_plots import plot_story_curves, show_experts, story_box
from helpers.story_rows import StoryRows
from helpers.story_run import StoryRun
from helpers.traffic import layers_of, relative_load
from helpers.traffic_plots import plot_domain_traffic

carried = carry("d1_moe", "d2_deepseek_moe", "d3_mla")
DeepSeekMoE, rebalance = carried.DeepSeekMoE, carried.rebalance
LatentCache = carried.LatentCache
MultiHeadLatentAttention = carried.MultiHeadLatentAttention
expert_load, load_cv = carried.expert_load, carried.load_cv
torch.manual_seed(0)
torch.set_num_threads(1)  # the same numbers whatever else runs, and hardly slower at this size
carried

# %% [markdown]
# `carry("d1_moe", "d2_deepseek_moe", "d3_mla", reference=["DeepSeekMoE"])` or `yours=[…]` forces a part to one side. Whatever the mixture, the model below is the same function; only its authors differ.

# %% [markdown]
# ## One configuration · 10 minutes
#
# A DeepSeek is fixed by about twenty numbers and options. They stand in one frozen dataclass, which also makes the parts of a layer.

# %% [markdown]
# A DeepSeek is fixed by about twenty numbers and options: `DeepSeekConfig` holds them. DeepSeek-V3's are its published ones; the plan's differ in three places, and both stand side by side.

# %%
v3 = DeepSeekConfig.v3()
plan = replace(
    v3, d_latent=1024, num_shared=2, num_segments=8, expert_dim=2048, num_groups=1, top_groups=1
)
print(f"{'':24}{'published':>12}{'the plan':>12}")
for name in ("num_layers", "d_model", "num_heads", "d_latent", "num_experts", "num_shared"):
    print(f"{name:24}{getattr(v3, name):12,}{getattr(plan, name):12,}")
print(f"{'segments of a token':24}{v3.num_segments:12}{plan.num_segments:12}")
print(f"{'groups of experts':24}{v3.num_groups:12}{plan.num_groups:12}")
print(f"{'dense layers at first':24}{v3.dense_layers:12}{'not named':>12}")

# %% [markdown]
# ## D4.1 One block · 15 minutes
#
# Two sublayers, each `x + f(norm(x))`. The residual carries x past both: if attention and experts gave zeros, the block would return x itself. The first `dense_layers` blocks have a SwiGLU, since balance settles slowest there (arXiv 2401.06066, p. 15).

# %% tags=["exercise"] exercise="D4.1"
from solutions.d4_deepseek import DeepSeekBlock

# %% tags=["check"] exercise="D4.1"
check_deepseek_block(DeepSeekBlock)

# %%
torch.manual_seed(0)
small = DeepSeekConfig(
    vocab_size=1024, num_layers=4, d_model=128, num_heads=4, d_head=32, d_latent=32, d_rope=16,
    num_experts=8, top_k=2, expert_dim=128, num_shared=1,
)
block, x = DeepSeekBlock(small, layer=0), torch.randn(2, 20, 128)
print("(B, T, d_model) in and out:", block(x).shape == x.shape)
block(x).pow(2).mean().backward()
for name in ("attention_norm", "attention", "ffn_norm", "ffn.router", "ffn.experts", "ffn.shared"):
    weights = list(block.get_submodule(name).parameters())
    reached = all(weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in weights)
    print(f"gradient reaches {name}: {reached}")

# %% [markdown]
# ## D4.2a The stack · 10 minutes
#
# Embedding, blocks, a last norm, and a head that shares no weight with the embedding. With caches, layer 3 uses the fourth of them, and ids are only the tokens that the caches have not seen.

# %% tags=["exercise"] exercise="D4.2a"
from solutions.d4_deepseek import DeepSeek

# %% tags=["check"] exercise="D4.2a"
check_deepseek(DeepSeek)

# %% [markdown]
# ## D4.2b Counting · 15 minutes
#
# With 8 experts of 10 parameters and top-2, a layer holds 80 and a token uses 20: 60 lie idle. The meta device makes tensors that have a shape and no numbers, so even V3 fits.

# %% tags=["exercise"] exercise="D4.2b"
from solutions.d4_deepseek import count_parameters

# %% tags=["check"] exercise="D4.2b"
check_count_parameters(count_parameters)

# %% [markdown]
# First proof: your own class, at V3's published size. Predict: how many of its 671 billion parameters are experts?

# %% tags=["nbval-ignore-output"]
counts = {
    "DeepSeek-V3": count_parameters(v3),
    "DeepSeek-V2-Lite": count_parameters(DeepSeekConfig.v2_lite()),
    "the plan's V3": count_parameters(plan),
}

# %%
for name, (total, active) in counts.items():
    print(f"{name:18}{total:18,} in all{active:17,} for a token{total / active:6.1f}x")
print("V3 to the last parameter:", counts["DeepSeek-V3"][0] == 671_026_404_352)
print("the same as from the published table:", counts["DeepSeek-V3"] == (total_parameters(V3), active_parameters(V3)))

# %% [markdown]
# The plan's numbers make another model. Its experts see slices of 896 of 7,168 numbers, so each is an eighth as large; and a token may use up to 64 of them, 8 for each of its 8 segments.

# %% [markdown]
# ## Second proof: transformers' model, your code · 10 minutes
#
# Take transformers' `DeepseekV3ForCausalLM` in a small size, draw every weight anew (norms and balancing biases too), and load it by name into your class. `helpers/hf_model.py` holds the names.

# %% tags=["nbval-ignore-output"]
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

sizes = dict(
    vocab_size=97, hidden_size=64, intermediate_size=96, moe_intermediate_size=32,
    num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4, n_shared_experts=2,
    n_routed_experts=8, num_experts_per_tok=3, n_group=4, topk_group=2, first_k_dense_replace=1,
    kv_lora_rank=16, q_lora_rank=24, qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=12,
    rope_parameters={"rope_type": "default", "rope_theta": 10_000.0}, bos_token_id=None, eos_token_id=None,
)
theirs = DeepseekV3ForCausalLM(
    DeepseekV3Config(**sizes, attn_implementation="eager", experts_implementation="eager")
).eval()
generator = torch.Generator().manual_seed(0)
with torch.no_grad():
    for name, value in theirs.state_dict().items():
        drawn = torch.randn(value.shape, generator=generator)
        spread = value.shape[-1] ** -0.5 if value.ndim > 1 else 0.3
        value.copy_(spread * drawn + (1.0 if "norm" in name else 0.0))

# %%
mine = DeepSeek.from_hf(theirs)
ids = torch.randint(1, 97, (2, 17), generator=torch.Generator().manual_seed(1))
with torch.no_grad():
    wanted, got = theirs(ids).logits, mine(ids)
bound = 1e-5 * max(1.0, float(wanted.abs().max()))
print("logits agree within 1e-5:", float((got - wanted).abs().max()) <= bound)

# %% [markdown]
# The same class reads a local folder with `config.json` and safetensors. What it cannot compute it refuses in a sentence: YaRN, FP8 weights, V2's groups. Layers for multi-token prediction are left out.

# %%
theirs.config.rope_parameters = {"rope_type": "yarn", "factor": 40.0, "rope_theta": 10_000.0}
try:
    DeepSeek.from_hf(theirs)
except ValueError as error:
    print(error)

# %% [markdown]
# ## D4.3a The loss of real tokens · 10 minutes
#
# Stories have different lengths, so rows are padded. Losses 2, 4 and 9 of which the last is padding have mean 3. A mean over all three would be 5, and would teach the model to predict padding.

# %% tags=["exercise"] exercise="D4.3a"
from solutions.d4_deepseek import masked_loss

# %% tags=["check"] exercise="D4.3a"
check_masked_loss(masked_loss)

# %% [markdown]
# ## D4.3b Train · 20 minutes
#
# A row of 5 tokens gives 4 inputs and 4 targets, one position apart. After each optimiser step every layer's balancing bias moves, by the load of the real tokens that went in: the first 4 positions, not the last 4.

# %% tags=["exercise"] exercise="D4.3b"
from solutions.d4_deepseek import train

# %% tags=["check"] exercise="D4.3b"
check_train(train)

# %% [markdown]
# ## D4.3c Sample · 10 minutes
#
# Logits 2 and 0 at temperature 1 give probabilities 0.88 and 0.12, at 0.5 they give 0.98 and 0.02, and at 0 the first is taken.

# %% tags=["exercise"] exercise="D4.3c"
from solutions.d4_deepseek import sample

# %% tags=["check"] exercise="D4.3c"
check_sample(sample)

# %% [markdown]
# ## D4.3d Generate · 20 minutes
#
# With caches, step one feeds the whole prompt and each later step one token. A prompt of 5 and 3 new tokens: 5, 1 and 1 positions are computed in place of 5, 6 and 7.

# %% tags=["exercise"] exercise="D4.3d"
from solutions.d4_deepseek import generate

# %% tags=["check"] exercise="D4.3d"
check_generate(generate)

# %% [markdown]
# Third proof: with the cache and without it, the same tokens; and the tokens that transformers generates. Then the bytes of the caches, beside those of a standard transformer of the same width.

# %%
prompt, new = ids[:, :6], 12
cached = generate(mine, prompt, new, temperature=0)
print("cached equals uncached:", torch.equal(cached, generate(mine, prompt, new, temperature=0, use_cache=False)))
theirs.config.rope_parameters = sizes["rope_parameters"]
hf_says = theirs.generate(prompt, max_new_tokens=new, do_sample=False)
print("and what transformers generates:", torch.equal(cached, hf_says))

# %%
model = DeepSeek(small)
caches = model.new_caches(batch=1, capacity=256)
with torch.no_grad():
    model(torch.zeros(1, 256, dtype=torch.long), caches)
latent = sum(cache.nbytes for cache in caches)
standard = [LatentCache(1, 256, small.d_model, small.d_model) for _ in model.blocks]
for cache in standard:
    cache.append(torch.zeros(1, 256, small.d_model), torch.zeros(1, 256, small.d_model))
print(f"{latent:,} bytes beside {sum(c.nbytes for c in standard):,}: {sum(c.nbytes for c in standard) / latent:.1f}x")

# %% [markdown]
# ## The story world · 5 minutes
#
# Thirteen plots in which things are given, lost, stolen and returned. A story counts as coherent if nobody and nothing in it contradicts an earlier sentence, and if the last sentence names the true owner.

# %% tags=["nbval-ignore-output"]
rows = StoryRows.build(count=8000, held_out=400, seed=0)
print(rows.texts[0])
print(f"\n{len(rows.ids):,} stories to train on, {len(rows.held_ids)} held out; tokens: {rows.tokenizer.get_vocab_size()}")

# %% [markdown]
# Each row is one story from its first token on, padded to the longest. Cut at random places, as you would cut prose, the model rarely sees who a name belongs to, and learns to copy names much later.

# %% [markdown]
# ## Train it · 15 minutes
#
# Four layers, 2.3 million parameters, 1.3 million of them used for a token. The run keeps the optimiser, its schedule and the step of the bias, so each of the next cells goes on where the last one stopped.

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
model = DeepSeek(small)
run = StoryRun(model, rows, steps=STEPS, seed=0, generate=generate)
losses = train(model, run.batches(STEPS // 4), run.optimizer, run.bias_step)
