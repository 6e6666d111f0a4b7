"""Secondary endpoints in, their table out."""

from __future__ import annotations

import pandas as pd

from benchmark.evidence.analysis import Analysis
from benchmark.evidence.frames import rows_of
from benchmark.evidence.rule import BASELINE
from benchmark.report.document import Document, Paragraph
from benchmark.report.markup import NONE, Table, show_interval, show_p, show_value, text_rows
from benchmark.report.tables import cell_label
from benchmark.spec.contracts import Metric

PERCENT = Metric("endpoint")


def add_secondary(document: Document, analysis: Analysis) -> None:
    """What runs that left their outputs reach on the secondary endpoints; nothing where none did."""
    if analysis.secondary.empty:
        return
    runs = analysis.collection.paired.runs
    kept = sum(run.record.identity in analysis.extras.endpoints for run in runs)
    document.add(Paragraph(f"No verdict rests on these. {kept} of {len(runs)} runs left what they say of every test "
                           "sample; those recorded before runs did so are not here.", "Secondary endpoints."))
    document.table("secondary", secondary_table(analysis))


def secondary_table(analysis: Analysis) -> Table:
    """A row for each cell, endpoint and reference"""
    called = analysis.study.called
    rows = []
    for row in rows_of(analysis.secondary):
        reference = "the plain model" if row.reference == BASELINE else called.get(row.reference, row.reference)
        difference = NONE if pd.isna(row.n) else f"{show_interval(row, PERCENT)}, p {show_p(row.p)} (n={int(row.n)})"
        cell = cell_label(row.arm, row.auxiliary, row.variant)
        mean = f"{show_value(row.mean, PERCENT)} (n={row.seeds_kept})"
        title = analysis.collection.sections[row.section].title
        rows.append([title, row.task, cell, row.endpoint, mean, reference or NONE, difference])
    header = ("Section", "Target", "Cell", "Endpoint (%)", "Mean", "Reference", "Difference")
    notes = ("Differences are paired by seed, with 95 % t-intervals and unadjusted p. Tags: average precision of each, "
             "weighted by its positives, of logits as outputs keep them, in eighths: the ties that rounding makes cost up to "
             "some points, the more the smaller logits are, so such values are compared among themselves alone.",)
    return Table("Secondary endpoints", header, text_rows(rows), notes, num_labels=4)
