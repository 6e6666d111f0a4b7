#!/usr/bin/env bash
# OFF, OBJ and PLY may have faces of any number of corners. trimesh cuts each into a fan of triangles from its first corner, which is
# right as long as no corner points inwards. A square of area 4 with a dent of area 1.5 has an area of 3.5 or 5.5 in place of 2.5 from
# four of its five corners, in all three formats and without a word; up to half of the points that are drawn on the surface then lie
# outside the face. open3d has 2.5 from every corner of an OFF or a PLY (of an OBJ it leaves such faces out).
# Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q trimesh==5.2.0 numpy==2.4.6 scipy==1.17.1 open3d==0.20.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import numpy as np
import open3d
import trimesh

corners = [(0, 0, 0), (2, 0, 0), (2, 2, 0), (1, 0.5, 0), (0, 2, 0)]
lines = [f"{x} {y} {z}\n" for x, y, z in corners]
areas = {}
for turn in range(5):
    face = np.roll(range(5), -turn)
    texts = {"off": "OFF\n5 1 0\n" + "".join(lines) + "5 " + " ".join(map(str, face)) + "\n",
             "obj": "".join(f"v {line}" for line in lines) + "f " + " ".join(str(one + 1) for one in face) + "\n",
             "ply": "ply\nformat ascii 1.0\nelement vertex 5\nproperty float x\nproperty float y\nproperty float z\nelement face 1\n"
                    "property list uchar int vertex_indices\nend_header\n" + "".join(lines) + "5 " + " ".join(map(str, face)) + "\n"}
    for kind, text in texts.items():
        path = f"{sys.argv[1]}/a.{kind}"
        with open(path, "w") as file:
            file.write(text)
        mesh = trimesh.load_mesh(path)
        areas["trimesh", kind, turn] = round(float(mesh.area), 6)
        areas["open3d", kind, turn] = round(open3d.io.read_triangle_mesh(path).get_surface_area(), 6)
    points = mesh.sample(10_000, seed=0)
    outside = float((points[:, 1] > 2 - 1.5 * np.minimum(points[:, 0], 2 - points[:, 0])).mean())
    print(f"from corner {turn}: trimesh {trimesh.__version__} "
          + ", ".join(f"{kind} {areas['trimesh', kind, turn]}" for kind in texts) + f", {outside:.0%} of points drawn outside; open3d "
          f"{open3d.__version__} " + ", ".join(f"{kind} {areas['open3d', kind, turn]}" for kind in ("off", "ply")))
fans = all([areas["trimesh", kind, turn] for turn in range(5)] == [3.5, 3.5, 5.5, 2.5, 5.5] for kind in ("off", "obj", "ply"))
sys.exit(0 if fans and all(areas["open3d", kind, turn] == 2.5 for kind in ("off", "ply") for turn in range(5)) else 1)
PYTHON
