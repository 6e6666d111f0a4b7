"""The embedded point sets in, splits with parts and the unlabelled pool of masked pretraining out."""

from __future__ import annotations

from benchmark.contracts import SPLITS, Split
from benchmark.data import Examples, embedded
from benchmark.data.embedded import DataError


def require_embedded(profile: str) -> None:
    """Raises `DataError` for the profile that needs official data."""
    if profile == "paper":
        raise DataError("shapenet: ShapeNetPart and ShapeNet-55 are not wired up yet in this version; "
                        "use profile tiny or small")


def load() -> dict[Split, Examples]:
    """Splits with "input" (1024, 3) int8, "label" (1024,) and "category" int64, points in random order."""
    import torch

    from benchmark.points import shuffle_points

    arrays = embedded.load("pointcloud_seg")
    splits: dict[Split, Examples] = {}
    for split in SPLITS:
        points, parts, category = (torch.from_numpy(arrays[f"{column}_{split}"]) for column in ("x", "part", "cat"))
        points, parts = shuffle_points(points, parts)
        splits[split] = Examples({"input": points, "label": parts.long(), "category": category.long()})
    return splits


def load_pool() -> Examples:
    """Clouds of both sets' training splits."""
    import torch

    from benchmark.points import shuffle_points

    clouds = [torch.from_numpy(embedded.load(name)["x_train"]) for name in ("pointcloud_seg", "pointcloud_cls")]
    (points,) = shuffle_points(torch.cat(clouds))
    return Examples({"input": points})
