"""Estimates and records in, matplotlib figures out: heat map, forest plot, learning curves, learned scales."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.record import Selection
from benchmark.report.canvas import (
    BASELINE,
    FAINT,
    INK,
    add_legend,
    make_title,
    modality_colours,
    new_figure,
    shorten,
)
from benchmark.report.collect import Collection
from benchmark.report.markup import MISSING, NONE, plain, show_difference, show_estimate
from benchmark.report.pairing import Run
from benchmark.report.tables import (
    cell_label,
    chance_of,
    first_row,
    list_auxiliaries,
    list_rows,
    unit_label,
)
from benchmark.stats import ALPHA

MARKERS = {"method": "o", "control": "s"}


def draw_matrix(
    collection: Collection, cells: pd.DataFrame, effects: pd.DataFrame, section: int, arm: str, variant: str
) -> Figure:
    """Heat map of paired differences, blue where the auxiliary helps; the baseline column gives absolute values."""
    select = _selection(effects)
    tasks, auxiliaries = list_rows(collection, section), list_auxiliaries(collection, section)
    gains = np.full((len(tasks), len(auxiliaries) + 1), np.nan)
    significant = np.zeros_like(gains, dtype=bool)
    texts = [["" for _ in range(len(auxiliaries) + 1)] for _ in tasks]
    for i, task in enumerate(tasks):
        metric = collection.tasks[task].metrics[0]
        keys = {"section": section, "task": task, "metric": metric.name}
        mean = first_row(cells, keys | {"role": "baseline"})
        texts[i][0] = MISSING if mean is None else show_estimate(mean, metric, f"{select}_").replace(" (", "\n(")
        for j, auxiliary in enumerate(auxiliaries, start=1):
            effect = first_row(effects, keys | {"arm": arm, "variant": variant, "auxiliary": auxiliary})
            same = auxiliary == collection.tasks[task].modality
            texts[i][j] = (NONE if same else MISSING) if effect is None else show_difference(effect.difference, metric)
            if effect is None:
                continue
            significant[i, j] = effect.p_holm < ALPHA
            gains[i, j] = effect.difference * (1 if metric.higher_is_better else -1)
            low_high = [show_difference(value, metric) for value in (effect.low, effect.high) if not pd.isna(value)]
            texts[i][j] += f"\n[{', '.join(low_high)}]" if low_high else "\nno interval"
            texts[i][j] += f"\nn={effect.n}"
    figure = new_figure(2.1 + 1.25 * (len(auxiliaries) + 1), 1.35 + 0.72 * max(1, len(tasks)))
    axes = figure.add_subplot()
    # A colour scale of one unit at least: differences far below it are to look like none.
    limit = max(1.0, float(np.nanmax(np.abs(gains)))) if np.isfinite(gains).any() else 1.0
    colours = matplotlib.colormaps["RdBu"].with_extremes(bad="#F2F2F2")
    image = axes.imshow(np.ma.masked_invalid(gains), cmap=colours, vmin=-limit, vmax=limit, aspect="auto")
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            dark = np.isfinite(gains[i, j]) and abs(gains[i, j]) > 0.65 * limit
            axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else INK,
                      fontweight="bold" if significant[i, j] else "normal")  # fmt: skip
    axes.set_xticks(range(len(auxiliaries) + 1), ["baseline", *(f"+ {shorten(name)}" for name in auxiliaries)])
    metrics = [collection.tasks[task].metrics[0] for task in tasks]
    labels = [f"{shorten(task)}\n{shorten(unit_label(metric))}" for task, metric in zip(tasks, metrics, strict=True)]
    axes.set_yticks(range(len(tasks)), labels)
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    for edge in range(1, len(auxiliaries) + 1):
        axes.axvline(edge - 0.5, color="white", linewidth=6 if edge == 1 else 1.5)
    for edge in range(1, len(tasks)):
        axes.axhline(edge - 0.5, color="white", linewidth=1.5)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label(f"gain ({_common_unit(collection, tasks)})")
    bar.outline.set_visible(False)
    name = cell_label(arm, "", variant)
    title = f"{name}: difference to the baseline paired by seed, 95 % interval; bold: adjusted p < {ALPHA:g}"
    figure.suptitle(make_title(title, collection, section, select), x=0.01, ha="left", fontsize=10)
    return figure


def draw_forest(collection: Collection, effects: pd.DataFrame, section: int) -> Figure | None:
    """Paired differences of the main metrics with their intervals; None where the section has none."""
    main = {task: info.metrics[0] for task, info in collection.tasks.items()}
    ours: Iterable[Any] = effects[effects["section"] == section].itertuples(index=False, name="Row")
    rows = [row for row in ours if row.metric == main[row.task].name]
    rows = [row for row in rows if not row.variant] or rows  # variants have their tables
    if not rows:
        return None
    colours, tasks = modality_colours(collection), list(dict.fromkeys(row.task for row in rows))
    figure = new_figure(7.6, min(60.0, 1.2 + 0.24 * len(rows) + 0.32 * len(tasks)))
    axes = figure.add_subplot()
    axes.axvline(0, color=INK, linewidth=0.8)
    y, ticks, labels = 0.0, [], []
    for task in tasks:
        metric = main[task]
        axes.text(0, y, shorten(f"{task}, {unit_label(metric)}", 60), fontweight="bold", va="center", fontsize=8.5,
                  transform=axes.get_yaxis_transform())  # fmt: skip
        for row in (row for row in rows if row.task == task):
            y += 1
            colour = colours.get(row.auxiliary, INK)
            if not pd.isna(row.low):
                axes.plot([row.low, row.high], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
            marker = MARKERS.get(row.role, "D")
            face = colour if not pd.isna(row.low) else "white"
            axes.plot([row.difference], [y], marker, color=colour, markersize=5.5, markerfacecolor=face)
            ticks.append(y)
            labels.append(shorten(cell_label(row.arm, row.auxiliary, row.variant), 34) + f"  n={row.n}")
        y += 1.6
    axes.set_yticks(ticks, labels)
    axes.set_ylim(y - 0.6, -0.9)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"difference to the baseline ({_common_unit(collection, tasks)}); hollow: no interval")
    title = make_title("Paired differences with 95 % intervals", collection, section, _selection(effects))
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def draw_curves(collection: Collection, section: int) -> Figure | None:
    """Main metric against epoch on val and test: a row per target, every seed thin, the mean thick."""
    tasks = [task for task in list_rows(collection, section) if _curve_runs(collection, section, task)]
    if not tasks:
        return None
    figure = new_figure(7.6, 0.9 + 1.75 * len(tasks))
    grid = figure.subplots(len(tasks), 2, squeeze=False, sharey="row")
    colours = modality_colours(collection)
    for row, task in zip(grid, tasks, strict=True):
        metric = collection.tasks[task].metrics[0]
        for axes, split in zip(row, ("val", "test"), strict=True):
            for (auxiliary, _, _), runs in _curve_runs(collection, section, task).items():
                _draw_cell(axes, runs, split, metric.name, colours.get(auxiliary, BASELINE), plain=not auxiliary)
            chance = chance_of(collection, task, collection.sections[section].profile)
            if chance is not None:
                axes.axhline(chance, color="#777777", linewidth=0.9, linestyle=":")
                grey, place = "#555555", ("axes fraction", "data")
                axes.annotate("chance", (1, chance), xycoords=place, ha="right", va="bottom", fontsize=7, color=grey)
            axes.set_title(shorten(f"{task}, {split}", 40))
            axes.grid(color=FAINT, linewidth=0.5)
            axes.xaxis.get_major_locator().set_params(integer=True)
        row[0].set_ylabel(shorten(unit_label(metric), 26))
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    used = {key[0] for task in tasks for key in _curve_runs(collection, section, task)}
    add_legend(figure, collection, used)
    title = make_title("Learning curves: every seed thin, their mean thick", collection, section)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def draw_scales(collection: Collection, section: int, arm: str, variant: str) -> Figure | None:
    """Learned cross-modal scales by layer: |s|, median and range over seeds, a panel per target; None without any."""
    panels: dict[str, dict[str, list[Run]]] = {}
    for run in collection.runs_of(section):
        if (run.spec.arm, run.spec.variant) == (arm, variant) and run.spec.auxiliary and run.record.layers:
            panels.setdefault(run.spec.task, {}).setdefault(run.spec.auxiliary, []).append(run)
    tasks = [task for task in collection.tasks if task in panels]
    if not tasks:
        return None
    columns = min(2, len(tasks))
    figure = new_figure(7.6, 1.0 + 2.1 * -(-len(tasks) // columns))
    grid = figure.subplots(-(-len(tasks) // columns), columns, squeeze=False, sharey=True).ravel()
    colours = modality_colours(collection)
    for axes, task in zip(grid, tasks, strict=False):
        layers = order_layers({x.name for runs in panels[task].values() for run in runs for x in run.record.layers})
        for auxiliary in (name for name in collection.modalities if name in panels[task]):
            _draw_scales(axes, layers, panels[task][auxiliary], colours[auxiliary])
        axes.set_title(shorten(task, 40))
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color=FAINT, linewidth=0.5)
    for axes in grid[len(tasks) :]:
        axes.set_visible(False)
    for axes in grid[::columns]:
        axes.set_ylabel("|cross-modal scale|")
    add_legend(figure, collection, {auxiliary for task in tasks for auxiliary in panels[task]})
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


def _draw_cell(axes: Axes, runs: Sequence[Run], split: str, metric: str, colour: str, plain: bool) -> None:
    curves = [dict(run.record.curve(split, metric)) for run in runs]
    curves = [curve for curve in curves if curve]
    for curve in curves:
        axes.plot(sorted(curve), [curve[step] for step in sorted(curve)], color=colour, linewidth=0.5, alpha=0.45)
    common = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    means = [fmean(curve[step] for curve in curves) for step in common]
    # The baseline lies on top and is dashed, so that curves on it stay visible.
    style: dict[str, Any] = {"linestyle": "--", "zorder": 3} if plain else {}
    marker = "o" if len(common) == 1 else ""
    axes.plot(common, means, color=colour, linewidth=1.4, marker=marker, markersize=3, **style)


def _curve_runs(collection: Collection, section: int, task: str) -> Mapping[tuple[str, str, str], list[Run]]:
    """Runs by (auxiliary, arm, variant): baseline and methods' defaults; controls and variants would hide them."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in collection.runs_of(section):
        spec = run.spec
        if spec.task == task and (spec.role == "baseline" or (spec.role == "method" and not spec.variant)):
            groups.setdefault((spec.auxiliary or "", spec.arm or "none", spec.variant), []).append(run)
    order = ["", *collection.modalities]
    return dict(sorted(groups.items(), key=lambda item: (order.index(item[0][0]), item[0])))


def _draw_scales(axes: Axes, components: Mapping[str, Sequence[str]], runs: Sequence[Run], colour: str) -> None:
    start, ticks = 0, []
    for names in components.values():
        found = [[abs(x.scale) for run in runs for x in run.record.layers if x.name == name] for name in names]
        xs = [start + i for i, values in enumerate(found) if values]
        values = [v for v in found if v]
        axes.fill_between(xs, [min(v) for v in values], [max(v) for v in values], color=colour, alpha=0.15, linewidth=0)
        axes.plot(xs, [median(v) for v in values], "o-", color=colour, linewidth=1.3, markersize=3)
        ticks.append(start + (len(names) - 1) / 2)
        start += len(names) + 1
    axes.set_xticks(ticks, [shorten(name, 14) for name in components])
    axes.tick_params(axis="x", length=0)


def _selection(effects: pd.DataFrame) -> Selection:
    return effects["select"].iloc[0] if len(effects) else "last"


def _common_unit(collection: Collection, tasks: Sequence[str]) -> str:
    units = {collection.tasks[task].metrics[0].unit for task in tasks}
    if units == {"%"}:
        return "percentage points"
    return plain(units.pop()) or "unit unknown" if len(units) == 1 else "each in its own unit"
