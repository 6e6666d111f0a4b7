"""`benchmark data view`: samples of a split in, one picture of them out, or a window that shows clouds of points.

Shapes: S samples, N points of a cloud or values of a signal, L characters, F frames, M mel bins.
"""

from __future__ import annotations

import argparse
import base64
import html
import importlib
import io
import math
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from benchmark.data.characters import CHARACTERS, as_texts
from benchmark.data.embedded import DataError
from benchmark.data.names import sample_names
from benchmark.records.contrast import stretch
from benchmark.spec.plural import counted
from benchmark.spec.runspec import recipe_under

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from benchmark.spec.contracts import Task

TILE = 160  # pixels of a side of one sample
FRAMES = 4  # of a clip
CAPTION_LINES = 3  # of 11 pixels
PACKAGES = "libgl1 libusb-1.0-0 libgomp1"  # of Debian, which open3d's wheel takes for granted


def view_set(task: Task, options: argparse.Namespace) -> int:
    """Samples of a split, evenly spread and unaltered, on one sheet; or clouds of points in a window."""
    if options.number < 1:
        raise ValueError(f"--number {options.number}: expected at least 1 sample")
    profile = options.profile or ("paper" if options.set or "tiny" not in task.profiles else "tiny")
    if profile not in task.profiles:
        raise ValueError(f"task {task.name} has no profile {profile}; it has {', '.join(task.profiles)}")
    spec = task.profiles[profile]
    recipe = recipe_under(spec.train.get("pretrained", next(iter(spec.train.values()))), 0)
    examples = task.load(profile)[options.split].configured(spec.shape, recipe).take(options.number)
    import torch

    batch = examples.batch(torch.arange(len(examples)))
    inputs = array_of(batch["input"])
    if options.window:
        if inputs.ndim != 3 or inputs.shape[2] != 3:
            raise ValueError(f"--window shows clouds of points; {task.name} has none, so leave it out for a picture")
        show_clouds(inputs)
        return 0
    path = options.out or Path(f"{task.name}-{profile}-{options.split}.png")
    write_sheet(inputs, sample_names(spec, batch) or None, path, task.modality)
    print(f"{counted(len(inputs), 'sample')} of {task.name} {options.split}, profile {profile}: {path}")
    return 0


def array_of(inputs: Tensor) -> NDArray[Any]:
    """The same numbers; those of bfloat16, which numpy has not, as float32"""
    import torch

    array: NDArray[Any] = (inputs.float() if inputs.dtype == torch.bfloat16 else inputs).numpy()
    return array


def write_sheet(inputs: NDArray[Any], captions: Sequence[str] | None, path: Path, modality: str) -> None:
    """A page where `path` ends in .html, with nothing to fetch, else one picture; raises `ValueError` where it cannot be.

    `modality` is the task's, see `in_full_contrast`.
    """
    inputs, said = in_full_contrast(inputs, modality)
    try:
        if path.suffix == ".html":
            path.write_text(_page(inputs, captions or [""] * len(inputs), said), encoding="utf-8")
            return
        sheet = contact_sheet(inputs, captions)
        (_captioned(sheet, said) if said else sheet).save(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be written ({error}); choose a file such as sheet.png with --out") from error


def in_full_contrast(inputs: NDArray[Any], modality: str) -> tuple[NDArray[Any], str]:
    """Pictures and clips, grey ones (S, H, W) or (S, 1, ...) too, as bytes of three channels, and what was stretched in words.

    See `stretch`. All else is left as it is, with spectrograms, which grey inputs of the modality "audio" are: (S, F, M).
    """
    if modality == "audio" and inputs.ndim == 4 and inputs.shape[1] == 1:
        return inputs[:, 0], ""
    grey = inputs.ndim == 3 and inputs.shape[1] > 1 and inputs.shape[2] != 3 and modality != "audio"
    pictures = inputs[:, None] if grey else inputs
    if pictures.ndim not in (4, 5) or pictures.shape[1] not in (1, 3) or not pictures.size:
        return inputs, ""
    pictures, said = stretch(pictures)
    return np.repeat(pictures, 3, 1) if pictures.shape[1] == 1 else pictures, said


def _page(inputs: NDArray[Any], captions: Sequence[str], said: str) -> str:
    figures = [f"<p>{html.escape(said)}</p>"] if said else []
    for sample, text in zip(inputs, captions, strict=True):
        held = io.BytesIO()
        tile(sample).save(held, "png")
        data = base64.b64encode(held.getvalue()).decode()
        figures.append(f'<figure><img alt="" src="data:image/png;base64,{data}"><figcaption>{html.escape(text)}</figcaption>'
                       "</figure>")
    style = "body{display:flex;flex-wrap:wrap;gap:1em;font:14px sans-serif}figure{margin:0;max-width:20em}p{width:100%}"
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Changed sides</title><style>{style}</style><body>\n'
            + "\n".join(figures) + "\n</body></html>\n")


def contact_sheet(inputs: NDArray[Any], captions: Sequence[str] | None = None) -> Image.Image:
    """A tile for each of S pictures (S, 3, H, W), clips (S, 3, F, H, W), spectrograms (S, F, M), signals (S, 1, N), texts
    (S, L) or clouds (S, N, 3)."""
    tiles = [tile(sample) for sample in inputs]
    if captions is not None:
        tiles = [_captioned(each, text) for each, text in zip(tiles, captions, strict=True)]
    wide, high = max(each.width for each in tiles), max(each.height for each in tiles)
    columns = max(1, round(math.sqrt(len(tiles) * high / wide)))
    sheet = Image.new("RGB", (columns * (wide + 4), math.ceil(len(tiles) / columns) * (high + 4)), "white")
    for place, each in enumerate(tiles):
        sheet.paste(each, (place % columns * (wide + 4) + 2, place // columns * (high + 4) + 2))
    return sheet


def tile(sample: NDArray[Any]) -> Image.Image:
    """One sample as a picture; raises `ValueError` for a shape that is none of those of `contact_sheet`."""
    if sample.ndim == 1 and sample.dtype == np.uint8 and sample.max(initial=0) < CHARACTERS:
        return draw_text(as_texts(sample[None])[0])
    if sample.ndim == 2 and sample.shape[1] == 3:
        return draw_cloud(sample)
    if sample.ndim == 2 and len(sample) == 1 and sample.shape[1] > 1:
        return draw_signal(sample[0])
    if sample.ndim == 2:
        sample = sample.astype(np.float64)  # 255 times what float16 holds may be more than it does
        low, high = float(sample.min()), float(sample.max())
        grey = (255 * (sample.T[::-1] - low) / (high - low or 1)).astype(np.uint8)  # time to the right, pitch upwards
        return Image.fromarray(grey).convert("RGB").resize((2 * TILE, TILE))
    if sample.ndim == 3 and sample.shape[0] == 3:
        return _fit(Image.fromarray(np.ascontiguousarray(sample.transpose(1, 2, 0))))
    if sample.ndim == 4 and sample.shape[0] == 3:
        chosen = np.linspace(0, sample.shape[1] - 1, min(FRAMES, sample.shape[1])).round().astype(int)
        beside = np.concatenate(list(sample[:, chosen].transpose(1, 0, 2, 3)), 2)
        return _fit(Image.fromarray(np.ascontiguousarray(beside.transpose(1, 2, 0))))
    raise ValueError(f"a sample of shape {sample.shape} is no picture, clip, spectrogram, signal, text or cloud of points")


def _captioned(picture: Image.Image, text: str) -> Image.Image:
    """With lines of text below, as wide as the picture"""
    lines = textwrap.wrap(text, max(12, picture.width // 6))[:CAPTION_LINES]
    held = Image.new("RGB", (picture.width, picture.height + 12 * CAPTION_LINES), "white")
    held.paste(picture)
    ImageDraw.Draw(held).multiline_text((1, picture.height), "\n".join(lines), fill="black", spacing=1)
    return held


def _fit(picture: Image.Image) -> Image.Image:
    """Of the height of a tile, small pixels kept square"""
    return picture.resize((max(1, round(picture.width * TILE / picture.height)), TILE), Image.Resampling.NEAREST)


def draw_signal(values: NDArray[Any]) -> Image.Image:
    """(N,) -> a line from left to right, from its least value at the foot to its greatest"""
    values = values.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    heights = (TILE - 1) * (0.95 - 0.9 * (values - low) / (high - low or 1))
    places = np.linspace(0, 2 * TILE - 1, len(values))
    held = Image.new("RGB", (2 * TILE, TILE), "white")
    ImageDraw.Draw(held).line(list(zip(places.tolist(), heights.tolist(), strict=True)), fill="black")
    return held


def draw_text(text: str) -> Image.Image:
    """Its lines, wrapped to the width of a tile"""
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line, 2 * TILE // 6) or [""]]
    held = Image.new("RGB", (2 * TILE, TILE), "white")
    ImageDraw.Draw(held).multiline_text((1, 1), "\n".join(lines), fill="black", spacing=1)
    return held


def draw_cloud(points: NDArray[Any]) -> Image.Image:
    """(N, 3), y upwards -> the cloud seen from a corner, near points dark and over those behind them"""
    points = points.astype(np.float64) - points.mean(0, dtype=np.float64)
    x = (points[:, 0] - points[:, 2]) / math.sqrt(2)
    y, depth = (points[:, 1] * 2 - points[:, 0] - points[:, 2]) / math.sqrt(6), points.sum(1)
    radius = float(np.sqrt(np.square(points).sum(1).max())) or 1.0
    canvas = np.full((TILE, TILE), 255, np.uint8)
    order = depth.argsort()
    shade = np.interp(depth[order], [-radius, radius], [200, 20]).astype(np.uint8)
    across, down = (((1 + sign * axis[order] / radius) * (TILE - 3) / 2).astype(int) for sign, axis in ((1, x), (-1, y)))
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):  # a dot is four pixels
        canvas[down + below, across + right] = shade
    return Image.fromarray(canvas).convert("RGB")


def show_clouds(clouds: NDArray[Any]) -> None:
    """A window with clouds (S, N, 3) side by side, until it is closed; raises `ValueError` where nothing could show it."""
    open3d = load_open3d("a window")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ValueError("--window needs a display, and there is none here; leave it out for a picture")
    shown = []
    for place, points in enumerate(clouds):
        scaled = points.astype(np.float64) / (np.abs(points).max() or 1)
        cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(scaled))
        shown.append(cloud.translate((2.5 * place, 0, 0)))
    open3d.visualization.draw_geometries(shown, window_name="benchmark data view")


def load_open3d(use: str) -> Any:
    """open3d, which takes a second to import; raises `DataError` saying what `use` needs where it is not there."""
    try:
        return importlib.import_module("open3d")
    except (ImportError, OSError) as error:
        raise DataError(f"{use} needs open3d, which cannot be imported ({error}): pip install 'm2pt-bench[view]', and on "
                        f"Debian or Ubuntu apt-get install {PACKAGES}") from error
