"""The bench: what it compares, how it sums up, and that every measurement runs and leaves its files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import timm
import torch
from synthetic import make_record, make_spec

from baselines import ARMS, STUDY
from benchmark.bench import inputs, matrices, measure, stacks
from benchmark.bench.inputs import count_tokens
from benchmark.bench.limited import run_limited
from benchmark.bench.matrices import jobs_of, measure_records
from benchmark.bench.measure import Bench, Result, alternate, alternate_anew, ratios
from benchmark.bench.run import (
    MEASUREMENTS,
    bench_table,
    busy_elsewhere,
    folder_name,
    run_bench,
    summary,
    write_bench,
    write_numbers,
)
from benchmark.bench.steps import count_operations
from benchmark.cli.main import main
from benchmark.evidence.expense import training_operations
from benchmark.provenance.environment import describe_environment, processor_name
from benchmark.spec.contracts import Task
from tasks import TASKS

CPU = torch.device("cpu")


def test_repeats_alternate_and_take_turns_in_going_first():
    calls: list[str] = []
    works = {name: (lambda name=name: calls.append(name)) for name in ("a", "b")}
    seconds = alternate(works, repeats=3, warm_up=1)
    assert calls == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}
    assert ratios([2.0, 6.0], [1.0, 2.0]) == (2.0, 3.0)


def test_what_is_built_anew_is_measured_as_often_as_asked_for():
    calls: list[tuple[int, str]] = []
    built = iter(range(10))
    models: list[weakref.ref] = []

    class Model:
        """Refers to itself, as modules with a child that knows its parent do."""

        def __init__(self):
            self.own = self

    def build():
        number = next(built)
        assert not any(model() for model in models), "the one before takes memory still"
        models.append(weakref.ref(Model()))
        return {name: (lambda name=name: calls.append((number, name))) for name in ("a", "b")}

    seconds = alternate_anew(build, 7, lambda: None, warm_up=1)
    assert {name: len(values) for name, values in seconds.items()} == {"a": 9, "b": 9}
    assert {number for number, _ in calls} == {0, 1, 2}
    assert all([which for number, which in calls if number == build].count("a") == 4 for build in range(3))


def test_a_result_keeps_its_bound_by_its_median():
    result = Result("x", "y", (3.0, 1.0, 2.0, 100.0), bound=2.5)
    assert result.median == 2.5
    assert result.kept
    assert result.spread == (1.75, 27.25)
    assert not Result("x", "y", (2.6,), bound=2.5).kept
    assert Result("x", "y", (1.0,)).kept is None
    assert Result("x", "y", (-0.01,), 1.3).kept, "a difference may be below 0"
    assert [Result("x", "y", (value,), 1.01, least=0.99).kept for value in (0.95, 1.0, 1.05)] == [False, True, False]
    assert Result("x", "y", (1.0,)).spread == (1.0, 1.0)


def test_recorded_runs_are_timed_without_the_hours_between_sittings():
    began = datetime(2026, 1, 1, tzinfo=UTC)
    spans = [(0, 100), (0, 60), (60, 40), (5000, 50)]  # seconds after `began`, length
    records = [make_record(make_spec(seed=seed), started=(began + timedelta(seconds=start)).isoformat(),
                           seconds={"train": 0.8 * length, "evaluate": 0.1 * length, "wall": length})
               for seed, (start, length) in enumerate(spans)]
    (result,) = measure_records(records)
    assert result.samples[0] == pytest.approx((100 + 50) * 2 / (0.9 * 250))


def test_operations_are_those_of_the_blocks_and_tokens_those_that_are_encoded():
    """17.6 Gflop forward for an image of 224 pixels are published for ViT-B/16, as multiplications: half of ours"""
    shape = TASKS["imagenet"].profiles["paper"].shape
    assert training_operations(shape, 197) / 6 == pytest.approx(17.5e9, rel=0.02)
    clouds = {"input": torch.zeros(2, 1024, 3)}
    assert count_tokens(TASKS["shapenet"].profiles["paper"].shape, "point", clouds) == 64
    assert count_tokens(shape, "image", {"input": torch.zeros(2, 3, 224, 224)}) == 196
    assert count_tokens(shape, "image", {"ids_keep": torch.zeros(2, 50)}) == 50


def test_operations_that_are_counted_have_attention_among_them():
    """Of a ViT-Ti/16 at 224 pixels: patches, four linear layers a block, two products of all pairs of tokens a block"""
    tokens, width, depth = 197, 192, 12
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0).eval()
    assert count_operations(model, torch.zeros(2, 3, 224, 224)) == {
        "aten.convolution": 2 * 2 * 196 * (3 * 16 * 16) * width,
        "aten.addmm": 2 * 2 * depth * tokens * 12 * width**2,
        "aten.bmm": 2 * 2 * depth * 2 * tokens**2 * width}


def test_jobs_are_how_many_runs_overlap_most_of_the_time():
    began = datetime(2026, 1, 1, tzinfo=UTC)
    spans = [(began + timedelta(seconds=first), began + timedelta(seconds=last))
             for first, last in ((0, 100), (0, 40), (40, 100), (100, 130), (500, 560))]
    assert jobs_of(spans) == 2
    assert jobs_of(spans[:1]) == jobs_of([]) == 1


def test_a_record_names_the_processor_that_run_compares_it_by():
    assert processor_name() == describe_environment(CPU).processor_name != ""


def test_other_work_on_the_machine_is_said(monkeypatch):
    for load, said in ((3.0, "Other work kept 3.0 of 2 cores busy when this began: times may be too long."), (0.4, None)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 9.0, 9.0))
        assert busy_elsewhere(2) == said


@pytest.mark.parametrize("name", [name for name in MEASUREMENTS if name not in ("smoke", "steps", "evidence")])
def test_every_measurement_runs(name, monkeypatch, tmp_path):
    """With one block of a ViT-B, one repeat and few samples; `smoke` and `evidence` have an environment of their own, `steps`
    is one of `tiny`."""
    whole = Task.load
    monkeypatch.setattr(Task, "load", lambda task, profile: {
        split: examples.take(64) for split, examples in whole(task, profile).items()})
    monkeypatch.setattr(measure, "BUILT_ANEW", 1)
    monkeypatch.setattr(stacks, "STEPS", 2)
    monkeypatch.setattr(matrices, "PLANNED", 60)
    monkeypatch.setattr(matrices, "STORED", 40)
    monkeypatch.setattr(matrices, "MATRIX", """summary: two arms
seeds: "0"
groups: [{arms: [scratch, random-init], settings: [scratch], targets: [imagenet]}]
""")
    short = ("--limit", "32", "--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0")
    monkeypatch.setattr(matrices, "SHORTENED", short)
    few = {name: replace(inputs.SOURCES[name], samples=2) for name in ("imagenet", "audioset", "shapenet")}
    monkeypatch.setattr(inputs, "SOURCES", few)
    said: list[str] = []
    kept: list[int] = []
    results = run_bench(Bench(CPU, 1, TASKS, ARMS, STUDY, depth=1), [name], None, said.append,
                        lambda found: kept.append(len(found)))
    assert results
    assert said[0] == f"{name} ..."
    assert kept == list(range(1, len(results) + 1)) == list(range(1, len(said)))
    assert all(result.median >= 0 or name in ("optimizer", "memory") for result in results)
    environment = describe_environment(CPU)
    written = write_bench(results, environment, tmp_path)
    assert [(path.name, path.stat().st_size > 0) for path in written] == [
        ("bench.json", True), ("bench.md", True), ("bench.svg", True)]
    data = json.loads((tmp_path / "bench.json").read_text())
    assert [row["median"] for row in data["results"]] == [result.median for result in results]
    assert len(bench_table(results, environment).rows) == len(results)
    assert folder_name(environment).isascii()


@pytest.mark.parametrize(("arguments", "said"), [
    (("--only", "step"), "did you mean 'steps'"), (("--repeats", "0"), "--repeats is at least 1"),
    (("--results", "nowhere", "--only", "points"), "has no records to measure")])
def test_what_cannot_be_measured_is_refused_in_one_line(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_each_measurement_ends_at_its_limit_and_what_came_before_is_kept(monkeypatch, tmp_path):
    bench = Bench(CPU, 1, TASKS, ARMS, STUDY, depth=1)
    said: list[str] = []
    kept: list[tuple[int, dict[str, str]]] = []
    found, missing = run_limited(bench, {"check": 200.0, "evidence": 5.0, "points": 60.0, "no such": 9.0}, 300.0, said.append,
                                 lambda results, left_out: kept.append((len(results), dict(left_out))))
    assert [result.group for result in found].count("points") == 2
    assert all(result.kept for result in found if result.group == "check")
    assert missing["evidence"].startswith("ended at its time limit after")
    assert missing["no such"].startswith("failed (KeyError: 'no such') after"), "and the others went on"
    assert kept[-1] == (len(found), missing)
    assert said[0] == "1 of 4: check, for at most 200 s, 300 s left in all"
    assert run_limited(bench, {"points": 60.0}, 1.0, said.append, lambda results, left_out: None) == (
        [], {"points": "not begun: no time was left"})
    environment = describe_environment(CPU)
    write_numbers(found, environment, tmp_path, missing, "Other work")
    data = json.loads((tmp_path / "bench.json").read_text())
    assert data["not_measured"] == missing
    assert "Not measured: evidence, ended at its time limit" in (tmp_path / "bench.md").read_text()
    lines = list(summary(found, missing))
    assert len(lines) == 1 + len(found) + len(missing)
    assert len({line.index("not measured") for line in lines if "not measured" in line}) == 1


def test_what_decodes_nothing_asks_for_no_decoder(tmp_path):
    program = ("import sys\n"
               "class Refuse:\n"
               "    def find_spec(self, name, path=None, target=None):\n"
               "        if name.split('.')[0] in ('soundfile', 'av', 'h5py', 'open3d'):\n"
               "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
               "sys.meta_path.insert(0, Refuse())\n"
               "from benchmark.cli.main import main\n"
               "sys.exit(main(sys.argv[1:]))\n")
    command = [sys.executable, "-c", program, "bench", "--only", "points", "--repeats", "1", "--device", "cpu",
               "--out", "there"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 0, done.stderr
    assert "points ..." in done.stdout
    assert (tmp_path / "there" / "bench.md").is_file()


@pytest.mark.parametrize(("arguments", "said"), [
    (("--gpu", "--device", "cpu"), "leave out --device cpu"), (("--time-limit", "5m"), "--time-limit is for --gpu")])
def test_options_of_a_gpu_are_refused_where_they_do_not_fit(capsys, arguments, said):
    assert main(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err
