"""Run records in, long tables out: which runs count, what they measured, how they differ from their baseline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.evidence.doubts import (
    in_fractions,
    of_several_versions,
    on_pretrainings,
    on_spare,
    started_from_others,
    tested_earlier,
)
from benchmark.evidence.inputs import Problem, Remark, TaskInfo
from benchmark.evidence.pairing import Paired, Run, by_arithmetic, pair_runs
from benchmark.evidence.sections import Section, assign_sections, stated_conditions
from benchmark.provenance.currency import UP_TO_DATE, Standing
from benchmark.records.earlier import RecordError
from benchmark.records.record import Record, Selection, read_record
from benchmark.spec.contracts import Metric
from benchmark.spec.runspec import RunSpec, canonical_json

CELL = ["section", "task", "arm", "auxiliary", "variant"]
BySelection = Mapping[Selection, float | None]
SELECTIONS: tuple[Selection, ...] = ("last", "best_val", "oracle")
RUN_COLUMNS = ["run", *CELL, "role", "seed", "stale"]
VALUE_COLUMNS = [*RUN_COLUMNS, "metric", *SELECTIONS]
PAIR_COLUMNS = [*VALUE_COLUMNS, *(f"{side}_{s}" for side in ("treated", "baseline") for s in SELECTIONS), "baseline"]


@dataclass(frozen=True)
class Collection:
    """What a report is made of. Frames share the key columns `CELL`; `section` is an index into `sections`.

    `values`: one row per run and metric, the test value under every selection. `pairs`: one row per paired run and
    metric, the difference to the baseline under every selection, and both sides. Units are those of the metrics.
    """

    records: tuple[Record, ...]
    paired: Paired
    measured: Mapping[Run, Mapping[str, BySelection]]  # of every training, kept or not, by metric
    values: pd.DataFrame
    pairs: pd.DataFrame
    sections: tuple[Section, ...]
    section_of: Mapping[str, int]  # by comparison
    tasks: Mapping[str, TaskInfo]
    problems: tuple[Problem, ...]
    remarks: tuple[Remark, ...]
    pretraining_sources: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by modality

    @property
    def modalities(self) -> list[str]:
        """Every modality that occurs, in the order of all tasks that are known; auxiliaries of no task last."""
        specs = [run.spec for run in self.paired.runs] + [p.spec for p in self.problems if p.spec]
        others = sorted({spec.auxiliary for spec in specs if spec.auxiliary})
        here, known = [*(info.modality for info in self.tasks.values()), *others], list(self.pretraining_sources)
        return sorted(dict.fromkeys(here), key=lambda name: known.index(name) if name in known else len(known))

    def runs_of(self, section: int) -> list[Run]:
        return [run for run in self.paired.runs if self.section_of[run.comparison] == section]

    def problems_of(self, section: int) -> list[tuple[str, RunSpec]]:
        """State and spec of the section's trainings that have no result"""
        trainings = [(p.state, p.spec) for p in self.problems if p.spec is not None and p.spec.kind == "train"]
        return [(state, spec) for state, spec in trainings if self.section_of[spec.comparison] == section]


def collect(
    sources: Iterable[Path | Record],
    problems: Iterable[Problem] = (),
    tasks: Mapping[str, TaskInfo] | None = None,
    standings: Mapping[str, Standing] | None = None,
    spares: Iterable[tuple[str, Record, Record]] = (),
) -> Collection:
    """Read, group, pair. A file that cannot be read becomes a problem.

    `standings`: how each record stands to today's code and data by its identity, if known. `spares`: as `Gathered.spares`.
    """
    records, unreadable = _read(sources)
    found = (*sorted(problems, key=lambda p: (p.name, p.state, p.reason)), *unreadable)
    infos, foreign = _with_foreign_tasks(records, found, tasks or {})
    pretrainings = {r.run_id: r.spec for r in records if r.spec.kind == "pretrain"}
    runs = []
    for record in (record for record in records if record.spec.kind == "train"):
        otherwise = alterations(record.spec, pretrainings, tasks or {})
        standing = UP_TO_DATE if standings is None else standings[record.identity]
        runs.append(Run(record, standing, not otherwise, ",".join(untold(record.spec, otherwise))))
    specs = [r.spec for r in runs] + [p.spec for p in found if p.spec is not None and p.spec.kind == "train"]
    own = {(task, *place): stated for task, info in infos.items() for place, stated in info.conditions.items()}
    by_comparison = assign_sections(specs, _weights(runs, standings is not None), own)
    sections = tuple(sorted(set(by_comparison.values()), key=lambda section: section.order))
    section_of = {comparison: sections.index(section) for comparison, section in by_comparison.items()}
    runs = by_arithmetic(with_files_told(where_it_tells(runs, by_comparison)))
    paired = pair_runs(runs)
    measured = {run: _measured(run.record, infos[run.spec.task].metrics) for run in runs}
    values = [
        {**_key(run, section_of), "metric": metric, **by_selection}
        for run in paired.runs
        for metric, by_selection in measured[run].items()
    ]
    unmeasured = [
        Remark("No test measurement of the main metric", run.name, infos[run.spec.task].metrics[0].name)
        for run in paired.runs
        if infos[run.spec.task].metrics[0].name not in measured[run]
    ]
    doubts = (*started_from_others(paired.runs, records), *of_several_versions(paired.runs, tasks or {}),
              *in_fractions(measured, infos), *map(on_spare, spares), *on_pretrainings(records), *tested_earlier(paired.runs))
    remarks = sorted({*foreign, *paired.remarks, *unmeasured, *doubts}, key=lambda r: (r.kind, r.name, r.detail))
    return Collection(
        records=tuple(records),
        paired=paired,
        measured=measured,
        values=pd.DataFrame(values, columns=VALUE_COLUMNS),
        pairs=pd.DataFrame(_pair_rows(paired, measured, section_of), columns=PAIR_COLUMNS),
        sections=sections,
        section_of=section_of,
        tasks=infos,
        problems=found,
        remarks=tuple(remarks),
        pretraining_sources={info.modality: info.sources for info in (tasks or {}).values() if info.pretrains},
    )


def main_values(collection: Collection, select: Selection) -> Iterator[tuple[Any, float]]:
    """Each row of `collection.values` of its task's main metric that has a value under a selection, with that value."""
    main = {task: info.metrics[0].name for task, info in collection.tasks.items()}
    return (found for found in values_under(collection, select) if found[0].metric == main[found[0].task])


def values_under(collection: Collection, select: Selection) -> Iterator[tuple[Any, float]]:
    """Each row of `collection.values` that has a value under a selection, with that value."""
    for row in collection.values.itertuples(index=False, name="Row"):
        value = getattr(row, select)
        if not pd.isna(value):
            yield row, float(value)


def values_of_runs(collection: Collection, select: Selection) -> dict[Run, float]:
    """The value of its task's main metric of every run that has one, also of those that stand in no table: a run is compared
    with the baseline of its own environment, which need not be the one that is shown."""
    main = {task: info.metrics[0].name for task, info in collection.tasks.items()}
    found = {run: by_metric.get(main[run.spec.task], {}).get(select) for run, by_metric in collection.measured.items()}
    return {run: value for run, value in found.items() if value is not None and not math.isnan(value)}


def sign_of(metric: Metric) -> int:
    """What turns a difference into the better direction: -1 for a metric that is to be low"""
    return 1 if metric.higher_is_better else -1


def find_metric(collection: Collection, task: str, name: str) -> Metric:
    return next(metric for metric in collection.tasks[task].metrics if metric.name == name)


def chance_of(collection: Collection, task: str, profile: str) -> float | None:
    """Chance level of the main metric; None where unknown"""
    chance = collection.tasks[task].chance.get(profile)
    return None if chance is None or math.isnan(chance) else chance


def _read(sources: Iterable[Path | Record]) -> tuple[list[Record], list[Problem]]:
    records, problems = [], []
    for source in sources:
        if isinstance(source, Record):
            records.append(source)
            continue
        try:
            records.append(read_record(source))
        except RecordError as error:
            name = "/".join(source.parts[-2:])  # where a results folder lies is no part of a report
            problems.append(Problem(name, str(error).replace(str(source), name), "unreadable"))
    records.sort(key=lambda r: (r.spec.name, canonical_json(r.environment.model_dump()), r.started))
    return records, sorted(problems, key=lambda p: p.name)


def _with_foreign_tasks(
    records: Sequence[Record], problems: Sequence[Problem], tasks: Mapping[str, TaskInfo]
) -> tuple[dict[str, TaskInfo], list[Remark]]:
    """The tasks that occur, with a stand-in for those that are not loaded: the first metric of their test split."""
    specs: dict[str, RunSpec] = {}
    names: dict[str, list[str]] = {}
    for spec, record in [(r.spec, r) for r in records] + [(p.spec, None) for p in problems if p.spec is not None]:
        if spec.kind == "train":
            specs.setdefault(spec.task, spec)
            measurements = record.measurements if record and spec.task not in tasks else []
            names.setdefault(spec.task, []).extend(m.metric for m in measurements if m.split == "test")
    infos = {name: info for name, info in tasks.items() if name in specs}
    remarks = []
    for task in sorted(specs.keys() - tasks.keys()):
        # Stable: a loss is the main metric only where there is nothing else.
        ordered = sorted(dict.fromkeys(names[task]), key=lambda name: name == "loss") or ["unknown"]
        metrics = tuple(Metric(name, unit="", higher_is_better=name != "loss") for name in ordered)
        infos[task] = TaskInfo(specs[task].modality, metrics)
        better = "higher" if metrics[0].higher_is_better else "lower"
        detail = f"shown by its first test metric {metrics[0].name}, unit unknown, {better} taken as better"
        remarks.append(Remark("Task is not loaded", task, detail))
    return infos, remarks


def alterations(spec: RunSpec, pretrainings: Mapping[str, RunSpec], tasks: Mapping[str, TaskInfo]) -> dict[str, str]:
    """What a run has instead of its profile's rate of the scales ("scales") and of its profile's pretrainings, by the role
    that they start, e.g. {"auxiliary": "auxiliary.epochs=2"}; as far as that is known.

    `pretrainings` are those recorded, by run id. A maturity, which is the arm's choice, is no other recipe.
    """
    found = {}
    info, rate = tasks.get(spec.task), getattr(spec.recipe, "scale_lr", None)
    if info is not None and info.scale_lr.get((spec.profile, spec.setting or "none"), rate) != rate:
        found["scales"] = f"scale_lr={rate}"
    for role, start in ((role, pretrainings[run_id]) for role, run_id in spec.starts.items() if run_id in pretrainings):
        stated = tasks[start.task].pretraining.get(start.profile) if start.task in tasks else None
        has = stated_conditions(start.shape, start.recipe.model_dump(mode="json"), None)
        if stated is not None and start.limit == spec.limit:
            others = {name: has.get(name, "absent") for name, value in stated.items()
                      if name != "stop_epoch" and has.get(name) != value}
            if others:
                found[role] = ",".join(f"{role}.{name}={value.replace(',', '+')}" for name, value in sorted(others.items()))
    return found


def untold(spec: RunSpec, altered: Mapping[str, str]) -> list[str]:
    """Of what is `altered` what the run's comparison does not tell, as the plain model has no part in it. Nothing of runs on a
    few samples, which are evidence of nothing."""
    told = {"target"} if spec.shares_start else set()
    if spec.role == "baseline" or spec.limit is not None:
        return []
    return [text for part, text in altered.items() if part not in told]


def where_it_tells(runs: Sequence[Run], sections: Mapping[str, Section]) -> list[Run]:
    """The same runs, altered ones told as variants where that sets them apart: from the profile's own, in a section of the
    profile's conditions; elsewhere only from other runs of their cell, as a matrix may alter all."""
    cells = [(*run.cell[:3], run.spec.variant) for run in runs]
    ways: dict[tuple[str, ...], set[str]] = {}
    for run, cell in zip(runs, cells, strict=True):
        ways.setdefault(cell, set()).add(run.altered)
    return [replace(run, altered="") if run.altered and sections[run.comparison].conditions and len(ways[cell]) == 1 else run
            for run, cell in zip(runs, cells, strict=True)]


def with_files_told(runs: Sequence[Run]) -> list[Run]:
    """The same runs; those that start from a file which others of their comparison and auxiliary do not start from are told as
    variants, so that neither are two auxiliaries of one name averaged, nor is one compared with what was made of the other."""
    ways: dict[tuple[str, ...], set[str]] = {}
    for run in runs:
        for role, way in _untold_starts(run.spec).items():
            ways.setdefault((run.comparison, run.spec.auxiliary or "", role), set()).add(way)
    found = []
    for run in runs:
        files = [f"{role}={way[:8]}" for role, way in sorted(_untold_starts(run.spec).items())
                 if way and len(ways[run.comparison, run.spec.auxiliary or "", role]) > 1]
        found.append(replace(run, altered=",".join(filter(None, (run.altered, *files)))) if files else run)
    return found


def _untold_starts(spec: RunSpec) -> dict[str, str]:
    """By role that the comparison does not tell, the digest of the file that the run starts from, "" where it is another run"""
    told = {"target"} if spec.shares_start else set()
    return {role: start if spec.pretrained.get(role) == start else ""
            for role, start in spec.starts.items() if role not in told}


def _weights(runs: Sequence[Run], current_is_known: bool) -> dict[str, tuple[int, int, int, str]]:
    weights: dict[str, tuple[int, int, int, str]] = {}
    for run in runs:
        own, fresh, number, newest = weights.get(run.comparison, (0, 0, 0, ""))
        fresh += int(current_is_known and not run.stale)
        weights[run.comparison] = (max(own, int(run.own)), fresh, number + 1, max(newest, run.record.started))
    return weights


def _measured(record: Record, metrics: Sequence[Metric]) -> dict[str, BySelection]:
    """Test values by metric and selection. `best_val` is the epoch that the main metric chose, for every metric."""
    curves: dict[tuple[str, str], dict[int, float]] = {}
    for row in record.measurements:
        curves.setdefault((row.split, row.metric), {})[row.step] = row.value
    main = metrics[0]
    chosen = _best_step(curves.get(("val", main.name), {}), curves.get(("test", main.name), {}), sign_of(main))
    values: dict[str, BySelection] = {}
    for metric in metrics:
        if test := curves.get(("test", metric.name)):
            best = _best_step(test, test, sign_of(metric))
            steps: dict[Selection, int | None] = {"last": max(test), "best_val": chosen, "oracle": best}
            values[metric.name] = {s: None if step is None else test.get(step) for s, step in steps.items()}
    return values


def _best_step(chosen_on: Mapping[int, float], known: Mapping[int, float], sign: int) -> int | None:
    """The step of the best value, the earliest of equals, among those that `known` has too; `sign` is -1 where low is best."""
    return max((s for s in chosen_on if s in known), key=lambda s: (sign * chosen_on[s], -s), default=None)


def _key(run: Run, section_of: Mapping[str, int]) -> dict[str, object]:
    spec = run.spec
    cell = (section_of[run.comparison], spec.task, *run.cell[1:])
    return dict(zip(RUN_COLUMNS, (run.record.run_id, *cell, spec.role, spec.seed, run.stale), strict=True))


def _pair_rows(
    paired: Paired, measured: Mapping[Run, Mapping[str, BySelection]], section_of: Mapping[str, int]
) -> list[dict[str, object]]:
    rows = []
    for run, baseline in paired.baseline_of.items():
        for metric in measured[run].keys() & measured[baseline].keys():
            row: dict[str, object] = {**_key(run, section_of), "metric": metric, "baseline": baseline.record.run_id}
            for selection in SELECTIONS:
                treated, reference = measured[run][metric][selection], measured[baseline][metric][selection]
                row |= {f"treated_{selection}": treated, f"baseline_{selection}": reference}
                row[selection] = None if treated is None or reference is None else treated - reference
            rows.append(row)
    return sorted(rows, key=lambda row: (str(row["run"]), str(row["metric"])))
