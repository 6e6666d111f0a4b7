"""`view`: a run in, the test samples that changed sides against its baseline out, as a sheet of pictures or a page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.cli.context import load_registry, refuse_unwritable, require_torch
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.spec.contracts import Task
from benchmark.spec.plural import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray


def view_run(options: argparse.Namespace, command: str) -> int:
    """Says how many changed sides, and shows the first of those that were gained and lost, half each where there are."""
    from benchmark.data.names import label_names
    from benchmark.data.view import write_sheet
    from benchmark.evidence.sides import baseline_of, changes_of
    from benchmark.records.outputs import FILE, read_outputs
    from benchmark.runner.reproduce import find_record

    if options.number < 1:
        raise ValueError(f"--number {options.number}: expected at least 1 sample")
    if options.out is not None:
        refuse_unwritable(options.out, "file", makes_folders=False)
    store = Store(options.results)
    records, problems = store.records()
    run = find_record(options.run_name, records, problems)
    if run.spec.kind != "train" or run.spec.role == "baseline":
        raise ValueError(f"{run.spec.name} is {'a pretraining' if run.spec.kind != 'train' else 'a baseline itself'}; name "
                         "a run of another arm")
    baseline = baseline_of(run, records)
    if baseline is None:
        raise ValueError(f"{run.spec.name} has no baseline of its seed in {options.results}; run it with the same command")
    outputs = []
    for each in (run, baseline):
        arrays = read_outputs(store.folder_of(each) / FILE)
        if arrays is None:
            if each.beside and FILE not in each.beside:  # a run of a release that keeps outputs, wherever there are any
                raise ValueError(f"{each.spec.name} left nothing of what it says of samples, as its task keeps nothing of "
                                 "them: Task.outputs knows one label a sample, so let the task's own give what "
                                 "benchmark.records.outputs names, and run it again")
            again = run.command.partition(" --results")[0] or "benchmark run ..."
            only = f"--arm {run.spec.arm} -t {run.spec.task} --seeds {run.spec.seed}"
            raise ValueError(f"{each.spec.name} left nothing of what it says of samples, as older runs did; compute both "
                             f"anew in another folder: {again} --results mine (and, for no more than these: {only})")
        outputs.append(arrays)
    task = task_of(run, options)
    ours, theirs = outputs
    changes = changes_of(ours, theirs, label_names(task.profiles[run.spec.profile]))
    gained, lost = ([change for change in changes if change.gained is side] for side in (True, False))
    print(f"{counted(len(changes), 'test sample')} changed sides against {baseline.spec.name}: {len(gained)} gained, "
          f"{len(lost)} lost")
    if not changes:
        return 0
    half = max(options.number // 2, options.number - len(lost))
    chosen = [*gained[:half], *lost[: options.number - min(half, len(gained))]]
    captions = [f"{'+' if change.gained else '-'} {change.sample} {change.said}" for change in chosen]
    path = options.out or Path(f"{run.spec.name}.png")
    write_sheet(inputs_of(run, task, [change.sample for change in chosen]), captions, path, task.modality)
    print(f"{len(chosen)} of them, + gained and - lost, with the true answer, the baseline's and the run's: {path}")
    return 0


def task_of(run: Record, options: argparse.Namespace) -> Task:
    """Raises `ValueError` where it is not loaded, or its data are others now."""
    tasks, _ = load_registry(options.plugins)
    spec = run.spec
    if spec.task not in tasks:
        raise ValueError(f"{spec.name} is of a task that is not loaded; name its file with --plugins")
    if tasks[spec.task].data_digests(spec.profile) != dict(spec.data):
        raise ValueError(f"the data of {spec.task} have changed since {spec.name} was computed, so its samples are not these")
    return tasks[spec.task]


def inputs_of(run: Record, task: Task, samples: list[int]) -> NDArray[Any]:
    """Inputs of the test split at these places, as arrays, unaltered."""
    require_torch()
    import torch

    from benchmark.data.view import array_of
    from benchmark.spec.recipes import TrainRecipe

    spec = run.spec
    assert isinstance(spec.recipe, TrainRecipe)
    test = task.load(spec.profile)["test"].take(spec.limit).configured(spec.shape, spec.recipe)
    return array_of(test.batch(torch.tensor(samples))["input"])
