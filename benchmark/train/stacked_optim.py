"""Models of one structure in, AdamW over all of them at once out: one step is the same few calls however many they are.

All that K models train lies in one tensor (K, Q), and so do the moments, the gradients and the rates; a row is a model:

    [everything that no pathway is behind | biases b | weights W | auxiliaries A | their biases b_A | scales s]

The first three parts, with the sums M = W + s A and b + s b_A in their places, are what models compute with (K, P). Every
linear layer of the blocks has room for a pathway, whether or not one of the models has it: what a row computes does not
depend on its neighbours. A frozen number has the rate 0 and no gradient.

Shapes: K places, R outputs of all linear layers of the blocks, L of these layers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.model.connect import linear_layers
from benchmark.model.pathway import CHILD, Gain, connected, trained_parameters
from benchmark.spec.recipes import OptimRecipe
from benchmark.train.optim import Tune, build_optimizer

ALIGNED = 4  # numbers: a tensor begins at a multiple of 16 bytes
EPS = 1e-8  # as torch's AdamW


@dataclass(frozen=True)
class JoinedLayer:
    """A linear layer of the blocks, and its outputs among the R."""

    name: str
    first: int
    outputs: int
    biased: bool

    @property
    def rows(self) -> slice:
        """Its outputs"""
        return slice(self.first, self.first + self.outputs)


@dataclass
class Layout:
    """Where the parameters of a merged model lie in a row, and what is behind them."""

    shapes: dict[str, torch.Size] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)  # of all tensors and gaps, in order
    order: list[str | None] = field(default_factory=list)  # their names; None: a gap
    layers: list[JoinedLayer] = field(default_factory=list)
    widths: list[tuple[slice, int, int]] = field(default_factory=list)  # outputs, inputs, and where their weights start

    @classmethod
    def of(cls, base: nn.Module, blocks: nn.Module | None) -> Layout:
        """Of a model without pathways; `blocks` is the part that has room for them, None where nothing has."""
        layout = cls()
        named = {id(module): name for name, module in base.named_modules()}
        linears = [] if blocks is None else [(named[id(linear)], linear) for _, linear in linear_layers(blocks)]
        linears.sort(key=lambda pair: pair[1].in_features)
        joined = {f"{name}.{part}" for name, _ in linears for part in ("weight", "bias")}
        for name, parameter in base.named_parameters():
            if name not in joined:
                layout._add(name, parameter.shape)
                layout._gap()
        for name, linear in linears:
            if linear.bias is not None:
                layout._add(f"{name}.bias", linear.bias.shape)
            first = layout.layers[-1].rows.stop if layout.layers else 0
            layout.layers.append(JoinedLayer(name, first, linear.out_features, linear.bias is not None))
        layout._gap()
        by_name = {layer.name: layer for layer in layout.layers}
        for inputs, group in itertools.groupby(linears, key=lambda pair: pair[1].in_features):
            members = list(group)
            rows = slice(by_name[members[0][0]].first, by_name[members[-1][0]].rows.stop)
            layout.widths.append((rows, inputs, sum(layout.sizes)))
            for name, linear in members:
                layout._add(f"{name}.weight", linear.weight.shape)
            layout._gap()
        return layout

    def _add(self, name: str, shape: torch.Size) -> None:
        self.shapes[name], self.starts[name] = shape, sum(self.sizes)
        self.sizes.append(shape.numel())
        self.order.append(name)

    def _gap(self) -> None:
        if gap := -sum(self.sizes) % ALIGNED:
            self.sizes.append(gap)
            self.order.append(None)

    @property
    def computed(self) -> int:
        """P: numbers that a model computes with, gaps included"""
        return sum(self.sizes)

    @property
    def outputs(self) -> int:
        """R"""
        return self.layers[-1].rows.stop if self.layers else 0

    @property
    def weights(self) -> slice:
        """Where all W are, gaps included"""
        return slice(self.widths[0][2], self.computed) if self.widths else slice(self.computed, self.computed)

    @property
    def biased(self) -> list[int]:
        """The outputs that have a bias"""
        return [row for layer in self.layers if layer.biased for row in range(layer.first, layer.rows.stop)]

    @property
    def biases(self) -> slice:
        """Where all b are"""
        first = next((self.starts[f"{layer.name}.bias"] for layer in self.layers if layer.biased), self.computed)
        return slice(first, first + len(self.biased))

    @property
    def auxiliaries(self) -> slice:
        """Where all A are"""
        return slice(self.computed, self.computed + self.weights.stop - self.weights.start)

    @property
    def auxiliary_biases(self) -> slice:
        """Where all b_A are"""
        return slice(self.auxiliaries.stop, self.auxiliaries.stop + len(self.biased))

    @property
    def scales(self) -> slice:
        """Where all s are, one for every output: those of a layer with one scale are equal"""
        return slice(self.auxiliary_biases.stop, self.auxiliary_biases.stop + self.outputs)

    @property
    def total(self) -> int:
        """Q"""
        total: int = self.scales.stop + -self.scales.stop % ALIGNED
        return total

    def columns(self, name: str) -> slice:
        """Where a parameter of a model with pathways is, by its name there."""
        layer_name, behind, part = name.rpartition(f".{CHILD}.")
        if not behind:
            start = self.starts[name]
            return slice(start, start + self.shapes[name].numel())
        if part in ("weight", "bias"):
            return self.columns(f"{layer_name}.{part}")
        layer = next(layer for layer in self.layers if layer.name == layer_name)
        if part == "auxiliary":
            weight = self.columns(f"{layer_name}.weight")
            offset = self.auxiliaries.start - self.weights.start
            return slice(weight.start + offset, weight.stop + offset)
        if part == "auxiliary_bias":
            bias = self.columns(f"{layer_name}.bias")
            offset = self.auxiliary_biases.start - self.biases.start
            return slice(bias.start + offset, bias.stop + offset)
        return slice(self.scales.start + layer.first, self.scales.start + layer.rows.stop)

    def split(self, sums: Tensor) -> dict[str, Tensor]:
        """(K, P) -> the parameters of the merged models, each (K, ...)"""
        parts = zip(self.order, sums.split(self.sizes, 1), strict=True)  # whose gradient is one tensor, put together once
        return {name: part.reshape(len(sums), *self.shapes[name]) for name, part in parts if name is not None}

    def split_apart(self, values: Tensor) -> dict[str, Tensor]:
        """(K, Q) -> the same with W and A apart, as `ApartLinear` takes them"""
        parts = self.split(values[:, : self.computed])
        for layer in self.layers:
            behind = f"{layer.name}.{CHILD}."
            names = ("auxiliary", "scale", *(("auxiliary_bias",) if layer.biased else ()))
            held = {name: values[:, self.columns(behind + name)] for name in names}
            held["auxiliary"] = held["auxiliary"].reshape(len(values), *self.shapes[f"{layer.name}.weight"])
            parts |= {f"{layer.name}.{name}": value for name, value in held.items()}
        return parts

    def by_width(self, columns: Tensor, start: int) -> Iterator[tuple[slice, Tensor]]:
        """Weights of the layers of each width, (K, outputs, inputs), as views of `columns` (K, ...), whose first is `start`."""
        for rows, inputs, first in self.widths:
            length = (rows.stop - rows.start) * inputs
            view = columns.narrow(1, first - self.weights.start + start, length)
            yield rows, view.unflatten(1, (rows.stop - rows.start, inputs))


class StackedAdamW:
    """AdamW over the rows of a stack; see this module.

    `sums` (K, P) is what models compute with: a leaf, of whose gradient `step` makes those of all that is behind it.
    """

    def __init__(self, layout: Layout, models: Sequence[nn.Module], tunes: Sequence[Tune | None], size: int,
                 recipes: Sequence[OptimRecipe], depth: int, device: torch.device):
        self.layout, self.recipe = layout, recipes[0]
        first = next(iter(models[0].parameters()))

        def fresh(*shape: int, dtype: torch.dtype = first.dtype) -> Tensor:
            return torch.zeros(size, *shape, dtype=dtype)

        self.values, self.lr_scale, self.decay = (fresh(layout.total) for _ in range(3))
        self.trains = fresh(layout.total, dtype=torch.bool)
        self.tied, self.gains = (fresh(layout.outputs, dtype=torch.bool) for _ in range(2))
        for place, (model, recipe, tune) in enumerate(zip(models, recipes, tunes, strict=True)):
            self._take(place, build_optimizer(model, recipe, depth, tune), model)
        for held in (self.values, self.lr_scale, self.decay, self.trains, self.tied, self.gains):
            held[len(models) :] = held[0]  # places that no model takes
        for name in ("values", "lr_scale", "decay", "trains", "tied", "gains"):
            setattr(self, name, getattr(self, name).to(device))
        self.first, self.second, self.gradients = (torch.zeros_like(self.values) for _ in range(3))
        self.has_gains, self.frozen = bool(self.gains.any()), ~self.trains
        self.steps = 0
        self.rates = torch.zeros(3, dtype=first.dtype, device=device)  # see `set_rates`
        longest = max((layer.outputs for layer in layout.layers), default=0)
        places = [[layer.first + row if row < layer.outputs else layout.outputs for row in range(longest)]
                  for layer in layout.layers]
        # (L, most outputs of one), padded by a place after the last
        self.outputs_of = torch.tensor(places, dtype=torch.int64, device=device).reshape(-1, max(longest, 1))
        self.layer_of = torch.tensor([place for place, layer in enumerate(layout.layers) for _ in range(layer.outputs)],
                                     dtype=torch.int64, device=device)  # (R,)
        leads = torch.zeros(layout.outputs, dtype=torch.bool, device=device)
        leads[torch.tensor([layer.first for layer in layout.layers], dtype=torch.int64, device=device)] = True
        self.counted = self.trains[:, layout.scales] & (leads | ~self.tied)  # of equal scales, the first
        self.biased = torch.tensor(layout.biased, dtype=torch.int64, device=device)
        self.sums = torch.zeros(size, layout.computed, dtype=first.dtype, device=device)
        self.write_sums()
        self.sums.requires_grad_(True)

    def _take(self, place: int, alone: torch.optim.Optimizer, model: nn.Module) -> None:
        """Put a model, and the rates that its optimizer `alone` would have, in a row."""
        groups = {id(parameter): group for group in alone.param_groups for parameter in group["params"]}
        for name, parameter in trained_parameters(model, trainable=False):
            columns = self.layout.columns(name)
            self.values[place, columns] = parameter.detach().flatten().cpu().expand(columns.stop - columns.start)
            if parameter.requires_grad:
                group = groups[id(parameter)]
                self.trains[place, columns] = True
                self.lr_scale[place, columns] = group["lr_scale"]
                self.decay[place, columns] = group["lr_scale"] * group["weight_decay"]
        names = {id(child): name.removesuffix(f".{CHILD}") for name, child in model.named_modules()}
        self.tied[place] = True
        for child in connected(model):
            layer = next(layer for layer in self.layout.layers if layer.name == names[id(child)])
            self.tied[place, layer.rows] = not child.scale.ndim
            self.gains[place, layer.rows] = isinstance(child, Gain)


    @property
    def scales(self) -> Tensor:
        """(K, R)"""
        return self.values[:, self.layout.scales]

    def auxiliaries(self) -> Tensor:
        """(K, ...): what the scales stand before: A, or W where a gain does"""
        auxiliaries, weights = self.values[:, self.layout.auxiliaries], self.values[:, self.layout.weights]
        if not self.has_gains:
            return auxiliaries
        chosen = torch.empty_like(auxiliaries)
        for (rows, into), (_, one), (_, other) in zip(*(self.layout.by_width(each, 0) for each in (
                chosen, weights, auxiliaries)), strict=True):
            torch.where(self.gains[:, rows, None], one, other, out=into)
        return chosen

    @torch.no_grad()
    def write_sums(self) -> None:
        """Write what models compute with."""
        layout, sums = self.layout, self.sums.detach()
        sums.copy_(self.values[:, : layout.computed])
        auxiliaries = self.auxiliaries()
        for (rows, summed), (_, auxiliary) in zip(layout.by_width(sums, layout.weights.start),
                                                  layout.by_width(auxiliaries, 0), strict=True):
            summed.add_(auxiliary * self.scales[:, rows, None])
        if len(self.biased):
            sums[:, layout.biases].add_(self.values[:, layout.auxiliary_biases]
                                        * self.scales.index_select(1, self.biased))

    @torch.no_grad()
    def pull_back(self, gradient: Tensor) -> None:
        """Make the gradients of all that trains of that of the sums (K, P)."""
        layout, out = self.layout, self.gradients
        out.zero_()
        out[:, : layout.computed].copy_(gradient)
        scales, auxiliaries = self.scales, self.auxiliaries()
        inner = torch.zeros_like(scales)
        parts = zip(layout.by_width(gradient, layout.weights.start), layout.by_width(out, layout.weights.start),
                    layout.by_width(out, layout.auxiliaries.start), layout.by_width(auxiliaries, 0), strict=True)
        for (rows, of_sum), (_, of_weight), (_, of_auxiliary), (_, auxiliary) in parts:
            scale = scales[:, rows, None]
            torch.mul(of_sum, scale, out=of_auxiliary)
            if self.has_gains:
                of_weight.add_(torch.where(self.gains[:, rows, None], of_auxiliary, 0.0))
            inner[:, rows] = (of_sum * auxiliary).sum(2)
        if len(self.biased):
            of_bias = gradient[:, layout.biases]
            torch.mul(of_bias, scales.index_select(1, self.biased), out=out[:, layout.auxiliary_biases])
            joined = inner.index_select(1, self.biased) + of_bias * self.values[:, layout.auxiliary_biases]
            inner.index_copy_(1, self.biased, joined)
        if layout.layers:
            shared = self.by_layer(inner).index_select(1, self.layer_of)
            out[:, layout.scales] = torch.where(self.tied, shared, inner)
        out.masked_fill_(self.frozen, 0.0)

    @torch.no_grad()
    def clip(self, max_norm: float) -> None:
        """Scale the gradients of every model to a norm of at most `max_norm`."""
        of_scales = torch.where(self.counted, self.gradients[:, self.layout.scales], 0.0)
        others = torch.linalg.vector_norm(self.gradients[:, : self.layout.scales.start], dim=1)
        norms = torch.hypot(others, torch.linalg.vector_norm(of_scales, dim=1)) if self.layout.layers else others
        self.gradients.mul_(torch.where(norms > max_norm, max_norm / norms, 1.0)[:, None])

    def set_rates(self, lr: float) -> None:
        """Count a step, and write its rates where `update` reads them."""
        self.steps += 1
        beta1, beta2 = self.recipe.betas
        rates = [lr, lr / (1 - beta1**self.steps), math.sqrt(1 - beta2**self.steps)]
        self.rates.copy_(torch.tensor(rates, dtype=self.rates.dtype))

    @torch.no_grad()
    def update(self) -> None:
        """Step by the gradients, and write the sums anew. One operation rounds at a time, so that the bits of a row do not
        depend on where it is."""
        beta1, beta2 = self.recipe.betas
        lr, rate, root = self.rates.unbind()
        change = (self.gradients - self.first).mul_(1 - beta1)
        self.first.add_(change)
        torch.mul(self.gradients, self.gradients, out=change)
        self.second.mul_(beta2).add_(change.mul_(1 - beta2))
        torch.mul(self.decay, lr, out=change)
        self.values.mul_(change.neg_().add_(1))
        torch.sqrt(self.second, out=change)
        torch.div(self.first, change.div_(root).add_(EPS), out=change)
        self.values.sub_(change.mul_(self.lr_scale).mul_(rate))
        self.write_sums()

    def by_layer(self, of_outputs: Tensor) -> Tensor:
        """(K, R) -> (K, L), summed"""
        padded = torch.cat([of_outputs, of_outputs.new_zeros(len(of_outputs), 1)], 1)
        return padded.index_select(1, self.outputs_of.flatten()).view(len(padded), *self.outputs_of.shape).sum(2)

    def state_dict(self) -> dict[str, Any]:
        """All that a step changes"""
        return {"values": self.values, "first": self.first, "second": self.second, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        for name in ("values", "first", "second"):
            getattr(self, name).copy_(state[name])
        self.steps = state["steps"]
        self.write_sums()
