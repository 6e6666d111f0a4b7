"""Commands for a task or an arm of one's own: `new` writes it, `check` looks at it."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from benchmark.cli.context import has_torch, load_registry, plugins_given, require_torch
from benchmark.plan.fit import set_otherwise
from benchmark.plan.matrix import Job, Plan
from benchmark.plan.names import nearest
from benchmark.plan.plugins import misspelt
from benchmark.records.record import may_be
from benchmark.records.store import RECORD, Store

FEW = 256  # inputs of a split that are looked at before a run, as large ones take long to read
TEMPLATES = Path(__file__).parent / "templates"
LONGEST = 23  # with what a template puts after a task's name, that of its modality is one that plugins may have


def write_new(options: argparse.Namespace, command: str) -> int:
    """Two files, neither of which may be there; raises `ValueError` for a name that cannot be one."""
    name = options.name
    if re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) is None:
        raise ValueError(f"{name!r}: a name has small letters, digits and single dashes, such as low-rank")
    if len(name) > LONGEST:
        raise ValueError(f"{name!r}: a name has at most {LONGEST} characters; choose a shorter one")
    stem = name.replace("-", "_")
    tasks, arms = load_registry()
    if name in tasks or name in arms:
        raise ValueError(f"{name!r}: there is one of this name already; choose another")
    if importlib.util.find_spec(stem) is not None:
        raise ValueError(f"{name!r}: there is a Python module {stem} already, which its file would hide; choose another")
    words = {"NAME": name, "STEM": stem, "KIND": options.kind, "CLASS": "".join(part.title() for part in name.split("-"))}
    files = {options.out / f"{stem}.py": options.kind, options.out / f"test_{stem}.py": "test"}
    for path in files:
        if path.exists():
            raise ValueError(f"{path} is there already; choose another name, or another folder with --out")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        for path, template in files.items():
            text = (TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
            path.write_text(re.sub("|".join(words), lambda found: words[found[0]], text), encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{options.out} cannot be written ({error.strerror}); choose another folder with --out") from error
    file, test = files
    print(f"{file}: the {options.kind}, to alter\n{test}: its test\n"
          f"next: {shlex.join(['benchmark', 'check', name, '--plugins', str(file)])}")
    return 0


def try_choices(plan: Plan, store: Store, unprepared: Collection[str] = ()) -> None:
    """Raises `ValueError` where a run that has no record could not begin with what was set for it. Nothing is tried where torch
    is not installed, as nothing is computed there, nor of tasks whose data are `unprepared`."""
    jobs = [job for job in plan.jobs if job.task.name not in unprepared
            and (set_otherwise(job) or (job.arm is not None and job.arm.variant))
            and not may_be(f"{store.run_folder(job.spec)}/{RECORD}")]
    if jobs and has_torch():
        from benchmark.check.choices import check_choices

        check_choices(jobs)


def look_at_own_tasks(jobs: Sequence[Job], options: argparse.Namespace) -> None:
    """What is wrong with the tasks of these runs that files of one's own define, before anything is computed of them.

    Raises `ValueError` where nothing could be trained on one, or would be measured; prints what else `benchmark check` calls
    an error.
    """
    shipped, _ = load_registry()
    for task in {job.task.name: job.task for job in jobs if job.task.name not in shipped}.values():
        from benchmark.check.borrowed import fault_of_start
        from benchmark.check.data import check_task

        looked = shlex.join(["benchmark", "check", task.name, "--profile", options.profile, *plugins_given(options)])
        for finding in (one for one in check_task(task, options.profile, FEW) if one.level == "error"):
            if finding.stop:
                raise ValueError(f"task {task.name}: {finding.what}; all that is wrong: {looked}")
            print(f"note: task {task.name}: {finding.what}; see {looked}", flush=True)
        if task.pretrained_by and (fault := fault_of_start([job for job in jobs if job.task is task],
                                                           load_registry(options.plugins)[0])):
            raise ValueError(f"task {task.name}: {fault}")


def check(options: argparse.Namespace, command: str) -> int:
    """Exit code 1 where something is wrong with the task or arm."""
    require_torch()
    from benchmark.check.files import check_files, listening

    with listening() as imported:
        tasks, arms = load_registry(options.plugins)
    if options.name not in tasks and options.name not in arms:
        if options.name.endswith(".py"):
            raise ValueError(f"{options.name} is a file, and what it defines is checked by its name: benchmark check NAME "
                             f"--plugins {options.name}")
        raise ValueError(f"unknown task or arm {options.name!r}; {nearest(options.name, [*tasks, *arms])}; one of your own is "
                         "found with --plugins FILE")
    from benchmark.check.arms import check_arm, check_steps  # which take seconds to import
    from benchmark.check.data import check_task
    from benchmark.check.finding import Finding
    from benchmark.check.keeping import keeping

    if options.name in tasks:
        task = tasks[options.name]
        if options.profile not in task.profiles:
            raise ValueError(f"task {task.name} has no profile {options.profile!r}; it has {', '.join(task.profiles)}; "
                             "choose one with --profile")
        own = options.name not in load_registry()[0]  # of ours, lists of files have the digests
        files = list(check_files(task, options.profile, imported)) if own else []  # before anything is kept of what is read
        kept = keeping(task)
        findings = [check_task(kept, options.profile), iter(files),
                    check_steps(kept, {**tasks, task.name: kept}, arms, options.profile)]
    else:
        findings = [check_arm(arms[options.name], tasks, options.profile)]
    looked_at = tasks[options.name] if options.name in tasks else arms[options.name]
    findings.insert(0, (Finding("note", line) for line in misspelt(looked_at)))
    wrong = doubtful = 0
    stopped = False
    for part in findings:
        for finding in () if stopped else part:
            print(f"{finding.level:<5}  {finding.what}", flush=True)
            wrong += finding.level == "error"
            doubtful += finding.level == "note"
            stopped |= finding.stop
    print(f"{options.name}: {wrong or 'nothing'} wrong" + (f", {doubtful} to be noted" if doubtful else ""))
    return 1 if wrong else 0
