# mypy: disable-error-code="name-defined"
# ruff: noqa: F821
"""The end of `my_deepseek.py`: it trains a model on a text file and writes text with it.

It is appended to the code of the model and of `helpers.training_loops.optimiser`, whose names it
uses: DeepSeek, DeepSeekConfig, train, generate, optimiser_and_schedule.
"""

import argparse
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SIZES = {
    "num_layers": 4,
    "d_model": 128,
    "num_heads": 4,
    "d_head": 32,
    "d_latent": 32,
    "d_rope": 16,
    "num_experts": 8,
    "top_k": 2,
    "expert_dim": 128,
    "num_shared": 1,
}
LENGTH, ROWS = 128, 16  # tokens per row and rows per batch


def make_tokenizer(text, vocab_size=1024):
    """A byte-level BPE tokenizer trained on `text`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def random_windows(ids):
    """A batch of windows of the text, and that all of their tokens are real."""
    starts = torch.randint(len(ids) - LENGTH, (ROWS,)).tolist()
    rows = torch.stack([ids[start : start + LENGTH + 1] for start in starts])
    return rows, torch.ones_like(rows, dtype=torch.bool)


def train_on(ids, model, steps):
    """Trains `model` on random windows of `ids` and returns the loss of each step."""
    optimizer, schedule = optimiser_and_schedule(model, 2e-3, steps)
    losses = []
    for _ in range(steps):
        losses += train(model, [random_windows(ids)], optimizer, lambda: 0.01)
        schedule.step()
    return losses


def read_text(path):
    """The text of a file; exits with one sentence if it is missing or too short to train on."""
    if not path.is_file():
        sys.exit(f"There is no file {path}.")
    text = path.read_text(encoding="utf-8", errors="replace")
    if len(text) < 20 * LENGTH:
        sys.exit(f"{path} must hold at least {20 * LENGTH} characters, and holds {len(text)}.")
    return text


def main(arguments=None):
    """Trains on a text file, then continues `--prompt`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("text", type=Path, help="a text file to train on")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--prompt", default="The ")
    parser.add_argument("--tokens", type=int, default=120)
    parser.add_argument("--temperature", type=float, default=0.8)
    chosen = parser.parse_args(arguments)
    text = read_text(chosen.text)
    tokenizer = make_tokenizer(text)
    model = DeepSeek(DeepSeekConfig(vocab_size=tokenizer.get_vocab_size(), **SIZES))
    losses = train_on(torch.tensor(tokenizer.encode(text).ids), model, chosen.steps)
    print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f} nats per token in {len(losses)} steps\n")
    prompt = torch.tensor([tokenizer.encode(chosen.prompt).ids])
    written = generate(model, prompt, chosen.tokens, temperature=chosen.temperature)
    print(tokenizer.decode(written[0].tolist()))


if __name__ == "__main__":
    main()
