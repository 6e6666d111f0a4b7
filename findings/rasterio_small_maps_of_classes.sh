#!/usr/bin/env bash
# A map of land cover has a code for each class (in ESA's WorldCover 10 is trees, 20 shrubs, 30 grass, 40 crops, 50 buildings), and read at a
# smaller size it has the same codes: rasterio's read takes the nearest pixel, or with resampling=Resampling.mode the commonest class. Of a
# cloud-optimized GeoTIFF (driver="COG") it takes neither. GDAL stores smaller copies in such a file, made by cubic interpolation unless one
# says otherwise, and a smaller read takes the next copy, whatever resampling it names. Of a map of 2,048 by 2,048 pixels of trees and
# buildings, 49 % buildings, read at a quarter of its size, 40 % are buildings, 19 % are neither, by codes from 6 to 54, among them shrubs,
# grass and crops that were nowhere; nearest, mode and average give the very same. As a plain GeoTIFF it is 49 % by nearest and mode, and at
# full size the two files are equal. Nothing is said, and the driver of either, read, is "GTiff". overview_resampling="mode" at writing
# cures it, or OVERVIEW_LEVEL="NONE" at opening; warp.reproject does not use the copies. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q rasterio==1.4.4 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error -W ignore::PendingDeprecationWarning - "$folder" <<'PYTHON'
import sys

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.warp import reproject
from scipy.ndimage import gaussian_filter

print(f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}, numpy {np.__version__}")
SIZE, SMALL, TREES, BUILDINGS = 2048, 512, 10, 50
patches = gaussian_filter(np.random.default_rng(0).normal(size=(SIZE, SIZE)), 20)
classes = np.where(patches > 0, BUILDINGS, TREES).astype(np.uint8)
place = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, 10, 10)}
profile = {"height": SIZE, "width": SIZE, "count": 1, "dtype": "uint8"} | place


def shares(codes: np.ndarray) -> tuple[float, float, float]:
    """Shares of buildings, of codes that the map does not have, and of those the ones that mean a class"""
    return tuple(float(chosen.mean()) for chosen in (codes == BUILDINGS, ~np.isin(codes, (TREES, BUILDINGS)), np.isin(codes, (20, 30, 40))))


seen, full = {}, {}
for name, driver, writing, opening in (
        ("GeoTIFF", "GTiff", {}, {}), ("COG", "COG", {}, {}),
        ("COG by mode", "COG", {"overview_resampling": "mode"}, {}), ("COG without copies", "COG", {}, {"OVERVIEW_LEVEL": "NONE"})):
    path = f"{sys.argv[1]}/{name}.tif"
    with rasterio.open(path, "w", driver=driver, **profile, **writing) as file:
        file.write(classes, 1)
    with rasterio.open(path, **opening) as file:
        full[name] = bool(np.array_equal(file.read(1), classes))
        small = {way.name: file.read(1, out_shape=(SMALL, SMALL), resampling=way)
                 for way in (Resampling.nearest, Resampling.mode, Resampling.average)}
        small["reproject"] = reproject(rasterio.band(file, 1), np.zeros((SMALL, SMALL), np.uint8), dst_crs=place["crs"],
                                       dst_transform=from_origin(500_000, 5_000_000, 40, 40), resampling=Resampling.nearest)[0]
        print(f"{name} (driver {file.driver}, copies {file.overviews(1)}), equal at full size: {full[name]}")
    for way, codes in small.items():
        seen[name, way] = shares(codes)
        print(f"    by {way}: buildings {seen[name, way][0]:.3f}, codes that are not in the map {seen[name, way][1]:.3f} "
              f"(shrubs, grass, crops {seen[name, way][2]:.3f}), from {codes.min()} to {codes.max()}")
    seen[name, "alike"] = np.array_equal(small["nearest"], small["mode"]) and np.array_equal(small["mode"], small["average"])
right = shares(classes)[0]
sys.exit(0 if all(full.values()) and seen["COG", "alike"] and not seen["GeoTIFF", "alike"]
         and seen["COG", "mode"][0] < right - 0.05 and seen["COG", "mode"][1] > 0.1 and seen["COG", "mode"][2] > 0.005
         and all(abs(seen[name, way][0] - right) < 0.005 and seen[name, way][1] == 0 for name, way in (
             ("GeoTIFF", "nearest"), ("GeoTIFF", "mode"), ("COG", "reproject"), ("COG by mode", "nearest"), ("COG by mode", "mode"),
             ("COG without copies", "nearest"), ("COG without copies", "mode"))) else 1)
PYTHON
