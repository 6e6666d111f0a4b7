"""What a spectrogram's rows and columns stand for, which no run depends on: for those who look at it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from benchmark.spec.named import NamedProfile

if TYPE_CHECKING:
    from torch import Tensor

Values = TypeVar("Values", float, "Tensor")


def to_mel(hertz: float) -> float:
    """A frequency on the mel scale, 2595 log10(1 + f / 700)"""
    return 2595 * math.log10(1 + hertz / 700)


def from_mel(mel: Values) -> Values:
    """Places on the mel scale -> hertz"""
    return 700 * (10 ** (mel / 2595) - 1)


@dataclass(frozen=True, kw_only=True)
class SoundProfile(NamedProfile):
    """A profile whose inputs are spectrograms of (frames, mel bins), as `shape.input_size` has them."""

    seconds: float  # that the frames of an input last, one after the other
    lowest_hz: float  # where the lowest filter begins
    highest_hz: float  # where the highest ends

    def bin_hertz(self) -> list[float]:
        """The middle of each bin's filter: equally spaced on the mel scale"""
        low, high = to_mel(self.lowest_hz), to_mel(self.highest_hz)
        bins = self.shape.input_size[1]
        return [from_mel(low + (high - low) * place / (bins + 1)) for place in range(1, bins + 1)]
