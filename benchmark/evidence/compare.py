"""Two collections of runs in, how their cells differ out: after a change of code, or on another machine."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import pandas as pd

from benchmark.evidence.collect import Collection, main_values
from benchmark.evidence.estimates import (
    ADJUSTED,
    DIFFERENCE,
    difference_of,
    holm_of,
)
from benchmark.records.record import Selection

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
