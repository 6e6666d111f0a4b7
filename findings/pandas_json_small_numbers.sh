#!/usr/bin/env bash
# A table written as JSON and read again has its numbers, as by Python's json or by to_csv, which keep every bit. pandas' to_json
# writes ten digits behind the point, however small the number: 3e-8 keeps three of its digits, and a p value of 3e-12 is 0.0. It is
# not that small numbers are lost: below 1e-15 they are written with an exponent, so 3e-12 is 0 and 3e-16 is 3e-16, and the smaller
# one of two is the larger one. double_precision=15, which is the most it takes, moves the gap and does not close it: 1.23456e-12 keeps
# three digits, 4e-16 all. Learning rates, p values, weights, and losses near their end come back changed, with no warning.
# Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import io
import json
import sys

import numpy as np
import pandas as pd

values = [1.23456789 * 10.0**-power for power in range(0, 20)]
table = pd.DataFrame({"p": values})
print(f"pandas {pd.__version__}")
tables = {"to_json()": json.loads(table["p"].to_json(orient="values")),
          "to_json(double_precision=15)": json.loads(table["p"].to_json(orient="values", double_precision=15)),
          "to_csv()": pd.read_csv(io.StringIO(table.to_csv(index=False)))["p"].tolist(),
          "json.dumps": json.loads(json.dumps(values))}
off = {name: [abs(new - old) / old for new, old in zip(read, values, strict=True)] for name, read in tables.items()}
for power in range(0, 20):
    print(f"{values[power]:.8e}", *(f"{name} {tables[name][power]:.9g} (off by {off[name][power]:.0e})" for name in list(tables)[:2]),
          sep=", ")
print("largest error of to_csv:", max(off["to_csv()"]), "and of json.dumps:", max(off["json.dumps"]))
p_values = 10 ** np.random.default_rng(0).uniform(-18, 0, 100_000)
read = pd.read_json(io.StringIO(pd.DataFrame({"p": p_values}).to_json()), precise_float=True)["p"].to_numpy()
order = np.argsort(p_values)
print(f"100,000 numbers, their logarithms uniform from 1e-18 to 1: {np.mean(read == 0):.1%} come back as 0, "
      f"{np.mean(abs(read - p_values) > 0.01 * p_values):.1%} off by more than 1 %; "
      f"the smallest of those in order: {np.array2string(read[order][[0, 15_000, 17_000, 40_000, 60_000]])}")
plain, most = off["to_json()"], off["to_json(double_precision=15)"]
sys.exit(0 if plain[12] == 1 and plain[16] < 1e-6 and plain[8] > 1e-3 and most[12] > 1e-4 and most[16] < 1e-6
         and max(off["to_csv()"]) == max(off["json.dumps"]) == 0 and np.mean(read == 0) > 0.2 else 1)
PYTHON
