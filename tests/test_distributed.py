"""Pathways over several processes: the gradients of sums are exchanged, and nothing else of a pathway."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from benchmark.model.connect import connect
from benchmark.model.encoder import build_blocks
from benchmark.model.pathway import names_behind_sums, trained_parameters
from benchmark.spec.recipes import TrainRecipe
from benchmark.train.optim import build_optimizer, clear_gradients, clip_gradients

STEPS, PROCESSES = 3, 2


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.blocks, self.head = build_blocks(16, 2, 2, 2.0, True), nn.Linear(16, 3)
        connect(self.blocks, build_blocks(16, 2, 2, 2.0, True), scale_init=0.1)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def train(rank: int, processes: int) -> dict[str, torch.Tensor]:
    """Every process takes its share of each batch."""
    model = Model().double()
    optimizer = build_optimizer(model, TrainRecipe(epochs=1, batch_size=8, lr=2e-3), depth=2)
    forward: nn.Module = model
    if processes > 1:
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, names_behind_sums(model))
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
