#!/usr/bin/env bash
# The normal of a surface at a point follows from the points around it, wherever all of them lie. open3d's estimate_normals takes the spread
# of each neighbourhood as the mean of products less the product of means, so far from zero little is left of it. A roof of 4 by 4 m at
# an angle of 26.6 degrees, 3,000 points with 2 mm of noise, has normals that are right to 0.2 degrees around the origin and up to 50 km away
# from it. At a place of a map (500 km east, 5,800 km north), as laser scans come, they are off by 16 degrees in the mean, one in five by
# more than 10, some by 90, though float64 holds each point to 1e-9 m. fast_normal_computation=False does not help. The whole cloud's
# variances (compute_mean_and_covariance) are off by up to 1 % there, and eight of compute_mahalanobis_distance's distances are NaN.
# Nothing is said. open3d's tensor interface is right at the same place with the same points, and so is a decomposition by numpy.
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

print(f"open3d {open3d.__version__}, numpy {np.__version__}")
generator = np.random.default_rng(0)
across = generator.random((3000, 2)) * 4
roof = np.column_stack([across, across[:, 0] / 2]) + 0.002 * generator.normal(size=(3000, 3))
upright = np.array([-0.5, 0, 1]) / np.linalg.norm([-0.5, 0, 1])
AROUND = open3d.geometry.KDTreeSearchParamKNN(30)


def degrees(normals: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip(abs(np.asarray(normals) @ upright), 0, 1)))


def by_numpy(points: np.ndarray) -> np.ndarray:
    """The direction of least spread of the 30 nearest points, for the first 200"""
    normals = []
    for point in points[:200]:
        nearest = points[np.argsort(((points - point) ** 2).sum(axis=1))[:30]]
        normals.append(np.linalg.svd(nearest - nearest.mean(axis=0))[2][2])
    return np.array(normals)


off, others = {}, []
for place in ([0, 0, 0], [50_000, 50_000, 0], [500_000, 5_800_000, 100]):
    points = roof + np.array(place, float)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.estimate_normals(AROUND)
    off[place[1]] = degrees(cloud.normals)
    cloud.estimate_normals(AROUND, fast_normal_computation=False)
    slow = degrees(cloud.normals)
    tensor = open3d.t.geometry.PointCloud(open3d.core.Tensor(points))
    tensor.estimate_normals(30)
    others += [degrees(tensor.point.normals.numpy()).max(), degrees(by_numpy(points)).max()]
    spread = np.diag(cloud.compute_mean_and_covariance()[1]) / np.var(points, axis=0)
    print(f"at {place}: normals off by {off[place[1]].mean():.3f} degrees in the mean, {off[place[1]].max():.2f} at most, "
          f"{(off[place[1]] > 10).mean():.1%} by more than 10; not fast {slow.mean():.3f}; tensor interface {others[-2]:.2f} at most, "
          f"numpy {others[-1]:.2f}; variances by numpy's {spread.round(4).tolist()}; Mahalanobis distances that are NaN "
          f"{np.isnan(np.asarray(cloud.compute_mahalanobis_distance())).sum()}")
sys.exit(0 if max(others) < 3 and off[0].max() < 3 and off[50_000].max() < 3 and off[5_800_000].mean() > 5 else 1)
PYTHON
