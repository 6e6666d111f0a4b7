"""The embedded shapes in, splits of clouds out."""

from __future__ import annotations

from benchmark.data import SPLITS, Examples, Split, embedded


def load(name: str) -> dict[Split, Examples]:
    """Splits of embedded set `name`: "input" (1024, 3) int8, the points of each cloud in random order, and "label"."""
    import torch

    from benchmark.points import shuffle_points

    arrays = embedded.load(name)
    splits: dict[Split, Examples] = {}
    for split in SPLITS:
        (points,) = shuffle_points(torch.from_numpy(arrays[f"x_{split}"]))
        splits[split] = Examples({"input": points, "label": torch.from_numpy(arrays[f"y_{split}"]).long()})
    return splits
