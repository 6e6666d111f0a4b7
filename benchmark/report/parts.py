"""An analysis in, the parts of the report in the order of the page out. Each part adds blocks and files to a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmark.evidence.analysis import Analysis, has_controls
from benchmark.evidence.claims import Verdict
from benchmark.evidence.curves import curves_frame, scales_frame
from benchmark.evidence.inputs import Remark
from benchmark.evidence.matrix import list_matrices, matrix_frame
from benchmark.evidence.means import printed_gains
from benchmark.evidence.rule import shared_sources
from benchmark.evidence.sections import PROFILES, rank_in, slugify, unique_slugs
from benchmark.report import curves, figures
from benchmark.report.answer import control_verdicts, positive_verdicts
from benchmark.report.compare import comparison_table, say_others, say_outputs, say_unread, summarise
from benchmark.report.cost import cost_table, draw_cost
from benchmark.report.document import Document, Heading, Items, Paragraph
from benchmark.report.equal import draw_equal, equal_table
from benchmark.report.first import add_gains, add_limits, add_mechanism, add_verdicts
from benchmark.report.markup import NONE, Table, text_rows
from benchmark.report.means import headline_section, means_table
from benchmark.report.pictures import draw_reconstructions, draw_samples, pretraining_text
from benchmark.report.provenance import commands_table, facts
from benchmark.report.published import draw_claims, list_sources, published_lines, published_table
from benchmark.report.ranks import power_table, rank_table
from benchmark.report.sanity import sanity_table
from benchmark.report.secondary import add_secondary
from benchmark.report.shares import draw_shares, shares_table
from benchmark.report.tables import (
    alignment_table,
    cell_label,
    cells_table,
    claims_table,
    contrasts_table,
    effects_table,
    matrix_table,
    pretraining_table,
)

if TYPE_CHECKING:
    from benchmark.records.pictures import Pictures


@dataclass(frozen=True)
class Part:
    """A part of the report: what `report --only` calls it is its key in `PARTS`."""

    title: str
    add: Callable[[Document, Analysis], None]
    appendix: bool = True


@dataclass(frozen=True)
class Place:
    """A section of the report: its number, and its name in files."""

    number: int
    slug: str


def add_matrices(document: Document, analysis: Analysis) -> None:
    """Target x auxiliary, measured and published, as table, heat map and forest; and every seed."""
    collection, cells, effects = analysis.collection, analysis.cells, analysis.effects
    for place in _sections(document, analysis):
        published = published_lines(analysis.claims, collection.sections[place.number].setting)
        for name, arm, variant in _matrices(analysis, place):
            what = (collection, cells, effects, place.number, arm, variant)
            printed = {key: text for key, text in published.items() if arm == analysis.study.method or not key[1]}
            document.table(f"matrix-{name}", matrix_table(*what, printed if not variant else {},
                                                          analysis.stand_ins(place.number)))
            document.frame(f"matrix-{name}", matrix_frame(*what))
            document.figure(f"matrix-{name}", figures.draw_matrix(*what),
                            f"Paired differences of {cell_label(arm, '', variant)} by target and auxiliary, as a heat map")
        document.figure(f"forest-{place.slug}", figures.draw_forest(
            collection, effects, place.number, analysis.study.method, printed_gains(analysis.claims)),
                        "Paired differences to the baseline with 95 % intervals, and what was published")
        document.figure(f"seeds-{place.slug}", figures.draw_seeds(collection, place.number, analysis.select),
                        "Main metric on test of every run, a dot a seed")
        document.table(f"differences-{place.slug}", effects_table(collection, effects, place.number))
        document.add(*_shared(analysis, place))
    for name, frame in (("differences", effects), ("pairs", collection.pairs), ("cells", cells), ("runs", collection.values)):
        document.frame(name, _with_sections(frame, analysis))


def add_controls(document: Document, analysis: Analysis) -> None:
    """What the arms are worth beyond their controls, and the order of all arms; nothing where no control was run."""
    collection = analysis.collection
    for place in _sections(document, analysis, [n for n in range(len(collection.sections)) if has_controls(analysis, n)]):
        said: dict[str, list[str]] = {}  # of many variants the same
        for name, text in control_verdicts(analysis, place.number):
            said.setdefault(text, []).append(name)
        document.add(*(Paragraph(text, f"{'; '.join(names)}:") for text, names in said.items()),
                     *(Paragraph(text, question) for question, text in positive_verdicts(analysis, place.number)))
        document.table(f"controls-{place.slug}",
                       contrasts_table(collection, analysis.contrasts, analysis.verdicts, place.number))
        if place.number != headline_section(analysis):
            document.table(f"mean-effect-{place.slug}", means_table(analysis, place.number))
        document.table(f"order-{place.slug}", rank_table(collection, analysis.ranks, place.number))
    for name, frame in (("contrasts", analysis.contrasts), ("verdicts", analysis.verdicts), ("order", analysis.ranks),
                        ("second-rule", analysis.second), ("mean-effect", analysis.means), ("null-pairs", analysis.null),
                        ("scales-likeness", analysis.scales), ("scales-sizes", analysis.layers)):
        document.frame(name, _with_sections(frame, analysis))
    for name, frame in (("dose", analysis.doses), ("dose-detected", analysis.detected), ("secondary", analysis.secondary)):
        if not frame.empty:  # newer than most records
            document.frame(name, _with_sections(frame, analysis))


def add_sanity(document: Document, analysis: Analysis) -> None:
    """Runs whose outcome is known beforehand; nothing where there are none."""
    document.table("sanity", sanity_table(analysis.collection, analysis.sanity))
    document.frame("sanity", _with_sections(analysis.sanity, analysis))


def add_shares(document: Document, analysis: Analysis) -> None:
    """What the arms are worth by how many labels there are; nothing where one share was run."""
    shares = analysis.shares
    for profile, setting in dict.fromkeys(zip(shares["profile"], shares["setting"], strict=True)):
        what, name = (shares, profile, setting), f"labels-{slugify(f'{profile} {setting}')}"
        document.figure(name, draw_shares(analysis.collection, *what), "Paired differences by share of the labels")
        document.table(name, shares_table(analysis.collection, analysis.cells, *what))
    document.frame("labels", shares.drop(columns="section").convert_dtypes())


def add_power(document: Document, analysis: Analysis) -> None:
    """Which effects the seeds could show, and which are excluded."""
    for place in _sections(document, analysis, sorted(set(analysis.power["section"]))):
        document.table(f"power-{place.slug}", power_table(analysis.collection, analysis.power, place.number))
    document.frame("power", _with_sections(analysis.power, analysis))


def add_paper_tables(document: Document, analysis: Analysis) -> None:
    """The paper's Tables 1-7 and Figure 3, published and measured side by side."""
    document.figure("claims", draw_claims(analysis.claims, analysis.judged, analysis.study.profile),
                    "Published gains beside measured ones, with 95 % intervals")
    for source in list_sources(analysis.claims):
        table = published_table(analysis.claims, analysis.judged, source, analysis.study.profile)
        document.table(f"paper-{slugify(source)}", table)


def add_claims(document: Document, analysis: Analysis) -> None:
    """The ledger: counts, and every claim with its verdict."""
    claims = analysis.judged
    if claims.empty:
        return
    document.frame("claims", claims.convert_dtypes())
    counts = Counter(claims["verdict"])
    shown = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    wrong = list(claims.loc[~claims["consistent"], "id"])
    document.add(Paragraph(
        f"{len(claims)} published numbers: {shown}. Of the gains that the paper prints in percent, {len(wrong)} "
        f"{'does' if len(wrong) == 1 else 'do'} not follow from its own values{': ' if wrong else ''}{', '.join(wrong)}. The "
        "table has every one with its verdict, the command that tests it, and what else is odd about it."))
    document.table("claims", claims_table(claims), searchable=True, on_page=False)


def add_pretraining(document: Document, analysis: Analysis) -> None:
    """What masked pretraining is worth against scratch, its losses, and what it reconstructs."""
    collection = analysis.collection
    document.table("pretraining", pretraining_table(collection, analysis.pretraining))
    document.frame("pretraining", _with_sections(analysis.pretraining, analysis))
    document.table("pretraining-losses", _losses_table(analysis))
    shown: set[str] = set()
    for record in sorted(collection.records, key=lambda record: (record.spec.variant != "", record.spec.limit is not None)):
        spec, pictures = record.spec, analysis.extras.reconstructions.get(record.identity)
        if pictures is not None and spec.modality not in shown:
            shown.add(spec.modality)
            sheet = analysis.extras.samples.get((spec.task, spec.profile))
            document.figure(f"reconstruction-{slugify(spec.modality)}",
                            draw_reconstructions(spec.modality, pretraining_text(spec), pictures, sheet),
                            f"Masked pretraining, {spec.modality}: input, what is seen, reconstruction", natural=True)


def add_cost(document: Document, analysis: Analysis) -> None:
    """Training time, memory and parameters beside the baseline's (Table 7), and gains at equal cost."""
    for place in _sections(document, analysis, sorted(set(analysis.cost["section"]))):
        document.figure(f"cost-{place.slug}", draw_cost(analysis.collection, analysis.cost, place.number),
                        "Training time over the baseline's, with 95 % intervals")
        document.table(f"cost-{place.slug}", cost_table(analysis.collection, analysis.cost, place.number))
        document.figure(f"equal-cost-{place.slug}", draw_equal(analysis, place.number),
                        "Gain over the plain model against what trains, and against the time of a step")
        document.table(f"equal-cost-{place.slug}", equal_table(analysis, place.number))
    document.frame("cost", _with_sections(analysis.cost, analysis))
    document.frame("equal-cost", _with_sections(analysis.equal, analysis))


def add_selection(document: Document, analysis: Analysis) -> None:
    """Every cell under every selection, and what selecting on test would have added."""
    for place in _sections(document, analysis):
        document.table(f"cells-{place.slug}", cells_table(analysis.collection, analysis.cells, place.number))


def add_curves(document: Document, analysis: Analysis) -> None:
    """Learning curves, every seed drawn."""
    for place in _sections(document, analysis):
        document.figure(f"curves-{place.slug}", curves.draw_curves(analysis.collection, place.number),
                        "Main metric on val and test by epoch, every seed and the mean")
        document.frame(f"curves-{place.slug}", _with_sections(curves_frame(analysis.collection, place.number), analysis))


def add_scales(document: Document, analysis: Analysis) -> None:
    """Learned scales by layer and component, and how alike the representations of an arm and its baseline are."""
    collection = analysis.collection
    for place in _sections(document, analysis):
        for name, arm, variant in _matrices(analysis, place):
            document.figure(f"scales-{name}", curves.draw_scales(collection, place.number, arm, variant),
                            f"Learned cross-modal scales of {cell_label(arm, '', variant)} by layer, a panel per target")
        document.frame(f"scales-{place.slug}", _with_sections(scales_frame(collection, place.number), analysis))
        document.table(f"alignment-{place.slug}", alignment_table(collection, analysis.extras.alignments, place.number))


def add_samples(document: Document, analysis: Analysis) -> None:
    """A contact sheet of each task's data, of the smallest profile; tasks that see the same in another way share one."""
    sheets: dict[str, tuple[str, Pictures]] = {}
    for task in analysis.collection.tasks:
        profile = next((name for name in PROFILES if (task, name) in analysis.extras.samples), None)
        if profile is not None:
            sheets[task] = (profile, analysis.extras.samples[task, profile])
    while sheets:
        task, (profile, pictures) = next(iter(sheets.items()))
        same = [name for name, (_, other) in sheets.items() if np.array_equal(other["input"], pictures["input"])]
        what = " and ".join(same)
        modality = analysis.collection.tasks[task].modality
        document.figure(f"samples-{slugify(task)}", draw_samples(what, profile, pictures, modality),
                        f"Samples of {what}, profile {profile}", natural=True)
        sheets = {name: sheet for name, sheet in sheets.items() if name not in same}


def add_comparison(document: Document, analysis: Analysis) -> None:
    """Cell by cell against other results; nothing where none were given."""
    if analysis.compared is None:
        return
    tasks = {**analysis.compared.tasks, **analysis.collection.tasks}
    told = (summarise(analysis.comparison), say_others(analysis.comparison), say_unread(analysis.compared.problems),
            "" if (beside := analysis.extras.outputs_beside) is None else say_outputs(beside))
    document.add(Paragraph(" ".join(filter(None, told))))
    document.table("comparison", comparison_table(tasks, analysis.comparison), searchable=True)
    document.frame("comparison", analysis.comparison.convert_dtypes())


def add_remarks(document: Document, analysis: Analysis) -> None:
    """What was left out or needs a reservation, and why: by reason on the page, run by run in a file."""
    collection = analysis.collection
    remarks = [Remark(f"No result: {p.state}", p.name, p.reason) for p in collection.problems]
    remarks += collection.remarks
    stale = [run.name for run in collection.paired.runs if run.stale]
    remarks += [Remark("Shown, though not computed by the current code", name) for name in stale]
    frame = pd.DataFrame([(r.kind, r.name, r.detail) for r in remarks], columns=["reason", "name", "detail"])
    document.frame("remarks", frame)
    groups: dict[str, list[Remark]] = {}
    for remark in remarks:
        groups.setdefault(remark.kind, []).append(remark)
    points = tuple((f"{kind} ({len(group)})", tuple(": ".join(filter(None, (r.name, r.detail))) for r in group))
                   for kind, group in groups.items())
    document.add(Items(points, emphasised=True, rest="tables/remarks.csv") if points else Paragraph("Nothing was left out."))


def add_provenance(document: Document, analysis: Analysis) -> None:
    """Where and by what the runs were computed, and the command of every row."""
    document.add(Items(tuple((point, ()) for point in facts(analysis.collection.records))))
    document.table("provenance", commands_table(analysis.collection), searchable=True, on_page=False)


PARTS: Mapping[str, Part] = {
    "gains": Part("Every pair, and the mean", add_gains, appendix=False),
    "verdicts": Part("Is it the other modality's knowledge?", add_verdicts, appendix=False),
    "mechanism": Part("What a pathway can carry", add_mechanism, appendix=False),
    "limits": Part("What this does not say", add_limits, appendix=False),
    "matrix": Part("Target x auxiliary", add_matrices),
    "controls": Part("Beyond every control?", add_controls),
    "secondary": Part("Secondary endpoints", add_secondary),
    "sanity": Part("Sanity: outcomes known beforehand", add_sanity),
    "labels": Part("Few labels and many", add_shares),
    "power": Part("What these seeds could show", add_power),
    "paper": Part("The paper's tables, published and measured", add_paper_tables),
    "cost": Part("Cost", add_cost),
    "claims": Part("Published claims", add_claims),
    "pretraining": Part("Masked pretraining", add_pretraining),
    "selection": Part("Selection on test, and what it would have added", add_selection),
    "curves": Part("Learning curves", add_curves),
    "scales": Part("Learned scales, and what they change", add_scales),
    "samples": Part("What the tasks see", add_samples),
    "compare": Part("Compared with other results", add_comparison),
    "left-out": Part("Left out, and shown with a reservation", add_remarks),
    "provenance": Part("Provenance", add_provenance),
}


def _sections(document: Document, analysis: Analysis, numbers: Iterable[int] | None = None) -> Iterator[Place]:
    """Go through sections, each of several under its title; one that nothing follows is left out of the pages."""
    sections = analysis.collection.sections
    slugs = unique_slugs(sections)
    chosen = list(range(len(sections)) if numbers is None else numbers)
    for number in chosen:
        title = sections[number].title
        if len(chosen) > 1:
            document.add(Heading(title[0].upper() + title[1:], 3))
        yield Place(number, slugs[sections[number]])


def _matrices(analysis: Analysis, place: Place) -> list[tuple[str, str, str]]:
    """Name in files, arm and variant of each matrix of a section"""
    found = list_matrices(analysis.collection, place.number)
    return [(f"{place.slug}-{slugify(f'{arm} {variant}')}" + (f"-{index}" if index else ""), arm, variant)
            for index, (arm, variant) in enumerate(found)]


def _shared(analysis: Analysis, place: Place) -> list[Paragraph]:
    """The pairs of a section whose target and auxiliary are not as irrelevant to each other as the question wants them"""
    pairs = dict.fromkeys((run.spec.task, run.spec.auxiliary) for run in analysis.collection.runs_of(place.number)
                          if run.spec.auxiliary)
    found = [f"{task} + {auxiliary} ({', '.join(sources)})" for task, auxiliary in pairs
             if auxiliary and (sources := shared_sources(analysis.collection, task, auxiliary))]
    return [Paragraph("; ".join(found), "Pairs that share a data source:")] if found else []


def _with_sections(frame: pd.DataFrame, analysis: Analysis) -> pd.DataFrame:
    """The index of the section replaced by what it stands for."""
    if "section" not in frame:
        return frame.convert_dtypes()
    sections = analysis.collection.sections
    keys = {name: [getattr(sections[int(i)], name) for i in frame["section"]]
            for name in ("profile", "setting", "limit", "conditions")}
    return pd.concat([pd.DataFrame(keys, index=frame.index), frame.drop(columns="section")], axis=1).convert_dtypes()


def _losses_table(analysis: Analysis) -> Table:
    """First and last training loss of every pretraining; one that was computed several times, with one outcome, stands once"""
    modalities = analysis.collection.modalities
    rows = set[tuple[tuple[object, ...], tuple[str, ...]]]()
    for record in analysis.collection.records:
        spec, curve = record.spec, record.curve("train", "loss")
        if spec.kind == "pretrain" and curve:
            (_, first), (epoch, last) = min(curve), max(curve)
            limit = "all" if spec.limit is None else str(spec.limit)
            order = (rank_in(spec.modality, modalities), rank_in(spec.profile, PROFILES), limit, spec.variant, spec.seed,
                     spec.run_id)
            labels = [spec.modality, spec.profile, limit, spec.variant or NONE]
            rows.add((order, (*labels, str(spec.seed), str(epoch), f"{first:.4g}", f"{last:.4g}")))
    header = ("Modality", "Profile", "Samples", "Variant", "Seed", "Epochs", "First loss", "Last loss")
    notes = ("Seeds that no training has are of models that a control alone starts from.",)
    return Table("Losses of masked pretraining", header, text_rows(row for _, row in sorted(rows)), notes, num_labels=4)
