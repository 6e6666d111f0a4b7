"""Pairs with baselines and their costs in; what each arm gains beside what it trains and how long a step takes it, out."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pandas as pd

from benchmark.evidence.collect import Collection
from benchmark.evidence.estimates import DIFFERENCE, difference_of
from benchmark.evidence.means import together
from benchmark.evidence.pairing import time_ratios
from benchmark.evidence.stats import ratio_interval
from benchmark.records.record import Selection

ARM = ["section", "task", "arm", "variant"]
EQUAL_COLUMNS = [*ARM, "auxiliaries", "left_out", "trained", "trained_ratio", "time_ratio", "time_low", "time_high",
                 "memory_ratio", *DIFFERENCE]


def estimate_equal_cost(collection: Collection, cost: pd.DataFrame, select: Selection = "last") -> pd.DataFrame:
    """One row for each target, arm and variant that has a baseline, of a target from few trained numbers to many.

    The gain is that of the main metric, for each seed the mean over auxiliaries of the arm: over those, and of those seeds,
    that all have one another; `left_out` names the other auxiliaries. `trained` counts what trains beyond the plain model
    (below 0: less does), mean over auxiliaries; ratios are over the plain model, geometric means over auxiliaries of what
    `cost` has, None where nothing was timed. That of the time is the median over seeds, of each the mean over auxiliaries,
    between the smallest and the largest (`time_low`, `time_high`; None of one seed): on a machine that others use a run may
    take ten times as long, and of few seeds one such run would carry a mean off.
    """
    main = {task: info.metrics[0].name for task, info in collection.tasks.items()}
    pairs = collection.pairs.dropna(subset=[select])
    pairs = pairs[pairs["metric"] == pairs["task"].map(main)]
    costs = dict(iter(cost.groupby(ARM, sort=False)))
    times = _times_of(collection)
    rows = []
    for key, group in pairs.groupby(ARM, sort=False):
        held = {("", str(name)): dict.fromkeys(map(int, cell["seed"]), 0.0)
                for name, cell in group.groupby("auxiliary", sort=False)}
        kept, shared = together(held)
        names = [name for _, name in kept]
        sides = [f"{side}_{select}" for side in ("treated", "baseline")]
        by_seed = group[group["seed"].isin(shared) & group["auxiliary"].isin(names)].groupby("seed")[sides].mean()
        if by_seed.empty or key not in costs:
            continue
        paid = costs[key][costs[key]["auxiliary"].isin(names)]
        rows.append(dict(zip(ARM, key, strict=True)) | {
            "auxiliaries": len(names), "left_out": ", ".join(name for _, name in held if name not in names),
            "trained": _mean(paid["trainable"] - paid["baseline_trainable"]),
            "trained_ratio": _ratio(paid["trainable"] / paid["baseline_trainable"]),
            **_time([(seed, ratio) for name, seed, ratio in times.get(key, ()) if name in names]),
            "memory_ratio": _ratio(paid["memory_ratio"])}
            | difference_of(map(int, by_seed.index), *(by_seed[side] for side in sides)))
    frame = pd.DataFrame(rows, columns=EQUAL_COLUMNS)
    order = frame["task"].map({task: place for place, task in enumerate(collection.tasks)})
    return frame.assign(order=order).sort_values(["section", "order", "trained", "arm", "variant"], kind="stable").drop(
        columns="order").reset_index(drop=True)


def _times_of(collection: Collection) -> dict[tuple[object, ...], list[tuple[str, int, float]]]:
    """By section, task, arm and variant: of each run that was timed its auxiliary, its seed, and its time over the plain
    model's"""
    found: dict[tuple[object, ...], list[tuple[str, int, float]]] = {}
    for run, baseline in collection.paired.baseline_of.items():
        comparison, arm, auxiliary, variant = run.cell
        for ratio in time_ratios([(run, baseline)], "train"):
            key = (collection.section_of[comparison], run.spec.task, arm, variant)
            found.setdefault(key, []).append((auxiliary, run.spec.seed, ratio))
    return found


def _time(timed: Sequence[tuple[int, float]]) -> dict[str, float | None]:
    """Seeds and ratios in, the columns of the time out; none where nothing was timed"""
    by_seed: dict[int, list[float]] = {}
    for seed, ratio in timed:
        by_seed.setdefault(seed, []).append(ratio)
    if not by_seed:
        return {}
    means = [ratio_interval(ratios).mean for ratios in by_seed.values()]
    low, high = (min(means), max(means)) if len(means) > 1 else (None, None)
    return {"time_ratio": statistics.median(means), "time_low": low, "time_high": high}


def _mean(values: pd.Series) -> float | None:
    known = _known(values)
    return sum(known) / len(known) if known else None


def _ratio(values: pd.Series) -> float | None:
    known = [value for value in _known(values) if value > 0]
    return ratio_interval(known).mean if known else None


def _known(values: pd.Series) -> Sequence[float]:
    return [float(value) for value in values.dropna()]
