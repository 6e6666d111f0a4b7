"""What was submitted to Slurm in, which runs wait, which run where, and which jobs ended, out.

    RESULTS/slurm/0001/submission.json    a job array: which runs each of its jobs has, and how it was asked for
    RESULTS/slurm/0001/events/7.jsonl     what happened in job 7 of it, as it happens
    RESULTS/slurm/0001/7.log, ...         what its jobs said, and what submitit keeps

Slurm itself is asked by `squeue`, whose answer is that of the moment, and of jobs that it has forgotten by `sacct`, where there
is accounting. submitit asks `sacct` alone, which many clusters lack and which is late.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from benchmark.records.record import may_be, names_in, write_json
from benchmark.records.store import Store
from benchmark.spec.recipes import Frozen
from benchmark.spec.runspec import RunSpec

FILE = "submission.json"
QUEUED = {"PENDING", "CONFIGURING", "SUSPENDED", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
RUNNING = {"RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED"}
PATIENCE_S = 120  # for an answer of Slurm


class Submission(Frozen):
    """One job array."""

    folder: Path = Field(Path(), exclude=True)
    name: str  # of its jobs, and of no others
    command: str
    directory: str  # where it was typed
    groups: list[list[str]]  # run ids of each job
    todo: dict[str, int | None]  # all runs that were to be done then; when the record was written that each replaces, in ns
    job: str = ""  # Slurm's number; "" before Slurm has given it

    def write(self) -> None:
        """Raises `OSError`."""
        write_json(self.folder / FILE, self.model_dump_json())

    @property
    def events(self) -> Path:
        """The folder of what happens in its jobs"""
        return self.folder / "events"

    @property
    def written_ns(self) -> int:
        """When it was written, by the file server's clock"""
        return (self.folder / "begun").stat().st_mtime_ns

    def log(self, index: int) -> Path:
        """Of one of its jobs"""
        return self.folder / (f"{self.job}_{index}_0_log.out" if len(self.groups) > 1 else f"{self.job}_0_log.out")


@dataclass(frozen=True)
class JobState:
    """Where the job of a run is."""

    submission: Submission
    index: int  # of the job in its array
    state: Literal["queued", "running", "ended"]
    slurm: str = ""  # Slurm's own word for it; "" where it has forgotten the job
    node: str = ""
    since: str = ""  # it is in the queue, or runs; Slurm's own clock
    reason: str = ""  # for which it waits

    @property
    def job(self) -> str:
        """As scancel and sacct take it, such as 17_3"""
        return f"{self.submission.job}_{self.index}" if len(self.submission.groups) > 1 else self.submission.job

    def tell(self) -> str:
        """For people, in one line"""
        if self.state == "queued":
            return f"job {self.submission.job} in the queue since {self.since} ({self.reason or self.slurm})"
        if self.state == "running":
            return f"job {self.job} on {self.node} since {self.since}, log {self.submission.log(self.index)}"
        ended, log = self.slurm.lower().replace("_", " "), self.submission.log(self.index)
        return (f"its job {self.job} ended without a result" + (f" ({ended})" if ended else "")
                + (f"; what it said: {log}" if log.exists() else ""))


def read_submissions(store: Store) -> list[Submission]:
    """From the first to the last; raises `ValueError` for one that cannot be read, of whose jobs nobody would know."""
    folders = [store.folder / "slurm" / name for name in names_in(store.folder / "slurm") if name[0].isdigit()]
    return [read_submission(folder) for folder in folders if may_be(f"{folder}/{FILE}")]


def read_submission(folder: Path) -> Submission:
    """The one that is kept in a folder; raises `ValueError`."""
    path = folder / FILE
    try:
        return Submission.model_validate_json(path.read_bytes()).model_copy(update={"folder": folder})
    except (OSError, ValidationError) as error:
        raise ValueError(f"{path} cannot be read; when none of its jobs is in the queue any more, remove {folder}") from error


def states_of_jobs(store: Store) -> dict[str, JobState]:
    """By run id, where the last job is that a run was given to; none of runs that were given to none.

    Raises `ValueError` where Slurm does not answer: then nobody knows, and nothing may be concluded.
    """
    submissions = read_submissions(store)
    if not submissions:
        return {}
    told = {(state.submission.name, state.index): state for state in _queue({one.name: one for one in submissions})}
    return {run_id: told.get((one.name, index), JobState(one, index, "ended"))
            for one in submissions for index, group in enumerate(one.groups) for run_id in group}


def with_ends(states: Mapping[str, JobState], run_ids: Collection[str]) -> dict[str, JobState]:
    """With Slurm's word for how the jobs of some runs ended that `squeue` has forgotten, where there is accounting."""
    lost = [states[run_id] for run_id in run_ids if run_id in states and states[run_id].state == "ended"
            and not states[run_id].slurm and states[run_id].submission.job]
    known: dict[str, str] = {}
    if lost and shutil.which("sacct"):
        numbers = sorted({state.submission.job for state in lost})
        told = subprocess.run(["sacct", "-n", "-P", "-X", "--array", "-o", "JobID,State", "-j", ",".join(numbers)],
                              capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        for line in told.stdout.splitlines():
            job, _, state = line.partition("|")
            known[job] = state.split()[0] if state else ""
    return {run_id: replace(state, slurm=state.slurm or known.get(state.job, "")) for run_id, state in states.items()}


def _queue(submissions: Mapping[str, Submission]) -> Iterator[JobState]:
    """Every job of these names that Slurm still knows."""
    command = ["squeue", "--noheader", "--array", "--all", "--states=all", f"--name={','.join(submissions)}",
               "--format=%j|%F|%K|%T|%N|%S|%V|%r"]
    for line in ask(command).splitlines():
        name, number, index, slurm, node, started, submitted, reason = line.split("|", 7)
        one = submissions[name]
        if one.job not in ("", number):
            continue
        state: Literal["queued", "running", "ended"] = (
            "queued" if slurm in QUEUED else "running" if slurm in RUNNING else "ended")
        yield JobState(one if one.job else one.model_copy(update={"job": number}), int(index) if index.isdecimal() else 0,
                       state, slurm, node, (submitted if state == "queued" else started).replace("T", " "), reason)


def ask(command: list[str], text: str | None = None) -> str:
    """What a command of Slurm answers; raises `ValueError` with what it complains of, in one line."""
    if shutil.which(command[0]) is None:
        raise ValueError(f"{command[0]} is not here: call this where Slurm's commands are, on a login node")
    try:
        told = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise ValueError(f"Slurm does not answer ({command[0]}, {PATIENCE_S} s); try again") from None
    if told.returncode:
        raise ValueError(f"Slurm refuses ({' '.join(command[:2])}): {' '.join(told.stderr.split())}")
    return told.stdout


def cancel(states: Iterable[JobState]) -> list[str]:
    """End jobs that wait or run; returns their numbers."""
    alive = [state for state in states if state.state != "ended"]
    numbers = sorted({state.job for state in alive}, key=lambda job: [int(part) for part in job.split("_")])
    for start in range(0, len(numbers), 500):
        ask(["scancel", *numbers[start : start + 500]])
    return numbers


def has_failed_since(store: Store, spec: RunSpec, submission: Submission) -> bool:
    """Whether a failure was recorded after a submission; both times are the file server's."""
    try:
        return os.stat(store.run_folder(spec) / "failure.json").st_mtime_ns > submission.written_ns
    except OSError:
        return False
