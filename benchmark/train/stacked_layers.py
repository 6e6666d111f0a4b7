"""The pathways of all models of a stack in, what records say of each layer out, in a few calls for all.

Shapes: K places, R outputs of all linear layers of the blocks, L of these layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmark.data.examples import Examples
from benchmark.records.record import Layer
from benchmark.spec.contracts import Task
from benchmark.spec.runspec import RunSpec
from benchmark.train.evaluate import logits_of
from benchmark.train.members import Member
from benchmark.train.stacked_model import StackedModel, apart_copy
from benchmark.train.stacked_optim import StackedAdamW


class LayersOf:
    """What is to be said of pathways: W, A and s now, beside W and A as they were."""

    def __init__(self, optimizer: StackedAdamW, members: Sequence[Member]):
        self.optimizer, self.members = optimizer, members
        self.initial = optimizer.values.detach().to("cpu", copy=True)
        names = {layer.name: place for place, layer in enumerate(optimizer.layout.layers)}
        self.joined = [[names[f"blocks.{name}"] for name in member.pathways] for member in members]
        self.gradients: dict[str, list[list[float]]] = {}
        self.counts = torch.tensor([float(layer.outputs) for layer in optimizer.layout.layers],
                                   dtype=optimizer.values.dtype, device=optimizer.values.device)

    def mean_scales(self) -> dict[int, float]:
        """By place, the mean |s| over its pathways; none where it has none"""
        means = (self.optimizer.by_layer(self.optimizer.scales.abs()) / self.counts).tolist()
        return {place: sum(means[place][layer] for layer in joined) / len(joined)
                for place, joined in enumerate(self.joined) if joined}

    def inner(self, one: Tensor, other: Tensor) -> Tensor:
        """(K, ...) numbers that lie as the weights of all layers do -> (K, L): the inner products of each layer's"""
        rows = one.new_zeros(len(one), self.optimizer.layout.outputs)
        pairs = zip(self.optimizer.layout.by_width(one, 0), self.optimizer.layout.by_width(other, 0), strict=True)
        for (outputs, mine), (_, theirs) in pairs:
            rows[:, outputs] = (mine * theirs).sum(2)
        return self.optimizer.by_layer(rows)

    def norms(self, weights: Tensor) -> list[list[float]]:
        """(K, L), of every layer's"""
        norms: list[list[float]] = self.inner(weights, weights).sqrt().tolist()
        return norms

    def note_gradients(self) -> None:
        """Norms of the gradients that the optimizer holds, of every layer."""
        layout, gradients = self.optimizer.layout, self.optimizer.gradients
        of_scales = torch.where(self.optimizer.counted, gradients[:, layout.scales], 0.0).square()
        self.gradients = {"weight": self.norms(gradients[:, layout.weights]),
                          "auxiliary": self.norms(gradients[:, layout.auxiliaries]),
                          "scale": self.optimizer.by_layer(of_scales).sqrt().tolist()}

    def trains(self) -> dict[str, list[list[bool]]]:
        """By part, whether that of each layer trains, (K, L)"""
        layout, trains = self.optimizer.layout, self.optimizer.trains.cpu()
        return {part: [[bool(row[layout.columns(f"{layer.name}.pathway.{part}").start]) for layer in layout.layers]
                       for row in trains] for part in ("weight", "auxiliary", "scale")}

    @torch.no_grad()
    def describe(self) -> dict[int, list[Layer]]:
        """By place, every pathway after training"""
        own = self.optimizer
        layout, device = own.layout, own.values.device
        weights, auxiliaries = layout.weights, layout.auxiliaries
        scaled = own.values[:, auxiliaries].clone()
        for outputs, part in layout.by_width(scaled, 0):
            part.mul_(own.scales[:, outputs, None])
        changes = self.norms(own.sums.detach()[:, weights] - self.initial[:, weights].to(device))
        of_scaled, means = self.norms(scaled), (own.by_layer(own.scales) / self.counts).tolist()
        now, then = own.values[:, auxiliaries].double(), self.initial[:, auxiliaries].to(device).double()
        sizes = self.inner(now, now) * self.inner(then, then)
        cosines = torch.where(sizes > 0, self.inner(now, then) / sizes.sqrt(), torch.nan).tolist()
        trains = self.trains()
        found: dict[int, list[Layer]] = {}
        for place, (member, joined) in enumerate(zip(self.members, self.joined, strict=True)):
            found[place] = []
            for layer, has_auxiliary in zip(joined, member.pathways.values(), strict=True):
                change, cosine = changes[place][layer], cosines[place][layer]
                found[place].append(Layer(
                    name=layout.layers[layer].name, scale=means[place][layer],
                    update_share=of_scaled[place][layer] / change if has_auxiliary and change else None,
                    auxiliary_cosine=cosine if has_auxiliary and not math.isnan(cosine) else None,
                    initial_gradient={part: norms[place][layer] for part, norms in self.gradients.items()
                                      if trains[part][place][layer]}))
        return found


@torch.inference_mode()
def merge_differences(merged: StackedModel, optimizer: StackedAdamW, task: Task, examples: Examples, spec: RunSpec,
                      device: torch.device) -> list[float]:
    """The largest difference of each model's test logits from those that it has with W and A apart, over the largest."""
    values = optimizer.values.clone()
    values[:, optimizer.layout.auxiliaries] = optimizer.auxiliaries()
    names = [layer.name for layer in optimizer.layout.layers]
    apart = StackedModel(apart_copy(merged.base, names), merged.buffers, optimizer.layout.split_apart, values)
    before, after = (logits_of(model, task, examples, spec, device, axis=1).flatten(1) for model in (apart, merged))
    differences: list[float] = ((after - before).abs().amax(1) / before.abs().amax(1).clamp_min(1e-12)).tolist()
    return differences
