"""Planned runs in; the first whose sizes, recipe or options its task or arm does not know, out, before anything is computed.

What a profile has of its own is not tried here: a task of one's own is looked at as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from benchmark.check.attempt import told
from benchmark.data.embedded import DataError
from benchmark.data.seeds import SampleRandom, generator
from benchmark.model.encoder import build_blocks
from benchmark.plan.fit import check_micro_batches, set_otherwise
from benchmark.plan.matrix import Job
from benchmark.train import setup
from benchmark.train.evaluate import views_of

SAMPLES = 2


def check_choices(jobs: Iterable[Job]) -> None:
    """Raises `ValueError` naming the first run that could not begin with what was set otherwise than in its profile, or with
    the options of its arm: of each kind of run a few samples go through its model, untrained, and the arm alters one."""
    tried: set[object] = set()
    for job in jobs:
        spec, changed = job.spec, set_otherwise(job)
        key = (spec.task, spec.kind, spec.setting, spec.limit, str(changed))
        if changed and key not in tried:
            tried.add(key)
            asked = " and ".join(f"{name} {value}" for name, value in changed.items())
            samples = _attempt(job, _pretrain if spec.kind == "pretrain" else _train, f"cannot have {asked}")
            if spec.kind == "train" and samples:
                check_micro_batches(job, samples)
        options = (type(job.arm), str(spec.options), str(spec.shape))
        if job.arm is not None and job.arm.variant and options not in tried:
            tried.add(options)
            _attempt(job, _build, "cannot be built")


def _attempt(job: Job, step: Callable[[Job], int], what: str) -> int:
    """Samples that the run trains on, as the step counts them; 0 where its data cannot be read here"""
    try:
        return step(job)
    except DataError:  # files that only the machine has which the run is for: it says what is wrong
        return 0
    except Exception as error:  # of whatever kind, the run would end with it
        said = " ".join(str(error).split()) if isinstance(error, ValueError) else told(error, "tried", job.task, job.arm)
        raise ValueError(f"{job.spec.cell} {what}: {said}") from error


@torch.no_grad()
def _pretrain(job: Job) -> int:
    recipe = setup.pretrain_recipe(job.spec)
    model = setup.build_autoencoder(job.spec, job.task)
    pool = setup.load_pool(job.spec, job.task)
    indices = torch.arange(min(SAMPLES, len(pool)))
    random = SampleRandom(job.spec.seed, 0, indices)
    batch = next(pool.stream([indices], draw=lambda chosen: random))
    model(setup.prepare(job.task, job.spec, batch, random, pool.remaining(recipe.augment)), random, recipe.mask_ratio)
    return len(pool)


@torch.no_grad()
def _train(job: Job) -> int:
    recipe = setup.train_recipe(job.spec)
    model = setup.build_model(job.spec, job.task)
    splits = setup.load_splits(job.spec, job.task)
    indices = torch.arange(SAMPLES) % len(splits["train"])
    random = SampleRandom(job.spec.seed, 0, indices)
    batch = next(splits["train"].stream([indices], draw=lambda chosen: random))
    prepared = setup.prepare(job.task, job.spec, batch, random, splits["train"].remaining(recipe.augment))
    job.task.loss(model(prepared), prepared, recipe)
    tested = next(splits["test"].stream([torch.arange(min(SAMPLES, len(splits["test"])))]))
    model.tokenizer(next(views_of(job.task, tested, job.spec)))
    return len(splits["train"])


def _build(job: Job) -> int:
    assert job.arm is not None
    model = setup.build_model(job.spec, job.task)
    shapes = {role: run.shape for role, run in job.needs} | {role: file.shape for role, file in job.files}
    blocks = {role: build_blocks(shape.embed_dim, shape.depth, shape.num_heads, shape.mlp_ratio, shape.qkv_bias,
                                 init_std=shape.init_std, norm_eps=shape.norm_eps)
              for role, shape in shapes.items() if role != "target"}
    if job.arm.num_inputs:
        model.inputs = setup.load_inputs(job.spec, job.task, job.arm.num_inputs)
    job.arm.build(model, blocks, generator(job.spec.seed, "try"))
    return 0
