"""Cells in, run specs out: a matrix is a pure list before anything runs. No torch.

A cell is one target x auxiliary under an arm and a setting; a run is a cell with a seed. The runs that a cell starts from
are planned with it, once for all cells that share them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from benchmark.plan.declared import check_pretrained_by
from benchmark.plan.given import Published, file_digest, given_weights, published_files
from benchmark.plan.names import nearest
from benchmark.plan.overrides import Override, as_field, check_number
from benchmark.plan.plugins import Unfit, by_role, check_digests, check_draws, modules_of
from benchmark.provenance.code import own_files
from benchmark.provenance.packages import code_with_packages, own_packages
from benchmark.spec.contracts import Arm, ProfileSpec, Start, Task, Trained
from benchmark.spec.preparing import with_task
from benchmark.spec.recipes import Frozen, ModelShape, Setting, TrainRecipe
from benchmark.spec.runspec import FOLDS, ManySeeds, Pretrained, Role, RunSpec, recipe_under

Value = TypeVar("Value", bound=Frozen)
Roots = tuple[tuple[str, ...], tuple[str, ...], str | None]  # modules of a task, an arm, and the reader of its data
LR_BY_BATCH = {"paper"}  # profiles whose learning rates are published for a batch of 256 and grow with it


@dataclass(frozen=True)
class Cell:
    """One target x auxiliary under an arm and a setting."""

    task: Task
    arm: Arm
    setting: Setting
    auxiliary: str | None = None


@dataclass(frozen=True)
class Job:
    """A planned run with the objects that carry it out."""

    spec: RunSpec
    task: Task
    arm: Arm | None
    needs: tuple[tuple[str, RunSpec], ...] = ()  # runs that it starts from, by role
    files: tuple[tuple[str, Pretrained], ...] = ()  # weights that were not trained here, by role

    @property
    def code(self) -> dict[str, str]:
        """Digests by part of the code that would carry it out now; of a stack's also where it trains alone."""
        return self._code[0]

    @property
    def own_files(self) -> dict[str, str]:
        """SHA-256 of the user's own files among that code, by path"""
        return self._code[1]

    @property
    def packages(self) -> Mapping[str, str]:
        """Versions of the packages that those files import, beside what the suite computes with"""
        return self._code[2]

    @functools.cached_property
    def _code(self) -> tuple[dict[str, str], dict[str, str], Mapping[str, str]]:
        """All as they are when first asked for, while planning: they go with the job to the process that runs it."""
        task, arm, reader = roots_of(self.task, self.arm, self.spec.profile)
        every = (*task, *arm, *filter(None, [reader]))
        return code_with_packages(task, arm, reader), own_files(every), own_packages(every)


@dataclass(frozen=True)
class Plan:
    """Every run of a matrix; what others start from comes before them."""

    jobs: tuple[Job, ...]
    timed: bool = False  # its runs are compared by time, so one after another

    @property
    def specs(self) -> tuple[RunSpec, ...]:
        return tuple(job.spec for job in self.jobs)


@dataclass(frozen=True)
class _Training:
    cell: Cell  # kept, so that no other gets its identity
    arm: Arm
    run: ManySeeds


@dataclass
class Planner:
    """Turns cells into runs under one profile, with overrides."""

    tasks: Mapping[str, Task]
    profile: str
    overrides: Sequence[Override] = ()
    limited: bool = False  # whether runs see `smoke_limit` samples of each split only
    limit: int | None = None  # samples of each split; None: all, or `smoke_limit`
    given: Mapping[str, Path] = field(default_factory=dict)  # weights by modality that take a pretraining's place
    unprepared: dict[str, str] | None = None  # takes note, by task, of data that cannot be read; None: they are an error
    _pretraining: dict[Start, Job] = field(default_factory=dict)
    _pretrainings: dict[Start, ManySeeds] = field(default_factory=dict)
    _trainings: dict[tuple[int, int | None], _Training] = field(default_factory=dict)  # by identity of the cell, and fold
    _starting: dict[tuple[str, Trained], Cell] = field(default_factory=dict)  # by task: what is trained for others
    _trained: dict[str, Job] = field(default_factory=dict)  # the runs of those, by run id
    _used: set[int] = field(default_factory=set)  # identities of the overrides that fitted something

    def plan(self, cells: Iterable[Cell], seeds: Sequence[int]) -> Plan:
        """Raises `ValueError` for an override that fits nothing, a missing profile, a modality without pretraining."""
        return join_plans([(self, list(cells))], seeds)

    def jobs(self, cells: Iterable[Cell], seed: int) -> list[Job]:
        """One training a cell, after the trainings that it starts from; `pretrainings` are what all so far start from."""
        return [job for cell in cells for job in self._with_trained(self._train(cell, seed))]

    def _with_trained(self, job: Job) -> Iterator[Job]:
        for _, need in job.needs:
            if need.run_id in self._trained:
                yield from self._with_trained(self._trained[need.run_id])
        yield job

    @property
    def pretrainings(self) -> list[Job]:
        """Of every modality, maturity and seed that a planned run starts from"""
        return list(self._pretraining.values())

    def _train(self, cell: Cell, seed: int) -> Job:
        """A run of `cell`; what does not depend on the seed is worked out once."""
        fold = seed % FOLDS if "fold" in self._recipe(cell).augment else None
        known = self._trainings.get((id(cell), fold))
        arm = known.arm if known else self._override(cell.arm, "arm", cell.task)
        starts = by_role(arm, Start, "starts", arm.starts(cell.task.modality, cell.auxiliary, cell.setting, seed))
        trained = by_role(arm, Trained, "trained", arm.trained(cell.setting, seed))
        needs = {role: self._pretrain(start).spec for role, start in starts.items() if start.modality not in self.given}
        needs |= {role: self._train_first(cell.task, start) for role, start in trained.items()}
        files = {role: self._file(start, seed, arm, cell.task) for role, start in starts.items()
                 if start.modality in self.given}
        digests = {role: file_digest(file.weights) for role, file in files.items()}
        if known is None:
            check_draws(arm, cell.task, cell.setting, cell.auxiliary)
            origins = {role: need.comparison for role, need in needs.items()} | digests
            known = _Training(cell, arm, ManySeeds(self._training(cell, arm, origins, fold, published_files(files))))
            self._trainings[id(cell), fold] = known
        spec = known.run.under(seed, {role: need.run_id for role, need in needs.items()} | digests)
        return Job(spec, cell.task, arm, tuple(needs.items()), tuple(files.items()))

    def _train_first(self, task: Task, start: Trained) -> RunSpec:
        cell = self._starting.setdefault((task.name, replace(start, seed=0)), Cell(task, start.arm, start.setting))
        job = self._train(cell, start.seed)
        return self._trained.setdefault(job.spec.run_id, job).spec

    def _file(self, start: Start, seed: int, arm: Arm, target: Task) -> Pretrained:
        if start.seed != seed or start.share < 1 or start.origin is not None:
            raise ValueError(f"arm {arm.name} wants another pretraining of modality {start.modality} than the one file given; "
                             "leave out --start, or the arm")
        task = pretraining_tasks(self.tasks).get(start.modality)
        return given_weights(self.given[start.modality], start.modality, self.shape(task or target), task is not None)

    def _training(self, cell: Cell, arm: Arm, origins: Mapping[str, str], fold: int | None, files: Published | None) -> RunSpec:
        profile = self._profile(cell.task)
        recipe = self._override(self._recipe(cell), "recipe", cell.task)
        if fold is not None:
            recipe = self._folded(recipe, fold, cell.task)
        if (recipe.mixup or recipe.cutmix) and not cell.task.mixable:
            raise ValueError(f"recipe.mixup and recipe.cutmix do not fit task {cell.task.name}: its inputs cannot be mixed")
        role: Role = "baseline" if arm.is_baseline else "method" if arm.is_method else "control"
        return RunSpec(
            kind="train", task=cell.task.name, modality=cell.task.modality, profile=self.profile, seed=0,
            shape=self._override(profile.shape, "shape", cell.task),
            recipe=recipe, num_classes=profile.num_classes, limit=self._limit(profile), setting=cell.setting, arm=arm.name,
            options=arm.options(), auxiliary=cell.auxiliary,
            pretrained=dict(origins), published=files, data=self._data(cell.task), role=role, variant=arm.variant)

    @staticmethod
    def _folded(recipe: TrainRecipe, fold: int, task: Task) -> TrainRecipe:
        """With the fold that it names, or else the seed's"""
        named = recipe.augment.get("fold", -1)
        if named != -1 and named not in range(FOLDS):
            raise ValueError(f"--set recipe.augment.fold={named:g}: task {task.name} has folds 0 to {FOLDS - 1}")
        if recipe.label_share < 1 or recipe.shuffle_labels:
            raise ValueError(f"task {task.name} has few labels already: recipe.label_share and shuffle_labels do not fit it")
        return recipe_under(recipe.model_copy(update={"augment": {**recipe.augment, "fold": named}}), fold)

    def _pretrain(self, start: Start) -> Job:
        if start not in self._pretraining:
            task = pretraining_tasks(self.tasks).get(start.modality)
            if task is None:
                raise ValueError(f"no task pretrains modality {start.modality!r}; "
                                 f"there are {', '.join(sorted(pretraining_tasks(self.tasks)))}")
            kind = replace(start, seed=0)
            if kind not in self._pretrainings:
                self._pretrainings[kind] = ManySeeds(self._pretraining_run(task, start.share, start.origin))
            self._pretraining[start] = Job(self._pretrainings[kind].under(start.seed, {}), task, None)
        return self._pretraining[start]

    def _pretraining_run(self, task: Task, share: float, origin: str | None) -> RunSpec:
        profile = self._profile(task)
        recipe = self._override(profile.pretrain, "pretrain", task)
        if share < 1:
            recipe = recipe.model_copy(update={"stop_epoch": stop_after(share, recipe.epochs)})
        if origin is not None and self.shape(pretraining_tasks(self.tasks)[origin]).init_std != self.shape(task).init_std:
            raise ValueError(f"blocks of {origin} and {task.modality} are initialised otherwise; set shape.init_std alike")
        named = {"stop_epoch": recipe.stop_epoch, "origin": origin}
        return RunSpec(
            kind="pretrain", task=task.name, modality=task.modality, profile=self.profile, seed=0,
            shape=self._override(profile.shape, "shape", task), recipe=recipe, origin=origin,
            variant=",".join(f"{name}={value}" for name, value in named.items() if value is not None),
            limit=self._limit(profile), data=self._data(task), role="pretraining")

    def _profile(self, task: Task) -> ProfileSpec:
        if self.profile not in task.profiles:
            raise ValueError(f"task {task.name} has no profile {self.profile!r}; it has {', '.join(task.profiles)}")
        return task.profiles[self.profile]

    def _recipe(self, cell: Cell) -> TrainRecipe:
        known = self._profile(cell.task).train
        if cell.setting not in known:
            raise ValueError(f"task {cell.task.name} has no recipe for the setting {cell.setting} under profile "
                             f"{self.profile}; it has {', '.join(known)}: choose one with --setting, and arms that are in it")
        return known[cell.setting]

    def _data(self, task: Task) -> dict[str, str]:
        try:
            return check_digests(task, task.data_digests(self.profile))
        except Unfit:
            raise
        except ValueError as error:
            said = with_task(str(error), task.name)
            if self.unprepared is None:
                raise type(error)(said) from error
            self.unprepared[task.name] = said
            return dict.fromkeys(self._profile(task).data_sets, "")

    def _limit(self, profile: ProfileSpec) -> int | None:
        return self.limit or (profile.smoke_limit if self.limited else None)

    def shape(self, task: Task) -> ModelShape:
        """The model's sizes of a task under the profile and the overrides"""
        return self._override(self._profile(task).shape, "shape", task)

    def _override(self, value: Value, scope: str, task: Task) -> Value:
        """A validated copy with every override of this scope and task applied."""
        chosen = [override for override in self.overrides
                  if override.scope == scope and override.task in (None, task.name)]
        if not chosen:
            return value
        data = value.model_dump()
        for override in chosen:
            name = override.path[0]
            if name not in type(value).model_fields:
                if scope == "arm":  # a baseline has not the options of a method
                    continue
                raise ValueError(f"{override.said}: no such field; {nearest(name, type(value).model_fields)}")
            check_number(type(value), name, override.value, override.said)
            inner: Any = data
            for part in override.path[:-1]:
                inner = inner.get(part)
                if not isinstance(inner, dict):
                    raise ValueError(f"{override.said}: {part} has no named parts")
            inner[override.path[-1]] = (as_field(type(value), name, override.value) if inner is data else override.value)
            self._used.add(id(override))
        names = {override.path[0] for override in chosen}
        if self.profile in LR_BY_BATCH and scope in ("recipe", "pretrain") and "batch_size" in names and "lr" not in names:
            size = data["batch_size"]
            if isinstance(size, int) and size > 0:  # else the validation below says what is wrong
                factor = size / value.batch_size  # type: ignore[attr-defined]
                data |= {rate: data[rate] * factor for rate in {"lr", "min_lr"} - names}
        try:
            return type(value).model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            wanted = {"float_parsing": "a number", "int_parsing": "a whole number", "int_from_float": "a whole number",
                      "bool_parsing": "true or false", "tuple_type": "several values, with commas between",
                      "dict_type": "names with values, such as {\"NAME\": 0.5}"}.get(first["type"])
            said = f"expected {wanted}, not {first['input']!r}" if wanted else first["msg"]
            whose = [one for one in chosen if first["loc"][:1] == one.path[:1]] or chosen  # all: where it is of no one field
            raise ValueError(f"{', '.join(dict.fromkeys(one.said for one in whose))}: {said}") from error


def join_plans(parts: Sequence[tuple[Planner, Sequence[Cell]]], seeds: Sequence[int]) -> Plan:
    """One plan of several planners' cells, each run once, seed by seed, pretrainings first.

    Raises `ValueError` as `Planner.plan` does, for an override only where it fits in none of the parts.
    """
    jobs = [job for seed in seeds for planner, cells in parts for job in planner.jobs(cells, seed)]
    used = {identity for planner, _ in parts for identity in planner._used}
    overrides = [override for planner, _ in parts for override in planner.overrides]
    fitting = {override.variant for override in overrides if id(override) in used}
    for override in overrides:
        if override.variant and override.variant not in fitting:
            raise ValueError(f"--variant {override.variant} changes nothing in this matrix; benchmark info {override.variant} "
                             "says what to run it with")
        if id(override) not in used and not override.may_fit_nothing:
            options = dict.fromkeys(name for _, cells in parts for cell in cells for name in type(cell.arm).model_fields)
            hint = f"; {nearest(override.path[0], options)}" if override.scope == "arm" and options else ""
            raise ValueError(f"{override.said} changes nothing in this matrix{hint}")
    pretrainings = sorted((job for planner, _ in parts for job in planner.pretrainings), key=lambda job: job.spec.seed)
    return Plan(tuple({job.spec.run_id: job for job in (*pretrainings, *jobs)}.values()))


def stop_after(share: float, epochs: int) -> int:
    """The epoch after which a pretraining ends that goes through a share of its schedule"""
    return max(1, round(share * epochs))


def code_of(task: Task, arm: Arm | None, profile: str) -> dict[str, str]:
    """Digests by part of the code that a run of `task` under `arm` (None: its pretraining) and `profile` may depend on."""
    return code_with_packages(*roots_of(task, arm, profile))


def roots_of(task: Task, arm: Arm | None, profile: str) -> Roots:
    """Modules in which a task, an arm and the reader of a profile's data begin"""
    return modules_of(task), () if arm is None else modules_of(arm), task.profiles[profile].reader


def pretraining_tasks(tasks: Mapping[str, Task]) -> dict[str, Task]:
    """The task that carries out the masked pretraining of each modality."""
    found: dict[str, Task] = {}
    for task in tasks.values():
        other = found.get(task.modality) if task.pretrained_by is None else None
        if other is not None:
            raise ValueError(f"tasks {other.name} and {task.name} both pretrain modality {task.modality}; "
                             "give one of them pretrained_by")
        if task.pretrained_by is None:
            found[task.modality] = task
        check_pretrained_by(task, tasks)
    return found
