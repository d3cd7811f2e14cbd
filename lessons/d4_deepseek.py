# %% [markdown]
# # D4 · A complete DeepSeek
#
# You assemble a DeepSeek from the parts you wrote. At V3's sizes it has exactly V3's number of parameters; on the same weights it gives transformers' logits; trained, it writes stories that hold together.

# %% tags=["setup"] jupyter={"source_hidden": true}
import helpers  # before torch: its threads then sleep while they wait

import inspect
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed import ProcessGroup
from torch.nn import functional as F

import solutions.d4_deepseek as reference
from checks import predict, progress, truth
from checks.learner_files.this_notebook import folder_of_its_own
from checks.audit.known_mistakes import known_mistakes
from checks.learner.carry import carry
from checks.learner.live import live_traffic
from checks.learner.open_tasks.d4_deepseek import config_measure
from checks.learner.resume import resume
from checks.d4_deepseek import (
    check_count_parameters,
    check_deepseek,
    check_deepseek_block,
    check_expert_parallel_dispatch,
    check_generate,
    check_masked_loss,
    check_mtp,
    check_my_config,
    check_rebalance_together,
    check_rows_to_send,
    check_sample,
    check_train,
    check_worth,
)
from checks.processes.pool import together
from helpers.training_loops.balancing import annealed, train_balanced
from helpers.checkpoints.folder_tokenizer import read_tokenizer
from helpers.checkpoints.released import released_rows
from helpers.checkpoints.written import write_folder
from helpers.data.corpus import END_OF_TEXT, Corpus
from helpers.measuring.devices import slowdown
from helpers.measuring.random_routing import chance_cv
from helpers.measuring.released_traffic import DOMAINS, traffic_by_domain
from helpers.measuring.stored_studies import stored_rows
from helpers.measuring.timing import median_milliseconds
from helpers.measuring.training_memory import training_bytes
from helpers.diagrams.exchanges import exchanges
from helpers.diagrams.layers import block as block_diagram
from helpers.diagrams.layers import stack as stack_diagram
from helpers.model.attention_ways import QUERY_BLOCK, absorbs, attended_in_blocks, can_absorb
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.interfaces import CachingModel, ExpertList
from helpers.model.kv_cache import cache_bytes, cached_numbers
from helpers.model.llama import CausalSelfAttention, Decoder, RMSNorm, SwiGLU
from helpers.checkpoints.loading import loaded, use_v2_routers
from helpers.measuring.memory import standard_cache_bytes
from helpers.model.published import V3, active_parameters, total_parameters
from helpers.model.speculative import speculate
from helpers.model.yarn import Yarn
from helpers.parallel.exchange import exchange
from helpers.plots.story_box import StoryBox, show_experts
from helpers.measuring.story_measures import bigram_loss, held_out, sample_stories, story_scores
from helpers.plots.copy_plots import plot_right_copies
from helpers.plots.spread_plots import plot_costs, plot_spread
from helpers.plots.story_plots import plot_memory_stack, plot_story_curves
from helpers.story_world.copying import guessed_copies, right_copies, word_tokens
from helpers.data.story_batches import StoryBatches
from helpers.data.story_rows import StoryRows
from helpers.training_loops.loop import TrainingLoop
from helpers.training_loops.story_run import StoryRun
from helpers.measuring.traffic import chosen_experts, layers_of, relative_load
from helpers.plots.traffic_plots import plot_domain_traffic, plot_traffic_maps

carried = carry("d1_moe", "d2_deepseek_moe", "d3_mla")
DeepSeekMoE, rebalance = carried.DeepSeekMoE, carried.rebalance
expert_load, update_bias = carried.expert_load, carried.update_bias
dispatch_combine = carried.dispatch_combine
LatentCache = carried.LatentCache
MultiHeadLatentAttention = carried.MultiHeadLatentAttention
attend, absorbed_decode = carried.attend, carried.absorbed_decode
yarn_frequencies = carried.yarn_frequencies
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
    theta=200.0,  # base of the rotary angles; V3's is 10,000
)
dense_config = replace(small, dense_layers=3, dense_dim=192)  # as wide as what a token uses
torch.manual_seed(0)
torch.set_num_threads(2)  # a fifth to a third less time than one, at this size
device = "cpu"  # where models train: "cuda" or "mps" where there is one
carried

# %%
stack_diagram(DeepSeekConfig.v3(), "DeepSeek-V3")

# %% [markdown]
# {lesson}, not counting the sections marked optional:
#
# {map}

# %% [markdown]
# ## How this notebook works
#
# The folded cell above collects your parts of D1, D2 and D3 where they pass, and says whose each one is. Save those notebooks first (Ctrl+S). A part has a switch: add `reference=["DeepSeekMoE"]` or `yours=[…]` to `carry(…)` and run the cell again.
#
# Letters: B batch, L positions that go in, N tokens of a whole row, D = `d_model`, V vocabulary, E experts, K = `top_k`, m segments of a token.

# %% [markdown]
# After a restart of the kernel run the set-up and the next cell: it brings back every part that you have passed and saved, so that you can go on at any section.

# %%
resume("d4_deepseek", globals())

# %% [markdown]
# ## D4.1 One block · {section} minutes
#
# A block has two sublayers, each `x + f(norm(x))`. If a row x is (1, 2) and f gives (0.5, 0), the row that leaves is (1.5, 2): what came in is still there, and what was computed stands on top. If attention and experts gave zeros, the block would return x itself.

# %%
block_diagram(small, layer=0)

# %% [markdown]
# The first `dense_layers` blocks have a SwiGLU in place of experts: DeepSeekMoE's authors saw balance settle slowest there (arXiv 2401.06066, p. 15). `attended`, which is given, computes `attention` in the cheapest way: expanded for many new tokens, absorbed for one.

# %% tags=["exercise"] exercise="D4.1"
from solutions.d4_deepseek import DeepSeekBlock

# %% tags=["check"] exercise="D4.1"
check_deepseek_block(DeepSeekBlock)

# %% [markdown]
# One block of this lesson's model. A gradient should reach every part. As a control, the same test on a block whose router is cut off from the loss.


# %%
def reached(block, part):
    weights = list(block.get_submodule(part).parameters())
    return all(w.grad is not None and bool(w.grad.abs().sum() > 0) for w in weights)


parts = ("attention_norm", "attention", "ffn_norm", "ffn.router", "ffn.experts", "ffn.shared")
torch.manual_seed(0)
for name in ("as it is", "router cut off"):
    one = DeepSeekBlock(small, layer=0)
    if name == "router cut off":
        one.ffn.router.register_forward_hook(lambda _, __, out: (out[0].detach(), out[1]))
    tokens = torch.randn(2, 20, 128)
    one(tokens).pow(2).mean().backward()
    missed = [part for part in parts if not reached(one, part)]
    print(f"{name}: (B, L, D) kept, {one(tokens).shape == tokens.shape}; no gradient in {missed}")

# %% [markdown]
# ## D4.2a The stack · {section} minutes
#
# Embedding, blocks, a last norm, and a head that shares no weight with the embedding. With caches, the third layer uses the third of them, and ids are only the tokens that the caches have not seen: of a text of 6 with 5 in the cache, one.

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
# About twenty numbers and options fix a DeepSeek: `DeepSeekConfig` holds them. Below are the published ones of V3 and, as the study plan has it, another V3 with a latent of 1,024, two shared experts, and tokens cut into 8 segments. First proof: your own class at V3's size, in some ten seconds.

# %%
predict("D4.p1", guess=None)  # how many billions of the 103 of that other V3 does one token use?

# %% tags=["nbval-ignore-output"]
v3 = DeepSeekConfig.v3()
segments = replace(v3, d_latent=1024, num_shared=2, num_segments=8, num_groups=1, top_groups=1)
counts = {
    "DeepSeek-V3": count_parameters(v3),
    "DeepSeek-V2-Lite": count_parameters(DeepSeekConfig.v2_lite()),
    "token segments": count_parameters(segments),
}

# %%
for name, (total, active) in counts.items():
    print(f"{name:18}{total:18,} in all{active:17,} per token{total / active:6.1f}x")
print("V3 to the last parameter:", counts["DeepSeek-V3"][0] == 671_026_404_352)
published = (total_parameters(V3), active_parameters(V3))
print("the same as from the published table:", counts["DeepSeek-V3"] == published)
print("and of the model with token segments:", counts["token segments"] == published)
truth(
    "D4.p1",
    f"{counts['token segments'][1] / 1e9:.2f} billion of {counts['token segments'][0] / 1e9:.1f}",
)

# %% [markdown]
# With token segments an expert sees slices of 896 of 7,168 numbers, so each is an eighth as large, and a token may use up to 64 of them, 8 for each of its 8 segments. V3 cuts experts instead of tokens; its own 8 are groups of experts, one per node.

# %% [markdown]
# ## Second proof: transformers' model, your code · {section} minutes
#
# Take transformers' `DeepseekV3ForCausalLM` in a small size, draw every weight anew (norms and balancing biases too), and load it by name into your class.

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

# %% [markdown]
# The control is the same weights with a slip: the first norm is left out.

# %%
mine = DeepSeek.from_hf(theirs)
tokens = torch.randint(1, 97, (2, 17), generator=torch.Generator().manual_seed(1))


def off(ours):
    """The largest difference of logits, over the largest logit or 1."""
    with torch.no_grad():
        wanted, got = theirs(tokens).logits, ours(tokens)
    return float((got - wanted).abs().max()) / max(1.0, float(wanted.abs().max()))


print("logits agree within 1e-5 of the largest:", off(mine) <= 1e-5)
slip = DeepSeek.from_hf(theirs)
slip.blocks[0].attention_norm = nn.Identity()
print("and with one norm left out:", off(slip) <= 1e-5)

# %% [markdown]
# The same class reads a folder as released: `config.json` and safetensors, YaRN by your `yarn_frequencies`, FP8 weights with their scales, V2's groups; layers for multi-token prediction are left out. What it cannot compute it refuses in a sentence. Brackets say what a row is made from, where it is not the released configuration. The table has V2-Lite, V2, V3, Moonlight, Kimi-K2, V3.2-Exp, GLM-4.7-Flash, R1, V3.1 and V4.

# %%
predict("D4.p2", guess=None)  # how many of these ten can your class read?

# %% tags=["nbval-ignore-output"]
released = released_rows(count_parameters)

# %%
for row in released:
    size = f"{row.total:18,} in all{row.active:16,} per token" if row.total else row.refusal
    print(f"{row.name:14} {size}" + (f"  ({row.made})" if row.made else ""))

# %%
truth("D4.p2", f"{sum(row.total is not None for row in released)} of {len(released)} are read")

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
# A row of 5 tokens gives 4 inputs and 4 targets, one position apart. After each optimiser step `rebalance(layer, real, step)` moves the bias of every layer in `layers_of(model)`, by the real tokens that went in: the first 4 positions.

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
# Third proof: the same tokens with the cache, without it, and from transformers. Then the caches' bytes, beside those of a standard transformer as wide: 64 + 16 numbers per token and layer in place of 2 · 128.

# %%
prompt, new = tokens[:, :6], 12
cached = generate(mine, prompt, new, temperature=0)
uncached = generate(mine, prompt, new, temperature=0, use_cache=False)
print("cached equals uncached:", torch.equal(cached, uncached))
hf_says = theirs.generate(prompt, max_new_tokens=new, do_sample=False)
print("and what transformers generates:", torch.equal(cached, hf_says))
slipped = generate(slip, prompt, new, temperature=0)
print("and the model with the slip:", torch.equal(slipped, cached))
caches = DeepSeek(small).new_caches(batch=1, capacity=256)
with torch.no_grad():
    DeepSeek(small)(torch.zeros(1, 256, dtype=torch.long), caches)
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
print(f"{rows.vocab_size:,} tokens, {int(rows.real.sum()) / len(rows.ids):.0f} per story")

# %% [markdown]
# Each row is one story from its first token on, padded to the longest. In windows cut at random places, as you would cut prose, many a name would stand without the sentence that introduced it.

# %% [markdown]
# ## Train it · {section} minutes
#
# Three layers, 1.1 million parameters, of which a token uses 0.7 million. After every tenth of the run the model is asked for words that a held-out story has told before: a name, a place, a thing, a thing's colour. A copy is right if no other name (place, thing, colour) is likelier than the true one.

# %%
predict("D4.p3", guess=None)  # which of the four is copied right last?

# %%
total, active = count_parameters(small)
print(f"{total:,} parameters, {active:,} per token")


# %% [markdown]
# The run hands your `train` one batch after the other, and keeps optimiser, schedule and the step of the bias. So each cell below goes on where the last one stopped; to begin anew, run the next one again.

# %% tags=["nbval-ignore-output"]
STEPS = 800
torch.manual_seed(0)
model = DeepSeek(small).to(device)
run = StoryRun(model, rows, STEPS, generate=generate, every=STEPS // 10)
sorts = word_tokens(rows.tokenizer.token_to_id)
losses, moments = [], [{"step": 0, "copies": right_copies(model, rows.held_ids[:100], sorts)}]


def go_on(tenths):
    """Trains for as many tenths of the run; `losses` and `moments` grow."""
    for _ in range(tenths):
        losses.extend(run.train(train, run.every))
        point, copies = run.points[-1], right_copies(model, rows.held_ids[:100], sorts)
        moments.append({"step": point.step, "coherent": point.coherent, "copies": copies})


watch = live_traffic(model)
with watch:
    go_on(2)

# %% tags=["nbval-ignore-output"]
with watch:
    go_on(3)

# %% tags=["nbval-ignore-output"]
with watch:
    go_on(3)

# %% tags=["nbval-ignore-output"]
with watch:
    go_on(2)
watch

# %% tags=["nbval-ignore-output"]
model = model.cpu()  # where the next cells look at it

# %% [markdown]
# The run's losses, and how many of 48 stories cohere at each point. A name told before should cost next to nothing. A table of token pairs, the horizontal line, knows only the last token.

# %% tags=["nbval-ignore-output"]
plot_story_curves(losses, run.points, bigram_loss(rows), "Loss falls first, coherence later")
plt.show()

# %% [markdown]
# The loss flattens long before stories hold together. Plot the copies by kind of word, and you see what is missing. The dotted lines are a guess among the words of that kind that the story itself has told, a harder control than the model before training, which stands at step 0.

# %% tags=["nbval-ignore-output"]
plot_right_copies(
    moments,
    "What is copied right, by kind of word",
    guessed=guessed_copies(rows.held_ids, sorts),
)
plt.show()

# %% [markdown]
# A guess among the things or colours of a story is nearly always right: most have one. So a model below that line has not mistaken one for another: it does not look back. Coherence needs all four kinds, so it jumps as one more is learned: here, after names and colours, with things and again with places. The order is a matter of the run: below, a dense model copies names and not yet colours. One wrong colour spoils a story, and costs the mean loss next to nothing.


# %% tags=["nbval-ignore-output"]
def first_above(sort, share=0.9):
    """The first moment at which the share of right copies is above `share`."""
    return next((m["step"] for m in moments if m["copies"][sort] > share), STEPS + 1)


above = {sort: first_above(sort) for sort in sorts}
print("right in nine of ten copies from step:", above)
truth("D4.p3", f"{max(above, key=above.get)}, at step {max(above.values())}")

# %%
print("all four are right in nine of ten copies:", min(moments[-1]["copies"].values()) > 0.9)
print("and before training:", min(moments[0]["copies"].values()) > 0.9)
halfway = [m["coherent"] for m in moments[1:] if min(m["copies"].values()) < 0.5]
print("while one kind is wrong in half, no story in ten holds:", max(halfway, default=0.0) < 0.1)
print("and in the end:", moments[-1]["coherent"] < 0.1)

# %% [markdown]
# ## Does it write? · {section} minutes
#
# Two hundred stories at temperature 0.8, from nothing but the token that begins a text. A story that stands in the training set would prove memory, not writing, so those are counted too.

# %% tags=["nbval-ignore-output"]
torch.manual_seed(1)
texts = sample_stories(model, rows, generate, 200)
scores = story_scores(texts, rows)
found = held_out(model, rows)
print(texts[0], "\n")
print(f"coherent {scores.coherent:.1%}, distinct {scores.distinct}, copied {scores.copied}")
print("what is wrong with the others:", scores.problems)
print(f"held-out loss {found.loss:.3f}, a table of token pairs {bigram_loss(rows):.3f} nats")
print("CV of the experts' load by layer:", [round(cv, 3) for cv in found.cvs])

# %% [markdown]
# Claims, each beside what a control gives: true stories whose thing has another colour once are not coherent, and the model before training neither beats the table nor is balanced.

# %%
torch.manual_seed(0)
untrained = held_out(DeepSeek(small), rows, count=100)
repainted = [s.text.replace(s.colour, "pink", 1) for s in rows.held if s.colour != "pink"]
control = story_scores(repainted, rows)
print("coherent at least 0.9:", scores.coherent >= 0.9, "· control:", control.coherent >= 0.9)
print("150 distinct, none of the training set:", scores.distinct >= 150 and scores.copied == 0)
pairs = bigram_loss(rows)
print("below the table of pairs:", found.loss < pairs, "· control:", untrained.loss < pairs)
print("CV below 0.1, every layer:", max(found.cvs) < 0.1, "· control:", max(untrained.cvs) < 0.1)

# %% [markdown]
# Write with it: give it a beginning, choose a temperature. Try 0, 0.8 and 1.5, then a hero with a name that no story has. Each word carries the expert that the router of layer 2 names first.

# %% tags=["nbval-ignore-output"]
StoryBox(model, rows, generate, layer=1)

# %% [markdown]
# Keep it: `to_hf` writes configuration, weights and tokenizer as transformers lays them out, so anyone's library opens your model. `python3 course.py chat work/story_model` talks to it in a terminal. After a restart, `model = DeepSeek.from_hf(folder)` brings it back for the sections below.

# %% tags=["nbval-ignore-output"]
from transformers import AutoModelForCausalLM

folder = folder_of_its_own("story_model")
model.to_hf(folder, tokenizer=rows.tokenizer, end_of_text=END_OF_TEXT)
opened = AutoModelForCausalLM.from_pretrained(folder)
print(f"{folder.name}: {type(opened).__name__}")

# %%
story = rows.prompt(texts[0])
with torch.no_grad():
    distance = float((opened(story).logits - model(story)).abs().max())
    from_untrained = float((opened(story).logits - DeepSeek(small)(story)).abs().max())
print("transformers' logits are yours:", distance < 1e-4, "· control:", from_untrained < 1e-4)

# %% [markdown]
# ## When a mixture wins, continued · {section} minutes
#
# In D1 a mixture recalled facts that a dense model of equal active size did not, in as many steps or in about as much time. Stories ask for little knowledge: the words and wordings of a small world. So what do the idle experts buy here? The rival's SwiGLU is as wide as the chosen and the shared experts together, 3 · 64 = 192.

# %%
predict("D4.p4", guess=None)  # the dense model's loss less the mixture's, nats?

# %% [markdown]
# Both were trained for 800 steps on the same stories with three seeds; those runs are stored, and the diamond is your own. A step's time is measured here, in turn, and so is what stays in memory between two steps: weights, gradients, Adam's two moments. The dense model of equal *total* size is measured too, untrained.

# %% tags=["nbval-ignore-output"]
rivals = {
    "mixture": small,
    "dense, equal active": dense_config,
    "dense, equal total": replace(small, dense_layers=3, dense_dim=579),
}
loops = {}
for name, config in rivals.items():
    torch.manual_seed(0)
    batches = StoryBatches(rows.ids, rows.real, 16, seed=0)
    loops[name] = TrainingLoop(DeepSeek(config), batches, STEPS)
step_ms = median_milliseconds(
    {name: lambda loop=loop: loop.step(train) for name, loop in loops.items()}
)
step_bytes = {name: training_bytes(loop.model, rows.ids[:16]) for name, loop in loops.items()}
at_rest = {name: sum(list(of.values())[:3]) for name, of in step_bytes.items()}
plot_costs(
    {
        "weights, millions": {n: count_parameters(c)[0] / 1e6 for n, c in rivals.items()},
        "used per token, millions": {n: count_parameters(c)[1] / 1e6 for n, c in rivals.items()},
        "memory at rest, MB": {n: of / 1e6 for n, of in at_rest.items()},
        "a training step, ms": step_ms,
    },
    "What the mixture and its dense rivals cost",
)
plt.show()

# %% tags=["nbval-ignore-output"]
seeds = stored_rows("d4_seeds")
trained = {
    "mixture": [row["mixture"]["held_out"] for row in seeds],
    "dense, equal active": [row["dense"]["held_out"] for row in seeds],
}
plot_spread(
    trained, "After 800 steps, three seeds", "held-out loss, nats per token",
    live={"mixture": found.loss},
)  # fmt: skip
plt.show()
told_dense = ", ".join(f"{row['dense']['coherent']:.1%}" for row in seeds)
told_mixture = ", ".join(f"{row['mixture']['coherent']:.1%}" for row in seeds)
print(f"coherent of 200: mixture {told_mixture}; dense {told_dense}")
share = step_ms["dense, equal active"] / step_ms["mixture"]
print(f"the dense model's 800 steps take {share:.2f} of the mixture's time")

# %%
gaps = [d - m for m, d in zip(*trained.values(), strict=True)]
print("losses within 0.002 of each other, seeds:", [s for s in range(3) if abs(gaps[s]) < 0.002])
print("coherent at least 0.9, mixture:", [s["mixture"]["coherent"] >= 0.9 for s in seeds])
print("coherent at least 0.9, dense:", [s["dense"]["coherent"] >= 0.9 for s in seeds])
late = seeds[1]["dense"]
broken = round(late["count"] * (1 - late["coherent"]))
print(f"of its {broken} broken stories in seed 1, {late['problems']['colour']} have a wrong colour")
print("though it copies names: their loss is below 0.02 nats:", late["told"] < 0.02)
truth("D4.p4", ", ".join(f"{gap:+.3f}" for gap in gaps) + " for seeds 0 to 2")

# %% [markdown]
# In two seeds of three the dense model reaches the mixture's loss to 0.002, with fewer weights, less memory and less time per step. In seed 1 it copies names and not yet colours, and in the loss that is a few hundredths of a nat. So on two seeds of three the idle experts buy no better loss: stories ask for rules of copying and for little knowledge. That is the contrast to D1's facts, and why a mixture pays where there is much to know.

# %% [markdown]
# ## Memory, plainly · {section} minutes
#
# Does it need less memory than a standard transformer that computes as much per token? There are three answers: for the cache, for what rests between steps, for what the backward pass needs.

# %%
predict("D4.p5", guess=None)  # cache, at rest, kept for the backward pass: more or less, each?

# %% [markdown]
# Adam keeps two numbers for every weight, and there is a gradient for every weight, used by this token or not: an idle parameter costs 16 bytes in float32. What the backward pass keeps grows by more here, and not because of idle experts, as the cell after the picture shows.

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
batch = rows.ids[:16]
compared = {
    "this DeepSeek": DeepSeek(small),
    "its layers dense": DeepSeek(dense_config),
    "standard, equal active": Decoder(rows.vocab_size, 128, 3, 4, lambda: SwiGLU(128, 192)),
    "standard, equal total": Decoder(rows.vocab_size, 128, 3, 4, lambda: SwiGLU(128, 576)),
}
memory = {
    name: {kind: size / 1e6 for kind, size in training_bytes(made, batch).items()}
    for name, made in compared.items()
}
plot_memory_stack(memory, "What training holds, a batch of 16 stories")
plt.show()

# %% [markdown]
# Why does the mixture keep more for the backward pass? Not because all experts lie in memory: an expert that no token chose keeps nothing. For each of a token's K experts, `dispatch_combine` makes three rows of width D that a dense layer does not need: the copy of the token that the expert reads, what it returns, kept so that the gate can learn, and that times the gate.

# %%
mixture, dense_too, standard, total_too = memory.values()
kept = "kept for the backward pass"
more = mixture[kept] - dense_too[kept]
three_rows = 3 * small.top_k * small.d_model * 4 * batch[:, 1:].numel() * small.num_layers / 1e6
print(f"three rows per chosen expert: {three_rows:.1f} MB")
print("that is over 0.85 of what the mixture keeps more:", 0.85 < three_rows / more <= 1)
print("one row per chosen expert would be:", 0.85 < three_rows / 3 / more <= 1)
at_rest = [sum(m.values()) - m[kept] for m in (mixture, standard, total_too)]
print(
    "at rest: more than equal active:",
    at_rest[0] > at_rest[1],
    "than equal total:",
    at_rest[0] > 1.01 * at_rest[2],
)
print("cache: under a third of a standard one:", latent_bytes < standard_bytes / 3)
truth("D4.p5", "cache less; at rest more; kept for the backward pass more")

# %% [markdown]
# So the answer is yes for the cache, and no for training. What its dense twin keeps more than a standard transformer is the attention's part: the two differ in nothing else. Beside a transformer of equal *total* size the mixture holds as much at rest, and computes far less per token.

# %% [markdown]
# ## Your own text · {section} minutes, optional
#
# A second run on prose, code and stories together, by windows this time. Put a file of yours in: `Corpus.build([read_text("my.txt"), *python_prose()])`, both from `helpers.data.texts`. The map of the untrained model stands beside the trained one's: its router, too, sends domains apart, since their words differ, but no expert is twice as busy in one domain as in another.

# %% tags=["nbval-ignore-output"]
corpus = Corpus.build()
second_ids, domain = corpus.held_out(rows_per_domain=30, length=64)


def shares_of(some):
    """Relative load of layer 3's experts by domain, 1.0 for the even share."""
    experts = chosen_experts(some, second_ids[:, :-1])[2]
    return relative_load(experts, domain.repeat_interleave(64), len(corpus.domains), 16)


torch.manual_seed(0)
second = DeepSeek(
    replace(small, num_experts=16, top_k=4, expert_dim=32, vocab_size=corpus.vocab_size)
)
maps = {"untrained": shares_of(second)}
train_balanced(second, corpus, 60, rebalance=rebalance, step_at=annealed(0.02, 60, 35))
maps["trained"] = shares_of(second)
plot_traffic_maps(maps, corpus.domains, "Layer 3, relative load by domain")
plt.show()

# %%
apart = {name: float((m.max(0).values / m.min(0).values).max()) for name, m in maps.items()}
print("some expert is twice as busy in one domain as in another:", apart["trained"] > 2)
print("and before training:", apart["untrained"] > 2)

# %% [markdown]
# ## Break it · {section} minutes
#
# Choose a slip and read what the check says of it. Would you have seen it from the loss alone?

# %%
print(", ".join(list(known_mistakes("D4.1"))[:12]), "…")
bug = next(iter(known_mistakes("D4.1")))  # or another of them
print(check_deepseek_block.failure(known_mistakes("D4.1")[bug]))

# %% [markdown]
# ## Investigation 1: two tokens ahead · {section} minutes, optional
#
# V3 also learns to predict the token after next. The hidden state of position i is joined with the embedding of token i + 1 and passes one more block, and from the result the same head predicts token i + 2 (arXiv 2412.19437, section 2.2). Whether the hidden state is taken before or after the last norm the report does not say; transformers and vLLM feed the one after it, and so do you.
#
# $$h^{1}_i = \mathrm{norm}\big(\mathrm{Block}\big(M\,[\mathrm{norm}(\mathrm{Emb}(t_{i+1}));\ \mathrm{norm}(h_i)]\big)\big)$$

# %% tags=["exercise"] exercise="D4.I1"
from solutions.d4_deepseek import MultiTokenPrediction

# %% tags=["check"] exercise="D4.I1"
check_mtp(MultiTokenPrediction)

# %% [markdown]
# V3 trains it with the rest, its loss times 0.3, later 0.1 (section 4.2); you train it alone on the model you have. Its prediction of the second token, the second guess, is accepted if the model, once it has the true next token, says the same: V3 reports 85 to 90%, and 1.8 times the tokens per second (p. 35).


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
extra = StoryRun(second_guess, rows, 100, every=100)
guess_losses = extra.train(train, 100)

# %% tags=["nbval-ignore-output"]
read, marks = rows.held_ids[:200], rows.held_real[:200, 2:]
torch.manual_seed(0)
with torch.no_grad():
    said, guessed, chance = (
        m(read[:, :-1])[:, 1:].argmax(-1) for m in (model, second_guess, SecondGuess())
    )
accepted, by_chance = (float((g == said)[marks].float().mean()) for g in (guessed, chance))
right = float((guessed == read[:, 2:])[marks].float().mean())
print(f"accepted {accepted:.1%}, untrained {by_chance:.1%}; what the story says {right:.1%}")

# %%
print("accepted over a third of the time:", accepted > 1 / 3, "untrained:", by_chance > 1 / 3)

# %% [markdown]
# To decode with it, let it draft: the model reads the newest token and the draft in one go. Where it says the same, both stand, and one reading gave two tokens; where not, its caches forget the draft by `truncate`. With a share a of drafts kept, a reading gives 1 + a tokens.

# %%
predict("D4.p6", guess=None)  # with half of the drafts kept: how many readings for 100 tokens?

# %% tags=["nbval-ignore-output"]
beginning, draft_layer = rows.prompt("Mila the fox"), second_guess.mtp
ways = {
    "one by one": lambda: generate(model, beginning, 80, temperature=0),
    "with drafts": lambda: speculate(model, draft_layer, beginning, 80),
}
drafted = speculate(model, draft_layer, beginning, 80)
print(f"{drafted.kept} of {drafted.drafted} drafts kept, {drafted.acceptance:.0%}")
for name, taken in median_milliseconds(ways, turns=3).items():
    print(f"{name:12} {80_000 / taken:6.0f} tokens per second")

# %%
plain = generate(model, beginning, 80, temperature=0)
print("the same text, token for token:", torch.equal(drafted.ids, plain))
print("fewer readings than tokens:", drafted.drafted < 79)
truth("D4.p6", f"100 / (1 + 0.5) = {100 / 1.5:.0f}; V3's 0.85 to 0.9 give 1.85 to 1.9 per reading")

# %% [markdown]
# Whether that is faster is another matter. The share accepted above is that of 200 held-out stories; the drafts here follow one text, which the model writes itself, and fewer of them are kept. The drafting layer stands beside only three others, and a reading of two tokens costs more than one of one, so nothing is gained. V3's stands beside 61, and more of its drafts are kept.

# %% [markdown]
# ## Investigation 2: what each part is worth · {section} minutes, optional
#
# Losses with a part 0.50 and 0.60, without it 0.53 and 0.65, seed by seed: it saves 0.03 and 0.05, on average 0.04, with a standard error of 0.01. With many seeds twice the error is enough to believe a difference; with three it takes about four.

# %% tags=["exercise"] exercise="D4.I2"
from solutions.d4_deepseek import worth

# %% tags=["check"] exercise="D4.I2"
check_worth(worth)

# %% [markdown]
# Short runs of a small model, three seeds, one part taken away at a time; in place of the shared expert, one more routed expert is chosen.

# %%
predict("D4.p7", guess=None)  # bias, shared expert, MLA: which is better left out?


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
saves = {name: worth(whole, torch.tensor(losses_of)) for name, losses_of in table.items()}
for name, (saved, error) in saves.items():
    print(f"{name:20} whole is better by {saved:+.3f} ± {error:.3f}")

# %%
difference = whole - torch.tensor(table["standard attention"])
print("better with standard attention, every seed:", bool((difference > 0).all()))
bare = whole - torch.tensor(table["no shared expert"])
print("better without the shared expert, the control:", bool((bare > 0).all()))
truth("D4.p7", "MLA: standard attention has the lower loss")

# %% [markdown]
# At this size the model does better with standard attention, by about 0.05 nats on every seed after forty steps. That difference is three to six standard errors, depending on the machine's rounding; with three seeds it takes about four. The rotary base is not the cause: with θ of 10,000 the difference is the same. MLA is bought for its cache. At 16 billion parameters V2's paper has it ahead of multi-head attention on MMLU, 50.0 to 48.7, and behind on C-Eval, 50.9 to 51.6 (arXiv 2405.04434, table 9).

# %% [markdown]
# Without the shared expert the loss is about 0.15 nats higher, the largest difference of the table. In D2, with another model and after 120 steps, it was lower on two seeds of three. Whether model or steps made the difference is not measured; forty steps show what learns fast. DeepSeekMoE's paper ablates fine and shared experts with 2B parameters and 100B tokens (arXiv 2401.06066, section 4.4); there, too, "no shared expert" means one more routed one. The bias is ablated in arXiv 2408.15664 and in V3's table 5.

# %% [markdown]
# ## Investigation 3: experts on several machines · {section} minutes, optional
#
# A mixture as large as V3 can be trained because its experts lie on many devices. Put eight on two processes: process 0 holds experts 0 to 3, process 1 holds 4 to 7. A token of process 0 that chooses 1 and 6 runs expert 1 at home; a copy of its row goes to process 1, is run by 6, and comes back to be weighted and added.

# %%
three, two = torch.tensor([[1, 6], [5, 4], [0, 3]]), torch.tensor([[2, 7], [6, 1]])
exchanges([three, two], num_experts=8)

# %% [markdown]
# V3 trains with the 256 experts of a layer on 64 GPUs in 8 nodes, four on each GPU, and sends a token to at most 4 nodes (arXiv 2412.19437, sections 2.1.2 and 3.2). That is what groups are for. To decode, 320 GPUs hold one expert each, 64 of them redundant and shared ones (section 3.4).
#
# Below, each process stands for a machine. `torch.distributed` joins them in a group: by gloo on CPUs, by nccl on GPUs. Process r of n is said to have rank r.

# %% [markdown]
# Who goes where? Choices (1, 6) and (5, 4) of two tokens are 1, 6, 5, 4 in a row, numbered 0 to 3. By expert they leave in the order 0, 3, 2, 1, and the counts are (0, 1, 0, 0) for process 0 and (1, 1, 1, 0) for process 1.

# %% tags=["exercise"] exercise="D4.I3a"
from solutions.d4_machines import rows_to_send

# %% tags=["check"] exercise="D4.I3a"
check_rows_to_send(rows_to_send)

# %% [markdown]
# `dist.all_to_all_single` carries rows from everyone to everyone. Autograd does not see it: what arrives has no gradient, and nothing warns. The given `exchange` adds one: its gradient takes the reverse way, with the two sizes swapped.

# %%
print(inspect.getsource(inspect.getmodule(exchange)._Exchange))

# %% [markdown]
# Two processes, two rows each: the first goes to process 0, the second to process 1. What process r receives counts r + 1 times, so the gradients that come home are 1 and 2. The control is the plain collective.


# %%
def plain(rows, send, receive, group):
    arrived = torch.empty(sum(receive), 1)
    dist.all_to_all_single(arrived, rows, receive, send, group=group)
    return arrived


def gradient_of(carries, rank, group):
    rows = torch.tensor([[10.0 * rank], [10.0 * rank + 1]], requires_grad=True)
    arrived = carries(rows, [1, 1], [1, 1], group)
    if arrived.requires_grad:
        (arrived * (rank + 1)).sum().backward()
    return arrived.flatten().tolist(), None if rows.grad is None else rows.grad.flatten().tolist()


for name, carries in {"exchange": exchange, "plain": plain}.items():
    for rank, (arrived, gradient) in enumerate(together(carries, 2, gradient_of)):
        print(f"{name:9} process {rank} received {arrived}, gradient of what it sent {gradient}")

# %% [markdown]
# No process knows how many rows will arrive, so counts travel first, then rows. Rows arrive by sender, and from each sender by expert, as in the middle of the picture. Each process runs each of its experts once, also on no row, so that each has a gradient, if only of zeros; what they return travels back. The sum stays that of `dispatch_combine`:
#
# $$y_t = \sum_{k=1}^{K} g_{tk}\, \mathrm{E}_{e_{tk}}(x_t)$$

# %% tags=["exercise"] exercise="D4.I3b"
from solutions.d4_machines import expert_parallel_dispatch

# %% tags=["check"] exercise="D4.I3b"
check_expert_parallel_dispatch(expert_parallel_dispatch)

# %% [markdown]
# Each process sees its own part of the batch, and every copy of the router must choose alike. What if each moved its bias by its own load? Expert 0 has load 6 of 8 in one process and 1 of 4 in the other, 7 of 12 in all.

# %%
loads = [torch.tensor([6, 2]), torch.tensor([1, 3])]
alone = [update_bias(torch.zeros(2), load, 0.1) for load in loads]
right = update_bias(torch.zeros(2), sum(loads), 0.1)
affinity = torch.tensor([0.55, 0.50])  # of one token
for name, bias in {"process 0 alone": alone[0], "process 1 alone": alone[1], "all": right}.items():
    signs = " ".join(f"{b:+.1f}" for b in bias)
    print(f"{name:16} bias {signs}, the token chooses expert {int((affinity + bias).argmax())}")
print("the moves summed:", " ".join(f"{b:+.1f}" for b in sum(alone)), "in place of a move")

# %% [markdown]
# So loads are summed, and then the bias moves: `dist.all_reduce` leaves the sum of all processes in each of them.

# %% tags=["exercise"] exercise="D4.I3c"
from solutions.d4_machines import rebalance_together

# %% tags=["check"] exercise="D4.I3c"
check_rebalance_together(rebalance_together)

# %% [markdown]
# Your dispatch on two processes, measured. Of K rows per token the share that leaves goes out: with K 2, D 128 and half of the rows leaving, K · D · 4 · 0.5 = 512 bytes in float32 per token, and what one sends out the other sends back.


# %%
def measured(dispatch, rank, group, tokens, skew=0.0, turns=1):
    """What this process sent and did; with `skew` so many tokens choose only experts 0 to 3."""
    if dist.get_rank() != rank:
        return None  # `together` runs a second pair of processes, for the checks: not measured
    torch.manual_seed(rank)
    d_model, experts, top_k = 128, 8, 2
    mine = nn.ModuleList(SwiGLU(d_model, 256) for _ in range(experts // 2))
    scores = torch.rand(tokens, experts)
    scores[: int(skew * tokens), 4:] = -1
    chosen = scores.topk(top_k).indices
    x, gates = torch.randn(tokens, d_model), torch.full((tokens, top_k), 0.5)
    carried_by, took = (
        dist.all_to_all_single,
        {"sent": [], "rows": 0, "travel": 0.0, "compute": 0.0},
    )

    def timed_carry(*given, **named):
        begun = time.perf_counter()
        carried_by(*given, **named)
        took["travel"] += time.perf_counter() - begun
        call = inspect.signature(carried_by).bind(*given, **named).arguments
        if call["input"].is_floating_point():  # rows, and not the counts before them
            rows, send = call["input"], call["input_split_sizes"]
            took["sent"].append((sum(send) - send[rank]) * rows.shape[1] * rows.itemsize)

    def started(expert, given):
        took["rows"] += len(given[0])
        expert.begun = time.perf_counter(), time.thread_time()

    def ended(expert, given, out):
        took["compute"] += time.thread_time() - expert.begun[1]

    for expert in mine:
        expert.register_forward_pre_hook(started)
        expert.register_forward_hook(ended)
    dist.all_to_all_single = timed_carry
    try:
        with torch.no_grad():
            for _ in range(turns):
                dispatch(x, gates, chosen, mine, group)
    finally:
        dist.all_to_all_single = carried_by
    return {**took, "away": float((chosen // 4 != rank).double().mean()), "choices": chosen}


for skew in (0.0, 0.8):
    ranks = together(expert_parallel_dispatch, 2, measured, 1000, skew)
    for rank, took in enumerate(ranks):
        formula = round(2 * 128 * 4 * took["away"] * 1000)
        print(
            f"{skew:.0%} skewed: process {rank} sends {took['sent'][0]:,} bytes out, "
            f"{took['sent'][0] / 1000:,.0f} per token, as the formula: {took['sent'][0] == formula}"
        )
    out, back = ([took["sent"][way] for took in ranks] for way in (0, 1))
    print("  what one sends out the other sends back:", out == back[::-1])

# %% [markdown]
# What does imbalance cost? D2 simulated it: a step lasts as long as the busiest device, here process 0 when 80% of all tokens choose only among its experts. Beside the simulation stands what the processes computed.

# %% tags=["nbval-ignore-output"]
costs = {}
for skew in (0.0, 0.8):
    ranks = together(expert_parallel_dispatch, 2, measured, 2000, skew, 3)
    load = sum(expert_load(took["choices"], 8) for took in ranks)
    seconds = torch.tensor([took["compute"] for took in ranks]) / 3
    costs[skew] = slowdown(load, 2), float(seconds.max() / seconds.mean())
    rows_each = ", ".join(f"{took['rows'] // 3:,}" for took in ranks)
    print(
        f"{skew:.0%} skewed: rows {rows_each}; busiest over mean: simulated "
        f"{costs[skew][0]:.2f}, computed {costs[skew][1]:.2f}, {1000 * seconds.max():.0f} ms"
    )

# %%
print("even: simulated below 1.1, computed below 1.3:", costs[0.0][0] < 1.1, costs[0.0][1] < 1.3)
print("skewed: simulated and computed above 1.5:", costs[0.8][0] > 1.5, costs[0.8][1] > 1.5)

# %% [markdown]
# Over batch sizes: three exchanges have a cost of their own, however few rows they carry, so a token of a small batch is expensive. The time of travel includes waiting for the other process.

# %% tags=["nbval-ignore-output"]
per_token = {}
for batch_tokens in (16, 256, 4096):
    ranks = together(expert_parallel_dispatch, 2, measured, batch_tokens, 0.0, 3)
    travel, compute = (max(took[name] for took in ranks) / 3 for name in ("travel", "compute"))
    per_token[batch_tokens] = (travel + compute) / batch_tokens
    print(
        f"{batch_tokens:5,} tokens each: travel {1000 * travel:7.2f} ms, compute "
        f"{1000 * compute:7.2f} ms; per token {1e6 * per_token[batch_tokens]:6.1f} µs"
    )

# %%
dear = per_token[16] > 2 * per_token[4096]
print("a token of 16 takes over twice as long as one of 4,096:", dear)
print("and one of 4,096 as one of 16, the control:", per_token[4096] > 2 * per_token[16])

# %% [markdown]
# V3 on paper. A row goes out in FP8, 1 byte a number, and comes back in BF16, 2 bytes (section 3.3.3; scales left out). Sent once per node and forwarded inside over NVLink, it crosses InfiniBand at most 4 times: 160 and 50 GB/s (section 3.2.2). A step has 15,360 sequences of 4,096 on 2,048 GPUs, 128 of them per pipeline stage (sections 3.2, 4.2); a trillion tokens take 180,000 GPU hours (p. 5). Forward and backward, what a GPU sends over InfiniBand takes:
#
# $$\text{wire} = 2 \cdot \frac{\text{tokens of a step}}{128} \cdot \frac{58\ \text{layers}}{16\ \text{stages}} \cdot \frac{4 \cdot 7168 \cdot (1 + 2)\ \text{bytes}}{50 \cdot 10^9\ \text{bytes/s}}$$

# %%
row_bytes = V3.d_model * (1 + 2)
print(f"per token and layer: 8 rows {8 * row_bytes:,} bytes, at most 4 nodes {4 * row_bytes:,}")
print(
    f"a row of each: NVLink {8 * row_bytes / 160e3:.2f} µs, InfiniBand {4 * row_bytes / 50e3:.2f}"
)
step_tokens = 15_360 * 4096
per_gpu, layers_here = step_tokens / 128, (V3.layers - V3.dense_layers) / 16
wire = 2 * per_gpu * layers_here * 4 * row_bytes / 50e9  # forward and backward
lasts = step_tokens / 1e12 * 180_000 * 3600 / 2048
print(f"InfiniBand is busy for at most {wire:.1f} s of a step of {lasts:.1f} s")
print(f"one after the other instead of side by side: {lasts + wire:.1f} s, {wire / lasts:.0%} more")

# %% [markdown]
# That third is what DualPipe hides: one micro-batch computes while another's rows travel. On the real cluster it is more: the report says that without overlap communication takes about as long as computing (section 3.2.1). And the memory: how many GPUs of 80 GB hold all 671 billion weights, and the caches of users with 32,768 tokens each, 576 numbers per token and layer as in D3? Activations and whatever the engine needs come on top.

# %%
one_user = cache_bytes(cached_numbers(V3.attention), V3.layers, 32_768)
print(f"one user's cache: {one_user / 1e9:.2f} GB")
for name, width in {"FP8": 1, "BF16": 2}.items():
    weights = width * total_parameters(V3)
    held = {users: -(-(weights + users * one_user) // 80_000_000_000) for users in (0, 100, 1000)}
    told = ", ".join(f"{gpus} with {users:,} users" for users, gpus in held.items())
    print(f"{name}: {weights / 1e9:,.0f} GB of weights; GPUs: {told}")

# %% [markdown]
# `torchrun --nproc-per-node 2 -m solutions.train work/run --expert-parallel 2` trains a DeepSeek this way, with your own parts where they pass. [From two processes to 2,048 GPUs](../docs/scale.md) says what each part is called in the engines, and how your model gets there.

# %% [markdown]
# ## What you can read now · {section} minutes, optional
#
# DeepSeek-V3's own `inference/model.py` has 808 lines. [A guided reading](../docs/reading.md) goes through it in order, your parts beside theirs, and names what differs: layers split over GPUs, FP8, V2's groups, and two ways of attention. In short:
#
# | in `model.py` | yours |
# |---|---|
# | `Gate.forward` | `BiasedRouter` with `keep_top_groups`; where there is no bias a group counts as its best expert, as in V2 |
# | `Expert`, `MLP` | an expert, a shared expert: SwiGLU |
# | `MoE.forward` | `dispatch_combine` in `DeepSeekMoE` |
# | `MLA.forward`, "naive" | computes as `MultiHeadLatentAttention` does; but it caches the expanded keys and values of every head, where yours caches latents and expands them anew |
# | `MLA.forward`, "absorb" | `absorbed_decode` |
# | `kv_cache`, `pe_cache` | `LatentCache` |
# | `precompute_freqs_cis` | `yarn_frequencies` |
# | `Block.forward` | `DeepSeekBlock` |
# | `Transformer.forward` | `DeepSeek` |

# %% [markdown]
# ## What changed since · {section} minutes, optional
#
# The course teaches V2 to V3.1. V3.2 (2025) adds one part, V4 (April 2026: Pro with 1.6T parameters, 49B active; Flash with 284B, 13B) leaves MLA:
#
# | | V3, V3.1, R1 | V3.2 | V4 |
# |---|---|---|---|
# | attention | MLA | MLA over the best 2,048 earlier tokens, which an indexer of 64 small heads of 128 chooses (sparse attention, DSA) | no MLA: one key-value head of 512 for all, its tokens compressed 4 to 1 with the best 512 blocks read, or 128 to 1; a window of 128, attention sinks |
# | residual | x + f(norm(x)) | the same | four streams, mixed by doubly stochastic matrices (mHC) |
# | first layers | 3 dense | 3 dense | 3 mixtures, routed by a hash of the token |
# | affinity | sigmoid, 8 groups, scale 2.5 | the same | root of a softplus, no groups, scale 1.5 |
# | context | 128K | 128K to 160K | 1M |
# | what stays | | | fine experts, one shared expert, the balancing bias, multi-token prediction |

# %% [markdown]
# So D1 and D2 hold for V4 but for the affinity, the groups, and the first three layers, where a hash of the token chooses. D3's question, what to keep of the past, got another answer: MLA keeps fewer numbers per token, V4 keeps fewer tokens. transformers 5.23, which is pinned here, has `deepseek_v32` and `deepseek_v4` as judges for anyone who goes on.

# %% [markdown]
# ## A released DeepSeek in your code · {section} minutes, optional
#
# A checkpoint that you have downloaded runs in your class: its weights stay in their files, and the system reads the parts that are used. In bfloat16 a parameter takes 2 bytes: 16 billion fill 32 GB.

# %%
predict("D4.p8", guess=None)  # which of the released models fit into 64 GB whole?

# %%
for gigabytes in (16, 32, 64):
    fits = [row.name for row in released if row.total and 2 * row.total < gigabytes * 1e9]
    parts = [row.name for row in released if row.total and 2 * row.active < gigabytes * 1e9]
    streamed = [name for name in parts if name not in fits]
    print(
        f"{gigabytes} GB: whole {', '.join(fits) or 'none'}; only what a token uses: {', '.join(streamed)}"
    )
truth("D4.p8", ", ".join(fits))

# %% [markdown]
# Whatever is not in memory is read from the disk again for every token: such a model runs, at the disk's speed. Put the path of a folder in, or talk to it with `python3 course.py chat FOLDER`. Without one, the story model that you saved stands in; the pictures below route texts of several domains through it, and it has met neither code nor German.

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
# Answer each of the eight in two sentences with a number before you open its fold. Some of the numbers:

# %%
print(f"V3 holds {counts['DeepSeek-V3'][0] / counts['DeepSeek-V3'][1]:.1f} times what a token uses")
print(f"its active width: (8 + 1) · 2,048 = {9 * 2048:,}, its dense layers' {v3.dense_dim:,}")
print(f"its cache: {v3.d_latent + v3.d_rope} numbers per token and layer, MHA's {2 * 128 * 128:,}")
print(
    f"absorbed: {128 * (512 + 64 + 512):,} products of all heads per cached token, expanded keys: {128 * (192 + 128):,}"
)
print(f"expanded anew each step: {512 * 128 * (128 + 128):,} more")
print(f"CV by chance, 100 tokens, 8 of 256 experts: {chance_cv(256, 8, 100):.2f}")
print(f"and below 0.1 by chance from {int((1 - 8 / 256) / 0.01 / (8 / 256)):,} tokens on")

# %% [markdown]
# 1\. What does a mixture buy, and what does it cost in memory?

# %% [markdown]
# <details><summary>An answer</summary>
#
# Room for knowledge at the price of a small model's computation: V3 holds 17.9 times what a token uses (D4.2b), and in D1 a mixture recalls facts that a dense model of equal active size does not, in as many steps or in about as much time. It costs 16 bytes for every idle weight while Adam trains: 18.1 MB at rest beside 11.0 ("When a mixture wins, continued"). Where there is little to know it buys little: on stories the losses agree on two seeds of three.
#
# </details>

# %% [markdown]
# 2\. Why is V3's bias not in the gates?

# %% [markdown]
# <details><summary>An answer</summary>
#
# It steers traffic, and says nothing about what an expert is worth to this token. In the gates it would change outputs by a number that depends on other tokens' load: after ten moves of the bias by the load of other tokens, tokens that keep their choice keep their gates exactly in the right router, and in the leaking one they do not: they move by up to 0.01 (D2, "Where the leak hurts"). What a text gets would depend on texts routed before it.
#
# </details>

# %% [markdown]
# 3\. Why is there a shared expert?

# %% [markdown]
# <details><summary>An answer</summary>
#
# What every token needs would otherwise be learned by every routed expert again. DeepSeekMoE's loss goes from 1.808 to 2.414 when the shared expert is switched off after training and one more routed expert is chosen (arXiv 2401.06066, p. 13). Trained at equal budget, with a third routed expert in its place, our small models disagree: the loss is 0.15 higher after 40 steps (Investigation 2), and in another model after 120 steps 0.095 lower, 0.023 higher and 0.092 lower (D2, "What the shared expert buys").
#
# </details>

# %% [markdown]
# 4\. Where does "fine-grained" cut, and what stays the same?

# %% [markdown]
# <details><summary>An answer</summary>
#
# It cuts each expert's hidden width into m, never the token: with m = 4, 16 experts become 64 and 2 chosen become 8. Parameters and computation stay; the ways to choose grow from 120 to 4,426,165,368 (D2.2c). In V3 the active width is (8 + 1) · 2,048 = 18,432, exactly that of its dense layers (the cell above).
#
# </details>

# %% [markdown]
# 5\. Why is the rotary key apart from the latent?

# %% [markdown]
# <details><summary>An answer</summary>
#
# Rotation depends on position. If content keys were rotated, a matrix that differs per position would stand between query and up-projection, and absorption would fail (D3.4): each step would expand every cached latent anew, 16,777,216 products per token in V3 (the cell above). A part of 64 numbers, shared by 128 heads, carries the position instead: 576 numbers cached in place of 32,768.
#
# </details>

# %% [markdown]
# 6\. When is MLA slower than standard attention?

# %% [markdown]
# <details><summary>An answer</summary>
#
# Whenever latents are expanded each step: 17.4 times as long after 8,192 tokens on our CPU, where absorbed it takes 0.46 times as long (D3, "Is it faster?"). Absorbed, it is slower in short contexts on a GPU: 1.46 ms beside 1.18 after 4,096 tokens, no longer after 16,384 (README's table; no lesson measures it). Where many tokens share what is read, products decide, 139,264 absorbed and 40,960 expanded: V3 prefills expanded, and decodes absorbed.
#
# </details>

# %% [markdown]
# 7\. Why are the first layers dense?

# %% [markdown]
# <details><summary>An answer</summary>
#
# DeepSeekMoE's authors saw balance settle slowest in the first layer (arXiv 2401.06066, p. 15), and a dense layer has nothing to balance. It costs little: 3 of V3's 61 layers, as wide as nine experts; only the idle room of three layers is given up. D2, "Train five ways", shows it only in part: Switch's loss leaves a CV of 0.56 in layer 1 and 0.26 in layer 2, with the bias both are below 0.07, and without balancing layer 2 is the worse.
#
# </details>

# %% [markdown]
# 8\. What does CV below 0.1 mean with 100 tokens and 256 experts?

# %% [markdown]
# <details><summary>An answer</summary>
#
# Nothing about the router: 100 tokens choose 800 times, about 3 per expert, and pure chance gives a CV of 0.56. Below 0.1 would be less uneven than chance, so something made it so. Only from 3,100 tokens on does chance fall below 0.1 (the cell above; D2, "Investigation 2").
#
# </details>

# %% [markdown]
# ## Open task: the best model of a budget · {section} minutes, optional
#
# A layer of `small` uses 142,656 parameters per token, 73,728 of them in its three experts of width 64. With width 32 it uses 105,792. Four of these take 423,168, three of the others 427,968: the same budget pays for one layer more.

# %% [markdown]
# The rules: write `my_config`, a configuration with at most as many active parameters as `small`, 690,240 at 1,024 tokens, and at most 20 million in all. Every other number is free. The measure trains it for 200 steps on this lesson's stories, by this lesson's training, on one thread; what computes for over 90 seconds has no figure. The figure is the loss on held-out stories: so early no model holds a story together, and which one copies what is a matter of its start.

# %% [markdown]
# What is possible, seeds 0 to 2, stored: `small`, its dense rival, and the reference's answer. A figure depends on the start: a difference below the range of a row may be luck.

# %%
for name in ("small", "dense", "reference"):
    of_seeds = [row[name]["held_out"] for row in stored_rows("d4_configs")]
    shown = " ".join(f"{loss:.3f}" for loss in of_seeds)
    print(f"{name:10} {shown}, range {max(of_seeds) - min(of_seeds):.3f}")

# %% [markdown]
# The measure takes seed 0, the first column, needs `rows` of "The story world", and trains for about half a minute. Its figure is of more held-out stories than the loss beside the bar.

# %%
measure_config = config_measure(rows)

# %% tags=["exercise"] exercise="D4.O1"
from solutions.d4_open import my_config

# %% tags=["nbval-ignore-output"]
measure_config(my_config)

# %% [markdown]
# `check_my_config(my_config)` says in full what is not right, and `count_parameters(my_config(1024))` how much is left. Which parts learn fast, and which hardly pay?

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
# - A mixture needs more memory, for weights and for training, than a dense model that computes as much.
# - The loss hardly shows what coherence waits for: that one more kind of word is copied.
# - On simple stories a dense rival is as good in less time, on two seeds of three: here experts are balanced, and hardly needed.

# %% [markdown]
# ## Read next
#
# - Switch Transformers (arXiv 2101.03961), Mixtral of Experts (arXiv 2401.04088, January 2024; the model is of December 2023).
# - DeepSeekMoE (arXiv 2401.06066), DeepSeek-V2 (arXiv 2405.04434), DeepSeek-V3 (arXiv 2412.19437).
# - Auxiliary-Loss-Free Load Balancing (arXiv 2408.15664).
# - Fast Transformer Decoding: One Write-Head is All You Need (arXiv 1911.02150), GQA (arXiv 2305.13245).
# - DeepSeek-V3's `inference/model.py`, by [the guided reading](../docs/reading.md).
