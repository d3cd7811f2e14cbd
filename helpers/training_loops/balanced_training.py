"""A balanced training that can be cut in parts, at a learning rate of its own.

Letters: S steps, N layers with experts, E = num_experts.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from helpers.data.corpus import Corpus
from helpers.measuring.traffic import layers_of
from helpers.model.device import device_of
from helpers.training_loops.balance_losses import Affinities
from helpers.training_loops.balancing import AuxiliaryLoss, Balanced, Rebalance
from helpers.training_loops.language_model import Training


class BalancedTraining:
    """What `train_balanced` does, in parts: each `.run` goes on from the last.

    After step i, `rebalance(layer, real, step_at(i))` is called for every layer; the
    `loss(affinity, experts)` of every layer is added to what is minimised. Batches have no padding.
    """

    def __init__(
        self,
        model: nn.Module,
        corpus: Corpus,
        steps: int,
        *,
        lr: float = 5e-3,
        rebalance: Rebalance | None = None,
        step_at: Callable[[int], float] = lambda i: 0.0,
        loss: AuxiliaryLoss | None = None,
        seed: int = 0,
        rows: int = 16,
        length: int = 64,
    ):
        self.model, self.rebalance, self.step_at, self.loss = model, rebalance, step_at, loss
        self._real = torch.ones(rows, length, dtype=torch.bool, device=device_of(model))
        self._loads: list[Tensor] = []
        self._biases: list[Tensor] = []
        self._training = Training(
            model,
            corpus,
            steps,
            rows,
            length,
            lr,
            seed,
            after_step=self._after_step,
            extra_loss=self._sum_of_losses if loss else None,
        )

    def run(self, steps: int | None = None) -> Balanced:
        """Trains for `steps` more steps, or for all that are left, and returns the record so far.

        Once the training is over, it only returns the record.
        """
        left = self._training.steps - len(self._training.losses)
        if left:
            self._affinities = Affinities(self.model)
            try:
                self._training.run(left if steps is None else steps)
            finally:
                self._affinities.remove()
        return Balanced(self._training.losses, torch.stack(self._loads), torch.stack(self._biases))

    def _after_step(self, i: int, model: nn.Module) -> None:
        layers = layers_of(model)
        if self.rebalance is not None:
            for layer in layers:
                self.rebalance(layer, self._real, self.step_at(i))
        self._biases.append(torch.stack([layer.router.bias.clone() for layer in layers]))
        sizes = [len(layer.router.bias) for layer in layers]
        chosen = [layer.last_experts.flatten() for layer in layers]
        counts = [torch.bincount(c, minlength=n) for c, n in zip(chosen, sizes, strict=True)]
        self._loads.append(torch.stack(counts))

    def _sum_of_losses(self, model: nn.Module) -> Tensor:
        assert self.loss is not None
        layers = zip(self._affinities.sigmoids(), layers_of(model), strict=True)
        losses = (self.loss(affinity, layer.last_experts) for affinity, layer in layers)
        return sum(losses, torch.zeros((), device=device_of(model)))
