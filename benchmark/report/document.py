"""Headings, text, tables and figures in; files, and one page as Markdown and as HTML, out.

A report is written once, as a list of blocks; what is shown where a page is read differs with its format alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from benchmark.report.canvas import save_figure
from benchmark.report.markup import Table, escape_markdown, plain, to_csv, to_json, to_latex, to_markdown

FORMATS = ("md", "latex", "csv", "json", "html")
MAX_ROWS = 80  # of a table on the Markdown page; its own file has them all, and so has the HTML page
MAX_ITEMS = 20  # of a list on a page; its own file has them all


@dataclass(frozen=True)
class Heading:
    """A title; level 1 is the page's own."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Plain text; `emphasis` is put before it in bold."""

    text: str
    emphasis: str = ""


@dataclass(frozen=True)
class Items:
    """A list of points, each with points of its own."""

    points: tuple[tuple[str, tuple[str, ...]], ...]
    emphasised: bool = False  # the outer points in bold
    rest: str = ""  # the file that names what is left out


@dataclass(frozen=True)
class Code:
    """A command to paste."""

    text: str


@dataclass(frozen=True)
class Tabular:
    """A table with its files."""

    name: str
    table: Table
    searchable: bool = False
    on_page: bool = True  # of Markdown; the HTML page shows every table


@dataclass(frozen=True)
class Picture:
    """A figure with its files."""

    name: str
    description: str


Block = Heading | Paragraph | Items | Code | Tabular | Picture


@dataclass
class Document:
    """Blocks in the order of the page, and the files below `out` that were written for them."""

    out: Path
    formats: Collection[str] = FORMATS
    blocks: list[Block] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        for folder in (self.out / "tables", self.out / "figures"):
            folder.mkdir(parents=True, exist_ok=True)

    def add(self, *blocks: Block) -> None:
        self.blocks += blocks

    def file(self, name: str, text: str, kind: str) -> None:
        """Write a text below the folder of the report, where its format is asked for."""
        if kind in self.formats:
            path = self.out / name
            path.write_text(text, encoding="utf-8", newline="\n")
            self.written.append(path)

    def frame(self, name: str, frame: pd.DataFrame) -> None:
        """Write the numbers behind a table or figure, at full precision."""
        self.file(f"tables/{name}.csv", to_csv(frame), "csv")
        self.file(f"tables/{name}.json", to_json(frame), "json")

    def table(self, name: str, table: Table, *, searchable: bool = False, on_page: bool = True) -> None:
        """Add a table and write it as Markdown and LaTeX; an empty one is left out."""
        if table.rows:
            self.file(f"tables/{name}.md", to_markdown(table), "md")
            self.file(f"tables/{name}.tex", to_latex(table), "latex")
            self.add(Tabular(name, table, searchable, on_page))

    def figure(self, name: str, figure: Figure | None, description: str) -> None:
        """Add a figure and write it as PNG, SVG and PDF; None is left out."""
        if figure is not None:
            self.written += save_figure(figure, self.out / "figures" / name)
            self.add(Picture(name, description))

    def pages(self, facts: Mapping[str, object]) -> None:
        """Write the page as Markdown and as HTML; `facts` are what the latter's first screen says."""
        written, self.written = self.written, []
        self.blocks = without_empty(self.blocks)
        self.file("report.md", markdown_page(self.blocks), "md")
        if "html" in self.formats:
            self.file("report.html", html_page(self.blocks, self.out, facts), "html")
        self.written += written


def without_empty(blocks: Sequence[Block]) -> list[Block]:
    """Without the headings that nothing follows before the next one of their level."""
    kept: list[Block] = []
    for block in reversed(blocks):
        if isinstance(block, Heading) and (not kept or (isinstance(kept[-1], Heading) and kept[-1].level <= block.level)):
            continue
        kept.append(block)
    return kept[::-1]


def markdown_page(blocks: Sequence[Block]) -> str:
    """The page for GitHub and editors; figures and long tables are links into the folder."""
    lines: list[str] = []
    for block in blocks:
        match block:
            case Heading(text, level):
                lines += [f"{'#' * level} {escape_markdown(text)}"]
            case Paragraph(text, emphasis):
                lines += [(f"**{escape_markdown(emphasis)}** " if emphasis else "") + escape_markdown(text)]
            case Items(points, emphasised, rest):
                lines += _markdown_items(points, emphasised, rest)
            case Code(text):
                lines += [f"    {plain(text)}"]
            case Tabular(name, table, _, on_page) if on_page and len(table.rows) <= MAX_ROWS:
                lines += [*to_markdown(table).splitlines(), "", f"[Markdown](tables/{name}.md), [LaTeX](tables/{name}.tex)"]
            case Tabular(name, table):
                lines += [f"[{escape_markdown(table.title)}](tables/{name}.md) ([LaTeX](tables/{name}.tex)): "
                          f"{len(table.rows)} rows."]
            case Picture(name, description):
                lines += [f"![{escape_markdown(description)}](figures/{name}.png)"]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _markdown_items(points: Sequence[tuple[str, tuple[str, ...]]], emphasised: bool, rest: str) -> list[str]:
    lines = []
    for text, inner in points:
        lines.append(f"- **{escape_markdown(text)}**" if emphasised else f"- {escape_markdown(text)}")
        lines += [f"  - {escape_markdown(point)}" for point in inner[:MAX_ITEMS]]
        if len(inner) > MAX_ITEMS:
            lines.append(f"  - and {len(inner) - MAX_ITEMS} more in [{Path(rest).name}]({rest})")
    return lines


def html_page(blocks: Sequence[Block], out: Path, facts: Mapping[str, object]) -> str:
    """One file that needs no other and no network: figures, style and script are inside, and everything is escaped.

    `facts` go to the template: what its first screen says instead of the blocks before the first heading of level 2.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined)
    environment.globals["figure"] = partial(inline_figure, out)
    environment.globals["kind"] = lambda block: type(block).__name__
    start = next((i for i, block in enumerate(blocks) if isinstance(block, Heading) and block.level == 2), len(blocks))
    return environment.get_template("page.html").render(blocks=blocks, start=start, **facts) + "\n"


def inline_figure(out: Path, name: str) -> str:
    """The SVG of a figure, to stand in a page with others: its ids are made its own."""
    from markupsafe import Markup

    text = (out / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    svg = text[text.index("<svg"):]
    prefix = re.sub(r"[^a-z0-9]", "", name.lower())
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    return Markup(svg)  # drawn by matplotlib, which escapes what it writes
