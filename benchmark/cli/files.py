"""Commands about files that come from elsewhere or go there: `data`, `convert`, `export`."""

from __future__ import annotations

import argparse
import shlex
import shutil
from pathlib import Path

from benchmark.cli.context import load_registry, plugins_given, require_torch
from benchmark.plan.matrix import nearest, parse_override, pick
from benchmark.records.record import records_under


def manage_data(options: argparse.Namespace, command: str) -> int:
    """Exit code 1 where files are missing, cannot be read, or are not those of the catalogue."""
    require_torch()
    from benchmark.data.datasets import run_data

    tasks, _ = load_registry(options.plugins)
    if options.task is not None:
        (options.task,) = pick([options.task], tasks, "task")
    return run_data(tasks, options)


def convert_checkpoint(options: argparse.Namespace, command: str) -> int:
    """Every key is accounted for on the screen; nothing is written where one is missing, left over or of another shape."""
    require_torch()
    from benchmark.plan.matrix import Planner
    from benchmark.transfer.convert import convert, write

    tasks, _ = load_registry(options.plugins)
    (name,) = pick([options.task], tasks, "task")
    if options.out.suffix != ".safetensors":
        raise ValueError(f"--out {options.out}: weights are written as .safetensors")
    planner = Planner(tasks, options.profile, [parse_override(text, tasks) for text in options.overrides])
    conversion = convert(options.file, tasks[name], planner.shape(tasks[name]), blocks_only=options.blocks_only,
                         interpolate=options.interpolate, weights=options.weights)
    digest = write(conversion, options.out)
    modality = tasks[name].modality
    use = (f"blocks alone, as an auxiliary of other modalities: benchmark run -x {modality} --start" if options.blocks_only
           else "train from it with: benchmark run --start")
    given = shlex.join([f"{modality}={options.out}", *plugins_given(options)])
    print(f"{conversion.describe()}\nwritten to {options.out}, SHA-256 {digest[:12]}; {use} {given}")
    return 0


def _recorded(name: str, results: Path) -> str | None:
    """The run of this name or id that has a record, if there is one"""
    names = (path.parent.name for path in records_under(results))
    found = [own for own in names if own == name or own.endswith(f"-{name}")]
    return found[0] if len(found) == 1 else None


def export_run(options: argparse.Namespace, command: str) -> int:
    folder = options.results / "work"
    names = sorted(path.parent.name for path in folder.glob("*/weights.safetensors"))
    matches = [name for name in names if name == options.run_name or name.endswith(f"-{options.run_name}")]
    if not matches and (recorded := _recorded(options.run_name, options.results)):
        raise ValueError(f"run {recorded} has a record in {options.results} and no weights, which no repository holds; compute "
                         f"them with: benchmark reproduce {recorded} --results {options.results} --out DIR, and export the run "
                         "with --results DIR")
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
