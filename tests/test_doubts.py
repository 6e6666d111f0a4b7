"""Records that are kept though something beside them, or before them, is no more what it was: status, run and report say so."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from synthetic import make_record

from benchmark.cli.commands import build_parser
from benchmark.cli.context import make_plan
from benchmark.cli.main import main
from benchmark.provenance.code import used_code
from benchmark.provenance.currency import doubts_of
from benchmark.records import beside
from benchmark.records.beside import KEPT
from benchmark.records.headers import read_headers
from benchmark.records.outputs import FILE, write_outputs
from benchmark.records.record import read_record, record_text, write_json
from benchmark.records.store import Store

OPTIONS = ("--matrix", "smoke", "-t", "imagenet", "-x", "audio")
AS_IT_WAS = {"label": np.arange(4), "predicted": np.arange(4), "probability": np.full(4, 0.5, np.float32)}
OTHERS = {**AS_IT_WAS, "predicted": np.zeros(4, int)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path)


def make_store(folder: Path) -> Store:
    """Every run of a small matrix, as today's code computes it, with weights that follow from each other, and outputs."""
    plan, store = make_plan(build_parser().parse_args(["status", *OPTIONS, "--results", str(folder)]))
    store.prepare()
    left: dict[str, str] = {}
    for job in plan.jobs:
        left[job.spec.run_id] = f"{len(left):064}"
        began = {role: left[start] for role, start in job.spec.starts.items()}
        if job.spec.kind == "train":
            write_outputs(store.staged(job.spec) / FILE, AS_IT_WAS)
        code = used_code(job.code, stacked=False, shared=False)
        store.save(make_record(job.spec, code=code, weights={"result": left[job.spec.run_id], **began}))
    return store


def folder_of(store: Store, start: str) -> Path:
    return next(path for path in (store.folder / "runs").iterdir() if path.name.startswith(start))


def told(store: Store, capsys: pytest.CaptureFixture[str], *command: str) -> list[str]:
    assert main([*command, "--results", str(store.folder)]) == 0
    return [line.removeprefix("in doubt  ") for line in capsys.readouterr().out.splitlines() if line.startswith("in doubt  ")]


def test_what_is_as_it_was_left_is_in_no_doubt(store, capsys):
    for command in (("status",), ("status", *OPTIONS), ("run", *OPTIONS)):
        assert not told(store, capsys, *command)
    assert main(["status", *OPTIONS, "--json", "--results", str(store.folder)]) == 0
    assert json.loads(capsys.readouterr().out)["doubts"] == {}


@pytest.mark.parametrize(("alter", "what"), [
    (Path.unlink, "is gone"), (lambda path: write_outputs(path, OTHERS), "is not what the run left")], ids=["gone", "altered"])
def test_outputs_that_are_gone_or_altered_are_told(store, capsys, alter, what):
    place = folder_of(store, "imagenet-pretrained-m2pt")
    alter(place / FILE)
    said = (f"{FILE} beside the record {what}: {place.name}; what was recorded is kept: to compute it again, remove these "
            f"folders below {store.folder}/runs")
    for command in (("status",), ("status", *OPTIONS), ("run", *OPTIONS), ("run", "--dry-run", *OPTIONS)):
        assert told(store, capsys, *command) == [said], command
    for command in (["status", "--json"], ["status", *OPTIONS, "--json"]):
        assert main([*command, "--results", str(store.folder)]) == 0
        assert json.loads(capsys.readouterr().out)["doubts"] == {f"{FILE} beside the record {what}": [place.name]}
    assert main(["report", "--results", str(store.folder), "--fail-on", "unreadable"]) == 1
    lines = [line for path in (store.folder / "report").glob("*.md") for line in path.read_text().splitlines()]
    assert [line for line in lines if f"{place.name}/{FILE}" in line and what in line]


def test_what_started_from_weights_that_were_computed_anew_since_is_told(store, capsys):
    place = folder_of(store, "audio-pretrain") / "record.json"
    record = read_record(place)
    write_json(place, record_text(record.model_copy(update={"weights": {"result": "f" * 64}})))
    joined = folder_of(store, "imagenet-pretrained-m2pt").name
    said = (f"started from weights (of its auxiliary) that were computed anew since, and are others now: "
            f"{joined}; what was recorded is kept: to compute it again, remove these folders below {store.folder}/runs")
    for command in (("status",), ("status", *OPTIONS)):
        assert told(store, capsys, *command) == [said], command


def test_what_is_beside_many_records_is_looked_at_again_where_it_changed(store, monkeypatch):
    monkeypatch.setattr(beside, "MANY", 2)
    names = [path.name for path in (store.folder / "runs").iterdir()]
    headers = read_headers(store.folder, names)
    assert not doubts_of(store, names, headers)
    assert (store.folder / "work" / KEPT).is_file()
    place = folder_of(store, "imagenet-pretrained-m2pt")
    assert list(headers[place.name].beside) == [FILE]
    for alter, what in ((lambda path: write_outputs(path, OTHERS), "is not what the run left"), (Path.unlink, "is gone"),
                        (lambda path: write_outputs(path, AS_IT_WAS), None)):
        alter(place / FILE)
        for _ in range(2):
            assert read_headers(store.folder, names) == headers
            assert doubts_of(store, names, headers) == ({f"{FILE} beside the record {what}": [place.name]} if what else {})


def test_of_many_files_beside_records_none_is_read_twice_and_a_damaged_note_is_none(store, monkeypatch):
    monkeypatch.setattr(beside, "MANY", 2)
    names = [path.name for path in (store.folder / "runs").iterdir()]
    headers = read_headers(store.folder, names)
    assert not doubts_of(store, names, headers)
    kept = store.folder / "work" / KEPT
    held = {place: [mark, "0" * 64] for place, (mark, _) in json.loads(kept.read_text()).items()}
    assert len(held) == 2
    kept.write_text(json.dumps(held))
    assert list(doubts_of(store, names, headers)) == [f"{FILE} beside the record is not what the run left"], "by what is noted"
    for damaged in ("{", "[]", "", json.dumps(dict.fromkeys(held, 1))):
        kept.write_text(damaged)
        assert not doubts_of(store, names, headers)


def test_nothing_beside_records_is_read_where_no_doubt_is_asked_for(store, monkeypatch):
    """A pipe, of which whoever read it would wait for ever."""
    place = folder_of(store, "imagenet-pretrained-m2pt")
    (place / FILE).unlink()
    os.mkfifo(place / FILE)
    assert not read_headers(store.folder, [place.name])[place.name].fault


def test_a_record_in_the_folder_of_another_run_is_no_result_of_that_one_and_is_not_lost(store, capsys):
    plain, joined = (folder_of(store, f"imagenet-pretrained-{arm}") for arm in ("finetune", "m2pt"))
    aside = joined.with_name("aside")
    joined.rename(aside)
    plain.rename(joined)
    before = (joined / "record.json").read_bytes()
    assert main(["status", *OPTIONS, "--results", str(store.folder)]) == 0
    printed = capsys.readouterr().out
    said = f"its folder has the record of another run, {plain.name.rpartition('-')[2]}, whose name it must have"
    assert f"failed  {joined.name}: {said}" in printed
    assert "1 failed, 1 missing" in printed
    plan, _ = make_plan(build_parser().parse_args(["status", *OPTIONS]))
    (spec,) = [spec for spec in plan.specs if spec.name == joined.name]
    with pytest.raises(OSError, match=f"has the record of another run, {plain.name.rpartition('-')[2]}; rename it"):
        store.settle(spec)
    assert (joined / "record.json").read_bytes() == before
    assert not store.is_complete(spec)
