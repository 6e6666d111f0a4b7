"""Runs as processes: what fails stays alone, what is killed goes on, what is done is not done again."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from synthetic import make_record, make_spec

from benchmark.cli.commands import build_parser
from benchmark.cli.context import make_plan
from benchmark.cli.main import main
from benchmark.data.seeds import seed_torch
from benchmark.plan.matrix import Job, Plan
from benchmark.provenance.currency import STATES, Standing
from benchmark.records.lease import Keeper
from benchmark.records.record import Record, read_record, record_text
from benchmark.records.store import Store
from benchmark.runner.budget import Budget
from benchmark.runner.pool import Event, run_plan, todo
from benchmark.runner.preload import ALWAYS, FIRST, LAST, environment, in_order, preloaded
from benchmark.runner.worker import Work, claim_all, keep
from benchmark.spec.runspec import RunSpec, Site
from benchmark.spec.weightfile import NAME, BlockShape, Origin
from benchmark.train.checkpoint import load_checkpoint, save_checkpoint
from tasks import TASKS

ROOT = Path(__file__).parents[1]
MORTAL = ("--matrix", "smoke", "-t", "mortal", "-x", "signal", "--set", "shape.depth=1", "--set", "recipe.epochs=4")
PATIENCE = 1500  # seconds that a test waits for what takes a few on an idle machine


def call(plugins: Path, results: Path, *arguments: str, retries: int = 0) -> tuple[int, str]:
    """Exit code and output of `benchmark run` on two slots."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        code = main(["run", *arguments, "--plugins", str(plugins), "--results", str(results), "-j", "2",
                     "--retries", str(retries)])
    return code, printed.getvalue()


def plan_of(plugins: Path, results: Path, *arguments: str):
    return make_plan(build_parser().parse_args(["run", *arguments, "--plugins", str(plugins), "--results", str(results)]))


def records_of(results: Path) -> dict[tuple[str, int], Record]:
    found, problems = Store(results).records()
    assert not problems
    return {(record.spec.cell, record.spec.seed): record for record in found}


def outcome(record: Record) -> tuple:
    """All that a run computed, without when and how fast."""
    return record.run_id, record.measurements, record.layers, record.merge_difference, record.weights, record.parameters


def test_imported_for_all_is_what_these_runs_use_and_no_plugin(plugins, tmp_path):
    def imported(*arguments: str) -> set[str]:
        return set(preloaded(plan_of(plugins, tmp_path, "--matrix", "smoke", *arguments)[0].jobs)) - set(in_order(ALWAYS))

    pictures = {"tasks.imagenet", "tasks.pixels"}
    assert pictures < imported("-t", "imagenet", "-x", "audio") >= {"tasks.audioset.metrics", "tasks.audioset.embedded"}
    assert {name.split(".")[1] for name in imported("-t", "imagenet", "-x", "point") - pictures} == {"shapenet"}
    assert imported("-t", "mortal", "-x", "signal") == set(), "plugins"


# --- a matrix that goes well -----------------------------------------------------------------------------------------


def test_what_is_imported_for_all_is_not_searched_for_garbage(plugins, tmp_path):
    names = preloaded(plan_of(plugins, tmp_path, "--matrix", "smoke", "-t", "imagenet", "-x", "audio")[0].jobs)
    assert (names[0], names[-1]) == (FIRST, LAST)
    program = (f"import gc, {FIRST}\nassert not gc.isenabled()\nimport json\nimport {LAST}\n"
               "assert gc.isenabled()\nassert gc.get_freeze_count() > 1000")
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_processes_begin_with_what_their_libraries_read_once(reference):
    """OpenMP and the allocator look at it as they are loaded, in the server that forks every process"""
    assert environment(3)["OMP_NUM_THREADS"] == "3"
    assert environment(3)["GOMP_SPINCOUNT"] == "10000", "beside other programs as it comes: forty times as long"
    assert environment(int(os.environ["OMP_NUM_THREADS"])).items() <= os.environ.items()


@pytest.fixture(scope="session")
def reference(plugins, tmp_path_factory) -> tuple[Path, list[Event]]:
    """Two seeds of a small matrix, never interrupted, with what was told meanwhile."""
    results = tmp_path_factory.mktemp("reference")
    plan, store = plan_of(plugins, results, *MORTAL, "--seeds", "0-1")
    store.prepare()
    events: list[Event] = []
    assert run_plan(plan, store, Site(results=str(results)), 2, events.append) == []
    return results, events


def test_every_planned_run_is_started_once_told_by_epoch_and_recorded(reference):
    results, events = reference
    records = records_of(results)
    assert sorted(records) == [(cell, seed) for cell in ("mortal finetune", "mortal m2pt(signal)", "mortal pretraining",
                                                         "signal pretraining") for seed in (0, 1)]
    for record in records.values():
        told = [event for event in events if event.spec.run_id == record.run_id]
        epochs = record.spec.recipe.epochs
        assert [event.kind for event in told] == ["started", *["epoch"] * epochs, "done"]
        assert [(event.done, event.total) for event in told if event.kind == "epoch"] == [
            (epoch, epochs) for epoch in range(1, epochs + 1)]
        assert told[-1].seconds > 0


def test_a_pretraining_is_done_before_what_starts_from_it(reference):
    results, events = reference
    order = {(event.kind, event.spec.run_id): place for place, event in enumerate(events)}
    for record in records_of(results).values():
        assert all(order["done", need] < order["started", record.run_id] for need in record.spec.starts.values())


def test_a_pretraining_is_computed_once_and_shared(reference):
    results, events = reference
    started = Counter(event.spec.cell for event in events if event.kind == "started")
    assert started["mortal pretraining"] == started["signal pretraining"] == 2  # one a seed, for two arms each
    records = records_of(results)
    for seed in (0, 1):
        weights = {cell: records[cell, seed].weights for cell in ("mortal finetune", "mortal m2pt(signal)")}
        pretrained = records["mortal pretraining", seed].weights["result"]
        assert {found["target"] for found in weights.values()} == {pretrained}
        assert weights["mortal m2pt(signal)"]["auxiliary"] == records["signal pretraining", seed].weights["result"]


def test_what_was_edited_after_planning_is_not_computed_under_the_name_of_what_was_planned(tmp_path, monkeypatch):
    """A run's process imports a plugin when it begins, and its record names the code that was there when it was planned."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "edited_arm", raising=False)
    file = tmp_path / "edited_arm.py"
    file.write_text("from baselines.plain import Scratch\n\n\nclass Own(Scratch):\n    name = 'edited'\n\n\n"
                    "ARM = Own()\n")
    plan, store = plan_of(file, tmp_path / "results", "--matrix", "smoke", "-t", "modelnet", "--arm", "edited", "--setting",
                          "scratch", "--seeds", "0", "--limit", "8")
    store.prepare()
    work = todo(plan, store)
    file.write_text(file.read_text() + "# edited\n")
    assert [spec.arm for spec in run_plan(plan, store, Site(results=str(store.folder)), 1, lambda event: None, work=work)] == [
        "edited"]
    failure = store.failure(plan.specs[0])
    assert failure.error == (f"ValueError: {file} was edited after this command began, and its runs are computed by one "
                             "state of the code; run the same command again")
    assert not store.records()[0]


def test_weights_that_were_replaced_after_planning_are_not_computed_from_under_the_name_of_the_planned(tmp_path):
    file = tmp_path / "speech.safetensors"
    shape = TASKS["modelnet"].profiles["tiny"].shape
    made = BlockShape(**{name: getattr(shape, name) for name in BlockShape.model_fields})
    head = json.dumps({"__metadata__": {NAME: Origin(blocks=made, format="x", sources={}).text()}}).encode()
    file.write_bytes(len(head).to_bytes(8, "little") + head)
    plan, store = make_plan(build_parser().parse_args([
        "run", "--matrix", "smoke", "-t", "modelnet", "-x", "speech", "--arm", "m2pt", "--setting", "scratch", "--seeds", "0",
        "--limit", "8", "--start", f"speech={file}", "--results", str(tmp_path / "results")]))
    store.prepare()
    (job,) = plan.jobs
    said = f"{file}, its auxiliary, was replaced after this command began, and the run's id names what was there; run the same"
    as_planned = make_record(job.spec, weights={"auxiliary": hashlib.sha256(file.read_bytes()).hexdigest()})
    other = as_planned.model_copy(update={"weights": {"auxiliary": "f" * 64}})
    with Keeper([], lambda: None) as keeper, pytest.raises(ValueError, match=re.escape(said)):
        keep(other, job, store, io.StringIO(), keeper)
    file.write_bytes(file.read_bytes() + b" ")
    assert run_plan(plan, store, Site(results=str(store.folder)), 1, lambda event: None) == [job.spec]
    assert store.failure(job.spec).error.startswith(f"ValueError: {said}")
    assert not store.records()[0]


def altered_weights(store: Store, spec: RunSpec) -> str:
    """Give a pretraining that is done other weights, as if it had been computed anew elsewhere; their digest"""
    weights = bytearray(store.weights(spec).read_bytes())
    weights[-1] ^= 1
    store.weights(spec).write_bytes(weights)
    digest = hashlib.sha256(weights).hexdigest()
    path = store.run_folder(spec) / "record.json"
    path.write_text(record_text(read_record(path).model_copy(update={"weights": {"result": digest}})))
    return digest


def with_one_to_do(reference: Path, plugins: Path, results: Path) -> tuple[Plan, Store, Job, RunSpec]:
    """A matrix that is done but for one training, with that and the pretraining which it starts from"""
    shutil.copytree(reference, results, dirs_exist_ok=True)
    plan, store = plan_of(plugins, results, *MORTAL)
    job = next(job for job in plan.jobs if job.spec.arm == "finetune")
    shutil.rmtree(store.run_folder(job.spec))
    return plan, store, job, dict(job.needs)["target"]


@pytest.mark.parametrize("retries", [0, 1])
def test_a_run_whose_start_is_computed_anew_while_it_trains_is_of_one_of_the_two(reference, plugins, tmp_path, retries):
    plan, store, job, start = with_one_to_do(reference[0], plugins, tmp_path)
    wait, said, found = plugins / "wait-at-1", [], []

    def hear(event: Event) -> None:
        said.extend([event.text] if event.kind in ("again", "failed") else [])
        if event.kind == "epoch" and not found:
            found.append(altered_weights(store, start))
            wait.unlink()

    wait.touch()
    failed = run_plan(plan, store, Site(results=str(tmp_path)), 1, hear, retries=retries)
    assert said == ["StartReplaced: the weights of its target were computed anew while it trained, so that it is not known "
                    "which of them it began with"]
    if retries:
        record = read_record(store.run_folder(job.spec) / "record.json")
        assert (record.weights["target"], record.resumed, failed) == (found[0], 0, [])
    else:
        assert failed == [job.spec]
        assert not (store.run_folder(job.spec) / "record.json").exists()


def test_what_was_begun_from_weights_that_were_computed_anew_since_begins_again(reference, plugins, tmp_path):
    plan, store, job, start = with_one_to_do(reference[0], plugins, tmp_path)
    (plugins / "die-at-2").touch()
    assert run_plan(plan, store, Site(results=str(tmp_path)), 1, lambda event: None) == [job.spec]
    assert epochs_saved(store.work(job.spec) / "checkpoint.pt") == 2
    digest = altered_weights(store, start)
    assert todo(plan, store).jobs == [job]
    assert run_plan(plan, store, Site(results=str(tmp_path)), 1, lambda event: None) == []
    record = read_record(store.run_folder(job.spec) / "record.json")
    assert (record.weights["target"], record.resumed) == (digest, 0)


def test_a_stack_goes_on_only_where_each_of_its_runs_would(reference, plugins, tmp_path):
    """What it goes on from lies with its first run, whose code may be as it was where another's was edited."""
    plan, store = plan_of(plugins, tmp_path, *MORTAL, "--seeds", "0-1")
    store.prepare()
    jobs = [job for job in plan.jobs if job.spec.kind == "pretrain" and job.spec.task == "mortal"]

    def begin() -> None:
        for lease in claim_all([Work.of(job, store, None) for job in jobs], store).values():
            lease.release()

    begin()
    left = store.work(jobs[0].spec) / "checkpoint.pt.stack"
    left.write_text("")
    begin()
    assert left.exists()
    jobs[1] = replace(jobs[1])
    jobs[1].__dict__["_code"] = ({**jobs[0].code, "task": "0" * 16}, {}, {})
    begin()
    assert not left.exists()


def test_a_second_call_runs_nothing(reference, plugins):
    results, _ = reference
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    plan, store = plan_of(plugins, results, *MORTAL, "--seeds", "0-1")
    events: list[Event] = []
    assert todo(plan, store).jobs == []
    assert run_plan(plan, store, Site(results=str(results)), 2, events.append) == []
    assert Counter(event.kind for event in events) == {"kept": len(plan.jobs)}
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before


def test_nothing_but_weights_and_log_is_left_in_the_working_folders(reference):
    results, _ = reference
    for folder in (results / "work").iterdir():
        kept = [".lease-000001", "log.txt", "weights.safetensors"]
        kept += ["representations.safetensors"] if "-pretrain-" not in folder.name else []
        assert sorted(path.name for path in folder.iterdir()) == sorted([*kept, *beside(folder.name)])
    for folder in (results / "runs").iterdir():
        assert sorted(path.name for path in folder.iterdir()) == sorted(["record.json", *beside(folder.name)])


def beside(run: str) -> list[str]:
    """What a run leaves beside its record"""
    if "-pretrain-" in run:
        return []
    return ["outputs.npz", "pathways.json"] if "-m2pt-" in run else ["outputs.npz"]


def test_records_are_small_and_survive_reading_and_writing(reference):
    results, _ = reference
    for path in results.glob("runs/*/record.json"):
        record = read_record(path)
        assert record_text(record) == path.read_text(encoding="utf-8")
        assert Record.model_validate_json(record.model_dump_json()) == record
        assert path.stat().st_size < 10_000
        assert path.parent.name == record.spec.name
        assert record.environment.device == "cpu"
        assert record.seconds["wall"] >= record.seconds["train"] > 0


def test_a_training_is_measured_on_both_splits_after_every_epoch(reference):
    results, _ = reference
    for (cell, _), record in records_of(results).items():
        losses = [step for step, _ in record.curve("train", "loss")]
        assert losses == list(range(1, record.spec.recipe.epochs + 1))
        for split in ("val", "test"):
            steps = [step for step, _ in record.curve(split, "top1")]
            assert steps == ([] if cell.endswith("pretraining") else losses)


def test_the_same_seed_in_another_folder_gives_the_same_result_and_another_seed_another(reference, plugins, tmp_path):
    results, _ = reference
    assert call(plugins, tmp_path, *MORTAL, "--seeds", "1")[0] == 0
    first, again = records_of(results), records_of(tmp_path)
    assert len(again) == 4
    for (cell, seed), record in again.items():
        assert outcome(record) == outcome(first[cell, seed])
        other = first[cell, 0]
        assert other.weights["result"] != record.weights["result"]
        assert other.curve("train", "loss") != record.curve("train", "loss")


def test_pretrainings_whose_weights_are_gone_are_computed_again_only_for_what_needs_them(reference, plugins, tmp_path):
    """Records without weights are what a repository holds."""
    results, _ = reference
    shutil.copytree(results / "runs", tmp_path / "runs")
    plan, store = plan_of(plugins, tmp_path, *MORTAL, "--seeds", "0-1")
    assert todo(plan, store).jobs == []
    kept = records_of(tmp_path)
    shutil.rmtree(store.run_folder(kept["mortal finetune", 0].spec))
    code, printed = call(plugins, tmp_path, *MORTAL, "--seeds", "0-1")
    assert (code, printed.splitlines()[0][:17]) == (0, "8 runs, 2 to do, ")
    assert "note: of these, 1 is computed again: others start from its weights, which are not on this disk" in printed
    assert "--overwrite" not in printed
    assert {key: outcome(record) for key, record in records_of(tmp_path).items()} == {
        key: outcome(record) for key, record in kept.items()}


def test_exported_weights_are_those_of_the_record(reference, tmp_path):
    from safetensors.torch import load_file

    results, _ = reference
    record = records_of(results)["mortal m2pt(signal)", 0]
    file = tmp_path / "exported.safetensors"
    with redirect_stdout(io.StringIO()):
        assert main(["export", record.run_id, "--results", str(results), "--out", str(file)]) == 0
    weights = load_file(file)
    assert sum(tensor.numel() for name, tensor in weights.items() if "pos" not in name) == record.parameters["merged"]
    assert {"blocks.0.attn.qkv.weight", "fc_norm.weight", "head.weight"} <= set(weights)


# --- runs that die, and a runner that is stopped ---------------------------------------------------------------------


def test_a_killed_run_goes_on_from_its_last_epoch_to_the_same_result(reference, plugins, tmp_path):
    (plugins / "die-at-1").touch()  # the pretraining has epochs 0 and 1
    (plugins / "die-at-2").touch()  # the trainings have epochs 0 to 3
    code, printed = call(plugins, tmp_path, *MORTAL)
    assert code == 1
    assert "failed: mortal pretraining seed 0: the run's process was ended by SIGKILL (out of memory?)" in printed
    assert "failed: mortal finetune seed 0: not run: mortal pretraining (seed 0), from which it starts, failed" in printed
    assert set(records_of(tmp_path)) == {("signal pretraining", 0)}
    assert [epochs_saved(path) for path in tmp_path.glob("work/mortal-pretrain*/checkpoint.pt")] == [1]

    code, printed = call(plugins, tmp_path, *MORTAL)
    assert code == 1
    assert printed.count("was ended by SIGKILL") == 2  # in its line and in the summary
    assert [epochs_saved(path) for path in tmp_path.glob("work/mortal-pretrained*/checkpoint.pt")] == [2]
    assert len(records_of(tmp_path)) == 3

    code, printed = call(plugins, tmp_path, *MORTAL)
    assert code == 0
    assert "3 kept" in printed
    records = records_of(tmp_path)
    assert sorted(record.resumed for record in records.values()) == [0, 0, 1, 1]
    expected = records_of(reference[0])
    assert {key: outcome(record) for key, record in records.items()} == {key: outcome(expected[key]) for key in records}
    assert not Store(tmp_path).failures()
    assert not list(tmp_path.glob("work/*/checkpoint.pt"))


def test_what_a_kill_ended_is_tried_again_and_goes_on_from_its_checkpoint(reference, plugins, tmp_path):
    (plugins / "die-at-1").touch()
    code, printed = call(plugins, tmp_path, *MORTAL, retries=1)
    assert code == 0
    assert printed.count("was ended by SIGKILL (out of memory?), and is tried again") == 1
    records, expected = records_of(tmp_path), records_of(reference[0])
    assert {key: outcome(record) for key, record in records.items()} == {key: outcome(expected[key]) for key in records}
    assert sorted(record.resumed for record in records.values()) == [0, 0, 0, 1]


def test_a_run_that_hangs_is_ended_and_the_others_finish(reference, plugins, tmp_path):
    slowest = max(record.seconds["wall"] for record in records_of(reference[0]).values())
    patience = max(4, math.ceil(10 * slowest))  # so that on no machine a run that does not hang is taken for one that does
    (plugins / "wait-at-1").touch()
    try:
        code, printed = call(plugins, tmp_path, *MORTAL, "--timeout", f"{patience}s", retries=1)
    finally:
        (plugins / "wait-at-1").unlink()
        for path in plugins.glob("waiting-*"):
            path.unlink()
    assert code == 1
    assert (f"no epoch was finished for {patience} s, and the run was ended; allow more with --timeout (tried 2 times)"
            in printed)
    assert set(records_of(tmp_path)) == {("signal pretraining", 0)}
    assert call(plugins, tmp_path, *MORTAL)[0] == 0


def test_what_is_overwritten_is_chosen(reference, plugins, tmp_path):
    plan, store = plan_of(plugins, tmp_path, *MORTAL)
    done, moved, failed, missing = plan.jobs
    store.prepare()
    expected = records_of(reference[0])
    store.save(expected[done.spec.cell, 0])
    store.weights(done.spec).parent.mkdir(parents=True, exist_ok=True)
    store.weights(done.spec).write_bytes(Store(reference[0]).weights(done.spec).read_bytes())
    other = expected[moved.spec.cell, 0]
    store.save(other.model_copy(update={"code": {**other.code, "engine": "0" * 16}}))
    store.save_failure(failed.spec, "x", "")
    states = [standing.state for standing in todo(plan, store).standings.values()]
    assert states == ["up to date", "other code", "failed", "missing"]
    # The one of other code is a pretraining that the others start from: its weights are not here.
    assert todo(plan, store, ()).jobs == [moved, failed, missing]
    assert todo(plan, store).jobs == [moved, failed, missing]
    assert todo(plan, store).counts() == {"other code": 1, "failed": 1}
    assert todo(plan, store, STATES).jobs == list(plan.jobs)
    alone = type(plan)((done, moved))
    assert todo(alone, store, ()).jobs == []
    assert todo(alone, store).jobs == [moved]
    store.save(expected[failed.spec.cell, 0])
    store.save(expected[missing.spec.cell, 0])
    (needing,) = (job for job in (failed, missing) if moved.spec in [need for _, need in job.needs])
    assert todo(plan, store).jobs == [moved, needing], "what starts from weights that other code left is computed anew, too"
    assert todo(plan, store).standings[needing.spec.run_id] == Standing("other code", "what it starts from")
    assert todo(plan, store, ()).jobs == []


def test_weights_that_are_not_those_of_their_record_are_computed_again_and_never_started_from(reference, plugins, tmp_path):
    plan, store = plan_of(plugins, tmp_path, *MORTAL)
    shutil.copytree(reference[0], tmp_path, dirs_exist_ok=True)
    assert todo(plan, store).jobs == []
    pretraining = plan.jobs[0]
    starting = [job for job in plan.jobs if pretraining.spec in [need for _, need in job.needs]]
    for job in starting:
        shutil.rmtree(store.run_folder(job.spec))
    assert todo(plan, store).jobs == starting
    weights = bytearray(store.weights(pretraining.spec).read_bytes())
    weights[-1] ^= 1
    store.weights(pretraining.spec).write_bytes(weights)
    work = todo(plan, store)
    assert work.jobs == [pretraining, *starting]
    assert work.counts() == {"weights wanted": 1}


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"schema_version": 3', '{"schema_version": 3}'])
def test_an_empty_or_damaged_record_is_no_result(reference, plugins, tmp_path, text):
    shutil.copytree(reference[0], tmp_path / "again")
    plan, store = plan_of(plugins, tmp_path / "again", *MORTAL)
    expected = records_of(reference[0])
    job = plan.jobs[-1]
    (store.run_folder(job.spec) / "record.json").write_text(text, encoding="utf-8")
    (standing,) = (todo(plan, store).standings[job.spec.run_id],)
    assert (standing.state, "its record cannot be read" in standing.detail) == ("failed", True)
    code, printed = call(plugins, tmp_path / "again", *MORTAL)
    assert (code, "1 run done, 3 kept" in printed) == (0, True)
    assert "note: of these, 1 is computed again: it failed, or its record cannot be read\n" in printed
    again = records_of(tmp_path / "again")
    assert all(outcome(again[key]) == outcome(expected[key]) for key in expected)


def test_a_record_of_a_newer_release_is_not_replaced(reference, plugins, tmp_path, capsys):
    shutil.copytree(reference[0], tmp_path, dirs_exist_ok=True)
    plan, store = plan_of(plugins, tmp_path, *MORTAL)
    path = store.run_folder(plan.specs[-1]) / "record.json"
    written = path.read_text().replace('"schema_version": 3', '"schema_version": 4')
    path.write_text(written)
    command = ("run", *MORTAL, "--plugins", str(plugins), "--results", str(tmp_path))
    for more in ((), ("--dry-run",)):
        assert main([*command, *more]) == 2
        assert capsys.readouterr().err == (
            f"benchmark: {path.parent.name} has a record in {tmp_path} that this release cannot read, as a newer one wrote it, "
            "and would replace; install that release, or name another folder with --results\n")
    assert path.read_text() == written


def test_a_record_stays_until_another_takes_its_place(reference, plugins, tmp_path):
    """Of other code, computed again, and killed on the way: nothing of it is lost, and the next attempt goes on."""
    shutil.copytree(reference[0], tmp_path / "again")
    store, expected = Store(tmp_path / "again"), records_of(reference[0])["mortal finetune", 0]
    spec, folder = expected.spec, store.run_folder(expected.spec)
    store.staged(spec).joinpath("beside.json").write_text("of the old record")
    store.save(expected.model_copy(update={"code": {**expected.code, "engine": "0" * 16}}))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.keys() == {"record.json", "beside.json"}

    (plugins / "die-at-2").touch()
    code, printed = call(plugins, tmp_path / "again", *MORTAL)
    assert (code, "1 failed" in printed) == (1, True)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "failure.json"} == before
    assert "SIGKILL" in store.failure(spec).error
    assert not store.failures(), "a run that has a result"
    assert not store.is_complete(spec), "the weights that lie there are not those of the record"
    shown = io.StringIO()
    with redirect_stdout(shown):
        main(["status", *MORTAL, "--plugins", str(plugins), "--results", str(tmp_path / "again")])
    assert "1 other code" in shown.getvalue()
    assert f"failed again  {spec.name}: the run's process was ended by SIGKILL" in shown.getvalue()

    code, printed = call(plugins, tmp_path / "again", *MORTAL)
    assert (code, "1 run done, 3 kept" in printed) == (0, True)
    (record,) = [record for record in records_of(tmp_path / "again").values() if record.run_id == spec.run_id]
    assert (outcome(record), record.resumed, record.code) == (outcome(expected), 1, expected.code)
    assert {path.name for path in folder.iterdir()} & {"beside.json", "failure.json"} == set()
    assert store.is_complete(spec)
    assert not [path for path in store.folder.joinpath("runs").iterdir() if path.name.startswith(".")]


def test_everything_again_gives_everything_again(reference, plugins, tmp_path):
    shutil.copytree(reference[0], tmp_path / "again")
    code, printed = call(plugins, tmp_path / "again", *MORTAL, "--overwrite", "all")
    assert code == 0
    assert "4 runs done, 0 kept" in printed
    records, expected = records_of(tmp_path / "again"), records_of(reference[0])
    assert records.keys() == expected.keys()
    assert all(outcome(records[key]) == outcome(expected[key]) for key in records)
    assert all(records[key].started > expected[key].started for key in records if key[1] == 0)


def test_a_folder_that_cannot_be_written_is_the_misfortune_of_its_run_alone(plugins, tmp_path):
    plan, store = plan_of(plugins, tmp_path, *MORTAL)
    store.prepare()
    victim = plan.jobs[-1].spec
    (store.folder / "work" / victim.name).write_text("in the way")
    (store.folder / "runs" / victim.name).write_text("in the way")
    events: list[Event] = []
    assert run_plan(plan, store, Site(results=str(tmp_path)), 2, events.append) == [victim]
    (told,) = [event.text for event in events if event.kind == "failed"]
    assert told.startswith("could not be started (")
    assert "nor could this be recorded (" in told
    assert len(records_of(tmp_path)) == 3


# --- a recorded run, computed again ----------------------------------------------------------------------------------


def reproduce(plugins: Path, results: Path, name: str, *arguments: str) -> tuple[int, str]:
    printed = io.StringIO()
    with redirect_stdout(printed):
        code = main(["reproduce", name, "--results", str(results), "--plugins", str(plugins), *arguments])
    return code, printed.getvalue()


def test_a_recorded_run_is_computed_again_to_the_same_bits(reference, plugins, tmp_path):
    record = records_of(reference[0])["mortal m2pt(signal)", 1]
    code, printed = reproduce(plugins, reference[0], record.run_id, "--out", str(tmp_path / "again"))
    assert (code, "mortal m2pt(signal) seed 1: bit-equal" in printed) == (0, True)
    assert "the weights are the same" in printed
    again = records_of(tmp_path / "again")
    assert outcome(again["mortal m2pt(signal)", 1]) == outcome(record)
    assert "1 runs" not in printed
    assert printed.count("done in") == 1, "the pretrainings were taken over"


def test_a_run_is_computed_again_also_where_it_was_before(reference, plugins, tmp_path):
    """Else a record would be compared with what another version of torch had left there."""
    record = records_of(reference[0])["mortal finetune", 1]
    there = Store(tmp_path)
    there.prepare()
    old = {"environment": record.environment.model_copy(update={"torch": "1.0.0"})}
    there.save(record.model_copy(update=old))
    code, printed = reproduce(plugins, reference[0], record.run_id, "--out", str(tmp_path))
    assert (code, printed.count("done in"), "seed 1: bit-equal" in printed) == (0, 1, True)
    assert "torch" not in printed
    assert records_of(tmp_path)["mortal finetune", 1].environment.torch == record.environment.torch


def test_a_run_is_not_computed_again_into_the_folder_of_its_record(reference, plugins, tmp_path, capsys):
    record = records_of(reference[0])["mortal finetune", 1]
    same = tmp_path / "link"
    same.symlink_to(reference[0])
    code, _ = reproduce(plugins, reference[0], record.run_id, "--out", str(same))
    assert code == 2
    assert "is where the record to compare with lies; name another folder" in capsys.readouterr().err


def test_pretrainings_are_computed_again_where_their_weights_are_gone(reference, plugins, tmp_path):
    shutil.copytree(reference[0] / "runs", tmp_path / "runs")
    code, printed = reproduce(plugins, tmp_path, records_of(reference[0])["mortal finetune", 0].spec.name)
    assert (code, printed.count("done in"), "bit-equal" in printed) == (0, 2, True)


def test_a_record_that_does_not_come_out_again_is_told(reference, plugins, tmp_path):
    shutil.copytree(reference[0], tmp_path / "bent")
    record = records_of(reference[0])["mortal finetune", 0]
    last = max(step for step, _ in record.curve("test", "top1"))
    bent = [row.model_copy(update={"value": row.value + 10 * ((row.split, row.metric, row.step) == ("test", "top1", last))})
            for row in record.measurements]
    Store(tmp_path / "bent").save(record.model_copy(update={"measurements": bent}))
    code, printed = reproduce(plugins, tmp_path / "bent", record.run_id)
    assert (code, "seed 0: differs" in printed, "(-10 %)" in printed) == (1, True, True)
    code, printed = reproduce(plugins, tmp_path / "bent", record.run_id, "--tolerance", "11")
    assert (code, "seed 0: within 11 %" in printed) == (0, True)


@pytest.mark.parametrize("what", ["name", "code", "start", "task"])
def test_a_run_that_cannot_be_reproduced_says_why(reference, plugins, tmp_path, capsys, what):
    shutil.copytree(reference[0] / "runs", tmp_path / "runs")
    record = records_of(tmp_path)["mortal finetune", 0]
    store, name, arguments = Store(tmp_path), record.run_id, ["--plugins", str(plugins)]
    said = {"name": "no run 'mortal' among 8 records", "code": "was computed by other code or data than today's",
            "start": "whose record is not here", "task": "name its folder with --plugins"}[what]
    if what == "name":
        name = "mortal"
    if what == "code":
        store.save(record.model_copy(update={"code": {**record.code, "arm": "0" * 16}}))
    if what == "start":
        shutil.rmtree(next((tmp_path / "runs").glob("mortal-pretrain-s0-*")))
    if what == "task":
        arguments = []
    assert main(["reproduce", name, "--results", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def epochs_saved(checkpoint: Path) -> int:
    return load_checkpoint(checkpoint)["epoch"]


def steps_saved(checkpoint: Path) -> int:
    return load_checkpoint(checkpoint)["step"]


@pytest.fixture(scope="session")
def stopped(plugins, tmp_path_factory):
    """A matrix that Ctrl-C ends, then SIGTERM, SIGUSR1, then a kill of the runner, all in the third epoch of both trainings;
    then it is run to its end. Gives the folder and what was seen.
    """
    results, seen = tmp_path_factory.mktemp("stopped"), {}
    for how, number in (("interrupt", signal.SIGINT), ("terminate", signal.SIGTERM), ("user", signal.SIGUSR1),
                        ("kill", signal.SIGKILL)):
        wait = plugins / "wait-at-2"
        wait.touch()
        runner = subprocess.Popen(
            [sys.executable, "-m", "benchmark", "run", *MORTAL, "--plugins", str(plugins), "--results", str(results),
             "-j", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # ignored where CI runs in the background
        try:
            await_(lambda: len(list(plugins.glob("waiting-*"))) == 2)
            processes = [int(path.name.partition("-")[2]) for path in plugins.glob("waiting-*")]
            if how == "interrupt":
                os.killpg(runner.pid, number)  # as a terminal does
            else:
                os.kill(runner.pid, number)
            runner.wait(PATIENCE)
            wait.unlink()  # what the runner has not ended goes on now
            printed = runner.communicate(timeout=PATIENCE)
        finally:
            wait.unlink(missing_ok=True)
            runner.kill()
        await_(lambda gone=tuple(processes): not any(alive(process) for process in gone))
        for path in plugins.glob("waiting-*"):
            path.unlink()
        seen[how] = {"code": runner.returncode, "printed": printed, "cells": set(records_of(results)),
                     "processes": processes, "failures": Store(results).failures(),
                     "saved": [epochs_saved(path) for path in results.glob("work/*/checkpoint.pt")],
                     "steps": [steps_saved(path) for path in results.glob("work/*/checkpoint.pt")]}
    seen["end"] = call(plugins, results, *MORTAL)
    return results, seen


def await_(condition, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not state.is_file() or state.read_text().rpartition(")")[2].split()[0] not in "ZX"


@pytest.mark.parametrize("how", ["interrupt", "terminate", "user"])
def test_an_interrupt_ends_every_process_keeps_what_is_finished_and_says_how_to_go_on(stopped, how):
    seen = stopped[1][how]
    assert seen["code"] == 130
    assert len(seen["processes"]) == 2
    assert seen["cells"] == {("mortal pretraining", 0), ("signal pretraining", 0)}
    assert seen["failures"] == []
    assert seen["saved"] == [2, 2]
    assert min(seen["steps"]) >= 1, "within the epoch, which is not lost"
    assert seen["printed"][0].count("stopping: what is running leaves a checkpoint after its step") == 1
    assert seen["printed"][1].strip() == ("interrupted: finished runs are kept, unfinished ones go on from where they "
                                          "stopped; run the same command again")


def test_runs_of_a_killed_runner_end_by_themselves_and_leave_their_checkpoints(stopped):
    seen = stopped[1]["kill"]
    assert seen["code"] == -signal.SIGKILL
    assert len(seen["processes"]) == 2
    assert seen["cells"] == {("mortal pretraining", 0), ("signal pretraining", 0)}
    assert seen["saved"] == [2, 2]


def test_a_stopped_matrix_goes_on_to_the_results_of_one_that_was_not(stopped, reference):
    results, seen = stopped
    code, printed = seen["end"]
    assert code == 0
    assert "2 runs done, 2 kept, 0 failed" in printed
    records, expected = records_of(results), records_of(reference[0])
    assert {key: outcome(record) for key, record in records.items()} == {key: outcome(expected[key]) for key in records}
    assert len(records) == 4
    # Ctrl-C, SIGTERM and SIGUSR1 leave a checkpoint in the middle of an epoch; the killed runner's runs had none to show.
    assert {record.resumed for (cell, _), record in records.items() if not cell.endswith("pretraining")} == {3}


def test_the_logs_of_stopped_runs_hold_no_complaint_of_their_own_end(stopped):
    logs = [path.read_text(encoding="utf-8") for path in stopped[0].glob("work/*/log.txt")]
    assert len(logs) == 4
    assert not [log for log in logs if "closed file" in log or "Exception ignored" in log]


# --- a time limit ----------------------------------------------------------------------------------------------------


def test_what_a_time_limit_stops_keeps_its_checkpoint_and_the_same_command_goes_on(reference, plugins, tmp_path):
    (plugins / "wait-at-2").touch()
    try:
        code, printed = call(plugins, tmp_path, *MORTAL, "--time-limit", "30s")
    finally:
        (plugins / "wait-at-2").unlink()
        for path in plugins.glob("waiting-*"):
            path.unlink()
    assert code == 3
    assert "the time limit is reached: " in printed
    assert re.search(r" (run is|runs are) left, ", printed)
    assert Store(tmp_path).failures() == []
    code, printed = call(plugins, tmp_path, *MORTAL, "--time-limit", "2h")
    assert code == 0, printed
    assert "time limit" not in printed
    expected = records_of(reference[0])
    records = records_of(tmp_path)
    assert {key: outcome(record) for key, record in records.items()} == {key: outcome(expected[key]) for key in records}
    assert len(records) == 4


def test_nothing_begins_for_which_there_is_no_time(reference, plugins, tmp_path, monkeypatch):
    """Recorded runs tell how long those of another seed take; where none fits, none begins."""
    shutil.copytree(reference[0], tmp_path / "results")
    for path in (tmp_path / "results").glob("runs/*/record.json"):
        record = read_record(path)
        path.write_text(record_text(record.model_copy(update={"seconds": {**record.seconds, "wall": 3000.0}})))
    began = Store(tmp_path / "results").records()[0]
    clock = iter([0.0, 1000.0])
    monkeypatch.setattr("benchmark.runner.budget.time.monotonic", lambda: next(clock, 1000.0))
    plan, store = plan_of(plugins, tmp_path / "results", *MORTAL, "--seeds", "2")
    budget, events = Budget(3600.0, began), []
    assert run_plan(plan, store, Site(results=str(store.folder)), 2, events.append, budget=budget) == []
    assert events == []
    assert budget.tell_left(plan.specs, 2) == (
        "the time limit is reached: 4 runs are left, 0 of them with a checkpoint if they finished a step, about 1:40:00 from "
        "nothing; run the same command again to go on")


def test_a_budget_learns_from_epochs_and_lets_nothing_wait_for_ever(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("benchmark.runner.budget.time.monotonic", lambda: now[0])
    budget = Budget(1000.0, [])
    one, other = make_spec(seed=0), make_spec(seed=1)
    assert budget.left == 990.0, "the rest is for checkpoints"
    assert budget.forecast(one) is None
    assert budget.allows(one), "nobody knows"
    budget.take(Event("started", one, sharing=2))
    now[0] = 100.0
    budget.take(Event("epoch", one, done=1, total=10))
    assert budget.forecast(other) == 500.0, "one of two that share the time"
    assert budget.allows(other)
    assert not budget.allows(other, 2)
    budget.take(Event("done", one, seconds=880.0))
    assert budget.allows(other)
    now[0] = 120.0
    assert not budget.allows(other)
    budget.take(Event("done", one, seconds=2000.0))
    assert budget.allows(other), "no whole limit would do: it goes on from checkpoint to checkpoint"
    now[0] = 990.0
    assert not budget.allows(other)
    assert budget.tell_left([], 1) is None


# --- several runners on one folder -----------------------------------------------------------------------------------


# A process that sees no other's number is, to a lease, on another machine: what it leaves is free after a while only.
ANOTHER_MACHINE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
NO_LOCKS = """
import fcntl
fcntl.lockf = fcntl.flock = lambda *arguments: None  # as on a file system that grants every lock to everybody
"""


def start_runner(plugins: Path, results: Path, before: Sequence[str] = (), mark: str = "") -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": f"{plugins / 'no_locks'}:{ROOT}", "M2PT_TAKEOVER": "20", "RUNNER": mark}
    return subprocess.Popen([*before, sys.executable, "-m", "benchmark", "run", *MORTAL, "--plugins", str(plugins),
                             "--results", str(results), "-j", "2"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, cwd=ROOT, env=environment)


def is_gone(mark: str) -> bool:
    """Whether no process of the runner with this mark is left: those that it started have its environment."""
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"RUNNER={mark}".encode() in file.read_bytes().split(b"\0"):
                return False
        except OSError:  # ended meanwhile, or is a zombie
            continue
    return True


def test_runners_share_a_folder_one_is_killed_and_every_cell_is_done_once(plugins, reference, tmp_path):
    """Three of them, the one that dies on a machine of its own where that can be had, on a folder whose locks do nothing."""
    (plugins / "no_locks").mkdir(exist_ok=True)
    (plugins / "no_locks" / "sitecustomize.py").write_text(NO_LOCKS, encoding="utf-8")
    apart = subprocess.run([*ANOTHER_MACHINE, "true"], capture_output=True, check=False).returncode == 0
    wait = plugins / "wait-at-2"
    wait.touch()
    try:
        killed = start_runner(plugins, tmp_path, ANOTHER_MACHINE if apart else (), mark=str(tmp_path))
        await_(lambda: len(list(plugins.glob("waiting-*"))) == 2)  # in the third epoch of both trainings
        others = [start_runner(plugins, tmp_path) for _ in range(2)]
        time.sleep(8)  # they find both trainings taken
        assert all(other.poll() is None for other in others)
        killed.kill()
        killed.wait()
        await_(lambda: is_gone(str(tmp_path)))  # on a busy machine its trainings end a moment later, and would be done first
    finally:
        wait.unlink()
    printed = [other.communicate(timeout=PATIENCE)[0] for other in others]
    for path in plugins.glob("waiting-*"):
        path.unlink()
    assert {other.returncode for other in others} == {0}, printed
    done = [int(re.search(r"(\d+) runs? done", text).group(1)) for text in printed]
    assert sum(done) == 2, "the two pretrainings were done by the runner that was killed"
    records, expected = records_of(tmp_path), records_of(reference[0])
    assert {key: outcome(record) for key, record in records.items()} == {key: outcome(expected[key]) for key in records}
    assert len(records) == 4
    assert not Store(tmp_path).failures()


# --- failures --------------------------------------------------------------------------------------------------------

BROKEN = ("--matrix", "smoke", "-t", "waveforms,echoes", "-x", "signal,mortal", "--arm", "finetune,m2pt,raising,leaving",
          "--set", "shape.depth=1", "--set", "echoes.recipe.lr=1e30", "--set", "mortal.pretrain.lr=1e30")


@pytest.fixture(scope="session")
def broken(plugins, tmp_path_factory) -> tuple[Path, int, str]:
    """A matrix with an arm that raises, one that ends its process, and losses that are not numbers."""
    results = tmp_path_factory.mktemp("broken")
    return results, *call(plugins, results, *BROKEN)


def failures_of(results: Path) -> dict[str, tuple[str, str]]:
    return {failure.spec.cell: (failure.error, failure.traceback) for failure in Store(results).failures()}


def test_what_fails_is_recorded_and_the_others_finish(broken):
    results, code, printed = broken
    assert code == 1
    assert {cell for cell, _ in records_of(results)} == {"signal pretraining", "echo pretraining", "waveforms finetune"}
    assert set(failures_of(results)) == {
        "mortal pretraining", "waveforms m2pt(mortal)", "waveforms raising", "waveforms leaving", "echoes finetune",
        "echoes m2pt(signal)", "echoes m2pt(mortal)", "echoes raising", "echoes leaving"}
    assert "3 runs done, 0 kept, 9 failed" in printed


def test_an_arm_that_raises_is_recorded_with_its_traceback(broken):
    error, trace = failures_of(broken[0])["waveforms raising"]
    assert error == "RuntimeError: this arm always fails"
    assert 'raising_arm.py", line' in trace
    assert trace.startswith("Traceback")
    (log,) = broken[0].glob("work/waveforms-*raising*/log.txt")
    assert trace in log.read_text()


def test_a_loss_that_is_no_number_is_told_with_epoch_and_step_and_a_way_out(broken):
    error, trace = failures_of(broken[0])["echoes finetune"]
    assert error.startswith("NonFiniteLoss: the loss is ")
    assert "in epoch 1, step " in error
    assert "lower the learning rate" in error
    assert "Traceback" in trace


def test_a_process_that_ends_without_a_result_is_told(broken):
    error, trace = failures_of(broken[0])["waveforms leaving"]
    assert error == "the run's process ended with exit code 7 and no result"
    assert trace == ""


@pytest.mark.parametrize("cell", ["waveforms m2pt(mortal)", "echoes m2pt(mortal)"])
def test_what_starts_from_a_failed_pretraining_is_not_run_and_says_why(broken, cell):
    error, _ = failures_of(broken[0])[cell]
    assert error == "not run: mortal pretraining (seed 0), from which it starts, failed"


def test_every_failure_is_printed_with_its_log(broken):
    results, _, printed = broken
    for failure in Store(results).failures():
        assert f"failed: {failure.spec.cell} seed 0: {failure.error}" in printed
    assert "the same command runs what failed again" in printed


def test_the_report_names_what_failed(broken, plugins, tmp_path):
    printed = io.StringIO()
    with redirect_stdout(printed):
        assert main(["report", "--results", str(broken[0]), "--out", str(tmp_path), "--plugins", str(plugins)]) == 0
    assert "9 runs or files have no result" in printed.getvalue()
    assert "this arm always fails" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_failure_is_tried_again_and_forgotten_when_it_succeeds(broken, plugins, tmp_path):
    results = shutil.copytree(broken[0], tmp_path / "results")
    repaired = plugins / "repaired"
    repaired.touch()
    try:
        code, printed = call(plugins, results, "--matrix", "smoke", "-t", "waveforms", "--arm", "raising",
                             "--set", "shape.depth=1")
    finally:
        repaired.unlink()
    assert code == 0
    assert "1 run done, 1 kept, 0 failed" in printed
    assert ("waveforms raising", 0) in records_of(results)
    assert "waveforms raising" not in failures_of(results)


def test_outputs_that_are_no_numbers_are_a_failure_also_after_the_last_step(plugins, tmp_path):
    """One step of one epoch: its loss is still a number, what it leaves is not."""
    code, printed = call(plugins, tmp_path, "--matrix", "smoke", "-t", "waveforms", "--arm", "scratch", "--set",
                         "recipe.epochs=1", "--set", "recipe.batch_size=128", "--set", "recipe.warmup_epochs=0", "--set",
                         "recipe.lr=1e38", "--set", "recipe.min_lr=1e38", "--set", "shape.depth=1")
    assert code == 1
    assert "outputs are not finite; lower the learning rate" in printed
    assert not records_of(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not a checkpoint at all"])
def test_a_damaged_checkpoint_is_no_checkpoint(tmp_path, capsys, content):
    assert load_checkpoint(tmp_path / "checkpoint.pt") is None
    (tmp_path / "checkpoint.pt").write_bytes(content)
    assert load_checkpoint(tmp_path / "checkpoint.pt") is None
    assert "cannot be read" in capsys.readouterr().out
    save_checkpoint({"epoch": 3}, tmp_path / "checkpoint.pt")
    assert load_checkpoint(tmp_path / "checkpoint.pt") == {"epoch": 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "checkpoint.pt.previous"]


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:100] + b"!" + data[101:], lambda data: b""])
def test_of_two_checkpoints_the_newest_whole_one_counts(tmp_path, capsys, damage):
    path = tmp_path / "checkpoint.pt"
    for epoch in (1, 2, 3):
        save_checkpoint({"epoch": epoch, "weights": torch.arange(1000.0)}, path)
    assert load_checkpoint(path)["epoch"] == 3
    path.write_bytes(damage(path.read_bytes()))
    assert load_checkpoint(path)["epoch"] == 2
    assert f"checkpoint {path} cannot be read" in capsys.readouterr().out
    path.unlink()  # as a kill between the two renames leaves it
    assert load_checkpoint(path)["epoch"] == 2


# --- what every step begins with -------------------------------------------------------------------------------------


def test_seeding_costs_nothing_for_devices_that_are_not_in_use(monkeypatch):
    torch.manual_seed(5)
    before = torch.rand(3)
    monkeypatch.setattr("traceback.format_stack", lambda *_: pytest.fail("a traceback for a device that is not in use"))
    for device in (None, torch.device("cpu")):
        seed_torch(5, device)
        assert torch.equal(torch.rand(3), before)


def run_process(plugins: Path, results: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "benchmark", "run", *MORTAL, *arguments, "--plugins", str(plugins),
                           "--results", str(results), "-j", "2"], input=typed, capture_output=True, text=True, check=False)


def test_runs_in_this_process_give_what_others_give_and_may_be_looked_into(reference, plugins, tmp_path):
    looked = tmp_path / "looking"
    looked.mkdir()
    for path in plugins.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        raised = 'raise RuntimeError("this arm'
        (looked / path.name).write_text(text.replace(raised, f"breakpoint()\n        {raised}"), encoding="utf-8")
    done = run_process(plugins, tmp_path / "here", "--debug")
    assert done.returncode == 0, done.stderr
    assert "epoch 4 of 4" in done.stdout
    records, expected = records_of(tmp_path / "here"), records_of(reference[0])
    assert records
    assert all(outcome(records[key]) == outcome(expected[key]) for key in records)
    done = run_process(looked, tmp_path / "here", "--arm", "raising", "--debug", typed="p 6 * 7\nc\n")
    assert done.returncode == 1
    assert "42" in done.stdout, "the debugger answered"
    assert "RuntimeError: this arm" in done.stderr
    assert "in build" in done.stderr, "the whole traceback"


def test_a_verbose_run_says_every_epoch_and_the_whole_traceback(plugins, tmp_path):
    code, printed = call(plugins, tmp_path, *MORTAL, "--arm", "finetune,raising", "--verbose")
    assert code == 1
    assert "mortal finetune seed 0 epoch 3 of 4: " in printed
    assert "| RuntimeError: this arm" in printed
    assert "| Traceback" in printed
