"""ImageNet-1K as it is distributed: ROOT/{train,val}/WNID/*.JPEG. Its validation images are our test split.

Training images are cut, flipped and altered as they are decoded, since the cut is of the whole picture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmark.data.catalogue import Layout, digests
from benchmark.data.examples import Examples
from benchmark.data.files import Random, Reader, class_column, load_files
from benchmark.data.listing import Entry, Listing, Root, carve_validation, is_leftover, passed_over, printable
from benchmark.data.pictures import clamped_box, decode_picture, middle, rand_augment, random_box, seeded
from benchmark.spec.recipes import Split

if TYPE_CHECKING:
    from benchmark.spec.recipes import ModelShape, OptimRecipe

__all__ = ["LAYOUTS", "digests", "load"]

SUFFIXES = {".jpeg", ".jpg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}  # those of torchvision's ImageFolder
NUM_CLASSES = 1000
RESIZE = 256 / 224  # of the short side before the central cut at test
VALIDATION_SHARE = 10_000 / 1_281_167


def enumerate_files(root: Root) -> Listing:
    """Every picture of both folders; a part of the training pictures becomes the validation split."""
    folders, notes, problems = {}, list[str](), list[str]()
    for name in ("train", "val"):
        there = sorted(path for path in _members(root.path / name) if path.is_dir())
        folders[name] = [path for path in there if not is_leftover(path.name)]
        notes += passed_over("folders that are leftovers of other software", (
            f"{name}/{path.name}" for path in there if is_leftover(path.name)))
        flat = sum(path.suffix.lower() in SUFFIXES for path in _members(root.path / name))
        hint = f", and {flat:,} pictures that are to be sorted into one folder for each class" if flat else ""
        problems += [] if folders[name] else [f"{root.path / name} has no folder of a class{hint}"]
    classes, tested = ([path.name for path in folders[name]] for name in ("train", "val"))
    problems += [f"class {printable(name)} is in val and not in train" for name in tested if name not in classes]
    problems += [f"class {printable(name)} is in train and not in val" for name in classes if name not in tested]
    entries: dict[str, list[Entry]] = {}
    others, linked = [], list[str]()
    for name, found in folders.items():
        entries[name] = []
        for path in found:
            held = sorted(file.relative_to(path).as_posix() for file in _files(path, root.links))
            files = [file for file in held if PurePosixPath(file).suffix.lower() in SUFFIXES]
            pictures = set(files)
            linked += [] if root.links else [f"{name}/{path.name}/{below}" for below in _linked(path)]
            others += [f"{name}/{path.name}/{file}" for file in held if file not in pictures and not is_leftover(file)]
            if not files:
                problems.append(f"{name}/{printable(path.name)} is empty")
            if path.name in classes:
                label = str(classes.index(path.name))
                entries[name] += [Entry(f"{name}/{path.name}/{file}", label) for file in files]
    notes += passed_over("files that are no pictures by their names", others)
    notes += passed_over("folders that are links, which --follow-links reads", linked)
    train, val = carve_validation(entries["train"], VALIDATION_SHARE)
    return Listing({"train": train, "val": val, "test": entries["val"]}, classes, problems, notes)


def _files(folder: Path, links: bool) -> Iterator[Path]:
    """Every file below a class's folder, as ImageFolder finds them"""
    for place, _, names in os.walk(folder, followlinks=links):
        yield from (Path(place, name) for name in names)


def _linked(folder: Path) -> Iterator[str]:
    """Links to folders below a class's folder"""
    for place, below, _ in os.walk(folder):
        yield from (Path(place, name).relative_to(folder).as_posix() for name in below if Path(place, name).is_symlink())


def _members(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def look(path: Path) -> None:
    """Decode the whole picture; raises `DataError`."""
    decode_picture(path)


def load(names: Sequence[str]) -> dict[Split, Examples]:
    """Splits of a prepared ImageNet: pictures of the size that the model wants, and classes."""
    (name,) = names
    return load_files(name, Pictures, class_column)


class Pictures(Reader):
    """A picture to (3, H, W) bytes. In training a random part of it, else its middle, as ImageNet models are tested."""

    alters = frozenset({"crop", "clamped_crop", "flip", "rand_augment"})

    def __init__(self, size: tuple[int, int] = (224, 224), crop: float = 0.0, clamped_crop: float = 0.0, flip: float = 0.0,
                 rand_augment: float = 0.0):
        self.size, self.crop, self.clamped_crop, self.flip, self.rand_augment = size, crop, clamped_crop, flip, rand_augment

    def configured(self, shape: ModelShape, recipe: OptimRecipe) -> Self:
        """Sizes of the model, strengths of the recipe"""
        height, width = shape.input_size
        return type(self)((height, width), **{name: recipe.augment.get(name, 0.0) for name in sorted(self.alters)})

    def read(self, path: Path, random: Random | None) -> dict[str, Tensor]:
        """See `benchmark.data.files.Reader`."""
        picture = decode_picture(path)
        picture = middle(picture, self.size, RESIZE) if random is None else self.altered(picture, random)
        return {"input": torch.from_numpy(np.asarray(picture).transpose(2, 0, 1).copy())}

    def altered(self, picture: Image.Image, random: Random) -> Image.Image:
        """A part of 1 - crop to 1 of the area, aspect 3/4 to 4/3 (Inception's; `clamped_crop`: that of MAE's linear probe),
        mirrored; RandAugment of this magnitude."""
        if self.clamped_crop:
            box = clamped_box(picture.size, 1 - self.clamped_crop, random)
        else:
            box = random_box(picture.size, 1 - self.crop, random)
        picture = picture.crop(box).resize(self.size[::-1], Image.Resampling.BICUBIC)
        if random.random() < self.flip:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.rand_augment:
            with seeded(random):
                picture = rand_augment(self.rand_augment, self.size)(picture)
        return picture


LAYOUTS = (Layout("imagenet1k", "ROOT/train/WNID/*.JPEG and ROOT/val/WNID/*.JPEG, a folder for each class; val is tested on",
                  enumerate_files, look, num_classes=NUM_CLASSES),)
