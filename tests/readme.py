"""The README's numbers, made from the committed records: what stands between its markers, and its figure.

To write them anew, and what docs/notebook.ipynb shows: PYTHONPATH=. python tests/readme.py
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import notebook

from baselines import ARMS, STUDY
from benchmark.evidence.analysis import Analysis, analyse
from benchmark.evidence.inputs import gather
from benchmark.records.store import Store
from benchmark.report.canvas import drawn, house_style
from benchmark.report.doses import dose_table
from benchmark.report.first import FIRST, draw_first, first_matrix, reading_table
from benchmark.report.markup import escape_markdown, show_interval, to_markdown
from benchmark.report.means import POINTS, headline, means_table, scales_table
from benchmark.report.rule2 import rule2_table
from benchmark.report.tables import pretraining_table
from tasks import TASKS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "tiny"
UNSEEN = ROOT / "results" / "unseen"  # the seeds of the second rule, of which the first screen is
README = ROOT / "README.md"
FIGURE = UNSEEN / "report" / "figures" / f"{FIRST}.png"


@functools.cache
def analysis(results: Path = RESULTS) -> Analysis:
    """Of committed records as they are, whatever code is today's: what they say does not depend on it"""
    records, problems, infos, *_ = gather([Store(results)], TASKS, ARMS)
    return analyse(records, problems, tasks=infos, study=STUDY)


@functools.cache
def parts() -> dict[str, str]:
    """Text by marker"""
    found, judged = analysis(), analysis(UNSEEN)
    tables = {"matrix": first_matrix(judged, 0), "how-to-read": reading_table(judged), "second-rule": rule2_table(judged),
              "mean-effect": means_table(judged, 0), "scales-likeness": scales_table(found),
              "pretraining": pretraining_table(found.collection, found.pretraining)}
    tables |= {f"dose-{found.collection.sections[section].setting}": dose_table(found, section)
               for section in dict.fromkeys(found.doses["section"])}
    return {FIRST: f"**{escape_markdown(headline(judged))}**\n", **{name: to_markdown(table) for name, table in tables.items()}}


def in_words(page: Path) -> str:
    """On one line, brackets as a reader sees them"""
    return re.sub(r"\\([\[\]])", r"\1", " ".join(page.read_text(encoding="utf-8").split()))


def interval(row: Any) -> str:
    """A difference in points with its interval, as pages have it"""
    return show_interval(row, POINTS)


def shown() -> dict[str, str]:
    """What the README has between its markers, by marker"""
    text = README.read_text(encoding="utf-8")
    return dict(re.findall(r"<!-- ([\w-]+) -->\n(.*?)<!-- /\1 -->", text, re.DOTALL))


def figure() -> bytes:
    with house_style():
        drawing = draw_first(analysis(UNSEEN))
        assert drawing is not None
        return drawn(drawing, {"png"})["png"]


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    for name, part in parts().items():
        text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda found, part=part: found[1] + part + found[2], text,
                      flags=re.DOTALL)
    README.write_text(text, encoding="utf-8")
    FIGURE.write_bytes(figure())
    notebook.write()
