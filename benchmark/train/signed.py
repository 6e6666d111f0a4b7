"""Pathways and a loss in, what each layer's pathway is worth to it out: a look, which leaves no trace in the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from benchmark.model.pathway import Pathway
from benchmark.records.signed import SERIES, NonFinitePathways, Row, Signed, read_signed, write_signed
from benchmark.train.feed import Feed
from benchmark.train.loop import Loss, backward
from benchmark.train.optim import clear_gradients


class Watch:
    """Notes the pathways of one run, in a file of its working folder, so that a run that is continued keeps them."""

    def __init__(self, model: nn.Module, pathways: Sequence[Pathway], compute_loss: Loss, feed: Feed, initial: Path,
                 file: Path):
        """`initial` is a safetensors file of `Pathway.weights` at the start; what has no A of its shape is not watched."""
        self.model, self.compute_loss, self.feed, self.initial, self.file = model, compute_loss, feed, initial, file
        self.pathways = pathways
        self.watched = [pathway for pathway in pathways if (auxiliary := pathway.cross_modal.auxiliary) is not None
                        and auxiliary.shape == pathway.linear.weight.shape]
        layers = [f"blocks.{pathway.name}" for pathway in self.watched]
        known = read_signed(file)
        self.signed = known if known is not None and known.layers == layers else Signed(layers)

    def begin(self) -> dict[str, dict[str, float]]:
        """Gradient norms of every pathway by name before any step, of the first batch; what it shows is noted as epoch 0."""
        if not self.pathways:
            return {}
        self._look()
        norms = {pathway.name: pathway.gradients() for pathway in self.pathways}
        self._write(0)
        return norms

    def note(self, epoch: int) -> None:
        """Look at the first batch; of several processes the first notes."""
        if self.watched:
            self._look()
            self._write(epoch)

    def _look(self) -> None:
        """A backward pass in evaluation mode, as batch norms would count the batch"""
        self.model.eval()
        backward(self.compute_loss, next(self.feed.epoch(0, end=1)), team=self.feed.team)
        self.feed.team.complete_sums()

    def _write(self, epoch: int) -> None:
        if self.watched and not self.feed.team.rank:
            with safe_open(self.initial, "pt") as held:
                rows = [signed_row(pathway, {part: held.get_tensor(f"{pathway.name}.{part}")
                                             for part in ("weight", "auxiliary")}) for pathway in self.watched]
            self.signed.note(epoch, _by_series(rows))
            try:
                write_signed(self.file, self.signed)
            except NonFinitePathways as error:
                raise NonFinitePathways(self.feed.odd_input(0, 0, 1) or str(error)) from error
        clear_gradients(self.model)


def _by_series(rows: Sequence[Mapping[str, float | None]]) -> Row:
    return {name: [row[name] for row in rows] for name in SERIES}


@torch.no_grad()
def signed_row(pathway: Pathway, initial: Mapping[str, Tensor]) -> dict[str, float | None]:
    """The numbers of one layer after a backward pass, as `benchmark.records.signed` names them."""
    child = pathway.cross_modal
    assert child.auxiliary is not None
    gradient, auxiliary = pathway.linear.weight.grad, child.auxiliary.double().cpu()  # no G where nothing of it trains
    change = pathway.linear.weight.double().cpu() - initial["weight"].double()
    brought = (child.scale * child.auxiliary).double().cpu()
    moved = change.square().sum().item()
    return {"gradient_cosine": None if gradient is None else _cosine(gradient.double().cpu(), auxiliary),
            "scale": child.scale.mean().item(), "auxiliary_norm": auxiliary.norm().item(),
            "change_cosine": _cosine(initial["auxiliary"].double(), change),
            "through": (brought * change).sum().item() / moved if moved else None}


def _cosine(one: Tensor, other: Tensor) -> float | None:
    """None where a norm is 0"""
    size = one.norm() * other.norm()
    return ((one * other).sum() / size).item() if size else None
