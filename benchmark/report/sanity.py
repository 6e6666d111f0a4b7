"""Checks of outcomes known beforehand in, their table out."""

from __future__ import annotations

import pandas as pd

from benchmark.evidence.collect import Collection, find_metric
from benchmark.evidence.frames import rows_of
from benchmark.evidence.sanity import CHANCE, EQUAL, MARGIN, RANDOM, ROUNDING
from benchmark.evidence.stats import ALPHA
from benchmark.report.markup import NONE, Table, show_p, show_value, text_rows
from benchmark.report.tables import cell_label


def sanity_table(collection: Collection, sanity: pd.DataFrame) -> Table:
    """Every check."""
    rows = []
    for row in rows_of(sanity):
        metric, section = find_metric(collection, row.task, row.metric), collection.sections[row.section]
        if row.check == EQUAL:
            expected, measured = f"{row.n} of {row.n} runs", f"{int(row.measured)} of {row.n} runs"
        else:
            known = collection.tasks[row.task].shortcuts.get(section.profile, {})
            name = RANDOM if RANDOM in known else "chance"
            expected = NONE if pd.isna(row.expected) else f"{name}, {show_value(row.expected, metric)}"
            half = "" if pd.isna(row.low) else f" ± {show_value((row.high - row.low) / 2, metric)}"
            measured = show_value(row.measured, metric) + half
        rows.append([row.task, cell_label(row.arm, row.auxiliary, row.variant), f"{section.profile}, {section.setting}",
                     row.check, str(row.n), expected, measured, show_p(row.p_holm), row.outcome])
    header = ("Target", "Cell", "Profile, setting", "What is checked", "n", "Expected", "Measured", "p (Holm)", "Outcome")
    said = {CHANCE: "Labels dealt out at random leave nothing to learn that holds on the test split. Wrong: the mean is more "
                    f"than {ROUNDING:g} points, to which stated levels are rounded, above chance (one-sided t-test over seeds, "
                    f"adjusted p < {ALPHA:g}), which would be a leak. As expected: it is surely less than {MARGIN:g} points "
                    "above (one-sided 95 % bound).",
            EQUAL: "An arm that is its baseline by construction is to agree with it, on one machine, in every measurement and "
                   "weight to the last bit."}
    notes = tuple(text for check, text in said.items() if check in set(sanity["check"]))
    return Table("Runs whose outcome is known beforehand", header, text_rows(rows), notes, num_labels=4)
