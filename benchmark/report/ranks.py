"""Orders of arms, and effects that seeds could show, in; their tables out."""

from __future__ import annotations

import pandas as pd

from benchmark.evidence.claims import as_printed
from benchmark.evidence.collect import Collection, find_metric
from benchmark.evidence.detectable import PAIR, explain, heading
from benchmark.evidence.frames import rows_of
from benchmark.evidence.stats import ALPHA
from benchmark.report.markup import NONE, Table, show_p, show_spread, show_value, text_rows
from benchmark.report.tables import cell_label, unit_label


def rank_table(collection: Collection, ranks: pd.DataFrame, section: int) -> Table:
    """All cells of a section by target, best first."""
    rows = []
    for row in rows_of(ranks[ranks["section"] == section]):
        metric = find_metric(collection, row.task, row.metric)
        rows.append([row.task, cell_label(row.arm, row.auxiliary, row.variant), unit_label(metric), str(row.n),
                     show_value(row.mean, metric), NONE if pd.isna(row.ties) else row.ties])
    notes = ("Best first, by the mean over the n seeds that the cell has. Cells of a target that share a letter are not shown "
             f"to differ: paired by the seeds that both have, Holm-adjusted over all pairs of its cells, level {ALPHA:g}.",)
    return Table(f"Order and ties: {collection.sections[section].title}",
                 ("Target", "Cell", "Metric", "n", "Mean", "Ties"), text_rows(rows), notes, num_labels=3)


def power_table(collection: Collection, power: pd.DataFrame, section: int) -> Table:
    """What the seeds of each cell of a section could show."""
    rows = []
    for row in rows_of(power[power["section"] == section]):
        metric = find_metric(collection, row.task, row.metric)
        spreads = [NONE if pd.isna(value) else show_spread(value, metric) for value in (row.sd, row.found_from)]
        gain = NONE if pd.isna(row.published) else as_printed(row.published)
        needed = NONE if pd.isna(row.seeds_needed) else str(int(row.seeds_needed))
        rows.append([row.task, cell_label(row.arm, row.auxiliary, row.variant), unit_label(metric), str(row.n), *spreads,
                     gain, show_p(row.p_equivalent), needed])
    header = ("Target", "Cell", "Metric", "n", "Spread", heading(PAIR), "Smallest published gain", "p (within it)",
              "Seeds to find it")
    notes = (
        f"Spread: standard deviation over seeds of the difference to the baseline. {explain(PAIR)} p (within it): two "
        f"one-sided tests, each cell by itself; below {ALPHA:g}, the cell differs from its baseline by less than the smallest "
        "gain that the paper prints for this target and setting. Seeds to find it: how many new ones find a true effect of "
        "that size in the same way.",)
    return Table(f"What these seeds could show: {collection.sections[section].title}", header, text_rows(rows), notes,
                 num_labels=3)
