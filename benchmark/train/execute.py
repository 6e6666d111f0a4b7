"""One run: a spec with its task and arm in, a record and weights out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.utils import deterministic

from benchmark.data.augment import mix
from benchmark.data.examples import Batch, Examples
from benchmark.data.seeds import SampleRandom, derive_seed, generator
from benchmark.model.encoder import TransformerModel
from benchmark.model.mae import MaskedAutoencoder
from benchmark.model.pathway import Pathway, apart, merge, trained_parameters
from benchmark.model.weights import export_weights, load_blocks, load_encoder, save_tensors, save_weights
from benchmark.provenance.environment import describe_environment, peak_memory_bytes
from benchmark.records.record import Layer, Record
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.recipes import SPLITS, PretrainRecipe, Split, TrainRecipe
from benchmark.spec.runspec import Pretrained, RunSpec, Site
from benchmark.train.evaluate import evaluate, logits_of, representations, seconds_per_sample
from benchmark.train.loop import Progress, backward, batches, epoch_order, fit, micro_batches, random_of
from benchmark.train.optim import WeightAverage, autocast, clear_gradients

Part = TypeVar("Part", bound=nn.Module)
Report = Callable[[int, int, str], None]  # finished epochs, all epochs, a short text


def execute(spec: RunSpec, task: Task, arm: Arm | None, site: Site, work: Path, starts: Mapping[str, Pretrained],
            report: Report = lambda done, total, text: None) -> Record:
    """Carry out one run; `starts` are the pretraining runs it starts from, by role.

    Leaves `weights.safetensors` in `work`, and of a training what its blocks make of the validation split. Continues
    from a checkpoint there. Deterministic on one device.
    """
    torch.set_num_threads(site.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a tenth of a small model's time, for bugs only
    device = torch.device(site.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.cuda.reset_peak_memory_stats(device)
    began, started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    run = _pretrain if spec.kind == "pretrain" else _train
    progress, details = run(spec, task, arm, device, work, starts, report)
    progress.spend("wall", began)
    return Record(
        run_id=spec.run_id, spec=spec, measurements=progress.measurements, environment=describe_environment(device),
        seconds={name: round(value, 3) for name, value in progress.seconds.items()},
        peak_memory_bytes=peak_memory_bytes(device), started=started, resumed=progress.resumed, command=site.command,
        **details)


def build_model(spec: RunSpec, task: Task) -> TransformerModel:
    """The target's model, freshly initialised: equal for every arm of a seed."""
    assert isinstance(spec.recipe, TrainRecipe)
    recipe, setting, num_classes = spec.recipe, spec.setting or "pretrained", spec.num_classes or 1
    tokenizer = _seeded(spec, "tokenizer", lambda: task.tokenizer(spec.shape))
    head = _seeded(spec, "head", lambda: task.head(spec.shape, num_classes, setting))
    model = _seeded(spec, "blocks", lambda: TransformerModel(tokenizer, head, spec.shape, recipe.drop_path_rate))
    model.checkpoint_blocks = bool(recipe.checkpoint_blocks)
    return model


def build_autoencoder(spec: RunSpec, task: Task) -> MaskedAutoencoder:
    """The modality's masked autoencoder, freshly initialised."""
    tokenizer = _seeded(spec, "tokenizer", lambda: task.tokenizer(spec.shape))
    target = _seeded(spec, "decoder", lambda: task.masked_target(spec.shape))
    rate = spec.recipe.drop_path_rate or 0.0
    model = _seeded(spec, "blocks", lambda: MaskedAutoencoder(tokenizer, target, spec.shape, rate))
    model.encoder.checkpoint_blocks = bool(spec.recipe.checkpoint_blocks)
    return model


def _seeded(spec: RunSpec, use: str, build: Callable[[], Part]) -> Part:
    """Build a module from an initialisation stream of its own, so that no other part's size shifts it.

    The modality is part of its name: two modalities of a seed that began from equal weights would end in one basin, and
    a pathway between them would average weights of one origin.
    """
    torch.manual_seed(derive_seed(spec.seed, "init", spec.modality, use))
    return build()


def _pretrain(spec: RunSpec, task: Task, arm: Arm | None, device: torch.device, work: Path, starts: Mapping[str, Pretrained],
              report: Report) -> tuple[Progress, dict[str, Any]]:
    recipe = spec.recipe
    assert isinstance(recipe, PretrainRecipe)
    model = build_autoencoder(spec, task).to(device)
    examples = task.load_pretraining(spec.profile).take(spec.limit).configured(spec.shape, recipe)
    strengths = examples.remaining(recipe.augment)

    def compute_loss(batch: Batch, random: SampleRandom) -> Tensor:
        batch = task.augment(batch, random, strengths)
        with autocast(recipe, device):
            loss: Tensor = model(batch, random, recipe.mask_ratio)
        return loss

    def after_epoch(progress: Progress) -> None:
        report(progress.epoch, recipe.epochs, f"loss {progress.measurements[-1].value:.3f}")

    progress = fit(model, compute_loss, recipe, spec.shape.depth, examples, spec.seed, device, work / "checkpoint.pt",
                   spec.run_id, after_epoch)
    sha256 = save_weights(model.encoder, work / "weights.safetensors")
    return progress, {"weights": {"result": sha256}, "parameters": {"training": count_parameters(model)},
                      "data_notes": notes_of({"train": examples})}


def _train(spec: RunSpec, task: Task, arm: Arm | None, device: torch.device, work: Path, starts: Mapping[str, Pretrained],
           report: Report) -> tuple[Progress, dict[str, Any]]:
    recipe = spec.recipe
    assert isinstance(recipe, TrainRecipe)
    assert arm is not None
    assert spec.num_classes is not None
    num_classes = spec.num_classes
    model = build_model(spec, task)
    loading = load_encoder(model, starts["target"].weights, starts["target"].shape) if "target" in starts else {}
    blocks = {role: load_blocks(start.weights, start.shape) for role, start in starts.items() if role != "target"}
    set_trainable(model, spec, recipe)
    pathways = arm.build(model, blocks, generator(spec.seed, "arm", spec.arm or ""))
    if spec.setting == "fix":
        for pathway in pathways:
            pathway.freeze_auxiliary()
    del blocks
    if pathways:  # on the disk, as these weights, twice the size of all blocks, are wanted once, at the end
        save_tensors({f"{pathway.name}.{part}": value for pathway in pathways for part, value in pathway.weights().items()},
                     work / "initial.safetensors")
    model.to(device)
    parameters = {"training": count_parameters(model), "trainable": count_parameters(model, trainable=True)}
    # What is tested and exported is the average, where there is one; scales and the merge difference are the model's.
    average = WeightAverage(model, recipe.ema_decay) if recipe.ema_decay is not None else None
    tested = model if average is None else average.module
    splits = {split: examples.take(spec.limit) for split, examples in task.load(spec.profile).items()}
    splits["train"] = splits["train"].labelled(recipe.label_share, recipe.shuffle_labels, generator(spec.seed, "labels"))
    splits = {split: examples.configured(spec.shape, recipe) for split, examples in splits.items()}
    strengths = splits["train"].remaining(recipe.augment)

    def compute_loss(batch: Batch, random: SampleRandom) -> Tensor:
        batch = task.augment(batch, random, strengths)
        if recipe.mixup or recipe.cutmix:
            batch = mix(batch, num_classes, random, recipe.mixup, recipe.cutmix, recipe.mix_switch, recipe.label_smoothing)
        with autocast(recipe, device):
            return task.loss(model(batch), batch, recipe)

    def train_mode() -> None:
        model.train(spec.setting != "fix")
        model.head.train()

    def measure(progress: Progress) -> None:
        began = time.perf_counter()
        for split in SPLITS[1:]:
            progress.measure(split, evaluate(tested, task, splits[split], spec, device))
        progress.spend("evaluate", began)

    def after_epoch(progress: Progress) -> None:
        if pathways:
            progress.measure("train", {"mean |scale|": sum(pathway.mean_scale() for pathway in pathways) / len(pathways)})
        if progress.epoch % recipe.eval_every == 0 and progress.epoch < recipe.epochs:  # the last one is measured merged
            measure(progress)
        report(progress.epoch, recipe.epochs, _latest(progress, task))

    gradients = initial_gradients(model, pathways, compute_loss, splits["train"], recipe, spec.seed, device)
    progress = fit(model, compute_loss, recipe, spec.shape.depth, splits["train"], spec.seed, device,
                   work / "checkpoint.pt", spec.run_id, after_epoch, train_mode, arm.tune, average)
    layers = describe(pathways, work / "initial.safetensors", gradients) if pathways else []
    difference = merge_and_compare(model, task, splits["test"], spec, device) if pathways else None
    measure(progress)
    progress.seconds["inference"] = seconds_per_sample(tested, task, splits["test"], spec, device)
    parameters["merged"] = count_parameters(model)
    weights = {role: _sha256(start.weights) for role, start in starts.items()}
    weights["result"] = export_weights(tested, work / "weights.safetensors")
    save_tensors({"val": representations(tested, task, splits["val"], spec, device)}, work / "representations.safetensors")
    return progress, {"layers": layers, "merge_difference": difference, "parameters": parameters, "weights": weights,
                      "loading": {name: keys for name, keys in loading.items() if keys}, "data_notes": notes_of(splits)}


def notes_of(splits: Mapping[Split, Examples]) -> dict[str, str]:
    """What readers of a result should know of each split, where there is anything"""
    return {split: examples.note for split, examples in splits.items() if examples.note}


def set_trainable(model: TransformerModel, spec: RunSpec, recipe: TrainRecipe) -> None:
    """Freeze all but the head, and what pretraining did without, in the setting `fix`; free fixed positions where the
    recipe says so.
    """
    if spec.setting == "fix":
        model.requires_grad_(False)
        model.head.requires_grad_(True)
        for name in model.tokenizer.added_for_target:
            getattr(model.tokenizer, name).requires_grad_(True)
    elif recipe.train_position:
        for name, parameter in model.tokenizer.named_parameters():
            if name.endswith("pos_embed"):
                parameter.requires_grad_(True)


def initial_gradients(model: TransformerModel, pathways: Sequence[Pathway],
                      compute_loss: Callable[[Batch, SampleRandom], Tensor], examples: Examples, recipe: TrainRecipe, seed: int,
                      device: torch.device) -> dict[str, dict[str, float]]:
    """Gradient norms of every pathway by name, of the first batch before any step; leaves no trace in the model.

    In evaluation mode, as batch norms would count the batch.
    """
    if not pathways:
        return {}
    model.eval()
    parts = micro_batches(batches(epoch_order(len(examples), seed, 0), recipe.batch_size)[0], recipe)
    draw = partial(random_of, seed, 0, len(examples), recipe.repeats or 1)
    backward(compute_loss, examples.stream(parts, device, draw), parts, draw)
    norms = {pathway.name: pathway.gradients() for pathway in pathways}
    clear_gradients(model)
    return norms


def describe(pathways: Sequence[Pathway], initial: Path, gradients: Mapping[str, dict[str, float]]) -> list[Layer]:
    """Every pathway after training, layer by layer beside its weights of the start, whose file is not kept."""
    layers = []
    with safe_open(initial, "pt") as file:
        for pathway in pathways:
            start = {part: file.get_tensor(f"{pathway.name}.{part}") for part in pathway.weights()}
            layers.append(pathway.describe(start).model_copy(update={"initial_gradient": gradients[pathway.name]}))
    initial.unlink()
    return layers


def merge_and_compare(model: TransformerModel, task: Task, examples: Examples, spec: RunSpec, device: torch.device) -> float:
    """Merge the pathways; returns the largest difference of test logits over the largest logit."""
    with apart(model):
        before = logits_of(model, task, examples, spec, device)
    merge(model)
    after = logits_of(model, task, examples, spec, device)
    return ((after - before).abs().max() / before.abs().max().clamp_min(1e-12)).item()


def count_parameters(model: nn.Module, trainable: bool = False) -> int:
    """Numbers in the parameters of `model`, of the trainable ones only where asked; of a pathway W, A and s, not their sum."""
    return sum(parameter.numel() for _, parameter in trained_parameters(model, trainable))


def _latest(progress: Progress, task: Task) -> str:
    values = [row.value for row in progress.measurements if (row.split, row.metric) == ("val", task.metric.name)]
    loss = [row.value for row in progress.measurements if (row.split, row.metric) == ("train", "loss")][-1]
    return f"val {task.metric.name} {values[-1]:.1f}" if values else f"loss {loss:.3f}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
