"""Runs whose outcome is known beforehand in; whether it came out that way, out. What fails here casts doubt on all else."""

from __future__ import annotations

import math
from collections.abc import Collection as AbstractCollection
from collections.abc import Iterable

import pandas as pd

from benchmark.evidence.collect import CELL, Collection, chance_of, sign_of, values_of_runs
from benchmark.evidence.estimates import (
    holm_of,
)
from benchmark.evidence.pairing import Run
from benchmark.evidence.stats import (
    ALPHA,
    CONFIDENCE,
    mean_interval,
    one_sided_p,
    t_quantile,
)
from benchmark.records.record import Record, Selection
from benchmark.spec.recipes import TrainRecipe

SANITY_COLUMNS = [*CELL, "metric", "check", "n", "expected", "measured", "low", "high", "p", "p_holm", "outcome"]
CHANCE, EQUAL = "labels dealt out at random", "equal to its baseline"
AS_EXPECTED, WRONG, UNDECIDED, UNTESTED = "as expected", "wrong", "not decided", "not tested"
RANDOM = "random scores"  # of a task's shortcuts: what answering at random reaches, where that is more than chance
MARGIN = 5.0  # per cent, above chance: a mean that is surely below that is at chance
ROUNDING = 0.05  # of a stated chance level


def estimate_sanity(collection: Collection, equal: AbstractCollection[str], select: Selection = "last") -> pd.DataFrame:
    """One row for each cell, of runs on all samples, whose outcome is known beforehand.

    Trained on labels that were dealt out at random: wrong where the mean on the test split is above chance (one-sided
    t-test over seeds, Holm-adjusted over all such cells), as expected where its one-sided 95 % bound is within `MARGIN` of
    chance, else not decided. Arms named in `equal`, without options, of the same machine and current code as their
    baseline: as expected where each measurement that both have and the weights are equal to the last bit; `measured` is how
    many of `n` pairs are.
    """
    values = values_of_runs(collection, select)
    dealt: dict[tuple[object, ...], list[Run]] = {}
    same: dict[tuple[object, ...], list[Run]] = {}
    for run in collection.paired.runs:
        key = (collection.section_of[run.comparison], run.spec.task, *run.cell[1:])
        if run.spec.limit is not None:
            continue
        if isinstance(run.spec.recipe, TrainRecipe) and run.spec.recipe.shuffle_labels and run in values:
            dealt.setdefault(key, []).append(run)
        if run.spec.arm in equal and not run.variant and run in collection.paired.baseline_of:
            same.setdefault(key, []).append(run)
    rows = [_against_chance(collection, key, [values[run] for run in runs]) for key, runs in dealt.items()]
    rows += [_against_baseline(collection, key, runs) for key, runs in same.items()]
    frame = pd.DataFrame(rows, columns=SANITY_COLUMNS)
    frame["p_holm"] = holm_of(frame["p"])
    frame.loc[frame["p_holm"] < ALPHA, "outcome"] = WRONG
    return frame


def _against_chance(collection: Collection, key: tuple[object, ...], values: list[float]) -> dict[str, object]:
    """Its outcome before the test."""
    place = dict(zip(CELL, key, strict=True))
    info, profile = collection.tasks[str(place["task"])], collection.sections[int(str(place["section"]))].profile
    metric, chance = info.metrics[0], chance_of(collection, str(place["task"]), profile)
    chance = info.shortcuts.get(profile, {}).get(RANDOM, chance)
    estimate = mean_interval(values)
    low, high = estimate.interval or (None, None)
    row = {**place, "metric": metric.name, "check": CHANCE, "n": estimate.n, "expected": chance, "measured": estimate.mean,
           "low": low, "high": high, "p": None, "outcome": UNTESTED}
    if chance is None or estimate.sd is None:
        return row
    above = (estimate.mean - chance) * sign_of(metric)
    if estimate.sd == 0:
        return row | {"outcome": WRONG if above > ROUNDING else AS_EXPECTED}
    error = estimate.sd / math.sqrt(estimate.n)
    within = metric.unit == "%" and above + t_quantile(CONFIDENCE, estimate.n - 1) * error <= MARGIN
    return row | {"p": one_sided_p(above - ROUNDING, estimate.sd, estimate.n), "outcome": AS_EXPECTED if within else UNDECIDED}


def _against_baseline(collection: Collection, key: tuple[object, ...], runs: Iterable[Run]) -> dict[str, object]:
    place = dict(zip(CELL, key, strict=True))
    pairs = [(run, collection.paired.baseline_of[run]) for run in runs]
    pairs = [pair for pair in pairs if _must_agree(*pair)]
    equal = [_alike(ours.record, theirs.record) for ours, theirs in pairs]
    outcome = UNTESTED if not pairs else AS_EXPECTED if all(equal) else WRONG
    return {**place, "metric": collection.tasks[str(place["task"])].metrics[0].name, "check": EQUAL, "n": len(pairs),
            "expected": len(pairs), "measured": sum(equal), "outcome": outcome}


def _must_agree(run: Run, other: Run) -> bool:
    """To the last bit: the same machine, packages and checkpoint, deterministic, and today's code."""
    ours, theirs = (((where := each.record.environment).processor, where.arithmetic, where.packages, each.checkpoint)
                    for each in (run, other))
    return ours == theirs and run.record.environment.deterministic and not run.stale and not other.stale


def _alike(record: Record, other: Record) -> bool:
    """In every value of the other, and the weights; a run with pathways has those of its scales besides"""
    ours, theirs = ({(row.split, row.metric, row.step): row.value for row in each.measurements} for each in (record, other))
    return theirs.items() <= ours.items() and record.weights.get("result") == other.weights.get("result")
