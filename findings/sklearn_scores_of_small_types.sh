#!/usr/bin/env bash
# A score of a regression compares two columns of numbers, and how many bytes they are kept in matters as far as they are rounded by it.
# scikit-learn keeps the type of targets and predictions in which both are. In float16, as predictions and targets in half precision
# are, it adds thousands of errors up in float16: R2 of 1,000 temperatures with a deviation of 10 is 1 where it is 0.46, as the sum of
# squares passes 65,504 and is infinite (numpy warns of an overflow), and with 20,000 samples of deviation 1 d2_absolute_error_score is
# 0.61 where 0.19 is right and 0.05 where -1 is, without a word, as a sum that has reached 2,048 takes no more of what is below 1. Mean
# squared and absolute errors of the same are right. In uint8 (grey values, counts) those are right, too, and the median absolute error
# is 8 where 3 is right, the largest error 255 where 19 is: 100 less 101 is 255 there. With targets of another type all is right. Exits
# with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import sklearn
from sklearn import metrics

print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}")
generator = np.random.default_rng(0)
SCORES = ("r2_score", "d2_absolute_error_score", "mean_squared_error", "mean_absolute_error", "median_absolute_error", "max_error")
found, spoken = {}, {}


def compare(name: str, targets: np.ndarray, predictions: np.ndarray) -> None:
    for score in SCORES:
        function = getattr(metrics, score)
        right = float(function(targets.astype(float), predictions.astype(float)))
        mixed = float(function(targets.astype(np.float64 if targets.dtype.kind == "f" else np.int64), predictions))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            given = float(function(targets, predictions))
        found[name, score], spoken[name, score] = (given, right, mixed), {str(entry.message) for entry in caught}
        print(f"{name}, {score}: {given:.4g}" + ("" if abs(given - right) <= 0.003 * abs(right) else f" where {right:.4g} is right")
              + "".join(f" ({message})" for message in sorted(spoken[name, score])))


for name, samples, deviation, error in (("temperatures", 1000, 10, 0.7), ("fair", 20_000, 1, 0.8), ("bad", 20_000, 1, 2)):
    targets = generator.normal(scale=deviation, size=samples)
    compare(f"{samples} in float16, {name}", targets.astype(np.float16),
            (targets + generator.normal(scale=error * deviation, size=samples)).astype(np.float16))
targets = generator.integers(0, 200, 2000)
compare("2000 in uint8", targets.astype(np.uint8), np.clip(targets + generator.normal(0, 5, 2000).round(), 0, 255).astype(np.uint8))
warm = found["1000 in float16, temperatures", "r2_score"]
silent = [("20000 in float16, fair", "d2_absolute_error_score"), ("20000 in float16, bad", "d2_absolute_error_score"),
          ("2000 in uint8", "median_absolute_error"), ("2000 in uint8", "max_error")]
sound = [key for key in found if key[1].startswith("mean")]
sys.exit(0 if warm[0] == 1 and warm[1] < 0.6 and all(abs(found[key][0] - found[key][1]) > 0.3 and not spoken[key] for key in silent)
         and all(abs(given - right) < 0.003 * right for given, right, _ in (found[key] for key in sound))
         and all(abs(mixed - right) <= 0.003 * abs(right) for _, right, mixed in found.values()) else 1)
PYTHON
