"""Things to do in, seconds out: alternating repeats, so that what slows the machine slows all of them."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from benchmark.plan.study import Study
    from benchmark.spec.contracts import Arm, Task

WARM_UP = 2  # repeats that are not counted
BUILT_ANEW = 3  # times that models are: where one lies in memory alone makes its steps a few percent faster or slower


@dataclass(frozen=True)
class Result:
    """One line of the table: `samples` of a quantity of which a smaller value is better, and the bound it should keep.

    With `least` too small a value is as wrong as too large a one.
    """

    group: str
    what: str
    samples: tuple[float, ...]
    bound: float | None = None
    unit: str = "ratio"
    detail: str = ""
    least: float | None = None

    @property
    def median(self) -> float:
        """Of the samples"""
        return statistics.median(self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """Lower and upper quartile; the value itself where there is one sample."""
        if len(self.samples) < 2:
            return self.samples[0], self.samples[0]
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return low, high

    @property
    def kept(self) -> bool | None:
        """Whether the median keeps the bounds; None where there are none."""
        return None if self.bound is None else self.median <= self.bound and (self.least is None or self.least <= self.median)


@dataclass(frozen=True)
class Bench:
    """What is measured, and where."""

    device: torch.device
    repeats: int
    tasks: Mapping[str, Task]
    arms: Mapping[str, Arm]
    study: Study
    depth: int = 12  # blocks of the ViT-B; fewer only to try the bench out

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.device)


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Compute with so many threads inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds_of(work: Callable[[], object], wait: Callable[[], object] = lambda: None) -> float:
    """Wall-clock seconds of one call; `wait` lets a device finish."""
    wait()
    began = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - began


def alternate(works: Mapping[str, Callable[[], object]], repeats: int, wait: Callable[[], object] = lambda: None,
              warm_up: int = WARM_UP) -> dict[str, list[float]]:
    """Seconds of each work in each repeat; one after another in every repeat, in turned order every second time."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(warm_up + repeats):
        for name in list(works)[:: -1 if repeat % 2 else 1]:
            spent = seconds_of(works[name], wait)
            if repeat >= warm_up:
                seconds[name].append(spent)
    return seconds


def alternate_anew(build: Callable[[], Mapping[str, Callable[[], object]]], repeats: int, wait: Callable[[], object],
                   warm_up: int = WARM_UP) -> dict[str, list[float]]:
    """As `alternate`, of works that are built anew a few times; at least `repeats` of each."""
    parts = []
    for _ in range(BUILT_ANEW):
        gc.collect()  # models refer to themselves, and three ViT-B with their optimizers take 9 GiB
        parts.append(alternate(build(), -(-repeats // BUILT_ANEW), wait, warm_up))
    return {name: [spent for part in parts for spent in part[name]] for name in parts[0]}


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Ours over theirs, repeat by repeat"""
    return tuple(one / other for one, other in zip(ours, theirs, strict=True))


def milliseconds(seconds: Sequence[float]) -> str:
    """Their median, for people"""
    return f"{statistics.median(seconds) * 1e3:.4g} ms"
