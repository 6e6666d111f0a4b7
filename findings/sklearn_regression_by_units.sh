#!/usr/bin/env bash
# A linear regression by least squares fits alike in whatever units its columns are: metres in place of kilometres make a coefficient a
# thousandth, and predictions stay. Not by scikit-learn 1.9: LinearRegression leaves out of a dense fit each direction in which the data
# spread less than 1e-6 times as far as in the widest one (that is tol, which until 1.8 was for sparse data alone; 1.8 fits all of the below).
# A column of shares from 0 to 1 beside one of people, in tens of millions, gets the coefficient 0 in place of 3, and R2 is 0.02 in place of
# 1; with people in millions all is right. PolynomialFeatures(3) of 0 to 1,000, then LinearRegression, misses an exact cubic by up to 65 % of
# its range. Libraries that fit by it do so too: verde's Trend(1), a plane through heights, on coordinates of UTM (500,000 m east, 4,000,000 m
# north, 10 km wide) misses heights that lie in a plane by up to 11.5 m of 29, and by nothing less a corner of the map. There is no warning;
# rank_ is below the number of columns. tol=0, or columns of one size about zero, cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/fit.py" <<'PYTHON'
import sys

import numpy as np
import sklearn
import verde
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

print(f"scikit-learn {sklearn.__version__}, verde {verde.__version__}, numpy {np.__version__}")
generator = np.random.default_rng(0)
worst = {}
people, share = generator.uniform(0, 5e7, 1000), generator.uniform(0, 1, 1000)
target = 1e-8 * people + 3 * share
ways = {"default": {}, "tol=0": {"tol": 0}}
for unit in (1, 1e6):
    columns = np.stack([people / unit, share], axis=1)
    for name, options in ways.items():
        fit = LinearRegression(**options).fit(columns, target)
        worst[f"people in {unit:.0e}", name] = 1 - fit.score(columns, target)
        print(f"people in {unit:.0e}, {name}: rank {fit.rank_} of 2, coefficient of share {fit.coef_[1]:.4f}, "
              f"R2 {fit.score(columns, target):.4f}")
place = np.linspace(0, 1000, 200)
cubic = (place - 100) * (place - 500) * (place - 900) / 1e7
for unit in (1, 1000):
    for name, options in ways.items():
        model = make_pipeline(PolynomialFeatures(3, include_bias=False), LinearRegression(**options)).fit(place[:, None] / unit, cubic)
        worst[f"cubic of 0 to {1000 // unit}", name] = off = np.abs(model.predict(place[:, None] / unit) - cubic).max() / np.ptp(cubic)
        print(f"cubic of 0 to {1000 // unit}, {name}: rank {model[-1].rank_} of 3, off by up to {off:.2%} of its range")
east, north = generator.uniform(500_000, 510_000, 500), generator.uniform(4_000_000, 4_010_000, 500)
height = 100 + 0.001 * (east - 505_000) + 0.002 * (north - 4_005_000)
for name, corner in (("as they are", (0, 0)), ("less a corner", (500_000, 4_000_000))):
    coordinates = (east - corner[0], north - corner[1])
    worst["plane", name] = off = np.abs(verde.Trend(1).fit(coordinates, height).predict(coordinates) - height).max()
    print(f"plane on a map of UTM, {name}: off by up to {off:.2e} m of {np.ptp(height):.1f}")
wrong = {("people in 1e+00", "default"): 0.3, ("cubic of 0 to 1000", "default"): 0.05, ("plane", "as they are"): 5}
if sys.argv[1] == "old":
    wrong = {}
sys.exit(0 if all(value > wrong[key] if key in wrong else value < 1e-6 for key, value in worst.items()) else 1)
PYTHON
for kind in new old; do
  python3 -m venv "$folder/$kind"
  version=1.9.1; [ "$kind" = old ] && version=1.8.0
  "$folder/$kind/bin/pip" install -q "scikit-learn==$version" verde==1.9.0 scipy==1.17.1 numpy==2.4.6
  "$folder/$kind/bin/python" -W error::RuntimeWarning -W error::UserWarning "$folder/fit.py" "$kind"
done
