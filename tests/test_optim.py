"""Optimizer groups, schedules and clipping."""

import math
import runpy
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from baselines.m2pt import M2PT
from benchmark.model.connect import connect
from benchmark.model.encoder import build_blocks
from benchmark.model.pathway import connected, trained_parameters
from benchmark.spec.recipes import TrainRecipe
from benchmark.train.optim import WeightAverage, build_optimizer, check_coverage, clip_gradients, layer_of, learning_rate

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "parametrized.py"


def small_model() -> nn.ModuleDict:
    return nn.ModuleDict({"tokenizer": nn.Linear(3, 8), "blocks": build_blocks(8, 2, 2, 2.0, True),
                          "norm": nn.LayerNorm(8), "head": nn.Linear(8, 4)})


def recipe(**changes) -> TrainRecipe:
    return TrainRecipe(**{"epochs": 10, "batch_size": 4, "lr": 1e-3, "warmup_epochs": 2, "layer_decay": 0.5, **changes})


def groups_by_name(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict]:
    by_id = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    return {name: by_id[id(parameter)] for name, parameter in trained_parameters(model)}


def test_every_trainable_parameter_is_in_the_optimizer_exactly_once():
    model = small_model()
    connect(model["blocks"], build_blocks(8, 2, 2, 2.0, True))
    model["tokenizer"].requires_grad_(False)
    optimizer = build_optimizer(model, recipe(), depth=2)
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    trainable = [parameter for _, parameter in trained_parameters(model)]
    assert sorted(map(id, held)) == sorted(map(id, trainable))


def test_a_parameter_left_out_or_held_twice_raises():
    model = small_model()
    optimizer = torch.optim.AdamW(model["head"].parameters())
    with pytest.raises(ValueError, match="not in the optimizer exactly once"):
        check_coverage(model, optimizer)
    other = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW([*model.parameters(), *other.parameters()])
    with pytest.raises(ValueError, match="does not train"):
        check_coverage(model, optimizer)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing to train"):
        build_optimizer(model, recipe(), depth=2)


def test_layer_decay_and_weight_decay_follow_the_layer_and_the_kind_of_parameter():
    model = small_model()
    connect(model["blocks"], build_blocks(8, 2, 2, 2.0, True))
    groups = groups_by_name(model, build_optimizer(model, recipe(), depth=2))
    assert groups["tokenizer.weight"]["lr_scale"] == 0.5**3
    assert groups["blocks.0.norm1.weight"]["lr_scale"] == 0.5**2
    assert groups["head.weight"]["lr_scale"] == 1
    assert groups["head.weight"]["weight_decay"] == 0.05
    assert groups["head.bias"]["weight_decay"] == groups["norm.weight"]["weight_decay"] == 0
    layer = "blocks.1.mlp.fc1.pathway"
    assert groups[f"{layer}.weight"] is groups[f"{layer}.auxiliary"]
    assert (groups[f"{layer}.scale"]["weight_decay"], groups[f"{layer}.scale"]["lr_scale"]) == (0, 0.5)
    assert "blocks.1.mlp.fc1.weight" not in groups


def test_a_weight_that_torch_parametrizes_decays_as_it_does_without():
    def decay_of(model: nn.Module) -> dict[str, float]:
        groups = groups_by_name(model, build_optimizer(model, recipe(weight_decay=0.1), depth=2))
        return {name: group["weight_decay"] for name, group in groups.items()}

    plain, gated, normed = small_model(), small_model(), small_model()
    runpy.run_path(str(EXAMPLE))["ARM"].build(gated, {"auxiliary": build_blocks(8, 2, 2, 2.0, True)}, None)
    nn.utils.parametrizations.weight_norm(normed["blocks"][0].attn.qkv)
    expected = decay_of(plain)
    found = {name.replace("parametrizations.weight.original", "weight"): decay for name, decay in decay_of(gated).items()}
    assert {name: decay for name, decay in found.items() if not name.endswith(".gate")} == {
        name.replace("parametrizations.weight.original", "weight"): decay for name, decay in expected.items()}
    assert {decay for name, decay in found.items() if name.endswith(".gate")} == {0.0}
    layer = "blocks.0.attn.qkv.parametrizations.weight.original"
    assert decay_of(normed)[f"{layer}0"] == decay_of(normed)[f"{layer}1"] == expected["blocks.0.attn.qkv.weight"] == 0.1


def test_scales_take_their_own_learning_rate_where_the_recipe_gives_one():
    model = small_model()
    connect(model["blocks"], build_blocks(8, 2, 2, 2.0, True))
    groups = groups_by_name(model, build_optimizer(model, recipe(scale_lr=0.01), depth=2))
    scales = {name: group for name, group in groups.items() if name.endswith(".scale")}
    assert len(scales) == 8
    assert all(group["lr_scale"] == pytest.approx(10) for group in scales.values())


def test_an_arm_may_alter_rate_and_decay_of_the_auxiliary_and_the_scale_alone():
    model = small_model()
    connect(model["blocks"], build_blocks(8, 2, 2, 2.0, True))
    plain = groups_by_name(model, build_optimizer(model, recipe(), depth=2, tune=M2PT().tune))
    arm = M2PT(scale_lr_factor=100, auxiliary_lr_factor=0.5, auxiliary_decay=False)
    tuned = groups_by_name(model, build_optimizer(model, recipe(), depth=2, tune=arm.tune))
    for name, group in tuned.items():
        factor = 100 if name.endswith(".scale") else 0.5 if name.endswith(".auxiliary") else 1
        assert group["lr_scale"] == pytest.approx(factor * plain[name]["lr_scale"]), name
        assert group["weight_decay"] == (0 if name.endswith(".auxiliary") else plain[name]["weight_decay"]), name
    assert plain["blocks.0.attn.qkv.pathway.auxiliary"]["weight_decay"] == 0.05


def test_lars_holds_every_parameter_too():
    model = small_model()
    build_optimizer(model, recipe(optimizer="lars", weight_decay=0.0), depth=2)


@pytest.mark.parametrize(("name", "layer"), [
    ("tokenizer.cls_token", 0), ("blocks.0.attn.qkv.weight", 1), ("blocks.11.mlp.fc2.bias", 12), ("norm.weight", 13),
    ("head.fc.weight", 13), ("encoder.blocks.3.norm1.bias", 4), ("decoder_blocks.0.attn.qkv.weight", 13)])
def test_parameters_belong_to_the_layer_that_their_name_says(name, layer):
    assert layer_of(name, 12) == layer


@given(st.floats(0, 10))
def test_the_schedule_stays_between_zero_and_its_peak(progress):
    assert 0 <= learning_rate(recipe(min_lr=1e-5), progress) <= 1e-3 * (1 + 1e-12)


def test_the_schedule_warms_up_linearly_then_falls_along_half_a_cosine():
    plan = recipe(min_lr=1e-5)
    assert learning_rate(plan, 1.0) == pytest.approx(5e-4)
    assert learning_rate(plan, 2.0) == pytest.approx(1e-3)
    assert learning_rate(plan, 6.0) == pytest.approx((1e-3 + 1e-5) / 2)
    assert learning_rate(plan, 10.0) == pytest.approx(1e-5)
    quarter = 1e-5 + (1e-3 - 1e-5) * 0.5 * (1 + math.cos(math.pi / 4))
    assert learning_rate(plan, 4.0) == pytest.approx(quarter)


def test_clipping_agrees_with_torch_and_ignores_zero_gradients_exactly():
    torch.manual_seed(0)
    shapes = [(3, 5), (7,), (2, 2)]
    ours, theirs, padded = (nn.ParameterList([nn.Parameter(torch.zeros(shape)) for shape in shapes]) for _ in range(3))
    for triple in zip(ours, theirs, padded, strict=True):
        gradient = torch.randn(triple[0].shape)
        for parameter in triple:
            parameter.grad = gradient.clone()
    extra = nn.Parameter(torch.zeros(4, 4))
    extra.grad = torch.zeros(4, 4)
    norm = clip_gradients(ours, 0.3)
    assert norm == pytest.approx(nn.utils.clip_grad_norm_(theirs.parameters(), 0.3).item(), rel=1e-6)
    padded.append(extra)
    assert clip_gradients(padded, 0.3) == norm
    for mine, torchs, beside in zip(ours, theirs, padded[:3], strict=True):
        torch.testing.assert_close(mine.grad, torchs.grad)
        assert torch.equal(mine.grad, beside.grad)


def test_lars_trains_the_scales_of_a_frozen_model_and_refuses_the_weights_of_a_pathway():
    model = small_model()
    connect(model["blocks"], build_blocks(8, 2, 2, 2.0, True))
    with pytest.raises(ValueError, match="LARS trains the scales"):
        build_optimizer(model, recipe(optimizer="lars"), depth=2)
    model = small_model()
    model["blocks"].requires_grad_(False)
    pathways = connect(model["blocks"], build_blocks(8, 2, 2, 2.0, True), train_auxiliary=False)
    optimizer = build_optimizer(model, recipe(optimizer="lars", lr=0.1, scale_lr=0.1), depth=2)
    x = torch.randn(2, 3, 8)
    for block in model["blocks"]:
        x = block(x)
    before = pathways[0].linear.weight.detach().clone()
    model["head"](model["norm"](x)).square().sum().backward()
    optimizer.step()
    child = pathways[0].cross_modal
    assert child.scale != 0
    torch.testing.assert_close(pathways[0].linear.weight, before + child.scale * child.auxiliary)
    assert torch.equal(child.weight, before)


def test_lars_adapts_no_scale_even_where_every_output_has_one():
    model = small_model()
    model["blocks"].requires_grad_(False)
    connect(model["blocks"], build_blocks(8, 2, 2, 2.0, True), train_auxiliary=False, scale_per_output=True)
    groups = groups_by_name(model, build_optimizer(model, recipe(optimizer="lars", weight_decay=0.0), depth=2))
    assert not any(group["always_adapt"] for name, group in groups.items() if name.endswith(".scale"))
    assert groups["head.weight"]["always_adapt"]


def test_the_average_of_weights_follows_the_merged_model():
    torch.manual_seed(3)
    model = small_model()
    connect(model["blocks"], build_blocks(8, 2, 2, 2.0, True), scale_init=0.5)
    average = WeightAverage(model, 0.75)
    assert {name for name, _ in average.module.named_parameters()} == {name for name, _ in small_model().named_parameters()}
    expected = {name: tensor.clone() for name, tensor in average.state_dict().items()}
    for _ in range(3):
        for _, parameter in trained_parameters(model):
            nn.init.normal_(parameter)
        for child in connected(model):
            child.refresh()
        average.update(model)
        current = model.state_dict()
        expected = {name: 0.75 * tensor + 0.25 * current[name] for name, tensor in expected.items()}
    for name, tensor in average.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])
    other = WeightAverage(model, 0.75)
    other.load_state_dict(average.state_dict())
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in average.state_dict().items())
