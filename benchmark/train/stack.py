"""Models of one structure, computed at once: their weights stacked, one pass of `torch.func.vmap` for all.

While they train, connected layers are plain layers over their sums (see `benchmark.model.pathway`), so every arm computes with
one structure. The stack always has K places, and places that no model takes hold a copy: what a model computes
depends on K, and not on its neighbours.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from benchmark.data.examples import Batch
from benchmark.model.encoder import TransformerModel
from benchmark.model.pathway import CHILD, merge
from benchmark.train.optim import clear_gradients

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Stack:
    """The weights of models with one `structure` in K places; the models' own are views of them.

    Parameters and buffers are (K, ...).
    """

    def __init__(self, models: Sequence[TransformerModel], size: int):
        self.models = models
        self.base = copy.deepcopy(models[0])
        merge(self.base)
        filled = [*models, *[models[0]] * (size - len(models))]
        self.parameters: dict[str, Tensor] = {}
        self.buffers: dict[str, Tensor] = {}
        self.own: dict[str, list[nn.Parameter]] = {}
        for name, _ in self.base.named_parameters():
            held = [model.get_parameter(name) for model in filled]
            self.parameters[name] = torch.stack([each.detach() for each in held])
            self.parameters[name].requires_grad_(any(each.requires_grad for each in held))
            self.own[name] = held[: len(models)]
        for name, _ in self.base.named_buffers():
            self.buffers[name] = torch.stack([model.get_buffer(name) for model in filled])
        with torch.no_grad():
            for index, model in enumerate(models):
                for name, stacked in (*self.parameters.items(), *self.buffers.items()):
                    own = model.get_parameter(name) if name in self.parameters else model.get_buffer(name)
                    own.data = stacked.detach()[index]
                model.register_state_dict_post_hook(_apart)  # type: ignore[no-untyped-call]

    def __call__(self, batch: Batch) -> Tensor:
        """(K, B, ...) logits of one batch"""
        return self.map(lambda logits: logits, batch)

    def map(self, then: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
        """(K, ...): `then` of each model's logits of one batch; masks are the same for all."""
        def run(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            return then(functional_call(self.base, (parameters, buffers), (batch,)))

        result: Tensor = vmap(run, randomness="same")(self.parameters, self.buffers)
        return result

    def eval(self) -> None:
        """As of a model."""
        self.base.eval()

    def clear_gradients(self) -> None:
        """Leave none, neither in the stack nor in a model."""
        for parameter in self.parameters.values():
            parameter.grad = None
        for model in self.models:
            clear_gradients(model)

    def deal_out(self) -> None:
        """Give every model its own part of the gradients."""
        for name, stacked in self.parameters.items():
            if stacked.grad is not None:
                for own, gradient in zip(self.own[name], stacked.grad, strict=False):
                    own.grad = gradient if own.requires_grad else None


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


def _apart(module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: object) -> None:
    """Views of a stack would take all of it into a file."""
    for name, tensor in state.items():
        state[name] = tensor.clone()
