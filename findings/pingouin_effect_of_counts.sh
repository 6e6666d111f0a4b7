#!/usr/bin/env bash
# Wilcoxon's signed-rank test of two models on the same items comes with an effect size, whose sign says which of them is better. pingouin
# takes the test from scipy, which is right for counts of any type, and the effect from the difference in the type that the counts have.
# Of unsigned ones (uint8 of a file, UInt32 of polars) no difference is below 0: right answers of 40 users, Poisson with means 20 and 25,
# have a rank-biserial correlation of -0.87 as int64 or float and of exactly 1 as unsigned, beside a p-value that is the same. The common
# language effect size of wilcoxon and of mwu, the chance that the first is the larger, is 0.98 in place of 0.18. So the worse of the two
# is reported as better, and always the first one. mwu's own rank-biserial correlation is right. Nothing is said. astype(float) first
# cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pingouin==0.7.0 scipy==1.17.1 pandas==2.3.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import pingouin
import scipy

print(f"pingouin {pingouin.__version__}, scipy {scipy.__version__}, numpy {np.__version__}")
rng = np.random.default_rng(0)
first, second = rng.poisson(20, 40), rng.poisson(25, 40)
print(f"40 counts of each, means {first.mean():.2f} and {second.mean():.2f}; the first is larger {(first > second).sum()} times")
found = {}
for kind in (np.uint8, np.uint32, np.uint64, np.int64, np.float64):
    pair = first.astype(kind), second.astype(kind)
    signed, ranks = pingouin.wilcoxon(*pair).iloc[0], pingouin.mwu(*pair).iloc[0]
    other = pingouin.wilcoxon(*pair[::-1]).iloc[0]
    found[np.dtype(kind).kind] = found.get(np.dtype(kind).kind, []) + [
        (float(signed["RBC"]), float(other["RBC"]), float(signed["CLES"]), float(ranks["CLES"]), float(signed["p_val"]))]
    print(f"{np.dtype(kind)}: wilcoxon p {signed['p_val']:.2g}, rank-biserial correlation {signed['RBC']:.3f} (the other way round "
          f"{other['RBC']:.3f}), common language effect {signed['CLES']:.3f}; mwu p {ranks['p_val']:.2g}, rank-biserial "
          f"{ranks['RBC']:.3f}, common language effect {ranks['CLES']:.3f}")
right = found["f"][0]
sys.exit(0 if found["i"] == found["f"] and right[0] < -0.8 and right[1] > 0.8 and right[2] < 0.3
         and all(one[:2] == (1, 1) and one[2] > 0.9 and one[3] > 0.9 and abs(one[4] - right[4]) < 1e-12 for one in found["u"]) else 1)
PYTHON
