#!/usr/bin/env bash
# The sum of a column of counts is wider than the counts: numpy, pandas and pyarrow add 32 bits in 64. polars adds Int8 and Int16 in
# Int64, and Int32 and UInt32, where a sum needs it sooner, in themselves, and wraps: three million texts of 1,000 tokens in
# Int32 have -1,294,967,296 in all, five million of 1,000 in UInt32 705,032,704, by sum, group_by, cum_sum, lazily and in its SQL.
# mean() is right. It does not take a narrow file: str.len_chars, str.len_bytes, len, n_unique and the counts of value_counts
# are UInt32, so the bytes of a corpus of 5 GB are 0.7 GB, and how much longer an answer is than the truth is
# 4,294,967,292 where it is 4 shorter (of two answers 2,147,483,646 in the mean). Nothing is said. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q polars==2.1.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import pandas as pd
import polars as pl
import pyarrow.compute as pc

print(f"polars {pl.__version__}, pandas {pd.__version__}")
right = True
for dtype, count, value in (
        (pl.Int8, 3_000_000, 100), (pl.Int16, 3_000_000, 1000), (pl.Int32, 3_000_000, 1000), (pl.UInt32, 5_000_000, 1000)):
    numbers = pl.repeat(value, count, dtype=dtype, eager=True)
    frame = pl.DataFrame({"source": pl.repeat("web", count, eager=True), "tokens": numbers})
    tokens = pl.col("tokens")
    sums = {"sum()": frame["tokens"].sum(), "group_by": frame.group_by("source").agg(tokens.sum())["tokens"][0],
            "cum_sum": frame["tokens"].cum_sum()[-1], "lazy": frame.lazy().select(tokens.sum()).collect().item(),
            "SQL": frame.sql("SELECT SUM(tokens) FROM self").item(), "pandas": int(pd.Series(frame["tokens"].to_numpy()).sum()),
            "pyarrow": pc.sum(frame["tokens"].to_arrow()).as_py(), "mean() * len()": frame["tokens"].mean() * len(frame)}
    print(f"{count} times {value} in {dtype}: " + ", ".join(f"{name} {total:.0f}" for name, total in sums.items()))
    wraps = dtype in (pl.Int32, pl.UInt32)
    right &= all((total != count * value) == wraps for name, total in sums.items() if name in ("sum()", "group_by", "lazy"))
    right &= all(sums[name] == count * value for name in ("pandas", "pyarrow", "mean() * len()"))
texts = pl.DataFrame({"answer": ["a dog", "a cat"], "truth": ["a big dog", "a cat"]})
longer = texts.select((pl.col("answer").str.len_chars() - pl.col("truth").str.len_chars()).alias("longer"))["longer"]
bytes_each = pl.Series(["x" * 1000]).str.len_bytes()
corpus = bytes_each.new_from_index(0, 5_000_000)
print(f"str.len_chars() is {longer.dtype}: 'a dog' is longer than 'a big dog' by {longer[0]}, "
      f"in the mean of two answers by {longer.mean()}")
print(f"five million texts of 1000 bytes by str.len_bytes().sum(): {corpus.sum()}")
sys.exit(0 if right and longer[0] == 2**32 - 4 and corpus.sum() == 5_000_000_000 % 2**32 else 1)
PYTHON
