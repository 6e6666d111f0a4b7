#!/usr/bin/env bash
# Least squares has the same answer in volts and in microvolts, but for the unit. SciPy's is so as long as nothing is bounded: curve_fit
# and nnls give it to the last digits in any unit. With bounds, such as "not below 0", curve_fit and lsq_linear go by another method, which
# stops where the gradient or the cost is small as such. A decay of 3 with a time of 1.30 in units of 1 is found as 2.96 and 1.87 in
# units of 1e-5 and below, with standard errors of 0.09 and 0.09 where the right ones are 0.004 and 0.002. lsq_linear, asked for
# non-negative weights of 1, 0, 2, 0.5 and 3, gives 0.93, 0.28, 1.94, 0.51 and 2.89 in units of 1e-6 (micrometres in metres), and
# in units of 1e-9 382 for each of the five, worse than zeros, as a success (status 1, "The first-order optimality measure is less than
# tol"). A bound that no value comes near is enough. Nothing is said. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import scipy
from scipy.optimize import curve_fit, lsq_linear, nnls

print(f"scipy {scipy.__version__}, numpy {np.__version__}")
generator = np.random.default_rng(0)
table = generator.random((200, 5))
target = table @ [1, 0, 2, 0.5, 3] + 0.01 * generator.normal(size=200)
times = np.linspace(0, 5, 100)
decay = 3 * np.exp(-times / 1.3) + 0.01 * generator.normal(size=100)


def model(time: np.ndarray, height: float, scale: float) -> np.ndarray:
    return height * np.exp(-time / scale)


free, bounded, linear, simple, costs = {}, {}, {}, {}, {}
for unit in (1, 1e-3, 1e-5, 1e-6, 1e-9):
    start = (unit, 1)
    values, spread = curve_fit(model, times, decay * unit, p0=start)
    free[unit] = values / [unit, 1]
    values, spread = curve_fit(model, times, decay * unit, p0=start, bounds=(0, np.inf))
    bounded[unit] = values / [unit, 1]
    answer = lsq_linear(table, target * unit, bounds=(0, np.inf))
    linear[unit], simple[unit] = answer.x / unit, nnls(table, target * unit)[0] / unit
    costs[unit] = float(((table @ linear[unit] - target) ** 2).sum() / (target**2).sum())
    print(f"unit {unit:g}: curve_fit {free[unit].round(4).tolist()}, bounded {bounded[unit].round(4).tolist()} with standard errors "
          f"{(np.sqrt(np.diag(spread)) / [unit, 1]).round(4).tolist()}; nnls {simple[unit].round(4).tolist()}, lsq_linear "
          f"{linear[unit].round(4).tolist()}, success {answer.success}, status {answer.status}, square of what is left by that of "
          f"zeros {costs[unit]:.2g}")
sys.exit(0 if all(np.allclose(free[unit], free[1], rtol=1e-4) and np.allclose(simple[unit], simple[1], rtol=1e-6) for unit in free)
         and np.allclose(bounded[1], free[1], rtol=1e-3) and np.allclose(linear[1], simple[1], atol=1e-3)
         and bounded[1e-6][1] > 1.5 and abs(linear[1e-6] - simple[1]).max() > 0.1 and linear[1e-9].min() > 100 and costs[1e-9] > 1 else 1)
PYTHON
