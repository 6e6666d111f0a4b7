"""A model, a loss and examples in, a trained model and its loss curve out. Masked pretraining and training share the loop.

Everything random is a pure function of (seed, epoch or step, sample): resuming needs no random state.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.data.examples import Batch, Examples
from benchmark.data.seeds import SampleRandom, derive_seed, generator
from benchmark.model.pathway import connected
from benchmark.records.record import Measurement
from benchmark.spec.recipes import OptimRecipe, PretrainRecipe
from benchmark.train.checkpoint import load_checkpoint, save_checkpoint
from benchmark.train.optim import (
    Tune,
    WeightAverage,
    build_optimizer,
    clear_gradients,
    clip_gradients,
    learning_rate,
    set_learning_rate,
)

CHECK_EVERY_STEPS = 50  # between two looks at the loss: each waits for the device


class NonFiniteLoss(ArithmeticError):
    """The loss is not a number any more."""


class Stopped(RuntimeError):
    """The run was asked to stop and has left a checkpoint."""


stop_requested = threading.Event()  # set it, from a signal handler say, and the run stops after its current step


@dataclass
class Progress:
    """What a run has reached; saved with every checkpoint."""

    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the current epoch
    loss: float = 0.0  # their sum
    measurements: list[Measurement] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    resumed: int = 0
    began: float = field(default_factory=time.perf_counter)  # of this sitting

    def measure(self, split: str, values: dict[str, float]) -> None:
        """Add one row a metric at the current epoch."""
        self.measurements += [Measurement(split=split, metric=metric, step=self.epoch, value=value)
                              for metric, value in values.items()]

    def spend(self, what: str, since: float) -> None:
        """Add the wall-clock seconds since `since` (of `time.perf_counter`)."""
        self.seconds[what] = self.spent(what, since)

    def spent(self, what: str, since: float) -> float:
        """The wall-clock seconds of `what`, those since `since` included"""
        return self.seconds.get(what, 0.0) + time.perf_counter() - since


def epoch_order(num_samples: int, seed: int, epoch: int) -> Tensor:
    """(num_samples,) int64: the order of an epoch, the same for every arm of a seed"""
    return torch.randperm(num_samples, generator=generator(seed, "order", epoch))


def batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Whole batches only, as a partial one would weigh its samples more; one partial batch where there is no other."""
    whole = len(order) // batch_size * batch_size
    return list(order[:whole].split(batch_size)) if whole else [order]


def fit(model: nn.Module, compute_loss: Callable[[Batch, SampleRandom], Tensor], recipe: OptimRecipe, depth: int,
        examples: Examples, seed: int, device: torch.device, checkpoint: Path | None = None, identity: str = "",
        after_epoch: Callable[[Progress], None] = lambda progress: None, train_mode: Callable[[], None] | None = None,
        tune: Tune | None = None, average: WeightAverage[Any] | None = None) -> Progress:
    """Train `model` in place for `recipe.epochs` epochs, from the checkpoint at `checkpoint` where there is one.

    `compute_loss(batch, random)` gives the scalar loss of one micro-batch, in the recipe's precision; `after_epoch` may
    evaluate and add measurements; `train_mode` sets what trains to train mode (default: all); `tune` is the arm's, see
    `build_optimizer`; `average` follows the model. Raises `NonFiniteLoss` with epoch and step, and `Stopped` where
    `stop_requested` is set, after a checkpoint.
    """
    state = _State(model, build_optimizer(model, recipe, depth, tune),
                   torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16"), average)
    progress = _resume(state, checkpoint, identity)
    steps_per_epoch = len(batches(torch.arange(len(examples)), recipe.batch_size))
    last_epoch = recipe.epochs if not isinstance(recipe, PretrainRecipe) else recipe.stop_epoch or recipe.epochs
    while progress.epoch < last_epoch:
        began = time.perf_counter()
        (train_mode or model.train)()
        total = torch.full((), progress.loss, device=device)
        order = batches(epoch_order(len(examples), seed, progress.epoch), recipe.batch_size)[progress.step :]
        parts = [micro_batches(chosen, recipe) for chosen in order]
        draw = partial(random_of, seed, progress.epoch, len(examples), recipe.repeats or 1)
        loaded = examples.stream([part for chosen in parts for part in chosen], device, draw)
        for index, chosen in enumerate(parts, progress.step):
            step = progress.epoch * steps_per_epoch + index
            set_learning_rate(state.optimizer, learning_rate(recipe, (step + 1) / steps_per_epoch))
            torch.manual_seed(derive_seed(seed, "step", step))  # dropout and drop path
            clear_gradients(model)
            total += backward(compute_loss, loaded, chosen, draw, state.scaler)
            if (index + 1) % CHECK_EVERY_STEPS == 0 or index + 1 == steps_per_epoch:
                _check_finite(total.item(), progress.epoch, index)
            state.step(recipe.clip_norm)
            if stop_requested.is_set() and index + 1 < steps_per_epoch:
                progress.step, progress.loss = index + 1, total.item()
                progress.spend("train", began)
                _save(state, progress, checkpoint, identity)
                raise Stopped(f"stopped in epoch {progress.epoch + 1}, after step {index + 1}; run it again to go on")
        progress.epoch, progress.step, progress.loss = progress.epoch + 1, 0, 0.0
        progress.measure("train", {"loss": total.item() / steps_per_epoch})
        progress.spend("train", began)
        after_epoch(progress)
        _save(state, progress, checkpoint, identity)
        if stop_requested.is_set() and progress.epoch < last_epoch:
            raise Stopped(f"stopped after epoch {progress.epoch}; run it again to go on")
    return progress


def micro_batches(chosen: Tensor, recipe: OptimRecipe) -> list[Tensor]:
    """The indices (B,) of a batch in `accumulation` parts, each sample as often as the recipe repeats it"""
    return [part.repeat(recipe.repeats or 1) for part in chosen.chunk(recipe.accumulation)]


def backward(compute_loss: Callable[[Batch, SampleRandom], Tensor], loaded: Iterator[Batch], parts: Sequence[Tensor],
             draw: Callable[[Tensor], SampleRandom], scaler: torch.amp.GradScaler | None = None) -> Tensor:
    """Add the gradients of one step, micro-batch by micro-batch; returns its loss."""
    losses = []
    for part in parts:
        batch = next(loaded)
        loss = compute_loss(batch, draw(batch["index"])) * (len(part) / sum(map(len, parts)))
        (loss if scaler is None else scaler.scale(loss)).backward()
        losses.append(loss.detach())
    return torch.stack(losses).sum()


def random_of(seed: int, epoch: int, num_samples: int, repeats: int, indices: Tensor) -> SampleRandom:
    """The random numbers of a batch that holds its samples `repeats` times: every time others, and first those that
    a sample has alone.
    """
    again = torch.arange(repeats, device=indices.device).repeat_interleave(len(indices) // repeats)
    return SampleRandom(seed, epoch, indices + again * num_samples)


def _check_finite(total: float, epoch: int, index: int) -> None:
    if not math.isfinite(total):
        raise NonFiniteLoss(f"the loss is {total} in epoch {epoch + 1}, step {index + 1}; "
                            "lower the learning rate or clip the gradient (--set recipe.lr=..., recipe.clip_norm=...)")


@dataclass
class _State:
    """All that a step changes."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage[Any] | None

    def step(self, clip_norm: float | None) -> None:
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

    def parts(self) -> dict[str, Any]:
        """What has a state of its own, by name"""
        parts = {"model": self.model, "optimizer": self.optimizer, "scaler": self.scaler, "average": self.average}
        return {name: part for name, part in parts.items() if part is not None}


def _save(state: _State, progress: Progress, path: Path | None, identity: str) -> None:
    if path is None:
        return
    save_checkpoint({
        **{name: part.state_dict() for name, part in state.parts().items()}, "identity": identity,
        "epoch": progress.epoch, "step": progress.step, "loss": progress.loss,
        "measurements": [row.model_dump() for row in progress.measurements],
        "seconds": {**progress.seconds, "wall": progress.spent("wall", progress.began)}, "resumed": progress.resumed}, path)


def _resume(state: _State, path: Path | None, identity: str) -> Progress:
    saved: dict[str, Any] | None = load_checkpoint(path) if path is not None else None
    if saved is None or saved["identity"] != identity:
        return Progress()
    for name, part in state.parts().items():
        part.load_state_dict(saved[name])
    measurements = [Measurement(**row) for row in saved["measurements"]]
    return Progress(saved["epoch"], saved["step"], saved["loss"], measurements, saved["seconds"], saved["resumed"] + 1)
