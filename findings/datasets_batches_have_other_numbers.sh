#!/usr/bin/env bash
# A row of a batch is the row that one gets alone. With datasets' with_format("numpy") it is another number. A row alone, and a loop over
# rows, keep the column's type; slices, whole columns, batches and map(batched=True) make float64 into float32 and every kind of integer
# into int64. So of 1,000 times in seconds since 1970 a batch has nine distinct ones (steps of 128), a map that takes the second of the
# day gives 80,000 where it gives 80,005 row by row, uint64 from 2^63 on (hashes, identifiers) is negative in batches, and bytes of
# pixels take eight times the memory. A list in a column is float32 in both. The new column that map makes is float32 or float64, by
# batched=True or not. Streams (IterableDataset) are alike. The page on NumPy does not name it, and no word is said.
# with_format("numpy", dtype=np.float64) keeps floats, and "arrow" and "pandas" keep all. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datasets==5.2.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
HF_HOME="$folder" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys

import datasets
import numpy as np

datasets.disable_progress_bars()
ROWS = 1000
seconds = 1_700_000_000.0 + np.arange(ROWS)
table = datasets.Dataset.from_dict({"time": seconds, "hash": 2**63 + np.arange(ROWS, dtype=np.uint64),
                                    "pixel": np.zeros(ROWS, np.uint8), "place": np.ones((ROWS, 3))})
rows = table.with_format("numpy")
stream = table.to_iterable_dataset().with_format("numpy")
print(f"datasets {datasets.__version__}, numpy {np.__version__}; stored as { {name: str(kind) for name, kind in table.features.items()} }")
ways = {"a row": rows[5], "a loop's row": next(iter(rows)), "a slice": rows[:], "a slice of one": rows[5:6],
        "a batch": next(rows.iter(batch_size=4)), "a stream's row": next(iter(stream)), "a stream's batch": next(stream.iter(batch_size=4))}
kinds = {way: {name: str(value.dtype) for name, value in row.items()} for way, row in ways.items()}
for way, names in kinds.items():
    print(f"{way}: {names}")
alone, together = len({float(row["time"]) for row in rows}), len(np.unique(rows[:]["time"]))
print(f"of {ROWS} times {alone} differ row by row, {together} in a slice; hash 0 is {rows[0]['hash']} and {rows[:]['hash'][0]}")


def second_of_day(row: dict) -> dict:
    return {"of day": row["time"] % 86_400}


day = {batched: rows.map(second_of_day, batched=batched, load_from_cache_file=False) for batched in (False, True)}
for batched, made in day.items():
    print(f"map(batched={batched}): row 5 of day {float(made[5]['of day'])}, stored as {made.features['of day'].dtype}")
wide = table.with_format("numpy", dtype=np.float64).select_columns("time")[:]["time"]
print(f"right is {seconds[5] % 86_400}; with dtype=np.float64 {len(np.unique(wide))} differ")
single = {"time": "float64", "hash": "uint64", "pixel": "uint8", "place": "float32"}
batch = {"time": "float32", "hash": "int64", "pixel": "int64", "place": "float32"}
sys.exit(0 if all(names == (single if "row" in way else batch) for way, names in kinds.items()) and alone == ROWS and together < 20
         and float(day[False][5]["of day"]) == seconds[5] % 86_400 != float(day[True][5]["of day"]) and rows[:]["hash"][0] < 0
         and len(np.unique(wide)) == ROWS else 1)
PYTHON
