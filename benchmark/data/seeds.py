"""Seeds in, random numbers out: one named stream per use, and per-sample draws that depend on nothing but the sample.

Two runs that name the same use draw the same numbers; a new use never shifts an old one. That is what pairs the arms
of a benchmark: an arm's name never enters a data seed.

Shapes: B batch.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

_INCREMENT = -7046029254386353131  # 0x9E3779B97F4A7C15 as int64, splitmix64's golden ratio (Steele et al., 2014)
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def derive_seed(base_seed: int, *use: str | int) -> int:
    """The 63-bit seed of one named use of randomness, for example ("order", 3)."""
    text = "\x1f".join([str(base_seed), *(f"{type(part).__name__}:{part}" for part in use)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(base_seed: int, *use: str | int) -> torch.Generator:
    """A CPU generator for one named use."""
    return torch.Generator().manual_seed(derive_seed(base_seed, *use))


def seed_torch(seed: int, device: torch.device | None = None) -> None:
    """Begin torch's own streams of random numbers anew: the CPU's, and that of `device`.

    `torch.manual_seed` does so for every other kind of device that it knows, too, and notes a
    traceback for those not in use: half a millisecond, a thirtieth of a small model's step.
    """
    torch.default_generator.manual_seed(seed)
    if device is not None and device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device is not None and device.type != "cpu":
        torch.manual_seed(seed)


def _logical_shift(bits: Tensor, by: int) -> Tensor:
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _splitmix(bits: Tensor) -> Tensor:
    """int64 -> int64, the output function of splitmix64; arithmetic wraps."""
    bits = (bits ^ _logical_shift(bits, 30)) * _MIX_1
    bits = (bits ^ _logical_shift(bits, 27)) * _MIX_2
    return bits ^ _logical_shift(bits, 31)


class SampleRandom:
    """Random numbers of the samples of one batch, as a pure function of (seed, epoch, sample index, use).

    They do not depend on the batch that a sample is in, on a worker process, on the device or on
    what was drawn before, so that two arms, or a run and its resumption, see the same augmentation
    and the same masks. Samples of several seeds may be side by side in one batch, equally many of
    each; every one has the numbers that it has under its seed alone.
    """

    def __init__(self, base_seed: int | Sequence[int], epoch: int, indices: Tensor,
                 leaders: Sequence[int] | None = None):
        """indices: (B,) int64, the position of each sample in its split; of several seeds, first
        those of the first. `leaders` is the first index of each seed, known without asking a device.
        """
        self.seeds = (base_seed,) if isinstance(base_seed, int) else tuple(base_seed)
        self.epoch, self.indices, self.leaders = epoch, indices, leaders
        self._seed_of: Tensor | None = None  # (B,) place among the seeds, where there are several
        if len(self.seeds) > 1:
            places = torch.arange(len(self.seeds), device=indices.device)
            self._seed_of = places.repeat_interleave(len(indices) // len(self.seeds))

    def among(self, chosen: Tensor) -> Self:
        """The random numbers of those of the samples that are at `chosen` (b,)"""
        other = copy.copy(self)
        other.indices, other.leaders = self.indices[chosen], None
        other._seed_of = None if self._seed_of is None else self._seed_of[chosen]
        return other

    def of_leaders(self) -> Self:
        """The random numbers of the first sample of each seed, computed on the CPU"""
        leaders = self.leaders
        if leaders is None:
            leaders = self.indices.view(len(self.seeds), -1)[:, 0].tolist()
        return type(self)(self.seeds, self.epoch, torch.tensor(leaders))

    def _bits(self, use: str, size: tuple[int, ...]) -> Tensor:
        count = math.prod(size)
        keys = [derive_seed(seed, "sample", use, self.epoch) for seed in self.seeds]
        key: int | Tensor = keys[0]
        if self._seed_of is not None:
            key = torch.tensor(keys, device=self.indices.device)[self._seed_of]
        sample = _splitmix(self.indices * _INCREMENT + key)
        offset = torch.arange(1, count + 1, device=self.indices.device, dtype=torch.int64) * _INCREMENT
        return _splitmix(sample[:, None] + offset).view(len(self.indices), *size)

    def uniform(self, use: str, *size: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(B, *size) float32 in [low, high), where rounding of `low` or `high` does not reach it; finite in any case"""
        return _logical_shift(self._bits(use, size), 40).float().mul_(2.0**-24 * (high - low)).add_(low)

    def normal(self, use: str, *size: int) -> Tensor:
        """(B, *size) float32, standard normal, within 5.42 of 0"""
        places = (self.uniform(use, *size) + 2.0**-25).double()  # of the largest, rounding makes 1, whose quantile is infinite
        values: Tensor = torch.special.ndtri(places.clamp_(max=1 - 2.0**-25)).float()
        return values

    def integers(self, use: str, high: int, *size: int) -> Tensor:
        """(B, *size) int64 in [0, high)"""
        return (self.uniform(use, *size).double() * high).long().clamp_(max=high - 1)

    def chance(self, use: str, probability: float) -> Tensor:
        """(B,) bool, true with the given probability"""
        return self.uniform(use) < probability
