"""Pictures of any numbers in, bytes that can be told apart out. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

NARROW = 64  # of 256 levels: bytes of fewer are hardly told apart


def stretch(pictures: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """The same as bytes, of the same shape, and what was stretched in words.

    Bytes of a range of `NARROW` or more stay as they are (""), other values go from the least of all to the greatest.
    """
    import numpy as np

    numbers = pictures[np.isfinite(pictures)]
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 0.0)
    if pictures.dtype == np.uint8 and high - low >= NARROW:
        return pictures, ""
    shares = (np.nan_to_num(pictures.astype(np.float64), nan=low, posinf=high, neginf=low) - low) / (high - low or 1)
    return np.rint(255 * shares).astype(np.uint8), f"values from {low:g} to {high:g}, shown from the darkest to the brightest"
