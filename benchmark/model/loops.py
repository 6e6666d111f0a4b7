"""Loops that a CPU runs in one pass where torch and numpy need many: searches in point clouds, a pathway's optimizer step.

numba compiles each where it is first called, and keeps it beside this file or, where that cannot be written, in the user's
cache (NUMBA_CACHE_DIR names another); where neither can, every process compiles anew. Every operation is rounded by
itself, so that places of points agree with those that torch finds on other devices.

Shapes: B clouds, N points, S samples, G centres, K neighbours.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
Moved = tuple[Array, Array, Array]
Rates = tuple[Any, Any, Any, Any, Any, Any, Any]


def compiled(loop: Callable[..., None]) -> Callable[..., None]:
    """`loop` as machine code, which does not hold the interpreter's lock."""
    try:
        return njit(cache=True, nogil=True, error_model="numpy")(loop)
    except RuntimeError:  # there is no folder to keep it in
        return njit(nogil=True, error_model="numpy")(loop)


def has_kernels(device: torch.device) -> bool:
    """Whether a device runs `benchmark.model.kernels`: a GPU beside Triton and the C compiler that it needs, and any
    device where Triton is told to interpret."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        return True
    return device.type == "cuda" and _can_compile(os.environ.get("CC"), os.environ.get("PATH"))


@functools.cache
def _can_compile(compiler: str | None, path: str | None) -> bool:
    """Whether Triton is here, and a compiler that it finds in the folders of `path`"""
    return (importlib.util.find_spec("triton") is not None
            and any(shutil.which(name, path=path) for name in (compiler or "gcc", "gcc", "clang")))


def farthest(points: Array, num_samples: int) -> Array:
    """(B, N, 3) -> (B, S) places: point 0, then each time the first of those farthest from the chosen ones."""
    chosen = np.empty((len(points), num_samples), np.int64)
    left = np.full(points.shape[:2], np.inf, points.dtype)
    spread(farthest_loop, parts_of(_axes(points), left, left.view(f"i{left.itemsize}"), chosen))
    return chosen


def nearest_points(centres: Array, points: Array, num_neighbours: int) -> Array:
    """(B, G, 3), (B, N, 3) -> (B, G, K) places of the nearest points, nearest first and of equally far ones the first.

    Raises `ValueError` where a centre has fewer than K points at a finite distance.
    """
    if len(centres) != len(points) or centres.shape[2:] != (3,):
        raise ValueError(f"centres of shape {centres.shape} do not fit points of shape {points.shape}")
    places = np.empty((*centres.shape[:2], num_neighbours), np.int64)
    distances = np.full(places.shape, np.inf, points.dtype)
    spread(_nearest, parts_of(np.ascontiguousarray(centres), _axes(points), places, distances))
    if np.isinf(distances).any():
        raise ValueError("a point cloud has coordinates that are not numbers, or too large")
    return places


def spread(work: Callable[..., None], calls: Iterable[tuple[Any, ...]]) -> None:
    """Call `work` with each tuple of arguments, in as many threads as torch has (numba's own would not survive a fork)."""
    threads = torch.get_num_threads()
    if threads == 1:
        for arguments in calls:
            work(*arguments)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, *arguments) for arguments in calls]:
            done.result()


def parts_of(*arrays: Array) -> Iterable[tuple[Array, ...]]:
    """The arrays along their first axis, in one part for each thread"""
    parts = max(1, min(torch.get_num_threads(), len(arrays[0])))
    return zip(*(np.array_split(array, parts) for array in arrays), strict=True)


def _axes(points: Array) -> Array:
    """(B, N, 3) -> (B, 3, N), as the loops, which check nothing, read one axis after the other"""
    if points.shape[2:] != (3,):
        raise ValueError(f"points of shape {points.shape}: expected (clouds, points, 3)")
    return np.ascontiguousarray(points.transpose(0, 2, 1))


@compiled
def farthest_loop(axes: Array, left: Array, bits: Array, chosen: Array) -> None:
    """`left`: squared distances to the nearest chosen point; `bits`: the same memory as integers, which are ordered as the
    distances are, and whose largest is found many at once."""
    for cloud in range(len(axes)):
        x, y, z, near, order, found = axes[cloud, 0], axes[cloud, 1], axes[cloud, 2], left[cloud], bits[cloud], chosen[cloud]
        found[0] = 0
        for step in range(1, len(found)):
            last = found[step - 1]
            across, along, up = x[last], y[last], z[last]
            for i in range(len(x)):
                distance = (x[i] - across) * (x[i] - across) + (y[i] - along) * (y[i] - along) + (z[i] - up) * (z[i] - up)
                near[i] = min(near[i], distance)
            most = order[0]
            for i in range(len(x)):
                most = max(most, order[i])
            place = 0
            while order[place] != most:
                place += 1
            found[step] = place


@compiled
def _nearest(centres: Array, axes: Array, places: Array, distances: Array) -> None:
    last = places.shape[2] - 1
    for cloud in range(len(axes)):
        x, y, z = axes[cloud, 0], axes[cloud, 1], axes[cloud, 2]
        every = np.empty(len(x), axes.dtype)
        for centre in range(centres.shape[1]):
            across, along, up = centres[cloud, centre, 0], centres[cloud, centre, 1], centres[cloud, centre, 2]
            for i in range(len(x)):
                every[i] = (x[i] - across) * (x[i] - across) + (y[i] - along) * (y[i] - along) + (z[i] - up) * (z[i] - up)
            near, far = places[cloud, centre], distances[cloud, centre]
            for i in range(len(x)):  # insertion: few points are nearer than the K nearest before them
                if every[i] < far[last]:
                    at = last
                    while at > 0 and far[at - 1] > every[i]:
                        far[at], near[at] = far[at - 1], near[at - 1]
                        at -= 1
                    far[at], near[at] = every[i], i


@compiled
def step_pathway(sums: Array, gradients: Array, scale: Any, new_scale: Any, weight: Moved, weight_rates: Rates,
                 auxiliary: Moved, auxiliary_rates: Rates) -> None:
    """AdamW over W and A, each given with its two moments, and their sum: flat arrays of one length.

    `gradients` are of the sums and taken at `scale`; sums are written at `new_scale`. Rates are numbers of the arrays'
    dtype: the share that weight decay leaves, 1 - beta1, beta2, 1 - beta2, the rate over the first moment's bias
    correction, the root of the second's, epsilon.
    """
    w, w_first, w_second = weight
    a, a_first, a_second = auxiliary
    w_kept, w_new, w_old2, w_new2, w_rate, w_root, w_eps = weight_rates
    a_kept, a_new, a_old2, a_new2, a_rate, a_root, a_eps = auxiliary_rates
    for i in range(len(sums)):
        g = gradients[i]
        first = w_first[i] + w_new * (g - w_first[i])
        second = w_old2 * w_second[i] + w_new2 * g * g
        stepped = w[i] * w_kept - w_rate * first / (np.sqrt(second) / w_root + w_eps)
        w_first[i], w_second[i], w[i] = first, second, stepped
        g = scale * g
        first = a_first[i] + a_new * (g - a_first[i])
        second = a_old2 * a_second[i] + a_new2 * g * g
        other = a[i] * a_kept - a_rate * first / (np.sqrt(second) / a_root + a_eps)
        a_first[i], a_second[i], a[i] = first, second, other
        sums[i] = stepped + new_scale * other
