#!/usr/bin/env bash
# A smoothing spline that chooses its own smoothness needs nothing from its user: make_smoothing_spline takes the penalty with the least
# error of generalised cross-validation, which is a matter of the points and not of whether time is in seconds or minutes. But it
# looks for the penalty between 0 and the number of points, and a penalty has the cube of time in it. 200 points of a sine over 10
# time units with noise of 0.1 are smoothed to within 0.017 of the sine; over 600 (seconds, where those were minutes) to 0.038, over 10,000
# to 0.093, which is nearly the noise, and over ten million the curve goes through every point, to 3e-9. Over 0.1 it is a straight line,
# off by 0.64. There is no warning; only where time is smaller still does it raise that the problem seems ill-posed. The same penalty given
# by hand, times the cube of the unit, is off by 0.019 in each unit. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import scipy
from scipy.interpolate import make_smoothing_spline

print(f"scipy {scipy.__version__}, numpy {np.__version__}")
generator = np.random.default_rng(0)
time = np.sort(generator.uniform(0, 10, 200))
values = np.sin(time) + 0.1 * generator.normal(size=200)


def size(difference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(difference**2)))


def score(penalty: float) -> float:
    """Generalised cross-validation by its definition, from the matrix that smooths, column by column, over 10 units of time"""
    matrix = np.stack([make_smoothing_spline(time, column, lam=penalty)(time) for column in np.eye(200)], axis=1)
    return float(np.mean((values - matrix @ values) ** 2) / (1 - np.trace(matrix) / 200) ** 2)


tried = np.geomspace(1e-4, 10, 11)
scores = [score(penalty) for penalty in tried]
best = float(tried[int(np.argmin(scores))])
print(f"over 10 the score is least at a penalty of about {best:.2g}")
off, left, given = {}, {}, {}
for unit in (0.01, 0.1, 1, 60, 1000, 1e6):
    smooth = make_smoothing_spline(time * unit, values)(time * unit)
    off[unit], left[unit] = size(smooth - np.sin(time)), size(smooth - values)
    given[unit] = size(make_smoothing_spline(time * unit, values, lam=best * unit**3)(time * unit) - np.sin(time))
    print(f"200 points over {10 * unit:g}: off the sine by {off[unit]:.4f}, off the points by {left[unit]:.2g}; with that penalty times the "
          f"cube of {unit:g} off the sine by {given[unit]:.4f}")
sys.exit(0 if off[1] < 0.025 and off[60] > 1.5 * off[1] and off[1000] > 0.08 and left[1e6] < 1e-6 and off[0.01] > 0.5
         and max(given.values()) < 0.03 else 1)
PYTHON
