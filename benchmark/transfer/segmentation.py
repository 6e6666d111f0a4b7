"""Semantic segmentation on data in ADE20K's layout, with a pyramid head over a merged ViT.

    benchmark export RUN --out vit.safetensors
    python -m benchmark.transfer.segmentation vit.safetensors --root ADEChallengeData2016

A small working example: the released code of the paper has none for ADE20K. It trains, and prints the mean IoU of the
validation images. Shapes: B batch, K classes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from benchmark.data.augment import IMAGENET_MEAN, IMAGENET_STD
from benchmark.data.embedded import DataError
from benchmark.data.pictures import decode_picture
from benchmark.transfer.backbone import Pyramid, check_options, descend, load_vit

IGNORED = 2**16  # in our targets, where no class of a file has it; 0 in ADE20K's files, whose classes begin at 1
VOID = 255  # likewise, in files of 8 bits
NUMBERS = {"1", "L", "P", "I", "I;16"}  # modes of pictures that have a number a pixel
PICTURES = {".jpg", ".jpeg", ".png"}


class Ade:
    """ROOT/images/SPLIT/*.jpg and ROOT/annotations/SPLIT/*.png, whose 0 is "other" and is not judged, as 255 is of 8 bits.

    `num_classes`: how many there may be.
    """

    def __init__(self, root: Path, split: str, size: int, num_classes: int | None = None):
        self.images = sorted(path for path in (root / "images" / split).glob("*") if path.suffix.lower() in PICTURES)
        self.annotations, self.size, self.num_classes = root / "annotations" / split, size, num_classes
        if not self.images:
            raise DataError(f"{root / 'images' / split} has no picture (.jpg or .png)")
        missing = [path.stem for path in self.images if not (self.annotations / f"{path.stem}.png").is_file()]
        if missing:
            raise DataError(f"{self.annotations} lacks {len(missing)} annotations, {missing[0]}.png first")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """(3, S, S) normalised, (S, S) classes from 0 or `IGNORED`; raises `DataError`."""
        path = self.images[index]
        place = self.annotations / f"{path.stem}.png"
        x = np.asarray(decode_picture(path).resize((self.size, self.size), Image.Resampling.BILINEAR))
        try:
            with Image.open(place) as labels:
                mode = labels.mode
                y = np.asarray(labels.resize((self.size, self.size), Image.Resampling.NEAREST)).astype(np.int64)
        except OSError as error:
            raise DataError(f"annotation of {path} cannot be read: {error}") from error
        if mode not in NUMBERS:
            raise DataError(f"annotation {place} has colours ({mode}), and the number of a class in every pixel is wanted")
        y = np.where((y == 0) | ((y == VOID) & (mode in {"L", "P"})), IGNORED, y - 1)
        if self.num_classes is not None and (largest := y.max(where=y != IGNORED, initial=0)) >= self.num_classes:
            raise DataError(f"annotation {place} has the class {largest + 1}, where {self.num_classes} are said (--classes)")
        normalised = (torch.from_numpy(x.copy()).float() / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
        return normalised.movedim(-1, 0), torch.from_numpy(y)


class Segmenter(nn.Module):
    """The levels of a pyramid at the finest stride, added, and a class for each place."""

    def __init__(self, weights: Path, num_classes: int, **changes: Any):
        super().__init__()
        self.pyramid = Pyramid(load_vit(weights, **changes))
        channels = self.pyramid.out_channels
        self.head = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(1, channels), nn.ReLU(),
                                  nn.Conv2d(channels, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, K, H, W) logits"""
        levels = list(self.pyramid(x).values())
        size = levels[0].shape[-2:]
        summed: Tensor = sum(functional.interpolate(level, size=size, mode="bilinear") for level in levels)  # type: ignore[assignment]
        return functional.interpolate(self.head(summed), size=x.shape[-2:], mode="bilinear")


def train(model: Segmenter, data: Ade, steps: int, batch_size: int, lr: float, device: torch.device,
          seed: int = 0) -> list[float]:
    """Losses of `steps` steps of AdamW."""
    random = np.random.default_rng(seed)

    def loss() -> Tensor:
        samples = [data[int(index)] for index in random.integers(len(data), size=batch_size)]
        x, y = (torch.stack(part).to(device) for part in zip(*samples, strict=True))
        summed = functional.cross_entropy(model(x), y, ignore_index=IGNORED, reduction="sum")
        return summed / (y != IGNORED).sum().clamp(min=1)  # of pictures that are all "other", 0

    return descend(model, loss, steps, lr, weight_decay=0.05)


@torch.inference_mode()
def mean_iou(model: Segmenter, data: Ade, num_classes: int, device: torch.device) -> float:
    """Percent, over the classes that occur in truth or prediction, pixels of all images together. Raises `DataError` where none
    is judged.
    """
    model.eval()
    confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    for index in range(len(data)):
        x, y = data[index]
        predicted = model(x[None].to(device)).argmax(1)[0].cpu()
        judged = y != IGNORED
        confusion += torch.bincount(y[judged] * num_classes + predicted[judged], minlength=num_classes**2).view(num_classes, -1)
    if not confusion.any():
        raise DataError(f"no pixel of {data.annotations} has a class")
    union = confusion.sum(0) + confusion.sum(1) - confusion.diag()
    return 100 * (confusion.diag()[union > 0] / union[union > 0]).mean().item()


def main(arguments: list[str] | None = None) -> int:
    """Train on training, print the mean IoU of validation."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.transfer.segmentation",
                                     description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights", type=Path, help="as benchmark export wrote them")
    parser.add_argument("--root", type=Path, required=True, help="with images/ and annotations/")
    parser.add_argument("--classes", type=int, default=150)
    parser.add_argument("--steps", type=int, default=160_000)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--depth", type=int, default=12, help="blocks of the ViT")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    try:
        device = check_options(options)
        splits = {split: Ade(options.root, split, options.size, options.classes) for split in ("training", "validation")}
        model = Segmenter(options.weights, options.classes, depth=options.depth).to(device)
        losses = train(model, splits["training"], options.steps, options.batch_size, options.lr, device)
        print(f"loss {losses[0]:.3f} at the first step, {losses[-1]:.3f} at the last of {len(losses)}")
        value = mean_iou(model, splits["validation"], options.classes, device)
        print(f"mean IoU {value:.2f} % of {len(splits['validation'])} images")
    except (ValueError, ArithmeticError) as error:
        print(f"segmentation: {error}")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
