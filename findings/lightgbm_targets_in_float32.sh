#!/usr/bin/env bash
# What a regression learns is a number, and where its zero lies does not matter to trees, which predict means. LightGBM keeps targets in
# float32, whatever they were. Arrival times in seconds since 1970 go by steps of 128 s in it: of four lines that arrive 0, 30, 60 and 90
# s late three are predicted equal and one 128 s later, a mean error of 33 s where there need be none, and the error in training that
# LightGBM reports is 0.001 s, since it measures by its own rounded targets. A northing in metres goes by half metres: four places 10 cm
# apart are one. With the mean subtracted before, or by scikit-learn's HistGradientBoosting from the same targets, the error is 0.001 s.
# The same times as a feature are told apart, so features are held wider. Nothing is said, nor does the documentation of fit and Dataset
# tell. Exits with 1 where that has changed.
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
line = generator.integers(0, 4, 2000)
features = line[:, None].astype(float)
off, reported = {}, {}


def model() -> lightgbm.LGBMRegressor:
    return lightgbm.LGBMRegressor(n_estimators=100, verbose=-1, n_jobs=1, random_state=0)


for name, start, step in (("seconds since the start", 0.0, 30.0), ("seconds since 1970", 1.7e9, 30.0),
                          ("metres from the corner", 0.0, 0.1), ("metres of a northing", 5.3e6 + 0.3, 0.1)):
    target = start + step * line
    fitted = model().fit(features, target, eval_X=(features,), eval_y=(target,), eval_metric="l1")
    guesses = {"lightgbm": fitted.predict(features),
               "lightgbm, mean subtracted": target.mean() + model().fit(features, target - target.mean()).predict(features),
               "HistGradientBoosting": HistGradientBoostingRegressor(random_state=0).fit(features, target).predict(features)}
    reported[name] = fitted.evals_result_["training"]["l1"][-1]
    for kind, guess in guesses.items():
        off[name, kind] = float(abs(guess - target).mean())
        print(f"{name}, {kind}: mean error {off[name, kind]:.4f}; predicted {np.unique((guess - start).round(2)).tolist()} for "
              f"{(np.unique(target) - start).round(2).tolist()}")
    print(f"{name}: LightGBM reports {reported[name]:.4f}")
times = 1.7e9 + 30 * line
apart = np.unique(model().fit(times[:, None], line * 30.0).predict(times[:, None]).round(1))
print(f"times since 1970 as a feature of the same: {apart.tolist()}")
kept = lightgbm.Dataset(features, times.astype(float)).construct().get_label()
print(f"Dataset.get_label(): {kept.dtype}, {np.unique(kept - 1.7e9).tolist()}")
wrong = {("seconds since 1970", "lightgbm"): 20, ("metres of a northing", "lightgbm"): 0.03}
sys.exit(0 if all(off[key] > least for key, least in wrong.items()) and len(apart) == 4 and kept.dtype == np.float32
         and all(value < 0.02 for key, value in off.items() if key not in wrong) and reported["seconds since 1970"] < 2 else 1)
PYTHON
