"""A plan and the records that there are in; how long the rest takes and which effects its seeds could show, out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmark.evidence.collect import collect
from benchmark.evidence.estimates import estimate_effects, pooled_spread
from benchmark.evidence.inputs import TaskInfo
from benchmark.evidence.lengths import epochs_run, expected_length, known_lengths, length_of
from benchmark.evidence.stats import minimal_detectable_effect
from benchmark.records.record import Record
from benchmark.spec.runspec import RunSpec


@dataclass(frozen=True)
class TimeLeft:
    """Computing time of the runs to do."""

    seconds: float  # of those whose length is known, one after another
    known: int
    unknown: int  # runs of which none of their kind has run
    borrowed: int = 0  # of those known, from runs that are recorded elsewhere


@dataclass(frozen=True)
class Detectable:
    """What the seeds chosen for a target would show of its main metric, in the metric's unit."""

    task: str
    setting: str | None
    seeds: int
    effect: float | None  # found with the stated power, tested alone; None: one seed shows none
    spread: float  # of the measured differences to the baseline, pooled over cells
    cells: int
    unit: str


def forecast_time(pending: Sequence[RunSpec], records: Iterable[Record], elsewhere: Iterable[Record] = ()) -> TimeLeft:
    """From finished runs of the same task, kind, setting, samples, labels and epochs; where there are none, from those that
    are recorded elsewhere, if need be of other epochs, whose time is then taken to be alike for each.
    """
    measured, others = known_lengths(records), known_lengths(elsewhere)
    by_epoch: dict[tuple[object, ...], list[float]] = {}
    for (*kind, epochs, plain), lasted in others.items():
        assert isinstance(epochs, int)
        by_epoch.setdefault((*kind, plain), []).extend(length / epochs for length in lasted)
    lengths, borrowed = [], 0
    for spec in pending:
        *kind, _, plain = length_of(spec)
        if (seconds := expected_length(measured, spec)) is not None:
            lengths.append(seconds)
        elif (seconds := expected_length(others, spec)) is not None:
            lengths.append(seconds)
            borrowed += 1
        elif (*kind, plain) in by_epoch:
            lengths.append(fmean(by_epoch[*kind, plain]) * epochs_run(spec))
            borrowed += 1
    return TimeLeft(math.fsum(lengths), len(lengths), len(pending) - len(lengths), borrowed)


def forecast_effects(specs: Iterable[RunSpec], records: Sequence[Record], tasks: Mapping[str, TaskInfo]) -> list[Detectable]:
    """By target: the effect that its seeds would show, from the spread of the paired differences that were measured."""
    seeds: dict[tuple[str, str, str | None], set[int]] = {}
    for spec in specs:
        if spec.kind == "train":
            seeds.setdefault((spec.profile, spec.task, spec.setting), set()).add(spec.seed)
    collection = collect(records, tasks=tasks)
    effects = estimate_effects(collection)
    found = []
    for (profile, task, setting), chosen in seeds.items():
        places = [index for index, section in enumerate(collection.sections)
                  if (section.profile, section.setting, section.limit, section.conditions) == (profile, setting, None, "")]
        if task not in collection.tasks:
            continue
        metric = collection.tasks[task].metrics[0]
        rows = effects[effects["section"].isin(places) & (effects["task"] == task) & (effects["metric"] == metric.name)]
        rows = rows[rows["sd"].astype(float) > 0]  # a pair of one seed has no spread
        pooled = pooled_spread(rows)
        if pooled is None:
            continue
        spread, freedom = pooled
        effect = minimal_detectable_effect(spread, len(chosen), spread_df=freedom)
        found.append(Detectable(task, setting, len(chosen), effect, spread, len(rows), metric.unit))
    return found
