"""What each control keeps of its auxiliary and what it takes away."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

from baselines import ARMS
from baselines.controls import CONTROLS, OTHER_SEED
from baselines.m2pt import M2PT, in_order
from benchmark.data.seeds import generator
from benchmark.model.connect import linear_layers
from benchmark.model.encoder import build_blocks, draw_weight
from benchmark.spec.contracts import Start


class Model(nn.Module):
    """As much of a model as an arm touches."""

    init_std: float | None = None

    def __init__(self, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.blocks = build_blocks(16, 3, 2, 2.0, True)


def weights(blocks: nn.ModuleList) -> dict[str, torch.Tensor]:
    return {name: module.weight.detach().clone() for name, module in blocks.named_modules() if isinstance(module, nn.Linear)}


@pytest.fixture
def models() -> tuple[Model, Model]:
    return Model(0), Model(1)


def origin(name: str, models: tuple[Model, Model], seed: int = 0) -> tuple[dict, dict, dict]:
    """Weights of the target before, of the auxiliary, and of A under the control."""
    target, auxiliary = models
    before, other = weights(target.blocks), weights(auxiliary.blocks)
    pathways = ARMS[name].build(target, {"auxiliary": auxiliary.blocks}, generator(seed, "arm", name))
    assert weights(auxiliary.blocks).keys() == other.keys()
    assert all(torch.equal(weights(auxiliary.blocks)[key], other[key]) for key in other), "the auxiliary is left as it was"
    return before, other, {pathway.name: pathway.cross_modal.auxiliary.detach() for pathway in pathways}


def test_noise_has_the_norm_of_every_layer_and_no_direction_of_it(models):
    _, auxiliary, noise = origin("random-norm", models)
    for name, weight in auxiliary.items():
        assert noise[name].norm() == pytest.approx(weight.norm().item(), rel=1e-5)
        assert nn.functional.cosine_similarity(noise[name].flatten(), weight.flatten(), dim=0).abs() < 0.2


def test_shuffling_keeps_the_values_and_permuting_the_singular_values(models):
    _, auxiliary, shuffled = origin("shuffled", models)
    _, _, permuted = origin("permuted", (Model(0), models[1]))
    for name, weight in auxiliary.items():
        assert torch.equal(shuffled[name].flatten().sort().values, weight.flatten().sort().values)
        assert not torch.allclose(torch.linalg.svdvals(shuffled[name]), torch.linalg.svdvals(weight), rtol=1e-3)
        torch.testing.assert_close(torch.linalg.svdvals(permuted[name]), torch.linalg.svdvals(weight))
        assert not torch.equal(permuted[name], weight)


@pytest.mark.parametrize("name", ["random-init", "random-norm", "shuffled", "permuted", "zero"])
def test_no_control_keeps_a_bias_of_what_it_stands_for(name, models):
    """Only pathways with joined biases use them."""
    target, auxiliary = models
    for model in models:
        for block in model.blocks:
            torch.nn.init.normal_(block.mlp.fc1.bias)
    made = ARMS[name].auxiliary_blocks(target, {"auxiliary": auxiliary.blocks}, torch.Generator().manual_seed(0))
    for block, other in zip(made, auxiliary.blocks, strict=True):
        norm = 0.0 if name in ("random-init", "zero") else other.mlp.fc1.bias.norm().item()
        assert block.mlp.fc1.bias.norm().item() == pytest.approx(norm, rel=1e-5)
        assert not torch.isclose(block.mlp.fc1.bias, other.mlp.fc1.bias).all()


def test_a_self_copy_is_the_target_as_it_was_and_zero_is_zero(models):
    before, _, copied = origin("self-copy", models)
    assert all(torch.equal(copied[name], weight) for name, weight in before.items())
    assert all(not weight.any() for weight in origin("zero", (Model(0), models[1]))[2].values())


def test_untrained_blocks_are_neither_the_targets_nor_the_auxiliarys_and_follow_the_seed(models):
    before, auxiliary, untrained = origin("random-init", models)
    again = origin("random-init", (Model(0), models[1]))[2]
    other = origin("random-init", (Model(0), models[1]), seed=1)[2]
    for name, weight in untrained.items():
        assert not any(torch.equal(weight, one[name]) for one in (before, auxiliary, other))
        assert torch.equal(weight, again[name])
        assert weight.std() == pytest.approx(before[name].std().item(), rel=0.2)


def test_no_weight_begins_a_hundred_deviations_away():
    """Of these numbers timm's function, with its own bounds, sets one to -2; all others have the very same bits"""
    weights = []
    for draw in (timm.layers.trunc_normal_, draw_weight):
        torch.manual_seed(3)
        weights.append(draw(torch.empty(768, 3072), std=0.02))
    theirs, ours = weights
    assert ours.abs().max().item() <= 6 * 0.02
    assert torch.equal(ours, theirs.clamp(-6 * 0.02, 6 * 0.02))
    random, again = (torch.Generator().manual_seed(3) for _ in range(2))
    assert torch.equal(draw_weight(torch.empty(768, 3072), 0.02, random),
                       nn.init.trunc_normal_(torch.empty(768, 3072), std=0.02, generator=again))


@pytest.mark.parametrize("init_std", [None, 0.02])
def test_what_is_drawn_anew_begins_as_blocks_of_the_shape_do(init_std, models):
    """Without a deviation of its own: Xavier uniform, in the order of the layers."""
    for name in ("random-init", "merge-whole", "tokenizer-only"):
        model = copy.deepcopy(models[0])
        model.init_std, model.norm = init_std, nn.LayerNorm(16)
        arm = type(ARMS[name])(merge_scale=0.0) if name == "merge-whole" else ARMS[name]
        made = arm.build(model, {"auxiliary": models[1].blocks}, generator(0))
        drawn = {one.name: one.cross_modal.auxiliary for one in made} or weights(model.blocks)
        random = generator(0)
        for layer, linear in linear_layers(build_blocks(16, 3, 2, 2.0, True)):
            if init_std is None:
                assert torch.equal(drawn[layer], nn.init.xavier_uniform_(linear.weight, generator=random)), (name, layer)
            else:
                assert drawn[layer].detach().std() == pytest.approx(init_std, rel=0.2), (name, layer)


def test_aux_init_takes_every_parameter_of_the_blocks(models):
    target, auxiliary = models
    assert ARMS["aux-init"].build(target, {"auxiliary": auxiliary.blocks}, generator(0)) == []
    for name, tensor in target.blocks.state_dict().items():
        assert torch.equal(tensor, auxiliary.blocks.state_dict()[name])


def test_merging_adds_the_auxiliary_once(models):
    target, auxiliary = models
    before, other = weights(target.blocks), weights(auxiliary.blocks)
    arm = type(ARMS["merge"])(merge_scale=0.5)
    assert arm.build(target, {"auxiliary": auxiliary.blocks}, generator(0)) == []
    for name, weight in weights(target.blocks).items():
        torch.testing.assert_close(weight, before[name] + 0.5 * other[name])
    narrow = build_blocks(8, 3, 2, 2.0, True)
    with pytest.raises(ValueError, match="only equal shapes can be merged"):
        arm.build(target, {"auxiliary": narrow}, generator(0))


def test_noise_that_is_merged_has_the_norm_of_the_planted_effect(models):
    target, auxiliary = models
    before, other = weights(target.blocks), weights(auxiliary.blocks)
    ARMS["merge-random"].build(target, {"auxiliary": auxiliary.blocks}, generator(0))
    for name, weight in weights(target.blocks).items():
        assert (weight - before[name]).norm() == pytest.approx(other[name].norm().item(), rel=1e-4)


def test_the_planted_effect_keeps_all_of_the_encoder_and_adds_fresh_weights_to_its_blocks(models):
    target, _ = models
    held = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    ARMS["merge-whole"].build(target, {}, generator(0))
    added = {f"blocks.{name}.weight" for name, _ in linear_layers(target.blocks)}
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, held[name]) == (name not in added)
    twice = copy.deepcopy(target)
    twice.load_state_dict(held)
    type(ARMS["merge-whole"])(merge_scale=0.0).build(twice, {}, generator(0))  # the fresh weights alone
    for name in added:
        torch.testing.assert_close(target.state_dict()[name], held[name] + twice.state_dict()[name])
    assert ARMS["merge-whole"].starts("image", None, "scratch", 3) == {"target": Start("image", 3)}


def test_noise_in_place_of_the_planted_effect_keeps_its_norms_and_none_of_its_values(models):
    target, _ = models
    for parameter in target.parameters():
        parameter.data += 0.1
    held = {name: parameter.detach().clone() for name, parameter in target.named_parameters()}
    arm = type(ARMS["merge-whole-random"])()
    arm.alter(target, generator(0))
    for name, parameter in target.named_parameters():
        if name.startswith("head.") or not parameter.requires_grad:
            assert torch.equal(parameter, held[name])
        elif parameter.ndim == 1:
            assert set(parameter.tolist()) == {1.0 if name.endswith("weight") else 0.0}
        else:
            assert parameter.norm().item() == pytest.approx(held[name].norm().item(), rel=1e-4)
            assert abs(nn.functional.cosine_similarity(parameter.flatten(), held[name].flatten(), dim=0)) < 0.5
    assert arm.starts("image", None, "scratch", 3) == ARMS["merge-whole"].starts("image", None, "scratch", 3)


def test_controls_start_from_what_they_say():
    own = Start("image", 3)
    assert ARMS["same-modality"].starts("image", None, "pretrained", 3) == {
        "target": own, "auxiliary": Start("image", 3 + OTHER_SEED)}
    assert ARMS["ceiling"].starts("image", None, "scratch", 3) == ARMS["merge-own"].starts("image", None, "scratch", 3)
    assert ARMS["ceiling"].starts("image", None, "scratch", 3) == {"auxiliary": own}
    assert ARMS["self-copy"].starts("image", None, "scratch", 3) == {}
    assert ARMS["random-norm"].starts("image", "audio", "fix", 3) == {"target": own, "auxiliary": Start("audio", 3)}
    assert M2PT(maturity=0.25).starts("image", "audio", "scratch", 3) == {"auxiliary": Start("audio", 3, 0.25)}


@pytest.mark.parametrize("name", ["random-init", "random-norm", "shuffled", "permuted"])
def test_draws_of_its_own_differ_by_target_auxiliary_and_setting_and_shared_ones_do_not(name, models):
    places = [("imagenet", "fix", "audio"), ("kinetics", "fix", "audio"), ("imagenet", "fix", "point"),
              ("imagenet", "pretrained", "audio")]
    drawn = {}
    for draws in ("shared", "own"):
        arm = type(ARMS[name])(draws=draws)
        drawn[draws] = [arm.auxiliary_blocks(models[0], {"auxiliary": models[1].blocks}, generator(0, *arm.stream(*place)))
                        [0].mlp.fc1.weight for place in places]
    assert all(torch.equal(one, drawn["shared"][0]) for one in drawn["shared"])
    for number, one in enumerate(drawn["own"]):
        assert not any(torch.equal(one, other) for other in [*drawn["own"][:number], drawn["shared"][0]])


def test_options_that_came_later_are_in_no_id_at_their_default_and_draws_are_no_variant():
    arm, own = ARMS["random-norm"], type(ARMS["random-norm"])(draws="own", origin="target")
    assert {"draws", "origin"} <= type(arm).model_fields.keys()
    assert not {"draws", "origin"} & arm.options().keys()
    assert {"draws": "own", "origin": "target"}.items() <= own.options().items()
    assert own.variant == "origin=target"
    assert type(arm).model_validate(arm.options()) == arm


def test_a_shared_origin_is_of_the_auxiliary_alone():
    arm = M2PT(origin="target")
    assert arm.starts("image", "audio", "fix", 3) == {"target": Start("image", 3), "auxiliary": Start("audio", 3, 1.0, "image")}


def test_the_tokenizer_alone_is_kept_before_fresh_blocks(models):
    target, _ = models
    target.tokenizer, target.norm = nn.Linear(3, 4), nn.LayerNorm(16)
    for parameter in target.parameters():
        parameter.data += 0.1
    held = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    assert ARMS["tokenizer-only"].build(target, {}, generator(0)) == []
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, held[name]) == name.startswith("tokenizer."), name
    fresh = build_blocks(16, 3, 2, 2.0, True)
    for name, tensor in target.blocks.state_dict().items():
        assert tensor.float().std(unbiased=False) == pytest.approx(
            fresh.state_dict()[name].float().std(unbiased=False).item(), rel=0.2, abs=1e-9), name
    assert ARMS["tokenizer-only"].starts("image", None, "scratch", 3) == {"target": Start("image", 3)}


def test_no_control_passes_for_the_method_or_for_a_baseline():
    assert not any(arm.is_method or arm.is_baseline for arm in CONTROLS)
    assert len({arm.name for arm in CONTROLS}) == len(CONTROLS)


@pytest.mark.parametrize("order", ["same", "reversed", "permuted"])
def test_blocks_in_another_order_are_the_same_blocks(order):
    blocks = build_blocks(16, 4, 2, 2.0, True)
    ordered = in_order(blocks, order, generator(0))
    places = [list(blocks).index(block) for block in ordered]
    assert sorted(places) == [0, 1, 2, 3]
    if order == "permuted":
        assert all(place != index for index, place in enumerate(places))
    else:
        assert places == ([0, 1, 2, 3] if order == "same" else [3, 2, 1, 0])
