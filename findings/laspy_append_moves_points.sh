#!/usr/bin/env bash
# A LAS file holds coordinates as whole numbers, with a scale and an offset for all of them, and laspy hides that: points have x, y, z in
# metres. Points of one file written to another are converted where the two differ, by open(mode="w").write_points(). Appended, by
# open(mode="a").append_points(), they are not: their whole numbers are taken over and mean another place. Of two tiles with offsets 100 m
# apart and scales of 1 mm and 1 cm, a house of 10 by 20 by 5 m in the first is one of 100 by 200 by 50 m in the second, its near corner
# 190 m further east and 55 m lower. append_points asks for "the same point format", which they have, as scales are no part of
# it. Nothing is said, and the bounds in the header fit what is wrong. change_scaling() to the file's own scales and offsets before cures
# it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q laspy==2.7.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - "$folder" <<'PYTHON'
import sys

import laspy
import numpy as np

folder = sys.argv[1]
print(f"laspy {laspy.__version__}, numpy {np.__version__}")


def tile(scale: float, offsets: list[float], points: np.ndarray) -> laspy.LasData:
    """Points in metres under a scale and offsets"""
    header = laspy.LasHeader(point_format=3, version="1.2")
    header.scales, header.offsets = np.full(3, scale), np.array(offsets)
    made = laspy.LasData(header)
    made.xyz = points
    return made


house = np.array([500_010.0, 4_000_020, 105]) + np.array([[0, 0, 0], [10, 20, 5]])
ground = np.array([[500_110.0, 4_000_020, 105]])


def first() -> laspy.LasData:
    return tile(0.001, [500_000, 4_000_000, 100], house)


second = tile(0.01, [500_100, 4_000_000, 0], ground)
second.write(f"{folder}/written.las")
with laspy.open(f"{folder}/written.las", mode="w", header=second.header) as file:
    file.write_points(second.points)
    file.write_points(first().points)
second.write(f"{folder}/appended.las")
with laspy.open(f"{folder}/appended.las", mode="a") as file:
    file.append_points(first().points)
second.write(f"{folder}/rescaled.las")
with laspy.open(f"{folder}/rescaled.las", mode="a") as file:
    moved = first()
    moved.change_scaling(file.header.scales, file.header.offsets)
    file.append_points(moved.points)
same = tile(0.01, [500_100, 4_000_000, 0], house)
second.write(f"{folder}/alike.las")
with laspy.open(f"{folder}/alike.las", mode="a") as file:
    file.append_points(same.points)
print(f"a house from {house[0].tolist()} to {house[1].tolist()}, {(house[1] - house[0]).tolist()} m")
off = {}
for name in ("written", "appended", "rescaled", "alike"):
    back = laspy.read(f"{folder}/{name}.las")
    off[name] = float(np.abs(back.xyz[1:] - house).max())
    near, far = back.xyz[1:].round(3)
    print(f"{name}: from {near.tolist()} to {far.tolist()}, {(far - near).tolist()} m; off by up to {off[name]:.2f} m; header's least "
          f"{np.round(back.header.mins, 2).tolist()}, greatest {np.round(back.header.maxs, 2).tolist()}")
sys.exit(0 if off["appended"] > 100 and max(off["written"], off["rescaled"], off["alike"]) < 0.01 else 1)
PYTHON
