"""A model and its arm in, the loss that they are trained by out: the task's, and what the arm adds to it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.data.examples import Batch
from benchmark.model.encoder import TransformerModel
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.recipes import TrainRecipe
from benchmark.train.team import ALONE, Team


def adds_loss(arm: Arm) -> bool:
    """Whether an arm adds a term to the loss"""
    return type(arm).further_loss is not Arm.further_loss


class WithTerm(nn.Module):
    """A model that gives its arm's term beside its logits: in one pass, of which a team's exchange of gradients has to know.

    Raises `ValueError` for a term that is no scalar in single precision.
    """

    def __init__(self, model: TransformerModel, arm: Arm):
        super().__init__()
        self.model, self.arm = model, arm

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        features = self.model.forward_features(batch)
        logits: Tensor = self.model.head(features, batch)
        term = self.arm.further_loss(self.model, batch, features, logits)
        if term.ndim or term.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"what arm {self.arm.name} adds to the loss is {tuple(term.shape)} of {term.dtype}; make it a "
                             "scalar, and single precision (`.float()`), as half of it overflows")
        return logits, term


def trained_as(model: TransformerModel, arm: Arm) -> nn.Module:
    """What is called in the place of `model` while it trains: itself, unless its arm adds to the loss."""
    return WithTerm(model, arm) if adds_loss(arm) else model


def loss_of(task: Task, joined: nn.Module, batch: Batch, recipe: TrainRecipe, team: Team = ALONE) -> Tensor:
    """The loss of a prepared micro-batch; `joined` is what `trained_as` gave, as the team joined it."""
    found = joined(batch)
    if isinstance(found, Tensor):
        return task.loss(*team.whole(found, batch), recipe)
    logits, term = found
    return task.loss(*team.whole(logits, batch), recipe) + team.mean(term)
