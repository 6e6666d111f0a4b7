#!/usr/bin/env bash
# Equal opportunity asks whether those who should be accepted are, in each group alike, and of a group in which nobody should be nothing can
# be said: its rate is 0 of 0. fairlearn says 0 for it. A model that finds 86 % and 89 % of the positives of two groups of 500 differs
# between them by 0.02. A third group of ten that has no positive in the test data makes that 0.89, by equal_opportunity_difference,
# equalized_odds_difference and MetricFrame.difference() of true_positive_rate, the ratio 0, and the group is listed with a rate of 0.0, as
# if the model turned all of them down. false_negative_rate is 0 there as well, so that finding and missing do not add up to 1. A group
# without negatives does the same to false_positive_rate. Rare groups, crossed features (age by sex) and folds of cross-validation have such
# groups. scikit-learn's recall_score warns of it and takes zero_division=nan; fairlearn says nothing, nor do the pages of these functions.
# Groups without positives left out first cure it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q fairlearn==0.15.0 scikit-learn==1.9.1 scipy==1.17.1 pandas==3.1.1 narwhals==2.29.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import fairlearn
import numpy as np
from fairlearn.metrics import (
    MetricFrame,
    equal_opportunity_difference,
    equalized_odds_difference,
    equalized_odds_ratio,
    false_negative_rate,
    true_positive_rate,
)
from sklearn.metrics import recall_score

print(f"fairlearn {fairlearn.__version__}, numpy {np.__version__}")
rng = np.random.default_rng(0)
group = np.repeat(["a", "b", "c"], [500, 500, 10])
true = (rng.random(len(group)) < 0.3) & (group != "c")
given = np.where(rng.random(len(group)) < 0.1, ~true, true)
found = []
for name, keep in (("two groups", group != "c"), ("and ten samples without a positive", np.ones(len(group), bool))):
    values = true[keep], given[keep]
    frame = MetricFrame(metrics={"found": true_positive_rate, "missed": false_negative_rate}, y_true=values[0], y_pred=values[1],
                        sensitive_features=group[keep])
    gaps = [float(metric(*values, sensitive_features=group[keep]))
            for metric in (equal_opportunity_difference, equalized_odds_difference, equalized_odds_ratio)]
    found.append((float(frame.difference()["found"]), *gaps))
    print(f"{name}: rates of those found {frame.by_group['found'].round(3).to_dict()}, "
          f"missed {frame.by_group['missed'].round(3).to_dict()}; "
          f"difference {found[-1][0]:.3f}, equal opportunity {gaps[0]:.3f}, equalized odds {gaps[1]:.3f}, their ratio {gaps[2]:.3f}")
last = frame.by_group.loc["c"]
missing = recall_score(true[group == "c"], given[group == "c"], zero_division=np.nan)
print(f"scikit-learn with zero_division=nan of the third group: {missing}")
sys.exit(0 if max(found[0][:3]) < 0.1 and min(found[1][:3]) > 0.8 and found[1][3] == 0 and last["found"] == last["missed"] == 0
         and np.isnan(missing) else 1)
PYTHON
