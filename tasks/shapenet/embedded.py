"""The embedded point sets in, splits with parts and the unlabelled pool of masked pretraining out."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.data.embedded import arrays_of, digests
from benchmark.data.examples import Examples
from benchmark.spec.recipes import SPLITS, Split

__all__ = ["digests", "load", "load_pool"]


def load(names: Sequence[str]) -> dict[Split, Examples]:
    """Splits of the first of the embedded sets: "input" (1024, 3) int8, "label" (1024,), "category"; points in random order."""
    import torch

    from benchmark.model.points import shuffle_points

    arrays = arrays_of(names[0])
    splits: dict[Split, Examples] = {}
    for split in SPLITS:
        points, parts, category = (torch.from_numpy(arrays[f"{column}_{split}"]) for column in ("x", "part", "cat"))
        points, parts = shuffle_points(points, parts)
        splits[split] = Examples({"input": points, "label": parts.long(), "category": category.long()})
    return splits


def load_pool(names: Sequence[str]) -> Examples:
    """Clouds of the training splits of all of the embedded sets."""
    import torch

    from benchmark.model.points import shuffle_points

    clouds = [torch.from_numpy(arrays_of(name)["x_train"]) for name in names]
    (points,) = shuffle_points(torch.cat(clouds))
    return Examples({"input": points})
