"""Planned runs in, records on disk out: one process per run, a few at once, on this machine.

Processes come from a fork server that has the engine imported, so that a run starts in milliseconds; a crash, a kill, a
hang, a full disk or a failure stays in its own run. Where a site asks for it, runs that differ in arm and seed alone are
carried out as one, by one process. This process imports no torch.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

from benchmark.plan.matrix import Job, Plan
from benchmark.provenance.currency import AGAIN, Judge, Standing, State
from benchmark.records.headers import Header
from benchmark.records.record import NEWER
from benchmark.records.store import Store
from benchmark.runner.budget import Budget
from benchmark.runner.preload import environment, preloaded
from benchmark.runner.stacks import Stacks
from benchmark.runner.worker import Work, carry_out, death_of, own_settings
from benchmark.spec.runspec import RunSpec, Site

GRACE_S = 60.0  # for a run that is told to stop; then it goes on from its last epoch
LOOK_AGAIN_S = 2.0  # at a run that another runner is carrying out


@dataclass(frozen=True)
class Event:
    """Something that happened to a run."""

    kind: Literal["kept", "started", "elsewhere", "epoch", "alone", "again", "done", "failed", "stopping"]
    spec: RunSpec
    done: int = 0  # epochs
    total: int = 0
    text: str = ""
    seconds: float = 0.0
    sharing: int = 1  # runs that this process trains


@dataclass
class _Running:
    jobs: list[Job]  # one, or those that are trained in lock-step
    together: bool
    process: Any
    connection: Connection
    slot: int
    began: float
    heard: float  # when it last said how far it is
    outcome: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Todo:
    """What of a plan is to be computed, and why."""

    jobs: list[Job]
    standings: dict[str, Standing]  # of every planned run, by run id
    replaced: dict[str, int]  # of runs that have a record already, when its file was written, in ns
    wanted: frozenset[str] = frozenset()  # run ids of those whose records hold, and whose weights others start from

    def counts(self) -> dict[str, int]:
        """Runs to be computed though there is something of them, by state, or as "weights wanted" """
        states = Counter("weights wanted" if job.spec.run_id in self.wanted else self.standings[job.spec.run_id].state
                         for job in self.jobs)
        return {state: count for state, count in states.items() if state != "missing"}


def todo(plan: Plan, store: Store, again: Collection[State] = AGAIN, headers: Mapping[str, Header] | None = None,
         named: Collection[str] = ()) -> Todo:
    """The jobs without a result, those in one of the states `again` or `named`, and what they need whose weights are not here,
    or not those of its record.

    `headers`: of the folder's records, where they are read already; `named`: run ids. Raises `ValueError` where a record of
    a newer release would be replaced.
    """
    judge = Judge.beside(store)
    judged = judge.of_plan(store, [(job.spec, job.code) for job in plan.jobs], headers)
    standings = dict(zip((spec.run_id for spec in plan.specs), judged, strict=True))
    if newer := [spec.name for spec in plan.specs if NEWER in standings[spec.run_id].detail]:
        raise ValueError(f"{newer[0]} has a record in {store.folder} that this release cannot read, as {NEWER}, and would "
                         "replace; install that release, or name another folder with --results")
    states = {"missing", "failed", *again}
    chosen = {run_id for run_id, standing in standings.items() if standing.state in states or run_id in named}
    asked = frozenset(chosen)
    looked: set[str] = set()  # many start from one, whose weights are read once
    for job in reversed(plan.jobs):  # so that what a training needs which is needed itself is found, too
        if job.spec.run_id in chosen:
            needs = {need.run_id: need for _, need in job.needs if need.run_id not in looked}
            looked |= needs.keys()
            chosen |= {run_id for run_id, need in needs.items() if not store.weights_hold(need)}
    jobs = [job for job in plan.jobs if job.spec.run_id in chosen]
    replaced = {job.spec.run_id: changed for job in jobs if (changed := store.changed_ns(job.spec)) is not None}
    return Todo(jobs, standings, replaced, frozenset(chosen) - asked)


def run_plan(plan: Plan, store: Store, site: Site, jobs: int, on_event: Callable[[Event], None], *,
             work: Todo | None = None, timeout: float | None = None, retries: int = 0,
             budget: Budget | None = None) -> list[RunSpec]:
    """Carry out `work` (None: what `todo` names), at most `jobs` processes at once; returns the specs that failed.

    A failing run is recorded and the others go on; what starts from it fails with that reason. A run that says nothing for
    `timeout` seconds is killed. What a kill or a lack of memory ended is tried `retries` times more, from its checkpoint.
    Where `site.lockstep` is above 1, runs that can are trained in stacks of so many; what stops a stack stops no run.
    With a `budget` nothing begins that the time left does not allow, and at its end what is running is stopped.
    On KeyboardInterrupt running processes are stopped (their checkpoints stay) and the exception goes on.
    """
    work = work or todo(plan, store)
    pending = {job.spec.run_id for job in work.jobs}
    for spec in (spec for spec in plan.specs if spec.run_id not in pending):
        on_event(Event("kept", spec))
    os.environ |= environment(site.threads)  # read when the fork server starts
    runner = _Runner(store, site, on_event, retries, list(work.jobs), dict(work.replaced), budget)
    try:
        while runner.waiting or runner.running or runner.elsewhere:
            runner.look_again()
            while len(runner.running) < jobs and (chosen := runner.next_job()):
                runner.start(chosen, jobs)
            if budget is not None and (budget.left <= 0 or not (runner.running or runner.elsewhere)):
                _stop(runner.running)
                for ended in _listen(runner.running, runner.on_event, None):
                    if ended.outcome is not None and ended.outcome[0] == "done":  # while it was told to stop
                        runner.end(ended)
                break
            if runner.elsewhere and not runner.running:
                time.sleep(0.2)
            for ended in _listen(runner.running, runner.on_event, timeout):
                runner.end(ended)
    except BaseException:
        for spec in [job.spec for entry in runner.running for job in entry.jobs]:
            on_event(Event("stopping", spec))
        _stop(runner.running)
        raise
    return list(runner.failed.values())


class _Runner:
    """What is waiting, running, failed and elsewhere, while a plan is carried out."""

    def __init__(self, store: Store, site: Site, on_event: Callable[[Event], None], retries: int, waiting: list[Job],
                 replaced: dict[str, int], budget: Budget | None):
        self.store, self.site, self.tell, self.retries, self.budget = store, site, on_event, retries, budget
        self.waiting = waiting
        self.replaced = replaced  # when the records were written that are to be replaced
        self.running: list[_Running] = []
        self.elsewhere: list[tuple[float, Job]] = []  # when to look again at what another runner is carrying out
        self.failed: dict[str, RunSpec] = {}
        self.unfinished = {job.spec.run_id for job in waiting}
        self.attempts: Counter[str] = Counter()
        self.stacks = Stacks(waiting, site.lockstep)
        self.spent: defaultdict[str, float] = defaultdict(float)  # seconds in stacks
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(preloaded(waiting))

    def on_event(self, event: Event) -> None:
        """Let those know that want to."""
        if self.budget is not None:
            self.budget.take(event)
        self.tell(event)

    def look_again(self) -> None:
        """Whether another runner has finished what it had."""
        for due, job in [entry for entry in self.elsewhere if entry[0] <= time.monotonic()]:
            self.elsewhere.remove((due, job))
            if self.is_done(job):
                self.unfinished.discard(job.spec.run_id)
                self.on_event(Event("kept", job.spec))
            else:
                self.waiting.append(job)

    def is_done(self, job: Job) -> bool:
        """Whether another runner has left its record, and not the one that is to be replaced."""
        return self.store.is_complete(job.spec) and self.store.changed_ns(job.spec) != self.replaced.get(job.spec.run_id)

    def startable(self) -> Iterator[Job]:
        """The jobs whose needs are met or have failed, in order."""
        return (job for job in self.waiting
                if all(need.run_id in self.failed or need.run_id not in self.unfinished for _, need in job.needs))

    def broken(self, job: Job) -> RunSpec | None:
        """A failed run from which this one starts"""
        return next((self.failed[need.run_id] for _, need in job.needs if need.run_id in self.failed), None)

    def next_job(self) -> Job | None:
        """The next to start; what starts from a failed one fails with it. A run waits for those that it is trained with,
        as long as others are running."""
        while startable := list(self.startable()):
            if (failing := next((job for job in startable if self.broken(job)), None)) is not None:
                broken = self.broken(failing)
                assert broken is not None
                self.waiting.remove(failing)
                self.fail(failing.spec, not_run(broken))
                continue
            allowed = [job for job in startable if self.is_allowed(job, startable)]
            gathered = self.stacks.gathered(allowed, self.waiting)
            return gathered if gathered is not None or self.running or self.elsewhere else next(iter(allowed), None)
        return None

    def is_allowed(self, job: Job, startable: Sequence[Job]) -> bool:
        """Whether there is time for a job, and for those that are trained in lock-step with it."""
        return self.budget is None or (self.budget.allows(job.spec) and self.budget.allows(
            job.spec, max(1, len(self.stacks.stack_of(job, startable)))))

    def start(self, job: Job, places: int) -> None:
        """Start a process for a job, or for the stack in which it is trained, in one of so many places."""
        stack = self.stacks.stack_of(job, self.startable())
        group = stack or [job]
        self.waiting = [other for other in self.waiting if other not in group]
        slot = min(set(range(places)) - {other.slot for other in self.running})
        replaced = {one.spec.run_id: self.replaced[one.spec.run_id] for one in group if one.spec.run_id in self.replaced}
        try:
            self.running.append(_start(self.context, group, bool(stack), self.store, self.site, slot, replaced))
        except OSError as problem:  # no process, or no room for its folder: its own misfortune
            if stack:  # to meet it one by one
                self.stacks.room |= {one.spec.run_id: 0 for one in stack}
                self.waiting[:0] = stack
            else:
                self.fail(job.spec, f"could not be started ({problem})")
            return
        for one in group:
            self.attempts[one.spec.run_id] += not stack
            self.on_event(Event("started", one.spec, sharing=len(group)))

    def end(self, ended: _Running) -> None:
        """Take note of how a process ended."""
        kind, error, trace = ended.outcome or death_of(ended.process.exitcode)
        seconds, job = time.monotonic() - ended.began, ended.jobs[0]
        run_id = job.spec.run_id
        if ended.together:
            self.end_stack(ended.jobs, kind, error, seconds / len(ended.jobs))
        elif kind == "busy":
            self.attempts[run_id] -= 1
            self.stacks.room.pop(run_id, None)  # whatever becomes of it there
            self.elsewhere.append((time.monotonic() + LOOK_AGAIN_S, job))
            self.on_event(Event("elsewhere", job.spec))
        elif kind == "done":
            self.replaced.pop(run_id, None)
            self.unfinished.discard(run_id)
            self.on_event(Event("done", job.spec, seconds=seconds + self.spent[run_id]))
        elif kind == "passing" and self.attempts[run_id] <= self.retries:
            self.waiting.insert(0, job)
            self.on_event(Event("again", job.spec, text=error))
        else:
            tried = f" (tried {self.attempts[run_id]} times)" if self.attempts[run_id] > 1 else ""
            self.fail(job.spec, error + tried, trace)

    def end_stack(self, jobs: list[Job], kind: str, error: str, seconds: float) -> None:
        """Take note of each run; those left out go on alone. Where all were stopped, each goes into a stack of its own, for
        it may be one's fault."""
        for job in jobs:
            run_id = job.spec.run_id
            if self.is_done(job):
                self.replaced.pop(run_id, None)
                self.unfinished.discard(run_id)
                self.on_event(Event("done", job.spec, seconds=seconds + self.spent[run_id]))
                continue
            self.spent[run_id] += seconds
            stopped = kind not in ("done", "busy")
            self.stacks.room[run_id] = 1 if stopped and len(jobs) > 1 else 0
            if stopped:
                self.on_event(Event("again", job.spec, text=f"in lock-step with others: {error}") if len(jobs) > 1
                              else Event("alone", job.spec, text=error))
            self.waiting.append(job)

    def fail(self, spec: RunSpec, error: str, trace: str = "") -> None:
        """Record a failure; where even that cannot be written, say so and go on."""
        try:
            self.store.save_failure(spec, error, trace)
        except OSError as other:
            error += f"; nor could this be recorded ({other})"
        self.failed[spec.run_id] = spec
        self.unfinished.discard(spec.run_id)
        self.on_event(Event("failed", spec, text=error))


def not_run(broken: RunSpec) -> str:
    """Why a run is not carried out that starts from one that failed"""
    return f"not run: {broken.cell} (seed {broken.seed}), from which it starts, failed"


def _stop(running: Sequence[_Running]) -> None:
    try:
        for entry in running:
            entry.process.terminate()  # which leaves a checkpoint after its current step
        deadline = time.monotonic() + GRACE_S
        for entry in running:
            entry.process.join(max(0.0, deadline - time.monotonic()))
    finally:  # at once where it is interrupted
        for entry in [entry for entry in running if entry.process.is_alive()]:
            entry.process.kill()
            entry.process.join()


def _start(context: Any, group: list[Job], together: bool, store: Store, site: Site, slot: int,
           replaced: Mapping[str, int]) -> _Running:
    ours, theirs = context.Pipe(duplex=False)
    works = [Work.of(job, store, replaced.get(job.spec.run_id)) for job in group]
    # No daemon, as a run may have processes of its own, which read its files.
    process = context.Process(target=carry_out, args=(works, together, site, store.folder, theirs, slot, own_settings()),
                              daemon=False)
    process.start()
    theirs.close()
    now = time.monotonic()
    return _Running(group, together, process, ours, slot, now, now)


def _listen(running: list[_Running], on_event: Callable[[Event], None], timeout: float | None) -> Iterator[_Running]:
    """Wait for news; yields the runs that ended, or had to be, which are taken out of `running`."""
    if not running:
        return
    handles: dict[Any, _Running] = {entry.connection: entry for entry in running}
    handles |= {entry.process.sentinel: entry for entry in running}
    for entry in {id(handles[handle]): handles[handle] for handle in wait(list(handles), timeout=1.0)}.values():
        try:
            while entry.connection.poll():
                message = entry.connection.recv()
                if message[0] == "epoch":
                    entry.heard = time.monotonic()
                    for job in entry.jobs:
                        on_event(Event("epoch", job.spec, *message[1:]))
                elif message[0] == "alone":
                    on_event(Event("alone", next(job.spec for job in entry.jobs if job.spec.run_id == message[1]),
                                   text=message[2]))
                else:
                    entry.outcome = message
        except EOFError:
            pass
        if entry.outcome is not None or not entry.process.is_alive():
            entry.process.join()
            running.remove(entry)
            yield entry
    for entry in [entry for entry in running if timeout is not None and time.monotonic() - entry.heard > timeout]:
        entry.process.kill()
        entry.process.join()
        entry.outcome = entry.outcome or (
            "passing", f"no epoch was finished for {timeout:.0f} s, and the run was ended; allow more with --timeout", "")
        running.remove(entry)
        yield entry
