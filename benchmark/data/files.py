"""Samples that lie in files: read, cut and altered by worker processes, ahead of training.

Shapes: B batch.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset

from benchmark.data.catalogue import Item, Prepared, checked, find, items
from benchmark.data.embedded import DataError
from benchmark.data.examples import Batch, Examples
from benchmark.data.listing import printable
from benchmark.spec.recipes import SPLITS, Split

if TYPE_CHECKING:
    from benchmark.data.seeds import SampleRandom
    from benchmark.spec.recipes import ModelShape, OptimRecipe

WORKERS = "M2PT_WORKERS"  # processes that read for one run; 0 reads in the run itself
SECONDS = "M2PT_READ_SECONDS"  # that a run waits for a batch of theirs; 0 waits for ever
AHEAD = 2  # batches that each of them reads ahead
SHARED = Path("/dev/shm")
Random = np.random.Generator


class Reader:
    """How one file becomes a sample of fixed size. Goes to worker processes, so it holds plain values only."""

    alters: frozenset[str] = frozenset()  # names of augmentations that reading does, and the task then does not

    def configured(self, shape: ModelShape, recipe: OptimRecipe) -> Self:
        """The reader for a model of `shape` under `recipe`."""
        raise TypeError(f"{type(self).__name__} does not define configured")

    def read(self, path: Path, random: Random | None) -> dict[str, Tensor]:
        """"input" of one sample, and what else it has; altered unless `random` is None. Raises `DataError` naming the file."""
        raise TypeError(f"{type(self).__name__} does not define read")

    def read_copies(self, path: Path, randoms: Sequence[Random | None]) -> list[dict[str, Tensor]]:
        """What `read` gives for each of `randoms`; a reader whose files are costly to open overrides it."""
        return [self.read(path, random) for random in randoms]

    def join(self, samples: Sequence[dict[str, Tensor]], batch: Batch, random: SampleRandom | None) -> Batch:
        """A batch of what was read; `batch` holds its labels and "index"."""
        return {**batch, **{name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}}


class Files(Examples):
    """A split in files. Its column "input" holds places in `items`, so that parts of it stay in order."""

    def __init__(self, prepared: Prepared, found: Sequence[Item], columns: Mapping[str, Tensor], reader: Reader,
                 note: str = ""):
        super().__init__({"input": torch.arange(len(found)), **columns})
        self.prepared, self.items, self.reader, self.note = prepared, found, reader, note

    def configured(self, shape: ModelShape, recipe: OptimRecipe) -> Self:
        """See `Reader.configured`."""
        other = self._with(self.columns)
        other.reader = self.reader.configured(shape, recipe)
        return other

    def remaining(self, strengths: Mapping[str, float]) -> Mapping[str, float]:
        """All but what the reader alters"""
        return {name: value for name, value in strengths.items() if name not in self.reader.alters}

    def called(self, place: int) -> str:
        """The path of a file"""
        return printable(self.prepared.root / self.items[int(self.columns["input"][place])].path)

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """The samples at `indices` (B,), unaltered."""
        return next(self.stream([indices], device))

    def stream(self, chosen: Sequence[Tensor], device: torch.device | str = "cpu",
               draw: Callable[[Tensor], SampleRandom] | None = None) -> Iterator[Batch]:
        """Batches in order. A sample's alterations depend on `draw` and on nothing else: not on workers or on the batch."""
        plans = []
        for indices in chosen:
            seeds: list[Any] = [None] * len(indices)
            of_each_run = len(indices)
            if draw is not None:
                random = draw(indices)
                seeds = random.uniform("read", 4).mul(2**24).long().tolist()
                of_each_run //= len(random.seeds)
            places = self.columns["input"][indices].tolist()
            plans.append([(self.items[place], seed, number // of_each_run)
                          for number, (place, seed) in enumerate(zip(places, seeds, strict=True))])
        workers = min(count_workers(), len(plans)) if len(plans) > 1 else 0
        reading = _Reading(self.prepared, self.reader)
        if workers:
            check_shared_memory(workers, max(map(len, plans)), _accept(reading[plans[0][:1]])[0])
        loader = DataLoader(reading, batch_size=None, sampler=plans, num_workers=workers,
                            prefetch_factor=AHEAD if workers else None, timeout=_number(SECONDS, 600) if workers else 0,
                            generator=torch.Generator())  # not the model's random numbers
        for indices, found in zip(chosen, _waiting(loader), strict=True):
            samples = _accept(found)
            columns = {name: column[indices] for name, column in self.columns.items() if name != "input"}
            batch = self.reader.join(samples, {**columns, "index": indices}, draw(indices) if draw is not None else None)
            yield {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def load_files(name: str, reader: Callable[[], Reader], columns: Callable[[Sequence[str]], dict[str, Tensor]],
               kind: type[Files] = Files) -> dict[Split, Examples]:
    """Splits of a prepared data set, each with a reader of its own; `columns` makes theirs of the labels in its list.

    Raises `DataError` where `columns` raises `ValueError` or `IndexError`: the labels are not what they should be.
    """
    prepared = find(name)
    splits: dict[Split, Examples] = {}
    for split in SPLITS:
        found = items(prepared, split)
        try:
            made = columns([item.label for item in found])
        except DataError as error:
            raise DataError(f"{name} {split}: {error}") from error
        except (ValueError, IndexError) as error:
            raise DataError(f"catalogue of {name} {split} has labels that are no classes ({error}); prepare again") from error
        splits[split] = kind(prepared, found, made, reader(), prepared.note(split))
    return splits


def class_column(labels: Sequence[str]) -> dict[str, Tensor]:
    """"label" (N,) of one class each; raises `ValueError` for what is no number"""
    return {"label": torch.tensor([int(label) for label in labels], dtype=torch.int64)}


class _Reading(Dataset[Any]):
    """A list of (item, seed, number of the run) in, the samples of a batch out; or why one of them cannot be read.

    What a run has several times is read as copies.
    """

    def __init__(self, prepared: Prepared, reader: Reader):
        self.prepared, self.reader = prepared, reader

    def __getitem__(self, plan: list[tuple[Item, list[int] | None, int]]) -> list[dict[str, Tensor]] | str:
        copies: dict[tuple[Item, int], list[int]] = {}
        for place, (item, _, run) in enumerate(plan):
            copies.setdefault((item, run), []).append(place)
        samples: dict[int, dict[str, Tensor]] = {}
        for (item, _), places in copies.items():
            seeds = [plan[place][1] for place in places]
            randoms = [None if seed is None else np.random.default_rng(seed) for seed in seeds]
            try:
                made = self.reader.read_copies(checked(self.prepared, item), randoms)
            except (DataError, OSError) as error:
                return printable(" ".join(str(error).split()))
            samples.update(zip(places, made, strict=True))
        return [samples[place] for place in range(len(plan))]


def _accept(found: list[dict[str, Tensor]] | str) -> list[dict[str, Tensor]]:
    """The samples; raises `DataError` where one of them could not be read."""
    if isinstance(found, str):
        raise DataError(found)
    return found


def _waiting(loader: DataLoader[Any]) -> Iterator[Any]:
    """What workers have read; raises `DataError` where one of them ends or gives nothing within the time limit."""
    batches = iter(loader)
    while True:
        try:
            yield next(batches)
        except StopIteration:
            return
        except RuntimeError as error:
            if not str(error).startswith("DataLoader"):
                raise
            raise DataError(f"processes that read have stopped ({' '.join(str(error).split())}); shared memory or memory may "
                            f"be too small, or the disk too slow: try {WORKERS}=0 or fewer, a larger /dev/shm (docker run "
                            f"--shm-size=8g), or a longer limit with {SECONDS}") from error


def check_shared_memory(workers: int, batch_size: int, sample: Mapping[str, Tensor]) -> None:
    """Raises `DataError` where what is read ahead does not fit into shared memory, in which workers hand it over."""
    if not SHARED.is_dir():
        return
    sharing = distributed.get_world_size() if distributed.is_initialized() else 1  # processes that read so, side by side
    batch = batch_size * sharing * sum(tensor.numel() * tensor.element_size() for tensor in sample.values())
    needed, free = (workers * AHEAD + 1) * batch, shutil.disk_usage(SHARED).free
    if needed > free:
        fitting = max(0, int(free / batch - 1) // AHEAD)
        raise DataError(f"{workers * sharing} processes that read ahead need {needed / 2**20:,.0f} MiB of shared memory, and "
                        f"{SHARED} has {free / 2**20:,.0f} free; give the container more (docker run "
                        f"--shm-size={needed // 2**30 + 1}g or --ipc=host), or set {WORKERS} to {fitting} or fewer, or raise "
                        "recipe.accumulation")


def count_workers() -> int:
    """From M2PT_WORKERS, or half of the cores that are this process's share; raises `DataError` where it is no number."""
    return _number(WORKERS, torch.get_num_threads() // 2)


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable)
    if text is None:
        return default
    if not text.isdecimal():
        raise DataError(f"{variable}={text!r}: expected a whole number, 0 or more")
    return int(text)
