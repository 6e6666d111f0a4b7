#!/usr/bin/env bash
# torch.cdist gives the distances between points, and a point is at distance 0 from itself. With up to 25 points it is. From 26 points on
# squares are expanded and multiplied as matrices, where the square of a distance is what is left of numbers as large as the squares of
# the coordinates: on the unit sphere in float32 a point is up to 5e-4 from itself, a Chamfer distance of a cloud from its own copy
# starts at 3e-5 and not at 0, and around an origin that is 100 away (a scan in metres) every fourth point is not its own nearest and
# three in a hundred of the nine nearest are others. One point more in a cloud so changes what a metric can resolve. With
# compute_mode="donot_use_mm_for_euclid_dist" all are exact. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import torch

EXACT = "donot_use_mm_for_euclid_dist"


def look(number: int, away: float) -> tuple[float, float, float, float, float]:
    """Largest distance of a point from itself; mean distance to the nearest of a copy; shares of points that are their own nearest
    and of nearest neighbours that are right; the first number by the exact mode"""
    random = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(number, 3, generator=random), dim=1) + away
    found = torch.cdist(points, points.clone())
    exact = torch.cdist(points, points.clone(), compute_mode=EXACT)
    true = torch.cdist(points.double(), points.double(), compute_mode=EXACT)
    near, right = (set_of.topk(9, largest=False).indices for set_of in (found, true))
    shared = (near[:, :, None] == right[:, None]).sum().item() / right.numel()
    return (found.diagonal().max().item(), found.min(1).values.mean().item(),
            (found.argmin(1) == torch.arange(number)).float().mean().item(), shared, exact.diagonal().max().item())


print(f"torch {torch.__version__}, float32, points on a sphere of radius 1")
seen = {}
for number, away in ((25, 0.0), (26, 0.0), (1024, 0.0), (25, 100.0), (26, 100.0), (1024, 100.0)):
    seen[number, away] = values = look(number, away)
    print(f"{number} points, {away:.0f} away from the origin: up to {values[0]:.1e} from itself, {values[1]:.1e} to the nearest of a copy; "
          f"{values[2]:.0%} are their own nearest; {values[3]:.1%} of the nine nearest are right; {EXACT}: {values[4]:.0e}")
right = all(values[4] == 0 for values in seen.values())
right &= all((values[0] == 0) == (number == 25) for (number, _), values in seen.items())
right &= seen[1024, 100.0][2] < 0.9 and seen[1024, 100.0][3] < 0.99 and seen[1024, 0.0][3] == 1
sys.exit(0 if right else 1)
PYTHON
