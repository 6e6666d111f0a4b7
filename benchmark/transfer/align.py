"""Weights of an auxiliary, of a model before and of it after training in; how alike A and what training changed are, out.

Where W trains, a pathway W + s A can move W along A alone by one number a layer, and what it gains by it is to first order
s <G, A>. So it matters whether A has anything in common with tau, what training itself adds to W: their cosine, layer by layer,
beside the cosines that A has with its rows and columns in another order, which keeps all of A but its place. No training.

Shapes: R rows and C columns of a layer's weight.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmark.model.weights import CheckpointError
from benchmark.transfer.namings import detect, fault_of, rename
from benchmark.transfer.published import read_sets, told_of

LAYERS = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")  # of a block
LINEAR = re.compile(rf"^blocks\.\d+\.({'|'.join(map(re.escape, LAYERS))})\.weight$")
# What alters what a layer computes, beside its weight: low-rank parts, queries apart from keys, LayerScale.
BESIDE = re.compile(r"^blocks\.\d+\.((attn\.(qkv|proj)|mlp\.fc[12])\.(?!(weight|cross_modal_scale|aux_weight)$|bias|aux_bias)"
                    r"|attn\.[qkv]\.|(ls|gamma_|lambda_)[12](\.|$))")
SCALE, AUXILIARY = "cross_modal_scale", "aux_weight"  # of a layer, as the released pathways name them
ALL = "all layers"


@dataclass(frozen=True)
class Aligned:
    """One layer, or all of them as one vector."""

    layer: str
    numbers: int
    cosine: float  # of A and tau
    chance: float  # root mean square of the cosines with A permuted
    low: float  # of these, the 2.5 % quantile,
    high: float  # and the 97.5 % quantile
    p: float  # share of cosines, this one among them, that are as far from 0 as this one
    auxiliary_norm: float
    change_norm: float
    scale: float | None = None  # s, where the trained file has pathways


@dataclass(frozen=True)
class Blocks:
    """The weights of the linear layers of a file's blocks by layer, and of its pathways where it has them."""

    weights: dict[str, Tensor]
    auxiliaries: dict[str, Tensor]
    scales: dict[str, float]
    others: tuple[str, ...] = ()  # weights of its blocks that are of none of these layers
    taken: str = ""  # which of several sets of weights these are; "" where the file has one
    other: str = ""  # the name of one that was not taken


def read_blocks(path: Path, weights: str | None = None) -> Blocks:
    """Of any file that `convert` reads, and of several sets of weights in it those that `weights` names. LayerScale is a part
    of the layers that it scales, and of their auxiliaries. Raises `CheckpointError` where there is no such set, it has no such
    layers, or other numbers than weights.
    """
    sets = read_sets(path)
    with told_of(path):
        chosen = sets.choose(weights)
        renamed, _, _ = rename(detect(sets.by_name[chosen]), sets.by_name[chosen])
    layers = {name.removesuffix(".weight"): tensor for name, tensor in renamed.items() if LINEAR.match(name)}
    if not layers:
        raise CheckpointError(f"checkpoint {path} has no blocks of a vision transformer; it begins with "
                              f"{', '.join(list(renamed)[:3])}")
    if beside := [name for name in renamed if BESIDE.match(name)]:
        raise CheckpointError(f"checkpoint {path}: {beside[0]} is left over, so what its layer computes with is not its weight "
                              "alone; write the weights out in full first")
    auxiliaries, scales = ({name: renamed[f"{name}.{part}"] for name in layers if f"{name}.{part}" in renamed}
                           for part in (AUXILIARY, SCALE))
    for part, tensors in (("weight", layers), (AUXILIARY, auxiliaries), (SCALE, scales)):
        for name, tensor in tensors.items():
            if fault := fault_of(tensor):
                raise CheckpointError(f"checkpoint {path}: {name}.{part} {fault}")
            tensors[name] = tensor.float()
    used = {f"{name}.{part}" for name in layers for part in ("weight", AUXILIARY, SCALE)}
    others = [name for name, tensor in renamed.items() if name.startswith("blocks.") and tensor.ndim > 1 and name not in used]
    return Blocks(layers, auxiliaries, {name: scale.mean().item() for name, scale in scales.items()}, tuple(others),
                  sets.told(chosen), next((name for name in sets.by_name if name != chosen), ""))


def align(auxiliary: Mapping[str, Tensor], start: Mapping[str, Tensor], trained: Mapping[str, Tensor],
          scales: Mapping[str, float] | None = None, permutations: int = 100, seed: int = 0) -> list[Aligned]:
    """A row for each layer, block by block, and one for all of them as one vector (`ALL`), which comes last.

    Raises `ValueError` where the three have not the same layers of the same shapes, or nothing was changed.
    """
    check_layers(start, {"--auxiliary": auxiliary, "--trained": trained})
    generator = torch.Generator().manual_seed(seed)
    rows, total = [], torch.zeros(1 + permutations, dtype=torch.float64)
    squares = [0.0, 0.0]
    for name in sorted(start, key=_in_order):
        one, tau = auxiliary[name].double(), trained[name].double() - start[name].double()
        inner = torch.tensor([(one * tau).sum(), *((permuted(one, generator) * tau).sum() for _ in range(permutations))])
        total += inner
        norms = one.norm().item(), tau.norm().item()
        squares = [square + norm**2 for square, norm in zip(squares, norms, strict=True)]
        if min(norms) > 0:
            rows.append(_row(name, one.numel(), inner, norms, (scales or {}).get(name)))
    if not rows:
        raise ValueError("--trained has the weights of --start: no layer was changed, or --auxiliary is nothing but zeros")
    whole = squares[0] ** 0.5, squares[1] ** 0.5
    return [*rows, _row(ALL, sum(tensor.numel() for tensor in start.values()), total, whole, None)]


def permuted(values: Tensor, generator: torch.Generator) -> Tensor:
    """(R, C), rows and columns in another order"""
    rows, columns = (torch.randperm(size, generator=generator) for size in values.shape)
    return values[rows][:, columns]


def check_layers(start: Mapping[str, Tensor], others: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Raises `ValueError` naming the first layer that one has and another has not, or has in another shape."""
    start = {name: start[name] for name in sorted(start, key=_in_order)}
    for option, other in others.items():
        if lost := sorted(start.keys() ^ other.keys(), key=_in_order):
            there, absent = ("--start", option) if lost[0] in start else (option, "--start")
            raise ValueError(f"layer {lost[0]} is in {there} and not in {absent}; models of equal depth can be compared")
        for name, tensor in start.items():
            if tensor.shape != other[name].shape:
                raise ValueError(f"layer {name} is {tuple(tensor.shape)} in --start and {tuple(other[name].shape)} in "
                                 f"{option}; models of equal width can be compared")


def _row(layer: str, numbers: int, inner: Tensor, norms: tuple[float, float], scale: float | None) -> Aligned:
    """`inner`: the inner product of A and tau, and after it those of A permuted"""
    cosines = inner / (norms[0] * norms[1])
    own, others = cosines[0], cosines[1:]
    low, high = torch.quantile(others, torch.tensor([0.025, 0.975], dtype=others.dtype)).tolist()
    return Aligned(layer, numbers, own.item(), others.square().mean().sqrt().item(), low, high,
                   (cosines.abs() >= own.abs()).double().mean().item(), *norms, scale)


def _in_order(name: str) -> tuple[int, int]:
    _, block, part = name.split(".", 2)
    return int(block), LAYERS.index(part)
