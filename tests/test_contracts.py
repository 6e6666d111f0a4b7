"""What every task and every arm must hold to, over the whole registry."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from synthetic import make_record
from timm.models.vision_transformer import Attention
from torch import nn

from baselines import ARMS
from baselines.kin import KIN
from benchmark.data.seeds import SampleRandom, generator
from benchmark.model.connect import linear_layers
from benchmark.model.mae import MaskedAutoencoder
from benchmark.model.weights import CheckpointError, export_weights, load_blocks, load_encoder, read_weights, save_weights
from benchmark.plan.matrix import Cell, Plan, Planner, pretraining_tasks
from benchmark.plan.overrides import parse_override
from benchmark.records.record import Record
from benchmark.records.signed import read_signed
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.recipes import SETTINGS, SPLITS, ModelShape, TrainRecipe
from benchmark.spec.runspec import Pretrained, Site
from benchmark.train.evaluate import evaluate, scores
from benchmark.train.execute import execute
from benchmark.train.optim import autocast
from benchmark.train.setup import build_autoencoder, build_model, load_inputs, load_splits, place
from benchmark.transfer.convert import convert, convert_blocks
from benchmark.transfer.exported import export
from tasks import TASKS

SMALL = ["recipe.epochs=1", "pretrain.epochs=1", "recipe.batch_size=8", "pretrain.batch_size=8", "shape.depth=2",
         "recipe.warmup_epochs=0", "pretrain.warmup_epochs=0"]
SAMPLES = 16  # of each split
EMBEDDED = [task for task in TASKS.values() if "tiny" in task.profiles]
every_task = pytest.mark.parametrize("task", EMBEDDED, ids=lambda task: task.name)
# Arms that differ in what their A begins as alone go through one task; each other one through all.
STRUCTURES = {arm.name for arm in ARMS.values() if arm.is_baseline} | {
    "m2pt", "gain", "higher-lr", "aux-init", "merge", "merge-whole", "tokenizer-only", "finetune-linear", "solution"}
COMBINATIONS = [(task, arm, setting) for task in EMBEDDED for arm in ARMS.values() for setting in arm.settings
                if arm not in KIN and (task.name == "audioset" or arm.name in STRUCTURES)]
COMBINATIONS += [(TASKS["audioset"], arm, arm.settings[-1]) for arm in KIN]  # `benchmark check` goes through all of them


def plan_of(task: Task, arm: Arm, setting: str, *overrides: str) -> Plan:
    planner = Planner(TASKS, "tiny", [parse_override(text, TASKS) for text in (*SMALL, *overrides)], limited=True)
    planner._used.update(map(id, planner.overrides))  # not every cell has a pretraining
    auxiliary = next(other.modality for other in TASKS.values() if other.modality != task.modality)
    return planner.plan([Cell(task, arm, setting, auxiliary if arm.uses_auxiliary else None)], [0])


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Shared, so that a pretraining is computed once for all arms."""
    return tmp_path_factory.mktemp("contracts")


def carry_out(plan: Plan, folder: Path, limit: int = SAMPLES) -> Record:
    """Run a plan in this process, on `limit` samples of each split; its last run is the cell's."""
    paths = {}
    for job in plan.jobs:
        work = folder / job.spec.name
        paths[job.spec.run_id] = work / "weights.safetensors"
        if job.spec.kind == "pretrain" and paths[job.spec.run_id].is_file():
            continue
        work.mkdir(exist_ok=True)
        starts = {role: Pretrained(weights=paths[need.run_id], shape=need.shape) for role, need in job.needs}
        record = execute(job.spec.model_copy(update={"limit": limit}), job.task, job.arm, Site(results=""), work, starts)
    return record


WITHOUT_PATHWAYS = {"finetune", "fix", "scratch", "higher-lr", "aux-init", "merge", "merge-own", "merge-random", "merge-whole",
                    "merge-whole-random", "finetune-linear", "tokenizer-only", "fpt", "fpt-random", "fpt-shuffled", "fpt-own",
                    "task-vector", "task-vector-noise", "task-vector-permuted", "task-vector-known",
                    "frozen-block", "frozen-block-random", "frozen-block-none", "frozen-block-own",
                    "distil", "distil-random", "distil-own"}


@every_task
def test_profiles_state_what_the_meter_measures(task):
    assert {"tiny", "small"} <= set(task.profiles)
    assert "paper" in task.profiles or task.on_request, "what takes part wherever all do has a scale of the paper's"
    names = [metric.name for metric in task.metrics]
    splits = task.load("tiny")
    assert set(splits) == set(SPLITS)
    spec = plan_of(task, ARMS["scratch"], "scratch").specs[-1]
    model = build_model(spec, task).eval()
    batch = splits["val"].batch(torch.arange(8))
    meter = task.meter("tiny")
    with torch.inference_mode():
        logits = scores(model, task, batch, spec)
        meter.update(logits, batch)
    assert list(meter.compute()) == names
    probabilities = task.probabilities(logits)
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1 + 1e-6
    for profile in task.profiles.values():
        assert profile.chance is None or 0 < profile.chance < 100
        assert set(profile.train) == {"pretrained", "fix", "scratch"}


@every_task
def test_exported_weights_are_loaded_by_the_call_that_they_carry(task, tmp_path, monkeypatch):
    """Images and sounds as whole models of timm with the same logits, others by their blocks."""
    monkeypatch.chdir(tmp_path)
    spec = plan_of(task, ARMS["scratch"], "scratch").specs[-1]
    model = build_model(spec, task).eval()
    export_weights(model, tmp_path / "own.safetensors")
    call = export(make_record(spec), tmp_path / "own.safetensors", tmp_path / "out.safetensors")
    with safe_open("out.safetensors", "pt") as file:
        about = file.metadata()
    assert (about["load"], about["task"], ModelShape.model_validate_json(about["shape"])) == (call, task.name, spec.shape)
    names: dict[str, Any] = {}
    exec(call, names)
    assert ("model" in names) == (task.modality in ("image", "audio"))
    if "model" in names:
        batch = task.augment(task.load("tiny")["val"].batch(torch.arange(4)), None, {})
        with torch.inference_mode():
            torch.testing.assert_close(names["model"].eval()(batch["input"]), model(batch), rtol=1e-3, atol=1e-7)
        return
    tokens = torch.randn(2, 5, spec.shape.embed_dim)
    with torch.inference_mode():
        assert torch.equal(names["blocks"].eval()(tokens), nn.Sequential(*model.blocks)(tokens))


def test_exported_blocks_of_a_ratio_with_many_digits_are_loaded_by_their_call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = TASKS["imagenet"]
    spec = plan_of(task, ARMS["scratch"], "scratch").specs[-1]
    spec = spec.model_copy(update={"shape": spec.shape.model_copy(update={"mlp_ratio": 16 / 3})})  # 5.33333 gives one unit less
    export_weights(build_model(spec, task), tmp_path / "own.safetensors")
    names: dict[str, Any] = {}
    exec(export(make_record(spec), tmp_path / "own.safetensors", tmp_path / "out.safetensors"), names)
    assert names["model"].blocks[0].mlp.fc1.out_features == 512


def test_exported_weights_say_themselves_how_many_heads_they_have(tmp_path):
    """Which no weight tells: with others the same blocks compute something else."""
    task = TASKS["imagenet"]
    spec = plan_of(task, ARMS["scratch"], "scratch").specs[-1]
    shape = spec.shape.model_copy(update={"num_heads": 6})
    spec = spec.model_copy(update={"shape": shape})
    export_weights(build_model(spec, task), tmp_path / "own.safetensors")
    export(make_record(spec), tmp_path / "own.safetensors", tmp_path / "out.safetensors")
    with pytest.raises(CheckpointError, match=r"has 6 attention heads, and the model 3: --set shape\.num_heads=6"):
        convert(tmp_path / "out.safetensors", task, task.profiles["tiny"].shape)
    for found in (convert(tmp_path / "out.safetensors", task, shape), convert_blocks(tmp_path / "out.safetensors")):
        assert found.blocks.num_heads == 6
        assert not [note for note in found.notes if "heads" in note or "taken as a plain" in note]


@every_task
def test_the_epsilon_of_a_shape_is_that_of_every_layer_norm_also_of_blocks_from_a_file(task, tmp_path):
    for name, setting in (("finetune", "pretrained"), ("fix", "fix"), ("scratch", "scratch")):
        for text, expected in (("shape.norm_eps=1e-5", 1e-5), ("shape.depth=2", 1e-6)):
            spec = plan_of(task, ARMS[name], setting, text).specs[-1]
            model = build_model(spec, task)
            save_weights(model, tmp_path / "weights.safetensors")
            for part in (model, load_blocks(tmp_path / "weights.safetensors", spec.shape)):
                assert {module.eps for module in part.modules() if isinstance(module, nn.LayerNorm)} == {expected}


@every_task
def test_every_parameter_gets_a_gradient(task):
    spec = plan_of(task, ARMS["scratch"], "scratch", "recipe.drop_path_rate=0").specs[-1]
    model = build_model(spec, task)
    batch = task.load("tiny")["train"].batch(torch.arange(16))
    batch = task.augment(batch, SampleRandom(0, 0, batch["index"]), spec.recipe.augment)
    task.loss(model(batch), batch, spec.recipe).backward()
    dead = [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]
    assert not dead


@pytest.mark.parametrize("task", pretraining_tasks(TASKS).values(), ids=lambda task: task.name)
def test_every_parameter_of_the_masked_autoencoder_gets_a_gradient(task):
    profile = task.profiles["tiny"]
    model = MaskedAutoencoder(task.tokenizer(profile.shape), task.masked_target(profile.shape), profile.shape)
    batch = task.load_pretraining("tiny").batch(torch.arange(8))
    random = SampleRandom(0, 0, batch["index"])
    loss = model(task.augment(batch, random, profile.pretrain.augment), random, profile.pretrain.mask_ratio)
    loss.backward()
    assert math.isfinite(loss.item())
    dead = [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]
    assert not dead


@pytest.mark.parametrize("task", pretraining_tasks(TASKS).values(), ids=lambda task: task.name)
def test_labels_never_enter_pretraining(task):
    assert not {"label", "part", "category"} & set(task.load_pretraining("tiny").columns)


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.pretrained_by], ids=lambda task: task.name)
def test_a_task_that_another_pretrains_for_has_no_pool(task):
    with pytest.raises(ValueError, match=f"{task.name} has no pretraining of its own: .* that of {task.pretrained_by}"):
        task.load_pretraining(next(iter(task.profiles)))


@every_task
def test_preparing_a_batch_without_randomness_changes_nothing_stored(task):
    examples = task.load("tiny")["val"]
    before = {name: column[:4].clone() for name, column in examples.columns.items()}
    shape, indices = task.profiles["tiny"].shape, torch.arange(4)
    first, again = (next(task.views(examples.batch(indices), shape, {}))["input"] for _ in range(2))
    assert torch.equal(first, again)
    assert first.is_floating_point()
    assert all(torch.equal(before[name], examples.columns[name][:4]) for name in before)


@pytest.mark.parametrize(("task", "arm", "setting"), COMBINATIONS,
                         ids=[f"{task.name}-{arm.name}-{setting}" for task, arm, setting in COMBINATIONS])
def test_every_task_runs_under_every_arm(task, arm, setting, folder):
    plan = plan_of(task, arm, setting)
    record = carry_out(plan, folder)
    spec = plan.specs[-1]
    measured = {(row.split, row.metric) for row in record.measurements if row.step == 1}
    assert {("train", "loss"), *((split, metric.name) for split in ("val", "test") for metric in task.metrics)} <= measured
    assert bool(record.layers) == (arm.name not in WITHOUT_PATHWAYS)
    exported = read_weights(folder / plan.specs[-1].name / "weights.safetensors")
    fresh = build_model(spec, task).state_dict()
    more = sum(tensor.numel() for tensor in exported.values()) - sum(tensor.numel() for tensor in fresh.values())
    assert (more > 0) == arm.adds
    assert more >= 0
    if record.layers:
        assert len(record.layers) == 4 * spec.shape.depth
        assert all((layer.scale != 0) == (arm.name != "zero") for layer in record.layers)
        assert record.merge_difference <= 1e-5
        assert record.parameters["training"] > record.parameters["merged"]
    if setting == "fix":
        fresh_model = build_model(spec, task)
        added = [getattr(fresh_model.tokenizer, name) for name in fresh_model.tokenizer.added_for_target]
        free = sum(parameter.numel() for parameter in [*fresh_model.head.parameters(), *added])
        adapters = sum(8 * (linear.in_features + linear.out_features) for _, linear in linear_layers(fresh_model.blocks))
        assert record.parameters["trainable"] == free + (adapters if arm.name == "lora" else len(record.layers))
        if arm.name not in ("fix", "higher-lr"):
            assert all(layer.auxiliary_cosine in (None, pytest.approx(1, abs=1e-6)) for layer in record.layers)
        else:
            model = build_model(spec, task)
            pretraining = next(need for role, need in plan.jobs[-1].needs if role == "target")
            load_encoder(model, folder / pretraining.name / "weights.safetensors", pretraining.shape)
            for name, tensor in model.state_dict().items():
                if name.startswith(("blocks.", "tokenizer.")) and not name.endswith(model.tokenizer.added_for_target):
                    assert torch.equal(tensor, exported[name.removeprefix("tokenizer.")]), name


def test_what_is_recorded_of_a_split_is_what_the_exported_weights_reach_on_it(folder):
    task = TASKS["audioset"]
    plan = plan_of(task, ARMS["finetune"], "pretrained")
    record, spec = carry_out(plan, folder), plan.specs[-1]
    exported = read_weights(folder / spec.name / "weights.safetensors")
    model = build_model(spec, task)
    model.load_state_dict({name: exported[name.removeprefix("tokenizer.").removeprefix("head.")]
                           for name in model.state_dict()})
    reached = {}
    for split in ("val", "test"):
        reached[split] = evaluate(model, task, task.load("tiny")[split].take(SAMPLES), spec, torch.device("cpu"))["mAP"]
        assert record.curve(split, "mAP")[-1][1] == reached[split]
    assert reached["val"] != reached["test"]


@every_task
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_every_task_runs_in_half_precision_on_inputs_in_full(task, precision, folder):
    """A few of them, as a CPU without instructions for it is many times slower."""
    arms = [("m2pt", "pretrained"), *([("distil", "scratch")] if task.name == "imagenet" else [])]  # one with a teacher, too
    for arm, setting in arms:
        plan = plan_of(task, ARMS[arm], setting, f"recipe.precision={precision}", f"pretrain.precision={precision}",
                       "recipe.batch_size=4", "pretrain.batch_size=4")
        assert math.isfinite(carry_out(plan, folder, limit=8).measurements[-1].value)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_attention_of_half_precision_is_in_parts_on_a_cpu_and_no_less_exact(precision):
    spec = plan_of(TASKS["imagenet"], ARMS["scratch"], "scratch", f"recipe.precision={precision}").specs[-1]
    task = TASKS["imagenet"]
    batch = task.augment(task.load("tiny")["train"].batch(torch.arange(64)), None, {})

    def gradients(model: nn.Module, used: TrainRecipe) -> torch.Tensor:
        with autocast(used, torch.device("cpu")):
            loss = task.loss(model(batch), batch, used)
        loss.backward()
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])

    exact = gradients(build_model(spec, task), spec.recipe.model_copy(update={"precision": "fp32"}))
    fused = gradients(build_model(spec, task), spec.recipe)
    placed = place(build_model(spec, task), spec.recipe, torch.device("cpu"))
    assert {module.fused_attn for module in placed.modules() if isinstance(module, Attention)} == {precision == "fp32"}
    ours = gradients(placed, spec.recipe)
    if precision == "fp32":
        assert torch.equal(ours, fused)
    else:
        assert 0 < (ours - exact).norm() < 1.2 * (fused - exact).norm()


def test_checkpointing_blocks_and_dropping_tokens_change_memory_and_tokens_alone():
    spec = plan_of(TASKS["imagenet"], ARMS["scratch"], "scratch", "recipe.drop_path_rate=0.3").specs[-1]
    task = TASKS["imagenet"]
    batch = task.augment(task.load("tiny")["train"].batch(torch.arange(8)), None, {})
    gradients = []
    for checkpointed in (False, True):
        changed = spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"checkpoint_blocks": checkpointed})})
        model = build_model(changed, task).train()
        torch.manual_seed(5)
        task.loss(model(batch), batch, spec.recipe).backward()
        gradients.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
    model.eval()
    few = torch.stack([torch.randperm(16)[:5] for _ in range(8)])
    everything = torch.arange(16).expand(8, -1)
    torch.testing.assert_close(model({**batch, "ids_keep": everything}), model(batch))
    assert not torch.allclose(model({**batch, "ids_keep": few}), model(batch))


def test_a_scale_that_is_frozen_beside_a_frozen_model_leaves_the_head_to_train(folder):
    plan = plan_of(TASKS["imagenet"], ARMS["m2pt"], "fix", "arm.train_scale=false", "arm.scale_init=0.1")
    record = carry_out(plan, folder)
    assert all(layer.scale == pytest.approx(0.1) for layer in record.layers)
    assert record.layers[0].initial_gradient == {}
    looked = read_signed(folder / plan.specs[-1].name / "pathways.json")
    assert {value for row in looked.rows.values() for value in row["gradient_cosine"]} == {None}


@pytest.mark.parametrize("setting", SETTINGS)
def test_an_auxiliary_of_zeros_is_the_baseline_bit_for_bit(setting, folder):
    """The control that says whether the pipeline adds anything of its own."""
    baseline = {"pretrained": "finetune", "fix": "fix", "scratch": "scratch"}[setting]
    plain, zero = (carry_out(plan_of(TASKS["audioset"], ARMS[arm], setting), folder) for arm in (baseline, "zero"))
    assert plain.weights["result"] == zero.weights["result"]


@every_task
def test_scale_frozen_at_zero_is_the_baseline_bit_for_bit(task, folder):
    baseline = carry_out(plan_of(task, ARMS["finetune"], "pretrained"), folder)
    frozen = carry_out(plan_of(task, ARMS["m2pt"], "pretrained", "arm.train_scale=false"), folder)
    rows = [[(row.split, row.metric, row.value) for row in record.measurements if row.metric != "mean |scale|"]
            for record in (baseline, frozen)]
    assert rows[0] == rows[1]
    assert baseline.weights["result"] == frozen.weights["result"]


def test_a_share_of_the_labels_keeps_every_class_and_is_nested():
    from benchmark.data.examples import Examples

    label = torch.arange(200) % 7
    examples = Examples({"input": torch.arange(200), "label": label})
    few, more = (examples.labelled(share, False, generator(0, "labels")).columns for share in (0.05, 0.5))
    assert few["label"].bincount(minlength=7).tolist() == [2] * 7
    assert set(few["input"].tolist()) < set(more["input"].tolist())
    assert torch.equal(few["label"], few["input"] % 7)
    assert examples.labelled(1.0, False, generator(0, "labels")).columns["input"].tolist() == list(range(200))
    many = Examples({"input": torch.arange(200), "label": torch.zeros(200, 4)})
    assert len(many.labelled(0.05, False, generator(0, "labels"))) == 10
    other = examples.labelled(0.5, False, generator(1, "labels")).columns["input"]
    assert not torch.equal(other, more["input"])


@every_task
def test_with_few_labels_an_epoch_is_as_long_and_each_sample_comes_as_often_as_any_other(task):
    setting = next(iter(task.profiles["tiny"].train))
    arm = next(arm for arm in ARMS.values() if arm.is_baseline and setting in arm.settings)
    few = plan_of(task, arm, setting, "recipe.label_share=0.03").specs[-1].model_copy(update={"limit": None})
    read, chosen = task.load("tiny"), load_splits(few, task)
    assert {split: len(chosen[split]) for split in SPLITS} == {split: len(read[split]) for split in SPLITS}
    own = read["train"].labelled(0.03, False, generator(few.seed, "labels"))
    for name, column in own.columns.items():
        for part in chosen["train"].columns[name].split(len(own)):
            assert torch.equal(part, column[: len(part)]), name
    index = next(chosen["train"].stream([torch.tensor([0, len(own)])]))["index"]
    assert len(index.unique()) == 2, "two copies of a sample are augmented by random numbers of their own"
    inputs = load_inputs(few, task, len(read["train"]))["input"]
    assert len(inputs) == len(own) < len(read["train"]), "an arm that looks at inputs sees each once"


def test_shuffled_labels_are_the_same_labels_on_other_samples():
    from benchmark.data.examples import Examples

    examples = Examples({"input": torch.arange(200), "label": torch.arange(200) % 7})
    shuffled = examples.labelled(1.0, True, generator(0, "labels")).columns
    assert torch.equal(shuffled["label"].bincount(), examples.columns["label"].bincount())
    assert (shuffled["label"] == examples.columns["label"]).double().mean() < 0.3
    assert torch.equal(shuffled["input"], examples.columns["input"])


def test_a_pretraining_left_early_is_the_beginning_of_the_whole_one(folder):
    task = TASKS["audioset"]
    whole = ("pretrain.epochs=4", "pretrain.warmup_epochs=1")
    records = [carry_out(Plan(plan_of(task, ARMS["finetune"], "pretrained", *whole, *more).jobs[:1]), folder)
               for more in ((), ("pretrain.stop_epoch=2",))]
    curves = [record.curve("train", "loss") for record in records]
    assert curves[0][:2] == curves[1]
    assert len(curves[0]) == 4


def test_gradients_at_the_start_are_recorded_and_leave_no_trace(folder):
    record = carry_out(plan_of(TASKS["modelnet"], ARMS["m2pt"], "pretrained"), folder)
    assert all(layer.initial_gradient["weight"] > 0 and layer.initial_gradient["scale"] > 0 for layer in record.layers)
    assert all(layer.initial_gradient["auxiliary"] == 0 for layer in record.layers)


def test_two_modalities_of_a_seed_begin_from_different_blocks():
    """Equal beginnings would end in one basin, and a pathway would average weights of one origin."""
    first = {}
    for modality, task in pretraining_tasks(TASKS).items():
        spec = plan_of(task, ARMS["finetune"], "pretrained").specs[0]
        first[modality] = build_autoencoder(spec, task).encoder.blocks[0].attn.qkv.weight.detach()
    for one, weight in first.items():
        for other, another in first.items():
            if one != other:
                assert nn.functional.cosine_similarity(weight.flatten(), another.flatten(), dim=0).abs() < 0.1, (one, other)


def test_training_from_scratch_begins_where_the_pretraining_of_its_modality_began():
    task = TASKS["audioset"]
    scratch = build_model(plan_of(task, ARMS["scratch"], "scratch").specs[-1], task)
    autoencoder = build_autoencoder(plan_of(task, ARMS["finetune"], "pretrained").specs[0], task)
    assert torch.equal(scratch.blocks[1].mlp.fc1.weight, autoencoder.encoder.blocks[1].mlp.fc1.weight)


@pytest.mark.parametrize("scope", ["audioset", "imagenet"])
def test_other_head_counts_are_refused_though_every_shape_fits(scope, folder):
    task = TASKS["imagenet"]
    planner = Planner(TASKS, "tiny", [parse_override(text, TASKS) for text in (*SMALL, f"{scope}.shape.num_heads=4")], True)
    plan = planner.plan([Cell(task, ARMS["m2pt"], "pretrained", "audio")], [0])
    with pytest.raises(ValueError, match="attention heads"):
        carry_out(plan, folder)


@every_task
def test_every_recipe_names_augmentations_that_the_task_knows(task):
    batch = task.load("tiny")["train"].batch(torch.arange(4))
    for profile in ("tiny", "small"):
        for recipe in task.profiles[profile].train.values():
            task.augment(dict(batch), SampleRandom(0, 0, batch["index"]), recipe.augment)
            assert task.mixable or not (recipe.mixup or recipe.cutmix)


@every_task
@pytest.mark.parametrize("setting", ["pretrained", "fix"])
def test_a_head_says_how_many_samples_a_micro_batch_must_have(task, setting):
    """As torch refuses to train batch norms on fewer"""
    arm = ARMS["finetune" if setting == "pretrained" else "fix"]
    model = build_model(plan_of(task, arm, setting).specs[-1], task).train()
    count = model.head.least_samples
    batch = task.augment(task.load("tiny")["train"].batch(torch.arange(count)), None, {})
    assert len(model(batch)) == count
    if count > 1:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            model({name: values[:1] for name, values in batch.items()})
