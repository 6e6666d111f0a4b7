"""Exactness of the method: what connecting, training and merging may and may not change."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models import create_model
from torch import nn

from benchmark.bench.measure import torch_threads
from benchmark.bench.parametrized import parametrized, plain_adamw
from benchmark.model import loops
from benchmark.model.connect import connect, connect_gain
from benchmark.model.encoder import build_blocks
from benchmark.model.pathway import apart, connected, merge, trained_parameters
from benchmark.spec.recipes import TrainRecipe
from benchmark.train import optim
from benchmark.train.feed import Part
from benchmark.train.loop import OneModel
from benchmark.train.optim import build_optimizer, clear_gradients, clip_gradients, set_learning_rate


def blocks(seed: int = 0, dim: int = 16, depth: int = 2, heads: int = 2, bias: bool = True) -> nn.ModuleList:
    torch.manual_seed(seed)
    return build_blocks(dim, depth, heads, 4.0, bias)


def run(stack: nn.ModuleList, seed: int = 9) -> torch.Tensor:
    x = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(seed))
    for block in stack:
        x = block(x)
    return x


@pytest.mark.parametrize("bias", [True, False])
def test_new_pathways_leave_the_function_unchanged(bias):
    target = blocks(bias=bias)
    before = run(target)
    connect(target, blocks(1, bias=bias))
    assert torch.equal(run(target), before)


@settings(max_examples=20)
@given(scale=st.floats(-2, 2), seed=st.integers(0, 100))
def test_merging_preserves_the_function(scale, seed):
    target = blocks(seed)
    for pathway in connect(target, blocks(seed + 1)):
        nn.init.constant_(pathway.cross_modal.scale, scale)
    with apart(target):
        unmerged = run(target)
    merge(target)
    merged = run(target)
    assert (merged - unmerged).abs().max() <= 1e-5 * unmerged.abs().max()
    assert not connected(target)
    assert target.state_dict().keys() == blocks().state_dict().keys()


def test_a_nonzero_scale_changes_the_output_of_every_layer_it_is_on():
    for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"):
        target = blocks()
        before = run(target)
        connected = connect(target, blocks(1), layers=(name,), scale_init=0.1)
        assert [pathway.name for pathway in connected] == [f"0.{name}", f"1.{name}"]
        assert not torch.allclose(run(target), before)


def test_at_scale_zero_the_auxiliary_gets_no_gradient_and_the_scale_gets_the_inner_product():
    target = blocks()
    plain = blocks()
    pathways = connect(target, blocks(1))
    auxiliaries = dict(blocks(1).named_parameters())
    run(target).square().sum().backward()
    run(plain).square().sum().backward()
    for pathway in pathways:
        gradient = plain.get_submodule(pathway.name).weight.grad
        assert torch.equal(pathway.linear.weight.grad, gradient)
        assert pathway.gradients()["auxiliary"] == 0
        torch.testing.assert_close(pathway.cross_modal.scale.grad, (gradient * auxiliaries[f"{pathway.name}.weight"]).sum(),
                                   rtol=1e-4, atol=1e-5)
        assert pathway.cross_modal.scale.grad != 0


def test_the_auxiliary_is_copied_and_never_tied():
    source = blocks(1)
    first, second = connect(blocks(), source), connect(blocks(2), source)
    with torch.no_grad():
        first[0].cross_modal.auxiliary.add_(1.0)
    assert torch.equal(second[0].cross_modal.auxiliary, source[0].attn.qkv.weight)
    assert first[0].cross_modal.auxiliary.data_ptr() != source[0].attn.qkv.weight.data_ptr()


@pytest.mark.parametrize("chunk", [optim.CHUNK, 96], ids=["all layers at once", "layer by layer, in pieces"])
def test_scale_frozen_at_zero_equals_the_plain_model_bit_for_bit_after_training(chunk, monkeypatch):
    monkeypatch.setattr("benchmark.train.optim.CHUNK", chunk)
    plain, joined = blocks(), blocks()
    connect(joined, blocks(1), train_scale=False)
    recipe = TrainRecipe(epochs=1, batch_size=1, lr=1e-2, clip_norm=0.5, layer_decay=0.7)
    for stack in (plain, joined):
        model = nn.ModuleDict({"blocks": stack})
        optimizer = build_optimizer(model, recipe, depth=2)
        for step in range(5):
            clear_gradients(model)
            run(stack, step).square().mean().backward()
            clip_gradients(model, 0.5)
            optimizer.step()
    merge(joined)
    trained = joined.state_dict()
    assert trained.keys() == plain.state_dict().keys()
    for name, expected in plain.state_dict().items():
        assert torch.equal(expected, trained[name]), name


class SplitAttention(nn.Module):
    """Bias-free qkv with separate q and v biases, as VideoMAE has; reads the weight without calling the layer."""

    def __init__(self, dim: int):
        super().__init__()
        self.num_heads = 2
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)
        self.q_bias, self.v_bias = nn.Parameter(torch.randn(dim)), nn.Parameter(torch.randn(dim))

    def forward(self, x, **kwargs):
        bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        q, k, v = nn.functional.linear(x, self.qkv.weight, bias).chunk(3, -1)
        return self.proj(nn.functional.scaled_dot_product_attention(q, k, v))


def split_blocks(seed: int) -> nn.ModuleList:
    torch.manual_seed(seed)
    stack = blocks(seed)
    for block in stack:
        block.attn = SplitAttention(16)
    return stack


def test_layers_that_read_their_weight_directly_are_connected_too():
    target = split_blocks(0)
    before = run(target)
    pathways = connect(target, split_blocks(1))
    assert len(pathways) == 8
    assert torch.equal(run(target), before)
    run(target).square().sum().backward()
    assert all(pathway.gradients()["scale"] > 0 for pathway in pathways)


@pytest.mark.parametrize(("other", "message"), [
    ({"depth": 3}, "2 blocks but auxiliary has 3"),
    ({"dim": 32}, r"weight is \(48, 16\), auxiliary weight is \(96, 32\)"),
    ({"heads": 4}, "2 attention heads but auxiliary has 4"),
])
def test_a_mismatch_raises_before_anything_changes(other, message):
    target = blocks()
    with pytest.raises(ValueError, match=message):
        connect(target, blocks(1, **other))
    assert not connected(target)


def test_unknown_no_or_twice_connected_layers_raise():
    target = blocks()
    with pytest.raises(ValueError, match="no linear layer"):
        connect(target, blocks(1), layers=("attn.q",))
    with pytest.raises(ValueError, match="no linear layer would be joined"):
        connect(target, blocks(1), layers=())
    connect(target, blocks(1), layers=("mlp.fc2",))
    with pytest.raises(ValueError, match="pathway already"):
        connect(target, blocks(2))
    with pytest.raises(ValueError, match="pathway already"):
        connect_gain(target)
    with pytest.raises(ValueError, match="no linear layer"):
        connect_gain(nn.ModuleList([nn.LayerNorm(4)]))
    with pytest.raises(ValueError, match="no bias would be joined"):
        connect(blocks(), blocks(1, bias=False), layers=("attn.qkv",), join_bias=True)


def test_vit_b_gets_48_pathways_and_the_published_number_of_parameters():
    with torch.device("meta"):
        target, auxiliary = (create_model("vit_base_patch16_224") for _ in range(2))
    assert sum(parameter.numel() for parameter in target.parameters()) == 86_567_656
    for stack in (target, auxiliary):
        stack.blocks.to_empty(device="cpu")
        for parameter in stack.blocks.parameters():
            nn.init.zeros_(parameter)
    pathways = connect(nn.ModuleList(target.blocks), nn.ModuleList(auxiliary.blocks))
    assert len(pathways) == 48
    assert sum(parameter.numel() for _, parameter in trained_parameters(target)) == 171_502_360


def test_diagnostics_say_how_much_of_the_change_went_through_the_pathway():
    pathway = connect(blocks(), blocks(1), scale_init=0.5)[0]
    layer = pathway.describe(pathway.weights())
    assert layer.scale == 0.5
    assert layer.update_share == pytest.approx(1.0, rel=1e-5)
    assert layer.auxiliary_cosine == pytest.approx(1.0)
    untouched = connect(blocks(), blocks(1))[0]
    assert untouched.describe(untouched.weights()).update_share is None


def test_diagnostics_say_how_far_the_auxiliary_turned():
    pathway = connect(blocks(), blocks(1), scale_init=0.5)[0]
    auxiliary = pathway.cross_modal.auxiliary
    initial = {name: value.clone() for name, value in pathway.weights().items()}
    start = initial["auxiliary"]
    with torch.no_grad():
        auxiliary += 0.5 * torch.randn_like(auxiliary)
    expected = (auxiliary * start).sum() / auxiliary.norm() / start.norm()
    assert pathway.describe(initial).auxiliary_cosine == pytest.approx(expected.item(), abs=1e-6)
    assert expected < 0.99
    pathway.cross_modal.refresh()
    change = pathway.linear.weight - initial["weight"]
    share = (0.5 * auxiliary).norm() / change.norm()
    assert pathway.describe(initial).update_share == pytest.approx(share.item(), rel=1e-5)


def test_every_output_may_have_a_scale_of_its_own():
    target, auxiliary = blocks(), blocks(1)
    weight = target[0].attn.qkv.weight.detach().clone()
    pathway = connect(target, auxiliary, scale_per_output=True)[0]
    scales = torch.linspace(-1, 1, len(weight))[:, None]
    pathway.cross_modal.scale.data.copy_(scales)
    pathway.cross_modal.refresh()
    torch.testing.assert_close(target[0].attn.qkv.weight, weight + scales * auxiliary[0].attn.qkv.weight)
    assert pathway.mean_scale() == pytest.approx(scales.abs().mean().item())
    assert pathway.describe(pathway.weights()).scale == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("per_output", [False, True])
def test_a_joined_bias_shares_the_scale_of_its_layer_and_is_merged_with_it(per_output):
    target, auxiliary = blocks(), blocks(1)
    for block in (*target, *auxiliary):
        nn.init.normal_(block.mlp.fc1.bias)
    bias = target[0].mlp.fc1.bias.detach().clone()
    before = run(target)
    pathways = connect(target, auxiliary, join_bias=True, scale_per_output=per_output)
    assert torch.equal(run(target), before)
    for pathway in pathways:
        nn.init.constant_(pathway.cross_modal.scale, 0.5)
        pathway.cross_modal.refresh()
    torch.testing.assert_close(target[0].mlp.fc1.bias, bias + 0.5 * auxiliary[0].mlp.fc1.bias)
    optimizer = build_optimizer(nn.ModuleDict({"blocks": target}), TrainRecipe(epochs=1, batch_size=1, lr=1), depth=2)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(trained_parameters(target)))
    with apart(target):
        unmerged = run(target)
    merge(target)
    torch.testing.assert_close(run(target), unmerged)
    assert target.state_dict().keys() == blocks().state_dict().keys()
    with torch.no_grad():
        auxiliary[0].mlp.fc1.bias.add_(1)
    torch.testing.assert_close(run(target), unmerged)  # a copy


def test_a_gain_multiplies_the_weight_and_starts_at_one():
    target = blocks()
    before, weight = run(target), target[1].mlp.fc2.weight.detach().clone()
    pathways = connect_gain(target)
    assert torch.equal(run(target), before)
    assert len(pathways) == 8
    nn.init.constant_(pathways[-1].cross_modal.scale, 0.25)
    pathways[-1].cross_modal.refresh()
    torch.testing.assert_close(target[1].mlp.fc2.weight, 1.25 * weight)
    assert pathways[-1].weights().keys() == {"weight"}
    assert pathways[-1].describe(pathways[-1].weights()).update_share is None
    merge(target)
    torch.testing.assert_close(target[1].mlp.fc2.weight, 1.25 * weight)


def test_gradients_at_scale_zero_are_those_of_the_weight_and_the_scale():
    target, auxiliary = blocks(), blocks(1)
    pathways = connect(target, auxiliary)
    run(target).square().sum().backward()
    gradient = target[0].attn.proj.weight.grad
    norms = {pathway.name: pathway.gradients() for pathway in pathways}["0.attn.proj"]
    assert norms["weight"] == pytest.approx(gradient.norm().item())
    assert norms["scale"] == pytest.approx((gradient * auxiliary[0].attn.proj.weight).sum().abs().item(), rel=1e-4)
    assert norms["auxiliary"] == 0


def as_model(stack: nn.ModuleList) -> nn.ModuleDict:
    return nn.ModuleDict({"blocks": stack, "head": nn.Linear(16, 3)})


def train(model, optimizer, recipe, steps: int, fast: bool) -> None:
    """Steps of several micro-batches, the learning rate as the recipe has it."""
    for step in range(steps):
        clear_gradients(model)
        for part in range(recipe.accumulation):
            model["head"](run_as(model["blocks"], 10 * step + part)).square().mean().backward()
        if recipe.clip_norm is not None and fast:
            clip_gradients(model, recipe.clip_norm)
        elif recipe.clip_norm is not None:
            gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
            norm = nn.utils.get_total_norm(gradients)
            torch._foreach_mul_(gradients, min(1.0, recipe.clip_norm / norm.item()))
        optimizer.step()


def run_as(stack: nn.ModuleList, seed: int) -> torch.Tensor:
    x = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(seed)).to(stack[0].mlp.fc1.weight.dtype)
    for block in stack:
        x = block(x)
    return x


VARIANTS = {
    "as published": {}, "scale at 1e-2": {"scale_init": 1e-2}, "every output": {"scale_per_output": True, "scale_init": 0.1},
    "joined bias": {"join_bias": True, "scale_init": 0.1}, "scale frozen": {"train_scale": False, "scale_init": 0.3},
    "joined bias, every output": {"join_bias": True, "scale_per_output": True, "scale_init": 0.1},
    "auxiliary frozen": {"train_auxiliary": False, "scale_init": 0.1},
    "both frozen": {"train_auxiliary": False, "train_scale": False, "join_bias": True, "scale_init": 0.1},
    "one layer": {"layers": ("mlp.fc1",)}, "gain": None}


CHUNKS = pytest.mark.parametrize("chunk", [96, optim.CHUNK], ids=["in pieces of six rows", "all layers at once"])
EACH_VARIANT = pytest.mark.parametrize("variant", VARIANTS)


@EACH_VARIANT
@pytest.mark.parametrize("changes", [{}, {"clip_norm": 0.05}, {"accumulation": 3, "layer_decay": 0.6, "scale_lr": 2e-3}],
                         ids=["plain", "clipped", "accumulated, layer decay"])
@pytest.mark.parametrize("frozen", [False, True], ids=["target trains", "target frozen"])
@CHUNKS
def test_the_fast_path_trains_as_the_plain_parametrization_does(variant, changes, frozen, chunk, monkeypatch):
    """Within 1e-10 in double precision, over five steps."""
    monkeypatch.setattr("benchmark.train.optim.CHUNK", chunk)
    for name, (ours, plain) in trained_both_ways(variant, changes, frozen, torch.float64).items():
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}")


@EACH_VARIANT
@CHUNKS
def test_in_single_precision_the_fast_path_stays_within_1e_5_of_the_plain_parametrization(variant, chunk, monkeypatch):
    """Steps move a weight by up to 1e-2. Biases of keys apart: their gradient is 0 but for rounding, and any step is right."""
    monkeypatch.setattr("benchmark.train.optim.CHUNK", chunk)
    for name, (ours, plain) in trained_both_ways(variant, {}, False, torch.float32).items():
        if len(ours) == 3 * 16 and ours.ndim == 1:
            ours, plain = (torch.cat([queries, values]) for queries, _, values in (ours.chunk(3), plain.chunk(3)))
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def trained_both_ways(variant, changes, frozen, dtype) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What five steps make of each parameter, by ours and by the plain parametrization; and of an output."""
    recipe = TrainRecipe(epochs=1, batch_size=6, lr=2e-3, weight_decay=0.1, **changes)
    target = blocks(1)
    for block in target:
        nn.init.normal_(block.mlp.fc1.bias)
    model = as_model(target).to(dtype)
    model["blocks"].requires_grad_(not frozen)
    if VARIANTS[variant] is None:
        connect_gain(model["blocks"])
    else:
        source = blocks(2)
        for block in source:
            nn.init.normal_(block.mlp.fc1.bias)
        connect(model["blocks"], source.to(dtype), **VARIANTS[variant])
    reference, named = parametrized(model)
    optimizer = build_optimizer(model, recipe, depth=2)
    set_learning_rate(optimizer, recipe.lr)
    train(model, optimizer, recipe, 5, fast=True)
    train(reference, plain_adamw(named, recipe, 2), recipe, 5, fast=False)
    ours = dict(trained_parameters(model))
    assert ours.keys() == named.keys()
    both = {name: (torch.atleast_1d(ours[name].detach()), torch.atleast_1d(parameter.detach()))
            for name, parameter in named.items()}
    return {**both, "output": (run_as(model["blocks"], 99), run_as(reference["blocks"], 99))}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_threads_share_the_step_of_large_layers_without_changing_it(dtype, monkeypatch):
    monkeypatch.setattr("benchmark.train.optim.CHUNK", 96)
    taken, step_pathway = [], loops.step_pathway
    monkeypatch.setattr(loops, "step_pathway", lambda *arguments: (taken.append(arguments), step_pathway(*arguments)))
    recipe = TrainRecipe(epochs=1, batch_size=6, lr=2e-3, weight_decay=0.1)
    stepped = []
    for threads in (1, 3):
        model = as_model(blocks(1)).to(dtype)
        connect(model["blocks"], blocks(2).to(dtype), scale_init=1e-2)
        optimizer = build_optimizer(model, recipe, depth=2)
        for step in range(3):
            clear_gradients(model)
            with torch_threads(1):  # for gradients that are the same
                model["head"](run_as(model["blocks"], step)).square().mean().backward()
            with torch_threads(threads):
                optimizer.step()
        stepped.append(model.state_dict())
    assert len(taken) == 3 * 8 * (1 + 3), "steps, layers, threads"
    for name, value in stepped[0].items():
        assert torch.equal(value, stepped[1][name]), name


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_under_autocast_the_fast_path_sees_the_gradients_of_the_plain_parametrization(precision):
    """The sum is cast once in both; what differs is the rounding of a gradient in float32."""
    model = as_model(blocks(1))
    connect(model["blocks"], blocks(2), scale_init=0.1)
    reference, named = parametrized(model)
    for each in (model, reference):
        with torch.autocast("cpu", precision):
            each["head"](run_as(each["blocks"], 0)).float().square().mean().backward()
    for pathway in connected(model):
        pathway.pull_back()
    for name, parameter in named.items():
        if name.endswith("pathway.weight"):
            gradient = model.get_submodule(name.removesuffix(".pathway.weight")).weight.grad
            torch.testing.assert_close(gradient, parameter.grad)
        elif name.endswith("scale"):
            torch.testing.assert_close(dict(trained_parameters(model))[name].grad, parameter.grad, rtol=1e-4, atol=1e-6)


def loss_of_step(model: nn.ModuleDict, batch: dict[str, int], random: None) -> torch.Tensor:
    return model["head"](run_as(model["blocks"], batch["step"])).square().mean()


@pytest.mark.parametrize("frozen", [False, True], ids=["target trains", "target frozen"])
def test_a_scaled_loss_ends_where_an_unscaled_one_does(frozen):
    results = []
    for scaled in (False, True):
        model = as_model(blocks(1))
        model["blocks"].requires_grad_(not frozen)
        connect(model["blocks"], blocks(2), scale_init=0.1)
        recipe = TrainRecipe(epochs=1, batch_size=6, lr=1e-3, clip_norm=0.1)
        state = OneModel(model, partial(loss_of_step, model), build_optimizer(model, recipe, depth=2),
                         torch.amp.GradScaler("cpu", init_scale=2.0**12, enabled=scaled), None, recipe, 0,
                         torch.device("cpu"), model.train)
        for step in range(4):
            state.step([Part({"step": step}, None, 1.0)], recipe.lr, step)
        results.append({name: parameter.detach() for name, parameter in trained_parameters(model)})
    for name, parameter in results[0].items():
        torch.testing.assert_close(results[1][name], parameter, rtol=1e-5, atol=1e-6)


def test_a_compiled_model_with_pathways_trains_as_it_does_uncompiled():
    results = []
    for compiled in (False, True):
        model = as_model(blocks(1)).double()
        connect(model["blocks"], blocks(2).double(), scale_init=0.1)
        recipe = TrainRecipe(epochs=1, batch_size=6, lr=0.02)
        optimizer = build_optimizer(model, recipe, depth=2)
        forward = torch.compile(model["blocks"][0], backend="aot_eager") if compiled else model["blocks"][0]
        for step in range(4):
            clear_gradients(model)
            x = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
            model["head"](forward(x)).square().mean().backward()
            for block in model["blocks"][1:]:
                block(x).square().mean().backward()
            optimizer.step()
        results.append({name: parameter.detach().clone() for name, parameter in trained_parameters(model)})
    for name, parameter in results[0].items():
        torch.testing.assert_close(results[1][name], parameter, rtol=0, atol=1e-10)
