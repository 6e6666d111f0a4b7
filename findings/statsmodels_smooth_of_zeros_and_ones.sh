#!/usr/bin/env bash
# Whether a model's probabilities are right is seen from a curve: events (0 or 1) smoothed over the probability that the model gave, which
# should lie on the diagonal. statsmodels' lowess is taken for that, and by default weighs points three times over by how far they are from
# the curve, to be robust: of rare events it takes the events for outliers. Of 2,000 samples whose probabilities, from 0 to 0.2, are exact
# and of which 9.7 % happen the curve is 0 all along. From 0 to 0.5 it is 0.10 at 0.2 and 0.31 at 0.4, from 0 to 1 it is 0.13 at 0.2 and
# 0.86 at 0.8. The mean distance from the diagonal (integrated calibration index) of the exact model is then 0.10, 0.08 and 0.05, and that
# of one whose odds are squared, and so too sure, 0.02, 0.02 and 0.07: where events are rare the wrong one is better. With it=0 the exact
# one has 0.01 and the other 0.08 to 0.10. Counts with a mean of 0.31 have a curve whose mean is 0.001. Its page names heavy tails, and says
# nothing of values of 0 and 1. Nothing is said. Reported to statsmodels as issue 2108. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q statsmodels==0.15.0 scipy==1.17.1 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import statsmodels
from statsmodels.nonparametric.smoothers_lowess import lowess

print(f"statsmodels {statsmodels.__version__}, numpy {np.__version__}")
rng = np.random.default_rng(0)
found = {}
for top in (0.2, 0.5, 1.0):
    chance = np.sort(rng.uniform(0, top, 2000))
    happened = (rng.random(2000) < chance).astype(float)
    squared = chance**2 / (chance**2 + (1 - chance) ** 2)  # the odds squared: small ones too small, large ones too large
    for it in (3, 0):
        curve = lowess(happened, chance, it=it, return_sorted=False)
        other = lowess(happened, squared, it=it, return_sorted=False)
        places = [float(curve[np.searchsorted(chance, share * top)]) for share in (0.2, 0.4, 0.8)]
        found[top, it] = curve.max(), np.abs(curve - chance).mean(), np.abs(other - squared).mean()
        print(f"exact probabilities from 0 to {top}, {happened.mean():.1%} happen, it={it}: curve at {0.2 * top:.2f}, {0.4 * top:.2f} and "
              f"{0.8 * top:.2f} {[round(place, 3) for place in places]}, mean distance from the diagonal {found[top, it][1]:.3f}; "
              f"of the model that is too sure {found[top, it][2]:.3f}")
place = np.linspace(0, 1, 2000)
counts = rng.poisson(0.3, 2000).astype(float)
smooth = {it: lowess(counts, place, it=it, return_sorted=False) for it in (3, 0)}
print(f"counts with a mean of {counts.mean():.3f}: mean of the curve {smooth[3].mean():.3f}, with it=0 {smooth[0].mean():.3f}")
plain = lowess(counts, place, return_sorted=False)
sys.exit(0 if found[0.2, 3][0] == 0 and all(found[top, 3][1] > found[top, 3][2] for top in (0.2, 0.5))
         and all(found[top, 0][1] < 0.02 < 0.06 < found[top, 0][2] for top in (0.2, 0.5, 1.0))
         and smooth[3].mean() < 0.02 and (plain == smooth[3]).all() and abs(smooth[0].mean() - counts.mean()) < 0.02 else 1)
PYTHON
