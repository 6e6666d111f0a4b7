"""Blocks of a target and of an auxiliary in, the target's linear layers connected out (`benchmark.model.pathway`).

Everything is checked before anything is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from benchmark.model.pathway import CHILD, CrossModal, Gain, Pathway


def connect(target: nn.ModuleList, auxiliary: nn.ModuleList, *, layers: Sequence[str] | None = None,
            scale_init: float = 0.0, train_scale: bool = True, train_auxiliary: bool = True,
            scale_per_output: bool = False, join_bias: bool = False) -> list[Pathway]:
    """Join each linear layer of the `target` blocks with the same layer of the `auxiliary` blocks.

    `layers` names those to join inside a block, e.g. ("attn.qkv", "mlp.fc1"); None joins all. The auxiliary's weights are
    copied, and it may be thrown away afterwards. `scale_per_output` gives every output of a layer its own s; `join_bias`
    adds s times the auxiliary's bias to the bias, where both layers have one (the paper does not use it). What the target
    has frozen stays frozen. Raises `ValueError`, with nothing changed, when depth, head counts, layer names or shapes
    differ, when a layer is joined already, or when nothing, or no bias, would be joined.
    """
    if len(target) != len(auxiliary):
        raise ValueError(f"target has {len(target)} blocks but auxiliary has {len(auxiliary)}; pathways join blocks one to one")
    pairs: list[tuple[str, nn.Linear, nn.Linear]] = []
    for index, (block, other) in enumerate(zip(target, auxiliary, strict=True)):
        _check_heads(index, block, other)
        linears, others = dict(linear_layers(block)), dict(linear_layers(other))
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
        _check_free(name, linear)
    if not pairs:
        raise ValueError("no linear layer would be joined; name at least one of the layers of a block")
    if join_bias and all(linear.bias is None or other.bias is None for _, linear, other in pairs):
        raise ValueError("no bias would be joined: no layer has one on both sides")
    copies = [(other.weight.detach().to(linear.weight, copy=True),
               other.bias.detach().to(linear.bias, copy=True)
               if join_bias and linear.bias is not None and other.bias is not None else None)
              for _, linear, other in pairs]  # all of them before any layer changes: the auxiliary may be the target itself
    pathways = []
    for (name, linear, _), (weight, bias) in zip(pairs, copies, strict=True):
        scale = weight.new_full((len(weight), 1) if scale_per_output else (), scale_init)
        pathways.append(Pathway(name, linear))
        linear.add_module(CHILD, CrossModal(linear, weight, scale, train_scale, train_auxiliary, bias))
    return pathways


def connect_gain(target: nn.ModuleList) -> list[Pathway]:
    """Give every linear layer of the `target` blocks a trainable gain, which starts at 1; raises as `connect` does."""
    pathways = []
    linears = list(linear_layers(target))
    if not linears:
        raise ValueError("no linear layer would get a gain: the blocks have none")
    for name, linear in linears:
        _check_free(name, linear)
    for name, linear in linears:
        pathways.append(Pathway(name, linear))
        linear.add_module(CHILD, Gain(linear))
    return pathways


def linear_layers(block: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Names and linear layers inside a block"""
    return ((name, module) for name, module in block.named_modules() if isinstance(module, nn.Linear))


def _check_free(name: str, linear: nn.Linear) -> None:
    if hasattr(linear, CHILD):
        raise ValueError(f"layer {name} has a pathway already; merge it before connecting another")


def _check_heads(index: int, block: nn.Module, other: nn.Module) -> None:
    """Equal widths with unequal head counts join parts of heads that have nothing to do with each other."""
    counts = [getattr(getattr(side, "attn", None), "num_heads", None) for side in (block, other)]
    if counts[0] != counts[1]:
        raise ValueError(f"block {index}: target has {counts[0]} attention heads but auxiliary has {counts[1]}")
