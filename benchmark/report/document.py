"""Headings, text, tables and figures in; files, one page as Markdown, and an answer and an appendix as HTML, out.

A report is written once, as a list of blocks; what is shown where a page is read differs with its format alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from benchmark.report.canvas import drawn
from benchmark.report.markup import Table, escape_markdown, plain, to_csv, to_json, to_latex, to_markdown
from benchmark.spec.plural import counted

FIGURES = ("png", "svg", "pdf")
FORMATS = ("md", "latex", "csv", "json", "html", *FIGURES)
MAX_ROWS = 80  # of a table on the Markdown page; its own file has them all, and so has the HTML page
MAX_INSIDE = 50_000  # characters of a frame inside the HTML pages; a longer one is a file beside them
MAX_ITEMS = 20  # of a list on a page; its own file has them all


@dataclass(frozen=True)
class Heading:
    """A title; level 1 is the page's own."""

    text: str
    level: int = 2
    appendix: bool = False  # of level 2: whether it and what follows are on the second HTML page


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
    files: tuple[tuple[str, str], ...] = ()  # what to call each file that was written, and where it is
    searchable: bool = False
    on_page: bool = True  # of Markdown; the HTML page shows every table
    numbers: str = ""  # the name of the frame with its numbers at full precision, if that is another than the table's


@dataclass(frozen=True)
class Picture:
    """A figure with its files."""

    name: str
    description: str
    svg: str  # for the HTML page; "" where none is written
    files: tuple[tuple[str, str], ...] = ()
    natural: bool = False  # whether it shows pictures, whose colours are not to be altered


Block = Heading | Paragraph | Items | Code | Tabular | Picture


@dataclass
class Document:
    """Blocks in the order of the pages, and the files below `out` that were written for them."""

    out: Path
    formats: Collection[str] = FORMATS
    blocks: list[Block] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    frames: dict[str, str] = field(default_factory=dict)  # by name, as CSV: what is saved from the HTML pages

    def __post_init__(self) -> None:
        for folder in (self.out / "tables", self.out / "figures"):
            folder.mkdir(parents=True, exist_ok=True)

    def add(self, *blocks: Block) -> None:
        self.blocks += blocks

    def file(self, name: str, text: str | bytes, kind: str) -> bool:
        """Write below the folder of the report, where the format is asked for; whether it is."""
        if kind in self.formats:
            path = self.out / name
            # A folder may be called by bytes that are no text.
            path.write_bytes(text.encode("utf-8", "replace") if isinstance(text, str) else text)
            self.written.append(path)
        return kind in self.formats

    def frame(self, name: str, frame: pd.DataFrame) -> None:
        """Write the numbers behind a table or figure, at full precision."""
        self.frames[name] = to_csv(frame)
        self.file(f"tables/{name}.csv", self.frames[name], "csv")
        self.file(f"tables/{name}.json", to_json(frame), "json")

    def table(self, name: str, table: Table, *, searchable: bool = False, on_page: bool = True) -> None:
        """Add a table and write it as Markdown and LaTeX; an empty one is left out."""
        if table.rows:
            texts = (("Markdown", "md", f"tables/{name}.md", to_markdown), ("LaTeX", "latex", f"tables/{name}.tex", to_latex))
            files = tuple((label, file) for label, kind, file, write in texts if self.file(file, write(table), kind))
            self.add(Tabular(name, table, files, searchable, on_page))

    def figure(self, name: str, figure: Figure | None, description: str, *, natural: bool = False) -> None:
        """Add a figure and write it in the formats of `FIGURES` that are asked for; None is left out."""
        if figure is not None:
            files = drawn(figure, {*self.formats, *(("svg",) if "html" in self.formats else ())})
            written = tuple((kind.upper(), f"figures/{name}.{kind}") for kind in FIGURES
                            if kind in files and self.file(f"figures/{name}.{kind}", files[kind], kind))
            self.add(Picture(name, description, files.get("svg", b"").decode(), written, natural))

    def pages(self, facts: Mapping[str, object]) -> None:
        """Write Markdown on one page and HTML on two; `facts` are what the first screen of the latter says.

        Raises `ValueError` where neither these nor any other file was asked for.
        """
        written, self.written = self.written, []
        self.blocks = without_empty(self.blocks)
        self.file("report.md", markdown_page(self.blocks), "md")
        if "html" in self.formats:
            inside = {name: text for name, text in self.frames.items() if len(text) <= MAX_INSIDE}
            beside = [name for name in self.frames if name not in inside] if "csv" in self.formats else []
            for name, page in html_pages(self.blocks, {**facts, "beside": beside}, inside).items():
                self.file(name, page, "html")
        self.written += written
        if not self.written:
            raise ValueError("nothing to write: these parts have no file of these formats; name md or html among them")


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
            case Tabular(on_page=False, files=()):  # the table of another part, shown on the first HTML page, too
                continue
            case Tabular(table=table, on_page=True, files=files) if len(table.rows) <= MAX_ROWS:
                lines += [*to_markdown(table).splitlines(), "", _markdown_links(files)]
            case Tabular(table=table, files=files):
                lines += [f"{escape_markdown(table.title)} ({_markdown_links(files)}): {counted(len(table.rows), 'row')}."]
            case Picture(description=description, files=[(_, file), *_]):
                lines += [f"![{escape_markdown(description)}]({file})"]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _markdown_links(files: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"[{label}]({file})" for label, file in files)


def _markdown_items(points: Sequence[tuple[str, tuple[str, ...]]], emphasised: bool, rest: str) -> list[str]:
    lines = []
    for text, inner in points:
        lines.append(f"- **{escape_markdown(text)}**" if emphasised else f"- {escape_markdown(text)}")
        lines += [f"  - {escape_markdown(point)}" for point in inner[:MAX_ITEMS]]
        if len(inner) > MAX_ITEMS:
            lines.append(f"  - and {len(inner) - MAX_ITEMS} more in [{Path(rest).name}]({rest})")
    return lines


ANSWER, APPENDIX = "report.html", "appendix.html"


def html_pages(blocks: Sequence[Block], facts: Mapping[str, object], frames: Mapping[str, str]) -> dict[str, str]:
    """Two files by name that need no network and none but each other: figures, numbers, style and script are inside, and
    everything is escaped.

    `facts` go to the template: what the first screen says instead of the blocks before the first heading of level 2. `frames`
    are numbers at full precision, as CSV: the answer has those of its own tables, the appendix all.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined)
    environment.globals["inline"] = inline
    environment.globals["kind"] = lambda block: type(block).__name__
    pages: dict[str, list[Block]] = {ANSWER: [], APPENDIX: []}
    page: str | None = None  # before the first heading
    for block in blocks:
        if isinstance(block, Heading) and block.level == 2:
            page = APPENDIX if block.appendix else ANSWER
        if page is not None:
            pages[page].append(block)
    titles = {ANSWER: "The answer", APPENDIX: "Appendix"}
    contents = [(titles[name], name, [block.text for block in its if isinstance(block, Heading) and block.level == 2])
                for name, its in pages.items()]
    template = environment.get_template("page.html")
    held = {ANSWER: {name: frames[name] for block in pages[ANSWER] if isinstance(block, Tabular)
                     if (name := block.numbers or block.name) in frames}, APPENDIX: frames}
    return {name: template.render(blocks=its, contents=contents, current=name, frames=held[name], **facts) + "\n"
            for name, its in pages.items()}


def inline(picture: Picture) -> str:
    """The SVG of a figure, to stand in a page with others: its ids are made its own."""
    from markupsafe import Markup

    svg = picture.svg[picture.svg.index("<svg"):]
    prefix = re.sub(r"[^a-z0-9]", "", picture.name.lower())
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    return Markup(svg)  # drawn by matplotlib, which escapes what it writes
