"""The pathway as its equation reads, through `torch.nn.utils.parametrize`: what the fast path must agree with."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils import parametrize

from benchmark.optim import layer_of
from benchmark.pathway import CrossModal, Gain, connected, trained_parameters
from benchmark.recipes import TrainRecipe


class Sum(nn.Module):
    """W -> W + s A"""

    def __init__(self, auxiliary: nn.Parameter, scale: nn.Parameter):
        super().__init__()
        self.auxiliary, self.scale = auxiliary, scale

    def forward(self, weight):
        return weight + self.scale.view(-1, *[1] * (weight.ndim - 1)) * self.auxiliary


class Product(nn.Module):
    """W -> W (1 + s)"""

    def __init__(self, scale: nn.Parameter):
        super().__init__()
        self.scale = scale

    def forward(self, weight):
        return weight * (1 + self.scale)


def parametrized(model: nn.Module) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """A copy of a model with pathways, its connected layers parametrized; and all that trains, under its names there."""
    model = copy.deepcopy(model)
    named = dict(trained_parameters(model))
    everything = dict(trained_parameters(model, trainable=False))
    for child in connected(model):
        linear = child.linear
        prefix = next(name for name, module in model.named_modules() if module is child)
        del linear.pathway
        linear.weight, weight = nn.Parameter(child.weight.detach().clone()), None
        linear.weight.requires_grad_(child.weight.requires_grad)
        assert isinstance(child, (CrossModal, Gain))
        scale = child.scale
        parametrize.register_parametrization(
            linear, "weight", Sum(child.auxiliary, scale) if isinstance(child, CrossModal) else Product(scale))
        weight = linear.parametrizations.weight.original
        everything[f"{prefix}.weight"] = weight
        if isinstance(child, CrossModal) and child.joins_bias:
            linear.bias = nn.Parameter(child.bias.detach().clone(), requires_grad=child.bias.requires_grad)
            parametrize.register_parametrization(linear, "bias", Sum(child.auxiliary_bias, scale))
            everything[f"{prefix}.bias"] = linear.parametrizations.bias.original
    return model, {name: everything[name] for name in named}


def plain_adamw(named: dict[str, nn.Parameter], recipe: TrainRecipe, depth: int) -> torch.optim.Optimizer:
    """AdamW with the groups of the recipe, one for each parameter."""
    groups = []
    for name, parameter in named.items():
        lr = recipe.lr * recipe.layer_decay ** (depth + 1 - layer_of(name, depth))
        if name.endswith(".scale") and recipe.scale_lr:
            lr = recipe.scale_lr
        decays = parameter.ndim > 1 and name.rsplit(".", 1)[-1] in ("weight", "auxiliary")
        groups.append({"params": [parameter], "lr": lr, "weight_decay": recipe.weight_decay if decays else 0.0})
    return torch.optim.AdamW(groups, betas=recipe.betas, foreach=False, fused=False)
