#!/usr/bin/env bash
# A cloud or mesh that is written and read again is where it was, but for rounding far below what a scanner resolves, and a text file,
# which has room for every digit, keeps more than one of 32 bits. open3d holds 64 bits and writes them whole to binary PLY; to XYZ and PTS
# ten digits behind the point. But to PLY as text, OBJ and OFF it writes six digits in all: in the metres of a map (a northing of seven
# digits) points move by up to 5 m, and the eight corners of a house of 10 m come back in four places, with a third of its surface. PCD
# is 32 bits, and off by 25 cm. Nothing is said; write_point_cloud and write_triangle_mesh return True. Text for the sake of readable
# numbers, or OBJ as most tools read it, so moves the data. Moved to the origin before, they stay. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q open3d==0.20.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys

import numpy as np
import open3d as o3d

PLACE = np.array([512_345.25, 5_412_345.5, 100.0])  # metres: easting, northing, height
scan = np.random.default_rng(0).random((1000, 3)) * 20
print(f"open3d {o3d.__version__}")
off = {}
for where, place in (("at the origin", 0 * PLACE), ("on a map", PLACE)):
    points = scan + place
    for name, suffix, text in (("PLY", "ply", False), ("PLY as text", "ply", True), ("PCD", "pcd", False), ("XYZ", "xyz", False)):
        cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
        written = o3d.io.write_point_cloud(f"cloud.{suffix}", cloud, write_ascii=text)
        off[where, name] = np.abs(np.asarray(o3d.io.read_point_cloud(f"cloud.{suffix}").points) - points).max()
        print(f"{where}, {name}: written {written}, off by {off[where, name]:.1e} m")
places, areas = {}, {}
for where, place in (("at the origin", 0 * PLACE), ("on a map", PLACE)):
    for name, suffix, text in (("PLY", "ply", False), ("PLY as text", "ply", True), ("OBJ", "obj", False), ("OFF", "off", False)):
        house = o3d.geometry.TriangleMesh.create_box(10, 8, 6).translate(place)
        written = o3d.io.write_triangle_mesh(f"house.{suffix}", house, write_ascii=text, write_vertex_normals=False)
        back = o3d.io.read_triangle_mesh(f"house.{suffix}")
        places[where, name] = len(np.unique(np.asarray(back.vertices), axis=0))
        areas[where, name] = back.get_surface_area()
        print(f"a house {where}, {name}: written {written}, {places[where, name]} corners, {areas[where, name]:.1f} m2 of surface "
              f"(376 before)")
text = ("PLY as text", "OBJ", "OFF")
sys.exit(0 if off["on a map", "PLY"] == 0 and off["on a map", "XYZ"] < 1e-6 and off["on a map", "PLY as text"] > 1
         and 0.1 < off["on a map", "PCD"] < 0.5 and all(off["at the origin", name] < 1e-3 for name in ("PLY", "PLY as text", "PCD", "XYZ"))
         and places["on a map", "PLY"] == 8 and all(places["on a map", name] < 8 for name in text)
         and all(abs(areas["at the origin", name] - 376) < 0.01 for name in ("PLY", *text))
         and all(areas["on a map", name] < 200 for name in text) else 1)
PYTHON
