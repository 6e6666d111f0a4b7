"""Runs trained in lock-step are the runs that they are alone, up to rounding, and the same bits whatever their neighbours."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import pytest
import torch
from synthetic import make_record, make_spec

from baselines import ARMS
from benchmark.cli.context import load_registry
from benchmark.cli.main import main
from benchmark.evidence.inputs import standing_of
from benchmark.evidence.pairing import Run, pair_runs, time_ratios
from benchmark.model.weights import save_weights
from benchmark.plan.matrix import Cell, Job, Planner, parse_override, pretraining_tasks
from benchmark.plan.presets import Group, cells_of
from benchmark.provenance.currency import Judge
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.runspec import Site
from benchmark.train.checkpoint import load_checkpoint
from benchmark.train.execute import execute
from benchmark.train.lockstep import Member, marked, train_in_lockstep
from benchmark.train.loop import Stopped, stop_requested
from benchmark.train.setup import build_autoencoder
from tasks import TASKS

PLACES = 5
SHORT = ("recipe.epochs=2", "recipe.warmup_epochs=0", "recipe.eval_every=1")
ALTERED = ("recipe.accumulation=2", "recipe.repeats=2", "recipe.precision=bf16", "recipe.clip_norm=0.5", "recipe.scale_lr=0.1")
Checkpoint = dict
M2PT = type(ARMS["m2pt"])

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch stacks attention on a GPU only


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> dict[str, Path]:
    """An untrained encoder of every modality"""
    folder, found = tmp_path_factory.mktemp("given"), {}
    for modality, task in pretraining_tasks(TASKS).items():
        spec = Planner(TASKS, "tiny")._pretraining_run(task, 1.0)
        found[modality] = folder / f"{modality}.safetensors"
        save_weights(build_autoencoder(spec, task).encoder, found[modality])
    return found


def jobs_of(given: dict[str, Path], task: str, setting: str, arms: Sequence[str | Arm], overrides: Sequence[str] = SHORT,
            limit: int = 40) -> list[Job]:
    """Trainings on few samples, from untrained weights"""
    modality = "image" if TASKS[task].modality == "point" else "point"
    planner = Planner(TASKS, "tiny", [parse_override(text, TASKS) for text in overrides], limit=limit, given=given)
    named = [arm for arm in arms if isinstance(arm, str)]
    cells = cells_of(TASKS, ARMS, Group(arms=named, targets=(task,), settings=(setting,), auxiliaries=(modality,)))
    cells += [Cell(TASKS[task], arm, setting, modality if arm.uses_auxiliary else None) for arm in arms
              if not isinstance(arm, str)]
    return list(planner.plan(cells, [0]).jobs)


def together(jobs: Sequence[Job], folder: Path, places: int = PLACES) -> dict[str, Checkpoint]:
    """The checkpoint of every run, by its cell"""
    members = []
    for job in jobs:
        work = folder / job.spec.name
        work.mkdir(parents=True, exist_ok=True)
        members.append(Member(job.spec, job.arm, work, dict(job.files)))
    left_out = train_in_lockstep(members, jobs[0].task, Site(results="", lockstep=places))
    assert left_out == {}
    return {job.spec.cell: load_checkpoint(folder / job.spec.name / "checkpoint.pt") for job in jobs}


def alone(job: Job, folder: Path) -> tuple[Checkpoint, Record]:
    """The checkpoint of a run, and its record"""
    work = folder / job.spec.name
    work.mkdir(parents=True, exist_ok=True)
    record = execute(job.spec, job.task, job.arm, Site(results=""), work, dict(job.files))
    return load_checkpoint(work / "checkpoint.pt"), record


def same_bits(one: Checkpoint, other: Checkpoint) -> bool:
    """In weights, moments and measurements"""
    moments = [torch.equal(value, other["optimizer"]["state"][place][name])
               for place, state in one["optimizer"]["state"].items() for name, value in state.items()]
    weights = [torch.equal(value, other["model"][name]) for name, value in one["model"].items()]
    return all(moments + weights) and one["measurements"] == other["measurements"]


def losses(checkpoint: Checkpoint) -> list[float]:
    return [row["value"] for row in checkpoint["measurements"] if row["metric"] == "loss"]


@pytest.mark.parametrize(("task", "setting", "arms", "overrides", "tolerance"), [
    ("imagenet", "pretrained", ("finetune", "m2pt", "zero", "gain"), SHORT, 1e-6),
    ("imagenet", "scratch", ("scratch", "m2pt", "zero", "higher-lr"), (*SHORT, *ALTERED), 1e-3),
    ("modelnet", "pretrained", ("finetune", "m2pt", "zero", "self-copy"), SHORT, 1e-3),
    ("shapenet", "scratch", ("scratch", "m2pt", "zero"), SHORT, 1e-3),
    ("kinetics", "fix", ("fix", "m2pt", "zero", "gain"), SHORT, 1e-6),
    ("audioset", "scratch", ("scratch", "m2pt", "zero", M2PT(scale_per_output=True, join_bias=True)), SHORT, 1e-6)])
def test_a_run_is_the_one_that_it_is_alone_whatever_its_neighbours(given, task, setting, arms, overrides, tolerance, tmp_path):
    """Up to rounding: `tolerance` is of weights, relative, and of losses. Where a batch norm follows, the gradient of a bias
    is nothing but rounding, which AdamW makes a step of; on points that is most of what differs."""
    jobs = jobs_of(given, task, setting, arms, overrides)
    stacked = together(jobs, tmp_path / "stacked")
    assert len(stacked) == len(arms)
    for job in jobs:
        ours, (theirs, _) = stacked[job.spec.cell], alone(job, tmp_path / "alone")
        assert (ours["epoch"], ours["step"]) == (theirs["epoch"], theirs["step"]) == (2, 0)
        assert ours["model"].keys() == theirs["model"].keys()
        off = sum(float((value.double() - theirs["model"][name]).square().sum()) for name, value in ours["model"].items())
        size = sum(float(value.double().square().sum()) for value in theirs["model"].values())
        assert (off / size) ** 0.5 < tolerance
        assert losses(ours) == pytest.approx(losses(theirs), abs=tolerance)
        assert [state.keys() for state in ours["optimizer"]["state"].values()] == [
            state.keys() for state in theirs["optimizer"]["state"].values()]
        assert [(row["split"], row["metric"], row["step"]) for row in ours["measurements"]] == [
            (row["split"], row["metric"], row["step"]) for row in theirs["measurements"]]
    others = together(jobs[:0:-1], tmp_path / "others")
    assert all(same_bits(checkpoint, stacked[cell]) for cell, checkpoint in others.items())
    (zero,) = (checkpoint for cell, checkpoint in stacked.items() if " zero" in cell)
    plain = stacked[jobs[0].spec.cell]
    assert all(torch.equal(value, zero["model"][name]) for name, value in plain["model"].items())
    sums = [stacked[job.spec.cell]["model"]["blocks.0.attn.qkv.weight"] for job in jobs if job.spec.arm == "m2pt"]
    assert not any(torch.equal(plain["model"]["blocks.0.attn.qkv.weight"], other) for other in sums)


def test_the_record_of_a_run_is_what_it_makes_of_the_stacks_checkpoint(given, tmp_path):
    jobs = jobs_of(given, "audioset", "pretrained", ("finetune", "m2pt"))
    stacked = together(jobs, tmp_path)
    for job in jobs:
        checkpoint, record = alone(job, tmp_path)
        assert same_bits(checkpoint, stacked[job.spec.cell]), "it does not train again"
        record = marked(record, tmp_path / job.spec.name)
        assert (record.environment.lockstep, record.resumed, record.peak_memory_bytes) == (PLACES, 0, None)
        assert [step for step, _ in record.curve("test", "mAP")] == [1, 2]
        assert record.seconds["train"] > 0
        assert record.weights["result"]
    plain = alone(jobs[0], tmp_path / "alone")[1]
    assert marked(plain, tmp_path / "alone" / jobs[0].spec.name) == plain


def test_no_run_is_trained_partly_in_a_stack(given, tmp_path, monkeypatch):
    """What is half done in a stack begins anew alone, or in another stack, and what is half done alone in a stack."""
    jobs = jobs_of(given, "audioset", "pretrained", ("finetune", "m2pt"), (*SHORT, "recipe.batch_size=10"))
    whole, (lone, _) = together(jobs, tmp_path / "whole"), alone(jobs[1], tmp_path / "lone")
    others = together(jobs, tmp_path / "others", PLACES + 1)
    for name, first, then, expected in (
            ("stacked, then alone", together, alone, lone), ("alone, then stacked", alone, together, whole),
            ("in another stack", together, partial(together, places=PLACES + 1), others)):
        folder = tmp_path / name
        with monkeypatch.context() as patched:
            stop_after(patched, jobs[0].task, 6 + (first is alone))  # a run alone looks at its first gradients
            with pytest.raises(Stopped):
                first(jobs[1] if first is alone else jobs, folder)
        stop_requested.clear()
        half = load_checkpoint(folder / jobs[1].spec.name / "checkpoint.pt")
        assert (half["epoch"], half["step"]) == (1, 2)
        found = then(jobs[1], folder) if then is alone else then(jobs, folder)
        checkpoint = found[0] if then is alone else found[jobs[1].spec.cell]
        wanted = expected if expected is lone else expected[jobs[1].spec.cell]
        assert same_bits(checkpoint, wanted), name
        assert checkpoint["resumed"] == 0
        if then is alone:
            assert marked(found[1], folder / jobs[1].spec.name) == found[1]


def stop_after(monkeypatch: pytest.MonkeyPatch, task: Task, steps: int) -> None:
    """Ask the trainer to stop in this step."""
    left, augment = [steps], task.augment

    def counting(self, batch, random, strengths):
        if random is not None:  # evaluation draws none
            left[0] -= 1
            if left[0] == 0:
                stop_requested.set()
        return augment(batch, random, strengths)

    monkeypatch.setattr(type(task), "augment", counting)


@pytest.mark.parametrize("steps", [3, 5])  # in the middle of an epoch, and of the next
def test_a_stack_that_is_stopped_goes_on_to_the_same_bits(given, tmp_path, monkeypatch, steps):
    jobs = jobs_of(given, "audioset", "pretrained", ("finetune", "m2pt"), (*SHORT, "recipe.batch_size=10"))
    whole = together(jobs, tmp_path / "whole")
    stop_after(monkeypatch, jobs[0].task, steps)
    try:
        with pytest.raises(Stopped, match="run it again to go on"):
            together(jobs, tmp_path / "parts")
    finally:
        stop_requested.clear()
    saved = load_checkpoint(tmp_path / "parts" / jobs[0].spec.name / "checkpoint.pt")
    assert (saved["epoch"], saved["step"]) == divmod(steps, 4)
    parts = together(jobs, tmp_path / "parts")
    assert all(same_bits(parts[cell], checkpoint) for cell, checkpoint in whole.items())
    assert parts[jobs[0].spec.cell]["resumed"] == 1


def test_a_loss_that_is_no_number_leaves_its_run_out_and_the_others_as_they_are(given, tmp_path):
    wild = type(ARMS["higher-lr"])(lr_factor=1e30)
    jobs = jobs_of(given, "imagenet", "scratch", ("scratch", "m2pt", wild), (*SHORT, "recipe.batch_size=10"))
    calm = [job for job in jobs if job.spec.arm != "higher-lr"]
    undisturbed = together(calm, tmp_path / "calm")
    left_out = leaving_out(jobs, tmp_path)
    assert left_out == {job.spec.run_id: "its loss is not a number" for job in jobs if job not in calm}
    for job in calm:
        assert same_bits(load_checkpoint(tmp_path / job.spec.name / "checkpoint.pt"), undisturbed[job.spec.cell])
    (lost,) = (tmp_path / job.spec.name for job in jobs if job not in calm)
    assert not list(lost.iterdir()), "it did not end an epoch"


class Wider(Arm):
    name, summary, source, settings = "wider", "has a layer that others have not", "a test", ("scratch",)

    def build(self, model, blocks, random):
        width = model.blocks[0].norm1.normalized_shape[0]
        model.norm = torch.nn.Sequential(model.norm, torch.nn.Linear(width, width))
        return []


class Wilful(Arm):
    """Alters a model in a way that shapes do not tell."""

    name, summary, source, settings = "wilful", "alters the model", "a test", ("scratch",)
    how: str = ""

    def build(self, model, blocks, random):
        block = model.blocks[0]
        match self.how:
            case "setting":
                block.norm1.eps = 0.5
            case "kind":
                block.mlp.act = torch.nn.ReLU()
            case "hook":
                block.register_forward_hook(lambda module, inputs, output: output * 2)
            case "backward hook":
                block.register_full_backward_hook(lambda module, gradients, others: None)
            case "parameter hook":
                block.norm1.weight.register_hook(lambda gradient: gradient * 2)
            case "method":
                block.mlp.act.forward = lambda x: x
            case "tensor":
                block.norm1.mask = torch.ones(1)
        return []


@pytest.mark.parametrize(("how", "said"), [
    ("hook", "with hooks, or"), ("backward hook", "with hooks, or"), ("parameter hook", "hooks on its parameters"),
    ("method", "with hooks, or"), ("tensor", "with hooks, or")])
def test_a_model_that_a_stack_cannot_compute_is_left_out(given, tmp_path, how, said):
    jobs = jobs_of(given, "imagenet", "scratch", ("scratch", Wilful(how=how)), (*SHORT, "recipe.epochs=1"))
    calm = together(jobs[:1], tmp_path / "calm")
    (reason,) = leaving_out(jobs, tmp_path).values()
    assert said in reason
    assert same_bits(load_checkpoint(tmp_path / jobs[0].spec.name / "checkpoint.pt"), calm[jobs[0].spec.cell])


@pytest.mark.parametrize("odd", [Wider(), Wilful(how="setting"), Wilful(how="kind")], ids=["wider", "setting", "kind"])
def test_a_model_of_another_structure_has_a_stack_of_its_own(given, tmp_path, odd):
    jobs = jobs_of(given, "imagenet", "scratch", ("scratch", odd), (*SHORT, "recipe.epochs=1"))
    for name, order in (("first", jobs), ("last", jobs[::-1])):
        found = together(order, tmp_path / name)
        for job in jobs:
            theirs, _ = alone(job, tmp_path / name / "alone")
            assert losses(found[job.spec.cell]) == pytest.approx(losses(theirs), abs=1e-6)


class Scaled(torch.nn.GELU):
    factor = staticmethod(lambda x: x)

    def forward(self, x):
        return self.factor(super().forward(x))


class Hidden(Arm):
    name, summary, source, settings = "hidden", "has a setting that cannot be compared", "a test", ("scratch",)
    factor: float = 1.0

    def build(self, model, blocks, random):
        model.blocks[0].mlp.act = Scaled()
        model.blocks[0].mlp.act.factor = lambda x: self.factor * x
        return []


def test_a_difference_that_is_not_seen_in_the_structure_is_seen_in_the_outputs(given, tmp_path):
    jobs = jobs_of(given, "imagenet", "scratch", ("scratch", Hidden(), Hidden(factor=3.0)), (*SHORT, "recipe.epochs=1"))
    assert leaving_out(jobs, tmp_path) == {jobs[2].spec.run_id: "its model is computed otherwise in a stack"}


def leaving_out(jobs: Sequence[Job], folder: Path) -> dict[str, str]:
    """Why runs were left out of their stack"""
    members = []
    for job in jobs:
        (folder / job.spec.name).mkdir()
        members.append(Member(job.spec, job.arm, folder / job.spec.name, dict(job.files)))
    return train_in_lockstep(members, jobs[0].task, Site(results="", lockstep=PLACES))


# --- by the runner ---------------------------------------------------------------------------------------------------

MATRIX = ("--matrix", "smoke", "-t", "waveforms", "--set", "recipe.epochs=3", "-j", "2", "--lockstep", "3")


def call(verb: str, plugins: Path, results: Path, *arguments: str) -> tuple[int, str]:
    printed = io.StringIO()
    with redirect_stdout(printed):
        code = main([verb, *arguments, "--plugins", str(plugins), "--results", str(results)])
    return code, printed.getvalue()


def test_a_matrix_in_lock_step_is_recorded_fails_alone_resumes_and_reproduces(plugins, tmp_path):
    matrix = (*MATRIX, "--arm", "finetune,zero,gain,raising", "--seeds", "0-1")
    code, printed = call("run", plugins, tmp_path, *matrix)
    assert code == 1
    assert "arms in lock-step by 3" in printed
    assert "raising seed 0 goes on alone: RuntimeError: this arm always fails" in printed
    records, _ = Store(tmp_path).records()
    trained = [record for record in records if record.spec.kind == "train"]
    assert {(record.spec.arm, record.spec.seed) for record in trained} == {
        (arm, seed) for arm in ("finetune", "zero", "gain") for seed in (0, 1)}
    assert {record.environment.lockstep for record in trained} == {3}
    assert {record.environment.lockstep for record in records if record.spec.kind == "pretrain"} == {None}
    assert {failure.error for failure in Store(tmp_path).failures()} == {"RuntimeError: this arm always fails"}
    paired = pair_runs([Run(record=record) for record in trained])
    assert len(paired.baseline_of) == 4
    for run, baseline in paired.baseline_of.items():
        equal = run.record.weights["result"] == baseline.record.weights["result"]
        assert equal == (run.spec.arm == "zero")
    assert "alone, and so not compared with runs in lock-step: waveforms raising seed 1: RuntimeError: this" in printed
    code, printed = call("run", plugins, tmp_path, *matrix)
    assert "0 runs done, 8 kept, 2 failed" in printed
    (gain,) = (record for record in trained if (record.spec.arm, record.spec.seed) == ("gain", 1))
    code, printed = call("reproduce", plugins, tmp_path, gain.run_id)
    assert (code, "bit-equal" in printed) == (0, True)
    registry = load_registry(plugins)
    judge = Judge.beside(Store(tmp_path))
    assert standing_of(gain, *registry, judge).state == "up to date"
    older = gain.model_copy(update={"code": {**gain.code, "stack": "0" * 16}})
    found = standing_of(older, *registry, judge)
    assert (found.state, found.detail) == ("other code", "stack")


def test_what_stops_a_stack_stops_its_own_run_alone(plugins, tmp_path):
    code, printed = call("run", plugins, tmp_path, *MATRIX, "--arm", "finetune,zero,leaving")
    assert code == 1
    records, _ = Store(tmp_path).records()
    assert {(record.spec.arm, record.environment.lockstep) for record in records if record.spec.kind == "train"} == {
        ("finetune", 3), ("zero", 3)}, "in stacks of their own"
    (failure,) = Store(tmp_path).failures()
    assert failure.error == "the run's process ended with exit code 7 and no result"
    assert "finetune seed 0 failed: in lock-step with others: the run's process ended with exit code 7" in printed


def test_what_is_computed_again_is_what_other_code_stacked_or_everything(plugins, tmp_path):
    matrix = (*MATRIX, "--arm", "finetune,gain")
    assert call("run", plugins, tmp_path, *matrix)[0] == 0
    store = Store(tmp_path)
    first = {record.spec.arm: record for record in store.records()[0]}
    assert "stack" in first["gain"].code
    store.save(first["gain"].model_copy(update={"code": {**first["gain"].code, "stack": "0" * 16}}))
    assert "3 runs, 1 to do" in (printed := call("run", plugins, tmp_path, *matrix)[1])
    assert "waveforms gain seed 0 done" in printed
    again = {record.spec.arm: record for record in store.records()[0]}
    assert again["gain"].measurements == first["gain"].measurements
    assert again["gain"].code == first["gain"].code
    assert again["finetune"] == first["finetune"]
    assert "3 runs, 0 to do" in call("run", plugins, tmp_path, *matrix)[1]
    assert "3 runs, 3 to do" in call("run", plugins, tmp_path, *matrix, "--overwrite", "all")[1]
    third = {record.spec.arm: record for record in store.records()[0]}
    assert {arm: record.weights.get("result") for arm, record in third.items()} == {
        arm: record.weights.get("result") for arm, record in first.items()}
    assert third["finetune"].started > first["finetune"].started
    printed = call("run", plugins, tmp_path, *matrix, "--arm", "zero", "--lockstep", "1")[1]
    assert "note: 2 recorded runs were trained with --lockstep 3; runs with --lockstep 1 are not compared with them" in printed


def test_runs_of_another_stack_are_not_paired_and_shared_time_is_no_runs_own():
    def run(arm: str, lockstep: int | None) -> Run:
        spec = make_spec(arm=arm, auxiliary="point" if arm == "m2pt" else None)
        record = make_record(spec, seconds={"train": 10.0, "inference": 1.0})
        environment = record.environment.model_copy(update={"lockstep": lockstep})
        return Run(record=record.model_copy(update={"environment": environment}))

    for ours, theirs, paired in ((None, None, True), (8, 8, True), (8, None, False), (8, 4, False)):
        pair = run("m2pt", ours), run("finetune", theirs)
        found = pair_runs(pair)
        assert bool(found.baseline_of) == paired
        if not paired:
            (remark,) = (remark for remark in found.remarks if "another environment" in remark.kind)
            assert "in lock-step by 8" in remark.detail
        assert time_ratios([pair], "inference") == [1.0]
        assert time_ratios([pair], "train") == ([1.0] if ours is theirs is None else [])
