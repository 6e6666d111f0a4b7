"""An arm with a task in; whether one step of it, its merging and its export hold to what the suite asks, out."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import torch
from torch import nn

from benchmark.check.attempt import expect, told
from benchmark.check.borrowed import fault_of_start
from benchmark.check.finding import Finding
from benchmark.check.gradients import faults_of_pathways, thawed
from benchmark.model.encoder import TransformerModel
from benchmark.model.weights import save_weights
from benchmark.plan.fit import SHARED
from benchmark.plan.matrix import Cell, Job, Plan, Planner, pretraining_tasks
from benchmark.plan.overrides import parse_override
from benchmark.plan.plugins import Unfit
from benchmark.records.record import Record
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.plural import counted
from benchmark.spec.recipes import Setting
from benchmark.spec.runspec import Pretrained, Site
from benchmark.spec.weightfile import exact
from benchmark.train.execute import execute
from benchmark.train.plain import NoPathways
from benchmark.train.setup import build, build_autoencoder

BATCH = 8
SAMPLES = 2 * BATCH  # of each split: the second of two steps has a rate of 0
STEP = [f"{scope}.{value}" for scope in ("recipe", "pretrain")
        for value in ("epochs=1", "warmup_epochs=0", f"batch_size={BATCH}", "accumulation=1")]
MOVED = 1e-3  # standard deviation; weights begin with 0.02
CLOSE = 1e-4  # merged and unmerged logits, relative to the largest


class Untouched(Arm):
    """The model as an arm is given it, in every setting: what one that does nothing ends as."""

    name: ClassVar[str] = "check-untouched"
    summary: ClassVar[str] = "the plain model"
    source: ClassVar[str] = "benchmark check"
    is_baseline: ClassVar[bool] = True


def check_arm(arm: Arm, tasks: Mapping[str, Task], profile: str) -> Iterator[Finding]:
    """One step of an arm on every task of a profile, in each of its settings, and whether it differs from the plain model's."""
    for task in tasks.values():
        if profile in task.profiles:
            for setting in settings_of(arm, task, profile):
                found = check_cell(arm, task, setting, tasks, profile, compare=not arm.is_baseline)
                yield found
                if found.stop:
                    return


def check_steps(task: Task, tasks: Mapping[str, Task], arms: Mapping[str, Arm], profile: str) -> Iterator[Finding]:
    """One step of a task's masked pretraining, and then, in its first setting there, of every arm that builds, tunes or merges
    a model, or adds to its loss, in a way of its own, as most controls differ in what weights begin as alone; a scale that
    stays is the arm's affair.
    """
    if not (yield from check_pretraining(task, tasks, profile)):
        return
    apart = sizes_apart(task, tasks, profile)
    ways = {(type(arm).build, type(arm).tune, type(arm).merge, type(arm).further_loss, setting): (arm, setting)
            for arm in reversed([*arms.values()]) for setting in settings_of(arm, task, profile)[:1]}
    for arm, setting in reversed([*ways.values()]):  # of each way the first arm
        if apart and arm.uses_auxiliary:
            continue
        found = check_cell(arm, task, setting, tasks, profile)
        if found.level == "error" and arm.is_baseline:
            yield replace(found, what=f"{found.what}; no other arm was tried, as this one is the plain model", stop=True)
            return
        yield replace(found, level="ok") if found.level == "note" else found
    if apart:
        yield Finding("error", apart)


def other_modality(task: Task, tasks: Mapping[str, Task], profile: str) -> str | None:
    """The first that could be the task's auxiliary; None without one"""
    return next((name for name, other in pretraining_tasks(tasks).items()
                 if name != task.modality and profile in other.profiles), None)


def sizes_apart(task: Task, tasks: Mapping[str, Task], profile: str) -> str:
    """In which sizes of its blocks a task differs from what would be its auxiliary, so that no run has it; "" in none"""
    modality = other_modality(task, tasks, profile)
    if modality is None:
        return ""
    shapes = [one.profiles[profile].shape for one in (task, pretraining_tasks(tasks)[modality])]
    wrong = [name for name in SHARED if len({getattr(shape, name) for shape in shapes}) > 1]
    ours, theirs = (", ".join(f"{name} {exact(getattr(shape, name))}" for name in wrong) for shape in shapes)
    return "" if not wrong else (
        f"the profile's shape has {ours}, and that of {modality} {theirs}: blocks are joined one to one, so no run has an "
        "auxiliary, and no arm with one was tried; give it those sizes")


def check_pretraining(task: Task, tasks: Mapping[str, Task], profile: str) -> Generator[Finding, None, bool]:
    """One step of it, where the task has its own and a setting begins with it; of another task's, whether its weights fit.
    Returns whether a model can begin with it."""
    settings = [setting for setting in settings_of(Untouched(), task, profile) if setting != "scratch"]
    if not settings:
        return True
    cell = Cell(task, Untouched(), settings[0])
    if task.pretrained_by:
        return (yield from check_start(cell, tasks, profile))
    what = f"masked pretraining on {task.name}"
    try:
        job = planner_of(tasks, profile).plan([cell], [0]).jobs[0]
        with TemporaryDirectory(prefix="check-") as folder:
            execute(job.spec, task, None, Site(results=""), Path(folder), {})
    except Exception as error:  # of whatever kind, it is what is looked for
        yield Finding("error", f"{told(error, what, task)}; it is fed with what load_pretraining() gives, as it stands the "
                      "column 'input' alone")
    else:
        yield Finding("ok", f"{what}: one step")
    return True


def check_start(cell: Cell, tasks: Mapping[str, Task], profile: str) -> Generator[Finding, None, bool]:
    """Whether weights of the task that another names as its pretraining fit; returns that."""
    what = f"pretrained by {cell.task.pretrained_by}"
    try:
        fault = fault_of_start(planner_of(tasks, profile).plan([cell], [0]).jobs, tasks)
    except Exception as error:  # of whatever kind, it is what is looked for
        fault = told(error, what, cell.task)
    if fault:
        yield Finding("error", f"{fault}; no arm was tried", stop=True)
    else:
        yield Finding("ok", f"{what}, whose weights fit")
    return not fault


def planner_of(tasks: Mapping[str, Task], profile: str) -> Planner:
    """Of runs of one step"""
    return Planner(tasks, profile, [parse_override(text, tasks, may_fit_nothing=True) for text in STEP], limit=SAMPLES)


def settings_of(arm: Arm, task: Task, profile: str) -> list[Setting]:
    """Those of an arm that the task has a recipe for"""
    return [setting for setting in arm.settings if setting in task.profiles[profile].train]


def check_cell(arm: Arm, task: Task, setting: Setting, tasks: Mapping[str, Task], profile: str,
               compare: bool = False) -> Finding:
    """One step, twice, from encoders that know nothing; where it is to `compare`, one of the plain model, too."""
    auxiliary = other_modality(task, tasks, profile) if arm.uses_auxiliary else None
    cell = f"{arm.name}{f'({auxiliary})' if auxiliary else ''} on {task.name}, {setting}"
    same = False
    try:
        planner = planner_of(tasks, profile)
        plan = planner.plan([Cell(task, guarded(arm), setting, auxiliary)], [0])
        with TemporaryDirectory(prefix="check-") as folder:
            place = Path(folder)
            record, again = (carry_out(plan, place / name) for name in ("one", "two"))
            faults = list(faults_of(record, again))
            job = plan.jobs[-1]
            built = build(job.spec, job.task, arm, starts_of(job, plan, place / "one"))
            pathways = built.pathways
            faults += thawed(pathways) if setting == "fix" else ()
            faults += faults_of_pathways(pathways)
            if compare and not pathways and not faults:
                plain = carry_out(planner.plan([Cell(task, Untouched(), setting)], [0]), place / "plain")
                same = record.weights["result"] == plain.weights["result"]
    except (Unfit, NoPathways) as error:  # what a method returns is no matter of the task
        return Finding("error", str(error), stop=True)
    except Exception as error:  # of whatever kind, it is what is looked for
        return Finding("error", told(error, cell, arm, task))
    if faults:
        return Finding("error", f"{cell}: {'; '.join(faults)}")
    if same:
        return does_nothing(arm, cell)
    joined = "no pathway" if not record.layers else (
        f"{counted(len(record.layers), 'pathway')}, merged within {record.merge_difference:.0e}")
    still = record.layers and all(layer.scale == 0 for layer in record.layers)
    return Finding("note" if still else "ok", f"{cell}: one step; {joined}" + ("; no scale has moved" if still else ""))


def does_nothing(arm: Arm, cell: str) -> Finding:
    """Of one step that ends in the plain model's weights to the last bit: what a control may do, and a term of the loss that
    comes later."""
    said = f"{cell}: the arm does nothing: after one step the model is the plain one, to the last bit"
    if not arm.is_method or type(arm).further_loss is not Arm.further_loss:
        return Finding("note", said)
    own = [name for name in ("build", "tune") if getattr(type(arm), name) is not getattr(Arm, name)]
    return Finding("error", said + ("" if own else "; it defines no build (is the name misspelt?)"))


def guarded(arm: Arm) -> Arm:
    """The arm, which says what is wrong with what its `tune` and `further_loss` return"""
    kind: type[Arm] = type(arm)

    class Guarded(kind):  # type: ignore[valid-type, misc]
        """Named otherwise, and the same"""

    def tune(self: Arm, name: str, lr_scale: float, weight_decay: float) -> tuple[float, float]:
        return expect(kind.tune(self, name, lr_scale, weight_decay), "tune()", "two finite numbers, 0 or more: the factor of "
                      "the learning rate, and the weight decay", lambda found: isinstance(found, tuple | list)
                      and len(found) == 2 and all(isinstance(one, int | float) and 0 <= one < math.inf for one in found))

    def further_loss(self: Arm, model: TransformerModel, *others: Any) -> torch.Tensor:
        term = expect(kind.further_loss(self, model, *others), "further_loss()", "a tensor of one number, which is added to "
                      "the loss", lambda found: isinstance(found, torch.Tensor))
        if not term.requires_grad:
            raise Unfit("further_loss() returned a tensor that has no gradient, so that the model is trained without it; "
                        "compute it of what trains, and detach nothing on the way")
        return term

    for method in (tune, further_loss):  # where an arm has none of its own, the engine sees that
        if getattr(kind, method.__name__) is not getattr(Arm, method.__name__):
            setattr(Guarded, method.__name__, method)
    watched: Arm = Guarded.model_validate(arm.model_dump())
    return watched


def carry_out(plan: Plan, folder: Path) -> Record:
    """The last run of a plan, from pretrainings that were never trained, but moved a little, as what an arm makes of their
    difference to their initial weights would be nothing."""
    for job in plan.jobs:
        weights = _weights(job.spec.run_id, plan, folder)
        weights.parent.mkdir(parents=True)
        if job.spec.kind == "pretrain":
            save_weights(moved(build_autoencoder(job.spec, job.task).encoder, job.spec.run_id), weights)
            continue
        record = execute(job.spec, job.task, job.arm, Site(results=""), weights.parent, starts_of(job, plan, folder))
    return record


@torch.no_grad()
def moved(encoder: nn.Module, run_id: str) -> nn.Module:
    """What trains of an encoder, altered by random numbers that are those of its run"""
    random = torch.Generator().manual_seed(int(run_id, 16))
    for parameter in encoder.parameters():
        if parameter.requires_grad:
            parameter.add_(MOVED * torch.randn(parameter.shape, generator=random))
    return encoder


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
