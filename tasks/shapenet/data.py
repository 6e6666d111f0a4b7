"""The embedded point sets in, splits with parts and the unlabelled pool of masked pretraining out."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.data import SPLITS, Examples, Split, embedded


def load(name: str) -> dict[Split, Examples]:
    """Splits of embedded set `name`: "input" (1024, 3) int8, "label" (1024,), "category"; points in random order."""
    import torch

    from benchmark.points import shuffle_points

    arrays = embedded.load(name)
    splits: dict[Split, Examples] = {}
    for split in SPLITS:
        points, parts, category = (torch.from_numpy(arrays[f"{column}_{split}"]) for column in ("x", "part", "cat"))
        points, parts = shuffle_points(points, parts)
        splits[split] = Examples({"input": points, "label": parts.long(), "category": category.long()})
    return splits


def load_pool(names: Sequence[str]) -> Examples:
    """Clouds of the training splits of several embedded sets."""
    import torch

    from benchmark.points import shuffle_points

    clouds = [torch.from_numpy(embedded.load(name)["x_train"]) for name in names]
    (points,) = shuffle_points(torch.cat(clouds))
    return Examples({"input": points})
