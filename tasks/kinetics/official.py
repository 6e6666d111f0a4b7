"""Kinetics-400 in the layout of VideoMAE: ROOT/{train,val}.csv, whose val is our test split, and video files below ROOT.

A clip is about every fourth frame of a part of a video. Files are decoded from the key frame before it, and its frames are
cut, mirrored and altered one by one as they come, so that memory does not grow with the size of a video.

Shapes: T frames of a clip, V windows in time and S in space of a test video.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from benchmark.data.augment import window_starts
from benchmark.data.catalogue import Layout, digests
from benchmark.data.embedded import DataError
from benchmark.data.examples import Examples
from benchmark.data.files import Random, Reader, class_column, load_files
from benchmark.data.listing import Entry, Listing, Root, carve_validation, one_sided, read_text
from benchmark.data.pictures import rand_augment, random_box, seeded
from benchmark.spec.recipes import Split, TrainRecipe
from tasks.kinetics.video import Video, look

if TYPE_CHECKING:
    from benchmark.spec.recipes import ModelShape, OptimRecipe

__all__ = ["LAYOUTS", "digests", "load", "load_pool"]

NUM_CLASSES = 400
STRIDE = 4  # frames of the video from one frame of a clip to the next
SCALES = (1.0, 0.875, 0.75, 0.66)  # of the short side, in pretraining's crops
LAYERS = 4  # operations of RandAugment that one clip gets (VideoMAE's "n4")
GREY = (128, 128, 128)  # where nothing of a picture is, after it was moved
UNLABELLED = "-1"

Cut = Callable[[Image.Image], Image.Image]


def enumerate_files(root: Root) -> Listing:
    """The videos of both lists; a part of the training videos becomes the validation split.

    Raises `DataError` for a list that is missing, empty or malformed, and for a video that is in both.
    """
    train, test = read_list(root, "train.csv"), read_list(root, "val.csv")
    both = {entry.path for entry in train} & {entry.path for entry in test}
    if both:
        raise DataError(f"{len(both)} videos of {root.path / 'val.csv'} are in train.csv too, first {min(both)!r}; "
                        "what is tested on cannot be trained on")
    if any(entry.label == UNLABELLED for entry in test):
        raise DataError(f"{root.path / 'val.csv'} has lines without a label; write them as: path label")
    classes = [str(label) for label in range(NUM_CLASSES)]
    problems = one_sided(train, test, classes)
    train, val = carve_validation(train)
    return Listing({"train": train, "val": val, "test": test}, classes, problems)


def read_list(root: Root, name: str) -> list[Entry]:
    """Lines `path label` of a list, or `path 0 -1` of a pretraining list, whose label is "-1"; blank ones are skipped.

    A path may have spaces, and quotation marks around it, as pandas writes it then. Raises `DataError` naming the line.
    """
    path = root.path / name
    try:
        lines = read_text(path).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"list {path} cannot be read ({error}); it has lines: path label") from error
    entries = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = re.fullmatch(r"(?:(?P<whole>.+)[ \t]0[ \t]-1|(?P<path>.+)[ \t](?P<label>[0-9]{1,3}))", line.strip())
        if match is None or int(match["label"] or 0) >= NUM_CLASSES:
            raise DataError(f"{path} line {number}: {line.strip()[:80]!r} is not 'path label', with one space between them, a "
                            f"label of 0 to {NUM_CLASSES - 1} and no header")
        text = (match["whole"] or match["path"]).strip()
        if len(text) > 1 and text[0] == text[-1] == '"':
            text = text[1:-1].replace('""', '"')
        entries.append(Entry(root.below(text), str(int(match["label"] or UNLABELLED))))
    if not entries:
        raise DataError(f"list {path} is empty; it has lines: path label")
    return entries


def load(names: Sequence[str]) -> dict[Split, Examples]:
    """Splits of a prepared Kinetics: clips of the size that the model wants, and classes.

    Raises `DataError` where a list has no labels.
    """
    (name,) = names

    def columns(labels: Sequence[str]) -> dict[str, Tensor]:
        if UNLABELLED in labels:
            raise DataError("a list without labels serves pretraining only; its lines are: path label")
        return class_column(labels)

    return load_files(name, Clips, columns)


def load_pool(names: Sequence[str]) -> Examples:
    """Training videos without labels, which their list may do without"""
    (name,) = names
    return load_files(name, Clips, lambda labels: {})["train"]


class Clips(Reader):
    """A video to (3, T, H, W) bytes: in training a random clip, cut, mirrored and altered alike in all of its frames.

    Else (3, V T, H, S W): the clips of V windows, evenly spaced over the video, follow each other in time, and S cuts,
    evenly spaced along the longer side, lie beside each other, so that `view_windows` finds each of them.
    Clips of finetuning are spread over 64 frames (steps of 4 and 5), those of pretraining and of tests are every fourth frame;
    a video that is shorter than a clip shows its last frame of them to the end. All as in VideoMAE.

    Strengths: crop (largest share of the area that is cut away; aspect 3/4 to 4/3), multi_scale (largest share of the
    short side that is; pretraining's, see `multi_scale_box`), flip (probability), rand_augment (magnitude). VideoMAE alters
    whole frames and then cuts them; here cuts are altered, at a cost that does not depend on the size of a video.
    """

    alters = frozenset({"crop", "multi_scale", "flip", "rand_augment"})

    def __init__(self, size: tuple[int, int, int] = (16, 224, 224), temporal: int = 1, spatial: int = 1, crop: float = 0.0,
                 multi_scale: float = 0.0, flip: float = 0.0, rand_augment: float = 0.0, spread: bool = False):
        self.size, self.temporal, self.spatial, self.spread = size, temporal, spatial, spread
        self.crop, self.multi_scale, self.flip, self.rand_augment = crop, multi_scale, flip, rand_augment

    def configured(self, shape: ModelShape, recipe: OptimRecipe) -> Self:
        """Sizes of the model, windows and strengths of the recipe"""
        length, height, width = shape.input_size
        views = recipe.test_views if isinstance(recipe, TrainRecipe) else {}
        strengths = {name: recipe.augment.get(name, 0.0) for name in sorted(self.alters)}
        return type(self)((length, height, width), views.get("temporal", 1), views.get("spatial", 1), **strengths,
                          spread=isinstance(recipe, TrainRecipe))

    def read(self, path: Path, random: Random | None) -> dict[str, Tensor]:
        """See `benchmark.data.files.Reader`."""
        (sample,) = self.read_copies(path, [random])
        return sample

    def read_copies(self, path: Path, randoms: Sequence[Random | None]) -> list[dict[str, Tensor]]:
        """One clip that is decoded once, at a place that the first of `randoms` draws; each of them cuts and alters it anew.

        VideoMAE's copies are of one clip, too.
        """
        with Video(path) as video:
            numbers = self.windows(len(video)) if randoms[0] is None else self.clip(len(video), randoms[0])
            distinct = sorted(set(numbers))
            clips = np.empty(0, np.uint8)
            cuts: list[Cut] = []
            for number, picture in zip(distinct, video.frames(distinct), strict=True):
                cuts = cuts or [self.beside(picture.size) if random is None else self.altered(picture.size, random)
                                for random in randoms]
                for copy, cut in enumerate(cuts):
                    made = np.asarray(cut(picture))
                    if not clips.size:
                        clips = np.empty((len(cuts), 3, len(numbers), *made.shape[:2]), np.uint8)
                    for place in (place for place, other in enumerate(numbers) if other == number):
                        clips[copy, :, place] = made.transpose(2, 0, 1)
        return [{"input": torch.from_numpy(clip)} for clip in clips]

    def clip(self, num_frames: int, random: Random) -> list[int]:
        """Frames of one random clip"""
        length, whole = self.size[0], STRIDE * self.size[0]
        if not self.spread:
            start = int(random.integers(max(num_frames - 1 - STRIDE * (length - 1), 0) + 1))
            return [min(start + STRIDE * place, num_frames - 1) for place in range(length)]
        if num_frames <= whole:
            places = np.linspace(0, num_frames, max(num_frames // STRIDE, 1))
            return [min(int(place), num_frames - 1) for place in [*places, *[num_frames] * (length - len(places))]]
        start = int(random.integers(num_frames - whole + 1))
        return [min(int(place), start + whole - 1) for place in np.linspace(start, start + whole, length)]

    def windows(self, num_frames: int) -> list[int]:
        """Frames of V windows in turn, which `view_windows` would take from every fourth frame of the video"""
        length, last = self.size[0], (num_frames - 1) // STRIDE
        return [STRIDE * min(start + place, last) for start in window_starts(max(last + 1 - length, 0), self.temporal)
                for place in range(length)]

    def beside(self, size: tuple[int, int]) -> Cut:
        """The short side to that of the model (see `resized`), then S cuts along the longer one, side by side"""
        height, width = self.size[1:]
        scale = max(width / size[0], height / size[1])
        wide, high = max(width, int(size[0] * scale)), max(height, int(size[1] * scale))
        across = wide - width > high - height
        lefts = window_starts(wide - width, self.spatial if across else 1)
        uppers = window_starts(high - height, 1 if across else self.spatial)
        corners = [(left, upper) for left in lefts for upper in uppers]

        def cut(picture: Image.Image) -> Image.Image:
            picture = resized(picture, (wide, high))
            joined = Image.new("RGB", (width * len(corners), height))
            for place, (left, upper) in enumerate(corners):
                joined.paste(picture.crop((left, upper, left + width, upper + height)), (place * width, 0))
            return joined

        return cut

    def altered(self, size: tuple[int, int], random: Random) -> Cut:
        """One box, one choice to mirror and one RandAugment for all frames of a clip, cut from frames of `size`"""
        box: tuple[int, int, int, int] = (0, 0, *size)
        if self.multi_scale:
            box = multi_scale_box(size, self.multi_scale, random)
        elif self.crop:
            box = random_box(size, 1 - self.crop, random)
        mirrored = random.random() < self.flip
        height, width = self.size[1:]
        policy = rand_augment(self.rand_augment, (height, width), LAYERS, interpolation=Image.Resampling.BILINEAR,
                              fill=GREY) if self.rand_augment else None
        seed = int(random.integers(2**32))

        def cut(picture: Image.Image) -> Image.Image:
            picture = picture.crop(box)
            picture = (resized(picture, (width, height)) if self.spread
                       else picture.resize((width, height), Image.Resampling.BILINEAR))
            if mirrored:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            if policy is not None:
                with seeded(np.random.default_rng(seed)):  # the same numbers for every frame
                    picture = policy(picture)
            return picture

        return cut


def resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """To (width, height), bilinear between the four nearest pixels however small it becomes, as VideoMAE's finetuning and tests
    do it with PyTorch and OpenCV; Pillow, which pretraining cuts with, would blur first.
    """
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    made = functional.interpolate(pixels, (size[1], size[0]), mode="bilinear", align_corners=False)
    return Image.fromarray(made[0].permute(1, 2, 0).contiguous().numpy())


def multi_scale_box(size: tuple[int, int], strength: float, random: Random) -> tuple[int, int, int, int]:
    """A box (left, upper, right, lower) in (width, height) as Temporal Segment Networks cut it, and VideoMAE's pretraining.

    Both sides are one of `SCALES` of the short side, neighbours at most, none smaller than 1 - `strength`; the place is one
    of 13: the corners, the middles of the sides, the middle, and halfway from it to the corners.
    """
    width, height = size
    sides = [max(1, int(scale * min(size))) for scale in SCALES if scale >= 1 - strength - 1e-9]
    pairs = [(wide, high) for i, high in enumerate(sides) for j, wide in enumerate(sides) if abs(i - j) <= 1]
    wide, high = pairs[int(random.integers(len(pairs)))]
    places = [(x, y) for x in range(5) for y in range(5) if (x % 2, y % 2) in {(0, 0), (1, 1)}]
    x, y = places[int(random.integers(len(places)))]
    left, upper = x * (width - wide) // 4, y * (height - high) // 4
    return left, upper, left + wide, upper + high


LAYOUTS = (Layout("kinetics400", "ROOT/train.csv and ROOT/val.csv with lines `path label` (0 to 399), no header; videos below "
                  "ROOT; val is tested on, a twentieth of train is validated on", enumerate_files, look),)
