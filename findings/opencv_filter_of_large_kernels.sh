#!/usr/bin/env bash
# A filter takes each pixel from those below its kernel, so what lies outside of it does not matter, and a mask of 0 and 1 filtered by
# ones counts pixels. OpenCV's filter2D goes by a Fourier transform where a kernel is large, "~11 x 11 or larger" says its page, and is
# else the same, it seems. From bytes to float32 that begins at 8 by 8, and of float32 (where the processor is an x86) at 12 by 12.
# Counts are then off by rounding, by which questions to them are answered otherwise: of a square of 200 by 200 in 400 by 400 pixels
# 43,264 have a neighbour inside within 9 by 9, and filter2D(mask, CV_32F, ones) > 0 is true for 110,000, among them pixels that are 100
# away; 42,000 have a count below 0, and of 36,864 windows that are full 28,000 have 81 or more. With 5 by 5 all is exact. One NaN in a
# depth map of that size is 49 of it by a 7 by 7 mean, and by 13 by 13 it is 59,536 of 160,000, or all of a smaller map; one infinite
# pixel does the same. boxFilter, GaussianBlur, sepFilter2D are as one thinks. Nothing is said. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opencv-python-headless==5.0.0.93 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import cv2
import numpy as np

print(f"opencv {cv2.__version__}, numpy {np.__version__}")
mask = np.zeros((400, 400), np.uint8)
mask[100:300, 100:300] = 1
found = {}
for kind, size in ((np.uint8, 5), (np.uint8, 9), (np.uint8, 15), (np.float32, 7), (np.float32, 13)):
    picture, name = mask.astype(kind), f"{np.dtype(kind)} {size}"
    exact = cv2.boxFilter(picture, cv2.CV_32F, (size, size), normalize=False)
    counts = cv2.filter2D(picture, cv2.CV_32F, np.ones((size, size), np.float32))
    away = cv2.distanceTransform(1 - mask, cv2.DIST_C, cv2.DIST_MASK_3)[counts > 0].max()
    found[name] = {"touched": (int((exact > 0).sum()), int((counts > 0).sum())), "negative": (0, int((counts < 0).sum())),
                   "full": (int((exact >= size * size).sum()), int((counts >= size * size).sum())), "off": float(abs(counts - exact).max())}
    print(f"{np.dtype(kind)} mask, {size} by {size}: counts off by up to {found[name]['off']:.2g}; above 0 {found[name]['touched'][1]} of "
          f"{found[name]['touched'][0]}, up to {away:.0f} pixels away; below 0 {found[name]['negative'][1]}; at least {size * size} "
          f"{found[name]['full'][1]} of {found[name]['full'][0]}")
spread = {}
depth = np.random.default_rng(0).random((400, 400), np.float32)
for hole in (np.nan, np.inf):
    depth[200, 200] = hole
    for size in (7, 13):
        kernel = np.full((size, size), 1 / size**2, np.float32)
        ways = {"filter2D": cv2.filter2D(depth, -1, kernel), "GaussianBlur": cv2.GaussianBlur(depth, (size, size), 3),
                "sepFilter2D": cv2.sepFilter2D(depth, -1, np.ones(size) / size, np.ones(size) / size)}
        for name, values in ways.items():
            spread[hole, size, name] = int((~np.isfinite(values)).sum())
        print(f"one pixel {hole}, {size} by {size}: not finite " + ", ".join(f"{name} {spread[hole, size, name]}" for name in ways))
plain = [found[name] for name in ("uint8 5", "float32 7")]
sys.exit(0 if all(entry["off"] == 0 for entry in plain) and all(found[name]["touched"][1] > 1.5 * found[name]["touched"][0]
                                                                for name in ("uint8 9", "uint8 15", "float32 13"))
         and found["uint8 9"]["full"][1] < 0.95 * found["uint8 9"]["full"][0] and 0 < found["uint8 15"]["off"] < 0.01
         and all(count == size**2 if (size, name) != (13, "filter2D") else count > 20_000 for (_, size, name), count in spread.items()) else 1)
PYTHON
