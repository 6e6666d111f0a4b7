#!/usr/bin/env bash
# Where points lie does not matter to the triangles between them, and interpolation on those triangles moves along with the points. SciPy
# hands coordinates to Qhull as they come, and Qhull lifts them to their squares, so that far from zero points seem to lie on one plane and
# are left out. Of 2,000 measurements in 10 by 10 m at a place of a map (500 km east, 5,800 km north) 200 are kept, of those in 2 by 2 m
# 22, though float64 holds each place to 1e-9 m and all differ. griddata and LinearNDInterpolator then interpolate between what is left:
# off by 0.42 where it is off by 0.09 around the origin, and by 0.26 where it is off by 0.005. A value that was measured does not come
# back at its own place either, where it is off by up to 0.4. Voronoi leaves out the same. There is no error or warning; an
# attribute lists the points, and a note under Delaunay says that points may be left out. With rescale=True, after the
# mean is subtracted, or in matplotlib's Triangulation all points are kept. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1 matplotlib==3.11.2 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import matplotlib
import numpy as np
import scipy
from matplotlib.tri import Triangulation
from scipy.interpolate import griddata
from scipy.spatial import Delaunay, Voronoi

print(f"scipy {scipy.__version__}, matplotlib {matplotlib.__version__}, numpy {np.__version__}")
generator = np.random.default_rng(0)


def height(places: np.ndarray) -> np.ndarray:
    return np.sin(places[:, 0]) * np.cos(places[:, 1] / 0.7)


def kept(indices: np.ndarray) -> int:
    return len(np.unique(indices))


right = True
for side in (10, 2):
    places, asked = generator.random((2000, 2)) * side, side * (0.1 + 0.8 * generator.random((500, 2)))
    for corner in ([0, 0], [500_000, 5_800_000]):
        there, corner = places + np.array(corner, float), np.array(corner, float)
        moved = float(abs(there - corner - places).max())

        def off(points: np.ndarray, at: np.ndarray, truth: np.ndarray, **options: bool) -> float:
            return float(np.nanmax(abs(griddata(points, height(places), at, **options) - truth)))

        counts = kept(Delaunay(there).simplices), kept(Voronoi(there).ridge_points), kept(Triangulation(*there.T).triangles)
        errors = (off(there, asked + corner, height(asked)), off(there, there, height(places)),
                  off(there, asked + corner, height(asked), rescale=True),
                  off(there - there.mean(axis=0), asked + corner - there.mean(axis=0), height(asked)))
        print(f"{len(np.unique(there, axis=0))} places in {side} by {side} m at {corner.tolist()}, rounded by {moved:.0e} m: Delaunay keeps "
              f"{counts[0]}, Voronoi {counts[1]}, matplotlib {counts[2]}; griddata is off by up to {errors[0]:.3f}, at the points "
              f"themselves by {errors[1]:.3f}; with rescale {errors[2]:.3f}, with the mean subtracted {errors[3]:.3f}")
        far = bool(corner.any())
        right &= moved < 1e-9 and counts[2] == 2000 and errors[2] < 0.1 and errors[3] < 0.1 and (
            (counts[0] < 1000 and errors[0] > 0.2 and errors[1] > 0.2) if far else (counts[0] == 2000 and errors[0] < 0.1))
sys.exit(0 if right else 1)
PYTHON
