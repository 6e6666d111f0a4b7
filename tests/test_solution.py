"""A known solution: what a pathway is given is what fine-tuning adds, and with every scale at 1 it is the trained model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cosine_similarity

from baselines import ARMS
from baselines.solution import ROLE, Solution, SolutionNoise
from benchmark.data.seeds import generator
from benchmark.model.connect import linear_layers
from benchmark.model.encoder import build_blocks
from benchmark.model.pathway import merge
from benchmark.model.weights import read_weights
from benchmark.plan.matrix import Cell, Plan, Planner
from benchmark.plan.overrides import parse_override
from benchmark.provenance.code import used_code
from benchmark.provenance.currency import Judge
from benchmark.records.store import Store
from benchmark.runner.pool import todo
from benchmark.runner.reproduce import adopt, plan_again
from benchmark.spec.runspec import Pretrained, Site
from benchmark.train import setup
from benchmark.train.evaluate import first_views
from benchmark.train.execute import execute
from tasks import TASKS

SMALL = ["recipe.epochs=2", "pretrain.epochs=1", "recipe.batch_size=16", "pretrain.batch_size=16", "shape.depth=2",
         "recipe.warmup_epochs=0", "pretrain.warmup_epochs=0"]


def plan_of(task: str, arm: str = "solution", setting: str = "pretrained", seeds=(0,)) -> Plan:
    planner = Planner(TASKS, "tiny", [parse_override(text, TASKS) for text in SMALL], limit=32)
    return planner.plan([Cell(TASKS[task], ARMS[arm], setting)], list(seeds))


def carry_out(plan: Plan, store: Store) -> None:
    for job in plan.jobs:
        starts = {role: Pretrained(weights=store.weights(need), shape=need.shape) for role, need in job.needs}
        record = execute(job.spec, job.task, job.arm, Site(results=""), store.work(job.spec), starts)
        store.save(record.model_copy(update={"code": used_code(job.code, stacked=False, shared=False)}))


def origins(arm: Solution | SolutionNoise, task: str, setting: str, seed: int = 0):
    """tau and A of every layer, of blocks that moved a little"""
    torch.manual_seed(seed)
    start, trained = (build_blocks(16, 2, 2, 2.0, True) for _ in range(2))
    for (_, linear), (_, moved) in zip(linear_layers(start), linear_layers(trained), strict=True):
        moved.weight.data = linear.weight + 0.01 * moved.weight
    tau = {name: linear.weight.detach() - dict(linear_layers(start))[name].weight.detach()
           for name, linear in linear_layers(trained)}
    model = torch.nn.Module()
    model.blocks = start
    pathways = arm.build(model, {ROLE: trained}, generator(seed, *arm.stream(task, setting, None)))
    return tau, {pathway.name: pathway.cross_modal.auxiliary.detach() for pathway in pathways}


@pytest.mark.parametrize("rho", [1.0, 0.3, 0.1, 0.03])
def test_a_dose_has_the_size_of_the_solution_and_its_cosine_in_every_layer(rho):
    tau, made = origins(Solution(rho=rho), "imagenet", "fix")
    assert tau.keys() == made.keys()
    for name, values in made.items():
        assert values.norm().item() == pytest.approx(tau[name].norm().item(), rel=1e-4)
        cosine = cosine_similarity(values.double().flatten(), tau[name].double().flatten(), 0).item()
        assert cosine == pytest.approx(rho, abs=1e-5)
        assert torch.equal(values, tau[name]) == (rho == 1)


def test_noise_of_the_solutions_size_is_drawn_for_every_layer_target_and_setting():
    tau, noise = origins(SolutionNoise(), "imagenet", "fix")
    for name, values in noise.items():
        assert values.norm().item() == pytest.approx(tau[name].norm().item(), rel=1e-5)
        assert abs(cosine_similarity(values.flatten(), tau[name].flatten(), 0).item()) < 0.2
    same_shape = noise["0.attn.proj"], noise["1.attn.proj"]
    others = [origins(SolutionNoise(), *place)[1]["0.attn.proj"] for place in (("audioset", "fix"), ("imagenet", "pretrained"))]
    for one in (*others, same_shape[1]):
        assert abs(cosine_similarity(one.flatten(), same_shape[0].flatten(), 0).item()) < 0.3
    assert torch.equal(origins(SolutionNoise(), "imagenet", "fix")[1]["0.attn.proj"], same_shape[0])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, Store]:
    """Of images, and of points, whose tokenizer has batch norms: a trained model, and a pathway that starts from it."""
    stores = {}
    for task in ("imagenet", "shapenet"):
        stores[task] = Store(tmp_path_factory.mktemp(task))
        carry_out(plan_of(task), stores[task])
    return stores


@pytest.mark.parametrize("setting", ["pretrained", "fix"])
@pytest.mark.parametrize("task", ["imagenet", "shapenet"])
def test_with_every_scale_at_one_it_is_the_trained_model(task, setting, trained):
    """By its logits, with the trained head in place of the fresh one; where that is a probe, by its blocks."""
    store, job = trained[task], plan_of(task, setting=setting).jobs[-1]
    start = {role: Pretrained(weights=store.weights(need), shape=need.shape) for role, need in job.needs}
    built = setup.build(job.spec, job.task, job.arm, start)
    model, left = built.model, read_weights(start[ROLE].weights)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for pathway in built.pathways:
        pathway.cross_modal.scale.data.fill_(1.0)
    merge(model)
    reference = setup.build_model(dict(job.needs)[ROLE], job.task)
    reference.load_state_dict({name: left[name.removeprefix("tokenizer.").removeprefix("head.")]
                               for name in reference.state_dict()})
    assert any(not torch.allclose(before[name], tensor, atol=1e-6) for name, tensor in reference.state_dict().items()
               if name in before and name.endswith("fc1.weight"))
    view = next(first_views(job.task, setup.load_splits(job.spec, job.task)["test"], job.spec, torch.device("cpu"), 8))
    with torch.inference_mode():
        model.eval()
        reference.eval()
        if type(model.head) is type(reference.head):
            model.head.load_state_dict(reference.head.state_dict())
            torch.testing.assert_close(model(view), reference(view), atol=1e-6, rtol=1e-5)
        assert (type(model.head) is type(reference.head)) == ((task, setting) != ("imagenet", "fix"))
        for name, tensor in reference.blocks.state_dict().items():
            torch.testing.assert_close(model.blocks.state_dict()[name], tensor, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("task", ["imagenet", "shapenet"])
def test_fine_tuning_of_linear_layers_alters_their_weights_and_the_head_alone(task, trained):
    store, plan = trained[task], plan_of(task)
    before, after = (read_weights(store.weights(spec)) for spec in plan.specs[:2])
    own = setup.build_model(plan.specs[1], TASKS[task])
    linears = {f"blocks.{name}.weight" for name, _ in linear_layers(own.blocks)}
    for name, tensor in before.items():
        place = name.removeprefix("tokenizer.")
        if place in after and not name.endswith("num_batches_tracked"):
            assert torch.equal(after[place], tensor) == (name not in linears), name


def test_a_solution_needs_its_training_and_that_its_pretraining(trained):
    store, plan = trained["imagenet"], plan_of("imagenet")
    assert [job.spec.arm for job in plan.jobs] == [None, "finetune-linear", "solution"]
    assert {role: need.run_id for role, need in plan.jobs[-1].needs} == {
        "target": plan.specs[0].run_id, ROLE: plan.specs[1].run_id}
    assert todo(plan, store, ()).jobs == []
    (store.run_folder(plan.specs[2]) / "record.json").unlink()
    for spec in plan.specs[:2]:
        store.weights(spec).rename(store.work(spec) / "kept")
    try:
        assert todo(plan, store, ()).jobs == list(plan.jobs)
    finally:
        for spec in plan.specs[:2]:
            (store.work(spec) / "kept").rename(store.weights(spec))


def test_a_solution_is_computed_again_from_what_its_training_started_from(tmp_path: Path, trained):
    store = trained["shapenet"]
    records, _ = store.records()
    (record,) = [one for one in records if one.spec.arm == "solution"]
    plan = plan_again(record, records, TASKS, ARMS, Judge.beside(store))
    assert [job.spec.arm for job in plan.jobs] == [None, "finetune-linear", "solution"]
    fresh = Store(tmp_path)
    fresh.prepare()
    adopt(plan, record, records, store, fresh)
    assert todo(plan, fresh, ()).jobs == [plan.jobs[-1]]
