#!/usr/bin/env bash
# Whether a value is at least 0.7 is a question to that value, whatever column it stands in and whatever else is installed. pandas asks
# numexpr, which it recommends for speed ("performance" extra, and other packages bring it), as soon as a column has more than a million
# values, and numexpr takes a number beside the column by another rule than numpy: as float64 and as 64 bits. Of a float32 column of 0.7
# "x >= 0.7" holds for all rows of 1,000,000 and for none of 1,000,001; for "x == 0.7", between and a filter it is the same. Scores of
# float32 rounded to one decimal so lose those at the threshold (91,000 of 364,000 here) once there is one row more. x * np.float32(0.1)
# turns from float32 to float64, twice the memory, and int32 + 1 beyond its end from -2,147,483,648 to 2,147,483,648. Without numexpr, or
# with the option compute.use_numexpr off, both lengths agree. Nothing is said. The change of type was reported to pandas as issue 61951,
# the change of truth is not in it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pandas==3.1.1 numexpr==2.14.2 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numexpr
import numpy as np
import pandas as pd

print(f"pandas {pd.__version__}, numexpr {numexpr.__version__}, numpy {np.__version__}")


def asked(length: int) -> dict[str, object]:
    same = pd.Series(np.full(length, 0.7, np.float32))
    ends = pd.Series(np.full(length, 2**31 - 1, np.int32))
    scores = pd.Series((np.arange(length) % 11 / 10).astype(np.float32))  # 0, 0.1 ... 1 over and over
    return {"at least 0.7": f"{int((same >= 0.7).sum()):,}", "equal to 0.7": f"{int((same == 0.7).sum()):,}",
            "numpy's own answer": f"{int((same.to_numpy() >= 0.7).sum()):,}", "between 0.7 and 1": f"{int(same.between(0.7, 1).sum()):,}",
            "first 999,999 scores at least 0.7": f"{int((scores >= 0.7)[:999_999].sum()):,}",
            "type of x * np.float32(0.1)": str((same * np.float32(0.1)).dtype),
            "int32's end + 1": f"{int((ends + 1).iloc[0]):,}, {(ends + 1).dtype}"}


found = {}
for use in (True, False):
    pd.set_option("compute.use_numexpr", use)
    for length in (1_000_000, 1_000_001):
        found[use, length] = asked(length)
        print(f"numexpr {'on' if use else 'off'}, {length:,} rows: " + "; ".join(f"{name}: {value}"
                                                                             for name, value in found[use, length].items()))
short, long = found[True, 1_000_000], found[True, 1_000_001]
off = [{name: value for name, value in found[False, length].items() if name.startswith("first") or "type" in name or "end" in name}
       for length in (1_000_000, 1_000_001)]
sys.exit(0 if short["at least 0.7"] == "1,000,000" and long["at least 0.7"] == "0" and long["numpy's own answer"] == "1,000,001"
         and short["type of x * np.float32(0.1)"] == "float32" and long["type of x * np.float32(0.1)"] == "float64"
         and short["int32's end + 1"] != long["int32's end + 1"] and off[0] == off[1] and found[False, 1_000_000] == short else 1)
PYTHON
