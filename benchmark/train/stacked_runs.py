"""Runs in the places of a stack: how they step, are tested, and what each leaves.

Shapes: K places, P numbers that a model computes with.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.data.examples import Batch, Examples
from benchmark.data.seeds import SampleRandom
from benchmark.model.encoder import TransformerModel
from benchmark.model.mae import MaskedAutoencoder
from benchmark.model.weights import export_weights, save_tensors, save_weights
from benchmark.provenance.environment import describe_environment
from benchmark.records.outputs import FILE, write_outputs
from benchmark.records.record import Measurement, Record
from benchmark.spec.recipes import SPLITS, Split, TrainRecipe
from benchmark.spec.runspec import Report, Site
from benchmark.train import setup
from benchmark.train.capture import Replayed
from benchmark.train.checkpoint import save_checkpoint
from benchmark.train.evaluate import SAMPLES, Kept, batch_size_of, first_views, mean_taps, scores, seconds_per_sample
from benchmark.train.feed import Feed, Part
from benchmark.train.loop import NonFiniteLoss, Progress, rows_of, train
from benchmark.train.members import Member, computed_otherwise
from benchmark.train.optim import autocast
from benchmark.train.stacked_layers import LayersOf, merge_differences
from benchmark.train.stacked_model import (
    ATTENTION,
    Randomness,
    StackedModel,
    draw_masks,
    merged_copy,
    stackable_copy,
)
from benchmark.train.stacked_optim import Layout, StackedAdamW

SAVE_EVERY_SECONDS = 60.0  # a checkpoint holds all models


class Stack:
    """Runs in K places while they train; see `benchmark.train.loop.Trainee`."""

    save_every_seconds = SAVE_EVERY_SECONDS

    def __init__(self, members: Sequence[Member], size: int, device: torch.device):
        self.began, self.started = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
        first = members[0]
        self.all, self.size, self.device = list(members), size, device
        self.spec, self.task, self.recipe = first.spec, first.task, first.spec.recipe
        self.members = dict(enumerate(members))  # by place, those whose losses are numbers
        self.rows: list[list[Measurement]] = [[] for _ in members]
        self.left_out: dict[str, str] = {}
        self.seeds = list(dict.fromkeys(member.spec.seed for member in members))
        places = [self.seeds.index(member.spec.seed) for member in members]
        self.seed_of = torch.tensor([*places, *[places[0]] * (size - len(places))], device=device)  # (K,)
        self.read()
        models = [member.model for member in members]
        self.plain = merged_copy(first.model)
        base = stackable_copy(self.plain).to(device)
        blocks = base.blocks if isinstance(base, TransformerModel) else None
        layout = Layout.of(base, blocks)
        self.optimizer = StackedAdamW(layout, models, [member.tune for member in members], size,
                                      [member.spec.recipe for member in members], self.spec.shape.depth, device)
        filled = [*models, *[first.model] * (size - len(models))]
        buffers = {name: torch.stack([model.get_buffer(name).cpu() for model in filled]).to(device)
                   for name, _ in self.plain.named_buffers()}
        self.model = StackedModel(base, buffers, layout.split, self.optimizer.sums)
        self.replayed = Replayed(self.compute, self.state, device)
        self.traced: dict[object, Randomness] = {}
        self.layers = LayersOf(self.optimizer, members) if blocks is not None else None
        for place in computed_otherwise(members, self.model, self.task, self.splits.get("val"), device):
            self.left_out[self.members.pop(place).spec.run_id] = "its model is computed otherwise in a stack"
        for member in members:
            member.forget()

    def read(self) -> None:
        """The samples of every seed, and those that all are tested on"""
        self.splits: dict[Split, Examples] = {}
        specs = {member.spec.seed: member.spec for member in self.all}
        if self.spec.kind == "pretrain":
            pool = setup.load_pool(self.spec, self.task)
            examples, self.notes = [pool] * len(self.seeds), setup.notes_of({"train": pool})
        else:
            read = [setup.load_splits(specs[seed], self.task) for seed in self.seeds]
            self.splits, examples = read[0], [splits["train"] for splits in read]
            self.notes = setup.notes_of(self.splits)
        self.strengths = examples[0].remaining(self.recipe.augment)
        self.feed = Feed(examples, self.seeds, self.recipe, self.device)

    def loss(self, model: nn.Module, batch: Batch, random: SampleRandom) -> Tensor:
        """Of one model and a micro-batch that is prepared"""
        with autocast(self.recipe, self.device):
            if isinstance(self.recipe, TrainRecipe):
                return self.task.loss(model(batch), batch, self.recipe)
            loss: Tensor = model(batch, random, setup.pretrain_recipe(self.spec).mask_ratio)
            return loss

    # --- a step --------------------------------------------------------------------------------------------------

    def train_mode(self) -> None:
        """As of a trainee."""
        if isinstance(self.model.base, TransformerModel):
            setup.set_train_mode(self.model.base, self.spec.setting)
        else:
            self.model.base.train()

    def no_loss(self) -> list[float]:
        """As of a trainee."""
        return [0.0] * self.size

    def step(self, parts: Iterable[Part], lr: float, number: int) -> Tensor:
        """As of a trainee."""
        inputs, key = self.inputs(parts, number)
        self.optimizer.set_rates(lr)
        return self.replayed(inputs, key)

    def inputs(self, parts: Iterable[Part], number: int | None) -> tuple[list[Tensor], object]:
        """What step `number` computes from, each (K, ...), and what these tensors are; None: nothing is dropped."""
        prepared = [(setup.prepare(self.task, self.spec, part.batch, part.random, self.strengths), part) for part in parts]
        found = [self.trace(batch, part.random, number is None) for batch, part in prepared]
        masks: list[dict[str, Tensor]] = [{} for _ in prepared]
        if number is not None:
            masks = draw_masks(found, self.seeds, number, self.device)
        tensors, names = [], []
        for (batch, part), random, dropped in zip(prepared, found, masks, strict=True):
            given = {asked: part.random.uniform(asked[0], *asked[1], low=asked[2], high=asked[3]) for asked in random.asked}
            own = {name: values.unflatten(0, (len(self.seeds), -1)) for name, values in (*batch.items(), *given.items())}
            tensors += [values.index_select(0, self.seed_of) for values in (*own.values(), *dropped.values())]
            names.append((tuple(batch), tuple(given), tuple(dropped), part.share))
        return tensors, tuple(names)

    def trace(self, batch: Batch, random: SampleRandom, tested: bool) -> Randomness:
        """What is drawn for micro-batches of this shape, by models that are trained or `tested`."""
        count = len(batch["index"]) // len(self.seeds)
        key = (tested, *((name, values.shape) for name, values in batch.items()))
        if key not in self.traced:
            one = {name: values[:count] for name, values in batch.items()}
            first = torch.arange(count, device=self.device)
            self.traced[key] = Randomness(self.model.base, self.loss, one, random.among(first))
        return self.traced[key]

    def gradient(self, tensors: Sequence[Tensor], key: Any) -> tuple[Tensor, Tensor]:
        """(K,) losses of a step, and the gradients (K, P) of what models compute with"""
        total = gradient = None
        left = iter(tensors)
        for batch, given, masks, share in key:
            own = [{name: next(left) for name in names} for names in (batch, given, masks)]
            losses = self.model.losses(self.loss, own[0], own[2], own[1]) * share
            (part,) = torch.autograd.grad(losses.sum(), self.optimizer.sums)
            gradient = part if gradient is None else gradient + part
            total = losses.detach() if total is None else total + losses.detach()
        assert total is not None
        assert gradient is not None
        return total, gradient

    def compute(self, tensors: Sequence[Tensor], key: object) -> Tensor:
        """One step of all models; returns their losses (K,). Alters tensors in place, and asks the device nothing."""
        losses, gradient = self.gradient(tensors, key)
        self.optimizer.pull_back(gradient)
        if self.recipe.clip_norm is not None:
            self.optimizer.clip(self.recipe.clip_norm)
        self.optimizer.update()
        return losses

    def state(self) -> list[Tensor]:
        """All that `compute` alters"""
        own = self.optimizer
        return [own.values, own.first, own.second, own.sums.detach(), *self.model.buffers.values()]

    # --- an epoch ------------------------------------------------------------------------------------------------

    def check(self, losses: list[float], where: str) -> None:
        """As of a trainee: drops the runs whose losses are not numbers; alone, they will say so."""
        self.drop([place for place in self.members if not math.isfinite(losses[place])], "its loss is not a number")
        if not self.members:
            raise NonFiniteLoss(f"no loss of the stack is a number in {where}")

    def drop(self, places: Iterable[int], why: str) -> None:
        """Go on without some runs."""
        for place in places:
            self.left_out[self.members.pop(place).spec.run_id] = why

    def end_epoch(self, progress: Progress, losses: list[float]) -> None:
        """As of a trainee."""
        for place in self.members:
            self.measure(place, progress, "train", {"loss": losses[place]})

    def measure(self, place: int, progress: Progress, split: str, values: dict[str, float]) -> None:
        """Add one row a metric to those of a run."""
        self.rows[place] += rows_of(split, values, progress.epoch)

    def after_epoch(self, progress: Progress) -> None:
        """Scales, and from time to time a look at the splits; the last one is measured merged."""
        if self.layers is not None:
            for place, mean in self.layers.mean_scales().items():
                if place in self.members:
                    self.measure(place, progress, "train", {"mean |scale|": mean})
        if isinstance(self.recipe, TrainRecipe) and progress.epoch % self.recipe.eval_every == 0 \
                and progress.epoch < self.recipe.epochs:
            self.evaluate(progress)

    @torch.inference_mode()
    def evaluate(self, progress: Progress, keep: bool = False) -> None:
        """Every metric of every run; what is no number drops a run. `keep`: leave what the task keeps of the test split."""
        began = time.perf_counter()
        self.model.eval()
        for split in SPLITS[1:]:
            meters = {place: self.task.meter(self.spec.profile) for place in self.members}
            kept = {place: Kept() for place in self.members} if keep and split == "test" else {}
            sound = torch.ones(self.size, dtype=torch.bool, device=self.device)
            examples = self.splits[split]
            for batch in examples.stream(torch.arange(len(examples)).split(batch_size_of(self.spec)), self.device):
                logits = scores(self.model, self.task, batch, self.spec)
                sound &= logits.flatten(1).isfinite().all(1)
                if logits.ndim == 3:  # small, and meters ask for every number by itself
                    logits, batch = logits.cpu(), {name: values.cpu() for name, values in batch.items() if name != "input"}
                for place, meter in meters.items():
                    meter.update(logits[place], batch)
                for place, outputs in kept.items():
                    outputs.update(self.task.outputs(logits[place], batch))
            held = sound.tolist()
            self.drop([place for place in self.members if not held[place]], "its outputs are not numbers")
            for place in self.members:
                self.measure(place, progress, split, meters[place].compute())
                if place in kept:
                    write_outputs(self.members[place].work / FILE, kept[place].arrays())
        progress.spend("evaluate", began)

    # --- a run ---------------------------------------------------------------------------------------------------

    @property
    def identity(self) -> str:
        """Of its checkpoint: nothing but this stack goes on from it."""
        held = [*(member.spec.run_id for member in self.all), str(self.size)]
        return hashlib.sha256(" ".join(held).encode()).hexdigest()

    def state_dict(self) -> dict[str, Any]:
        """As of a trainee."""
        return {"stack": self.optimizer.state_dict(), "buffers": dict(self.model.buffers), "started": self.started,
                "rows": [[row.model_dump() for row in rows] for rows in self.rows], "left_out": self.left_out}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As of a trainee."""
        self.optimizer.load_state_dict(state["stack"])
        for name, buffer in self.model.buffers.items():
            buffer.copy_(state["buffers"][name])
        self.rows = [[Measurement(**row) for row in rows] for rows in state["rows"]]
        self.started, self.left_out = state["started"], state["left_out"]
        self.members = {place: member for place, member in self.members.items() if member.spec.run_id not in self.left_out}

    def run(self, site: Site, finish: Callable[[Record], None], report: Report) -> dict[str, str]:
        """Train to the last epoch and give `finish` each record; returns why some were left out."""
        if self.layers is not None:
            self.model.eval()
            inputs, key = self.inputs(next(self.feed.epoch(0, end=1)), None)
            self.optimizer.pull_back(self.gradient(inputs, key)[1])
            self.layers.note_gradients()

        def after_epoch(progress: Progress) -> None:
            self.after_epoch(progress)
            report(progress.epoch, self.recipe.epochs, f"in lock-step with {len(self.all) - 1} others")

        try:
            progress = train(self, self.feed, self.recipe, self.checkpoint, self.identity, after_epoch)
        except NonFiniteLoss:
            return self.left_out
        described = self.layers.describe() if self.layers is not None else {}
        differences: list[float] = []
        if isinstance(self.recipe, TrainRecipe):
            differences = merge_differences(self.model, self.optimizer, self.task, self.splits["test"], self.spec, self.device)
            self.evaluate(progress, keep=True)
        details = self.leave_weights(progress)
        progress.spend("wall", self.began)
        shared = {"lockstep": self.size,
                  "lockstep_how": f"attention {ATTENTION}, steps {self.replayed.how}"}
        environment = describe_environment(self.device, sittings=progress.sittings).model_copy(update=shared)
        seconds = {name: round(value / (1 if name == "inference" else len(self.all)), 3 if name != "inference" else 6)
                   for name, value in progress.seconds.items()}
        for place, member in reversed(self.members.items()):  # the first has the checkpoint, which ends with it
            finish(Record(
                run_id=member.spec.run_id, spec=member.spec, measurements=self.rows[place], environment=environment,
                seconds=seconds, started=self.started, resumed=progress.resumed, command=site.command,
                layers=described.get(place, []), merge_difference=differences[place] if described.get(place) else None,
                data_notes=self.notes, **details[place]))
        for file in (*self.checkpoint.parent.glob(f"{self.checkpoint.name}*"),):
            file.unlink()
        return self.left_out

    @property
    def checkpoint(self) -> Path:
        """In the folder of its first run"""
        return self.all[0].work / "checkpoint.pt.stack"

    def representations(self) -> Tensor:
        """(K, depth, n, D), as those of a run alone"""
        self.model.eval()
        with torch.inference_mode():
            views = first_views(self.task, self.splits["val"], self.spec, self.device, SAMPLES)
            return torch.cat([self.model.map(partial(mean_taps, view=view)).float().cpu() for view in views], 2)

    def leave_weights(self, progress: Progress) -> dict[int, dict[str, Any]]:
        """Write what each run leaves; returns what records say of it."""
        parts = self.model.split(self.optimizer.sums.detach()) | self.model.buffers
        pooled = None
        if isinstance(self.recipe, TrainRecipe):
            pooled = self.representations()
        details: dict[int, dict[str, Any]] = {}
        for place, member in self.members.items():
            state = self.plain.state_dict()
            self.plain.load_state_dict({name: parts[name][place] if name in parts else value for name, value in state.items()})
            path, parameters = member.work / "weights.safetensors", dict(member.parameters)
            if pooled is None:
                assert isinstance(self.plain, MaskedAutoencoder)
                digest = save_weights(self.plain.encoder, path)
                save_checkpoint({"model": self.plain.state_dict()}, member.work / "checkpoint.pt")  # for the report's pictures
            else:
                assert isinstance(self.plain, TransformerModel)
                digest = export_weights(self.plain, path)
                parameters["merged"] = setup.count_parameters(self.plain)
                save_tensors({"val": pooled[place].contiguous()}, member.work / "representations.safetensors")
                if "inference" not in progress.seconds:  # of one for all, which are of one structure
                    self.plain.to(self.device)
                    progress.seconds["inference"] = seconds_per_sample(self.plain, self.task, self.splits["test"], self.spec,
                                                                       self.device)
            details[place] = {"weights": setup.digests_of(member.starts) | {"result": digest}, "parameters": parameters,
                              "loading": member.loading}
        return details
