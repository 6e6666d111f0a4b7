"""Names in, objects out: the command line. The only module of the engine that knows every task and arm."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from benchmark import __version__
from benchmark.contracts import Arm, Task
from benchmark.matrix import Plan, nearest, parse_override, parse_seeds, pick, pretraining_tasks
from benchmark.plugins import extend
from benchmark.presets import PRESETS, find_matrix, narrow, plan_matrix
from benchmark.recipes import SETTINGS
from benchmark.spec import Site
from benchmark.store import Store

if TYPE_CHECKING:
    from benchmark.progress import Progress

PROFILES = ("tiny", "small", "paper")
EPILOG = """flow: data source -> tokenizer -> blocks (with pathways) -> head -> loss / metric -> trainer -> run record
      -> statistics -> tables and figures

start with:  benchmark run --matrix smoke"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 a run failed, 2 input that does not fit, 130 interrupted."""
    command = ["benchmark", *(sys.argv[1:] if arguments is None else arguments)]
    try:
        options = build_parser().parse_args(command[1:])
        code = int(options.run(options, shlex.join(command)))
        sys.stdout.flush()  # here, where a reader that has gone is no error
        return code
    except KeyboardInterrupt:
        print("\ninterrupted: finished runs are kept, unfinished ones go on from where they stopped; "
              "run the same command again", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ValueError as error:
        print(f"benchmark: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


class Parser(argparse.ArgumentParser):
    """Refuses in one line, as everything here does."""

    def error(self, message: str) -> NoReturn:
        """Raises `ValueError`."""
        raise ValueError(f"{message}; see {self.prog} --help")


def build_parser() -> Parser:
    """Every command and option."""
    parser = Parser(
        prog="benchmark", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Does a transformer of one modality really help a transformer of another? "
                    "A reproducibility benchmark of Multimodal Pathway (CVPR 2024).")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")

    plan = Parser(add_help=False)
    chosen = plan.add_argument_group("which runs")
    chosen.add_argument("--matrix", default="full", metavar="NAME",
                        help=f"{', '.join(PRESETS)}, or a .yaml file (default: %(default)s)")
    chosen.add_argument("--profile", choices=PROFILES, default="tiny", help="data and sizes (default: %(default)s)")
    chosen.add_argument("-t", "--target", action="append", metavar="TASK", help="only these tasks; may be repeated")
    chosen.add_argument("-x", "--aux", action="append", metavar="MODALITY", help="only these auxiliaries; may be repeated")
    chosen.add_argument("--arm", action="append", metavar="ARM", help="these arms instead of the matrix's; may be repeated")
    chosen.add_argument("--setting", action="append", choices=SETTINGS, help="these settings instead of the matrix's")
    chosen.add_argument("--seeds", metavar="SEEDS", help="such as 0-2 or 0,3 (default: the matrix's)")
    chosen.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                        help="alter [TASK.]recipe.FIELD, pretrain.FIELD, shape.FIELD or arm.FIELD; may be repeated")
    where = plan.add_argument_group("where")
    where.add_argument("--results", type=Path, metavar="DIR", help="results folder (default: results/PROFILE, "
                       "results/smoke for the smoke matrix)")
    plugins = Parser(add_help=False)
    plugins.add_argument("--plugins", type=Path, metavar="DIR", help="folder of Python files that define TASK or ARM")

    run = commands.add_parser("run", parents=[plan, plugins], help="train every run of a matrix that has no record yet",
                              description="Train every run of a matrix that has no record yet. Running it again resumes.")
    run.add_argument("-j", "--jobs", type=int, metavar="N", help="runs at once (default: one a core, or one a GPU)")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N (default: %(default)s)")
    run.add_argument("--dry-run", action="store_true", help="list the runs, their states, the time that is left and the "
                     "effects that these seeds could show, and stop")
    run.set_defaults(run=command_run)

    status = commands.add_parser("status", parents=[plan, plugins], help="which runs of a matrix are done, failed, stale "
                                 "or missing")
    status.set_defaults(run=command_status)

    listing = commands.add_parser("list", parents=[plugins], help="tasks, arms, matrices, claims")
    listing.add_argument("what", nargs="?", choices=("tasks", "arms", "matrices", "claims"),
                         help="default: all but the claims")
    listing.set_defaults(run=command_list)

    info = commands.add_parser("info", parents=[plugins], help="everything about one task, arm, matrix or claim")
    info.add_argument("name", metavar="NAME")
    info.add_argument("--profile", choices=PROFILES, default="tiny", help="default: %(default)s")
    info.set_defaults(run=command_info)

    report = commands.add_parser("report", parents=[plugins], help="one page, tables and figures from records")
    report.add_argument("--results", type=Path, action="append", metavar="DIR",
                        help="results folder; may be repeated (default: results/tiny)")
    report.add_argument("--out", type=Path, metavar="DIR", help="default: RESULTS/report")
    report.add_argument("--select", choices=("last", "best-val", "oracle"), default="last",
                        help="which epoch counts (default: %(default)s)")
    report.add_argument("--format", metavar="LIST", help="of md,latex,csv,json,html (default: all); figures always")
    report.add_argument("--fail-on", metavar="LIST", help="exit with 1 where there is any of contradicted, not-reproduced, "
                        "stale, missing, failed, unreadable")
    report.set_defaults(run=command_report)

    export = commands.add_parser("export", help="copy a finished run's merged weights, named as timm names them")
    export.add_argument("run_name", metavar="RUN", help="name or id of a run, as under RESULTS/runs")
    export.add_argument("--results", type=Path, default=Path("results/tiny"), metavar="DIR", help="default: %(default)s")
    export.add_argument("--out", type=Path, metavar="FILE", help="default: RUN.safetensors")
    export.set_defaults(run=command_export)
    return parser


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
    folder = options.results or Path("results") / ("smoke" if matrix.limited else options.profile)
    overrides = [parse_override(text, tasks) for text in options.overrides]
    plan = plan_matrix(matrix, tasks, arms, options.profile, parse_seeds(options.seeds or matrix.seeds), overrides)
    return plan, Store(folder)


def command_run(options: argparse.Namespace, command: str) -> int:
    from benchmark.alignment import compare_with_baselines
    from benchmark.executors.local import pending_jobs, run_plan
    from benchmark.progress import watch

    plan, store = make_plan(options)
    gpus = count_gpus() if options.device in ("auto", "cuda") else 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = options.jobs or gpus or cores
    if jobs < 1:
        raise ValueError(f"--jobs {jobs}: expected at least 1")
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", options.device) is None:
        raise ValueError(f"--device {options.device}: expected auto, cpu, cuda or cuda:N")
    if options.dry_run:
        _print_states(plan, store)
        return print_forecast(plan, store, jobs, options.plugins)
    store.prepare()
    site = Site(results=str(store.folder), device=options.device, threads=max(1, cores // jobs), command=command)
    pending = len(pending_jobs(plan, store))
    print(f"{len(plan.jobs)} runs, {pending} to do, {jobs} at once, {site.threads} thread{'s' * (site.threads > 1)} each; "
          f"results in {store.folder}", flush=True)
    with stopped_like_ctrl_c(), watch(plan.specs, jobs) as progress:
        failed = run_plan(plan, store, site, jobs, progress.take)
    compare_with_baselines(store)
    print_matrix(store, options.plugins)
    print_summary(progress, store)
    return 1 if failed else 0


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
    """SIGTERM, which schedulers and shutdowns send, ends the runs as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def count_gpus() -> int:
    """NVIDIA GPUs that this process may use, found without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([part for part in visible.split(",") if part.strip() not in ("", "-1")])
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    found = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False, timeout=30)
    return sum(line.startswith("GPU ") for line in found.stdout.splitlines())


def command_status(options: argparse.Namespace, command: str) -> int:
    plan, store = make_plan(options)
    return _print_states(plan, store)


def _print_states(plan: Plan, store: Store) -> int:
    """One line a cell with the state of each seed, then the reasons of failures."""
    cells: dict[str, list[str]] = {}
    failures = []
    counts: dict[str, int] = {}
    for spec in plan.specs:
        state = store.state(spec)
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
    _, problems = store.records()
    for line in problems:
        print(f"unreadable  {line}")
    print(f"{len(plan.jobs)} runs in {store.folder}: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    return 0


def command_list(options: argparse.Namespace, command: str) -> int:
    from benchmark.describe import LISTED, list_names

    tasks, arms = load_registry(options.plugins)
    print("\n".join(list_names(tasks, arms, [options.what] if options.what else LISTED)))
    return 0


def command_info(options: argparse.Namespace, command: str) -> int:
    from benchmark.describe import describe

    print(describe(options.name, *load_registry(options.plugins), options.profile))
    return 0


def command_report(options: argparse.Namespace, command: str) -> int:
    from baselines import RIVALS
    from benchmark.alignment import alignments_of
    from benchmark.claims import load_claims
    from benchmark.report.document import FORMATS
    from benchmark.report.inputs import gather
    from benchmark.report.write import FINDINGS, analyse, write_report

    folders = options.results or [Path("results/tiny")]
    for folder in folders:
        if not (folder / "runs").is_dir():
            raise ValueError(f"no results in {folder}; run a matrix first, for example: benchmark run --matrix smoke")
    stores = [Store(folder) for folder in folders]
    records, problems, tasks, current = gather(stores, *load_registry(options.plugins))
    alignments = {run_id: values for store in stores for run_id, values in alignments_of(store, records).items()}
    formats = pick([options.format or ""], dict.fromkeys(FORMATS), "format") or FORMATS
    fatal = pick([options.fail_on or ""], dict.fromkeys(FINDINGS), "finding")
    analysis = analyse(records, problems, options.select.replace("-", "_"), tasks=tasks, current=current, rivals=RIVALS,
                       claims=load_claims(), alignments=alignments)
    try:
        written = write_report(analysis, options.out or folders[0] / "report", command, formats)
    except OSError as error:
        raise ValueError(f"the report cannot be written: {error}; choose another folder with --out") from error
    print(f"{written[0]} and {len(written) - 1} tables and figures from {len(records)} records"
          + (f"; {len(problems)} runs or files have no result, named in the report" if problems else ""))
    found = {finding: analysis.count(finding) for finding in fatal if analysis.count(finding)}
    if found:
        print("failing, as asked: " + ", ".join(f"{count} {finding}" for finding, count in found.items()), file=sys.stderr)
    return 1 if found else 0


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
    retry = "the same command runs what failed again; " if progress.count("failed") else ""
    print(f"next: {retry}benchmark report --results {store.folder}")


def command_export(options: argparse.Namespace, command: str) -> int:
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
