"""Instance segmentation on data in COCO's layout, with torchvision's Mask R-CNN over a merged ViT.

    benchmark export RUN --out vit.safetensors
    python -m benchmark.transfer.detection vit.safetensors --root COCO --out detections.json

A small working example: the released code of the paper has none for COCO. It trains, and writes what it finds in the
validation images in COCO's result format, which pycocotools evaluates.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN  # type: ignore[import-untyped]
from torchvision.models.detection.anchor_utils import AnchorGenerator  # type: ignore[import-untyped]
from torchvision.ops import MultiScaleRoIAlign  # type: ignore[import-untyped]

from benchmark.data.embedded import DataError
from benchmark.data.listing import inside
from benchmark.data.pictures import decode_picture
from benchmark.spec.plural import counted
from benchmark.transfer.backbone import STRIDES, Pyramid, check_options, descend, load_vit


class Coco:
    """ROOT/annotations/instances_SPLIT.json and ROOT/SPLIT/*.jpg, with polygons. Left out, and counted, are objects without
    one: crowds (run lengths), and those that are a box alone.
    """

    def __init__(self, root: Path, split: str):
        path = root / "annotations" / f"instances_{split}.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            self.images: list[dict[str, Any]] = data["images"]
            self.categories = sorted(category["id"] for category in data["categories"])
            self.objects: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in self.images}
            used = [each for each in data["annotations"] if not each.get("iscrowd") and min(each["bbox"][2:]) > 0
                    and isinstance(each["segmentation"], list) and any(len(polygon) >= 6 for polygon in each["segmentation"])]
            for each in used:
                self.objects[each["image_id"]].append(each)
            unknown = {each["category_id"] for each in used} - set(self.categories)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is no list of instances: {error}") from error
        if unknown:
            raise DataError(f"{path} has objects of the category {min(unknown)}, which is not among its categories")
        self.num_left_out = len(data["annotations"]) - len(used)
        self.folder = root / split

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        """(3, H, W) in [0, 1]; boxes (n, 4) as corners, labels (n,) from 1, masks (n, H, W)"""
        entry = self.images[index]
        pixels = np.asarray(decode_picture(inside(self.folder, entry["file_name"])))
        objects = self.objects[entry["id"]]
        boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in (each["bbox"] for each in objects)]).view(-1, 4).float()
        labels = torch.tensor([self.categories.index(each["category_id"]) + 1 for each in objects], dtype=torch.int64)
        masks = [draw_polygons(each["segmentation"], pixels.shape[1], pixels.shape[0]) for each in objects]
        stacked = torch.from_numpy(np.stack(masks)) if masks else torch.zeros(0, *pixels.shape[:2], dtype=torch.uint8)
        x = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 255
        return x, {"boxes": boxes, "labels": labels, "masks": stacked}


def draw_polygons(polygons: list[list[float]], width: int, height: int) -> np.ndarray:
    """Flat lists of x, y -> (height, width) uint8 of 0 and 1"""
    canvas = Image.new("L", (width, height))
    for polygon in polygons:
        if len(polygon) >= 6:
            ImageDraw.Draw(canvas).polygon(polygon, fill=1)
    return np.asarray(canvas)


def build(weights: Path, num_categories: int, size: int, **changes: Any) -> MaskRCNN:
    """Mask R-CNN over the pyramid of a merged ViT; images are resized to a short side of `size`."""
    sizes = tuple((8 * stride,) for stride in STRIDES)
    names = [str(stride) for stride in STRIDES]
    return MaskRCNN(
        Pyramid(load_vit(weights, **changes)), num_categories + 1, min_size=size, max_size=2 * size,
        rpn_anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes)),
        box_roi_pool=MultiScaleRoIAlign(names, 7, 2), mask_roi_pool=MultiScaleRoIAlign(names, 14, 2))


def train(model: nn.Module, data: Coco, steps: int, batch_size: int, lr: float, device: torch.device,
          seed: int = 0) -> list[float]:
    """Losses of `steps` steps of AdamW over images that have objects."""
    chosen = [index for index in range(len(data)) if data.objects[data.images[index]["id"]]]
    if not chosen:
        raise DataError(f"{data.folder} has no picture with an object to train on")
    random = np.random.default_rng(seed)

    def loss() -> Tensor:
        samples = [data[int(index)] for index in random.choice(chosen, batch_size)]
        found = model([x.to(device) for x, _ in samples],
                      [{name: value.to(device) for name, value in target.items()} for _, target in samples])
        total: Tensor = sum(found.values())
        return total

    return descend(model, loss, steps, lr, weight_decay=0.1)


@torch.inference_mode()
def detect(model: MaskRCNN, data: Coco, categories: list[int], device: torch.device) -> Iterator[dict[str, Any]]:
    """What is found in every image, as rows of COCO's result format (boxes); `categories` are those that were trained on."""
    model.eval()
    for index in range(len(data)):
        found = model([data[index][0].to(device)])[0]
        for box, label, score in zip(found["boxes"].tolist(), found["labels"].tolist(), found["scores"].tolist(), strict=True):
            x, y, right, low = box
            yield {"image_id": data.images[index]["id"], "category_id": categories[label - 1], "score": score,
                   "bbox": [x, y, right - x, low - y]}


def main(arguments: list[str] | None = None) -> int:
    """Train on train2017, write what is found in val2017."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.transfer.detection",
                                     description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights", type=Path, help="as benchmark export wrote them")
    parser.add_argument("--root", type=Path, required=True, help="with annotations/, train2017/ and val2017/")
    parser.add_argument("--out", type=Path, required=True, help="detections, as JSON")
    parser.add_argument("--steps", type=int, default=90_000)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--size", type=int, default=800, help="short side of the images")
    parser.add_argument("--depth", type=int, default=12, help="blocks of the ViT")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    try:
        device = check_options(options)
        if not options.out.parent.is_dir() or options.out.is_dir():
            raise ValueError(f"--out {options.out}: expected a file in a folder that is there")
        data, val = (Coco(options.root, split) for split in ("train2017", "val2017"))
        if lacking := sorted(set(val.categories) - set(data.categories)):
            raise DataError(f"val2017 has categories that train2017 has not, first {lacking[0]}; list the same in both")
        if data.num_left_out:
            print(f"left out: {counted(data.num_left_out, 'object')} of train2017 without a polygon")
        model = build(options.weights, len(data.categories), options.size, depth=options.depth).to(device)
        losses = train(model, data, options.steps, options.batch_size, options.lr, device)
        print(f"loss {losses[0]:.3f} at the first step, {losses[-1]:.3f} at the last of {len(losses)}")
        rows = list(detect(model, val, data.categories, device))
        options.out.write_text(json.dumps(rows), encoding="utf-8")
    except (ValueError, ArithmeticError) as error:
        print(f"detection: {error}")
        return 2
    except OSError as error:
        print(f"detection: {error.filename} cannot be read or written ({error.strerror})")
        return 2
    print(f"{len(rows)} detections in {len(val)} images written to {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
