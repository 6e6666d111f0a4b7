"""Connected layers on a GPU in, all of them stepped in three launches: what `benchmark.model.kernels` needs to know of them.

Takes the layers that the paper trains: W, A and one scale, in single precision. L of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import or_
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
        self.groups = [[held[id(parameter)] for parameter in parts] for _, parts in self.layers]
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

    def step(self, state: dict[Tensor, dict[str, Any]], groups: Sequence[dict[str, Any]]) -> None:
        """Step W, A and s by the gradients of the sums, and write the sums anew; a gradient that a scale holds already
        (clipped, perhaps) is taken in place of <G, A>. Raises `RuntimeError` before any backward pass.
        """
        addresses, counts, kept = [], [], []
        for merged, parts in self.layers:
            gradient = sum_gradient(merged)
            if not gradient.is_contiguous():
                gradient = gradient.contiguous()
                kept.append(gradient)
            row, steps = [], []
            for parameter in parts:
                own = _state_of(state, parameter)
                row += [parameter.data_ptr(), *(own[name].data_ptr() for name in NAMES)]
                steps.append(own["step"].data_ptr())
            held = parts[2].grad
            addresses.append([*row, gradient.data_ptr(), merged.data_ptr(), 0 if held is None else held.data_ptr()])
            counts.append(steps)
        table, aligned = self._send(np.array(addresses), np.array(counts), groups)
        self.kernels.step_pathways(table, self.layer_of_tile, self.partial_sums, self.rates, aligned and self.whole,
                                   all(row[-1] for row in addresses))

    def _is_here(self, rate: Any) -> bool:
        return isinstance(rate, Tensor) and rate.device == self.device and rate.dtype == torch.float32

    def _send(self, addresses: Any, counts: Any, groups: Sequence[dict[str, Any]]) -> tuple[Tensor, bool]:
        """The table on the device, and whether the addresses of what is large are multiples of 16"""
        columns = self.kernels
        # Pinned, so that the copy waits for nothing; the allocator keeps it until the copy is done.
        staged = torch.empty(self.memory.shape, dtype=torch.int64, pin_memory=self.device.type == "cuda")
        table = staged[: self.length].view(len(addresses), -1).numpy()
        settings = np.array([_settings_of(group) for group in groups])
        first, lr, last = columns.COUNT.value, columns.LR.value, columns.SETTINGS.value
        table[:, :first] = addresses
        table[:, first:lr] = counts
        slots = self.memory.data_ptr() + 8 * self.length + 4 * np.arange(3 * len(addresses))
        table[:, lr : columns.NUMEL.value] = slots.reshape(-1, 3)
        table[:, columns.NUMEL.value : last] = self.sizes
        places = np.array(self.groups)
        table[:, last:] = settings[places].reshape(len(addresses), -1).view(np.int64)
        rates = np.array([0.0 if self._is_here(group["lr"]) else float(group["lr"]) for group in groups], np.float32)
        staged[self.length :].numpy().view(np.float32)[: places.size] = rates[places].ravel()
        for index, group in enumerate(groups):  # a rate on the device is read where it is
            if self._is_here(group["lr"]):
                table[:, lr : columns.NUMEL.value][places == index] = group["lr"].data_ptr()
        self.memory.copy_(staged, non_blocking=True)
        if self.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            self.captured.append(staged)  # each replay copies it
        large = [column for column in range(columns.HELD.value) if not 0 <= column - columns.SCALE.value < 3]
        aligned = reduce(or_, addresses[:, large].ravel().tolist()) % 16 == 0
        return self.memory[: self.length].view(len(addresses), -1), aligned


def _settings_of(group: dict[str, Any]) -> tuple[float, ...]:
    beta1, beta2 = group["betas"]
    logs = (math.log(beta) if beta else -math.inf for beta in (beta1, beta2))
    return 1 - beta1, 1 - beta2, *logs, group["eps"], group["weight_decay"]


def _state_of(state: dict[Tensor, dict[str, Any]], parameter: Tensor) -> dict[str, Any]:
    """The state of AdamW, begun where there is none"""
    own = state[parameter]
    if not own:
        own.update(step=torch.zeros((), device=parameter.device),
                   **{name: torch.zeros_like(parameter, memory_format=torch.contiguous_format) for name in NAMES})
    return own
