"""Where A points, before and after its units are put in order, in; text, two tables and a figure out."""

from __future__ import annotations

from textwrap import wrap

import pandas as pd
from matplotlib.figure import Figure

from benchmark.evidence.analysis import Analysis
from benchmark.evidence.collect import sign_of
from benchmark.evidence.directions import WHOLE, arms_beside
from benchmark.evidence.frames import rows_of
from benchmark.report.canvas import FAINT, INK, PALETTE, new_figure
from benchmark.report.document import Document, Paragraph
from benchmark.report.markup import NONE, Table, as_gain, show_difference, show_interval, show_p, text_rows
from benchmark.report.tables import cell_label, unit_label

TITLE = "Units in the target's order."


def add_directions(document: Document, analysis: Analysis) -> None:
    """The sections that have runs of the method and of an arm that is compared with it; else what is missing, where such an
    arm was run."""
    arms = arms_beside(analysis.study)
    if not any(run.spec.arm in arms[1:] for run in analysis.collection.paired.runs):
        return
    frame = analysis.directions
    sections = [number for number in dict.fromkeys(frame["section"])
                if {arms[0]} < set(frame[frame["section"] == number]["arm"]) & set(arms)]
    if not sections:
        document.add(Paragraph(f"No section has runs of {arms[0]} beside runs of {', '.join(arms[1:])} that noted what their "
                               "pathways are worth to the loss, so whether A points where it is of use once its units are put "
                               "in order is not known here.", TITLE))
    for number in sections:
        section = analysis.collection.sections[number]
        slug = f"{section.setting}-{number}"
        document.table(f"directions-{slug}", prediction_table(analysis, number))
        document.figure(f"directions-{slug}", draw_directions(analysis, number),
                        f"Cosine of A with the way that the loss falls before any step, by layer, {section.title}")
        document.table(f"directions-layers-{slug}", layers_table(analysis, number), on_page=False)


def prediction_table(analysis: Analysis, section: int) -> Table:
    """A row for each target and arm: cosines over all layers, the gain that doses predict, and the gain"""
    rows = []
    for row in rows_of(analysis.predicted[analysis.predicted["section"] == section]):
        metric = analysis.collection.tasks[row.task].metrics[0]
        gain = NONE if pd.isna(row.difference) else f"{show_interval(as_gain(row, metric), metric)}, p {show_p(row.p)}"
        rows.append([f"{analysis.data_of(section, row.task)}, {unit_label(metric)}", cell_label(row.arm, "", row.variant),
                     str(row.runs), _cosine(row.start), _cosine(row.change),
                     NONE if pd.isna(row.predicted) else show_difference(sign_of(metric) * row.predicted, metric), gain])
    header = ("Target", "Arm", "Runs", "Cosine of A with the way that the loss falls", "Cosine of A with what training changed",
              "Gain that doses predict", "Gain over the plain model")
    notes = ("Cosines: sizes, root of the mean square over layers, seeds and auxiliaries, of A as it begins. With the way that "
             "the loss of the first batch falls, which is the same for every arm of a seed, and with what training has changed "
             "at the end (in the setting fix A is all that can change, so that this is 1). Predicted: from doses of the known "
             "solution, and noise of its size, by their own cosines with the way that the loss falls; straight between "
             "two, and that of the nearest outside. A search for agreement finds some in noise, too.",)
    return Table(f"Does order predict the gain? {analysis.collection.sections[section].title}", header, text_rows(rows), notes,
                 num_labels=2)


def layers_table(analysis: Analysis, section: int) -> Table:
    """A row for each target and layer, a column for each arm: cosine with the way that the loss falls"""
    ours = _compared(analysis, section)
    cells = list(dict.fromkeys(zip(ours["arm"], ours["variant"], strict=True)))
    rows = []
    for (task, layer), group in ours[ours["layer"] != WHOLE].groupby(["task", "layer"], sort=False):
        known = {(row.arm, row.variant): row for row in rows_of(group)}
        rows.append([analysis.data_of(section, str(task)), str(layer).removeprefix("blocks."),
                     *(NONE if (row := known.get(cell)) is None else f"{_cosine(row.start)} ({_cosine(row.change)})"
                       for cell in cells)])
    header = ("Target", "Layer", *(cell_label(arm, "", variant) for arm, variant in cells))
    notes = ("Cosine of A with the way that the loss falls before any step, and in brackets with what training changed: sizes, "
             "root of the mean square over seeds and auxiliaries. The method's A is as it was; others are after the search.",)
    return Table(f"Where A points, by layer: {analysis.collection.sections[section].title}", header, text_rows(rows), notes,
                 num_labels=2)


def draw_directions(analysis: Analysis, section: int) -> Figure | None:
    """A panel for each target, a line for each arm over layers; None where nothing was noted before a step"""
    ours = _compared(analysis, section)
    ours = ours[(ours["layer"] != WHOLE) & ours["start"].notna()]
    if ours.empty:
        return None
    tasks, cells = list(dict.fromkeys(ours["task"])), list(dict.fromkeys(zip(ours["arm"], ours["variant"], strict=True)))
    figure = new_figure(2.6 * len(tasks) + 2.0, 3.2)
    for place, task in enumerate(tasks):
        axes = figure.add_subplot(1, len(tasks), place + 1)
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        layers = list(dict.fromkeys(ours[ours["task"] == task]["layer"]))
        for number, (arm, variant) in enumerate(cells):
            rows = {row.layer: row.start for row in rows_of(
                ours[(ours["task"] == task) & (ours["arm"] == arm) & (ours["variant"] == variant)])}
            shown = [layer for layer in layers if layer in rows]
            axes.plot([layers.index(layer) for layer in shown], [rows[layer] for layer in shown], "o-", markersize=3,
                      linewidth=0.9, color=INK if not number else PALETTE[number % len(PALETTE)],
                      label=cell_label(arm, "", variant) if not place else None)
        axes.set_ylim(bottom=0)
        axes.set_xticks(range(len(layers)), [str(layer).removeprefix("blocks.") for layer in layers], rotation=90, fontsize=6)
        axes.set_title("\n".join(wrap(analysis.data_of(section, task), 32)), fontsize=8)
        if not place:
            axes.set_ylabel("size of the cosine of A with the way that the loss falls", fontsize=7)
    figure.legend(loc="outside right upper", fontsize=7)
    return figure


def _compared(analysis: Analysis, section: int) -> pd.DataFrame:
    """Rows of the arms that are compared, the method's first"""
    arms = arms_beside(analysis.study)
    ours = analysis.directions[(analysis.directions["section"] == section) & analysis.directions["arm"].isin(arms)]
    tasks = list(dict.fromkeys(ours["task"]))
    return ours.assign(place=ours["task"].map(tasks.index), order=ours["arm"].map(arms.index)).sort_values(
        ["place", "order"], kind="stable")


def _cosine(value: float | None) -> str:
    return NONE if value is None or pd.isna(value) else f"{value:.4f}"
