"""The end of `my_deepseek.py`: a text file in, a trained model, and text out of it.

It is copied behind the code of the model, whose names it uses: DeepSeek, DeepSeekConfig, train,
generate.
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
LENGTH, ROWS = 128, 16  # of a batch


def make_tokenizer(text, vocab_size=1024):
    """A byte-level BPE tokenizer that has read `text`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def windows(ids, steps, optimizer, lr):
    """`steps` batches of random windows; the learning rate falls in a line to 0."""
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        starts = torch.randint(len(ids) - LENGTH, (ROWS,)).tolist()
        rows = torch.stack([ids[start : start + LENGTH + 1] for start in starts])
        yield rows, torch.ones_like(rows, dtype=torch.bool)


def read_text(path):
    """The text of a file, long enough for one window; else one sentence and the end."""
    if not path.is_file():
        sys.exit(f"There is no file {path}.")
    text = path.read_text(encoding="utf-8", errors="replace")
    if len(text) < 20 * LENGTH:
        sys.exit(f"{path} must hold at least {20 * LENGTH} characters, and holds {len(text)}.")
    return text


def main(arguments=None):
    """Trains on a text file, then writes on from `--prompt`."""
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
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.1)
    batches = windows(torch.tensor(tokenizer.encode(text).ids), chosen.steps, optimizer, 2e-3)
    losses = train(model, batches, optimizer, lambda: 0.01)
    print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f} nats a token in {len(losses)} steps\n")
    prompt = torch.tensor([tokenizer.encode(chosen.prompt).ids])
    written = generate(model, prompt, chosen.tokens, temperature=chosen.temperature)
    print(tokenizer.decode(written[0].tolist()))


if __name__ == "__main__":
    main()
