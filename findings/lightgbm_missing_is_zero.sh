#!/usr/bin/env bash
# Trees by gradient boosting are taken for what they do with missing values: LightGBM "enables the missing value handle by default" and
# "uses NA (NaN) to represent missing values", says its documentation. That holds for a feature of which some value was missing in
# training. Where none was, NaN becomes 0 at prediction. Of two temperatures in kelvin, 280 to 300, whose mean is asked, a lost one is
# then 0 K, and predictions are 4.9 too low, as for minus infinity; in degrees from -40 to -20 it is the warmest, and they are 4.8 too
# high. A training set that was cleaned of missing values so makes the worst model for data that have them, and units decide which way it
# is off. One missing value among 4,000 rows, or one in 20, changes that: off by 1.0 at most, as scikit-learn's HistGradientBoosting is,
# which had none. Nothing is said. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q lightgbm==4.7.0 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import lightgbm
import numpy as np
import sklearn
from sklearn.ensemble import HistGradientBoostingRegressor

print(f"lightgbm {lightgbm.__version__}, scikit-learn {sklearn.__version__}, numpy {np.__version__}")
generator = np.random.default_rng(0)
same, spread = [], []
for low, high in ((280, 300), (-40, -20)):
    rows = generator.uniform(low, high, (4000, 2))
    target = rows.mean(1)
    models = {"LightGBM, no value missing": (rows, target)}
    some = rows.copy()
    some[::20, 0] = np.nan
    one = rows.copy()
    one[0, 0] = np.nan
    models |= {"LightGBM, one missing": (one, target), "LightGBM, one in 20 missing": (some, target)}
    asked = rows[:1000].copy()
    asked[:, 0] = np.nan
    zero, least = asked.copy(), asked.copy()
    zero[:, 0], least[:, 0] = 0, -np.inf
    for name, data in models.items():
        model = lightgbm.train({"verbose": -1, "num_threads": 1, "deterministic": True, "seed": 0}, lightgbm.Dataset(*data), 100)
        lost, as_zero, cold = (model.predict(array) for array in (asked, zero, least))
        error = float(np.sqrt(np.mean((lost - target[:1000]) ** 2)))
        print(f"{name}, from {low} to {high}: first feature missing, error {error:.2f}, bias {np.mean(lost - target[:1000]):+.2f}; "
              f"same as for 0: {bool((lost == as_zero).all())}, as for -inf: {bool((lost == cold).all())}")
        if name == "LightGBM, no value missing":
            same.append(bool((lost == as_zero).all()))
        spread.append(abs(float(np.mean(lost - target[:1000]))))
    other = HistGradientBoostingRegressor(random_state=0).fit(rows, target).predict(asked)
    print(f"HistGradientBoosting, no value missing: error {np.sqrt(np.mean((other - target[:1000]) ** 2)):.2f}, "
          f"bias {np.mean(other - target[:1000]):+.2f}")
sys.exit(0 if all(same) and spread[0] > 4 and spread[3] > 4 and spread[2] < 1 and spread[5] < 1 else 1)
PYTHON
