"""Paired runs in, what an arm costs beside its baseline out (the paper's Table 7): numbers, table, figure."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from benchmark.evidence.collect import CELL, Collection
from benchmark.evidence.estimates import known
from benchmark.evidence.pairing import SHORTEST_S, Run, time_ratios
from benchmark.evidence.stats import ratio_interval
from benchmark.report.canvas import BASELINE, Interval, forest, make_title, modality_colours, shorten
from benchmark.report.markup import NONE, Table, text_rows
from benchmark.report.tables import cell_label, rows_of

MEGA = 1e6
COST_COLUMNS = [*CELL, "n", *(f"{what}_{part}" for what in ("time", "inference") for part in ("n", "ratio", "low", "high")),
                "memory_ratio", "trainable", "training", "merged", "baseline_trainable"]


def estimate_cost(collection: Collection) -> pd.DataFrame:
    """One row a cell that is paired with a baseline: times and peak memory over the baseline's, and parameters.

    Ratios are geometric means over seeds, of seconds spent in training steps, of seconds that a sample takes after merging,
    and of bytes. Parameters are counts: `trainable` that get gradients, `training` all that are in memory while training,
    `merged` what is left after merging.
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
        memory = [ours / theirs for run, baseline in pairs
                  if (ours := run.record.peak_memory_bytes) and (theirs := baseline.record.peak_memory_bytes)]
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


def cost_table(collection: Collection, cost: pd.DataFrame, section: int) -> Table:
    """Every cell of a section."""
    rows = []
    for row in rows_of(cost[cost["section"] == section]):
        times = [_ratio(row.time_ratio, row.time_low, row.time_high, row.time_n),
                 _ratio(row.inference_ratio, row.inference_low, row.inference_high, row.inference_n)]
        memory = NONE if pd.isna(row.memory_ratio) else f"{row.memory_ratio:.2f}"
        counts = [_millions(value) for value in (row.baseline_trainable, row.trainable, row.merged)]
        rows.append([row.task, cell_label(row.arm, row.auxiliary, row.variant), str(row.n), *times, memory, *counts])
    header = ("Target", "Cell", "n", "Training time", "Inference time", "Peak memory", "Trainable, baseline (M)",
              "Trainable (M)", "After merging (M)")
    notes = ("Times and peak memory over those of the baseline of the same seed and hardware, geometric mean over seeds with "
             "the 95 % t-interval of logarithms (n timed pairs). Compared are times of runs by one command, each at least "
             f"{1000 * SHORTEST_S:g} ms; those of runs that shared a machine are rough (--matrix cost runs one at a time), and "
             "runs in lock-step have none of their own. Inference is that of the merged model, which is the "
             "baseline's by construction; the record of every run holds how far merging moved its logits.",)
    return Table(f"Cost beside the baseline: {collection.sections[section].title}", header, text_rows(rows), notes,
                 num_labels=2)


def draw_cost(collection: Collection, cost: pd.DataFrame, section: int) -> Figure | None:
    """Training time over the baseline's, a dot a cell with its interval; None where no times are known."""
    ours = cost[(cost["section"] == section) & cost["time_ratio"].notna()]
    ours = ours[ours["variant"] == ""] if (ours["variant"] == "").any() else ours
    if ours.empty:
        return None
    colours = modality_colours(collection)
    groups = {task: [
        Interval(shorten(cell_label(row.arm, row.auxiliary, row.variant), 34) + f"  n={int(row.time_n)}", row.time_ratio,
                 known(row.time_low), known(row.time_high), colours.get(row.auxiliary, BASELINE))
        for row in rows_of(ours[ours["task"] == task])] for task in dict.fromkeys(ours["task"])}
    figure = forest(groups, 1, "training time over the baseline's of the same seed, 95 % interval; hollow: no interval")
    figure.suptitle(make_title("What the arms cost while training", collection, section), x=0.01, ha="left", fontsize=10)
    return figure


def _ratio(mean: float, low: float, high: float, n: float) -> str:
    interval = "" if pd.isna(low) else f" [{low:.2f}, {high:.2f}]"
    return NONE if pd.isna(mean) else f"{mean:.2f}{interval} (n={int(n)})"


def _millions(count: object) -> str:
    return NONE if pd.isna(count) else f"{float(str(count)) / MEGA:.{2 if float(str(count)) >= MEGA / 100 else 4}f}"  # type: ignore[call-overload]
