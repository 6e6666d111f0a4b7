#!/usr/bin/env bash
# A fitted random forest is a fixed function: trees and their order are set. With n_jobs above 1 its predict_proba is not one: threads
# add their trees to one sum as they finish, so that equal calls on one fitted forest differ in the last bits, and thirty of thirty
# were distinct. The same holds for a forest's regression. A digest of probabilities, a test that compares them exactly, and a rank or
# a label that hangs on a tie change from call to call whatever random_state is; with n_jobs=1 all calls are equal.
# Needs two cores. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import sklearn
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

inputs, labels = load_digits(return_X_y=True)
distinct = {}
for kind, method in ((RandomForestClassifier, "predict_proba"), (RandomForestRegressor, "predict")):
    forest = kind(301, random_state=0, min_samples_leaf=3).fit(inputs[:900], labels[:900])
    for jobs in (1, 2):
        forest.set_params(n_jobs=jobs)
        answers = [getattr(forest, method)(inputs[900:]) for _ in range(30)]
        distinct[kind, jobs] = len({answer.tobytes() for answer in answers})
        apart = max(float(np.abs(answer - answers[0]).max()) for answer in answers)
        print(f"scikit-learn {sklearn.__version__}, {kind.__name__}.{method}, n_jobs={jobs}: {distinct[kind, jobs]} distinct answers in "
              f"30 calls, at most {apart:.1e} apart")
sys.exit(0 if all((count > 1) == (jobs == 2) for (_, jobs), count in distinct.items()) else 1)
PYTHON
