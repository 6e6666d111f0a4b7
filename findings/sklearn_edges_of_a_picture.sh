#!/usr/bin/env bash
# A picture is cut into regions by a graph of its pixels, whose edges weigh what neighbours differ by: scikit-learn's img_to_graph makes
# it, for spectral_clustering. It subtracts in the type of the picture. Of uint8, which pictures are, 20 after 10 is 246 apart and 10
# after 20 is 10, as one wraps and the other does not: a step up looks like the sharpest of edges, and a step down like what it is. Of a
# flat grey with noise of 2 levels the mean weight is 109 in place of 2.3, and a picture with a bright and a dark half and noise of 6
# levels is cut by spectral clustering where 77 % of the pixels are in the right part, and of floats where all are. Mirrored from left to
# right, a picture has another graph. uint16 does alike, and int16 where a difference does not fit. Nothing is said. dtype=float comes too
# late and does not help; astype(float) before does. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import sklearn
from sklearn.cluster import spectral_clustering
from sklearn.feature_extraction.image import img_to_graph

print(f"scikit-learn {sklearn.__version__}, numpy {np.__version__}")


def edges(picture: np.ndarray) -> np.ndarray:
    """Weights between neighbours, the pixels themselves left out"""
    graph = img_to_graph(picture)
    return graph.data[graph.row != graph.col].astype(float)


steps = {}
for kind in (np.uint8, np.uint16, np.int64, np.float64):
    steps[np.dtype(kind).name] = [float(edges(np.array([pair], kind))[0]) for pair in ([10, 20], [20, 10])]
    up, down = steps[np.dtype(kind).name]
    print(f"{np.dtype(kind)}: from 10 to 20 an edge of {up:g}, from 20 to 10 of {down:g}")
late = float(img_to_graph(np.array([[10, 20]], np.uint8), dtype=float).data[0])
wide = float(edges(np.array([[-20_000, 20_000]], np.int16))[0])
rng = np.random.default_rng(0)
flat = (128 + rng.normal(0, 2, (64, 64))).round()
means = {kind.__name__: float(edges(flat.astype(kind)).mean()) for kind in (np.uint8, np.float64)}
turned = float(edges(flat[:, ::-1].astype(np.uint8)).sum() / edges(flat.astype(np.uint8)).sum())
print(f"uint8 with dtype=float: from 10 to 20 an edge of {late:g}")
print(f"int16 from -20000 to 20000: an edge of {wide:g}")
print(f"a flat grey with noise of 2: mean weight {means}; mirrored, the weights sum to {turned:.4f} of what they were")
halves = np.where(np.arange(24) < 12, 160, 60) + rng.normal(0, 6, (24, 24)).round()
found = {}
for kind in (np.uint8, np.float64):
    graph = img_to_graph(halves.astype(kind)).astype(float)
    graph.data = np.exp(-5 * graph.data / graph.data.std())
    labels = spectral_clustering(graph, n_clusters=2, eigen_solver="arpack", random_state=0).reshape(halves.shape)
    share = float(((labels == 1) == (halves > 110)).mean())
    found[kind.__name__] = max(share, 1 - share)
    print(f"a bright and a dark half by spectral clustering of {np.dtype(kind)}: {found[kind.__name__]:.1%} of pixels in the right part")
sys.exit(0 if steps["uint8"] == [246, 10] and steps["uint16"] == [65_526, 10] and steps["int64"] == steps["float64"] == [10, 10] and
         wide == 25_536 and late == 246 and found["float64"] > 0.99 and found["uint8"] < 0.9 and means["uint8"] > 50 and
         means["float64"] < 5 else 1)
PYTHON
