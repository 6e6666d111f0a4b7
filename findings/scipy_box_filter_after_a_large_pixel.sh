#!/usr/bin/env bash
# A mean over 3 by 3 pixels is a mean of nine, so one pixel that holds a fill value (1e20, or netCDF's 9.97e36), an infinite depth or
# NaN spoils nine pixels, which one masks. scipy's uniform_filter does not take nine: it walks along each line, adds the pixel that
# comes in and subtracts the one that goes out, and what the large one has pushed out of the sum does not come back. In a picture of
# 64 by 64 with values from 0 to 1, 252 pixels up to the end of their line or column are off, with means from -0.2 to 0.41 that look
# like any; from 1e16 on, 1e9 does no harm. inf and NaN take half of the picture (2,016 pixels are NaN), the part after them. convolve
# and correlate1d with the same weights spoil the nine alone. Nothing is said; whoever masks the nine keeps the others. Exits with 1
# where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - "$folder" <<'PYTHON'
import sys

import numpy as np
import scipy
from scipy import ndimage

print(f"scipy {scipy.__version__}, numpy {np.__version__}")
picture = np.random.default_rng(0).random((64, 64))
found = {}
for name, value in {"1e9": 1e9, "1e16": 1e16, "1e20": 1e20, "9.97e36": 9.97e36, "inf": np.inf, "NaN": np.nan}.items():
    marked = picture.copy()
    marked[20, 20] = value
    near = np.zeros(picture.shape, bool)
    near[19:22, 19:22] = True  # all that a mean over 3 by 3 pixels takes the marked one for
    away = ~near
    reference = ndimage.uniform_filter(picture, 3)
    with np.errstate(invalid="ignore"):
        by = {"uniform_filter": ndimage.uniform_filter(marked, 3), "convolve": ndimage.convolve(marked, np.full((3, 3), 1 / 9)),
              "correlate1d twice": ndimage.correlate1d(ndimage.correlate1d(marked, [1 / 3] * 3, 0), [1 / 3] * 3, 1)}
    found[name] = {}
    for kind, values in by.items():
        wrong = away & ~(abs(values - reference) < 1e-3)
        finite = values[wrong & np.isfinite(values)]
        found[name][kind] = int(wrong.sum())
        print(f"{name}, {kind}: {found[name][kind]} of {away.sum()} pixels away from it are off by more than 0.001, "
              f"{int(np.isnan(values[wrong]).sum())} are NaN"
              + (f", others from {finite.min():.3g} to {finite.max():.3g}" if len(finite) else ""))
away_by_box = [found[name]["uniform_filter"] for name in ("1e16", "1e20", "9.97e36", "inf", "NaN")]
sys.exit(0 if found["1e9"]["uniform_filter"] == 0 and min(away_by_box) > 100
         and not any(counts["convolve"] or counts["correlate1d twice"] for counts in found.values()) else 1)
PYTHON
