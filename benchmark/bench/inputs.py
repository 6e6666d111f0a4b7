"""Reading official data: how fast one core does it, beside how fast a GPU could train on what it reads."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Literal

import numpy as np
import torch
from PIL import Image

from benchmark.bench.imitations import make_modelnet_hdf5, make_shapenet55, make_shapenetpart, write_video
from benchmark.bench.measure import Bench, Result, seconds_of, torch_threads
from benchmark.data.catalogue import CATALOGUE, prepare
from benchmark.data.datasets import layouts_of
from benchmark.data.examples import Batch, Examples
from benchmark.data.files import WORKERS
from benchmark.evidence.expense import training_operations
from benchmark.model.patches import grid_of
from benchmark.spec.contracts import Task
from benchmark.spec.recipes import ModelShape, PretrainRecipe
from benchmark.train.feed import micro_batches, random_of

FBANKS = "M2PT_FBANK_CACHE"  # what was read before is not kept
SUSTAINED = 100e12  # operations a second that a GPU is taken to keep up in training; with half of it, half the cores do


Stage = Literal["train", "pretrain"]


@dataclass(frozen=True)
class Source:
    """Files like the official ones, by data set; what each stage reads, and how many of it one measurement reads."""

    stages: Mapping[Stage, str]
    make: Mapping[str, Callable[[Path], object]]
    samples: int


def _pictures(root: Path) -> None:
    """As large as ImageNet's mean picture, in pixels and about so in bytes"""
    random = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 2)):
        for label in range(2):
            folder = root / split / f"n{label:08d}"
            folder.mkdir(parents=True)
            for number in range(count):
                coarse = Image.fromarray(random.integers(0, 256, (47, 63, 3), dtype=np.uint8)).resize((500, 375))
                pixels = np.asarray(coarse) + random.normal(0, 6, (375, 500, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.JPEG", quality=90)


def _videos(root: Path) -> None:
    """Ten seconds at 25 frames a second, as resized copies of Kinetics-400 are"""
    for split, count in (("train", 6), ("val", 1)):
        lines = []
        for number in range(count):
            write_video(root / split / f"{number}.mp4", 250, (340, 256), seed=2 * number + (split == "val"))
            lines.append(f"{split}/{number}.mp4 {number % 2}\n")
        (root / f"{split}.csv").write_text("".join(lines))


def _sounds(root: Path) -> None:
    """Ten seconds of one channel at 16 kHz, as the loaders of AudioSet want them"""
    import soundfile

    random = np.random.default_rng(0)
    root.mkdir()
    rows = "".join(f'{index},/m/{index:04d},"Sound {index}"\n' for index in range(527))
    (root / "class_labels_indices.csv").write_text(f"index,mid,display_name\n{rows}")
    for split, count in (("train", 40), ("eval", 2)):
        for number in range(count):
            soundfile.write(root / f"{split}{number}.wav", random.normal(0, 0.1, 160_000), 16_000)
        data = [{"wav": f"{split}{number}.wav", "labels": f"/m/{number:04d}"} for number in range(count)]
        (root / f"{split}.json").write_text(json.dumps({"data": data}))


def _nested(make: Callable[..., object], *arguments: int) -> Callable[[Path], object]:
    return lambda root: make(root, *arguments)


SOURCES = {
    "imagenet": Source({"train": "JPEG, 500 x 375", "pretrain": "JPEG, 500 x 375"}, {"imagenet1k": _pictures}, 32),
    "kinetics": Source({"train": "MP4, 10 s of 340 x 256", "pretrain": "MP4, 10 s of 340 x 256"}, {"kinetics400": _videos}, 4),
    "audioset": Source({"train": "WAV, 10 s"}, {"audioset_20k": _sounds}, 32),
    "modelnet": Source({"train": "clouds kept from HDF5"}, {"ModelNet40": _nested(make_modelnet_hdf5, 80, 2)}, 64),
    "shapenet": Source({"train": "clouds kept from text", "pretrain": "clouds kept from npy"}, {
        "ShapeNetPart": _nested(make_shapenetpart, 24, 1, 1, 2600), "ShapeNet-55": _nested(make_shapenet55, 64)}, 48),
}


def measure_inputs(bench: Bench) -> Iterator[Result]:
    """Milliseconds a sample, read and altered as the paper's recipes say in one process with one thread; copies are samples."""
    with torch_threads(1):
        for name, source in SOURCES.items():
            with tempfile.TemporaryDirectory() as folder, _environment({CATALOGUE: folder, WORKERS: "0", FBANKS: "0"}):
                task = bench.tasks[name]
                for data_set, make in source.make.items():
                    root = Path(folder) / f"root of {data_set}"
                    make(root)
                    prepare(layouts_of(task)[data_set], root)
                for stage in source.stages:
                    yield _measure(task, source, stage, bench.repeats)


def _measure(task: Task, source: Source, stage: Stage, repeats: int) -> Result:
    profile = task.profiles["paper"]
    recipe = profile.train["pretrained"] if stage == "train" else profile.pretrain
    examples: Examples = task.load("paper")["train"] if stage == "train" else task.load_pretraining("paper")
    examples = examples.configured(profile.shape, recipe)
    repeats_of_sample = recipe.repeats or 1
    (chosen,) = micro_batches(torch.arange(min(source.samples, len(examples))), recipe.model_copy(update={"accumulation": 1}))

    def read(epoch: int) -> Batch:
        draw = partial(random_of, 0, epoch, len(examples), repeats_of_sample)
        (batch,) = examples.stream([chosen], draw=draw)
        return task.augment(batch, draw(chosen), examples.remaining(recipe.augment))

    tokens = count_tokens(profile.shape, task.modality, read(0))
    if isinstance(recipe, PretrainRecipe):
        tokens *= 1 - recipe.mask_ratio
    seconds = [seconds_of(partial(read, epoch)) / len(chosen) for epoch in range(1, repeats + 1)]
    wanted, rate = SUSTAINED / training_operations(profile.shape, tokens), 1 / median(seconds)
    cores = math.ceil(wanted / rate)
    return Result("inputs", f"{task.name}, {stage}: a sample read and altered by one core ({source.stages[stage]})",
                  tuple(1e3 * spent for spent in seconds), unit="ms",
                  detail=f"{rate:.4g} samples/s; a GPU at {SUSTAINED / 1e12:.0f} Tflop/s trains on {wanted:.4g}: "
                         f"{cores} core{'s' * (cores > 1)}")


def count_tokens(shape: ModelShape, modality: str, batch: Batch) -> float:
    """Of one sample: as many as are kept, or patches of the input; for points, as many groups to a point as in `shape`."""
    if "ids_keep" in batch:
        return batch["ids_keep"].shape[1]
    if modality == "point":
        return shape.patch_size[0] * batch["input"].shape[1] / shape.input_size[0]
    return math.prod(grid_of(shape))


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
