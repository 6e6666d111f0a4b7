"""A comparison of two collections in, its table and its sentence out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from benchmark.evidence.compare import PLACE, OutputsBeside
from benchmark.evidence.frames import rows_of
from benchmark.evidence.inputs import Problem, TaskInfo
from benchmark.evidence.stats import ALPHA
from benchmark.report.markup import NONE, Table, show_interval, show_p, show_value, text_rows
from benchmark.report.tables import cell_label, unit_label
from benchmark.spec.plural import counted, worded


def comparison_table(tasks: Mapping[str, TaskInfo], frame: pd.DataFrame) -> Table:
    """Every cell of either folder; `tasks` are those of both."""
    rows = []
    for row in rows_of(frame):
        metric = next(metric for metric in tasks[row.task].metrics if metric.name == row.metric)
        conditions = ", ".join(str(part) for part in (row.profile, row.setting, row.conditions) if part)
        if not pd.isna(row.limit):
            conditions += f", {int(row.limit)} samples"
        sides = [NONE if pd.isna(value) else show_value(value, metric) for value in (row.here, row.there)]
        state = f"{row.equal} of {row.n}" if row.n else row.state if row.state != "both" else "no common seed"
        difference = show_interval(row, metric) if row.n else NONE
        rows.append([row.task, cell_label(row.arm, row.auxiliary, row.variant), conditions, unit_label(metric), *sides, state,
                     difference, show_p(row.p_holm)])
    header = ("Target", "Cell", "Conditions", "Metric", "Here", "There", "Equal seeds", "Here minus there", "p (Holm)")
    notes = ("Every metric on the test split, of each cell its main one first, mean over the seeds of each side. "
             "Equal seeds: of those that both have, how many "
             "gave the same value to the last bit. Here minus there: paired by seed, across whatever differs between the two "
             f"(environment, code, data), with its 95 % t-interval; p is Holm-adjusted over the main metrics of all "
             f"cells, level {ALPHA:g}.",)
    return Table("Compared with other results", header, text_rows(rows), notes, num_labels=4)


def summarise(frame: pd.DataFrame) -> str:
    """The comparison in a sentence: cells by their main metric, and as the same where every metric is."""
    main = frame[frame["main"].astype(bool)]
    shared = main[main["n"].astype(float) > 0]
    unequal = frame[(frame["n"].astype(float) > 0) & (frame["equal"] != frame["n"])]
    moved_cells = set(unequal[PLACE].fillna("").itertuples(index=False, name=None))
    cells = list(shared[PLACE].fillna("").itertuples(index=False, name=None))
    equal = sum(cell not in moved_cells for cell in cells)
    moved = int((shared["p_holm"].astype(float) < ALPHA).sum())
    alone = [f"{count} {state}" for state in ("only here", "only there") if (count := int((main["state"] == state).sum()))]
    return (f"{counted(len(shared), 'cell is', 'cells are')} in both: {equal} with the same values to the last bit, "
            f"{moved} that {worded(moved, 'differs', 'differ')} beyond chance"
            + (f"; {' and '.join(alone)}" if alone else "") + ".")


def say_others(frame: pd.DataFrame) -> str:
    """How many metrics beside the main ones are the same, in a sentence; "" where none is in both."""
    others = frame[~frame["main"].astype(bool) & (frame["n"].astype(float) > 0)]
    alike = int((others["equal"] == others["n"]).sum())
    return "" if others.empty else (f"Of {counted(len(others), 'metric')} of these cells beside the main ones, {alike} "
                                    f"{worded(alike, 'has', 'have')} the same values to the last bit.")


def say_unread(problems: Iterable[Problem]) -> str:
    """Which files of the other results cannot be read, in a sentence; "" where there is none."""
    names = sorted({problem.name for problem in problems if problem.state == "unreadable"})
    return "" if not names else (f"{counted(len(names), 'file')} of the other results cannot be read, such as {names[0]}."
                                 if len(names) > 1 else f"A file of the other results cannot be read: {names[0]}.")


def say_outputs(found: OutputsBeside) -> str:
    """What runs of both sides said of each test sample, in a sentence."""
    if not found.runs:
        return "No run has left on both sides what it said of each test sample."
    return (f"Of {counted(found.runs, 'run')} that left on both sides what {worded(found.runs, 'it', 'they')} said of each "
            f"test sample, {found.equal} said the same to the last bit"
            + (f"; {worded(found.runs - found.equal, 'the other answers', 'the others answer')} {found.answered} of "
               f"{counted(found.samples, 'sample')} otherwise." if found.samples else "."))
