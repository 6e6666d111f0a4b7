"""Sampling and grouping of point clouds, against the libraries that do it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmark.bench.measure import Bench, Result, alternate, milliseconds, ratios, torch_threads
from benchmark.model.points import farthest_point_sample, gather_points, nearest_neighbours

CLOUDS, POINTS, CENTRES, NEIGHBOURS = 32, 1024, 64, 32


def measure_points(bench: Bench) -> Iterator[Result]:
    """32 clouds of 1024 points: 64 farthest points of each (open3d), and 32 neighbours of each of those (SciPy). All on one
    core where there is no GPU: that is what open3d takes, and SciPy is slower with more, as each cloud is asked by itself.
    A GPU is set beside our own sampling on two cores.
    """
    from scipy.spatial import cKDTree

    points = torch.rand(CLOUDS, POINTS, 3, generator=torch.Generator().manual_seed(0))
    there = points.to(bench.device)
    centres = gather_points(there, farthest_point_sample(there, CENTRES))
    arrays = list(zip(points.numpy(), centres.cpu().numpy(), strict=True))
    works: dict[str, Callable[[], object]] = {
        "sample": lambda: farthest_point_sample(there, CENTRES),
        "group": lambda: nearest_neighbours(centres, there, NEIGHBOURS),
        "SciPy": lambda: [cKDTree(cloud).query(places, NEIGHBOURS) for cloud, places in arrays]}
    gpu = bench.device.type == "cuda"
    if gpu:
        works["cores"] = partial(_on_two_cores, points)
    open3d = None if gpu else _open3d()
    if open3d is not None:
        clouds = [open3d.geometry.PointCloud(open3d.utility.Vector3dVector(cloud.astype(float))) for cloud, _ in arrays]
        works["open3d"] = lambda: [cloud.farthest_point_down_sample(CENTRES) for cloud in clouds]
    with torch_threads(1):
        seconds = alternate(works, 3 * bench.repeats, bench.wait)
    if gpu:
        yield Result("points", "farthest point sampling (32 clouds, 1024 points to 64) over that of two cores",
                     ratios(seconds["sample"], seconds["cores"]), 1.0,
                     detail=f"{milliseconds(seconds['sample'])}, two cores {milliseconds(seconds['cores'])}")
    elif open3d is not None:
        yield Result("points", "farthest point sampling (32 clouds, 1024 points to 64) over open3d's",
                     ratios(seconds["sample"], seconds["open3d"]), 1.0,
                     detail=f"{milliseconds(seconds['sample'])}, open3d {milliseconds(seconds['open3d'])}")
    else:
        yield Result("points", "farthest point sampling (32 clouds, 1024 points to 64)",
                     tuple(1e3 * spent for spent in seconds["sample"]), unit="ms",
                     detail="beside nothing: open3d is not here (pip install 'm2pt-bench[view]')")
    yield Result("points", "nearest neighbours (32 clouds, 32 of 1024 for 64 centres) over SciPy's tree",
                 ratios(seconds["group"], seconds["SciPy"]), 1.0,
                 detail=f"{milliseconds(seconds['group'])}, SciPy {milliseconds(seconds['SciPy'])}")


def _on_two_cores(points: Tensor) -> None:
    with torch_threads(2):
        farthest_point_sample(points, CENTRES)


def _open3d() -> Any:
    """None where it, or one of Debian's libgl1, libusb-1.0-0 and libgomp1, is not installed."""
    try:
        return importlib.import_module("open3d")
    except (ImportError, OSError):
        return None
