"""Arrays of `benchmark.records.pictures` in, contact sheets and masked reconstructions as matplotlib figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.evidence.lengths import epochs_run
from benchmark.records.contrast import stretch
from benchmark.report.canvas import PALETTE, new_figure, shorten
from benchmark.report.markup import plain
from benchmark.spec.plural import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmark.spec.runspec import RunSpec

GAP = 2  # pixels between tiles
HIDDEN = np.array([143, 163, 191], np.uint8)  # a blue grey that no data set has as its background
FRAMES = 4  # of a clip that are shown
SHEET_COLUMNS, CLIP_COLUMNS = 6, 3
NAME_SIZE = 7
TICKS_HZ = (100, 500, 1000, 2000, 4000, 8000)
ABREAST = 2  # samples in a row of reconstructions, three pictures each; of clips one
SPECTROGRAM = "magma"
UP, RIGHT, DEPTH = 1, 0, 2  # axes of a cloud
LETTERS = 54  # of a text in a line
LINE_END = "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"
TURN = 0.6  # radians about the up axis, so that depth shows


def draw_samples(task: str, profile: str, pictures: Mapping[str, NDArray[Any]], modality: str) -> Figure:
    """A contact sheet, each sample under its name where it has one: images, four frames a clip, clouds with their parts
    coloured, signals as lines, texts with an arrow for the end of a line, spectrograms with seconds and hertz on their axes
    where these are known, else with time to the right, and grey pictures of any other `modality` than audio.
    """
    values, label, names = pictures["input"], pictures.get("label"), [str(name) for name in pictures.get("name", ())]
    points = values.shape[-1] == 3 and values.ndim == 3
    columns = CLIP_COLUMNS if values.ndim == 5 else SHEET_COLUMNS
    rows = -(-len(values) // columns)
    title = f"Samples of the training split of {shorten(task, 60)} as they are stored, profile {shorten(profile)}"
    if values.ndim == 1:
        return _draw_texts(title, [[text] for text in values.tolist()], names)
    if values.ndim == 5:
        shown = _frames(values.shape[1])
        title += f"\nFrames {', '.join(str(place + 1) for place in shown)} of {values.shape[1]}, from left to right"
    if points:
        figure, axes = _canvas(columns, rows, title)
        parts = label if label is not None and label.ndim == 2 else np.zeros(values.shape[:2], int)
        for i, (cloud, part) in enumerate(zip(values, parts, strict=True)):
            _scatter(axes, cloud, part, i % columns, i // columns, cloud)
        for i, name in enumerate(names):
            axes.text(i % columns, 0.47 - i // columns, shorten(name, 20), ha="center", va="top", fontsize=NAME_SIZE)
        _frame(axes, columns, rows)
        return figure
    signals = values.ndim == 2
    if values.ndim > 3 and modality != "audio":
        values, said = stretch(values)
        values = np.repeat(values, 3 // values.shape[-1], -1)
        title += f"\n{said[0].upper()}{said[1:]}" if said else ""
    tiles = list(values) if signals else [_strip(sample) for sample in values]
    height, width = (1, 2) if signals else tiles[0].shape[:2]
    figure = new_figure(7.6, 0.7 + rows * (7.2 / columns * height / width + 0.2))
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    places = figure.subplots(rows, columns, squeeze=False)
    for i, axes in enumerate(places.flat):
        if i >= len(tiles):
            axes.set_visible(False)
            continue
        if signals:
            axes.plot(tiles[i].astype(float), linewidth=0.8)
            axes.set_ylim(-1.05, 1.05)
        else:
            axes.imshow(tiles[i], interpolation="none")
        if names:
            axes.set_title("\n".join(wrap(plain(names[i]), 20 if columns == SHEET_COLUMNS else 40)[:2]), loc="center",
                           fontsize=NAME_SIZE, pad=2)
        if "seconds" in pictures:
            _measure(axes, float(pictures["seconds"][0]), pictures["hertz"], width, first=i % columns == 0,
                     last=i + columns >= len(tiles))
        else:
            axes.set_axis_off()
    if "seconds" in pictures:
        figure.supxlabel("seconds", fontsize=8)
        figure.supylabel("hertz", fontsize=8)
    return figure


def _frames(count: int) -> list[int]:
    """The places of the frames of a clip that are shown"""
    return [int(place) for place in np.linspace(0, count - 1, min(FRAMES, count)).round()]


def _measure(axes: Axes, seconds: float, hertz: NDArray[Any], width: int, *, first: bool, last: bool) -> None:
    """Axes of a spectrogram, whose highest bin is its uppermost row: said at the left of a row and at the foot of a column"""
    inside = [value for value in TICKS_HZ if hertz[0] <= value <= hertz[-1]]
    axes.set_yticks([len(hertz) - 1 - float(np.interp(value, hertz, np.arange(len(hertz)))) for value in inside],
                    [f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}") for value in inside] if first else [])
    times = [value for value in MaxNLocator(2, steps=[1, 5, 10]).tick_values(0, seconds) if 0 <= value <= seconds]
    axes.set_xticks([width * value / seconds - 0.5 for value in times], [f"{value:g}" for value in times] if last else [])
    axes.tick_params(length=2, labelsize=6, pad=1)
    axes.spines[:].set_visible(False)


def draw_reconstructions(modality: str, text: str, pictures: Mapping[str, NDArray[Any]],
                         sheet: Mapping[str, NDArray[Any]] | None = None) -> Figure:
    """Of each sample the input, what pretraining is shown of it, and its reconstruction of the rest.

    `sheet`: the contact sheet of the same data, which says how long a sound is and which pitches its bins are.
    """
    title = f"Masked pretraining, {shorten(modality)}: input, what is seen, reconstruction\n{shorten(text, 100)}"
    if pictures["input"].ndim == 1:
        parts = (pictures[name].tolist() for name in ("input", "visible", "reconstruction"))
        return _draw_texts(title, list(zip(*parts, strict=True)), [])
    if pictures["input"].ndim == 5:
        frames = pictures["input"].shape[1]
        title += f"\nFrames {', '.join(str(place + 1) for place in _frames(frames))} of {frames}, from left to right"
    if sheet and "seconds" in sheet:
        title += (f"\n{float(sheet['seconds'][0]):.3g} seconds from left to right, {sheet['hertz'][0]:.0f} to "
                  f"{sheet['hertz'][-1]:.0f} hertz (mel scale) from bottom to top")
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
    tiles, sound = [], modality == "audio" and pictures["input"].shape[-1] == 1
    sides = [pictures[name] for name in ("input", "reconstruction")]
    sides = [side if sound else np.repeat(side, 3 // side.shape[-1], -1) for side in sides]
    for i in range(count):
        whole, made = (_strip(side[i]) for side in sides)
        hidden = _strip(np.repeat(pictures["hidden"][i][..., None], 3, -1), turn=sound)
        tiles.append([whole, np.where(hidden, HIDDEN, whole), made])
    abreast = 1 if pictures["input"].ndim == 5 else ABREAST
    return _show(_mosaic([list(chain(*tiles[i : i + abreast])) for i in range(0, count, abreast)]), title)


def pretraining_text(spec: RunSpec) -> str:
    """What a reconstruction is of, for under its title"""
    few = "" if spec.limit is None else f", at most {spec.limit} samples"
    text = f"validation samples; profile {spec.profile}, seed {spec.seed}, {counted(epochs_run(spec), 'epoch')}{few}"
    return text + (spec.variant and f", {spec.variant}")


def _draw_texts(title: str, samples: Sequence[Sequence[str]], names: Sequence[str]) -> Figure:
    """A box for each sample, two in a row; its texts below each other, in letters of one width"""
    boxes = ["\n\n".join("\n".join(text[place:place + LETTERS] for place in range(0, len(text), LETTERS))
                         for text in (plain(text.replace("\n", LINE_END)) for text in texts)) for texts in samples]
    rows = -(-len(boxes) // 2)
    figure = new_figure(7.6, 0.7 + rows * (0.3 + 0.105 * max(box.count("\n") + 1 for box in boxes)))
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    for axes, box, name in zip_longest(figure.subplots(rows, 2, squeeze=False).flat, boxes, names):
        axes.set_axis_off()
        axes.text(0, 1, box or "", family="DejaVu Sans Mono", fontsize=6.5, va="top")
        axes.set_title(plain(name or ""), fontsize=NAME_SIZE, pad=3)
    return figure


def _strip(sample: NDArray[Any], turn: bool = False) -> NDArray[Any]:
    """([T,] H, W, C) -> (h, w, 3): some frames side by side; one channel as colours, time to the right, as `turn` makes it"""
    if sample.ndim == 4:
        return np.concatenate([_strip(sample[i]) for i in _frames(len(sample))], 1)
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
