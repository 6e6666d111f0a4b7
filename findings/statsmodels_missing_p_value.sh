#!/usr/bin/env bash
# Of several tests one may have no p value (no variance, a side that was not run), which is NaN. multipletests takes it without a word.
# By Bonferroni, Sidak and Holm the others are adjusted, with the missing one counted among the tests. By all else (Hommel, Hochberg,
# and the false discovery rates of Benjamini and Hochberg, Yekutieli, Krieger and Gavrilov) every adjusted value is NaN, and what is
# rejected does not follow from them: beside p = 0.001, 0.002 and 0.04 two methods reject nothing, three the first two, and fdr_tsbh all
# three. So drop missing values before. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q statsmodels==0.15.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import statsmodels
from statsmodels.stats.multitest import multipletests

found = {}
for method in ("bonferroni", "sidak", "holm-sidak", "holm", "hommel", "simes-hochberg", "fdr_bh", "fdr_by", "fdr_tsbh", "fdr_gbs"):
    whole, wholes = multipletests([0.001, 0.002, 0.04], method=method)[:2]
    rejected, adjusted = multipletests([0.001, 0.002, 0.04, np.nan], method=method)[:2]
    found[method] = bool(np.isnan(adjusted).all()), rejected[:3].tolist()
    print(f"statsmodels {statsmodels.__version__}, {method}: three values {wholes.round(4).tolist()}, rejected {whole.tolist()}; with a "
          f"fourth that is missing {adjusted.round(4).tolist()}, rejected {rejected.tolist()}")
counts = {method: sum(rejected) for method, (none, rejected) in found.items() if none}
sys.exit(0 if counts == {"hommel": 0, "simes-hochberg": 2, "fdr_bh": 2, "fdr_by": 2, "fdr_tsbh": 3, "fdr_gbs": 0} else 1)
PYTHON
