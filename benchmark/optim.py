"""A model and a recipe in, an optimizer and its schedule out. A trainable parameter that no group covers raises."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from timm.optim import Lars
from torch import Tensor, nn

from benchmark.recipes import OptimRecipe, TrainRecipe

DECAYED = {"weight", "original", "auxiliary"}  # last part of a name; `original` and `auxiliary` are W and A of a pathway


Tune = Callable[[str, float, float], tuple[float, float]]  # see `benchmark.contracts.Arm.tune`


def build_optimizer(model: nn.Module, recipe: OptimRecipe, depth: int, tune: Tune | None = None) -> torch.optim.Optimizer:
    """AdamW or LARS over the trainable parameters, in groups of equal `lr_scale` and weight decay.

    Layer decay as in MAE fine-tuning: the tokenizer is layer 0, block b is layer b + 1, norm and head are layer
    depth + 1, and layer l has lr x layer_decay^(depth + 1 - l). Weights of two or more dimensions decay; biases, norms,
    tokens, positions and cross-modal scales do not, and scales have groups of
    their own. `tune` may alter both values of any parameter. Raises `ValueError` where a trainable parameter is left out.
    """
    layer_decay = recipe.layer_decay if isinstance(recipe, TrainRecipe) else 1.0
    scale_lr = recipe.scale_lr if isinstance(recipe, TrainRecipe) else None
    groups: dict[tuple[float, float, bool, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        lr_scale = layer_decay ** (depth + 1 - layer_of(name, depth))
        is_scale = is_cross_modal_scale(name)
        if is_scale and scale_lr is not None:
            lr_scale = scale_lr / recipe.lr
        decays = parameter.ndim > 1 and name.rsplit(".", 1)[-1] in DECAYED
        decay = recipe.weight_decay if decays else 0.0
        if tune is not None:
            lr_scale, decay = tune(name, lr_scale, decay)
        groups.setdefault((lr_scale, decay, is_scale, parameter.ndim > 1), []).append(parameter)
    if not groups:
        raise ValueError("nothing to train: every parameter is frozen")
    settings = [{"params": parameters, "lr": recipe.lr, "lr_scale": lr_scale, "weight_decay": decay, "always_adapt": matrix}
                for (lr_scale, decay, _, matrix), parameters in sorted(groups.items(), key=lambda item: item[0])]
    if recipe.optimizer == "lars":  # whose trust ratio MAE gives to all tensors of two or more dimensions, decayed or not
        optimizer: torch.optim.Optimizer = Lars(settings, lr=recipe.lr, momentum=0.9, trust_coeff=0.001)
    else:
        optimizer = torch.optim.AdamW(settings, lr=recipe.lr, betas=recipe.betas, fused=True)
    check_coverage(model, optimizer)
    return optimizer


def is_cross_modal_scale(name: str) -> bool:
    return name.endswith(".parametrizations.weight.0.scale")


def layer_of(name: str, depth: int) -> int:
    """The layer of a parameter by name, from 0 (tokenizer) to depth + 1 (norm, head, and a decoder)."""
    parts = name.removeprefix("encoder.").split(".")
    if parts[0] == "tokenizer":
        return 0
    return int(parts[1]) + 1 if parts[0] == "blocks" else depth + 1


def check_coverage(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Raise `ValueError` unless the optimizer holds every trainable parameter exactly once, and nothing else."""
    held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    trainable = {id(parameter): name for name, parameter in model.named_parameters() if parameter.requires_grad}
    missing = [name for identity, name in trainable.items() if held.count(identity) != 1]
    if missing:
        raise ValueError(f"trainable, but not in the optimizer exactly once: {missing}")
    if len(held) != len(trainable):
        raise ValueError(f"the optimizer holds {len(held) - len(trainable)} parameters that the model does not train")


def learning_rate(recipe: OptimRecipe, progress: float) -> float:
    """Linear warm-up from 0, then half a cosine down to `min_lr`; `progress` is in epochs."""
    if progress < recipe.warmup_epochs:
        return recipe.lr * progress / recipe.warmup_epochs
    fraction = (progress - recipe.warmup_epochs) / max(recipe.epochs - recipe.warmup_epochs, 1e-9)
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0)))


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def clip_gradients(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale gradients to a global norm of at most `max_norm`; returns the norm before.

    The sum over parameters is exactly rounded, so that parameters without gradient (a pathway held at scale 0) leave
    every other gradient bit for bit as it was.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = torch.stack(torch._foreach_norm(gradients)).double().tolist()
    total = math.sqrt(math.fsum(norm * norm for norm in norms))
    if total > max_norm:
        torch._foreach_mul_(gradients, max_norm / total)
    return total
