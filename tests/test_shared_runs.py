"""Several processes that share a run compute what one does: batches, losses, gradients, weights, metrics.

Sums are rounded in another order, so that in double precision 1e-10 separates an error from rounding.
"""

from __future__ import annotations

import pytest
from shared import SMALL, carry_out, differences, make_auxiliary, make_files, plan_jobs

from tasks import TASKS

SHORT = ("pretrain.epochs=2", "pretrain.lr=1e-3", "recipe.epochs=5", "recipe.eval_every=5", "recipe.lr=1e-3")
PAPER = {
    "imagenet": ("shape.input_size=[64,64]", "recipe.batch_size=16", "recipe.accumulation=2", "pretrain.batch_size=32"),
    "shapenet": ("shape.input_size=[256]", "shape.patch_size=[16,8]", "recipe.augment.points=256", "shape.hidden_dim=32",
                 "shape.tokenizer_dim=16", "recipe.batch_size=6", "pretrain.batch_size=9", "pretrain.augment.points=128"),
    "kinetics": ("shape.input_size=[4,64,64]", "recipe.batch_size=9", "recipe.accumulation=2", "pretrain.batch_size=8",
                 "pretrain.accumulation=2", "recipe.test_views.temporal=2", "recipe.test_views.spatial=1", "recipe.epochs=20"),
    "audioset": ("shape.input_size=[96,64]", "recipe.batch_size=6", "pretrain.batch_size=8", "recipe.augment.time_mask=19"),
}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_recipes_give_the_losses_weights_and_metrics_of_one_process(name, tmp_path, monkeypatch):
    """Twenty steps with pathways from the end of a pretraining, which is shared, too; test splits that do not divide."""
    monkeypatch.setenv("M2PT_DATA", str(tmp_path / "data"))
    make_files(name, tmp_path)
    make_auxiliary(tmp_path / "auxiliary.safetensors")
    pretraining, training = plan_jobs(TASKS[name], "paper", "m2pt", [*SMALL, *SHORT, *PAPER[name]],
                                      tmp_path / "auxiliary.safetensors", limit=64)
    weights = tmp_path / "pretraining-1" / "weights.safetensors"
    for job, what in ((pretraining, "pretraining"), (training, "training")):
        alone = carry_out(job, 1, tmp_path / f"{what}-1", weights)
        for size in (2, 4):
            shared = carry_out(job, size, tmp_path / f"{what}-{size}", weights)
            found = differences(alone, shared, (tmp_path / f"{what}-1", tmp_path / f"{what}-{size}"))
            print(name, what, size, found)
            assert shared.environment.processes == (size,)
            assert max(found.values()) <= 1e-10
