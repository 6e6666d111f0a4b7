"""Tables of text in; Markdown, LaTeX (booktabs) or CSV out, with everything escaped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmark.evidence import detectable
from benchmark.spec.contracts import Metric

NONE = "—"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Line:
    """One line of a table's entry."""

    text: str
    bold: bool = False


Entry = tuple[Line, ...]


@dataclass(frozen=True)
class Table:
    """A table of text; `notes` say how to read it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()
    num_labels: int = 1  # columns on the left that hold names rather than numbers


def entry(*lines: str, bold: bool = False) -> Entry:
    """Lines of a table's entry, the last of them emphasised or not."""
    return tuple(Line(text, bold and i == len(lines) - 1) for i, text in enumerate(lines))


def plain(text: object) -> str:
    """One line without control characters."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs") else c for c in str(text))


def escape_markdown(text: object) -> str:
    """Text that GitHub's Markdown shows as it is, in a table too: no markup, no HTML."""
    escaped = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = re.sub(r"([\\`*_{}\[\]|~$#!])", r"\\\1", escaped)
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;")  # no link that the writer did not make


PAGE_LINES = 45  # of a LaTeX table; a longer one breaks over pages
PROSE, PROSE_COLUMN = 45, "p{5cm}"  # characters from which on a column is prose
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "^": r"\textasciicircum{}",
    "_": r"\_", "~": r"\textasciitilde{}", "%": r"\%", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "]": "{]}", MINUS: "$-$", "±": r"$\pm$", "—": "---",
    "†": r"$\dagger$", "·": r"$\cdot$",
}  # fmt: skip


def escape_latex(text: object) -> str:
    return "".join(LATEX.get(character, character) for character in plain(text))


def to_markdown(table: Table) -> str:
    """A GitHub table under its bold title, then the notes. Ends with a newline."""

    def render(content: Entry) -> str:
        return "<br>".join(f"**{escape_markdown(x.text)}**" if x.bold else escape_markdown(x.text) for x in content)

    lines = [f"**{escape_markdown(table.title)}**", ""]
    lines.append(f"| {' | '.join(map(escape_markdown, table.header))} |")
    lines.append(f"|{'|'.join([' --- '] * table.num_labels + [' :-: '] * (len(table.header) - table.num_labels))}|")
    lines += [f"| {' | '.join(map(render, row))} |" for row in table.rows]
    if table.notes:
        lines += ["", f"<sub>{' '.join(map(escape_markdown, table.notes))}</sub>"]
    return "\n".join(lines) + "\n"


def to_latex(table: Table) -> str:
    """A `table` environment to \\input, which needs the package booktabs; one longer than a page needs longtable as well.

    Columns of prose are set as paragraphs.
    """

    def render(line: Line) -> str:
        return rf"\textbf{{{escape_latex(line.text)}}}" if line.bold else escape_latex(line.text)

    columns = []
    for number in range(len(table.header)):
        longest = max((len(line.text) for row in table.rows for line in row[number]), default=0)
        columns.append(PROSE_COLUMN if longest > PROSE else "l" if number < table.num_labels else "c")
    body = []
    for row in table.rows:
        height = max(len(content) for content in row)
        for level in range(height):
            lines = [render(content[level]) if level < len(content) else "" for content in row]
            gap = r"[0.4em]" if level == height - 1 and height > 1 else ""
            body.append(" & ".join(lines) + rf" \\{gap}")
    caption = rf"\caption{{{escape_latex(table.title)}. {' '.join(map(escape_latex, table.notes))}}}"
    header = [r"\toprule", " & ".join(map(escape_latex, table.header)) + r" \\", r"\midrule"]
    if len(body) > PAGE_LINES:
        lines = [r"{\small", rf"\begin{{longtable}}{{{''.join(columns)}}}", caption + r"\\", *header, r"\endhead",
                 r"\bottomrule", r"\endfoot", *body, r"\end{longtable}", "}"]
    else:
        lines = [r"\begin{table}", r"\centering", r"\small", caption, rf"\begin{{tabular}}{{{''.join(columns)}}}", *header,
                 *body, r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join([*lines, ""])


def to_csv(frame: pd.DataFrame) -> str:
    """Full precision; absent values are empty."""
    return frame.to_csv(index=False, lineterminator="\n")


def to_json(frame: pd.DataFrame) -> str:
    """One object a row; absent values are null."""
    return frame.to_json(orient="records", indent=1, double_precision=15) + "\n"


def show_value(value: float, metric: Metric) -> str:
    """A value in its unit, without the unit: one decimal of percent, else four digits."""
    return _minus(f"{value:z.1f}" if metric.unit == "%" else f"{value:z.4g}")


def show_difference(value: float, metric: Metric) -> str:
    return _minus(f"{value:+z.2f}" if metric.unit == "%" else f"{value:+z.3g}")


def show_estimate(row: Any, metric: Metric, prefix: str = "", with_n: bool = True) -> str:
    """E.g. "46.9 ± 0.7 (n=3)" from the columns mean, low, high and n; a dash where there is no value, and where several
    seeds have one value, that."""
    mean, low, high, n = (getattr(row, prefix + name) for name in ("mean", "low", "high", "n"))
    if pd.isna(mean):
        return NONE
    half = f" ± {show_value((high - low) / 2, metric)}" if not pd.isna(low) else " (all equal)" if n > 1 else ""
    return show_value(mean, metric) + half + (f" (n={int(n)})" if with_n else "")


def show_points(value: float) -> str:
    """A signed number of two decimals"""
    return _minus(f"{value:+z.2f}")


def show_spread(value: float, metric: Metric) -> str:
    """A detectable effect: one decimal of percent, two where it is small."""
    return detectable.show_points(value) if metric.unit == "%" else f"{value:.2g}"


def show_interval(row: Any, metric: Metric) -> str:
    """E.g. "+0.42 [-0.30, +1.14]" from the columns difference, low, high and n, or why there is no interval."""
    text = show_difference(row.difference, metric)
    if not pd.isna(row.low):
        return f"{text} [{show_difference(row.low, metric)}, {show_difference(row.high, metric)}]"
    return f"{text} ({'one seed' if row.n == 1 else 'no spread'}: no interval)"


def as_gain(row: Any, metric: Metric) -> Any:
    """A row of a difference in the better direction: of a metric that is to be low signs turn, and ends change places."""
    if metric.higher_is_better:
        return row
    low, high = (None if pd.isna(end) else -end for end in (row.high, row.low))
    return row._replace(difference=-row.difference, low=low, high=high)


def show_p(p: float | None) -> str:
    if p is None or pd.isna(p):
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.2f}" if p >= 0.1 else f"{p:.3f}"


def _minus(text: str) -> str:
    return text.replace("-", MINUS)


def text_rows(rows: Iterable[Iterable[str]]) -> tuple[tuple[Entry, ...], ...]:
    """Rows of entries of one line each"""
    return tuple(tuple(entry(text) for text in row) for row in rows)
