"""The embedded shapes in, splits of clouds out."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.data.embedded import arrays_of, digests
from benchmark.data.examples import Examples
from benchmark.spec.recipes import SPLITS, Split

__all__ = ["digests", "load"]


def load(names: Sequence[str]) -> dict[Split, Examples]:
    """Splits of one embedded set: "input" (1024, 3) int8, the points of each cloud in random order, and "label"."""
    import torch

    from benchmark.model.points import shuffle_points

    (name,) = names
    arrays = arrays_of(name)
    splits: dict[Split, Examples] = {}
    for split in SPLITS:
        (points,) = shuffle_points(torch.from_numpy(arrays[f"x_{split}"]))
        splits[split] = Examples({"input": points, "label": torch.from_numpy(arrays[f"y_{split}"]).long()})
    return splits
