"""Paired runs in, what an arm costs beside its baseline out (the paper's Table 7)."""

from __future__ import annotations

import pandas as pd

from benchmark.evidence.collect import CELL, Collection
from benchmark.evidence.pairing import Run, time_ratios
from benchmark.evidence.stats import (
    ratio_interval,
)

COST_COLUMNS = [*CELL, "n", *(f"{what}_{part}" for what in ("time", "inference") for part in ("n", "ratio", "low", "high")),
                "memory_ratio", "trainable", "training", "merged", "baseline_trainable"]


def estimate_cost(collection: Collection) -> pd.DataFrame:
    """One row a cell that is paired with a baseline: times and peak memory over the baseline's, and parameters.

    Ratios are geometric means over seeds, of seconds spent in training steps, of seconds that a sample takes after merging,
    and of bytes; of runs by one command, as another's processes hold other things, too. Parameters are counts: `trainable` that
    get gradients, `training` all that are in memory while training, `merged` what is left after merging.
    """
    groups: dict[tuple[int, str, str, str, str], list[tuple[Run, Run]]] = {}
    for run, baseline in collection.paired.baseline_of.items():
        key = (collection.section_of[run.comparison], run.spec.task, *run.cell[1:])
        groups.setdefault(key, []).append((run, baseline))
    rows = []
    for key, pairs in groups.items():
        row: dict[str, object] = dict(zip(CELL, key, strict=True)) | {"n": len(pairs)}
        for what, name in (("time", "train"), ("inference", "inference")):
            times = time_ratios(pairs, name)
            if times:
                estimate = ratio_interval(times)
                low, high = estimate.interval or (None, None)
                row |= {f"{what}_n": estimate.n, f"{what}_ratio": estimate.mean, f"{what}_low": low, f"{what}_high": high}
        memory = [ours / theirs for run, baseline in pairs if run.record.command == baseline.record.command
                  and (ours := run.record.peak_memory_bytes) and (theirs := baseline.record.peak_memory_bytes)]
        if memory:
            row["memory_ratio"] = ratio_interval(memory).mean
        run, baseline = pairs[0]
        row |= {name: run.record.parameters.get(name) for name in ("trainable", "training", "merged")}
        row["baseline_trainable"] = baseline.record.parameters.get("trainable")
        rows.append(row)
    tasks, modalities = list(collection.tasks), ["", *collection.modalities]
    rows.sort(key=lambda row: (row["section"], tasks.index(str(row["task"])), str(row["arm"]), str(row["variant"]),
                               modalities.index(str(row["auxiliary"]))))
    return pd.DataFrame(rows, columns=COST_COLUMNS)
