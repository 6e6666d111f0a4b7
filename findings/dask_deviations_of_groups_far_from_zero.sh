#!/usr/bin/env bash
# How far values spread within a group does not hang on where their zero is. Of a whole column dask's var and std keep that. Of groups dask
# takes the sum of squares less the square of the sum. Of numbers with a deviation of 1 in three groups of 1,000 std is right at 0 and to
# 1e-4 at a million; at 100 million it is 2.0, 1.4 and 0, and of times in seconds since 1970 22.9, 0 and 0, where pandas has 1.00, 0.99 and
# 1.02 of the very same float64. What comes out below 0 is set to 0, which then says that a group does not vary at all. groupby.corr, 0.7
# near zero, is NaN or 1 at 100 million and NaN for all of the times. Times of events and the jitter of clocks, identifiers, and northings
# in millimetres are such numbers. Nothing is said. Subtracting any value near the mean first cures it. Reported to dask as issue 6306.
# Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'dask[dataframe]==2026.8.0' pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import dask
import dask.dataframe
import numpy as np
import pandas as pd

print(f"dask {dask.__version__}, pandas {pd.__version__}, numpy {np.__version__}")
rng = np.random.default_rng(0)
found = {}
for name, start in (("0", 0), ("a million", 1e6), ("100 million", 1e8), ("seconds since 1970", 1.76e9),
                    ("seconds since 1970 less one", 1.76e9)):
    table = pd.DataFrame({"group": rng.permutation(np.arange(3000) % 3), "time": start + rng.normal(size=3000)})
    table["other"] = table["time"] + rng.normal(size=3000)
    if name.endswith("less one"):
        table[["time", "other"]] -= start
    parts = dask.dataframe.from_pandas(table, npartitions=4)
    groups, right = parts.groupby("group"), table.groupby("group")
    ours = groups["time"].std().compute().sort_index().to_numpy()
    theirs = right["time"].std().to_numpy()
    whole = float(parts["time"].std().compute())
    together = groups[["time", "other"]].corr().compute()["other"].xs("time", level=1).to_numpy()
    expected = right[["time", "other"]].corr()["other"].xs("time", level=1).to_numpy()
    found[name] = np.abs(ours - theirs).max(), abs(whole - table["time"].std())
    print(f"{name}: deviations of the groups by dask {ours.round(4).tolist()}, by pandas {theirs.round(4).tolist()}; "
          f"of all by dask {whole:.4f}; correlations by dask {together.round(3).tolist()}, by pandas {expected.round(3).tolist()}")
sys.exit(0 if max(found["0"][0], found["seconds since 1970 less one"][0]) < 1e-9 and found["100 million"][0] > 0.3
         and found["seconds since 1970"][0] > 0.5 and all(whole < 1e-6 for _, whole in found.values()) else 1)
PYTHON
