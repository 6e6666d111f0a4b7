"""One run: a spec with its task and arm in, a record and weights out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from benchmark.data.examples import Batch, Examples
from benchmark.data.seeds import SampleRandom
from benchmark.model.encoder import TransformerModel
from benchmark.model.pathway import Pathway, apart
from benchmark.model.weights import export_weights, save_tensors, save_weights
from benchmark.provenance.environment import describe_environment, peak_memory_bytes
from benchmark.records.outputs import FILE as OUTPUTS
from benchmark.records.outputs import write_outputs
from benchmark.records.record import Layer, Record
from benchmark.records.signed import FILE as SIGNED
from benchmark.spec.contracts import Arm, Task, add_up
from benchmark.spec.recipes import SPLITS
from benchmark.spec.runspec import Pretrained, Report, RunSpec, Site
from benchmark.train import setup
from benchmark.train.evaluate import Kept, evaluate, logits_of, representations, seconds_per_sample
from benchmark.train.feed import Feed
from benchmark.train.loop import NonFiniteLoss, Progress, fit
from benchmark.train.optim import WeightAverage, autocast
from benchmark.train.plain import check_difference, check_plain, make_plain, merges_itself, part_classes
from benchmark.train.signed import Watch
from benchmark.train.team import ALONE, Team
from benchmark.train.terms import adds_loss, loss_of, trained_as

SAME = 1e-4  # two models of equal weights, by their logits relative to the largest


def execute(spec: RunSpec, task: Task, arm: Arm | None, site: Site, work: Path, starts: Mapping[str, Pretrained],
            report: Report = lambda done, total, text: None, team: Team = ALONE) -> Record:
    """Carry out one run, or one process's part of it; `starts` are the pretraining runs it starts from, by role.

    Leaves `weights.safetensors` in `work`, and of a training what its blocks make of the validation split. Continues
    from a checkpoint there. Deterministic on one device. Of a `team` the first process leaves them, and has the record.
    """
    device = setup.take_device(site)
    began, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    run = _pretrain if spec.kind == "pretrain" else _train
    progress, details = run(spec, task, arm, device, work, starts, report, team)
    progress.spend("wall", began)
    progress.seconds["input"] = team.largest(progress.seconds.get("input", 0.0))
    return Record(
        run_id=spec.run_id, spec=spec, measurements=progress.measurements,
        environment=describe_environment(device, progress.processes, progress.sittings),
        seconds={name: round(value, 3) for name, value in progress.seconds.items()},
        peak_memory_bytes=peak_memory_bytes(device), samples_per_second=progress.samples_per_second, started=started,
        resumed=progress.resumed, command=site.command, **details)


def _pretrain(spec: RunSpec, task: Task, arm: Arm | None, device: torch.device, work: Path, starts: Mapping[str, Pretrained],
              report: Report, team: Team) -> tuple[Progress, dict[str, Any]]:
    recipe = setup.pretrain_recipe(spec)
    model = setup.place(setup.build_autoencoder(spec, task), recipe, device)
    joined = team.join(model)
    examples = setup.load_pool(spec, task)
    strengths = examples.remaining(recipe.augment)

    def compute_loss(batch: Batch, random: SampleRandom) -> Tensor:
        batch = setup.prepare(task, spec, batch, random, strengths)
        with autocast(recipe, device):
            loss: Tensor = joined(batch, random, recipe.mask_ratio)
        return team.mean(loss)

    def after_epoch(progress: Progress) -> None:
        report(progress.epoch, recipe.epochs, f"loss {progress.measurements[-1].value:.3f}")

    progress = fit(model, compute_loss, recipe, spec.shape.depth, examples, spec.seed, device, work / "checkpoint.pt",
                   spec.run_id, after_epoch, team=team)
    if team.rank:
        return progress, {}
    sha256 = save_weights(model.encoder, work / "weights.safetensors")
    return progress, {"weights": {"result": sha256}, "parameters": {"training": setup.count_parameters(model)},
                      "data_notes": setup.notes_of({"train": examples})}


def _train(spec: RunSpec, task: Task, arm: Arm | None, device: torch.device, work: Path, starts: Mapping[str, Pretrained],
           report: Report, team: Team) -> tuple[Progress, dict[str, Any]]:
    recipe = setup.train_recipe(spec)
    assert arm is not None
    built = setup.build(spec, task, arm, starts)
    model, pathways = built.model, built.pathways
    if pathways and not team.rank:  # on the disk, as these weights, twice the size of all blocks, are wanted once, at the end
        save_tensors({f"{pathway.name}.{part}": value for pathway in pathways for part, value in pathway.weights().items()},
                     work / "initial.safetensors")
    setup.place(model, recipe, device)
    parameters = {"training": setup.count_parameters(model), "trainable": setup.count_parameters(model, trainable=True)}
    # What is tested and exported is the average, where there is one; scales and the merge difference are the model's.
    average = WeightAverage(model, recipe.ema_decay) if recipe.ema_decay is not None else None
    tested = model if average is None else average.module
    if average is not None:
        part_classes(tested)
    joined = team.join(trained_as(model, arm))
    splits = setup.load_splits(spec, task)
    strengths = splits["train"].remaining(recipe.augment)

    def compute_loss(batch: Batch, random: SampleRandom) -> Tensor:
        batch = setup.prepare(task, spec, batch, random, strengths, team.pairs)
        with autocast(recipe, device):
            return loss_of(task, joined, batch, recipe, team)

    def measure(progress: Progress, kept: Kept | None = None) -> None:
        began = time.perf_counter()
        for split in SPLITS[1:]:
            progress.measure(split, evaluate(tested, task, splits[split], spec, device, kept=kept if split == "test" else None,
                                             team=team))
        progress.spend("evaluate", began)

    def after_epoch(progress: Progress) -> None:
        if pathways:
            progress.measure("train", {"mean |scale|": add_up([pathway.mean_scale() for pathway in pathways]) / len(pathways)})
        if progress.epoch % recipe.eval_every == 0 and progress.epoch < recipe.epochs:  # the last one is measured merged
            measure(progress)
            watch.note(progress.epoch)
        report(progress.epoch, recipe.epochs, _latest(progress, task))

    feed = Feed([splits["train"]], [spec.seed], recipe, device, team)
    watch = Watch(model, pathways, compute_loss, feed, work / "initial.safetensors", work / SIGNED)
    gradients = watch.begin()
    try:
        progress = fit(model, compute_loss, recipe, spec.shape.depth, splits["train"], spec.seed, device,
                       work / "checkpoint.pt", spec.run_id, after_epoch, lambda: setup.set_train_mode(model, spec.setting),
                       arm.tune, average, team)
    except NonFiniteLoss as error:
        if adds_loss(arm):
            raise NonFiniteLoss(f"{error}; or what arm {arm.name} adds to the loss is no finite number") from error
        raise
    watch.note(progress.epoch)
    if average is not None:
        make_plain(tested, arm)  # where it merges itself; pathways were averaged merged
    if team.rank:
        make_plain(model, arm)
        measure(progress)
        return progress, {}
    layers = describe_layers(pathways, work / "initial.safetensors", gradients) if pathways else []
    difference = None
    if pathways or merges_itself(arm):
        difference = merge_and_compare(model, arm, task, splits["test"], spec, device)
    check_plain(tested, built.plain, arm)
    kept = Kept()
    measure(progress, kept)
    if not arm.adds:
        check_export(tested, arm, task, splits["test"], spec, device)
    write_outputs(work / OUTPUTS, kept.arrays())
    progress.seconds["inference"] = seconds_per_sample(tested, task, splits["test"], spec, device)
    parameters["merged"] = setup.count_parameters(model)
    weights = setup.digests_of(starts)
    weights["result"] = export_weights(tested, work / "weights.safetensors")
    save_tensors({"val": representations(tested, task, splits["val"], spec, device)}, work / "representations.safetensors")
    return progress, {"layers": layers, "merge_difference": difference, "parameters": parameters, "weights": weights,
                      "loading": built.loading, "data_notes": setup.notes_of(splits)}


def describe_layers(pathways: Sequence[Pathway], initial: Path, gradients: Mapping[str, dict[str, float]]) -> list[Layer]:
    """Every pathway after training, layer by layer beside its weights of the start, whose file is not kept."""
    layers = []
    with safe_open(initial, "pt") as file:
        for pathway in pathways:
            start = {part: file.get_tensor(f"{pathway.name}.{part}") for part in pathway.weights()}
            layers.append(pathway.describe(start).model_copy(update={"initial_gradient": gradients[pathway.name]}))
    initial.unlink()
    return layers


def merge_and_compare(model: TransformerModel, arm: Arm, task: Task, examples: Examples, spec: RunSpec,
                      device: torch.device) -> float:
    """Merge pathways, and what the arm merges itself; returns the largest difference of test logits over the largest logit.

    Raises `ValueError` where a merge of the arm's own makes another model.
    """
    with apart(model):
        before = logits_of(model, task, examples, spec, device)
    make_plain(model, arm)
    after = logits_of(model, task, examples, spec, device)
    difference = difference_of(before, after)
    check_difference(difference, arm)
    return difference


def check_export(model: TransformerModel, arm: Arm, task: Task, examples: Examples, spec: RunSpec,
                 device: torch.device) -> None:
    """Raises `ValueError` where the weights of a merged model do not say what it computes: no file has an activation, a hook
    or another `forward`."""
    plain = setup.place(setup.build_model(spec, task), spec.recipe, device)
    plain.load_state_dict(model.state_dict())
    own, exported = (logits_of(each, task, examples, spec, device) for each in (model, plain))
    difference = difference_of(own, exported)
    if not difference <= SAME:
        raise ValueError(
            f"the plain model with the weights that are exported differs by {difference:.1e} of the largest logit from the "
            f"model that is tested: let `merge` of arm {arm.name} undo what `build` alters beside weights, such as an "
            f"activation or a hook; a tokenizer and a head of task {task.name} keep what they learn in parameters and buffers")


def difference_of(logits: Tensor, others: Tensor) -> float:
    """The largest difference over the largest of `logits`, both of one shape"""
    largest: float = ((others - logits).abs().max() / logits.abs().max().clamp_min(1e-12)).item()
    return largest


def _latest(progress: Progress, task: Task) -> str:
    values = [row.value for row in progress.measurements if (row.split, row.metric) == ("val", task.metric.name)]
    loss = [row.value for row in progress.measurements if (row.split, row.metric) == ("train", "loss")][-1]
    return f"val {task.metric.name} {values[-1]:.1f}" if values else f"loss {loss:.3f}"
