"""The look of every figure: style, colours, sizes, and saving to the same bytes each time.

Colours are Okabe and Ito's (jfly.uni-koeln.de/color), told apart under every common colour blindness.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.record import Selection
from benchmark.report.collect import Collection
from benchmark.report.markup import plain
from benchmark.report.tables import SELECTED

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#999999")
BASELINE, INK, FAINT = "#000000", "#222222", "#D9D9D9"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "text.color": INK, "text.parse_math": False, "legend.frameon": False,
    "axes.titlesize": 10, "axes.titlelocation": "left", "axes.edgecolor": INK, "axes.labelcolor": INK,
    "axes.spines.top": False, "axes.spines.right": False, "savefig.dpi": 150, "svg.hashsalt": "m2pt-bench",
}  # fmt: skip


@contextmanager
def house_style() -> Iterator[None]:
    """Our settings alone, whatever the user's matplotlibrc says; drawing and saving belong inside."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write STEM.png, STEM.svg and STEM.pdf without dates or versions in them."""
    png, svg, pdf = (stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg", "pdf"))
    figure.savefig(png, metadata={"Software": None})
    figure.set_layout_engine("none")  # the layout is settled; to solve it again would double the time
    figure.savefig(svg, metadata={"Date": None, "Creator": None})
    figure.savefig(pdf, metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return [png, svg, pdf]


def modality_colours(collection: Collection) -> dict[str, str]:
    """One colour for each modality, the same in every figure."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(collection.modalities)}


def add_legend(figure: Figure, collection: Collection, used: set[str]) -> None:
    """`used`: auxiliaries, "" for the baseline"""
    handles = [Line2D([], [], color=BASELINE, linestyle="--", label="baseline")] if "" in used else []
    for name, colour in modality_colours(collection).items():
        if name in used:
            handles.append(Line2D([], [], color=colour, linewidth=2, label=f"+ {shorten(name)}"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, max(1, len(handles))))


def new_figure(width: float, height: float) -> Figure:
    """Sizes in inches; without pyplot there is no global state to clean up."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def make_title(text: str, collection: Collection, section: int, select: Selection | None = None) -> str:
    """Two lines: what is shown, and under which conditions"""
    parts = [collection.sections[section].title, *([f"test split, {SELECTED[select]}"] if select else [])]
    return f"{shorten(text, 110)}\n{shorten(', '.join(parts), 110)}"


def shorten(text: str, length: int = 24) -> str:
    """One line of at most `length` characters"""
    text = plain(text)
    return text if len(text) <= length else text[: length - 1] + "…"
