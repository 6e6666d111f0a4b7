#!/usr/bin/env bash
# How two measurements move together does not hang on where their zero is: a correlation of temperatures is the same in kelvin and in
# degrees Celsius. polars' corr and cov keep that. Its rolling_corr and rolling_cov take the mean of products less the product of means,
# in the type of the column. Of two thermometers in Float32 with a deviation of 0.3 and a correlation of 0.83 windows of 60 have
# correlations that are off by up to 0.001 in degrees and by up to 0.3 in kelvin, where 39 of 4,941 are above 1. In Float64 far from zero
# (a mean of 1e8 deviations) the correlation of 1,000 values is -1.39 and their covariance -2.0, where corr gives 0.72 and cov 1.03 of the
# very same. pandas' windows are right for all. Nothing is said. Subtracting any value near the mean first cures it. Exits with 1 where
# that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q polars==2.1.0 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import pandas as pd
import polars as pl

print(f"polars {pl.__version__}, pandas {pd.__version__}, numpy {np.__version__}")
generator = np.random.default_rng(0)
WINDOW = 60
first = 20 + generator.normal(0, 0.3, 5000)
second = 20 + (first - 20) + generator.normal(0, 0.2, 5000)
worst = {}
for name, zero in {"degrees less 20": -20, "degrees Celsius": 0, "kelvin": 273.15}.items():
    frame = pl.DataFrame({"a": first + zero, "b": second + zero}).cast(pl.Float32)
    a, b = (frame[column].to_numpy().astype(float) for column in "ab")
    right = np.array([np.corrcoef(a[end - WINDOW:end], b[end - WINDOW:end])[0, 1] for end in range(WINDOW, len(a) + 1)])
    rolled = frame.select(pl.rolling_corr("a", "b", window_size=WINDOW)).to_series().to_numpy()[WINDOW - 1:]
    pandas = pd.Series(frame["a"].to_numpy()).rolling(WINDOW).corr(pd.Series(frame["b"].to_numpy())).to_numpy()[WINDOW - 1:]
    whole = frame.select(pl.corr("a", "b")).item() - np.corrcoef(a, b)[0, 1]
    finite = np.isfinite(rolled)
    worst[name] = float(abs(rolled - right)[finite].max())
    print(f"{name}, Float32: {right.min():.2f} to {right.max():.2f} by numpy; rolling_corr is off by up to {worst[name]:.2g}, "
          f"pandas by {abs(pandas - right).max():.1g}, corr of all rows by {abs(whole):.1g}; above 1: "
          f"{int((rolled[finite] > 1.001).sum())}, not finite: {int((~finite).sum())} of {len(rolled)}")
x = 1e8 + generator.normal(size=1000)
frame = pl.DataFrame({"x": x, "y": x + generator.normal(size=1000)})
found = frame.select(corr=pl.corr("x", "y"), cov=pl.cov("x", "y"),
                     rolling_corr=pl.rolling_corr("x", "y", window_size=1000).last(),
                     rolling_cov=pl.rolling_cov("x", "y", window_size=1000).last()).row(0, named=True)
print(f"Float64, a mean of 1e8 deviations: {found}; numpy {np.corrcoef(frame['x'], frame['y'])[0, 1]:.4f}, "
      f"{np.cov(frame['x'], frame['y'])[0, 1]:.4f}")
sys.exit(0 if worst["degrees less 20"] < 1e-3 and worst["kelvin"] > 0.2 and abs(found["cov"] - found["rolling_cov"]) > 0.3
         and abs(found["corr"] - np.corrcoef(frame["x"], frame["y"])[0, 1]) < 1e-6 else 1)
PYTHON
