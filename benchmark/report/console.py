"""Run records and forecasts in; the target x auxiliary matrix on a terminal, and what is still to come in words, out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from benchmark.evidence.collect import collect
from benchmark.evidence.detectable import ALONE
from benchmark.evidence.estimates import estimate_cells, estimate_effects
from benchmark.evidence.forecast import Detectable, TimeLeft
from benchmark.evidence.inputs import Problem, TaskInfo
from benchmark.evidence.matrix import list_matrices
from benchmark.evidence.stats import POWER
from benchmark.provenance.currency import Standing
from benchmark.records.record import Record
from benchmark.report.markup import show_spread
from benchmark.report.tables import matrix_table
from benchmark.spec.contracts import Metric
from benchmark.spec.plural import counted, worded


def print_matrices(
    records: Iterable[Record], problems: Iterable[Problem], tasks: Mapping[str, TaskInfo], standings: Mapping[str, Standing]
) -> None:
    """Print every matrix of the records; says so where there is none."""
    collection = collect(records, problems, tasks, standings)
    cells, effects = estimate_cells(collection), estimate_effects(collection, "last")
    console = Console(width=None if Console().is_terminal else 160)
    found = [(section, *matrix) for section in range(len(collection.sections))
             for matrix in list_matrices(collection, section)]
    for section, arm, variant in found:
        table = matrix_table(collection, cells, effects, section, arm, variant)
        grid = Grid(title=Text(table.title), title_justify="left", show_lines=True, caption_justify="left")
        if not any((collection.section_of[run.comparison], run.spec.arm, run.variant) == (section, arm, variant)
                   for run in collection.paired.baseline_of):
            grid.caption = Text("Nothing here is compared with a baseline of its seed: these numbers answer nothing.")
        for heading in table.header:
            grid.add_column(Text(heading))
        for row in table.rows:
            lines = ([Text(line.text, "bold" if line.bold else "") for line in cell] for cell in row)
            grid.add_row(*(Text("\n").join(cell) for cell in lines))
        console.print(grid)
    if not found:
        print("no target x auxiliary pair has a result yet")


def time_text(left: TimeLeft, jobs: int, elsewhere: str = "") -> str:
    """How long the rest takes, with so many runs at once; `elsewhere` is where borrowed times are recorded."""
    if not left.known + left.unknown:
        return "nothing left to compute"
    if not left.known:
        return (f"{counted(left.unknown, 'run')} to do; how long {worded(left.unknown, 'it takes', 'they take')} is not known "
                f"before one of {worded(left.unknown, 'its', 'their')} kind has run")
    alone, together = (timedelta(seconds=round(seconds)) for seconds in (left.seconds, left.seconds / jobs))
    more = f", and {counted(left.unknown, 'run')} of unknown length" if left.unknown else ""
    source = f" (by the runs in {elsewhere}, {left.borrowed} of them)" if left.borrowed else ""
    return f"about {alone} of computing left, {together} with {jobs} at once{more}{source}"


def detectable_text(found: Detectable) -> str:
    """From which difference on a target's seeds find a pair."""
    unit = "points" if found.unit == "%" else found.unit
    spread = f"differences to the plain model spread by {found.spread:.2g} in {counted(found.cells, 'cell')}"
    if found.effect is None:
        return f"{found.task}, {found.setting}: one seed tells nothing of chance ({spread})"
    effect = show_spread(found.effect, Metric("", found.unit))
    return (f"{found.task}, {found.setting}: with {counted(found.seeds, 'seed')} a pair is {ALONE} {effect} {unit} "
            f"(power {POWER:g}; among several pairs it takes more; {spread})")
