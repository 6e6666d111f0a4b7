"""Gains beside costs in; the table and the figure that compare arms at equal cost out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmark.evidence.analysis import Analysis
from benchmark.evidence.frames import rows_of
from benchmark.report.canvas import FAINT, INK, MARKS, PALETTE, make_title, new_figure, shorten, side_by_side
from benchmark.report.figures import common_unit
from benchmark.report.markup import MINUS, NONE, Table, as_gain, show_interval, show_p, text_rows
from benchmark.report.tables import cell_label, unit_label

LETTER = 0.065  # inches of a legend
COSTS = (("trained_ratio", "trained numbers\nover the plain model's"),
         ("time_ratio", "time a step (thin: the seeds' range;\narrow: it goes on) over the plain model's"))


def equal_table(analysis: Analysis, section: int) -> Table:
    """A row for each target and arm: from few trained numbers to many, so that equal ones stand together."""
    rows = []
    for row in rows_of(analysis.equal[analysis.equal["section"] == section]):
        metric = analysis.collection.tasks[row.task].metrics[0]
        trained, memory = (NONE if pd.isna(value) else f"{value:.3g}" for value in (row.trained_ratio, row.memory_ratio))
        time = NONE if pd.isna(row.time_ratio) else f"{row.time_ratio:.2f}"
        time += "" if pd.isna(row.time_low) else f" ({row.time_low:.2f} to {row.time_high:.2f})"
        rows.append([f"{analysis.data_of(section, row.task)}, {unit_label(metric)}", cell_label(row.arm, "", row.variant),
                     f"{row.auxiliaries}{f' (without {row.left_out})' if row.left_out else ''}",
                     NONE if pd.isna(row.trained) else f"{row.trained:+,.0f}".replace("-", MINUS),
                     trained, time, memory, str(row.n),
                     f"{show_interval(as_gain(row, metric), metric)}, p {show_p(row.p)}"])
    header = ("Target", "Arm", "Cells", "Trained numbers beyond the plain model's", "Trained numbers, ratio",
              "Time a step, ratio", "Peak memory, ratio", "Seeds", "Gain over the plain model")
    notes = ("Arms of a target go from few trained numbers to many. Each seed gives one gain: the mean over the auxiliaries of "
             "an arm (cells; without those that lack seeds of the others), with its 95 % t-interval over seeds and the p of a "
             "t-test, unadjusted: a row by itself is no verdict. Ratios are over the plain model of the same seed and "
             "hardware: of trained numbers and memory geometric means over the cells; of the time, of each seed that was timed "
             "such a mean, and over seeds the median, with the smallest and the largest. Times and memory are compared within "
             "one command. Times of runs that shared a machine are rough, and runs in lock-step have none.",)
    return Table(f"Gain at equal cost: {analysis.collection.sections[section].title}", header, text_rows(rows), notes,
                 num_labels=2)


def draw_equal(analysis: Analysis, section: int) -> Figure | None:
    """Gains over what trains and over the time of a step, a column a target; None where fewer than two arms have a cost.

    Arms of equal cost, such as a method and its controls, would lie on each other: they stand side by side, over a tick at
    what each costs.
    """
    ours = analysis.equal[(analysis.equal["section"] == section) & (analysis.equal["variant"] == "")]
    shown = [(column, label) for column, label in COSTS if ours[column].notna().any()]
    arms, tasks = list(dict.fromkeys(ours["arm"])), list(dict.fromkeys(ours["task"]))
    if len(arms) < 2 or not shown:
        return None
    width = max(7.6, 2.6 * len(tasks) + 0.4)
    called = {arm: shorten(analysis.study.called.get(arm, arm), 60) for arm in arms}
    abreast = max(1, min(3, int(width / (0.5 + LETTER * max(map(len, called.values()))))))
    figure = new_figure(width, 2.5 * len(shown) + 1 + 0.2 * -(-len(arms) // abreast))
    # Both change from arm to arm, so that no two of many look alike, in whatever colours they are seen.
    ordered = sorted(arms, key=lambda arm: arm != analysis.study.method)
    style = {arm: (PALETTE[place % len(PALETTE)], MARKS[place % len(MARKS)]) for place, arm in enumerate(ordered)}
    handles: dict[str, Any] = {}
    for line, (column, label) in enumerate(shown):
        for place, task in enumerate(tasks):
            axes = figure.add_subplot(len(shown), len(tasks), line * len(tasks) + place + 1)
            axes.axhline(0, color=INK, linewidth=0.8)
            axes.grid(color=FAINT, linewidth=0.6)
            axes.set_axisbelow(True)
            metric = analysis.collection.tasks[task].metrics[0]
            rows = list(rows_of(ours[(ours["task"] == task) & ours[column].notna()]))
            places, limits = _placed([float(getattr(row, column)) for row in rows])
            for row, across in zip(rows, places, strict=True):
                (colour, mark), gain = style[row.arm], as_gain(row, metric)
                if not pd.isna(gain.low):
                    axes.plot([across, across], [gain.low, gain.high], color=colour, linewidth=1.2)
                (handles[row.arm],) = axes.plot([across], [gain.difference], mark, color=colour, markersize=5)
                if column == "time_ratio" and not pd.isna(row.time_low):  # beyond the edges, where times are hardly known
                    axes.plot([row.time_low, row.time_high], [gain.difference] * 2, color=colour, linewidth=0.5, zorder=1)
                    for edge, arrow in zip(limits, "<>", strict=True):
                        if row.time_low < edge < row.time_high:
                            axes.plot([edge], [gain.difference], arrow, color=colour, markersize=3, clip_on=False)
                axes.plot([getattr(row, column)], [0.02], "|", color=colour, markersize=5, transform=axes.get_xaxis_transform())
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(lambda value, place: f"{value:g}")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlim(limits)
            axes.margins(y=0.12)  # intervals end above the ticks at the foot
            axes.set_xlabel(label, fontsize=7)
            if not line:
                axes.set_title("\n".join(wrap(analysis.data_of(section, task), 26)), fontsize=8)
            if not place:
                axes.set_ylabel(f"gain ({common_unit(analysis.collection, tasks)})", fontsize=8)
    figure.legend(handles.values(), [called[arm] for arm in handles], loc="outside lower center", fontsize=8, ncols=abreast)
    title = "Gain over the plain model against cost, 95 % intervals; equal costs side by side, ticks at the foot: costs"
    figure.suptitle(make_title(title, analysis.collection, section, analysis.select, width), x=0.01, ha="left", fontsize=10)
    return figure


def _placed(costs: Sequence[float]) -> tuple[list[float], tuple[float, float]]:
    """Where arms of these costs stand, so that none hides another, and the limits of their axis, which is logarithmic"""
    if not costs:
        return [], (0.5, 2)
    values = [math.log(cost) for cost in costs]
    low, high = min(*values, math.log(0.5)), max(*values, math.log(2))  # what the plain model costs is in the middle
    gap = (high - low) / 16
    places = side_by_side(values, gap)
    edges = (min(low, *places) - 1.5 * gap, max(high, *places) + 1.5 * gap)
    stay = [abs(place - value) < 1e-9 * (high - low) for place, value in zip(places, values, strict=True)]
    return ([cost if still else math.exp(place) for cost, place, still in zip(costs, places, stay, strict=True)],
            (math.exp(edges[0]), math.exp(edges[1])))
