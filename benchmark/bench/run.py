"""Every measurement in, a table and a figure out: `benchmark bench`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmark.bench.check import measure_check
from benchmark.bench.inputs import measure_inputs
from benchmark.bench.matrices import (
    measure_evidence,
    measure_planning,
    measure_records,
    measure_sharing,
    measure_smoke,
)
from benchmark.bench.measure import Bench, Result
from benchmark.bench.points import measure_points
from benchmark.bench.stacks import measure_stack
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
    "check": measure_check, "optimizer": measure_optimizer, "steps": measure_steps, "tiny": measure_tiny,
    "trainer": measure_trainer, "memory": measure_memory, "inference": measure_inference, "points": measure_points,
    "planning": measure_planning, "inputs": measure_inputs, "smoke": measure_smoke, "stack": measure_stack,
    "sharing": measure_sharing,
    "evidence": measure_evidence}
BY_NAME_ONLY = {"evidence"}  # as it takes hours on a CPU


def run_bench(bench: Bench, names: Sequence[str], results: Path | None, say: Callable[[str], None],
              keep: Callable[[list[Result]], object] = lambda found: None) -> list[Result]:
    """Carry out the measurements named, and that of recorded runs where there is a results folder; one line for each, and
    one before each measurement. `keep` is called with all results whenever there is one more."""
    found: list[Result] = []
    recorded = Store(results).records()[0] if results else []
    if results and not recorded:
        raise ValueError(f"{results} has no records to measure; run a matrix there, or leave out --results")
    for name in names:
        say(f"{name} ...")
        for result in MEASUREMENTS[name](bench):
            found.append(result)
            say(f"  {tell(result)}")
            keep(found)
    for result in measure_records(recorded):
        found.append(result)
        say(tell(result))
    return found


def tell(result: Result) -> str:
    """One line"""
    beyond = ", BEYOND" if result.kept is False else ""
    bound = "" if result.bound is None else f" (bound {format_bound(result)}{beyond})"
    return f"{result.what}: {format_value(result)}{bound}  {result.detail}"


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


def write_numbers(results: Sequence[Result], environment: Environment, folder: Path,
                  missing: Mapping[str, str] | None = None, load: str | None = None) -> list[Path]:
    """bench.json and bench.md in `folder`, also of a bench that is not done. `missing`: why some were not measured, by name;
    `load`: what is to be said of other work on the machine."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {"environment": environment.model_dump(exclude_none=True), "load": load, "not_measured": missing or {},
            "results": [asdict(result) | {"median": result.median, "kept": result.kept} for result in results]}
    write_json(folder / "bench.json", json.dumps(data, indent=1))
    text = to_markdown(bench_table(results, environment))
    notes = [f"Not measured: {name}, {reason}." for name, reason in (missing or {}).items()] + ([load] if load else [])
    (folder / "bench.md").write_text("\n".join([text, *(f"{note}\n" for note in notes)]), encoding="utf-8")
    return [folder / "bench.json", folder / "bench.md"]


def write_bench(results: Sequence[Result], environment: Environment, folder: Path,
                missing: Mapping[str, str] | None = None, load: str | None = None) -> list[Path]:
    """bench.json, bench.md and bench.svg in `folder`."""
    written = write_numbers(results, environment, folder, missing, load)
    with house_style():
        groups: dict[str, list[Interval]] = {}
        for result in results:
            if result.bound:  # what has to be 0 has no share of it
                low, high = result.spread
                groups.setdefault(result.group, []).append(Interval(
                    result.what, result.median / result.bound, low / result.bound, high / result.bound,
                    PALETTE[1] if result.kept is False else INK))
        figure = forest(groups, 1, "median over its largest allowed value, with quartiles; right of the line is beyond")
        figure.suptitle(f"Speed\n{describe(environment)}", x=0.01, ha="left", fontsize=9)
        figure.set_size_inches(11, figure.get_size_inches()[1])
        (folder / "bench.svg").write_bytes(drawn(figure, ["svg"])["svg"])
    return [*written, folder / "bench.svg"]


def summary(results: Sequence[Result], missing: Mapping[str, str]) -> Iterator[str]:
    """Lines of a table for a terminal: what, value, bound, and whether it is kept"""
    rows = [("measurement", "value", "bound", "met")]
    rows += [(result.what, format_value(result), format_bound(result),
              {True: "yes", False: "NO", None: NONE}[result.kept]) for result in results]
    rows += [(name, "not measured", NONE, reason) for name, reason in missing.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        yield "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]])


def busy_elsewhere(cores: int) -> str | None:
    """What to say where other work keeps more than a quarter of the cores busy; None where it does not, or nothing tells."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load <= cores / 4:
        return None
    return f"Other work kept {load:.1f} of {cores} cores busy when this began: times may be too long."


def folder_name(environment: Environment) -> str:
    """A name for the machine's folder"""
    text = environment.device if environment.device != "cpu" else environment.processor
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
