"""An analysis in, the parts of the first page out: the figure, how to read a cell, means, verdicts, mechanism, limits."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.evidence.analysis import Analysis
from benchmark.evidence.estimates import known
from benchmark.evidence.frames import first_row, rows_of, rows_with
from benchmark.evidence.matrix import list_auxiliaries, list_targets
from benchmark.evidence.means import ALL, printed_gains
from benchmark.evidence.rule import BASELINE
from benchmark.evidence.sections import has_few_labels, slugify
from benchmark.report.answer import first_rule_text, opening
from benchmark.report.canvas import BASELINE as BLACK
from benchmark.report.canvas import FAINT, INK, make_title, modality_colours, new_figure, shorten
from benchmark.report.directions import add_directions
from benchmark.report.document import Document, Items, Paragraph, Tabular
from benchmark.report.doses import add_doses
from benchmark.report.markup import Table, escape_markdown, show_points, text_rows
from benchmark.report.means import (
    count,
    headline_section,
    judged,
    means_table,
    null_table,
    over_plain,
    scales_table,
)
from benchmark.report.published import published_lines
from benchmark.report.rule2 import protocol_line, rule2_table
from benchmark.report.tables import matrix_table

FIRST = "first"  # of the first figure's files
TICKS = ("|", "x", "+", "1")  # of references, which have no interval here


def add_gains(document: Document, analysis: Analysis) -> None:
    """The figure, how to read a cell, the matrix, and the mean effect, of the section that the headline is of."""
    section = headline_section(analysis)
    if section is None:
        return
    document.file(f"tables/{FIRST}.md", f"**{escape_markdown(opening(analysis))}**\n", "md")
    document.figure(FIRST, draw_first(analysis), "Left: gain of each pair over the plain model with its 95 % interval, and "
                    "the mean of all; right: sizes of learned scales beside those with noise")
    document.table("how-to-read", reading_table(analysis))
    place, method = analysis.collection.sections[section], analysis.study.method
    document.add(Tabular(f"{FIRST}-matrix", first_matrix(analysis, section), on_page=False,
                         numbers=f"matrix-{place.slug}-{slugify(method)}"))
    document.table("mean-effect", means_table(analysis, section))


def add_verdicts(document: Document, analysis: Analysis) -> None:
    """What the first rule says of every section, and the second."""
    collection = analysis.collection
    for number, section in enumerate(collection.sections):
        if text := first_rule_text(analysis, number):
            together = " Smaller shares of the labels are adjusted together." if has_few_labels(section) else ""
            document.add(Paragraph(f"{text}{together}", f"First rule, {section.title}."))
    if line := protocol_line(analysis):
        document.add(Paragraph(line, "Second rule."))
        document.table("second-rule", rule2_table(analysis))


def add_mechanism(document: Document, analysis: Analysis) -> None:
    """Whether learned scales tell an auxiliary from noise, and how often the tests see what is not there."""
    add_doses(document, analysis)
    add_directions(document, analysis)
    document.table("scales-likeness", scales_table(analysis))
    document.table("null-pairs", null_table(analysis))


def add_limits(document: Document, analysis: Analysis) -> None:
    """What no null here says; nothing where the headline has no section."""
    if headline_section(analysis) is not None and analysis.study.limits:
        study, drawn = analysis.study, set(analysis.null["drawn"].dropna())
        called = [study.called.get(name, name) for name in (study.noise if drawn - {"own"} else ())]
        shared = [f"{name[0].upper()}{name[1:]} is one draw a seed, shared by targets, settings and auxiliaries."
                  for name in called]
        document.add(Items(tuple((text, ()) for text in (*study.limits, *shared))))


def first_matrix(analysis: Analysis, section: int) -> Table:
    """The method's matrix of a section with what was published"""
    return matrix_table(analysis.collection, analysis.cells, analysis.effects, section, analysis.study.method, "",
                        published_lines(analysis.claims, analysis.collection.sections[section].setting),
                        analysis.stand_ins(section))


def draw_first(analysis: Analysis) -> Figure | None:
    """Left: each pair's gain over the plain model with its interval, its references' gains as ticks, the published gain as a
    hollow diamond; last, the mean of all. Right: sizes of learned scales against those of noise. None where nothing was run.
    """
    section = headline_section(analysis)
    if section is None:
        return None
    pairs = rows_with(analysis.means, {"section": section, "task": ALL})["pairs"].max()
    figure = new_figure(10.5, 1.7 + 0.26 * pairs + 0.3 * len(list_targets(analysis.collection, section)))
    left, right = figure.subplots(1, 2, width_ratios=(1.75, 1))
    _draw_gains(left, analysis, section)
    drawn = _draw_sizes(right, analysis, section)
    right.set_visible(drawn)
    handles = [Line2D([], [], color=INK, marker="o", markersize=5, linewidth=1.8, label="gain, 95 % interval")]
    handles += [Line2D([], [], color=INK, marker=mark, markersize=8, linestyle="none",
                       label=f"gain of {analysis.study.called.get(name, name)}")
                for name, mark in zip(analysis.study.rivals.get(analysis.study.method, ()), TICKS, strict=False)]
    handles += [Line2D([], [], color=BLACK, marker="D", markersize=5, markerfacecolor="white", linestyle="none",
                       label="published, other data and scale")]
    there = {line.get_marker() for line in left.lines}
    handles = [handle for handle in handles if handle.get_marker() in there]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    title = "Gain over the plain model, paired by seed; and whether learned scales tell an auxiliary from noise"
    figure.suptitle(make_title(title, analysis.collection, section, analysis.select), x=0.01, ha="left", fontsize=10)
    return figure


def _draw_gains(axes: Axes, analysis: Analysis, section: int) -> None:
    collection, study = analysis.collection, analysis.study
    printed, colours = printed_gains(analysis.claims), modality_colours(collection)
    references = dict(zip(study.rivals.get(study.method, ()), TICKS, strict=False))
    y, ticks, labels = 0.0, [], []
    axes.axvline(0, color=INK, linewidth=0.8)
    for task in list_targets(collection, section):
        metric = collection.tasks[task].metrics[0]
        axes.text(-0.42, y, shorten(f"{analysis.data_of(section, task)}: {metric.name}, {metric.unit}", 70), fontweight="bold",
                  va="center", fontsize=8.5, transform=axes.get_yaxis_transform())
        for auxiliary in list_auxiliaries(collection, section):
            keys = {"section": section, "task": task, "metric": metric.name, "variant": ""}
            row = first_row(analysis.effects, keys | {"arm": study.method, "auxiliary": auxiliary})
            if row is None:
                continue
            y += 1
            _draw_interval(axes, y, row.difference, known(row.low), known(row.high), colours.get(auxiliary, INK))
            for name, mark in references.items():
                other = (first_row(analysis.effects, keys | {"arm": name, "auxiliary": auxiliary})
                         or first_row(analysis.effects, keys | {"arm": name, "auxiliary": ""}))
                if other is not None:
                    axes.plot([other.difference], [y], mark, color=INK, markersize=8, markeredgewidth=1.2, zorder=4)
            gain = printed.get((task, collection.sections[section].setting, auxiliary, metric.name))
            if gain is not None:
                axes.plot([gain], [y], "D", color=BLACK, markersize=5, markerfacecolor="white", zorder=3)
            ticks.append(y)
            labels.append(f"+ {shorten(auxiliary)}")
        y += 1.5
    for name, mark in ((study.method, "o"), *references.items()):
        row = first_row(analysis.means, {"section": section, "task": ALL, "arm": name, "reference": BASELINE})
        if row is None:
            continue
        if name != study.method:
            axes.plot([row.difference], [y], mark, color=INK, markersize=8, markeredgewidth=1.2, zorder=4)
            continue
        axes.axhspan(y - 0.5, y + 0.5, color=FAINT, alpha=0.5, linewidth=0)
        second = judged(analysis, section)
        mean = row if second is None else over_plain(second)  # as the headline has it
        _draw_interval(axes, y, mean.difference, known(mean.low), known(mean.high), INK)
        if (gain := known(row.published)) is not None:
            axes.plot([gain], [y], "D", color=BLACK, markersize=5, markerfacecolor="white", zorder=3)
        ticks.append(y)
        labels.append(f"mean of {row.pairs}")
    axes.set_yticks(ticks, labels)
    axes.set_ylim(y + 0.7, -0.9)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("gain over the plain model (percentage points)")


def _draw_interval(axes: Axes, y: float, value: float, low: float | None, high: float | None, colour: str) -> None:
    if low is not None and high is not None:
        axes.plot([low, high], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
    axes.plot([value], [y], "o", color=colour, markersize=5, markerfacecolor="white" if low is None else colour)


def _draw_sizes(axes: Axes, analysis: Analysis, section: int) -> bool:
    """Whether there is anything to draw"""
    study = analysis.study
    layers = analysis.layers[analysis.layers["section"] == section]
    noise = next((name for name in study.noise if (layers["arm"] == name).any()), None)
    if noise is None:
        return False
    sides = [{(row.task, row.layer): row.log_scale / math.log(10) for row in rows_of(layers[layers["arm"] == arm])}
             for arm in (noise, study.method)]
    shared = [place for place in sides[0] if place in sides[1]]
    if not shared:
        return False
    colours = modality_colours(analysis.collection)
    for task in (task for task in analysis.collection.tasks if any(task == place[0] for place in shared)):
        xs, ys = ([side[place] for place in shared if place[0] == task] for side in sides)
        axes.plot(xs, ys, "o", color=colours[analysis.collection.tasks[task].modality], markersize=4, alpha=0.85,
                  label=shorten(analysis.data_of(section, task).split(" (")[0]))
    ends = [min(side[place] for side in sides for place in shared), max(side[place] for side in sides for place in shared)]
    axes.plot(ends, ends, color=INK, linewidth=0.8)
    row = first_row(analysis.scales, {"section": section, "arm": noise})
    ours = first_row(analysis.scales, {"section": section, "arm": study.method})
    said = [] if row is None or known(row.correlation) is None else [f"sizes correlate at {row.correlation:.3f}"]
    if ours is not None and known(ours.cosine) is not None:
        said.append(f"signs from seed to seed: {show_points(ours.cosine)}\n(1: the same, 0: chance)")
    axes.text(0.03, 0.97, "\n".join(said), transform=axes.transAxes, va="top", fontsize=8.5)
    ticks = list(range(math.ceil(ends[0] - 0.1), math.floor(ends[1] + 0.1) + 1))  # powers of ten
    names = [f"{10.0 ** value:g}" for value in ticks]
    axes.set_xticks(ticks, names)
    axes.set_yticks(ticks, names)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", fontsize=8, handletextpad=0.1)
    axes.set_xlabel(f"scale |s| with {study.called.get(noise, noise)}")
    axes.set_ylabel("scale |s| with the auxiliary's weights; each layer a dot")
    return True


def reading_table(analysis: Analysis) -> Table:
    """The first cell of the headline's matrix, line by line, with what each line says; without rows where there is none."""
    section = headline_section(analysis)
    empty = Table("How to read a cell", ("Line", "What it says"), ())
    if section is None:
        return empty
    collection, study = analysis.collection, analysis.study
    task = list_targets(collection, section)[0]
    metric = collection.tasks[task].metrics[0]
    auxiliaries = list_auxiliaries(collection, section)
    table = first_matrix(analysis, section)
    place = {"section": section, "task": task, "arm": study.method, "variant": "", "metric": metric.name}
    effects = [first_row(analysis.effects, place | {"auxiliary": name}) for name in auxiliaries]
    found, effect = next(((place, row) for place, row in enumerate(effects) if row is not None), (0, None))
    if effect is None:
        return empty
    lines = [line.text for line in table.rows[0][found + 2]]
    mean = first_row(analysis.cells, place | {"auxiliary": auxiliaries[found]})
    seeds = int(getattr(mean, f"{analysis.select}_n"))
    one = ", of which there is none with one seed" if effect.n == 1 else ""
    chance = [text for value, text in (
        (effect.p_holm, "how often chance alone gives as much, adjusted for all pairs of the table"),
        (effect.found_from, "the true difference that as many new seeds would find four times in five: a smaller one may be "
                            "there and missed")) if not pd.isna(value)]
    said = [f"{metric.name} of the model with weights from {auxiliaries[found]}: mean over {count(seeds, 'seed')} ± half of "
            f"its 95 % interval{one}",
            "difference to the plain model of the same seeds, the baseline's column, with its own 95 % interval"
            + (one or ": where that holds 0, no effect is shown"),
            *(["; and ".join(chance)] if chance else []),
            "what is printed for this pair, and its gain, on other data and at another scale: for orientation"]
    rows = [[line, text] for line, text in zip(lines, said, strict=False)]
    title = f"How to read a cell: {analysis.data_of(section, task)}, + {auxiliaries[found]}"
    return Table(title, ("Line", "What it says"), text_rows(rows), (), num_labels=2)
