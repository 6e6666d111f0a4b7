"""A model and a split in, metrics out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from benchmark.data.examples import Batch, Examples
from benchmark.model.encoder import TransformerModel
from benchmark.spec.contracts import Task
from benchmark.spec.recipes import TrainRecipe
from benchmark.spec.runspec import RunSpec
from benchmark.train.optim import autocast
from benchmark.train.team import ALONE, Team

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLES = 256  # whose representations are kept, at most


class Kept:
    """What a task keeps of the samples of a split, batch by batch."""

    def __init__(self) -> None:
        self.parts: dict[str, list[Tensor]] = {}

    def update(self, outputs: Mapping[str, Tensor]) -> None:
        """Take the outputs of one batch."""
        for name, values in outputs.items():
            self.parts.setdefault(name, []).append(values.detach().cpu())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Numbers of all samples, in the smallest types that hold them: floats in two bytes, whole ones in one, two or eight"""
        joined = {name: torch.cat(parts) for name, parts in self.parts.items()}
        return {name: (values.half() if values.is_floating_point() else values if values.dtype == torch.bool
                       else values.to(_smallest(int(values.max())))).numpy() for name, values in joined.items()}


def _smallest(largest: int) -> torch.dtype:
    return torch.uint8 if largest < 2**8 else torch.int16 if largest < 2**15 else torch.int64


class Model(Protocol):
    """A model, or a stack of some, whose logits are those of each along a first axis."""

    def __call__(self, batch: Batch) -> Tensor:
        """Logits"""

    def eval(self) -> Any:
        """Before it is tested"""


@torch.inference_mode()
def evaluate(model: TransformerModel, task: Task, examples: Examples, spec: RunSpec, device: torch.device,
             batch_size: int | None = None, kept: Kept | None = None, team: Team = ALONE) -> dict[str, float]:
    """Every metric of `task` on a split, with its test views, in batches of `batch_size` (None: as the recipe allows).

    `kept` is given what the task keeps of every sample. The processes of a `team` take whole batches in turn, the very ones
    of one process, and the first of them measures, and keeps. Raises `ArithmeticError` where the model's outputs are not
    numbers, which a metric could hide.
    """
    model.eval()
    meter = task.meter(spec.profile)
    chosen = torch.arange(len(examples)).split(batch_size or batch_size_of(spec))
    own = examples.stream(chosen[team.rank :: team.size], device)
    for logits, batch in team.in_order(((scores(model, task, batch, spec), batch) for batch in own), len(chosen)):
        if not logits.isfinite().all():
            raise ArithmeticError(examples.odd_input(batch)
                                  or "outputs are not finite; lower the learning rate or clip the gradient")
        meter.update(logits, batch)
        if kept is not None:
            kept.update(task.outputs(logits, batch))
    return team.told(meter.compute)


def scores(model: Model, task: Task, batch: Batch, spec: RunSpec) -> Tensor:
    """Logits of a batch with one test view; of several views, the logarithm of their mean probabilities"""
    logits: list[Tensor] = []
    for view in views_of(task, batch, spec):
        with autocast(spec.recipe, view["input"].device):
            logits.append(model(view).float())
    if len(logits) == 1:
        return logits[0]
    averaged: Tensor = torch.stack([task.probabilities(part) for part in logits]).mean(0).clamp_min(1e-12).log()
    return averaged


def views_of(task: Task, batch: Batch, spec: RunSpec) -> Iterator[Batch]:
    """The test views of a batch that the recipe asks for, made one by one"""
    assert isinstance(spec.recipe, TrainRecipe)
    return task.views(batch, spec.shape, spec.recipe.test_views)


@torch.inference_mode()
def representations(model: TransformerModel, task: Task, examples: Examples, spec: RunSpec, device: torch.device,
                    limit: int = SAMPLES) -> Tensor:
    """(depth, n, D): the mean patch token after every block, of the first test view of at most `limit` samples"""
    model.eval()
    views = first_views(task, examples, spec, device, limit)
    return torch.cat([mean_taps(model, view).float().cpu() for view in views], 1)


def mean_taps(model: TransformerModel, view: Batch) -> Tensor:
    """(depth, B, D): the mean patch token after every block"""
    features = model.encode(model.tokenizer(view), taps=range(len(model.blocks)))
    return torch.stack([tap[:, features.num_prefix_tokens :].mean(1) for tap in features.taps])


@torch.inference_mode()
def logits_of(model: Model, task: Task, examples: Examples, spec: RunSpec, device: torch.device,
              limit: int = 64, axis: int = 0) -> Tensor:
    """Logits of the first test view of at most `limit` samples, which are along `axis`, to compare a model before and after
    merging"""
    model.eval()
    return torch.cat([model(view).float() for view in first_views(task, examples, spec, device, limit)], axis)


@torch.inference_mode()
def seconds_per_sample(model: TransformerModel, task: Task, examples: Examples, spec: RunSpec, device: torch.device,
                       repeats: int = 3, limit: int = 32) -> float:
    """Median wall-clock seconds that the logits of one sample take, in a batch of at most `limit` that is prepared before."""
    model.eval()
    view = next(first_views(task, examples, spec, device, limit))
    spent = []
    for _ in range(1 + repeats):  # the first warms up
        began = time.perf_counter()
        with autocast(spec.recipe, device):
            model(view).sum().item()  # waits for the device
        spent.append(time.perf_counter() - began)
    return statistics.median(spent[1:]) / len(view["index"])


def first_views(task: Task, examples: Examples, spec: RunSpec, device: torch.device, limit: int) -> Iterator[Batch]:
    """The first test view of at most `limit` samples, batch by batch"""
    chosen = torch.arange(min(limit, len(examples))).split(batch_size_of(spec))
    return (next(views_of(task, batch, spec)) for batch in examples.stream(chosen, device))


def batch_size_of(spec: RunSpec) -> int:
    """Of evaluation, which keeps no activations: four of training's micro-batches"""
    assert isinstance(spec.recipe, TrainRecipe)
    return min(max(4 * spec.recipe.batch_size // spec.recipe.accumulation, 1), 256)
