# %% [markdown]
# # D1 · Mixture of Experts
#
# You write the layer that lets DeepSeek-V3 hold 671 billion parameters and use 37 billion for a token: a router, an array of experts, and the dispatch between them. Then you train it and look at its traffic.

# %% [markdown]
# About 3 to 4 hours: seven exercises of 5 to 25 minutes, two investigations of 30. The course follows a study plan ("the plan"); where that differs from what DeepSeek published, the lessons say so.

# %% [markdown]
# ## How this notebook works
#
# - Write where a cell raises `NotImplementedError`, then run the check below it.
# - `check_router.hint()` gives a hint, up to three. `.reference()` lends you the part so you can go on, `.solution()` shows it, `.compare(TopKRouter)` holds yours against it after it passes.
# - Letters in shapes: T tokens, D = `d_model`, E = `num_experts`, K = `top_k`, B batch, L positions.

# %% tags=["setup"]
import helpers  # before torch: its threads then sleep while they wait

import matplotlib.pyplot as plt
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

import solutions.d1_moe as reference
from checks import progress
from checks.audit.known_mistakes import known_mistakes
from checks.d1_moe import (
    check_dispatch,
    check_dropped_share,
    check_expert_array,
    check_expert_load,
    check_load_cv,
    check_max_violation,
    check_moe_layer,
    check_router,
    check_sorted_dispatch,
)
from helpers.measuring.random_routing import chance_cv
from helpers.plots.coloured_text import colour_text
from helpers.data.corpus import Corpus
from helpers.plots.curve_plots import plot_losses, plot_times
from helpers.plots.explorers import router_explorer
from helpers.model.interfaces import ExpertList
from helpers.model.llama import Decoder, SwiGLU
from helpers.plots.load_plots import plot_load
from helpers.model.published import (
    BENCHMARKS,
    MODELS,
    TRAINING_COSTS,
    V3,
    active_parameters,
    embedding_parameters,
    total_parameters,
)
from helpers.measuring.timing import median_milliseconds
from helpers.measuring.traffic import chosen_experts, layers_of, relative_load
from helpers.plots.traffic_plots import plot_domain_traffic, plot_token_experts
from helpers.training_loops.language_model import held_out_loss, train_lm

torch.manual_seed(0)
torch.set_num_threads(1)  # the same numbers whatever else runs, and hardly slower at this size
d_model, num_experts, top_k, expert_dim = 256, 4, 2, 512  # the tiny configuration of D1

# %% [markdown]
# ## Why DeepSeek
#
# The next cell counts parameters from each published configuration: all of them, and those that one token uses. The active count includes the input embedding; the last line leaves it out. DeepSeek's README_WEIGHTS.md says 36.7B with embedding and head, 0.9B each, which the count contradicts: with both it is 37.6B.

# %%
print(f"{'model':18}{'total':>10}{'active':>10}{'ratio':>8}")
for model in MODELS:
    total, active = total_parameters(model), active_parameters(model)
    print(f"{model.name:18}{total / 1e9:9.2f}B{active / 1e9:9.2f}B{total / active:8.1f}")
print("V3 in full:", f"{total_parameters(V3):,}")
without = active_parameters(V3) - embedding_parameters(V3)
print(f"V3 active without the input embedding: {without / 1e9:.1f}B")

# %% [markdown]
# The published 671 and 37 give 18.1, the plan's "18x". It says how sparse the model is, not how much better. In one sparse layer of V3 a token uses 8 of 256 routed experts and 1 that is always on.

# %%
print(f"published figures: {671 / 37:.1f} · one sparse layer of V3: {257 / 9:.1f}")

# %% [markdown]
# DeepSeek's $5.6M is GPU-hours times an assumed 2 dollars, for the final run alone. "$100M+" for dense models has no source we could find, so the next cell sets one published dense run beside it at the same price.

# %%
for cost in TRAINING_COSTS:
    print(
        f"{cost.name}: {cost.gpu_hours / 1e6:.3f}M {cost.gpu}-hours, ${cost.dollars() / 1e6:.1f}M"
    )
    print(f"  leaves out: {cost.excludes}")

# %% [markdown]
# "Matches GPT-4" means GPT-4o of May 2024, on DeepSeek's own measurements. One row it wins and one it loses. (That GPT-4 is a Mixture of Experts is a rumour.)

# %%
for row in BENCHMARKS:
    print(f"{row.name}: DeepSeek-V3 {row.deepseek_v3}, GPT-4o-0513 {row.gpt_4o_0513}")

# %% [markdown]
# ## The text
#
# Three domains that need no download: Python's language reference, the standard library's code, and stories from a small generated world. A byte-level BPE tokenizer learns its 1,024 tokens from them now.
#
# To add a text of yours: `Corpus.build(three_domains() + [read_text("mine.txt")])`, both from `helpers.data.texts`.

# %% tags=["nbval-ignore-output"]
corpus = Corpus.build(vocab_size=1024)
for name, train, held in zip(corpus.domains, corpus.train, corpus.held):
    print(f"{name:8} {len(train):7,} tokens to train on, {len(held):6,} held out: other documents")
print(" ".join(corpus.pieces(corpus.train[2][:24])))

# %%
sample = "The router sends each token to two experts."
print("decoding gives the text back:", corpus.decode(corpus.encode(sample)) == sample)

# %% [markdown]
# ## D1.1 Top-K router · {section} minutes
#
# Take one token and three experts with logits 2, 1 and 0. The softmax gives 0.67, 0.24 and 0.09. Keep the best two and divide by their sum: the gates are 0.73 and 0.27.

# %%
logits = torch.tensor([2.0, 1.0, 0.0])
probs = logits.softmax(-1)
best = probs[:2] / probs[:2].sum()
print([round(p, 2) for p in probs.tolist()], "→", [round(g, 2) for g in best.tolist()])
print("a softmax over the chosen logits:", [round(g, 2) for g in logits[:2].softmax(-1).tolist()])

# %% [markdown]
# A router is one linear map without bias. Write the constructor, which makes it, and `forward`: softmax over all experts, the `top_k` of each token, renormalised. This is the plan's router and Mixtral's (arXiv 2401.04088); DeepSeek's own comes in D2.
#
# $$g_{t,i} = \frac{p_{t,i}}{\sum_{j \in \mathrm{top}K(p_t)} p_{t,j}}, \qquad p_t = \mathrm{softmax}(W x_t)$$

# %% tags=["exercise"] exercise="D1.1"
from solutions.d1_moe import TopKRouter

# %% tags=["check"] exercise="D1.1"
check_router(TopKRouter)

# %% [markdown]
# Look: sixteen tokens of a story through a router that has learned nothing. Different tokens already choose different experts, because their embeddings differ.

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
router, embed = TopKRouter(16, num_experts, top_k), nn.Embedding(corpus.vocab_size, 16)
ids = corpus.train[2][:16]
gates, experts = router(embed(ids))
plot_token_experts(
    corpus.pieces(ids), gates.detach(), experts, num_experts, "Tokens choose different experts"
)
plt.show()

# %%
pairs = {tuple(sorted(row)) for row in experts.tolist()}
print("different tokens choose different experts:", len(pairs) > 1)
print("gates sum to 1:", torch.allclose(gates.sum(-1), torch.ones(len(ids))))

# %% [markdown]
# A trap to know: with `top_k=1` the renormalised gate is p / p = 1, whatever p is. No gradient reaches the router and it cannot learn; Switch (top-1) therefore keeps p itself.

# %%
for k in (1, 2):
    lone = TopKRouter(16, num_experts, k)
    lone(torch.randn(8, 16))[0].pow(2).sum().backward()
    reached = any(bool(p.grad.abs().max() > 1e-6) for p in lone.parameters())
    print(f"top_k={k}: a gradient reaches the router: {reached}")

# %% [markdown]
# ## D1.2 Expert array · {section} minutes
#
# One expert is LLaMA's feed-forward network, SwiGLU, from `helpers.model.llama`. With D = 256 and width 512 it has 3 · 256 · 512 = 393,216 weights. Four experts have four times as many, and none in common.

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
array = ExpertArray(d_model, expert_dim, num_experts)
held = sum(p.numel() for p in array.parameters())
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


times = [lambda x: 10 * x, lambda x: 100 * x]
print(
    token_loop(torch.tensor([[3.0]]), torch.tensor([[0.73, 0.27]]), torch.tensor([[0, 1]]), times)
)

# %% [markdown]
# The loop calls an expert T·K times with one row. Write it the other way round: for each expert, gather the rows that chose it, call it once, weight the result and add it back at the right tokens. The check also accepts the token loop; the chart after it shows the price.

# %% tags=["exercise"] exercise="D1.3"
from solutions.d1_moe import dispatch_combine

# %% tags=["check"] exercise="D1.3"
check_dispatch(dispatch_combine)

# %% [markdown]
# Is it faster? Beside it run the token loop, all experts on all tokens with a zero gate for the others, and dispatch after one sort, which the first investigation asks of you. All four give the same output.


# %%
def every_expert(x, gates, experts, expert_array):
    weights = torch.zeros(len(x), len(expert_array), dtype=x.dtype).scatter_add(1, experts, gates)
    outs = [expert_array[i](x) for i in range(len(expert_array))]
    return (weights.T[..., None] * torch.stack(outs)).sum(0)


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
    ys = [way(x, gates, experts, eight) for way in ways.values()]
print("all four agree:", all(torch.allclose(y, ys[0], atol=1e-5) for y in ys))

# %% tags=["nbval-ignore-output"]
with torch.no_grad():
    taken = median_milliseconds(
        {name: lambda way=way: way(x, gates, experts, eight) for name, way in ways.items()}, turns=3
    )
plot_times(taken, "512 tokens, 8 experts, top-2: rows must travel together")
plt.show()

# %% [markdown]
# ## D1.4a Load balancing metrics · {section} minutes with D1.4b and c
#
# Six choices among three experts: 0 1, 0 2, 0 1. The load is 3, 2, 1: mean 2, population deviation 0.82. So CV is 0.41 and the busiest expert is 50% above the mean (MaxVio 0.5).

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

# %% [markdown]
# How uneven would pure chance be? If every expert were equally likely, 4 experts, top-2 and 512 tokens would still give a CV of about 0.04. A measured CV means something only beside that band.
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
# Two models of two layers, alike but for the feed-forward part: your MoE (4 experts of width 512, 2 active) and one dense SwiGLU of width 1,024. A token meets the same number of feed-forward weights in both, plus the router's 1,024.


# %%
def model_with(make_ffn, seed=0):
    torch.manual_seed(seed)
    return Decoder(corpus.vocab_size, d_model, num_layers=2, num_heads=4, make_ffn=make_ffn)


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

# %% [markdown]
# Predict first: which of the two ends lower on text that neither has seen, and by how much? Write your guess here before you run the cells: …

# %% tags=["nbval-ignore-output"]
loads = []  # (steps, layers, E)


def keep_loads(step, model):
    loads.append([expert_load(ffn.last_experts, num_experts) for ffn in layers_of(model)])


losses = {"MoE": train_lm(moe, corpus, steps=150, rows=8, after_step=keep_loads)}

# %% tags=["nbval-ignore-output"]
losses["dense"] = train_lm(dense, corpus, steps=150, rows=8)
plot_losses(losses, "Both learn, on the same batches")
plt.show()

# %%
first, last = losses["MoE"][0], sum(losses["MoE"][-10:]) / 10
print("the loss went down by a third or more:", last < 0.67 * first)
start = [float(load_cv(load)) for load in loads[0]]
print("the first batch's load is uneven already:", min(start) > 2 * chance_cv(4, 2, 8 * 64))

# %% tags=["nbval-ignore-output"]
after = {name: held_out_loss(model, corpus) for name, model in (("MoE", moe), ("dense", dense))}
print({name: round(loss, 3) for name, loss in after.items()})

# %% [markdown]
# One run shows that both learn. It cannot show which is better: another seed moves either loss. `lessons/studies/d1_seeds.json` holds three seeds of both.

# %% [markdown]
# ## Look at the traffic
#
# Held-out text through the trained model: the load of each layer beside the band of pure chance. Nobody asked the router to share the work, and it does not; D2 is about that.

# %% tags=["nbval-ignore-output"]
held_ids, held_domain = corpus.held_out(rows_per_domain=32, length=64)
inputs = held_ids[:, :-1]
layers = chosen_experts(moe, inputs)
tokens = inputs.numel()
figure, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
for i, (ax, experts) in enumerate(zip(axes, layers)):
    plot_load(expert_load(experts, num_experts), top_k, tokens, f"Layer {i + 1}: uneven", ax)
plt.show()

# %%
chance = chance_cv(num_experts, top_k, tokens)
cvs = [float(load_cv(expert_load(experts, num_experts))) for experts in layers]
print("some experts get more traffic than chance gives, in every layer:", min(cvs) > 2 * chance)
pairs = [len(experts.sort(-1).values.unique(dim=0)) for experts in layers]
print("different tokens choose different experts:", min(pairs) > 1)

# %% [markdown]
# Do experts specialise? Relative load is 1.0 where a domain uses an expert as much as the even share. Rows that differ mean that the router tells prose, code and stories apart.

# %% tags=["nbval-ignore-output"]
row_domain = held_domain.repeat_interleave(inputs.shape[1])
shares = relative_load(layers[1], row_domain, len(corpus.domains), num_experts)
plot_domain_traffic(shares, corpus.domains, "Layer 2: domains use the experts differently")
plt.show()

# %%
spread = (shares.max(0).values - shares.min(0).values).max()
print("some expert's load differs between domains by 0.2 or more:", float(spread) >= 0.2)

# %% [markdown]
# The same choices, token by token: each token carries the number of the expert with its larger gate in layer 2. Look for what one number has in common: spaces, names, brackets, ends of lines.

# %% tags=["nbval-ignore-output"]
shown = torch.cat([inputs[0], inputs[40], inputs[-1]])
router_of_layer = layers_of(moe)[1].router
rows = {}
hook = router_of_layer.register_forward_pre_hook(lambda m, args: rows.update(x=args[0]))
with torch.no_grad():
    moe(shown[None])
hook.remove()
with torch.no_grad():
    gates, experts = router_of_layer(rows["x"])
top_expert = experts.gather(1, gates.argmax(-1, keepdim=True))[:, 0]
colour_text([corpus.decode([i]) for i in shown.tolist()], top_expert, num_experts)

# %% [markdown]
# ## Explore · {section} minutes
#
# Move experts, top-k and temperature. Low temperature makes a router sure of itself (the top gate goes to 1), high temperature makes all gates alike. The load does not change with it: why? And what does a larger top-k do to the load?

# %% tags=["nbval-ignore-output"]
torch.manual_seed(1)
scores = rows["x"] @ (torch.randn(d_model, 16) / 16)  # what 16 random experts would see
router_explorer(scores)

# %% [markdown]
# ## Break it · {section} minutes
#
# Choose a known slip, run the cell and read what turns red. Then think: which of these would a falling loss have hidden from you?

# %%
print(", ".join(list(known_mistakes("D1.1"))[:14]), "…")

# %%
bug = "SoftmaxOverTokens"  # one of the names above
failed = check_router.failure(known_mistakes("D1.1")[bug])
print(failed.stage, "·", failed.message)

# %% tags=["nbval-ignore-output"]
broken = model_with(lambda: MoELayer(d_model, num_experts, top_k, expert_dim))
for ffn in layers_of(broken):
    ffn.router = known_mistakes("D1.1")[bug](d_model, num_experts, top_k)
plot_losses(
    {"broken": train_lm(broken, corpus, steps=40, rows=8), "yours": losses["MoE"][:40]},
    f"{bug}: does the loss tell?",
)
plt.show()

# %% [markdown]
# ## Investigation 1: sorted dispatch · {section} minutes
#
# Production code sorts. Choices of experts 2, 0, 2, 1 in order become 0, 1, 2, 2: every expert reads one unbroken run of rows. Choice c belongs to token c // K. The check cannot see whether you sort; the curve can. Predict: with how many experts does sorting win?

# %% tags=["exercise"] exercise="D1.I1"
from solutions.d1_moe import sorted_dispatch

# %% tags=["check"] exercise="D1.I1"
check_sorted_dispatch(sorted_dispatch)

# %% tags=["nbval-ignore-output"]
x, counts = torch.randn(1024, 64), (4, 16, 64, 256)
curves = {"expert loop": [], "sorted dispatch": []}
with torch.no_grad():
    for n in counts:
        many, (gates, experts) = ExpertArray(64, 32, n), TopKRouter(64, n, 2)(x)
        taken = median_milliseconds(
            {
                "expert loop": lambda: dispatch_combine(x, gates, experts, many),
                "sorted dispatch": lambda: sorted_dispatch(x, gates, experts, many),
                "the sort alone": lambda: experts.flatten().argsort(stable=True),
            },
            turns=5,
        )
        for name in curves:
            curves[name].append(taken[name])
        print(f"{n:4} experts: " + ", ".join(f"{k} {v:.2f} ms" for k, v in taken.items()))
plot_times(curves, "Searching costs T·K per expert, sorting once", counts, "experts")
plt.show()

# %% [markdown]
# Where does the time go? Compare the sort alone with the rest, then change the 32 (`expert_dim`) to 512 and the 1,024 tokens to 4,096, and note which of the two grows. V3 has 256 experts in a layer.

# %% [markdown]
# ## Investigation 2: capacity and dropped tokens · {section} minutes
#
# Switch gives each expert room for `capacity_factor` times its even share and drops what comes after. Load 3, 2, 1 and factor 1.0: each takes 2, so 1 of 6 choices is dropped. Your layer and V3 drop none (arXiv 2412.19437, p. 10).

# %% tags=["exercise"] exercise="D1.I2"
from solutions.d1_moe import dropped_share

# %% tags=["check"] exercise="D1.I2"
check_dropped_share(dropped_share)

# %%
small = torch.tensor([[0, 1], [0, 2], [0, 1]])
table = {factor: round(float(dropped_share(small, 3, factor)), 3) for factor in (1.0, 1.5, 2.0)}
print(table)

# %% [markdown]
# Predict: at which factor does your trained model drop under 1% of its choices, and how many of its rows stay empty? Write your factor here before you run the cell: …

# %% tags=["nbval-ignore-output"]
factors = (0.75, 1.0, 1.25, 1.5, 2.0)
for i, experts in enumerate(layers):
    shares = [float(dropped_share(experts, num_experts, factor)) for factor in factors]
    print(f"layer {i + 1} drops", "  ".join(f"{f}: {s:.1%}" for f, s in zip(factors, shares)))
    empty = [1 - (1 - s) / f for f, s in zip(factors, shares)]
    print("  rows left empty", "  ".join(f"{f}: {e:.1%}" for f, e in zip(factors, empty)))

# %%
dropped = [float(dropped_share(layers[0], num_experts, factor)) for factor in factors]
print("more room never drops more:", dropped == sorted(dropped, reverse=True))
print("dropless at factor E / K:", float(dropped_share(layers[0], num_experts, 2.0)) == 0.0)

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
# - The load is uneven from the start, and nothing in the loss objects.

# %% [markdown]
# ## Read next
#
# - Switch Transformers (arXiv 2101.03961): top-1, capacity, dropped tokens.
# - Mixtral of Experts (arXiv 2401.04088): the router you wrote.
# - `MoE.forward` in DeepSeek-V3's `inference/model.py`: your expert loop in fifteen lines.
