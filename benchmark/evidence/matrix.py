"""A collection in, the target x auxiliary matrix out: its rows, its columns, its cells as a long table."""

from __future__ import annotations

import pandas as pd

from benchmark.evidence.collect import Collection
from benchmark.evidence.frames import first_row
from benchmark.records.record import Selection

DONE, MISSING, SAME = "done", "missing", "same modality"  # states of a cell, beside those of problems
UNPAIRED = "not paired"  # of one that has a value, and no difference


def list_matrices(collection: Collection, section: int) -> list[tuple[str, str]]:
    """The (arm, variant) of every matrix of a section: the methods' default variant, or their variants without one."""
    named = [(run.spec, run.variant) for run in collection.runs_of(section)]
    named += [(spec, spec.variant) for _, spec in collection.problems_of(section)]
    methods = sorted({(s.arm or "none", variant) for s, variant in named if s.role == "method" and s.auxiliary})
    with_default = {arm for arm, variant in methods if not variant}
    return [(arm, variant) for arm, variant in methods if not variant or arm not in with_default]


def list_rows(collection: Collection, section: int) -> list[str]:
    """Tasks with a run or a problem in the section, in the order of tasks"""
    present = {run.spec.task for run in collection.runs_of(section)}
    present |= {spec.task for _, spec in collection.problems_of(section)}
    return [task for task in collection.tasks if task in present]


def list_targets(collection: Collection, section: int) -> list[str]:
    """Rows of the matrix: tasks of which a pair has a result, or a reason for having none, in the order of tasks"""
    paired = {run.spec.task for run in collection.runs_of(section) if run.spec.role == "method"}
    paired |= {spec.task for _, spec in collection.problems_of(section) if spec.role == "method"}
    return [task for task in collection.tasks if task in paired]


def list_auxiliaries(collection: Collection, section: int) -> list[str]:
    """Columns of the matrix: auxiliaries of methods that were run, or failed, in the order of modalities"""
    specs = [run.spec for run in collection.runs_of(section)] + [spec for _, spec in collection.problems_of(section)]
    used = {spec.auxiliary for spec in specs if spec.role == "method" and spec.auxiliary}
    return [modality for modality in collection.modalities if modality in used]


def matrix_frame(
    collection: Collection, cells: pd.DataFrame, effects: pd.DataFrame, section: int, arm: str, variant: str
) -> pd.DataFrame:
    """The matrix as a long table at full precision, absent cells with their state."""
    select: Selection = effects["select"].iloc[0] if len(effects) else "last"
    rows = []
    for task in list_targets(collection, section):
        metric = collection.tasks[task].metrics[0]
        place = collection.sections[section]
        for auxiliary in ["", *list_auxiliaries(collection, section)]:
            keys = {"section": section, "task": task, "auxiliary": auxiliary, "metric": metric.name}
            keys |= {"role": "baseline"} if not auxiliary else {"arm": arm, "variant": variant}
            mean, effect = first_row(cells, keys), first_row(effects, keys)
            state = DONE if mean is not None else state_of(collection, section, task, arm, variant, auxiliary)
            row = {"profile": place.profile, "setting": place.setting, "limit": place.limit, "target": task}
            row |= {"auxiliary": auxiliary or "baseline", "metric": metric.name, "unit": metric.unit, "select": select}
            row |= {"state": state}
            fields = ("n", "mean", "sd", "low", "high")
            row |= {field: None if mean is None else getattr(mean, f"{select}_{field}") for field in fields}
            paired = ("difference", "low", "high", "p", "p_holm", "found_from")
            names = [name if name == "difference" else f"difference_{name}" for name in paired]
            row |= {"pairs": None if effect is None else effect.n}
            row |= {n: None if effect is None else getattr(effect, f) for n, f in zip(names, paired, strict=True)}
            rows.append(row)
    return pd.DataFrame(rows).convert_dtypes()


def state_of(
    collection: Collection, section: int, task: str, arm: str = "", variant: str = "", auxiliary: str = ""
) -> str:
    """Why a cell has no value: a state of its problem, the same modality, or missing."""
    for state, spec in collection.problems_of(section):
        is_cell = (spec.arm, spec.variant, spec.auxiliary) == (arm, variant, auxiliary)
        if spec.task == task and (is_cell if auxiliary else spec.role == "baseline"):
            return state
    return SAME if auxiliary == collection.tasks[task].modality else MISSING


def count_missing(collection: Collection, cells: pd.DataFrame, effects: pd.DataFrame) -> int:
    """Baselines, and targets with an auxiliary that was run, of which the matrices have no value and no reason"""
    missing = 0
    for section in range(len(collection.sections)):
        for arm, variant in list_matrices(collection, section):
            missing += int((matrix_frame(collection, cells, effects, section, arm, variant)["state"] == MISSING).sum())
    return missing
