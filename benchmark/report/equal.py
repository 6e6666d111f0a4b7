"""Gains beside costs in; the table and the figure that compare arms at equal cost out."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from benchmark.evidence.analysis import Analysis
from benchmark.evidence.frames import rows_of
from benchmark.report.canvas import FAINT, INK, PALETTE, new_figure
from benchmark.report.markup import MINUS, NONE, Table, as_gain, show_interval, show_p, text_rows
from benchmark.report.tables import cell_label, unit_label

MARKS = "osD^vP"
COSTS = (("trained_ratio", "trained numbers\nover the plain model's"), ("time_ratio", "time a step\nover the plain model's"))


def equal_table(analysis: Analysis, section: int) -> Table:
    """A row for each target and arm: from few trained numbers to many, so that equal ones stand together."""
    rows = []
    for row in rows_of(analysis.equal[analysis.equal["section"] == section]):
        metric = analysis.collection.tasks[row.task].metrics[0]
        costs = ["" if pd.isna(value) else f"{value:.3g}" for value in (row.trained_ratio, row.time_ratio, row.memory_ratio)]
        rows.append([f"{analysis.data_of(section, row.task)}, {unit_label(metric)}", cell_label(row.arm, "", row.variant),
                     f"{row.auxiliaries}{f' (without {row.left_out})' if row.left_out else ''}",
                     NONE if pd.isna(row.trained) else f"{row.trained:+,.0f}".replace("-", MINUS),
                     *(cost or NONE for cost in costs), str(row.n),
                     f"{show_interval(as_gain(row, metric), metric)}, p {show_p(row.p)}"])
    header = ("Target", "Arm", "Cells", "Trained numbers beyond the plain model's", "Trained numbers, ratio",
              "Time a step, ratio", "Peak memory, ratio", "Seeds", "Gain over the plain model")
    notes = ("Arms of a target go from few trained numbers to many. Each seed gives one gain: the mean over the auxiliaries of "
             "an arm (cells; without those that lack seeds of the others), with its 95 % t-interval over seeds and the p of a "
             "t-test, unadjusted: a row by itself is no verdict. Ratios are over the plain model of the same seed and "
             "hardware, geometric means; times of runs that shared a machine are rough, and runs in lock-step have none.",)
    return Table(f"Gain at equal cost: {analysis.collection.sections[section].title}", header, text_rows(rows), notes,
                 num_labels=2)


def draw_equal(analysis: Analysis, section: int) -> Figure | None:
    """Gains over what trains and over the time of a step, a column a target; None where fewer than two arms have a cost."""
    ours = analysis.equal[(analysis.equal["section"] == section) & (analysis.equal["variant"] == "")]
    shown = [(column, label) for column, label in COSTS if ours[column].notna().any()]
    arms, tasks = list(dict.fromkeys(ours["arm"])), list(dict.fromkeys(ours["task"]))
    if len(arms) < 2 or not shown:
        return None
    figure = new_figure(2.4 * len(tasks) + 2.4, 2.5 * len(shown) + 0.4)
    style = {arm: (PALETTE[place % len(PALETTE)], MARKS[place // len(PALETTE) % len(MARKS)]) for place, arm in enumerate(arms)}
    handles: dict[str, Any] = {}
    for line, (column, label) in enumerate(shown):
        for place, task in enumerate(tasks):
            axes = figure.add_subplot(len(shown), len(tasks), line * len(tasks) + place + 1)
            axes.axhline(0, color=INK, linewidth=0.8)
            axes.grid(color=FAINT, linewidth=0.6)
            for row in rows_of(ours[(ours["task"] == task) & ours[column].notna()]):
                colour, mark = style[row.arm]
                cost, gain = getattr(row, column), as_gain(row, analysis.collection.tasks[task].metrics[0])
                if not pd.isna(gain.low):
                    axes.plot([cost, cost], [gain.low, gain.high], color=colour, linewidth=1.2)
                (handles[row.arm],) = axes.plot([cost], [gain.difference], mark, color=colour, markersize=5)
            if column == "trained_ratio":
                axes.set_xscale("log")
                least, most = axes.get_xlim()
                axes.set_xlim(min(least, 0.5), max(most, 2))  # ratios that are equal stand in the middle
                axes.xaxis.set_major_formatter(lambda value, place: f"{value:g}")
                axes.xaxis.set_minor_formatter(lambda value, place: "")
            axes.set_xlabel(label, fontsize=7)
            if not line:
                axes.set_title("\n".join(wrap(analysis.data_of(section, task), 26)), fontsize=8)
            if not place:
                axes.set_ylabel("gain (points)")
    named = [analysis.study.called.get(arm, arm) for arm in handles]
    figure.legend(handles.values(), named, loc="outside right upper", fontsize=7)
    return figure
