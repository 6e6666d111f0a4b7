"""Two transformers in, one out: cross-modal re-parameterization of linear layers (Zhang et al., CVPR 2024, section 3.2).

Every linear layer of the target's blocks computes y = x (W + s A)^T + b, where A starts as the weight of the same layer
of a transformer trained on another modality, and s, the cross-modal scale, is one number a layer that starts at 0.

While it trains, a connected layer is a plain `nn.Linear` over the sum M = W + s A, so that forward, backward and the
exchange of gradients cost what the plain model's cost. W, A and s are kept in its child `pathway`. Once per optimizer
step the gradient G of the sum is pulled back to them, dW = G, dA = s G, ds = <G, A>, and the sum is written anew. After
training the child is dropped: the merged model is a plain one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.records.record import Layer

CHILD = "pathway"  # name of the child that holds what a connected layer's sum is made of


class CrossModal(nn.Module):
    """What stands behind the sum M = W + s A of a linear layer, and b + s b_A where the bias is joined.

    `weight` (W) and `auxiliary` (A) are (out_features, in_features), `scale` (s) is () for a layer or (out_features, 1)
    where every output has its own. What `requires_grad` trains. Source: equation 6 of the paper; `multimodal_pathway.py`
    of its code, lines 13-23.
    """

    def __init__(self, linear: nn.Linear, auxiliary: Tensor, scale: Tensor, train_scale: bool, train_auxiliary: bool,
                 auxiliary_bias: Tensor | None = None):
        super().__init__()
        self._linear = (linear,)  # in a tuple, as a layer is no part of its own child
        self.weight = _copy(linear.weight)
        self.auxiliary = nn.Parameter(auxiliary, requires_grad=train_auxiliary)
        self.scale = nn.Parameter(scale, requires_grad=train_scale)
        self.joins_bias = auxiliary_bias is not None
        if auxiliary_bias is not None:
            self.bias = _copy(linear.bias)
            self.auxiliary_bias = nn.Parameter(auxiliary_bias, requires_grad=train_auxiliary)
        self.refresh()

    @property
    def linear(self) -> nn.Linear:
        """The layer that computes with the sum."""
        return self._linear[0]

    def sums(self) -> list[Tensor]:
        """Parameters of the layer that this stands behind: they take gradients, and no optimizer steps them."""
        return [self.linear.weight, self.linear.bias] if self.joins_bias else [self.linear.weight]

    @torch.no_grad()
    def refresh(self) -> None:
        """Write the sum; it takes a gradient where anything behind it trains."""
        self.write_sum()
        if self.joins_bias:
            self.write_bias()
        trains = any(parameter.requires_grad for parameter in self.parameters())
        for merged in self.sums():
            merged.requires_grad_(trains)

    def write_sum(self, rows: slice = slice(None)) -> None:
        """The weight's sum, at `rows` of its outputs."""
        torch.addcmul(self.weight[rows], _rows(self.scale, rows), self.auxiliary[rows], out=self.linear.weight.data[rows])

    def write_bias(self) -> None:
        """The sum of joined biases."""
        torch.addcmul(self.bias, self.scale.view(-1), self.auxiliary_bias, out=self.linear.bias.data)

    def apart(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features): x W^T + s (x A^T) + b, without the sum of weights"""
        scale, bias = self.scale.view(-1), self.bias if self.joins_bias else self.linear.bias
        joined = nn.functional.linear(x, self.auxiliary, self.auxiliary_bias if self.joins_bias else None)
        return nn.functional.linear(x, self.weight, bias) + scale * joined

    def factors(self, scale: Tensor) -> list[tuple[nn.Parameter, Tensor | None]]:
        """The weights that train, each with what makes its gradient of G where the scale is `scale`; None for 1."""
        pairs = [(self.weight, None), (self.auxiliary, scale)]
        return [(parameter, factor) for parameter, factor in pairs if parameter.requires_grad]

    @torch.no_grad()
    def pull_back(self) -> None:
        """Give the scale, and joined biases, their gradients, unless they hold them already (clipped, perhaps)."""
        if self.scale.requires_grad and self.scale.grad is None:
            gradient = sum_gradient(self.linear.weight)
            if self.scale.ndim:
                inner = torch.linalg.vecdot(gradient, self.auxiliary)
            else:
                inner = torch.dot(gradient.flatten(), self.auxiliary.flatten())
            if self.joins_bias:
                products = sum_gradient(self.linear.bias) * self.auxiliary_bias
                inner = inner + (products if self.scale.ndim else products.sum())
            self.scale.grad = inner.view_as(self.scale)
        if self.joins_bias and self.linear.bias.requires_grad:
            gradient = sum_gradient(self.linear.bias)
            if self.bias.requires_grad:
                self.bias.grad = gradient
            if self.auxiliary_bias.requires_grad and self.auxiliary_bias.grad is None:
                self.auxiliary_bias.grad = self.scale.view(-1) * gradient


class Gain(nn.Module):
    """What stands behind W (1 + s): one more number a layer, and nothing of any other model. A control."""

    auxiliary = None

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self._linear = (linear,)
        self.weight = _copy(linear.weight)
        self.scale = nn.Parameter(linear.weight.detach().new_zeros(()))
        self.refresh()

    @property
    def linear(self) -> nn.Linear:
        """The layer that computes with the product."""
        return self._linear[0]

    def sums(self) -> list[Tensor]:
        """As of `CrossModal`."""
        return [self.linear.weight]

    @torch.no_grad()
    def refresh(self) -> None:
        """Write the product."""
        self.write_sum()
        self.linear.weight.requires_grad_(True)

    def write_sum(self, rows: slice = slice(None)) -> None:
        """The product, at `rows` of its outputs."""
        torch.mul(self.weight[rows], 1 + self.scale, out=self.linear.weight.data[rows])

    def apart(self, x: Tensor) -> Tensor:
        """As of `CrossModal`."""
        scaled = nn.functional.linear(x, self.weight) * (1 + self.scale)
        return scaled if self.linear.bias is None else scaled + self.linear.bias

    def factors(self, scale: Tensor) -> list[tuple[nn.Parameter, Tensor | None]]:
        """As of `CrossModal`."""
        return [(self.weight, 1 + scale)] if self.weight.requires_grad else []

    @torch.no_grad()
    def pull_back(self) -> None:
        """Give the scale its gradient, <G, W>."""
        if self.scale.grad is None:
            self.scale.grad = torch.dot(sum_gradient(self.linear.weight).flatten(), self.weight.flatten())


@dataclass(frozen=True)
class Pathway:
    """One connected layer."""

    name: str  # within the blocks, e.g. "0.attn.qkv"
    linear: nn.Linear

    @property
    def cross_modal(self) -> CrossModal | Gain:
        return getattr(self.linear, CHILD)  # type: ignore[no-any-return]

    def mean_scale(self) -> float:
        """Mean |s| over the outputs of the layer"""
        return self.cross_modal.scale.abs().mean().item()

    def freeze_auxiliary(self) -> None:
        """Leave the scale as the only thing that trains."""
        for name, parameter in self.cross_modal.named_parameters():
            if name.startswith("auxiliary"):
                parameter.requires_grad_(False)
        self.cross_modal.refresh()

    def gradients(self) -> dict[str, float]:
        """Norms of the gradients of W, s and A after a backward pass, of those that train."""
        child = self.cross_modal
        child.pull_back()
        norms = dict(zip((name for name, _ in self._trained()), weight_norms([child]), strict=True))
        return norms if child.scale.grad is None else {**norms, "scale": child.scale.grad.norm().item()}

    def _trained(self) -> list[tuple[str, nn.Parameter]]:
        held = {id(parameter): name for name, parameter in self.cross_modal.named_parameters()}
        return [(held[id(parameter)], parameter) for parameter, _ in self.cross_modal.factors(self.cross_modal.scale)]

    def weights(self) -> dict[str, Tensor]:
        """W and A (a gain has none) as they are: what `describe` needs to know of the start."""
        child = self.cross_modal
        pairs = {"weight": child.weight, "auxiliary": child.auxiliary}
        return {name: value.detach() for name, value in pairs.items() if value is not None}

    @torch.no_grad()
    def describe(self, initial: Mapping[str, Tensor]) -> Layer:
        """Scale and diagnostics of a layer whose `weights` were `initial` before it was trained."""
        share = cosine = None
        scale, auxiliary = self.cross_modal.scale, self.cross_modal.auxiliary
        if auxiliary is not None:
            change = (self.linear.weight - initial["weight"].to(auxiliary)).norm().item()
            share = (scale * auxiliary).norm().item() / change if change else None
            one, other = (x.flatten().double() for x in (auxiliary, initial["auxiliary"].to(auxiliary.device)))
            if one.any() and other.any():
                cosine = nn.functional.cosine_similarity(one, other, dim=0).item()
        return Layer(name=f"blocks.{self.name}", scale=scale.mean().item(), update_share=share, auxiliary_cosine=cosine)


def connected(module: nn.Module) -> list[CrossModal | Gain]:
    """What stands behind every connected layer inside `module`"""
    return [child for child in module.modules() if isinstance(child, (CrossModal, Gain))]


def trained_parameters(module: nn.Module, trainable: bool = True) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and parameters that training may alter, or all where not `trainable`: W, A and s in place of their sum."""
    sums = {id(merged) for child in connected(module) for merged in child.sums()}
    return ((name, parameter) for name, parameter in module.named_parameters()
            if id(parameter) not in sums and (parameter.requires_grad or not trainable))


@contextmanager
def apart(module: nn.Module) -> Iterator[None]:
    """Let connected layers inside `module` compute with W and A apart: what the merged model must agree with."""
    hooks = [child.linear.register_forward_hook(lambda layer, inputs, output: getattr(layer, CHILD).apart(inputs[0]))
             for child in connected(module)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def weight_norms(pathways: Sequence[CrossModal | Gain]) -> list[float]:
    """Norms of the gradients that `factors` of each describe, without those gradients; a device is waited for once."""
    norms = []
    for pathway in pathways:
        whole = None  # the norm of G as clipping a plain layer would compute it
        for _, factor in pathway.factors(pathway.scale.detach()):
            gradient = sum_gradient(pathway.linear.weight)
            if factor is not None and factor.ndim:
                norms.append((factor.view(-1) * gradient.norm(dim=1)).norm().double())
                continue
            whole = torch._foreach_norm([gradient])[0].double() if whole is None else whole
            norms.append(whole if factor is None else whole * factor.double().abs())
    return torch.stack(norms).tolist() if norms else []


def sum_gradient(merged: Tensor) -> Tensor:
    """The gradient of a sum; raises `RuntimeError` before any backward pass."""
    if merged.grad is None:
        raise RuntimeError("a connected layer has no gradient yet; run a backward pass before an optimizer step")
    return merged.grad


def is_scale(name: str) -> bool:
    """Whether a parameter of this name is a cross-modal scale"""
    return name.endswith(f".{CHILD}.scale")


def is_auxiliary(name: str) -> bool:
    """Whether a parameter of this name came from an auxiliary"""
    return f".{CHILD}.auxiliary" in name


def not_exchanged(module: nn.Module) -> list[str]:
    """Names of what `DistributedDataParallel` is to ignore inside `module`: W, A and s, as it exchanges the gradients of the
    sums, from which every process makes theirs; and sums over `stepped_without_sum`.
    """
    ignored = {id(parameter) for child in connected(module) for parameter in child.parameters()}
    ignored |= {id(merged) for child in stepped_without_sum(module) for merged in child.sums()}
    return [name for name, parameter in module.named_parameters(remove_duplicate=False) if id(parameter) in ignored]


def stepped_without_sum(module: nn.Module) -> list[CrossModal | Gain]:
    """What stands behind the connected layers in which no weight trains that is stepped by G: a scale alone, say.

    The gradients of a `pull_back` are all that their step needs, and as they are linear in G, the sum of those of several
    processes is that of the summed G.
    """
    return [child for child in connected(module) if not child.factors(child.scale)
            and any(parameter.requires_grad for parameter in child.parameters())]


def merge(module: nn.Module) -> None:
    """Keep of every connected layer inside `module` the sum: it is a plain `nn.Linear` again."""
    for child in connected(module):
        child.refresh()
        delattr(child.linear, CHILD)


def _rows(values: Tensor, rows: slice) -> Tensor:
    """One value of each row at `rows`, or the one value of all"""
    return values[rows] if values.ndim else values


def _copy(parameter: Tensor) -> nn.Parameter:
    return nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad)
