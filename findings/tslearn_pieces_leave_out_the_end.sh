#!/usr/bin/env bash
# A series cut into pieces of about equal length, each of which is its mean (PAA), or a letter for its mean (SAX), stands for all of the
# series. tslearn makes each piece length // pieces long and does not look at what is left over. Of 100 samples 40 pieces see the first 80,
# 34 see 68, and 51 see 51; of 140, as series of its archive have, 100 pieces see 100. Two series that differ in their last 20 samples by
# 1,000 are at distance 0 by 34, 40, 51 or 60 pieces, and of two classes that differ there by 2 deviations nearest neighbours find half,
# which is chance, where by 20, 25 or 50 pieces all are right: more pieces, and a worse model. SAX and 1d-SAX are at chance for the same
# numbers. inverse_transform gives zeros for the rest. Its page has an example that divides, and says nothing of others. Nothing is said. A
# number of pieces that divides the length, or means of numpy.array_split, cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q tslearn==0.10.0 scikit-learn==1.9.1 numba==0.68.1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np

warnings.filterwarnings("ignore", message="h5py not installed")  # of the import, and of no matter here
import tslearn  # noqa: E402
from tslearn.piecewise import (  # noqa: E402
    OneD_SymbolicAggregateApproximation,
    PiecewiseAggregateApproximation,
    SymbolicAggregateApproximation,
)

warnings.filterwarnings("error")
print(f"tslearn {tslearn.__version__}, numpy {np.__version__}")
rng = np.random.default_rng(0)
LENGTH = 100
series = rng.normal(size=(400, LENGTH, 1))
classes = np.arange(400) % 2
series[classes == 1, 80:] += 2  # the two differ in their last 20 samples
ramp = np.arange(float(LENGTH))
first = series[0]
second = first + np.where(np.arange(LENGTH) < 80, 0, 1000.0)[:, None]
found = {}
for pieces in (20, 25, 34, 40, 50, 51, 60, 100):
    means = PiecewiseAggregateApproximation(n_segments=pieces)
    filled = means.inverse_transform(means.fit_transform(ramp[None, :, None])).ravel()
    right = []
    for kind in (means, SymbolicAggregateApproximation(n_segments=pieces, alphabet_size_avg=8),
                 OneD_SymbolicAggregateApproximation(n_segments=pieces, alphabet_size_avg=8, alphabet_size_slope=8)):
        short = kind.fit_transform(series).reshape(400, -1).astype(float)
        nearest = np.square(short[200:, None] - short[None, :200]).sum(-1).argmin(1)
        right.append(float((classes[:200][nearest] == classes[200:]).mean()))
    found[pieces] = float(means.distance(first, second)), right, filled[-1]
    print(f"{pieces} pieces, {LENGTH // pieces * pieces} of {LENGTH} samples: distance of two that differ by 1,000 in the last 20 "
          f"{found[pieces][0]:.1f}; nearest neighbours right by PAA {right[0]:.1%}, SAX {right[1]:.1%}, 1d-SAX {right[2]:.1%}; "
          f"a ramp from 0 to 99 ends at {filled[-1]:.1f} after inverse_transform")
long = PiecewiseAggregateApproximation(n_segments=100).fit_transform(np.arange(140.0)[None, :, None]).ravel()
print(f"140 samples from 0 to 139 in 100 pieces: mean {long.mean():.1f} in place of 69.5, last piece {long[-1]:.1f}")
WHOLE, CUT = (20, 25, 50, 100), (34, 40, 51, 60)
sys.exit(0 if all(found[pieces][0] > 4000 and found[pieces][1][0] > 0.95 for pieces in WHOLE)
         and all(found[pieces][0] == 0 and max(found[pieces][1]) < 0.6 and found[pieces][2] == 0 for pieces in CUT)
         and long[-1] == 99 else 1)
PYTHON
