"""A model, a loss and examples in, a trained model and its loss curve out. Masked pretraining and training share the loop.

Everything random is a pure function of (seed, epoch or step, sample): resuming needs no random state.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.checkpoint import load_checkpoint, save_checkpoint
from benchmark.data import Batch, Examples
from benchmark.optim import Tune, build_optimizer, clip_gradients, learning_rate, set_learning_rate
from benchmark.recipes import OptimRecipe, PretrainRecipe
from benchmark.record import Measurement
from benchmark.seeds import SampleRandom, derive_seed, generator

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

    def measure(self, split: str, values: dict[str, float]) -> None:
        """Add one row a metric at the current epoch."""
        self.measurements += [Measurement(split=split, metric=metric, step=self.epoch, value=value)
                              for metric, value in values.items()]

    def spend(self, what: str, since: float) -> None:
        """Add the wall-clock seconds since `since` (of `time.perf_counter`)."""
        self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - since


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
        tune: Tune | None = None) -> Progress:
    """Train `model` in place for `recipe.epochs` epochs, from the checkpoint at `checkpoint` where there is one.

    `compute_loss(batch, random)` gives the scalar loss of one micro-batch; `after_epoch` may evaluate and add
    measurements; `train_mode` sets what trains to train mode (default: all); `tune` is the arm's, see `build_optimizer`.
    Raises `NonFiniteLoss` with epoch and step, and `Stopped` where `stop_requested` is set, after a checkpoint.
    """
    optimizer = build_optimizer(model, recipe, depth, tune)
    progress = _resume(model, optimizer, checkpoint, identity)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    steps_per_epoch = len(batches(torch.arange(len(examples)), recipe.batch_size))
    last_epoch = recipe.epochs if not isinstance(recipe, PretrainRecipe) else recipe.stop_epoch or recipe.epochs
    while progress.epoch < last_epoch:
        began = time.perf_counter()
        (train_mode or model.train)()
        total = torch.full((), progress.loss, device=device)
        order = batches(epoch_order(len(examples), seed, progress.epoch), recipe.batch_size)
        for index, chosen in enumerate(order[progress.step :], progress.step):
            step = progress.epoch * steps_per_epoch + index
            set_learning_rate(optimizer, learning_rate(recipe, (step + 1) / steps_per_epoch))
            torch.manual_seed(derive_seed(seed, "step", step))  # dropout and drop path
            optimizer.zero_grad(set_to_none=True)
            for part in chosen.chunk(recipe.accumulation):
                batch = examples.batch(part, device)
                random = SampleRandom(seed, progress.epoch, batch["index"])
                with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
                    loss = compute_loss(batch, random) * (len(part) / len(chosen))
                loss.backward()
                total += loss.detach()
            if (index + 1) % CHECK_EVERY_STEPS == 0 or index + 1 == steps_per_epoch:
                _check_finite(total.item(), progress.epoch, index)
            if recipe.clip_norm is not None:
                clip_gradients(trainable, recipe.clip_norm)
            optimizer.step()
            if stop_requested.is_set() and index + 1 < steps_per_epoch:
                progress.step, progress.loss = index + 1, total.item()
                progress.spend("train", began)
                if checkpoint is not None:
                    _save(model, optimizer, progress, checkpoint, identity)
                raise Stopped(f"stopped in epoch {progress.epoch + 1}, after step {index + 1}; run it again to go on")
        progress.epoch, progress.step, progress.loss = progress.epoch + 1, 0, 0.0
        progress.measure("train", {"loss": total.item() / steps_per_epoch})
        progress.spend("train", began)
        after_epoch(progress)
        if checkpoint is not None:
            _save(model, optimizer, progress, checkpoint, identity)
        if stop_requested.is_set() and progress.epoch < last_epoch:
            raise Stopped(f"stopped after epoch {progress.epoch}; run it again to go on")
    return progress


def _check_finite(total: float, epoch: int, index: int) -> None:
    if not math.isfinite(total):
        raise NonFiniteLoss(f"the loss is {total} in epoch {epoch + 1}, step {index + 1}; "
                            "lower the learning rate or clip the gradient (--set recipe.lr=..., recipe.clip_norm=...)")


def _save(model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, path: Path, identity: str) -> None:
    save_checkpoint({
        "identity": identity, "model": model.state_dict(), "optimizer": optimizer.state_dict(),
        "epoch": progress.epoch, "step": progress.step, "loss": progress.loss,
        "measurements": [row.model_dump() for row in progress.measurements], "seconds": progress.seconds,
        "resumed": progress.resumed}, path)


def _resume(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path | None, identity: str) -> Progress:
    state: dict[str, Any] | None = load_checkpoint(path) if path is not None else None
    if state is None or state["identity"] != identity:
        return Progress()
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    measurements = [Measurement(**row) for row in state["measurements"]]
    return Progress(state["epoch"], state["step"], state["loss"], measurements, state["seconds"], state["resumed"] + 1)
