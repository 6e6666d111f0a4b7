#!/usr/bin/env bash
# What was written to a file and had no missing value in it has none when it is read. netCDF4 takes a value that nobody named for missing:
# NetCDF fills what was never written with one value for each type, and netCDF4 masks that on reading, also where the variable has no
# _FillValue and every value was written. Of floats that is 9.97e36, which nobody has. Of uint8 it is 255 and of uint16 65,535, which are
# white and a saturated pixel; of int8 -127, of int16 -32,767, a sample at full scale. A mask of 0 and 255 that covers 30 % has no white at
# all: (mask == 255).mean() is 0. Of a sensor of 16 bits with 5 % saturated pixels the mean falls by 22 %, and the greatest value is one that
# is not saturated; of a sound cut at both ends the mean moves from 22 to 505. What is masked passes through numpy without a word. xarray and
# h5py read the same files right, and so does netCDF4 after set_auto_mask(False). Its documentation says that a variable's _FillValue has a
# default, not that common values are it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q netCDF4==1.7.5.1.post1 xarray==2026.9.0 h5py==3.16.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import h5py
import netCDF4
import numpy as np
import xarray as xr

print(f"netCDF4 {netCDF4.__version__}, xarray {xr.__version__}, h5py {h5py.__version__}, numpy {np.__version__}")
generator = np.random.default_rng(0)
full = generator.random(100_000)
arrays = {
    "mask, uint8": np.where(full < 0.3, 255, 0).astype(np.uint8),
    "picture, uint8": np.clip(generator.normal(180, 60, 100_000), 0, 255).round().astype(np.uint8),
    "sensor, uint16": np.where(full < 0.05, 65_535, generator.integers(5_000, 15_000, 100_000)).astype(np.uint16),
    "sound, int16": np.clip(generator.normal(0, 15_000, 100_000), -32_767, 32_767).round().astype(np.int16),
    "weights, int8": np.clip(generator.normal(0, 60, 100_000), -127, 127).round().astype(np.int8),
    "counts, int32": generator.integers(0, 1000, 100_000).astype(np.int32),
}
lost = {}
for name, array in arrays.items():
    with netCDF4.Dataset("file.nc", "w") as file:
        file.createDimension("pixel", len(array))
        variable = file.createVariable("values", array.dtype, ("pixel",))
        variable[:] = array
        named = "_FillValue" in variable.ncattrs()
    with netCDF4.Dataset("file.nc") as file:
        read = file["values"][:]
        file.set_auto_mask(False)
        plain = file["values"][:]
    with xr.open_dataset("file.nc", engine="netcdf4") as other:
        same = np.array_equal(other["values"].values, array)
    with h5py.File("file.nc") as other:
        same &= np.array_equal(other["values"][:], array)
    lost[name] = float(np.ma.getmaskarray(read).mean())
    white = array.max()
    print(f"{name}: {lost[name]:.1%} masked (_FillValue named: {named}); mean {array.mean():.1f}, as read {read.mean():.1f}; "
          f"least and greatest {array.min()} {array.max()}, as read {read.min()} {read.max()}; share of the greatest "
          f"{(array == white).mean():.3f}, as read {(read == white).mean():.3f}; "
          f"by xarray and h5py {'all right' if same else 'otherwise'}, without mask "
          f"{'all right' if np.array_equal(plain, array) else 'otherwise'}")
    if not same or not np.array_equal(plain, array) or named:
        sys.exit(1)
sys.exit(0 if lost["mask, uint8"] > 0.25 and min(lost[name] for name in arrays if not name.startswith("counts")) > 0.005
         and lost["counts, int32"] == 0 else 1)
PYTHON
