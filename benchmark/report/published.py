"""Claims with what was measured of them in; tables in the shape of the paper's, and a figure, out.

A measured number of another scale than the paper's stands beside the published one for orientation; the verdict never
counts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from benchmark.evidence.claims import Claim, Verdict, as_printed
from benchmark.evidence.estimates import known
from benchmark.evidence.frames import rows_of
from benchmark.evidence.stats import ALPHA
from benchmark.report.canvas import BASELINE, INK, PALETTE, Interval, forest, shorten
from benchmark.report.markup import MINUS, NONE, Entry, Line, Table
from benchmark.report.tables import cell_label

SCRATCH = ", from scratch"


def list_sources(claims: Iterable[Claim]) -> list[str]:
    """The paper's tables and figures that hold claims, in the order of the ledger"""
    return [source for source in dict.fromkeys(claim.source for claim in claims)
            if source.startswith(("Table", "Figure"))]


def published_lines(claims: Iterable[Claim], setting: str) -> dict[tuple[str, str, str], str]:
    """What the paper prints for the cells of a matrix: by task, auxiliary ("": the baseline) and metric."""
    lines: dict[tuple[str, str, str], str] = {}
    for claim in claims:
        test = claim.test
        if test is not None and test.quantity == "gain" and test.setting == setting and not test.options and test.metric:
            lines.setdefault((test.task, test.auxiliary or "", test.metric), f"paper {_printed(claim)}")
            if claim.reported_baseline_value is not None:
                lines.setdefault((test.task, "", test.metric), f"paper {as_printed(claim.reported_baseline_value)}")
    return lines


def published_table(claims: Sequence[Claim], judged: pd.DataFrame, source: str, profile: str) -> Table:
    """One table of the paper: its rows and columns, with what was measured under each published number.

    `profile` is the one of the paper's data and scale.
    """
    measured = {row.id: row for row in rows_of(judged)}
    cells: dict[tuple[str, str], Entry] = {}
    for claim in claims:
        if claim.source == source:
            cells[_row_of(claim), _column_of(claim)] = _cell(claim, measured[claim.id])
    names = list(dict.fromkeys(row for row, _ in cells))
    columns = list(dict.fromkeys(column for _, column in cells))
    rows = tuple(((Line(name),), *(cells.get((name, column), (Line(NONE),)) for column in columns)) for name in names)
    judged_here = any(len(cell) > 2 for cell in cells.values())
    notes = ("First line: the paper's number, with its gain over its baseline. Second line, where the cell was run: the "
             "profile, and the measured gain paired by seed with its 95 % t-interval, the mean of a baseline, a factor of "
             "the time of the baseline, or millions of parameters (M); "
             f"bold: adjusted p < {ALPHA:g}. Only profile {profile} is of the paper's data and scale."
             + (" Third line: the verdict on the claim, where there is one." if judged_here else ""),)
    return Table(f"{source} of the paper, published and measured", ("Row", *columns), rows, notes)


def _row_of(claim: Claim) -> str:
    method = ", ".join(part for part in claim.method.split(", ") if not part.endswith("=None"))
    return method + (SCRATCH if claim.setting.startswith("from-scratch") else "")


def _column_of(claim: Claim) -> str:
    metric = claim.metric.partition(";")[0].partition(" (")[0].replace('"', "")
    frozen = ", frozen" if "fix" in claim.setting else ""
    return f"{claim.target_dataset.partition(' (')[0]} {metric}{frozen}"


def _printed(claim: Claim) -> str:
    gain = "" if claim.absolute_gain is None else f" ({as_printed(claim.absolute_gain, signed=True)})"
    return (as_printed(claim.reported_value) + gain).replace("-", MINUS)


def _cell(claim: Claim, measured: Any) -> Entry:
    lines = [Line(_printed(claim))]
    if not pd.isna(measured.measured):
        quantity = "" if claim.test is None else claim.test.quantity
        lines.append(Line(f"{measured.profile}: {show_measured(measured, quantity)}",
                          bool(quantity == "gain" and not pd.isna(measured.p_holm) and measured.p_holm < ALPHA)))
    if measured.verdict not in (Verdict.NOT_RUN, Verdict.NOT_COMPARABLE):
        lines.append(Line(measured.verdict))
    return tuple(lines)


def show_measured(row: Any, quantity: str) -> str:
    """E.g. "+0.42 [-0.30, +1.14] (n=3)" from the columns of a judged claim; times as factors, parameters in millions"""
    sign = "+" if quantity == "gain" else ""
    before, after = "factor " if quantity.endswith(" time") else "", " M" if quantity.endswith(" parameters") else ""
    numbers = [row.measured, *([] if pd.isna(row.low) else [row.low, row.high])]
    value, *ends = (f"{number:{sign}z.2f}" for number in numbers)
    interval = f" [{', '.join(ends)}]" if ends else ""
    return f"{before}{value}{after}{interval} (n={int(row.n)})".replace("-", MINUS)


def draw_claims(claims: Sequence[Claim], judged: pd.DataFrame, profile: str) -> Figure | None:
    """Every published gain whose cell was run, beside the measured one with its interval; None where none was run.

    A cell whose gain the paper prints in several places stands once, as it is printed first. `profile`: as for the table.
    """
    by_id = {claim.id: claim for claim in claims}
    rows: dict[tuple[object, ...], tuple[Claim, Any]] = {}
    for row in rows_of(judged[judged["measured"].notna()]):
        claim = by_id[row.id]
        if claim.test is not None and claim.test.quantity == "gain" and claim.absolute_gain is not None:
            rows.setdefault(_place(claim), (claim, row))
    if not rows:
        return None
    places = list(dict.fromkeys(_place(claim)[:2] for claim in claims if claim.test is not None))  # in the paper's order
    ordered = sorted(rows.values(), key=lambda pair: (places.index(_place(pair[0])[:2]), pair[0].id))
    colours = dict(zip(sorted({row.profile for _, row in ordered}), PALETTE, strict=False))
    groups: dict[str, list[Interval]] = {}
    for claim, row in ordered:
        task, setting, *_ = _place(claim)
        groups.setdefault(f"{task}, {setting}", []).append(
            Interval(shorten(_label(claim, row.variant), 58), row.measured, known(row.low), known(row.high),
                     colours.get(row.profile, INK), reference=claim.absolute_gain))
    figure = forest(groups, 0, "gain over the baseline (percentage points)")
    (axes,) = figure.axes
    handles = [axes.plot([], [], "D", color=BASELINE, markerfacecolor="white", linestyle="none", label="published")[0]]
    handles += [axes.plot([], [], "o-", color=colour, label=f"measured, profile {profile}")[0]
                for profile, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    figure.suptitle("Published gains beside measured ones, with 95 % intervals paired by seed\n"
                    f"only profile {profile} is of the paper's data and scale", x=0.01, ha="left", fontsize=10)
    return figure


def _place(claim: Claim) -> tuple[str, ...]:
    assert claim.test is not None
    test = claim.test
    return (test.task, test.setting, test.arm, test.auxiliary or "", str(sorted(test.options.items())), test.metric or "")


def _label(claim: Claim, variant: str) -> str:
    """`variant`: as the arm of the runs spells it"""
    assert claim.test is not None
    return cell_label(f"+ {claim.test.auxiliary}, {claim.test.metric}", "", variant)
