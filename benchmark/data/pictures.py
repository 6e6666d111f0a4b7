"""A file in, an RGB picture out; and what training pictures are cut and altered by, in images and in frames of videos."""

from __future__ import annotations

import functools
import math
import os
import random as python_random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile
from timm.data.auto_augment import rand_augment_transform

from benchmark.data.embedded import DataError
from benchmark.data.listing import found_instead

Random = np.random.Generator
Box = tuple[int, int, int, int]  # left, upper, right, lower
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")  # by content; of others some start programs to be read
BITS, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # tags of TIFF, and the value of the second where 0 is white
WIDTH, HEIGHT = 256, 257  # tags of TIFF
PLANES, APART = 284, 2  # a tag of TIFF, and its value where each colour is a plane of its own
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"  # of JPEG
HARMLESS = ("Corrupt EXIF data", "Palette images with Transparency")  # of which pillow warns, without the name of the file
LONGEST = 2**13  # of a side that a whole picture is resized to; of a longer one only the part that is wanted


def decode_picture(path: Path) -> Image.Image:
    """An RGB picture, 16 bits of grey scaled to 8; raises `DataError` naming the file where it is damaged or far too large,
    or of numbers whose white is not known. As loaders of ImageNet do, it leaves turns by EXIF, of TIFF as of other formats, and
    drops transparency.
    """
    try:
        with _without_warnings(), Image.open(path, formats=FORMATS) as image:
            if isinstance(image, TiffImageFile) and image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
                # Pillow would turn TIFF alone as it loads, and scrambles one of a single channel that it lays on its side.
                image.getexif()[ExifTags.Base.Orientation] = 1
                image._size = image.tag_v2[WIDTH], image.tag_v2[HEIGHT]
            if _ends_in_zeros(path, image.format):
                raise DataError(f"picture {path} is not whole: it ends in zeros, as a copy that stopped leaves it")
            if isinstance(image, TiffImageFile) and image.tag_v2.get(PLANES) == APART and max(image.tag_v2.get(BITS, (1,))) > 8:
                raise DataError(f"picture {path} has more than 8 bits, and its colours in planes of their own, which pillow "
                                "does not read; convert it to 8")
            if image.mode.startswith("I") and (image.mode != "I" or image.format in {"PNG", "PPM"}):
                grey, white = np.asarray(image).astype(np.float64), 65535
                if isinstance(image, TiffImageFile):
                    white = 2 ** max(image.tag_v2.get(BITS, (16,))) - 1  # pillow leaves 12 bits as they are
                    if image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO:
                        grey = white - grey  # pillow turns these round where they have 8 bits, and not where they have 16
                return Image.fromarray((grey / white * 255).round().astype(np.uint8)).convert("RGB")
            if image.mode in {"I", "F"}:
                raise DataError(f"picture {path} has 32 bits a pixel, of which none is known to be white; convert it to 8")
            return image.convert("RGB")
    except DataError:
        raise
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise DataError(f"picture {path} cannot be read: {found_instead(path) or error}") from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        for message in HARMLESS:
            warnings.filterwarnings("ignore", message)
        yield


def _ends_in_zeros(path: Path, form: str | None) -> bool:
    """Whether the end of a compressed picture is missing and zeros are there instead, which decoders take for pixels."""
    with path.open("rb") as file:
        file.seek(-min(512, file.seek(0, os.SEEK_END)), os.SEEK_END)
        end = file.read()
        if form not in {"JPEG", "MPO", "WEBP"} or any(end[-64:]):
            return False
        if form == "WEBP":
            return not any(end)
        file.seek(0)
        content = file.read()
    return content.rfind(END_OF_IMAGE) < content.rfind(START_OF_SCAN)


def random_box(size: tuple[int, int], least: float, random: Random, aspect: float = 4 / 3) -> Box:
    """A box of `least` to 1 of the area of (width, height), its aspect 1/aspect to aspect.

    After ten that do not fit, the largest central one of an aspect in that range (Inception's cut).
    """
    width, height = size
    for _ in range(10):
        wide, high = _sides(size, least, random, aspect)
        if 0 < wide <= width and 0 < high <= height:
            left, upper = int(random.integers(width - wide + 1)), int(random.integers(height - high + 1))
            return left, upper, left + wide, upper + high
    wide, high = max(1, min(width, round(height * aspect))), max(1, min(height, round(width * aspect)))
    left, upper = (width - wide) // 2, (height - high) // 2
    return left, upper, left + wide, upper + high


def clamped_box(size: tuple[int, int], least: float, random: Random, aspect: float = 4 / 3) -> Box:
    """As `random_box`, but one that is too wide or too high is clamped to the picture (MAE's linear probe)."""
    width, height = size
    wide, high = (max(1, min(side, most)) for side, most in zip(_sides(size, least, random, aspect), size, strict=True))
    upper, left = int(random.integers(height - high + 1)), int(random.integers(width - wide + 1))
    return left, upper, left + wide, upper + high


def _sides(size: tuple[int, int], least: float, random: Random, aspect: float) -> tuple[int, int]:
    area = size[0] * size[1] * random.uniform(least, 1)
    ratio = math.exp(random.uniform(-math.log(aspect), math.log(aspect)))
    return round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))


def middle(picture: Image.Image, size: tuple[int, int], scale: float) -> Image.Image:
    """The middle (height, width) of a picture whose short side is resized to `scale` of it, as torchvision does (bicubic).

    Of a picture that would become far too long, the part that is wanted alone is resized.
    """
    (width, height), (high, wide) = picture.size, size
    wanted, side = max((round(scale * wide), width), (round(scale * high), height), key=lambda pair: pair[0] / pair[1])
    across, down = wanted * width // side, wanted * height // side
    left, upper = round((across - wide) / 2), round((down - high) / 2)
    box = (left, upper, left + wide, upper + high)
    if max(across, down) > LONGEST:
        x, y = width / across, height / down
        part = (left * x, upper * y, min(box[2] * x, width), min(box[3] * y, height))
        return picture.resize((wide, high), Image.Resampling.BICUBIC, box=part)
    return picture.resize((across, down), Image.Resampling.BICUBIC).crop(box)


@functools.lru_cache
def rand_augment(magnitude: float, size: tuple[int, int], layers: int = 2, fill: tuple[int, int, int] = (124, 116, 104),
                 interpolation: Image.Resampling = Image.Resampling.BICUBIC) -> Callable[[Image.Image], Image.Image]:
    """timm's RandAugment for pictures of (height, width): `layers` operations of this magnitude, any number, deviation 0.5.

    It draws from the global random numbers, see `seeded`. A magnitude of 10, which it reaches at random, keeps no bit of
    any colour: black, as pillow made it when the published models were trained; pillow 13 raises an error instead.
    """
    policy = rand_augment_transform(f"rand-m9-n{layers}-mstd0.5-inc1", {
        "translate_const": int(0.45 * min(size)), "img_mean": fill, "interpolation": interpolation})
    for operation in policy.ops:
        operation.magnitude = magnitude
        if operation.name == "PosterizeIncreasing":
            operation.aug_fn = _posterize
    applied: Callable[[Image.Image], Image.Image] = policy
    return applied


def _posterize(picture: Image.Image, bits: int, **_: object) -> Image.Image:
    if not bits:
        return Image.new(picture.mode, picture.size)
    return ImageOps.posterize(picture, bits) if bits < 8 else picture


@contextmanager
def seeded(random: Random) -> Iterator[None]:
    """Python's and numpy's global random numbers, which some libraries draw from, as a function of `random`."""
    before = python_random.getstate(), np.random.get_state()  # noqa: NPY002
    python_random.seed(int(random.integers(2**32)))
    np.random.seed(int(random.integers(2**32)))  # noqa: NPY002
    try:
        yield
    finally:
        python_random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
