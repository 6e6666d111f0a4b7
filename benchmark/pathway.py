"""Two transformers in, one out: cross-modal re-parameterization of linear layers (Zhang et al., CVPR 2024, section 3.2).

Every linear layer of the target's blocks computes y = x (W + s A)^T + b, where A starts as the weight of the same layer
of a transformer trained on another modality, and s, the cross-modal scale, is one number a layer that starts at 0.
After training the sum is folded into one weight: the merged model is a plain one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from benchmark.record import Layer


class CrossModal(nn.Module):
    """W -> W + s A. Source: equation 6 of the paper; `multimodal_pathway.py` of its code, lines 13-23.

    `scale` is () for a layer, or (out_features, 1) where every output has its own.
    """

    def __init__(self, auxiliary: Tensor, scale: nn.Parameter, train_auxiliary: bool):
        super().__init__()
        self.auxiliary = nn.Parameter(auxiliary, requires_grad=train_auxiliary)
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """(out_features, in_features) -> (out_features, in_features); biases (out_features,) alike"""
        return weight + self.scale.view(-1, *[1] * (weight.ndim - 1)) * self.auxiliary


class Gain(nn.Module):
    """W -> W (1 + s): one more number a layer, and nothing of any other model. A control."""

    auxiliary = None

    def __init__(self, scale: nn.Parameter):
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """(out_features, in_features) -> (out_features, in_features)"""
        return weight * (1 + self.scale)


@dataclass(frozen=True)
class Pathway:
    """One connected layer, with the weights that it started from (for diagnostics)."""

    name: str  # within the blocks, e.g. "0.attn.qkv"
    linear: nn.Linear
    initial_weight: Tensor
    initial_auxiliary: Tensor | None = None  # None: a gain

    @property
    def cross_modal(self) -> CrossModal | Gain:
        return self.linear.parametrizations.weight[0]  # type: ignore[union-attr, index, return-value]

    def mean_scale(self) -> float:
        """Mean |s| over the outputs of the layer"""
        return self.cross_modal.scale.abs().mean().item()

    def freeze_auxiliary(self) -> None:
        """Leave the scale as the only thing that trains."""
        for name, parameter in self.linear.named_parameters():
            if name.endswith(".auxiliary"):
                parameter.requires_grad_(False)

    def gradients(self) -> dict[str, float]:
        """Norms of the gradients that W, s and A hold now, of those that hold one."""
        weight = self.linear.parametrizations.weight.original  # type: ignore[union-attr]
        held = {"weight": weight, "scale": self.cross_modal.scale, "auxiliary": self.cross_modal.auxiliary}
        return {name: value.grad.norm().item() for name, value in held.items()
                if isinstance(value, Tensor) and value.grad is not None}

    def describe(self) -> Layer:
        """Scale and diagnostics, from the parametrized layer."""
        share = cosine = None
        with torch.no_grad():
            scale, auxiliary = self.cross_modal.scale, self.cross_modal.auxiliary
            if auxiliary is not None and self.initial_auxiliary is not None:
                change = (self.linear.weight - self.initial_weight.to(auxiliary)).norm().item()
                share = (scale * auxiliary).norm().item() / change if change else None
                one, other = (x.flatten().double() for x in (auxiliary, self.initial_auxiliary.to(auxiliary.device)))
                if one.any() and other.any():
                    cosine = nn.functional.cosine_similarity(one, other, dim=0).item()
        return Layer(name=f"blocks.{self.name}", scale=scale.mean().item(), update_share=share, auxiliary_cosine=cosine)


def connect(target: nn.ModuleList, auxiliary: nn.ModuleList, *, layers: Sequence[str] | None = None,
            scale_init: float = 0.0, train_scale: bool = True, train_auxiliary: bool = True,
            scale_per_output: bool = False, join_bias: bool = False) -> list[Pathway]:
    """Join each linear layer of the `target` blocks with the same layer of the `auxiliary` blocks.

    `layers` names those to join inside a block, e.g. ("attn.qkv", "mlp.fc1"); None joins all. The auxiliary's weights are
    copied, and it may be thrown away afterwards. `scale_per_output` gives every output of a layer its own s; `join_bias`
    adds s times the auxiliary's bias to the bias (the paper does not use it). Raises `ValueError`, with nothing changed, when
    depth, head counts, layer names or shapes differ, when a layer is joined already, or when nothing would be joined.
    """
    if len(target) != len(auxiliary):
        raise ValueError(f"target has {len(target)} blocks but auxiliary has {len(auxiliary)}; pathways join blocks one to one")
    pairs: list[tuple[str, nn.Linear, nn.Linear]] = []
    for index, (block, other) in enumerate(zip(target, auxiliary, strict=True)):
        _check_heads(index, block, other)
        linears, others = dict(_linear_layers(block)), dict(_linear_layers(other))
        if linears.keys() != others.keys():
            raise ValueError(f"block {index}: target has linear layers {sorted(linears)}, auxiliary has {sorted(others)}")
        unknown = set(layers or ()) - linears.keys()
        if unknown:
            raise ValueError(f"block {index} has no linear layer {sorted(unknown)}; it has {sorted(linears)}")
        pairs += [(f"{index}.{name}", linear, others[name]) for name, linear in linears.items()
                  if layers is None or name in layers]
    for name, linear, other in pairs:
        if linear.weight.shape != other.weight.shape:
            raise ValueError(f"layer {name}: target weight is {tuple(linear.weight.shape)}, "
                             f"auxiliary weight is {tuple(other.weight.shape)}; pathways join equal shapes")
        if parametrize.is_parametrized(linear, "weight"):
            raise ValueError(f"layer {name} has a pathway already; merge it before connecting another")
    if not pairs:
        raise ValueError("no linear layer would be joined; name at least one of the layers of a block")
    pathways = []
    for name, linear, other in pairs:
        copy = other.weight.detach().to(linear.weight, copy=True)
        scale = nn.Parameter(copy.new_full((len(copy), 1) if scale_per_output else (), scale_init), requires_grad=train_scale)
        pathway = Pathway(name, linear, linear.weight.detach().cpu().clone(), copy.cpu().clone())
        parametrize.register_parametrization(linear, "weight", CrossModal(copy, scale, train_auxiliary))
        if join_bias and linear.bias is not None and other.bias is not None:
            bias = other.bias.detach().to(linear.bias, copy=True)
            parametrize.register_parametrization(linear, "bias", CrossModal(bias, scale, train_auxiliary))
        pathways.append(pathway)
    return pathways


def connect_gain(target: nn.ModuleList) -> list[Pathway]:
    """Give every linear layer of the `target` blocks a trainable gain, which starts at 1."""
    pathways = []
    for index, block in enumerate(target):
        for name, linear in list(_linear_layers(block)):
            pathways.append(Pathway(f"{index}.{name}", linear, linear.weight.detach().cpu().clone()))
            parametrize.register_parametrization(linear, "weight", Gain(nn.Parameter(linear.weight.new_zeros(()))))
    return pathways


def merge(module: nn.Module) -> None:
    """Fold every pathway inside `module` into its layer: W becomes W + s A, and the layer a plain `nn.Linear` again."""
    for child in module.modules():
        if isinstance(child, nn.Linear) and parametrize.is_parametrized(child):
            for name in list(child.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(child, name, leave_parametrized=True)


def _linear_layers(block: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    return ((name, module) for name, module in block.named_modules() if isinstance(module, nn.Linear))


def _check_heads(index: int, block: nn.Module, other: nn.Module) -> None:
    """Equal widths with unequal head counts join parts of heads that have nothing to do with each other."""
    counts = [getattr(getattr(side, "attn", None), "num_heads", None) for side in (block, other)]
    if counts[0] != counts[1]:
        raise ValueError(f"block {index}: target has {counts[0]} attention heads but auxiliary has {counts[1]}")
