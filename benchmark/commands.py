"""What each command does: parsed options in, work done and told, an exit code out.

The only module of the engine that knows every task and arm.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from benchmark.contracts import Arm, Task
from benchmark.executors.machine import count_cores, count_gpus, default_jobs, default_lockstep
from benchmark.matrix import Plan, nearest, parse_override, parse_seeds, pick, pretraining_tasks
from benchmark.plugins import extend
from benchmark.presets import find_matrix, narrow, plan_matrix
from benchmark.recipes import SETTINGS
from benchmark.spec import Site
from benchmark.store import Store
from benchmark.variants import check_use, overrides_of

if TYPE_CHECKING:
    from benchmark.claims import Judgement
    from benchmark.progress import Progress

LOG_LINES = 3  # of a failed run, in the closing summary


def load_registry(plugins: Path | None = None) -> tuple[dict[str, Task], dict[str, Arm]]:
    """Every task and arm by name: our own, other distributions' entry points, a folder of plugins."""
    from baselines import ARMS
    from tasks import TASKS

    return extend(TASKS, ARMS, plugins)


def make_plan(options: argparse.Namespace) -> tuple[Plan, Store]:
    """The runs that the options name, and where their results are."""
    tasks, arms = load_registry(options.plugins)
    chosen = pick(options.arm, arms, "arm")
    settings = options.setting or ()
    if chosen and not settings and all(arms[name].is_baseline for name in chosen):
        settings = SETTINGS  # a baseline names its setting
    matrix = narrow(find_matrix(options.matrix), targets=pick(options.target, tasks, "task"), arms=chosen, settings=settings,
                    auxiliaries=pick(options.aux, pretraining_tasks(tasks), "auxiliary modality"))
    folder = options.results or Path("results") / ("smoke" if matrix.limited or options.limit else options.profile)
    variants = [name for text in options.variants for name in text.split(",")]
    overrides = overrides_of(variants, options.profile, tasks)
    overrides += [parse_override(text, tasks) for text in options.overrides]
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"--limit {options.limit}: expected at least 1 sample of each split")
    given = {}
    for text in options.start:
        modality, equals, path = text.partition("=")
        if not equals or not path:
            raise ValueError(f"--start {text}: expected MODALITY=FILE, weights that benchmark convert wrote")
        (name,) = pick([modality], pretraining_tasks(tasks), "modality")
        given[name] = Path(path).expanduser().resolve()
    plan = plan_matrix(matrix, tasks, arms, options.profile, parse_seeds(options.seeds or matrix.seeds), overrides, given,
                       options.limit)
    check_use(variants, plan)
    return plan, Store(folder)


def run_matrix(options: argparse.Namespace, command: str) -> int:
    from benchmark.alignment import compare_with_baselines
    from benchmark.executors.local import pending_jobs, run_plan
    from benchmark.progress import watch

    if options.allow_missing:
        os.environ["M2PT_ALLOW_MISSING"] = "1"  # read by the runs, too
    plan, store = make_plan(options)
    cores = count_cores()
    jobs, lockstep = options.jobs, options.lockstep
    if lockstep is None:
        lockstep = 1 if plan.timed else default_lockstep(options.profile, options.device)
    if jobs is None:
        jobs = 1 if plan.timed else default_jobs(options.profile, options.device, cores, lockstep)
    if jobs < 1:
        raise ValueError(f"--jobs {jobs}: expected at least 1")
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", options.device) is None:
        raise ValueError(f"--device {options.device}: expected auto, cpu, cuda or cuda:N")
    if lockstep < 1:
        raise ValueError(f"--lockstep {lockstep}: expected at least 1, each run alone")
    if lockstep > 1 and plan.timed:
        raise ValueError(f"--lockstep {lockstep}: the runs of this matrix are compared by time, so each must train alone")
    if options.dry_run:
        _print_states(plan, store)
        return print_forecast(plan, store, jobs, options.plugins)
    if options.retries < 0:
        raise ValueError(f"--retries {options.retries}: expected 0 or more")
    require_torch()
    store.prepare()
    site = Site(results=str(store.folder), device=options.device, threads=max(1, cores // jobs), lockstep=lockstep,
                command=command)
    pending = len(pending_jobs(plan, store, options.overwrite))
    stacks = f", arms in lock-step by {lockstep}" if lockstep > 1 else ""
    print(f"{len(plan.jobs)} runs, {pending} to do, {jobs} at once{stacks}, {site.threads} thread{'s' * (site.threads > 1)} "
          f"each; results in {store.folder}", flush=True)
    if pending:
        warn_of_other_stacks(plan, store, lockstep)
    with stopped_like_ctrl_c(), watch(plan.specs, jobs) as progress:
        failed = run_plan(plan, store, site, jobs, progress.take, overwrite=options.overwrite, timeout=options.timeout,
                          retries=options.retries)
    compare_with_baselines(store)
    print_matrix(store, options.plugins)
    print_summary(progress, store)
    return 1 if failed else 0


def warn_of_other_stacks(plan: Plan, store: Store, lockstep: int) -> None:
    """Say so where recorded runs of the plan were trained in other stacks than those to come, and will not be compared."""
    stacks = [stack[0] for spec in plan.specs if spec.kind == "train" and (stack := store.stack_of(spec)) is not None]
    for places in sorted(set(stacks) - {lockstep}):
        print(f"note: {stacks.count(places)} recorded runs were trained with --lockstep {places}; runs with --lockstep "
              f"{lockstep} are not compared with them", flush=True)


def print_forecast(plan: Plan, store: Store, jobs: int, plugins: Path | None) -> int:
    """How long the rest takes, and which effects the chosen seeds could show, as far as earlier runs tell."""
    from benchmark.executors.local import pending_jobs
    from benchmark.report.forecast import forecast_effects, forecast_time
    from benchmark.report.inputs import gather

    records, _, tasks, _ = gather([store], *load_registry(plugins))
    print(forecast_time([job.spec for job in pending_jobs(plan, store)], records, jobs))
    for line in forecast_effects(plan.specs, records, tasks):
        print(line)
    return 0


@contextmanager
def stopped_like_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGUSR2, which schedulers and shutdowns send, end the runs as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGUSR2)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def require_torch() -> None:
    """Raises `ValueError` where only what reads results is installed."""
    try:
        found = importlib.util.find_spec("torch")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ValueError("training needs packages that are not installed (torch); pip install 'm2pt-bench[run]', "
                         "or -e '.[run]' in a clone")


def show_status(options: argparse.Namespace, command: str) -> int:
    plan, store = make_plan(options)
    return _print_states(plan, store)


def _print_states(plan: Plan, store: Store) -> int:
    """One line a cell with the state of each seed, then the reasons of failures."""
    cells: dict[str, list[str]] = {}
    failures = []
    counts: dict[str, int] = {}
    for spec, state in zip(plan.specs, store.states(plan.specs), strict=True):
        counts[state] = counts.get(state, 0) + 1
        cells.setdefault(spec.cell, []).append(f"{spec.seed}:{state}")
        failure = store.failure(spec) if state == "failed" else None
        if failure is not None:
            failures.append(f"{spec.name}: {failure.error}")
    width = max(len(cell) for cell in cells)
    for cell, states in cells.items():
        print(f"{cell:<{width}}  {'  '.join(states)}")
    for line in failures:
        print(f"failed  {line}")
    for line in store.unreadable():
        print(f"unreadable  {line}")
    print(f"{len(plan.jobs)} runs in {store.folder}: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    return 0


def show_list(options: argparse.Namespace, command: str) -> int:
    from benchmark.describe import LISTED, list_names

    tasks, arms = load_registry(options.plugins)
    states = judge_all(options) if options.what == "claims" and options.results else {}
    print("\n".join(list_names(tasks, arms, [options.what] if options.what else LISTED, states)))
    return 0


def show_info(options: argparse.Namespace, command: str) -> int:
    from benchmark.describe import describe

    print(describe(options.name, *load_registry(options.plugins), options.profile, lambda: judge_all(options)))
    return 0


def judge_all(options: argparse.Namespace) -> dict[str, Judgement]:
    """The verdict on every claim by the records of the results folders (none given: all below results/)."""
    from benchmark.claims import Judgement, Verdict, load_claims
    from benchmark.report.collect import collect
    from benchmark.report.estimates import estimate_cells, estimate_effects
    from benchmark.report.evidence import judge_claims
    from benchmark.report.inputs import gather

    folders = options.results or sorted(path.parent for path in Path("results").glob("*/runs"))
    for folder in folders:
        check_results(folder)
    records, _, tasks, current = gather([Store(folder) for folder in folders], *load_registry(options.plugins))
    collection = collect(records, tasks=tasks, current=current)
    judged = judge_claims(collection, load_claims(), estimate_cells(collection), estimate_effects(collection))
    found = zip(*(judged[name].astype(str) for name in ("id", "verdict", "reason")), strict=True)
    return {claim: Judgement(Verdict(verdict), reason) for claim, verdict, reason in found}


def check_results(folder: Path) -> None:
    """Raises `ValueError` for what is no results folder."""
    if not (folder / "runs").is_dir():
        raise ValueError(f"no results in {folder}; run a matrix first, for example: benchmark run --matrix smoke")


def make_report(options: argparse.Namespace, command: str) -> int:
    from baselines import BESIDE, EQUAL_TO_BASELINE, RIVALS, TUNED_BASELINE
    from benchmark.alignment import alignments_of
    from benchmark.claims import load_claims
    from benchmark.report.analysis import FINDINGS, Extras, analyse
    from benchmark.report.document import FORMATS
    from benchmark.report.inputs import gather, gather_pictures
    from benchmark.report.parts import PARTS
    from benchmark.report.write import write_report

    folders = options.results or [Path("results/tiny")]
    for folder in [*folders, *(options.compare or [])]:
        check_results(folder)
    formats = pick([options.format or ""], dict.fromkeys(FORMATS), "format") or FORMATS
    parts = pick([options.only or ""], PARTS, "part") or PARTS
    fatal = pick([options.fail_on or ""], dict.fromkeys(FINDINGS), "finding")
    tasks, arms = load_registry(options.plugins)
    stores = [Store(folder) for folder in folders]
    records, problems, infos, current = gather(stores, tasks, arms)
    alignments = {run_id: values for store in stores for run_id, values in alignments_of(store, records).items()}
    samples, reconstructions, damaged = gather_pictures(stores, records)
    others = gather([Store(folder) for folder in options.compare], tasks, arms)[0] if options.compare else None
    analysis = analyse(records, [*problems, *damaged], options.select.replace("-", "_"), tasks=infos, current=current,
                       rivals=RIVALS, beside=BESIDE, tuned_baseline=TUNED_BASELINE, equal=EQUAL_TO_BASELINE,
                       claims=load_claims(), extras=Extras(alignments, samples, reconstructions), compared=others)
    try:
        written = write_report(analysis, options.out or folders[0] / "report", _regenerating(options, folders), formats, parts)
    except OSError as error:
        raise ValueError(f"the report cannot be written: {error}; choose another folder with --out") from error
    lost = len(analysis.collection.problems)
    print(f"{written[0]} and {len(written) - 1} tables and figures from {len(records)} records"
          + (f"; {lost} runs or files have no result, named in the report" if lost else ""))
    found = {finding: analysis.count(finding) for finding in fatal if analysis.count(finding)}
    if found:
        print("failing, as asked: " + ", ".join(f"{count} {finding}" for finding, count in found.items()), file=sys.stderr)
    return 1 if found else 0


def _regenerating(options: argparse.Namespace, folders: list[Path]) -> str:
    """The command that makes the same files, with no more of this machine's paths than was typed."""
    def shown(folder: Path) -> str:
        try:
            return folder.resolve().relative_to(Path.cwd()).as_posix()
        except ValueError:
            return folder.as_posix()

    parts = ["benchmark", "report"]
    for name, values in (("--results", map(shown, folders)), ("--compare", map(shown, options.compare or []))):
        parts += [part for value in values for part in (name, value)]
    for name, value in (("--select", options.select), ("--format", options.format), ("--only", options.only)):
        parts += [name, value] if value and (name, value) != ("--select", "last") else []
    return shlex.join(parts)


def print_matrix(store: Store, plugins: Path | None) -> None:
    """The target x auxiliary matrix of everything that the folder holds."""
    from benchmark.report.console import print_matrices
    from benchmark.report.inputs import gather

    print(flush=True)
    print_matrices(*gather([store], *load_registry(plugins)))


def print_summary(progress: Progress, store: Store) -> None:
    """How it ended, where things are, and the next command to type."""
    from benchmark.progress import clock

    done, kept = progress.count("done"), progress.count("kept")
    print(f"\n{done} runs done, {kept} kept, {progress.count('failed')} failed in {clock(progress.elapsed)}; "
          f"records in {store.folder}/runs")
    for spec in progress.specs:
        failure = store.failure(spec) if progress.states[spec.run_id] == "failed" else None
        if failure is not None:
            print(f"failed: {spec.cell} seed {spec.seed}: {failure.error}\n        log: {store.work(spec) / 'log.txt'}")
            for line in failure.log.splitlines()[-LOG_LINES:]:
                print(f"        | {line}")
    for event in progress.apart:
        print(f"alone, and so not compared with runs in lock-step: {event.spec.cell} seed {event.spec.seed}: {event.text}")
    retry = "the same command runs what failed again; " if progress.count("failed") else ""
    print(f"next: {retry}benchmark report --results {store.folder}")


def reproduce_run(options: argparse.Namespace, command: str) -> int:
    from benchmark.executors.local import run_plan
    from benchmark.progress import watch
    from benchmark.record import read_record
    from benchmark.reproduce import adopt, compare_records, find_record, plan_again, tell

    if not options.tolerance >= 0:
        raise ValueError(f"--tolerance {options.tolerance}: expected 0 or more")
    source = Store(options.results)
    records, _ = source.records()
    record = find_record(options.run_name, records)
    tasks, arms = load_registry(options.plugins)
    plan = plan_again(record, records, tasks, arms)
    require_torch()
    with tempfile.TemporaryDirectory(prefix="reproduce-") as scratch:
        store = Store(options.out or Path(scratch))
        store.prepare()
        adopt(plan, record, records, source, store)
        device = "cpu" if record.environment.device == "cpu" else "auto"
        site = Site(results=str(store.folder), device=device, threads=record.environment.threads,
                    lockstep=record.environment.lockstep or 1, command=command)
        with stopped_like_ctrl_c(), watch(plan.specs, 1) as progress:
            failed = run_plan(plan, store, site, 1, progress.take)
        if failed:
            failure = store.failure(failed[-1])
            print(f"it could not be computed again: {failure.error if failure else 'no reason was recorded'}", file=sys.stderr)
            return 1
        again = read_record(store.run_folder(record.spec) / "record.json")
    metric = tasks[record.spec.task].metric if record.spec.kind == "train" else None
    comparison = compare_records(record, again, metric)
    print(tell(record, comparison, options.tolerance, metric))
    return 0 if comparison.bit_equal or comparison.within(options.tolerance) else 1


def manage_data(options: argparse.Namespace, command: str) -> int:
    """Exit code 1 where files are missing, cannot be read, or are not those of the catalogue."""
    require_torch()
    from benchmark.datasets import run_data

    tasks, _ = load_registry(options.plugins)
    if options.task is not None:
        (options.task,) = pick([options.task], tasks, "task")
    return run_data(tasks, options)


def convert_checkpoint(options: argparse.Namespace, command: str) -> int:
    """Every key is accounted for on the screen; nothing is written where one is missing, left over or of another shape."""
    require_torch()
    from benchmark.convert import convert, write
    from benchmark.matrix import Planner

    tasks, _ = load_registry(options.plugins)
    (name,) = pick([options.task], tasks, "task")
    if options.out.suffix != ".safetensors":
        raise ValueError(f"--out {options.out}: weights are written as .safetensors")
    planner = Planner(tasks, options.profile, [parse_override(text, tasks) for text in options.overrides])
    conversion = convert(options.file, tasks[name], planner.shape(tasks[name]), blocks_only=options.blocks_only,
                         interpolate=options.interpolate)
    digest = write(conversion, options.out)
    print(f"{conversion.describe()}\nwritten to {options.out}, SHA-256 {digest[:12]}; "
          f"train from it with: benchmark run --start {tasks[name].modality}={options.out}")
    return 0


def run_bench(options: argparse.Namespace, command: str) -> int:
    """Exit code 1 where a bound is not kept and `--strict` is set."""
    require_torch()
    import torch

    from benchmark.bench.measure import Bench
    from benchmark.bench.run import MEASUREMENTS, describe, folder_name, write_bench
    from benchmark.bench.run import run_bench as measure
    from benchmark.environment import describe_environment

    if options.repeats < 1 or options.threads < 0:
        raise ValueError("--repeats is at least 1, --threads at least 0")
    names = pick(options.only.split(",") if options.only else None, MEASUREMENTS, "measurement") or list(MEASUREMENTS)
    device = torch.device("cuda" if options.device == "cuda" or (options.device == "auto" and count_gpus()) else "cpu")
    if options.threads:
        torch.set_num_threads(options.threads)
    tasks, arms = load_registry()
    environment = describe_environment(device)
    print(describe(environment), flush=True)
    results = measure(Bench(device, options.repeats, tasks, arms), names, options.results, lambda line: print(line, flush=True))
    folder = options.out or Path("results") / "speed" / folder_name(environment)
    written = write_bench(results, environment, folder)
    beyond = [result.what for result in results if result.kept is False]
    print(f"{len(results)} measurements, {len(beyond)} beyond their bounds; in {folder}: "
          f"{', '.join(path.name for path in written)}")
    return 1 if beyond and options.strict else 0


def export_run(options: argparse.Namespace, command: str) -> int:
    folder = options.results / "work"
    names = sorted(path.parent.name for path in folder.glob("*/weights.safetensors"))
    matches = [name for name in names if name == options.run_name or name.endswith(f"-{options.run_name}")]
    if len(matches) != 1:
        raise ValueError(f"no single run {options.run_name!r} with weights in {options.results}; "
                         f"{nearest(options.run_name, names) if names else 'there are none: run a matrix first'}")
    target = options.out or Path(f"{matches[0]}.safetensors")
    try:
        shutil.copyfile(folder / matches[0] / "weights.safetensors", target)
    except OSError as error:
        raise ValueError(f"{target} cannot be written ({error.strerror}); choose another file with --out") from error
    print(f"{target}: load it with safetensors.torch.load_file")
    return 0
