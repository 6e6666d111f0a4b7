#!/usr/bin/env bash
# Infinity is a number to pandas: isna() is False for it, and the mean, max, cummax and groups of a column that holds it are infinite. So
# a loss that diverged should show in a running mean. rolling() and expanding() turn infinity into a missing value before they compute. A
# window of two rows is then NaN, but with min_periods=1, which gives the first rows a value and which windows of time ("2s") and
# expanding() have by themselves, it is left out: of losses 1, inf, 2, 3 the running maximum is 1, 1, 2, 3, and of a run in which every
# second loss is infinite the mean over 100 steps is 1.96, like that of a sound run. ewm() does alike, while count() counts it, so that
# sums and counts do not belong together. polars' windows keep infinity. Nothing is said. Reported to pandas as issue 57549. Exits with 1
# where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandas==3.1.1 polars==2.1.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import pandas as pd
import polars as pl

losses = pd.Series([1.0, np.inf, 2.0, 3.0])
seconds = losses.set_axis(pd.to_datetime(range(4), unit="s"))
print(f"pandas {pd.__version__}, polars {pl.__version__}; losses {losses.tolist()}")
kept = {"max()": losses.max() == np.inf, "mean()": losses.mean() == np.inf, "cummax()": losses.cummax().iloc[-1] == np.inf,
        "groupby": losses.groupby([0, 0, 1, 1]).max().iloc[0] == np.inf, "not missing": not losses.isna().any()}
print(f"infinity is kept by {[name for name, held in kept.items() if held]}")
windows = {"rolling(2)": losses.rolling(2), "rolling(2, min_periods=1)": losses.rolling(2, min_periods=1),
           "rolling('2s')": seconds.rolling("2s"), "expanding()": losses.expanding(), "ewm(alpha=0.5)": losses.ewm(alpha=0.5)}
seen = {}
for name, window in windows.items():
    values = {"mean": window.mean().tolist()}
    if not name.startswith("ewm"):
        values |= {"max": window.max().tolist(), "sum": window.sum().tolist(), "count": window.count().tolist()}
    seen[name] = values
    print(f"{name}: " + "; ".join(f"{measure} {numbers}" for measure, numbers in values.items()))
frame = pl.Series(losses.to_numpy())
print(f"polars rolling_max(2, min_samples=1): {frame.rolling_max(2, min_samples=1).to_list()}")
generator = np.random.default_rng(0)
run = pd.Series(np.where(np.arange(1000) % 2, np.inf, generator.normal(2, 0.1, 1000)))
smooth = run.rolling(100, min_periods=1).mean()
print(f"1000 losses near 2, every second one infinite: mean {run.mean()}, last of rolling(100, min_periods=1).mean() "
      f"{smooth.iloc[-1]:.3f}, values of it that are not finite: {int((~np.isfinite(smooth)).sum())}")
short = ("rolling(2, min_periods=1)", "rolling('2s')", "expanding()")
sys.exit(0 if all(kept.values()) and all(seen[name]["max"] == [1, 1, 2, 3] for name in short) and np.isfinite(smooth).all()
         and all(np.isfinite(seen[name]["mean"]).all() for name in (*short, "ewm(alpha=0.5)"))
         and np.isnan(seen["rolling(2)"]["max"]).tolist() == [True, True, True, False]
         and frame.rolling_max(2, min_samples=1).to_list() == [1, np.inf, np.inf, 3] else 1)
PYTHON
