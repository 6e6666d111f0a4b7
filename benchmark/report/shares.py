"""Effects by share of the labels in, their table and figure out."""

from __future__ import annotations

import pandas as pd
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from benchmark.evidence.collect import Collection
from benchmark.evidence.frames import rows_of, rows_with
from benchmark.evidence.stats import ALPHA
from benchmark.report.canvas import FAINT, INK, modality_colours, new_figure, shorten
from benchmark.report.markup import NONE, Entry, Table, entry, show_estimate, show_interval, show_p
from benchmark.report.tables import READ_MEAN, cell_label, unit_label


def shares_table(collection: Collection, cells: pd.DataFrame, shares: pd.DataFrame, profile: str, setting: str) -> Table:
    """Cells by share: the baseline's mean, then differences to it."""
    ours = rows_with(shares, {"profile": profile, "setting": setting})
    columns = sorted(set(ours["share"]))
    section_of = dict(zip(ours["share"], ours["section"], strict=True))
    rows: list[tuple[Entry, ...]] = []
    for task in dict.fromkeys(ours["task"]):
        metric = collection.tasks[task].metrics[0]
        plain = rows_with(cells, {"task": task, "metric": metric.name, "role": "baseline"})
        means = {row.section: row for row in rows_of(plain)}
        name = entry(f"{task}, {unit_label(metric)}")
        rows.append((name, entry("baseline"), *(entry(NONE) if (found := means.get(section_of[share])) is None else
                                               entry(show_estimate(found, metric, f"{ours['select'].iloc[0]}_"))
                                               for share in columns)))
        for (arm, auxiliary), frame in _by_cell(ours, task):
            by_share = {row.share: row for row in rows_of(frame)}
            texts = [entry(NONE) if (effect := by_share.get(share)) is None else entry(
                show_interval(effect, metric), f"p {show_p(effect.p_holm)} (n={effect.n})", bold=effect.p_holm < ALPHA)
                for share in columns]
            rows.append((name, entry(cell_label(arm, auxiliary, "")), *texts))
    notes = (READ_MEAN, "Differences to the baseline on the same labels, paired by seed, with 95 % t-intervals; p: paired "
             f"t-test, Holm-adjusted over every target, auxiliary and share of the arm; bold: p < {ALPHA:g}.")
    return Table(f"By share of the labels: profile {profile}, setting {setting}",
                 ("Target", "Cell", *(f"{share * 100:g} %" for share in columns)), tuple(rows), notes, num_labels=2)


def _by_cell(frame: pd.DataFrame, task: str) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """The rows of each arm and auxiliary of a task, in their order"""
    groups = rows_with(frame, {"task": task}).groupby(["arm", "auxiliary"], sort=False)
    return [((str(arm), str(auxiliary)), group) for (arm, auxiliary), group in groups]


def draw_shares(collection: Collection, shares: pd.DataFrame, profile: str, setting: str) -> Figure:
    """Differences to the baseline over the share of the labels, a panel per target, a colour per auxiliary."""
    ours = rows_with(shares, {"profile": profile, "setting": setting})
    tasks = list(dict.fromkeys(ours["task"]))
    columns = min(2, len(tasks))
    figure = new_figure(7.6, 1.2 + 2.2 * -(-len(tasks) // columns))
    grid = figure.subplots(-(-len(tasks) // columns), columns, squeeze=False).ravel()
    colours, ticks = modality_colours(collection), sorted(set(ours["share"]))
    handles: dict[str, ErrorbarContainer] = {}
    for axes, task in zip(grid, tasks, strict=False):
        axes.axhline(0, color=INK, linewidth=0.8)
        cells = _by_cell(ours, task)
        for place, ((arm, auxiliary), frame) in enumerate(cells):
            chosen = frame.sort_values("share")
            shift = 1.03 ** (place - (len(cells) - 1) / 2)  # side by side, where intervals would lie on each other
            method = set(chosen["role"]) == {"method"}
            line = axes.errorbar(chosen["share"] * shift, chosen["difference"],
                                 [chosen["difference"] - chosen["low"], chosen["high"] - chosen["difference"]],
                                 color=colours.get(auxiliary, INK), marker="o" if method else "s", markersize=4,
                                 linestyle="-" if method else ":", linewidth=1.2 if method else 0.8)
            handles.setdefault(cell_label(arm, auxiliary, ""), line)
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{share * 100:g} %" for share in ticks])
        axes.minorticks_off()
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        axes.set_title(shorten(f"{task}, {unit_label(collection.tasks[task].metrics[0])}", 44))
    for axes in grid[len(tasks):]:
        axes.set_visible(False)
    figure.legend(handles=list(handles.values()), labels=[shorten(label) for label in handles],
                  loc="outside lower center", ncols=4)
    figure.suptitle(f"Difference to the baseline by share of the labels, 95 % intervals\nprofile {profile}, setting {setting}",
                    x=0.01, ha="left", fontsize=10)
    return figure
