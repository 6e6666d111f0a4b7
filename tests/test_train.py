"""The training loop: what a step sees, what follows the model, and what a checkpoint keeps."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch
from torch import nn

from benchmark.data.examples import Examples
from benchmark.data.seeds import SampleRandom
from benchmark.spec.recipes import TrainRecipe
from benchmark.train.feed import micro_batches
from benchmark.train.loop import NonFiniteLoss, Progress, Stopped, fit, stop_requested
from benchmark.train.optim import WeightAverage, autocast

DEVICE = torch.device("cpu")


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(x)


def examples(count: int = 24) -> Examples:
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(1))
    return Examples({"input": x, "label": (x[:, 0] > 0).long()})


def recipe(**changes) -> TrainRecipe:
    return TrainRecipe(**{"epochs": 3, "batch_size": 8, "lr": 0.05, "warmup_epochs": 0, **changes})


def train(plan: TrainRecipe, model: nn.Module | None = None, data: Examples | None = None, noise: float = 0.0, **options):
    """Returns the model, its progress and the batches that it saw."""
    model, seen = model or Model(), []

    def compute_loss(batch, random: SampleRandom):
        seen.append((batch["index"].clone(), random.uniform("noise", 4)))
        with autocast(plan, DEVICE):
            logits = model(batch["input"] + noise * (random.uniform("noise", 4) - 0.5))
        return nn.functional.cross_entropy(logits.float(), batch["label"])

    progress = fit(model, compute_loss, plan, 0, data or examples(), 3, DEVICE, **options)
    return model, progress, seen


def test_every_epoch_has_an_order_of_its_own_that_a_seed_repeats():
    def orders_of(seen: list) -> list[list[int]]:
        return [torch.cat([indices for indices, _ in seen[start : start + 3]]).tolist() for start in (0, 3, 6)]

    orders = orders_of(train(recipe())[2])
    assert all(sorted(order) == list(range(24)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert orders == orders_of(train(recipe())[2])


def test_repeated_samples_share_a_batch_and_differ_in_their_randomness():
    _, _, once = train(recipe(epochs=1))
    _, _, twice = train(recipe(epochs=1, repeats=2))
    for (indices, noise), (repeated, drawn) in zip(once, twice, strict=True):
        assert torch.equal(repeated, indices.repeat(2))
        assert torch.equal(drawn[:8], noise)
        assert not (drawn[8:] == noise).any()


def test_accumulation_is_one_step_of_the_whole_batch():
    whole, parts = (train(recipe(accumulation=count), noise=0.1)[0].state_dict() for count in (1, 4))
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor)


@pytest.mark.parametrize(("count", "accumulation", "sizes"), [
    (16384, 128, [128] * 128), (64, 128, [64]), (129, 128, [65, 64]), (1000, 128, [125] * 8), (16384, 5, [3277] * 4 + [3276]),
    (16384, 6, [2731] * 5 + [2729]), (0, 4, [0])])
def test_micro_batches_keep_their_size_where_there_are_few_samples(count, accumulation, sizes):
    parts = micro_batches(torch.arange(count), recipe(batch_size=16384, accumulation=accumulation))
    assert [len(part) for part in parts] == sizes
    assert torch.equal(torch.cat(parts), torch.arange(count))


@pytest.mark.parametrize("batch_size", [1, 7, 10, 48])
def test_a_whole_batch_is_cut_as_torch_cuts_it_into_so_many_parts(batch_size):
    for accumulation in range(1, batch_size + 1):
        chosen = torch.arange(batch_size)
        parts = micro_batches(chosen, recipe(batch_size=batch_size, accumulation=accumulation))
        assert [part.tolist() for part in parts] == [part.tolist() for part in chosen.chunk(accumulation)]


def test_few_samples_weigh_in_micro_batches_as_in_one_batch():
    """One step of 10 samples, in parts of at most 4: what the loss of each sample counts does not depend on the parts."""
    data = examples(10)
    whole, parts = (train(recipe(batch_size=64, accumulation=count), noise=0.1, data=data) for count in (1, 16))
    assert [len(indices) for indices, _ in parts[2][:3]] == [4, 4, 2]
    for name, tensor in whole[0].state_dict().items():
        torch.testing.assert_close(parts[0].state_dict()[name], tensor)


@pytest.mark.parametrize(("count", "place"), [(8, 2), (24, 17), (480, 7), (480, 300)])
def test_a_loss_that_is_no_number_for_an_input_that_is_none_names_that_input(count, place):
    """Of more steps than are between two looks at the loss, too"""
    data = examples(count)
    data.columns["input"][place, 1] = torch.nan
    with pytest.raises(NonFiniteLoss, match=f"^the input of sample {place} of {count}, counted from 0, has NaN or infinity"):
        train(recipe(), data=data)


def test_half_precision_scales_its_loss_and_leaves_out_steps_that_overflow():
    plain, half = (train(recipe(precision=precision))[0].state_dict() for precision in ("fp32", "fp16"))
    for name, tensor in plain.items():
        torch.testing.assert_close(half[name], tensor, rtol=0.02, atol=0.02)
    model = Model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    data = examples(8)
    fit(model, lambda batch, random: model(batch["input"]).float().square().sum() * 1e35, recipe(epochs=1, precision="fp16"),
        0, data, 0, DEVICE)  # its gradients are beyond single precision once the loss is scaled
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("changes", [{}, {"precision": "fp16", "ema_decay": 0.7, "accumulation": 2, "repeats": 2}],
                         ids=["plain", "everything"])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path, changes):
    plan = recipe(**changes)

    def run(**options):
        model = Model()
        average = WeightAverage(model, plan.ema_decay) if plan.ema_decay else None
        _, progress, _ = train(plan, model, noise=0.2, average=average, **options)
        return [part.state_dict() for part in (model, average) if part is not None], progress

    def stop_in_second_epoch(progress: Progress) -> None:
        if progress.epoch == 1:
            stop_requested.set()

    expected, whole = run()
    try:
        with pytest.raises(Stopped):
            run(checkpoint=tmp_path / "checkpoint.pt", after_epoch=stop_in_second_epoch)
    finally:
        stop_requested.clear()
    states, progress = run(checkpoint=tmp_path / "checkpoint.pt")
    for ours, theirs in zip(states, expected, strict=True):
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    assert [row.value for row in progress.measurements] == [row.value for row in whole.measurements]
    assert (progress.resumed, progress.epoch) == (1, 3)
    assert progress.seconds["wall"] > 0


class Reader(Examples):
    """A source that alters what it reads, with the randomness of training."""

    def __init__(self, columns, strength: float = 0.0):
        super().__init__(columns)
        self.strength = strength

    def configured(self, shape, recipe):
        return Reader(self.columns, recipe.augment["shift"])

    def remaining(self, strengths):
        return {name: value for name, value in strengths.items() if name != "shift"}

    def stream(self, chosen, device="cpu", draw=None):
        for indices in chosen:
            batch = self.batch(indices, device)
            shift = 0 if draw is None else self.strength * draw(indices).uniform("shift", 1)
            yield {**batch, "input": batch["input"] + shift}


def test_a_source_may_alter_samples_as_it_reads_them():
    source = Reader(examples().columns).take(24).labelled(1.0, False, torch.Generator())
    data = source.configured(None, recipe(augment={"shift": 2.0, "other": 1.0}))
    for part in (data.take(8), data.labelled(0.5, False, torch.Generator()), data.unlabelled()):
        assert (type(part), part.strength) == (Reader, 2.0)
    assert data.remaining({"shift": 2.0, "other": 1.0}) == {"other": 1.0}
    shifted, plain = train(recipe(), data=data)[0], train(recipe())[0]
    assert not torch.equal(shifted.head.weight, plain.head.weight)
    seen = [batch["input"] for batch in data.stream([torch.arange(4)])]
    assert torch.equal(seen[0], examples().columns["input"][:4])


def test_progress_counts_the_seconds_of_every_sitting():
    progress = Progress(seconds={"wall": 100.0})
    assert 100 < progress.spent("wall", progress.began) < 101
    assert dataclasses.asdict(progress)["seconds"] == {"wall": 100.0}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e300])
def test_a_metric_that_no_record_holds_is_named(value):
    progress = Progress(epoch=3)
    progress.measure("val", {"mIoU": 41.5})
    said = f"mIoU of the val split after epoch 3 is {value}; a metric must be a finite number"
    with pytest.raises(ValueError, match=re.escape(said)):
        progress.measure("val", {"accuracy": 40.0, "mIoU": value})
    assert [row.value for row in progress.measurements] == [41.5]
