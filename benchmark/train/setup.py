"""A spec, its task and arm, and what it starts from in; everything that its training needs out.

One model is trained from this, a place of a stack, or what the bench measures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.utils import deterministic

from benchmark.data.augment import mix
from benchmark.data.examples import Batch, Examples
from benchmark.data.seeds import SampleRandom, derive_seed, generator, seed_torch
from benchmark.model.encoder import TransformerModel, write_out_attention
from benchmark.model.mae import MaskedAutoencoder
from benchmark.model.pathway import Pathway, trained_parameters
from benchmark.model.weights import load_blocks, load_encoder
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.recipes import OptimRecipe, PretrainRecipe, Split, TrainRecipe
from benchmark.spec.runspec import Pretrained, RunSpec, Site
from benchmark.train.optim import AUTOCAST
from benchmark.train.plain import Layout, check_apart, check_built, layout_of

Part = TypeVar("Part", bound=nn.Module)


def take_device(site: Site) -> torch.device:
    """The device of a site, and this process as results are computed in it: so many threads, and deterministic."""
    torch.set_num_threads(site.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a tenth of a small model's time, for bugs only
    device = torch.device(site.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.cuda.reset_peak_memory_stats(device)
    return device


def place(model: Part, recipe: OptimRecipe, device: torch.device) -> Part:
    """The model, moved to its device; its attention as it is fast there in the recipe's precision.

    On a CPU in half precision that is in timm's parts, as a stack has it: backward, torch's fused attention takes
    0.1 ms there for each head of each sample, whatever there is to do. Parts took a sixth of its time at 17 tokens,
    half at 197, as long at 512, and less again at 1,024. (findings/torch_half_attention_backward.sh compares it with
    torch's own parts, which compute in single precision and are slower.)
    """
    if device.type == "cpu" and recipe.precision in AUTOCAST:
        write_out_attention(model)
    return model.to(device)


@dataclass
class Built:
    """A model as it begins to train."""

    model: TransformerModel
    pathways: list[Pathway]
    loading: dict[str, list[str]]  # keys that the starting checkpoint lacked or had too many
    plain: Layout  # of the model without its arm


def build(spec: RunSpec, task: Task, arm: Arm, starts: Mapping[str, Pretrained]) -> Built:
    """The target's model on the CPU: its weights loaded, what its setting freezes frozen, and its arm's pathways built."""
    recipe = train_recipe(spec)
    model = build_model(spec, task)
    loading = load_encoder(model, starts["target"].weights, starts["target"].shape) if "target" in starts else {}
    blocks = {role: load_blocks(start.weights, start.shape) for role, start in starts.items() if role != "target"}
    set_trainable(model, spec, recipe)
    stream = arm.stream(spec.task, spec.setting or "pretrained", spec.auxiliary)
    plain = layout_of(model)
    model.inputs = load_inputs(spec, task, arm.num_inputs) if arm.num_inputs else None
    pathways = arm.build(model, blocks, generator(spec.seed, *stream))
    model.inputs = None
    check_built(model, pathways, plain, arm)
    if spec.setting == "fix":
        for pathway in pathways:
            pathway.freeze_auxiliary()
    return Built(model, pathways, {name: keys for name, keys in loading.items() if keys}, plain)


def build_model(spec: RunSpec, task: Task) -> TransformerModel:
    """The target's model, freshly initialised: equal for every arm of a seed."""
    recipe = train_recipe(spec)
    setting, num_classes = spec.setting or "pretrained", spec.num_classes or 1
    tokenizer = _seeded(spec, "tokenizer", lambda: task.tokenizer(spec.shape))
    head = _seeded(spec, "head", lambda: task.head(spec.shape, num_classes, setting))
    model = _seeded(spec, "blocks", lambda: TransformerModel(tokenizer, head, spec.shape, recipe.drop_path_rate))
    model.checkpoint_blocks = bool(recipe.checkpoint_blocks)
    check_apart(model)
    return model


def build_autoencoder(spec: RunSpec, task: Task) -> MaskedAutoencoder:
    """The modality's masked autoencoder, freshly initialised."""
    tokenizer = _seeded(spec, "tokenizer", lambda: task.tokenizer(spec.shape))
    target = _seeded(spec, "decoder", lambda: task.masked_target(spec.shape))
    rate = spec.recipe.drop_path_rate or 0.0
    model = _seeded(spec, "blocks", lambda: MaskedAutoencoder(tokenizer, target, spec.shape, rate))
    model.encoder.checkpoint_blocks = bool(spec.recipe.checkpoint_blocks)
    check_apart(model.encoder)
    return model


def _seeded(spec: RunSpec, use: str, construct: Callable[[], Part]) -> Part:
    """Build a module from an initialisation stream of its own, so that no other part's size shifts it.

    The modality is part of its name: two modalities of a seed that began from equal weights would end in one basin, and
    a pathway between them would average weights of one origin. Where that is asked for, blocks have another's stream.
    """
    modality = spec.origin if use == "blocks" and spec.origin else spec.modality
    seed_torch(derive_seed(spec.seed, "init", modality, use))
    return construct()


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


def set_train_mode(model: TransformerModel, setting: str | None) -> None:
    """What trains to train mode: in the setting `fix` the head alone."""
    model.train(setting != "fix")
    model.head.train()


def load_splits(spec: RunSpec, task: Task) -> dict[Split, Examples]:
    """The splits that a training reads: the samples and labels that its spec allows, ready for its shape and recipe.

    With labels for a share of the samples, an epoch is as long as with all, and has each of them the more often: such runs
    differ in what is labelled, and not in their number of steps.
    """
    splits = {split: examples.take(spec.limit) for split, examples in task.load(spec.profile).items()}
    every, chosen = len(splits["train"]), _with_labels(spec, splits["train"])
    splits["train"] = chosen if len(chosen) == every else chosen.repeated(every)
    return {split: examples.configured(spec.shape, train_recipe(spec)) for split, examples in splits.items()}


def load_inputs(spec: RunSpec, task: Task, count: int) -> Batch:
    """So many of a training's inputs (all, where it has fewer), drawn by its seed: as they are tested, and no column beside."""
    every = task.load(spec.profile)["train"].take(spec.limit)
    examples = _with_labels(spec, every).configured(spec.shape, train_recipe(spec)).unlabelled()
    chosen = torch.randperm(len(examples), generator=generator(spec.seed, "inputs"))[:count]
    return task.augment(next(iter(examples.stream([chosen]))), None, {})


def _with_labels(spec: RunSpec, examples: Examples) -> Examples:
    """Those samples of the training split that a run has labels for, with these labels"""
    recipe = train_recipe(spec)
    return examples.labelled(recipe.label_share, recipe.shuffle_labels, generator(spec.seed, "labels"))


def load_pool(spec: RunSpec, task: Task) -> Examples:
    """The samples that a pretraining reads."""
    return task.load_pretraining(spec.profile).take(spec.limit).configured(spec.shape, spec.recipe)


def prepare(task: Task, spec: RunSpec, batch: Batch, random: SampleRandom, strengths: Mapping[str, float],
            pairs: tuple[Tensor, Tensor] | None = None) -> Batch:
    """A batch as a model trains on it: augmented by `strengths`, and mixed as the recipe has it; `pairs` as of `mix`."""
    recipe = spec.recipe
    batch = task.augment(batch, random, strengths)
    if isinstance(recipe, TrainRecipe) and (recipe.mixup or recipe.cutmix):
        assert spec.num_classes is not None
        batch = mix(batch, spec.num_classes, random, recipe.mixup, recipe.cutmix, recipe.mix_switch, recipe.label_smoothing,
                    pairs)
    return batch


def train_recipe(spec: RunSpec) -> TrainRecipe:
    """The recipe of a training"""
    assert isinstance(spec.recipe, TrainRecipe)
    return spec.recipe


def pretrain_recipe(spec: RunSpec) -> PretrainRecipe:
    """The recipe of a pretraining"""
    assert isinstance(spec.recipe, PretrainRecipe)
    return spec.recipe


def notes_of(splits: Mapping[Split, Examples]) -> dict[str, str]:
    """What readers of a result should know of each split, where there is anything"""
    return {split: examples.note for split, examples in splits.items() if examples.note}


def count_parameters(model: nn.Module, trainable: bool = False) -> int:
    """Numbers in the parameters of `model`, of the trainable ones only where asked; of a pathway W, A and s, not their sum."""
    return sum(parameter.numel() for _, parameter in trained_parameters(model, trainable))


def digests_of(starts: Mapping[str, Pretrained]) -> dict[str, str]:
    """SHA-256 of what a run starts from, by role"""
    return {role: hashlib.sha256(start.weights.read_bytes()).hexdigest() for role, start in starts.items()}
