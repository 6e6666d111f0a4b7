"""Connected layers on a GPU in, all of them stepped in three launches: what `benchmark.model.kernels` needs to know of them.

Takes the layers that the paper trains: W, A and one scale, in single precision. L of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.model.pathway import CrossModal, Gain, sum_gradient

NAMES = ("exp_avg", "exp_avg_sq")


def suits_one_pass(pathway: CrossModal | Gain, device: torch.device) -> bool:
    """Whether a layer's W, A and one scale train, as single-precision arrays of one layout on a device."""
    if not isinstance(pathway, CrossModal) or pathway.scale.ndim:
        return False
    held = (pathway.weight, pathway.auxiliary, pathway.scale)
    return (all(each.requires_grad and each.dtype == torch.float32 and each.device == device for each in held)
            and all(each.is_contiguous() for each in (*held, pathway.linear.weight)))


class OnePass:
    """The steps of some layers, each in the groups of an optimizer that its parameters belong to.

    Moments and counts of steps are the optimizer's own, named as AdamW names them.
    """

    def __init__(self, pathways: Sequence[CrossModal], groups: Sequence[dict[str, Any]]):
        from benchmark.model import kernels

        self.kernels = kernels
        held = {id(parameter): index for index, group in enumerate(groups) for parameter in group["params"]}
        self.layers = [(pathway.linear.weight, (pathway.weight, pathway.auxiliary, pathway.scale)) for pathway in pathways]
        self.groups = np.array([[held[id(parameter)] for parameter in parts] for _, parts in self.layers])
        self.device = self.layers[0][0].device
        numel = np.array([merged.numel() for merged, _ in self.layers])
        tiles = -(-numel // kernels.TILE)
        self.sizes = np.stack([numel, tiles.cumsum() - tiles, tiles], 1)
        self.whole = not (numel % 4).any()
        layers = np.repeat(np.arange(len(numel), dtype=np.int32), tiles)
        self.layer_of_tile = torch.from_numpy(layers).to(self.device)
        self.partial_sums = torch.empty(len(layers), device=self.device)
        self.rates = torch.empty(len(numel), kernels.RATES.value, device=self.device)
        # The learning rates lie behind the table, in the same memory, so that one copy brings both.
        self.length = len(numel) * kernels.WIDTH.value
        self.captured: list[Tensor] = []
        self.memory = torch.empty(self.length + -(-3 * len(numel) // 2), dtype=torch.int64, device=self.device)
        self.template = np.zeros((len(numel), kernels.WIDTH.value), np.int64)  # what stays the same from step to step
        self.owned: list[tuple[Tensor, dict[str, Any]]] = []
        self.held: list[Tensor] = []  # whose addresses are in the template
        self.addresses: list[int] = []
        self.settings: list[tuple[float, ...]] = []

    def step(self, state: dict[Tensor, dict[str, Any]], groups: Sequence[dict[str, Any]]) -> None:
        """Step W, A and s by the gradients of the sums, and write the sums anew; a gradient that a scale holds already
        (clipped, perhaps) is taken in place of <G, A>. Raises `RuntimeError` before any backward pass.
        """
        gradients = [sum_gradient(merged) for merged, _ in self.layers]
        kept = [gradient if gradient.is_contiguous() else gradient.contiguous() for gradient in gradients]
        self._refresh(state, groups)
        held = [0 if scale.grad is None else scale.grad.data_ptr() for _, (_, _, scale) in self.layers]
        table, aligned = self._send(np.array([gradient.data_ptr() for gradient in kept]), np.array(held), groups)
        self.kernels.step_pathways(table, self.layer_of_tile, self.partial_sums, self.rates, aligned, all(held))

    def _refresh(self, state: dict[Tensor, dict[str, Any]], groups: Sequence[dict[str, Any]]) -> None:
        """Write the template where what it says is no longer so: other moments after loading, other memory, other settings."""
        columns = self.kernels
        if not (self.owned and all(state.get(parameter) is own for parameter, own in self.owned)
                and list(map(Tensor.data_ptr, self.held)) == self.addresses):
            self.owned, self.held = [], []
            for merged, parts in self.layers:
                owns = [_state_of(state, parameter) for parameter in parts]
                self.owned += zip(parts, owns, strict=True)
                self.held += [tensor for parameter, own in zip(parts, owns, strict=True)
                              for tensor in (parameter, *(own[name] for name in NAMES))]
                self.held += [merged, *(own["step"] for own in owns)]
            self.addresses = list(map(Tensor.data_ptr, self.held))
            rows = np.array(self.addresses).reshape(len(self.layers), -1)
            gradient, count, lr = (column.value for column in (columns.GRADIENT, columns.COUNT, columns.LR))
            self.template[:, :gradient] = rows[:, :gradient]
            self.template[:, columns.SUM.value] = rows[:, gradient]
            self.template[:, count:lr] = rows[:, gradient + 1 :]
            self.template[:, columns.NUMEL.value : columns.SETTINGS.value] = self.sizes
            large = [*range(columns.SCALE.value), columns.SUM.value]
            self.aligned = self.whole and not (self.template[:, large] % 16).any()
        settings = [(*group["betas"], group["eps"], group["weight_decay"]) for group in groups]
        if settings != self.settings:
            self.settings = settings
            values = np.array([_settings_of(*each) for each in settings])[self.groups]
            self.template[:, columns.SETTINGS.value :] = values.reshape(len(self.layers), -1).view(np.int64)

    def _send(self, gradients: Any, held: Any, groups: Sequence[dict[str, Any]]) -> tuple[Tensor, bool]:
        """The table on the device, and whether the addresses and lengths of what is large are multiples of 16 and 4"""
        columns = self.kernels
        lr, numel = columns.LR.value, columns.NUMEL.value
        # Pinned, so that the copy waits for nothing; the allocator keeps it until the copy is done.
        staged = torch.empty(self.memory.shape, dtype=torch.int64, pin_memory=self.device.type == "cuda")
        flat = staged.numpy()
        table = flat[: self.length].reshape(self.template.shape)
        table[:] = self.template
        table[:, columns.GRADIENT.value], table[:, columns.HELD.value] = gradients, held
        slots = self.memory.data_ptr() + 8 * self.length + 4 * np.arange(self.groups.size)
        table[:, lr:numel] = slots.reshape(self.groups.shape)
        here = [self._is_here(group["lr"]) for group in groups]
        rates = np.array([0.0 if on_device else float(group["lr"])
                          for group, on_device in zip(groups, here, strict=True)], np.float32)
        flat[self.length :].view(np.float32)[: self.groups.size] = rates[self.groups].ravel()
        if any(here):  # a rate on the device is read where it is
            places = np.array([group["lr"].data_ptr() if on_device else 0
                               for group, on_device in zip(groups, here, strict=True)])[self.groups]
            table[:, lr:numel] = np.where(places, places, table[:, lr:numel])
        self.memory.copy_(staged, non_blocking=True)
        if self.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            self.captured.append(staged)  # each replay copies it
        return self.memory[: self.length].view(self.template.shape), self.aligned and not (gradients % 16).any()

    def _is_here(self, rate: Any) -> bool:
        return isinstance(rate, Tensor) and rate.device == self.device and rate.dtype == torch.float32


def _settings_of(beta1: float, beta2: float, eps: float, decay: float) -> tuple[float, ...]:
    logs = (math.log(beta) if beta else -math.inf for beta in (beta1, beta2))
    return 1 - beta1, 1 - beta2, *logs, eps, decay


def _state_of(state: dict[Tensor, dict[str, Any]], parameter: Tensor) -> dict[str, Any]:
    """The state of AdamW, begun where there is none"""
    own = state[parameter]
    if not own:
        own.update(step=torch.zeros((), device=parameter.device),
                   **{name: torch.zeros_like(parameter, memory_format=torch.contiguous_format) for name in NAMES})
    return own
