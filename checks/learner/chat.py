"""`course.py chat FOLDER`: a released checkpoint, or a model saved by `to_hf`, in your own code."""

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, TextStreamer

import checks
from checks.learner.carry import saved_parts
from checks.learner_files import paths
from helpers.checkpoints.config_file import read_config
from helpers.checkpoints.fields import model_fields
from helpers.checkpoints.folder_tokenizer import ends_of_text, read_tokenizer
from helpers.checkpoints.loading import loaded
from helpers.checkpoints.memory_needed import free_memory, memory_needed
from helpers.model.kv_cache import in_gb

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LONGEST = 4096  # tokens of a conversation that the memory is reckoned with


def chat(options: argparse.Namespace) -> int:
    """Answers one prompt or all that are typed; whatever is wrong with the folder is a sentence."""
    try:
        return _chat(options)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _chat(options: argparse.Namespace) -> int:
    fields = model_fields(read_config(options.folder))
    tokenizer = None if options.ids else read_tokenizer(options.folder)
    _tell_memory(options, fields)
    model, sample = _model(options)
    speaker = _Speaker(model, sample, tokenizer, options)
    if options.ids:
        speaker.say(torch.tensor([options.ids]))
    elif options.prompt is not None:
        speaker.answer(options.prompt)
    else:
        _converse(speaker)
    return 0


def _tell_memory(options: argparse.Namespace, fields: dict[str, Any]) -> None:
    """Say what is needed before anything is loaded; raise a ValueError where it is not there."""
    numbers = fields["num_layers"] * (fields["d_latent"] + fields["d_rope"])
    needed = memory_needed(options.folder, DTYPES.get(options.dtype), numbers, LONGEST)
    free = free_memory()
    print(f"memory: {needed} for {LONGEST} tokens; {in_gb(free)} are free", file=sys.stderr)
    if needed.copied + needed.cache > free:
        raise ValueError(
            f"{in_gb(needed.copied + needed.cache)} must stay in memory, and {in_gb(free)} are free"
        )
    if needed.mapped > free:
        print(
            "warning: the files are larger than the free memory, so weights are read from the "
            "disk again and again",
            file=sys.stderr,
        )


def _model(options: argparse.Namespace) -> tuple[Any, Any]:
    """The model of the learner's own parts where they pass, and the function that draws tokens."""
    paths.WORK.mkdir(exist_ok=True)
    carried = saved_parts(checks.STEMS, {})
    own = [name for name, whose in carried.origin.items() if whose == "yours"]
    print(f"yours: {', '.join(own) or 'none yet, all parts are the reference'}", file=sys.stderr)
    parts: dict[str, Any] = carried.parts
    model = loaded(parts["DeepSeek"], options.folder, parts["yarn_frequencies"])
    dtype = DTYPES.get(options.dtype)
    return model.to(device=options.device, dtype=dtype).eval(), parts["sample"]


class _Speaker:
    """Continues texts with a model, and shows each token as it comes."""

    def __init__(
        self,
        model: Any,
        sample: Any,
        tokenizer: PreTrainedTokenizerFast | None,
        options: argparse.Namespace,
    ):
        self.model, self.sample, self.tokenizer, self.options = model, sample, tokenizer, options
        self.ends = ends_of_text(options.folder)
        self.told: list[dict[str, str]] = []

    def answer(self, text: str) -> None:
        """Says what comes after `text`: the next message of a chat, or the text continued."""
        tokenizer: Any = self.tokenizer
        if not tokenizer.chat_template:
            print(text, end="", flush=True)
            self.say(tokenizer(text, return_tensors="pt")["input_ids"])
            return
        self.told.append({"role": "user", "content": text})
        asked = tokenizer.apply_chat_template(
            self.told, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        new = self.say(asked["input_ids"])
        content = tokenizer.decode(new, skip_special_tokens=True)
        self.told.append({"role": "assistant", "content": content})

    def say(self, ids: Tensor) -> list[int]:
        """Shows and returns what comes after `ids` `(1, L)`; Ctrl+C ends it early."""
        self._require_ids(ids)
        shown = TextStreamer(self.tokenizer, skip_special_tokens=True) if self.tokenizer else None
        new: list[int] = []
        begun = time.perf_counter()
        try:
            for token in self._tokens(ids.to(self.options.device)):
                new.append(token)
                if shown:
                    shown.put(torch.tensor([token]))
                else:
                    print(token, end=" ", flush=True)
        except KeyboardInterrupt:
            print(" …")
        if shown:
            shown.end()
        else:
            print()
        seconds = time.perf_counter() - begun
        print(f"[{len(new)} tokens, {len(new) / seconds:.1f} tokens a second]", file=sys.stderr)
        return new

    def _require_ids(self, ids: Tensor) -> None:
        size = self.model.embed.weight.shape[0]
        if not ids.numel():
            raise ValueError("the prompt must hold at least one token, and it is empty")
        if int(ids.max()) >= size or int(ids.min()) < 0:
            raise ValueError(
                f"token ids must be between 0 and {size - 1}, got {int(ids.min())} to "
                f"{int(ids.max())}"
            )

    @torch.inference_mode()
    def _tokens(self, ids: Tensor) -> Iterator[int]:
        caches = self.model.new_caches(1, ids.shape[1] + self.options.max_new_tokens)
        for _ in range(self.options.max_new_tokens):
            logits = self.model(ids, caches)[:, -1].float()
            ids = self.sample(logits, self.options.temperature)[:, None]
            if int(ids) in self.ends:
                return
            yield int(ids)


def _converse(speaker: _Speaker) -> None:
    """One reply to each line; Ctrl+D, or Ctrl+C at the prompt, ends it."""
    print("Ctrl+C ends a reply, Ctrl+D the chat.", file=sys.stderr)
    while True:
        try:
            text = input("> ")
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if text.strip():
            speaker.answer(text)
