#!/usr/bin/env bash
# The median of 91.3 and 91.4 is 91.35, whatever type holds them. In DuckDB a number with a point is a DECIMAL of as many digits as were
# written, and so are columns of databases and Parquet that are of that type. median and quantile_cont, which are to interpolate, do so in
# that type and cut what the type has no digit for: of 91.3 and 91.4 it is 91.3, of 0.1 and 0.2 it is 0.1, of -0.1 and -0.2 it is -0.1, and
# mad() of the first two is 0.0 in place of 0.05. avg() of the same column is right, and so is a median of DOUBLE or of whole numbers (1.5
# of 1 and 2). Of 400 groups of six accuracies with one decimal 181 have a median that is too small and none one that is too large; of 200
# pairs of them 12 compare otherwise. polars, pyarrow and numpy give what lies between. Nothing is said. median(x::DOUBLE) cures it. Exits
# with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q duckdb==2.0.1 polars==2.1.0 pyarrow==26.0.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys
from decimal import Decimal

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

print(f"duckdb {duckdb.__version__}, polars {pl.__version__}, pyarrow {pa.__version__}, numpy {np.__version__}")
right = True
for values in (("91.3", "91.4"), ("0.1", "0.2"), ("-0.1", "-0.2"), ("1", "2"), ("91.2", "91.3", "91.5", "91.6")):
    table = ", ".join(f"({value})" for value in values)
    ((kind, median, first, mad, mean, double),) = duckdb.sql(
        "SELECT typeof(min(x)), median(x), quantile_cont(x, 0.25), mad(x), avg(x), median(x::DOUBLE) "
        f"FROM (VALUES {table}) t(x)").fetchall()
    exact = [Decimal(value) for value in values]
    others = pl.Series(exact).median(), pc.quantile(pa.array(exact), 0.5)[0].as_py(), float(np.median(np.array(values, float)))
    print(f"{' '.join(values)} as {kind}: median {median}, lower quartile {first}, mad {mad}, avg {mean}; median as DOUBLE "
          f"{double}; by polars, pyarrow and numpy {others[0]}, {others[1]:.4g}, {others[2]:.4g}")
    right &= all(abs(float(other) - double) < 1e-9 for other in others)
    if len(values) == 2:
        right &= (abs(float(median) - double) > 0.04) == (kind != "INTEGER")
generator = np.random.default_rng(0)
differ, below = 0, []
for _ in range(200):
    groups = generator.integers(910, 920, (2, 6))
    seen = [float(duckdb.sql("SELECT median(x) FROM (VALUES " + ", ".join(f"({value / 10})" for value in group)
                             + ") t(x)").fetchall()[0][0]) for group in groups]
    true = [float(np.median(group)) / 10 for group in groups]
    below += [a - b for a, b in zip(seen, true, strict=True)]
    differ += np.sign(round(seen[0] - seen[1], 9)) != np.sign(round(true[0] - true[1], 9))
below = np.round(below, 9)
print(f"of 200 pairs of groups of six accuracies {differ} compare otherwise by their medians; of 400 medians {(below < 0).sum()} are "
      f"too small, {(below > 0).sum()} too large")
sys.exit(0 if right and differ > 10 and (below < 0).sum() > 100 and not (below > 0).any() else 1)
PYTHON
