#!/usr/bin/env bash
# The distance of two vectors is one number, whether one asks for a pair (spatial.distance.cityblock(u, v)) or for a table of pairs (cdist
# with metric="cityblock"). Pictures, histograms and quantised embeddings are uint8, and of those cdist makes float64, while the functions
# for a pair subtract as they come, and wrap: from 1 to 2 it is 255 by euclidean, minkowski and cityblock, from 2 to 1 it is 1. Of two
# pictures of 32 by 32 that differ by noise of 3 grey levels the Euclidean distance is 5,352 in place of 63, the city block 113,605 in
# place of 1,715, the Chebyshev distance 255 in place of 3; for 48 of 50 random pictures the nearest by euclidean is another one. cosine
# multiplies in 8 bits, gives 0 for the two, and warns of an overflow; the others say nothing. sqeuclidean, canberra, braycurtis and
# correlation are right. u.astype(float) before, or cdist, cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys
import warnings

import numpy as np
import scipy
from scipy.spatial import distance

WRAP = ("euclidean", "minkowski", "cityblock", "chebyshev", "cosine")
RIGHT = ("sqeuclidean", "canberra", "braycurtis", "correlation")
generator = np.random.default_rng(0)
print(f"scipy {scipy.__version__}, numpy {np.__version__}")
one, two = np.array([1], np.uint8), np.array([2], np.uint8)
for name in ("euclidean", "minkowski", "cityblock"):
    measure = getattr(distance, name)
    print(f"{name} of uint8: from 1 to 2 {measure(one, two)}, from 2 to 1 {measure(two, one)}")
picture = generator.integers(0, 256, (32, 32))
noisy = np.clip(picture + generator.integers(-3, 4, picture.shape), 0, 255)
first, second = picture.ravel().astype(np.uint8), noisy.ravel().astype(np.uint8)
right = distance.euclidean(one, two) == 255 and distance.euclidean(two, one) == 1
for name in (*WRAP, *RIGHT):
    measure = getattr(distance, name)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        pair, back = float(measure(first, second)), float(measure(second, first))
    true = float(measure(first.astype(float), second.astype(float)))
    table = distance.cdist(first[None], second[None], name)[0, 0]
    print(f"{name} of two pictures: {pair:.6g}, the other way {back:.6g}, as float {true:.6g}, by cdist of uint8 {table:.6g}; "
          f"warnings: {[str(warning.message) for warning in said]}")
    right &= bool(np.isclose(table, true)) and bool(np.isclose(pair, true)) == (name in RIGHT)
pictures = generator.integers(0, 256, (50, 64)).astype(np.uint8)
pairs = np.array([[distance.euclidean(a, b) for b in pictures] for a in pictures])
floats = np.array([[distance.euclidean(a, b) for b in pictures.astype(float)] for a in pictures.astype(float)])
table = distance.cdist(pictures, pictures)
for matrix in (pairs, floats, table):
    np.fill_diagonal(matrix, np.inf)
other = int((pairs.argmin(1) != floats.argmin(1)).sum())
print(f"nearest of 50 pictures by euclidean: another one than of floats for {other} as uint8, "
      f"for {int((table.argmin(1) != floats.argmin(1)).sum())} by cdist")
sys.exit(0 if right and other > 25 and (table.argmin(1) == floats.argmin(1)).all() else 1)
PYTHON
