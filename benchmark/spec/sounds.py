"""What a spectrogram's rows and columns stand for, which no run depends on: for those who look at it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmark.spec.named import NamedProfile


@dataclass(frozen=True, kw_only=True)
class SoundProfile(NamedProfile):
    """A profile whose inputs are spectrograms of (frames, mel bins), as `shape.input_size` has them."""

    seconds: float  # that the frames of an input last, one after the other
    lowest_hz: float  # where the lowest filter begins
    highest_hz: float  # where the highest ends

    def bin_hertz(self) -> list[float]:
        """The middle of each bin's filter: equally spaced on the mel scale, 2595 log10(1 + f / 700)"""
        low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (self.lowest_hz, self.highest_hz))
        bins = self.shape.input_size[1]
        return [700 * (10 ** ((low + (high - low) * place / (bins + 1)) / 2595) - 1) for place in range(1, bins + 1)]
