"""`import benchmark` as a library: its page runs as written, its names are there, and reading stays light."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import make_matrix, make_record, make_spec

import benchmark
from benchmark.cli.main import main
from benchmark.records.store import Store
from tasks import TASKS

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path) -> Path:
    store = Store(tmp_path / "results")
    store.prepare()
    for record in make_matrix(["imagenet"], ["audio"], range(2), scratch=False):
        store.save(record)
    return store.folder


def test_every_block_of_the_page_runs_in_order(tmp_path, monkeypatch, capsys):
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "library.md").read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 6
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/library.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "of 6 seeds, p " in printed, "the paired difference of the first block"
    assert "\nTrue\n" in printed, "the report's page is there"
    assert "test/accuracy" in names["logged"], "of the last epoch of a run"
    assert sorted(names["mine"]["arm"].dropna()) == ["finetune", "m2pt"]


def test_the_page_names_every_name():
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    table = page[: page.index("\n## ")]
    assert all(re.search(rf"`{name}\b", table) for name in benchmark.__all__)
    assert all(getattr(benchmark, name).__doc__ for name in benchmark.__all__)


def test_a_name_that_is_not_there_lists_those_that_are():
    with pytest.raises(AttributeError, match="no name 'loud'; it has Arm, "):
        _ = benchmark.loud


def test_importing_and_reading_bring_no_torch(folder):
    program = ("import sys, benchmark\nassert not {'torch', 'pandas', 'numpy'} & set(sys.modules)\n"
               "benchmark.load(sys.argv[1]); benchmark.Arm; benchmark.make_plan('quick')\nassert 'torch' not in sys.modules")
    done = subprocess.run([sys.executable, "-c", program, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_kind_of_frame_begins_with_the_run(folder):
    runs, curves, layers = (benchmark.load(folder, kind=kind) for kind in ("records", "curves", "layers"))
    assert len(runs) == 4
    assert set(runs["run"]) == set(curves["run"])
    assert set(layers["arm"]) == {"m2pt"}
    joined = runs[runs["arm"] == "m2pt"].set_index("seed")["test"]
    plain = runs[runs["arm"] == "finetune"].set_index("seed")["test"]
    found = benchmark.paired_difference(joined.to_dict(), plain.to_dict())
    assert found.n == 2
    assert found.mean == pytest.approx((joined - plain).mean())


def test_runs_under_other_conditions_than_the_profiles_own_say_so(tmp_path):
    """Else labels that were dealt out at random would be averaged with true ones."""
    task = TASKS["imagenet"]
    profile = task.profiles["tiny"]
    own = {"shape": profile.shape, "recipe": profile.train["pretrained"], "num_classes": profile.num_classes}
    altered = profile.train["pretrained"].model_copy(update={"shuffle_labels": True, "epochs": 3})
    store = Store(tmp_path)
    store.prepare()
    for seed, changes in enumerate((own, own | {"recipe": altered}, own | {"task": "of-ones-own"})):
        store.save(make_record(make_spec(**{"task": "imagenet", "seed": seed, **changes}), 50.0))
    for kind in ("records", "curves"):
        told = benchmark.load(tmp_path, kind=kind).drop_duplicates("seed").set_index("seed")["conditions"]
        assert told[0] == ""
        assert told[1] == "epochs=3, shuffle_labels=true"
        assert pd.isna(told[2]), "not known"


def test_last_values_are_of_the_last_epoch(folder):
    runs, curves = benchmark.load(folder), benchmark.load([folder], kind="curves")
    for run in runs.itertuples():
        own = curves[(curves["run"] == run.run) & (curves["metric"] == run.metric) & (curves["split"] == "test")]
        assert run.test == own.sort_values("epoch")["value"].iloc[-1]


@pytest.mark.parametrize("kind", ["records", "curves", "layers", "logs"])
def test_an_empty_folder_is_an_empty_frame(tmp_path, kind):
    Store(tmp_path).prepare()
    found = benchmark.load(tmp_path, kind=kind)
    assert isinstance(found, pd.DataFrame)
    assert found.empty
    assert "run" in found


def test_what_cannot_be_read_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"no results in .*nowhere"):
        benchmark.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="known are records, curves, layers"):
        benchmark.load(folder, kind="curve")
    broken = make_record(make_spec("imagenet", seed=9))
    shutil.copytree(folder / "runs" / next((folder / "runs").iterdir()).name, folder / "runs" / broken.spec.name)
    (folder / "runs" / broken.spec.name / "record.json").write_text("{")
    with pytest.raises(ValueError, match=r"unreadable .*; remove that file, or run its matrix again"):
        benchmark.load(folder)


@pytest.mark.parametrize("seeds", [[0, 2], (0, 2), range(0, 3, 2), "0,2", np.array([0, 2])])
def test_seeds_of_a_plan_are_given_as_numbers_or_as_a_text(seeds):
    assert {spec.seed for spec in benchmark.make_plan("full", targets=["imagenet"], seeds=seeds).specs} == {0, 2}
    assert {spec.seed for spec in benchmark.make_plan("full", targets=["imagenet"], seeds=2).specs} == {2}


def test_a_plan_that_fits_nothing_is_refused():
    with pytest.raises(ValueError, match=r"--seeds 0\.5: expected numbers"):
        benchmark.make_plan("smoke", seeds=[0.5])
    with pytest.raises(ValueError, match="did you mean 'imagenet'"):
        benchmark.make_plan("smoke", targets=["imagenett"])


# --- what runs logged, as other tools read it -------------------------------------------------------------------------


def test_logs_are_read_by_the_tools_that_they_are_for(folder, tmp_path, capsys):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    pytest.importorskip("pyarrow")
    out = tmp_path / "logs"
    command = ["export-logs", "--results", str(folder), "--to", "tensorboard,csv,parquet", "--out", str(out)]
    assert main(command) == 0
    assert f"look at them: tensorboard --logdir {out}/tensorboard" in capsys.readouterr().out
    rows = benchmark.load(folder, kind="logs")
    kept = ["run", "task", "arm", "seed", "tag", "step", "value"]
    for read in (pd.read_parquet(out / "logs.parquet"), pd.read_csv(out / "logs.csv")):
        assert (read["value"] == rows["value"]).all()
        assert read[kept].astype(str).equals(rows[kept].astype(str))
    files = sorted((out / "tensorboard").rglob("*tfevents*"))
    assert {path.parent.name for path in files} == set(rows["run"])
    run = rows["run"].iloc[-1]
    found = accumulator.EventAccumulator(str(out / "tensorboard" / run))
    found.Reload()
    own = rows[rows["run"] == run]
    assert set(found.Tags()["scalars"]) == set(own["tag"])
    for tag, values in own.groupby("tag"):
        read = found.Scalars(tag)
        assert [event.step for event in read] == values["step"].tolist()
        assert [event.value for event in read] == pytest.approx(values["value"].tolist(), rel=1e-6)
    assert "_hparams_/session_start_info" in found.summary_metadata
    before = {path: path.read_bytes() for path in files}
    assert main(command) == 0
    assert {path: path.read_bytes() for path in sorted((out / "tensorboard").rglob("*tfevents*"))} == before


@pytest.mark.parametrize("kind", ["records", "curves", "layers"])
def test_a_result_that_two_folders_hold_is_loaded_once_and_two_results_of_one_run_are_both(folder, tmp_path, kind):
    stores = [Store(tmp_path / name) for name in ("copy", "again")]
    record = Store(folder).records()[0][0]
    for store, started in zip(stores, (record.started, "2026-01-01T00:00:00+00:00"), strict=True):
        store.prepare()
        store.save(record.model_copy(update={"started": started}))
    alone = benchmark.load(folder, kind=kind)
    pd.testing.assert_frame_equal(benchmark.load([folder, stores[0].folder], kind=kind), alone)
    both = benchmark.load([folder, stores[1].folder], kind=kind)
    assert len(both) == len(alone) + len(alone[alone["run"] == record.spec.name])


def test_two_copies_of_a_result_of_which_one_was_altered_are_refused(folder, tmp_path):
    store, record = Store(tmp_path / "copy"), Store(folder).records()[0][0]
    store.prepare()
    rows = [record.measurements[0].model_copy(update={"value": 0.125}), *record.measurements[1:]]
    store.save(record.model_copy(update={"measurements": rows}))
    said = f"copy/runs/{record.spec.name} says other than a copy of it among these folders"
    with pytest.raises(ValueError, match=re.escape(said)):
        benchmark.load([folder, store.folder])


def test_of_a_run_that_two_folders_hold_the_newer_is_exported(tmp_path, capsys):
    stores = [Store(tmp_path / name) for name in ("new", "old")]
    for store, year, value in zip(stores, (2026, 2024), (60.0, 40.0), strict=True):
        store.prepare()
        store.save(make_record(make_spec("imagenet"), value, started=f"{year}-01-01T00:00:00+00:00"))
    stores[1].save(make_record(make_spec("imagenet", seed=1), 50.0))
    for order in (stores, stores[::-1]):
        folders = [word for store in order for word in ("--results", str(store.folder))]
        assert main(["export-logs", *folders, "--to", "csv", "--out", str(tmp_path / "logs")]) == 0
        assert "left out: 1 older record of runs that have several\n2 runs: " in capsys.readouterr().out
        rows = pd.read_csv(tmp_path / "logs" / "logs.csv")
        assert not rows.duplicated(["run", "tag", "step"]).any()
        last = rows[rows["tag"] == "test/top-1"].sort_values("step").groupby("seed")["value"].last()
        assert last.to_dict() == pytest.approx({0: 60.0, 1: 50.0})


@pytest.mark.parametrize(("to", "missing", "said"), [
    ("tensorbord", None, "unknown format 'tensorbord'; did you mean 'tensorboard'?"),
    ("tensorboard", "tensorboard",
     "--to tensorboard needs tensorboard, which is not installed; pip install 'm2pt-bench[tensorboard]'"),
    ("csv,parquet", "pyarrow", "--to parquet needs pyarrow, which is not installed; pip install 'm2pt-bench[parquet]'")])
def test_logs_that_cannot_be_written_are_refused_before_any_is(to, missing, said, folder, tmp_path, monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == missing else found(name, *rest))
    assert main(["export-logs", "--results", str(folder), "--to", to, "--out", str(tmp_path / "logs")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "logs").exists()
