"""Runs that processes share, beside the same of one process: in double precision, on small official data."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from official import make_audioset, make_imagenet, make_kinetics

from baselines import ARMS
from benchmark.bench.imitations import make_shapenet55, make_shapenetpart
from benchmark.data.catalogue import prepare
from benchmark.model.encoder import build_blocks
from benchmark.model.weights import read_weights, save_tensors
from benchmark.plan.matrix import Job, Planner
from benchmark.plan.overrides import parse_override
from benchmark.plan.presets import Group, cells_of
from benchmark.records.record import Record
from benchmark.runner.together import compute_together
from benchmark.spec.contracts import Task
from benchmark.spec.runspec import Pretrained, Site
from benchmark.train import loop
from benchmark.train.execute import execute
from benchmark.train.loop import stop_requested
from benchmark.train.processes import Processes
from tasks import TASKS

FILES: Mapping[str, Mapping[str, Any]] = {
    "imagenet": {"imagenet1k": functools.partial(make_imagenet, classes=3, train=22, val=4)},
    "kinetics": {"kinetics400": make_kinetics}, "audioset": {"audioset_20k": functools.partial(make_audioset, train=24)},
    "shapenet": {"ShapeNetPart": functools.partial(make_shapenetpart, train=8, val=2, test=3), "ShapeNet-55": make_shapenet55}}
MANY = {"imagenet1k", "kinetics400", "audioset_20k", "ShapeNetPart"}  # whose makers take a number of training samples
SMALL = ("shape.embed_dim=48", "shape.num_heads=4", "shape.depth=2", "shape.decoder_depth=1", "shape.decoder_embed_dim=32",
         "shape.decoder_num_heads=4", "recipe.precision=fp32", "pretrain.precision=fp32", "recipe.warmup_epochs=0")


# Biases before a batch norm, whose gradients are 0 but for rounding, and of which AdamW makes steps nevertheless; and the means
# of what is normalised there, which follow. Outputs depend on their difference alone.
BEFORE_NORMS = ("running_mean", "point_net.conv1.bias", "point_net.conv2.bias", "point_net.conv3.bias", "layers.0.bias",
                "layers.4.bias", "propagation.0.bias", "propagation.3.bias")


def make_files(task: str, root: Path, train: int | None = None) -> None:
    """Official data of a task, prepared, with at least `train` samples to train on where that is said; M2PT_DATA says where
    the catalogue is.
    """
    layouts = {layout.name: layout for layout in TASKS[task].reader("paper").LAYOUTS}
    for name, make in FILES[task].items():
        more = {"train": train} if train is not None and name in MANY else {}
        prepare(layouts[name], make(root / name, **more))


def make_auxiliary(path: Path, width: int = 48, depth: int = 2, heads: int = 4) -> None:
    """Blocks of some other modality"""
    torch.manual_seed(1)
    blocks = build_blocks(width, depth, heads, 4.0, True)
    save_tensors({f"blocks.{name}": value for name, value in blocks.state_dict().items()}, path)


def plan_jobs(task: Task, profile: str, arm: str, overrides: Sequence[str], auxiliary: Path, setting: str = "pretrained",
              limit: int | None = None) -> list[Job]:
    """Pretraining of the task's modality first, and then the training; the auxiliary's weights are in a file."""
    tasks = {**TASKS, task.name: task}
    other = next(each.modality for each in TASKS.values() if each.modality != task.modality)
    group = Group(arms=(arm,), targets=(task.name,), auxiliaries=(other,), settings=(setting,))
    changes = [parse_override(text, tasks) for text in overrides]
    planner = Planner(tasks, profile, changes, limit=limit, given={other: auxiliary})
    return list(planner.plan(cells_of(tasks, ARMS, group), [0]).jobs)


def in_double(task: Task) -> Task:
    """The task with inputs in double precision"""
    kind = type(task)

    def augment(self, batch, random, strengths):
        return _doubled(kind.augment(self, batch, random, strengths))

    def views(self, batch, shape, counts):
        return map(_doubled, kind.views(self, batch, shape, counts))

    doubled: Task = type(f"Double{kind.__name__}", (kind,), {"augment": augment, "views": views})()
    doubled.__dict__.update(vars(task))
    return doubled


def _doubled(batch):
    return {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}


@dataclass(frozen=True)
class Run:
    """What is known of a run beside its files."""

    record: Record
    losses: list[float]  # of each step
    exchanges: int = 0  # of gradients, by the first process
    exchanged_bytes: int = 0


def carry_out(job: Job, size: int, folder: Path, target: Path | None = None, double: bool = True) -> Record:
    """A run that `size` processes share, or one by itself, always in processes of their own; leaves its files in `folder`."""
    return counted(job, size, folder, target, double).record


def counted(job: Job, size: int, folder: Path, target: Path | None = None, double: bool = True) -> Run:
    """`carry_out`, with more that is known of it"""
    folder.mkdir(parents=True, exist_ok=True)
    starts = dict(job.files)
    if target is not None:
        starts |= {role: Pretrained(weights=target, shape=need.shape) for role, need in job.needs}

    def take_part(rank, meeting, report):
        if double:
            torch.set_default_dtype(torch.float64)
            torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]  # also of losses and metrics
        os.environ["M2PT_WORKERS"] = "0"
        signal.signal(signal.SIGTERM, lambda number, frame: stop_requested.set())
        losses, backward = [], loop.backward

        def noting(*arguments, **options):
            losses.append(backward(*arguments, **options))
            return losses[-1]

        loop.backward = noting  # type: ignore[assignment]  # of this process, which ends with the run
        task = in_double(job.task) if double else job.task
        arguments = job.spec, task, job.arm, Site(results=str(folder)), folder, starts, report
        if size == 1:
            return Run(execute(*arguments), [loss.item() for loss in losses])
        team = Processes(rank, size, meeting)
        record = execute(*arguments, team)
        team.close()
        return Run(record, [loss.item() for loss in losses], team.exchanges, team.exchanged_bytes)

    return compute_together(size, take_part, lambda done, total, text: None)


def largest_difference(one: Sequence[float], other: Sequence[float]) -> float:
    """Relative, of numbers beside each other"""
    return max((_apart(a, b) for a, b in zip(one, other, strict=True)), default=0.0)


def differences(one: Record, other: Record, folders: tuple[Path, Path]) -> dict[str, float]:
    """Largest relative difference of losses, metrics, weights, and what layers say"""
    assert [(row.split, row.metric, row.step) for row in one.measurements] == [
        (row.split, row.metric, row.step) for row in other.measurements]
    found = {"measurements": max(_apart(a.value, b.value) for a, b in zip(one.measurements, other.measurements, strict=True))}
    apart = weights_apart(*folders)
    found["weights"] = max(value for name, value in apart.items() if not name.endswith(BEFORE_NORMS))
    found["before norms"] = max([0.0, *(value for name, value in apart.items() if name.endswith(BEFORE_NORMS))])
    layers = [(a, b) for a, b in zip(one.layers, other.layers, strict=True)]
    found["layers"] = max((_apart(a.scale, b.scale) for a, b in layers), default=0.0)
    found["gradients"] = max((_apart(a.initial_gradient[name], b.initial_gradient[name])
                              for a, b in layers for name in a.initial_gradient), default=0.0)
    return found


def weights_apart(one: Path, other: Path) -> dict[str, float]:
    """Largest difference of the numbers of each exported weight, by name"""
    ours, theirs = (read_weights(folder / "weights.safetensors") for folder in (one, other))
    assert ours.keys() == theirs.keys()
    return {name: (ours[name].double() - theirs[name].double()).abs().max().item() for name in ours}


def _apart(one: float, other: float) -> float:
    return abs(one - other) / max(1.0, abs(one))
