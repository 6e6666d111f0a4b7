"""Runs that differ in their arm alone, trained in lock-step: one forward and one backward pass for all of them.

A small model leaves a GPU waiting for the next kernel. Here up to K of them are computed as one (see `benchmark.train.stack`).
What depends on (seed, epoch, sample) alone, batches, augmentation and masks, is drawn once for all; one optimizer steps
every model.

The bits are not those of a run alone (rounding differs, and on a GPU so do the masks of dropout), so K is part of a record's
environment, and no run is trained partly in a stack: only the checkpoint after the last epoch bears the run's identity.
`benchmark.train.execute.execute` goes on from that one: it merges, measures and records.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.data.examples import Batch, Examples
from benchmark.data.seeds import SampleRandom, derive_seed, seed_torch
from benchmark.model.encoder import TransformerModel
from benchmark.model.pathway import Pathway, connected
from benchmark.records.record import Record
from benchmark.spec.contracts import Arm, Task, add_up
from benchmark.spec.recipes import SPLITS, TrainRecipe
from benchmark.spec.runspec import Pretrained, RunSpec, Site
from benchmark.train import setup
from benchmark.train.checkpoint import load_checkpoint
from benchmark.train.evaluate import batch_size_of, logits_of, scores
from benchmark.train.feed import Feed
from benchmark.train.loop import CHECK_EVERY_STEPS, OneModel, Progress, Stopped, resume, save, stop_requested
from benchmark.train.optim import (
    PathwayAdamW,
    autocast,
    build_optimizer,
    clip_gradients,
    learning_rate,
    set_learning_rate,
)
from benchmark.train.stack import Stack, structure

SAME = 1e-2  # of the largest logit: rounding is less, though GPUs cut what convolutions multiply to 10 bits
Report = Callable[[int, int, str], None]  # finished epochs, all epochs, a short text


@dataclass
class Origin:
    """What a checkpoint says of the stack that it is from."""

    lockstep: int = 0  # K
    started: str = ""

    def state_dict(self) -> dict[str, int | str]:
        """As of a model"""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As of a model"""
        vars(self).update(state)


class _MemberState(OneModel):
    """With where it is from."""

    origin: Origin

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), "origin": self.origin}


@dataclass(eq=False)
class Member:
    """A run of a stack: what it is, and its model once it is built."""

    spec: RunSpec
    arm: Arm
    work: Path
    starts: Mapping[str, Pretrained]
    model: TransformerModel = field(init=False)
    pathways: list[Pathway] = field(init=False)
    state: _MemberState = field(init=False)
    progress: Progress = field(init=False)

    @property
    def recipe(self) -> TrainRecipe:
        """As the spec has it"""
        assert isinstance(self.spec.recipe, TrainRecipe)
        return self.spec.recipe

    @property
    def checkpoint(self) -> Path:
        """Where `execute` looks for it"""
        return self.work / "checkpoint.pt"

    def is_trained(self, places: int) -> bool:
        """Whether there is a checkpoint after the last epoch, of a stack of so many places."""
        saved = load_checkpoint(self.checkpoint)
        if saved is None or saved["identity"] != self.spec.run_id or "origin" not in saved:
            return False
        return Origin(**saved["origin"]).lockstep == places

    def build(self, task: Task, places: int, device: torch.device) -> None:
        """The model and its optimizer as `execute` starts with them, or from a checkpoint of such a stack."""
        built = setup.build(self.spec, task, self.arm, self.starts)
        self.model, self.pathways = built.model.to(device), built.pathways
        self.state = _MemberState(
            self.model, lambda batch, random: torch.zeros(()),
            build_optimizer(self.model, self.recipe, self.spec.shape.depth, self.arm.tune),
            torch.amp.GradScaler(device.type, enabled=False), None, self.recipe, self.spec.seed, device, self.model.train)
        self.state.origin = Origin(places, datetime.now(UTC).isoformat(timespec="seconds"))
        self.progress = resume(self.state, self.checkpoint, self.identity)

    @property
    def place(self) -> tuple[int, int]:
        """Finished epochs, and steps of the current one"""
        return self.progress.epoch, self.progress.step

    @property
    def identity(self) -> str:
        """Of a checkpoint before the last epoch: nothing but such a stack goes on from it."""
        origin = self.state.origin
        return f"{self.spec.run_id} in lock-step by {origin.lockstep}"

    def save(self) -> None:
        """As `fit` does."""
        trained = self.progress.epoch == self.recipe.epochs
        save(self.state, self.progress, self.checkpoint, self.spec.run_id if trained else self.identity)


def train_in_lockstep(members: Sequence[Member], task: Task, site: Site,
                      report: Report = lambda done, total, text: None) -> dict[str, str]:
    """Train runs of one task, seed and comparison, at most `site.lockstep` of them, and leave each with its checkpoint.

    Returns why some were left out, by run id: they cannot be built or stacked, or their loss stops being a number. Alone,
    they go on from their last checkpoint. Raises `Stopped` as `fit` does. Deterministic on one device.
    """
    device = setup.take_device(site)
    left_out: dict[str, str] = {}
    stacks: dict[Hashable, list[Member]] = {}
    for member in members:
        if member.is_trained(site.lockstep):
            continue
        try:
            member.build(task, site.lockstep, device)
            alike = structure(member.model)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever an arm raises is its own affair
            left_out[member.spec.run_id] = f"{type(error).__name__}: {' '.join(str(error).split())}"
            continue
        stacks.setdefault((member.place, alike), []).append(member)  # one stack, unless something was killed or is odd
    for stacked in stacks.values():
        left_out |= _train(stacked, task, site.lockstep, device, report)
    return left_out


def marked(record: Record, work: Path) -> Record:
    """The record of a run that has just ended in `work`, with K where it was trained in a stack: memory, which all share, is
    then not its own, and going on from the stack's checkpoint is no interruption.
    """
    saved = load_checkpoint(work / "checkpoint.pt") if record.resumed else None
    if saved is None or "origin" not in saved:
        return record
    origin = Origin(**saved["origin"])
    stacked = {"lockstep": origin.lockstep}
    return record.model_copy(update={
        "environment": record.environment.model_copy(update=stacked), "started": origin.started, "peak_memory_bytes": None,
        "resumed": record.resumed - 1})


@dataclass
class _Lockstep:
    """A stack while it trains."""

    members: dict[int, Member]  # by place in the stack, those whose losses are numbers
    stack: Stack
    optimizer: torch.optim.Optimizer
    totals: Tensor  # (K,) losses of the epoch
    sharing: int  # runs that the time is shared by
    began: float = field(default_factory=time.perf_counter)

    def step(self, clip_norm: float | None) -> None:
        """Step every model by the gradients of the stack."""
        self.stack.deal_out()
        if clip_norm is not None:
            for member in self.members.values():
                clip_gradients(member.model, clip_norm)
        self.optimizer.step()

    def check(self) -> None:
        """Drop the runs whose losses are not numbers: alone, they will say so."""
        losses = self.totals.tolist()
        self.members = {place: member for place, member in self.members.items() if math.isfinite(losses[place])}

    def spend(self, what: str, since: float) -> None:
        """Give every run its share of the seconds since `since`."""
        share = (time.perf_counter() - since) / self.sharing
        for member in self.members.values():
            member.progress.seconds[what] = member.progress.seconds.get(what, 0.0) + share

    def save(self, step: int = 0) -> None:
        """Leave every run its checkpoint, after so many steps of an epoch."""
        now, losses = time.perf_counter(), self.totals.tolist()
        for place, member in self.members.items():
            member.progress.step, member.progress.loss = step, losses[place] if step else 0.0
            member.progress.began = now - (now - self.began) / self.sharing
            own = member.state.optimizer
            for group in own.param_groups:
                own.state.update({parameter: self.optimizer.state[parameter] for parameter in group["params"]
                                  if parameter in self.optimizer.state})
            member.save()


def _train(members: Sequence[Member], task: Task, size: int, device: torch.device, report: Report) -> dict[str, str]:
    """Train to the last epoch; returns why some were left out, by run id."""
    spec, recipe = members[0].spec, members[0].recipe
    splits = setup.load_splits(spec, task)
    strengths = splits["train"].remaining(recipe.augment)
    feed = Feed([splits["train"]], [spec.seed], recipe, device)
    epoch, first = members[0].place
    losses = [member.progress.loss for member in members]
    stack = Stack([member.model for member in members], size)
    otherwise = _computed_otherwise(members, stack, task, splits["val"], device)
    run = _Lockstep({place: member for place, member in enumerate(members) if member not in otherwise}, stack,
                    _joint_optimizer(members), torch.tensor([*losses, *[0.0] * (size - len(members))], device=device),
                    len(members))

    def losses_of(batch: Batch, random: SampleRandom) -> Tensor:
        batch = setup.prepare(task, spec, batch, random, strengths)
        with autocast(recipe, device):
            return stack.map(lambda logits: task.loss(logits, batch, recipe), batch)

    while epoch < recipe.epochs and run.members:
        began = time.perf_counter()
        setup.set_train_mode(stack.base, spec.setting)
        for index, parts in enumerate(feed.epoch(epoch, first), first):
            step = epoch * feed.steps + index
            set_learning_rate(run.optimizer, learning_rate(recipe, (step + 1) / feed.steps))
            seed_torch(derive_seed(spec.seed, "step", step), device)  # dropout and drop path
            stack.clear_gradients()
            for part in parts:
                parted = losses_of(part.batch, part.random) * part.share
                parted.sum().backward()
                run.totals += parted.detach()
            run.step(recipe.clip_norm)
            if (index + 1) % CHECK_EVERY_STEPS == 0 or index + 1 == feed.steps:
                run.check()
            if stop_requested.is_set() and index + 1 < feed.steps:
                run.spend("train", began)
                run.save(index + 1)
                raise Stopped(f"stopped in epoch {epoch + 1}, after step {index + 1}; run it again to go on")
        epoch, first = epoch + 1, 0
        means: list[float] = (run.totals / feed.steps).tolist()
        run.totals.zero_()
        run.spend("train", began)
        for place, member in run.members.items():
            member.progress.epoch = epoch
            member.progress.measure("train", {"loss": means[place]})
            if member.pathways:
                scales = [pathway.mean_scale() for pathway in member.pathways]
                member.progress.measure("train", {"mean |scale|": add_up(scales) / len(scales)})
        if epoch % recipe.eval_every == 0 and epoch < recipe.epochs:
            began = time.perf_counter()
            for split in SPLITS[1:]:
                _evaluate(run, task, split, splits[split], spec, device)
            run.spend("evaluate", began)
        report(epoch, recipe.epochs, f"in lock-step with {len(members) - 1} others")
        run.save()
        if stop_requested.is_set() and epoch < recipe.epochs:
            raise Stopped(f"stopped after epoch {epoch}; run it again to go on")
    return {member.spec.run_id: "its model is computed otherwise in a stack" if member in otherwise
            else "its loss is not a number" for member in members if member not in run.members.values()}


def _computed_otherwise(members: Sequence[Member], stack: Stack, task: Task, examples: Examples, device: torch.device
                        ) -> list[Member]:
    """Those whose logits are not the stack's: their arms do something that `structure` cannot see."""
    spec = members[0].spec
    stacked = logits_of(stack, task, examples, spec, device, limit=2)  # type: ignore[arg-type]
    found = []
    for member, ours in zip(members, stacked, strict=False):
        own = logits_of(member.model, task, examples, spec, device, limit=2)
        if not (ours - own).abs().max() <= SAME * own.abs().max():
            found.append(member)
    return found


@torch.inference_mode()
def _evaluate(run: _Lockstep, task: Task, split: str, examples: Examples, spec: RunSpec, device: torch.device) -> None:
    """As `evaluate`, of every run; what is no number drops a run."""
    run.stack.base.eval()
    meters = {place: task.meter(spec.profile) for place in run.members}
    for batch in examples.stream(torch.arange(len(examples)).split(batch_size_of(spec)), device):
        logits = scores(run.stack, task, batch, spec)  # type: ignore[arg-type]  # it answers as K models would
        run.totals += torch.where(logits.flatten(1).isfinite().all(1), 0.0, math.nan)
        for place, meter in meters.items():
            meter.update(logits[place], batch)
    run.check()
    for place, member in run.members.items():
        member.progress.measure(split, meters[place].compute())


def _joint_optimizer(members: Sequence[Member]) -> PathwayAdamW:
    """One AdamW over all that the models train, which goes on from the state of each model's own; groups of one rate and
    decay are one group."""
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for member in members:
        for group in member.state.optimizer.param_groups:
            joined = groups.setdefault((group["lr_scale"], group["weight_decay"]), {**group, "params": []})
            joined["params"] += group["params"]
    recipe = members[0].recipe
    pathways = [pathway for member in members for pathway in connected(member.model)]
    optimizer = PathwayAdamW(list(groups.values()), pathways, lr=recipe.lr, betas=recipe.betas)
    for member in members:
        optimizer.state.update(member.state.optimizer.state)
    return optimizer
