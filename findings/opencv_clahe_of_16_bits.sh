#!/usr/bin/env bash
# CLAHE raises contrast in each part of a picture and is held back by a limit: clipLimit says how many times the mean a bin of
# the histogram may hold, so the same picture as 8 bits and as 16 bits is to come out alike. OpenCV lays 65,536 bins for 16 bits, for parts
# of 64 by 64 pixels that have 4,096 values, and a limit below one sample is one sample: every clipLimit up to 15 gives the same picture
# to the last bit. Of a deviation of 13 grey levels in 255 8 bits make 22, 31 and 48 by limits of 1, 2 and 4, and 16 bits 13.7 by each: no
# contrast to speak of, for thermal, X-ray and depth pictures, for which CLAHE is made. What 4 does to 8 bits takes a limit between 400
# and 4,000; the default, 40, is no limit to 8 bits and makes 14.5 of 16. It hangs on the size of the parts, too. Nothing is said, and
# the documentation does not name bits. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opencv-python-headless==5.0.0.93 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import cv2
import numpy as np

cv2.setNumThreads(1)
print(f"OpenCV {cv2.__version__}, numpy {np.__version__}")
generator = np.random.default_rng(0)
soft = cv2.GaussianBlur(generator.normal(size=(512, 512)), (0, 0), 6)
grey = np.clip(128 + 13 * soft / soft.std(), 0, 255).astype(np.uint8)
deep = grey.astype(np.uint16) * 257  # the same picture: 255 is 65,535
print(f"a picture with a deviation of {grey.std():.1f} of 255, of 16 bits {deep.std() / 257:.1f}")
spread, seen = {}, {}
for limit in (1, 2, 4, 8, 15, 40, 400, 4000, 65_536):
    few, many = (cv2.createCLAHE(limit, (8, 8)).apply(picture) for picture in (grey, deep))
    spread[limit], seen[limit] = (float(few.std()), float(many.std() / 257)), many
    print(f"clipLimit {limit}: deviation of 8 bits {spread[limit][0]:.1f}, of 16 bits {spread[limit][1]:.1f}")
same = all((seen[limit] == seen[1]).all() for limit in (2, 4, 8, 15))
print(f"16 bits with limits of 1, 2, 4, 8 and 15 alike to the last bit: {same}")
sys.exit(0 if same and spread[4][0] > 1.3 * spread[1][0] and spread[4][0] > 2 * spread[4][1] else 1)
PYTHON
