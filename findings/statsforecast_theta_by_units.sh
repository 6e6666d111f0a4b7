#!/usr/bin/env bash
# A forecast in per cent is a hundred times the one in shares. statsforecast's Theta models, which are hard to beat where series are many and
# short, fit a smoothing by search for the least mean of squares, and where values are small, the search ends where it began, with an
# alpha of 0.5. Of 30 series about 100 with a slow trend and noise of a tenth it finds an alpha of 0.1 and errs by 2.3
# to 2.6; in a unit in which they are about 0.1 as well; where they are about 0.01 (click rates, defaults, returns, shares) by 3.4 to 3.9 of
# the first unit, and at 0.001 alpha is 0.5 for each of the 30 and the error 3.7, by all five models, AutoTheta among them. AutoETS and
# Holt of the same package have the same forecasts in every unit. Nothing is said, and no page names a unit. Values multiplied so as to be
# about 100, and forecasts divided again, cure it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q statsforecast==2.1.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import statsforecast
from statsforecast import models

warnings.simplefilter("error", UserWarning)
print(f"statsforecast {statsforecast.__version__}, numpy {np.__version__}")
COUNT, LENGTH, AHEAD = 30, 100, 12
rng = np.random.default_rng(1)
series = [100 + 0.1 * np.arange(LENGTH) + rng.normal(0, 10, LENGTH) for _ in range(COUNT)]
future = 100 + 0.1 * (LENGTH + np.arange(AHEAD))
THETAS = ("Theta", "OptimizedTheta", "DynamicTheta", "DynamicOptimizedTheta", "AutoTheta")
UNITS = (1e3, 1.0, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
errors, alphas = {}, {}
for name in (*THETAS, "AutoETS", "Holt"):
    for unit in UNITS:
        off, alpha = [], []
        for values in series:
            model = models.AutoETS(model="AAN") if name == "AutoETS" else getattr(models, name)()
            off.append(np.abs(model.forecast(values * unit, h=AHEAD)["mean"] / unit - future).mean())
            if name in THETAS:
                alpha.append(float(model.fit(values * unit).model_["par"]["alpha"]))
        errors[name, unit] = float(np.mean(off))
        alphas[name, unit] = alpha
    print(f"{name}: mean error, in the first unit, of values about " + "; ".join(
        f"{100 * unit:g}: {errors[name, unit]:.2f}" + (f" (alpha {np.mean(alphas[name, unit]):.2f})" if name in THETAS else "")
        for unit in UNITS))
sys.exit(0 if all(errors[name, 1e-4] > 1.3 * errors[name, 1.0] and errors[name, 1e-5] > 1.3 * errors[name, 1.0]
                  and errors[name, 1e-3] < 1.1 * errors[name, 1.0] and set(alphas[name, 1e-5]) == {0.5}
                  and np.mean(alphas[name, 1.0]) < 0.15 for name in THETAS)
         and all(abs(errors[name, unit] - errors[name, 1.0]) < 0.01 for name in ("AutoETS", "Holt") for unit in UNITS) else 1)
PYTHON
