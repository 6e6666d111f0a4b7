#!/usr/bin/env bash
# A filter before compression stores the difference of neighbours, and what it stored it gives back: numcodecs, which zarr takes its
# filters from, has Delta for that, beside filters that say that they lose something (Quantize, BitRound, FixedScaleOffset). Of integers,
# also where they wrap, Delta is exact. Of floats it subtracts and adds up in floats. One NaN, as a missing value is, makes all behind it
# in the chunk NaN: of 100,000 samples with one at place 100, 99,900 are missing after reading, and a zarr of ten chunks with two NaN has
# 19,800. An infinite one does so, too. Without them most of the samples come back as other numbers: of float32 with a deviation of 1 they
# are off by 3e-5, behind one of 1e6 (a glitch, a fill value) by 0.007, behind one of 1e8 by 0.1, and the longer the chunk the more.
# Nothing is said, writing or reading, and the types "f4" and "f8" are taken. Shuffle, or Delta of the bits as integers, is exact. Exits
# with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numcodecs==0.16.6 zarr==3.1.6 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
import warnings

import numcodecs
import numpy as np
import zarr

folder = sys.argv[1]
print(f"numcodecs {numcodecs.__version__}, zarr {zarr.__version__}, numpy {np.__version__}")


def again(values: np.ndarray) -> np.ndarray:
    """Values after Delta and back"""
    codec = numcodecs.Delta(dtype=values.dtype.str)
    return codec.decode(codec.encode(values))


rng = np.random.default_rng(0)
samples = rng.normal(size=100_000)
found, other = {}, {}
with warnings.catch_warnings():
    warnings.simplefilter("error")
    for kind in (np.float32, np.float64):
        for first in (0, 1e4, 1e6, 1e8):
            values = samples.astype(kind)
            values[0] = first
            found[np.dtype(kind).name, first] = float(np.abs(again(values)[1:] - values[1:]).max())
            other[np.dtype(kind).name, first] = float((again(values) != values).mean())
            print(f"{np.dtype(kind)} of deviation 1 after one of {first:g}: off by up to {found[np.dtype(kind).name, first]:.1g}, "
                  f"{other[np.dtype(kind).name, first]:.0%} of the samples are other numbers")
    walk = np.cumsum(samples).astype(np.float32)
    whole = rng.integers(-2**31, 2**31, 100_000).astype(np.int32)
    exact = bool((again(whole) == whole).all())
    bits = walk.view(np.int32)
    exact_bits = bool((again(bits).view(np.float32) == walk).all())
    print(f"int32 over its whole range: exact {exact}; the bits of floats as int32: exact {exact_bits}")
lost = {}
for mark in (np.nan, np.inf):
    values = samples.astype(np.float32)
    values[100] = mark
    with warnings.catch_warnings():
        warnings.simplefilter("error" if np.isnan(mark) else "ignore")
        back = again(values)
    lost[str(mark)] = int((~np.isfinite(back)).sum())
    print(f"one {mark} at place 100 of 100,000: {lost[str(mark)]} are not finite after it")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    array = zarr.create_array(f"{folder}/a.zarr", shape=(100_000,), chunks=(10_000,), dtype="f4", zarr_format=2,
                              filters=[numcodecs.Delta(dtype="<f4")])
    values = samples.astype(np.float32)
    values[[100, 50_100]] = np.nan
    array[:] = values
    missing = int(np.isnan(zarr.open_array(f"{folder}/a.zarr", mode="r")[:]).sum())
print(f"two NaN in a zarr of ten chunks: {missing} are missing after reading")
sys.exit(0 if found["float32", 1e6] > 0.002 and found["float32", 1e8] > 0.05 and min(other.values()) > 0.5 and exact and exact_bits
         and lost["nan"] == 99_900 and lost["inf"] >= 99_900 and missing == 2 * 9900 else 1)
PYTHON
