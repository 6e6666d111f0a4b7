"""One job of Slurm, on its node: its runs are carried out as anywhere else, and what happens is written down for who watches.

A job carries out what its runs start from, too, where a job that was lost should have left it. No torch in this process.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterable, Mapping

from benchmark.plan.matrix import Job, Plan
from benchmark.records.store import Store
from benchmark.runner.jobs import Submission, has_failed_since
from benchmark.runner.machine import count_cores
from benchmark.runner.pool import GRACE_S, Event, Todo, not_run, run_plan
from benchmark.runner.slurm import is_done
from benchmark.spec.runspec import RunSpec, Site

REQUEUED = "its job was preempted, or came near its time limit"


class Teller:
    """Writes what happens in a job, one JSON object a line."""

    def __init__(self, submission: Submission, index: int):
        self.file = (submission.events / f"{index}.jsonl").open("a", buffering=1, encoding="utf-8")

    def take(self, event: Event) -> None:
        """Write an event."""
        self.say(event.spec.run_id, kind=event.kind, done=event.done, total=event.total, text=event.text,
                 seconds=event.seconds, sharing=event.sharing)

    def say(self, run_id: str, **told: object) -> None:
        """Write an event of a run."""
        self.file.write(json.dumps({"run": run_id, **told}) + "\n")


def carry_out_job(plan: Plan, store: Store, site: Site, submission: Submission, index: int, *,
                  timeout: float | None = None, retries: int = 0) -> list[RunSpec]:
    """Carry out the runs of one job; returns the specs that failed.

    Raises `ValueError` where the plan has one of them no more.
    """
    by_id = {job.spec.run_id: job for job in plan.jobs}
    group = submission.groups[index]
    if missing := [run_id for run_id in group if run_id not in by_id]:
        raise ValueError(f"runs {', '.join(missing)} are not those of this command any more, as code, data or weights have "
                         "changed since; call benchmark run again")
    teller = Teller(submission, index)
    jobs, broken = _what_to_do([by_id[run_id] for run_id in group], by_id, store, submission)
    failed = []
    for run_id in group:
        spec = by_id[run_id].spec
        if run_id in broken:
            error = not_run(broken[run_id])
            store.save_failure(spec, error, "")
            failed.append(spec)
            teller.take(Event("failed", spec, text=error))
        elif run_id not in jobs:
            teller.take(Event("kept", spec))
    replaced = {run_id: written for run_id in jobs if (written := submission.todo.get(run_id)) is not None}
    here = Plan(tuple(jobs.values()))
    return failed + run_plan(here, store, site, 1, teller.take, work=Todo(list(here.jobs), {}, replaced), timeout=timeout,
                             retries=retries)


def _what_to_do(group: Iterable[Job], by_id: Mapping[str, Job], store: Store,
                submission: Submission) -> tuple[dict[str, Job], dict[str, RunSpec]]:
    """The runs of a job that have no result yet, after what they start from that is not there; and, of those that cannot
    be carried out, which run has failed that they start from."""
    jobs: dict[str, Job] = {}
    broken: dict[str, RunSpec] = {}

    def look(job: Job, own: bool) -> None:
        spec = job.spec
        if spec.run_id in jobs or spec.run_id in broken or is_done(store, spec, submission.todo):
            return
        if not own and has_failed_since(store, spec, submission):
            broken[spec.run_id] = spec
            return
        for _, need in job.needs:
            if need.run_id in submission.todo or not store.has_weights(need):
                look(by_id[need.run_id], False)
            if need.run_id in broken:
                broken[spec.run_id] = broken[need.run_id]
                return
        jobs[spec.run_id] = job

    for job in group:
        look(job, True)
    return jobs, broken


def stop_runs() -> None:
    """Let the runs of this process leave their checkpoints and end."""
    children = multiprocessing.active_children()
    for child in children:
        child.terminate()
    deadline = time.monotonic() + GRACE_S
    for child in children:
        child.join(max(0.0, deadline - time.monotonic()))
        if child.is_alive():
            child.kill()
            child.join()


def threads_of_job() -> int:
    """Cores that Slurm gave this job"""
    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return int(given) if given.isdecimal() else count_cores()
