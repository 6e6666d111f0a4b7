"""Two collections of runs in, how their cells differ out: after a change of code, or on another machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from benchmark.evidence.collect import Collection, values_under
from benchmark.evidence.estimates import (
    ADJUSTED,
    DIFFERENCE,
    difference_of,
    holm_of,
)
from benchmark.evidence.sides import PREDICTIONS
from benchmark.records.outputs import FILE, read_outputs
from benchmark.records.record import Record, Selection
from benchmark.records.store import Store

PLACE = ["profile", "setting", "limit", "conditions", "task", "arm", "auxiliary", "variant"]
COMPARISON_COLUMNS = [*PLACE, "metric", "main", "select", "state", "equal", "here", "there", *DIFFERENCE, *ADJUSTED]


@dataclass(frozen=True)
class OutputsBeside:
    """What runs that both of two sides have said of each test sample, there and here."""

    runs: int  # of which both sides have outputs
    equal: int  # of them, those whose outputs are the same to the last bit
    samples: int  # of the others
    answered: int  # of these samples, those that are answered otherwise


def compare(ours: Collection, theirs: Collection, select: Selection = "last") -> pd.DataFrame:
    """One row a cell of either and metric, in the order of `ours`, the main metric first: here and there, and here minus there.

    Paired by seed, whatever the environments and versions of code: that is what is compared. `equal` counts the seeds
    whose values are the same to the last bit. `state`: "both", "only here" or "only there". `p_holm` is over the main metrics.
    """
    here, there = (_values(collection, select) for collection in (ours, theirs))
    main = {task: info.metrics[0].name for side in (theirs, ours) for task, info in side.tasks.items()}
    cells = dict.fromkeys(place[:-1] for place in (*here, *there))
    order = {place: (list(cells).index(place[:-1]), place[-1] != main[str(place[4])]) for place in {**here, **there}}
    rows = []
    for place in sorted(order, key=lambda place: order[place]):
        left, right = here.get(place, {}), there.get(place, {})
        seeds = sorted(left.keys() & right.keys())
        state = "both" if left and right else "only here" if left else "only there"
        row: dict[str, object] = dict(zip([*PLACE, "metric"], place, strict=True)) | {"select": select, "state": state}
        row |= {name: fmean(side.values()) for name, side in (("here", left), ("there", right)) if side}
        row |= {"main": place[-1] == main[str(place[4])], "equal": sum(left[seed] == right[seed] for seed in seeds),
                "n": len(seeds)}
        if seeds:
            row |= difference_of(seeds, [left[seed] for seed in seeds], [right[seed] for seed in seeds])
        rows.append(row)
    frame = pd.DataFrame(rows, columns=COMPARISON_COLUMNS)
    return frame.assign(p_holm=holm_of(frame["p"].where(frame["main"].astype(bool))))


def _values(collection: Collection, select: Selection) -> Mapping[tuple[object, ...], dict[int, float]]:
    """Test values by cell, metric and seed"""
    found: dict[tuple[object, ...], dict[int, float]] = {}
    for row, value in values_under(collection, select):
        section = collection.sections[row.section]
        place = (section.profile, section.setting, section.limit, section.conditions, row.task, row.arm, row.auxiliary,
                 row.variant, row.metric)
        found.setdefault(place, {})[row.seed] = value
    return found


def compare_outputs(ours: Iterable[tuple[Store, Iterable[Record]]],
                    theirs: Iterable[tuple[Store, Iterable[Record]]]) -> OutputsBeside:
    """Of the runs, by run id, that left outputs on both sides; a file that cannot be read is none."""
    import numpy as np

    sides = [{record.run_id: store.folder_of(record) / FILE for store, records in side for record in records
              if record.spec.kind == "train"} for side in (ours, theirs)]
    runs = equal = samples = answered = 0
    for run_id in (run_id for run_id in sides[0] if run_id in sides[1]):
        try:
            here, there = (read_outputs(side[run_id]) for side in sides)
        except ValueError:  # which the report names
            continue
        if here is None or there is None:
            continue
        runs += 1
        if here.keys() == there.keys() and all(np.array_equal(here[name], there[name]) for name in here):
            equal += 1
            continue
        name = next((name for name in PREDICTIONS if name in here and name in there), "")
        alike = bool(name) and here[name].shape == there[name].shape
        count = len(next(iter(here.values())))
        samples += count
        answered += int((here[name] != there[name]).reshape(count, -1).any(1).sum()) if alike else count
    return OutputsBeside(runs, equal, samples, answered)
