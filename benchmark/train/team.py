"""The processes that share a run: which rows of a micro-batch each computes, and what they tell each other.

Here is a run of one process, which shares nothing; `benchmark.train.processes` has that of several. All of them go
through one code, with a `Team` in hand: a run of several is a run of one, computed in pieces.

Shapes: B rows of a micro-batch, n of them a process's own, L that it loads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from benchmark.data.examples import Batch

Value = TypeVar("Value")


@dataclass(frozen=True)
class Rows:
    """What a process computes of a micro-batch: its own rows, and those that they are mixed with, which it loads, too."""

    everyone: tuple[Tensor, ...]  # own rows of each process, (n,) each; together 0 to B - 1
    loaded: Tensor  # (L,) rows of the micro-batch
    own: Tensor  # (n,) places of the own rows among the loaded
    partners: Tensor | None  # (n,) places of what they are mixed with; None where nothing is mixed

    @property
    def total(self) -> int:
        """B"""
        return sum(map(len, self.everyone))


class Team:
    """One process alone."""

    rank = 0
    size = 1

    def rows(self, num_samples: int, repeats: int, mixes: bool) -> Rows | None:
        """Of a micro-batch of so many samples, each `repeats` times; None: all. Raises `ValueError` for too few samples."""
        return None

    def micro_batch(self, rows: Rows | None, last: bool) -> AbstractContextManager[object]:
        """While a micro-batch is computed; gradients are exchanged with the `last` of a step."""
        return nullcontext()

    @property
    def pairs(self) -> tuple[Tensor, Tensor] | None:
        """Places of the own rows of the micro-batch at hand, and of what they are mixed with; None: each with the next."""
        return None

    def complete_sums(self) -> None:
        """After a backward pass make the gradients of those sums whole that steps do without: for a look at them."""

    def join(self, model: nn.Module) -> nn.Module:
        """What to call in the place of `model` while it trains, so that gradients become those of whole batches."""
        return model

    def whole(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Batch]:
        """Logits and columns of all rows of the micro-batch at hand; the gradient is that of the own rows."""
        return logits, batch

    def mean(self, loss: Tensor) -> Tensor:
        """The mean of all rows, from that of the own ones; the gradient is that of the own rows."""
        return loss

    def in_order(self, found: Iterator[Value], count: int) -> Iterator[Value]:
        """What the processes found, in order, of `count` things that they take in turn; to the first process only."""
        yield from found

    def told(self, compute: Callable[[], Value]) -> Value:
        """What the first process computes, to all."""
        return compute()

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process"""
        return flag

    def largest(self, value: float) -> float:
        """Of that of each process"""
        return value

    def check_equal(self, model: nn.Module, when: str) -> None:
        """Raise `RuntimeError` where the processes do not hold the same weights to the last bit."""


ALONE = Team()
