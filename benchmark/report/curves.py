"""Run records in, matplotlib figures of what happened while training out: learning curves, learned scales."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from benchmark.evidence.collect import Collection, chance_of
from benchmark.evidence.curves import curve_runs
from benchmark.evidence.matrix import list_rows
from benchmark.evidence.pairing import Run
from benchmark.report.canvas import (
    BASELINE,
    FAINT,
    add_legend,
    line_styles,
    make_title,
    metric_label,
    modality_colours,
    new_figure,
    shorten,
)
from benchmark.report.markup import show_value
from benchmark.report.tables import cell_label
from benchmark.spec.contracts import Metric

ROOM = 0.3  # of the range of the curves, which chance may take
STEP = 0.12  # of a layer, between auxiliaries
SIZES = 30  # times the smallest median scale: more is shown on a logarithmic axis,
DEEPEST = 1e6  # of so many times at most


def draw_curves(collection: Collection, section: int) -> Figure | None:
    """Main metric against epoch on val and test: a row per target, every seed thin, the mean thick.

    Where several methods (or baselines) are drawn, each has dashes of its own, which the legend names.
    """
    found = {task: curve_runs(collection, section, task) for task in list_rows(collection, section)}
    found = {task: groups for task, groups in found.items() if groups}
    tasks = list(found)
    if not tasks:
        return None
    used = {key for groups in found.values() for key in groups}
    baselines, methods = ({key[1:] for key in used if bool(key[0]) is joined} for joined in (False, True))
    styles = line_styles(sorted(baselines), "--") | line_styles(sorted(methods), "-")
    figure = new_figure(7.6, 0.9 + 1.75 * len(tasks))
    grid = figure.subplots(len(tasks), 2, squeeze=False, sharey="row")
    colours = modality_colours(collection)
    for row, task in zip(grid, tasks, strict=True):
        metric = collection.tasks[task].metrics[0]
        for axes, split in zip(row, ("val", "test"), strict=True):
            for (auxiliary, *arm), runs in found[task].items():
                _draw_cell(axes, runs, split, metric.name, colours.get(auxiliary, BASELINE), styles[arm[0], arm[1]],
                           plain=not auxiliary)
            axes.set_title(shorten(f"{task}, {split}", 40))
            axes.grid(color=FAINT, linewidth=0.5)
            axes.xaxis.get_major_locator().set_params(integer=True)
        chance = chance_of(collection, task, collection.sections[section].profile)
        if chance is not None:
            _mark_chance(row, chance, metric)
        row[0].set_ylabel(metric_label(metric, 26))
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    named = {cell_label(arm, "", variant): styles[arm, variant] for side in (baselines, methods) if len(side) > 1
             for arm, variant in sorted(side)}
    add_legend(figure, collection, {key[0] for key in used} - ({""} if len(baselines) > 1 else set()), lines=named)
    title = make_title("Learning curves: every seed thin, their mean thick", collection, section)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def draw_scales(collection: Collection, section: int, arm: str, variant: str) -> Figure | None:
    """Learned cross-modal scales by layer: |s|, median and range over seeds, a panel per target; None without any.

    All panels share an axis, so that targets are compared; where scales are of very different sizes it is logarithmic down to
    the power of ten below the smallest median, and linear from there to 0.
    """
    panels: dict[str, dict[str, list[Run]]] = {}
    for run in collection.runs_of(section):
        if (run.spec.arm, run.variant) == (arm, variant) and run.spec.auxiliary and run.record.layers:
            panels.setdefault(run.spec.task, {}).setdefault(run.spec.auxiliary, []).append(run)
    tasks = [task for task in collection.tasks if task in panels]
    if not tasks:
        return None
    columns = min(2, len(tasks))
    figure = new_figure(7.6, 1.0 + 2.1 * -(-len(tasks) // columns))
    grid = figure.subplots(-(-len(tasks) // columns), columns, squeeze=False, sharey=True).ravel()
    colours, medians = modality_colours(collection), []
    used = [name for name in collection.modalities if any(name in panels[task] for task in tasks)]
    for axes, task in zip(grid, tasks, strict=False):
        layers = order_layers({x.name for runs in panels[task].values() for run in runs for x in run.record.layers})
        for auxiliary in (name for name in used if name in panels[task]):
            shift = STEP * (used.index(auxiliary) - (len(used) - 1) / 2)  # side by side, where ranges would lie on each other
            medians += _draw_scales(axes, layers, panels[task][auxiliary], colours[auxiliary], shift)
        axes.set_title(shorten(task, 40))
        axes.grid(axis="y", color=FAINT, linewidth=0.5)
    label = "|cross-modal scale|"
    positive = [median for median in medians if median > 0]
    if positive and max(positive) > SIZES * min(positive):
        linear = 10.0 ** math.floor(math.log10(max(min(positive), max(positive) / DEEPEST)))
        grid[0].set_yscale("symlog", linthresh=linear)  # of all: they share it
        for axes in grid:
            axes.yaxis.set_major_formatter(lambda value, place: f"{value:g}")
        label += f"\nlogarithmic above {linear:g}"
    grid[0].set_ylim(bottom=0)  # of all, once all are drawn: what is set no longer grows
    for axes in grid[len(tasks) :]:
        axes.set_visible(False)
    for axes in grid[::columns]:
        axes.set_ylabel(label)
    add_legend(figure, collection, set(used))
    name = cell_label(arm, "", variant)
    title = f"{name}: learned scales by layer, first to last block in each group, median and range of seeds"
    figure.suptitle(make_title(title, collection, section), x=0.01, ha="left", fontsize=10)
    return figure


def order_layers(names: set[str]) -> dict[str, list[str]]:
    """Layer names by component, both in network order: "blocks.2.attn.qkv" is component "attn.qkv", block 2."""

    def parse(name: str) -> tuple[str, tuple[int, ...]]:
        numbers = tuple(int(number) for number in re.findall(r"(?<![^.])\d{1,9}(?![^.])", name))
        return re.sub(r"^blocks\.\d+\.|(?<![^.])\d+\.", "", name), numbers

    components: dict[str, list[str]] = {}
    known = ["attn.qkv", "attn.q", "attn.k", "attn.v", "attn.proj", "mlp.fc1", "mlp.fc2"]
    place = {component: i for i, component in enumerate(known)}
    parsed = {name: parse(name) for name in names}
    for name in sorted(names, key=lambda n: (place.get(parsed[n][0], len(known)), *parsed[n], n)):
        components.setdefault(parsed[name][0], []).append(name)
    return components


def _draw_cell(axes: Axes, runs: Sequence[Run], split: str, metric: str, colour: str, style: Mapping[str, Any],
               plain: bool) -> None:
    curves = [dict(run.record.curve(split, metric)) for run in runs]
    curves = [curve for curve in curves if curve]
    lines = [sorted(curve.items()) for curve in curves]
    axes.add_collection(LineCollection(lines, colors=[colour], linewidths=0.5, alpha=0.45), autolim=True)
    axes.autoscale_view()
    common = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    means = [fmean(curve[step] for curve in curves) for step in common]
    # The baseline lies on top and is dashed, so that curves on it stay visible.
    if len(common) == 1:
        style = {**style, "marker": style.get("marker", "o")}
    axes.plot(common, means, color=colour, linewidth=1.4, markersize=3, zorder=3 if plain else 2, **style)


def _mark_chance(row: Sequence[Axes], chance: float, metric: Metric) -> None:
    """A line where it leaves the curves their room; else its value at the edge behind which it lies."""
    low, high = min(axes.dataLim.y0 for axes in row), max(axes.dataLim.y1 for axes in row)
    space = ROOM * (high - low)
    for axes in row:
        if low - space <= chance <= high + space:
            axes.axhline(chance, color="#777777", linewidth=0.9, linestyle=":")
            text, place, side = "chance", (1.0, chance), "bottom"
            where: tuple[str, str] = ("axes fraction", "data")
        else:
            below, where = chance < low, ("axes fraction", "axes fraction")
            text = f"{'↓' if below else '↑'} chance {show_value(chance, metric)}"
            place, side = (1.0, 0.02 if below else 0.98), "bottom" if below else "top"
        axes.annotate(text, place, xycoords=where, ha="right", va=side, fontsize=7, color="#555555")


def _draw_scales(axes: Axes, components: Mapping[str, Sequence[str]], runs: Sequence[Run], colour: str,
                 shift: float) -> list[float]:
    """The medians that it drew"""
    start, ticks, medians = 0, [], []
    for names in components.values():
        found = [[abs(x.scale) for run in runs for x in run.record.layers if x.name == name] for name in names]
        xs = [start + i + shift for i, values in enumerate(found) if values]
        values = [v for v in found if v]
        if len(xs) == 1:  # between which there is no area
            axes.plot([xs[0], xs[0]], [min(values[0]), max(values[0])], color=colour, alpha=0.3, linewidth=4,
                      solid_capstyle="butt")
        axes.fill_between(xs, [min(v) for v in values], [max(v) for v in values], color=colour, alpha=0.15, linewidth=0)
        medians += [median(v) for v in values]
        axes.plot(xs, medians[len(medians) - len(values):], "o-", color=colour, linewidth=1.3, markersize=3)
        ticks.append(start + (len(names) - 1) / 2)
        start += len(names) + 1
    axes.set_xticks(ticks, [shorten(name, 14) for name in components])
    axes.set_xlim(-1, start - 1)
    axes.tick_params(axis="x", length=0)
    return medians
