"""Outputs of every sample in, secondary endpoints out: what a verdict never rests on, and what spreads less than it.

Declared are three: the mean probability of the true class (one label), the average precision of every tag weighted by its
positives (several tags), and the share of points with the right part. No torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.evidence.collect import CELL, Collection
from benchmark.evidence.estimates import DIFFERENCE, difference_of
from benchmark.evidence.inputs import Problem
from benchmark.evidence.pairing import Run
from benchmark.evidence.rule import BASELINE, alike
from benchmark.records.outputs import FILE, read_outputs
from benchmark.records.record import Record
from benchmark.records.store import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROBABILITY, WEIGHTED, POINTS = "mean probability of the true class", "weighted AP", "points with the right part"
SECONDARY_COLUMNS = [*CELL, "endpoint", "seeds_kept", "mean", "reference", *DIFFERENCE]


def endpoints_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """In percent, by name, of what was kept of a split"""
    if "score" in arrays:
        return {WEIGHTED: 100 * weighted_precision(arrays["score"], arrays["label"])}
    kept = {PROBABILITY: arrays.get("probability"), POINTS: arrays.get("correct")}
    return {name: 100 * float(values.mean()) for name, values in kept.items() if values is not None}


def weighted_precision(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    """(N, C), (N, C) bool -> average precision of every class, weighted by its positives, equal scores at one threshold.

    As scikit-learn's `average_precision_score(average="weighted")`; raises `ValueError` without a positive.
    """
    import numpy as np

    positives = labels.sum(0)
    if not positives.any():
        raise ValueError("no sample has a tag: average precision is undefined")
    total = 0.0
    for column in np.flatnonzero(positives):
        order = np.argsort(-scores[:, column], kind="stable")
        ranked, right = scores[order, column], np.cumsum(labels[order, column])
        ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        total += float((right[ends] / (ends + 1) * np.diff(right[ends], prepend=0)).sum())  # precision at each gain of recall
    return total / float(positives.sum())


def kept_endpoints(by_store: Iterable[tuple[Store, Sequence[Record]]]) -> tuple[dict[str, dict[str, float]], list[Problem]]:
    """Endpoints, by the record's identity, of the runs that left outputs, and the files that say nothing."""
    found: dict[str, dict[str, float]] = {}
    problems = []
    for store, records in by_store:
        for record in records:
            path = store.folder_of(record) / FILE
            try:
                arrays = read_outputs(path) if record.spec.kind == "train" else None
                if arrays:
                    found.setdefault(record.identity, endpoints_of(arrays))
            except ValueError as error:
                problems.append(Problem("/".join(path.parts[-2:]), str(error), "unreadable"))
    return found, problems


def estimate_secondary(collection: Collection, kept: Mapping[str, Mapping[str, float]],
                       rivals: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """One row for each cell, endpoint and reference of which both sides left outputs: the baseline, and the arm's rivals as
    they are; without a reference one row with its mean alone. Differences are paired by seed, unadjusted."""
    cells: dict[tuple[Any, ...], dict[int, Run]] = {}
    for run in collection.paired.runs:
        if run.record.identity in kept:
            spec = run.spec
            key = (collection.section_of[run.comparison], spec.task, spec.arm or "", spec.auxiliary or "", run.variant)
            cells.setdefault(key, {})[spec.seed] = run
    rows = []
    for key, by_seed in cells.items():
        section, task, arm, auxiliary, _ = key
        others = {name: cells.get((section, task, name, auxiliary, "")) or cells.get((section, task, name, "", "")) or {}
                  for name in rivals.get(arm, ())}
        for endpoint in dict.fromkeys(name for run in by_seed.values() for name in kept[run.record.identity]):
            own = {seed: kept[run.record.identity][endpoint] for seed, run in by_seed.items()
                   if endpoint in kept[run.record.identity]}
            row = dict(zip(CELL, key, strict=True)) | {
                "endpoint": endpoint, "seeds_kept": len(own), "mean": sum(own.values()) / len(own)}
            measured = []
            for reference in (BASELINE, *others):
                pairs = {}
                for seed, run in sorted(by_seed.items()):
                    other = (collection.paired.baseline_of.get(run) if reference == BASELINE else others[reference].get(seed))
                    if (seed in own and other is not None and alike(run, other)
                            and endpoint in kept.get(other.record.identity, {})):
                        pairs[seed] = (own[seed], kept[other.record.identity][endpoint])
                if pairs:
                    measured.append({"reference": reference, **difference_of(pairs, *zip(*pairs.values(), strict=True))})
            rows += [row | one for one in measured or [{"reference": ""}]]
    tasks = list(collection.tasks)
    rows.sort(key=lambda row: (row["section"], tasks.index(str(row["task"]))))
    return pd.DataFrame(rows, columns=SECONDARY_COLUMNS)
