"""The embedded shapes in, splits of clouds out."""

from __future__ import annotations

from benchmark.contracts import SPLITS, Split
from benchmark.data import Examples, embedded
from benchmark.data.embedded import DataError


def require_embedded(profile: str) -> None:
    """Raises `DataError` for the profile that needs official data."""
    if profile == "paper":
        raise DataError("modelnet: ModelNet40 is not wired up yet in this version; use profile tiny or small")


def load() -> dict[Split, Examples]:
    """Splits with "input" (1024, 3) int8 and "label" int64, the points of each cloud in random order."""
    import torch

    from benchmark.points import shuffle_points

    arrays = embedded.load("pointcloud_cls")
    splits: dict[Split, Examples] = {}
    for split in SPLITS:
        (points,) = shuffle_points(torch.from_numpy(arrays[f"x_{split}"]))
        splits[split] = Examples({"input": points, "label": torch.from_numpy(arrays[f"y_{split}"]).long()})
    return splits
