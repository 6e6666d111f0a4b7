"""The documentation as a site: the README first, then the pages of this folder in the order of index.md.

    .venv/bin/sphinx-build -W docs site

Pages are written to be read on GitHub, too, so what differs here is altered while they are read: the README's links start at
the repository's root, a link to a folder has no page to go to, and the report's page is copied beside the others.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx

HERE = Path(__file__).parent
ROOT = HERE.parent
REPORT = ROOT / "results" / "tiny" / "report"
sys.path.insert(0, str(ROOT))

import benchmark  # noqa: E402

project = "m2pt-bench"
author = "The m2pt-bench authors"
copyright = author
release = benchmark.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["embedded_data", "examples"]
source_suffix = {".md": "markdown", ".ipynb": "notebook"}
default_role = "code"  # docstrings have names in single backticks
highlight_language = "none"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 100
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"m2pt-bench {release}"
html_show_sphinx = False
html_copy_source = False
LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)")


class NotebookParser(MystParser):
    """A notebook as it was committed, with its outputs; nothing is executed."""

    supported = ("notebook",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        super().parse(as_markdown(json.loads(inputstring)), document)


def as_markdown(notebook: dict) -> str:
    """The cells of a notebook, each with what it printed and drew."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {"text/plain": output.get("text", "")})
            if "image/png" in data:
                parts.append(f"![what the cell above draws](data:image/png;base64,{''.join(data['image/png']).strip()})")
            else:
                parts.append(f"```text\n{''.join(data['text/plain']).rstrip()}\n```")
    return "\n\n".join(parts)


def pages() -> list[str]:
    """The names of the pages, in the order in which index.md links them, and whatever it leaves out."""
    linked = [Path(found[1]) for found in LINK.finditer((HERE / "index.md").read_text(encoding="utf-8"))]
    named = [path.stem for path in linked if path.parent == Path()]
    return [*named, *sorted({path.stem for path in HERE.glob("*.md")} - {*named, "index"})]


def read(app: Sphinx, name: str, content: list[str]) -> None:
    """Alter the text of a page on its way in."""
    folder = HERE
    if name == "index":
        toctree = "\n".join(["```{toctree}", ":hidden:", *pages(), "```"])
        content[0] = f"{(ROOT / 'README.md').read_text(encoding='utf-8')}\n{toctree}\n"
        folder = ROOT
    if not (HERE / f"{name}.ipynb").exists():
        content[0] = re.sub(rf"(!?)\[([^\]]*){LINK.pattern}", lambda found: relink(found, folder), content[0])


def relink(found: re.Match[str], folder: Path) -> str:
    image, text, place, anchor = found.groups()
    path = (folder / place).resolve()
    if path == REPORT / "report.md":
        return f'<a href="report/report.html">{text}</a>'
    if path == ROOT / "README.md":
        return f"[{text}](index.md{anchor or ''})"
    if path.is_dir():
        return text
    up = path.relative_to(HERE).as_posix() if path.is_relative_to(HERE) else f"../{path.relative_to(ROOT).as_posix()}"
    if up.startswith("../") and path.suffix == ".md":  # no page of this site
        return f"{{download}}`{text} <{up}>`"
    return f"{image}[{text}]({up}{anchor or ''})"


def copy_report(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        shutil.copytree(REPORT, Path(app.outdir) / "report", dirs_exist_ok=True)


def setup(app: Sphinx) -> None:
    app.add_source_parser(NotebookParser)
    app.connect("source-read", read)
    app.connect("build-finished", copy_report)
