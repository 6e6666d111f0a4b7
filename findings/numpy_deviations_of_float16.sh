#!/usr/bin/env bash
# Features are kept as float16 to halve their room, and numpy takes the mean of such in float32, as its documentation says of mean. Its
# std and var take a mean of their own, in float16, and nanmean, nanstd and nanvar do all in it. Along the first axis (the deviation of
# each feature over its samples) rows are added one by one, and a float16 that has reached 2,048 takes no more of what is below 1. Of
# 20,000 samples about 0.5 with a deviation of 0.1 mean gives 0.5, std 0.23 and nanmean 0.1024; of the same numbers in the other order
# of memory std gives 0.1. xarray, whose mean leaves out missing values, is of the second kind: mean("time") is 0.1024, whether a value
# is missing or not, with skipna=False 0.5, and groupby goes with it. pandas and polars are right. As long as no sum passes 65,504
# nothing is said. The page of std names float32 as what may be inaccurate. dtype=np.float32 cures numpy's. Exits with 1 where that has
# changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 xarray==2026.9.0 pandas==3.1.1 polars==2.1.0
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import pandas as pd
import polars as pl
import xarray as xr

SAMPLES, FEATURES = 20_000, 4
print(f"numpy {np.__version__}, xarray {xr.__version__}, pandas {pd.__version__}, polars {pl.__version__}; "
      f"{SAMPLES} samples of {FEATURES} features in float16")
features = np.random.default_rng(0).normal(0.5, 0.1, size=(SAMPLES, FEATURES)).astype(np.float16)
missing = features.copy()
missing[0, 0] = np.nan
turned = np.asfortranarray(features)
array = xr.DataArray(features, dims=("time", "feature"))
groups = xr.DataArray(np.arange(SAMPLES) % 2, dims="time", name="half")
centre, spread = features.astype(float).mean(axis=0), features.astype(float).std(axis=0)
means = {"numpy mean": features.mean(axis=0), "numpy average": np.average(features, axis=0), "numpy nanmean": np.nanmean(features, axis=0),
         "numpy nanmean with a NaN": np.nanmean(missing, axis=0), "numpy nanmean, other order": np.nanmean(turned, axis=0),
         "numpy nanmean, dtype=float32": np.nanmean(features, axis=0, dtype=np.float32),
         "xarray mean": array.mean("time").values, "xarray mean, skipna=False": array.mean("time", skipna=False).values,
         "xarray groupby mean": array.groupby(groups).mean().values[0], "pandas mean": pd.DataFrame(features).mean().to_numpy(),
         "polars mean": pl.DataFrame(features).mean().to_numpy()[0]}
deviations = {"numpy std": features.std(axis=0), "numpy std, other order": turned.std(axis=0), "numpy nanstd": np.nanstd(features, axis=0),
              "numpy std, dtype=float32": features.std(axis=0, dtype=np.float32), "xarray std": array.std("time").values,
              "pandas std": pd.DataFrame(features).std().to_numpy(), "polars std": pl.DataFrame(features).std().to_numpy()[0]}
off = {}
for found, true in ((means, centre), (deviations, spread)):
    for name, values in found.items():
        off[name] = float(abs(values.astype(float) / true - 1).max())
        print(f"{name}: {float(values[0]):.4f} where {true[0]:.4f} is right")
scaled = (features - features.mean(axis=0)) / features.std(axis=0)
print(f"features less their mean by their std have a deviation of {scaled.astype(float).std(axis=0)[0]:.2f}")
wrong = {"numpy nanmean", "numpy nanmean with a NaN", "xarray mean", "xarray groupby mean", "numpy std", "numpy nanstd", "xarray std"}
sys.exit(0 if all(off[name] > 0.5 for name in wrong) and all(off[name] < 0.01 for name in off if name not in wrong) else 1)
PYTHON
