"""Blocks of two transformers in, those of one in the order of units of the other out. Imports torch and scipy.

Matching weights of Git Re-Basin (Ainsworth et al., ICLR 2023, section 3.2), for pre-norm transformer blocks: in turn each kind
of units is put into the order that makes the inner product with the other's weights largest (a linear assignment), until none
gains. Kinds are what all blocks read and write (the residual stream, D units), the hidden units of each MLP (F), the heads of
each attention (H), and inside a head the units (d) that queries share with keys, and values with the projection.
"""

import copy
from itertools import product
from typing import Any, TypeAlias

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

Blocks: TypeAlias = Any  # an `nn.ModuleList` of timm's blocks, of which it has no types
SWEEPS = 50  # at most


@torch.no_grad()
def matched(blocks: Blocks, towards: Blocks) -> Blocks:
    """A copy of `blocks`, units in the order of those of `towards`: the same function, of inputs and outputs in the order that
    the residual stream got. Begun from the stream as it is, and in the order that sizes of units suggest; the better is kept.
    """
    goals, sizes = (torch.stack([part.norm(dim=0) for part in by_stream(each)], 1) for each in (towards, blocks))
    found = []
    for order in (torch.arange(len(sizes)), _best(-torch.cdist(goals, sizes))):
        moved, value = copy.deepcopy(blocks), float("-inf")
        reorder_stream(moved, order)
        for _ in range(SWEEPS):
            for block, other in zip(moved, towards, strict=True):
                reorder_units(block, *_orders(block, other))
            pairs = list(zip(by_stream(towards), by_stream(moved), strict=True))
            reorder_stream(moved, _best(torch.stack([goal.T @ own for goal, own in pairs]).sum(0)))
            before, value = value, agreement(moved, towards)
            if value <= before:
                break
        found.append((value, moved))
    return max(found, key=lambda one: one[0])[1]


def scrambled(blocks: Blocks, random: torch.Generator) -> Blocks:
    """A copy of `blocks`, units of every kind in a random order."""
    moved = copy.deepcopy(blocks)
    reorder_stream(moved, torch.randperm(len(blocks[0].norm1.weight), generator=random))
    for block in moved:
        size = len(block.norm1.weight) // block.attn.num_heads
        heads = torch.randperm(block.attn.num_heads, generator=random).tolist()
        keys, values = (torch.cat([size * head + torch.randperm(size, generator=random) for head in heads]) for _ in range(2))
        reorder_units(block, torch.randperm(block.mlp.fc1.out_features, generator=random), keys, values)
    return moved


def agreement(blocks: Blocks, towards: Blocks) -> float:
    """The inner product of the weights of all linear layers"""
    return sum(float((own * goal).sum()) for own, goal in zip(by_stream(blocks), by_stream(towards), strict=True))


def by_stream(blocks: Blocks) -> list[Tensor]:
    """The weights of every linear layer, (its other units, D)"""
    return [weight.detach().double() for block in blocks for weight in (
        block.attn.qkv.weight, block.attn.proj.weight.T, block.mlp.fc1.weight, block.mlp.fc2.weight.T)]


def reorder_stream(blocks: Blocks, order: Tensor) -> None:
    """Unit i of what blocks read and write becomes what unit order[i] (D) was."""
    for block in blocks:
        for tensor in (*block.norm1.parameters(), *block.norm2.parameters(), *block.attn.proj.parameters(),
                       *block.mlp.fc2.parameters()):
            tensor.data = tensor.data[order]
        for linear in (block.attn.qkv, block.mlp.fc1):
            linear.weight.data = linear.weight.data[:, order]


def reorder_units(block: Any, hidden: Tensor, keys: Tensor, values: Tensor) -> None:
    """The same inside a block, which computes what it did: `hidden` is (F); `keys` and `values` are (D), head by head, with
    heads in the same order."""
    rows = torch.cat([keys, len(keys) + keys, 2 * len(keys) + values])
    for linear, order, reader, read in ((block.attn.qkv, rows, block.attn.proj, values),
                                        (block.mlp.fc1, hidden, block.mlp.fc2, hidden)):
        for tensor in linear.parameters():
            tensor.data = tensor.data[order]
        reader.weight.data = reader.weight.data[:, read]


def _orders(block: Any, other: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The orders of `reorder_units` that are best for a block beside the other"""
    own, goal = by_stream([block]), by_stream([other])
    hidden = _best(goal[2] @ own[2].T + goal[3] @ own[3].T)
    heads = block.attn.num_heads
    ours, theirs = (torch.cat(side[:2]).unflatten(0, (4, heads, -1)) for side in (own, goal))  # (q k v proj, H, d, D)
    gains, inner = torch.zeros(heads, heads, dtype=ours.dtype), {}
    for kind in (0, 1):  # of queries and keys, and of values and projection
        pairs = torch.einsum("kgid,khjd->ghij", *(side[2 * kind : 2 * kind + 2] for side in (theirs, ours)))
        for there, here in product(range(heads), repeat=2):
            inner[kind, there, here] = _best(pairs[there, here])
            gains[there, here] += pairs[there, here].gather(1, inner[kind, there, here][:, None]).sum()
    size, order = ours.shape[2], list(enumerate(_best(gains).tolist()))
    keys, values = (torch.cat([here * size + inner[kind, there, here] for there, here in order]) for kind in (0, 1))
    return hidden, keys, values


def _best(gains: Tensor) -> Tensor:
    """(N, N), of a unit there (row) and here -> (N) the unit here that each there gets"""
    return torch.from_numpy(linear_sum_assignment(gains.numpy(), maximize=True)[1])
