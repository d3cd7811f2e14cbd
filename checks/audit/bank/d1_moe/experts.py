"""Single experts, right and wrong, which answers of D1 and D2 share."""

from torch import nn
from torch.nn import functional as F

from helpers.model.llama import SwiGLU


class LlamaNames(nn.Module):
    """SwiGLU with the names of LLaMA's own code."""

    def __init__(self, dim, hidden_dim):
        super().__init__()
        self.w1 = nn.Linear(dim, hidden_dim, bias=False)
        self.w2 = nn.Linear(hidden_dim, dim, bias=False)
        self.w3 = nn.Linear(dim, hidden_dim, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class GeGLU(SwiGLU):
    """GELU where SwiGLU has SiLU."""

    def forward(self, x):
        return self.down(F.gelu(self.gate(x)) * self.up(x))


class Biased(SwiGLU):
    """SwiGLU with a bias in each projection."""

    def __init__(self, d_model, expert_dim):
        nn.Module.__init__(self)
        self.gate, self.up = (nn.Linear(d_model, expert_dim) for _ in range(2))
        self.down = nn.Linear(expert_dim, d_model)
