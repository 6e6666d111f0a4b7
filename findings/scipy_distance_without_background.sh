#!/usr/bin/env bash
# The distance of each pixel of a mask to the nearest pixel outside. Where a mask fills the picture, as a crop inside an object or a mask
# of "ground" may, there is none, and one expects infinity or an error. scipy's distance_transform_edt gives distances from a point that
# is not there, one pixel before the first one along the first axis: of a mask of 100 by 100 they go from 1 at the top left to 140.7 at
# the bottom right, and return_indices says that the nearest background is at (-1, 0), which numpy takes for the last row. So signed
# distance maps, boundary losses and weights of borders get a ramp over the picture that looks like any distance, and that is another one
# for the same mask upside down. In three dimensions it is alike. distance_transform_cdt gives -1 everywhere, which at least is no
# distance. Nothing is said; mask.all(), asked before, tells it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import scipy
from scipy import ndimage

print(f"scipy {scipy.__version__}, numpy {np.__version__}")
right = True
for shape in ((100, 100), (3, 4), (40, 50, 60)):
    mask = np.ones(shape, bool)
    distances, indices = ndimage.distance_transform_edt(mask, return_indices=True)
    places = np.indices(shape)
    phantom = np.sqrt((places[0] + 1) ** 2 + sum(axis**2 for axis in places[1:]))
    turned = ndimage.distance_transform_edt(mask[::-1])[::-1]
    last = (-1,) * len(shape)
    print(f"mask of {shape}, all True: distances from {distances.min():.2f} to {distances.max():.2f}, first {distances.flat[0]:.2f}, "
          f"last {distances[last]:.2f}; upside down and back, first {turned.flat[0]:.2f}; nearest background of the last pixel: "
          f"{tuple(int(axis[last]) for axis in indices)}; distances to (-1, 0, ...): {np.allclose(distances, phantom)}; "
          f"chamfer {np.unique(ndimage.distance_transform_cdt(mask)).tolist()}")
    right &= np.allclose(distances, phantom) and not np.allclose(turned, distances)
mask = np.ones((100, 100), bool)
full = ndimage.distance_transform_edt(mask)
mask[99, 99] = False
one = ndimage.distance_transform_edt(mask)
print(f"100 by 100 with one pixel of background, the last: distance of the first {one[0, 0]:.1f}, beside it {one[99, 98]:.1f}; "
      f"without it {full[0, 0]:.1f} and {full[99, 98]:.1f}")
sys.exit(0 if right and abs(one[0, 0] - 99 * 2**0.5) < 1e-9 else 1)
PYTHON
