"""An arm with a task in; whether one step of it, its merging and its export hold to what the suite asks, out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmark.check.finding import Finding
from benchmark.check.gradients import faults_of_pathways, thawed
from benchmark.model.weights import save_weights
from benchmark.plan.matrix import Cell, Job, Plan, Planner, pretraining_tasks
from benchmark.plan.overrides import parse_override
from benchmark.records.record import Record
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.recipes import Setting
from benchmark.spec.runspec import Pretrained, Site
from benchmark.train.execute import execute
from benchmark.train.setup import build, build_autoencoder

BATCH = 8
SAMPLES = 2 * BATCH  # of each split: the second of two steps has a rate of 0
STEP = [f"{scope}.{value}" for scope in ("recipe", "pretrain")
        for value in ("epochs=1", "warmup_epochs=0", f"batch_size={BATCH}", "accumulation=1")]
CLOSE = 1e-4  # merged and unmerged logits, relative to the largest


def check_arm(arm: Arm, tasks: Mapping[str, Task], profile: str) -> Iterator[Finding]:
    """One step of an arm on every task of a profile, in each of its settings."""
    for task in tasks.values():
        if profile in task.profiles:
            for setting in arm.settings:
                yield check_cell(arm, task, setting, tasks, profile)


def check_steps(task: Task, tasks: Mapping[str, Task], arms: Mapping[str, Arm], profile: str) -> Iterator[Finding]:
    """One step on a task, in its first setting, of every arm that builds, tunes or merges a model, or adds to its loss, in a
    way of its own, as most controls differ in what weights begin as alone; a scale that stays is the arm's affair.
    """
    ways = {(type(arm).build, type(arm).tune, type(arm).merge, type(arm).further_loss, arm.settings[0]): arm
            for arm in reversed([*arms.values()])}
    for arm in reversed([*ways.values()]):  # of each way the first arm
        found = check_cell(arm, task, arm.settings[0], tasks, profile)
        yield replace(found, level="ok") if found.level == "note" else found


def check_cell(arm: Arm, task: Task, setting: Setting, tasks: Mapping[str, Task], profile: str) -> Finding:
    """One step, twice, from encoders that know nothing."""
    modality = next((name for name, other in pretraining_tasks(tasks).items()
                     if name != task.modality and profile in other.profiles), None)
    auxiliary = modality if arm.uses_auxiliary else None
    cell = f"{arm.name}{f'({auxiliary})' if auxiliary else ''} on {task.name}, {setting}"
    try:
        overrides = [parse_override(text, tasks, may_fit_nothing=True) for text in STEP]
        planner = Planner(tasks, profile, overrides, limit=SAMPLES)
        plan = planner.plan([Cell(task, arm, setting, auxiliary)], [0])
        with TemporaryDirectory(prefix="check-") as folder:
            place = Path(folder)
            record, again = (carry_out(plan, place / name) for name in ("one", "two"))
            faults = list(faults_of(record, again))
            job = plan.jobs[-1]
            pathways = build(job.spec, job.task, arm, starts_of(job, plan, place / "one")).pathways
            faults += thawed(pathways) if setting == "fix" else ()
            faults += faults_of_pathways(pathways)
    except Exception as error:  # of whatever kind, it is what is looked for
        return Finding("error", f"{cell}: {type(error).__name__}: {' '.join(str(error).split())}")
    if faults:
        return Finding("error", f"{cell}: {'; '.join(faults)}")
    joined = f"{len(record.layers)} pathways, merged within {record.merge_difference:.0e}" if record.layers else "no pathway"
    still = record.layers and all(layer.scale == 0 for layer in record.layers)
    return Finding("note" if still else "ok", f"{cell}: one step; {joined}" + ("; no scale has moved" if still else ""))


def carry_out(plan: Plan, folder: Path) -> Record:
    """The last run of a plan, from pretrainings that were never trained."""
    for job in plan.jobs:
        weights = _weights(job.spec.run_id, plan, folder)
        weights.parent.mkdir(parents=True)
        if job.spec.kind == "pretrain":
            save_weights(build_autoencoder(job.spec, job.task).encoder, weights)
            continue
        record = execute(job.spec, job.task, job.arm, Site(results=""), weights.parent, starts_of(job, plan, folder))
    return record


def starts_of(job: Job, plan: Plan, folder: Path) -> dict[str, Pretrained]:
    """What a run of the plan that was carried out in `folder` starts from, by role"""
    return {role: Pretrained(weights=_weights(need.run_id, plan, folder), shape=need.shape) for role, need in job.needs}


def _weights(run_id: str, plan: Plan, folder: Path) -> Path:
    names = {job.spec.run_id: job.spec.name for job in plan.jobs} | {plan.jobs[-1].spec.run_id: "run"}
    return folder / names[run_id] / "weights.safetensors"


def faults_of(record: Record, again: Record) -> Iterator[str]:
    """Of two executions of one run"""
    if record.weights["result"] != again.weights["result"]:
        yield "two executions end in different weights: draw from the generator that `build` is given"
    if record.merge_difference is not None and record.merge_difference > CLOSE:
        yield f"the merged model differs by {record.merge_difference:.1e} of the largest logit from the one that was trained"
