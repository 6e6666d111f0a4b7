"""Arrays of `benchmark.records.pictures` in, contact sheets and masked reconstructions as matplotlib figures out."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.report.canvas import PALETTE, new_figure, shorten

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAP = 2  # pixels between tiles
HIDDEN = np.array([143, 163, 191], np.uint8)  # a blue grey that no data set has as its background
FRAMES = 4  # of a clip that are shown
SHEET_COLUMNS = 6
ABREAST = 2  # samples in a row of reconstructions, three pictures each; of clips one
SPECTROGRAM = "magma"
UP, RIGHT, DEPTH = 1, 0, 2  # axes of a cloud
TURN = 0.6  # radians about the up axis, so that depth shows


def draw_samples(task: str, profile: str, pictures: Mapping[str, NDArray[Any]]) -> Figure:
    """A contact sheet: images, four frames a clip, spectrograms with time to the right, clouds with their parts coloured."""
    values, label = pictures["input"], pictures.get("label")
    title = f"What {shorten(task)} is shown: samples of its training split, profile {shorten(profile)}"
    if values.shape[-1] == 3 and values.ndim == 3:
        figure, axes = _canvas(SHEET_COLUMNS, -(-len(values) // SHEET_COLUMNS), title)
        parts = label if label is not None and label.ndim == 2 else np.zeros(values.shape[:2], int)
        for i, (cloud, part) in enumerate(zip(values, parts, strict=True)):
            _scatter(axes, cloud, part, i % SHEET_COLUMNS, i // SHEET_COLUMNS, cloud)
        _frame(axes, SHEET_COLUMNS, -(-len(values) // SHEET_COLUMNS))
        return figure
    tiles = [_strip(sample) for sample in values]
    columns = 3 if values.ndim == 5 else SHEET_COLUMNS
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    return _show(_mosaic(rows), title)


def draw_reconstructions(modality: str, text: str, pictures: Mapping[str, NDArray[Any]]) -> Figure:
    """Of each sample the input, what pretraining is shown of it, and its reconstruction of the rest."""
    title = f"Masked pretraining, {shorten(modality)}: input, what is seen, reconstruction\n{shorten(text, 100)}"
    count = len(pictures["input"])
    if "visible" in pictures:
        rows = -(-count // ABREAST)
        figure, axes = _canvas(3 * ABREAST, rows, title)
        for i in range(count):
            whole, seen, made = (pictures[name][i] for name in ("input", "visible", "reconstruction"))
            panels = ((whole, np.zeros(len(whole), int)), (seen, np.zeros(len(seen), int)),
                      (np.concatenate([seen, made]), np.repeat([0, 1], [len(seen), len(made)])))
            for j, (cloud, part) in enumerate(panels):
                _scatter(axes, cloud, part, i % ABREAST * 3 + j, i // ABREAST, whole)
        _frame(axes, 3 * ABREAST, rows)
        return figure
    tiles = []
    for i in range(count):
        whole, made = (_strip(pictures[name][i]) for name in ("input", "reconstruction"))
        hidden = _strip(np.repeat(pictures["hidden"][i][..., None], 3, -1), turn=pictures["input"].shape[-1] == 1)
        tiles.append([whole, np.where(hidden, HIDDEN, whole), made])
    abreast = 1 if pictures["input"].ndim == 5 else ABREAST
    return _show(_mosaic([list(chain(*tiles[i : i + abreast])) for i in range(0, count, abreast)]), title)


def _strip(sample: NDArray[Any], turn: bool = False) -> NDArray[Any]:
    """([T,] H, W, C) -> (h, w, 3): some frames side by side; one channel as colours, time to the right, as `turn` makes it"""
    if sample.ndim == 4:
        chosen = np.linspace(0, len(sample) - 1, min(FRAMES, len(sample))).round().astype(int)
        return np.concatenate([_strip(sample[i]) for i in chosen], 1)
    if sample.shape[-1] == 1:
        coloured = matplotlib.colormaps[SPECTROGRAM](sample[..., 0])
        return _strip(np.round(255 * coloured[..., :3]).astype(np.uint8), turn=True)
    return sample.transpose(1, 0, 2)[::-1] if turn else sample


def _mosaic(rows: list[list[NDArray[Any]]]) -> NDArray[Any]:
    """Tiles of one size, a few pixels apart"""
    height, width, _ = rows[0][0].shape
    columns = max(map(len, rows))
    whole = np.full((len(rows) * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            top, left = i * (height + GAP), j * (width + GAP)
            whole[top : top + height, left : left + width] = tile
    return whole


def _show(image: NDArray[Any], title: str) -> Figure:
    figure = new_figure(7.6, 0.7 + 7.4 * image.shape[0] / image.shape[1])
    axes = figure.add_subplot()
    axes.imshow(image, interpolation="none")
    axes.set_axis_off()
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _canvas(columns: int, rows: int, title: str) -> tuple[Figure, Axes]:
    figure = new_figure(7.6, 0.7 + 7.4 * rows / columns)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure, figure.add_subplot()


def _scatter(axes: Axes, cloud: NDArray[Any], part: NDArray[Any], column: int, row: int, like: NDArray[Any]) -> None:
    """A cloud at its place on the canvas and at the scale of the cloud `like`, seen from a little aside, far points first.

    Drawn as pixels, so that files stay small.
    """
    reference = like.astype(float)
    centre = (reference.max(0) + reference.min(0)) / 2
    points = (cloud.astype(float) - centre) / (2.3 * max(float(np.abs(reference - centre).max()), 1e-9))
    across = np.cos(TURN) * points[:, RIGHT] + np.sin(TURN) * points[:, DEPTH]
    depth = -np.sin(TURN) * points[:, RIGHT] + np.cos(TURN) * points[:, DEPTH]
    order = np.argsort(depth, kind="stable")
    numbers = np.unique(part, return_inverse=True)[1].reshape(part.shape)[order]
    colours = [PALETTE[number % len(PALETTE)] for number in numbers]
    axes.scatter(column + across[order], -row + points[order, UP], s=1.2, c=colours, linewidths=0, rasterized=True)


def _frame(axes: Axes, columns: int, rows: int) -> None:
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(-rows + 0.5, 0.5)
    axes.set_aspect("equal")
    axes.set_axis_off()
