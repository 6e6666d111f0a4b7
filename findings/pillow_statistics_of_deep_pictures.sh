#!/usr/bin/env bash
# A depth map is a picture of one channel whose values are 16 bits or floats, and pillow opens, crops and resizes it as such. What it
# says of its values is of something else. Of mode F or I, ImageStat takes the mean, median, deviation and extrema of 256 bins that it
# lays between the smallest value and the largest, so that depths from 0 to 1,000 and from 5 to 6 have one mean, 127. Of mode I;16 it
# counts single bytes, low and high ones alike, of the left half of the picture: the right half can be anything. histogram() and
# entropy() count the same. Nothing is raised or warned of, and for 8 bits all is right. getextrema() is right for each; for the
# others numpy.asarray is. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import PIL
from PIL import Image, ImageStat

ramp = np.linspace(0, 1, 10_000).reshape(100, 100)
cases = {"L": (ramp * 200).astype(np.uint8), "F": (ramp * 1000).astype(np.float32), "F, 5 to 6": (ramp + 5).astype(np.float32),
         "I": (ramp * 1000).astype(np.int32), "I;16": (ramp * 1000).astype(np.uint16)}
other = cases["I;16"].copy()
other[:, 50:] = 60_000
cases["I;16, right half 60,000"] = other
print(f"pillow {PIL.__version__}")
found = {}
for name, values in cases.items():
    picture = Image.fromarray(values)
    statistics = ImageStat.Stat(picture)
    found[name] = (statistics.mean[0], statistics.stddev[0], statistics.extrema[0], picture.histogram())
    print(f"{name} (mode {picture.mode}): mean {values.mean():.1f}, deviation {values.std():.1f}, {values.min()} to {values.max()}; "
          f"pillow: mean {found[name][0]:.1f}, deviation {found[name][1]:.1f}, extrema {found[name][2]}; "
          f"getextrema {picture.getextrema()}")
halved = np.bincount(np.ascontiguousarray(cases["I;16"][:, :50]).view(np.uint8).ravel(), minlength=256)
as_bytes = found["I;16"][3] == halved.tolist()
print("the histogram of I;16 is that of the bytes of the left half:", as_bytes)
sys.exit(0 if abs(found["L"][0] - cases["L"].mean()) < 1e-6 and all(abs(found[name][0] - 127) < 1 for name in ("F", "F, 5 to 6", "I"))
         and as_bytes and found["I;16"][3] == found["I;16, right half 60,000"][3] else 1)
PYTHON
