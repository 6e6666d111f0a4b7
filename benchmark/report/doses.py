"""Doses of a known solution in; their line, table and figure out: which cosine is found, and what auxiliaries have."""

from __future__ import annotations

from collections import Counter
from textwrap import wrap
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from benchmark.evidence.analysis import Analysis
from benchmark.evidence.frames import rows_of
from benchmark.evidence.rule import BASELINE
from benchmark.evidence.sections import slugify, unique_slugs
from benchmark.report.canvas import FAINT, INK, PALETTE, make_title, new_figure
from benchmark.report.document import Document, Paragraph
from benchmark.report.figures import common_unit
from benchmark.report.markup import NONE, Table, as_gain, show_interval, show_p, text_rows
from benchmark.report.tables import unit_label
from benchmark.spec.plural import counted

MARKS = (("o", "circles"), ("s", "squares"), ("^", "triangles"))  # as many controls are shown


def add_doses(document: Document, analysis: Analysis) -> None:
    """The line, the table and the figure of each section with doses; nothing where there are none."""
    doses = analysis.doses
    sections = analysis.collection.sections
    settings = Counter(sections[section].setting for section in set(doses["section"]))
    for section in dict.fromkeys(doses["section"]):
        title = sections[section].title
        document.add(Paragraph(dose_line(analysis, section), f"Gain against cosine, {title}."))
        place = sections[section]  # its setting names its files where that is enough
        slug = slugify(place.setting) if settings[place.setting] == 1 else unique_slugs(sections)[place]
        beside = "".join(f"hollow {called}: {analysis.study.called.get(control, control)}; "
                         for control, _, called in controls_of(analysis, section))
        document.table(f"dose-{slug}", dose_table(analysis, section))
        document.figure(f"dose-{slug}", draw_doses(analysis, section), "Gain over the plain model against the cosine of A with "
                        f"the known solution, {title}; {beside}vertical lines: what real auxiliaries have")


def dose_line(analysis: Analysis, section: int) -> str:
    """By target: the smallest cosine that the rule finds, and what the auxiliaries that are at hand have."""
    found, told = analysis.detected, []
    for row in rows_of(found[found["section"] == section]):
        name = analysis.data_of(section, row.task)
        if pd.isna(row.smallest):
            text = f"{name}: no cosine is judged, as controls or seeds are missing, or were not run together"
        elif pd.isna(row.detected):
            text = f"{name}: not even a cosine of {row.smallest:g} is found ({row.smallest_seeds} seeds)"
        else:
            rest = "" if row.detected == row.smallest else f", {row.smallest:g} is not ({row.smallest_seeds} seeds)"
            text = f"{name}: a cosine of {row.detected:g} is found ({row.seeds} seeds){rest}"
        if row.auxiliaries:
            text += (f"; {counted(row.auxiliaries, 'auxiliary has', 'auxiliaries have')} {row.rms:.3f} a layer (rms; chance "
                     f"{row.chance:.3f}), and {row.largest:.3f} at most over all layers")
        told.append(text)
    return "; ".join(told) + "."


def dose_table(analysis: Analysis, section: int) -> Table:
    """A row for each target and cosine: the gain over the plain model and over each rival"""
    ours = analysis.doses[analysis.doses["section"] == section]
    references = list(dict.fromkeys(ours["reference"]))
    rows = []
    for (task, cosine), group in ours.groupby(["task", "cosine"], sort=False):
        by_reference = {row.reference: row for row in rows_of(group)}
        metric = analysis.collection.tasks[str(task)].metrics[0]
        first = next(iter(by_reference.values()))
        cells = [NONE if (row := by_reference.get(reference)) is None else
                 f"{show_interval(as_gain(row, metric), metric)}, p {show_p(row.p)}"
                 + ("" if row.n == first.n else f" (n={row.n})") for reference in references]
        rows.append([f"{analysis.data_of(section, str(task))}, {unit_label(metric)}", f"{cosine:g}", str(first.n), *cells,
                     first.verdict or NONE])
    called = analysis.study.called
    header = ("Target", "Cosine of A with the solution", "Seeds", *(
        "Gain over the plain model" if reference == BASELINE else f"Beyond {called.get(reference, reference)}"
        for reference in references), "First rule")
    notes = ("A holds so much of what fine-tuning adds to the linear layers, and noise for the rest, at the size of what it "
             "adds; 1: a scale of 1 in every layer is the fine-tuned model. Differences are paired by seed, with 95 % "
             "t-intervals and unadjusted p; the verdict is that of the first rule, with its adjustment.",)
    return Table(f"Gain against cosine: {analysis.collection.sections[section].title}", header, text_rows(rows), notes,
                 num_labels=2)


def controls_of(analysis: Analysis, section: int) -> list[tuple[str, str, str]]:
    """The controls that the figure shows: each with its mark, and what the mark is called."""
    references = dict.fromkeys(analysis.doses[analysis.doses["section"] == section]["reference"])
    controls = [reference for reference in references if reference != BASELINE]
    return [(control, *mark) for control, mark in zip(controls, MARKS, strict=False)]


def draw_doses(analysis: Analysis, section: int) -> Figure:
    """A panel for each target: gains with intervals over the cosine, on a logarithmic axis; lines at what auxiliaries have"""
    ours = analysis.doses[(analysis.doses["section"] == section) & (analysis.doses["reference"] == BASELINE)]
    tasks = list(dict.fromkeys(ours["task"]))
    figure, called = new_figure(max(7.6, 2.6 * len(tasks) + 0.8), 3.8), analysis.study.called
    known = {row.task: row for row in rows_of(analysis.detected[analysis.detected["section"] == section])}
    handles: dict[str, Any] = {}
    for place, task in enumerate(tasks):
        axes, metric = figure.add_subplot(1, len(tasks), place + 1), analysis.collection.tasks[task].metrics[0]
        rows = sorted((as_gain(row, metric) for row in rows_of(ours[ours["task"] == task])), key=lambda row: float(row.cosine))
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_xscale("log")
        for row in rows:
            if not pd.isna(row.low):
                axes.plot([row.cosine, row.cosine], [row.low, row.high], color=PALETTE[0], linewidth=1.8)
        (handles["A with so much of the solution, 95 % interval"],) = axes.plot(
            [row.cosine for row in rows], [row.difference for row in rows], "o-", color=PALETTE[0], markersize=5, linewidth=0.8)
        gained = {row.cosine: row.difference for row in rows}
        for control, mark, _ in controls_of(analysis, section):
            beyond = analysis.doses[(analysis.doses["section"] == section) & (analysis.doses["task"] == task)
                                    & (analysis.doses["reference"] == control)]
            for row in (as_gain(row, metric) for row in rows_of(beyond)):
                (handles[called.get(control, control)],) = axes.plot(
                    [row.cosine], [gained[row.cosine] - row.difference], mark, color=INK, markersize=4.5,
                    markerfacecolor="none", linewidth=0)
        if known[task].auxiliaries:
            handles["what real auxiliaries have, a layer (rms)"] = axes.axvline(known[task].rms, color=PALETTE[1],
                                                                                linewidth=1.2)
            axes.text(known[task].rms, 1.0, " auxiliaries", color=PALETTE[1], fontsize=7, va="top",
                      transform=axes.get_xaxis_transform())
        axes.set_xticks([row.cosine for row in rows], [f"{row.cosine:g}" for row in rows])
        axes.minorticks_off()
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        axes.set_title("\n".join(wrap(analysis.data_of(section, task), 32)), fontsize=8)
        axes.set_xlabel("cosine of A with the solution")
        if not place:
            axes.set_ylabel(f"gain over the plain model ({common_unit(analysis.collection, tasks)})", fontsize=8)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2 if len(tasks) < 3 else 4, fontsize=8)
    title = "Gain against cosine: how much of a known solution must A hold to be found?"
    figure.suptitle(make_title(title, analysis.collection, section, analysis.select), x=0.01, ha="left", fontsize=10)
    return figure
