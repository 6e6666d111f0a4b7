"""Pathways over several processes: the gradients of sums are exchanged, or those of scales, and nothing else of a pathway."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from benchmark.model.connect import connect
from benchmark.model.encoder import build_blocks
from benchmark.model.pathway import not_exchanged, trained_parameters
from benchmark.runner.together import compute_together
from benchmark.spec.recipes import TrainRecipe
from benchmark.train.optim import build_optimizer, clear_gradients, clip_gradients
from benchmark.train.processes import Processes

STEPS, PROCESSES = 3, 2


class Model(nn.Module):
    def __init__(self, width=16, depth=2, heads=2, ratio=2.0, classes=3):
        super().__init__()
        torch.manual_seed(0)
        self.blocks, self.head = build_blocks(width, depth, heads, ratio, True), nn.Linear(width, classes)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def train(rank: int, processes: int) -> dict[str, torch.Tensor]:
    """Every process takes its share of each batch."""
    model = Model()
    connect(model.blocks, build_blocks(16, 2, 2, 2.0, True), scale_init=0.1)
    model.double()
    optimizer = build_optimizer(model, TrainRecipe(epochs=1, batch_size=8, lr=2e-3), depth=2)
    forward: nn.Module = model
    if processes > 1:
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, not_exchanged(model))
        forward = DistributedDataParallel(model)
    for step in range(STEPS):
        x = torch.randn(8, 5, 16, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        clear_gradients(model)
        forward(x.chunk(processes)[rank]).square().mean().backward()
        clip_gradients(model, 0.1)
        optimizer.step()
    return {name: parameter.detach() for name, parameter in trained_parameters(model)}


def one_of_several(rank: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1"}
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    torch.save(train(rank, PROCESSES), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_train_a_pathway_as_one_does(tmp_path: Path):
    multiprocessing.spawn(one_of_several, (str(tmp_path),), nprocs=PROCESSES)
    alone = train(0, 1)
    assert any(name.endswith("pathway.scale") for name in alone)
    for rank in range(PROCESSES):
        shared = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert shared.keys() == alone.keys()
        for name, parameter in alone.items():
            assert (shared[name] - parameter).abs().max() <= 1e-10, name


def exchanged_bytes(rank: int, meeting: str, model: Model) -> int:
    team = Processes(rank, PROCESSES, meeting)
    joined = team.join(model)
    with team.micro_batch(None, last=True):
        joined(torch.randn(1, 2, 768)).square().mean().backward()
    team.close()
    return team.exchanged_bytes


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "trained"])
def test_at_the_size_of_vit_b_a_pathway_costs_no_traffic(frozen):
    """With a classifier of ImageNet's size. Of frozen blocks, four scales a block more are exchanged: 192 bytes of 3 MB."""
    counts = []
    for joins in (False, True):
        model = Model(768, 12, 12, 4.0, 1000)
        model.blocks.requires_grad_(not frozen)
        if joins:
            for pathway in connect(model.blocks, model.blocks, scale_init=0.1):
                if frozen:
                    pathway.freeze_auxiliary()
        counts.append(compute_together(PROCESSES, lambda rank, meeting, report, model=model:
                                       exchanged_bytes(rank, meeting, model), lambda done, total, text: None))
    plain, joined = counts
    assert plain == 4 * (769_000 if frozen else 769_000 + 85_054_464)
    assert joined == plain + (4 * 48 if frozen else 0)
    assert joined / plain == pytest.approx(1, abs=1e-4)
