"""An analysis in, a folder with pages, tables and figures out. No torch; equal input gives equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Collection as AbstractCollection
from pathlib import Path

from benchmark.evidence.analysis import Analysis
from benchmark.report.answer import answer, answer_table, badges, opening
from benchmark.report.canvas import house_style
from benchmark.report.document import FORMATS, Code, Document, Heading, Paragraph
from benchmark.report.parts import PARTS
from benchmark.report.tables import SELECTED


def sentences(analysis: Analysis) -> list[str]:
    """What was found, the most important first."""
    return [*filter(None, [opening(analysis)]), *answer(analysis)]


def write_report(
    analysis: Analysis, out: Path, command: str = "benchmark report", formats: AbstractCollection[str] = FORMATS,
    parts: AbstractCollection[str] = tuple(PARTS), say: Callable[[str], object] = lambda text: None
) -> list[Path]:
    """Write the pages, tables/ and figures/ below `out` in the given formats; returns what was written, the page first.

    `command` is what regenerates the report; `parts` are the keys of `PARTS` to write; `say` is told what comes next. Raises
    OSError where `out` cannot be written.
    """
    document = Document(out, formats)
    lines, reservations = sentences(analysis), badges(analysis)
    note = f"Test split, {SELECTED[analysis.select]}"
    note += "." if analysis.select == "oracle" else "; selection on the validation split only."
    document.add(Heading(analysis.question, 1),
                 *(Paragraph(text) for text in (*lines[:1], *reservations, *lines[1:], note)))
    with house_style():
        for name, part in PARTS.items():
            if name in parts:
                say(part.title)
                document.add(Heading(part.title, appendix=part.appendix))
                part.add(document, analysis)
    document.add(Heading("Regenerate", appendix=True), Paragraph("From the records alone, in seconds, to the same bytes:"),
                 Code(command))
    document.pages({"title": analysis.study.title, "question": analysis.question, "badges": reservations,
                    "answer": lines, "settings": answer_table(analysis), "note": note})
    return document.written


def left_by_earlier(out: Path, written: Sequence[Path]) -> list[Path]:
    """Tables and figures below `out` that are not among those that were `written`: an earlier report left them there."""
    return sorted({path for folder in ("tables", "figures") for path in (out / folder).iterdir()} - set(written))
