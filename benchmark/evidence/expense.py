"""Runs to be done in, what they will take of a cluster out: hours by cell, samples a second, cores for input, disk.

Where no run of a kind is recorded, its hours follow from the operations of the model's blocks and the speed at which a GPU was
measured to train ViT-B (`benchmark bench --gpu`): a lower bound, without evaluation, tokenizer, head and waiting.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmark.evidence.lengths import epochs_run, expected_length, length_of
from benchmark.spec.recipes import ModelShape, PretrainRecipe
from benchmark.spec.runspec import RunSpec

VIT_B = ModelShape(embed_dim=768, depth=12, num_heads=12, input_size=(224, 224), patch_size=(16, 16))
STEP = re.compile(r"training step of ViT-B/16 with pathways, batch (\d+), bf16")
INPUT = re.compile(r"(\S+), (train|pretrain): a sample read and altered by one core")
SIZES = {  # training samples and about so many GB of official data, where they have not been looked at
    "imagenet1k": (1_281_167, 145), "kinetics400": (240_000, 132), "audioset_20k": (22_160, 14), "ModelNet40": (9_843, 0.4),
    "ShapeNetPart": (14_007, 1.1), "ShapeNet-55": (41_952, 5.2)}
Origin = Literal["recorded", "measured", "unknown"]


@dataclass(frozen=True)
class Speeds:
    """What was measured of a GPU that trains ViT-B in bf16, and of a core that reads official data."""

    device: str = ""
    operations: float = 0.0  # a second, of the plain model
    with_pathways: float = 1.0  # a step's time over the plain model's
    core_ms: Mapping[tuple[str, str], float] = field(default_factory=dict)  # of a sample, by task and kind of run


@dataclass(frozen=True)
class Expense:
    """Of the runs of a cell that are to be done."""

    cell: str
    runs: int
    hours: float | None  # of one GPU, or of one machine without any; None where nobody knows
    samples_per_second: float | None = None  # of one GPU
    cores: int | None = None  # that keep one GPU in input
    origin: Origin = "unknown"


def load_speeds(folder: Path) -> Speeds:
    """From `bench.json` of the machines below a folder; what is not there is not known."""
    best, cores = Speeds(), dict[tuple[str, str], float]()
    for path in sorted(folder.glob("*/bench.json")):
        measured = json.loads(path.read_text(encoding="utf-8"))
        for row in measured["results"]:
            step, read = STEP.fullmatch(row["what"]), INPUT.match(row["what"])
            plain = re.search(r"plain ([\d.]+) ms", row["detail"])
            if step and plain:
                speed = int(step[1]) * training_operations(VIT_B, tokens_of(VIT_B)) / (float(plain[1]) / 1e3)
                if speed > best.operations:
                    best = Speeds(measured["environment"]["device"], speed, row["median"])
            elif read:
                cores[read[1], read[2]] = row["median"]
    return Speeds(best.device, best.operations, best.with_pathways, cores)


def expenses(pending: Sequence[RunSpec], lengths: Mapping[tuple[object, ...], Sequence[float]], speeds: Speeds,
             samples: Mapping[tuple[str, str], int]) -> list[Expense]:
    """One row for runs of a cell that take equally long.

    `lengths`: seconds of recorded runs times the processes that shared each, by `length_of`. `samples`: of the training
    split, by task and kind of run.
    """
    cells: dict[tuple[str, tuple[object, ...]], list[RunSpec]] = {}
    for spec in pending:
        cells.setdefault((spec.cell, length_of(spec)), []).append(spec)
    found = []
    for (cell, _), specs in cells.items():
        spec = specs[0]
        rate = _rate(spec, speeds)
        core = speeds.core_ms.get((spec.task, spec.kind))
        cores = math.ceil(rate * core / 1e3) if rate and core else None
        count = samples.get((spec.task, spec.kind)) if spec.limit is None else spec.limit
        seconds = expected_length(lengths, spec)
        if seconds is not None:
            found.append(Expense(cell, len(specs), len(specs) * seconds / 3600, origin="recorded"))
        elif rate and count and spec.profile == "paper":
            hours = len(specs) * count * epochs_of(spec) / rate / 3600
            found.append(Expense(cell, len(specs), hours, rate, cores, "measured"))
        else:
            found.append(Expense(cell, len(specs), None))
    return found


def _rate(spec: RunSpec, speeds: Speeds) -> float | None:
    if not speeds.operations or spec.profile != "paper":
        return None
    slower = speeds.with_pathways if spec.auxiliary else 1.0
    return speeds.operations / operations_of(spec) / slower


def epochs_of(spec: RunSpec) -> float:
    """How often a run draws each sample"""
    recipe = spec.recipe
    return epochs_run(spec) * (recipe.repeats or 1)


def operations_of(spec: RunSpec) -> float:
    """Of training on one sample: encoder on the tokens that it sees, and in pretraining the decoder on all."""
    tokens = tokens_of(spec.shape)
    if not isinstance(spec.recipe, PretrainRecipe):
        return training_operations(spec.shape, tokens)
    shape = spec.shape
    decoder = shape.model_copy(update={"embed_dim": shape.decoder_embed_dim, "depth": shape.decoder_depth})
    return (training_operations(shape, tokens * (1 - spec.recipe.mask_ratio))
            + training_operations(decoder, tokens))


def tokens_of(shape: ModelShape) -> float:
    """Patches of an input; of a cloud, the groups that are formed of it."""
    if len(shape.input_size) != len(shape.patch_size):
        return shape.patch_size[0]
    return math.prod(size // patch for size, patch in zip(shape.input_size, shape.patch_size, strict=True))


def training_operations(shape: ModelShape, tokens: float) -> float:
    """Floating-point operations of forward and backward (twice forward) through the encoder's blocks, for one sample.

    A block of width D on N tokens has 8 N D^2 in attention's weights, 4 N^2 D in attention itself and 4 r N D^2 in an MLP of
    ratio r, a multiplication and an addition counted as two. Tokenizer, head and decoder are left out.
    """
    width = shape.embed_dim
    return 3 * shape.depth * (8 * tokens * width**2 + 4 * tokens**2 * width + 4 * shape.mlp_ratio * tokens * width**2)


def disk_bytes(pending: Iterable[RunSpec]) -> tuple[float, float]:
    """Of weights that stay, of all runs; and of two checkpoints of the largest run while it goes on.

    Four bytes a number: each run leaves the encoder; a checkpoint has each weight and its two moments, of the auxiliary's,
    too.
    """
    stays, largest = 0.0, 0.0
    for spec in pending:
        shape = spec.shape
        encoder = 4 * shape.depth * (4 + 2 * shape.mlp_ratio) * shape.embed_dim**2
        stays += encoder
        largest = max(largest, 2 * 3 * encoder * (2 if spec.auxiliary else 1))
    return stays, largest
