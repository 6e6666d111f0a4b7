#!/usr/bin/env bash
# An OBJ may have faces of any number of corners. open3d's reader leaves out all that have more than three, and says so only as
# information, so that a square and a triangle are a mesh of one triangle; of a PLY with the same faces it reads both. With
# enable_post_processing even the triangle is gone. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q open3d==0.20.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import open3d

points = ("0 0 0", "1 0 0", "1 1 0", "0 1 0", "2 0.5 0")
with open(f"{sys.argv[1]}/a.obj", "w") as file:
    file.write("".join(f"v {point}\n" for point in points) + "f 1 2 3 4\nf 2 5 3\n")
with open(f"{sys.argv[1]}/a.ply", "w") as file:
    file.write("ply\nformat ascii 1.0\nelement vertex 5\nproperty float x\nproperty float y\nproperty float z\nelement face 2\n"
               "property list uchar int vertex_indices\nend_header\n" + "".join(f"{point}\n" for point in points)
               + "4 0 1 2 3\n3 1 4 2\n")
areas = [open3d.io.read_triangle_mesh(f"{sys.argv[1]}/a.{suffix}", enable_post_processing=post).get_surface_area()
         for suffix, post in (("ply", False), ("obj", False), ("obj", True))]
print(f"open3d {open3d.__version__}: a square and a triangle of area 1.5 have {areas[0]} as PLY, {areas[1]} as OBJ, "
      f"{areas[2]} as OBJ with post-processing")
sys.exit(0 if areas == [1.5, 0.5, 0.0] else 1)
PYTHON
