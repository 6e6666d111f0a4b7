"""The look of every figure: style, colours, sizes, and saving to the same bytes each time.

Colours are Okabe and Ito's (jfly.uni-koeln.de/color), told apart under every common colour blindness.
"""

from __future__ import annotations

import io
import logging
import re
import textwrap
import warnings
from collections.abc import Collection as AbstractCollection
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from benchmark.evidence.collect import Collection
from benchmark.records.record import Selection
from benchmark.report.markup import plain
from benchmark.report.tables import SELECTED, unit_label
from benchmark.spec.contracts import Metric

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#999999")
DPI = 150
WIDTH = 7.6  # inches of a figure, where nothing asks for more
TITLE, LETTERS = 90, 13.5  # letters above a figure: of the conditions, and that an inch has room for
AXIS = 48  # letters under an axis that long labels of rows leave half of a figure to
BASELINE, INK, FAINT = "#000000", "#222222", "#D9D9D9"
MARKS = "osD^vPX<>"  # of arms that share a colour
DASHES: tuple[Any, ...] = ("-", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
# Of Debian, macOS and Windows, for letters that the first lacks. It comes with matplotlib, so that only those names of classes
# differ by machine.
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "PingFang SC",
         "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic")
STYLE: dict[Any, Any] = {
    "font.size": 9, "text.color": INK, "text.parse_math": False, "legend.frameon": False,
    "axes.titlesize": 10, "axes.titlelocation": "left", "axes.edgecolor": INK, "axes.labelcolor": INK,
    "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "m2pt-bench",
}  # fmt: skip


@contextmanager
def house_style() -> Iterator[None]:
    """Our settings alone, whatever the user's matplotlibrc says; drawing and saving belong inside."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # Where no font has its letter, a class called 猫 has a box, and its name in the text.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        matplotlib.rcdefaults()
        _list_own_fonts()
        installed = {font.name for font in font_manager.fontManager.ttflist}  # of others matplotlib warns
        matplotlib.rcParams.update(STYLE | {"font.family": [name for name in FONTS if name in installed]})
        logger = logging.getLogger(font_manager.__name__)
        level = logger.level
        logger.setLevel(logging.ERROR)  # it warns of a font that has no weight called normal
        try:
            yield
        finally:
            logger.setLevel(level)


def _list_own_fonts() -> None:
    """Those that come with matplotlib before the machine's of the same name, whose letters may have other numbers: the list of
    fonts is kept in one file for all environments of a user, and may be of one without them."""
    fonts = font_manager.fontManager
    listed = {font.fname for font in fonts.ttflist}
    for path in sorted(map(str, Path(matplotlib.get_data_path(), "fonts", "ttf").glob("DejaVuSans*.ttf"))):
        if path not in listed:
            fonts.addfont(path)
            fonts.ttflist.insert(0, fonts.ttflist.pop())


def drawn(figure: Figure, kinds: AbstractCollection[str]) -> dict[str, bytes]:
    """The figure as files of the `kinds` "png", "svg" and "pdf", without dates or versions in them."""
    # Not through `savefig`, which draws everything once more before each file.
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    figure.set_layout_engine("none")  # the layout is settled
    files: dict[str, bytes] = {}
    if "png" in kinds:
        png = io.BytesIO()
        image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        image.quantize(256, dither=Image.Dither.NONE).save(png, "png", compress_level=8, dpi=(DPI, DPI))  # a third of the bytes
        files["png"] = png.getvalue()
    if "svg" in kinds:
        svg = io.StringIO()
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
        files["svg"] = _shortened(svg.getvalue()).encode()
    if "pdf" in kinds:
        pdf = io.BytesIO()
        FigureCanvasPdf(figure).print_pdf(pdf, metadata={"CreationDate": None, "Creator": None, "Producer": None})
        files["pdf"] = pdf.getvalue()
    return files


def _shortened(svg: str) -> str:
    """The same picture to a hundredth of a point, in two thirds of the bytes."""
    def rounded(number: re.Match[str]) -> str:
        return f"{round(float(number[0]), 2) + 0:.2f}".rstrip("0").rstrip(".")

    svg = re.sub(r'(?:\bd="|\b[xy]="|\btranslate\()[^")]+', lambda place: re.sub(r"-?\d+\.\d{3,}", rounded, place[0]), svg)
    return re.sub(r" *\n *", "\n", svg)


def modality_colours(collection: Collection) -> dict[str, str]:
    """One colour for each modality, the same in every figure, and of a modality that a known task pretrains in every report."""
    known = dict.fromkeys([*collection.pretraining_sources, *collection.modalities])
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(known)}


def line_styles(arms: Iterable[tuple[str, str]], first: str) -> dict[tuple[str, str], dict[str, Any]]:
    """A dash for each arm and variant, `first` for the first; where dashes are used up, markers beside them tell them apart."""
    dashes = (first, *(dash for dash in DASHES if dash != first))
    return {arm: {"linestyle": dashes[place % len(dashes)]} | (
        {"marker": MARKS[place // len(dashes) % len(MARKS)], "markevery": 0.2} if place >= len(dashes) else {})
            for place, arm in enumerate(dict.fromkeys(arms))}


def side_by_side(places: Sequence[float], gap: float) -> list[float]:
    """The same places in the same order, moved by as little as leaves `gap` between any two."""
    order = sorted(range(len(places)), key=lambda number: places[number])
    pools: list[tuple[float, int]] = []  # of neighbours that must be moved together: mean of what they would be without gaps
    for rank, number in enumerate(order):
        pools.append((places[number] - rank * gap, 1))
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (one, few), (other, more) = pools.pop(-2), pools.pop()
            pools.append(((one * few + other * more) / (few + more), few + more))
    moved = [mean for mean, count in pools for _ in range(count)]
    return [place for _, place in sorted((number, moved[rank] + rank * gap) for rank, number in enumerate(order))]


def add_legend(figure: Figure, collection: Collection, used: set[str], marks: Sequence[tuple[str, str, str]] = (),
               lines: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> None:
    """`used`: auxiliaries, "" for the baseline; `marks`: marker, its filling, and what it stands for; `lines`: how the line of
    an arm is drawn, by what it is called"""
    handles = [Line2D([], [], color=BASELINE, linestyle="--", label="baseline")] if "" in used else []
    for name, colour in modality_colours(collection).items():
        if name in used:
            handles.append(Line2D([], [], color=colour, linewidth=2, label=f"+ {shorten(name)}"))
    handles += [Line2D([], [], color=BASELINE, linestyle="none", marker=marker, markersize=5, markerfacecolor=filling,
                       label=text) for marker, filling, text in marks]
    handles += [Line2D([], [], color=BASELINE, label=shorten(text, 40), **style) for text, style in lines.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4 if marks or lines else 6, max(1, len(handles))),
                  handlelength=3 if lines else None)


def new_figure(width: float, height: float) -> Figure:
    """Sizes in inches; without pyplot there is no global state to clean up."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


@dataclass(frozen=True)
class Interval:
    """One row of a forest plot; without `low` and `high` its marker is hollow."""

    label: str
    value: float
    low: float | None
    high: float | None
    colour: str
    marker: str = "o"
    reference: float | None = None  # a second value, marked by a hollow diamond
    told: str = ""  # its numbers, which are written where the value lies beyond the axis


def forest(groups: Mapping[str, Sequence[Interval]], null: float, label: str,
           limits: tuple[float, float] | None = None) -> Figure:
    """Values with their intervals, a row each, under the titles of their groups; a line at `null`, what no effect would be.

    The axis is called `label`, and says what a hollow marker is where there is one. An interval that leaves `limits` of the
    axis ends there in an arrow, beside which stand the numbers of a value that lies beyond it.
    """
    rows = sum(map(len, groups.values()))
    figure = new_figure(WIDTH, min(60.0, max(2.2, 1.2 + 0.24 * rows + 0.32 * len(groups))))
    axes = figure.add_subplot()
    axes.axvline(null, color=INK, linewidth=0.8)
    y, ticks, labels = 0.0, [], []
    beside: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 7.5}
    for title, intervals in groups.items():
        axes.text(0, y, shorten(title, 60), fontweight="bold", va="center", fontsize=8.5, transform=axes.get_yaxis_transform())
        for row in intervals:
            y += 1
            low, high = (row.value, row.value) if row.low is None or row.high is None else (row.low, row.high)
            if row.low is not None:
                axes.plot([low, high], [y, y], color=row.colour, linewidth=1.8, solid_capstyle="butt")
            for end, mark in [] if limits is None else [(limits[0], "<")] * (low < limits[0]) + [(limits[1], ">")] * (
                    high > limits[1]):
                axes.plot([end], [y], mark, color=row.colour, markersize=6, clip_on=False, zorder=4)
            if limits is not None and row.value > limits[1]:
                axes.annotate(row.told, (min(low, limits[1]), y), (-8, 0), ha="right", **beside)
            elif limits is not None and row.value < limits[0]:
                axes.annotate(row.told, (max(high, limits[0]), y), (8, 0), ha="left", **beside)
            else:
                face = "white" if row.low is None else row.colour
                axes.plot([row.value], [y], row.marker, color=row.colour, markersize=5.5, markerfacecolor=face)
            if row.reference is not None:
                axes.plot([row.reference], [y], "D", color=BASELINE, markersize=4.5, markerfacecolor="white", zorder=3)
            ticks.append(y)
            labels.append(row.label)
        y += 1.6
    axes.set_yticks(ticks, labels)
    axes.set_ylim(y - 0.6, -0.9)
    if limits:
        axes.set_xlim(limits)
        axes.tick_params(axis="y", pad=7)  # so that no arrow lies on a label
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    hollow = "; hollow: no interval" if any(row.low is None for group in groups.values() for row in group) else ""
    axes.set_xlabel(textwrap.fill(label + hollow, AXIS))
    return figure


def make_title(text: str, collection: Collection, section: int, select: Selection | None = None, width: float = WIDTH) -> str:
    """What is shown, and, on the next line or lines, under which conditions; above a figure of `width` inches"""
    parts = [collection.sections[section].title, *([f"test split, {SELECTED[select]}"] if select else [])]
    across = int(LETTERS * width)
    return f"{textwrap.fill(shorten(text, 220), across)}\n{textwrap.fill(plain(', '.join(parts)), min(TITLE, across))}"


def metric_label(metric: Metric, length: int = 24) -> str:
    """Name and unit in a line of at most `length` characters, or in two: a long name is not to hide which way is better."""
    text = unit_label(metric)
    return text if len(text) <= length else f"{shorten(metric.name, length)}\n{text.removeprefix(metric.name).strip()}".strip()


def shorten(text: str, length: int = 24) -> str:
    """One line of at most `length` characters"""
    text = plain(text)
    return text if len(text) <= length else text[: length - 1] + "…"
