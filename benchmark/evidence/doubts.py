"""Records and runs in, remarks out: what a reader should know of them before any value is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmark.evidence.inputs import Remark, TaskInfo
from benchmark.evidence.pairing import CONTRADICTS, Run, by_arithmetic, remark_on, values_beside
from benchmark.provenance.currency import started_otherwise
from benchmark.records.record import Record, Selection
from benchmark.spec.runspec import canonical_json

FRACTIONS = "Values look like fractions, and their unit is %"
STARTED_OTHERWISE = "Started from weights that were computed anew since"
SEVERAL_VERSIONS = "Seeds of one cell are of several versions of the code"
TESTED_EARLIER = "Counted as after the last epoch, and last tested before it"


def started_from_others(runs: Sequence[Run], records: Sequence[Record]) -> list[Remark]:
    """Runs that started from other weights than those that the recorded run left which they name"""
    left: dict[str, set[str]] = {}
    for record in records:
        left.setdefault(record.run_id, set()).add(record.weights.get("result", ""))
    return [Remark(STARTED_OTHERWISE, run.name,
                   f"its {role}, {run.spec.starts[role]}, left others")
            for run in runs for role in started_otherwise(run.spec.starts, run.record.weights, left)]


def tested_earlier(runs: Sequence[Run]) -> list[Remark]:
    """Runs without a test after their last epoch: no run leaves such a record, and a file that was altered may"""
    ends = {run: max((row.step for row in run.record.measurements if row.split == "test"), default=None) for run in runs}
    return [Remark(TESTED_EARLIER, run.name, f"after epoch {end} of {run.spec.recipe.epochs}")
            for run, end in ends.items() if end is not None and end < run.spec.recipe.epochs]


def of_several_versions(runs: Sequence[Run], tasks: Mapping[str, TaskInfo]) -> list[Remark]:
    """Cells of tasks that are not loaded, so that nobody knows which code is today's, whose seeds differ in their code"""
    codes: dict[tuple[str, ...], dict[str, Run]] = {}
    for run in (run for run in runs if run.spec.task not in tasks):
        codes.setdefault(run.cell, {})[canonical_json(dict(run.record.code))] = run
    return [Remark(SEVERAL_VERSIONS, run.spec.cell, f"{len(versions)} versions")
            for versions in codes.values() if len(versions) > 1 for run in [next(iter(versions.values()))]]


def in_fractions(measured: Mapping[Run, Mapping[str, Mapping[Selection, float | None]]],
                 tasks: Mapping[str, TaskInfo]) -> list[Remark]:
    """Tasks whose main metric is in percent and by chance above 1, and of which no run is: what is bad is at chance, not at a
    tenth of it."""
    highest: dict[tuple[str, str], float] = {}
    for run, by_metric in measured.items():
        found = [value for value in by_metric.get(tasks[run.spec.task].metrics[0].name, {}).values() if value is not None]
        key = (run.spec.task, run.spec.profile)
        highest[key] = max([highest.get(key, 0.0), *found])
    return [Remark(FRACTIONS, task, f"no run of the profile {profile} has more than {high:.3g} % {metric.name}, and chance is "
                   f"{chance:g} %: if the meter gives 0.46 for 46 %, correct it and compute the runs again")
            for (task, profile), high in highest.items() for metric in tasks[task].metrics[:1]
            for chance in [tasks[task].chance.get(profile, 0.0)]
            if metric.unit == "%" and metric.higher_is_better and chance > 1 >= high > 0]


def on_spare(spare: tuple[str, Record, Record]) -> Remark:
    """On a record beside which another one of its run counts. Of one folder, two results of a run that differ contradict each
    other, wherever they were computed: which of them others started from, or were compared with, is not known."""
    folder, record, counts = spare
    if record == counts:
        return Remark("Copies of records, each of which counts once", folder, f"of {counts.spec.name}")
    values = values_beside(record, counts)  # of one run, as only such are spares
    kind = CONTRADICTS if values else "Other records of runs that have one in their own folder"
    return replace(remark_on(Run(record), Run(counts), kind, values), name=folder)


def on_pretrainings(records: Sequence[Record]) -> list[Remark]:
    """Pretrainings of which two records contradict each other; of trainings it is found where they are paired."""
    used: dict[tuple[object, ...], Run] = {}
    runs = by_arithmetic([Run(record) for record in records if record.spec.kind == "pretrain"])
    remarks = [remark_on(run, used.setdefault((run.record.origin, *run.environment), run), "") for run in runs]
    return [remark for remark in remarks if remark.kind == CONTRADICTS]
