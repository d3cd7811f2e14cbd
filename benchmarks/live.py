"""What it costs to look at a training while it runs: `python -m benchmarks live`."""

import torch

from checks.learner.live import LiveTraffic
from helpers.data.corpus import Corpus
from helpers.model.llama import Decoder
from helpers.training_loops.language_model import train_lm
from solutions.d1_moe import MoELayer

STEPS = 150


class Frames:
    """A display that counts the frames which it is given."""

    def __init__(self):
        self.count = 0

    def update(self, image: object) -> None:
        self.count += 1


def main() -> None:
    """Prints the part of the time of D1's training that its picture takes, and its frames."""
    torch.set_num_threads(1)
    corpus, frames = Corpus.build(vocab_size=1024), Frames()
    model = Decoder(corpus.vocab_size, 128, 2, 4, lambda: MoELayer(128, 4, 2, 128))
    with LiveTraffic(model, lambda image: frames) as watch:
        train_lm(model, corpus, steps=STEPS, rows=8)
    print(f"{STEPS} steps, {frames.count} frames, {watch.share:.1%} of the time")
