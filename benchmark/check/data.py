"""A task under a profile in; what its data say against what it declares, out.

Shapes: B batch, C classes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from benchmark.check.finding import Finding
from benchmark.data.examples import Batch, Examples
from benchmark.data.seeds import SampleRandom
from benchmark.plan.matrix import Cell, Planner
from benchmark.spec.contracts import Arm, ProfileSpec, Task
from benchmark.spec.recipes import SPLITS, Split, TrainRecipe
from benchmark.spec.runspec import RunSpec, recipe_under
from benchmark.train.evaluate import scores
from benchmark.train.setup import build_model

BATCH = 64  # samples that are read at once
MOST = 4096  # inputs of a split that are looked at, spread evenly over it; of labels all are
ROUNDED = 0.06  # of a chance that is declared with one decimal
FAR = 1.0  # above what the data say


class Plain(Arm):
    """The task's own model from random weights."""

    name, summary, source = "check-plain", "the plain model", "benchmark check"
    settings = ("scratch",)
    is_baseline = True


def check_task(task: Task, profile: str) -> Iterator[Finding]:
    """What is wrong with the data, the labels, the declared chance and the randomness of a task."""
    spec = task.profiles[profile]
    began = time.perf_counter()
    splits = task.load(profile)
    seconds = time.perf_counter() - began
    sizes = ", ".join(f"{split} {len(examples)}" for split, examples in splits.items())
    yield Finding("ok" if seconds < 30 else "note", f"loads in {seconds:.1f} s: {sizes}")
    if set(splits) != set(SPLITS):
        yield Finding("error", f"splits {', '.join(splits)}: expected {', '.join(SPLITS)}", stop=True)
        return
    recipe = recipe_under(spec.train["pretrained"], 0)
    ready = {split: splits[split].configured(spec.shape, recipe) for split in SPLITS}
    if empty := [split for split in SPLITS if not len(ready[split])]:
        yield Finding("error", f"no sample in {' and '.join(empty)}: train, val and test need some each", stop=True)
        return
    if large := [f"{MOST:,} of {len(examples):,} in {split}" for split, examples in ready.items() if len(examples) > MOST]:
        yield Finding("ok", f"inputs that are looked at, spread evenly: {', '.join(large)}; of labels all")
    held = {split: read_all(ready[split]) for split in SPLITS}
    again = {split: read_all(examples.configured(spec.shape, recipe)) for split, examples in task.load(profile).items()}
    if task.data_digests(profile) != task.data_digests(profile) or not all(same(held[split], again[split]) for split in SPLITS):
        yield Finding("error", "two loads differ: what is random must be drawn from a generator with a fixed seed")
    else:
        yield Finding("ok", "two loads are equal")
    yield from check_labels(held, spec)
    yield from check_duplicates(held)
    yield from check_augmentation(task, ready["train"], recipe)
    yield from check_chance(task, profile, held, splits)


def read_all(examples: Examples) -> Batch:
    """Samples of a split as it is read, at most `MOST`; labels of all of them, where they need no reading"""
    taken = examples.take(MOST)
    parts = list(taken.stream(list(torch.arange(len(taken)).split(BATCH))))
    read = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return read | {name: column for name, column in examples.columns.items() if name == "label" and name in read}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two batches are equal to the last bit"""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and one[name].shape == other[name].shape
        and torch.equal(one[name].nan_to_num(), other[name].nan_to_num()) for name in one)


def check_labels(held: Mapping[Split, Batch], spec: ProfileSpec) -> Iterator[Finding]:
    """Shapes across splits, and labels against the declared number of classes."""
    for name in sorted({name for batch in held.values() for name in batch} - {"index"}):
        shapes = {split: tuple(batch[name].shape[1:]) if name in batch else None for split, batch in held.items()}
        if len(set(shapes.values())) > 1:
            yield Finding("error", f"column {name!r} differs between splits: "
                          + ", ".join(f"{split} {shape or 'has none'}" for split, shape in shapes.items()))
    if any("label" not in batch for batch in held.values()):
        yield Finding("error", "a split has no column 'label'")
        return
    labels = {split: batch["label"] for split, batch in held.items()}
    if labels["train"].is_floating_point():
        low, high = min(float(x.min()) for x in labels.values()), max(float(x.max()) for x in labels.values())
        fits = labels["train"].shape[-1] == spec.num_classes and low >= 0 and high <= 1
        said = f"labels of {labels['train'].shape[-1]} numbers from {low:g} to {high:g}; {spec.num_classes} classes declared"
        yield Finding("ok" if fits else "error", said)
        return
    smallest, largest = min(int(x.min()) for x in labels.values()), max(int(x.max()) for x in labels.values())
    fits = smallest >= 0 and largest < spec.num_classes
    yield Finding("ok" if fits else "error", f"labels from {smallest} to {largest}; {spec.num_classes} classes declared, "
                  f"so from 0 to {spec.num_classes - 1}")
    known = set(labels["train"].unique().tolist())
    for split in SPLITS[1:]:
        unknown = sorted(set(labels[split].unique().tolist()) - known)
        if unknown:
            yield Finding("error", f"{split} has classes that train has not: {unknown[:10]}")


def check_duplicates(held: Mapping[Split, Batch]) -> Iterator[Finding]:
    """Inputs that are equal to the last bit, across splits."""
    marks = {split: [hashlib.sha256(x.contiguous().numpy().tobytes()).digest() for x in batch["input"].cpu()]
             for split, batch in held.items()}
    found = False
    for index, one in enumerate(SPLITS):
        for other in SPLITS[index + 1 :]:
            seen = set(marks[one])
            shared = sum(mark in seen for mark in marks[other])
            if shared:
                found = True
                yield Finding("error", f"{shared} of {len(marks[other])} samples of {other} are in {one}, too")
    if not found:
        yield Finding("ok", "no sample is in two splits")


def check_augmentation(task: Task, train: Examples, recipe: TrainRecipe) -> Iterator[Finding]:
    """The same (seed, epoch, sample) must give the same input, whatever the global random state."""
    strengths = train.remaining(recipe.augment)
    altered = []
    for state in (1, 2):
        torch.manual_seed(state)
        indices = torch.arange(min(16, len(train)))
        batch = next(train.stream([indices], draw=lambda chosen: SampleRandom(0, 0, chosen)))
        altered.append(task.augment(batch, SampleRandom(0, 0, batch["index"]), strengths))
    one, other = altered
    if not same(one, other):
        yield Finding("error", "two augmented batches of one seed, epoch and samples differ: draw from `random` alone")
    elif not bool(one["input"].isfinite().all()):
        yield Finding("error", "an augmented input has what is no number")
    else:
        yield Finding("ok", "two augmented batches are equal")


def check_chance(task: Task, profile: str, held: Mapping[Split, Batch], splits: Mapping[Split, Examples]) -> Iterator[Finding]:
    """The declared chance against what one answer for every sample reaches on the test split: the one that training
    suggests, and the commonest of the test split itself."""
    spec, metric = task.profiles[profile], task.metric
    run = plain_run(task, profile)
    assert isinstance(run.recipe, TrainRecipe)
    test = splits["test"].configured(spec.shape, run.recipe)
    indices = torch.arange(min(BATCH, len(test)))
    batch = next(test.stream([indices]))
    with torch.inference_mode():
        shape = scores(build_model(run, task).eval(), task, batch, run).shape
    if shape[0] != len(indices) or shape[-1] != spec.num_classes:
        yield Finding("error", f"the model gives {tuple(shape)} for {len(indices)} samples; expected (samples, ..., "
                      f"{spec.num_classes})")
        return
    measured = {split: reached(task, profile, shares_of(held[split]["label"], spec.num_classes), test, shape[1:])
                for split in ("train", "test")}
    missing = [one.name for one in task.metrics if one.name not in measured["test"]]
    if missing:
        yield Finding("error", f"the meter measures {', '.join(measured['test'])}, and not the declared {', '.join(missing)}")
        return
    if not metric.higher_is_better:
        return
    guess, best = (measured[split][metric.name] for split in ("train", "test"))
    said = (f"always the commonest class reaches {guess:.2f} {metric.unit} {metric.name} on the test split"
            + (f", or {best:.2f} where it is that of the test split" if abs(best - guess) > ROUNDED else ""))
    if spec.chance is None:
        yield Finding("note", f"{said}; no chance is declared")
    elif spec.chance < guess - ROUNDED:
        yield Finding("error", f"chance is declared as {spec.chance:g}, but {said}; declare at least that")
    else:
        odd = not best - ROUNDED <= spec.chance <= max(best, guess) + FAR
        yield Finding("note" if odd else "ok", f"chance is declared as {spec.chance:g}; {said}")


def shares_of(label: Tensor, num_classes: int) -> Tensor:
    """(C,): how common each class is"""
    if label.is_floating_point() and label.ndim > 1:
        return label.mean(0)
    return torch.bincount(label[label >= 0].flatten(), minlength=num_classes)[:num_classes] / label.numel()


def reached(task: Task, profile: str, logits: Tensor, test: Examples, shape: torch.Size) -> dict[str, float]:
    """Every metric of the same answer, (C,) for logits of `shape`, to every sample"""
    meter = task.meter(profile)
    for batch in test.stream(list(torch.arange(len(test)).split(BATCH))):
        meter.update(logits.expand(len(batch["index"]), *shape).contiguous(), batch)
    return meter.compute()


def plain_run(task: Task, profile: str) -> RunSpec:
    """A run of the task's model from random weights"""
    planner = Planner({task.name: task}, profile)
    return planner.plan([Cell(task, Plain(), "scratch")], [0]).specs[-1]
