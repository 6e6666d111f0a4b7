"""Planned runs in, records on disk out: one process per run, a few at once, on this machine.

Processes come from a fork server that has the engine imported, so that a run starts in milliseconds; a crash, a kill or
a failure stays in its own run. This process imports no torch.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

from benchmark.matrix import Job, Plan
from benchmark.spec import Pretrained, RunSpec, Site
from benchmark.store import Store

# Keep freed memory: small models spend a tenth of their time on returning it to the kernel and asking for it again.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "2000000000",
             "MALLOC_TOP_PAD_": "268435456"}
CUBLAS = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # without it, matrix products on a GPU are not deterministic
GRACE_S = 60.0  # for a run that is told to stop; then it goes on from its last epoch
LOOK_AGAIN_S = 2.0  # at a run that another runner is carrying out
PRELOADED = ["benchmark.execute", "sklearn.metrics", "tasks", "baselines"]  # imported once, by the fork server


@dataclass(frozen=True)
class Event:
    """Something that happened to a run."""

    kind: Literal["kept", "started", "elsewhere", "epoch", "done", "failed"]
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
    outcome: tuple[str, str, str] | None = None


def pending_jobs(plan: Plan, store: Store) -> list[Job]:
    """The jobs that have no record, and the pretraining runs among their needs whose weights are not here."""
    missing = {job.spec.run_id for job in plan.jobs if store.state(job.spec) != "done"}
    for job in plan.jobs:
        if job.spec.run_id in missing:
            missing |= {need.run_id for _, need in job.needs if not store.weights(need).is_file()}
    return [job for job in plan.jobs if job.spec.run_id in missing]


def run_plan(plan: Plan, store: Store, site: Site, jobs: int, on_event: Callable[[Event], None]) -> list[RunSpec]:
    """Carry out what is missing or stale of `plan`, at most `jobs` runs at once; returns the specs that failed.

    A failing run is recorded and the others go on; what starts from it fails with that reason. On KeyboardInterrupt
    running processes are stopped (their checkpoints stay) and the exception goes on.
    """
    waiting = pending_jobs(plan, store)
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
                    store.save_failure(job.spec, error, "")
                    failed[job.spec.run_id] = job.spec
                    unfinished.discard(job.spec.run_id)
                    on_event(Event("failed", job.spec, text=error))
                    continue
                slot = min(set(range(jobs)) - {other.slot for other in running})
                running.append(_start(context, job, store, site, slot))
                on_event(Event("started", job.spec))
            if elsewhere and not running:
                time.sleep(0.2)
            for ended in _listen(running, on_event):
                if ended.outcome is not None and ended.outcome[0] == "busy":
                    elsewhere.append((time.monotonic() + LOOK_AGAIN_S, ended.job))
                    on_event(Event("elsewhere", ended.job.spec))
                    continue
                unfinished.discard(ended.job.spec.run_id)
                if not _settle(ended, store, on_event):
                    failed[ended.job.spec.run_id] = ended.job.spec
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


def _startable(waiting: list[Job], unfinished: set[str], failed: dict[str, RunSpec], room: int) -> list[Job]:
    """The next jobs whose needs are met (or have failed), at most `room` of them."""
    ready = [job for job in waiting
             if all(need.run_id in failed or need.run_id not in unfinished for _, need in job.needs)]
    return ready[:max(room, 0)]


def _start(context: Any, job: Job, store: Store, site: Site, slot: int) -> _Running:
    ours, theirs = context.Pipe(duplex=False)
    work = store.work(job.spec)
    starts = {role: Pretrained(weights=store.weights(need), shape=need.shape) for role, need in job.needs}
    process = context.Process(target=_work, args=(job, site, store.folder, work, starts, theirs, slot), daemon=True)
    process.start()
    theirs.close()
    return _Running(job, process, ours, slot, time.monotonic())


def _listen(running: list[_Running], on_event: Callable[[Event], None]) -> Iterator[_Running]:
    """Wait for news; yields the runs that ended, which are taken out of `running`."""
    if not running:
        return
    handles: dict[Any, _Running] = {entry.connection: entry for entry in running}
    handles |= {entry.process.sentinel: entry for entry in running}
    for entry in {id(handles[handle]): handles[handle] for handle in wait(list(handles), timeout=1.0)}.values():
        try:
            while entry.connection.poll():
                message = entry.connection.recv()
                if message[0] == "epoch":
                    on_event(Event("epoch", entry.job.spec, *message[1:]))
                else:
                    entry.outcome = message
        except EOFError:
            pass
        if entry.outcome is not None or not entry.process.is_alive():
            entry.process.join()
            running.remove(entry)
            yield entry


def _settle(ended: _Running, store: Store, on_event: Callable[[Event], None]) -> bool:
    """Record how a run ended; whether it is done."""
    spec, seconds = ended.job.spec, time.monotonic() - ended.began
    kind, error, trace = ended.outcome or ("failed", _death(ended.process.exitcode), "")
    if kind == "done":
        on_event(Event("done", spec, text=error, seconds=seconds))
        return True
    store.save_failure(spec, error, trace)
    on_event(Event("failed", spec, text=error, seconds=seconds))
    return False


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"the run's process was ended by {name}{hint}"
    return f"the run's process ended with exit code {exitcode} and no result"


def _work(job: Job, site: Site, results: Path, work: Path, starts: dict[str, Pretrained], connection: Connection,
          slot: int) -> None:
    """The process of one run: its output goes to `log.txt`, its news to the connection, its record to disk."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides, and ends its processes itself
    store = Store(results)
    lock = store.try_lock(job.spec)  # held until this process ends
    if lock is None or store.is_complete(job.spec):
        connection.send(("busy", "", ""))
        connection.close()
        return
    with (work / "log.txt").open("a", buffering=1, encoding="utf-8") as log:
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
                device = f"cuda:{slot % count}"  # one run a GPU
            record = execute(job.spec, job.task, job.arm, site.model_copy(update={"device": device}), work, starts,
                             lambda done, total, text: connection.send(("epoch", done, total, text)))
            store.save(record)
            connection.send(("done", "", ""))
        except Exception as error:  # whatever a task or an arm raises belongs to this run alone
            trace = traceback.format_exc()
            log.write(trace)
            connection.send(("failed", f"{type(error).__name__}: {' '.join(str(error).split())}", trace))
        finally:
            connection.close()
