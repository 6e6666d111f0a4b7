"""A low-rank pathway: y = x (W + s U V^T)^T + b, with W, s, U and V trained. Written from docs/own-arm.md."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from benchmark.model.connect import linear_layers
from benchmark.model.pathway import CHILD, Gain, Pathway, sum_gradient
from benchmark.spec.contracts import Arm
from benchmark.spec.recipes import Setting


class LowRankSum(Gain):
    """What stands behind W + s U V^T: U (out, r) and V (in, r), at first the best approximation of A of rank r."""

    def __init__(self, linear: nn.Linear, auxiliary: Tensor, rank: int):
        left, sizes, right = torch.linalg.svd(auxiliary.detach(), full_matrices=False)
        nn.Module.__init__(self)
        self._linear = (linear,)  # in a tuple, as a layer is no part of its own child
        self.weight = nn.Parameter(linear.weight.detach().clone(), requires_grad=linear.weight.requires_grad)
        self.scale = nn.Parameter(torch.zeros(()))
        # Names that begin with "auxiliary" are frozen in the setting `fix`.
        self.auxiliary_left = nn.Parameter(left[:, :rank] * sizes[:rank].sqrt())
        self.auxiliary_right = nn.Parameter(right[:rank].T * sizes[:rank].sqrt())
        self.refresh()

    @torch.no_grad()
    def write_sum(self, rows: slice = slice(None)) -> None:
        """The forward pass reads it from `linear.weight`."""
        joined = self.scale * self.auxiliary_left[rows] @ self.auxiliary_right.T
        self.linear.weight.data[rows] = self.weight[rows] + joined

    def apart(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), by the formula: what the merged model is compared with"""
        joined = nn.functional.linear(nn.functional.linear(x, self.auxiliary_right.T), self.auxiliary_left)
        return nn.functional.linear(x, self.weight, self.linear.bias) + self.scale * joined

    def factors(self, scale: Tensor) -> list[tuple[nn.Parameter, Tensor | None]]:
        """The optimizer steps W by the gradient G of the sum; the others have gradients from `pull_back`."""
        return [(self.weight, None)] if self.weight.requires_grad else []

    @torch.no_grad()
    def pull_back(self) -> None:
        """ds = <G, U V^T>, dU = s G V, dV = s G^T U, unless they are there already (clipped, perhaps)"""
        gradient = sum_gradient(self.linear.weight)
        if self.scale.grad is None:
            self.scale.grad = ((gradient @ self.auxiliary_right) * self.auxiliary_left).sum()
        if self.auxiliary_left.requires_grad and self.auxiliary_left.grad is None:
            self.auxiliary_left.grad = self.scale * gradient @ self.auxiliary_right
            self.auxiliary_right.grad = self.scale * gradient.T @ self.auxiliary_left


class LowRank(Arm):
    """Pathways of few numbers: r (out + in) a layer in place of the auxiliary's out x in."""

    name: ClassVar[str] = "low-rank"
    summary: ClassVar[str] = "pathways from the auxiliary's weights, cut to a low rank"
    source: ClassVar[str] = "docs/own-arm.md"
    settings: ClassVar[tuple[Setting, ...]] = ("pretrained", "fix")
    uses_auxiliary: ClassVar[bool] = True
    is_method: ClassVar[bool] = True

    rank: PositiveInt = 8

    def build(self, model, blocks, random):
        pathways = []
        pairs = zip(linear_layers(model.blocks), linear_layers(blocks["auxiliary"]), strict=True)
        for (name, linear), (_, other) in list(pairs):
            linear.add_module(CHILD, LowRankSum(linear, other.weight, self.rank))
            linear.alone = torch.zeros(0)  # trained one by one: stacks of models know the engine's own pathways only
            pathways.append(Pathway(name, linear))
        return pathways


ARM = LowRank()
