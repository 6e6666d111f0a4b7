"""Rows of cosines by layer in; a table, and a figure with their chance distribution, out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from benchmark.evidence.frames import rows_of
from benchmark.report.canvas import FAINT, INK, PALETTE, house_style, new_figure
from benchmark.report.markup import NONE, Table, show_p, text_rows

DIGITS = 4


def align_table(frame: pd.DataFrame) -> Table:
    """A row for each layer, and one for all"""
    rows = [[row.layer, f"{row.cosine:+.{DIGITS}f}", f"{row.chance:.{DIGITS}f}",
             f"{row.low:+.{DIGITS}f} to {row.high:+.{DIGITS}f}", show_p(row.p),
             NONE if pd.isna(row.scale) else f"{row.scale:+.{DIGITS}f}"] for row in rows_of(frame)]
    header = ("Layer", "cos(A, tau)", "Chance (rms)", "Chance, 95 %", "p", "Scale s")
    notes = ("tau: what training adds to the weight. Chance: the same of A with its rows and columns permuted, which keeps all "
             "of A but the order of its units. p: the share of these, the measured one among them, that is as far from 0.",)
    return Table("What an auxiliary has in common with what training changed", header, text_rows(rows), notes, num_labels=1)


def draw_align(frame: pd.DataFrame, title: Sequence[str]) -> Figure:
    """Cosines by layer as dots, the 95 % range of chance as bars, a layer a column"""
    with house_style():
        figure = new_figure(min(20.0, 2.4 + 0.17 * len(frame)), 3.4)
        axes = figure.add_subplot()
        places = range(len(frame))
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.vlines(places, frame["low"], frame["high"], color=FAINT, linewidth=6, label="chance, 95 %: A permuted")
        axes.plot(places, frame["cosine"], "o", color=PALETTE[1], markersize=4, label="cos(A, tau)")
        axes.set_xticks(places, [str(layer).removeprefix("blocks.") for layer in frame["layer"]], rotation=90, fontsize=6)
        limit = 1.15 * max(float(frame[name].abs().max()) for name in ("cosine", "low", "high"))
        axes.set_ylim(-limit, limit)
        axes.set_ylabel("cosine with what training changed")
        axes.legend(loc="upper left", fontsize=7)
        axes.set_title("\n".join(title), fontsize=9)
        return figure
