#!/usr/bin/env bash
# Depth maps and measurements mark what is missing by NaN, and a filter that makes files smaller gives it back: gzip, lzf and netCDF's
# rounding do. The scale and offset filter of HDF5, in h5py scaleoffset=3 for three digits behind the point ("stored values thus have
# absolute error less than 0.5*10**(-scaleoffset)"), gives a number: the least one of the chunk. Of a depth map from 2 to 5 m with holes
# in every tenth pixel none is left, each hole is the nearest point of its chunk, and the mean falls from 3.51 to 3.46, in one chunk to
# 3.35. Infinity is kept, and all else exactly with it. A chunk that begins with NaN is kept whole in float64; in float32 it is written
# without a word and cannot be read again ("filter returned failure"). Nothing is said at writing. A fill value of -1 in place of NaN is
# kept. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q h5py==3.16.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - "$folder" <<'PYTHON'
import sys

import h5py
import numpy as np

print(f"h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}, numpy {np.__version__}")
generator = np.random.default_rng(0)
depth = 2 + np.linspace(0, 3, 64)[:, None] + 0.01 * generator.normal(size=(64, 64))
holes = generator.random(depth.shape) < 0.1
holes[:, 0] = False  # each chunk begins with a number


def back(array: np.ndarray, rows: int = 16, **options: object) -> np.ndarray | None:
    """What is read of an array that was written in chunks of so many rows; nothing where it cannot be read"""
    with h5py.File(f"{sys.argv[1]}/depth.h5", "w") as file:
        file.create_dataset("depth", data=array, chunks=(rows, array.shape[1]), **options)
    with h5py.File(f"{sys.argv[1]}/depth.h5") as file:
        try:
            return file["depth"][...]
        except OSError as error:
            print(f"    reading: {error}")
            return None


left, least, off = {}, {}, {}
for dtype in (np.float32, np.float64):
    map_ = np.where(holes, np.nan, depth).astype(dtype)
    for name, rows, options in (("gzip", 16, {"compression": "gzip"}), ("scaleoffset=3", 16, {"scaleoffset": 3}),
                                ("scaleoffset=3, one chunk", 64, {"scaleoffset": 3})):
        read = back(map_, rows, **options)
        key = np.dtype(dtype).name, name
        left[key], off[key] = int(np.isnan(read).sum()), float(abs(read - map_)[~holes].max())
        least[key] = all(np.allclose(read[at:at + rows][holes[at:at + rows]], np.nanmin(map_[at:at + rows]), atol=6e-4)
                         for at in range(0, 64, rows))
        print(f"{key[0]}, {name}: of {holes.sum()} holes {left[key]} are NaN; all are their chunk's least number: {least[key]}; others "
              f"off by at most {off[key]:.5f}; mean {np.nanmean(map_):.4f} as written, {np.nanmean(read):.4f} as read")
marked = back(np.where(holes, -1, depth).astype(np.float32), scaleoffset=3)
infinite = back(np.where(holes, np.inf, depth).astype(np.float32), scaleoffset=3)
print(f"holes as -1: {int((abs(marked + 1) < 1e-3).sum())} kept; as infinity: {int(np.isinf(infinite).sum())} kept")
begins = {}
for dtype in (np.float32, np.float64):
    row = depth[:1].astype(dtype)
    row[0, 0] = np.nan
    print(f"a chunk of {np.dtype(dtype).name} that begins with NaN:")
    read = back(row, 1, scaleoffset=3)
    begins[dtype] = read is not None and np.array_equal(read, row, equal_nan=True)
    print(f"    kept: {begins[dtype]}")
lost = [key for key in left if key[1] != "gzip"]
sys.exit(0 if not any(left[key] for key in lost) and all(least[key] for key in lost) and max(off.values()) < 6e-4
         and all(left[key] == holes.sum() for key in left if key not in lost) and np.isinf(infinite).sum() == holes.sum()
         and (abs(marked + 1) < 1e-3).sum() == holes.sum() and begins == {np.float32: False, np.float64: True} else 1)
PYTHON
