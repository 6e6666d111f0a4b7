"""One model for K: its parameters are those of K rows, and one pass of `torch.func.vmap` computes them all.

Nothing random happens in that pass, so that it may be captured and replayed: where a model drops paths or values, or draws
its masks, `Randomness` draws for each seed, with the calls and the seeds of a run alone, what all of its models share.
Attention is written out as two products and a softmax, which is right for every size of head, count of tokens and dtype;
the fused kernels are not under vmap.

Shapes: K places, S seeds, B samples of a micro-batch.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.func import functional_call, vmap

from benchmark.data.examples import Batch
from benchmark.data.seeds import SampleRandom, derive_seed, seed_torch
from benchmark.model.encoder import write_out_attention
from benchmark.model.pathway import CHILD, merge

ATTENTION = "written out"
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
Tensors = dict[str, Tensor]
Drawn = tuple[str, tuple[int, ...], float, float]  # use, size, low, high
Loss = Callable[[nn.Module, Batch, SampleRandom], Tensor]  # of a micro-batch, scalar


def merged_copy(model: nn.Module) -> nn.Module:
    """A copy without pathways"""
    merged = copy.deepcopy(model)
    merge(merged)
    return merged


def stackable_copy(merged: nn.Module) -> nn.Module:
    """A copy of a merged model for a stack: attention written out, and what it drops taken from `Multiplied.mask`"""
    base = copy.deepcopy(merged)
    write_out_attention(base)
    for module in list(base.modules()):
        for name, child in module.named_children():
            if (isinstance(child, DropPath) and child.drop_prob) or (isinstance(child, nn.Dropout) and child.p):
                setattr(module, name, Multiplied(child))
    return base


class Multiplied(nn.Module):
    """In place of drop path or dropout: times `mask`, which holds 0, or 1 over the chance to be kept."""

    mask: Tensor

    def __init__(self, dropping: DropPath | nn.Dropout):
        super().__init__()
        self.dropping = (dropping.train(),)  # in a tuple, as it is no part of this
        self.note: Callable[[torch.Size, torch.dtype], None] | None = None  # while a pass is traced
        self.register_buffer("mask", torch.ones(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...), the same"""
        if not self.training:
            return x
        if self.note is not None:
            self.note(x.shape, x.dtype)
            return x
        return x * self.mask

    def draw(self, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A mask by the very calls of the module in whose place this is"""
        (dropping,) = self.dropping
        of = shape if isinstance(dropping, nn.Dropout) else (shape[0], *[1] * (len(shape) - 1))
        mask: Tensor = dropping(torch.ones(of, dtype=dtype, device=device))
        return mask


class GivenRandom(SampleRandom):
    """Random numbers that were drawn before; while a pass is traced, those that it asks for."""

    def __init__(self, given: Mapping[Drawn, Tensor], traced: SampleRandom | None = None):
        super().__init__(0, 0, torch.zeros(0, dtype=torch.int64))
        self.given, self.traced = given, traced
        self.asked: list[Drawn] = []

    def uniform(self, use: str, *size: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """As drawn before."""
        if self.traced is None:
            return self.given[use, size, low, high]
        self.asked.append((use, size, low, high))
        return self.traced.uniform(use, *size, low=low, high=high)


class Randomness:
    """What one pass over a micro-batch of a shape draws; found by a pass of `base` alone, of one seed."""

    def __init__(self, base: nn.Module, compute: Loss, batch: Batch, random: SampleRandom):
        modules = {name: module for name, module in base.named_modules() if isinstance(module, Multiplied)}
        order: list[tuple[str, torch.Size, torch.dtype]] = []
        traced = GivenRandom({}, random)
        kept = {name: buffer.clone() for name, buffer in base.named_buffers()}
        for name, module in modules.items():
            module.note = partial(_note, order, name)
        try:
            with torch.no_grad():
                compute(base, batch, traced)
        finally:
            for module in modules.values():
                module.note = None
            for name, buffer in base.named_buffers():
                buffer.copy_(kept[name])
        if len({name for name, _, _ in order}) < len(order):
            raise ValueError("a model that drops twice in one module cannot be stacked")
        self.dropped = [(name, modules[name], shape, dtype) for name, shape, dtype in order]
        self.asked = list(dict.fromkeys(traced.asked))

    def masks(self, device: torch.device) -> list[Tensor]:
        """One seed's, from torch's own stream of random numbers."""
        return [module.draw(shape, dtype, device) for _, module, shape, dtype in self.dropped]


def _note(order: list[tuple[str, torch.Size, torch.dtype]], name: str, shape: torch.Size, dtype: torch.dtype) -> None:
    order.append((name, shape, dtype))


def draw_masks(found: Sequence[Randomness], seeds: Sequence[int], number: int, device: torch.device) -> list[Tensors]:
    """What step `number` drops in each of its micro-batches, by module: (S, ...)"""
    drawn: list[list[list[Tensor]]] = []  # by seed, micro-batch, module
    for seed in seeds if any(one.dropped for one in found) else ():
        seed_torch(derive_seed(seed, "step", number), device)
        drawn.append([one.masks(device) for one in found])
    return [{f"{name}.mask": torch.stack([of_seed[part][place] for of_seed in drawn])
             for place, (name, *_) in enumerate(one.dropped)} for part, one in enumerate(found)]


class ApartLinear(nn.Module):
    """A linear layer that computes with W and A apart: x W^T + b + s (x A^T + b_A). A merged one must agree with it."""

    def __init__(self, biased: bool):
        super().__init__()
        for name in ("weight", "auxiliary", "scale", *(("bias", "auxiliary_bias") if biased else ())):
            self.register_buffer(name, torch.empty(0))  # given by the stack

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)"""
        held = dict(self.named_buffers())
        joined = nn.functional.linear(x, held["auxiliary"], held.get("auxiliary_bias"))
        return nn.functional.linear(x, held["weight"], held.get("bias")) + held["scale"] * joined


def apart_copy(base: nn.Module, names: Sequence[str]) -> nn.Module:
    """A copy whose linear layers named are `ApartLinear`."""
    other = copy.deepcopy(base)
    for name in names:
        parent, _, own = name.rpartition(".")
        setattr(other.get_submodule(parent), own, ApartLinear(other.get_submodule(name).bias is not None))
    return other


class StackedModel:
    """K models: `base` with the parameters that `split` makes of `rows` (K, ...), and with `buffers` (K, ...)."""

    def __init__(self, base: nn.Module, buffers: Tensors, split: Callable[[Tensor], Tensors], rows: Tensor):
        self.base, self.buffers, self.split, self.rows = base, buffers, split, rows

    def eval(self) -> None:
        """As of a model"""
        self.base.eval()

    def __call__(self, batch: Batch) -> Tensor:
        """(K, B, ...) logits of one batch"""
        return self.map(lambda model: model(batch))

    def map(self, compute: Callable[..., Tensor], *inputs: Any) -> Tensor:
        """(K, ...): `compute` of each model and its own `inputs` (K, ...)"""
        def one(parameters: Tensors, buffers: Tensors, *inputs: Any) -> Tensor:
            given = {f"model.{name}": tensor for part in (parameters, buffers) for name, tensor in part.items()}
            result: Tensor = functional_call(_Computing(self.base, compute), given, inputs)
            return result

        result: Tensor = vmap(one, randomness="error")(self.split(self.rows), self.buffers, *inputs)
        return result

    def losses(self, compute: Loss, batch: Batch, masks: Tensors, given: Mapping[Drawn, Tensor]) -> Tensor:
        """(K,): the loss of each model on its own micro-batch; masks and random numbers are (K, ...), too"""
        names = list(given)

        def one(model: nn.Module, batch: Batch, given: list[Tensor]) -> Tensor:
            return compute(model, batch, GivenRandom(dict(zip(names, given, strict=True))))

        masked = StackedModel(self.base, self.buffers | masks, self.split, self.rows)
        return masked.map(one, batch, list(given.values()))


class _Computing(nn.Module):
    """What is computed with a model, as a module, so that `functional_call` reaches the model"""

    def __init__(self, model: nn.Module, compute: Callable[..., Tensor]):
        super().__init__()
        self.model, self.compute = model, compute

    def forward(self, *inputs: Any) -> Tensor:
        return self.compute(self.model, *inputs)


def structure(model: nn.Module) -> tuple[Hashable, ...]:
    """What must agree for models to compute alike: kinds of modules, their settings and the shapes of what they hold, with
    sums in place of what is behind them. Raises `ValueError` for a model that is more than that, as hooks make it.
    """
    def listed(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
        return ((name, part) for name, part in named if CHILD not in name.split("."))

    kinds: list[Hashable] = []
    for name, module in listed(model.named_modules()):
        own = vars(module)
        tensors = any(isinstance(value, Tensor) for value in own.values())
        if tensors or "forward" in own or any(own.get(hooks) for hooks in HOOKS):
            raise ValueError("a model with hooks, or methods and tensors of its own, cannot be stacked")
        settings = [(key, str(value)) for key, value in own.items() if isinstance(value, (bool, int, float, str, tuple))
                    and key != "training" and not key.startswith("_")]
        kinds.append((name, type(module), tuple(sorted(settings))))
    for name, each in listed(itertools.chain(model.named_parameters(), model.named_buffers())):
        if each._backward_hooks or getattr(each, "_post_accumulate_grad_hooks", None):
            raise ValueError("a model with hooks on its parameters cannot be stacked")
        kinds.append((name, each.shape, each.dtype))
    return tuple(kinds)
