"""Two collections of runs in, how their cells differ out: after a change of code, or on another machine."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import pandas as pd

from benchmark.evidence.collect import Collection, main_values
from benchmark.evidence.estimates import ADJUSTED, DIFFERENCE, difference_of, holm_of
from benchmark.evidence.inputs import TaskInfo
from benchmark.evidence.stats import ALPHA
from benchmark.records.record import Selection
from benchmark.report.markup import NONE, Table, show_interval, show_p, show_value, text_rows
from benchmark.report.tables import cell_label, rows_of, unit_label

PLACE = ["profile", "setting", "limit", "conditions", "task", "arm", "auxiliary", "variant"]
COMPARISON_COLUMNS = [*PLACE, "metric", "select", "state", "equal", "here", "there", *DIFFERENCE, *ADJUSTED]


def compare(ours: Collection, theirs: Collection, select: Selection = "last") -> pd.DataFrame:
    """One row a cell of either, in the order of `ours`: the main metric here and there, and here minus there.

    Paired by seed, whatever the environments and versions of code: that is what is compared. `equal` counts the seeds
    whose values are the same to the last bit. `state`: "both", "only here" or "only there".
    """
    here, there = (_values(collection, select) for collection in (ours, theirs))
    rows = []
    for place in dict.fromkeys([*here, *there]):
        left, right = here.get(place, {}), there.get(place, {})
        seeds = sorted(left.keys() & right.keys())
        state = "both" if left and right else "only here" if left else "only there"
        row: dict[str, object] = dict(zip([*PLACE, "metric"], place, strict=True)) | {"select": select, "state": state}
        row |= {name: fmean(side.values()) for name, side in (("here", left), ("there", right)) if side}
        row |= {"equal": sum(left[seed] == right[seed] for seed in seeds), "n": len(seeds)}
        if seeds:
            row |= difference_of(seeds, [left[seed] for seed in seeds], [right[seed] for seed in seeds])
        rows.append(row)
    frame = pd.DataFrame(rows, columns=COMPARISON_COLUMNS)
    return frame.assign(p_holm=holm_of(frame["p"]))


def _values(collection: Collection, select: Selection) -> Mapping[tuple[object, ...], dict[int, float]]:
    """Test value of the main metric by cell and seed"""
    found: dict[tuple[object, ...], dict[int, float]] = {}
    for row, value in main_values(collection, select):
        section = collection.sections[row.section]
        place = (section.profile, section.setting, section.limit, section.conditions, row.task, row.arm, row.auxiliary,
                 row.variant, row.metric)
        found.setdefault(place, {})[row.seed] = value
    return found


def comparison_table(tasks: Mapping[str, TaskInfo], frame: pd.DataFrame) -> Table:
    """Every cell of either folder; `tasks` are those of both."""
    rows = []
    for row in rows_of(frame):
        metric = tasks[row.task].metrics[0]
        conditions = ", ".join(str(part) for part in (row.profile, row.setting, row.conditions) if part)
        if not pd.isna(row.limit):
            conditions += f", {int(row.limit)} samples"
        sides = [NONE if pd.isna(value) else show_value(value, metric) for value in (row.here, row.there)]
        state = f"{row.equal} of {row.n}" if row.n else row.state if row.state != "both" else "no common seed"
        difference = show_interval(row, metric) if row.n else NONE
        rows.append([row.task, cell_label(row.arm, row.auxiliary, row.variant), conditions, unit_label(metric), *sides, state,
                     difference, show_p(row.p_holm)])
    header = ("Target", "Cell", "Conditions", "Metric", "Here", "There", "Equal seeds", "Here minus there", "p (Holm)")
    notes = ("Main metric on the test split, mean over the seeds of each side. Equal seeds: of those that both have, how many "
             "gave the same value to the last bit. Here minus there: paired by seed, across whatever differs between the two "
             f"(environment, code, data), with its 95 % t-interval; p is Holm-adjusted over all cells, level {ALPHA:g}.",)
    return Table("Compared with other results", header, text_rows(rows), notes, num_labels=4)


def summarise(frame: pd.DataFrame) -> str:
    """The comparison in a sentence."""
    shared = frame[frame["n"].astype(float) > 0]
    equal = int((shared["equal"] == shared["n"]).sum())
    moved = int((shared["p_holm"].astype(float) < ALPHA).sum())
    alone = [f"{count} {state}" for state in ("only here", "only there") if (count := int((frame["state"] == state).sum()))]
    return (f"{len(shared)} cells are in both: {equal} with the same values to the last bit, {moved} that differ beyond chance"
            + (f"; {' and '.join(alone)}" if alone else "") + ".")
