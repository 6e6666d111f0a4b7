"""A linear layer in, the same with a low-rank sum behind it out: y = x (W + s U V^T)^T + b. Imports torch.

U is (out_features, r), V (in_features, r). With G the gradient of the sum: dW = G, ds = <G, U V^T>, dU = s G V, dV = s G^T U.
"""

import torch
from torch import Tensor, nn

from benchmark.model.connect import linear_layers
from benchmark.model.pathway import CHILD, Gain, Pathway, sum_gradient


class Factored(Gain):
    """What stands behind W + s U V^T. What `requires_grad` trains; U and V have no weight decay."""

    def __init__(self, linear: nn.Linear, left: Tensor, right: Tensor, scale: float, train_scale: bool, train_factors: bool):
        nn.Module.__init__(self)
        self._linear = (linear,)  # in a tuple, as a layer is no part of its own child
        self.weight = nn.Parameter(linear.weight.detach().clone(), requires_grad=linear.weight.requires_grad)
        self.scale = nn.Parameter(torch.tensor(scale), requires_grad=train_scale)
        self.left, self.right = (nn.Parameter(side.contiguous(), requires_grad=train_factors) for side in (left, right))
        self.refresh()

    @torch.no_grad()
    def write_sum(self, rows: slice = slice(None)) -> None:
        """The forward pass reads it from `linear.weight`."""
        self.linear.weight.data[rows] = self.weight[rows] + self.scale * self.left[rows] @ self.right.T

    def apart(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features), by the formula: what the merged model is compared with"""
        joined = nn.functional.linear(nn.functional.linear(x, self.right.T), self.left)
        return nn.functional.linear(x, self.weight, self.linear.bias) + self.scale * joined

    def factors(self, scale: Tensor) -> list[tuple[nn.Parameter, Tensor | None]]:
        """The optimizer steps W by the gradient G of the sum; the others have gradients from `pull_back`."""
        return [(self.weight, None)] if self.weight.requires_grad else []

    @torch.no_grad()
    def pull_back(self) -> None:
        """Gradients of what trains, unless they are there already (clipped, perhaps)."""
        gradient = sum_gradient(self.linear.weight)
        if self.scale.requires_grad and self.scale.grad is None:
            self.scale.grad = ((gradient @ self.right) * self.left).sum()
        if self.left.requires_grad and self.left.grad is None:
            self.left.grad, self.right.grad = self.scale * gradient @ self.right, self.scale * gradient.T @ self.left


def connect_factors(name: str, linear: nn.Linear, left: Tensor, right: Tensor, *, scale: float, train_scale: bool = False,
                    train_factors: bool = True) -> Pathway:
    """Put U and V behind a layer; raises `ValueError` where their rank is larger than the layer's."""
    check_rank(left.shape[1], name, linear)
    linear.add_module(CHILD, Factored(linear, left, right, scale, train_scale, train_factors))
    linear.alone = torch.zeros(0)  # trained one by one: stacks of models know the engine's own pathways only
    return Pathway(name, linear)


def check_rank(rank: int, name: str, linear: nn.Linear) -> None:
    if rank > min(linear.weight.shape):
        raise ValueError(f"arm.rank={rank}: layer {name} has rank {min(linear.weight.shape)} at most; choose less")


def connect_low_rank(target: nn.ModuleList, made: nn.ModuleList, sized: nn.ModuleList, rank: int,
                     train_factors: bool) -> list[Pathway]:
    """U V^T is the best approximation of `made`, of the size of that of `sized`; what the target has frozen trains none."""
    pathways, weights, sizes = [], dict(linear_layers(made)), dict(linear_layers(sized))
    for name, linear in list(linear_layers(target)):
        check_rank(rank, name, linear)
        left, values, right = weights[name].weight.detach().svd()
        size = sizes[name].weight.detach().svd().S[:rank].norm() / values[:rank].norm().clamp_min(1e-30)
        sides = [side[:, :rank] * (values[:rank] * size).sqrt() for side in (left, right)]
        pathways.append(connect_factors(name, linear, *sides, scale=0.0, train_scale=True,
                                        train_factors=train_factors and linear.weight.requires_grad))
    return pathways
