"""What the report is made of: records, runs that have no result, and facts about tasks that records do not hold."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from benchmark.evidence.sections import Conditions, stated_conditions
from benchmark.plan.matrix import code_of
from benchmark.provenance.currency import Judge, Standing
from benchmark.records.beside import altered_beside
from benchmark.records.headers import Header
from benchmark.records.pictures import FILE, read_pictures
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.spec.contracts import Arm, Metric, ProfileSpec, Task
from benchmark.spec.recipes import Setting
from benchmark.spec.runspec import RunSpec

if TYPE_CHECKING:
    from benchmark.records.pictures import Pictures


@dataclass(frozen=True)
class TaskInfo:
    """What records do not say about their task. The order of a mapping of these is the order of the tables."""

    modality: str
    metrics: tuple[Metric, ...]  # the first is the main one
    chance: Mapping[str, float] = field(default_factory=dict)  # of the main metric, by profile
    shortcuts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # what cheats reach, by profile and name
    sources: frozenset[str] = frozenset()  # whose work the data is made of
    pretrains: bool = False  # whether auxiliaries of its modality are pretrained on its data
    conditions: Mapping[tuple[str, str], Conditions] = field(default_factory=dict)  # its own, by profile and setting
    pretraining: Mapping[str, Conditions] = field(default_factory=dict)  # the same of the pretraining that it carries out
    scale_lr: Mapping[tuple[str, str], float | None] = field(default_factory=dict)  # which no conditions have
    shipped: frozenset[str] = frozenset()  # profiles whose data a reader of ours reads, and not the task itself


@dataclass(frozen=True)
class Problem:
    """A run or file without a result. With its spec, the run's cell shows `state` where there is no value."""

    name: str
    reason: str
    state: Literal["failed", "missing", "unreadable"] = "failed"
    spec: RunSpec | None = None
    in_doubt: bool = False  # whether there is a result, and something beside it is not what its run left


@dataclass(frozen=True)
class Remark:
    """One thing left out, or shown with a reservation. `kind` is a heading, `name` the run, task or file."""

    kind: str
    name: str
    detail: str = ""


class Gathered(NamedTuple):
    """What is in some results folders, and facts on the tasks."""

    records: list[Record]
    problems: list[Problem]  # what has no record
    tasks: dict[str, TaskInfo]
    standings: dict[str, Standing]  # how each record stands to today's code and data, by its identity
    by_store: list[tuple[Store, list[Record]]]  # whose files are beside which records
    spares: list[tuple[str, Record, Record]]  # as `Held.spares`; also records that several folders have


def gather(stores: Sequence[Store], tasks: Mapping[str, Task], arms: Mapping[str, Arm]) -> Gathered:
    """Read results folders. A run that failed in one of them and has a record in another has no problem; a record that several
    of them have counts once."""
    problems, by_store, spares = [], [], []
    records: dict[str, list[Record]] = {}  # by identity, which a copy that was altered has, too
    for store in stores:
        held = store.read()
        by_store.append((store, held.records))
        spares += held.spares
        for record in held.records:
            known = records.setdefault(record.identity, [])
            if record in known:
                spares.append((record.spec.name, record, record))
            else:
                known.append(record)
        for line in held.problems:
            place, _, reason = line.partition(": ")
            problems.append(Problem("/".join(Path(place).parts[-2:]), reason, "unreadable"))
        altered = altered_beside(store.folder, {store.folder_of(one).name: one.beside for one in held.records})
        problems += [Problem(f"{run}/{name}", what, "unreadable", in_doubt=True) for run, files in altered.items()
                     for name, what in files.items()]
        known_failures = {problem.spec.run_id for problem in problems if problem.spec is not None}
        problems += [Problem(failure.spec.name, failure.error, "failed", failure.spec) for failure in store.failures()
                     if failure.spec.run_id not in known_failures]
    counted = [record for known in records.values() for record in known]
    done = {record.run_id for record in counted}
    problems = [problem for problem in problems if problem.spec is None or problem.spec.run_id not in done]
    infos = {name: TaskInfo(
        task.modality, task.metrics,
        {profile: value.chance for profile, value in task.profiles.items() if value.chance is not None},
        {profile: dict(value.shortcuts or {}) for profile, value in task.profiles.items()},
        task.sources, task.pretrained_by is None,
        {(name, setting): profile_conditions(profile, setting) for name, profile in task.profiles.items()
         for setting in profile.train},
        {name: stated_conditions(profile.shape, profile.pretrain.model_dump(mode="json"), None)
         for name, profile in task.profiles.items() if task.pretrained_by is None},
        {(name, setting): recipe.scale_lr for name, profile in task.profiles.items()
         for setting, recipe in profile.train.items()},
        frozenset(name for name, profile in task.profiles.items() if profile.reader))
        for name, task in tasks.items()}
    judge = Judge.beside(*stores)
    standings = {record.identity: standing_of(record, tasks, arms, judge) for record in counted}
    return Gathered(counted, problems, infos, standings, by_store, spares)


def profile_conditions(profile: ProfileSpec, setting: Setting) -> Conditions:
    """What a profile states of the runs of a setting: everything but their data and what they start from."""
    recipe = profile.train[setting]
    if recipe.augment.get("fold") == -1:  # the seed's
        strengths = {name: value for name, value in recipe.augment.items() if name != "fold"}
        recipe = recipe.model_copy(update={"augment": strengths})
    return stated_conditions(profile.shape, recipe.model_dump(mode="json", exclude={"scale_lr"}), profile.num_classes)


def gather_pictures(by_store: Sequence[tuple[Store, Sequence[Record]]],
                    ) -> tuple[dict[tuple[str, str], Pictures], dict[str, Pictures], list[Problem]]:
    """Contact sheets by task and profile, reconstructions by the record's identity, and the files that cannot be read."""
    samples: dict[tuple[str, str], Pictures] = {}
    reconstructions: dict[str, Pictures] = {}
    problems = []
    for store, records in by_store:
        places: list[tuple[Path, dict[Any, Pictures], object]] = []
        for task, profile in sorted({(r.spec.task, r.spec.profile) for r in records if r.spec.kind == "train"}):
            places.append((store.samples(task, profile), samples, (task, profile)))
        places += [(store.folder_of(r) / FILE, reconstructions, r.identity) for r in records if r.spec.kind == "pretrain"]
        for path, found, key in places:
            try:
                pictures = read_pictures(path)
            except ValueError as error:
                problems.append(Problem("/".join(path.parts[-2:]), str(error), "unreadable"))
                continue
            if pictures is not None:
                found.setdefault(key, pictures)
    return samples, reconstructions, problems


def standing_of(record: Record, tasks: Mapping[str, Task], arms: Mapping[str, Arm], judge: Judge) -> Standing:
    """How a record stands to today's code and data, as far as both are here."""
    spec = record.spec
    return judge.of_record(record, *_today(spec.task, spec.arm, spec.profile, tasks, arms))


def standings_of_headers(headers: Mapping[str, Header], tasks: Mapping[str, Task], arms: Mapping[str, Arm],
                         judge: Judge) -> dict[str, Standing]:
    """As `standing_of`, of what is kept of records, by name; what they are compared with is worked out once for each kind."""
    today = functools.cache(functools.partial(_today, tasks=tasks, arms=arms))
    return {name: judge.of_header(header, *today(header.task, header.arm, header.profile)) for name, header in headers.items()}


def _today(name: str, arm: str | None, profile: str, tasks: Mapping[str, Task],
           arms: Mapping[str, Arm]) -> tuple[Mapping[str, str] | None, Mapping[str, str] | None]:
    """Digests of the code and the data that a run would have now; None for what is not here."""
    if name not in tasks or (arm is not None and arm not in arms) or profile not in tasks[name].profiles:
        return None, None
    task = tasks[name]
    code = code_of(task, None if arm is None else arms[arm], profile)
    try:
        return code, task.data_digests(profile)
    except ValueError:  # the data are not on this machine
        return code, None
