"""Every measurement in, a table and a figure out: `benchmark bench`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from benchmark.bench.inputs import measure_inputs
from benchmark.bench.matrices import measure_planning, measure_records, measure_sharing, measure_smoke
from benchmark.bench.measure import Bench, Result
from benchmark.bench.points import measure_points
from benchmark.bench.steps import (
    measure_inference,
    measure_memory,
    measure_optimizer,
    measure_steps,
    measure_tiny,
    measure_trainer,
)
from benchmark.records.record import Environment, write_json
from benchmark.records.store import Store
from benchmark.report.canvas import INK, PALETTE, Interval, drawn, forest, house_style
from benchmark.report.markup import NONE, Table, text_rows, to_markdown

MEASUREMENTS: Mapping[str, Callable[[Bench], Iterator[Result]]] = {
    "optimizer": measure_optimizer, "steps": measure_steps, "tiny": measure_tiny, "trainer": measure_trainer,
    "memory": measure_memory, "inference": measure_inference, "points": measure_points, "planning": measure_planning,
    "inputs": measure_inputs, "smoke": measure_smoke,
    "sharing": measure_sharing}


def run_bench(bench: Bench, names: Sequence[str], results: Path | None, say: Callable[[str], None]) -> list[Result]:
    """Carry out the measurements named, and that of recorded runs where there is a results folder; one line for each."""
    found: list[Result] = []
    recorded = Store(results).records()[0] if results else []
    if results and not recorded:
        raise ValueError(f"{results} has no records to measure; run a matrix there, or leave out --results")
    for result in chain(*(MEASUREMENTS[name](bench) for name in names), measure_records(recorded)):
        found.append(result)
        beyond = ", BEYOND" if result.kept is False else ""
        bound = "" if result.bound is None else f" (bound {format_bound(result)}{beyond})"
        say(f"{result.what}: {format_value(result)}{bound}  {result.detail}")
    return found


def format_value(result: Result) -> str:
    """Median and quartiles, for people"""
    low, high = result.spread
    unit = "" if result.unit == "ratio" else f" {result.unit}"
    digits = ".3f" if result.unit == "ratio" else ".3g"
    value = f"{result.median:{digits}}{unit}"
    return value if len(result.samples) < 2 else f"{value} [{low:{digits}}, {high:{digits}}]"


def format_bound(result: Result) -> str:
    """The largest value that keeps it, or the range of those that do"""
    least = "" if result.least is None else f"{result.least:g} to "
    return NONE if result.bound is None else f"{least}{result.bound:g}"


def bench_table(results: Sequence[Result], environment: Environment) -> Table:
    """A row for each measurement."""
    rows = [[result.group, result.what, format_value(result), format_bound(result),
             {True: "kept", False: "beyond", None: NONE}[result.kept], str(len(result.samples)), result.detail]
            for result in results]
    notes = ("Median of alternating repeats, with quartiles; smaller is better. A ratio sets ours over what it is compared "
             f"with, in the same process. {describe(environment)}",)
    return Table("Speed", ("Of", "What", "Measured", "Bound", "", "n", "Beside it"), text_rows(rows), notes, num_labels=2)


def describe(environment: Environment) -> str:
    """The machine, versions and commit in one line"""
    where = environment.processor if environment.device == "cpu" else f"{environment.device}; {environment.processor}"
    commit = f", commit {environment.commit[:7]}{' with changes' if environment.dirty else ''}" if environment.commit else ""
    return f"{where}, {environment.threads} thread{'s' if environment.threads != 1 else ''}, torch {environment.torch}{commit}."


def write_bench(results: Sequence[Result], environment: Environment, folder: Path) -> list[Path]:
    """bench.json, bench.md and bench.svg in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {"environment": environment.model_dump(exclude_none=True),
            "results": [asdict(result) | {"median": result.median, "kept": result.kept} for result in results]}
    write_json(folder / "bench.json", json.dumps(data, indent=1))
    (folder / "bench.md").write_text(to_markdown(bench_table(results, environment)), encoding="utf-8")
    with house_style():
        groups: dict[str, list[Interval]] = {}
        for result in results:
            if result.bound is not None:
                low, high = result.spread
                groups.setdefault(result.group, []).append(Interval(
                    result.what, result.median / result.bound, low / result.bound, high / result.bound,
                    PALETTE[1] if result.kept is False else INK))
        figure = forest(groups, 1, "median over its largest allowed value, with quartiles; right of the line is beyond")
        figure.suptitle(f"Speed\n{describe(environment)}", x=0.01, ha="left", fontsize=9)
        figure.set_size_inches(11, figure.get_size_inches()[1])
        (folder / "bench.svg").write_bytes(drawn(figure, ["svg"])["svg"])
        return [folder / "bench.json", folder / "bench.md", folder / "bench.svg"]


def folder_name(environment: Environment) -> str:
    """A name for the machine's folder"""
    text = environment.device if environment.device != "cpu" else environment.processor
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
