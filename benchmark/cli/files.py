"""Commands about files that come from elsewhere or go there: `data`, `convert`, `export`."""

from __future__ import annotations

import argparse
import difflib
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli.context import load_registry, plugins_given, refuse_unwritable, require_torch
from benchmark.plan.given import check_foreign
from benchmark.plan.names import nearest, pick
from benchmark.plan.overrides import parse_override
from benchmark.records.earlier import RecordError
from benchmark.records.record import may_be, names_in, read_record, records_under
from benchmark.spec.plural import counted

if TYPE_CHECKING:
    from benchmark.spec.contracts import Task
    from benchmark.transfer.convert import Conversion


def manage_data(options: argparse.Namespace, command: str) -> int:
    """Exit code 1 where files are missing, cannot be read, or are not those of the catalogue."""
    require_torch()
    from benchmark.data.datasets import run_data

    tasks, _ = load_registry(options.plugins)
    if options.task is not None:
        (options.task,) = pick([options.task], tasks, "task")
    if options.action == "view" and options.out is not None:
        refuse_unwritable(options.out, "file", makes_folders=False)
    return run_data(tasks, options)


def convert_checkpoint(options: argparse.Namespace, command: str) -> int:
    """Every key is accounted for on the screen; nothing is written where one is missing, left over or of another shape."""
    require_torch()
    from benchmark.transfer.convert import write
    from benchmark.transfer.published import files_of

    if options.out.suffix != ".safetensors":
        raise ValueError(f"--out {options.out}: weights are written as .safetensors")
    refuse_unwritable(options.out, "file")
    tasks, _ = load_registry(options.plugins)
    conversion, use = (_encoder_of_a_task if options.task in tasks else _blocks_of_a_file)(options, tasks)
    if options.out.resolve() in [file.resolve() for file in files_of(options.file)]:
        raise ValueError(f"--out {options.out} is the file that is converted, and would be gone; choose another with --out")
    try:
        digest = write(conversion, options.out)
    except OSError as error:
        raise ValueError(f"{options.out} cannot be written ({error.strerror}); choose another file with --out") from error
    print(f"{conversion.describe()}\nwritten to {options.out}, SHA-256 {digest[:12]}; {use}")
    return 0


def _encoder_of_a_task(options: argparse.Namespace, tasks: Mapping[str, Task]) -> tuple[Conversion, str]:
    """The conversion, and what it is for"""
    from benchmark.plan.matrix import Planner
    from benchmark.transfer.convert import convert

    for option, value in (("--heads", options.heads), ("--first-blocks", options.first_blocks)):
        if value is not None:
            raise ValueError(f"{option} {value}: with a TASK its shape says it (--set shape.num_heads, shape.depth); leave out "
                             "one of the two")
    task = tasks[options.task]
    planner = Planner(tasks, options.profile, [parse_override(text, tasks) for text in options.overrides])
    conversion = convert(options.file, task, planner.shape(task), blocks_only=options.blocks_only,
                         interpolate=options.interpolate, weights=options.weights)
    modality = task.modality
    use = (f"blocks alone, as an auxiliary of other modalities: benchmark run -x {modality} --start" if options.blocks_only
           else "train from it with: benchmark run --start")
    same = ["--profile", options.profile] if options.profile != "tiny" else []  # which run has where nothing is said
    same += [part for text in options.overrides for part in ("--set", text)]
    return conversion, f"{use} {shlex.join([f'{modality}={options.out}', *same, *plugins_given(options)])}"


def _blocks_of_a_file(options: argparse.Namespace, tasks: Mapping[str, Task]) -> tuple[Conversion, str]:
    """The same of a modality that no task has, in the sizes that the file has"""
    from benchmark.transfer.convert import convert_blocks

    name = options.task
    check_foreign(name, tasks)
    if not options.blocks_only or difflib.get_close_matches(name, tasks, cutoff=0.75):
        raise ValueError(f"unknown task {name!r}; {nearest(name, tasks)}; blocks of a modality that no task has are taken with "
                         "--blocks-only, under a name of your own")
    for option, given in (("--set", options.overrides), ("--interpolate", options.interpolate)):
        if given:
            raise ValueError(f"{option} fits the model of a task, and {name} is none; leave it out")
    conversion = convert_blocks(options.file, num_heads=options.heads, first=options.first_blocks, weights=options.weights)
    blocks = conversion.blocks
    assert blocks is not None
    sizes = [part for option in blocks.options() for part in ("--set", option)]
    given = shlex.join(["-x", name, "--start", f"{name}={options.out}", *sizes, *plugins_given(options)])
    return conversion, (f"{counted(blocks.depth, 'block')} of width {blocks.embed_dim} with "
                        f"{counted(blocks.num_heads, 'head')}, as an auxiliary of a modality that no task has: "
                        f"benchmark run {given}")


def _recorded(name: str, results: Path) -> str | None:
    """The run of this name or id that has a record, if there is one"""
    names = (path.parent.name for path in records_under(results))
    found = [own for own in names if own == name or own.endswith(f"-{name}")]
    return found[0] if len(found) == 1 else None


def export_run(options: argparse.Namespace, command: str) -> int:
    folder = options.results / "work"
    names = [name for name in names_in(folder) if may_be(f"{folder}/{name}/weights.safetensors")]
    matches = [name for name in names if name == options.run_name or name.endswith(f"-{options.run_name}")]
    if not matches and (recorded := _recorded(options.run_name, options.results)):
        raise ValueError(f"run {recorded} has a record in {options.results} and no weights, which no repository holds; compute "
                         f"them with: benchmark reproduce {recorded} --results {options.results} --out DIR, and export the run "
                         "with --results DIR")
    if len(matches) != 1:
        raise ValueError(f"no single run {options.run_name!r} with weights in {options.results}; "
                         f"{nearest(options.run_name, names) if names else 'there are none: run a matrix first'}")
    target = options.out or Path(f"{matches[0]}.safetensors")
    refuse_unwritable(target, "file", makes_folders=False)
    require_torch()
    from safetensors import SafetensorError

    from benchmark.transfer.exported import export

    try:
        record = read_record(options.results / "runs" / matches[0] / "record.json")
    except RecordError as error:
        raise ValueError(f"run {matches[0]} has weights and no record that can be read, which it leaves when it is done: "
                         f"{error}") from error
    try:
        call = export(record, folder / matches[0] / "weights.safetensors", target)
    except SafetensorError as error:
        raise ValueError(f"the weights of {matches[0]} are damaged ({error}); compute the run again") from error
    except OSError as error:
        raise ValueError(f"{target} cannot be written ({error.strerror}); choose another file with --out") from error
    print(f"{target}: {record.spec.cell} seed {record.spec.seed}, with its shape and this in the file's metadata. Load it so:\n"
          f"\n{call}")
    return 0
