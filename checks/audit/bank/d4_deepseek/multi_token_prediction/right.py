"""Right answers to D4.I1 MultiTokenPrediction."""

import torch
from torch import nn
from torch.nn import functional as F

from checks.audit.answers import right
from helpers.model.llama import RMSNorm
from solutions.d4_deepseek import DeepSeekBlock, MultiTokenPrediction


@right
class TwoHalves(MultiTokenPrediction):
    """One half of the join's weight for the embedding, the other for the hidden state, summed."""

    def forward(self, hidden, next_embedding):
        of_embedding, of_hidden = self.join.weight.chunk(2, dim=1)
        x = F.linear(self.embed_norm(next_embedding), of_embedding)
        x = x + F.linear(self.hidden_norm(hidden), of_hidden)
        return self.norm(self.block(x))


@right
class FilledBuffer(MultiTokenPrediction):
    """Both parts written into one empty tensor."""

    def forward(self, hidden, next_embedding):
        width = hidden.shape[-1]
        both = hidden.new_empty(*hidden.shape[:-1], 2 * width)
        both[..., width:] = self.hidden_norm(hidden)
        both[..., :width] = self.embed_norm(next_embedding)
        return self.norm(self.block(self.join(both), None))


@right
class StackedParts(MultiTokenPrediction):
    """The parts stacked and flattened, joined by an einsum over part and width."""

    def forward(self, hidden, next_embedding):
        parts = torch.stack([self.embed_norm(next_embedding), self.hidden_norm(hidden)])
        weight = self.join.weight.unflatten(1, (2, -1))
        joined = torch.einsum("pbld,epd->ble", parts, weight)
        return self.norm(self.block(joined))


@right
class BlockWrittenOut(MultiTokenPrediction):
    """The block's two sublayers in place of a call of the block."""

    def forward(self, hidden, next_embedding):
        e, h = self.embed_norm(next_embedding), self.hidden_norm(hidden)
        x, block = self.join(torch.cat((e, h), -1)), self.block
        x = x + block.attention(block.attention_norm(x))
        x = x + block.ffn(block.ffn_norm(x))
        return self.norm(x)


@right
class NormsByHand(MultiTokenPrediction):
    """The norms written out, with the root mean square of each."""

    @staticmethod
    def normed(norm, x):
        """What `norm` gives."""
        return x / (x.pow(2).mean(dim=-1, keepdim=True) + norm.eps).sqrt() * norm.weight

    def forward(self, hidden, next_embedding):
        parts = (self.embed_norm, next_embedding), (self.hidden_norm, hidden)
        both = torch.cat([self.normed(norm, x) for norm, x in parts], dim=2)
        return self.normed(self.norm, self.block(both @ self.join.weight.mT))


@right
class CutFromHiddenFirst(MultiTokenPrediction):
    """Put together as eq. 21 prints it, with the weight's halves exchanged to fit."""

    def forward(self, hidden, next_embedding):
        both = torch.cat([self.hidden_norm(hidden), self.embed_norm(next_embedding)], dim=-1)
        weight = self.join.weight.roll(hidden.shape[-1], dims=1)
        return self.norm(self.block(F.linear(both, weight)))


@right
class StandsAlone(nn.Module):
    """The whole class, written without the given constructor."""

    def __init__(self, config):
        super().__init__()
        self.block = DeepSeekBlock(config, config.num_layers)
        for name in ("norm", "hidden_norm", "embed_norm"):
            setattr(self, name, RMSNorm(config.d_model, config.norm_eps))
        self.join = nn.Linear(config.d_model * 2, config.d_model, bias=False)

    def forward(self, hidden, next_embedding):
        x = self.embed_norm(next_embedding), self.hidden_norm(hidden)
        x = self.join(torch.concat(x, dim=-1))
        x = self.block(x)
        return self.norm(x)


@right
class CacheByName(MultiTokenPrediction):
    """As newer notebooks have it, the block's cache handed on by name."""

    def forward(self, hidden, next_embedding, cache=None):
        parts = self.embed_norm(next_embedding), self.hidden_norm(hidden)
        return self.norm(self.block(self.join(torch.cat(parts, dim=-1)), cache=cache))
