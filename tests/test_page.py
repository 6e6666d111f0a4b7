"""The HTML page in a browser without a network: nothing is asked for, nothing fails, tables sort and filter, at any width."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from synthetic import TASKS, make_matrix

from baselines import STUDY
from benchmark.evidence.analysis import analyse
from benchmark.report.write import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PROBE = """<script>
const said = {};
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
document.title = JSON.stringify(said);
</script></body>"""


@pytest.mark.skipif(BROWSER is None and "CI" not in os.environ, reason="there is no Chromium here (.ci/run installs it)")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_works_without_a_network(tmp_path, width):
    assert BROWSER is not None, "no Chromium: apt-get install chromium"
    analysis = analyse(make_matrix(), [], tasks=TASKS, study=replace(STUDY, rivals={}, beside={}))
    write_report(analysis, tmp_path, formats=("html",), parts=("matrix", "claims"))
    page = tmp_path / "report.html"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE), encoding="utf-8")
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--proxy-server=127.0.0.1:9", "--enable-logging=stderr",
         "--v=0", f"--window-size={width},900", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=1500, check=True)
    assert "CONSOLE" not in done.stderr
    (title,) = re.findall(r"<title>(.*?)</title>", done.stdout)
    said = json.loads(html.unescape(title))
    assert said["up"] == sorted(said["up"])
    assert said["down"] == sorted(said["up"], reverse=True)
    assert said["mark"] == "ascending"
    assert 0 < said["filtered"] < 125
    assert said["count"] == f"{said['filtered']} of 125"
    assert said["requests"] == 0
    assert not said["wide"]
    assert said["figures"] >= 3
