"""Reading official data: how fast one core does it, beside how fast a GPU could train on what it reads."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from benchmark.bench.measure import Bench, Result, seconds_of
from benchmark.bench.official import make_audioset, make_modelnet_hdf5, make_shapenet55, make_shapenetpart, write_video
from benchmark.contracts import Task
from benchmark.data import Examples
from benchmark.data.catalogue import CATALOGUE, prepare
from benchmark.data.files import WORKERS
from benchmark.datasets import layouts_of
from benchmark.recipes import ModelShape
from benchmark.seeds import SampleRandom

SUSTAINED = 100e12  # operations a second that a GPU is taken to keep up in training; with half of it, half the cores do


@dataclass(frozen=True)
class Source:
    """Files like the official ones, by data set, and how many of them one measurement reads."""

    what: str
    make: Mapping[str, Callable[[Path], object]]
    samples: int
    stages: tuple[Literal["train", "pretrain"], ...] = ("train", "pretrain")


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
            write_video(root / split / f"{number}.mp4", 250, (340, 256))
            lines.append(f"{split}/{number}.mp4 {number % 2}\n")
        (root / f"{split}.csv").write_text("".join(lines))


SOURCES = {
    "imagenet": Source("JPEG, 500 x 375", {"imagenet1k": _pictures}, 32),
    "kinetics": Source("MP4, 10 s of 340 x 256", {"kinetics400": _videos}, 4),
    "audioset": Source("WAV, 10 s", {"audioset_20k": lambda root: make_audioset(root, 40, 2, seconds=10)}, 32, ("train",)),
    "modelnet": Source("clouds kept from HDF5", {"ModelNet40": lambda root: make_modelnet_hdf5(root, 80, 2)}, 64, ("train",)),
    "shapenet": Source("clouds kept from text", {
        "ShapeNetPart": lambda root: make_shapenetpart(root, 24, 1, 1, 2600),
        "ShapeNet-55": lambda root: make_shapenet55(root, 64)}, 48),
}


def measure_inputs(bench: Bench) -> Iterator[Result]:
    """Milliseconds a sample, read and altered as the paper's recipes say in one process with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, source in SOURCES.items():
            with tempfile.TemporaryDirectory() as folder, _environment({CATALOGUE: folder, WORKERS: "0"}):
                task = bench.tasks[name]
                for data_set, make in source.make.items():
                    root = Path(folder) / f"root of {data_set}"
                    make(root)
                    prepare(layouts_of(task)[data_set], root)
                for stage in source.stages:
                    yield _measure(task, source, stage, bench.repeats)
    finally:
        torch.set_num_threads(threads)


def _measure(task: Task, source: Source, stage: Literal["train", "pretrain"], repeats: int) -> Result:
    profile = task.profiles["paper"]
    recipe = profile.train["pretrained"] if stage == "train" else profile.pretrain
    examples: Examples = task.load("paper")["train"] if stage == "train" else task.load_pretraining("paper")
    examples = examples.configured(profile.shape, recipe)
    chosen = torch.arange(min(source.samples, len(examples)))

    def read(epoch: int) -> None:
        for batch in examples.stream([chosen], draw=lambda indices: SampleRandom(0, epoch, indices)):
            task.augment(batch, SampleRandom(0, epoch, chosen), examples.remaining(recipe.augment))

    read(0)
    seconds = [seconds_of(lambda epoch=epoch: read(epoch)) / len(chosen) for epoch in range(1, repeats + 1)]  # type: ignore[misc]
    kept = 1 - profile.pretrain.mask_ratio if stage == "pretrain" else 1.0
    wanted = SUSTAINED / training_operations(profile.shape, task.modality, kept)
    rate = 1 / sorted(seconds)[len(seconds) // 2]
    cores = math.ceil(wanted / rate)
    return Result("inputs", f"{task.name}, {stage}: a sample read and altered by one core ({source.what})",
                  tuple(1e3 * spent for spent in seconds), unit="ms",
                  detail=f"{rate:.4g} samples/s; a GPU at {SUSTAINED / 1e12:.0f} Tflop/s trains on {wanted:.4g}: "
                         f"{cores} core{'s' * (cores > 1)}")


def training_operations(shape: ModelShape, modality: str, kept: float = 1.0) -> float:
    """Floating-point operations of forward and backward (twice forward) through the encoder's blocks, for one sample.

    A block of width D on N tokens has 8 N D^2 in attention's weights, 4 N^2 D in attention itself and 4 r N D^2 in an MLP of
    ratio r, a multiplication and an addition counted as two. Tokenizer, head and decoder are left out; `kept` is the share
    of tokens that masked pretraining encodes.
    """
    tokens = kept * (shape.patch_size[0] if modality == "point"
                     else math.prod(size // patch for size, patch in zip(shape.input_size, shape.patch_size, strict=True)))
    width = shape.embed_dim
    return 3 * shape.depth * (8 * tokens * width**2 + 4 * tokens**2 * width + 4 * shape.mlp_ratio * tokens * width**2)


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
