#!/usr/bin/env bash
# torchvision's v2 transforms move a picture, its boxes, masks and keypoints together. Whatever turns, crops, pads or resizes does: a
# keypoint in the middle of a square stays there. Not so flips: they move a keypoint to width - 1 - x, as for the index of a pixel,
# where boxes go to width - x, and so do the keypoints in every other transform, which take x as a place between pixels. So after
# RandomHorizontalFlip each keypoint is a pixel left of where the picture has it, and after a vertical one a pixel above. Of a small
# picture that is enlarged afterwards (by 4 here) that is four pixels. A turn of 180 degrees and two flips are one picture and two
# keypoints. Who takes x for the index of a pixel has flips right and turns and sizes wrong. In a training half of the samples are
# off, and all to one side. Nothing is said. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 torchvision==0.29.2 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys
from collections.abc import Callable

import torch
import torchvision
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

HEIGHT, WIDTH, SIZE = 40, 60, (40, 60)
picture = torch.zeros(1, *SIZE)
picture[:, 10:14, 22:26] = 1  # a white square, its middle at (24, 12) where pixel i reaches from i to i + 1
field = torch.zeros(1, *SIZE, 2)
field[..., 0] = 2 / WIDTH * 5  # everything 5 pixels to one side
inputs = {"picture": tv_tensors.Image(picture), "mask": tv_tensors.Mask(picture.to(torch.uint8)),
          "box": tv_tensors.BoundingBoxes(torch.tensor([[22.0, 10, 26, 14]]), format="XYXY", canvas_size=SIZE),
          "keypoint": tv_tensors.KeyPoints(torch.tensor([[24.0, 12]]), canvas_size=SIZE)}


def middle(value: torch.Tensor) -> tuple[float, float]:
    """Where the square's middle is: (x, y)"""
    if isinstance(value, tv_tensors.KeyPoints):
        return float(value[0, 0]), float(value[0, 1])
    if isinstance(value, tv_tensors.BoundingBoxes):
        return float(value[0, 0] + value[0, 2]) / 2, float(value[0, 1] + value[0, 3]) / 2
    weights = value[0].to(torch.float64)
    x, y = torch.arange(weights.shape[1]) + 0.5, torch.arange(weights.shape[0]) + 0.5
    return float((weights.sum(0) * x).sum() / weights.sum()), float((weights.sum(1) * y).sum() / weights.sum())


transforms: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "as it is": lambda value: value,
    "crop": lambda value: functional.crop(value, 3, 2, 30, 50),
    "pad": lambda value: functional.pad(value, [3, 2]),
    "resize, twice as large": lambda value: functional.resize(value, [2 * HEIGHT, 2 * WIDTH]),
    "move": lambda value: functional.affine(value, 0, [3, 2], 1.0, [0, 0]),
    "turn by 90 degrees": lambda value: functional.rotate(value, 90, expand=True),
    "turn by 180 degrees": lambda value: functional.rotate(value, 180),
    "two flips": lambda value: functional.vertical_flip(functional.horizontal_flip(value)),
    "horizontal flip": functional.horizontal_flip,
    "vertical flip": functional.vertical_flip,
    "horizontal flip, then four times as large": lambda value: functional.resize(functional.horizontal_flip(value),
                                                                                 [4 * HEIGHT, 4 * WIDTH]),
    "elastic": lambda value: functional.elastic(value, field)}
print(f"torchvision {torchvision.__version__}")
off = {}
for name, transform in transforms.items():
    places = {kind: middle(transform(value)) for kind, value in inputs.items()}
    off[name] = tuple(round(places["keypoint"][axis] - places["picture"][axis], 2) for axis in (0, 1))
    together = max(abs(places[kind][axis] - places["picture"][axis]) for kind in ("mask", "box") for axis in (0, 1))
    print(f"{name}: " + ", ".join(f"{kind} at ({x:.1f}, {y:.1f})" for kind, (x, y) in places.items()) + f"; keypoint off by {off[name]}")
    if together > 0.02:
        sys.exit("boxes or masks are not where the picture is")
wanted = {"two flips": (-1, -1), "horizontal flip": (-1, 0), "vertical flip": (0, -1), "horizontal flip, then four times as large": (-4, 0)}
sys.exit(0 if all(abs(found - right) < 0.05 for name in transforms
                  for found, right in zip(off[name], wanted.get(name, (0, 0)), strict=True)) else 1)
PYTHON
