"""The suite as a library: what `import benchmark` gives. Results folders and plans in, frames and records out.

Every name here is stable: it changes with a major version alone. No torch before something is trained.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from benchmark.plan.matrix import Plan
from benchmark.records.rows import OF_A_RUN, log_rows, run_columns
from benchmark.spec.recipes import Setting

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.records.record import Record
    from benchmark.spec.runspec import Report

Place: TypeAlias = str | os.PathLike[str]
Kind = Literal["records", "curves", "layers", "outputs", "pathways", "logs"]
Say = Callable[[str], None]


def load(results: Place | Sequence[Place], kind: Kind = "records") -> pd.DataFrame:
    """What one results folder, or several, hold, as a frame; columns that say which run it was come first.

    Among them are `limit`, of the samples of each split (absent: none), and `conditions`, by which recipe or shape other
    than the profile's own, such as "shuffle_labels=true" ("": by that; absent: of a task that is no part of the suite).

    "records": a row a run, with its main metric's value (the first that the task's meter gives) on the validation and the test
    split after the last epoch, in the metric's unit, seconds, and what computed it. "curves": a row a measured value, by split,
    metric and epoch. "layers": a row a pathway, with its scale after training. "outputs": a row a sample of the test split, and
    of several tags one a tag, with its label, what was predicted and the probability of the true class, or the tag's score (a
    logit), or the share of points that got the right part. "pathways": a row a pathway and evaluation, with what
    `benchmark.records.signed` names. Older runs left neither. "logs": a row a value, with its `tag` and `step`, as experiment
    trackers take them and as `benchmark export-logs` writes them: see `benchmark.records.rows`.

    A result that several folders hold is there once; of two results of one run both are. Raises `ValueError` for another
    kind, for what is no results folder, and for a record or a file beside it that cannot be read.
    """
    import pandas as pd

    from benchmark.cli.conditions import conditions_told
    from benchmark.records.store import Store

    of_kind: dict[str, Callable[[Record, Path], list[dict[str, object]]]] = {
        "records": _of_record, "curves": _of_curves, "layers": _of_layers, "outputs": _of_outputs, "pathways": _of_pathways,
        "logs": lambda record, folder: list(log_rows(record, folder))}
    if kind not in of_kind:
        raise ValueError(f"load(..., kind={kind!r}): known are {', '.join(of_kind)}")
    folders = _several(results)
    conditions_of = conditions_told()
    rows: list[dict[str, object]] = []
    seen: dict[str, Record] = {}
    for folder in map(Path, folders):
        if not (folder / "runs").is_dir():
            raise ValueError(f"no results in {folder}; run a matrix first, or name a folder that has runs/")
        store = Store(folder)
        held = store.read()
        if held.problems:
            raise ValueError(f"{held.problems[0]}; remove that file, or run its matrix again")
        counted = [(store.folder_of(record).name, record, record) for record in held.records]
        for name, record, counts in (*counted, *held.spares):
            other = seen.get(record.identity, counts)
            if (other.measurements, other.layers) != (record.measurements, record.layers):
                said = ("says other than a copy of it among these folders, though both name one machine and time; remove the "
                        "one that was altered" if other.identity == record.identity else
                        f"has another result of the run of {store.folder_of(counts).name}; remove one")
                raise ValueError(f"{folder}/runs/{name} {said}")
            if other is not record:
                continue
            seen[record.identity] = record
            own = {**run_columns(record), "conditions": conditions_of(record.spec)}
            rows += [{**own, **row} for row in of_kind[kind](record, folder / "runs" / name)]
    return pd.DataFrame(rows, columns=None if rows else [*OF_A_RUN, "conditions"])


def make_plan(matrix: str = "full", *, profile: str = "tiny", targets: Iterable[str] = (), auxiliaries: Iterable[str] = (),
              arms: Iterable[str] = (), settings: Iterable[Setting] = (), seeds: str | int | Iterable[int] | None = None,
              limit: int | None = None, set: Iterable[str] = (), plugins: Place | Sequence[Place] = ()) -> Plan:
    """The runs of a matrix, by name or of a .yaml file, before anything is computed; `specs` of it are their settings.

    The arguments are those of `benchmark run`: `set` has texts such as "recipe.epochs=4", `seeds` is such as "0-2", 0 or
    [0, 1, 2], `limit` the samples of each split, `plugins` a file or folder, or several. Raises `ValueError` for what fits
    nothing.
    """
    from benchmark.cli import context

    if seeds is not None and not isinstance(seeds, str):
        seeds = ",".join(map(str, [seeds] if isinstance(seeds, int) else seeds))
    options = argparse.Namespace(
        matrix=matrix, profile=profile, target=list(targets), aux=list(auxiliaries), arm=list(arms),
        setting=list(settings), seeds=seeds, limit=limit, overrides=list(set), variants=[], start=[], results=None,
        plugins=[Path(place) for place in _several(plugins)])
    return context.make_plan(options)[0]


def run(plan: Plan, results: Place, *, jobs: int = 1, threads: int = 1, device: str = "auto", here: bool = False,
        say: Say | None = None) -> pd.DataFrame:
    """Compute every run of a plan that has no record of today's code in `results`; returns `load(results)` of the plan.

    `here`: in this process, one run after the other, with errors as they are raised; else in `jobs` processes of `threads`
    threads, for which a script needs `if __name__ == "__main__":`. `say` is told how far it is. In this process torch is
    left with `threads` threads and deterministic. Raises `RuntimeError` naming the first run that failed.
    """
    from benchmark.cli.context import require_torch
    from benchmark.cli.own import try_choices
    from benchmark.records.store import Store
    from benchmark.runner.pool import Event, run_plan, todo
    from benchmark.runner.worker import Work, run_here
    from benchmark.spec.runspec import Site

    require_torch()
    tell = say or (lambda text: None)
    store = Store(Path(results))
    try_choices(plan, store)
    store.prepare()
    site = Site(results=str(store.folder), device=device, threads=threads, command="benchmark.run")
    work = todo(plan, store)
    if here:
        handler = signal.getsignal(signal.SIGTERM)
        try:
            for job in work.jobs:
                cell = f"{job.spec.cell} seed {job.spec.seed}"
                tell(cell)
                run_here(Work.of(job, store, work.replaced.get(job.spec.run_id)), store, site, _by_epoch(tell, cell))
        finally:
            signal.signal(signal.SIGTERM, handler)
    else:
        def hear(event: Event) -> None:
            tell(f"{event.spec.cell} seed {event.spec.seed}: {event.kind} {event.text}".rstrip())

        failed = run_plan(plan, store, site, jobs, hear)
        if failed:
            failure = store.failure(failed[0])
            reason = failure.error if failure else "no reason was recorded"
            raise RuntimeError(f"{failed[0].cell} seed {failed[0].seed} failed: {reason}; "
                               f"its log: {store.work(failed[0])}/log.txt")
    frame = load(results)
    return frame[frame["run"].isin([spec.name for spec in plan.specs])].reset_index(drop=True)


def make_report(results: Place | Sequence[Place], out: Place | None = None) -> Path:
    """Write the page, tables and figures of results folders, and return their folder (default: RESULTS/report)."""
    from benchmark.cli.commands import build_parser
    from benchmark.cli.reading import make_report as write

    folders = _several(results)
    given = [part for folder in folders for part in ("--results", str(folder))]
    options = build_parser().parse_args(["report", *given, *(["--out", str(out)] if out is not None else [])])
    write(options, "benchmark.make_report")
    return Path(out) if out is not None else Path(folders[0]) / "report"


def _several(places: Place | Sequence[Place]) -> list[Place]:
    return [places] if isinstance(places, str | os.PathLike) else list(places)


def _by_epoch(tell: Say, cell: str) -> Report:
    return lambda done, total, text: tell(f"{cell}: epoch {done} of {total}: {text}")


def _of_record(record: Record, folder: Path) -> list[dict[str, object]]:
    metric = next((row.metric for row in record.measurements if row.split == "test"), "loss")
    last = {split: curve[-1][1] if (curve := record.curve(split, metric)) else None for split in ("train", "val", "test")}
    return [{"metric": metric, **last, "epochs": record.spec.recipe.epochs,
             "merge_difference": record.merge_difference, "seconds": record.seconds.get("wall"),
             "device": record.environment.device, "commit": record.environment.commit, "started": record.started}]


def _of_curves(record: Record, folder: Path) -> list[dict[str, object]]:
    return [{"split": row.split, "metric": row.metric, "epoch": row.step, "value": row.value} for row in record.measurements]


def _of_layers(record: Record, folder: Path) -> list[dict[str, object]]:
    return [layer.model_dump(include={"scale", "update_share", "auxiliary_cosine"}) | {"layer": layer.name}
            for layer in record.layers]


def _of_outputs(record: Record, folder: Path) -> list[dict[str, object]]:
    from benchmark.records.outputs import FILE, read_outputs

    arrays = read_outputs(folder / FILE) or {}
    if "score" not in arrays:
        return [{"sample": sample, **{name: values[sample].item() for name, values in arrays.items()}}
                for sample in range(len(next(iter(arrays.values()), ())))]
    samples, tags = arrays["score"].shape
    return [{"sample": sample, "tag": tag, **{name: values[sample, tag].item() for name, values in arrays.items()}}
            for sample in range(samples) for tag in range(tags)]


def _of_pathways(record: Record, folder: Path) -> list[dict[str, object]]:
    from benchmark.records.signed import FILE, read_signed

    looked = read_signed(folder / FILE)
    return [] if looked is None else [
        {"layer": layer, "epoch": epoch, **{name: values[place] for name, values in row.items()}}
        for epoch, row in sorted(looked.rows.items()) for place, layer in enumerate(looked.layers)]
