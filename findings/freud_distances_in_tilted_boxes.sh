#!/usr/bin/env bash
# In a periodic box the distance of two particles is that of their nearest copies. freud's box has compute_distances, compute_all_distances
# and wrap for it, and says that "wrapping is equivalent to applying the minimum image convention". In a tilted box it is not: freud rounds
# along the box's three edges, and the copy that is found so is often not the nearest. In a hexagonal cell, as crystals and membranes have
# it, 17 % of all pairs are too far apart, and the mean distance is 5 % too large; in a rhombic dodecahedron 25 % are, in a truncated
# octahedron 29 %, by up to half of the edge. Those two are usual boxes of a protein in water. In a cubic box all are right, and freud's own
# neighbours (AABBQuery) are in all four, so that one program gives two distances for one pair. MDAnalysis has the right ones for the same
# boxes. Nothing is said. The least distance over the copies round about, by numpy, or a query of neighbours is right. Exits with 1 where
# that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q freud-analysis==3.4.0 MDAnalysis==2.11.0 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error::RuntimeWarning -W error::UserWarning - <<'PYTHON'
import itertools
import math
import sys

import freud
import MDAnalysis
import numpy as np
from MDAnalysis.lib.distances import calc_bonds
from MDAnalysis.lib.mdamath import triclinic_box

print(f"freud {freud.__version__}, MDAnalysis {MDAnalysis.__version__}, numpy {np.__version__}")
EDGE, PAIRS = 10.0, 2000
half, high = 0.5, math.sqrt(3) / 2
BOXES = {"cube": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "hexagonal": [[1, 0, 0], [half, high, 0], [0, 0, 1]],
         "rhombic dodecahedron": [[1, 0, 0], [half, high, 0], [half, high / 3, math.sqrt(2 / 3)]],
         "truncated octahedron": [[1, 0, 0], [1 / 3, math.sqrt(8) / 3, 0], [-1 / 3, math.sqrt(2) / 3, math.sqrt(6) / 3]]}
generator = np.random.default_rng(0)
far = {}
for name, rows in BOXES.items():
    edges = EDGE * np.array(rows)
    box = freud.box.Box.from_matrix(edges.T)
    first, second = (generator.uniform(-0.5, 0.5, (PAIRS, 3)) @ edges for _ in range(2))
    copies = np.array(list(itertools.product(range(-2, 3), repeat=3))) @ edges
    true = np.linalg.norm((second - first)[:, None] + copies, axis=2).min(axis=1)
    ways = {"compute_distances": box.compute_distances(first, second),
            "compute_all_distances": np.diagonal(box.compute_all_distances(first, second)),
            "wrap": np.linalg.norm(box.wrap(second - first), axis=1),
            "MDAnalysis": calc_bonds(first.astype(np.float32), second.astype(np.float32), box=triclinic_box(*edges))}
    pairs = freud.locality.AABBQuery(box, second).query(first, {"r_max": 4.0}).toNeighborList()
    own = {(int(one), int(other)): float(distance) for (one, other), distance in zip(pairs[:], pairs.distances, strict=True)}
    ways["neighbours up to 4"] = np.array([own.get((number, number), true[number] if true[number] > 4 else np.inf) for number in range(PAIRS)])
    for way, distances in ways.items():
        off = np.abs(distances - true)
        far[name, way] = (float((off > 1e-3).mean()), float(off.max()))
        print(f"{name}, {way}: {far[name, way][0]:.1%} of {PAIRS} pairs are off by more than 0.001, by up to {off.max():.2f} of {EDGE:.0f}; "
              f"mean {distances.mean():.3f}, true {true.mean():.3f}")
rounded = ("compute_distances", "compute_all_distances", "wrap")
sys.exit(0 if all((share > 0.12 and most > 2) if way in rounded and name != "cube" else share == 0
                  for (name, way), (share, most) in far.items()) else 1)
PYTHON
