#!/usr/bin/env bash
# The distance of two equal distributions is 0. SciPy's jensenshannon, which "will normalize p and q if they don't sum to 1.0", so that
# counts and shares may be compared, takes the root of a sum that is 0 but for rounding, and where it rounds below 0, the distance is NaN:
# of 300 histograms of 50 bins, each beside its triple, of every second one. Those that are equal bit for bit have 0. In float32, as
# networks give probabilities, they need not be equal: of such a hundred thousandth apart, every second one is NaN, too. A mean over
# samples is then NaN, nanmean leaves out those that agree best, and asked whether they are nearer than 0.1 NaN says no. For two vectors
# there is a warning of an invalid value in a root; cdist with metric="jensenshannon" has NaN, for other pairs, without any warning. The
# others are right to 2e-4 in float32 and 1e-8 in float64. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import scipy
from scipy.spatial.distance import cdist, jensenshannon

print(f"scipy {scipy.__version__}, numpy {np.__version__}")
generator = np.random.default_rng(0)
missing, warned = {}, {}
for dtype in (np.float32, np.float64):
    for bins in (2, 10, 50, 1000):
        shares = generator.random((300, bins))
        shares = (shares / shares.sum(axis=1, keepdims=True)).astype(dtype)
        near = shares * (1 + 1e-5 * generator.normal(size=shares.shape)).astype(dtype)
        pairs = {"itself": shares, "its triple": shares * dtype(3), "1e-5 apart": near}
        for name, others in pairs.items():
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                single = np.array([jensenshannon(one, other) for one, other in zip(shares, others, strict=True)])
            with warnings.catch_warnings(record=True) as table_said:
                warnings.simplefilter("always")
                table = np.diag(cdist(shares, others, "jensenshannon"))
            key = np.dtype(dtype).name, bins, name
            missing[key] = int(np.isnan(single).sum()), int(np.isnan(table).sum())
            warned[key] = len(said) > 0, len(table_said) > 0
            print(f"{key[0]}, {bins} bins, {name}: of 300 distances {missing[key][0]} are NaN, others at most {np.nanmax(single):.1e}, "
                  f"warned {warned[key][0]}; by cdist {missing[key][1]}, warned {warned[key][1]}")
sys.exit(0 if all(missing[kind, bins, "its triple"][0] > 100 for kind in ("float32", "float64") for bins in (10, 50, 1000))
         and missing["float32", 50, "1e-5 apart"][0] > 50 and not any(table for _, table in warned.values())
         and not any(missing[key][0] for key in missing if key[2] == "itself")
         and sum(table for _, table in missing.values()) > 50 else 1)
PYTHON
