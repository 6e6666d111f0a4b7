"""Planned runs in, records on disk out: one process per run, a few at once, on this machine.

Processes come from a fork server that has the engine imported, so that a run starts in milliseconds; a crash, a kill, a
hang, a full disk or a failure stays in its own run. This process imports no torch.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal, TextIO

from benchmark.matrix import Job, Plan
from benchmark.spec import Pretrained, RunSpec, Site
from benchmark.store import Store

# Keep freed memory: small models spend a tenth of their time on returning it to the kernel and asking for it again.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "2000000000",
             "MALLOC_TOP_PAD_": "268435456"}
CUBLAS = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # without it, matrix products on a GPU are not deterministic
GRACE_S = 60.0  # for a run that is told to stop; then it goes on from its last epoch
PASSING = {"OutOfMemoryError", "MemoryError"}  # may not come again: other runs took the memory
Overwrite = Literal["missing", "stale", "always"]
LOOK_AGAIN_S = 2.0  # at a run that another runner is carrying out
PRELOADED = ["benchmark.execute", "sklearn.metrics", "tasks", "baselines"]  # imported once, by the fork server


@dataclass(frozen=True)
class Event:
    """Something that happened to a run."""

    kind: Literal["kept", "started", "elsewhere", "epoch", "again", "done", "failed"]
    spec: RunSpec
    done: int = 0  # epochs
    total: int = 0
    text: str = ""
    seconds: float = 0.0


@dataclass
class _Running:
    job: Job
    process: Any
    connection: Connection
    slot: int
    began: float
    heard: float  # when it last said how far it is
    outcome: tuple[str, str, str] | None = None


def pending_jobs(plan: Plan, store: Store, overwrite: Overwrite = "stale") -> list[Job]:
    """The jobs that have no record, and the pretraining runs among their needs whose weights are not here.

    `overwrite`: whether cells that have a record of other code or data only are left as they are ("missing"), and whether
    those that have one of today's are done again ("always").
    """
    kept = {"missing": ("done", "stale"), "stale": ("done",), "always": ()}[overwrite]
    missing = {spec.run_id for spec, state in zip(plan.specs, store.states(plan.specs), strict=True) if state not in kept}
    for job in plan.jobs:
        if job.spec.run_id in missing:
            missing |= {need.run_id for _, need in job.needs if not store.weights(need).is_file()}
    return [job for job in plan.jobs if job.spec.run_id in missing]


def run_plan(plan: Plan, store: Store, site: Site, jobs: int, on_event: Callable[[Event], None], *,
             overwrite: Overwrite = "stale", timeout: float | None = None, retries: int = 0) -> list[RunSpec]:
    """Carry out what `pending_jobs` names, at most `jobs` runs at once; returns the specs that failed.

    A failing run is recorded and the others go on; what starts from it fails with that reason. A run that says nothing for
    `timeout` seconds is killed. What a kill or a lack of memory ended is tried `retries` times more, from its checkpoint.
    On KeyboardInterrupt running processes are stopped (their checkpoints stay) and the exception goes on.
    """
    waiting = pending_jobs(plan, store, overwrite)
    pending = {job.spec.run_id for job in waiting}
    for job in plan.jobs:
        if job.spec.run_id not in pending:
            on_event(Event("kept", job.spec))
    os.environ |= {"OMP_NUM_THREADS": str(site.threads), **ALLOCATOR, **CUBLAS}  # read when the fork server starts
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    running: list[_Running] = []
    failed: dict[str, RunSpec] = {}
    unfinished = set(pending)
    attempts: Counter[str] = Counter()
    elsewhere: list[tuple[float, Job]] = []  # when to look again at what another runner is carrying out
    try:
        while waiting or running or elsewhere:
            for due, job in [entry for entry in elsewhere if entry[0] <= time.monotonic()]:
                elsewhere.remove((due, job))
                if store.is_complete(job.spec):
                    unfinished.discard(job.spec.run_id)
                    on_event(Event("kept", job.spec))
                else:
                    waiting.append(job)
            for job in _startable(waiting, unfinished, failed, jobs - len(running)):
                waiting.remove(job)
                broken = next((failed[need.run_id] for _, need in job.needs if need.run_id in failed), None)
                if broken is not None:
                    error = f"not run: {broken.cell} (seed {broken.seed}), from which it starts, failed"
                    _fail(job.spec, error, "", store, failed, unfinished, on_event)
                    continue
                slot = min(set(range(jobs)) - {other.slot for other in running})
                try:
                    fresh = overwrite == "always" and not attempts[job.spec.run_id]
                    attempts[job.spec.run_id] += 1
                    running.append(_start(context, job, store, site, slot, fresh))
                except OSError as problem:  # no process, or no room for its folder: its own misfortune
                    _fail(job.spec, f"could not be started ({problem})", "", store, failed, unfinished, on_event)
                    continue
                on_event(Event("started", job.spec))
            if elsewhere and not running:
                time.sleep(0.2)
            for ended in _listen(running, on_event, timeout):
                spec, (kind, error, trace) = ended.job.spec, ended.outcome or _death(ended.process.exitcode)
                if kind == "busy":
                    attempts[spec.run_id] -= 1
                    elsewhere.append((time.monotonic() + LOOK_AGAIN_S, ended.job))
                    on_event(Event("elsewhere", spec))
                elif kind == "done":
                    unfinished.discard(spec.run_id)
                    on_event(Event("done", spec, seconds=time.monotonic() - ended.began))
                elif kind == "passing" and attempts[spec.run_id] <= retries:
                    waiting.insert(0, ended.job)
                    on_event(Event("again", spec, text=error))
                else:
                    tried = f" (tried {attempts[spec.run_id]} times)" if attempts[spec.run_id] > 1 else ""
                    _fail(spec, error + tried, trace, store, failed, unfinished, on_event)
    except BaseException:
        for entry in running:
            entry.process.terminate()  # which leaves a checkpoint after its current step
        deadline = time.monotonic() + GRACE_S
        for entry in running:
            entry.process.join(max(0.0, deadline - time.monotonic()))
            if entry.process.is_alive():
                entry.process.kill()
                entry.process.join()
        raise
    return list(failed.values())


def _settings() -> dict[str, str]:
    """The environment's variables that are ours; the fork server has those of its own start"""
    return {name: value for name, value in os.environ.items() if name.startswith("M2PT_")}


def _startable(waiting: list[Job], unfinished: set[str], failed: dict[str, RunSpec], room: int) -> list[Job]:
    """The next jobs whose needs are met (or have failed), at most `room` of them."""
    ready = [job for job in waiting
             if all(need.run_id in failed or need.run_id not in unfinished for _, need in job.needs)]
    return ready[:max(room, 0)]


def _start(context: Any, job: Job, store: Store, site: Site, slot: int, fresh: bool) -> _Running:
    ours, theirs = context.Pipe(duplex=False)
    work = store.work(job.spec)
    starts = {role: Pretrained(weights=store.weights(need), shape=need.shape) for role, need in job.needs}
    starts |= dict(job.files)
    # No daemon, as a run may have processes of its own, which read its files.
    process = context.Process(target=_work, args=(job, site, store.folder, work, starts, theirs, slot, fresh, _settings()),
                              daemon=False)
    process.start()
    theirs.close()
    now = time.monotonic()
    return _Running(job, process, ours, slot, now, now)


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
                    on_event(Event("epoch", entry.job.spec, *message[1:]))
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


def _fail(spec: RunSpec, error: str, trace: str, store: Store, failed: dict[str, RunSpec], unfinished: set[str],
          on_event: Callable[[Event], None]) -> None:
    """Record a failure; where even that cannot be written, say so and go on."""
    try:
        store.save_failure(spec, error, trace)
    except OSError as other:
        error += f"; nor could this be recorded ({other})"
    failed[spec.run_id] = spec
    unfinished.discard(spec.run_id)
    on_event(Event("failed", spec, text=error))


def _death(exitcode: int | None) -> tuple[str, str, str]:
    """The outcome of a process that ended without telling one"""
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return "passing", f"the run's process was ended by {name}{hint}", ""
    return "failed", f"the run's process ended with exit code {exitcode} and no result", ""


def _work(job: Job, site: Site, results: Path, work: Path, starts: dict[str, Pretrained], connection: Connection,
          slot: int, fresh: bool, settings: dict[str, str]) -> None:
    """The process of one run: its output goes to `log.txt`, its news to the connection, its record to disk.

    `fresh`: whether what an earlier one left is removed first; `settings` take the place of the fork server's.
    """
    for name in _settings():
        del os.environ[name]
    os.environ.update(settings)
    for number in (signal.SIGINT, signal.SIGUSR2):  # the runner decides, and ends its processes itself
        signal.signal(number, signal.SIG_IGN)
    store = Store(results)
    try:
        lock = store.try_lock(job.spec)  # held until this process ends
        if lock is None or (store.is_complete(job.spec) and not fresh):
            connection.send(("busy", "", ""))
            return
        if fresh:
            store.clear(job.spec)
        output = (work / "log.txt").open("a", buffering=1, encoding="utf-8")
    except OSError as error:
        connection.send(("failed", f"its folder cannot be written ({error})", ""))
        return
    with output as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.stdout = sys.stderr = log
        try:
            import torch

            from benchmark.execute import execute
            from benchmark.train import stop_requested

            signal.signal(signal.SIGTERM, lambda number, frame: stop_requested.set())
            device = site.device
            count = torch.cuda.device_count()
            if device == "auto":
                device = "cuda" if count else "cpu"
            if device == "cuda" and count:
                device = f"cuda:{slot % count}"  # runs take turns among the GPUs
            record = execute(job.spec, job.task, job.arm, site.model_copy(update={"device": device}), work, starts,
                             lambda done, total, text: connection.send(("epoch", done, total, text)))
            _depict(job, store, log)  # from the checkpoint, which `save` removes
            store.save(record)
            connection.send(("done", "", ""))
        except Exception as error:  # whatever a task or an arm raises belongs to this run alone
            trace, cause = traceback.format_exc(), _cause(error)
            name = type(cause).__name__
            connection.send(("passing" if name in PASSING else "failed", f"{name}: {' '.join(str(cause).split())}", trace))
            with suppress(OSError):  # the disk may be what failed
                log.write(trace)
        finally:
            connection.close()


def _cause(error: BaseException) -> BaseException:
    """The failure of storage behind an error, where there is one: a full disk says more than what could not cope with it."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, OSError) and behind.errno:
            return behind
        behind = behind.__cause__ or behind.__context__
    return error


def _depict(job: Job, store: Store, log: TextIO) -> None:
    """Leave pictures for the report. No result depends on them: what goes wrong here is in the log, and costs no run."""
    from benchmark.pictures import FILE, depict_reconstruction, depict_samples, write_pictures

    spec = job.spec
    try:
        if spec.kind == "pretrain":
            pictures = depict_reconstruction(spec, job.task, store.work(spec) / "checkpoint.pt")
            write_pictures(store.run_folder(spec) / FILE, pictures)
        elif not (sheet := store.samples(spec.task, spec.profile)).is_file():
            write_pictures(sheet, depict_samples(spec, job.task))
    except Exception:
        with suppress(OSError):  # the disk may be what failed
            log.write(f"no pictures: {traceback.format_exc()}")
