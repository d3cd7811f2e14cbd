# %% [markdown]
# # D2 · DeepSeek's MoE innovations
#
# You add what DeepSeek added: shared experts, finer experts, and balance by a bias instead of a loss. Where the study plan and the papers differ, you build both and measure both.
#
# About 2 to 3 hours: nine exercises of 5 to 20 minutes; two investigations of 20 lie beyond.

# %% [markdown]
# ## How this notebook works
#
# As in D1: write where a cell raises `NotImplementedError`, run the check below it, ask `.hint()` when stuck.
#
# Letters beside D1's: m = `num_segments`, R = T·m rows, d = D/m, S batches. Your own D1 parts come along where they pass their checks; the set-up cell says which. Save D1 first (Ctrl+S). `carry("d1_moe", reference=["MoELayer"])` or `yours=[…]` forces a part.

# %% tags=["setup"]
import helpers  # before torch: its threads then sleep while they wait

import math
from typing import Any

import matplotlib.pyplot as plt
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

import solutions.d2_deepseek_moe as reference
from checks import progress
from checks.audit.known_mistakes import known_mistakes
from checks.learner.carry import carry
from checks.d2_deepseek_moe import (
    check_biased_router,
    check_control_bias,
    check_deepseek_moe,
    check_fine_grained,
    check_keep_top_groups,
    check_merge_segments,
    check_most_experts,
    check_rebalance,
    check_segment_tokens,
    check_shared_experts,
    check_update_bias,
)
from helpers.training_loops.balance_losses import sequence_loss, switch_loss
from helpers.training_loops.balancing import annealed, train_balanced
from helpers.measuring.random_routing import chance_cv
from helpers.data.corpus import Corpus
from helpers.plots.curve_plots import plot_balance, plot_bias_paths, plot_losses
from helpers.plots.explorers import bias_step_explorer
from helpers.model.llama import Decoder, SwiGLU
from helpers.plots.load_plots import plot_load_before_after
from helpers.model.published import V2, V3
from helpers.model.router_options import validate_router
from helpers.data.texts import story_documents
from helpers.measuring.traffic import chosen_experts, layers_of, relative_load
from helpers.plots.traffic_plots import plot_domain_traffic, plot_token_experts
from helpers.training_loops.language_model import held_out_loss

carried = carry("d1_moe")
TopKRouter, ExpertArray = carried.TopKRouter, carried.ExpertArray
dispatch_combine, expert_load = carried.dispatch_combine, carried.expert_load
load_cv, max_violation = carried.load_cv, carried.max_violation
torch.manual_seed(0)
torch.set_num_threads(1)  # the same numbers whatever else runs, and hardly slower at this size
carried

# %% [markdown]
# ## D2.1 Shared experts · {section} minutes
#
# Some knowledge every token needs. DeepSeekMoE's models keep 1 to 4 experts always on and adds them unweighted: if two give 3 and 4 and the routed sum is 5, the layer gives 12. The plan's "2 shared" for V3 is a slip.

# %%
print("shared experts: V3", V3.experts.shared, "· V2", V2.experts.shared)

# %% [markdown]
# Two SwiGLU networks of width F, summed, are one of width 2F: stack the rows of `gate` and `up`, and the columns of `down`. Measure it.

# %%
torch.manual_seed(0)
one, two, wide = SwiGLU(8, 5), SwiGLU(8, 5), SwiGLU(8, 10)
with torch.no_grad():
    for name, dim in (("gate", 0), ("up", 0), ("down", 1)):
        parts = [getattr(expert, name).weight for expert in (one, two)]
        getattr(wide, name).weight.copy_(torch.cat(parts, dim))
x = torch.randn(6, 8)
print("two of width 5 equal one of width 10:", torch.allclose(one(x) + two(x), wide(x), atol=1e-6))

# %% [markdown]
# Write the constructor. DeepSeek's code builds one wide network; with a list of experts instead, change `forward` to sum them.

# %% tags=["exercise"] exercise="D2.1"
from solutions.d2_deepseek_moe import SharedExperts

# %% tags=["check"] exercise="D2.1"
check_shared_experts(SharedExperts)

# %% [markdown]
# ## D2.2a, b Segments, as the plan has them · {section} minutes
#
# The plan cuts a token's hidden dimension into slices and routes each on its own. One token 1 2 3 4 5 6 and three segments give three rows: 1 2, 3 4, 5 6. Row t·m + s is slice s of token t.

# %% [markdown]
# DeepSeek never does this; its closest published relative is MH-MoE (arXiv 2404.15045), which also mixes the slices with a linear layer before the split and after the merge.

# %% tags=["exercise"] exercise="D2.2a"
from solutions.d2_deepseek_moe import segment_tokens

# %% tags=["check"] exercise="D2.2a"
check_segment_tokens(segment_tokens)

# %% tags=["exercise"] exercise="D2.2b"
from solutions.d2_deepseek_moe import merge_segments

# %% tags=["check"] exercise="D2.2b"
check_merge_segments(merge_segments)

# %%
token = torch.arange(1.0, 7.0)[None]
print(segment_tokens(token, 3).tolist())
print("merged again:", torch.equal(merge_segments(segment_tokens(token, 3), 3), token))

# %% [markdown]
# ## D2.2c Segments, as DeepSeek has them · {section} minutes
#
# DeepSeekMoE cuts the experts, not the token. With 16 experts and top-2 there are 120 pairs. Cut each in 4: 64 experts of a quarter of the width, top-8, the same weights and FLOPs, and 4,426,165,368 combinations (arXiv 2401.06066, section 3.1).

# %% tags=["exercise"] exercise="D2.2c"
from solutions.d2_deepseek_moe import fine_grained

# %% tags=["check"] exercise="D2.2c"
check_fine_grained(fine_grained)

# %%
for m in (1, 2, 4):
    n, k, width = fine_grained(16, 2, 2048, m)
    print(
        f"m={m}: {n:2} experts, top-{k}, width {width:4} · in all {n * width:6}, active {k * width}",
        end="",
    )
    print(f" · {math.comb(n, k):,} combinations")

# %% [markdown]
# V3's numbers keep the invariant: 8 routed and 1 shared expert of width 2,048 are together as wide as its dense layers, 18,432.

# %%
active = (V3.experts.top_k + V3.experts.shared) * V3.experts.expert_dim
print(active, "= the dense width:", active == V3.dense_dim)

# %% [markdown]
# ## D2.3a Expert groups · {section} minutes, extra
#
# The plan's "8" probably comes from here: V3's 256 experts lie in 8 groups of 32, a token may use 4 groups, and its 8 experts come from those. A group with scores 0.9, 0.1, 0.8 counts 0.9 + 0.8 = 1.7: the sum of its best two.

# %% tags=["exercise"] exercise="D2.3a"
from solutions.d2_deepseek_moe import keep_top_groups

# %% tags=["check"] exercise="D2.3a"
check_keep_top_groups(keep_top_groups)

# %% [markdown]
# ## D2.3b A router with a bias · {section} minutes
#
# Affinities 0.8, 0.7 and 0.2 with biases −0.2, 0 and 0: the choice sees 0.6, 0.7 and 0.2. Top-1 is now expert 1, and its gate is made from 0.7, never from the bias.
#
# bfloat16 cannot tell close affinities apart. So where x is narrower than float32, affinities, bias and choice are float32.

# %% [markdown]
# An affinity is the sigmoid of an expert's logit, or its softmax over all. Groups and experts are chosen by affinity + bias; without `renormalise` a gate is scale · s. The plan's learnable bias on the logits differs: V3's is a buffer moved by rule.
#
# $$s_i = \sigma(w_i \cdot x), \quad \text{choose by } s_i + b_i, \quad g_i = \mathrm{scale} \cdot \frac{s_i}{\sum_{j\,\mathrm{chosen}} s_j}$$

# %% tags=["exercise"] exercise="D2.3b"
from solutions.d2_deepseek_moe import BiasedRouter

# %% tags=["check"] exercise="D2.3b"
check_biased_router(BiasedRouter)

# %% [markdown]
# Three published routers are settings of this one. Run them on the same tokens and compare what the gates of a token sum to. V3's scale 2.5 is in its configuration file, not in its paper.

# %%
settings = {
    "Mixtral": dict(affinity="softmax"),
    "V2-Lite": dict(affinity="softmax", renormalise=False),
    "V3": dict(scale=2.5, num_groups=4, top_groups=2),
}
torch.manual_seed(0)
x = torch.randn(200, 32)
print(f"{'router':10}{'affinity':10}{'gates sum to':>16}{'experts in':>12}")
for name, setting in settings.items():
    router = BiasedRouter(32, 16, 4, **setting)
    gates, experts = router(x)
    low, high = gates.sum(-1).min().item(), gates.sum(-1).max().item()
    groups = max(len(set(row)) for row in (experts // 4).tolist())
    total = f"{low:.2f}" if high - low < 1e-4 else f"{low:.2f} to {high:.2f}"
    print(f"{name:10}{router.affinity:10}{total:>16}{f'≤ {groups} groups':>12}")

# %% [markdown]
# Shift all biases alike and nothing changes; move one and choices change, while the gates of tokens that keep their choice stay what they were.

# %%
router = BiasedRouter(32, 16, 4)
before = router(x)
router.bias += 0.37
print("a common shift is invisible:", torch.equal(router(x)[1], before[1]))
router.bias[0] += 0.2
after = router(x)
same = (after[1].sort(-1).values == before[1].sort(-1).values).all(-1)
print("some choices change:", bool((~same).any()))
kept = torch.allclose(after[0][same].sort(-1).values, before[0][same].sort(-1).values)
print("gates of unchanged choices stay:", kept)

# %% [markdown]
# ## D2.3c The sign rule · {section} minutes
#
# Loads 6, 2, 4 have mean 4. With step 0.01 the biases move by −0.01, +0.01 and 0: an underused expert goes up. One step a batch, however far off the load is.
#
# $$b_i \leftarrow b_i + \gamma \cdot \mathrm{sign}(\bar n - n_i)$$

# %% tags=["exercise"] exercise="D2.3c"
from solutions.d2_deepseek_moe import update_bias

# %% tags=["check"] exercise="D2.3c"
check_update_bias(update_bias)

# %%
moved = update_bias(torch.zeros(3), torch.tensor([6, 2, 4]), 0.01)
print([round(b, 2) for b in moved.tolist()])

# %% [markdown]
# ## D2.3d The whole layer · {section} minutes
#
# Routed and shared experts together: D4 uses this class. With `num_segments` above 1 the routed experts see slices of width D / m, the shared ones the whole token, and `last_experts` has a row for each slice.

# %% tags=["exercise"] exercise="D2.3d"
from solutions.d2_deepseek_moe import DeepSeekMoE

# %% tags=["check"] exercise="D2.3d"
check_deepseek_moe(DeepSeekMoE)

# %% [markdown]
# Look at the plan's segments: four tokens, four slices each. The slices of one token choose different experts.

# %%
torch.manual_seed(0)
segmented = DeepSeekMoE(64, 8, 2, 16, 1, num_segments=4)
gates, experts = segmented.router(segment_tokens(torch.randn(4, 64), 4))
names = [f"token{t}:slice{s}" for t in range(4) for s in range(4)]
plot_token_experts(names, gates.detach(), experts, 8, "Slices of one token go different ways")
plt.show()

# %%
by_token = experts.sort(-1).values.reshape(4, 4, 2)
print(
    "different segments choose different experts:", all(len(t.unique(dim=0)) > 1 for t in by_token)
)
plain, x = DeepSeekMoE(64, 8, 2, 16, 1, num_segments=1), torch.randn(2, 3, 64)
tokens = x.reshape(-1, 64)
ordinary = dispatch_combine(tokens, *plain.router(tokens), plain.experts) + plain.shared(tokens)
print("num_segments=1 is the ordinary layer:", torch.equal(plain(x), ordinary.view(2, 3, 64)))

# %% [markdown]
# ## D2.3e One step a batch, real tokens only · {section} minutes
#
# Two sequences of 5 and 3 real tokens, padded to 5: two of the ten positions are padding. They are routed like any token, and all alike; counted, they would steer the bias towards a load that no text has.

# %% tags=["exercise"] exercise="D2.3e"
from solutions.d2_deepseek_moe import rebalance

# %% tags=["check"] exercise="D2.3e"
check_rebalance(rebalance)

# %%
torch.manual_seed(0)
layer = DeepSeekMoE(32, 8, 2, 8, 1)
real = torch.arange(12) < torch.tensor([12, 8, 5, 3])[:, None]
layer(torch.where(real[..., None], torch.randn(4, 12, 32), torch.ones(32)))
counted, of_text = expert_load(layer.last_experts, 8), rebalance(layer, real, 0.0)
print("load with padding", counted.tolist(), "· of real tokens", of_text.tolist())
signs = [update_bias(torch.zeros(8), load, 1.0) for load in (counted, of_text)]
print("padding would steer experts", (signs[0] != signs[1]).nonzero().flatten().tolist(), "wrongly")

# %% [markdown]
# ## Train five ways · {section} minutes
#
# The same stories, the same layers (16 experts of width 64, top-2, one shared), five ways: no balancing, Switch's loss, the bias, the bias with V3's small loss, and a buggy bias.

# %% [markdown]
# The bias moves by 0.02 a batch, annealed to zero over the last 40% as V3 freezes its own at the end. V3's step is 0.001 over far more batches.

# %% tags=["nbval-ignore-output"]
corpus = Corpus.build(story_documents(2500, seed=0))
E, K, D, STEPS, STEP, ANNEAL = 16, 2, 128, 150, 0.02, 0.4
print(f"{len(corpus.train[0]):,} tokens to train on, {len(corpus.held[0]):,} in other stories")

# %%
frozen_from = int(STEPS * (1 - ANNEAL))
step_at = annealed(STEP, STEPS, frozen_from)
print([round(step_at(i), 4) for i in (0, frozen_from, 120, STEPS - 1)])


# %%
def new_model(seed=0, text=None, **changes):
    """A decoder of two layers with DeepSeekMoE."""
    torch.manual_seed(seed)
    sizes = dict(num_experts=E, top_k=K, expert_dim=64, num_shared=1) | changes
    return Decoder((text or corpus).vocab_size, D, 2, 4, lambda: DeepSeekMoE(D, **sizes))


# %% [markdown]
# Switch adds a loss E · Σ f·P, where f is an expert's share of the choices and P its mean affinity: 1 when both are even, more when the busy experts are also the liked ones. V3's small loss is the same within each sequence.

# %% [markdown]
# Predict before you run: which of the five ends with the most even load on stories it has not seen, and which pays for it in loss? Your guess: …

# %% tags=["nbval-ignore-output"]
models, runs = {"none": new_model()}, {}
runs["none"] = train_balanced(models["none"], corpus, STEPS)

# %% tags=["nbval-ignore-output"]
models["Switch's loss"] = new_model()
runs["Switch's loss"] = train_balanced(
    models["Switch's loss"], corpus, STEPS, loss=lambda s, experts: 0.01 * switch_loss(s, experts)
)

# %% tags=["nbval-ignore-output"]
bias = dict(rebalance=rebalance, step_at=step_at)
models["bias"] = new_model()
runs["bias"] = train_balanced(models["bias"], corpus, STEPS, **bias)

# %% [markdown]
# Two more. One adds V3's small loss within each sequence (α = 0.0001, so "no auxiliary loss" is nearly true). One has a bug that vLLM (pull request 12002) and transformers (39581) had to mend: the bias leaks into the gates.

# %% tags=["nbval-ignore-output"]
models["bias + V3's loss"] = new_model()
runs["bias + V3's loss"] = train_balanced(
    models["bias + V3's loss"],
    corpus,
    STEPS,
    loss=lambda s, experts: 0.0001 * sequence_loss(s, experts, length=64),
    **bias,
)

# %% tags=["nbval-ignore-output"]
models["leak"] = new_model()
for layer in layers_of(models["leak"]):
    layer.router = known_mistakes("D2.3b")["BiasInGates"](D, E, K)
runs["leak"] = train_balanced(models["leak"], corpus, STEPS, **bias)

# %% [markdown]
# The judgement is made on other stories, with the bias frozen, over enough tokens that chance alone gives a CV near 0.02. The paper of the bias gives MaxVio 0.72 with an auxiliary loss and 0.04 without for 1B models (arXiv 2408.15664, table 2).

# %% tags=["nbval-ignore-output"]
held_ids, _ = corpus.held_out(rows_per_domain=200, length=64)
tokens = held_ids[:, :-1].numel()
floor = chance_cv(E, K, tokens)
loads = {
    name: [expert_load(experts, E) for experts in chosen_experts(model, held_ids[:, :-1])]
    for name, model in models.items()
}
print(
    f"{'held-out stories':18}{'loss':>8}{'CV of layers 1, 2':>20}{'MaxVio':>14}   chance {floor:.3f}"
)
for name, model in models.items():
    cvs = "  ".join(f"{float(load_cv(load)):.3f}" for load in loads[name])
    vios = "  ".join(f"{float(max_violation(load)):.2f}" for load in loads[name])
    print(f"{name:18}{held_out_loss(model, corpus):8.3f}{cvs:>20}{vios:>14}")

# %%
worst = {name: max(float(load_cv(load)) for load in pair) for name, pair in loads.items()}
best = {name: min(float(load_cv(load)) for load in pair) for name, pair in loads.items()}
print("enough tokens, chance CV below 0.03:", floor < 0.03)
print("CV < 0.1 with the bias, frozen:", worst["bias"] < 0.1)
print("and not without:", best["none"] > 0.1)
print("the small loss does no harm to it:", worst["bias + V3's loss"] < 0.1)

# %% tags=["nbval-ignore-output"]
before_after = {name: loads[name][0] for name in ("none", "Switch's loss", "bias")}
plot_load_before_after(before_after, K, tokens, "Layer 1 on stories it has not seen")
plt.show()

# %% tags=["nbval-ignore-output"]
history = {
    name: {
        "cv": [float(load_cv(load)) for load in run.loads[:, 0]],
        "max_violation": [float(max_violation(load)) for load in run.loads[:, 0]],
    }
    for name, run in runs.items()
}
plot_balance(history, chance_cv(E, K, 16 * 64), "Balance of each batch while training, layer 1")
plt.show()

# %% tags=["nbval-ignore-output"]
plot_losses({name: run.losses for name, run in runs.items()}, "What balance costs in loss")
plt.show()

# %% [markdown]
# Do biases converge? Under a sign rule nothing comes to rest: nearly every bias moves by a step in nearly every batch. What settles is their spread, and annealing the step freezes it. Only differences matter, so the paths are centred.

# %% tags=["nbval-ignore-output"]
paths = runs["bias"].biases[:, 0]  # (steps, E), first layer
plot_bias_paths(paths, "Bias paths of layer 1", frozen_from=frozen_from)
plt.show()

# %%
moves = (paths[1:] - paths[:-1]).abs().max(dim=1).values
print("no move is larger than the step:", bool((moves <= STEP * 1.001).all()))
centred = (paths - paths.mean(dim=1, keepdim=True))[:frozen_from]
_, middle, last = centred.split(math.ceil(frozen_from / 3))
spread = [float((part.max(0).values - part.min(0).values).mean()) for part in (middle, last)]
print(
    "before annealing they range less in the last third than in the middle one:",
    spread[1] < spread[0],
)
print("CV after freezing stays below 0.1:", worst["bias"] < 0.1)

# %% [markdown]
# ## What the shared expert holds · {section} minutes
#
# Switch it off in the trained model and read the loss. In DeepSeekMoE's paper replacing it by one more routed expert raised the loss on the Pile from 1.808 to 2.414 (arXiv 2401.06066, p. 13).

# %% tags=["nbval-ignore-output"]
model = models["bias"]
with_shared = held_out_loss(model, corpus)
hooks = [
    layer.shared.register_forward_hook(lambda module, inputs, out: torch.zeros_like(out))
    for layer in layers_of(model)
]
without_shared = held_out_loss(model, corpus)
for hook in hooks:
    hook.remove()
print(f"with {with_shared:.3f}, without {without_shared:.3f}")

# %%
print("switching it off costs more than 0.2 nats a token:", without_shared - with_shared > 0.2)

# %% [markdown]
# ## The same budget, cut two ways · {section} minutes
#
# The plan's segments and DeepSeek's fine experts beside the plain layer, with equal weights and equal multiplications in the routed experts and in the shared ones. One run each here; `lessons/studies/d2_seeds.json` holds five seeds of each.

# %%
n, k, width = fine_grained(E, K, 64, 2)
variants = {
    "plain": {},
    "fine experts, m = 2": dict(num_experts=n, top_k=k, expert_dim=width, num_shared=2),
    "token segments, m = 2": dict(num_experts=32, num_segments=2),
}
budgets = set()
for name, changes in variants.items():
    layer = new_model(**changes).blocks[0].ffn
    weights = sum(p.numel() for p in layer.experts.parameters())
    used = weights * layer.router.top_k * layer.num_segments // len(layer.experts)
    shared = sum(p.numel() for p in layer.shared.parameters())
    budgets.add((weights, used, shared))
    print(f"{name:22} routed {weights:,}, multiplied for a token {used:,}, shared {shared:,}")
print("one budget:", len(budgets) == 1)

# %% tags=["nbval-ignore-output"]
cut, cut_models = {"plain": runs["bias"].losses}, {"plain": models["bias"]}


def train_cut(name):
    cut_models[name] = new_model(**variants[name])
    cut[name] = train_balanced(cut_models[name], corpus, STEPS, **bias).losses


train_cut("fine experts, m = 2")

# %% tags=["nbval-ignore-output"]
train_cut("token segments, m = 2")
plot_losses(cut, "One budget, whole and cut two ways")
plt.show()
for name, model in cut_models.items():
    print(f"{name:22} held-out loss {held_out_loss(model, corpus):.3f}")

# %% tags=["nbval-ignore-output"]
segment_experts = chosen_experts(cut_models["token segments, m = 2"], held_ids[:, :-1])[0]
segment = torch.arange(2).repeat(len(segment_experts) // 2)
shares = relative_load(segment_experts, segment, 2, 32)
plot_domain_traffic(
    shares, ["first half", "second half"], "Each segment has its own experts", "segment"
)
plt.show()

# %%
apart = float((shares[0] - shares[1]).abs().max())
print("different segments choose different experts:", apart > 0.5)

# %% [markdown]
# ## Sixty-four experts and three domains · {section} minutes
#
# The plan's lower end: 64 routed experts, top-6, on prose, code and stories together. Every domain is free to have its favourites as long as the whole batch is even; V3 shows the same in its figure 9.

# %% tags=["nbval-ignore-output"]
mixed = Corpus.build()
many = new_model(text=mixed, num_experts=64, top_k=6, expert_dim=32)
run64 = train_balanced(
    many, mixed, 100, rebalance=rebalance, step_at=annealed(STEP, 100, from_step=60)
)
mixed_ids, mixed_domain = mixed.held_out(rows_per_domain=60, length=64)
experts64 = chosen_experts(many, mixed_ids[:, :-1])[1]
shares64 = relative_load(experts64, mixed_domain.repeat_interleave(64), 3, 64)
plot_domain_traffic(shares64, mixed.domains, "64 experts: every domain has its favourites")
plt.show()

# %% tags=["nbval-ignore-output"]
cv_train = sum(float(load_cv(load)) for load in run64.loads[-10:, 1]) / 10
cv_held = float(load_cv(expert_load(experts64, 64)))
print(
    f"CV of the last training batches {cv_train:.2f}, of held-out text {cv_held:.2f}, chance in a batch {chance_cv(64, 6, 1024):.2f}"
)

# %%
within = [float(row.std(correction=0)) for row in shares64]
print("each domain alone is less even than the whole:", min(within) > cv_held)

# %% [markdown]
# The sign rule evens the whole batch more than any domain and leaves each its favourites. A hundred steps are too few to balance 64 experts, and a batch of 1,024 tokens shows on average no CV below chance's 0.10.

# %% [markdown]
# ## Explore · {section} minutes
#
# One slider: the step. Find one too small to arrive, one that arrives, and one that swings for ever.

# %% tags=["nbval-ignore-output"]
bias_step_explorer()

# %% [markdown]
# ## Break it · {section} minutes
#
# Choose a slip of the router and see what the check says. The leak you trained above balanced the load and its loss came down, which is why it survived in other people's code.

# %%
print(", ".join(list(known_mistakes("D2.3b"))[:14]), "…")
bug = "BiasInGates"  # one of the names
print(check_biased_router.failure(known_mistakes("D2.3b")[bug]))

# %% [markdown]
# ## Investigation 1: the step, over seeds · {section} minutes
#
# Write the control loop on affinities that stay as they are, so that only the bias moves. Each batch must be routed with the bias that the batches before it left. Predict: two biases 0.3 apart move 0.01 each a batch; how many batches do they need, and how many at 0.001?

# %% tags=["exercise"] exercise="D2.I1"
from solutions.d2_deepseek_moe import control_bias

# %% tags=["check"] exercise="D2.I1"
check_control_bias(control_bias)


# %% tags=["nbval-ignore-output"]
def skewed(seed, batches=120, tokens=512, num_experts=8):
    """Affinities of a router that likes later experts better."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batches, tokens, num_experts, generator=generator)
    return (logits + torch.linspace(-1, 1, num_experts)).sigmoid()


def last_cv(affinity, path):
    loads = [
        expert_load((scores + bias).topk(2).indices, scores.shape[1])
        for scores, bias in zip(affinity[-20:], path[-21:-1])
    ]
    return sum(float(load_cv(load)) for load in loads) / len(loads)


table = {}
for step in (0.001, 0.01, 0.1):
    table[step] = [last_cv(skewed(seed), control_bias(skewed(seed), 2, step)) for seed in range(3)]
    print(f"step {step}: CV of the last batches over seeds", [round(cv, 2) for cv in table[step]])

# %%
print(
    "0.01 beats both others on every seed:",
    all(table[0.01][seed] < min(table[0.001][seed], table[0.1][seed]) for seed in range(3)),
)

# %% [markdown]
# ## Investigation 2: how many experts until balance fails · {section} minutes
#
# A batch of 1,024 tokens and top-2 gives each of 64 experts 32 tokens: chance alone makes a CV of 0.17, a floor that no bias can remove. Solve the formula for E: up to how many experts is the floor at 0.1?
#
# $$\mathrm{CV} = \sqrt{\frac{E - K}{K\,T}}$$

# %% tags=["exercise"] exercise="D2.I2"
from solutions.d2_deepseek_moe import most_experts

# %% tags=["check"] exercise="D2.I2"
check_most_experts(most_experts)

# %%
for batch in (512, 1024, 4096, 16384):
    print(
        f"{batch:6} tokens a batch: chance alone stays at or below CV 0.1 up to {most_experts(2, batch, 0.1)} experts"
    )
print("64 experts, 1,024 tokens:", round(chance_cv(64, 2, 1024), 2))

# %% tags=["nbval-ignore-output"]
for num_experts in (8, 16, 32, 64):
    affinity = skewed(0, tokens=1024, num_experts=num_experts)
    cv = last_cv(affinity, control_bias(affinity, 2, 0.01))
    print(f"{num_experts:3} experts: CV {cv:.2f} · chance {chance_cv(num_experts, 2, 1024):.2f}")

# %% [markdown]
# The sign rule stays above the floor, so the real border is lower. Between which two rows does it lie, and does a step of 0.003 move it?

# %% [markdown]
# ## What you built
#
# Shared experts, both meanings of segments, V3's router with groups, the sign rule, and `DeepSeekMoE`. Your `BiasedRouter` keeps `from_hf`, which takes transformers' `DeepseekV3TopkRouter` with its weights.

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# ## What surprised us
#
# - Padding is routed like text, and counted it moves the bias the wrong way.
# - The bias is never added to anything that reaches the output.
# - "Fine-grained" cuts the expert, and the plan's version resembles another paper's.
# - A balanced mixture can be made of unbalanced domains.

# %% [markdown]
# ## Read next
#
# - DeepSeekMoE (arXiv 2401.06066): sections 3.1 and 3.2, shared and fine experts.
# - Auxiliary-Loss-Free Load Balancing (arXiv 2408.15664): algorithm 1.
# - DeepSeek-V3 (arXiv 2412.19437): section 2.1.2.
# - `Gate.forward` in DeepSeek-V3's `inference/model.py`: your router.
