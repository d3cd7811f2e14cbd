"""The model on the accelerator at hand: `python -m benchmarks accelerator`.

Prints Markdown tables: D4's training in float32 and in bfloat16, generation, and one decode step.
"""

import sys
import time
from functools import partial
from typing import Any

import torch

from benchmarks.decode import COLUMNS, rows
from benchmarks.models import STORIES_THETA, fields_of, ours
from helpers.data.story_rows import StoryRows
from helpers.measuring.decode_steps import StepSizes, copy_bandwidth
from helpers.measuring.story_measures import held_out, sample_stories, story_scores
from helpers.measuring.timing import median_milliseconds
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.training_loops.loop import Train
from helpers.training_loops.story_run import StoryRun
from solutions.d4_deepseek import DeepSeek, generate, train

STEPS = 800
V3_STEP = StepSizes(d_model=7168, num_heads=128, d_head=128, d_latent=512, d_rope=64)
CONTEXTS = 4096, 16_384, 65_536
NEW = 64


def main() -> None:
    device = torch.accelerator.current_accelerator()
    if device is None:
        sys.exit("this machine has no accelerator that PyTorch knows of")
    name = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    copied = copy_bandwidth(device=device) / 1e9
    print(f"{name}, PyTorch {torch.__version__}, copies {copied:,.0f} GB/s, read and written\n")
    training(device)
    generation(device)
    decoding(device)


def training(device: torch.device) -> None:
    """D4's run as the lesson has it; bfloat16 by autocast, weights and optimiser in float32."""
    print("| D4's training | steps | s | held-out loss | coherent | largest CV |")
    print(6 * "|---" + "|")
    stories = StoryRows.build(count=20_000, held_out=400, seed=0)
    for what, how in {"float32": train, "bfloat16": in_bfloat16(device)}.items():
        model = lesson_model().to(device)
        run = StoryRun(model, stories, STEPS, every=STEPS)
        start = time.perf_counter()
        run.train(how, STEPS)
        taken = time.perf_counter() - start
        found = held_out(model, stories)
        coherent = story_scores(sample_stories(model, stories, generate, 200), stories).coherent
        row = f"{taken:.0f} | {found.loss:.3f} | {coherent:.3f} | {max(found.cvs):.3f}"
        print(f"| {what} | {STEPS} | {row} |", flush=True)


def lesson_model() -> DeepSeek:
    """D4's, as the lesson trains it with seed 0."""
    torch.manual_seed(0)
    return DeepSeek(DeepSeekConfig(**fields_of("d4"), theta=STORIES_THETA))


def in_bfloat16(device: torch.device) -> Train:
    """D4.3b's training with the products in bfloat16."""

    def trained(*arguments: Any) -> list[float]:
        with torch.autocast(device.type, torch.bfloat16):
            return train(*arguments)

    return trained


@torch.no_grad()
def generation(device: torch.device) -> None:
    """Milliseconds per new token of one text, of D4's model and of V2-Lite's sizes."""
    print("\n| generation, batch 1, bfloat16 | parameters | ms a token |\n" + 3 * "|---" + "|")
    prompt = torch.arange(16, device=device)[None]
    sizes = {"D4's model": ours("d4").config, "V2-Lite's sizes": DeepSeekConfig.v2_lite()}
    for what, config in sizes.items():
        model = drawn(config, device)
        call = partial(generate, model, prompt, NEW, temperature=0)
        taken = median_milliseconds({what: call}, 3)[what] / NEW
        total = sum(p.numel() for p in model.parameters())
        print(f"| {what} | {total / 1e9:.3f}B | {taken:.1f} |", flush=True)


def drawn(config: DeepSeekConfig, device: torch.device) -> DeepSeek:
    """A model of these sizes with random weights in bfloat16, made on the device."""
    torch.set_default_dtype(torch.bfloat16)
    with device:
        model = DeepSeek(config)
    torch.set_default_dtype(torch.float32)
    return model.eval()


def decoding(device: torch.device) -> None:
    """One step of V3's attention, four ways, in bfloat16."""
    print("\n" + "|".join(("", *COLUMNS, "")) + "\n" + "|---" * len(COLUMNS) + "|")
    for row in rows(V3_STEP, torch.bfloat16, CONTEXTS, device):
        print("| " + " | ".join(row) + " |", flush=True)
