#!/usr/bin/env bash
# Code for numpy, compiled by numba, is to give numpy's results, only faster, so a mean is moved into a compiled loop. In float32 numba
# adds one number after the other to one float32, where numpy adds in pairs. The mean of 2^24 times 0.1 is then 0.115 and their
# variance 2e-4; the mean of 2^26 pixels between 0 and 1 is 0.25 in place of 0.5, as their sum cannot pass 2^24, where 1 is less than
# the distance of two neighbours. np.median of five numbers of which one is NaN is NaN in numpy; in numba it is NaN or 5, by where the
# NaN stands. There is no warning. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numba==0.68.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numba
import numpy as np

tenths = np.full(1 << 24, 0.1, dtype=np.float32)
pixels = np.random.default_rng(0).random(1 << 26, dtype=np.float32)
several = np.array([1.0, 2.0, 5.0, np.nan, 9.0])
FUNCTIONS = {
    "mean of 2^24 times 0.1": (np.mean, tenths), "variance of them": (np.var, tenths), "mean of 2^26 pixels": (np.mean, pixels),
    "median with a NaN": (np.median, several), "median with the NaN first": (np.median, several[[3, 0, 1, 2, 4]]),
}
found = {}
for name, (function, values) in FUNCTIONS.items():
    compiled = numba.njit(lambda x, function=function: function(x))
    found[name] = float(function(values)), float(compiled(values))
    print(f"{name}: numpy {np.__version__} {found[name][0]:.6g}, numba {numba.__version__} {found[name][1]:.6g}")
off = {name: other for name, (own, other) in found.items() if not abs(other - own) < 1e-5 * abs(own)}
as_told = (0.11 < off["mean of 2^24 times 0.1"] < 0.12 and off["variance of them"] > 1e-4 and off["mean of 2^26 pixels"] == 0.25
           and off["median with the NaN first"] == 5 and np.isnan(found["median with a NaN"][1])
           and all(np.isnan(found[name][0]) for name in found if "NaN" in name))
sys.exit(0 if as_told else 1)
PYTHON
