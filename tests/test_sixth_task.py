"""A task of a new modality needs one file: it is pretrained, joined by pathways both ways, merged, recorded, reported."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sixth_task

from benchmark.cli.main import main
from benchmark.records.outputs import FILE as FILE_OF_OUTPUTS
from benchmark.records.outputs import read_outputs, write_outputs
from benchmark.records.pictures import read_pictures
from benchmark.records.record import Record
from benchmark.records.store import Store

FILE = Path(sixth_task.__file__)
MATRIX = ["--matrix", "smoke", "-t", "waveforms,imagenet", "-x", "image,signal", "--set", "waveforms.recipe.epochs=12",
          "--set", "shape.depth=1", "--set", "shape.embed_dim=24", "--set", "shape.num_heads=2",
          "--set", "shape.mlp_ratio=2"]
PATHWAYS = ("waveforms m2pt(image)", "imagenet m2pt(signal)")


@pytest.fixture(scope="session")
def plugins(tmp_path_factory) -> list[str]:
    """The option that names a folder with the task and nothing else."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / FILE.name).symlink_to(FILE)
    return ["--plugins", str(folder)]


@pytest.fixture(scope="session")
def results(tmp_path_factory, plugins) -> Path:
    """The sixth task as target and as auxiliary, each beside its baseline."""
    folder = tmp_path_factory.mktemp("sixth") / "results"
    code = main(["run", *MATRIX, *plugins, "--results", str(folder), "-j", "2"])
    assert code == 0, [failure.traceback for failure in Store(folder).failures()]
    return folder


@pytest.fixture(scope="session")
def records(results) -> dict[str, Record]:
    found, problems = Store(results).records()
    assert not problems
    return {record.spec.cell: record for record in found}


def test_the_task_is_one_file_of_at_most_eighty_lines():
    assert len(FILE.read_text(encoding="utf-8").splitlines()) <= 80


def test_it_is_listed_and_explained(plugins, capsys):
    assert main(["list", "tasks", *plugins]) == 0
    assert "the wave form of a signal" in capsys.readouterr().out
    assert main(["info", "waveforms", *plugins]) == 0
    assert "modality: signal" in capsys.readouterr().out


def test_both_directions_are_recorded_with_their_baselines(records):
    assert set(records) == {"signal pretraining", "image pretraining", "waveforms finetune", "imagenet finetune", *PATHWAYS}


@pytest.mark.parametrize("cell", PATHWAYS)
def test_pathways_join_every_layer_learn_their_scales_and_merge(records, cell):
    record = records[cell]
    layers = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    assert [layer.name for layer in record.layers] == [f"blocks.0.{name}" for name in layers]
    assert all(layer.scale != 0 for layer in record.layers)
    assert record.merge_difference <= 1e-5
    assert record.parameters["merged"] < record.parameters["training"]


@pytest.mark.parametrize("cell", ["waveforms finetune", "waveforms m2pt(image)"])
def test_it_learns_its_data(records, cell):
    assert records[cell].curve("test", "top1")[-1][1] > 2 * sixth_task.TINY.chance


def test_its_pretraining_is_what_both_directions_start_from(records):
    signal = records["signal pretraining"]
    assert signal.curve("train", "loss")[-1][1] < signal.curve("train", "loss")[0][1]
    assert records["waveforms finetune"].spec.starts == {"target": signal.run_id}
    assert records["waveforms m2pt(image)"].weights["target"] == signal.weights["result"]
    assert records["imagenet m2pt(signal)"].weights["auxiliary"] == signal.weights["result"]


def test_the_report_shows_it_as_target_and_as_auxiliary(results, plugins, tmp_path):
    assert main(["report", "--results", str(results), "--out", str(tmp_path), *plugins]) == 0
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| Target | Baseline | + image | + signal |" in text
    assert "waveforms (signal)<br>top1 (%)<br>chance 25.0" in text
    with (tmp_path / "tables" / "differences.csv").open(encoding="utf-8") as file:
        rows = {(row["task"], row["auxiliary"]) for row in csv.DictReader(file)}
    assert rows == {("waveforms", "image"), ("imagenet", "signal")}


def test_its_classes_are_called_by_their_names_in_sheets_and_in_the_report(results, plugins, tmp_path, monkeypatch):
    sheet = read_pictures(Store(results).samples("waveforms", "tiny"))
    assert sheet is not None
    labels, names = sixth_task.signals("train")[1], sixth_task.TINY.class_names
    shown = labels[[round(255 * place / 11) for place in range(12)]].tolist()
    assert sheet["name"].tolist() == [names[label] for label in shown]
    captions: list[str] = []
    monkeypatch.setattr("benchmark.data.view._captioned", lambda picture, text: captions.append(text) or picture)
    assert main(["data", "view", "waveforms", *plugins, "--number", "12", "--out", str(tmp_path / "a.png")]) == 0
    assert captions == sheet["name"].tolist()
    assert main(["report", "--results", str(results), "--out", str(tmp_path), *plugins, "--only", "samples"]) == 0
    drawn = (tmp_path / "figures" / "samples-waveforms.svg").read_text(encoding="utf-8")
    assert all(name in drawn for name in set(sheet["name"]))


def test_the_samples_that_changed_sides_are_told_by_the_names_of_their_classes(results, records, plugins, tmp_path, capsys):
    copied, run = Store(tmp_path / "copied"), records["waveforms m2pt(image)"].spec
    shutil.copytree(results / "runs", copied.folder / "runs")
    answers = read_outputs(copied.run_folder(run) / FILE_OF_OUTPUTS)
    assert answers is not None
    place = int(np.flatnonzero(answers["predicted"] == answers["label"])[0])  # of one that a baseline so like it has right, too
    answers["predicted"][place] = (answers["label"][place] + 1) % 4
    write_outputs(copied.run_folder(run) / FILE_OF_OUTPUTS, answers)
    page = tmp_path / "page.html"
    assert main(["view", run.name, "--results", str(copied.folder), *plugins, "--out", str(page), "--number", "64"]) == 0
    assert re.match(r"\d+ test samples? changed sides", capsys.readouterr().out)
    said = re.findall(r"<figcaption>(.*?)</figcaption>", page.read_text(encoding="utf-8"))
    names, true = sixth_task.TINY.class_names, int(sixth_task.signals("test")[1][place])
    assert f"- {place} is {names[true]}: {names[true]} -&gt; {names[(true + 1) % 4]}" in said


@pytest.mark.parametrize(("names", "said"), [
    (("square", "pulse"), "class_names of a profile with num_classes=4: 2 are named; name every class in the order of labels"),
    (("a", "b", "c", "b"), "'b' is there more than once; give each class a name of its own"),
    ("abcd", "expected texts, such as \\('cat', 'dog'\\), not 'abcd'"), (("a", "b", "c", " "), "expected texts"),
    (4, "expected texts"),
])
def test_names_that_are_not_those_of_all_classes_are_refused(names, said):
    with pytest.raises(ValueError, match=said):
        replace(sixth_task.TINY, class_names=names)


def test_a_file_with_too_few_names_is_refused_in_one_line(tmp_path, capsys):
    text = FILE.read_text(encoding="utf-8")
    (tmp_path / "short_task.py").write_text(text.replace('"square", ', ""), encoding="utf-8")
    assert main(["list", "--plugins", str(tmp_path / "short_task.py")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "short_task.py cannot be imported (ValueError: class_names of a profile with num_classes=4: 3 are named; " in line


def test_a_second_call_runs_nothing(results, plugins, capsys):
    before = {path: path.stat().st_mtime_ns for path in results.glob("runs/*/record.json")}
    assert main(["run", *MATRIX, *plugins, "--results", str(results)]) == 0
    assert "6 runs, 0 to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in results.glob("runs/*/record.json")} == before
