"""What a step of many small models at once costs beside the step of one of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from benchmark.bench.measure import Bench, Result, alternate, milliseconds, ratios
from benchmark.data.examples import Batch
from benchmark.data.seeds import SampleRandom
from benchmark.plan.matrix import Cell, Job, Planner
from benchmark.train import setup
from benchmark.train.capture import CAPTURED, Replayed
from benchmark.train.feed import Feed, Part
from benchmark.train.loop import OneModel
from benchmark.train.members import Member
from benchmark.train.optim import autocast, build_optimizer
from benchmark.train.stacked_runs import Stack

SEEDS, ARMS = 6, 8  # of a stack on a GPU
TRIED = 2  # of both on a CPU, where stacks are no use, to try the bench out
STEPS = 10  # in a row, which no device waits between


@dataclass
class Stepping:
    """Steps of a model, or of a stack, on the batches of one epoch after the other."""

    trainee: OneModel | Stack
    feed: Feed
    number: Iterator[int] = field(default_factory=count)
    left: Iterator[Iterator[Part]] = field(default_factory=lambda: iter(()))

    def __call__(self) -> None:
        """A few steps"""
        for _ in range(STEPS):
            parts = next(self.left, None)
            if parts is None:
                self.left = self.feed.epoch(0)
                parts = next(self.left)
            self.trainee.step(parts, 1e-4, next(self.number))


def measure_stack(bench: Bench) -> Iterator[Result]:
    """A step of a stack of tiny image models, arms and seeds, captured and not, over that of one model, not captured."""
    gpu = bench.device.type == "cuda"
    task = bench.tasks["imagenet"]
    cells = [Cell(task, arm, "scratch") for arm in bench.arms.values() if "scratch" in arm.settings and not arm.uses_auxiliary]
    seeds, num_arms = (SEEDS, ARMS) if gpu else (TRIED, TRIED)
    jobs = [job for job in Planner(bench.tasks, "tiny").plan(cells, range(seeds)).jobs
            if job.spec.kind == "train" and not job.needs]
    arms = list(dict.fromkeys(job.spec.arm for job in jobs))[:num_arms]
    jobs = [job for job in jobs if job.spec.arm in arms]
    places = seeds * num_arms
    with tempfile.TemporaryDirectory() as folder:
        def stacked(capture: bool) -> Stepping:
            members = [Member(job.spec, job.task, job.arm, Path(folder), {}) for job in jobs]
            for member in members:
                member.build()
            stack = Stack(members, places, bench.device)
            stack.replayed = Replayed(stack.compute, stack.state, bench.device, capture)
            stack.train_mode()
            return Stepping(stack, stack.feed)

        works = {"one": one_alone(jobs[0], bench.device), "eager": stacked(False), "captured": stacked(True)}
        seconds = alternate(works, 3 * bench.repeats, bench.wait)
    stack = works["captured"].trainee
    assert isinstance(stack, Stack)
    what = f"step of a stack of {places} tiny image models ({len(arms)} arms, {len(stack.seeds)} seeds)"
    detail = f"one {milliseconds([spent / STEPS for spent in seconds['one']])}"
    yield Result("stack", f"{what}, eager, over that of one model", ratios(seconds["eager"], seconds["one"]),
                 2.5 if gpu else None, detail=detail)
    if stack.replayed.how == CAPTURED:
        yield Result("stack", f"{what}, captured, over that of one model", ratios(seconds["captured"], seconds["one"]),
                     1.3, detail=detail)
    elif gpu:
        raise RuntimeError(f"the step of a stack was not captured: {stack.replayed.how}")


def one_alone(job: Job, device: torch.device) -> Stepping:
    """The same training of one run"""
    spec, task, recipe = job.spec, job.task, setup.train_recipe(job.spec)
    assert job.arm is not None
    model = setup.place(setup.build(spec, task, job.arm, {}).model, recipe, device)
    examples = setup.load_splits(spec, task)["train"]
    strengths = examples.remaining(recipe.augment)

    def compute_loss(batch: Batch, random: SampleRandom) -> Tensor:
        batch = setup.prepare(task, spec, batch, random, strengths)
        with autocast(recipe, device):
            return task.loss(model(batch), batch, recipe)

    one = OneModel(model, compute_loss, build_optimizer(model, recipe, spec.shape.depth, job.arm.tune),
                   torch.amp.GradScaler(device.type, enabled=False), None, recipe, spec.seed, device, model.train)
    setup.set_train_mode(model, spec.setting)
    return Stepping(one, Feed([examples], [spec.seed], recipe, device))
