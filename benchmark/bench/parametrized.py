"""The pathway as its equation reads, through `torch.nn.utils.parametrize`: what the fast path must agree with and beat."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from benchmark.model.pathway import CrossModal, connected, trained_parameters
from benchmark.spec.recipes import TrainRecipe
from benchmark.train.optim import layer_of

Model = TypeVar("Model", bound=nn.Module)


class Sum(nn.Module):
    """W -> W + s A"""

    def __init__(self, auxiliary: nn.Parameter, scale: nn.Parameter):
        super().__init__()
        self.auxiliary, self.scale = auxiliary, scale

    def forward(self, weight: Tensor) -> Tensor:
        """(out_features, ...) -> (out_features, ...)"""
        return weight + self.scale.view(-1, *[1] * (weight.ndim - 1)) * self.auxiliary


class Product(nn.Module):
    """W -> W (1 + s)"""

    def __init__(self, scale: nn.Parameter):
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """(out_features, in_features) -> (out_features, in_features)"""
        return weight * (1 + self.scale)


def parametrized(model: Model) -> tuple[Model, dict[str, nn.Parameter]]:
    """A copy of a model with pathways, its connected layers parametrized; and what trains in it, under the names there."""
    model = copy.deepcopy(model)
    trained = [name for name, _ in trained_parameters(model)]
    parameters = dict(trained_parameters(model, trainable=False))
    for prefix, child in [(name, child) for name, child in model.named_modules() if child in connected(model)]:
        assert isinstance(prefix, str)
        linear, scale = child.linear, child.scale
        assert isinstance(linear, nn.Linear)
        del linear.pathway
        linear.weight = nn.Parameter(child.weight.detach().clone(), requires_grad=child.weight.requires_grad)
        joined: nn.Module = Sum(child.auxiliary, scale) if isinstance(child, CrossModal) else Product(scale)
        parametrize.register_parametrization(linear, "weight", joined)
        parameters[f"{prefix}.weight"] = linear.parametrizations.weight.original  # type: ignore[union-attr, assignment]
        if isinstance(child, CrossModal) and child.joins_bias:
            linear.bias = nn.Parameter(child.bias.detach().clone(), requires_grad=child.bias.requires_grad)
            parametrize.register_parametrization(linear, "bias", Sum(child.auxiliary_bias, scale))
            parameters[f"{prefix}.bias"] = linear.parametrizations.bias.original  # type: ignore[union-attr, assignment]
    return model, {name: parameters[name] for name in trained}


def plain_adamw(named: dict[str, nn.Parameter], recipe: TrainRecipe, depth: int, fused: bool = False) -> torch.optim.Optimizer:
    """torch's AdamW with the rates and decays of a recipe, a group for each kind of parameter."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named.items():
        lr = recipe.lr * recipe.layer_decay ** (depth + 1 - layer_of(name, depth))
        if name.endswith(".scale") and recipe.scale_lr:
            lr = recipe.scale_lr
        decays = parameter.ndim > 1 and name.rsplit(".", 1)[-1] in ("weight", "auxiliary")
        groups.setdefault((lr, recipe.weight_decay if decays else 0.0), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": parameters, "lr": lr, "weight_decay": decay} for (lr, decay), parameters in groups.items()],
        betas=recipe.betas, fused=fused)
