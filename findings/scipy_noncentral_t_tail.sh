#!/usr/bin/env bash
# The power of a two-sided t-test is what a noncentral t has above the critical value and below its negative. The second part is next to
# nothing where the effect is large, and so SciPy gives it, at some effects: at others, scattered between them, nct.cdf and
# special.nctdtr give NaN. It begins at a noncentrality of about 8 and takes a quarter of all values up to
# 15, without a warning, and the sum, which is the power, is then NaN. A search for the effect that is found with a given power ends
# at one of these (brentq: "The function value at x=... is NaN"); with six runs at 0.4 % it does. The upper part is never NaN. That T
# squared is noncentral F, whose distribution has both tails in one number, is a way around. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import scipy
from scipy import stats
from scipy.optimize import brentq

print(f"scipy {scipy.__version__}")
places, right = np.linspace(0.1, 15, 300), True
for df in (1, 2, 5, 10, 20, 39):
    critical = stats.t.ppf(0.975, df)
    below, above = stats.nct.cdf(-critical, df, places), stats.nct.sf(critical, df, places)
    missing = np.isnan(below)
    squared = stats.ncf.sf(critical**2, 1, df, places**2)
    switches = int((missing[1:] != missing[:-1]).sum())
    print(f"{df} degrees of freedom: {missing.mean():.0%} NaN from a noncentrality of {places[missing][0]:.2f} on, in {switches // 2} "
          f"stretches; largest other value there {np.nanmax(below[places > 7.5]):.0e}; upper tail NaN: {np.isnan(above).sum()}; both by "
          f"noncentral F: NaN {np.isnan(squared).sum()}, differs by {np.nanmax(abs(squared - above - below)):.0e}")
    right &= bool(0.1 < missing.mean() < 0.4 and switches > 10 and not np.isnan(above).any()
                  and np.nanmax(abs(squared - above - below)) < 1e-6)


def power(effect: float, runs: int = 6, level: float = 0.05 / 12) -> float:
    critical = stats.t.ppf(1 - level / 2, runs - 1)
    noncentrality = effect * np.sqrt(runs)
    return float(stats.nct.sf(critical, runs - 1, noncentrality) + stats.nct.cdf(-critical, runs - 1, noncentrality))


try:
    brentq(lambda effect: power(effect) - 0.8, 1e-6, 50)
    said = ""
except ValueError as error:
    said = str(error)
print(f"the effect that six runs find at a level of 5 % / 12 with power 0.8: {said}; power at 2.5585 standard deviations: {power(2.5585):.4f}")
sys.exit(0 if right and "is NaN" in said and abs(power(2.5585) - 0.8) < 1e-4 else 1)
PYTHON
