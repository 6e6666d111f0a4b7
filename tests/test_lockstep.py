"""Runs trained in lock-step are the runs that they are alone, up to rounding, and the same bits whatever their neighbours."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from synthetic import make_record, make_spec
from torch.utils._python_dispatch import TorchDispatchMode

from baselines import ARMS
from baselines.kin import KIN
from baselines.kin.aligned import Aligned
from benchmark.cli.context import load_registry
from benchmark.cli.main import main
from benchmark.evidence.inputs import standing_of
from benchmark.evidence.pairing import Run, pair_runs, time_ratios
from benchmark.model.weights import read_weights, save_weights
from benchmark.plan.matrix import Cell, Job, Planner, pretraining_tasks
from benchmark.plan.overrides import parse_override
from benchmark.plan.presets import Group, cells_of
from benchmark.provenance.currency import Judge
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.runner.stacks import why_alone
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.recipes import SETTINGS
from benchmark.spec.runspec import Pretrained, Site
from benchmark.train import setup
from benchmark.train.execute import execute
from benchmark.train.feed import Feed
from benchmark.train.loop import OneModel, Stopped, stop_requested
from benchmark.train.members import Member
from benchmark.train.optim import autocast, build_optimizer
from benchmark.train.setup import build_autoencoder
from benchmark.train.stack import train_stack
from benchmark.train.stacked_runs import Stack
from tasks import TASKS

PLACES = 5
SHORT = ("recipe.epochs=2", "recipe.warmup_epochs=0", "recipe.eval_every=1")
SMALL = (*SHORT, "shape.embed_dim=24", "shape.depth=1", "shape.num_heads=2", "recipe.batch_size=6")
ALTERED = ("recipe.accumulation=2", "recipe.repeats=2", "recipe.precision=bf16", "recipe.clip_norm=0.5", "recipe.scale_lr=0.1")
EMBEDDED = [task for task in TASKS.values() if "tiny" in task.profiles]
CPU = torch.device("cpu")
M2PT = type(ARMS["m2pt"])

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch stacks attention on a GPU only


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> dict[tuple[str, ...], dict[str, Path]]:
    """An untrained encoder of every modality, in two sizes"""
    folder, found = tmp_path_factory.mktemp("given"), {}
    for size, overrides in (("tiny", ()), ("small", SMALL)):
        shapes = [parse_override(text, TASKS) for text in overrides if text.startswith("shape.")]
        for modality, task in pretraining_tasks(TASKS).items():
            spec = Planner(TASKS, "tiny", shapes)._pretraining_run(task, 1.0, None)
            path = folder / f"{modality}-{size}.safetensors"
            save_weights(build_autoencoder(spec, task).encoder, path)
            found.setdefault(size, {})[modality] = path
    return found


def jobs_of(given, task: str, setting: str, arms: Sequence[str | Arm], overrides: Sequence[str] = SHORT, limit: int = 40,
            seeds: Sequence[int] = (0,)) -> list[Job]:
    """Trainings on few samples, from untrained weights"""
    modality = "image" if TASKS[task].modality == "point" else "point"
    size = "small" if "shape.depth=1" in overrides else "tiny"
    planner = Planner(TASKS, "tiny", [parse_override(text, TASKS) for text in overrides], limit=limit)
    named = [arm for arm in arms if isinstance(arm, str)]
    cells = cells_of(TASKS, ARMS, Group(arms=named, targets=(task,), settings=(setting,), auxiliaries=(modality,)))
    cells += [Cell(TASKS[task], arm, setting, modality if arm.uses_auxiliary else None) for arm in arms
              if not isinstance(arm, str)]
    return [replace(job, files=tuple((role, Pretrained(weights=given[size][need.modality], shape=need.shape))
                                     for role, need in job.needs))
            for job in planner.plan(cells, list(seeds)).jobs if job.spec.kind == "train" and job.spec.setting == setting]


def members_of(jobs: Sequence[Job], folder: Path) -> list[Member]:
    members = []
    for job in jobs:
        work = folder / job.spec.name
        work.mkdir(parents=True, exist_ok=True)
        members.append(Member(job.spec, job.task, job.arm, work, dict(job.files)))
    return members


def leaving_out(jobs: Sequence[Job], folder: Path, places: int = PLACES) -> tuple[dict[str, Record], dict[str, str]]:
    """The record of every run, by its id; and why runs were left out of their stack"""
    records: dict[str, Record] = {}
    left_out = train_stack(members_of(jobs, folder), Site(results="", lockstep=places),
                           lambda record: records.update({record.run_id: record}))
    return records, left_out


def together(jobs: Sequence[Job], folder: Path, places: int = PLACES) -> dict[str, Record]:
    records, left_out = leaving_out(jobs, folder, places)
    assert left_out == {}
    return records


def alone(job: Job, folder: Path) -> Record:
    (member,) = members_of([job], folder)
    return execute(job.spec, job.task, job.arm, Site(results=""), member.work, member.starts)


def same_bits(one: Record, other: Record) -> bool:
    """In weights, layers and measurements"""
    return (one.weights, one.layers, one.measurements) == (other.weights, other.layers, other.measurements)


def off(job: Job, one: Path, other: Path) -> float:
    """How far the weights that a run left in two folders are apart, over their size"""
    ours, theirs = (read_weights(folder / job.spec.name / "weights.safetensors") for folder in (one, other))
    assert ours.keys() == theirs.keys()
    difference, size = (torch.cat([tensor.double().flatten() for tensor in each]).norm() for each in (
        [ours[name].double() - theirs[name] for name in ours], list(theirs.values())))
    return float(difference / size)


# --- the numbers -----------------------------------------------------------------------------------------------------


@contextmanager
def doubled(task: Task, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever the task makes of a batch in double precision, and nothing that falls back from it"""
    augment, views, to_float = type(task).augment, type(task).views, torch.Tensor.float

    def double(batch):
        return {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}

    with monkeypatch.context() as patched:
        patched.setattr(type(task), "augment", lambda self, *given: double(augment(self, *given)))
        patched.setattr(type(task), "views", lambda self, *given: map(double, views(self, *given)))
        patched.setattr(torch.Tensor, "float", lambda self: self if self.dtype == torch.float64 else to_float(self))
        yield


class Asks(TorchDispatchMode):
    """Fails where a step asks the device for a number or for a shape that depends on one: no graph could hold it."""

    def __torch_dispatch__(self, operation, types, arguments=(), keys=None):
        name = operation._schema.name
        assert name not in ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::item",
                            "aten::is_nonzero", "aten::_unique2", "aten::equal"), name
        return operation(*arguments, **(keys or {}))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("task", EMBEDDED, ids=lambda task: task.name)
def test_every_arm_takes_in_a_stack_the_steps_that_it_takes_alone(given, task, setting, tmp_path, monkeypatch):
    """Two steps, one arm under two seeds, in double precision: to 1e-10. No step asks the device anything.

    Most arms differ in what their weights begin as alone: all are tried on one task, those of each structure on all.
    """
    arms = [arm.name for arm in ARMS.values() if setting in arm.settings and (
        (task.name == "audioset" and (arm not in KIN or arm.name == "fpt"))
        or arm.is_baseline or arm.name in ("m2pt", "gain", "higher-lr"))]
    jobs = jobs_of(given, task.name, setting, arms, SMALL, 12)
    jobs += jobs_of(given, task.name, setting, arms[:1], SMALL, 12, [1])
    members, others = members_of(jobs, tmp_path), members_of(jobs, tmp_path)
    for member in (*members, *others):
        member.build()
        member.model.double()
    models = [member.model for member in others]
    with doubled(task, monkeypatch):
        feeds = {job.spec.seed: Feed([setup.load_splits(job.spec, task)["train"]], [job.spec.seed], job.spec.recipe, CPU)
                 for job in (jobs[0], jobs[-1])}
        expected = [two_steps(job, task, model, feeds[job.spec.seed]) for job, model in zip(jobs, models, strict=True)]
        stack = Stack(members, len(members) + 1, CPU)
        assert stack.left_out == {}
        stack.train_mode()
        compute = stack.replayed.compute
        with monkeypatch.context() as patched:
            patched.setattr(stack.replayed, "compute", lambda inputs, key: watched(compute, inputs, key))
            losses = [stack.step(parts, 1e-4, number).clone() for number, parts in enumerate(stack.feed.epoch(0))]
    tolerance = 1e-8 if task.modality == "point" else 1e-10  # before a batch norm a bias has a gradient of rounding
    parts = stack.model.split(stack.optimizer.sums.detach()) | stack.model.buffers
    for place, (job, (state, own_losses)) in enumerate(zip(jobs, expected, strict=True)):
        ours = [float(loss[place]) for loss in losses]
        assert ours == pytest.approx(own_losses, abs=tolerance), job.spec.cell
        for name, tensor in state.items():
            if name in parts:
                worst = float((parts[name][place] - tensor).abs().max())
                assert worst <= tolerance, (job.spec.cell, name)


def watched(compute, inputs, key):
    with Asks():
        return compute(inputs, key)


def two_steps(job: Job, task: Task, model: torch.nn.Module, feed: Feed) -> tuple[dict[str, torch.Tensor], list[float]]:
    """A model after two steps alone, and their losses"""
    spec, recipe = job.spec, job.spec.recipe
    strengths = feed.examples[0].remaining(recipe.augment)

    def compute_loss(batch, random):
        batch = setup.prepare(task, spec, batch, random, strengths)
        with autocast(recipe, CPU):
            return task.loss(model(batch), batch, recipe)

    one = OneModel(model, compute_loss, build_optimizer(model, recipe, spec.shape.depth, job.arm.tune),
                   torch.amp.GradScaler("cpu", enabled=False), None, recipe, spec.seed, CPU, model.train)
    setup.set_train_mode(model, spec.setting)
    losses = [one.step(parts, 1e-4, number).item() for number, parts in enumerate(feed.epoch(0))]
    assert len(losses) == 2
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}, losses


@pytest.mark.parametrize(("task", "setting", "arms", "overrides", "tolerance"), [
    ("imagenet", "pretrained", ("finetune", "m2pt", "zero", "gain", Aligned(by="activations")), SHORT, 1e-6),
    ("imagenet", "scratch", ("scratch", "m2pt", "zero", "higher-lr"), (*SHORT, *ALTERED), 1e-3),
    ("audioset", "scratch", ("scratch", "m2pt", "zero", M2PT(scale_per_output=True, join_bias=True)), SHORT, 1e-6)])
def test_a_run_is_the_one_that_it_is_alone_whatever_its_neighbours(
        given, task, setting, arms, overrides, tolerance, tmp_path):
    """Up to rounding: `tolerance` is of weights, relative, and of losses."""
    jobs = jobs_of(given, task, setting, arms, overrides, 32)
    more = jobs_of(given, task, setting, arms[:1], overrides, 32, [1])
    stacked = together([*jobs, *more], tmp_path / "stacked", len(jobs) + 2)
    for job in (*jobs[1:], *more):
        ours, theirs = stacked[job.spec.run_id], alone(job, tmp_path / "alone")
        assert off(job, tmp_path / "stacked", tmp_path / "alone") < tolerance
        assert [value for _, value in ours.curve("train", "loss")] == pytest.approx(
            [value for _, value in theirs.curve("train", "loss")], abs=tolerance)
        assert [(row.split, row.metric, row.step) for row in ours.measurements] == [
            (row.split, row.metric, row.step) for row in theirs.measurements]
        assert (ours.parameters, ours.loading, ours.data_notes) == (theirs.parameters, theirs.loading, theirs.data_notes)
        assert ours.merge_difference == pytest.approx(theirs.merge_difference, abs=1e-5)
        for layer, other in zip(ours.layers, theirs.layers, strict=True):
            assert layer.name == other.name
            assert layer.initial_gradient == pytest.approx(other.initial_gradient, rel=1e-2, abs=1e-6)
            assert layer.scale == pytest.approx(other.scale, abs=10 * tolerance)
            assert layer.auxiliary_cosine == pytest.approx(other.auxiliary_cosine, abs=10 * tolerance)
            assert layer.update_share == pytest.approx(other.update_share, abs=0.02)
        pooled = [read_weights(tmp_path / folder / job.spec.name / "representations.safetensors")["val"]
                  for folder in ("stacked", "alone")]
        assert (pooled[0] - pooled[1]).abs().max() < 50 * tolerance
        where = ours.environment
        assert (where.lockstep, ours.resumed, ours.peak_memory_bytes) == (len(jobs) + 2, 0, None)
        assert where.lockstep_how == "attention written out, steps eager: no graphs on a cpu"
    others = together([*more, *jobs[:0:-1]], tmp_path / "others", len(jobs) + 2)
    assert all(same_bits(record, stacked[run_id]) for run_id, record in others.items())
    (zero,) = (record for record in stacked.values() if record.spec.arm == "zero")
    assert zero.weights["result"] == stacked[jobs[0].spec.run_id].weights["result"]
    assert len({record.weights["result"] for record in stacked.values()}) == len(stacked) - 1


def test_pretrainings_of_several_seeds_are_those_that_they_are_alone(tmp_path):
    tasks = {task.name: task for task in pretraining_tasks(TASKS).values()}
    overrides = [parse_override(text, tasks) for text in (
        "pretrain.epochs=2", "pretrain.warmup_epochs=0", "pretrain.batch_size=8", "shape.depth=2",
        "pretrain.drop_path_rate=0.2")]
    for name, task in tasks.items():
        planner = Planner(tasks, "tiny", overrides, limit=16)
        cell = Cell(task, ARMS["finetune"], "pretrained")
        jobs = [job for job in planner.plan([cell], [0, 1]).jobs if job.spec.kind == "pretrain"]
        assert [job.spec.seed for job in jobs] == [0, 1]
        stacked = together(jobs, tmp_path / "stacked", 3)
        for job in jobs:
            theirs = alone(job, tmp_path / "alone")
            assert off(job, tmp_path / "stacked", tmp_path / "alone") < 2e-3, name
            assert [value for _, value in stacked[job.spec.run_id].curve("train", "loss")] == pytest.approx(
                [value for _, value in theirs.curve("train", "loss")], abs=1e-4), name
            assert stacked[job.spec.run_id].parameters == theirs.parameters
        assert len({record.weights["result"] for record in stacked.values()}) == 2


def test_what_cannot_be_stacked_says_why():
    recipe = make_spec().recipe
    for update, why in (({"optimizer": "lars"}, "LARS"), ({"precision": "fp16"}, "fp16"), ({"ema_decay": 0.9}, "average"),
                        ({"checkpoint_blocks": True}, "computed again"), ({}, "")):
        said = why_alone(make_spec().model_copy(update={"recipe": recipe.model_copy(update=update)}))
        assert why in said
        assert bool(said) == bool(update)


# --- what goes wrong -------------------------------------------------------------------------------------------------


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
    jobs = jobs_of(given, "audioset", "pretrained", ("finetune", "m2pt"), (*SHORT, "recipe.batch_size=10"), seeds=(0, 1))
    whole = together(jobs, tmp_path / "whole")
    with monkeypatch.context() as patched:
        stop_after(patched, jobs[0].task, steps + 1)  # it looks at its first gradients, too
        try:
            with pytest.raises(Stopped, match="run it again to go on"):
                together(jobs, tmp_path / "parts")
        finally:
            stop_requested.clear()
    parts = together(jobs, tmp_path / "parts")
    assert all(same_bits(parts[run_id], record) for run_id, record in whole.items())
    assert {record.resumed for record in parts.values()} == {1}
    assert not list(tmp_path.rglob("*.stack*"))


def test_nothing_goes_on_from_half_a_stack_but_that_stack(given, tmp_path, monkeypatch):
    jobs = jobs_of(given, "audioset", "pretrained", ("finetune", "m2pt"), (*SHORT, "recipe.batch_size=10"))
    whole = together(jobs, tmp_path / "whole", PLACES + 1)
    with monkeypatch.context() as patched:
        stop_after(patched, jobs[0].task, 4)
        with pytest.raises(Stopped):
            together(jobs, tmp_path / "parts")
    stop_requested.clear()
    lone = alone(jobs[0], tmp_path / "parts")
    assert lone.resumed == 0
    assert lone.environment.lockstep is None
    assert same_bits(lone, alone(jobs[0], tmp_path / "alone"))
    others = together(jobs, tmp_path / "parts", PLACES + 1)
    assert all(same_bits(others[run_id], record) and not others[run_id].resumed for run_id, record in whole.items())


def test_a_loss_that_is_no_number_leaves_its_run_out_and_the_others_as_they_are(given, tmp_path):
    wild = type(ARMS["higher-lr"])(lr_factor=1e30)
    jobs = jobs_of(given, "imagenet", "scratch", ("scratch", "m2pt", wild), (*SHORT, "recipe.batch_size=10"))
    calm = [job for job in jobs if job.spec.arm != "higher-lr"]
    undisturbed = together(calm, tmp_path / "calm")
    records, left_out = leaving_out(jobs, tmp_path / "all")
    assert left_out == {job.spec.run_id: "its loss is not a number" for job in jobs if job not in calm}
    assert records.keys() == undisturbed.keys()
    assert all(same_bits(record, undisturbed[run_id]) for run_id, record in records.items())


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
    records, left_out = leaving_out(jobs, tmp_path)
    assert said in left_out[jobs[1].spec.run_id]
    assert list(records) == [jobs[0].spec.run_id]


class Declared(Wilful):
    """Of which something else than the plain model is exported, by its word"""

    name, adds = "declared", True


@pytest.mark.parametrize("how", ["setting", "kind"])
def test_a_model_of_another_structure_has_a_stack_of_its_own(given, tmp_path, how):
    jobs = jobs_of(given, "imagenet", "scratch", ("scratch", Declared(how=how)), (*SHORT, "recipe.epochs=1"))
    found = together(jobs, tmp_path)
    for job in jobs:
        theirs = alone(job, tmp_path / "alone")
        losses = [record.curve("train", "loss")[0][1] for record in (found[job.spec.run_id], theirs)]
        assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.parametrize("how", ["setting", "kind"])
def test_a_model_that_its_weights_would_not_give_again_is_left_out_and_fails_alone(given, tmp_path, how):
    jobs = jobs_of(given, "imagenet", "scratch", ("scratch", Wilful(how=how)), (*SHORT, "recipe.epochs=1"))
    records, left_out = leaving_out(jobs, tmp_path)
    assert left_out == {jobs[1].spec.run_id: "ValueError: the arm alters more of the model than weights, and a stack exports "
                                             "weights for the plain one"}
    assert list(records) == [jobs[0].spec.run_id]
    with pytest.raises(ValueError, match=r"the weights that are exported differs by .* of arm wilful undo what `build` alters"):
        alone(jobs[1], tmp_path / "alone")
    assert not list((tmp_path / "alone").rglob("weights.safetensors"))


class Scaled(torch.nn.GELU):
    factor = staticmethod(lambda x: x)

    def forward(self, x):
        return self.factor(super().forward(x))


class Hidden(Arm):
    name, summary, source, settings = "hidden", "has a setting that cannot be compared", "a test", ("scratch",)
    adds = True
    factor: float = 1.0

    def build(self, model, blocks, random):
        model.blocks[0].mlp.act = Scaled()
        model.blocks[0].mlp.act.factor = lambda x: self.factor * x
        return []


def test_a_difference_that_is_not_seen_in_the_structure_is_seen_in_the_outputs(given, tmp_path):
    jobs = jobs_of(given, "imagenet", "scratch", ("scratch", Hidden(), Hidden(factor=3.0)), (*SHORT, "recipe.epochs=1"))
    records, left_out = leaving_out(jobs, tmp_path)
    assert left_out == {jobs[2].spec.run_id: "its model is computed otherwise in a stack"}
    assert len(records) == 2


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
    assert "arms and seeds in lock-step by 3" in printed
    assert "raising seed 0 goes on alone: RuntimeError: this arm always fails" in printed
    records, _ = Store(tmp_path).records()
    trained = [record for record in records if record.spec.kind == "train"]
    assert {(record.spec.arm, record.spec.seed) for record in trained} == {
        (arm, seed) for arm in ("finetune", "zero", "gain") for seed in (0, 1)}
    assert {record.environment.lockstep for record in records} == {3}
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
    registry = load_registry([plugins])
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
    elsewhere = {"threads": 77, "processor": "Another CPU, 64 cores"}
    for record in third.values():
        store.save(record.model_copy(update={"environment": record.environment.model_copy(update=elsewhere)}))
    printed = call("run", plugins, tmp_path, *matrix, "--arm", "higher-lr")[1]
    here = third["gain"].environment.processor_name
    assert f"note: 2 recorded runs were computed on Another CPU; runs on {here} are not compared with them" in printed
    assert re.search(r"note: 2 recorded runs were computed by 77 threads each; runs of \d+ are not compared with them", printed)
    again = call("run", plugins, tmp_path, *matrix, "--arm", "higher-lr", "--overwrite", "all")[1]
    assert "recorded runs were computed" not in again, "what is replaced is compared with nothing"


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
