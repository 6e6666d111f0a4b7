#!/usr/bin/env bash
# Non-maximum suppression by class removes a box for a better one of its own class, so which number a class has does not matter.
# torchvision's batched_nms moves the boxes of class c by c times the largest coordinate, in float32, and suppresses all of them together.
# Where numbers of classes are large (identifiers, hashes, picture times 1,203 plus class), boxes land where float32 goes by steps of
# several pixels, and overlap more or less than they do. Of 1,000 boxes of 10 to 50 pixels, five about each of 200 objects, 447 are left
# with the classes 0 to 199. With the same classes numbered up to 77,000 36 of those are gone and 52 doubles are left, up to a million 38
# and 332. Of 1,001 boxes all is right with any numbers, as a CPU goes class by class from there on (a GPU from 25,001 on). The page says
# that suppression is "not applied between elements of different categories", and nothing of numbers. Classes renumbered from 0, and boxes
# in float64, are right. Nothing is said. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torchvision==0.29.2 torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import torch
import torchvision
from torchvision.ops import batched_nms, nms

print(f"torch {torch.__version__}, torchvision {torchvision.__version__}")


def by_class(boxes: torch.Tensor, scores: torch.Tensor, classes: torch.Tensor) -> set[int]:
    """Boxes that are left, class by class"""
    left = set()
    for each in classes.unique():
        members = (classes == each).nonzero()[:, 0]
        left |= set(members[nms(boxes[members], scores[members], 0.5)].tolist())
    return left


def compare(name: str, boxes: torch.Tensor, scores: torch.Tensor, classes: torch.Tensor) -> tuple[int, int, int]:
    found, right = set(batched_nms(boxes, scores, classes, 0.5).tolist()), by_class(boxes, scores, classes)
    print(f"{name}: {len(found)} left, class by class {len(right)}; gone that should be left {len(right - found)}, left that should be gone "
          f"{len(found - right)}")
    return len(right), len(right - found), len(found - right)


def scene(count: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Boxes of 10 to 50 pixels in a picture of 1,333, five about each object; scores; and the object of each"""
    generator = np.random.default_rng(0)
    objects = np.arange(count) // 5
    middles = generator.uniform(60, 1270, (objects[-1] + 1, 2))[objects] + generator.normal(0, 4, (count, 2))
    sizes = generator.uniform(10, 50, (objects[-1] + 1, 2))[objects]
    boxes = np.clip(np.concatenate([middles - sizes / 2, middles + sizes / 2], axis=1), 0, 1333)
    return torch.from_numpy(boxes).float(), torch.from_numpy(generator.permutation(count) / count).float(), objects


seen = {}
for count in (1000, 1001):
    boxes, scores, objects = scene(count)
    for largest in (objects[-1] + 1, 1203, 77_000, 1_000_000):
        names = torch.from_numpy(np.random.default_rng(1).permutation(largest)[:objects[-1] + 1][objects])
        kind = f"{count:,} boxes, classes numbered up to {largest:,}"
        seen[count, int(largest)] = compare(kind, boxes, scores, names)
        if count == 1000 and largest == 1_000_000:
            cured = [compare(f"{kind}, renumbered from 0", boxes, scores, names.unique(return_inverse=True)[1]),
                     compare(f"{kind}, boxes in float64", boxes.double(), scores.double(), names)]
right, gone, doubles = (dict(zip(seen, values)) for values in zip(*seen.values()))
sys.exit(0 if gone[1000, 77_000] > 10 and doubles[1000, 77_000] > 10 and gone[1000, 1_000_000] > 10 and doubles[1000, 1_000_000] > 100
         and gone[1000, 200] == doubles[1000, 200] == 0 and all(gone[key] == doubles[key] == 0 for key in seen if key[0] == 1001)
         and all(each[1:] == (0, 0) for each in cured) else 1)
PYTHON
