"""What is trained and its batches in, a trained model and its loss curve out: one loop for masked pretraining and training,
of one model or of the places of a stack.

Everything random is a pure function of (seed, epoch or step, sample): resuming needs no random state.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from benchmark.data.examples import Batch, Examples
from benchmark.data.seeds import SampleRandom, derive_seed, seed_torch
from benchmark.model.pathway import connected
from benchmark.provenance.environment import describe_sitting
from benchmark.records.record import LARGEST, Measurement
from benchmark.spec.recipes import OptimRecipe, PretrainRecipe
from benchmark.train.checkpoint import load_checkpoint, save_checkpoint
from benchmark.train.feed import Feed, Part
from benchmark.train.optim import (
    Tune,
    WeightAverage,
    build_optimizer,
    clear_gradients,
    clip_gradients,
    learning_rate,
    set_learning_rate,
)
from benchmark.train.team import ALONE, Team

CHECK_EVERY_STEPS = 50  # between two looks at the loss: each waits for the device
Loss = Callable[[Batch, SampleRandom], Tensor]  # of one micro-batch, in the recipe's precision


class NonFiniteLoss(ArithmeticError):
    """The loss is not a number any more."""


class Stopped(RuntimeError):
    """The run was asked to stop and has left a checkpoint."""


stop_requested = threading.Event()  # set it, from a signal handler say, and the run stops after its current step


@dataclass
class Progress:
    """What a training has reached; saved with every checkpoint."""

    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the current epoch
    loss: float | list[float] = 0.0  # their sum; of a stack, one for each place
    measurements: list[Measurement] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    resumed: int = 0
    processes: list[int] = field(default_factory=list)  # that shared the run, each number of them that there was
    sittings: list[str] = field(default_factory=list)  # where it was computed, as `describe_sitting`, each place once
    samples: int = 0  # trained on in all, at the end
    began: float = field(default_factory=time.perf_counter)  # of this sitting

    def measure(self, split: str, values: dict[str, float]) -> None:
        """Add one row a metric at the current epoch."""
        self.measurements += rows_of(split, values, self.epoch)

    def spend(self, what: str, since: float) -> None:
        """Add the wall-clock seconds since `since` (of `time.perf_counter`)."""
        self.seconds[what] = self.spent(what, since)

    @property
    def samples_per_second(self) -> float | None:
        """Of training, at the end"""
        seconds = self.seconds.get("train", 0.0)
        return round(self.samples / seconds, 3) if self.samples and seconds else None

    def spent(self, what: str, since: float) -> float:
        """The wall-clock seconds of `what`, those since `since` included"""
        return self.seconds.get(what, 0.0) + time.perf_counter() - since


def rows_of(split: str, values: dict[str, float], epoch: int) -> list[Measurement]:
    """One row a metric; raises `ValueError` for a value that no record holds."""
    for metric, value in values.items():
        if not abs(value) < LARGEST:  # nor where it is none
            raise ValueError(f"{metric} of the {split} split after epoch {epoch} is {value}; a metric must be a finite number")
    return [Measurement(split=split, metric=metric, step=epoch, value=value) for metric, value in values.items()]


class Trainee(Protocol):
    """What a loop trains: one model, or the places of a stack."""

    save_every_seconds: float  # between two checkpoints at ends of epochs

    def train_mode(self) -> None:
        """Before the steps of an epoch."""

    def no_loss(self) -> float | list[float]:
        """The sum of no losses: a number, or one for each place."""

    def step(self, parts: Iterable[Part], lr: float, number: int) -> Tensor:
        """Take step `number` of all at the rate `lr`; returns the loss, or one for each place."""

    def check(self, losses: list[float], where: str) -> None:
        """Look at the losses of an epoch so far; raises `NonFiniteLoss` where nothing is left to train."""

    def end_epoch(self, progress: Progress, losses: list[float]) -> None:
        """Note the mean losses of an epoch."""

    def state_dict(self) -> dict[str, Any]:
        """All that a step changes, by part"""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""


def train(trainee: Trainee, feed: Feed, recipe: OptimRecipe, checkpoint: Path | None = None, identity: str = "",
          after_epoch: Callable[[Progress], None] = lambda progress: None, team: Team = ALONE) -> Progress:
    """Train for `recipe.epochs` epochs, from the checkpoint at `checkpoint` where there is one.

    `after_epoch` may evaluate and add measurements. Raises `NonFiniteLoss` with epoch and step, and `Stopped` where
    `stop_requested` is set in one of the processes, after a checkpoint. Deterministic on one device.
    """
    progress = resume(trainee, checkpoint, identity, describe_sitting(feed.device), team)
    last_epoch = recipe.epochs if not isinstance(recipe, PretrainRecipe) else recipe.stop_epoch or recipe.epochs
    saved = time.perf_counter()
    while progress.epoch < last_epoch:
        began = time.perf_counter()
        trainee.train_mode()
        total = torch.tensor(progress.loss if progress.step else trainee.no_loss(), device=feed.device)
        for index, parts in enumerate(feed.epoch(progress.epoch, progress.step), progress.step):
            step = progress.epoch * feed.steps + index
            total += trainee.step(parts, learning_rate(recipe, (step + 1) / feed.steps), step)
            if (index + 1) % CHECK_EVERY_STEPS == 0 or index + 1 == feed.steps:
                try:
                    trainee.check(total.view(-1).tolist(), f"epoch {progress.epoch + 1}, step {index + 1}")
                except NonFiniteLoss as error:
                    unseen = index // CHECK_EVERY_STEPS * CHECK_EVERY_STEPS
                    raise NonFiniteLoss(feed.odd_input(progress.epoch, unseen, index + 1) or str(error)) from error
            if index + 1 < feed.steps and team.any(stop_requested.is_set()):
                progress.step, progress.loss = index + 1, total.tolist()
                spend(progress, began, feed)
                save(trainee, progress, checkpoint, identity, team)
                raise Stopped(f"stopped in epoch {progress.epoch + 1}, after step {index + 1}; run it again to go on")
        progress.epoch, progress.step, progress.loss = progress.epoch + 1, 0, 0.0
        trainee.end_epoch(progress, [loss / feed.steps for loss in total.view(-1).tolist()])
        spend(progress, began, feed)
        after_epoch(progress)
        stopping = progress.epoch < last_epoch and team.any(stop_requested.is_set())
        if stopping or progress.epoch == last_epoch or time.perf_counter() - saved >= trainee.save_every_seconds:
            save(trainee, progress, checkpoint, identity, team)
            saved = time.perf_counter()
        if stopping:
            raise Stopped(f"stopped after epoch {progress.epoch}; run it again to go on")
    progress.samples = progress.epoch * feed.samples
    return progress


def spend(progress: Progress, began: float, feed: Feed) -> None:
    """Note the time of training since `began`, and what of it was spent on waiting for examples."""
    progress.spend("train", began)
    progress.seconds["input"] = progress.seconds.get("input", 0.0) + feed.waited
    feed.waited = 0.0


def fit(model: nn.Module, compute_loss: Loss, recipe: OptimRecipe, depth: int, examples: Examples, seed: int,
        device: torch.device, checkpoint: Path | None = None, identity: str = "",
        after_epoch: Callable[[Progress], None] = lambda progress: None, train_mode: Callable[[], None] | None = None,
        tune: Tune | None = None, average: WeightAverage[Any] | None = None, team: Team = ALONE) -> Progress:
    """Train one `model` in place; see `train`.

    `compute_loss(batch, random)` gives the scalar loss of one micro-batch, in the recipe's precision; `train_mode` sets what
    trains to train mode (default: all); `tune` is the arm's, see `build_optimizer`; `average` follows the model. Of a `team`
    `compute_loss` must call what `team.join` made of the model.
    """
    one = OneModel(model, compute_loss, build_optimizer(model, recipe, depth, tune),
                   torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16"), average, recipe, seed, device,
                   train_mode or model.train, team=team)
    progress = train(one, Feed([examples], [seed], recipe, device, team), recipe, checkpoint, identity, after_epoch, team)
    team.check_equal(model, "at the end")
    return progress


@dataclass
class OneModel:
    """A model, and all that a step of it changes."""

    model: nn.Module
    compute_loss: Loss
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage[Any] | None
    recipe: OptimRecipe
    seed: int
    device: torch.device
    train_mode: Callable[[], Any]
    save_every_seconds: float = 0.0
    team: Team = ALONE

    def no_loss(self) -> float:
        """As of a trainee."""
        return 0.0

    def step(self, parts: Iterable[Part], lr: float, number: int) -> Tensor:
        """As of a trainee."""
        set_learning_rate(self.optimizer, lr)
        seed_torch(derive_seed(self.seed, "step", number), self.device)  # dropout and drop path
        clear_gradients(self.model)
        loss = backward(self.compute_loss, parts, self.scaler, self.team)
        self.update(self.recipe.clip_norm)
        return loss

    def update(self, clip_norm: float | None) -> None:
        """Step by the gradients that the model holds."""
        if self.scaler.is_enabled():
            held = []
            for pathway in connected(self.model):
                pathway.pull_back()
                for parameter, _ in pathway.factors(pathway.scale)[:1]:  # G, of which the optimizer does not know
                    parameter.grad = pathway.linear.weight.grad
                    held.append(parameter)
            self.scaler.unscale_(self.optimizer)
            for parameter in held:
                parameter.grad = None
        if clip_norm is not None:
            clip_gradients(self.model, clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update(self.model)

    def check(self, losses: list[float], where: str) -> None:
        """As of a trainee."""
        if not math.isfinite(losses[0]):
            raise NonFiniteLoss(f"the loss is {losses[0]} in {where}; "
                                "lower the learning rate or clip the gradient (--set recipe.lr=..., recipe.clip_norm=...)")

    def end_epoch(self, progress: Progress, losses: list[float]) -> None:
        """As of a trainee."""
        progress.measure("train", {"loss": losses[0]})

    def parts(self) -> dict[str, Any]:
        """What has a state of its own, by name"""
        parts = {"model": self.model, "optimizer": self.optimizer, "scaler": self.scaler, "average": self.average}
        return {name: part for name, part in parts.items() if part is not None}

    def state_dict(self) -> dict[str, Any]:
        """As of a trainee."""
        return {name: part.state_dict() for name, part in self.parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As of a trainee."""
        for name, part in self.parts().items():
            part.load_state_dict(state[name])


def backward(compute_loss: Loss, parts: Iterable[Part], scaler: torch.amp.GradScaler | None = None,
             team: Team = ALONE) -> Tensor:
    """Add the gradients of one step, micro-batch by micro-batch; returns its loss."""
    losses = []
    for part in parts:
        with team.micro_batch(part.rows, part.last):
            loss = compute_loss(part.batch, part.random) * part.share
            (loss if scaler is None else scaler.scale(loss)).backward()
        losses.append(loss.detach())
    return torch.stack(losses).sum()


def save(trainee: Trainee, progress: Progress, path: Path | None, identity: str, team: Team = ALONE) -> None:
    """Leave a checkpoint of `identity`, from which nothing else goes on; of several processes the first does."""
    if path is None:
        return
    if not team.rank:
        save_checkpoint({
            **trainee.state_dict(), "identity": identity,
            "epoch": progress.epoch, "step": progress.step, "loss": progress.loss,
            "measurements": [row.model_dump() for row in progress.measurements],
            "seconds": {**progress.seconds, "wall": progress.spent("wall", progress.began)}, "resumed": progress.resumed,
            "processes": progress.processes, "sittings": progress.sittings}, path)
    team.any(False)  # returns when the first has written it


def resume(trainee: Trainee, path: Path | None, identity: str, place: str, team: Team = ALONE) -> Progress:
    """Go on at `place` from the checkpoint of `identity` where there is one, whatever the number of processes that left it."""
    saved: dict[str, Any] | None = load_checkpoint(path) if path is not None else None
    if saved is None or saved["identity"] != identity:
        return Progress(processes=[team.size], sittings=[place])
    trainee.load_state_dict(saved)
    measurements = [Measurement(**row) for row in saved["measurements"]]
    processes = list(dict.fromkeys([*saved.get("processes", [1]), team.size]))
    return Progress(saved["epoch"], saved["step"], saved["loss"], measurements, saved["seconds"], saved["resumed"] + 1,
                    processes, list(dict.fromkeys([*saved.get("sittings", []), place])))
