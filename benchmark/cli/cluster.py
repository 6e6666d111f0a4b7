"""What `run --executor slurm` and `cancel` do: a matrix in, job arrays out, told as if its runs were here."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from benchmark.cli.closing import close_matrix, report_command, say_why_again, stopped_like_ctrl_c
from benchmark.cli.context import make_plan, names_a_choice, plugins_given, processes_of_a_run, require_torch
from benchmark.cli.standing import print_states
from benchmark.cli.terminal import log_and_screen
from benchmark.plan.matrix import Plan
from benchmark.records.record import names_under
from benchmark.records.store import Store
from benchmark.spec.plural import counted
from benchmark.spec.runspec import Site

if TYPE_CHECKING:
    from benchmark.runner.jobs import Submission
    from benchmark.runner.pool import Todo
    from benchmark.runner.slurm import Resources

SHOWN = 20  # numbers of jobs
MOST_SHOWN = 1000  # runs whose matrix is shown at the end; more take more memory than a login node may give
LOCAL_ONLY = {"jobs": "-j (--max-jobs limits jobs)", "time_limit": "--time-limit (--slurm time=)", "debug": "--debug"}


def check_cluster(options: argparse.Namespace) -> Resources | None:
    """What each job asks for; None where runs are carried out here. Raises `ValueError` for what does not fit."""
    from benchmark.runner.slurm import parse_resources

    if options.executor == "local":
        for name in ("slurm", "max_jobs", "detach"):
            if getattr(options, name):
                raise ValueError(f"--{name.replace('_', '-')} is for --executor slurm")
        return None
    for name, told in LOCAL_ONLY.items():
        if getattr(options, name):
            raise ValueError(f"--executor slurm: {told} does not go with it")
    if options.max_jobs is not None and options.max_jobs < 1:
        raise ValueError(f"--max-jobs {options.max_jobs}: expected at least 1")
    return parse_resources(options.slurm)


def run_on_cluster(options: argparse.Namespace, plan: Plan, store: Store, resources: Resources, lockstep: int,
                   command: str) -> int:
    """Submit what is to be done; then watch it, or with `--detach` return."""
    from benchmark.runner.pool import todo
    from benchmark.runner.screen import watch
    from benchmark.runner.slurm import Watch, describe, submit

    try:
        import submitit  # noqa: F401
    except ModuleNotFoundError:
        raise ValueError("--executor slurm needs submitit: pip install 'm2pt-bench[run,slurm]', or -e '.[run,slurm]' in a "
                         "clone") from None
    store.prepare()
    work = todo(plan, store, options.overwrite)
    told = argparse.Namespace(**{name: value for name, value in vars(options).items() if name != "run"})

    def submit_these(these: Todo) -> list[Submission]:
        done, joined = submit(these, store, resources, command, lambda folder, index: ClusterJob(folder, index, told),
                              lockstep, options.max_jobs)
        for line in describe(done, resources):
            print(line, flush=True)
        if joined:
            jobs = {state.job for state in joined.values()}
            print(f"note: {counted(len(joined), 'run is', 'runs are')} in the queue already, in {counted(len(jobs), 'job')}, "
                  "and not submitted again", flush=True)
        return done

    print(f"{counted(len(plan.jobs), 'run')}, {len(work.jobs)} to do on Slurm; results in {store.folder}, the log of each run "
          f"in {store.folder}/work/RUN/log.txt, of each job in {store.folder}/slurm", flush=True)
    say_why_again(work)
    submit_these(work)
    if options.detach:
        print(f"they go on by themselves; next:\n  {shlex.join(again('status', options))}\n  "
              f"{shlex.join(again('cancel', options))}, to end them\n  {report_command(store, options)}, when all are done")
        return 0
    try:
        with stopped_like_ctrl_c(), watch(plan.specs, max(1, len(work.jobs)), options.verbose, options.quiet,
                                            *log_and_screen()) as progress:
            failed = Watch(plan, work, store, progress.take, submit_these, options.retries).follow()
    except KeyboardInterrupt:
        print(f"\nnot watched any more: the jobs go on; the same command watches them again, "
              f"{shlex.join(again('cancel', options))} ends them", file=sys.stderr)
        return 130
    close_matrix(options, plan, store, progress, MOST_SHOWN)
    return 1 if failed else 0


def show_expense(options: argparse.Namespace, plan: Plan, store: Store, resources: Resources, processes: int,
                 unprepared: Mapping[str, str]) -> int:
    """What would be submitted, and what it would take: hours by cell, cores for input, disk."""
    from benchmark.evidence.expense import disk_bytes, expenses, load_speeds
    from benchmark.evidence.lengths import known_lengths, length_of
    from benchmark.report.expense import expense_lines
    from benchmark.runner.pool import todo
    from benchmark.runner.slurm import plan_arrays

    headers = store.headers(names_under(store.folder))
    print_states(plan, store, headers)
    for task, reason in unprepared.items():
        print(f"not ready: {task}: {reason}")
    jobs = todo(plan, store, options.overwrite, headers).jobs
    pending = [job.spec for job in jobs]
    lengths: dict[tuple[object, ...], list[float]] = {}
    for spec in plan.specs:
        header = headers.get(spec.name)
        if header is not None and header.wall is not None:
            lengths.setdefault(length_of(spec), []).append(header.wall * header.processes[-1])
    came = Store(Path("results") / options.profile)  # in a clone, what the suite's own results are
    if came.folder.resolve() != store.folder.resolve():
        lengths = known_lengths(came.records()[0], of_all_processes=True) | lengths
    arrays = plan_arrays(jobs, options.lockstep or 1, chained=options.max_jobs is not None)
    rows = expenses(pending, lengths, speeds := load_speeds(Path("results") / "speed"), _samples(plan))
    names = {name for job in jobs for name in job.task.profiles[options.profile].data_sets}
    print("\n".join(expense_lines(rows, speeds, disk_bytes(pending), names, jobs=sum(len(array.units) for array in arrays),
                                  arrays=len(arrays), gpus=resources.gpus, shared_by=processes, minutes=resources.minutes,
                                  at_once=options.max_jobs)))
    return 0


def _samples(plan: Plan) -> dict[tuple[str, str], int]:
    """Training samples by task and kind of run: of data that were prepared, else as they are known to be."""
    from benchmark.data.catalogue import find
    from benchmark.data.embedded import DataError
    from benchmark.evidence.expense import SIZES

    found = {}
    for task, profile in {job.task.name: (job.task, job.spec.profile) for job in plan.jobs}.values():
        for kind, name in (("train", task.profiles[profile].data_sets[0]), ("pretrain", task.profiles[profile].data_sets[-1])):
            try:
                found[task.name, kind] = find(name).counts["train"]
            except (DataError, KeyError):
                if name in SIZES:
                    found[task.name, kind] = SIZES[name][0]
    return found


def again(verb: str, options: argparse.Namespace) -> list[str]:
    """Another command for the same runs"""
    words = ["benchmark", verb]
    for name, flag in (("matrix", "--matrix"), ("results", "--results")):
        if getattr(options, name) is not None:
            words += [flag, str(getattr(options, name))]
    words += plugins_given(options)
    if options.profile != "tiny":
        words += ["--profile", options.profile]
    for name, flag in (("target", "-t"), ("aux", "-x"), ("arm", "--arm"), ("setting", "--setting"), ("overrides", "--set"),
                       ("variants", "--variant"), ("start", "--start")):
        for value in getattr(options, name) or ():
            words += [flag, str(value)]
    for name, flag in (("seeds", "--seeds"), ("limit", "--limit")):
        if getattr(options, name) is not None:
            words += [flag, str(getattr(options, name))]
    return words


@dataclass(frozen=True)
class ClusterJob:
    """What a job of Slurm calls: it plans the matrix again, and carries out its own part of it."""

    folder: Path  # of the submission
    index: int
    options: argparse.Namespace  # of the command that submitted it

    def __call__(self) -> int:
        """Returns how many runs failed."""
        from benchmark.runner.jobs import read_submission
        from benchmark.runner.node import carry_out_job, threads_of_job

        store = Store(self.folder.parents[1])
        submission = read_submission(self.folder)
        signal.signal(signal.SIGTERM, self._terminate)
        os.chdir(submission.directory)
        options = self.options
        if options.allow_missing:
            os.environ["M2PT_ALLOW_MISSING"] = "1"
        plan, _ = make_plan(options)
        require_torch()
        processes = processes_of_a_run(options)
        site = Site(results=str(store.folder), device=options.device, threads=max(1, threads_of_job() // processes),
                    lockstep=options.lockstep or 1, processes=processes, command=submission.command)
        return len(carry_out_job(plan, store, site, submission, self.index, timeout=options.timeout, retries=options.retries))

    def checkpoint(self) -> object:
        """What submitit calls when the job gets USR2, before it requeues it."""
        import submitit

        from benchmark.runner.jobs import read_submission
        from benchmark.runner.node import REQUEUED, Teller, stop_runs

        stop_runs()
        submission = read_submission(self.folder)
        teller = Teller(submission, self.index)
        for run_id in submission.groups[self.index]:
            teller.say(run_id, kind="again", text=REQUEUED)
        return submitit.helpers.DelayedSubmission(self)

    def _terminate(self, number: int, frame: FrameType | None) -> NoReturn:
        """Save; then end, as a job that is cancelled has to, or be requeued, where Slurm sent this to make room for others."""
        from benchmark.runner.node import stop_runs

        stop_runs()
        told = subprocess.run(["squeue", "-h", "-o", "%T", "-j", os.environ["SLURM_JOB_ID"]], capture_output=True, text=True,
                              check=False, timeout=30)
        if told.stdout.strip() == "RUNNING":
            signal.raise_signal(signal.SIGUSR2)
        sys.exit(128 + number)


def cancel_jobs(options: argparse.Namespace, command: str) -> int:
    """End the jobs of a results folder that wait or run, or those of the runs that the options choose."""
    from benchmark.runner.jobs import cancel, states_of_jobs


    if options.matrix is None and not names_a_choice(options):
        store, chosen = Store(options.results or Path("results") / options.profile), None
    else:
        plan, store = make_plan(options)
        chosen = {spec.run_id for spec in plan.specs}
    states = states_of_jobs(store)
    numbers = cancel(state for run_id, state in states.items() if chosen is None or run_id in chosen)
    named = ", ".join(numbers[:SHOWN]) + (", ..." if len(numbers) > SHOWN else "")
    print(f"{counted(len(numbers), 'job')} of {store.folder} cancelled"
          + (f": {named}; what has a checkpoint goes on from it when it is run again" if numbers else ""))
    return 0
