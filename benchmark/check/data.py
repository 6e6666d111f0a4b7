"""A task under a profile in; what its data say against what it declares, out.

Shapes: B batch, C classes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Set
from functools import partial
from numbers import Real

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from benchmark.check.attempt import attempt, expect
from benchmark.check.finding import Finding
from benchmark.check.overflow import Overflow
from benchmark.data.examples import Batch, Examples
from benchmark.data.seeds import SampleRandom
from benchmark.plan.declared import fault_of_metrics
from benchmark.plan.matrix import Cell, Planner
from benchmark.spec.contracts import Arm, ProfileSpec, Task
from benchmark.spec.recipes import SPLITS, ModelShape, Setting, Split, TrainRecipe
from benchmark.spec.runspec import RunSpec, recipe_under
from benchmark.train.evaluate import scores
from benchmark.train.setup import build_model

Splits = Mapping[Split, Examples]
BATCH = 64  # samples that are read at once
MOST = 4096  # inputs of a split that are looked at, spread evenly over it; of labels all are
ROUNDED = 0.06  # of a chance that is declared with one decimal
FAR = 1.0  # above what the data say


class Plain(Arm):
    """The task's own model from random weights."""

    name, summary, source = "check-plain", "the plain model", "benchmark check"
    settings = ("scratch",)
    is_baseline = True


def check_task(task: Task, profile: str, most: int | None = None) -> Iterator[Finding]:
    """What is wrong with the data, the labels, the declared chance and the randomness of a task.

    Of inputs at most `most` of each split are looked at, or `MOST`. Where a finding says `stop`, no model can be trained on it.
    """
    declared = yield from attempt(check_declared(task), "what it declares", task)
    splits = yield from attempt(check_loading(task, profile), "loading", task)
    held = splits and (yield from attempt(check_reading(task, profile, splits, most or MOST), "reading", task))
    if not splits or not held:
        return
    labelled = yield from attempt(check_labels(held, task.profiles[profile]), "labels", task)
    yield from attempt(check_duplicates(held), "samples in two splits", task)
    ready = yield from attempt(check_augmentation(task, profile, splits["train"]), "augmentation", task)
    if declared and labelled and ready:
        yield from attempt(check_chance(task, profile, held, splits), "one test batch", task)


def check_declared(task: Task) -> Generator[Finding, None, bool]:
    """The types of what a task says of itself, where another would be taken for something else. True: it can be trained on."""
    sources: object = task.sources  # of whoever writes a task without types
    if not isinstance(sources, Set) or not all(isinstance(one, str) for one in sources):
        text = repr(sources) if isinstance(sources, str) else "'...'"
        yield Finding("error", f"sources is {sources!r}; make it a set of texts: frozenset({{{text}}})")
    if fault := fault_of_metrics(task):
        yield Finding("error", fault, stop=True)
    return not fault


def check_loading(task: Task, profile: str) -> Generator[Finding, None, Splits | None]:
    """Whether there is something to look at"""
    began = time.perf_counter()
    splits = expect(task.load(profile), "load()", "a dict of train, val and test, each as Examples",
                    lambda found: isinstance(found, Mapping) and all(isinstance(one, Examples) for one in found.values()))
    seconds = time.perf_counter() - began
    sizes = ", ".join(f"{split} {len(examples)}" for split, examples in splits.items())
    yield Finding("ok" if seconds < 30 else "note", f"loads in {seconds:.1f} s: {sizes}")
    if set(splits) != set(SPLITS):
        yield Finding("error", f"splits {', '.join(splits)}: expected {', '.join(SPLITS)}", stop=True)
        return None
    others = {name: type(column).__name__ for examples in splits.values() for name, column in examples.columns.items()
              if not isinstance(column, Tensor)}
    if others:
        said = " and ".join(f"{name!r} as {kind}" for name, kind in others.items())
        yield Finding("error", f"load() gives the columns {said}; make them tensors, of an array with torch.from_numpy",
                      stop=True)
        return None
    if any("index" in examples.columns for examples in splits.values()):
        yield Finding("error", "load() gives a column 'index', and a batch has the places of its samples under that name "
                      "instead; call it otherwise")
    if empty := [split for split in SPLITS if not len(splits[split].configured(*sizes_of(task, profile)))]:
        yield Finding("error", f"no sample in {' and '.join(empty)}: train, val and test need some each", stop=True)
        return None
    return splits


def sizes_of(task: Task, profile: str) -> tuple[ModelShape, TrainRecipe]:
    """What samples are read for"""
    spec = task.profiles[profile]
    return spec.shape, recipe_under(spec.train[setting_of(spec, "pretrained")], 0)


def setting_of(spec: ProfileSpec, wanted: Setting) -> Setting:
    """The setting, or another, where the profile has no recipe for it"""
    return wanted if wanted in spec.train else next(iter(spec.train))


def check_reading(task: Task, profile: str, splits: Splits, most: int) -> Generator[Finding, None, dict[Split, Batch]]:
    """What is read of every split, and whether it is the same again"""
    sizes = sizes_of(task, profile)
    ready = {split: splits[split].configured(*sizes) for split in SPLITS}
    if large := [f"{most:,} of {len(examples):,} in {split}" for split, examples in ready.items() if len(examples) > most]:
        yield Finding("ok", f"inputs that are looked at, spread evenly: {', '.join(large)}; of labels all")
    held = {split: read_all(ready[split], most) for split in SPLITS}
    anew = type(task)  # as the task may keep what it loaded before
    again = {split: read_all(examples.configured(*sizes), most) for split, examples in anew.load(task, profile).items()}
    digests = [expect(anew.data_digests(task, profile), "data_digests()", "a dict of SHA-256 by name, both texts",
                      lambda found: isinstance(found, dict) and all(isinstance(one, str) for one in found.values()))
               for _ in range(2)]
    if digests[0] != digests[1] or not all(same(held[split], again[split]) for split in SPLITS):
        yield Finding("error", "two loads differ: what is random must be drawn from a generator with a fixed seed")
    else:
        yield Finding("ok", "two loads are equal")
    odd = {split: sum(not bool(one.isfinite().all()) for one in batch["input"]) for split, batch in held.items()}
    if any(odd.values()):
        said = " and ".join(f"{count} of {split}" for split, count in odd.items() if count)
        yield Finding("error", f"inputs have NaN or infinity: {said}")
    return held


def read_all(examples: Examples, most: int) -> Batch:
    """Samples of a split as it is read, at most so many, with the labels of all; where labels are read, too, `MOST` of both, as
    a few lack classes"""
    taken = examples.take(most if "label" in examples.columns else MOST)
    parts = list(taken.stream(list(torch.arange(len(taken)).split(BATCH))))
    read = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return read | {name: column for name, column in examples.columns.items() if name == "label" and name in read}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two batches are equal to the last bit"""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and one[name].shape == other[name].shape
        and torch.equal(one[name].nan_to_num(), other[name].nan_to_num()) for name in one)


def check_labels(held: Mapping[Split, Batch], spec: ProfileSpec) -> Generator[Finding, None, bool]:
    """Shapes across splits, and labels against the declared number of classes. True: they can be trained on."""
    for name in sorted({name for batch in held.values() for name in batch} - {"index"}):
        shapes = {split: tuple(batch[name].shape[1:]) if name in batch else None for split, batch in held.items()}
        if len(set(shapes.values())) > 1:
            yield Finding("error", f"column {name!r} differs between splits: "
                          + ", ".join(f"{split} {shape or 'has none'}" for split, shape in shapes.items()))
    if any("label" not in batch for batch in held.values()):
        yield Finding("error", "a split has no column 'label'", stop=True)
        return False
    labels = {split: batch["label"] for split, batch in held.items()}
    train, classes = labels["train"], spec.num_classes
    kinds = {label.dtype: None for label in labels.values()}
    if train.ndim > 1 and len(kinds) == 1 and train.is_floating_point():
        if unknown := [split for split, label in labels.items() if label.isnan().any()]:
            yield Finding("error", f"labels of {' and '.join(unknown)} have NaN; put a number from 0 to 1 there, and a column "
                          "beside them that says which are known: loss and meter find it in the batch", stop=True)
            return False
        low, high = min(float(x.min()) for x in labels.values()), max(float(x.max()) for x in labels.values())
        fits = train.shape[-1] == classes and low >= 0 and high <= 1
        yield Finding("ok" if fits else "error", f"labels of {train.shape[-1]} number{'s' * (train.shape[-1] != 1)} from "
                      f"{low:g} to {high:g}; num_classes is {classes}, so {classes} from 0 to 1", stop=not fits)
        return fits
    if any(kind.is_floating_point or kind.is_complex or kind == torch.bool for kind in kinds):
        said = " and ".join(str(kind).removeprefix("torch.") for kind in kinds)
        yield Finding("error", f"labels are {said}; whole numbers (int64) are wanted, or, where a sample has several labels, "
                      f"float32 from 0 to 1 of shape (samples, {classes})", stop=True)
        return False
    if small := [str(kind).removeprefix("torch.") for kind in kinds if kind != torch.int64]:
        yield Finding("note", f"labels are {' and '.join(small)}, which losses and metrics of torch and of here do not take, "
                      "or not all of them; make them int64 with label.long()")
    if train.ndim > 1 and train.shape[-1] == 1:
        yield Finding("error", f"labels have the shape {tuple(train.shape)}; {tuple(train.shape[:-1])} is wanted, as "
                      "label[..., 0] has it", stop=True)
        return False
    smallest, largest = min(int(x.min()) for x in labels.values()), max(int(x.max()) for x in labels.values())
    fits = smallest >= 0 and largest < classes
    yield Finding("ok" if fits else "error", f"labels from {smallest} to {largest}; {classes} classes declared, "
                  f"so from 0 to {classes - 1}", stop=not fits)
    known = set(train.unique().tolist())
    for split in SPLITS[1:]:
        unknown = sorted(set(labels[split].unique().tolist()) - known)
        if unknown:
            yield Finding("error", f"{split} has classes that train has not: {unknown[:10]}")
    return fits


def check_duplicates(held: Mapping[Split, Batch]) -> Generator[Finding, None, None]:
    """Inputs that are equal to the last bit, across splits."""
    marks = {split: [hashlib.sha256(x.reshape(-1).view(torch.uint8).numpy()).digest() for x in batch["input"].cpu()]
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


def check_augmentation(task: Task, profile: str, examples: Examples) -> Generator[Finding, None, bool]:
    """The same (seed, epoch, sample) must give the same input, whatever the global random state. True: it gives one."""
    shape, recipe = sizes_of(task, profile)
    train = examples.configured(shape, recipe)
    strengths = train.remaining(recipe.augment)
    indices = torch.arange(min(16, len(train)))
    altered, overflow = [], Overflow()
    for state in (1, 2):
        torch.manual_seed(state)
        batch = next(train.stream([indices], draw=lambda chosen: SampleRandom(0, 0, chosen)))
        with overflow:
            altered.append(augmented(task, batch, SampleRandom(0, 0, batch["index"]), strengths))
    one, other = altered
    batch = next(train.stream([indices]))
    with overflow:
        augmented(task, batch, None, {})
    if overflow.found:
        yield Finding("error", f"augment() {overflow.found}")
    if not same(one, other):
        yield Finding("error", "two augmented batches of one seed, epoch and samples differ: draw from `random` alone")
    elif not bool(one["input"].isfinite().all()):
        yield Finding("error", "an augmented input has what is no number")
    else:
        yield Finding("ok", "two augmented batches are equal")
    return True


def augmented(task: Task, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
    """A batch as the task makes it ready; raises `Unfit` where it is none."""
    return expect(task.augment(batch, random, strengths), f"augment(){'' if random else ' without random, as in a test,'}",
                  "the batch, a dict of tensors with 'input' among them: {**batch, 'input': ...}",
                  lambda found: (isinstance(found, dict) and "input" in found
                                 and all(isinstance(one, Tensor) for one in found.values())))


def check_chance(task: Task, profile: str, held: Mapping[Split, Batch],
                 splits: Mapping[Split, Examples]) -> Generator[Finding, None, None]:
    """The declared chance against what one answer for every sample reaches on the test split: the one that training
    suggests, and the commonest of the test split itself; and whether a metric in percent is."""
    spec, metric = task.profiles[profile], task.metric
    run = plain_run(task, profile)
    assert isinstance(run.recipe, TrainRecipe)
    test = splits["test"].configured(spec.shape, run.recipe)
    indices = torch.arange(min(BATCH, len(test)))
    batch = next(test.stream([indices]))
    with torch.inference_mode():
        logits = scores(build_model(run, task).eval(), task, batch, run)
    shape = logits.shape
    if shape[0] != len(indices) or shape[-1] != spec.num_classes:
        yield Finding("error", f"the model gives {tuple(shape)} for {len(indices)} samples; expected (samples, ..., "
                      f"{spec.num_classes})", stop=True)
        return
    label = batch["label"]
    if label.shape != (shape if label.is_floating_point() else shape[:-1]):
        yield Finding("error", f"labels of {len(indices)} samples have the shape {tuple(label.shape)}, and the model gives "
                      f"{tuple(shape)}, which wants {tuple(shape[:-1])}", stop=True)
        return
    expect(task.loss(logits, batch, run.recipe), "loss()", "one number as a tensor, such as a mean over the samples",
           lambda found: isinstance(found, Tensor) and found.ndim == 0)
    common = {split: shares_of(held[split]["label"], spec.num_classes) for split in ("train", "test")}
    right = partial(right_answers, num_classes=spec.num_classes)
    measured = reached(task, profile, test, {
        **{split: partial(one_answer, shares, shape[1:]) for split, shares in common.items()},
        "right": right, "wrong": lambda batch: -right(batch)})
    missing = [one.name for one in task.metrics if one.name not in measured["test"]]
    if missing:
        yield Finding("error", f"the meter measures {', '.join(measured['test'])}, and not the declared {', '.join(missing)}",
                      stop=True)
        return
    if (first := next(iter(measured["test"]))) != metric.name:
        yield Finding("error", f"the meter gives {first} first, and metrics begins with {metric.name}: let compute() give "
                      f"{metric.name} first, as who reads records without the task takes the first for the main one")
    for one in (one for one in task.metrics if one.unit == "%"):
        ends = [measured[answers][one.name] for answers in ("wrong", "right")]
        if ends[0] != ends[1] and max(ends) <= 1:
            yield Finding("error", f"{one.name} is {ends[1]:g} where every answer is right, {ends[0]:g} where each is wrong, "
                          "and its unit is %: measure 100 times as much (46.1 is 46.1 %), or declare "
                          f'Metric({one.name!r}, unit="")')
    sign = 1 if metric.higher_is_better else -1  # so that more of it is better
    guess, best = (measured[split][metric.name] for split in ("train", "test"))
    said = (f"always the commonest class reaches {guess:.2f} {metric.unit} {metric.name} on the test split"
            + (f", or {best:.2f} where it is that of the test split" if abs(best - guess) > ROUNDED else ""))
    if spec.chance is None:
        yield Finding("note", f"{said}; no chance is declared")
    elif sign * spec.chance < sign * guess - ROUNDED:
        yield Finding("error", f"chance is declared as {spec.chance:g}, but {said}; declare at "
                      f"{'least' if sign > 0 else 'most'} that")
    else:
        odd = not sign * best - ROUNDED <= sign * spec.chance <= max(sign * best, sign * guess) + FAR
        yield Finding("note" if odd else "ok", f"chance is declared as {spec.chance:g}; {said}")


def shares_of(label: Tensor, num_classes: int) -> Tensor:
    """(C,): how common each class is"""
    if label.is_floating_point() and label.ndim > 1:
        return label.mean(0)
    return torch.bincount(label[label >= 0].flatten(), minlength=num_classes)[:num_classes] / label.numel()


def one_answer(logits: Tensor, shape: torch.Size, batch: Batch) -> Tensor:
    """(C,), the same to every sample -> logits of `shape` for each"""
    return logits.expand(len(batch["index"]), *shape).contiguous()


def right_answers(batch: Batch, num_classes: int) -> Tensor:
    """(B, ..., C) logits of a model that knows every label, far from 0"""
    label = batch["label"]
    known = label if label.is_floating_point() else one_hot(label.long().clamp(min=0), num_classes)
    return 20.0 * known.float() - 10.0


def reached(task: Task, profile: str, test: Examples,
            answers: Mapping[str, Callable[[Batch], Tensor]]) -> dict[str, dict[str, float]]:
    """Every metric of each kind of answer to all samples, which are read once"""
    meters = {name: expect(task.meter(profile), "meter()", "an object with update and compute, such as AccuracyMeter()",
                           lambda found: callable(getattr(found, "update", None)) and callable(getattr(found, "compute", None)))
              for name in answers}
    for batch in test.stream(list(torch.arange(len(test)).split(BATCH))):
        for name, answer in answers.items():
            meters[name].update(answer(batch), batch)
    return {name: expect(meter.compute(), "compute() of the meter", "a dict with a number for each metric",
                         lambda found: isinstance(found, dict) and all(isinstance(value, Real) for value in found.values()))
            for name, meter in meters.items()}


def plain_run(task: Task, profile: str) -> RunSpec:
    """A run of the task's model from random weights"""
    planner = Planner({task.name: task}, profile)
    return planner.plan([Cell(task, Plain(), setting_of(task.profiles[profile], "scratch"))], [0]).specs[-1]
