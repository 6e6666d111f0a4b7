"""A stack's optimizer takes, in every row, the very steps of AdamW over that model alone, and asks the device nothing."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from benchmark.model.connect import connect, connect_gain
from benchmark.model.encoder import build_blocks
from benchmark.model.pathway import connected, is_auxiliary, is_scale, trained_parameters
from benchmark.spec.recipes import TrainRecipe
from benchmark.train.capture import Replayed
from benchmark.train.optim import build_optimizer, clear_gradients, clip_gradients, learning_rate, set_learning_rate
from benchmark.train.stacked_model import StackedModel, merged_copy, stackable_copy
from benchmark.train.stacked_optim import Layout, StackedAdamW

DEPTH, STEPS = 2, 4
CPU = torch.device("cpu")
RECIPE = TrainRecipe(epochs=4, batch_size=3, lr=1e-2, warmup_epochs=2, layer_decay=0.65, weight_decay=0.05, scale_lr=0.03)


class Model(nn.Module):
    """Parameters named as those of a task's model"""

    def __init__(self, bias: bool = True):
        super().__init__()
        torch.manual_seed(0)
        self.tokenizer = nn.Linear(6, 16)
        self.blocks = build_blocks(16, DEPTH, 2, 2.0, bias)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 3)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokenizer(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def freeze(model: Model) -> None:
    """As the setting `fix` does"""
    model.requires_grad_(False)
    model.head.requires_grad_(True)


def arm(kind: str, bias: bool) -> tuple[Model, object]:
    """A model of each way to alter one, and its rates"""
    model = Model(bias)
    torch.manual_seed(1)
    other = build_blocks(16, DEPTH, 2, 2.0, bias).double()
    for block in other:
        for parameter in block.parameters():
            parameter.data.add_(0.02)
    if "fix" in kind:
        freeze(model)
    options = {"plain": None, "fix plain": None, "aux": {}, "started": {"scale_init": 0.3}, "fix": {"scale_init": 0.1},
               "frozen scale": {"scale_init": 0.2, "train_scale": False}, "frozen A": {"train_auxiliary": False},
               "per output": {"scale_per_output": True, "scale_init": 0.1},
               "joined bias": {"join_bias": True, "scale_init": 0.1},
               "both": {"scale_per_output": True, "join_bias": True}, "one layer": {"layers": ("mlp.fc1",)},
               "gain": None, "fix gain": None, "rates": {"scale_init": 0.1}}[kind]
    if "gain" in kind:
        connect_gain(model.blocks)
    elif options is not None:
        for pathway in connect(model.blocks, other, **options):
            if kind == "fix":
                pathway.freeze_auxiliary()
    tune = (lambda name, lr_scale, decay: (lr_scale * (3 if is_scale(name) else 0.1 if is_auxiliary(name) else 2),
                                           0.0 if is_auxiliary(name) else decay)) if kind == "rates" else None
    return model, tune


KINDS = ("plain", "fix plain", "aux", "started", "frozen scale", "frozen A", "per output", "one layer", "gain", "fix gain",
         "fix", "rates", "joined bias", "both")


def batch_of(step: int, count: int) -> Tensor:
    return torch.randn(count, 3, 5, 6, generator=torch.Generator().manual_seed(step), dtype=torch.float64)


def loss_of(model: nn.Module, x: Tensor) -> Tensor:
    return model(x).square().mean()


def stacked(models: list[Model], tunes: list, size: int) -> tuple[StackedModel, StackedAdamW]:
    base = stackable_copy(merged_copy(models[0]))
    layout = Layout.of(base, base.blocks)
    optimizer = StackedAdamW(layout, models, tunes, size, [RECIPE] * len(models), DEPTH, CPU)
    return StackedModel(base, {}, layout.split, optimizer.sums), optimizer


def take_step(model: StackedModel, optimizer: StackedAdamW, clip: float | None, inputs: list[Tensor], key: object) -> Tensor:
    losses = model.map(loss_of, inputs[0])
    optimizer.pull_back(torch.autograd.grad(losses.sum(), optimizer.sums)[0])
    if clip is not None:
        optimizer.clip(clip)
    optimizer.update()
    return losses.detach()


def rows_of(model: Model, optimizer: StackedAdamW, place: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Every parameter of a model beside its part of a row"""
    return {name: (parameter.detach().flatten(), optimizer.values[place, optimizer.layout.columns(name)])
            for name, parameter in trained_parameters(model, trainable=False)}


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("bias", [True, False], ids=["biases", "no biases"])
def test_every_row_takes_the_steps_of_its_model_alone(clip, bias):
    kinds = [kind for kind in KINDS if bias or kind not in ("joined bias", "both")]
    models, tunes = map(list, zip(*(arm(kind, bias) for kind in kinds), strict=True))
    stack, optimizer = stacked(models, tunes, len(models) + 1)
    alone = [build_optimizer(model, RECIPE, DEPTH, tune) for model, tune in zip(models, tunes, strict=True)]
    before = [{name: parameter.detach().clone() for name, parameter in trained_parameters(model)} for model in models]
    clipped = 0
    for step in range(STEPS):
        rate = learning_rate(RECIPE, step + 1)
        x = batch_of(step, len(models) + 1)
        optimizer.set_rates(rate)
        losses = take_step(stack, optimizer, clip, [x], None)
        for place, (model, own) in enumerate(zip(models, alone, strict=True)):
            clear_gradients(model)
            set_learning_rate(own, rate)
            loss = loss_of(model, x[place])
            loss.backward()
            clipped += clip is not None and clip_gradients(model, clip) > clip
            own.step()
            assert losses[place].item() == pytest.approx(loss.item(), abs=1e-10)
    assert clip is None or clipped > 0
    for place, (kind, model) in enumerate(zip(kinds, models, strict=True)):
        for name, (own, row) in rows_of(model, optimizer, place).items():
            assert (own - row).abs().max() <= 1e-10, (kind, name)
        moved = [name for name, parameter in trained_parameters(model) if not torch.equal(parameter, before[place][name])]
        assert len(moved) == len(before[place]), kind
        for child in connected(model):
            assert (kind == "frozen scale") == (not child.scale.requires_grad)


def test_a_model_that_ends_in_no_number_leaves_its_neighbours_bits_and_a_zero_auxiliary_is_none():
    kinds = ["plain", "started", "gain"]
    results = []
    for wild in (False, True):
        models, tunes = map(list, zip(*(arm(kind, True) for kind in kinds), strict=True))
        zero = Model()
        connect(zero.blocks, build_blocks(16, DEPTH, 2, 2.0, True).double())
        for child in connected(zero):
            child.auxiliary.data.zero_()
        stack, optimizer = stacked([*models, zero], [*tunes, None], 5)
        for step in range(STEPS):
            x = batch_of(step, 1).expand(5, -1, -1, -1).clone()
            x[4] *= 1e200 if wild else 1.0
            optimizer.set_rates(1e-2)
            losses = take_step(stack, optimizer, 0.05, [x], None)
        assert losses[4].isfinite() != wild
        results.append(optimizer.values[:4])
        assert torch.equal(optimizer.sums[0], optimizer.sums[3])
    assert torch.equal(*results)


def test_what_a_row_computes_does_not_depend_on_where_it_is():
    kinds = ["plain", "started", "gain", "per output", "fix"]
    found = []
    for order in (kinds, kinds[::-1]):
        models, tunes = map(list, zip(*(arm(kind, True) for kind in order), strict=True))
        stack, optimizer = stacked(models, tunes, 6)
        for step in range(STEPS):
            optimizer.set_rates(1e-2)
            take_step(stack, optimizer, 0.05, [batch_of(step, 1).expand(6, -1, -1, -1).clone()], None)
        found.append({kind: optimizer.values[place] for place, kind in enumerate(order)})
    assert all(torch.equal(found[0][kind], found[1][kind]) for kind in kinds)


def test_a_step_computes_from_tensors_that_stay_and_what_is_put_into_them():
    """As a captured one does: with the batch of each step in the tensors of the first, and the rates in theirs."""
    results = []
    for replayed in (False, True):
        models, tunes = map(list, zip(*(arm(kind, True) for kind in ("plain", "started", "gain")), strict=True))
        stack, optimizer = stacked(models, tunes, 3)
        compute = partial(take_step, stack, optimizer, 0.05)
        again = Replayed(compute, list, CPU)
        losses = []
        for step in range(STEPS):
            optimizer.set_rates(learning_rate(RECIPE, step + 1))
            inputs = [batch_of(step, 3)]
            losses.append((again if replayed else compute)(inputs, "key").clone())
            inputs[0].zero_()
        assert len(again.known) == replayed
        results.append((optimizer.values, torch.stack(losses)))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert len(set(results[0][1][:, 0].tolist())) == STEPS
