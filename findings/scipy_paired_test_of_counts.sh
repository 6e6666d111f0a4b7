#!/usr/bin/env bash
# Two models answer the same items for 40 users each, right answers are counted, and a paired test asks which one is better. Counts are
# never below 0, so polars gives them as UInt32 (len(), the sum of true ones), files as uint8 and uint16. scipy's ttest_rel takes the
# difference in that type, where 70 less 71 is 4,294,967,295. Of counts of which the first are 2.4 lower on average (t = -2.70, p =
# 0.010) it gives t = 8.06 and p = 8e-10: the worse model is better beyond doubt, with a confidence interval from 2e9 on, which tells
# whoever looks at it. In uint8 t is 8.24, between 119 and 196. Signed integers and floats are right, and so are wilcoxon, ttest_ind,
# pearsonr and all else that was tried with two samples. Of one sample, tmean adds in the type of the values: the mean of these counts,
# trimmed by nothing, is 2.4 in uint8 and int8 where it is 79.2, and their variance by kstat is below 0. Nothing is said. Exits with 1
# where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1 numpy==2.4.6 polars==2.1.0
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import polars as pl
import scipy
from scipy import stats

USERS, ITEMS = 40, 120
print(f"scipy {scipy.__version__}, numpy {np.__version__}, polars {pl.__version__}; {USERS} users, {ITEMS} items")
generator = np.random.default_rng(0)
first = generator.integers(60, 100, USERS)
second = np.clip(first + generator.integers(-8, 12, USERS), 0, 110)
answers = pl.DataFrame({"user": np.repeat(np.arange(USERS), 2 * ITEMS), "model": np.tile(np.repeat([0, 1], ITEMS), USERS),
                        "right": np.concatenate([np.arange(ITEMS) < count for pair in zip(first, second) for count in pair])})
counts = answers.group_by("user", "model").agg(pl.sum("right")).sort("user")
columns = [counts.filter(model=model)["right"] for model in (0, 1)]
print(f"polars counts as {counts.schema['right']}: {columns[0].to_list()[:6]} ... and {columns[1].to_list()[:6]} ...; "
      f"means {columns[0].mean()} and {columns[1].mean()}")
differences = (first - second).astype(float)
true = float(differences.mean() / (differences.std(ddof=1) / np.sqrt(USERS)))
print(f"t by hand: {true:.4f}, two-sided p {2 * stats.t.sf(abs(true), USERS - 1):.4f}")
pairs = {"polars": tuple(columns), **{np.dtype(kind).name: (first.astype(kind), second.astype(kind))
                                      for kind in ("u1", "u2", "u4", "u8", "i1", "i2", "i8", "f4", "f8")}}
seen, others = {}, {}
for name, (x, y) in pairs.items():
    result = stats.ttest_rel(x, y)
    low, high = result.confidence_interval()
    seen[name] = float(result.statistic)
    others[name] = [float(test(np.asarray(x), np.asarray(y)).pvalue) for test in (stats.wilcoxon, stats.ttest_ind, stats.pearsonr)]
    print(f"{name}: ttest_rel t {seen[name]:.4f}, p {result.pvalue:.2g}, interval {low:.4g} to {high:.4g}; p of wilcoxon, ttest_ind and "
          f"pearsonr {[float(f'{value:.3g}') for value in others[name]]}")
means = {kind: (float(stats.tmean(first.astype(kind))), float(stats.kstat(first.astype(kind), 2))) for kind in ("u1", "i1", "i8", "f8")}
for kind, (mean, variance) in means.items():
    print(f"{np.dtype(kind)}: tmean {mean:.4f} (mean {first.mean():.4f}), kstat {variance:.4g} (variance {first.var(ddof=1):.4g})")
wrong = ("polars", "uint8", "uint16", "uint32", "uint64")
sys.exit(0 if all(seen[name] > 5 for name in wrong) and all(abs(seen[name] - true) < 1e-3 for name in seen if name not in wrong)
         and all(np.allclose(values, others["float64"], rtol=1e-3) for values in others.values())
         and means["u1"][0] < 10 and means["i1"][0] < 10 and means["u1"][1] < 0 and abs(means["i8"][0] - first.mean()) < 1e-9
         and abs(means["f8"][1] / first.var(ddof=1) - 1) < 1e-9 and true < -2 else 1)
PYTHON
