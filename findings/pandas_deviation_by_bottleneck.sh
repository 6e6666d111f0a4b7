#!/usr/bin/env bash
# The standard deviation of a column is a number of the column, whatever else is installed. pandas hands it to bottleneck, which it
# recommends for speed ("performance" extra), as soon as that can be imported, and bottleneck adds float32 one by one into one
# float32. The mean was taken back from bottleneck for that; std() and var() were not. Of a million values from 10,000 to
# 10,255 Series.std() and DataFrame.std() are then 99.64 in place of 73.90, of 33 million from 0 to 255 they are 71.97, and of a value
# that is the same 150,000 times 0.229 in place of 0. The mean beside them is right, numpy is right, and so is pandas without
# bottleneck, which any other package may bring. Nothing is said. float64, or the option compute.use_bottleneck, cures it. Exits with
# 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandas==3.1.1 bottleneck==1.6.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - "$folder" <<'PYTHON'
import sys

import bottleneck
import numpy as np
import pandas as pd

print(f"pandas {pd.__version__}, bottleneck {bottleneck.__version__}, numpy {np.__version__}; "
      f"compute.use_bottleneck is {pd.get_option('compute.use_bottleneck')} unless set")
values = np.random.default_rng(0).integers(0, 256, 2**25).astype(np.float32)
found = {}
for count, offset in ((2**20, 0), (2**24, 0), (2**25, 0), (2**22, 1000), (2**17, 10_000), (2**20, 10_000)):
    column = pd.Series(values[:count] + np.float32(offset))
    true = column.to_numpy().astype(np.float64).std(ddof=1)
    stds, means = [], []
    for used in (True, False):
        with pd.option_context("compute.use_bottleneck", used):
            stds.append(float(column.std()))
            means.append(float(column.mean()))
    frame = float(column.to_frame("x").std().iloc[0])
    found[count, offset] = [abs(std / true - 1) for std in (*stds, frame)]
    print(f"{count} values from {offset} to {offset + 255}, float32: standard deviation {true:.2f} by numpy in float64; Series.std() "
          f"{stds[0]:.2f} with bottleneck, {stds[1]:.2f} without; DataFrame.std() {frame:.2f}; mean {means[0]:.2f} and {means[1]:.2f}")
constant = pd.Series([271.46] * 150_000, dtype=np.float32).std()
print(f"150000 times 271.46, float32: standard deviation {constant:.3f}")
double = pd.Series(values).astype(np.float64)
print(f"{len(double)} values as float64, with bottleneck: {double.std():.2f}")
sys.exit(0 if found[2**25, 0][0] > 0.02 and constant > 0.1 and found[2**20, 10_000][0] > 0.2 and found[2**20, 10_000][2] > 0.2
         and all(errors[1] < 1e-2 for errors in found.values()) and abs(double.std() / 73.9 - 1) < 1e-2 else 1)
PYTHON
