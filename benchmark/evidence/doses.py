"""Runs whose A shares a known cosine with a solution in; gains, the cosine that is detected, and those of auxiliaries, out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

import pandas as pd

from benchmark.evidence.collect import Collection
from benchmark.evidence.frames import rows_of
from benchmark.evidence.rule import BASELINE, HELPS, NO_EVIDENCE

DOSE_COLUMNS = ["section", "task", "cosine", "reference", "n", "difference", "low", "high", "p", "verdict"]
DETECTED_COLUMNS = ["section", "task", "detected", "seeds", "smallest", "smallest_seeds", "auxiliaries", "rms", "largest",
                    "chance"]


def estimate_doses(collection: Collection, contrasts: pd.DataFrame, verdicts: pd.DataFrame, arm: str,
                   option: str) -> pd.DataFrame:
    """One row for each section, target, cosine and reference of an arm of which `option` is the cosine of A with the solution:
    the gain over the reference as `contrasts` has it, and the first rule's verdict on the cell. Variants that differ in
    anything else are no doses: of two cells of one cosine, one would hide the other."""
    dose = {(row.section, row.task, row.variant): row.verdict for row in rows_of(verdicts) if row.arm == arm and not row.tuned}
    cosine = {(collection.section_of[run.comparison], run.spec.task, run.variant): run.spec.options[option]
              for run in collection.paired.runs if run.spec.arm == arm and option in run.spec.options}
    rows = [{"section": row.section, "task": row.task, "cosine": cosine[row.section, row.task, row.variant],
             **{name: getattr(row, name) for name in ("reference", "n", "difference", "low", "high", "p")},
             "verdict": dose.get((row.section, row.task, row.variant), "")}
            for row in rows_of(contrasts) if row.arm == arm and not row.tuned and row.n > 0
            and all(part.startswith(f"{option}=") for part in row.variant.split(",") if part)]
    frame = pd.DataFrame(rows, columns=DOSE_COLUMNS)
    return frame.sort_values(["section", "cosine"], ascending=[True, False], kind="stable").reset_index(drop=True)


def detected_cosines(collection: Collection, doses: pd.DataFrame, noted: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row for each section and target with doses; counted are doses on which the rule has a verdict.

    `detected`: the smallest cosine at which the rule finds help, as it does at all larger ones that were run, and its `seeds`;
    None where it finds none. `smallest`: the next one, at which it does not, and its `smallest_seeds`; None where the rule has
    no verdict on any (controls or seeds are missing). `auxiliaries`: how many real ones have a known cosine, under which
    setting ever; `rms` over their layers, `largest` of any of them over all its layers, in size; `chance`: 1 / sqrt of a
    layer's numbers, rms over layers.
    """
    by_task: dict[str, list[Mapping[str, Any]]] = {}
    for run in collection.paired.runs:
        if run.record.identity in noted:
            by_task.setdefault(run.spec.task, []).append(noted[run.record.identity])
    rows = []
    for (section, task), group in doses[doses["reference"] == BASELINE].groupby(["section", "task"], sort=False):
        found, seeds, smallest, smallest_seeds = None, 0, None, 0
        judged = [row for row in rows_of(group) if row.verdict in (HELPS, NO_EVIDENCE)]
        for row in sorted(judged, key=lambda row: -float(row.cosine)):
            smallest, smallest_seeds = float(row.cosine), int(row.n)
            if row.verdict != HELPS:
                break
            found, seeds = smallest, smallest_seeds
        # Runs of one auxiliary, seed and target are noted once, whatever their setting.
        known = list({tuple(one["cosine"]): one for one in by_task.get(str(task), [])}.values())
        layers = [value for one in known for value in one["cosine"]]
        rows.append({
            "section": section, "task": task, "detected": found, "seeds": seeds, "smallest": smallest,
            "smallest_seeds": smallest_seeds,
            "auxiliaries": len(known), "rms": math.sqrt(fmean(value**2 for value in layers)) if layers else None,
            "largest": max((abs(one["all"]) for one in known), default=None),
            "chance": math.sqrt(fmean(1 / number for one in known for number in one["numbers"])) if layers else None})
    return pd.DataFrame(rows, columns=DETECTED_COLUMNS)
