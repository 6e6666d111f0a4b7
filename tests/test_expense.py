"""What a plan would take of a cluster, against sums done by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmark.cli.commands import build_parser
from benchmark.cli.context import make_plan
from benchmark.cli.main import main
from benchmark.evidence.expense import Speeds, disk_bytes, expenses, load_speeds, operations_of, training_operations
from benchmark.evidence.lengths import length_of

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def paper():
    plan, _ = make_plan(build_parser().parse_args(["run", "--profile", "paper", "--seeds", "0"]), {})
    return {spec.cell: spec for spec in plan.specs}


def test_operations_of_vit_b_are_those_of_its_matrices(paper):
    spec, width, tokens = paper["imagenet finetune"], 768, 196
    weights = 12 * (4 + 8) * width**2
    attention = 12 * 2 * tokens * tokens * width
    assert operations_of(spec) == 3 * 2 * (tokens * weights + attention)
    decoder = 8 * (tokens * 12 * 512**2 + 2 * tokens * tokens * 512)
    encoder = 12 * (49 * 12 * width**2 + 2 * 49 * 49 * width)
    assert operations_of(paper["image pretraining"]) == pytest.approx(6 * (encoder + decoder), rel=1e-12)
    assert operations_of(paper["kinetics finetune"]) == training_operations(spec.shape, 8 * 14 * 14)
    assert operations_of(paper["shapenet finetune"]) == training_operations(spec.shape, 128)


def test_hours_are_samples_over_speed(paper):
    speeds = Speeds("a GPU", 1e14, 1.1, {("imagenet", "train"): 4.0})
    plain, joined = paper["imagenet finetune"], paper["imagenet m2pt(audio)"]
    samples = {("imagenet", "train"): 1_000_000}
    first, second = expenses([plain, joined, joined.model_copy(update={"seed": 1})], {}, speeds, samples)
    rate = 1e14 / operations_of(plain)
    assert (first.runs, first.origin) == (1, "measured")
    assert first.samples_per_second == pytest.approx(rate)
    assert first.hours == pytest.approx(1_000_000 * 100 / rate / 3600)
    assert first.cores == math.ceil(rate * 4e-3)
    assert second.runs == 2
    assert second.hours == pytest.approx(2 * 1.1 * first.hours)
    (known,) = expenses([plain], {length_of(plain): [3600.0, 7200.0]}, speeds, samples)
    assert (known.hours, known.origin) == (1.5, "recorded")
    (unknown,) = expenses([plain], {}, Speeds(), samples)
    assert (unknown.hours, unknown.origin) == (None, "unknown")


def test_a_cell_costs_what_each_of_its_runs_costs_whatever_their_order(paper):
    plain, samples = paper["imagenet finetune"], {("imagenet", "train"): 1_000_000}
    short = plain.model_copy(update={"recipe": plain.recipe.model_copy(update={"epochs": 1})})
    few = plain.model_copy(update={"recipe": plain.recipe.model_copy(update={"label_share": 0.01})})
    specs = [spec.model_copy(update={"seed": seed}) for spec in (short, plain, few) for seed in range(3)]
    speeds = Speeds("a GPU", 1e14, 1.1, {})
    alone = math.fsum(row.hours for spec in specs for row in expenses([spec], {}, speeds, samples))
    for order in (specs, specs[::-1]):
        rows = sorted(expenses(order, {}, speeds, samples), key=lambda row: row.runs)
        assert [(row.cell, row.runs) for row in rows] == [("imagenet finetune", 3), ("imagenet finetune", 6)]
        assert math.fsum(row.hours for row in rows) == pytest.approx(alone)
        assert rows[1].hours == pytest.approx(2 * plain.recipe.epochs * rows[0].hours), "few labels take as many steps as all"
    mixed = expenses(specs, {length_of(short): [36.0]}, speeds, samples)
    assert [(row.origin, row.hours) for row in mixed if row.origin == "recorded"] == [("recorded", pytest.approx(0.03))]


def test_disk_is_weights_that_stay_and_two_checkpoints_of_the_largest(paper):
    stays, going = disk_bytes([paper["imagenet finetune"], paper["imagenet m2pt(audio)"]])
    encoder = 4 * 12 * 12 * 768**2
    assert (stays, going) == (2 * encoder, 2 * 3 * 2 * encoder)


def test_speeds_are_those_that_were_measured():
    speeds = load_speeds(ROOT / "results" / "speed")
    assert speeds.device == "NVIDIA H200"
    assert speeds.operations == pytest.approx(256 * training_operations_of_vit_b() / 91.19e-3)
    assert speeds.with_pathways == pytest.approx(1.0123, abs=1e-4)
    assert speeds.core_ms["imagenet", "train"] == pytest.approx(4.66, abs=0.01)


def training_operations_of_vit_b() -> float:
    return 3 * 2 * 12 * (196 * 12 * 768**2 + 2 * 196**2 * 768)


def test_a_dry_run_tells_the_hours_of_every_cell_and_submits_nothing(capsys, tmp_path):
    results = tmp_path / "none"
    assert main(["run", "--profile", "paper", "--executor", "slurm", "--slurm", "time=2h,gpus=8", "--gpus-per-run", "8",
                 "--max-jobs", "4", "--dry-run", "--results", str(results)]) == 0
    told = capsys.readouterr().out
    for cell in ("image pretraining", "imagenet finetune", "kinetics m2pt(audio)", "shapenet m2pt(image)"):
        (line,) = [line for line in told.splitlines() if line.startswith(f"{cell} ") and " 3 runs  " in line]
        assert "GPU-hours" in line
    assert "in all: 60 runs in 60 jobs of 2 arrays, " in told
    assert "with 4 jobs at once: " in told
    assert "the longest run takes " in told
    assert "about 297 GB of official data" in told
    assert "NVIDIA H200" in told
    assert not results.exists()
    assert main(["run", "--executor", "slurm", "--slurm", "time=2h,gpus=8", "--dry-run", "--results", str(results)]) == 0
    told = capsys.readouterr().out
    assert "each job asks for 8 GPUs, of which its run uses 1; with --gpus-per-run 8 it would use all" in told
