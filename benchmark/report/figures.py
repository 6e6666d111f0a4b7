"""Estimates in, matplotlib figures out: heat map, forest plot, seed strips."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmark.evidence.collect import Collection, sign_of
from benchmark.evidence.estimates import known
from benchmark.evidence.frames import first_row, rows_of, rows_with
from benchmark.evidence.matrix import SAME, UNPAIRED, list_auxiliaries, list_rows, list_targets, state_of
from benchmark.evidence.stats import ALPHA
from benchmark.records.record import Selection
from benchmark.report.canvas import (
    BASELINE,
    FAINT,
    INK,
    MARKS,
    Interval,
    add_legend,
    forest,
    make_title,
    metric_label,
    modality_colours,
    new_figure,
    shorten,
)
from benchmark.report.markup import NONE, plain, show_difference, show_estimate, show_interval
from benchmark.report.tables import cell_label, unit_label

MARKERS = {"method": "o", "control": "s"}
FAR = 3  # times what the rows of a forest reach by their median: a control beyond would leave the others no room
MIXED = "each in its own unit"
ROOM = 16  # characters that a cell of the heat map has room for; of percent there are no more
ABREAST = 8  # columns of a panel that leave room for another beside it


def draw_matrix(
    collection: Collection, cells: pd.DataFrame, effects: pd.DataFrame, section: int, arm: str, variant: str
) -> Figure:
    """Heat map of paired differences, blue where the auxiliary helps; the baseline column gives absolute values.

    Coloured is what differs from 0 by its own interval: a colour says that there is something.
    """
    select = _selection(effects)
    tasks, auxiliaries = list_targets(collection, section), list_auxiliaries(collection, section)
    gains = np.full((len(tasks), len(auxiliaries) + 1), np.nan)
    significant = np.zeros_like(gains, dtype=bool)
    texts = [["" for _ in range(len(auxiliaries) + 1)] for _ in tasks]
    for i, task in enumerate(tasks):
        metric = collection.tasks[task].metrics[0]
        keys = {"section": section, "task": task, "metric": metric.name}
        mean = first_row(cells, keys | {"role": "baseline"})
        texts[i][0] = (state_of(collection, section, task) if mean is None else
                       show_estimate(mean, metric, f"{select}_").replace(" (", "\n("))
        for j, auxiliary in enumerate(auxiliaries, start=1):
            cell = keys | {"arm": arm, "variant": variant, "auxiliary": auxiliary}
            effect = first_row(effects, cell)
            if effect is None:
                alone = first_row(cells, cell) is not None
                state = UNPAIRED if alone else state_of(collection, section, task, arm, variant, auxiliary)
                texts[i][j] = NONE if state == SAME else state
                continue
            texts[i][j] = show_difference(effect.difference, metric)
            significant[i, j] = effect.p_holm < ALPHA
            ends = [value for value in (effect.low, effect.high) if not pd.isna(value)]  # none where all cells have one seed
            if ends and (ends[0] > 0 or ends[-1] < 0):
                gains[i, j] = effect.difference * sign_of(metric)
            texts[i][j] += f"\n[{', '.join(show_difference(value, metric) for value in ends)}]" if ends else "\nno interval"
            texts[i][j] += f"\nn={effect.n}"
    longest = max((len(line) for row in texts for text in row for line in text.splitlines()), default=0)
    across = max(1.25, 0.083 * longest if longest > ROOM else 0)
    width = 2.1 + across * (len(auxiliaries) + 1)
    figure = new_figure(width, 1.35 + 0.72 * max(1, len(tasks)))
    axes = figure.add_subplot()
    metrics = [collection.tasks[task].metrics[0] for task in tasks]
    limit = _common_scale(gains, [metric.unit for metric in metrics])
    colours = matplotlib.colormaps["RdBu"].with_extremes(bad="#F2F2F2")
    image = axes.imshow(np.ma.masked_invalid(gains), cmap=colours, vmin=-limit, vmax=limit, aspect="auto")
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            dark = np.isfinite(gains[i, j]) and abs(gains[i, j]) > 0.65 * limit
            axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else INK,
                      fontweight="bold" if significant[i, j] else "normal")  # fmt: skip
    axes.set_xticks(range(len(auxiliaries) + 1), ["baseline", *(f"+ {shorten(name)}" for name in auxiliaries)])
    labels = [f"{shorten(task)}\n{metric_label(metric)}" for task, metric in zip(tasks, metrics, strict=True)]
    axes.set_yticks(range(len(tasks)), labels)
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    for edge in range(1, len(auxiliaries) + 1):
        axes.axvline(edge - 0.5, color="white", linewidth=6 if edge == 1 else 1.5)
    for edge in range(1, len(tasks)):
        axes.axhline(edge - 0.5, color="white", linewidth=1.5)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    unit = common_unit(collection, tasks)
    label = f"gain ({unit})" if unit != MIXED else "gain over the largest of its unit"
    low = len(tasks) < 3  # too low for the label in one line
    bar.set_label(textwrap.fill(label, 20) if low else label, fontsize=8 if low else None)
    bar.outline.set_visible(False)
    name = cell_label(arm, "", variant)
    title = f"{name}: difference to the baseline, 95 % interval; coloured: without 0 in it; bold: adjusted p < {ALPHA:g}"
    text = make_title(title, collection, section, select, width)
    if len(tasks) < 2:  # a single row has no room for a title of many lines
        figure.set_figheight(figure.get_figheight() + 0.2 * max(0, text.count("\n") - 2))
    figure.suptitle(text, x=0.01, ha="left", fontsize=10)
    return figure


def _common_scale(gains: NDArray[np.float64], units: Sequence[str]) -> float:
    """The end of a scale of colours for the rows of `gains`, which have these units; rows of several units become, in place,
    shares of the largest gain of their unit, as a few points would have no colour beside many milliseconds.

    Of percent it is one point at least: differences far below it are to look like none. Of other units that is not known.
    """
    ends = {}
    for unit in units:
        found = np.abs(gains[[other == unit for other in units]])
        ends[unit] = max([1.0 * (unit == "%"), *found[np.isfinite(found)]]) or 1.0
    if len(ends) > 1:
        gains /= np.array([[ends[unit]] for unit in units])
        return 1.0
    return float(next(iter(ends.values()), 1.0))


def draw_forest(collection: Collection, effects: pd.DataFrame, section: int, method: str = "",
                printed: Mapping[tuple[str, str, str, str], float] | None = None) -> Figure | None:
    """Paired differences of the main metrics with their intervals; None where the section has none.

    `printed`: gains that were published of the arm `method`, by task, setting, auxiliary and metric: hollow diamonds.
    """
    setting = collection.sections[section].setting
    main = {task: info.metrics[0] for task, info in collection.tasks.items()}
    ours = rows_of(effects[effects["section"] == section])
    rows = [row for row in ours if row.metric == main[row.task].name]
    rows = [row for row in rows if not row.variant] or rows  # variants have their tables
    if not rows:
        return None
    colours, tasks = modality_colours(collection), list(dict.fromkeys(row.task for row in rows))
    groups = {f"{task}, {unit_label(main[task])}": [
        Interval(shorten(cell_label(row.arm, row.auxiliary, row.variant), 34) + f"  n={row.n}", row.difference, known(row.low),
                 known(row.high), colours.get(row.auxiliary, INK), MARKERS.get(row.role, "D"),
                 (printed or {}).get((task, setting, row.auxiliary, row.metric)) if row.arm == method else None,
                 show_interval(row, main[task]))
        for row in rows if row.task == task] for task in tasks}
    limits = _limits(rows, groups)
    beyond = limits and any(not limits[0] <= row.value <= limits[1] for group in groups.values() for row in group)
    arrows = "" if not limits else "; arrow: the interval goes on" + "; with numbers: beyond the axis" * bool(beyond)
    figure = forest(groups, 0, f"difference to the baseline ({common_unit(collection, tasks)}){arrows}", limits)
    roles = {row.role for row in rows}
    marks = [(mark, INK, role) for role, mark in MARKERS.items() if role in roles]
    marks += [("D", "white", "published, other data and scale")] \
        if any(row.reference is not None for group in groups.values() for row in group) else []
    add_legend(figure, collection, {row.auxiliary for row in rows} - {""}, marks)
    title = make_title("Paired differences with 95 % intervals", collection, section, _selection(effects))
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _limits(rows: Sequence[Any], groups: Mapping[str, Sequence[Interval]]) -> tuple[float, float] | None:
    """Of an axis that shows every value but those of controls that lie `FAR` out, and every interval of three seeds or more
    of what it shows; None where that is no less than all: one of two seeds may be so long that nothing else is to be seen
    beside it, and so may be what lies far out, such as a known solution.
    """
    far = FAR * median(max(map(abs, _ends(row))) for row in rows) or math.inf
    near = [row for row in rows if row.role != "control" or (min(_ends(row)) <= far and max(_ends(row)) >= -far)]
    shown = [0.0, *(row.difference for row in near),
             *(row.reference for group in groups.values() for row in group if row.reference is not None)]
    inside = shown + [end for row in near if row.n > 2 for end in _ends(row)]
    low, high = min(inside), max(inside)
    space = 0.06 * (high - low)
    ends = [end for row in rows for end in _ends(row)]
    cut = min(ends) < low - space or max(ends) > high + space
    return (low - space, high + space) if cut and len(inside) > len(shown) else None


def _ends(row: Any) -> list[float]:
    """Of its interval, or its value alone"""
    return [row.difference] if pd.isna(row.low) else [row.low, row.high]


def draw_seeds(collection: Collection, section: int, select: Selection) -> Figure | None:
    """Test value of every run, a panel per target: a dot a run, the runs of a seed joined; None without cells to compare.

    Where there is more than one method (or baseline), each column says which, and each has its own marker.
    """
    main = {task: info.metrics[0] for task, info in collection.tasks.items()}
    values = collection.values[(collection.values["section"] == section) & collection.values[select].notna()]
    values = values[(values["role"] != "control") & ((values["role"] == "baseline") | (values["variant"] == ""))]
    values = values[values["metric"] == values["task"].map({task: metric.name for task, metric in main.items()})]
    tasks = [task for task in list_rows(collection, section)
             if values[values["task"] == task].groupby(["arm", "auxiliary", "variant"]).ngroups > 1]
    if not tasks:
        return None
    colours, order = modality_colours(collection), ["", *collection.modalities]
    cells = {task: sorted({(order.index(row.auxiliary), row.arm, row.variant)
                           for row in rows_of(values[values["task"] == task])}) for task in tasks}
    methods, baselines = ({cell[1:] for every in cells.values() for cell in every if bool(cell[0]) is joined}
                          for joined in (True, False))
    several = max(len(methods), len(baselines)) > 1
    marks = {arm: MARKS[place % len(MARKS)] for side in (methods, baselines) for place, arm in enumerate(sorted(side))}
    columns = 1 if max(map(len, cells.values())) > ABREAST else min(2, len(tasks))
    figure = new_figure(7.6, 1.0 + (3.2 if several else 2.1) * -(-len(tasks) // columns))
    grid = figure.subplots(-(-len(tasks) // columns), columns, squeeze=False).ravel()
    for axes, task in zip(grid, tasks, strict=False):
        ours, shown = values[values["task"] == task], cells[task]
        lines: dict[int, list[tuple[int, float]]] = {}
        for place, (auxiliary, arm, variant) in enumerate(shown):
            chosen = rows_with(ours, {"auxiliary": order[auxiliary], "arm": arm, "variant": variant})
            colour = colours.get(order[auxiliary], BASELINE)
            axes.plot([place] * len(chosen), chosen[select], marks[arm, variant], color=colour, markersize=4, zorder=3)
            axes.plot([place - 0.25, place + 0.25], [chosen[select].mean()] * 2, color=colour, linewidth=2)
            for row in rows_of(chosen):
                lines.setdefault(row.seed, []).append((place, getattr(row, select)))
        for line in lines.values():
            axes.plot(*zip(*line, strict=True), color=FAINT, linewidth=0.8, zorder=1)
        labels = ([shorten(cell_label(arm, order[auxiliary], variant), 30) for auxiliary, arm, variant in shown] if several else
                  [f"+ {shorten(order[auxiliary], 10)}" if auxiliary else shorten(arm, 12) for auxiliary, arm, _ in shown])
        axes.set_xticks(range(len(shown)), labels, fontsize=7.5, rotation=90 if several else 0)
        axes.set_xlim(-0.5, len(shown) - 0.5)
        axes.tick_params(axis="x", length=0)
        axes.set_title(shorten(f"{task}, {unit_label(main[task])}", 44))
    for axes in grid[len(tasks) :]:
        axes.set_visible(False)
    title = make_title("Every seed: a dot a run, lines join the runs of one seed, bars are means", collection, section, select)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def _selection(effects: pd.DataFrame) -> Selection:
    return effects["select"].iloc[0] if len(effects) else "last"


def common_unit(collection: Collection, tasks: Sequence[str]) -> str:
    """What differences of the tasks' main metrics are in, in words"""
    units = {collection.tasks[task].metrics[0].unit for task in tasks}
    if units == {"%"}:
        return "percentage points"
    return plain(units.pop()) or "unit unknown" if len(units) == 1 else MIXED
