#!/usr/bin/env bash
# A bowl has one lowest point, and minimize either finds it or says that it did not. Without a gradient it takes differences over a step
# of 1.5e-8, which is the root of float64's precision, and an objective that computes in float32 (a network, an image loss, a renderer)
# gives the same number at both ends of it. The gradient is then 0 everywhere, and BFGS, L-BFGS-B, CG, SLSQP and TNC return the start with
# success=True and "Optimization terminated successfully" or its like, from zeros or from tens. The step is not chosen by what the
# objective returns, though SciPy can: with jac="2-point", which is the same formula, it is 3.5e-4 for a result of dtype float32, and each
# of the five ends within 1e-4 of 0 here, from 75. Where the result was made a Python float, which has no dtype, jac="2-point" does
# nothing, and a step in options (eps=1e-3) does. least_squares looks at the dtype by itself. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error::RuntimeWarning - <<'PYTHON'
import sys

import numpy as np
import scipy
from scipy.optimize import least_squares, minimize

METHODS = ("BFGS", "L-BFGS-B", "CG", "SLSQP", "TNC")
generator = np.random.default_rng(0)
matrix = generator.normal(size=(50, 5))
target = matrix @ np.arange(1.0, 6.0)


def loss(dtype: type) -> object:
    """A mean of squares, 0 at (1, 2, 3, 4, 5), computed in a dtype"""
    small, wanted = matrix.astype(dtype), target.astype(dtype)
    return lambda weights: np.mean((small @ weights.astype(dtype) - wanted) ** 2)


def python_float(weights: np.ndarray) -> float:
    return float(loss(np.float32)(weights))


print(f"scipy {scipy.__version__}, numpy {np.__version__}")
runs = {"float64": (loss(np.float64), {}), "float32": (loss(np.float32), {}),
        "float32, jac='2-point'": (loss(np.float32), {"jac": "2-point"}), "float32 as a Python float": (python_float, {}),
        "float32 as a Python float, jac='2-point'": (python_float, {"jac": "2-point"}),
        "float32 as a Python float, eps=1e-3": (python_float, {"options": {"eps": 1e-3}})}
stuck, low, successes = {}, {}, {}
for name, (objective, settings) in runs.items():
    results = {method: minimize(objective, np.zeros(5), method=method, **settings) for method in METHODS}
    stuck[name] = [bool((result.x == 0).all()) for result in results.values()]
    low[name] = [float(result.fun) < 1e-4 for result in results.values()]
    successes[name] = [bool(result.success) for result in results.values()]
    print(f"{name}, from {float(objective(np.zeros(5))):.2f}: " + "; ".join(
        f"{method} {float(result.fun):.1e}, success={result.success}" for method, result in results.items()))
messages = {minimize(runs["float32"][0], np.zeros(5), method=method).message for method in METHODS}
starts = [minimize(runs["float32"][0], np.full(5, start), method="BFGS") for start in (10.0, -3.0, 100.0)]
print(f"messages of float32: {sorted(messages)}")
print("BFGS in float32 from other starts:", "; ".join(
    f"{result.x} in {result.nit} steps, success={result.success}" for result in starts))
small, wanted = matrix.astype(np.float32), target.astype(np.float32)
squares = least_squares(lambda weights: small @ weights.astype(np.float32) - wanted, np.zeros(5))
print(f"least_squares in float32: {squares.x.round(4)}")
held = {"float32", "float32 as a Python float", "float32 as a Python float, jac='2-point'"}
sys.exit(0 if all(all(stuck[name]) and all(successes[name]) for name in held) and all(all(low[name]) for name in runs if name not in held)
         and all(result.success and result.nit == 0 for result in starts) and np.abs(squares.x - np.arange(1, 6)).max() < 1e-3 else 1)
PYTHON
