#!/usr/bin/env bash
# A filter keeps the rows for which it is true, and NaN != 0 is true: so it is in numpy, and in pyarrow for a table in memory. For a
# Parquet file read_table(filters=...) first leaves out row groups by their least and greatest value, which do not tell of NaN. A row
# group of zeros with a NaN in it is taken for zeros alone, and the NaN is gone with it. "loss != 0" and "not below 1" lose rows so, and
# is_nan(loss), which asks for nothing but NaN, finds of two of them two, one or none, by how many rows a row group has (8, 4, 2 here).
# Written with write_statistics=False the same rows are all found. So how a file was written decides whether runs that diverged, or
# samples without a measure, are seen when one looks for them. Nothing is said; a filter after reading is right. Exits with 1 where that
# has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyarrow==26.0.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - "$folder" <<'PYTHON'
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

loss = pc.field("loss")
filters = {"loss != 0": loss != 0, "~(loss < 1)": ~(loss < 1), "is_nan(loss)": pc.is_nan(loss),
           "[('loss', '!=', 0.0)]": [("loss", "!=", 0.0)]}
losses = np.array([0, 0, np.nan, 0, 0.5, 2, np.nan, 0])
expected = {"loss != 0": losses != 0, "~(loss < 1)": ~(losses < 1), "is_nan(loss)": np.isnan(losses)}
table = pa.table({"loss": losses, "row": np.arange(8)})
print(f"pyarrow {pa.__version__}, numpy {np.__version__}; losses {losses.tolist()}; rows that are kept:")
same, lost = True, 0
for name, expression in filters.items():
    wanted = np.flatnonzero(expected.get(name, losses != 0)).tolist()
    rows = {"table.filter": table.filter(expression)["row"].to_pylist()} if isinstance(expression, pc.Expression) else {}
    for size in (8, 4, 2):
        for statistics in (True, False):
            path = f"{sys.argv[1]}/{size}{statistics}.parquet"
            pq.write_table(table, path, row_group_size=size, write_statistics=statistics)
            rows[size, statistics] = pq.read_table(path, filters=expression)["row"].to_pylist()
    same &= all(found == wanted for key, found in rows.items() if key == "table.filter" or not key[1])
    lost += rows[2, True] != wanted
    print(f"{name}: numpy {wanted}; table.filter {rows.get('table.filter')}; read_table without statistics in the file "
          f"{rows[4, False]}; with them, in row groups of 8 {rows[8, True]}, of 4 {rows[4, True]}, of 2 {rows[2, True]}")
sys.exit(0 if same and lost == 4 else 1)
PYTHON
