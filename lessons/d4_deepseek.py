# %% [markdown]
# # D4 · A complete DeepSeek
#
# You assemble a DeepSeek from the parts you wrote. It will count DeepSeek-V3's parameters to the last one, give the same logits as transformers' implementation on the same weights, and write stories that hold together.

# %% [markdown]
# About 4 hours: seven exercises of 10 to 20 minutes, and five minutes in which models train; two investigations of half an hour lie beyond.

# %% [markdown]
# ## How this notebook works
#
# As before. The set-up cell collects your parts of D1, D2 and D3 where they pass and says whose each one is. Save those notebooks first (Ctrl+S).
#
# Letters: B batch, L positions that go in, N tokens of a whole row, D = `d_model`, V vocabulary, E experts, K = `top_k`, m segments of a token.

# %% tags=["setup"]
import helpers  # before torch: its threads then sleep while they wait

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

import solutions.d4_deepseek as reference
from checks import progress
from checks.learner_files.this_notebook import folder_of_its_own
from checks.audit.known_mistakes import known_mistakes
from checks.learner.carry import carry
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
from helpers.training_loops.balancing import annealed, train_balanced
from helpers.checkpoints.folder_tokenizer import read_tokenizer
from helpers.checkpoints.released import released_rows
from helpers.checkpoints.written import write_folder
from helpers.data.corpus import END_OF_TEXT, Corpus
from helpers.measuring.released_traffic import DOMAINS, traffic_by_domain
from helpers.measuring.timing import median_milliseconds
from helpers.model.attention_ways import QUERY_BLOCK, absorbs, attended_in_blocks, can_absorb
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.interfaces import CachingModel
from helpers.model.llama import CausalSelfAttention, Decoder, RMSNorm, SwiGLU
from helpers.checkpoints.loading import loaded, use_v2_routers
from helpers.measuring.memory import activation_bytes, standard_cache_bytes, weight_bytes
from helpers.model.published import V3, active_parameters, total_parameters
from helpers.model.speculative import speculate
from helpers.plots.story_box import StoryBox, show_experts
from helpers.measuring.story_measures import bigram_loss, held_out, sample_stories, story_scores
from helpers.plots.story_plots import plot_memory, plot_story_curves
from helpers.data.story_rows import StoryRows
from helpers.training_loops.story_run import StoryRun
from helpers.measuring.traffic import chosen_experts, layers_of, relative_load
from helpers.plots.traffic_plots import plot_domain_traffic

carried = carry("d1_moe", "d2_deepseek_moe", "d3_mla")
DeepSeekMoE, rebalance = carried.DeepSeekMoE, carried.rebalance
LatentCache = carried.LatentCache
MultiHeadLatentAttention = carried.MultiHeadLatentAttention
attend, absorbed_decode = carried.attend, carried.absorbed_decode
yarn_frequencies = carried.yarn_frequencies
torch.manual_seed(0)
torch.set_num_threads(2)  # a third less time than one, at this size
device = "cpu"  # where models train: "cuda" or "mps" where there is one
carried

# %% [markdown]
# Each part has a switch: add `reference=["DeepSeekMoE"]` or `yours=[…]` to `carry(…)` above and run the cell again. A part you have not written stays the reference's. Whatever the mixture, the model is the same function.

# %% [markdown]
# ## One configuration · {section} minutes
#
# About twenty numbers and options fix a DeepSeek: `DeepSeekConfig` holds them. Beside V3's published ones stand the plan's; where the plan names nothing, as with the dense layers, V3's value counts.

# %%
v3 = DeepSeekConfig.v3()
plan = replace(v3, d_latent=1024, num_shared=2, num_segments=8, num_groups=1, top_groups=1)
print(f"{'':24}{'published':>12}{'the plan':>12}")
for name in ("num_layers", "d_model", "num_heads", "d_latent", "num_experts", "num_shared"):
    print(f"{name:24}{getattr(v3, name):12,}{getattr(plan, name):12,}")
print(f"{'segments of a token':24}{v3.num_segments:12}{plan.num_segments:12}")
print(f"{'groups of experts':24}{v3.num_groups:12}{plan.num_groups:12}")
print(f"{'dense layers at first':24}{v3.dense_layers:12}{plan.dense_layers:12}  (not named)")

# %% [markdown]
# ## D4.1 One block · {section} minutes
#
# Two sublayers, each `x + f(norm(x))`. The residual carries x past both: if attention and experts gave zeros, the block would return x itself. The given `attended` is `attention` by the cheapest way to the same numbers. The first `dense_layers` blocks have a SwiGLU, since balance settles slowest there (arXiv 2401.06066, p. 15).

# %% tags=["exercise"] exercise="D4.1"
from solutions.d4_deepseek import DeepSeekBlock

# %% tags=["check"] exercise="D4.1"
check_deepseek_block(DeepSeekBlock)

# %% [markdown]
# The model of this lesson is small: three layers of width 128, of whose 8 experts a token uses 2 and the shared one. Stories have about 100 tokens, so rotary angles start over sooner than usual: `theta` is 200.

# %%
torch.manual_seed(0)
small = DeepSeekConfig(
    vocab_size=1024,
    num_layers=3,
    d_model=128,
    num_heads=4,
    d_head=32,
    d_latent=64,
    d_rope=16,
    num_experts=8,
    top_k=2,
    expert_dim=64,
    num_shared=1,
    theta=200.0,
)
block, x = DeepSeekBlock(small, layer=0), torch.randn(2, 20, 128)
print("(B, L, D) in and out:", block(x).shape == x.shape)
block(x).pow(2).mean().backward()
for name in ("attention_norm", "attention", "ffn_norm", "ffn.router", "ffn.experts", "ffn.shared"):
    weights = list(block.get_submodule(name).parameters())
    reached = all(
        weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in weights
    )
    print(f"gradient reaches {name}: {reached}")

# %% [markdown]
# ## D4.2a The stack · {section} minutes
#
# Embedding, blocks, a last norm, and a head that shares no weight with the embedding. With caches, the third layer uses the third of them, and ids are only the tokens that the caches have not seen.

# %% tags=["exercise"] exercise="D4.2a"
from solutions.d4_deepseek import DeepSeek

# %% tags=["check"] exercise="D4.2a"
check_deepseek(DeepSeek)

# %% [markdown]
# ## D4.2b Counting · {section} minutes
#
# With 8 experts of 10 parameters and top-2, a layer holds 80 and a token uses 20: 60 lie idle. The meta device makes tensors that have a shape and no numbers, so even V3 fits.

# %% tags=["exercise"] exercise="D4.2b"
from solutions.d4_deepseek import count_parameters

# %% tags=["check"] exercise="D4.2b"
check_count_parameters(count_parameters)

# %% [markdown]
# First proof: your own class, at V3's published size; making it takes some ten seconds. Predict: how many of its 671 billion parameters does one token use?

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
print(
    "the same as from the published table:",
    counts["DeepSeek-V3"] == (total_parameters(V3), active_parameters(V3)),
)

# %% [markdown]
# The plan's numbers make another model. Its experts see slices of 896 of 7,168 numbers, so each is an eighth as large; and a token may use up to 64 of them, 8 for each of its 8 segments.

# %% [markdown]
# ## Second proof: transformers' model, your code · {section} minutes
#
# Take transformers' `DeepseekV3ForCausalLM` in a small size, draw every weight anew (norms and balancing biases too), and load it by name into your class. `helpers/checkpoints/hf_model.py` holds the names.

# %% tags=["nbval-ignore-output"]
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

sizes = dict(
    vocab_size=97,
    hidden_size=64,
    intermediate_size=96,
    moe_intermediate_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=4,
    n_shared_experts=2,
    n_routed_experts=8,
    num_experts_per_tok=3,
    n_group=4,
    topk_group=2,
    first_k_dense_replace=1,
    kv_lora_rank=16,
    q_lora_rank=24,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=12,
    rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    bos_token_id=None,
    eos_token_id=None,
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
tokens = torch.randint(1, 97, (2, 17), generator=torch.Generator().manual_seed(1))
with torch.no_grad():
    wanted, got = theirs(tokens).logits, mine(tokens)
bound = 1e-5 * max(1.0, float(wanted.abs().max()))
agree = float((got - wanted).abs().max()) <= bound
print("logits agree within 1e-5 x max(1, the largest logit):", agree)

# %% [markdown]
# The same class reads a folder as released: `config.json` and safetensors, YaRN by your `yarn_frequencies`, FP8 weights with their scales, V2's groups; layers for multi-token prediction are left out. What it cannot compute it refuses in a sentence. Predict: which of these are V3's layers under another name?

# %% tags=["nbval-ignore-output"]
released = released_rows(count_parameters)

# %%
for row in released:
    size = f"{row.total:18,} in all{row.active:16,} for a token" if row.total else row.refusal
    print(f"{row.name:14} {size}" + (f"  ({row.made})" if row.made else ""))

# %% [markdown]
# ## D4.3a The loss of real tokens · {section} minutes
#
# Stories have different lengths, so rows are padded. Losses 2, 4 and 9 of which the last is padding have mean 3. A mean over all three would be 5, and would teach the model to predict padding.

# %% tags=["exercise"] exercise="D4.3a"
from solutions.d4_deepseek import masked_loss

# %% tags=["check"] exercise="D4.3a"
check_masked_loss(masked_loss)

# %% [markdown]
# ## D4.3b Train · {section} minutes
#
# A row of 5 tokens gives 4 inputs and 4 targets, one position apart. After each optimiser step `rebalance(layer, real, step)` moves the bias of every layer in `layers_of(model)`, by the real tokens that went in: the first 4 positions, not the last 4.

# %% tags=["exercise"] exercise="D4.3b"
from solutions.d4_deepseek import train

# %% tags=["check"] exercise="D4.3b"
check_train(train)

# %% [markdown]
# ## D4.3c Sample · {section} minutes
#
# Logits 2 and 0 at temperature 1 give probabilities 0.88 and 0.12, at 0.5 they give 0.98 and 0.02, and at 0 the first is taken.

# %% tags=["exercise"] exercise="D4.3c"
from solutions.d4_deepseek import sample

# %% tags=["check"] exercise="D4.3c"
check_sample(sample)

# %% [markdown]
# ## D4.3d Generate · {section} minutes
#
# With the caches of `model.new_caches(batch, capacity)`, step one feeds the whole prompt and each later step one token. A prompt of 5 and 3 new tokens: 5, 1 and 1 positions are computed in place of 5, 6 and 7.

# %% tags=["exercise"] exercise="D4.3d"
from solutions.d4_deepseek import generate

# %% tags=["check"] exercise="D4.3d"
check_generate(generate)

# %% [markdown]
# Third proof: with the cache and without it, the same tokens; and the tokens that transformers generates. Then the bytes of the caches, beside those of a standard transformer of the same width.

# %%
prompt, new = tokens[:, :6], 12
cached = generate(mine, prompt, new, temperature=0)
print(
    "cached equals uncached:",
    torch.equal(cached, generate(mine, prompt, new, temperature=0, use_cache=False)),
)
hf_says = theirs.generate(prompt, max_new_tokens=new, do_sample=False)
print("and what transformers generates:", torch.equal(cached, hf_says))

# %%
untrained = DeepSeek(small)
caches = untrained.new_caches(batch=1, capacity=256)
with torch.no_grad():
    untrained(torch.zeros(1, 256, dtype=torch.long), caches)
latent_bytes = sum(cache.nbytes for cache in caches)
standard_bytes = standard_cache_bytes(small.num_layers, small.d_model, tokens=256)
print(f"{latent_bytes:,} bytes beside {standard_bytes:,}: {standard_bytes / latent_bytes:.1f}x")

# %% [markdown]
# ## The story world · {section} minutes
#
# Thirteen plots in which things are given, lost, stolen and returned. A story counts as coherent if nobody and nothing in it contradicts an earlier sentence, and if the last sentence names the true owner.

# %% tags=["nbval-ignore-output"]
rows = StoryRows.build(count=20_000, held_out=400, seed=0)
print(rows.train[0].text, "\n")
print(f"{len(rows.ids):,} stories to train on, {len(rows.held_ids)} held out")
print(f"{rows.vocab_size:,} tokens, {int(rows.real.sum()) / len(rows.ids):.0f} a story")

# %% [markdown]
# Each row is one story from its first token on, padded to the longest. In windows cut at random places, as you would cut prose, many a name would stand without the sentence that introduced it.

# %% [markdown]
# ## Train it · {section} minutes
#
# Three layers, 1.1 million parameters, of which a token uses 0.7 million. The run hands your `train` one batch after the other. It keeps the optimiser, its schedule and the step of the bias, so each of the next cells goes on where the last one stopped.

# %%
total, active = count_parameters(small)
print(f"{total:,} parameters, {active:,} for a token")

# %% tags=["nbval-ignore-output"]
STEPS = 800
torch.manual_seed(0)
model = DeepSeek(small).to(device)
run = StoryRun(model, rows, STEPS, generate=generate)
losses = run.train(train, STEPS // 4)

# %% [markdown]
# Predict while it runs: does the model first learn the words, the order of events, or who is who? The curve of coherence has an answer.

# %% tags=["nbval-ignore-output"]
losses += run.train(train, STEPS // 4)

# %% tags=["nbval-ignore-output"]
losses += run.train(train, STEPS // 4)

# %% tags=["nbval-ignore-output"]
losses += run.train(train, STEPS // 4)
model = model.cpu()  # where the next cells look at it

# %% tags=["nbval-ignore-output"]
plot_story_curves(losses, run.points, bigram_loss(rows), "Loss falls first, coherence later")
plt.show()

# %% [markdown]
# The green curve is the loss of a name that the story has told before. A guess among 18 names costs ln 18, 2.9 nats; the curve falls from there when the model learns to copy. Coherence rises once it is near 0.

# %%
print("a name told before costs over 1.5 nats at first:", run.points[0].told > 1.5)
print("and under 0.1 in the end:", run.points[-1].told < 0.1)

# %% [markdown]
# ## Does it write? · {section} minutes
#
# Two hundred stories at temperature 0.8, from nothing but the mark of a beginning. A story that stands in the training set would prove memory, not writing, so those are counted too.

# %% tags=["nbval-ignore-output"]
torch.manual_seed(1)
texts = sample_stories(model, rows, generate, 200)
scores = story_scores(texts, rows)
print(texts[0], "\n")
print(f"coherent {scores.coherent:.1%}, distinct {scores.distinct}, copied {scores.copied}")
print("what is wrong with the others:", scores.problems)

# %%
print("coherent at least 0.9:", scores.coherent >= 0.9)
print("at least 150 distinct:", scores.distinct >= 150)
print("none from the training set:", scores.copied == 0)

# %% tags=["nbval-ignore-output"]
found = held_out(model, rows)
print(
    f"held-out loss {found.loss:.3f}, a table of token pairs {bigram_loss(rows):.3f} nats a token"
)
print("CV of the experts' load by layer:", [round(cv, 3) for cv in found.cvs])

# %%
print("below the table of pairs:", found.loss < bigram_loss(rows))
print("CV below 0.1 on held-out real tokens, every layer:", max(found.cvs) < 0.1)

# %% [markdown]
# Write with it: give it a beginning, choose a temperature. Try 0, 0.8 and 1.5, then a hero with a name that no story has. Each token has the colour of the expert that layer 2's router names first.

# %% tags=["nbval-ignore-output"]
StoryBox(model, rows, generate, layer=1)

# %% [markdown]
# The first of your two hundred stories, coloured in the same way. Predict: is there an expert for names, one for places, one for what always comes next?

# %% tags=["nbval-ignore-output"]
show_experts(model, rows, texts[0], layer=1)

# %% [markdown]
# Traffic by layer and by plot: 1.0 is the even share. All plots use the same words, so differences are small; with domains that differ, as in the second run below, they grow.

# %% tags=["nbval-ignore-output"]
plots = sorted({story.plot for story in rows.held})
counted = rows.held_real[:, :-1]
plot_of_story = torch.tensor([plots.index(story.plot) for story in rows.held])
plot_of_token = plot_of_story[:, None].expand_as(counted)[counted]
with torch.no_grad():
    model(rows.held_ids[:, :-1])
for layer in (0, 2):
    experts = layers_of(model)[layer].last_experts[counted.reshape(-1)]
    shares = relative_load(experts, plot_of_token, len(plots), small.num_experts)
    plot_domain_traffic(shares, plots, f"Layer {layer + 1}", "plot")
    plt.show()

# %% [markdown]
# Keep it: `to_hf` writes configuration, weights and tokenizer as transformers lays them out, so anyone's library opens your model. `python3 course.py chat work/story_model` talks to it in a terminal.

# %% tags=["nbval-ignore-output"]
from transformers import AutoModelForCausalLM

folder = folder_of_its_own("story_model")
model.to_hf(folder, tokenizer=rows.tokenizer, end_of_text=END_OF_TEXT)
opened = AutoModelForCausalLM.from_pretrained(folder)
print(f"{folder.name}: {type(opened).__name__}")

# %%
story = rows.prompt(texts[0])
with torch.no_grad():
    wanted, got = opened(story).logits, model(story)
print("transformers' logits are yours:", float((got - wanted).abs().max()) < 1e-4)

# %% [markdown]
# ## Beside a dense transformer · {section} minutes
#
# Is the mixture worth its weights? The fair rival computes as much for a token: a SwiGLU as wide as the chosen and the shared experts together, 3 · 64 = 192, in every layer.

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
dense = DeepSeek(replace(small, dense_layers=3, dense_dim=192)).to(device)
print(f"active: {count_parameters(dense.config)[1]:,} and {count_parameters(small)[1]:,}")
dense_run = StoryRun(dense, rows, STEPS, generate=generate, every=STEPS // 4)
dense_losses = dense_run.train(train, STEPS // 2)

# %% tags=["nbval-ignore-output"]
dense_losses += dense_run.train(train, STEPS // 2)
dense = dense.cpu()
torch.manual_seed(1)
dense_scores = story_scores(sample_stories(dense, rows, generate, 200), rows)
of_dense = held_out(dense, rows).loss
print(f"held-out loss: dense {of_dense:.3f}, mixture {found.loss:.3f}")
print(f"coherent: dense {dense_scores.coherent:.1%}, mixture {scores.coherent:.1%}")

# %%
print("the losses are within 0.01 nats of each other:", abs(of_dense - found.loss) < 0.01)

# %% [markdown]
# On stories this simple the extra weights buy little. `lessons/studies/d4_seeds.json` holds three seeds of both, 200 stories of each scored; README says what came out.

# %% [markdown]
# ## Memory, plainly · {section} minutes
#
# The plan says "memory usage lower than standard transformer". Four kinds of memory, and the answer is not one word. Predict for each: more or less than a standard transformer that computes as much for a token?

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
standards = {
    "equal active size": Decoder(rows.vocab_size, 128, 3, 4, lambda: SwiGLU(128, 192)),
    "equal total size": Decoder(rows.vocab_size, 128, 3, 4, lambda: SwiGLU(128, 576)),
}
batch, models = rows.ids[:16], {"this DeepSeek": model, **standards}
sizes = {name: sum(p.numel() for p in m.parameters()) for name, m in models.items()}
used = {**sizes, "this DeepSeek": count_parameters(small)[1]}
megabytes = {
    "weights": [weight_bytes(m) / 1e6 for m in models.values()],
    "weights used for a token": [4 * used[name] / 1e6 for name in models],
    "cache of 256 tokens": [b / 1e6 for b in (latent_bytes, standard_bytes, standard_bytes)],
    "kept for the backward pass": [activation_bytes(m, batch) / 1e6 for m in models.values()],
}
plot_memory(megabytes, list(models), "What each occupies, in megabytes")
plt.show()

# %%
weights, of_token, cache, kept = megabytes.values()
print("weights: more than the standard transformer of equal active size:", weights[0] > weights[1])
print("weights used for a token: no more than a tenth above it:", of_token[0] < 1.1 * of_token[1])
print("cache: under a third of a standard one:", cache[0] < cache[1] / 3)
print("kept in training: more than the standard transformer:", kept[0] > kept[1])

# %% [markdown]
# Beside a standard transformer that computes as much, the plan's criterion holds for the cache, and fails for weights, since every expert lies in memory, and for what training keeps: a token's row is kept anew for each expert that takes it. Beside one of equal total size the weights are as many, and a token uses far fewer.

# %% [markdown]
# ## Your own text · {section} minutes
#
# A second run on prose, code and stories together, by windows this time. Put a file of yours in: `Corpus.build([read_text("my.txt"), *python_prose()])`, both from `helpers.data.texts`. Look at the traffic by domain.

# %% tags=["nbval-ignore-output"]
corpus = Corpus.build()
torch.manual_seed(0)
second = DeepSeek(
    replace(small, num_experts=16, top_k=4, expert_dim=32, vocab_size=corpus.vocab_size)
)
train_balanced(second, corpus, 120, rebalance=rebalance, step_at=annealed(0.02, 120, 70))
second_ids, domain = corpus.held_out(rows_per_domain=30, length=64)
experts = chosen_experts(second, second_ids[:, :-1])[2]
shares = relative_load(experts, domain.repeat_interleave(64), len(corpus.domains), 16)
plot_domain_traffic(shares, corpus.domains, "Layer 3 sends domains different ways")
plt.show()

# %%
apart = float((shares.max(dim=0).values / shares.min(dim=0).values).max())
print("some expert is twice as busy in one domain as in another:", apart > 2)

# %% [markdown]
# ## Break it · {section} minutes
#
# Choose a slip and read what the check says of it. Would you have seen it from the loss alone?

# %%
print(", ".join(list(known_mistakes("D4.1"))[:12]), "…")
bug = next(iter(known_mistakes("D4.1")))  # or another of them
print(check_deepseek_block.failure(known_mistakes("D4.1")[bug]))

# %% [markdown]
# ## Investigation 1: two tokens ahead · {section} minutes
#
# V3 also learns to predict the token after next. Position i joins its hidden state, taken after the last norm, with the embedding of token i + 1, passes one more block, and the same head reads token i + 2 (arXiv 2412.19437, section 2.2).
#
# $$h^{1}_i = \mathrm{norm}\big(\mathrm{Block}\big(M\,[\mathrm{norm}(\mathrm{Emb}(t_{i+1}));\ \mathrm{norm}(h_i)]\big)\big)$$

# %% tags=["exercise"] exercise="D4.I1"
from solutions.d4_deepseek import MultiTokenPrediction

# %% tags=["check"] exercise="D4.I1"
check_mtp(MultiTokenPrediction)

# %% [markdown]
# V3 trains it with the rest, its loss times 0.3, later 0.1 (section 4.2); you train it alone on the model you have. A second guess is accepted if the model, once it has the true next token, says the same: V3 reports 85 to 90% (p. 35).


# %% tags=["nbval-ignore-output"]
class SecondGuess(nn.Module):
    """Logits of the token behind each, from its embedding and the hidden state before it."""

    def __init__(self):
        super().__init__()
        self.mtp = MultiTokenPrediction(small)
        self.blocks = [self.mtp.block]  # where `layers_of` looks

    def forward(self, ids):
        with torch.no_grad():
            before = F.pad(model.hidden(ids)[:, :-1], (0, 0, 1, 0))
        return model.head(self.mtp(before, model.embed(ids)))


torch.manual_seed(0)
second_guess = SecondGuess()
extra = StoryRun(second_guess, rows, 100, every=50)
guess_losses = extra.train(train, 100)

# %% tags=["nbval-ignore-output"]
read, marks = rows.held_ids[:200], rows.held_real[:200, 2:]
with torch.no_grad():
    said, guessed = (m(read[:, :-1])[:, 1:].argmax(-1) for m in (model, second_guess))
accepted = float((guessed == said)[marks].float().mean())
right = float((guessed == read[:, 2:])[marks].float().mean())
print(f"accepted {accepted:.1%}; what the story really says {right:.1%}")

# %%
print("accepted more often than a third of the time:", accepted > 1 / 3)

# %% [markdown]
# To decode with it, let it draft: the model reads the newest token and the draft in one go. Where it says the same, both stand, and one reading gave two tokens; where not, its caches forget the draft by `truncate`. Predict: with half of the drafts kept, how many readings do 100 tokens take?

# %% tags=["nbval-ignore-output"]
beginning, draft_layer = rows.prompt("Mila the fox"), second_guess.mtp
ways = {
    "one by one": lambda: generate(model, beginning, 80, temperature=0),
    "with drafts": lambda: speculate(model, draft_layer, beginning, 80),
}
drafted = speculate(model, draft_layer, beginning, 80)
print(f"{drafted.kept} of {drafted.drafted} drafts kept, {drafted.acceptance:.0%}")
for name, taken in median_milliseconds(ways).items():
    print(f"{name:12} {80_000 / taken:6.0f} tokens a second")

# %%
plain = generate(model, beginning, 80, temperature=0)
print("the same text, token for token:", torch.equal(drafted.ids, plain))
print("fewer readings than tokens:", drafted.drafted < 79)

# %% [markdown]
# ## Investigation 2: what each part is worth · {section} minutes
#
# Losses with a part 0.50 and 0.60, without it 0.53 and 0.65, seed by seed: it saves 0.03 and 0.05, on average 0.04, with a standard error of 0.01. With many seeds twice the error is enough to believe a difference; with three it takes about four.

# %% tags=["exercise"] exercise="D4.I2"
from solutions.d4_deepseek import worth

# %% tags=["check"] exercise="D4.I2"
check_worth(worth)

# %% [markdown]
# Short runs of a small model, three seeds, one part taken away at a time; in place of the shared expert, one more routed expert is chosen. Predict the order, then see which differences are larger than four times their error.


# %% tags=["nbval-ignore-output"]
class Nothing(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x)


class StandardAttention(CausalSelfAttention):
    def forward(self, x, cache=None):
        return super().forward(x)


def short_run(change, seed, bias=0.01, steps=40):
    torch.manual_seed(seed)
    made = DeepSeek(replace(small, num_layers=2))
    for block in made.blocks:
        change(block)
    short = StoryRun(made, rows, steps, every=steps, seed=seed, bias=bias)
    short.train(train, steps)
    return held_out(made, rows, count=100).loss


def as_it_is(block):
    pass


def without_shared(block):
    block.ffn.shared, block.ffn.router.top_k = Nothing(), 3


def standard_attention(block):
    block.attention = StandardAttention(small.d_model, small.num_heads)


table = {"whole": [short_run(as_it_is, seed) for seed in range(3)]}
table["no bias"] = [short_run(as_it_is, seed, bias=0.0) for seed in range(3)]

# %% tags=["nbval-ignore-output"]
table["no shared expert"] = [short_run(without_shared, seed) for seed in range(3)]
table["standard attention"] = [short_run(standard_attention, seed) for seed in range(3)]

# %% tags=["nbval-ignore-output"]
whole = torch.tensor(table["whole"])
for name in list(table)[1:]:
    saved, error = worth(whole, torch.tensor(table[name]))
    print(f"{name:20} whole is better by {saved:+.3f} ± {error:.3f}")

# %% [markdown]
# Forty steps show what learns fast, not what is best in the end, and three seeds leave wide errors. DeepSeekMoE's paper has such a table for shared and fine experts, with 2B parameters and 100B tokens (arXiv 2401.06066, section 4.4); the bias and MLA came later.

# %% [markdown]
# ## What you can read now · {section} minutes
#
# DeepSeek-V3's own `inference/model.py` has about 800 lines. Open it beside your parts: the names differ, the computation is yours.
#
# | in `model.py` | yours |
# |---|---|
# | `Gate.forward` | `BiasedRouter` with `keep_top_groups`; without a bias a group counts as its best expert, as in V2 |
# | `Expert`, `MLP` | an expert, a shared expert: SwiGLU |
# | `MoE.forward` | `dispatch_combine` in `DeepSeekMoE` |
# | `MLA.forward`, "naive" | caches expanded keys and values of every head, as `MultiHeadLatentAttention` never does |
# | `MLA.forward`, "absorb" | `absorbed_decode` |
# | `kv_cache`, `pe_cache` | `LatentCache` |
# | `precompute_freqs_cis` | `yarn_frequencies` |
# | `Block.forward` | `DeepSeekBlock` |
# | `Transformer.forward` | `DeepSeek` |

# %% [markdown]
# ## Investigation 3: a released DeepSeek in your code · {section} minutes
#
# A checkpoint that you have downloaded runs in your class: its weights stay in their files, and the system reads the parts that are used. In bfloat16 a parameter takes 2 bytes. Predict from the table above: which of them fit into 16, 32 and 64 GB, and of which only what a token uses?

# %%
for memory in (16, 32, 64):
    whole = [row.name for row in released if row.total and 2 * row.total < memory * 1e9]
    parts = [row.name for row in released if row.total and 2 * row.active < memory * 1e9]
    read = [name for name in parts if name not in whole]
    print(f"{memory} GB: whole {', '.join(whole) or 'none'}; token by token {', '.join(read)}")

# %% [markdown]
# Whatever is not in memory is read from the disk again for every token: such a model runs, at the disk's speed. Put the path of a folder in, or talk to it with `python3 course.py chat FOLDER`. Without one, the story model that you saved stands in; it has met neither code nor German.

# %% tags=["nbval-ignore-output"]
CHECKPOINT = ""  # the path of a folder with config.json, safetensors and tokenizer.json
chosen_folder = Path(CHECKPOINT) if CHECKPOINT else folder
print(
    f"{chosen_folder.name}{'' if CHECKPOINT else ': no checkpoint is given, so it is the story model'}"
)
checkpoint, tokenizer = DeepSeek.from_hf(chosen_folder), read_tokenizer(chosen_folder)
ids = tokenizer("Mila the fox", return_tensors="pt")["input_ids"]
print(tokenizer.decode(generate(checkpoint, ids, 30, temperature=0)[0]))

# %% tags=["nbval-ignore-output"]
traffic = traffic_by_domain(checkpoint, tokenizer.encode)
for layer in sorted({0, len(traffic) // 2, len(traffic) - 1}):
    title = f"Layer {layer + 1} of those with experts"
    plot_domain_traffic(traffic[layer], list(DOMAINS), title)
    plt.show()

# %% [markdown]
# ## Explain the trade-offs · {section} minutes
#
# Answer each in two sentences with a number, before you look into your four notebooks for it.
#
# 1. What does a mixture buy, and what does it cost in memory?
# 2. Why is V3's bias not in the gates?
# 3. Why is there a shared expert?
# 4. Where does "fine-grained" cut, and what stays the same?

# %% [markdown]
# And about attention, layers and balance:
#
# 5. Why is the rotary key apart from the latent?
# 6. When is MLA slower than standard attention?
# 7. Why are the first layers dense?
# 8. What does CV below 0.1 mean with 100 tokens and 256 experts?

# %% [markdown]
# ## What you built
#
# A DeepSeek. `python3 course.py export` writes the parts of yours that pass, and the reference's for the rest, as one file, `work/my_deepseek.py`: it needs only torch, tokenizers and safetensors, trains on a text file, saves, and generates.

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# ## What surprised us
#
# - V3's count comes out to the last parameter from twenty numbers.
# - A mixture needs more memory, for weights and for training, than what computes as much.
# - Coherence jumps from almost none to most within a few hundred steps, once copying is learned.
# - On simple stories a dense rival is nearly as good: here experts are balanced, and hardly needed.

# %% [markdown]
# ## Read next
#
# - Switch Transformers (arXiv 2101.03961), Mixtral of Experts (arXiv 2401.04088, January 2024; the model is of December 2023).
# - DeepSeekMoE (arXiv 2401.06066), DeepSeek-V2 (arXiv 2405.04434), DeepSeek-V3 (arXiv 2412.19437).
# - Auxiliary-Loss-Free Load Balancing (arXiv 2408.15664).
# - Fast Transformer Decoding: One Write-Head is All You Need (arXiv 1911.02150), GQA (arXiv 2305.13245).
# - `Transformer` in DeepSeek-V3's `inference/model.py`.
