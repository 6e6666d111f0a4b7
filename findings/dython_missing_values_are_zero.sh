#!/usr/bin/env bash
# A correlation of two columns is taken over the rows that have both, as by pandas' corr, and what is missing says nothing. dython's
# associations, which gives one table for numbers and categories, puts 0 where a value is missing before it begins, and a person of 0 cm and
# 0 kg is far from all others. Of heights and weights of 2,000 people with a correlation of 0.44, 20 who have neither make it 0.65, 100 make
# it 0.85, and 20 who have no height make it 0.24. Heights and ages, which have nothing to do with each other, correlate at 0.72 where 100
# people have neither, as rows of one sensor or of one page of a questionnaire are missing together. A group of which a twentieth has no
# height is said to explain heights (correlation ratio 0.15 in place of 0), by correlation_ratio alone as well. The page has it as a
# default, nan_strategy="replace" by 0.0, and nothing is said that values were missing. "drop_sample_pairs" is right. Exits with 1 where
# that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dython==0.7.12 pandas==3.0.6 scipy==1.17.1 scikit-learn==1.9.1 matplotlib==3.11.2 seaborn==0.13.2 numpy==2.4.6
MPLBACKEND=agg "$folder/venv/bin/python" -W error - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import pandas as pd
from dython.nominal import associations, correlation_ratio

print(f"dython {version('dython')}, pandas {pd.__version__}, numpy {np.__version__}")
PEOPLE = 2000
generator = np.random.default_rng(0)
height, weight, age = generator.normal(170, 10, PEOPLE), generator.normal(70, 10, PEOPLE), generator.normal(50, 10, PEOPLE)
people = pd.DataFrame({"height": height, "weight": weight + (height - 170) / 2, "age": age,
                       "group": pd.Categorical(np.where(generator.random(PEOPLE) < 0.5, "a", "b"))})
order = generator.permutation(PEOPLE)


def correlations(table: pd.DataFrame, one: str, other: str) -> tuple[float, float, float]:
    """By dython, by dython without missing values, and by pandas, or NaN where one is a category"""
    found, right = (float(associations(table, compute_only=True, **how)["corr"].loc[one, other])
                    for how in ({}, {"nan_strategy": "drop_sample_pairs"}))
    return found, right, float("nan") if one == "group" else float(table[one].corr(table[other]))


seen = {}
in_group = order[(people["group"] == "a").to_numpy()[order]]
for name, missing, without, one, other in (
        ("height and weight, all there", order[:0], ["height"], "height", "weight"),
        ("height and weight, 20 have neither", order[:20], ["height", "weight"], "height", "weight"),
        ("height and weight, 100 have neither", order[:100], ["height", "weight"], "height", "weight"),
        ("height and weight, 20 have no height", order[:20], ["height"], "height", "weight"),
        ("height and age, all there", order[:0], ["height"], "height", "age"),
        ("height and age, 100 have neither", order[:100], ["height", "age"], "height", "age"),
        ("group and height, all there", order[:0], ["height"], "group", "height"),
        ("group and height, a twentieth of one group has no height", in_group[:len(in_group) // 20], ["height"], "group", "height")):
    table = people.copy()
    table.loc[missing, without] = np.nan
    seen[name] = correlations(table, one, other)
    print(f"{name}: {seen[name][0]:.3f}; with drop_sample_pairs {seen[name][1]:.3f}"
          + ("" if one == "group" else f", pandas {seen[name][2]:.3f}"))
alone = correlation_ratio(table["group"], table["height"])
there = correlation_ratio(*(table.dropna()[column] for column in ("group", "height")))
print(f"correlation_ratio of the last two: {alone:.3f}; of the rows that have both {there:.3f}")
sys.exit(0 if all(abs(found[1] - seen[name.split(",")[0] + ", all there"][0]) < 0.03 for name, found in seen.items())
         and all(np.isnan(found[2]) or abs(found[1] - found[2]) < 1e-3 for found in seen.values())
         and seen["height and weight, 20 have neither"][0] > 0.6 and seen["height and weight, 100 have neither"][0] > 0.8
         and seen["height and weight, 20 have no height"][0] < 0.3 and seen["height and age, 100 have neither"][0] > 0.7
         and seen["group and height, a twentieth of one group has no height"][0] > 0.1 and alone > 0.1 > there else 1)
PYTHON
