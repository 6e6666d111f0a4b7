"""A task of a new modality needs one file: it is pretrained, joined by pathways both ways, merged, recorded, reported."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import sixth_task

from benchmark.cli.main import main
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


def test_a_second_call_runs_nothing(results, plugins, capsys):
    before = {path: path.stat().st_mtime_ns for path in results.glob("runs/*/record.json")}
    assert main(["run", *MATRIX, *plugins, "--results", str(results)]) == 0
    assert "6 runs, 0 to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in results.glob("runs/*/record.json")} == before
