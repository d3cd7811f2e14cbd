"""What the diagrams say is what they were given, and the arithmetic of it."""

import pytest
import torch

from helpers.diagrams.absorption import expand_or_absorb
from helpers.diagrams.bias_loop import bias_loop
from helpers.diagrams.cache_filling import cache_filling, cache_filling_explorer
from helpers.diagrams.devices import devices
from helpers.diagrams.dispatch import dispatch_rows
from helpers.diagrams.drawing.card import Card
from helpers.diagrams.drawing.checked import gates_and_experts
from helpers.diagrams.exchanges import exchanges
from helpers.diagrams.groups import groups
from helpers.diagrams.kept_numbers import kept_by
from helpers.diagrams.layers import block, stack
from helpers.diagrams.part_sizes import block_size, prediction_size
from helpers.diagrams.routing import route_explorer, token_route
from helpers.diagrams.segments import expert_segments, token_segments
from helpers.diagrams.shared_experts import shared_and_routed
from helpers.diagrams.two_part_key import two_part_key
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.published import V2_LITE, V3, active_parameters, total_parameters
from solutions.d1_moe import TopKRouter
from solutions.d2_deepseek_moe import keep_top_groups, update_bias
from solutions.d3_mla import attend
from solutions.d4_deepseek import DeepSeekBlock, MultiTokenPrediction, count_parameters

PROBS = torch.tensor([0.5, 0.125, 0.25, 0.125])
GATES, EXPERTS = torch.tensor([0.67, 0.33]), torch.tensor([0, 2])
SMALL = DeepSeekConfig(
    vocab_size=50,
    num_layers=3,
    d_model=16,
    num_heads=2,
    d_head=4,
    d_latent=8,
    d_rope=2,
    num_experts=4,
    top_k=2,
    expert_dim=6,
    num_shared=1,
    dense_layers=1,
    dense_dim=24,
    num_segments=2,
)


def texts(card: Card) -> list[str]:
    return [drawn.get_text() for drawn, _ in card.words]


def said(card: Card, *wanted: str) -> bool:
    return set(wanted) <= set(texts(card))


@pytest.mark.parametrize(
    ("step", "shown", "hidden"),
    [
        (1, ["0.50", "0.12", "0.25"], ["gate 0.67", "× 0.67", "y"]),
        (3, ["gate 0.67", "gate 0.33"], ["× 0.67", "y"]),
        (4, ["× 0.67", "× 0.33", "y"], ["gate 0.67"]),
    ],
)
def test_a_token_goes_as_far_as_the_step(step, shown, hidden):
    card = token_route(PROBS, GATES, EXPERTS, " cat", step)
    assert said(card, "cat", "expert 3", *shown)
    assert not set(hidden) & set(texts(card))
    assert f"step {step} of 4" in repr(card)


def test_measured_numbers_are_in_the_alternative_text_and_not_in_the_compared_one():
    card, other = (token_route(p, GATES, EXPERTS, "cat") for p in (PROBS, PROBS.flip(0)))
    assert "0.50, 0.12, 0.25, 0.12" in card.alt and card.alt != other.alt
    assert repr(card) == repr(other)


def test_a_card_shows_its_picture_size_and_alternative_text():
    card = token_route(PROBS, GATES, EXPERTS, "cat")
    data, metadata = card._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"}
    shown = {"width": card.width, "height": card.height, "alt": card.alt}
    assert metadata == {"image/png": shown}


def test_the_learners_own_router_steps_through_its_tokens():
    router = TopKRouter(8, 4, 2)
    x = torch.randn(3, 8)
    gates, experts = router(x)
    probs = router.gate(x).softmax(-1)
    explorer = route_explorer(probs, gates, experts, ["a", "b", "c"])
    assert repr(explorer) == "RouteExplorer(token=0, step=1)"
    before = explorer.picture.value
    explorer.sliders["token"].value, explorer.sliders["step"].value = 2, 4
    assert explorer.picture.value != before
    assert said(explorer.card, "c", f"× {gates[2, 0]:.2f}")


def test_an_explorer_without_a_kernel_shows_its_first_card():
    explorer = cache_filling_explorer(torch.randn(3, 4), torch.randn(3, 2), list("abc"))
    data, metadata = explorer._repr_mimebundle_()
    assert data["image/png"] == explorer.card._repr_mimebundle_()[0]["image/png"]
    assert data["text/plain"] == "CacheFilling(position=0)"
    assert metadata["image/png"]["alt"] == explorer.card.alt


def test_an_error_is_shown_in_place_of_the_card_and_goes_away():
    explorer = cache_filling_explorer(torch.randn(3, 4), torch.randn(3, 2), list("abc"))
    right = explorer.draw
    explorer.draw = lambda position: 1 / position - right(position)
    explorer.sliders["position"].value = 1
    assert "TypeError" in explorer.message.value
    assert explorer.picture.layout.display == "none"
    explorer.draw = right
    explorer.sliders["position"].value = 2
    assert explorer.message.value == "" and explorer.picture.layout.display is None


def test_each_expert_gathers_the_rows_that_chose_it():
    gates = torch.tensor([[0.75, 0.25], [0.5, 0.5]])
    experts = torch.tensor([[0, 2], [2, 1]])
    card = dispatch_rows(gates, experts, 4, ["cat", "dog"])
    assert "expert 0 gathers cat; expert 1 gathers dog; expert 2 gathers cat and dog" in card.alt
    assert said(card, "no row", "0.75 · E0", "0.25 · E2", "0.50 · E2", "0.50 · E1")


def test_of_many_experts_the_chosen_are_drawn():
    card = shared_and_routed(GATES, torch.tensor([7, 200]), 256, 1, "cat")
    assert said(card, "shared 0", "expert 7", "expert 200", "254 others", "× 0.67", "× 1")
    assert "expert 0" not in texts(card)


def test_finer_experts_have_more_choices_and_the_same_width():
    card = expert_segments(8, 2, 512, 4)
    assert said(
        card,
        "2 of 8: 28 choices, hidden width 2 × 512 = 1,024 per token",
        "8 of 32: 10,518,300 choices, hidden width 8 × 128 = 1,024 per token",
    )


def test_slices_of_a_token_have_their_own_experts():
    card = token_segments(torch.tensor([[3, 1], [0, 2]]), 4, 64, "cat")
    assert said(card, "0–31", "32–63")
    assert "slice 0 goes to 3 and 1; slice 1 goes to 0 and 2" in card.alt


def test_group_scores_are_the_sums_of_the_best_two():
    scores = torch.tensor([[0.5, 0.25, 0.125, 0.75, 0.5, 0.0, 0.25, 0.25]])
    kept = keep_top_groups(scores, 2, 1)
    card = groups(scores[0], kept[0], kept[0].topk(2).indices, 2)
    assert said(card, "0.75 + 0.50", "= 1.25", "0.50 + 0.25", "= 0.75", "kept", "left out")
    assert "Groups kept of 2: 0. Experts chosen in them: 0 and 3." in card.alt


def test_the_bias_chooses_and_the_gates_do_not_have_it():
    load, bias = torch.tensor([6, 2, 1]), torch.zeros(3)
    affinity = torch.tensor([0.5, 0.25, 0.375])
    new = update_bias(bias, load, 0.25)
    card = bias_loop(load, bias, new, affinity, 2)
    assert said(card, "mean 3.0", "−1", "+1", "−0.250", "0.250", "0.625", "0.500")
    assert said(card, f"{0.25 / 0.625:.2f}", f"{0.375 / 0.625:.2f}")
    assert "chooses 1 and 2" in card.alt


def test_the_busiest_device_sets_the_time_of_all():
    card = devices(torch.tensor([30, 10, 50, 30]), 2)
    assert said(card, "40", "80, busiest", "one step: 80 rows; mean: 60; waiting: 25%")


def test_rows_travel_to_the_process_of_their_expert_and_back():
    card = exchanges([torch.tensor([[1, 6], [5, 4]]), torch.tensor([[7, 0]])], 8)
    assert said(card, "4 of 6 rows travel out and back, in colour; grey ones stay")
    assert said(card, "token 0 to E6", "E6: token 0, from 0", "token 0 from E6")
    assert "Process 1 sends token 0 to expert 0 of process 0 and token 0 to expert 7" in card.alt
    assert card.alt.startswith("Process 0 sends token 0 to expert 1 of itself, token 1 to expert 4")


def test_what_attention_keeps_are_v3s_numbers():
    card = kept_by(128, 128, 8, 512, 64)
    assert said(card, "32,768", "2,048, MHA ÷ 16", "256, MHA ÷ 128", "576, MHA ÷ 56.9")


def test_the_score_of_two_parts_is_attentions():
    q, k, values = torch.randn(2, 8), torch.randn(2, 8), torch.randn(2, 2, 1)
    q_rotary, k_rotary = torch.randn(2, 4), torch.randn(2, 4)
    keys = torch.stack([k, torch.randn(2, 8)])
    card = two_part_key(q, q_rotary, keys[0], k_rotary[0])
    other = two_part_key(q, q_rotary, keys[1], k_rotary[1])
    y = attend(q[None, None], q_rotary[None, None], keys[None], k_rotary[None], values[None])
    for head in range(2):
        scores = torch.tensor([score_of(card, head), score_of(other, head)])
        weights = scores.softmax(0)
        assert float(weights @ values[:, head, 0]) == pytest.approx(float(y[0, 0, head]), abs=0.02)


def score_of(card: Card, head: int) -> float:
    return float(card.alt.split("; ")[head].rsplit(" ", 1)[1])


def test_multiplications_of_both_ways():
    card = expand_or_absorb(2, 3, 5, 7)
    assert said(card, f"S·R·H·d + S·H·d = {7 * 5 * 6 + 7 * 6} multiplications")
    assert said(card, f"H·d·R + S·H·R = {2 * 3 * 5 + 7 * 2 * 5} multiplications")


def test_the_cache_is_read_up_to_the_position():
    card = cache_filling(torch.randn(5, 6), torch.randn(5, 2), 2, list("abcde"))
    assert said(card, "read: 3 columns × 8 = 24 numbers", "written: 8 numbers; free: 2 columns")


def test_the_stack_counts_as_published():
    v3 = stack(DeepSeekConfig.v3(), "V3")
    assert f"{total_parameters(V3):,} parameters, {active_parameters(V3):,} per token" in v3.alt
    assert said(v3, "dense layers 1 to 3", "sparse layers 4 to 61", "3 × 583M", "58 × 11.5B")
    lite = stack(DeepSeekConfig.v2_lite(), "V2-Lite")
    assert f"{total_parameters(V2_LITE):,}" in lite.alt


def test_the_stack_counts_as_a_built_model_does():
    total, active = count_parameters(SMALL)
    assert f"{total:,} parameters, {active:,} per token" in stack(SMALL, "small").alt
    for layer in (0, 1):
        built = sum(p.numel() for p in DeepSeekBlock(SMALL, layer).parameters())
        assert block_size(SMALL, layer).total == built
    built = sum(p.numel() for p in MultiTokenPrediction(SMALL).parameters())
    assert prediction_size(SMALL).total == built


def test_a_block_is_dense_or_sparse():
    dense, sparse = block(SMALL, 0), block(SMALL, 2)
    assert said(dense, "SwiGLU", "hidden width 24")
    assert said(sparse, "mixture of experts", "1 shared, 2 of 4 routed")


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: token_route(torch.ones(13), GATES, EXPERTS, "a"), "experts must be between 1"),
        (lambda: token_route(PROBS, GATES, EXPERTS, "a", 5), "step must be between 1 and 4"),
        (lambda: gates_and_experts(GATES[:1], EXPERTS, "K", 4), "must have one shape"),
        (lambda: token_route(PROBS, GATES, torch.tensor([0, 4]), "a"), "from 0 to num_experts"),
        (lambda: dispatch_rows(GATES[None], EXPERTS[None], 4, []), "words must have one entry"),
        (lambda: expert_segments(8, 2, 10, 4), "m must divide expert_dim=10"),
        (lambda: token_segments(torch.zeros(3, 1).long(), 4, 64, "a"), "must divide d_model"),
        (lambda: groups(PROBS, PROBS, EXPERTS, 3), "num_groups must divide the 4 experts"),
        (lambda: devices(torch.tensor([1, 2, 3]), 2), "multiple of num_devices=2"),
        (lambda: exchanges([torch.tensor([[0]])] * 3, 8), "3 processes must divide"),
        (lambda: kept_by(4, 8, 5, 8, 2), "kv_heads must be between 1 and 4"),
        (lambda: cache_filling(torch.ones(2, 2), torch.ones(2, 2), 2, ["a", "b"]), "position must"),
        (lambda: block(SMALL, 4), "layer must be between 0 and 3"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_its_name(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_a_card_above_its_size_is_refused():
    card = token_route(PROBS, GATES, EXPERTS, "cat")
    with pytest.raises(ValueError, match="at most 60000 bytes"):
        Card(bytes(60_001), card.width, card.height, "", "", card.figure, card.words)
