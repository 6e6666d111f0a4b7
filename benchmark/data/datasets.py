"""`benchmark data`: official data sets of a task in, what is there, what is not, and its digest out."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping

from benchmark.data.catalogue import Layout, Prepared, folder, inspect, items, prepare, read
from benchmark.data.embedded import DataError
from benchmark.data.listing import commonest, printable
from benchmark.data.view import view_set
from benchmark.spec.contracts import Task
from benchmark.spec.preparing import with_task
from benchmark.spec.recipes import SPLITS

SHOWN = 20  # files named on the screen; all are in the catalogue


def layouts_of(task: Task) -> dict[str, Layout]:
    """The official data sets of a task, by name; empty without any."""
    if "paper" not in task.profiles:
        return {}
    used = task.profiles["paper"].data_sets
    return {layout.name: layout for layout in getattr(task.reader("paper"), "LAYOUTS", ()) if layout.name in used}


def choose(task: Task, name: str | None) -> list[Layout]:
    """The data set of this name, or all of the task's; raises `ValueError` for an unknown one."""
    known = layouts_of(task)
    if not known:
        raise ValueError(f"task {task.name} has no official data set")
    if name is not None and name not in known:
        raise ValueError(f"task {task.name} has no data set {name!r}; it has {', '.join(known)}")
    return [known[name]] if name is not None else list(known.values())


def list_sets(tasks: Mapping[str, Task]) -> int:
    """Every official data set, its layout, and whether it is prepared."""
    seen = set()
    for task in tasks.values():
        for layout in (layout for layout in layouts_of(task).values() if layout.name not in seen):
            seen.add(layout.name)
            try:
                prepared = read(layout.name)
                state = f"prepared from {prepared.root}, digest {prepared.digest[:12]}, {counts(prepared)}"
            except DataError:
                state = f"not prepared; benchmark data prepare {task.name} --set {layout.name} --root DIR"
            print(f"{task.name}  {layout.name}\n    {layout.description}\n    {state}")
    return 0


def prepare_set(task: Task, options: argparse.Namespace) -> int:
    """Look at every file and write the catalogue; exit code 1 where any is missing or cannot be read."""
    chosen = choose(task, options.set)
    if len(chosen) > 1:
        raise ValueError(f"task {task.name} has several data sets; choose one with --set: "
                         f"{', '.join(layout.name for layout in chosen)}")
    if options.root is None:
        raise ValueError("name the data set's folder with --root DIR")
    if options.jobs < 1:
        raise ValueError(f"--jobs {options.jobs}: expected at least 1")
    prepared = prepare(chosen[0], options.root, options.jobs, lambda line: print(line, flush=True),
                       prefix=options.strip_prefix, links=options.follow_links)
    code = print_facts(prepared)
    print(f"written to {folder() / prepared.name}.json")
    return code


def verify_set(task: Task, options: argparse.Namespace) -> int:
    """Look at every file again and compare with the catalogue, which stays as it is; exit code 1 where anything differs."""
    code = 0
    for layout, before in prepared_of(task, options.set):
        again, found = inspect(layout, options.root or before.root, options.jobs, lambda line: print(line, flush=True),
                               prefix=options.strip_prefix or before.prefix, links=options.follow_links or before.links)
        code = max(code, print_facts(again))
        if again.digest != before.digest:
            print(f"{layout.name}: digest {again.digest[:12]} is not that of the catalogue, {before.digest[:12]}")
            same = True
            for split in SPLITS:
                now = {item.path: (item.label, item.sha256) for item in found[split]}
                then = {item.path: (item.label, item.sha256) for item in items(before, split)}
                same = same and now == then
                altered = [path for path in then if path in now and now[path] != then[path]]
                show("  ", [f"{what:<11} {printable(path)}" for what, paths in (
                    ("changed", altered), ("gone", [path for path in then if path not in now]),
                    ("new", [path for path in now if path not in then])) for path in paths], "")
            if same:
                print("  the same samples in another order, as lists or folders have it now")
            code = 1
    return code


def show_stats(task: Task, options: argparse.Namespace) -> int:
    """Samples by split and class, from the catalogue."""
    for _, prepared in prepared_of(task, options.set):
        print_facts(prepared)
        by_split = {split: Counter(label for item in items(prepared, split) for label in item.label.split(","))
                    for split in SPLITS}
        print("class  " + "  ".join(SPLITS))
        for index, name in enumerate(prepared.classes):
            print(f"{name}  " + "  ".join(str(by_split[split][str(index)]) for split in SPLITS))
        for name, value in prepared.facts.items():
            print(f"{name}: {value}")
    return 0


def prepared_of(task: Task, name: str | None) -> list[tuple[Layout, Prepared]]:
    """The data sets of a task that are prepared; raises `DataError` where none is, or the one named is not."""
    found, error = [], None
    for layout in choose(task, name):
        try:
            found.append((layout, read(layout.name)))
        except DataError as unprepared:
            error = error or unprepared
    if error is not None and not found:
        raise error
    return found


def print_facts(prepared: Prepared) -> int:
    """Counts and faults of a data set; 1 where there are any faults."""
    print(f"{prepared.name} under {prepared.root}: {counts(prepared)}; digest {prepared.digest[:12]}")
    for line in (*prepared.notes, prepared.short):
        if line:
            print(f"  note        {line}")
    faults = [f"problem     {line}" for line in prepared.problems]
    faults += [f"missing     {path}" for paths in prepared.missing.values() for path in paths]
    faults += [f"unreadable  {line}" for lines in prepared.unreadable.values() for line in lines]
    show("  ", faults, f", all named in {folder() / prepared.name}.json")
    if len(faults) > 1:
        print(f"  {len(faults):,} faults: {commonest(prepared.faults())}")
    for note in filter(None, (*map(prepared.lost, SPLITS), prepared.odd())):
        print(f"  {note}; it is trained on only with --allow-missing")
    return 1 if faults else 0


def show(margin: str, lines: list[str], where: str) -> None:
    """The first lines, and how many more there are"""
    for line in lines[:SHOWN]:
        print(f"{margin}{line}")
    if len(lines) > SHOWN:
        print(f"{margin}and {len(lines) - SHOWN:,} more{where}")


def counts(prepared: Prepared) -> str:
    """Samples by split, for people"""
    return ", ".join(f"{prepared.counts.get(split, 0):,} {split}" for split in SPLITS)


def run_data(tasks: Mapping[str, Task], options: argparse.Namespace) -> int:
    """One of list, prepare, verify, stats, view."""
    if options.action == "list":
        if options.task is not None:
            choose(tasks[options.task], options.set)  # which says so where there is none
        return list_sets(tasks if options.task is None else {options.task: tasks[options.task]})
    if options.task is None:
        raise ValueError(f"name a task: benchmark data {options.action} TASK, one of {', '.join(tasks)}")
    task = tasks[options.task]
    act = {"prepare": prepare_set, "verify": verify_set, "stats": show_stats, "view": view_set}[options.action]
    try:
        return act(task, options)
    except DataError as error:
        raise DataError(with_task(str(error), task.name)) from error
