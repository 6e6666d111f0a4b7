#!/usr/bin/env bash
# Structural similarity is at most 1, for equal pictures, and what is added to both pictures moves it little where their range is kept.
# scikit-image takes the variances in a window as the mean of squares less the square of the mean, and of float32 pictures in float32. Of
# a smooth picture with values over a range of 1 and the same with noise of 0.05 it is 0.892 around zero; both of them 300 higher, as a
# map of temperatures in kelvins over one degree is, have 0.98, 1,000 higher 1.9, which is above 1, and 10,000 higher 60. In float64 it
# is 0.892 at each. With gaussian_weights=True, as papers report it, it is alike. match_template, whose correlation is at most 1 too, is
# 1.9 at 100 and 15 at 1,000 in float32. So depth maps, elevations, temperatures and X-rays in Hounsfield units that a network gives, which
# are float32, look the better the further they lie from zero. Nothing is said. astype(float) before cures it. Exits with 1 where that has
# changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scikit-image==0.26.0 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import skimage
from scipy.ndimage import gaussian_filter
from skimage.feature import match_template
from skimage.metrics import structural_similarity

rng = np.random.default_rng(0)
smooth = gaussian_filter(rng.normal(size=(64, 64)), 2)
smooth = (smooth - smooth.min()) / np.ptp(smooth)
noisy = smooth + 0.05 * rng.normal(size=smooth.shape)
print(f"scikit-image {skimage.__version__}; a picture of range 1, and the same with noise of 0.05")
single, double, found = {}, {}, {}
for level in (0, 10, 100, 300, 1000, 10_000):
    first, second = (smooth + level).astype(np.float32), (noisy + level).astype(np.float32)
    single[level] = float(structural_similarity(first, second, data_range=1))
    double[level] = float(structural_similarity(first.astype(float), second.astype(float), data_range=1))
    weighted = float(structural_similarity(first, second, data_range=1, gaussian_weights=True))
    found[level] = float(match_template(first, first[10:20, 10:20]).max())
    print(f"{level} higher: similarity {single[level]:.4f} in float32, {double[level]:.4f} in float64, {weighted:.4f} with Gaussian "
          f"weights in float32; largest correlation with a part of itself {found[level]:.3f} in float32")
sys.exit(0 if max(double.values()) - min(double.values()) < 1e-3 and abs(single[0] - double[0]) < 1e-4 and single[300] > double[300] + 0.02
         and single[1000] > 1.2 and single[10_000] > 10 and abs(found[0] - 1) < 1e-3 and found[1000] > 2 else 1)
PYTHON
