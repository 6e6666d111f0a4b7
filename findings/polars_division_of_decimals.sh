#!/usr/bin/env bash
# An accuracy of 91.3 % is a share of 0.913, whatever type holds the 91.3. DuckDB calls a number with a point, and databases call
# prices, a DECIMAL of as many digits as were written, and polars takes that over and keeps the number of digits behind the point in a
# division: 91.3 / 100 is 0.9, and so are 91.4, 89.5 and 88.9 by 100, so that four models are equal. The error relative to another one,
# 8.7 / 11.1, is 0.8 where 0.784 is right, and a sum divided by a number is 91.4 where mean() gives 91.35. Divided by 100.0 and times
# 0.01 it is right, and in polars' own SQL, DuckDB and pyarrow the division has the digits that it needs. pyarrow rounds means (its page
# says so), of groups as well, and through it pandas with its types: of 91.3 and 91.4 mean() and groupby().mean() are 91.4. Nothing is
# said. cast(pl.Float64) cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q polars==2.1.0 duckdb==2.0.1 pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys
from importlib.metadata import version

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

print(", ".join(f"{name} {version(name)}" for name in ("polars", "duckdb", "pyarrow", "pandas")))
query = "SELECT * FROM (VALUES ('a', 91.3), ('a', 91.4), ('b', 89.5), ('b', 88.9)) AS runs(model, accuracy)"
runs = duckdb.sql(query).pl()
accuracy = runs["accuracy"]
print(f"accuracies {[float(value) for value in accuracy]}, {accuracy.dtype}")


def numbers(values) -> list[float]:
    return [float(value) for value in values]


right = [0.913, 0.914, 0.895, 0.889]
hundred = pl.Series([100] * 4)
shares = {"accuracy / 100": accuracy / 100, "accuracy / column of 100": accuracy / hundred,
          "col(accuracy) / 100": runs.select(pl.col("accuracy") / 100).to_series(),
          "col(accuracy) / 100.0": runs.select(pl.col("accuracy") / 100.0).to_series(), "accuracy * 0.01": accuracy * 0.01,
          "cast(Float64) / 100": accuracy.cast(pl.Float64) / 100,
          "polars' SQL": runs.sql("SELECT accuracy / 100 FROM self").to_series()}
found = {f"polars, {name}": numbers(values) for name, values in shares.items()}
found["duckdb"] = numbers(row[0] for row in duckdb.sql(f"SELECT accuracy / 100 FROM ({query})").fetchall())
found["pyarrow"] = numbers(pc.divide(runs.to_arrow()["accuracy"], 100).to_pylist())
off = {name: max(abs(one - other) for one, other in zip(values, right)) for name, values in found.items()}
for name, values in found.items():
    print(f"{name}: {values}")
errors = runs.select(100 - pl.col("accuracy")).to_series()
print(f"errors by the largest one: {numbers(errors / errors.max())}, as floats "
      f"{(errors.cast(pl.Float64) / 11.1).round(3).to_list()}")
first = runs.group_by("model", maintain_order=True).agg(mean=pl.mean("accuracy"), by_count=pl.sum("accuracy") / pl.len()).row(0)
table = pa.table({"model": ["a", "a", "b", "b"], "accuracy": pa.array([value for value in accuracy], pa.decimal128(3, 1))})
grouped = float(table.group_by("model").aggregate([("accuracy", "mean")])["accuracy_mean"][0].as_py())
frame = table.to_pandas(types_mapper=pd.ArrowDtype)
means = float(frame["accuracy"][:2].mean()), float(frame.groupby("model")["accuracy"].mean().iloc[0])
print(f"mean of 91.3 and 91.4: polars {first[1]}, polars by sum and count {first[2]}; pyarrow by group {grouped}; pandas {means[0]}, pandas "
      f"by group {means[1]}")
wrong = ("polars, accuracy / 100", "polars, accuracy / column of 100", "polars, col(accuracy) / 100")
sound = ("polars, cast(Float64) / 100", "polars' SQL", "duckdb", "pyarrow")
sys.exit(0 if all(found[name] == [0.9] * 4 for name in wrong)
         and all(off[name if name in off else f"polars, {name}"] < 1e-9 for name in sound) and numbers(errors / errors.max())[0] == 0.8
         and abs(first[1] - 91.35) < 1e-9 and float(first[2]) == 91.4 and grouped == 91.4
         and means == (91.4, 91.4) else 1)
PYTHON
