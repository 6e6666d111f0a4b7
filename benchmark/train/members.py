"""Runs that are to be trained in a stack: what each is, and its model as it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.data.examples import Examples
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.runspec import Pretrained, RunSpec
from benchmark.train import setup
from benchmark.train.evaluate import logits_of
from benchmark.train.optim import Tune
from benchmark.train.plain import merges_itself
from benchmark.train.stacked_model import StackedModel, structure
from benchmark.train.terms import adds_loss

SAME = 1e-2  # of the largest logit: rounding is less, though GPUs cut what convolutions multiply to 10 bits


@dataclass(eq=False)
class Member:
    """A run of a stack. `build` makes its model, which `forget` drops once its weights are in the stack."""

    spec: RunSpec
    task: Task
    arm: Arm | None
    work: Path
    starts: Mapping[str, Pretrained]
    model: Any = field(init=False, default=None)
    pathways: dict[str, bool] = field(init=False, default_factory=dict)  # names in order; whether each has an auxiliary
    loading: dict[str, list[str]] = field(init=False, default_factory=dict)
    parameters: dict[str, int] = field(init=False, default_factory=dict)

    @property
    def tune(self) -> Tune | None:
        """The arm's"""
        return None if self.arm is None else self.arm.tune

    def build(self) -> None:
        """The model as the run alone begins with it, on the CPU."""
        if self.arm is None:
            self.model = setup.build_autoencoder(self.spec, self.task)
            self.parameters = {"training": setup.count_parameters(self.model)}
            return
        if adds_loss(self.arm):
            raise ValueError("the arm adds a term to the loss, and a stack has the task's loss for all")
        if merges_itself(self.arm):
            raise ValueError("the arm merges its model itself, and a stack merges all alike")
        built = setup.build(self.spec, self.task, self.arm, self.starts)
        self.model, self.loading = built.model, built.loading
        if not self.arm.adds and structure(self.model) != structure(setup.build_model(self.spec, self.task)):
            raise ValueError("the arm alters more of the model than weights, and a stack exports weights for the plain one")
        self.pathways = {pathway.name: pathway.cross_modal.auxiliary is not None for pathway in built.pathways}
        self.parameters = {"training": setup.count_parameters(self.model),
                           "trainable": setup.count_parameters(self.model, trainable=True)}

    def forget(self) -> None:
        """Drop the model."""
        self.model = None


def computed_otherwise(members: Sequence[Member], stack: StackedModel, task: Task, examples: Examples | None,
                       device: torch.device) -> list[int]:
    """The places of those whose logits are not the stack's: their arms do something that `structure` cannot see."""
    if examples is None:
        return []
    spec, found = members[0].spec, []
    stacked = logits_of(stack, task, examples, spec, device, limit=2, axis=1)
    for place, member in enumerate(members):
        model: nn.Module = member.model.to(device)
        own = logits_of(model, task, examples, spec, device, limit=2)
        if not (stacked[place] - own).abs().max() <= SAME * own.abs().max():
            found.append(place)
    return found
