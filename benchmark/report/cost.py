"""Costs beside the baseline's in, their table and figure out."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from benchmark.evidence.collect import Collection
from benchmark.evidence.estimates import known
from benchmark.evidence.frames import rows_of
from benchmark.evidence.pairing import SHORTEST_S
from benchmark.report.canvas import BASELINE, Interval, forest, make_title, modality_colours, shorten
from benchmark.report.markup import NONE, Table, text_rows
from benchmark.report.tables import cell_label

MEGA = 1e6


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
             "the 95 % t-interval of logarithms (n timed pairs). Compared are runs by one command, and times of at least "
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
    figure = forest(groups, 1, "training time over the baseline's of the same seed, 95 % interval")
    figure.suptitle(make_title("What the arms cost while training", collection, section), x=0.01, ha="left", fontsize=10)
    return figure


def _ratio(mean: float, low: float, high: float, n: float) -> str:
    interval = "" if pd.isna(low) else f" [{low:.2f}, {high:.2f}]"
    return NONE if pd.isna(mean) else f"{mean:.2f}{interval} (n={int(n)})"


def _millions(count: object) -> str:
    return NONE if pd.isna(count) else f"{float(str(count)) / MEGA:.{2 if float(str(count)) >= MEGA / 100 else 4}f}"  # type: ignore[call-overload]
