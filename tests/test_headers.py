"""What is kept of many records: the same as is read, for as long as the files and the code that reads them are the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from synthetic import make_matrix

from benchmark.records import headers
from benchmark.records.headers import KEPT, Header, read_headers
from benchmark.records.record import record_text, write_json
from benchmark.records.store import Store

RECORDS = make_matrix(["imagenet", "audioset"], seeds=range(2))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A folder of what counts here as many records."""
    monkeypatch.setattr(headers, "MANY", 5)
    monkeypatch.setattr(headers, "PART", 5)
    store = Store(tmp_path)
    store.prepare()
    for record in RECORDS:
        store.save(record)
    return store


def read(store: Store) -> dict[str, Header]:
    return read_headers(store.folder, [record.spec.name for record in RECORDS])


def test_what_is_kept_is_what_was_read(store):
    first, second = read(store), read(store)
    assert (store.folder / "work" / KEPT).is_file()
    assert first == second
    assert list(first) == [record.spec.name for record in RECORDS]
    for record in RECORDS:
        changed = (store.run_folder(record.spec) / "record.json").stat().st_mtime_ns
        assert second[record.spec.name] == Header.of(record, changed)
        assert second[record.spec.name].form == record.spec.form


def test_files_that_change_are_read_again(store):
    read(store)
    other, gone, broken = RECORDS[0], RECORDS[1], RECORDS[2]
    moved = other.model_copy(update={"code": {"engine": "0" * 16}})
    write_json(store.run_folder(other.spec) / "record.json", record_text(moved))
    shutil.rmtree(store.run_folder(gone.spec))
    (store.run_folder(broken.spec) / "record.json").write_text("{")
    for _ in range(2):  # what cannot be read is told each time
        found = read(store)
        assert found[other.spec.name].code == {"engine": "0" * 16}
        assert gone.spec.name not in found
        assert "unreadable" in found[broken.spec.name].fault


def test_nothing_is_taken_from_other_code_or_a_damaged_file(store):
    before = read(store)
    kept = store.folder / "work" / KEPT
    held = json.loads(kept.read_text())
    for mark in held["headers"].values():
        mark[1]["commit"] = "of another release"
    for damaged in (json.dumps({**held, "reader": "other"}), "{", "[]", json.dumps({"reader": held["reader"]}), ""):
        kept.write_text(damaged)
        assert read(store) == before
    kept.write_text(json.dumps(held))
    assert {header.commit for header in read(store).values()} == {"of another release"}  # so it is what is read


def test_a_folder_in_which_nothing_is_computed_is_left_as_it_is(store):
    shutil.rmtree(store.folder / "work")
    assert len(read(store)) == len(RECORDS)
    assert not (store.folder / "work").exists()
