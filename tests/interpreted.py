"""What a GPU does in one launch, by Triton's interpreter on a CPU: against float64, and against what a CPU does.

Triton has to be told before it is imported, so `test_kernels` runs this file in a process of its own.
"""

import copy

import pytest
import torch
from torch import Tensor, nn

from benchmark.model import loops
from benchmark.model.connect import connect, connect_gain
from benchmark.model.encoder import build_blocks
from benchmark.model.pathway import connected, is_scale, trained_parameters
from benchmark.model.points import farthest_point_sample
from benchmark.spec.recipes import TrainRecipe
from benchmark.train.optim import build_optimizer, clear_gradients, clip_gradients, set_learning_rate

LR = 1e-2
RECIPE = TrainRecipe(epochs=10, batch_size=4, lr=LR, warmup_epochs=0, layer_decay=0.5, scale_lr=0.05)


def two_blocks(width: int = 24, **options) -> nn.ModuleDict:
    torch.manual_seed(0)
    model = nn.ModuleDict({"blocks": build_blocks(width, 2, 3, 2.0, True), "head": nn.Linear(width, 4)})
    auxiliary = build_blocks(width, 2, 3, 2.0, True)
    for linear in (module for module in auxiliary.modules() if isinstance(module, nn.Linear)):
        nn.init.normal_(linear.bias)
    connect(model["blocks"], auxiliary, **{"scale_init": 0.3, **options})
    return model


def give_gradients(model: nn.Module, seed: int) -> None:
    """Random ones to all that takes a gradient, sums included"""
    clear_gradients(model)
    behind = {id(each) for child in connected(model) for each in child.parameters()}
    random = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad and id(parameter) not in behind:
            parameter.grad = torch.randn(parameter.shape, generator=random).to(parameter)


class ByEquation:
    """W, A and s in float64, stepped by torch's plain AdamW with the gradients that the equation of the sum gives."""

    def __init__(self, model: nn.Module):
        self.model, recipe = copy.deepcopy(model).double(), RECIPE
        optimizer = build_optimizer(self.model, recipe, 2)
        set_learning_rate(optimizer, recipe.lr)
        self.groups = [{key: group[key] for key in ("params", "lr", "lr_scale", "weight_decay")} for group in
                       optimizer.param_groups]
        self.optimizer = torch.optim.AdamW(self.groups, lr=LR, betas=recipe.betas, foreach=False)

    @torch.no_grad()
    def step(self) -> None:
        for child in connected(self.model):
            gradient = child.linear.weight.grad
            child.weight.grad, child.auxiliary.grad = gradient, child.scale * gradient
            child.scale.grad = (gradient * child.auxiliary).sum()
            if child.joins_bias:
                gradient = child.linear.bias.grad
                child.bias.grad, child.auxiliary_bias.grad = gradient, child.scale * gradient
                child.scale.grad += (gradient * child.auxiliary_bias).sum()
        self.optimizer.step()
        for child in connected(self.model):
            child.refresh()


def assert_alike(model: nn.Module, reference: nn.Module, rtol: float = 2e-5) -> None:
    expected = dict(reference.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.double(), expected[name].double(), rtol=rtol, atol=rtol / 10,
                                   msg=lambda text, name=name: f"{name}: {text}")


def joint_layers(optimizer: torch.optim.Optimizer) -> int:
    return len(optimizer._together[0])


@pytest.mark.parametrize(("width", "options"), [(24, {}), (9, {}), (36, {}), (24, {"join_bias": True})],
                         ids=["whole tiles", "odd sizes", "several tiles", "joined biases"])
def test_one_pass_steps_w_a_and_s_as_their_equation_does_in_float64(width, options):
    model = two_blocks(width, **options)
    reference, optimizer = ByEquation(model), build_optimizer(model, RECIPE, 2)
    for step in range(4):
        for each in (model, reference.model):
            give_gradients(each, step)
        for each in (optimizer, reference.optimizer):
            set_learning_rate(each, LR * (4 - step))
        optimizer.step()
        reference.step()
    assert joint_layers(optimizer) == 8
    assert_alike(model, reference.model)
    state = optimizer.state[connected(model)[0].auxiliary]
    assert state["step"].item() == 4


def test_one_pass_and_the_step_of_a_cpu_agree_and_go_on_from_each_others_state(monkeypatch):
    model = two_blocks()
    other = copy.deepcopy(model)
    optimizers = [build_optimizer(each, RECIPE, 2) for each in (model, other)]

    def step(seed: int, interpreters: tuple[str, str]) -> None:
        for each, optimizer, interpret in zip((model, other), optimizers, interpreters, strict=True):
            monkeypatch.setenv("TRITON_INTERPRET", interpret)
            give_gradients(each, seed)
            set_learning_rate(optimizer, LR)
            optimizer.step()

    step(0, ("1", "0"))
    assert [joint_layers(optimizer) for optimizer in optimizers] == [8, 0]
    assert_alike(model, other)
    saved = [copy.deepcopy(optimizer.state_dict()) for optimizer in optimizers]
    optimizers = [build_optimizer(each, RECIPE, 2) for each in (model, other)]
    for optimizer, state in zip(optimizers, reversed(saved), strict=True):
        optimizer.load_state_dict(state)
    step(1, ("0", "1"))
    assert [joint_layers(optimizer) for optimizer in optimizers] == [0, 8]
    assert_alike(model, other)


def test_one_pass_does_the_same_every_time():
    models = [two_blocks(36) for _ in range(2)]
    for model in models:
        optimizer = build_optimizer(model, RECIPE, 2)
        for step in range(2):
            give_gradients(model, step)
            optimizer.step()
    for (name, one), other in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other), name


def test_one_pass_reads_what_its_buffers_hold_at_the_time():
    """As a captured step, which is replayed, has to: gradients in the same place, rates that are tensors."""
    model = two_blocks()
    reference, optimizer = ByEquation(model), build_optimizer(model, RECIPE, 2)
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(0.0)
    give_gradients(model, 0)
    places = [child.linear.weight.grad.data_ptr() for child in connected(model)]
    for step in range(3):
        for group in optimizer.param_groups:
            group["lr"].fill_(LR * group["lr_scale"] / (1 + step))
        give_gradients(reference.model, step)
        set_learning_rate(reference.optimizer, LR / (1 + step))
        theirs = dict(reference.model.named_parameters())
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not is_scale(name):
                parameter.grad.copy_(theirs[name].grad)
        optimizer.step()
        reference.step()
    assert places == [child.linear.weight.grad.data_ptr() for child in connected(model)]
    assert_alike(model, reference.model)


def test_a_clipped_gradient_of_a_scale_is_taken_as_it_is():
    model = two_blocks()
    reference = ByEquation(model)
    optimizer = build_optimizer(model, RECIPE, 2)
    set_learning_rate(optimizer, LR)
    give_gradients(model, 0)
    norm = clip_gradients(model, 0.5)
    assert norm > 0.5
    held = [child.scale.grad.clone() for child in connected(model)]
    theirs = dict(reference.model.named_parameters())
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            theirs[name].grad = parameter.grad.double()
    optimizer.step()
    reference.step()
    assert_alike(model, reference.model)
    assert all(torch.equal(child.scale.grad, before) for child, before in zip(connected(model), held, strict=True))


@pytest.mark.parametrize("options", [{"train_scale": False}, {"train_auxiliary": False}, {"scale_per_output": True}],
                         ids=str)
def test_other_pathways_keep_the_step_that_they_had(options, monkeypatch):
    models = [two_blocks(**options) for _ in range(2)]
    for model, interpret in zip(models, ("1", "0"), strict=True):
        monkeypatch.setenv("TRITON_INTERPRET", interpret)
        optimizer = build_optimizer(model, RECIPE, 2)
        give_gradients(model, 0)
        optimizer.step()
        assert joint_layers(optimizer) == 0
    for (name, one), other in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other), name


def test_gains_and_pathways_that_are_left_out_step_beside_those_that_are_not():
    model = two_blocks()
    model.add_module("more", build_blocks(24, 1, 3, 2.0, True))
    connect_gain(model["more"])
    optimizer = build_optimizer(model, RECIPE, 2)
    before = {name: parameter.detach().clone() for name, parameter in trained_parameters(model)}
    give_gradients(model, 0)
    set_learning_rate(optimizer, LR)
    optimizer.step()
    assert joint_layers(optimizer) == 8
    assert not [name for name, parameter in trained_parameters(model) if torch.equal(before[name], parameter)]


def test_a_step_before_any_backward_pass_is_refused():
    model = two_blocks()
    with pytest.raises(RuntimeError, match="run a backward pass before an optimizer step"):
        build_optimizer(model, RECIPE, 2).step()


@pytest.mark.parametrize("points", [
    torch.rand(3, 300, 3, generator=torch.Generator().manual_seed(0)),
    torch.randint(0, 4, (3, 100, 3), generator=torch.Generator().manual_seed(0)).float(),
    torch.rand(3, 4, 64, generator=torch.Generator().manual_seed(0)).mT[:, :, :3],
    torch.ones(2, 9, 3)], ids=["random", "many ties", "not contiguous", "coinciding"])
def test_farthest_points_are_the_places_that_a_cpu_finds(points: Tensor):
    from benchmark.model import kernels

    count = min(64, points.shape[1])
    expected = farthest_point_sample(points, count)
    assert torch.equal(kernels.farthest(points, count), expected)
    assert loops.has_kernels(points.device)
