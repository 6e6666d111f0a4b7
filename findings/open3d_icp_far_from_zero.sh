#!/usr/bin/env bash
# Where two scans lie in the world does not matter to their registration: move both by the same way and the answer moves along. With
# open3d's point to point ICP it does, to 1e-12 m at a kilometre. Point to plane ICP, the one that is taken for its speed, takes small
# turns about the origin of the coordinates and not about the scan: what a turn of 5 degrees bends its path by, half its square times
# the distance, is more than correspondences may be apart. Two scans of 2 m with a turn of 5 degrees and 3 cm between them fit to
# 1e-13 m at the origin and 100 m from it; 300 m away nothing does: fitness 0, a residual of 0, and a transformation that is three
# metres off where the scans were 7 cm apart, with no error or warning. With 2 degrees that comes by 1,000 m. The tensor interface warns
# and leaves the scans as they were. Scans moved to the origin before have none of it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q open3d==0.20.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import open3d as o3d

legacy, tensor = o3d.pipelines.registration, o3d.t.pipelines.registration
scan = np.random.default_rng(0).uniform(-1, 1, (3000, 3))
scan[:, 2] = 0.3 * np.sin(3 * scan[:, 0]) * np.cos(2 * scan[:, 1])


def register(degrees: float, away: float, method: str) -> tuple[float, float]:
    """The fitness, and how far the moved scan's points lie from where they belong, in metres"""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = scan @ np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]]) + [0.03, -0.02, 0.01]
    near = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(turned))
    near.estimate_normals()
    one, two = scan + [away, 0, 0], turned + [away, 0, 0]
    if method == "tensor, point to plane":
        source, target = (o3d.t.geometry.PointCloud(o3d.core.Tensor(points)) for points in (one, two))
        target.point.normals = o3d.core.Tensor(np.asarray(near.normals))
        result = tensor.icp(source, target, 0.2, o3d.core.Tensor(np.eye(4)), tensor.TransformationEstimationPointToPlane(),
                            tensor.ICPConvergenceCriteria(max_iteration=200))
        matrix = result.transformation.numpy()
    else:
        source, target = (o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points)) for points in (one, two))
        target.normals = near.normals
        estimation = (legacy.TransformationEstimationPointToPoint() if method == "point to point"
                      else legacy.TransformationEstimationPointToPlane())
        result = legacy.registration_icp(source, target, 0.2, np.eye(4), estimation, legacy.ICPConvergenceCriteria(max_iteration=200))
        matrix = result.transformation
    return result.fitness, float(np.linalg.norm(one @ matrix[:3, :3].T + matrix[:3, 3] - two, axis=1).mean())


print(f"open3d {o3d.__version__}")
found = {}
for method in ("point to point", "point to plane", "tensor, point to plane"):
    for degrees in (2, 5):
        for away in (0, 100, 300, 1000):
            found[method, degrees, away] = register(degrees, away, method)
        print(f"{method}, a turn of {degrees} degrees:", "; ".join(
            f"{away} m away fitness {found[method, degrees, away][0]:.2f}, off by {found[method, degrees, away][1]:.0e} m"
            for away in (0, 100, 300, 1000)), flush=True)
lost = {("point to plane", 5, 300), ("point to plane", 5, 1000), ("point to plane", 2, 1000)}
tensors = {(f"tensor, {method}", degrees, away) for method, degrees, away in lost}
sys.exit(0 if all(fitness < 0.1 and off > (0.5 if key in lost else 0.01) if key in lost | tensors else fitness > 0.99 and off < 1e-6
                  for key, (fitness, off) in found.items()) else 1)
PYTHON
