"""What each command does: parsed options in, work done and told, an exit code out.

The only package of the engine that knows every task and arm. Here is what its modules share.
"""

from __future__ import annotations

import argparse
import errno
import importlib.util
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

from benchmark.plan.fit import check_blocks, check_heads, check_names, check_recipes
from benchmark.plan.given import check_foreign
from benchmark.plan.matrix import Plan, pretraining_tasks
from benchmark.plan.names import nearest, parse_seeds, pick
from benchmark.plan.overrides import parse_override
from benchmark.plan.plugins import extend
from benchmark.plan.presets import Matrix, check_groups, narrow, pick_auxiliaries, plan_matrix
from benchmark.plan.study import Study, find_matrix, with_rivals
from benchmark.plan.variants import check_use, overrides_of
from benchmark.records.record import may_be
from benchmark.records.store import Store
from benchmark.runner.machine import count_gpus
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.recipes import SETTINGS, Setting

DEFAULT_MATRIX = "full"


def load_registry(plugins: Sequence[Path] | None = None) -> tuple[dict[str, Task], dict[str, Arm]]:
    """Every task and arm by name: our own, other distributions' entry points, files and folders of plugins."""
    from baselines import ARMS
    from tasks import TASKS

    return extend(TASKS, ARMS, plugins or ())


def load_study(arms: Mapping[str, Arm] | None = None) -> Study:
    """What is asked: the one value by which the engine knows of a method, with the rivals of `arms`."""
    from baselines import STUDY

    return STUDY if arms is None else with_rivals(STUDY, arms)


def plugins_given(options: argparse.Namespace) -> list[str]:
    """The option `--plugins` as it was typed"""
    return [part for place in options.plugins or () for part in ("--plugins", str(place))]


def make_plan(options: argparse.Namespace, unprepared: dict[str, str] | None = None) -> tuple[Plan, Store]:
    """The runs that the options name, and where their results are.

    Data that cannot be read are one error for all tasks, or, where `unprepared` is given, noted there by task.
    """
    tasks, arms = load_registry(options.plugins)
    study = load_study(arms)
    chosen = _pick_own(options.arm, arms, "arm")
    known: dict[str, Setting] = {setting: setting for setting in SETTINGS}
    settings = tuple(known[name] for name in pick(options.setting, known, "setting"))
    if chosen and not settings and all(arms[name].is_baseline for name in chosen):
        settings = SETTINGS  # a baseline names its setting
    matrix = find_matrix(options.matrix or DEFAULT_MATRIX, study)
    check_groups(matrix, tasks, arms)
    named = {name.strip() for text in options.aux or () for name in text.split(",")}
    named |= {name for group in matrix.groups for name in group.auxiliaries}
    given = parse_given(options.start, tasks, named)
    matrix = narrow(matrix, settings=settings, arms=chosen, targets=_pick_own(options.target, tasks, "task"),
                    auxiliaries=pick_auxiliaries(options.aux, tasks, given), known=arms)
    folder = options.results or Path("results") / folder_of(matrix, options.profile, options.limit)
    variants = [name for text in options.variants for name in text.split(",")]
    overrides = overrides_of(study, variants, options.profile, tasks)
    overrides += [parse_override(text, tasks) for text in options.overrides]
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"--limit {options.limit}: expected at least 1 sample of each split")
    not_ready: dict[str, str] = {} if unprepared is None else unprepared
    plan = plan_matrix(matrix, tasks, arms, options.profile, parse_seeds(options.seeds or matrix.seeds), overrides, given,
                       options.limit, not_ready)
    if not_ready and unprepared is None:
        raise ValueError("; ".join(not_ready.values()))
    used = {file.weights for job in plan.jobs for _, file in job.files}
    for name in (name for name, path in given.items() if path not in used):
        raise ValueError(f"--start {name}={given[name]}: no run of this matrix starts from weights of {name}; "
                         "leave it out, or choose targets, arms or auxiliaries that do")
    check_use(study, variants, plan)
    check_heads(plan)
    check_blocks(plan)
    check_recipes(plan)
    check_names(plan)
    return plan, Store(folder)


def _pick_own(names: Sequence[str] | None, known: Mapping[str, Task] | Mapping[str, Arm], what: str) -> list[str]:
    """As `pick`, of what may be defined in a file, too"""
    try:
        return pick(names, known, what)
    except ValueError as error:
        raise ValueError(f"{error}; one of your own is found with --plugins FILE") from error


def parse_given(texts: Sequence[str], tasks: Mapping[str, Task], named: Collection[str]) -> dict[str, Path]:
    """Files by modality, as `--start MODALITY=FILE` has them; a modality that no task pretrains must be `named` elsewhere, too,
    as an auxiliary, or it is taken for a slip."""
    given: dict[str, Path] = {}
    known = pretraining_tasks(tasks)
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise ValueError(f"--start {text}: expected MODALITY=FILE, weights that benchmark convert wrote")
        if name not in known and name not in named:
            raise ValueError(f"unknown modality {name!r}; {nearest(name, known)}; one that no task has must be named as an "
                             f"auxiliary, too: -x {name}")
        if name in given:
            raise ValueError(f"--start {text}: {name} has a file already, {given[name]}: give one")
        if name not in known:
            check_foreign(name, tasks)
        given[name] = Path(path).expanduser().resolve()
    return given


def folder_of(matrix: Matrix, profile: str, limit: int | None = None) -> str:
    """The results folder of a matrix, below results/: trials lie apart from what is reported."""
    return "smoke" if matrix.limited or limit else "quick" if matrix.quick else profile


def not_there(folder: Path) -> str:
    """For an error message: why a folder without results has none, as far as it can be seen"""
    if not may_be(str(folder)):
        return " (there is no such folder)"
    return "" if folder.is_dir() else " (it is a file, and no folder)"


def refuse_inner(folder: Path) -> None:
    """Raises `ValueError` for the folder `runs` of a results folder, which is easily given in its place."""
    if folder.name == "runs" and next(folder.glob("*/*.json"), None) is not None:
        raise ValueError(f"{folder} has the runs of a results folder, which is the one above it: --results {folder.parent}")


def refuse_unwritable(path: Path, what: Literal["file", "folder"], *, makes_folders: bool = True) -> None:
    """Raises `ValueError` where --out cannot be written, as far as that can be seen before anything is computed; makes nothing.

    `makes_folders`: whether the command makes the folders above it that are not there.
    """
    place = path if what == "folder" else path.parent
    try:
        while makes_folders and not place.exists():
            place = place.parent
        read_only = os.statvfs(place).f_flag & os.ST_RDONLY
        fault = (errno.EISDIR if what == "file" and path.is_dir() else errno.ENOTDIR if not place.is_dir() else
                 errno.EROFS if read_only else 0 if os.access(place, os.W_OK | os.X_OK) else errno.EACCES)
    except OSError as error:
        fault = error.errno or errno.EIO
    if fault:
        raise ValueError(f"{path} cannot be written ({os.strerror(fault)}); choose another {what} with --out")


def has_torch() -> bool:
    """Whether what trains is installed"""
    try:
        return importlib.util.find_spec("torch") is not None
    except ModuleNotFoundError:
        return False


def require_torch() -> None:
    """Raises `ValueError` where only what reads results is installed."""
    if not has_torch():
        raise ValueError("training needs packages that are not installed (torch); pip install 'm2pt-bench[run]', "
                         "or -e '.[run]' in a clone")


def names_a_choice(options: argparse.Namespace) -> bool:
    """Whether the options choose runs, of a matrix that they do not name."""
    chosen = ("target", "aux", "arm", "setting", "seeds", "limit", "overrides", "variants", "start")
    return any(getattr(options, name) for name in chosen)


def processes_of_a_run(options: argparse.Namespace, gpus_there: int | None = None) -> int:
    """How many processes share a run; raises `ValueError` where this machine, or one with so many
    GPUs, cannot hold them."""
    gpus, processes, device = options.gpus_per_run, options.processes_per_run, options.device
    if gpus is None and processes is None:
        return 1
    if gpus is not None and processes is not None:
        raise ValueError("--gpus-per-run gives each GPU one process, and --processes-per-run is for a CPU: give one of them")
    name, count = ("--gpus-per-run", gpus) if processes is None else ("--processes-per-run", processes)
    if count < 1:
        raise ValueError(f"{name} {count}: expected at least 1")
    found = 0 if device == "cpu" else count_gpus() if gpus_there is None else gpus_there
    if processes is not None and found:
        raise ValueError(f"{name} {count}: processes that share a run on GPUs have one each; use --gpus-per-run, or "
                         "--device cpu")
    if gpus is not None and ":" in device:
        raise ValueError(f"{name} {count} and --device {device}, which is one GPU: use --device cuda, and "
                         "CUDA_VISIBLE_DEVICES to say which")
    if gpus is not None and found < count:
        raise ValueError(f"{name} {count}: {found} GPUs can be used here" + ("; on a CPU it is --processes-per-run"
                                                                             if not found else ""))
    return int(count)
