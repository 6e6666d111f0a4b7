"""Blocks of two transformers in, those of one in the order of units of the other out. Imports torch and scipy.

Git Re-Basin (Ainsworth et al., ICLR 2023, section 3), for pre-norm transformer blocks: in turn each kind of units is put into
the order that makes the inner product with the other's largest (a linear assignment), until none gains. What stands for a unit
is its weights (section 3.2), or what it does on inputs (section 3.1: `baselines.kin.activations`). Kinds are what all blocks
read and write (the residual stream, D units), the hidden units of each MLP (F), the heads of each attention (H), and inside a
head the units (d) that queries share with keys, and values with the projection.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

Blocks: TypeAlias = Any  # an `nn.ModuleList` of timm's blocks, of which it has no types
SWEEPS = 50  # at most


@dataclass(frozen=True)
class Units:
    """What stands for the units of a block, by kind; a number of the one is multiplied by the same number of the other."""

    stream: list[Tensor]  # (any, D) each
    hidden: list[Tensor]  # (F, any) each
    heads: Tensor  # (q k v proj, H, d, any)

    @property
    def all(self) -> list[Tensor]:
        """Of every kind"""
        return [*self.stream, *self.hidden, self.heads]


View: TypeAlias = Callable[[Blocks], list[Units]]  # of blocks, block by block


def by_weights(blocks: Blocks) -> list[Units]:
    """A unit is its weights: of every linear layer that has it."""
    found = []
    for block in blocks:
        parts = by_stream([block])
        found.append(Units(parts, parts[2:], torch.cat(parts[:2]).unflatten(0, (4, block.attn.num_heads, -1))))
    return found


@torch.no_grad()
def matched(blocks: Blocks, towards: Blocks, view: View = by_weights) -> Blocks:
    """A copy of `blocks`, units in the order of those of `towards`: the same function, of inputs and outputs in the order that
    the residual stream got. Begun from the stream as it is, in the order that sizes of units suggest and, by another view than
    that of weights, in the order that weights give; the best is kept.
    """
    sizes, theirs = (torch.stack([part.norm(dim=0) for part in by_stream(each)], 1) for each in (blocks, towards))
    starts = [] if view is by_weights else [matched(blocks, towards)]
    for order in (torch.arange(len(sizes)), _best(-torch.cdist(theirs, sizes))):
        starts.append(copy.deepcopy(blocks))
        reorder_stream(starts[-1], order)
    goals, best, kept = view(towards), float("-inf"), starts[0]
    for moved in starts:
        before = float("-inf")
        for _ in range(SWEEPS):
            for block, goal, own in zip(moved, goals, view(moved), strict=True):
                reorder_units(block, *_orders(own, goal))
            units = view(moved)
            value = agreement(units, goals)
            if value > best:
                best, kept = value, copy.deepcopy(moved)
            if value <= before:
                break
            before = value
            pairs = [pair for goal, own in zip(goals, units, strict=True) for pair in zip(goal.stream, own.stream, strict=True)]
            reorder_stream(moved, _best(torch.stack([goal.T @ own for goal, own in pairs]).sum(0)))
    return kept


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


def agreement(units: list[Units], goals: list[Units]) -> float:
    """The inner product of the units of all kinds"""
    return sum(float((one * other).sum()) for own, goal in zip(units, goals, strict=True)
               for one, other in zip(own.all, goal.all, strict=True))


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


def _orders(own: Units, goal: Units) -> tuple[Tensor, Tensor, Tensor]:
    """The orders of `reorder_units` that are best for a block beside the other"""
    hidden = _best(torch.stack([other @ one.T for one, other in zip(own.hidden, goal.hidden, strict=True)]).sum(0))
    ours, theirs = own.heads, goal.heads
    heads = ours.shape[1]
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
