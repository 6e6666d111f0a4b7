#!/usr/bin/env bash
# An OBJ counts corners from 1, or backwards from the latest one so far (-1), and parts its words by spaces or tabs. trimesh reads
# backward counts from the end of the whole file: where each face follows its corners, as programs that write such counts do, all
# faces become the last one, so that triangles of areas 0.5 and 1 are two of area 1. Lines whose first word is parted by a tab (v, f)
# are left out, and the mesh is empty. Nothing is raised or warned of, with process=False either; open3d reads all of them right.
# Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q trimesh==5.2.0 open3d==0.20.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys
from pathlib import Path

import open3d
import trimesh

SMALL, LARGE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n", "v 0 0 5\nv 2 0 5\nv 0 1 5\n"
PLAIN = f"{SMALL}f 1 2 3\n{LARGE}f 4 5 6\n"
FILES = {  # each is the same two triangles
    "counted from 1": PLAIN,
    "counted backwards": f"{SMALL}f -3 -2 -1\n{LARGE}f -3 -2 -1\n",
    "counted backwards, all corners first": f"{SMALL}{LARGE}f -6 -5 -4\nf -3 -2 -1\n",
    "tabs": PLAIN.replace(" ", "\t"),
    "tabs between numbers alone": PLAIN.replace(" ", "\t").replace("v\t", "v ").replace("f\t", "f ")}
print(f"trimesh {trimesh.__version__}, open3d {open3d.__version__}; right are 6 corners, 2 faces, area 1.5")
areas = {}
for name, text in FILES.items():
    Path("mesh.obj").write_text(text)
    one = trimesh.load_mesh("mesh.obj", force="mesh", process=False)
    other = open3d.io.read_triangle_mesh("mesh.obj")
    areas[name] = float(one.area), round(other.get_surface_area(), 6)
    print(f"{name}: trimesh {len(one.vertices)} corners, {len(one.faces)} faces, area {one.area:g}; open3d "
          f"{len(other.vertices)}, {len(other.triangles)}, {areas[name][1]:g}")
wrong = {name: trimeshs for name, (trimeshs, _) in areas.items() if trimeshs != 1.5}
right = all(open3ds == 1.5 for _, open3ds in areas.values())
sys.exit(0 if right and wrong == {"counted backwards": 2.0, "tabs": 0.0} else 1)
PYTHON
