#!/usr/bin/env bash
# PowerTransformer makes a column more like a normal one, and "by default, zero-mean, unit-variance normalization is applied", says its
# documentation. For a column that is normal already and lies far from zero (kelvins, pascals, metres of a map: a mean of 1,000
# deviations) it is a matter of luck: the likelihood is nearly flat in the power, and where the best one is well below 0 all values
# come out equal but for rounding, and are not scaled. Of 40 such columns of 1,000 rows 9 to 14 have a deviation of 1e-15 in place of 1,
# at a mean of 100 deviations one. Logistic regression of two classes 0.6 K apart at 293 K has 0.93 after a StandardScaler, and 0.49 to
# 0.52, which is chance, in 5 of 20 draws after a PowerTransformer. After both, the scaler first, none is lost. Nothing is said, and of a
# pipeline only the score tells. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import scipy
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler

print(f"scikit-learn {sklearn.__version__}, scipy {scipy.__version__}, numpy {np.__version__}; Yeo-Johnson, "
      "40 normal columns of 1,000 rows")
lost = {}
for mean, deviation in ((0, 1), (10, 1), (100, 1), (293, 0.2), (1000, 1), (101_325, 100), (4_500_000, 1000)):
    columns = np.random.default_rng(0).normal(mean, deviation, (1000, 40))
    made = PowerTransformer().fit(columns)
    deviations = made.transform(columns).std(0)
    moved = PowerTransformer().fit_transform((columns - mean) / deviation).std(0)
    lost[mean] = int((deviations < 1e-6).sum())
    print(f"mean {mean}, deviation {deviation}: {lost[mean]} columns with a deviation below 1e-6, the least {deviations.min():.1e}, "
          f"their lambdas {made.lambdas_[deviations < 1e-6].round(2).tolist()[:4]}; of the rest from "
          f"{deviations[deviations > 1e-6].min():.3f} to {deviations.max():.3f}; after a StandardScaler from {moved.min():.3f} to {moved.max():.3f}")
accuracies = {"PowerTransformer": [], "StandardScaler": [], "both": []}
for seed in range(20):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, 2000)
    kelvin = generator.normal(293, 0.2, 2000)[:, None] + 0.6 * labels[:, None]
    for name, steps in (("PowerTransformer", (PowerTransformer(),)), ("StandardScaler", (StandardScaler(),)),
                        ("both", (StandardScaler(), PowerTransformer()))):
        model = make_pipeline(*steps, LogisticRegression()).fit(kelvin[:1000], labels[:1000])
        accuracies[name].append(float(model.score(kelvin[1000:], labels[1000:])))
for name, values in accuracies.items():
    print(f"two classes 0.6 K apart at 293 K, logistic regression after {name}, 20 seeds: accuracies "
          f"{sorted(round(value, 2) for value in values)}")
sys.exit(0 if min(lost[mean] for mean in (293, 1000, 101_325, 4_500_000)) > 0 and lost[0] == lost[10] == 0
         and min(accuracies["PowerTransformer"]) < 0.6 and min(min(accuracies[name]) for name in ("StandardScaler", "both")) > 0.9 else 1)
PYTHON
