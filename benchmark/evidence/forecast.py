"""A plan and the records that there are in; how long the rest takes and which effects its seeds could show, as text, out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from statistics import fmean

from benchmark.evidence.collect import collect
from benchmark.evidence.estimates import estimate_effects, pooled_spread
from benchmark.evidence.inputs import TaskInfo
from benchmark.evidence.stats import POWER, minimal_detectable_effect
from benchmark.records.record import Record
from benchmark.spec.runspec import RunSpec


def forecast_time(pending: Sequence[RunSpec], records: Iterable[Record], jobs: int) -> str:
    """Computing time of the runs to do, from finished runs of the same task, kind, setting, samples and epochs."""
    if not pending:
        return "nothing left to compute"
    known: dict[tuple[object, ...], list[float]] = {}
    for record in records:
        if "wall" in record.seconds:
            known.setdefault(_length_of(record.spec), []).append(record.seconds["wall"])
    lengths = [fmean(known[_length_of(spec)]) for spec in pending if _length_of(spec) in known]
    unknown = len(pending) - len(lengths)
    if not lengths:
        return f"{len(pending)} runs to do; how long they take is not known before one of their kind has run"
    total = math.fsum(lengths)
    alone, together = (timedelta(seconds=round(seconds)) for seconds in (total, total / jobs))
    more = f", and {unknown} runs of unknown length" if unknown else ""
    return f"about {alone} of computing left, {together} with {jobs} at once{more}"


def forecast_effects(specs: Iterable[RunSpec], records: Sequence[Record], tasks: Mapping[str, TaskInfo]) -> list[str]:
    """By target: the effect that its seeds would show, from the spread of the paired differences that were measured."""
    seeds: dict[tuple[str, str, str | None], set[int]] = {}
    for spec in specs:
        if spec.kind == "train":
            seeds.setdefault((spec.profile, spec.task, spec.setting), set()).add(spec.seed)
    collection = collect(records, tasks=tasks)
    effects = estimate_effects(collection)
    lines = []
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
        found = "one seed shows no effect" if effect is None else f"effects from {effect:.2g} {metric.unit} on"
        lines.append(f"{task}, {setting}: {len(chosen)} seeds would show {found} (power {POWER:g}, tested alone; "
                     f"differences to the baseline spread by {spread:.2g} in {len(rows)} cells)")
    return lines


def _length_of(spec: RunSpec) -> tuple[object, ...]:
    return (spec.task, spec.kind, spec.profile, spec.setting, spec.limit, spec.recipe.epochs, spec.auxiliary is None)
