"""How a matrix ended: what it has come to, which runs failed and why, and what to type next."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from benchmark.cli.context import load_registry, load_study, plugins_given
from benchmark.plan.fit import without_baseline
from benchmark.plan.matrix import Plan
from benchmark.records.earlier import RecordError
from benchmark.records.record import names_under, read_record
from benchmark.records.store import RECORD, Store
from benchmark.spec.plural import counted, worded
from benchmark.spec.recipes import SETTINGS

if TYPE_CHECKING:
    from benchmark.runner.pool import Todo
    from benchmark.runner.progress import View

LOG_LINES = 3  # of a failed run, in the closing summary
WHY_AGAIN = {  # by state: of one run, and of several
    "other code": ("its code has changed since (benchmark certify shows whether that alters a result)",
                   "their code has changed since (benchmark certify shows whether that alters a result)"),
    "other data": ("its data have changed since", "their data have changed since"),
    "failed": ("it failed, or its record cannot be read", "they failed, or their records cannot be read"),
    "carried": ("asked for with --overwrite",) * 2, "up to date": ("asked for with --overwrite",) * 2,
    "weights wanted": (
        "others start from its weights, which are not on this disk; its record holds, and stays until a new one takes its "
        "place",
        "others start from their weights, which are not on this disk; their records hold, and stay until new ones take their "
        "place")}


def say_why_again(work: Todo) -> None:
    """Say so where runs are computed of which there is something."""
    for state, count in work.counts().items():
        one, several = WHY_AGAIN[state]
        print(f"note: of these, {counted(count, 'is', 'are')} computed again: {worded(count, one, several)}", flush=True)


def lone_runs(plan: Plan, store: Store, options: argparse.Namespace) -> str:
    """What is missing where runs of the plan will have no baseline, also not in the results folder; "" else."""
    if not (lone := without_baseline(plan)):
        return ""
    _, arms = load_registry(options.plugins)
    names = names_under(store.folder)
    begun = {f"{spec.task}-{spec.setting}-{arm}-" for spec in lone for arm in arms if arms[arm].is_baseline}
    held = []
    for name in (name for name in names if name.startswith(tuple(begun))):
        try:
            held.append(read_record(store.folder / "runs" / name / RECORD).spec)
        except RecordError:  # which the report names
            continue
    if not (lone := without_baseline(plan, held)):
        return ""
    compared = sum(spec.kind == "train" and spec.role != "baseline" for spec in plan.specs)
    what = "nothing can" if len(lone) == compared else f"{len(lone)} of {compared} runs cannot"
    wanted = [next(name for name, arm in arms.items() if arm.is_baseline and setting in arm.settings)
              for setting in SETTINGS if setting in {spec.setting for spec in lone}]
    given = dict.fromkeys([*wanted, *(spec.arm for spec in lone if spec.arm)])
    return (f"note: {what} be compared: {lone[0].cell} seed {lone[0].seed} has no baseline of its conditions, neither among "
            f"these runs nor in {store.folder}; "
            + (f"add it: --arm {','.join(given)}" if options.arm else f"add {', '.join(wanted)} to its arms"))


def close_matrix(options: argparse.Namespace, plan: Plan, store: Store, progress: View, most: int | None = None) -> None:
    """Print what the folder holds now, unless it is more than `most` runs, and how the runs of this command ended."""
    if most is not None and (held := len(names_under(store.folder))) > most:
        print(f"\nthe matrix of {held} runs is in the report alone")
    else:
        note_beside(store)
        print_matrix(store, options.plugins)
    print_summary(progress, store, next_command(plan, store, options), options.verbose, options.quiet)


def note_beside(store: Store) -> None:
    """Write beside the records what a report asks of weights and outputs, which no repository holds"""
    from benchmark.evidence.alignment import compare_with_baselines
    from benchmark.evidence.cosines import note_cosines

    compare_with_baselines(store)
    note_cosines(store, load_study().method)


def print_matrix(store: Store, plugins: Sequence[Path] | None) -> None:
    """The target x auxiliary matrix of everything that the folder holds."""
    from benchmark.evidence.inputs import gather
    from benchmark.evidence.sides import unchanged_cells
    from benchmark.report.console import print_matrices

    print(flush=True)
    gathered = gather([store], *load_registry(plugins))
    print_matrices(gathered.records, gathered.problems, gathered.tasks, gathered.standings)
    for cell, seeds in unchanged_cells(gathered.by_store, load_study().equal).items():
        print(f"note: {cell} answers as its baseline does on every test sample of {seeds} seed{'s' * (seeds > 1)}: what it "
              "does shows in nothing")


def report_command(store: Store, options: argparse.Namespace) -> str:
    """What makes the report of a folder"""
    return shlex.join(["benchmark", "report", "--results", str(store.folder), *plugins_given(options)])


def next_command(plan: Plan, store: Store, options: argparse.Namespace) -> str:
    """What to type next, and what the numbers of a trial are worth."""
    report = report_command(store, options)
    if all(spec.limit is None for spec in plan.specs):
        return report
    trial = "the numbers above mean nothing, of a few samples each; "
    if options.matrix == "smoke":
        quick = shlex.join(["benchmark", "run", "--matrix", "quick", *own_choice(options), *plugins_given(options)])
        return f"{trial}for a first answer, in about three minutes: {quick}"
    return f"{trial}what they look like: {report}"


def own_choice(options: argparse.Namespace) -> list[str]:
    """The tasks, auxiliaries and arms that were typed, where files of one's own define some, which no matrix names; arms with a
    baseline and the rivals that they must beat, targets and auxiliaries with the files that they start from."""
    if not options.plugins:
        return []
    tasks, arms = load_registry(options.plugins)
    words = {"-t": options.target, "-x": options.aux, "--setting": options.setting}
    if options.arm:
        chosen, rivals = ",".join(options.arm).split(","), load_study(arms).rivals
        settings = {*(options.setting or ["pretrained"])}
        plain = [name for name, arm in arms.items() if arm.is_baseline and settings & {*arm.settings}]
        has_plain = any(name in plain for name in chosen)
        words["--arm"] = [*plain[: not has_plain], *chosen, *(rival for name in chosen for rival in rivals.get(name, ()))]
    started = {*",".join(options.aux or ()).split(",")}
    started |= {tasks[name].modality for name in ",".join(options.target or ()).split(",") if name in tasks}
    files = [word for text in options.start if text.partition("=")[0] in started for word in ("--start", text)]
    return [word for flag, typed in words.items() if typed for word in (flag, ",".join(dict.fromkeys(typed)))] + files


def print_summary(progress: View, store: Store, following: str, verbose: bool = False,
                  quiet: bool = False) -> None:
    """How it ended, where things are, and the next command to type; `quiet`: on standard error, what failed alone."""
    from benchmark.runner.progress import clock

    done, kept = progress.count("done"), progress.count("kept")
    print(f"\n{counted(done, 'run')} done, {kept} kept, {progress.count('failed')} failed in {clock(progress.elapsed)}; "
          f"records in {store.folder}/runs")
    for spec in progress.specs:
        failure = store.failure(spec) if progress.states[spec.run_id] == "failed" else None
        if failure is not None:
            shown = failure.traceback.splitlines() if verbose and failure.traceback else failure.log.splitlines()[-LOG_LINES:]
            text = "\n".join([f"failed: {spec.cell} seed {spec.seed}: {failure.error}",
                              f"        log: {store.work(spec) / 'log.txt'}", *(f"        | {line}" for line in shown)])
            print(text)
            if quiet:
                print(text, file=sys.stderr)
    for event in progress.alone:
        print(f"alone, and so not compared with runs in lock-step: {event.spec.cell} seed {event.spec.seed}: {event.text}")
    retry = "the same command runs what failed again; " if progress.count("failed") else ""
    print(f"next: {retry}{following}")


@contextmanager
def stopped_like_ctrl_c() -> Iterator[None]:
    """SIGTERM, SIGUSR1 and SIGUSR2, which schedulers and shutdowns send, end the runs as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
