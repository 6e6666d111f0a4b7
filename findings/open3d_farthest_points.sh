#!/usr/bin/env bash
# Farthest point sampling picks points one after another, each as far as can be from those before, so its first 16 of 64 are the 16
# that it would pick alone, and models of points take coarser levels as such beginnings. open3d's farthest_point_down_sample picks the
# same points, but gives them back in the order in which they lie in the cloud: the first 16 of 64 are then any, here the corner where
# the cloud begins, and leave holes of twice the size. And where a cloud repeats points, as clouds that are padded to a fixed
# number do, it stops when all distinct ones are picked, without a word: asked for 64 of 100 points, of which 50 are distinct, it gives
# 50. Both of its interfaces do so.
# Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q open3d==0.20.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import open3d


def farthest(points: np.ndarray, number: int) -> np.ndarray:
    """In the order in which they are picked, from the first point of the cloud on"""
    picked, distance = [0], ((points - points[0]) ** 2).sum(1)
    for _ in range(number - 1):
        picked.append(int(distance.argmax()))
        distance = np.minimum(distance, ((points - points[picked[-1]]) ** 2).sum(1))
    return points[picked]


def legacy(points: np.ndarray, number: int) -> np.ndarray:
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    return np.asarray(cloud.farthest_point_down_sample(number).points)


def tensor(points: np.ndarray, number: int) -> np.ndarray:
    cloud = open3d.t.geometry.PointCloud(open3d.core.Tensor(points))
    return cloud.farthest_point_down_sample(number).point.positions.numpy()


def hole(points: np.ndarray, picked: np.ndarray) -> float:
    """How far the loneliest point of the cloud is from the nearest picked one"""
    return float(np.sqrt(((points[:, None] - picked[None]) ** 2).sum(-1)).min(1).max())


def equal(one: np.ndarray, other: np.ndarray) -> bool:
    return {tuple(point) for point in one} == {tuple(point) for point in other}


print(f"open3d {open3d.__version__}")
side = np.linspace(0, 1, 12)
cloud = np.stack(np.meshgrid(side, side, side, indexing="ij"), -1).reshape(-1, 3)
cloud += 0.01 * np.random.default_rng(0).random(cloud.shape)  # no two distances are equal
ours, right = farthest(cloud, 64), True
repeated = np.concatenate([cloud[:50], cloud[:50]])
for name, sample in {"PointCloud": legacy, "t.PointCloud": tensor}.items():
    found = sample(cloud, 64)
    places = [int(np.flatnonzero((cloud == point).all(1))[0]) for point in found]
    holes = hole(cloud, found[:16]), hole(cloud, ours[:16])
    few = [len(sample(repeated, number)) for number in (40, 50, 64, 100)]
    print(f"{name}: the same 64 points: {equal(found, ours)}; in the cloud's order: {places == sorted(places)}; largest hole around "
          f"the first 16: {holes[0]:.2f}, around the 16 that are picked first: {holes[1]:.2f}; of 50 points, each twice, asked for "
          f"40, 50, 64, 100: {few}")
    right &= (equal(found, ours) and places == sorted(places) and holes[0] > 2 * holes[1] and few == [40, 50, 50, 100]
              and equal(sample(cloud, 16), ours[:16]))
sys.exit(0 if right else 1)
PYTHON
