# mypy: disable-error-code="name-defined"
# ruff: noqa: F821
"""The end of `my_deepseek.py`: it trains a model on a text file, saves it, and writes with it.

It is appended to the code of the model, whose names it uses: DeepSeek, DeepSeekConfig, train,
generate, load_cv, expert_load, layers_of, masked_loss, TrainingLoop, TokenWindows, train_tokenizer,
device_of, SIZES.
"""

import argparse
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

LENGTH, ROWS, VOCABULARY = 128, 16, 1024  # tokens per row, rows per batch, different tokens
FILES = {"weights": "model.safetensors", "sizes": "sizes.json", "tokenizer": "tokenizer.json"}


def read_and_split(path):
    """A tokenizer of the first nine tenths of a file; the ids of those and of the rest."""
    if not path.is_file():
        sys.exit(f"There is no file {path}.")
    text = path.read_text(encoding="utf-8", errors="replace")
    cut = len(text) * 9 // 10
    tokenizer = train_tokenizer([text[:cut]], VOCABULARY)
    parts = [torch.tensor(tokenizer.encode(t).ids) for t in (text[:cut], text[cut:])]
    for ids, name in zip(parts, ("first nine tenths", "last tenth"), strict=True):
        if len(ids) <= LENGTH:
            sys.exit(
                f"{path} is too short: its {name} must hold over {LENGTH} tokens, and hold "
                f"{len(ids)}."
            )
    return tokenizer, *parts


def windows(ids, seed):
    """Batches of ROWS windows of `ids`, or of as many as there are."""
    return TokenWindows(ids, LENGTH, min(ROWS, (len(ids) - 1) // LENGTH), seed)


def train_on(model, ids, held, steps, seed):
    """Trains `model` on windows of `ids`, and tells ten times how it does on `held`."""
    loop = TrainingLoop(model, windows(ids, seed), steps)
    for step in range(1, steps + 1):
        (loss,) = loop.step(train)
        if step % max(1, steps // 10) == 0 or step == steps:
            held_loss, cv = measured(model, held)
            print(
                f"step {step} of {steps}: loss {loss:.3f}, held out {held_loss:.3f} nats per "
                f"token, CV of the busiest layer {cv:.2f}",
                flush=True,
            )


@torch.no_grad()
def measured(model, held):
    """The loss on windows of `held`, and the largest CV of the experts' load there."""
    where = device_of(model)
    rows, real = (part.to(where) for part in windows(held, 0).batch(0))
    loss = masked_loss(model(rows[:, :-1]), rows[:, 1:], real[:, 1:])
    layers = layers_of(model)
    cvs = [load_cv(expert_load(layer.last_experts, len(layer.experts))) for layer in layers]
    return float(loss), max(cvs)


def save(folder, model, tokenizer):
    """Writes weights, sizes and tokenizer; `load` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / FILES["weights"])
    sizes = {name: value for name, value in asdict(model.config).items() if value is not None}
    (folder / FILES["sizes"]).write_text(json.dumps(sizes, indent=2), encoding="utf-8")
    shutil.copymode(folder / FILES["sizes"], folder / FILES["weights"])  # for others to read, too
    tokenizer.save(str(folder / FILES["tokenizer"]))


def load(folder):
    """The model and the tokenizer that `save` wrote."""
    for name in FILES.values():
        if not (folder / name).is_file():
            sys.exit(f"{folder} must hold {name}, as --save writes it, and does not.")
    sizes = json.loads((folder / FILES["sizes"]).read_text(encoding="utf-8"))
    model = DeepSeek(DeepSeekConfig(**sizes))
    model.load_state_dict(load_file(folder / FILES["weights"]))
    return model, Tokenizer.from_file(str(folder / FILES["tokenizer"]))


def above(least, kind):
    """What reads a number and refuses one below `least`."""

    def number(word):
        value = kind(word)
        if not least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"it must be at least {least}, got {word}")
        return value

    number.__name__ = "number"  # for argparse's own sentence
    return number


def a_device(word):
    """What torch calls by this name, if a tensor can be made there."""
    try:
        return torch.empty(1, device=word).device
    except (RuntimeError, AssertionError):
        raise argparse.ArgumentTypeError(f"torch has no device {word} here") from None


def arguments_of(words):
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("text", type=Path, nargs="?", help="a text file to train on")
    parser.add_argument("--load", type=Path, metavar="FOLDER", help="a saved model to start from")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="where to save the model")
    parser.add_argument("--steps", type=above(1, int), default=300)
    parser.add_argument("--seed", type=above(0, int), default=0)
    parser.add_argument("--prompt", default="The ")
    parser.add_argument("--tokens", type=above(1, int), default=120)
    parser.add_argument("--temperature", type=above(0, float), default=0.8)
    parser.add_argument("--device", type=a_device, default="cpu")
    chosen = parser.parse_args(words)
    if not chosen.text and not chosen.load:
        parser.error("give a text file to train on, or --load a saved model")
    if chosen.text and chosen.load:
        parser.error("give a text file or --load, not both: a saved model has its own tokenizer")
    if not chosen.prompt:
        parser.error("--prompt must hold some text")
    if chosen.save and chosen.save.exists() and not chosen.save.is_dir():
        parser.error(f"--save needs a folder, and {chosen.save} is a file")
    return chosen


def main(words=None):
    """Trains on a text file or loads a model, then continues `--prompt`."""
    chosen = arguments_of(words)
    torch.manual_seed(chosen.seed)
    if chosen.load:
        model, tokenizer = load(chosen.load)
        model = model.to(chosen.device)
    else:
        tokenizer, ids, held = read_and_split(chosen.text)
        config = DeepSeekConfig(vocab_size=tokenizer.get_vocab_size(), **SIZES)
        model = DeepSeek(config).to(chosen.device)
        train_on(model, ids, held, chosen.steps, chosen.seed)
    if chosen.save:
        save(chosen.save, model, tokenizer)
    prompt = torch.tensor([tokenizer.encode(chosen.prompt).ids], device=chosen.device)
    written = generate(model, prompt, chosen.tokens, temperature=chosen.temperature)
    print(tokenizer.decode(written[0].tolist()))


if __name__ == "__main__":
    main()
