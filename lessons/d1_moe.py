# %% [markdown]
# # D1 · Mixture of Experts
#
# DeepSeek-V3 holds 671 billion parameters and uses 37 billion for a token. In this lesson you write the layer that makes this possible: a router, an array of experts, and the dispatch between them. At the end you train it, watch its traffic, and know where a mixture wins, where it gains nothing, and what it costs.

# %% tags=["setup"] jupyter={"source_hidden": true}
import helpers  # before torch: its threads then sleep while they wait

from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

import solutions.d1_moe as reference
import solutions.d1_open as open_reference
from checks import predict, progress, truth
from checks.audit.known_mistakes import known_mistakes
from checks.d1_moe import (
    check_dispatch,
    check_dropped_share,
    check_expert_array,
    check_expert_load,
    check_fast_dispatch,
    check_load_cv,
    check_max_violation,
    check_moe_layer,
    check_router,
    check_sorted_dispatch,
)
from checks.learner.live import live_traffic
from checks.learner.open_tasks.d1_moe import measure_dispatch
from checks.learner.resume import resume
from helpers.data.corpus import Corpus
from helpers.data.facts import VOCABULARY, random_facts
from helpers.diagrams.dispatch import dispatch_rows
from helpers.diagrams.routing import route_explorer, token_route
from helpers.measuring.memory import weight_bytes
from helpers.measuring.random_max_violation import chance_max_violation
from helpers.measuring.random_routing import chance_cv
from helpers.measuring.specialisation import commonest_tokens, shuffled, spread_between
from helpers.measuring.stored_studies import stored_rows
from helpers.measuring.timing import median_milliseconds
from helpers.measuring.traffic import chosen_experts, layers_of, relative_load
from helpers.measuring.training_memory import training_bytes
from helpers.model.interfaces import ExpertList
from helpers.model.llama import Decoder, SwiGLU
from helpers.model.published import (
    BENCHMARKS,
    MIXTRAL_8X7B,
    MODELS,
    TRAINING_COSTS,
    V3,
    active_parameters,
    embedding_parameters,
    total_parameters,
)
from helpers.plots.coloured_text import colour_text
from helpers.plots.curve_plots import plot_balance, plot_losses, plot_times
from helpers.plots.explorers import router_explorer
from helpers.plots.load_plots import plot_load_before_after
from helpers.plots.spread_plots import plot_costs, plot_spread
from helpers.plots.story_plots import plot_memory_stack
from helpers.plots.traffic_plots import plot_token_experts, plot_traffic_maps
from helpers.training_loops.facts import FactTraining, recalled
from helpers.training_loops.language_model import Training, held_out_loss, train_lm

torch.manual_seed(0)
torch.set_num_threads(1)  # the same numbers whatever else runs, and hardly slower at this size
d_model, num_experts, top_k, expert_dim = 256, 4, 2, 512  # the study plan's tiny configuration

# %% [markdown]
# One token's way through such a layer, with four experts and two chosen. Run the set-up above (Shift+Enter; it is folded) and then this cell.

# %%
torch.manual_seed(3)
first_word = torch.randn(1, 16)
first_router = reference.TopKRouter(16, num_experts, top_k)
first_gates, first_experts = first_router(first_word)
token_route(first_router.gate(first_word).softmax(-1)[0], first_gates[0], first_experts[0], "lamp")

# %% [markdown]
# {map}

# %% [markdown]
# ## How this notebook works · {section} minutes
#
# - Write where a cell raises `NotImplementedError`, then run the check below it.
# - `check_router.hint()` gives a hint, up to three. `.reference()` lends you the part so you can go on, `.solution()` shows it, `.compare(TopKRouter)` holds yours against it after it passes.
# - `predict("D1.p1", guess=None)` asks what you expect: in place of None write a number, or the word that the comment names, or go on without.
# - Letters in shapes: T tokens, D = `d_model`, E = `num_experts`, K = `top_k`, B batch, L positions. Layers are counted from 1, experts from 0.

# %% [markdown]
# The course follows a study plan; these are its rows. Where it differs from what DeepSeek published, both are built and measured side by side. As of: the models V2 to V3.1; what has changed since is in D4. Read the table as a list of what comes: its words are explained where you meet them.
#
# {plan}

# %% [markdown]
# After a restart of the kernel run the set-up and the next cell. It brings back every part that you have passed and saved, and you can go on at any section.

# %%
resume("d1_moe", globals())

# %% [markdown]
# Three kinds of text that need no download: Python's language reference, the standard library's code, and stories from a small generated world. A byte-level BPE tokenizer learns 1,024 tokens from them, once, at the first call.

# %% [markdown]
# To add a text of yours as one more kind, import `three_domains` and `read_text` from `helpers.data.texts` in the next cell, and let it return `Corpus.build(three_domains() + [read_text("mine.txt")], vocab_size=1024)`.


# %%
@cache
def corpus():
    return Corpus.build(vocab_size=1024)


# %% tags=["nbval-ignore-output"]
for name, train, held in zip(corpus().domains, corpus().train, corpus().held):
    print(f"{name:8} {len(train):7,} tokens to train on, {len(held):6,} held out: other documents")
print(" ".join(corpus().pieces(corpus().train[2][:24])))

# %% [markdown]
# ## D1.1 Top-K router · {section} minutes
#
# One token, three experts, logits 2, 1 and 0. The softmax gives 0.67, 0.24 and 0.09. Keep the best two and divide by their sum: the gates are 0.73 and 0.27.

# %%
logits = torch.tensor([2.0, 1.0, 0.0])
probs = logits.softmax(-1)
best = probs[:2] / probs[:2].sum()
token_route(probs, best, torch.tensor([0, 1]), "lamp", step=3)

# %%
print([round(p, 2) for p in probs.tolist()], "→", [round(g, 2) for g in best.tolist()])
print("a softmax over the chosen logits:", [round(g, 2) for g in logits[:2].softmax(-1).tolist()])

# %% [markdown]
# A router is one linear map without bias, from a token's D numbers to E logits. Write the constructor, which makes it, and `forward`: softmax over all experts, the `top_k` of each token, renormalised. This is Mixtral's router (arXiv 2401.04088, section 2.1), as the study plan has it; DeepSeek's own comes in D2.
#
# $$g_{t,i} = \frac{p_{t,i}}{\sum_{j \in \mathrm{top}K(p_t)} p_{t,j}}, \qquad p_t = \mathrm{softmax}(W x_t)$$

# %% tags=["exercise"] exercise="D1.1"
from solutions.d1_moe import TopKRouter

# %% tags=["check"] exercise="D1.1"
check_router(TopKRouter)

# %% [markdown]
# Twelve tokens of a story through your router, which has learned nothing yet. Move the token: the embeddings differ, so the choices do. Move the step to see probabilities, choice, gates and sum one after the other.

# %%
torch.manual_seed(0)
story = corpus().train[2][:12]
story_rows = nn.Embedding(corpus().vocab_size, 16)(story)
untaught = TopKRouter(16, num_experts, top_k)
story_gates, story_experts = untaught(story_rows)
route_explorer(
    untaught.gate(story_rows).softmax(-1), story_gates, story_experts, corpus().pieces(story)
)

# %% tags=["nbval-ignore-output"]
plot_token_experts(
    corpus().pieces(story),
    story_gates.detach(),
    story_experts,
    num_experts,
    "Gates of twelve tokens, before any training",
)
plt.show()

# %% [markdown]
# A trap: with `top_k=1` the renormalised gate is p / p = 1, whatever p is. No gradient reaches the router and it cannot learn. Switch, which chooses one expert, therefore keeps p itself.

# %%
for k in (1, 2):
    lone = TopKRouter(16, num_experts, k)
    lone(torch.randn(8, 16))[0].pow(2).sum().backward()
    moved = any(bool(p.grad.abs().max() > 1e-6) for p in lone.parameters())
    print(f"top_k={k}: a gradient reaches the router: {moved}")

# %% [markdown]
# ## Why DeepSeek does this · {section} minutes
#
# You have written what decides which parameters a token uses. How many it leaves out can be counted from the published configurations.

# %%
# Mixtral chooses 2 of 8 experts: how many times as many parameters as a token uses does it hold?
predict("D1.p1", guess=None)

# %%
print(f"{'model':18}{'total':>10}{'active':>10}{'ratio':>8}")
for model in MODELS:
    total, active = total_parameters(model), active_parameters(model)
    print(f"{model.name:18}{total / 1e9:9.2f}B{active / 1e9:9.2f}B{total / active:8.1f}")
print("V3 in full:", f"{total_parameters(V3):,}")
truth("D1.p1", f"{total_parameters(MIXTRAL_8X7B) / active_parameters(MIXTRAL_8X7B):.1f}")

# %% [markdown]
# Mixtral holds less than four times what a token uses, since every token uses attention and embeddings.

# %% [markdown]
# V3's published 671 and 37 give 18.1. That says how sparse the model is, not how much better. In one layer with experts the ratio is larger: 257 held, 9 used, 28.6.

# %% [markdown]
# One figure of DeepSeek's contradicts the count: README_WEIGHTS.md gives 36.7B active *with* 0.9B for the embedding and 0.9B for the head. The count with both is 37.6B. Without the input embedding it is 36.6B, which is near the figure and not what its words say.

# %%
print(f"published figures: {671 / 37:.1f} · one layer of V3 with experts: {257 / 9:.1f}")
print(f"embedding {embedding_parameters(V3) / 1e9:.1f}B, head the same")
without = active_parameters(V3) - embedding_parameters(V3)
print(
    f"active with both {active_parameters(V3) / 1e9:.1f}B, without the embedding {without / 1e9:.1f}B"
)

# %% [markdown]
# DeepSeek's 5.6 million dollars are GPU-hours at an assumed 2 dollars each, for the final run alone. A published dense run stands beside it at the same price. The comparison with GPT-4 is with GPT-4o of May 2024, on DeepSeek's own measurements: of these two rows it wins one and loses one.

# %%
for cost in TRAINING_COSTS:
    hours = f"{cost.gpu_hours / 1e6:.3f}M {cost.gpu}-hours"
    print(
        f"{cost.name}: {hours}, ${cost.dollars() / 1e6:.1f}M; what it leaves out: {cost.excludes}"
    )
for row in BENCHMARKS:
    print(f"{row.name}: DeepSeek-V3 {row.deepseek_v3}, GPT-4o-0513 {row.gpt_4o_0513}")

# %% [markdown]
# ## D1.2 Expert array · {section} minutes
#
# One expert is LLaMA's feed-forward network, SwiGLU, from `helpers.model.llama`: `down(silu(gate(x)) * up(x))`. These are three matrices, and this `gate` is not the router's. With D = 256 and width 512 they have 3 · 256 · 512 = 393,216 weights. Four experts have four times as many, and none in common.

# %%
expert = SwiGLU(d_model, expert_dim)
print(f"{sum(p.numel() for p in expert.parameters()):,} weights")
print("five tokens in, five out:", tuple(expert(torch.randn(5, d_model)).shape))

# %% [markdown]
# Here the constructor is the exercise. Make `num_experts` networks that are independent, and let PyTorch know of every weight.

# %% tags=["exercise"] exercise="D1.2"
from solutions.d1_moe import ExpertArray

# %% tags=["check"] exercise="D1.2"
check_expert_array(ExpertArray)

# %%
four = ExpertArray(d_model, expert_dim, num_experts)
held = sum(p.numel() for p in four.parameters())
print(f"{held:,} weights, of which a token uses {held * top_k // num_experts:,}")

# %% [markdown]
# ## D1.3 Token dispatch and combination · {section} minutes
#
# Two experts, 10·x and 100·x. The token 3 chose both with gates 0.73 and 0.27: it becomes 0.73 · 30 + 0.27 · 300 = 102.9. The loop below is the specification.
#
# $$y_t = \sum_{k=1}^{K} g_{t,k} \cdot \mathrm{expert}_{e_{t,k}}(x_t)$$


# %%
def token_loop(x, gates, experts, expert_array):
    rows = torch.zeros_like(x)
    for t in range(len(x)):
        for gate, i in zip(gates[t], experts[t].tolist()):
            rows[t] += gate * expert_array[i](x[t : t + 1])[0]
    return rows


# %%
times = [lambda x: 10 * x, lambda x: 100 * x]
three = torch.tensor([[3.0]])
print(token_loop(three, torch.tensor([[0.73, 0.27]]), torch.tensor([[0, 1]]), times))

# %% [markdown]
# The loop calls an expert T·K times with one row. Write it the other way round: for each expert, gather the rows that chose it, call it once, weight the result and add it back at the right tokens. The check also accepts the token loop; the chart after it shows the price.

# %% [markdown]
# Six rows on their way to four experts and back.

# %%
torch.manual_seed(1)
six = nn.Embedding(corpus().vocab_size, 16)(corpus().train[2][:6])
dispatch_rows(
    *reference.TopKRouter(16, num_experts, top_k)(six),
    num_experts,
    corpus().pieces(corpus().train[2][:6]),
)

# %% tags=["exercise"] exercise="D1.3"
from solutions.d1_moe import dispatch_combine

# %% tags=["check"] exercise="D1.3"
check_dispatch(dispatch_combine)

# %% [markdown]
# What does it buy? The next cells time yours beside three others: the token loop, all experts on all tokens with a zero gate for the others, and dispatch after one sort by expert, which you write in Investigation 1.


# %%
def every_expert(x, gates, experts, expert_array):
    weights = torch.zeros(len(x), len(expert_array), dtype=x.dtype).scatter_add(1, experts, gates)
    outs = [expert_array[i](x) for i in range(len(expert_array))]
    return (weights.T[..., None] * torch.stack(outs)).sum(0)


# %%
predict("D1.p2", guess=None)  # the token loop's time, in multiples of the expert loop's?

# %% tags=["nbval-ignore-output"]
ways = {
    "token loop": token_loop,
    "all experts, dense": every_expert,
    "expert loop (yours)": dispatch_combine,
    "sorted dispatch": reference.sorted_dispatch,
}
x = torch.randn(512, d_model)
eight = ExpertArray(d_model, expert_dim, 8)
with torch.no_grad():
    gates, experts = TopKRouter(d_model, 8, top_k)(x)
    calls = {name: lambda way=way: way(x, gates, experts, eight) for name, way in ways.items()}
    taken = median_milliseconds(calls, turns=3)
plot_times(taken, "512 tokens, 8 experts, top-2")
plt.show()
truth("D1.p2", f"{taken['token loop'] / taken['expert loop (yours)']:.0f}")

# %%
with torch.no_grad():
    outputs = [way(x, gates, experts, eight) for way in ways.values()]
    others = dispatch_combine(x, gates, experts.flip(1), eight)
print("all four agree:", all(torch.allclose(y, outputs[0], atol=1e-5) for y in outputs))
print("and with each token's two experts exchanged:", torch.allclose(others, outputs[0], atol=1e-5))
print(
    "rows that travel together are faster:", taken["token loop"] > 2 * taken["expert loop (yours)"]
)

# %% [markdown]
# ## D1.4a Load balancing metrics · {section} minutes with D1.4b and c
#
# Why measure balance at all? A router that prefers an expert by accident trains it more, so it gets better and is chosen more, while the others starve: *routing collapse* (DeepSeekMoE, arXiv 2401.06066, p. 7; V2, arXiv 2405.04434, p. 10). And where experts lie on different devices, a step ends when the busiest one does. With loads 3, 2 and 1 the first device works 3 units while the mean is 2: a third of all time is spent waiting.

# %% [markdown]
# Six choices among three experts: 0 1, 0 2, 0 1. The load is 3, 2, 1: mean 2, population deviation 0.82. So the coefficient of variation (CV) is 0.41, and the busiest is 50% above the mean (MaxVio 0.5).

# %% tags=["exercise"] exercise="D1.4a"
from solutions.d1_moe import expert_load

# %% tags=["check"] exercise="D1.4a"
check_expert_load(expert_load)

# %% [markdown]
# D1.4b: the coefficient of variation is deviation over mean. The E experts are all there are, so divide by E and not by E − 1. Before anything is routed the load is all zeros: no load gives 0.0.
#
# $$\mathrm{CV} = \frac{\sqrt{\frac{1}{E}\sum_i (n_i - \bar n)^2}}{\bar n}$$

# %% tags=["exercise"] exercise="D1.4b"
from solutions.d1_moe import load_cv

# %% tags=["check"] exercise="D1.4b"
check_load_cv(load_cv)

# %% [markdown]
# D1.4c: DeepSeek's own metric looks at the busiest expert alone, since everyone waits for it (arXiv 2408.15664, eq. 4). Here too no load gives 0.0.
#
# $$\mathrm{MaxVio} = \frac{\max_i n_i - \bar n}{\bar n}$$

# %% tags=["exercise"] exercise="D1.4c"
from solutions.d1_moe import max_violation

# %% tags=["check"] exercise="D1.4c"
check_max_violation(max_violation)

# %%
load = expert_load(torch.tensor([[0, 1], [0, 2], [0, 1]]), 3)
print(load.tolist(), "CV", round(float(load_cv(load)), 2), "MaxVio", float(max_violation(load)))
waits = 1 - load.double().mean() / load.max()
print(f"the share of all devices' time that is spent waiting: {float(waits):.2f}")

# %% [markdown]
# How uneven is pure chance? If every expert were equally likely, 4 experts, top-2 and 512 tokens would still give a CV of about 0.04. A measured CV means something only beside that band.
#
# $$\mathrm{CV}_{\mathrm{chance}} = \sqrt{\frac{1 - K/E}{K T / E}}$$

# %%
print(f"by the formula {chance_cv(num_experts, top_k, 512):.3f}")
draws = [torch.rand(512, num_experts).topk(top_k).indices for _ in range(200)]
mean_cv = sum(float(load_cv(expert_load(draw, num_experts))) for draw in draws) / len(draws)
print("200 random draws agree within a quarter:", abs(mean_cv / 0.0442 - 1) < 0.25)

# %% [markdown]
# ## D1.5 Complete MoE layer · {section} minutes
#
# Your parts take rows of tokens; a transformer hands over `(B, L, D)`. A batch of 2 rows of 3 positions is T = 6 tokens. Write `forward`, and keep the choices as `last_experts`: the pictures read them.

# %% tags=["exercise"] exercise="D1.5"
from solutions.d1_moe import MoELayer

# %% tags=["check"] exercise="D1.5"
check_moe_layer(MoELayer)

# %% [markdown]
# Where do gradients go? One token chooses two of four experts. After `backward` the router and those two have gradients; the other two have none, so an expert learns only from tokens sent to it.

# %%
torch.manual_seed(0)
layer = MoELayer(d_model, num_experts, top_k, expert_dim)
layer(torch.randn(1, 1, d_model)).pow(2).sum().backward()
reached = [
    any(p.grad is not None and bool(p.grad.any()) for p in layer.experts[i].parameters())
    for i in range(num_experts)
]
chosen = set(layer.last_experts.flatten().tolist())
print("router:", any(bool(p.grad.any()) for p in layer.router.parameters()))
print("exactly the chosen experts:", {i for i in range(num_experts) if reached[i]} == chosen)

# %% [markdown]
# ## Train it · {section} minutes
#
# Two models of two layers, alike but for the feed-forward part: your MoE (4 experts of width 512, 2 active) and one dense SwiGLU of width 1,024. A token meets equally many feed-forward weights in both, plus the router's 1,024.


# %%
def model_with(make_ffn, seed=0):
    torch.manual_seed(seed)
    return Decoder(corpus().vocab_size, d_model, num_layers=2, num_heads=4, make_ffn=make_ffn)


# %%
moe = model_with(lambda: MoELayer(d_model, num_experts, top_k, expert_dim))
dense = model_with(lambda: SwiGLU(d_model, top_k * expert_dim))
ffn_of = {
    name: sum(p.numel() for p in model.blocks[0].ffn.parameters())
    for name, model in (("moe", moe), ("dense", dense))
}
router_size = d_model * num_experts
active = (ffn_of["moe"] - router_size) * top_k // num_experts + router_size
print(f"in a layer: MoE {ffn_of['moe']:,} weights, {active:,} active · dense {ffn_of['dense']:,}")
print("equal but for the router:", active - ffn_of["dense"] == router_size)

# %%
predict("D1.p3", guess=None)  # which ends lower on held-out text, "moe", "dense" or "no telling"?

# %% [markdown]
# Two cells train, each for well under a minute; while the mixture does, its loss and the load of its layers are drawn. Stopped, a cell goes on where it was when you run it again; to begin anew, run the cell above that makes the two models, and go on from there.

# %% tags=["nbval-ignore-output"]
loads = []  # (steps, layers, E)


def keep_loads(step, model):
    loads.append([expert_load(ffn.last_experts, num_experts) for ffn in layers_of(model)])


moe_run = Training(moe, corpus(), steps=150, rows=8, after_step=keep_loads)
dense_run = Training(dense, corpus(), steps=150, rows=8)
watch = live_traffic(moe)

# %% tags=["nbval-ignore-output"]
with watch:
    moe_run.run(150)
watch

# %% tags=["nbval-ignore-output"]
dense_run.run(150)
plot_losses({"MoE": moe_run.losses, "dense": dense_run.losses}, "Loss on the same batches")
plt.show()

# %%
first, last = moe_run.losses[0], sum(moe_run.losses[-10:]) / 10
print("the loss went down by a third or more:", last < 0.67 * first)
print("by half, which 150 steps should not reach:", last < 0.5 * first)

# %% [markdown]
# One run shows that both learn. It cannot show which is better, since another seed moves either loss: here is your run beside three stored seeds, of which it repeats the first.

# %% tags=["nbval-ignore-output"]
after = {"MoE": held_out_loss(moe, corpus()), "dense": held_out_loss(dense, corpus())}
kept = {name: [row[name]["held_out"] for row in stored_rows("d1_seeds")] for name in after}
plot_spread(kept, "Equal active parameters, one text", "held-out loss, nats per token", live=after)
plt.show()
signs = {row["MoE"]["held_out"] < row["dense"]["held_out"] for row in stored_rows("d1_seeds")}
truth("D1.p3", "no telling" if len(signs) == 2 else "one of them on every seed")

# %%
gaps = [row["MoE"]["held_out"] - row["dense"]["held_out"] for row in stored_rows("d1_seeds")]
print("the gap changes its sign between seeds:", min(gaps) < 0 < max(gaps))

# %% [markdown]
# ## What it costs in memory · {section} minutes
#
# A token leaves half of the experts idle, but memory has to hold them all. Take one weight of four bytes: in training its gradient takes four more and Adam's two moments eight, so every expert is paid for four times, whether this token uses it or not. That is the largest price of idle experts.

# %% [markdown]
# V3's 671 billion weights in this form would take 10.7 terabytes, before the first activation is kept.

# %%
print(f"{16 * total_parameters(V3) / 1e12:.1f} TB")
print(
    f"of which what one token leaves idle: {1 - active_parameters(V3) / total_parameters(V3):.0%}"
)

# %% [markdown]
# Beside the dense model of equal active size a mixture also keeps more for the backward pass, not because of idle experts. Rows are copied: each goes to K experts, comes back K times, and is multiplied by K gates, so three times K·T·D numbers per layer stay until the gradients are known. For speed, this course's SwiGLU also joins an expert's `gate` and `up` into one matrix and keeps it. A batch calls all four experts, twice that dense model's width: two more pairs stay.

# %% [markdown]
# Weights and kept rows together, measured on one batch of 8 times 64 tokens.

# %% tags=["nbval-ignore-output"]
batch, _ = corpus().batch(8, 64, torch.Generator().manual_seed(0))
shapes = {
    "MoE, 4 experts": lambda: MoELayer(d_model, num_experts, top_k, expert_dim),
    "dense, equal active": lambda: SwiGLU(d_model, top_k * expert_dim),
    "dense, equal total": lambda: SwiGLU(d_model, num_experts * expert_dim),
}
stack = {name: training_bytes(model_with(make), batch) for name, make in shapes.items()}
plot_memory_stack(
    {name: {kind: size / 1e6 for kind, size in held.items()} for name, held in stack.items()},
    "Memory of one training step",
)
plt.show()

# %%
sparse, narrow, wide = (stack[name] for name in shapes)
for name, held in (("its active", narrow), ("its total", wide)):
    same = abs(sparse["weights"] / held["weights"] - 1) < 0.01
    print(f"the mixture holds the weights of the dense model of {name} size, within 1%: {same}")
moments = [held["gradients"] + held["Adam's two moments"] for held in stack.values()]
triple = all(m == 3 * held["weights"] for m, held in zip(moments, stack.values()))
print("gradients and moments are three times the weights, in all three:", triple)
copied = 3 * top_k * batch[:, 1:].numel() * d_model  # numbers per layer: three times K·T·D
joined = (num_experts - top_k) * 2 * d_model * expert_dim  # gate and up of two experts more
kept = [held["kept for the backward pass"] for held in (sparse, narrow)]
explained = 2 * 4 * (copied + joined) / (kept[0] - kept[1])  # two layers, four bytes a number
print("copies explain what it keeps beyond the narrow one, within 2%:", abs(explained - 1) < 0.02)

# %% [markdown]
# ## Look at the traffic · {section} minutes
#
# This section reads `moe` and `loads`: after a restart run the section "Train it" first. Held-out text through the trained model gives the load of each layer beside the band of pure chance. Nobody asked the router to share the work, and it does not: in the second picture the load becomes very uneven within twenty steps, recovers in part by itself, and stays far from chance. D2 is about that.

# %% tags=["nbval-ignore-output"]
held_ids, held_domain = corpus().held_out(rows_per_domain=32, length=64)
inputs = held_ids[:, :-1]
layers = chosen_experts(moe, inputs)
plot_load_before_after(
    {f"layer {i}": expert_load(experts, num_experts) for i, experts in enumerate(layers, start=1)},
    top_k,
    inputs.numel(),
    "Load on held-out text, nobody balancing",
)
plt.show()

# %% tags=["nbval-ignore-output"]
over_steps = {
    f"layer {i + 1}": {
        "cv": [float(load_cv(step[i])) for step in loads],
        "max_violation": [float(max_violation(step[i])) for step in loads],
    }
    for i in range(2)
}
floors = chance_cv(4, 2, 512), chance_max_violation(4, 2, 512)
plot_balance(over_steps, floors[0], "Balance while it trains", max_violation_floor=floors[1])
plt.show()

# %% [markdown]
# Where the right half touches 1, every token chose one and the same expert: with 2 of 4 chosen an expert's load is at most E/K = 2 times the mean, so MaxVio is at most 1.

# %%
chance = chance_cv(num_experts, top_k, inputs.numel())
cvs = [float(load_cv(expert_load(experts, num_experts))) for experts in layers]
random_choice = torch.rand(inputs.numel(), num_experts).topk(top_k).indices
print("every layer is more uneven than twice chance:", min(cvs) > 2 * chance)
print("random choices are:", float(load_cv(expert_load(random_choice, num_experts))) > 2 * chance)

# %% [markdown]
# Do experts specialise? Relative load is 1.0 where a kind of text uses an expert as much as the even share. Rows that differ mean that the router tells prose, code and stories apart.

# %% [markdown]
# But an untrained router does so too, since the texts have different words, and chance makes rows differ a little. So three maps: yours, the same model before training, and yours with the domains dealt out at random.

# %%
# before training: the widest gap between two domains' relative load of one expert (even share 1.0)?
predict("D1.p4", guess=None)

# %% tags=["nbval-ignore-output"]
domain_of = held_domain.repeat_interleave(inputs.shape[1])
newborn = model_with(lambda: MoELayer(d_model, num_experts, top_k, expert_dim))
choices = {
    "trained": (layers[1], domain_of),
    "untrained": (chosen_experts(newborn, inputs)[1], domain_of),
    "domains shuffled": (layers[1], shuffled(domain_of)),
}
kinds = len(corpus().domains)
maps = {name: relative_load(*pair, kinds, num_experts) for name, pair in choices.items()}
plot_traffic_maps(maps, corpus().domains, "Relative load of layer 2")
plt.show()
gap = {name: spread_between(*pair, num_experts) for name, pair in choices.items()}
truth("D1.p4", f"{gap['untrained']:.2f} before training, {gap['trained']:.2f} after")

# %% [markdown]
# The widest gap of one expert between two domains, for three stored seeds and yours, which repeats the first. A claim of specialisation must pass where training was and fail where it was not: in layer 2 the dashed line at 0.8, chosen after looking, divides them, also on the tokens that all three kinds have in common. Layer 1 does not specialise on every seed.

# %% tags=["nbval-ignore-output"]
spreads = {
    f"{name}, layer {i + 1}": [row[group][key][i] for row in stored_rows("d1_traffic")]
    for name, group, key in (
        ("trained", "trained", "all tokens"),
        ("trained, common tokens", "trained", "tokens of every domain"),
        ("untrained", "untrained", "all tokens"),
        ("domains shuffled", "trained", "domains shuffled"),
    )
    for i in range(2)
}
plot_spread(
    spreads,
    "How differently domains use one expert",
    "widest gap in relative load",
    live={f"{name}, layer 2": value for name, value in gap.items()},
)
plt.axvline(0.8, color="black", linestyle="--", linewidth=1)
plt.show()

# %%
stored = stored_rows("d1_traffic")
apart = [[row["trained"]["all tokens"][i] >= 0.8 for row in stored] for i in range(2)]
print("layer 2 of three stored seeds:", apart[1], "· layer 1:", apart[0])
print("trained: some expert's load differs by 0.8 or more:", gap["trained"] >= 0.8)
print("untrained:", gap["untrained"] >= 0.8, "· domains shuffled:", gap["domains shuffled"] >= 0.8)

# %% [markdown]
# What does an expert specialise in? Count each token's first choice only, the expert with the larger gate. Below are, for each expert of layer 2, the ten commonest of the tokens that it takes more often than any other expert ("·" is a space, "↵" a line end). Look for kinds: whole words of stories, pieces of words, punctuation, line ends.


# %%
def first_choices(model, ids, layer):
    """The expert with the larger gate of each token, in one layer (counted from 0)."""
    routers, seen = layers_of(model)[layer].router, {}
    hook = routers.register_forward_pre_hook(lambda module, args: seen.update(x=args[0]))
    with torch.no_grad():
        model(ids)
        hook.remove()
        gates, experts = routers(seen["x"])
    return experts.gather(1, gates.argmax(-1, keepdim=True))[:, 0]


# %% tags=["nbval-ignore-output"]
favourites = commonest_tokens(inputs.flatten(), first_choices(moe, inputs, 1), num_experts)
for i, tokens in enumerate(favourites):
    print(f"expert {i}:", "  ".join(corpus().pieces(tokens)))

# %% [markdown]
# The same first choices in three held-out excerpts, one per kind of text. A token has its expert's colour. The small number after a word names the expert; where its tokens went to several, there is one number after the other.

# %% tags=["nbval-ignore-output"]
for row in (0, 40, -1):
    shown = inputs[row]
    print(corpus().domains[held_domain[row]])
    firsts = first_choices(moe, shown[None], 1)
    display(colour_text([corpus().decode([i]) for i in shown.tolist()], firsts, num_experts))

# %% [markdown]
# ## When a mixture wins · {section} minutes
#
# On text the two models of equal active size could not be told apart. Now a task that is all memory: 4,096 facts, each a pair of things and a relation with one of 64 values drawn at random. Nothing follows from anything, so a model knows a fact or does not. Three tokens are asked and the fourth is the answer; guessing is right once in 64.

# %% [markdown]
# Four models of one layer and D = 24, each at the rate that suits it best, on the same batches. "Equal active" is as wide as two experts and the router; "equal time" is the same model with half as many steps again, about the time that the mixture takes; "equal total" holds all weights in one network and uses them all.


# %%
def fact_model(make_ffn, seed):
    torch.manual_seed(seed)
    return Decoder(VOCABULARY, 24, num_layers=1, num_heads=2, make_ffn=make_ffn)


# %%
facts_seed = 3  # the stored rows are of seeds 0, 1 and 2
facts = random_facts(seed=facts_seed)
contest = {  # how its feed-forward part is made, its rate, its steps
    "dense, equal active": (lambda: SwiGLU(24, 51), 0.03, 300),
    "dense, equal time": (lambda: SwiGLU(24, 51), 0.03, 450),
    "mixture": (lambda: MoELayer(24, num_experts=8, top_k=2, expert_dim=24), 0.022, 300),
    "dense, equal total": (lambda: SwiGLU(24, 195), 0.022, 300),
}
runs = {
    name: FactTraining(fact_model(make, facts_seed), facts, steps, lr=lr, seed=facts_seed)
    for name, (make, lr, steps) in contest.items()
}
a, b, relation = facts.asked[0].tolist()
print(
    f"the first fact: thing {a}, thing {b}, relation {relation - 128} → value {facts.answer[0] - 160}"
)
for name, run in runs.items():
    weights, seen = (
        sum(p.numel() for p in run.model.parameters()),
        run.steps * run.rows / len(facts),
    )
    print(f"{name:20} {weights:,} parameters, sees each fact {seen:.1f} times")

# %%
# the share of facts that the mixture recalls, if "equal active" has 0.8?
predict("D1.p5", guess=None)

# %% [markdown]
# Half a minute in two cells. Stopped, each goes on where it was; to begin anew, run the cell above that makes the models, and go on from there.

# %% tags=["nbval-ignore-output"]
for name in ("dense, equal active", "mixture"):
    runs[name].run(runs[name].steps)

# %% tags=["nbval-ignore-output"]
for name in ("dense, equal time", "dense, equal total"):
    runs[name].run(runs[name].steps)
scores = {name: recalled(run.model, facts) for name, run in runs.items()}
truth("D1.p5", f"{scores['mixture'][0]:.2f} beside {scores['dense, equal active'][0]:.2f}")

# %% tags=["nbval-ignore-output"]
rows = stored_rows("d1_facts")
costs = {
    title: {name: [row["models"][name][key] for row in rows] for name in contest}
    for title, key in (("facts recalled, share", "recalled"), ("loss, nats per fact", "loss"))
}
costs["time of the whole training, seconds"] = {
    name: [row["models"][name]["ms"] * steps / 1000 for row in rows]
    for name, (_, _, steps) in contest.items()
}
costs["weights, gradients, moments, kB"] = {
    name: 4 * weight_bytes(run.model) / 1e3 for name, run in runs.items()
}
live = {
    "facts recalled, share": {name: score[0] for name, score in scores.items()},
    "loss, nats per fact": {name: score[1] for name, score in scores.items()},
    "time of the whole training, seconds": {name: sum(run.seconds) for name, run in runs.items()},
}
plot_costs(costs, "4,096 facts, one layer of width 24", live=live)
plt.show()

# %%
share = {name: score[0] for name, score in scores.items()}
margin = 0.02
for rival in ("dense, equal active", "dense, equal time", "dense, equal total"):
    print(f"the mixture recalls more than {rival}:", share["mixture"] > share[rival] + margin)

# %% [markdown]
# So the mixture wins at equal active size, and still wins when the dense model trains for half as many steps again, about as long by the clock. The dense model of equal total size is better still, and a token pays for all of it: almost four times the feed-forward products. At this width the clock does not show that; the last picture of this section does. A mixture buys room for knowledge at few products per token.

# %% [markdown]
# A rule is not a fact. In the next picture one rule decides the value of 4,096 questions, 1,024 others are held out, and every model finds it: nothing to gain. Text has both, and some of it is facts (who is where, which name follows which). In the second picture the mixture gains a little at this size; in the larger models of "Train it" no gain showed. On one seed the loss of the wide dense model is the highest of all; three seeds do not say why.

# %% tags=["nbval-ignore-output"]
contrasted = ("dense, equal active", "mixture", "dense, equal total")
for task, title, unit in (
    ("rules", "A rule to find", "held-out questions right, share"),
    ("text", "Prose, code and stories", "held-out loss, nats per token"),
):
    plot_spread({name: [row[task][name] for row in rows] for name in contrasted}, title, unit)
    if task == "rules":
        plt.xlim(0, 1.05)
    plt.show()


# %%
def by_seed(task, better):
    """How much the mixture is ahead of the dense model of equal active size, per stored seed."""
    return [
        round(better * (row[task]["mixture"] - row[task]["dense, equal active"]), 2) for row in rows
    ]


gained = [
    round(
        row["models"]["mixture"]["recalled"] - row["models"]["dense, equal active"]["recalled"], 2
    )
    for row in rows
]
for name in contest:
    mean_share = sum(row["models"][name]["recalled"] for row in rows) / len(rows)
    print(f"{name:20} recalls {mean_share:.2f} of the facts, mean of the stored seeds")
print("the mixture ahead of equal active, by stored seed:")
print("facts, share recalled:", gained)
print("rule, share right:", by_seed("rules", 1), "· text, nats per token:", by_seed("text", -1))

# %% [markdown]
# How many experts, and how many of them active? The first four rows add experts of one size with two active: the price per token stays. The next four let one to eight of eight be active: the size stays. In the last row the router of the mixture above, 8 experts and top-2, keeps its random start.

# %% tags=["nbval-ignore-output"]
swept = {
    f"{count} experts, top-2": [row["experts"][i]["recalled"] for row in rows]
    for i, count in enumerate((4, 8, 16, 32))
}
swept |= {
    f"8 experts, top-{k}": [row["top_k"][i]["recalled"] for row in rows]
    for i, k in enumerate((1, 2, 4, 8))
}
swept["8 experts, top-2, router never trained"] = [row["frozen router"]["recalled"] for row in rows]
plot_spread(swept, "More experts, or more of them active", "facts recalled, share")
plt.show()

# %% [markdown]
# Top-1 falls into the trap of D1.1, a router that never learns, and still beats the dense network. With top-2 a router that was never trained does about as well as a trained one. On facts, what a mixture gains is room, not skill of routing.

# %%
untrained_router = [row["frozen router"]["recalled"] for row in rows]
narrow_dense = [row["models"]["dense, equal active"]["recalled"] for row in rows]
lone_expert = [row["top_k"][0]["recalled"] for row in rows]
trained_router = [row["models"]["mixture"]["recalled"] for row in rows]
print("facts recalled, router never trained:", [f"{x:.2f}" for x in untrained_router])
print("router trained:", [f"{x:.2f}" for x in trained_router])
print(
    "a router never trained is ahead of the dense model on every seed:",
    min(untrained_router) > max(narrow_dense),
)
print("and one lone expert, half as wide, too:", min(lone_expert) > max(narrow_dense))

# %% [markdown]
# At width 24 the mixture's step is slow for its size: small products are all overhead. That goes away with width. Below, one layer forward and back on 2,048 tokens, at width 24 and at width 256: sixteen experts of one width, two active, beside dense layers of two and of sixteen times that width.


# %%
def one_step(ffn, x):
    ffn(x).pow(2).mean().backward()
    ffn.zero_grad()


# %% tags=["nbval-ignore-output"]
step_times = {"mixture": [], "dense, equal active": [], "dense, equal total": []}
for width in (24, 256):
    text_rows = torch.randn(1, 2048, width)
    made = {
        "mixture": MoELayer(width, 16, 2, width),
        "dense, equal active": SwiGLU(width, 2 * width),
        "dense, equal total": SwiGLU(width, 16 * width),
    }
    turns = median_milliseconds(
        {name: lambda ffn=ffn: one_step(ffn, text_rows) for name, ffn in made.items()}, turns=3
    )
    for name in step_times:
        step_times[name].append(turns[name])
plot_times(step_times, "One layer, forward and back", (24, 256), "width of model and expert")
plt.show()

# %%
small, large = (step_times["mixture"][i] / step_times["dense, equal total"][i] for i in range(2))
print(
    "at width 256 the mixture takes less than half of the dense layer of its total size:",
    large < 0.5,
)
print("at width 24:", small < 0.5)

# %% [markdown]
# ## Explore · {section} minutes, optional
#
# Move experts, top-k and temperature over 2,048 random rows and 16 random experts. Low temperature makes a router sure of itself (the top gate goes to 1), high temperature makes all gates alike. Why does the load not change with it? And what does a larger top-k do to the load?

# %% tags=["nbval-ignore-output"]
torch.manual_seed(1)
random_rows = torch.randn(2048, d_model) + 0.5 * torch.randn(d_model)  # with a common direction
router_explorer(random_rows @ (torch.randn(d_model, 16) / 16))

# %% [markdown]
# Temperature divides all logits of a token by one number. Their order stays, so the same experts are chosen and the load is the same; only the gates change. A larger top-k gives more experts to each token, until with all of them chosen every load is equal.

# %% [markdown]
# ## Break it · {section} minutes
#
# Choose a known slip, run the cell and read what the check says. This section trains for a few seconds, beside a right router and on the same batches.

# %%
print(", ".join(list(known_mistakes("D1.1"))[:14]), "…")

# %%
bug = "SoftmaxOverTokens"  # one of the names above
failed = check_router.failure(known_mistakes("D1.1")[bug])
print(failed.stage, "·", failed.message)

# %% tags=["nbval-ignore-output"]
broken, sound = (
    model_with(lambda: MoELayer(d_model, num_experts, top_k, expert_dim)) for _ in range(2)
)
for ffn in layers_of(broken):
    ffn.router = known_mistakes("D1.1")[bug](d_model, num_experts, top_k)
trials = {
    "broken": train_lm(broken, corpus(), steps=40, rows=8),
    "right": train_lm(sound, corpus(), steps=40, rows=8),
}
plot_losses(trials, f"{bug}, and a right router")
plt.show()

# %% [markdown]
# With SoftmaxOverTokens the loss tells you nothing: it falls in the broken run as in the right one. The broken router is wrong all the same. A softmax over tokens divides each token by the others of its batch, later ones included, so a token's output depends on words that do not exist yet when the model writes. Change the second half of a text and look at the first.


# %%
def first_half_moves(model):
    """Whether the first 16 positions' output changes when the next 16 tokens do."""
    ids = corpus().train[2][None, :32]
    changed = torch.cat([ids[:, :16], ids[:, :16]], dim=1)
    with torch.no_grad():
        return not torch.allclose(model(ids)[0, :16], model(changed)[0, :16], atol=1e-4)


# %%
ends = {name: sum(losses[-10:]) / 10 for name, losses in trials.items()}
print(f"{bug} ends at most 0.1 above the right router:", ends["broken"] < ends["right"] + 0.1)
print("the right router's first half depends on the second:", first_half_moves(sound))
print(f"{bug}'s does:", first_half_moves(broken))

# %% [markdown]
# ## Investigation 1: sorted dispatch · {section} minutes
#
# Production code sorts. Choices 2, 0, 2, 1 become 0, 1, 2, 2: every expert reads one unbroken run of rows. Choice c belongs to token c // K. The check cannot see whether you sort; the curve can.

# %% tags=["exercise"] exercise="D1.I1"
from solutions.d1_moe import sorted_dispatch

# %% tags=["check"] exercise="D1.I1"
check_sorted_dispatch(sorted_dispatch)

# %%
predict("D1.p6", guess=None)  # of 4, 16, 64 and 256 experts: from how many on does sorting win?

# %% tags=["nbval-ignore-output"]
many_rows, counts = torch.randn(1024, 64), (4, 16, 64, 256)
curves = {"expert loop": [], "sorted dispatch": []}
with torch.no_grad():
    for n in counts:
        many, (some_gates, some_experts) = ExpertArray(64, 32, n), TopKRouter(64, n, 2)(many_rows)
        spent = median_milliseconds(
            {
                "expert loop": lambda: dispatch_combine(many_rows, some_gates, some_experts, many),
                "sorted dispatch": lambda: sorted_dispatch(
                    many_rows, some_gates, some_experts, many
                ),
                "the sort alone": lambda: some_experts.flatten().argsort(stable=True),
            },
            turns=5,
        )
        for name in curves:
            curves[name].append(spent[name])
        print(f"{n:4} experts: " + ", ".join(f"{k} {v:.2f} ms" for k, v in spent.items()))
plot_times(curves, "1,024 tokens, top-2", counts, "experts")
plt.show()
wins = [n for n, a, b in zip(counts, *curves.values()) if b < a]
truth("D1.p6", f"sorting was faster with {wins} experts")

# %% [markdown]
# The expert loop searches all T·K choices once per expert; sorting looks once. Compare the sort alone with the whole, most of which is the experts' products. Then change the 32 (`expert_dim`) to 512 and the 1,024 tokens to 4,096: the products grow most, and the sort stays a small part. V3 has 256 experts in a layer.

# %% [markdown]
# ## Investigation 2: capacity and dropped tokens · {section} minutes
#
# Switch gives each expert room for `capacity_factor` times its even share and drops the rest. Load 3, 2, 1 and factor 1.0: each takes 2, so 1 of 6 is dropped. Yours and V3 drop none (arXiv 2412.19437, p. 10).

# %% tags=["exercise"] exercise="D1.I2"
from solutions.d1_moe import dropped_share

# %% tags=["check"] exercise="D1.I2"
check_dropped_share(dropped_share)

# %%
few = torch.tensor([[0, 1], [0, 2], [0, 1]])
table = {factor: round(float(dropped_share(few, 3, factor)), 3) for factor in (1.0, 1.5, 2.0)}
print(table)

# %% [markdown]
# Your trained model has loads of its own (this part reads `moe` and `moe_run` of "Train it"). With more room it drops less and computes more empty rows.

# %%
# of 0.75, 1.0, 1.25, 1.5 and 2.0: at which factor does your model drop under 1% of its choices?
predict("D1.p7", guess=None)

# %% tags=["nbval-ignore-output"]
factors = (0.75, 1.0, 1.25, 1.5, 2.0)
trained_choices = chosen_experts(moe, corpus().held_out(rows_per_domain=32, length=64)[0][:, :-1])
print(f"a model of {len(moe_run.losses)} training steps")
for i, experts in enumerate(trained_choices):
    shares = [float(dropped_share(experts, num_experts, factor)) for factor in factors]
    print(f"layer {i + 1} drops", "  ".join(f"{f}: {s:.1%}" for f, s in zip(factors, shares)))
    empty = [1 - (1 - s) / f for f, s in zip(factors, shares)]
    print("  rows left empty", "  ".join(f"{f}: {e:.1%}" for f, e in zip(factors, empty)))
worst = [max(float(dropped_share(e, num_experts, f)) for e in trained_choices) for f in factors]
truth("D1.p7", f"{next(f for f, s in zip(factors, worst) if s < 0.01)}, in the worse layer")

# %%
print("more room never drops more:", worst == sorted(worst, reverse=True))
print("dropless at factor E / K:", worst[-1] == 0.0, "· at factor 1:", worst[1] == 0.0)

# %% [markdown]
# ## Open task: the fastest dispatch · {section} minutes, optional
#
# An open task has no one right answer: a check says whether yours is right, a measure what it achieves. It counts in no sum, and nothing later needs it.

# %% [markdown]
# This one begins with a count. 64 experts of three products each are 64 · 3 = 192 products of some 32 rows, and a product of few rows is mostly overhead.

# %% [markdown]
# The rules: `fast_dispatch` returns what `dispatch_combine` returns, gradients too, in any way you like, and it may read an expert's weights. The figure is your time over that of D1.3's loop: 1,024 tokens, 64 experts of width 32, top-2, forward only.

# %% [markdown]
# What is possible, in the same measure: two ways that waste, the sort of Investigation 1, the reference's answer, and one from the check's bank of answers. On your machine either of the last two may be ahead.

# %% tags=["nbval-ignore-output"]
from checks.audit.bank.d1_moe.fast_dispatch.right import busiest_alone

measure_dispatch.beside(
    {
        "token loop": token_loop,
        "all experts, dense": every_expert,
        "sorted dispatch": reference.sorted_dispatch,
        "the reference's answer": open_reference.fast_dispatch,
        "one more, from the bank": busiest_alone,
    }
)

# %% tags=["exercise"] exercise="D1.O1"
from solutions.d1_open import fast_dispatch

# %% tags=["nbval-ignore-output"]
measure_dispatch(fast_dispatch)

# %% [markdown]
# `check_fast_dispatch(fast_dispatch)` says in full what is not right, and has hints, as every check does. In `work/` the board keeps your best figure.

# %% [markdown]
# ## What you built
#
# A router, an array of experts, a dispatch that calls each expert once on its own rows, the two metrics of balance, and the layer that joins them. It is Mixtral's layer; D2 turns it into DeepSeek's.

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# ## What surprised us
#
# - Renormalising after the softmax is the same as a softmax over the chosen logits.
# - With `top_k=1` and renormalised gates the router learns nothing.
# - An untrained router already sends code and stories to different experts.
# - On facts a mixture wins clearly over a dense model of equal active size, even with a router that never learns; on a rule it gains nothing.

# %% [markdown]
# ## Read next
#
# - Switch Transformers (arXiv 2101.03961): top-1, capacity, dropped tokens.
# - Mixtral of Experts (arXiv 2401.04088): the router you wrote.
# - `MoE.forward` in DeepSeek-V3's `inference/model.py`: your expert loop in fifteen lines.
