#!/usr/bin/env bash
# Labels of a mesh's parts often come as a list, one entry for each face in the order of the file. An OBJ names the material of the faces
# that follow, and where materials alternate, no reader keeps that order: open3d puts the faces of the first material first, trimesh
# those of the last, and trimesh with group_material=False gives all from the last to the first. process=False and
# maintain_order=True, which keep it elsewhere, do not (the second gives every corner twice besides). Number, area and shape are right,
# so nothing tells: of six faces in two parts, 4, 2 and 0 have the label that is theirs. Groups (g) and objects (o) change nothing.
# Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q trimesh==5.2.0 open3d==0.20.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import open3d
import trimesh

PARTS = (0, 0, 1, 0, 1, 1)  # of the six faces, in the order of the file; face i lies at x = i
CORNERS = "".join(f"v {face} 0 0\nv {face} 1 0\nv {face} 0 1\n" for face in range(len(PARTS)))
for word in ("usemtl", "g", "o"):
    faces = "".join(f"{word} part{part}\nf {3 * face + 1} {3 * face + 2} {3 * face + 3}\n" for face, part in enumerate(PARTS))
    Path(f"{word}.obj").write_text(CORNERS + faces)


def with_trimesh(name: str, **options: bool) -> tuple[list[int], int]:
    mesh = trimesh.load_mesh(name, force="mesh", **options)
    return mesh.triangles[:, 0, 0].round().astype(int).tolist(), len(mesh.vertices)


def with_open3d(name: str) -> tuple[list[int], int]:
    mesh = open3d.io.read_triangle_mesh(name)
    return np.asarray(mesh.vertices)[np.asarray(mesh.triangles)[:, 0], 0].astype(int).tolist(), len(mesh.vertices)


READERS = {
    "open3d": with_open3d, "trimesh": with_trimesh, "trimesh, process=False": lambda name: with_trimesh(name, process=False),
    "trimesh, process=False, maintain_order=True": lambda name: with_trimesh(name, process=False, maintain_order=True),
    "trimesh, group_material=False": lambda name: with_trimesh(name, process=False, group_material=False)}
print(f"trimesh {trimesh.__version__}, open3d {open3d.__version__}; the file's order is 0 1 2 3 4 5")
found = {}
for name, read in READERS.items():
    for word in ("usemtl", "g", "o"):
        found[name, word], corners = read(f"{word}.obj")
        right = sum(PARTS[face] == part for face, part in zip(found[name, word], PARTS))
        print(f"{name}, {word}: faces {' '.join(map(str, found[name, word]))}, of {corners} corners; labels right for {right} of 6")
order = [found[name, "usemtl"] for name in READERS]
kept = all(found[name, word] == [*range(6)] for name in READERS for word in "go")
sys.exit(0 if kept and order == [[0, 1, 3, 2, 4, 5], *[[2, 4, 5, 0, 1, 3]] * 3, [5, 4, 3, 2, 1, 0]] else 1)
PYTHON
