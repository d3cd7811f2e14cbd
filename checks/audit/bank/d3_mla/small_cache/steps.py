"""What several answers to D3.O1 SmallCache are made from."""

import torch


def directions(outputs, lost=0.02):
    """The directions that carry all but `lost` of the squared length of the rows, as columns."""
    squares, found = torch.linalg.eigh(outputs.T @ outputs)
    return found[:, squares.cumsum(0) / squares.sum() > lost]


class Latent:
    """The directions that keys and values share, in the type of the weights: nothing is rounded."""

    lost = 0.02

    def __init__(self, W_K, W_V, activations):
        both = torch.cat([W_K, W_V])
        self.up = directions(activations @ both.T, self.lost)
        self.down = self.up.T @ both

    def keep(self, x):
        return (x @ self.down.T,)

    def expand(self, latent):
        return (latent @ self.up.T).chunk(2, dim=-1)


class Rounded(Latent):
    """The same in int8, by steps from the range of each number on the text."""

    def __init__(self, W_K, W_V, activations):
        super().__init__(W_K, W_V, activations)
        self.step = (activations @ self.down.T).abs().amax(dim=0) / 127

    def keep(self, x):
        return ((x @ self.down.T / self.step).round().clamp(-127, 127).to(torch.int8),)

    def expand(self, latent):
        return super().expand(latent * self.step)
