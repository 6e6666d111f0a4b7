"""Pathways by torch's own parametrize, with a gate an output: y = x (W + g A)^T + b, g one number a row.

What torch holds under other names while it trains, `merge` turns into plain layers. See docs/own-arm.md.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from benchmark.model.connect import linear_layers
from benchmark.spec.contracts import Arm
from benchmark.spec.recipes import Setting


class Gated(nn.Module):
    """W (out, in) -> W + g A, with g (out, 1) trained from 0 and A as it is."""

    def __init__(self, auxiliary: Tensor):
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(len(auxiliary), 1))
        self.register_buffer("auxiliary", auxiliary.detach().clone())

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.gate * self.auxiliary


class GatedPathways(Arm):
    """A fusion of one's own, written without the engine's pathways."""

    name: ClassVar[str] = "gated"
    summary: ClassVar[str] = "the auxiliary's weights through a gate an output, by torch's parametrize"
    source: ClassVar[str] = "docs/own-arm.md"
    settings: ClassVar[tuple[Setting, ...]] = ("pretrained",)
    uses_auxiliary: ClassVar[bool] = True

    def build(self, model, blocks, random):
        pairs = zip(linear_layers(model.blocks), linear_layers(blocks["auxiliary"]), strict=True)
        for (_, linear), (_, other) in list(pairs):
            parametrize.register_parametrization(linear, "weight", Gated(other.weight))
        return []

    def merge(self, model):
        for _, linear in list(linear_layers(model.blocks)):
            parametrize.remove_parametrizations(linear, "weight")  # the sum stays


ARM = GatedPathways()
