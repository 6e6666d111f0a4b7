"""Planned runs in, job arrays of Slurm out, and what happens in them told as it comes.

Nothing of ours has to stay alive: arrays wait for those that they start from by Slurm's own dependencies, and what a lost job
should have left is made by the job that needs it. submitit writes the script, submits, and requeues a job that gets USR2. This
process imports no torch.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from datetime import timedelta
from io import StringIO
from pathlib import Path
from secrets import token_hex
from typing import Any

from pydantic_core import from_json

from benchmark.plan.matrix import Job, Plan
from benchmark.records.lease import Keeper, claim
from benchmark.records.store import Store
from benchmark.runner.jobs import JobState, Submission, ask, has_failed_since, states_of_jobs
from benchmark.runner.pool import Event, Todo
from benchmark.runner.stacks import Stacks
from benchmark.spec.plural import counted
from benchmark.spec.runspec import RunSpec

LOOK_S = 5.0  # between two questions to Slurm, ...
READ_S = 1.0  # ... and two looks at what its jobs have told
LOST_S = 10.0  # a job has ended for so long, and still its result is not seen: a file server may be late
SIGNAL_S = 120  # before its time is over a job is told to save
MOST_TIMEOUTS = 1000  # that a job may go on from, each time some steps further
NAMED = {"partition": "partition", "account": "account", "qos": "qos", "constraint": "constraint", "gpus": "gpus_per_node",
         "cpus": "cpus_per_task", "mem": "mem", "exclude": "exclude", "gres": "gres", "comment": "comment"}
LISTS = {"partition", "exclude", "nodelist", "gres", "licenses", "reservation", "mail-type", "mail-user"}  # have commas in them
Call = Callable[[Path, int], Callable[[], object]]  # what job `index` of the array in a folder is to call
Unit = tuple[str, ...]  # run ids of one job


@dataclass(frozen=True)
class Resources:
    """What each job asks Slurm for."""

    minutes: int
    named: Mapping[str, str] = field(default_factory=dict)  # by our names, see `NAMED`
    others: Mapping[str, str] = field(default_factory=dict)  # by sbatch's long names

    @property
    def gpus(self) -> int:
        """GPUs of one job"""
        found = re.search(r"\d+$", self.named.get("gpus", "0"))
        return int(found[0]) if found else 1


def parse_resources(texts: Iterable[str]) -> Resources:
    """From "partition=gpu,time=20h,gpus=8", where what is no NAME=VALUE is part of a list: exclude=n1,n2. Raises
    `ValueError`.
    """
    given: dict[str, str] = {}
    last = ""
    for number, part in ((number, part) for text in texts for number, part in enumerate(text.split(",")) if part):
        key, equals, value = part.partition("=")
        if not equals and number and last in LISTS:
            given[last] += f",{part}"
            continue
        last = key
        if not equals or not value or not re.fullmatch(r"[a-z][a-z-]*", key):
            raise ValueError(f"--slurm {part}: expected NAME=VALUE, such as partition=gpu,time=20h,gpus=8")
        if key in given:
            raise ValueError(f"--slurm {key} is given twice")
        given[key] = value
    if any(key in given for key in ("array", "dependency", "signal", "requeue", "job-name", "output", "error")):
        raise ValueError("--slurm: array, dependency, signal, requeue, job-name, output and error are set by the suite itself")
    if "time" not in given:
        raise ValueError("--slurm time=TIME is needed, such as time=20h: how long a job may take before it is requeued and "
                         "goes on")
    minutes = _minutes(given.pop("time"))
    if "cpus" in given and not re.fullmatch(r"[1-9]\d*", given["cpus"]):
        raise ValueError(f"--slurm cpus={given['cpus']}: expected a number")
    if "gpus" in given and not re.fullmatch(r"(\w+:)?[1-9]\d*", given["gpus"]):
        raise ValueError(f"--slurm gpus={given['gpus']}: expected a number, such as gpus=8 or gpus=h100:8")
    return Resources(minutes, {key: value for key, value in given.items() if key in NAMED},
                     {key: value for key, value in given.items() if key not in NAMED})


def _minutes(text: str) -> int:
    """From 90m, 20h, 2d, or as sbatch takes it: M, M:SS, H:MM:SS, D-H, D-H:MM, D-H:MM:SS; seconds count as a minute"""
    short = re.fullmatch(r"(\d+)([mhd])", text)
    if short is not None:
        minutes = int(short[1]) * {"m": 1, "h": 60, "d": 1440}[short[2]]
    else:
        long = re.fullmatch(r"(?:(\d+)-)?(\d+(?::\d{1,2}){0,2})", text)
        if long is None:
            raise ValueError(f"--slurm time={text}: expected a time such as 90m, 20h, 2d, or as sbatch takes it: "
                             "MINUTES:SECONDS, HOURS:MINUTES:SECONDS or DAYS-HOURS")
        parts = [int(part) for part in long[2].split(":")]
        if long[1] is None and len(parts) < 3:
            parts.insert(0, 0)  # without days and hours, minutes come first
        hours, rest, seconds = (*parts, 0, 0)[:3]
        minutes = int(long[1] or 0) * 1440 + hours * 60 + rest + -(-seconds // 60)
    if not 0 < minutes < 10**6:
        raise ValueError(f"--slurm time={text}: expected at least a minute, and less than two years")
    return minutes


@dataclass(frozen=True)
class Array:
    """Jobs that wait for the same others."""

    units: tuple[Unit, ...]
    after: tuple[int, ...]  # places of the arrays before it that it waits for
    joined: frozenset[str]  # runs that it starts from, of jobs that are in the queue already


def plan_arrays(jobs: Sequence[Job], lockstep: int = 1, most: int = 1000, chained: bool = False,
                joined: Iterable[str] = ()) -> list[Array]:
    """One job a run, or a stack of `lockstep`; arrays of at most `most` jobs, each before those that start from it.

    `jobs` come after those that they start from. `joined` are runs that others carry out. `chained`: one array after the
    other, so that no more jobs run at once than one array has leave for.
    """
    elsewhere = frozenset(joined)
    depth: dict[str, int] = {}
    for job in jobs:
        depth[job.spec.run_id] = 1 + max((depth[need.run_id] for _, need in job.needs if need.run_id in depth), default=-1)
    stacks, arrays, place = Stacks(jobs, lockstep), list[Array](), dict[str, int]()
    for level in range(max(depth.values(), default=-1) + 1):
        waiting = [job for job in jobs if depth[job.spec.run_id] == level]
        alike: dict[tuple[tuple[int, ...], frozenset[str], str], list[Unit]] = {}
        taken: set[str] = set()
        for job in waiting:
            if job.spec.run_id in taken:
                continue
            free = [other for other in waiting if other.spec.run_id not in taken] if lockstep > 1 else []
            group = stacks.stack_of(job, free) or [job]
            unit = tuple(one.spec.run_id for one in group)
            taken.update(unit)
            needs = {need.run_id for one in group for _, need in one.needs}
            after = tuple(sorted({place[need] for need in needs if need in place}))
            task = "" if after or chained else job.spec.task
            alike.setdefault((after, frozenset(needs & elsewhere), task), []).append(unit)
        for (after, outside, _), units in alike.items():
            for start in range(0, len(units), most):
                part = tuple(units[start : start + most])
                arrays.append(Array(part, (len(arrays) - 1,) if chained and arrays else after, outside))
                place |= {run_id: len(arrays) - 1 for unit in part for run_id in unit}
    return arrays


@contextmanager
def submitting(store: Store) -> Iterator[Path]:
    """The folder of submissions while no other command submits; waits for one that does."""
    folder = store.folder.resolve() / "slurm"
    folder.mkdir(exist_ok=True)
    while (lease := claim(folder)) is None:
        time.sleep(0.5)
    with Keeper([lease], lambda: None):
        yield folder


def submit(work: Todo, store: Store, resources: Resources, command: str, call: Call, lockstep: int = 1,
           max_jobs: int | None = None) -> tuple[list[Submission], dict[str, JobState]]:
    """Submit what is to be done and is in no queue yet; returns it, and the jobs of the rest.

    Raises `ValueError` where Slurm refuses: what it has taken until then stays in the queue.
    """
    with submitting(store) as folder:
        alive = {run_id: state for run_id, state in states_of_jobs(store).items() if state.state != "ended"}
        joined = {job.spec.run_id: alive[job.spec.run_id] for job in work.jobs if job.spec.run_id in alive}
        jobs = [job for job in work.jobs if job.spec.run_id not in joined]
        found = re.search(r"MaxArraySize\s*=\s*(\d+)", ask(["scontrol", "show", "config"])) if jobs else None
        arrays = plan_arrays(jobs, lockstep, min(1000, int(found[1]) - 1) if found else 1000, max_jobs is not None, joined)
        todo = {job.spec.run_id: work.replaced.get(job.spec.run_id) for job in work.jobs}
        numbers = [int(path.name) for path in folder.glob("[0-9]*")]
        done: list[Submission] = []
        for number, array in enumerate(arrays, max(numbers, default=0) + 1):
            one = Submission(folder=folder / f"{number:04}", name=f"benchmark-{token_hex(4)}", command=command,
                             directory=os.getcwd(), groups=[list(unit) for unit in array.units], todo=todo)
            after = [done[place].job for place in array.after] + sorted(
                {joined[run_id].submission.job for run_id in array.joined})
            done.append(_submit_one(one, resources, call, after, max_jobs))
        return done, joined


def _submit_one(one: Submission, resources: Resources, call: Call, after: Sequence[str], max_jobs: int | None) -> Submission:
    import submitit

    one.events.mkdir(parents=True)
    (one.folder / "begun").touch()
    one.write()  # before Slurm knows of it, so that no job is in the queue that nobody can name
    executor = submitit.SlurmExecutor(one.folder, max_num_timeout=MOST_TIMEOUTS)
    named: dict[str, Any] = {NAMED[key]: value for key, value in resources.named.items()}
    if "cpus_per_task" in named:  # srun takes no notice of sbatch's since Slurm 22.05
        named["setup"] = ["export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK"]
    executor.update_parameters(
        job_name=one.name, time=resources.minutes, signal_delay_s=SIGNAL_S, stderr_to_stdout=True, wckey=None,
        array_parallelism=max_jobs or len(one.groups), dependency=f"afterany:{':'.join(after)}" if after else None,
        additional_parameters={"requeue": True, **resources.others}, **named)
    try:
        with redirect_stderr(StringIO()), executor.batch():  # submitit says there, too, what it raises
            jobs = [executor.submit(call(one.folder, index)) for index in range(len(one.groups))]
        taken = one.model_copy(update={"job": jobs[0].job_id.partition("_")[0]})
    except submitit.core.utils.FailedJobError as error:  # sbatch
        shutil.rmtree(one.folder)
        raise ValueError(f"Slurm refuses the jobs: {_last_line(str(error))}") from error
    taken.write()
    return taken


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if "sbatch" in line or "error" in line.lower()]
    return (lines or text.splitlines() or [""])[-1].removeprefix("sbatch: error: ")


class Watch:
    """Tells what happens in jobs, until all runs to be done have ended."""

    def __init__(self, plan: Plan, work: Todo, store: Store, on_event: Callable[[Event], None],
                 again: Callable[[Todo], object], retries: int):
        self.store, self.work, self.on_event, self.again, self.retries = store, work, on_event, again, retries
        self.specs = {spec.run_id: spec for spec in plan.specs}
        self.open = {job.spec.run_id: job for job in work.jobs}
        self.failed: dict[str, RunSpec] = {}
        self.offsets: Counter[Path] = Counter()
        self.attempts: Counter[str] = Counter(self.open.keys())
        self.ended: dict[str, tuple[str, float]] = {}  # job that has ended without a result, and since when that is seen

    def follow(self) -> list[RunSpec]:
        """Returns the specs that failed; raises `ValueError` where Slurm does not answer."""
        for spec in self.specs.values():
            if spec.run_id not in self.open:
                self.on_event(Event("kept", spec))
        states, looked = dict[str, JobState](), -LOOK_S
        while self.open:
            if time.monotonic() - looked >= LOOK_S:
                states, looked = states_of_jobs(self.store), time.monotonic()
            for path in {state.submission.events / f"{state.index}.jsonl" for run_id, state in states.items()
                         if run_id in self.open and state.state != "queued"}:
                for event in self.told(path):
                    self.take(event)
            self.resolve({run_id: states[run_id] for run_id in self.open if run_id in states})
            if self.open:
                time.sleep(READ_S)
        return list(self.failed.values())

    def told(self, path: Path) -> Iterator[Event]:
        """What a job has told since it was last listened to."""
        try:
            with path.open("rb") as file:
                file.seek(self.offsets[path])
                text = file.read()
        except OSError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self.offsets[path] += len(whole)
        for line in whole.splitlines():
            told = from_json(line)
            if (spec := self.specs.get(told.pop("run"))) is not None:
                yield Event(spec=spec, **told)

    def take(self, event: Event) -> None:
        """Pass an event on, the last of each run once."""
        run_id = event.spec.run_id
        if run_id not in self.open:
            return
        if event.kind in ("kept", "done", "failed"):
            del self.open[run_id]
            if event.kind == "failed":
                self.failed[run_id] = event.spec
        self.on_event(event)

    def resolve(self, states: Mapping[str, JobState]) -> None:
        """What becomes of runs whose jobs have ended without a word."""
        lost = []
        for run_id, state in states.items():
            spec, now = self.specs[run_id], time.monotonic()
            if state.state != "ended":
                self.ended.pop(run_id, None)
                continue
            seen, since = self.ended.setdefault(run_id, (state.job, now))
            if is_done(self.store, spec, self.work.replaced):
                self.take(Event("done", spec))
            elif has_failed_since(self.store, spec, state.submission):
                failure = self.store.failure(spec)
                self.take(Event("failed", spec, text=failure.error if failure else "no reason was recorded"))
            elif seen == state.job and now - since >= LOST_S:
                lost.append(state)
                if state.slurm != "CANCELLED" and self.attempts[run_id] <= self.retries:
                    self.attempts[run_id] += 1
                    self.ended.pop(run_id)
                    self.on_event(Event("again", spec, text=state.tell()))
                else:
                    self.store.save_failure(spec, state.tell(), "")
                    self.take(Event("failed", spec, text=state.tell()))
        repeated = [job for run_id, job in self.open.items()
                    if run_id in states and states[run_id] in lost]
        if repeated:
            self.again(Todo(repeated, self.work.standings, self.work.replaced))


def is_done(store: Store, spec: RunSpec, replaced: Mapping[str, int | None]) -> bool:
    """Whether there is a result, and not the one that is to be replaced."""
    return store.is_complete(spec) and store.changed_ns(spec) != replaced.get(spec.run_id)


def describe(arrays: Sequence[Submission], resources: Resources) -> list[str]:
    """What was submitted, one line an array."""
    limit = timedelta(minutes=resources.minutes)
    return [f"submitted: {counted(len(one.groups), 'job')} of {counted(sum(map(len, one.groups)), 'run')} as {one.job}, "
            f"{limit} each before it is requeued" for one in arrays]
