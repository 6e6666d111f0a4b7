"""Commands that train: `run`, `reproduce`."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli.closing import close_matrix, lone_runs, say_why_again, stopped_like_ctrl_c
from benchmark.cli.cluster import check_cluster, run_on_cluster, show_expense
from benchmark.cli.context import (
    DEFAULT_MATRIX,
    load_registry,
    make_plan,
    plugins_given,
    processes_of_a_run,
    require_torch,
)
from benchmark.cli.own import look_at_own_tasks, try_choices
from benchmark.cli.standing import print_states, tell_doubts, tell_spares
from benchmark.cli.terminal import log_and_screen
from benchmark.plan.fit import note_warmup
from benchmark.plan.given import note_unnamed
from benchmark.plan.matrix import Plan
from benchmark.plan.plugins import misspelt
from benchmark.provenance.arithmetic import arithmetic_digest
from benchmark.provenance.currency import Judge, doubts_of
from benchmark.provenance.environment import processor_name
from benchmark.records.headers import Header
from benchmark.records.lease import takeover_seconds
from benchmark.records.record import names_under
from benchmark.records.store import Store
from benchmark.runner.machine import count_cores, count_gpus, default_jobs, default_lockstep
from benchmark.spec.plural import counted
from benchmark.spec.runspec import Site

if TYPE_CHECKING:
    from benchmark.runner.pool import Todo

TIME_OVER = 3  # exit code


def run_matrix(options: argparse.Namespace, command: str) -> int:
    from benchmark.runner.budget import Budget
    from benchmark.runner.pool import run_plan, todo
    from benchmark.runner.screen import watch

    if options.allow_missing:
        os.environ["M2PT_ALLOW_MISSING"] = "1"  # read by the runs, too
    resources = check_cluster(options)
    unprepared: dict[str, str] = {}
    plan, store = make_plan(options, unprepared if options.dry_run else None)
    cores = count_cores()
    jobs, lockstep = options.jobs, options.lockstep
    processes = processes_of_a_run(options, resources.gpus if resources is not None else None)
    if processes > 1 and (lockstep or 1) > 1:
        raise ValueError(f"--lockstep {lockstep} trains several runs in one process, and {processes} processes are to share "
                         "one run: give one of the two options")
    if processes > 1 and options.debug:
        raise ValueError("--debug carries runs out in this one process: leave out --gpus-per-run and --processes-per-run")
    if lockstep is None and resources is not None:
        lockstep = 1  # what a GPU of another machine holds is not known here
    if lockstep is None:
        lockstep = 1 if plan.timed or processes > 1 else default_lockstep(options.profile, options.device)
    if jobs is None:
        jobs = 1 if plan.timed else default_jobs(options.profile, options.device, cores, lockstep, processes)
    if jobs < 1:
        raise ValueError(f"--jobs {jobs}: expected at least 1")
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", options.device) is None:
        raise ValueError(f"--device {options.device}: expected auto, cpu, cuda or cuda:N")
    if lockstep < 1:
        raise ValueError(f"--lockstep {lockstep}: expected at least 1, each run alone")
    if lockstep > 1 and plan.timed:
        raise ValueError(f"--lockstep {lockstep}: the runs of this matrix are compared by time, so each must train alone")
    try_choices(plan, store, unprepared)
    if alone := lone_runs(plan, store, options):
        print(alone, flush=True)
    known = {task.modality for task in load_registry(options.plugins)[0].values()}
    own = {id(one): one for job in plan.jobs for one in (job.task, job.arm) if one is not None}
    unread = dict.fromkeys(f"note: {line}" for one in own.values() for line in misspelt(one))
    for note in [*note_warmup(plan), *note_unnamed(options.start, known), *unread]:
        print(note, flush=True)
    if options.dry_run and resources is not None:
        return show_expense(options, plan, store, resources, processes, unprepared)
    if options.dry_run:
        print_states(plan, store)
        for task, reason in unprepared.items():
            print(f"not ready: {task}: {reason}")
        return print_forecast(plan, store, jobs, options)
    if options.retries < 0:
        raise ValueError(f"--retries {options.retries}: expected 0 or more")
    require_torch()
    takeover_seconds()  # a wrong one is told before anything begins
    if resources is not None:
        look_at_own_tasks(plan.jobs, options)
        return run_on_cluster(options, plan, store, resources, lockstep, command)
    store.prepare()
    site = Site(results=str(store.folder), device=options.device, threads=max(1, cores // (jobs * processes)),
                lockstep=lockstep, processes=processes, command=command)
    headers = store.headers(names_under(store.folder))
    work = todo(plan, store, options.overwrite, headers)
    look_at_own_tasks(work.jobs, options)
    pending = len(work.jobs)
    stacks = f", arms and seeds in lock-step by {lockstep}" if lockstep > 1 else ""
    shared = f", {processes} processes for each" if processes > 1 else ""
    print(f"{counted(len(plan.jobs), 'run')}, {pending} to do, {jobs} at once{stacks}{shared}, "
          f"{counted(site.threads, 'thread')} each; results in {store.folder}, the log of each run in "
          f"{store.folder}/work/RUN/log.txt", flush=True)
    say_why_again(work)
    kept = dict.fromkeys(spec.name for spec in plan.specs).keys() - {job.spec.name for job in work.jobs}
    for line in (*tell_doubts(doubts_of(store, sorted(kept), headers), store),
                 *tell_spares(headers, {spec.run_id for spec in plan.specs})):
        print(line, flush=True)
    if pending:
        warn_of_other_conditions([headers[spec.name] for spec in plan.specs
                                  if spec.kind == "train" and spec.name in kept & headers.keys()], site)
    elif note := tell_whose(plan, store, headers, options):
        print(note, flush=True)
    if options.debug:
        return debug_runs(work, store, site)
    budget = Budget(options.time_limit, store.records()[0]) if options.time_limit else None
    with stopped_like_ctrl_c(), watch(plan.specs, jobs, options.verbose, options.quiet, *log_and_screen()) as progress:
        failed = run_plan(plan, store, site, jobs, progress.take, work=work, timeout=options.timeout,
                          retries=options.retries, budget=budget)
    close_matrix(options, plan, store, progress)
    unfinished = [spec for spec in plan.specs if progress.states[spec.run_id] in ("waiting", "started", "elsewhere")]
    left = budget.tell_left(unfinished, jobs) if budget else None
    if left:
        print(left)
    return 1 if failed else TIME_OVER if left else 0


def debug_runs(work: Todo, store: Store, site: Site) -> int:
    """Carry out runs one after the other in this process, to the first error, which goes up as it is."""
    from benchmark.runner.worker import Work, run_here

    alone = site.model_copy(update={"lockstep": 1})
    for job in work.jobs:
        spec = job.spec
        print(f"{spec.cell} seed {spec.seed}, in {store.work(spec)}", flush=True)
        try:
            run_here(Work.of(job, store, work.replaced.get(spec.run_id)), store, alone,
                     lambda done, total, text: print(f"  epoch {done} of {total}: {text}", flush=True))
        except Exception:  # of whatever kind, it is what one is looking for
            traceback.print_exc()
            return 1
    print(f"{counted(len(work.jobs), 'run')} done; records in {store.folder}/runs")
    return 0


def recorded(count: int) -> str:
    """So many of them, before what they were"""
    return counted(count, "recorded run was", "recorded runs were")


def warn_of_other_conditions(held: Sequence[Header], site: Site) -> None:
    """Say so where runs that are kept were trained on another processor than those to come, in other stacks, or by another
    number of threads or processes, and will not be compared.
    """
    lockstep, processes = site.lockstep, site.processes
    if site.device == "cpu" or (site.device == "auto" and not count_gpus()):
        where, here = [header.place for header in held], processor_name()
        for place in sorted(set(where) - {here}):
            print(f"note: {recorded(where.count(place))} computed on {place}; runs on {here} are not compared with "
                  "them", flush=True)
        told = [header.arithmetic for header in held if header.place == here and header.arithmetic]
        if unlike := sum(arithmetic != arithmetic_digest() for arithmetic in told):
            print(f"note: recorded runs were computed on another kind of {here}, or by other packages, {unlike} of them; runs "
                  "of today are not compared with them unless a certificate shows that both give the same bits", flush=True)
    threads = [header.threads for header in held]
    for number in sorted(set(threads) - {site.threads}):
        print(f"note: {recorded(threads.count(number))} computed by {counted(number, 'thread')} each; runs of "
              f"{site.threads} are not compared with them (--jobs says how many runs share the cores)", flush=True)
    stacks = [header.lockstep for header in held]
    for places in sorted(set(stacks) - {lockstep}):
        print(f"note: {recorded(stacks.count(places))} trained with --lockstep {places}; runs with --lockstep "
              f"{lockstep} are not compared with them", flush=True)
    others = [header.processes for header in held if header.processes != (processes,)]
    if others:
        print(f"note: {recorded(len(others))} computed by {' or '.join(sorted({str(each[-1]) for each in others}))} "
              f"processes each; runs of {processes} are not compared with them", flush=True)


def print_forecast(plan: Plan, store: Store, jobs: int, options: argparse.Namespace) -> int:
    """How long the rest takes, and which effects the chosen seeds could show, as far as earlier runs tell."""
    from benchmark.evidence.forecast import forecast_effects, forecast_time
    from benchmark.evidence.inputs import gather
    from benchmark.report.console import detectable_text, time_text
    from benchmark.runner.pool import todo

    records, _, tasks, *_ = gather([store], *load_registry(options.plugins))
    pending = [job.spec for job in todo(plan, store, options.overwrite).jobs]
    (profile,) = {spec.profile for spec in plan.specs}
    came = Store(Path("results") / profile)  # in a clone, what the suite's own results are
    elsewhere = came.records()[0] if came.folder.resolve() != store.folder.resolve() else []
    print(time_text(forecast_time(pending, records, elsewhere), jobs, str(came.folder)))
    for found in forecast_effects(plan.specs, records, tasks):
        print(detectable_text(found))
    return 0


def tell_whose(plan: Plan, store: Store, headers: Mapping[str, Header], options: argparse.Namespace) -> str:
    """Whose results these are, where all are here and none was computed here; "" else."""
    if any(store.weights(spec).is_file() for spec in plan.specs):  # which a run leaves, and no repository holds
        return ""
    held = [headers[spec.name] for spec in plan.specs if spec.name in headers]
    commits = sorted({header.commit[:12] for header in held if header.commit})
    devices = sorted({header.device for header in held if header.device})
    again = ["benchmark", "run", "--matrix", options.matrix or DEFAULT_MATRIX, *plugins_given(options), "--results", "mine"]
    compared = ["benchmark", "report", "--results", "mine", *plugins_given(options), "--compare", str(store.folder)]
    return (f"note: nothing is computed: these are recorded results, of commit {' and '.join(commits) or 'unknown'} on "
            f"{' and '.join(devices)}, that came with {store.folder}. Your own: {shlex.join(again)}, "
            f"then {shlex.join(compared)}")


def reproduce_run(options: argparse.Namespace, command: str) -> int:
    from benchmark.records.record import read_record
    from benchmark.runner.pool import run_plan, todo
    from benchmark.runner.reproduce import adopt, compare_records, find_record, plan_again, tell
    from benchmark.runner.screen import watch

    if not options.tolerance >= 0:
        raise ValueError(f"--tolerance {options.tolerance}: expected 0 or more")
    source = Store(options.results)
    if options.out is not None and options.out.resolve() == source.folder.resolve():
        raise ValueError(f"--out {options.out} is where the record to compare with lies; name another folder")
    records, problems = source.records()
    record = find_record(options.run_name, records, problems)
    tasks, arms = load_registry(options.plugins)
    plan = plan_again(record, records, tasks, arms, Judge.beside(source))
    require_torch()
    with tempfile.TemporaryDirectory(prefix="reproduce-") as scratch:
        store = Store(options.out or Path(scratch))
        store.prepare()
        adopt(plan, record, records, source, store)
        device = "cpu" if record.environment.device == "cpu" else "auto"
        site = Site(results=str(store.folder), device=device, threads=record.environment.threads,
                    lockstep=record.environment.lockstep or 1,
                    processes=(record.environment.processes or (1,))[-1], command=command)
        with stopped_like_ctrl_c(), watch(plan.specs, 1) as progress:
            failed = run_plan(plan, store, site, 1, progress.take, work=todo(plan, store, named=[record.run_id]))
        if failed:
            failure = store.failure(failed[-1])
            print(f"it could not be computed again: {failure.error if failure else 'no reason was recorded'}", file=sys.stderr)
            return 1
        again = read_record(store.run_folder(record.spec) / "record.json")
    metric = tasks[record.spec.task].metric if record.spec.kind == "train" else None
    comparison = compare_records(record, again, metric)
    print(tell(record, comparison, options.tolerance, metric))
    return 0 if comparison.bit_equal or comparison.within(options.tolerance) else 1
