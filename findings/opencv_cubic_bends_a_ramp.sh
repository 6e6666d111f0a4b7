#!/usr/bin/env bash
# Cubic interpolation is the finer one: where linear interpolation reproduces straight lines, cubic reproduces those and more (Keys'
# kernel with a = -0.5 does, which pillow takes, and so do scipy's splines). OpenCV's INTER_CUBIC is Keys' kernel with a = -0.75, by what
# comes out, and makes a wave of a straight line: a picture that rises by 1 for each pixel, moved by 0.05 pixel, has moved by 0.071, by
# 0.1 by 0.136, by 0.3 by 0.342. Enlarged four times its steps are 0.24, 0.33, 0.24 and 0.19 in place of 0.25 each; of bytes they are 1,
# 2, 1 and 0 where linear has 1 each, bands in smooth skies and depth maps. Motion below a pixel that is made or undone by it (optical
# flow, stabilising, super-resolution) is off by up to 0.048 pixels where the picture is smooth, and always the same way. INTER_LANCZOS4
# is off by up to 0.025, INTER_LINEAR is not. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opencv-python-headless==5.0.0.93 pillow==13.0.0 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import cv2
import numpy as np
from PIL import Image
from scipy import ndimage

print(f"opencv {cv2.__version__}, numpy {np.__version__}")
ramp = np.tile(np.arange(64, dtype=np.float32), (64, 1))
flags = {name: getattr(cv2, name) for name in ("INTER_LINEAR", "INTER_CUBIC", "INTER_LANCZOS4")}
worst = dict.fromkeys((*flags, "scipy"), 0.0)
for picture, name in ((ramp, "right"), (ramp.T.copy(), "down")):
    for step in (0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 0.7, 0.9):
        x, y = (step, 0) if name == "right" else (0, step)
        matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
        moved = {flag: 32 - float(cv2.warpAffine(picture, matrix, (64, 64), flags=value)[32, 32]) for flag, value in flags.items()}
        moved["scipy"] = 32 - float(ndimage.shift(picture, (y, x), order=3)[32, 32])
        if abs(moved["INTER_CUBIC"] - step - step * (1 - step) * (1 - 2 * step) / 2) > 1e-3:  # what a = -0.75 does to a line
            sys.exit("INTER_CUBIC is not Keys' kernel with a = -0.75")
        worst = {kind: max(off, abs(moved[kind] - step)) for kind, off in worst.items()}
        print(f"moved {name} by {step}: " + ", ".join(f"{kind} {value:.3f}" for kind, value in moved.items()))
print("furthest off: " + ", ".join(f"{kind} {off:.4f}" for kind, off in worst.items()))
true = ((np.arange(256) + 0.5) / 4 - 0.5)[40:200]
large = {flag: cv2.resize(ramp, (256, 256), interpolation=value)[128, 40:200] for flag, value in flags.items()}
large["pillow BICUBIC"] = np.asarray(Image.fromarray(ramp).resize((256, 256), Image.Resampling.BICUBIC))[128, 40:200]
off = {kind: float(np.abs(row - true).max()) for kind, row in large.items()}
for kind, row in large.items():
    print(f"four times as large, {kind}: off by {off[kind]:.4f}, steps {np.diff(row.astype(float))[:8].round(3).tolist()}")
grey = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
steps = {flag: np.diff(cv2.resize(grey, (256, 256), interpolation=value)[128].astype(int))[100:112].tolist()
         for flag, value in flags.items()}
print(f"bytes that rise by 4, four times as large: steps by INTER_LINEAR {steps['INTER_LINEAR']}, by INTER_CUBIC {steps['INTER_CUBIC']}")
sys.exit(0 if worst["INTER_LINEAR"] < 1e-3 and worst["scipy"] < 1e-3 and 0.04 < worst["INTER_CUBIC"] < 0.05 and off["INTER_LINEAR"] < 1e-3
         and off["pillow BICUBIC"] < 1e-3 and 0.03 < off["INTER_CUBIC"] < 0.05 and set(steps["INTER_LINEAR"]) == {1}
         and set(steps["INTER_CUBIC"]) == {0, 1, 2} else 1)
PYTHON
