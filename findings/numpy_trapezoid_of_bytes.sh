#!/usr/bin/env bash
# The area below a curve that is 200 everywhere and 8 wide is 1,600. Curves come as bytes and 16 bits (a grey profile, a histogram, samples
# of sound, counts of a detector), and numpy widens such as it adds them: sum, mean, cumsum and std are right. trapezoid adds neighbours in
# their own type before it halves, and wraps: of uint8 the area is 576, of int16 at 30,000 (loud sound) it is negative, and so it is by
# scipy's trapezoid and cumulative_trapezoid, xarray's integrate and scikit-learn's metrics.auc. It begins where two neighbours pass the
# type's end together, so dark pictures are right and bright ones are not: of a ramp of 256 greys the area is half of what it should be.
# scipy's simpson, beside them in one module, is right. Descending places of an unsigned type wrap alike. Nothing is said. astype(float)
# first cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 xarray==2026.9.0 pandas==3.1.1
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import scipy
import sklearn
import xarray as xr
from scipy import integrate
from sklearn.metrics import auc

print(f"numpy {np.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}, xarray {xr.__version__}")
curves = {"200 in uint8": np.full(9, 200, np.uint8), "100 in int8": np.full(9, 100, np.int8),
          "30,000 in int16": np.full(9, 30_000, np.int16), "50,000 in uint16": np.full(9, 50_000, np.uint16),
          "0 to 255 in uint8": np.arange(256, dtype=np.uint8), "0 to 120 in uint8": np.arange(121, dtype=np.uint8)}
wrong = {}
for name, curve in curves.items():
    place = np.arange(len(curve), dtype=float)
    areas = {"numpy.trapezoid": np.trapezoid(curve), "scipy.trapezoid": integrate.trapezoid(curve),
             "scipy.cumulative_trapezoid": integrate.cumulative_trapezoid(curve)[-1], "sklearn.auc": auc(place, curve),
             "xarray.integrate": xr.DataArray(curve, dims="x", coords={"x": place}).integrate("x").item(),
             "scipy.simpson": integrate.simpson(curve)}
    right = np.trapezoid(curve.astype(float))
    wrong[name] = {way for way, area in areas.items() if abs(area - right) > 1e-6 * right}
    print(f"{name}: right {right:.0f}; " + ", ".join(f"{way} {area:.0f}" for way, area in areas.items())
          + f"; sum {curve.sum()}, mean {curve.mean():.1f}")
places = np.array([200, 150, 90, 10], np.uint8)
back = float(np.trapezoid(np.ones(4), places))
print(f"height 1 over {places.tolist()} in uint8: {back:.0f}, in float {np.trapezoid(np.ones(4), places.astype(float)):.0f}")
five = {"numpy.trapezoid", "scipy.trapezoid", "scipy.cumulative_trapezoid", "sklearn.auc", "xarray.integrate"}
sys.exit(0 if not wrong.pop("0 to 120 in uint8") and all(names == five for names in wrong.values()) and back != -190 else 1)
PYTHON
