"""Right answers to D3.4 absorbed_decode."""

import math

import torch
from torch.nn import functional as F

from checks.audit.answers import right
from checks.audit.bank.d3_mla.absorbed_decode.steps import refuse_many


def asked_and_told(attention, x, cache):
    """Both parts of the queries, (B, H, d) and (B, H, r), and what is cached with x in it."""
    start = len(cache)
    content, rotary = (q.squeeze(1) for q in attention.queries(x, start))
    latent, key = cache.append(attention.latent.down(x), attention.rotary_key(x, start))
    return content, rotary, latent, key


def expansions(attention):
    """W_UK (H, d, R) and W_UV (H, v, R)."""
    part = attention.latent
    return part.kv_up.weight.unflatten(0, (part.num_heads, -1)).tensor_split([part.d_head], dim=1)


@right
def by_einsum(attention, x, cache):
    """einsum on the weight seen as (H, d + v, R), all scores before the division."""
    refuse_many(x)
    part, start = attention.latent, len(cache)
    content, rotary = attention.queries(x, start)
    latent, key = cache.append(part.down(x), attention.rotary_key(x, start))
    weight = part.kv_up.weight.view(part.num_heads, part.d_head + part.d_value, -1)
    query = torch.einsum("bqhd,hdc->bqhc", content, weight[:, : part.d_head])
    scores = torch.einsum("bqhc,btc->bqht", query, latent)
    scores = scores + torch.einsum("bqhr,btr->bqht", rotary, key)
    weights = torch.softmax(scores * (part.d_head + key.shape[-1]) ** -0.5, dim=-1)
    mixed = torch.einsum("bqht,btc->bqhc", weights, latent)
    values = torch.einsum("bqhc,hvc->bqhv", mixed, weight[:, part.d_head :])
    return attention.out(values.reshape(*x.shape[:2], -1))


@right
def by_matmul(attention, x, cache):
    """Matrix products with heads before positions."""
    refuse_many(x)
    content, rotary, latent, key = asked_and_told(attention, x, cache)
    W_UK, W_UV = expansions(attention)
    query = (content[:, :, None] @ W_UK).squeeze(2)  # (B, H, R)
    scores = query @ latent.mT + rotary @ key.mT
    weights = (scores / math.sqrt(content.shape[-1] + key.shape[-1])).softmax(dim=2)
    heads = W_UV @ (weights @ latent)[..., None]  # (B, H, v, 1)
    return attention.out(heads.reshape(len(x), 1, -1))


@right
def by_bmm(attention, x, cache):
    """bmm over heads with the weights, bmm over the batch with the cache."""
    refuse_many(x)
    content, rotary, latent, key = asked_and_told(attention, x, cache)
    W_UK, W_UV = expansions(attention)
    scale = 1 / math.sqrt(content.shape[-1] + key.shape[-1])
    query = torch.bmm(content.transpose(0, 1), W_UK).transpose(0, 1)
    scores = torch.bmm(rotary * scale, key.transpose(1, 2))
    scores = torch.baddbmm(scores, query, latent.transpose(1, 2), alpha=scale)
    mixed = torch.bmm(scores.softmax(dim=-1), latent)
    values = torch.bmm(mixed.transpose(0, 1), W_UV.transpose(1, 2)).transpose(0, 1)
    return attention.out(values.flatten(1)).unsqueeze(1)


@right
def head_by_head(attention, x, cache):
    """A loop over heads; each adds its own columns of the output projection."""
    refuse_many(x)
    content, rotary, latent, key = asked_and_told(attention, x, cache)
    y = torch.zeros_like(x)
    columns = attention.out.weight.chunk(content.shape[1], dim=1)
    for h, (W_UK, W_UV) in enumerate(zip(*expansions(attention), strict=True)):
        query = content[:, h, None] @ W_UK
        scores = query @ latent.mT + rotary[:, h, None] @ key.mT
        weights = (scores / math.sqrt(len(W_UK) + key.shape[-1])).softmax(dim=-1)
        y = y + weights @ latent @ W_UV.T @ columns[h].T
    return y


@right
def row_by_row(attention, x, cache):
    """One sequence of the batch after the other."""
    refuse_many(x)
    W_UK, W_UV = expansions(attention)
    rows = []
    for content, rotary, latent, key in zip(*asked_and_told(attention, x, cache), strict=True):
        query = (content.unsqueeze(1) @ W_UK).squeeze(1)
        scores = (query @ latent.T + rotary @ key.T) / (W_UK.shape[1] + key.shape[1]) ** 0.5
        mixed = scores.softmax(-1) @ latent
        rows.append(torch.einsum("hc,hvc->hv", mixed, W_UV).flatten())
    return attention.out(torch.stack(rows)[:, None])


@right
def one_key(attention, x, cache):
    """Latent and rotary key as one key of width R + r, the query likewise."""
    refuse_many(x)
    content, rotary, latent, key = asked_and_told(attention, x, cache)
    W_UK, W_UV = expansions(attention)
    query = torch.cat([torch.einsum("bhd,hdc->bhc", content, W_UK), rotary], dim=-1)
    scores = torch.einsum("bhk,bsk->bhs", query, torch.cat([latent, key], dim=-1))
    weights = (scores / math.sqrt(W_UK.shape[1] + key.shape[-1])).softmax(dim=-1)
    values = torch.einsum("bhs,bsc,hvc->bhv", weights, latent, W_UV)
    return attention.out(values.flatten(1)[:, None])


@right
def one_shared_head(attention, x, cache):
    """Torch's attention on one shared head: the heads' queries stand where positions stand."""
    refuse_many(x)
    content, rotary, latent, key = asked_and_told(attention, x, cache)
    W_UK, W_UV = expansions(attention)
    query = torch.cat([torch.einsum("bhd,hdc->bhc", content, W_UK), rotary], dim=-1)[:, None]
    keys, scale = torch.cat([latent, key], dim=-1)[:, None], (W_UK.shape[1] + key.shape[-1]) ** -0.5
    mixed = F.scaled_dot_product_attention(query, keys, latent[:, None], scale=scale)
    return attention.out(torch.einsum("bqhc,hvc->bqhv", mixed, W_UV).flatten(-2))


@right
def values_and_out_in_one(attention, x, cache):
    """W_UV and the output projection multiplied to one matrix a head, from latent to output."""
    refuse_many(x)
    content, rotary, latent, key = asked_and_told(attention, x, cache)
    W_UK, W_UV = expansions(attention)
    W_O = attention.out.weight.unflatten(1, W_UV.shape[:2])
    leave = torch.einsum("Dhv,hvc->hcD", W_O, W_UV)
    query = torch.einsum("bhd,hdc->bhc", content, W_UK)
    scores = torch.einsum("bhc,bsc->bsh", query, latent) + key @ rotary.mT
    weights = (scores / math.sqrt(W_UK.shape[1] + key.shape[-1])).softmax(dim=1)
    mixed = torch.einsum("bsh,bsc->bhc", weights, latent)
    return torch.einsum("bhc,hcD->bD", mixed, leave).unsqueeze(1)


@right
def transposed_weight(attention, x, cache):
    """The weight transposed to (R, H, d + v), and queries and outputs by einsum on it."""
    refuse_many(x)
    part = attention.latent
    content, rotary, latent, key = asked_and_told(attention, x, cache)
    weight = part.kv_up.weight.T.reshape(latent.shape[-1], part.num_heads, -1)
    query = torch.einsum("chd,bhd->bch", weight[..., : part.d_head], content)
    scores = (latent @ query + key @ rotary.mT) / math.sqrt(part.d_head + key.shape[-1])
    weights = scores - scores.logsumexp(dim=1, keepdim=True)  # (B, S, H)
    mixed = latent.mT @ weights.exp()  # (B, R, H)
    values = torch.einsum("chv,bch->bhv", weight[..., part.d_head :], mixed)
    return attention.out(values.reshape(len(x), 1, -1))
