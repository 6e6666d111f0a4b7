"""Run records in, long tables of what happened while training out: learning curves, learned scales."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from benchmark.evidence.collect import CELL, Collection
from benchmark.evidence.matrix import list_rows
from benchmark.evidence.pairing import Run


def curves_frame(collection: Collection, section: int) -> pd.DataFrame:
    """The numbers of `draw_curves`: one row a run, split and epoch, of the main metric."""
    rows = []
    for task in list_rows(collection, section):
        metric = collection.tasks[task].metrics[0].name
        for (auxiliary, arm, variant), runs in curve_runs(collection, section, task).items():
            for run in runs:
                for split in ("val", "test"):
                    rows += [(section, task, arm, auxiliary, variant, run.spec.seed, split, metric, step, value)
                             for step, value in run.record.curve(split, metric)]
    return pd.DataFrame(rows, columns=[*CELL, "seed", "split", "metric", "epoch", "value"])


def scales_frame(collection: Collection, section: int) -> pd.DataFrame:
    """The numbers of `draw_scales`, with the other diagnostics: one row a run and layer."""
    rows = [(section, run.spec.task, *run.cell[1:], run.spec.seed, layer.name, layer.scale, layer.update_share,
             layer.auxiliary_cosine)
            for run in collection.runs_of(section) for layer in run.record.layers if run.spec.role == "method"]
    return pd.DataFrame(rows, columns=[*CELL, "seed", "layer", "scale", "update_share", "auxiliary_cosine"])


def curve_runs(collection: Collection, section: int, task: str) -> Mapping[tuple[str, str, str], list[Run]]:
    """Runs by (auxiliary, arm, variant): baseline and methods' defaults; controls and variants would hide them."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in collection.runs_of(section):
        spec = run.spec
        if spec.task == task and (spec.role == "baseline" or (spec.role == "method" and not run.variant)):
            groups.setdefault((spec.auxiliary or "", spec.arm or "none", run.variant), []).append(run)
    order = ["", *collection.modalities]
    return dict(sorted(groups.items(), key=lambda item: (order.index(item[0][0]), item[0])))
