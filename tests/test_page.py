"""The HTML page in a browser without a network: nothing is asked for, nothing fails, tables sort and filter, at any width."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from readme import analysis as committed
from synthetic import TASKS, make_matrix

from baselines import STUDY
from benchmark.evidence.analysis import analyse
from benchmark.report.parts import PARTS
from benchmark.report.write import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DARK = ("--blink-settings=preferredColorScheme=0",)
# a window is 500 wide at least
FRAME = """<!doctype html><meta name="color-scheme" content="light dark"><body style="margin: 0"><script>
addEventListener("message", event => { document.title = event.data; });
</script><iframe src="%s" style="width: %dpx; height: 900px; border: 0; color-scheme: light dark"></iframe>"""
SIZE = """<script>
const said = {};
said.width = innerWidth;
said.requests = performance.getEntriesByType("resource").length;
said.wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
said.screens = document.documentElement.scrollHeight / 900;
said.figures = [...document.querySelectorAll("figure svg")].filter(svg => svg.getBoundingClientRect().width > 0).length;
said.links = [...document.querySelectorAll("nav a")].map(link => link.getAttribute("href"));
said.figure = document.querySelector("figure svg").getBoundingClientRect();
said.dark = getComputedStyle(document.querySelector("figure svg")).filter !== "none";
const hidden = [...document.querySelectorAll(".wide")].filter(box => box.scrollWidth > box.clientWidth + 4);
said.unmarked = hidden.filter(box => getComputedStyle(box.nextElementSibling, "::before").content.length < 7).length;
const table = hidden.find(box => box.querySelector("table"));
const first = table.querySelector("tbody th"), left = first.getBoundingClientRect().left;
table.scrollLeft = 200; said.moved = first.getBoundingClientRect().left - left; said.scrolled = table.scrollLeft;
table.scrollLeft = 0;
const saved = [];
URL.createObjectURL = blob => { saved.push(blob); return "#"; };
document.querySelectorAll("button.csv").forEach(button => button.click());
Promise.all([...saved.map(blob => blob.text()), axe.run(document, {resultTypes: ["violations"]})]).then(all => {
  const found = all.pop();
  said.saved = all.map(text => text.split("\\n")[0]);
  said.axe = found.violations.map(rule => [rule.id, rule.nodes.map(node => node.target.join(" "))]);
  said.looked = found.passes.length;
  parent.postMessage(JSON.stringify(said), "*");
});
</script></body>"""
PROBE = """<script>
const said = {};
said.width = innerWidth;
const table = [...document.querySelectorAll("table.sortable")].find(t => t.id.startsWith("t-differences"));
const column = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent.startsWith("Difference"));
const head = table.tHead.rows[0].cells[column];
const shown = () => [...table.tBodies[0].rows].map(row => parseFloat(row.cells[column].textContent.replace("\\u2212", "-")));
head.querySelector("button").click(); said.up = shown(); said.mark = head.getAttribute("aria-sort");
head.querySelector("button").click(); said.down = shown();
const input = document.querySelector("input[data-table=t-claims]");
input.value = "imagenet m2pt-point"; input.dispatchEvent(new Event("input"));
said.filtered = document.querySelectorAll("#t-claims tbody tr:not([hidden])").length;
said.count = input.closest("p").querySelector(".count").textContent;
said.requests = performance.getEntriesByType("resource").length;
said.wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
said.figures = [...document.querySelectorAll("figure svg")].filter(svg => svg.getBoundingClientRect().width > 0).length;
parent.postMessage(JSON.stringify(said), "*");
</script></body>"""


def opened(page: Path, probe: str, width: int, *options: str) -> dict[str, Any]:
    """What the probe says of a page in a browser that reaches no network"""
    assert BROWSER is not None, "no Chromium: apt-get install chromium"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", probe), encoding="utf-8")
    frame = page.with_name("frame.html")
    frame.write_text(FRAME % (page.name, width), encoding="utf-8")
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--proxy-server=127.0.0.1:9", "--enable-logging=stderr",
         "--v=0", "--virtual-time-budget=60000", *options, "--window-size=1300,900",
         f"--user-data-dir={page.parent / 'profile'}", "--dump-dom", frame.as_uri()],
        capture_output=True, text=True, timeout=1500, check=True)
    assert "CONSOLE" not in done.stderr
    (title,) = re.findall(r"<title>(.*?)</title>", done.stdout)
    said = json.loads(html.unescape(title))
    assert said["width"] == width
    return said


@pytest.mark.skipif(BROWSER is None and "CI" not in os.environ, reason="there is no Chromium here (.ci/run installs it)")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_answer_to_the_committed_records_is_read_in_a_few_screens(tmp_path, width):
    parts = [name for name, part in PARTS.items() if not part.appendix]
    write_report(committed(), tmp_path, formats=("html",), parts=[*parts, "controls", "left-out"])
    page = tmp_path / "report.html"
    assert page.stat().st_size < 1.5e6
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    said = opened(page, f"<script>{axe}</script>{SIZE}", width, *DARK * (width < 1280))
    figures = 1 + committed().doses["section"].nunique()
    assert (said["requests"], said["wide"], said["figures"]) == (0, False, figures)
    assert width < 1280 or said["screens"] <= 8
    assert {"appendix.html", "appendix.html#s1", "#s1"} <= set(said["links"])
    assert width < 1280 or said["figure"]["bottom"] <= 950, "the verdict, its table and the figure are on the first screen"
    assert said["dark"] == (width < 1280), "figures are dark where the reader's screen is"
    assert (said["unmarked"], said["moved"]) == (0, 0), "what is cut says so, and its first column stays"
    assert said["scrolled"] > 100
    assert any(line.startswith("profile,setting,limit,") and ",difference," in line for line in said["saved"])
    assert said["axe"] == []
    assert said["looked"] > 15


@pytest.mark.skipif(BROWSER is None and "CI" not in os.environ, reason="there is no Chromium here (.ci/run installs it)")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_works_without_a_network(tmp_path, width):
    analysis = analyse(make_matrix(), [], tasks=TASKS, study=replace(STUDY, rivals={}, beside={}))
    write_report(analysis, tmp_path, formats=("html",), parts=("matrix", "claims", "provenance"))
    said = opened(tmp_path / "appendix.html", PROBE, width)
    assert said["up"] == sorted(said["up"])
    assert said["down"] == sorted(said["up"], reverse=True)
    assert said["mark"] == "ascending"
    assert 0 < said["filtered"] < 125
    assert said["count"] == f"{said['filtered']} of 125"
    assert said["requests"] == 0
    assert not said["wide"]
    assert said["figures"] >= 3
