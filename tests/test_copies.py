"""A run's folder under a second name, as after `cp -r`: one run, told once, and the other folder named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic import make_record, make_spec
from test_doubts import OPTIONS, folder_of, make_store

import benchmark
from benchmark.cli.main import main
from benchmark.evidence import doubts, pairing
from benchmark.evidence.inputs import gather
from benchmark.evidence.secondary import PROBABILITY, kept_endpoints
from benchmark.records.outputs import FILE, write_outputs
from benchmark.records.record import read_record, record_text, write_json
from benchmark.records.store import Store

Names = Callable[[str], str]
CELLS = ("audio-pretrain", "imagenet-pretrained-m2pt", "imagenet-pretrained-finetune")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Every run of a small matrix, up to date."""
    return make_store(tmp_path / "results")


@pytest.fixture(params=["before", "after"])
def named(request) -> Names:
    """What a copy is called: it sorts before the run's own name, or after it."""
    return (lambda name: f"a copy of {name}") if request.param == "before" else (lambda name: f"{name}-copy")


def copy(store: Store, start: str, named: Names) -> tuple[str, str]:
    """The names of a run's folder and of a copy of it"""
    place = folder_of(store, start)
    shutil.copytree(place, place.with_name(named(place.name)))
    return place.name, named(place.name)


def printed(capsys: pytest.CaptureFixture[str], *command: str, code: int = 0) -> str:
    assert main(list(command)) == code
    return capsys.readouterr().out


def altered(path: Path) -> None:
    """Give the record there another value."""
    record = read_record(path)
    rows = [record.measurements[0].model_copy(update={"value": 0.125}), *record.measurements[1:]]
    write_json(path, record_text(record.model_copy(update={"measurements": rows})))


@pytest.mark.parametrize("start", CELLS)
def test_status_and_run_count_a_run_once_and_name_its_copy(store, capsys, named, start):
    before = json.loads(printed(capsys, "status", "--results", str(store.folder), "--json"))
    run, copied = copy(store, start, named)
    after = json.loads(printed(capsys, "status", "--results", str(store.folder), "--json"))
    assert after == {**before, "spares": {copied: run}}
    for command in (["status"], ["status", *OPTIONS], ["run", *OPTIONS]):
        lines = printed(capsys, *command, "--results", str(store.folder)).splitlines()
        assert f"not counted  {copied}: has another record, or a copy, of the run of {run}; remove one" in lines
    told = json.loads(printed(capsys, "status", *OPTIONS, "--results", str(store.folder), "--json"))
    assert told["spares"] == {copied: run}
    assert "spares" not in printed(capsys, "status", "--matrix", "smoke", "-t", "audioset", "-x", "image",
                                   "--results", str(store.folder))


@pytest.mark.parametrize("start", CELLS)
def test_reports_take_a_run_once_and_name_its_copy(store, capsys, tmp_path, named, start):
    parts = ("--format", "csv,md", "--json")
    there = ["report", "--results", str(store.folder)]
    before = json.loads(printed(capsys, *there, *parts, "--out", str(tmp_path / "before")))
    run, copied = copy(store, start, named)
    after = json.loads(printed(capsys, *there, *parts, "--out", str(tmp_path / "after"), "--fail-on", "conflicting,in-doubt"))
    assert after["records"] == before["records"]
    sides = [{path.relative_to(tmp_path / side): path.read_text() for path in (tmp_path / side).rglob("*.csv")}
             for side in ("before", "after")]
    differing = [path.name for path in sides[1] if sides[0].get(path) != sides[1][path]]
    assert differing == ["remarks.csv"]
    said = f'"Copies of records, each of which counts once",{copied},of {run}'
    assert said in sides[1][Path("tables/remarks.csv")]
    assert "1 copy of a record counts once" in printed(capsys, *there, "--out", str(tmp_path / "after"))


def test_compared_and_loaded_results_have_a_run_once(store, capsys, tmp_path, named):
    alone = benchmark.load(store.folder)
    other = tmp_path / "other"
    shutil.copytree(store.folder, other)
    copy(Store(other), "imagenet-pretrained-m2pt", named)
    assert benchmark.load(other).equals(alone)
    command = ("report", "--results", str(store.folder), "--compare", str(other), "--format", "csv", "--only", "compare")
    printed(capsys, *command, "--out", str(tmp_path / "out"))
    rows = (tmp_path / "out" / "tables" / "comparison.csv").read_text().splitlines()
    places = [row.split(",")[:9] for row in rows]
    assert len(places) == len({tuple(place) for place in places})
    found = gather([store, Store(other)], {}, {})
    assert len(found.records) == len(alone)
    assert len(found.spares) == len(alone) + 1


@pytest.mark.parametrize("start", ["audio-pretrain", "imagenet-pretrained-m2pt"])
def test_a_copy_that_was_altered_is_a_conflict_that_fails_a_report_and_never_the_result(store, capsys, named, start):
    _, copied = copy(store, start, named)
    altered(store.folder / "runs" / copied / "record.json")
    command = ("report", "--results", str(store.folder), "--format", "csv", "--only", "left-out")
    assert json.loads(printed(capsys, *command, "--json"))["findings"]["conflicting"] == 1
    printed(capsys, *command, "--fail-on", "conflicting", code=1)
    text = (store.folder / "report" / "tables" / "remarks.csv").read_text()
    assert f"Contradicts another result of the same run,{copied}," in text
    with pytest.raises(ValueError, match=f"{copied} says other than a copy of it among these folders"):
        benchmark.load(store.folder)
    shutil.rmtree(store.folder / "runs" / copied)
    assert json.loads(printed(capsys, *command, "--json"))["findings"].get("conflicting") is None


@pytest.mark.parametrize("start", ["audio-pretrain", "imagenet-pretrained-m2pt"])
@pytest.mark.parametrize("processor", ["Example CPU", "Another CPU"])
def test_two_results_of_one_run_in_one_folder_are_a_contradiction_to_status_run_report_and_load(
        store, capsys, named, start, processor):
    """As after copying runs by hand from another machine: the report took the newest, and called it a repeat"""
    run, copied = copy(store, start, named)
    file = store.folder / "runs" / copied / "record.json"
    altered(file)
    record = read_record(file)
    write_json(file, record_text(record.model_copy(update={
        "started": "2027-01-01T00:00:00+00:00", "weights": {**record.weights, "result": "f" * 64},
        "environment": record.environment.model_copy(update={"processor": processor})})))
    for command in (["status"], ["status", *OPTIONS], ["run", *OPTIONS]):
        lines = printed(capsys, *command, "--results", str(store.folder)).splitlines()
        assert f"contradicts  {copied}: has another result of the run of {run}, which counts; remove one" in lines
        assert not any(line.startswith("not counted") for line in lines)
    command = ("report", "--results", str(store.folder), "--format", "csv", "--only", "left-out", "--fail-on", "conflicting")
    said = printed(capsys, *command, code=1)
    assert "from 4 records; 1 other result of a run does not count, named in the report\n" in said
    remarks = (store.folder / "report" / "tables" / "remarks.csv").read_text().splitlines()
    (line,) = [line for line in remarks if copied in line]
    assert line.startswith(f"Contradicts another result of the same run,{copied},")
    assert "is 0.125, and " in line, "the one in the run's own folder is used"
    with pytest.raises(ValueError, match=f"{copied} has another result of the run of {run}; remove one"):
        benchmark.load(store.folder)


def test_two_results_of_one_run_are_compared_once(store, monkeypatch):
    _, copied = copy(store, CELLS[1], lambda name: f"{name}-copy")
    altered(store.folder / "runs" / copied / "record.json")
    seen = []
    compared = pairing.values_beside
    for module in (pairing, doubts):
        monkeypatch.setattr(module, "values_beside", lambda *records: (seen.append(records), compared(*records))[1])
    (spare,) = store.read().spares
    remark = doubts.on_spare(spare)
    assert (remark.kind, remark.name, len(seen)) == (pairing.CONTRADICTS, copied, 1)
    assert "measurements differ" in remark.detail


def test_two_pretrainings_of_one_run_in_two_folders_that_differ_are_a_conflict(store, capsys, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(store.folder, other)
    altered(folder_of(Store(other), "audio-pretrain") / "record.json")
    command = ("report", "--results", str(store.folder), "--results", str(other), "--format", "csv", "--only", "left-out")
    printed(capsys, *command, "--fail-on", "conflicting", code=1)
    printed(capsys, *command, "--fail-on", "in-doubt,unreadable")


def test_a_folder_that_is_called_otherwise_than_its_run_is_told(store, capsys):
    place = folder_of(store, "imagenet-pretrained-m2pt")
    place.rename(place.with_name("renamed"))
    said = f"called otherwise  renamed: has the record of {place.name}, by which `run` looks for it; rename it"
    assert said in printed(capsys, "status", "--results", str(store.folder)).splitlines()


def test_a_copied_failure_is_one_failure_and_none_where_the_run_has_a_record(store, capsys, named):
    record = read_record(folder_of(store, "imagenet-pretrained-m2pt") / "record.json")
    store.save_failure(record.spec, "ValueError: it failed", "")
    copied = store.folder / "runs" / named(record.spec.name)
    copied.mkdir()
    shutil.copy(store.run_folder(record.spec) / "failure.json", copied)
    assert not store.failures(), "the run has a record"
    (store.run_folder(record.spec) / "record.json").unlink()
    assert [failure.spec.name for failure in store.failures()] == [record.spec.name]


def test_a_folder_by_another_name_gives_the_outputs_of_its_own_run(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    computed = {}
    for code, probability in (("earlier", 0.25), ("later", 0.75)):
        record = make_record(make_spec()).model_copy(update={"code": {"training": code}})
        store.save(record)
        place = store.run_folder(record.spec)
        write_outputs(place / FILE, {"predicted": np.zeros(4, np.uint8), "label": np.zeros(4, np.uint8),
                                     "probability": np.full(4, probability, np.float32)})
        computed[record.identity] = {PROBABILITY: 100 * probability}
        place.rename(place.with_name(code))
    (tmp_path / "runs" / "earlier").rename(store.run_folder(record.spec))  # which is what both runs are called

    values, problems = kept_endpoints([(store, store.records()[0])])
    assert not problems
    assert values == computed
    assert [store.folder_of(one).name for one in store.records()[0]] == [record.spec.name, "later"]
