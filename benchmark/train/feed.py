"""Examples of one seed, or of several, in; what every step of an epoch computes with, in order, out.

Everything random is a pure function of (seed, epoch, sample): resuming needs no random state.

Shapes: B samples of a micro-batch, S seeds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from benchmark.data.examples import Batch, Examples
from benchmark.data.seeds import SampleRandom, generator
from benchmark.spec.recipes import OptimRecipe, TrainRecipe
from benchmark.train.team import ALONE, Rows, Team


@dataclass(frozen=True)
class Part:
    """A micro-batch: of several seeds, equally many samples of each, side by side."""

    batch: Batch  # each (S * B, ...)
    random: SampleRandom
    share: float  # of the samples of its step
    rows: Rows | None = None  # of it that are computed here; None: all
    last: bool = True  # of its step


class Feed:
    """The batches of one split under one seed, or under several at once. `steps` is their number in an epoch.

    `examples` has the split as each seed sees it. Where several processes share the run, those of this one: a part of each
    batch. Raises `ValueError` where seeds have not equally many samples, and where a process would have none of a batch.
    """

    def __init__(self, examples: Sequence[Examples], seeds: Sequence[int], recipe: OptimRecipe, device: torch.device,
                 team: Team = ALONE):
        self.examples, self.seeds, self.recipe, self.device, self.team = examples, seeds, recipe, device, team
        self.mixes = isinstance(recipe, TrainRecipe) and bool(recipe.mixup or recipe.cutmix)
        self.waited = 0.0  # seconds, for examples
        self.num_samples = len(examples[0])
        if any(len(one) != self.num_samples for one in examples):
            raise ValueError(f"seeds have {sorted({len(one) for one in examples})} samples; side by side they need one number")
        every = batches(torch.arange(self.num_samples), recipe.batch_size)
        self.steps, self.samples = len(every), sum(map(len, every))  # of an epoch; copies are not counted
        for part in micro_batches(every[0], recipe):
            self._rows(part)

    def epoch(self, epoch: int, first: int = 0, end: int | None = None) -> Iterator[Iterator[Part]]:
        """The micro-batches of each step from `first` on, in order; each must be taken before those of the next step."""
        repeats = self.recipe.repeats or 1
        orders = [batches(epoch_order(self.num_samples, seed, epoch), self.recipe.batch_size)[first:end]
                  for seed in self.seeds]
        plans = [[micro_batches(chosen, self.recipe) for chosen in order] for order in orders]
        streams = [
            examples.stream([self._loaded(part) for step in plan for part in step], self.device,
                            partial(random_of, seed, epoch, self.num_samples, repeats))
            for examples, seed, plan in zip(self.examples, self.seeds, plans, strict=True)]
        for steps in zip(*plans, strict=True):
            yield self._parts(epoch, steps, streams)

    def odd_input(self, epoch: int, first: int, end: int) -> str:
        """One line on an input with NaN or infinity in these steps of an epoch; "" where there is none."""
        found = (self.examples[0].odd_input(part.batch) for parts in self.epoch(epoch, first, end) for part in parts)
        return next(filter(None, found), "")

    def _parts(self, epoch: int, steps: Sequence[Sequence[Tensor]], streams: Sequence[Iterator[Batch]]) -> Iterator[Part]:
        repeats = self.recipe.repeats or 1
        count = sum(map(len, steps[0]))
        for number, parts in enumerate(zip(*steps, strict=True), 1):
            began = time.perf_counter()
            batch = side_by_side([next(stream) for stream in streams])
            self.waited += time.perf_counter() - began
            random = random_of(self.seeds, epoch, self.num_samples, repeats, batch["index"],
                               [int(part[0]) for part in parts])
            yield Part(batch, random, len(parts[0]) / count, self._rows(parts[0]), number == len(steps[0]))

    def _rows(self, part: Tensor) -> Rows | None:
        repeats = self.recipe.repeats or 1
        return self.team.rows(len(part) // repeats, repeats, self.mixes)

    def _loaded(self, part: Tensor) -> Tensor:
        rows = self._rows(part)
        return part if rows is None else part[rows.loaded]


def side_by_side(each: Sequence[Batch]) -> Batch:
    """The batches of several seeds as one; the batch itself of one seed"""
    if len(each) == 1:
        return each[0]
    return {name: torch.cat([batch[name] for batch in each]) for name in each[0]}


def epoch_order(num_samples: int, seed: int, epoch: int) -> Tensor:
    """(num_samples,) int64: the order of an epoch, the same for every arm of a seed"""
    return torch.randperm(num_samples, generator=generator(seed, "order", epoch))


def batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Whole batches only, as a partial one would weigh its samples more; one partial batch where there is no other."""
    whole = len(order) // batch_size * batch_size
    return list(order[:whole].split(batch_size)) if whole else [order]


def micro_batches(chosen: Tensor, recipe: OptimRecipe) -> list[Tensor]:
    """The indices (B,) of a batch in `accumulation` parts, each sample as often as the recipe repeats it.

    A batch that is not whole, the only one of few samples, has fewer parts, as batch norms see one at a time.
    """
    size = -(-recipe.batch_size // recipe.accumulation)
    return [part.repeat(recipe.repeats or 1) for part in chosen.chunk(max(-(-len(chosen) // size), 1))]


def random_of(seeds: int | Sequence[int], epoch: int, num_samples: int, repeats: int, indices: Tensor,
              leaders: Sequence[int] | None = None) -> SampleRandom:
    """The random numbers of a batch that holds its samples `repeats` times: every time others, and first those that
    a sample has alone. Of several seeds, equally many samples of each are side by side.
    """
    count = 1 if isinstance(seeds, int) else len(seeds)
    again = torch.arange(repeats, device=indices.device).repeat_interleave(len(indices) // (count * repeats)).repeat(count)
    return SampleRandom(seeds, epoch, indices + again * num_samples, leaders)
