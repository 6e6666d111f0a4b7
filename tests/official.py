"""Small trees in the layouts of the official data sets, of real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def make_imagenet(root: Path, classes: int = 3, train: int = 12, val: int = 4, size: tuple[int, int] = (60, 48)) -> Path:
    """Pictures of one colour and noise for each class; the first is grey, the second a PNG."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for index in range(classes):
            folder = root / split / f"n{index:08d}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(random.normal(60 + 60 * index, 30, (*size[::-1], 3)), 0, 255).astype(np.uint8)
                picture = Image.fromarray(pixels)
                if number == 0:
                    picture = picture.convert("L")
                picture.save(folder / f"{split}_{number}.{'png' if number == 1 else 'JPEG'}")
    return root
