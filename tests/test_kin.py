"""The next claims: each arm does what its page says, its controls differ from it in one thing, and its matrix has them all."""

from __future__ import annotations

import ast
import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from baselines import ARMS, STUDY
from baselines.kin import KIN
from baselines.kin.activations import in_order_of, on_inputs
from baselines.kin.lora import Lora
from baselines.kin.low_rank import LowRank
from baselines.kin.matching import agreement, by_weights, matched, reorder_stream, scrambled
from baselines.kin.origin import Adding
from baselines.kin.task_vector import TaskVector
from baselines.m2pt import M2PT
from baselines.solution import ROLE
from benchmark.check.arms import STEP, carry_out
from benchmark.cli.main import main
from benchmark.data.seeds import generator
from benchmark.model.connect import linear_layers
from benchmark.model.encoder import TransformerModel, build_blocks
from benchmark.model.weights import read_weights
from benchmark.plan.fit import check_blocks
from benchmark.plan.matrix import Cell, Planner
from benchmark.plan.overrides import parse_override
from benchmark.plan.presets import narrow, plan_matrix
from benchmark.plan.study import with_rivals
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.spec.contracts import Start
from benchmark.spec.runspec import RunSpec
from benchmark.train.setup import build, build_autoencoder, build_model, count_parameters, load_inputs
from tasks import TASKS

FOLDER = Path(__file__).parents[1] / "baselines" / "kin"
FILES = sorted({FOLDER / f"{type(arm).__module__.rpartition('.')[2]}.py" for arm in KIN})


class Model(nn.Module):
    """As much of a model as an arm touches."""

    inputs = init_std = None

    def __init__(self, seed: int, frozen: bool = False):
        super().__init__()
        torch.manual_seed(seed)
        self.blocks = build_blocks(16, 3, 2, 2.0, True)
        for parameter in self.blocks.parameters():  # biases and norms, too, are of some network
            parameter.data += 0.05 * torch.randn(parameter.shape)
        self.requires_grad_(not frozen)


def weights(blocks: nn.ModuleList) -> dict[str, torch.Tensor]:
    return {name: linear.weight.detach().clone() for name, linear in linear_layers(blocks)}


def stream(arm) -> torch.Generator:
    return generator(0, *arm.stream("imagenet", "pretrained", "audio"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_arm_is_a_file_of_sixty_lines_that_names_its_source_and_its_cost(path):
    text = path.read_text(encoding="utf-8")
    said = ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 60
    assert "section" in said
    assert "Cost: " in said
    page = (FOLDER.parents[1] / "docs" / "kin.md").read_text(encoding="utf-8")
    assert f"(../baselines/kin/{path.name})" in page
    named = {arm.name for arm in KIN if type(arm).__module__ == f"baselines.kin.{path.stem}"}
    assert all(f"`{name}`" in page for name in named)


def test_every_cell_draws_numbers_of_its_own():
    """But for arms with new layers, which begin alike whatever the auxiliary, and whose noise has none."""
    for arm in KIN:
        places = [("imagenet", "fix", "audio"), ("imagenet", "pretrained", "audio"), ("imagenet", "fix", "video"),
                  ("audioset", "fix", None)]
        shared = isinstance(arm, Adding)
        assert len({arm.stream(*place) for place in places}) == len(places) - shared, arm.name
        assert (arm.stream(*places[0]) == arm.stream(*places[2])) == shared
    assert {arm.name for arm in KIN if isinstance(arm, Adding)} == {
        "frozen-block", "frozen-block-random", "frozen-block-none", "frozen-block-own", "distil", "distil-random", "distil-own"}


def built(name: str, auxiliary: str | None = None, task: str = "kinetics") -> TransformerModel:
    """A model from scratch under a real recipe, as a run of the arm begins with it"""
    spec = Planner(TASKS, "tiny").plan([Cell(TASKS[task], ARMS["scratch"], "scratch", None)], [0]).specs[-1]
    model, other = build_model(spec, TASKS[task]), build_model(spec.model_copy(update={"seed": 1}), TASKS[task]).blocks
    ARMS[name].build(model, {"auxiliary": other}, generator(0, *ARMS[name].stream(task, "scratch", auxiliary)))
    return model


def test_new_layers_begin_alike_under_an_arm_and_its_controls():
    added = [built(name, auxiliary).blocks[-1].added for name, auxiliary in (
        ("frozen-block", "audio"), ("frozen-block", "image"), ("frozen-block-random", None), ("frozen-block-none", None),
        ("frozen-block-own", None))]
    for other in added[1:]:
        for place in (0, -1):
            assert torch.equal(other[place].weight, added[0][place].weight)
    assert not torch.equal(added[0][0].weight, added[0][-1].weight)
    maps = [built(name, auxiliary).teacher.map.weight for name, auxiliary in (
        ("distil", "audio"), ("distil", "image"), ("distil-random", None), ("distil-own", None))]
    assert all(torch.equal(one, maps[0]) for one in maps[1:])
    assert not torch.equal(built("distil", "audio", "audioset").teacher.map.weight, maps[0])


def test_the_positive_control_of_teachers_differs_from_its_rival_in_the_teacher_alone():
    taught, alone = built("distil-own"), built("tokenizer-only")
    for name, tensor in alone.state_dict().items():
        assert torch.equal(taught.state_dict()[name], tensor), name
    assert set(taught.state_dict()) - set(alone.state_dict()) == {
        name for name in taught.state_dict() if name.startswith("teacher.")}


@pytest.mark.parametrize("name", ["frozen-block", "frozen-block-random", "frozen-block-own"])
def test_a_frozen_block_drops_no_paths_whoever_made_it(name):
    model = built(name)
    assert model.blocks[-1].drop_path1.drop_prob > 0, "under the recipe of this task"
    model.train()
    frozen, x = model.blocks[-1].added[1], torch.randn(64, 5, 96)
    assert torch.equal(frozen(x), frozen(x))
    first, second = (model.blocks[-1](x) for _ in range(2))
    assert not torch.equal(first, second), "the model's own last block does"


def test_adapters_alter_nothing_at_first_and_train_beside_what_trains():
    for frozen in (False, True):
        model = Model(0, frozen)
        before, arm = weights(model.blocks), Lora(rank=4, alpha=8)
        pathways = arm.build(model, {}, stream(arm))
        assert all(torch.equal(weight, before[name]) for name, weight in weights(model.blocks).items())
        assert len(pathways) == 12
        for pathway in pathways:
            trained = {name for name, parameter in pathway.cross_modal.named_parameters() if parameter.requires_grad}
            assert trained == {"left", "right"} | (set() if frozen else {"weight"})
            assert pathway.cross_modal.scale == 2
            assert pathway.linear.weight.requires_grad


def test_gradients_of_a_low_rank_sum_are_those_of_its_formula():
    torch.manual_seed(0)
    model, arm = Model(0), LowRank(rank=3)
    pathway = arm.build(model, {"auxiliary": Model(1).blocks}, stream(arm))[0]
    child, x = pathway.cross_modal, torch.randn(5, pathway.linear.in_features)
    child.scale.data.fill_(0.7)
    child.refresh()
    pathway.linear(x).square().sum().backward()
    child.pull_back()
    ours = {"weight": pathway.linear.weight.grad, **{name: getattr(child, name).grad for name in ("scale", "left", "right")}}
    inputs = [getattr(child, name) for name in ours]
    expected = torch.autograd.grad(child.apart(x).square().sum(), inputs)
    for (name, gradient), own in zip(ours.items(), expected, strict=True):
        torch.testing.assert_close(gradient, own, rtol=1e-4, atol=1e-5, msg=name)


def test_low_rank_is_the_best_of_its_rank_and_noise_is_of_its_size():
    auxiliary = Model(1).blocks
    of_rank = {}
    for name in ("low-rank", "low-rank-noise"):
        arm = type(ARMS[name])(rank=3)
        pathways = arm.build(Model(0), {"auxiliary": auxiliary}, stream(arm))
        of_rank[name] = {pathway.name: (child.left @ child.right.T).detach() for pathway in pathways
                         for child in [pathway.cross_modal]}
    for layer, weight in weights(auxiliary).items():
        best, noise = (of_rank[name][layer] for name in ("low-rank", "low-rank-noise"))
        values = torch.linalg.svdvals(weight)
        assert (weight - best).norm() == pytest.approx(values[3:].norm().item(), rel=1e-3)
        assert noise.norm() == pytest.approx(values[:3].norm().item(), rel=1e-3)
        assert torch.linalg.matrix_rank(noise) == 3
        assert nn.functional.cosine_similarity(noise.flatten(), best.flatten(), dim=0).abs() < 0.6


@pytest.mark.parametrize(("frozen", "option"), [(True, True), (False, False), (False, True)])
def test_factors_are_frozen_with_the_model_or_by_option(frozen, option):
    arm = LowRank(train_factors=option)
    pathways = arm.build(Model(0, frozen), {"auxiliary": Model(1).blocks}, stream(arm))
    assert {pathway.cross_modal.left.requires_grad for pathway in pathways} == {option and not frozen}
    assert all(pathway.cross_modal.scale.requires_grad for pathway in pathways)


@pytest.mark.parametrize("name", ["lora", "low-rank"])
def test_a_rank_that_no_layer_has_is_refused(name):
    arm = type(ARMS[name])(rank=17)
    with pytest.raises(ValueError, match=r"arm.rank=17: layer 0.attn.qkv has rank 16 at most; choose less"):
        arm.build(Model(0), {"auxiliary": Model(1).blocks}, stream(arm))


def test_units_in_another_order_are_the_same_network_and_are_found_again():
    blocks = Model(0).blocks
    moved = scrambled(blocks, generator(0))
    x, order = torch.randn(2, 5, 16), torch.arange(16)
    mixed = copy.deepcopy(blocks)
    reorder_stream(mixed, order.flip(0))
    for one, other, flipped in zip(blocks, scrambled(blocks, generator(1)), mixed, strict=True):
        torch.testing.assert_close(flipped(x.flip(-1)), one(x).flip(-1))
        assert not torch.allclose(other(x), one(x), atol=1e-2), "the stream is in another order, too"
    found = matched(moved, blocks)
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, blocks.state_dict()[name]), name


def test_another_network_is_brought_nearer_and_stays_the_same_network():
    target, other = Model(0).blocks, Model(1).blocks
    found = matched(other, target)
    (before, after), most = (agreement(by_weights(blocks), by_weights(target)) for blocks in (other, found)), agreement(
        by_weights(target), by_weights(target))
    assert after > abs(before) + 0.1 * most
    order = [int((found[0].norm1.weight == value).nonzero()) for value in other[0].norm1.weight]  # where each unit is now
    x, y = torch.randn(2, 5, 16), None
    y = torch.empty_like(x)
    y[..., order] = x
    for one, moved in zip(other, found, strict=True):
        x, y = one(x), moved(y)
        torch.testing.assert_close(y[..., order], x, rtol=1e-4, atol=1e-4)


def test_the_search_is_the_same_for_controls_and_their_weights_are_of_the_auxiliarys_size():
    auxiliary = Model(1).blocks
    sizes = {name: weight.norm().item() for name, weight in weights(auxiliary).items()}
    made = {}
    for name in ("aligned", "aligned-noise", "aligned-permuted"):
        target, arm = Model(0), ARMS[name]
        pathways = arm.build(target, {"auxiliary": auxiliary}, stream(arm))
        made[name] = {pathway.name: pathway.cross_modal.auxiliary.detach() for pathway in pathways}
        inner = sum(float((weight * made[name][layer]).sum()) for layer, weight in weights(Model(0).blocks).items())
        assert inner > 0, name
        assert {layer: pytest.approx(values.norm().item(), rel=1e-4) for layer, values in made[name].items()} == sizes
    own = made.pop("aligned")
    assert not any(torch.equal(own[layer], other[layer]) for layer in sizes for other in made.values())


@pytest.mark.parametrize("name", ["aligned-known", "low-rank-known", "task-vector-known"])
def test_positive_controls_are_made_of_what_fine_tuning_adds(name):
    start, arm = Model(0), ARMS[name]
    trained = copy.deepcopy(start.blocks)
    torch.manual_seed(2)
    for _, linear in linear_layers(trained):
        linear.weight.data += 0.01 * torch.randn(linear.weight.shape)
    before, after = weights(start.blocks), weights(trained)
    arm = type(arm)(rank=16) if name == "low-rank-known" else arm
    assert arm.trained("fix", 3)[ROLE].seed == 3
    for pathway in (pathways := arm.build(start, {ROLE: trained}, stream(arm))):
        pathway.cross_modal.scale.data.fill_(1.0)
        pathway.cross_modal.refresh()
    assert bool(pathways) == (name != "task-vector-known")
    for layer, weight in weights(start.blocks).items():
        torch.testing.assert_close(weight, after[layer], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(weight, before[layer], atol=1e-4)


@pytest.mark.parametrize("name", ["fpt", "fpt-shuffled", "fpt-random", "fpt-own"])
def test_blocks_of_another_are_frozen_but_for_their_norms(name):
    model, other, arm = Model(0), Model(1).blocks, ARMS[name]
    own = weights(model.blocks)
    assert arm.build(model, {"auxiliary": other} if name != "fpt-random" else {}, stream(arm)) == []
    assert {key for key, parameter in model.blocks.named_parameters() if parameter.requires_grad} == {
        f"{block}.norm{number}.{part}" for block in range(3) for number in (1, 2) for part in ("weight", "bias")}
    now, given = weights(model.blocks), weights(other)
    expected = {"fpt-random": own, "fpt-shuffled": None}.get(name, given)
    for layer, weight in now.items():
        if expected is None:
            assert torch.equal(weight.flatten().sort().values, given[layer].flatten().sort().values)
            assert not torch.equal(weight, given[layer])
        else:
            assert torch.equal(weight, expected[layer])


@pytest.mark.parametrize("name", ["frozen-block", "frozen-block-random", "frozen-block-none", "frozen-block-own"])
def test_a_frozen_block_stands_between_two_linear_layers_behind_the_last(name):
    model, other, arm = Model(0), Model(1).blocks, ARMS[name]
    own = copy.deepcopy(model.blocks)
    arm.build(model, {"auxiliary": other} if name in ("frozen-block", "frozen-block-own") else {}, stream(arm))
    added = model.blocks[-1].added
    assert {key.partition(".")[0] for key, parameter in added.named_parameters() if parameter.requires_grad} == {
        "0", str(len(added) - 1)}
    x = torch.randn(2, 5, 16)
    for block, plain in zip(model.blocks[:-1], own[:-1], strict=True):
        assert torch.equal(block(x), plain(x))
    between = {"frozen-block-none": nn.Identity(), "frozen-block-random": added[1]}.get(name, other[-1])
    torch.testing.assert_close(model.blocks[-1](x), added[-1](between(added[0](own[-1](x)))))
    assert len(added) == (2 if name == "frozen-block-none" else 3)
    assert own.state_dict().keys() < model.blocks.state_dict().keys(), "plain names stay"


def test_the_positive_control_of_frozen_blocks_starts_from_its_own_modality_under_another_seed():
    for name in ("fpt-own", "frozen-block-own"):
        assert ARMS[name].starts("image", None, "scratch", 3) == {"auxiliary": Start("image", 1003)}
    assert ARMS["distil-own"].starts("image", None, "scratch", 3) == {"target": Start("image", 3)}, "its rival's"
    whole = type(ARMS["fpt-own"])(tokenizer="own")
    assert whole.starts("image", None, "scratch", 3) == {"target": Start("image", 1003)}
    (early, job) = Planner(TASKS, "tiny").plan([Cell(TASKS["shapenet"], ARMS["frozen-block-own"], "scratch", None)], [3]).jobs
    begun = build_autoencoder(early.spec, early.task).encoder.state_dict()
    for key, tensor in build_model(job.spec, job.task).blocks.state_dict().items():
        assert tensor.ndim == 1 or not torch.equal(tensor, begun[f"blocks.{key}"])
    model = Model(0)
    before = weights(model.blocks)
    whole.build(model, {}, stream(whole))
    assert all(torch.equal(weight, before[name]) for name, weight in weights(model.blocks).items())


def test_a_task_vector_is_added_with_its_coefficient_and_controls_have_its_size():
    first, last = Model(1).blocks, Model(2).blocks
    vector = {name: weights(last)[name] - weight for name, weight in weights(first).items()}
    start = weights(Model(0).blocks)
    for name in ("task-vector", "task-vector-noise", "task-vector-permuted"):
        model, arm = Model(0), type(ARMS[name])(merge_scale=0.5)
        assert arm.build(model, {"auxiliary": last, "beginning": first}, stream(arm)) == []
        for layer, weight in weights(model.blocks).items():
            added = (weight - start[layer]) / 0.5
            assert added.norm() == pytest.approx(vector[layer].norm().item(), rel=1e-4)
            assert torch.allclose(added, vector[layer], atol=1e-5) == (name == "task-vector")


@pytest.mark.parametrize(("origin", "shared"), [("own", None), ("target", "image")])
def test_a_task_vector_begins_where_its_auxiliary_began(origin, shared):
    starts = TaskVector(origin=origin).starts("image", "audio", "fix", 2)
    assert starts["auxiliary"] == Start("audio", 2, origin=shared)
    assert starts["target"] == Start("image", 2)
    planner = Planner(TASKS, "tiny")
    (job,) = [job for job in planner.plan([Cell(TASKS["imagenet"], TaskVector(origin=origin), "fix", "audio")], [2]).jobs
              if job.spec.kind == "train"]
    early = dict(job.needs)["beginning"]
    assert (early.recipe.stop_epoch, early.origin) == (1, shared)
    assert dict(job.needs)["auxiliary"].recipe.stop_epoch is None


@pytest.mark.parametrize("field", ["num_heads", "embed_dim", "depth"])
@pytest.mark.parametrize("arm", [arm for arm in KIN if arm.uses_auxiliary], ids=lambda arm: arm.name)
def test_heads_width_and_depth_that_differ_are_an_error_of_the_plan(arm, field):
    text = f"audioset.shape.{field}={ {'num_heads': 2, 'embed_dim': 48, 'depth': 2}[field] }"
    planner = Planner(TASKS, "tiny", [parse_override(text, TASKS)])
    plan = planner.plan([Cell(TASKS["imagenet"], arm, arm.settings[0], "audio")], [0])
    with pytest.raises(ValueError, match=f"imagenet {arm.name}.* has blocks of {field} .* set shape.{field} alike"):
        check_blocks(plan)


@pytest.mark.parametrize("name", ["kin", "kin-shared-origin"])
def test_the_matrix_has_for_every_arm_what_its_gain_must_beat(name):
    """Each rival at the arm's target and auxiliary, in its variant unless it has none of these options."""
    rivals = with_rivals(STUDY, ARMS).rivals
    specs = [spec for spec in plan_matrix(STUDY.matrices[name], TASKS, ARMS, "tiny", [0]).specs if spec.kind == "train"]
    there = {(spec.comparison, spec.arm, spec.auxiliary, spec.variant) for spec in specs}
    judged = [spec for spec in specs if ARMS[spec.arm] in KIN and spec.arm in rivals and rivals[spec.arm]]
    assert {spec.arm for spec in judged} >= {"task-vector"}
    for spec in judged:
        for rival in rivals[spec.arm]:
            assert {(spec.comparison, rival, spec.auxiliary if ARMS[rival].uses_auxiliary else None, variant)
                    for variant in {spec.variant, "" if not ARMS[rival].uses_auxiliary else spec.variant}} & there, (
                spec.cell, rival)
    if name == "kin":
        assert {spec.arm for spec in specs} >= {arm.name for arm in KIN}


@pytest.mark.parametrize("name", ["kin", "kin-shared-origin"])
def test_any_arm_of_the_matrix_can_be_chosen_alone(name):
    """No group is left with options that none of its arms has."""
    matrix = STUDY.matrices[name]
    for arm in {arm for group in matrix.groups for arm in group.arms}:
        specs = plan_matrix(narrow(matrix, arms=[arm], targets=["imagenet"]), TASKS, ARMS, "tiny", [0]).specs
        assert arm in {spec.arm for spec in specs}


def test_controls_of_an_arm_are_declared_by_the_arm_and_answer_no_question():
    rivals = with_rivals(STUDY, ARMS).rivals
    methods = {arm.name: arm.rivals for arm in KIN if arm.is_method}
    assert set(methods) == {"low-rank", "fpt", "aligned", "task-vector", "frozen-block", "distil"}
    for name, own in methods.items():
        assert tuple(rivals[name]) == own
        assert all(ARMS[rival] in KIN and not ARMS[rival].is_method for rival in own)
    assert isinstance(ARMS["aligned"], M2PT)
    assert "lora" not in rivals


def run_of(arm, folder: Path, *overrides: str) -> tuple[RunSpec, Record]:
    """One step of an arm on the image task, from scratch, from pretrainings that were never trained"""
    changes = [parse_override(text, TASKS, may_fit_nothing=True) for text in (*STEP, *overrides)]
    auxiliary = "audio" if arm.uses_auxiliary else None
    plan = Planner(TASKS, "tiny", changes, limit=16).plan([Cell(TASKS["imagenet"], arm, "scratch", auxiliary)], [0])
    return plan.specs[-1], carry_out(plan, folder)


@pytest.mark.parametrize("name", ["distil", "distil-random", "distil-own"])
def test_a_teacher_and_its_map_are_trained_with_and_not_exported(name, tmp_path):
    spec, record = run_of(ARMS[name], tmp_path, "recipe.ema_decay=0.5")
    plain = build_model(spec, TASKS["imagenet"])
    shapes = {key.removeprefix("tokenizer.").removeprefix("head."): tensor.shape for key, tensor in plain.state_dict().items()}
    assert {key: tensor.shape for key, tensor in read_weights(tmp_path / "run" / "weights.safetensors").items()} == shapes
    width, counts = spec.shape.embed_dim, record.parameters
    assert counts["trainable"] == count_parameters(plain, trainable=True) + width * (width + 1)
    assert counts["training"] == counts["merged"] + width * (width + 1) + count_parameters(plain.blocks)
    assert record.merge_difference == 0.0


@pytest.mark.parametrize("name", ["distil", "distil-random", "distil-own"])
def test_the_second_target_is_what_the_teachers_blocks_make_of_the_models_tokens(name):
    task, arm = TASKS["imagenet"], type(ARMS[name])(weight=0.5)
    spec = Planner(TASKS, "tiny").plan([Cell(task, ARMS["scratch"], "scratch", None)], [0]).specs[-1]
    model, auxiliary = build_model(spec, task), build_model(spec.model_copy(update={"seed": 1}), task).blocks
    given = copy.deepcopy(model.blocks)
    assert arm.build(model, {"auxiliary": auxiliary} if name == "distil" else {}, stream(arm)) == []
    taught_by = {"distil": auxiliary, "distil-own": given}.get(name, model.teacher.blocks)
    for layer, weight in weights(model.teacher.blocks).items():
        assert torch.equal(weight, weights(taught_by)[layer])
        assert not torch.equal(weight, weights(model.blocks)[layer])
    model.train()
    assert not any(block.training for block in model.teacher.blocks), "a teacher drops no paths"
    batch = task.augment(next(task.load("tiny")["train"].stream([torch.arange(3)])), None, {})
    tokens, (prefix, place) = model.tokenizer(batch), model.tokenizer.prefix_tokens()
    sequence = torch.cat([(prefix + place).expand(3, -1, -1), tokens.embedded + tokens.position], 1)
    for block in copy.deepcopy(taught_by).eval():
        sequence = block(sequence)
    model.eval()
    features = model.forward_features(batch)
    own = model.teacher.map(features.sequence)
    norm = nn.LayerNorm(spec.shape.embed_dim)
    term = arm.further_loss(model, batch, features, model.head(features, batch))
    torch.testing.assert_close(term, 0.5 * (norm(own) - norm(sequence)).square().mean())
    term.backward()
    assert all(parameter.grad is None for parameter in model.teacher.blocks.parameters())
    assert all(parameter.grad is not None for parameter in [*model.teacher.map.parameters(), *model.blocks.parameters()])


def seeing(seed: int = 0) -> TransformerModel:
    """A model of some training, with inputs as an arm that asks for them finds them"""
    spec = Planner(TASKS, "tiny").plan([Cell(TASKS["imagenet"], ARMS["scratch"], "scratch", None)], [seed]).specs[-1]
    model = build_model(spec, TASKS["imagenet"])
    model.inputs = load_inputs(spec, TASKS["imagenet"], 8)
    shift(model.blocks, 0.03, seed)
    return model


def shift(blocks: nn.ModuleList, size: float, seed: int) -> None:
    random = generator(seed)
    for parameter in blocks.parameters():
        parameter.data += size * torch.randn(parameter.shape, generator=random)


def test_units_are_found_again_by_what_they_do_on_inputs():
    model = seeing()
    tuned = copy.deepcopy(model.blocks)
    shift(tuned, 0.01, 1)
    found = in_order_of(model, scrambled(tuned, generator(2)))
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, tuned.state_dict()[name]), name


def test_a_search_by_activations_agrees_in_them_more_than_one_by_weights_and_keeps_the_network():
    model, other = seeing(), seeing(1).blocks
    state = copy.deepcopy(model.state_dict())
    found = in_order_of(model, other)
    goals = on_inputs(model, model.inputs, model.blocks)
    own, weights_alone = (agreement(on_inputs(model, model.inputs, blocks), goals)
                          for blocks in (found, matched(other, model.blocks)))
    assert own > 2 * weights_alone > 0
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items()), "it was only looked at"
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in [*model.modules(), *other.modules()])
    order = [int((other[0].norm1.weight == value).nonzero()) for value in found[0].norm1.weight]
    x = torch.randn(2, 5, len(order))
    y = x[..., order]
    for one, moved in zip(other.eval(), found.eval(), strict=True):
        x, y = one(x), moved(y)
        torch.testing.assert_close(y, x[..., order], rtol=1e-4, atol=1e-4)


def test_what_a_unit_does_is_what_its_layer_gives_on_every_token():
    """Of the first block, whose input is at hand: units have mean 0 and norm 1 over tokens, so products are correlations."""
    model = seeing()
    tokens, (prefix, place) = model.tokenizer(model.inputs), model.tokenizer.prefix_tokens()
    x = torch.cat([(prefix + place).expand(8, -1, -1), tokens.embedded + tokens.position], 1)
    block, seen = model.blocks[0], on_inputs(model, model.inputs, model.blocks)[0]
    values = block.attn.qkv(block.norm1(x)).flatten(0, 1).detach().numpy()
    heads = block.attn.num_heads
    size = values.shape[1] // 3 // heads
    for kind in range(3):
        units = seen.heads[kind].flatten(0, 1)
        expected = values[:, kind * heads * size : (kind + 1) * heads * size]
        assert (units @ units.T).numpy() == pytest.approx(np.corrcoef(expected.T), abs=1e-4)
    x = x + block.attn(block.norm1(x))
    hidden = block.mlp.fc1(block.norm2(x)).flatten(0, 1).detach().numpy()
    assert (seen.hidden[0] @ seen.hidden[0].T).numpy() == pytest.approx(np.corrcoef(hidden.T), abs=1e-4)


@pytest.mark.parametrize("task", [task for task in TASKS.values() if "tiny" in task.profiles], ids=lambda task: task.name)
def test_an_arm_that_asks_for_inputs_finds_them_without_labels_while_it_builds(task, tmp_path):
    seen = []

    class Asking(type(ARMS["scratch"])):
        name = "asking"

        @property
        def num_inputs(self):
            return 5

        def build(self, model, blocks, random):
            seen.append(model.inputs)
            assert len(model.tokenizer(model.inputs).embedded) == 5
            return []

    plan = Planner(TASKS, "tiny", limit=16).plan([Cell(task, Asking(), "scratch", None)], [0, 1])
    for spec in (*plan.specs, plan.specs[0]):
        assert build(spec, task, Asking(), {}).model.inputs is None
    first, other, again = seen
    assert first.keys() == {"input", "index"}
    assert torch.equal(first["input"], again["input"])
    assert first["index"].tolist() != other["index"].tolist()
    assert set(first["index"].tolist()) <= set(range(16))


@pytest.mark.parametrize("name", ["aligned", "aligned-noise", "aligned-permuted", "aligned-known"])
def test_runs_aligned_by_activations_are_of_another_variant_and_end_in_another_model(name, tmp_path):
    arms = ARMS[name], type(ARMS[name])(by="activations")
    assert [arm.variant for arm in arms] == ["", "by=activations"]
    assert "by" not in arms[0].options(), "runs before had no such option"
    assert [arm.num_inputs for arm in arms] == [0, 32]
    built, model, other = [], seeing(), seeing(1).blocks
    for arm in arms:
        target = copy.deepcopy(model)
        target.inputs = model.inputs if arm.num_inputs else None
        pathways = arm.build(target, {"auxiliary": other, ROLE: other}, stream(arm))
        built.append({pathway.name: pathway.cross_modal.auxiliary.detach() for pathway in pathways})
    assert not any(torch.equal(built[0][layer], built[1][layer]) for layer in built[0])
    for layer, weight in built[0].items():  # the same units in another order
        sizes = [one[layer].square().sum().item() for one in built]
        assert sizes[0] == pytest.approx(sizes[1], rel=1e-4 if name != "aligned-known" else 0.2), layer
        assert weight.shape == built[1][layer].shape


def test_every_arm_takes_blocks_of_elsewhere_but_the_one_that_needs_where_they_began(tmp_path, capsys):
    shape = TASKS["imagenet"].profiles["tiny"].shape
    given, ours = tmp_path / "vit.safetensors", tmp_path / "speech.safetensors"
    torch.manual_seed(0)
    save_file(VisionTransformer(embed_dim=shape.embed_dim, depth=shape.depth, num_heads=shape.num_heads,
                                mlp_ratio=shape.mlp_ratio).state_dict(), given)
    assert main(["convert", str(given), "speech", "--blocks-only", "--heads", str(shape.num_heads), "--out", str(ours)]) == 0
    names = sorted(arm.name for arm in KIN if arm.uses_auxiliary and arm.name != "task-vector" and arm.is_method)
    assert names == ["aligned", "distil", "fpt", "frozen-block", "low-rank"]
    short = [part for change in ("recipe.epochs=1", "recipe.warmup_epochs=0", "pretrain.epochs=1", "pretrain.warmup_epochs=0")
             for part in ("--set", change)]
    run = ["run", "--matrix", "kin", "-t", "imagenet", "-x", "speech", "--start", f"speech={ours}", "--seeds", "0", "--limit",
           "16", "-j", "2", *short, "--results", str(tmp_path / "results")]
    assert main([*run, "--arm", ",".join(("finetune", "fix", "scratch", *names))]) == 0, capsys.readouterr()
    records, problems = Store(tmp_path / "results").records()
    assert not problems
    taken = {(record.spec.arm, record.spec.setting) for record in records if record.spec.auxiliary == "speech"
             and record.weights["auxiliary"].startswith(record.spec.starts["auxiliary"])}
    assert taken == {(name, setting) for name in names for setting in ARMS[name].settings}
    capsys.readouterr()
    assert main([*run, "--arm", "fix,task-vector"]) == 2
    assert "arm task-vector wants another pretraining of modality speech than the one file given" in capsys.readouterr().err
