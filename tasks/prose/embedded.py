"""The embedded passages in, splits of codes and chapters out."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.data.embedded import arrays_of, digests
from benchmark.data.examples import Examples
from benchmark.spec.recipes import SPLITS, Split

__all__ = ["digests", "load"]


def load(names: Sequence[str]) -> dict[Split, Examples]:
    """Splits of one embedded set: "input" (N, 160) uint8 codes of characters as stored, "label" (N,) chapters."""
    import torch

    (name,) = names
    arrays = arrays_of(name)
    return {split: Examples({"input": torch.from_numpy(arrays[f"x_{split}"]),
                             "label": torch.from_numpy(arrays[f"y_{split}"]).long()}) for split in SPLITS}
