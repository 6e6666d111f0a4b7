#!/usr/bin/env bash
# Scans are whole numbers of 16 bits, masks of 8, and they are scaled by numbers with a point: counts to an uptake, a scan to a mean of
# 0 and a deviation of 1. numpy makes floats of that, and so do SimpleITK's divisions of pictures. But the number it first brings to the
# type of the picture, which cuts what is behind the point: int16 times 0.5 is 0 all over, times 1.9 it is as it was, and less 0.6 too;
# / 2 gives floats that are right, / 2.5 gives those of / 2, and / 0.5 is infinite. To the power 0.5 all is 1. Comparisons are alike: of
# a mask of 0 and 1, < 0.5 takes nothing, >= 0.5 everything, > 0.5 is right. A scan of 37.4 on average with a deviation of 1.9, less the
# one by the other, has a deviation of 1.9 and not of 1. The other side (0.5 * image), *= and Multiply do it, for all types of whole
# numbers; float32 is right, and so is ShiftScale. Nothing is said. Casting to sitkFloat32 first cures it. Exits with 1 where that has
# changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q SimpleITK==2.5.7 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import SimpleITK as sitk

print(f"SimpleITK {version('SimpleITK')}, numpy {np.__version__}")
values = np.array([[0, 1, 2, 3, 100]])
OPERATIONS = {
    "x * 0.5": lambda x: x * 0.5, "0.5 * x": lambda x: 0.5 * x, "x * 1.9": lambda x: x * 1.9, "x + 0.6": lambda x: x + 0.6,
    "x / 2": lambda x: x / 2, "x / 2.5": lambda x: x / 2.5, "x / 0.5": lambda x: x / 0.5, "x ** 0.5": lambda x: x ** 0.5,
    "x < 0.5": lambda x: x < 0.5, "x >= 0.5": lambda x: x >= 0.5, "x > 0.5": lambda x: x > 0.5,
}
cut, right = {}, {}
for kind in (np.uint8, np.int16, np.uint16, np.int32, np.float32):
    for name, operation in OPERATIONS.items():
        given = sitk.GetArrayFromImage(operation(sitk.GetImageFromArray(values.astype(kind)))).ravel().astype(float)
        with np.errstate(all="ignore"):
            whole = operation(values.astype(kind)).ravel().astype(float)
        right[np.dtype(kind).name, name] = np.allclose(given, whole, rtol=1e-6)
        cut[np.dtype(kind).name, name] = given
        if kind in (np.int16, np.float32):
            print(f"{np.dtype(kind)} {values.ravel().tolist()}, {name}: {given.round(3).tolist()}"
                  + ("" if right[np.dtype(kind).name, name] else f" where {whole.round(3).tolist()} is right"))
image = sitk.GetImageFromArray(values.astype(np.int16))
halved = sitk.GetArrayFromImage(sitk.Multiply(image, 0.5)).ravel().tolist()
scaled = sitk.GetArrayFromImage(sitk.ShiftScale(sitk.Cast(image, sitk.sitkFloat32), 0, 0.5)).ravel().tolist()
image *= 0.5
print(f"int16: *= 0.5 {sitk.GetArrayFromImage(image).ravel().tolist()}, Multiply(x, 0.5) {halved}, as float32 {scaled}")
scan = sitk.GetImageFromArray(np.random.default_rng(0).normal(37.4, 1.9, size=(32, 32, 32)).round().astype(np.int16))
measures = sitk.StatisticsImageFilter()
measures.Execute(scan)
mean, deviation = measures.GetMean(), measures.GetSigma()
found = {}
for name, volume in {"int16": scan, "float32": sitk.Cast(scan, sitk.sitkFloat32)}.items():
    normal = sitk.GetArrayFromImage((volume - mean) / deviation)
    found[name] = float(normal.mean()), float(normal.std())
    print(f"{name} scan less {mean:.3f}, by {deviation:.3f}: mean {found[name][0]:.3f}, deviation {found[name][1]:.3f}")
wrong = [name for name in OPERATIONS if name not in ("x / 2", "x > 0.5")]
whole_kinds = ("uint8", "int16", "uint16", "int32")
sys.exit(0 if not any(right[kind, name] for kind in whole_kinds for name in wrong)
         and all(right[kind, name] for kind in whole_kinds for name in ("x / 2", "x > 0.5"))
         and all(right["float32", name] for name in OPERATIONS) and not cut["int16", "x * 0.5"].any() and not any(halved)
         and np.isinf(cut["int16", "x / 0.5"][-1]) and found["int16"][1] > 1.5 and abs(found["float32"][1] - 1) < 0.01 else 1)
PYTHON
