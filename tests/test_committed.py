"""What is committed agrees: the report with the records, the README with the report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.records.record import read_record, records_under

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "tiny"
FORMATS = "md,csv,html,png"  # of the report; the others would double its size, and one command writes them
LARGEST = 15 * 2**20  # bytes of all that is committed below results/


def test_the_report_is_what_the_records_give(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["report", "--results", "results/tiny", "--format", FORMATS, "--out", str(tmp_path)]) == 0
    made, committed = ({path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
                       for folder in (tmp_path, RESULTS / "report"))
    assert made.keys() == committed.keys()
    changed = [name for name in made if made[name] != committed[name]]
    assert not changed, (f"regenerate it with: benchmark report --results results/tiny --format {FORMATS}; "
                         f"other bytes in {', '.join(changed[:5])}")


def test_the_readme_shows_the_matrix_of_the_report():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"<!-- matrix -->\n(.*?)<!-- /matrix -->", readme, re.DOTALL)
    assert shown.strip() == (RESULTS / "report/tables/matrix-tiny-pretrained-m2pt.md").read_text(encoding="utf-8").strip()
    (shown,) = re.findall(r"<!-- pretraining -->\n(.*?)<!-- /pretraining -->", readme, re.DOTALL)
    assert shown.strip() == (RESULTS / "report/tables/pretraining.md").read_text(encoding="utf-8").strip()


def test_committed_records_are_whole_small_and_from_committed_code():
    records = [read_record(path) for path in records_under(RESULTS)]
    assert len(records) >= 60
    assert {record.spec.seed for record in records} >= {0, 1, 2}
    assert not [record.spec.name for record in records if record.environment.dirty or not record.environment.commit]
    folders = {path.parent.name for path in records_under(RESULTS)}
    assert folders == {path.name for path in (RESULTS / "runs").iterdir()}


def test_all_results_together_stay_small():
    import subprocess

    listed = subprocess.run(["git", "ls-files", "-z", "results"], capture_output=True, cwd=ROOT, check=False)
    if listed.returncode:
        pytest.skip("not a clone")
    sizes = [(ROOT / name).stat().st_size for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    assert sum(sizes) < LARGEST
