#!/usr/bin/env bash
# Weather comes as a file for each month, with values packed in 16 bits by a scale and an offset that fit the month (ERA5 and others).
# xarray unpacks them, and a year of them by concat or open_mfdataset is right, as floats. Written by to_netcdf it is packed again, all of
# it by the scale and offset of the first file, and what does not fit is cut to 16 bits. Of a month from 270 to 280 K, one from 275 to 285
# and one from 290 to 300, the first comes back right, half of the second is 10 K too low, and all of the third is 20 K too low, so that
# each looks like the first. The same happens to one file whose values were raised in place by 8 K. After an operation (months * 1) the
# packing is forgotten, and all is right. Nothing is said. drop_encoding() cures it. Reported to xarray as issues 5739 and 7039. Exits
# with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q xarray==2026.9.0 netCDF4==1.7.5.1.post1 pandas==3.1.1 dask==2026.8.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - "$folder" <<'PYTHON'
import sys

import numpy as np
import xarray as xr

folder = sys.argv[1]
print(f"xarray {xr.__version__}, numpy {np.__version__}")
rng = np.random.default_rng(0)
KELVIN = {"january": 270.0, "may": 275.0, "july": 290.0}
true = {}
for place, (name, low) in enumerate(KELVIN.items()):
    values = low + 10 * rng.random((30, 100))
    least, most = float(values.min()), float(values.max())
    packing = {"dtype": "int16", "scale_factor": (most - least) / 65_000, "add_offset": (least + most) / 2, "_FillValue": -32_767}
    month = xr.Dataset({"t2m": (("time", "place"), values)}, coords={"time": np.arange(30) + 30 * place})
    month.to_netcdf(f"{folder}/{name}.nc", encoding={"t2m": packing})
    true[name] = values


def told(name: str, values: np.ndarray) -> tuple[float, float, float]:
    """Least, greatest, share off by more than 0.01 K"""
    found = float(np.nanmin(values)), float(np.nanmax(values)), float((~(np.abs(values - true[name]) < 0.01)).mean())
    print(f"  {name}: {true[name].min():.1f} to {true[name].max():.1f} K is {found[0]:.1f} to {found[1]:.1f} K, {found[2]:.0%} are wrong")
    return found


def again(dataset: xr.Dataset, file: str) -> np.ndarray:
    dataset.to_netcdf(f"{folder}/{file}.nc")
    with xr.open_dataset(f"{folder}/{file}.nc") as back:
        return back["t2m"].values


wrong = {}
files = [f"{folder}/{name}.nc" for name in KELVIN]
joined = xr.concat([xr.open_dataset(file) for file in files], "time")
opened = xr.open_mfdataset(files)
for label, values in {"joined, in memory": joined["t2m"].values, "concat, written and read": again(joined, "concat"),
                      "open_mfdataset, written and read": again(opened, "opened"), "times 1, written": again(joined * 1, "times"),
                      "drop_encoding(), written": again(joined.drop_encoding(), "dropped")}.items():
    print(label)
    wrong[label] = [told(name, values[30 * place:30 * place + 30]) for place, name in enumerate(KELVIN)]
with xr.open_dataset(files[0]) as one:
    warmer = one.load()
warmer["t2m"] += 8
print("january, 8 K added in place, written and read: 278.0 to 288.0 K is "
      f"{np.nanmin(again(warmer, 'warmer')):.1f} to {np.nanmax(again(warmer, 'warmer')):.1f} K")
bad = ("concat, written and read", "open_mfdataset, written and read")
sys.exit(0 if all((found[1][2] > 0.3 and found[2][2] > 0.95) if label in bad else found[1][2] == found[2][2] == 0
                  for label, found in wrong.items()) and all(found[0][2] == 0 for found in wrong.values()) else 1)
PYTHON
