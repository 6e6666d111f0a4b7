"""Several processes that share a run compute what one does: batches, losses, gradients, weights, metrics.

Sums are rounded in another order, so that in double precision 1e-10 separates an error from rounding.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from shared import SMALL, carry_out, counted, differences, largest_difference, make_auxiliary, make_files, plan_jobs
from sixth_task import Waveforms
from synthetic import make_record, make_spec
from torch import nn

from benchmark.cli.main import main
from benchmark.evidence.pairing import Run, pair_runs
from benchmark.records.signed import FILE as SIGNED
from benchmark.records.signed import read_signed
from benchmark.records.store import Store
from benchmark.runner.together import ProcessLost, compute_together
from benchmark.train.loop import Stopped
from benchmark.train.processes import Processes, rows_of
from tasks import TASKS

SHORT = ("pretrain.epochs=2", "pretrain.lr=1e-3", "recipe.epochs=5", "recipe.eval_every=5", "recipe.lr=1e-3")
PAPER = {
    "imagenet": ("shape.input_size=[64,64]", "recipe.batch_size=16", "recipe.accumulation=2", "pretrain.batch_size=32",
                 "recipe.ema_decay=0.9", "recipe.clip_norm=0.5", "recipe.checkpoint_blocks=true"),
    "shapenet": ("shape.input_size=[256]", "shape.patch_size=[16,8]", "recipe.augment.points=256", "shape.hidden_dim=32",
                 "shape.tokenizer_dim=16", "recipe.batch_size=6", "pretrain.batch_size=9", "pretrain.augment.points=128"),
    "kinetics": ("shape.input_size=[4,64,64]", "recipe.batch_size=4", "recipe.accumulation=1", "pretrain.batch_size=8",
                 "pretrain.accumulation=2", "recipe.test_views.temporal=2", "recipe.test_views.spatial=1",
                 "recipe.epochs=10"),
    "audioset": ("shape.input_size=[96,64]", "recipe.batch_size=6", "pretrain.batch_size=8", "recipe.augment.time_mask=19",
                 "recipe.epochs=7"),
}


@pytest.mark.parametrize(("name", "setting"), [*((name, "pretrained") for name in PAPER), ("imagenet", "fix")])
def test_the_papers_recipes_give_the_losses_weights_and_metrics_of_one_process(name, setting, tmp_path, monkeypatch):
    """Twenty steps with pathways from the end of a pretraining, which is shared, too; test splits that do not divide. In the
    setting fix by LARS, through the probe's batch norm.
    """
    monkeypatch.setenv("M2PT_DATA", str(tmp_path / "data"))
    make_files(name, tmp_path)
    make_auxiliary(tmp_path / "auxiliary.safetensors")
    pretraining, training = plan_jobs(TASKS[name], "paper", "m2pt", [*SMALL, *SHORT, *PAPER[name]],
                                      tmp_path / "auxiliary.safetensors", setting, limit=64)
    weights = tmp_path / "pretraining-1" / "weights.safetensors"
    for job, sizes in ((pretraining, (2,)), (training, (2, 4))):
        one = counted(job, 1, tmp_path / f"{job.spec.kind}ing-1".replace("eing", "ing"), weights)
        assert one.record.environment.processes is None
        assert job is pretraining or len(one.losses) >= 20
        for size in sizes if setting == "pretrained" else sizes[1:]:
            several = counted(job, size, tmp_path / f"{job.spec.kind}-{size}", weights)
            found = differences(one.record, several.record,
                                (tmp_path / f"{job.spec.kind}ing-1", tmp_path / f"{job.spec.kind}-{size}"))
            found["losses of steps"] = largest_difference(one.losses, several.losses)
            assert several.record.environment.processes == (size,)
            assert found.pop("before norms") <= 1e-7
            assert max(found.values()) <= 1e-10, found
            assert several.record.samples_per_second > 0
            assert 0 <= several.record.seconds["input"] <= several.record.seconds["train"]


def waveforms(task: Waveforms, tmp_path: Path, *changes: str, arm: str = "m2pt"):
    """A training of the sixth task from scratch, in which much is random"""
    make_auxiliary(tmp_path / "auxiliary.safetensors", 24, heads=2)
    overrides = ["shape.embed_dim=24", "shape.depth=2", "shape.num_heads=2", "shape.mlp_ratio=4", "recipe.epochs=4",
                 "recipe.batch_size=30", "recipe.drop_path_rate=0.3", "recipe.mixup=0.4", *changes]
    (job,) = plan_jobs(task, "tiny", arm, overrides, tmp_path / "auxiliary.safetensors", "scratch")
    return job


def test_a_further_term_of_the_loss_is_that_of_whole_batches(tmp_path):
    """With a teacher and its map: two processes with shares of each part of a batch, and one with the batch in two parts."""
    job = waveforms(Waveforms(), tmp_path, "recipe.accumulation=2", arm="distil")
    alone, shared = (carry_out(job, size, tmp_path / str(size)) for size in (1, 3))
    assert max(differences(alone, shared, (tmp_path / "1", tmp_path / "3")).values()) <= 1e-10
    plain = waveforms(Waveforms(), tmp_path, "recipe.accumulation=2", arm="scratch")
    assert alone.curve("train", "loss")[0][1] > carry_out(plain, 1, tmp_path / "plain").curve("train", "loss")[0][1] + 0.1
    found = []
    for parts in (1, 2):
        job = waveforms(Waveforms(), tmp_path, f"recipe.accumulation={parts}", "recipe.mixup=0", "recipe.drop_path_rate=0",
                        arm="distil")
        found.append(carry_out(job, 1, tmp_path / f"parts-{parts}"))
    assert max(differences(*found, (tmp_path / "parts-1", tmp_path / "parts-2")).values()) <= 1e-10


class Dropping(Waveforms):
    """With dropout"""

    name = "dropping"

    def head(self, shape, num_classes, setting):
        head = super().head(shape, num_classes, setting)
        head.head = nn.Sequential(nn.Dropout(0.5), head.head)
        return head


@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-4), ("bf16", 3e-2), ("fp16", 1e-2)])
def test_every_precision_is_near_to_that_of_one_process(tmp_path, precision, bound):
    """Of shares that are not equal: three processes of a batch of 30 in two parts, each repeated."""
    job = waveforms(Dropping(), tmp_path, f"recipe.precision={precision}", "recipe.accumulation=2", "recipe.repeats=2")
    alone, shared = (carry_out(job, size, tmp_path / str(size), double=False) for size in (1, 3))
    for one, other in zip(alone.curve("train", "loss"), shared.curve("train", "loss"), strict=True):
        assert other[1] == pytest.approx(one[1], rel=bound)


def test_a_pathway_costs_no_gradient_traffic_and_processes_stay_equal_to_the_last_bit(tmp_path):
    """That they do `execute` has checked after more than fifty steps, W, A and s included."""
    counts = {}
    for arm in ("scratch", "m2pt"):
        run = counted(waveforms(Waveforms(), tmp_path, "recipe.epochs=7", arm=arm), 2, tmp_path / arm, double=False)
        assert run.exchanges >= len(run.losses) == 7 * 8
        counts[arm] = run.exchanged_bytes / run.exchanges
        assert counts[arm] == 4 * run.record.parameters["merged"]
    assert counts["m2pt"] == counts["scratch"]


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """Trainings of an arm with frozen blocks, and the encoder that all of them start from"""
    folder = tmp_path_factory.mktemp("frozen")
    make_auxiliary(folder / "auxiliary.safetensors", 24, heads=2)

    def jobs_of(arm: str, *changes: str):
        overrides = ["shape.embed_dim=24", "shape.depth=2", "shape.num_heads=2", "shape.mlp_ratio=4", "pretrain.epochs=1",
                     "recipe.epochs=2", "recipe.eval_every=1", "recipe.warmup_epochs=0", "recipe.batch_size=30", *changes]
        return plan_jobs(Waveforms(), "tiny", arm, overrides, folder / "auxiliary.safetensors", "fix", limit=90)

    carry_out(jobs_of("fix")[0], 1, folder)
    return lambda *options: (jobs_of(*options)[1], folder / "weights.safetensors")


@pytest.mark.parametrize("options", [
    ("fix",), ("m2pt",), ("m2pt", "arm.scale_per_output=true", "arm.join_bias=true"),
    ("m2pt", "recipe.clip_norm=1e-2", "recipe.accumulation=2"), ("gain",), ("lora", "arm.rank=1")],
    ids=lambda options: "-".join(options).replace("arm.", "").replace("recipe.", ""))
def test_of_frozen_blocks_what_trains_is_exchanged_alone(tmp_path, frozen, options):
    """Of a pathway its scales, and not the gradient of the sum, which three processes add up for a look at it; as one does."""
    job, target = frozen(*options)
    alone = carry_out(job, 1, tmp_path / "1", target)
    run = counted(job, 3, tmp_path / "3", target)
    trained = run.record.parameters["trainable"]
    assert run.exchanged_bytes == run.exchanges * 8 * trained
    assert alone.parameters["trainable"] == trained < run.record.parameters["merged"] / 4
    assert max(differences(alone, run.record, (tmp_path / "1", tmp_path / "3")).values()) <= 1e-10
    seen = [read_signed(tmp_path / size / SIGNED) for size in ("1", "3")]
    assert [one is not None for one in seen] == [options[0] == "m2pt"] * 2
    if options[0] == "m2pt":
        assert list(seen[0].rows) == list(seen[1].rows) == [0, 1, 2]
        for epoch, row in seen[0].rows.items():
            for series, values in row.items():
                near = [None if value is None else pytest.approx(value, rel=1.1e-4)  # five digits are kept
                        for value in seen[1].rows[epoch][series]]
                assert values == near, series


def test_processes_that_do_not_hold_the_same_weights_are_found_out():
    def compute(rank, meeting, report):
        torch.manual_seed(0)
        model, team = nn.Linear(3, 3), Processes(rank, 2, meeting)
        team.check_equal(model, "before")
        with torch.no_grad():
            model.bias[1] += 1e-7 * rank
        team.check_equal(model, "afterwards")

    with pytest.raises(RuntimeError, match="afterwards process 2 of 2 holds other weights than the first: bias"):
        compute_together(2, compute, lambda done, total, text: None)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("repeats", [1, 2, 3])
def test_processes_take_all_rows_once_and_load_what_they_mix_with(size, repeats):
    for count in (size, 7, 8):
        total = count * repeats
        shares = [rows_of(rank, size, count, repeats, mixes=True) for rank in range(size)]
        assert sorted(row for rows in shares for row in rows.loaded[rows.own].tolist()) == list(range(total))
        for rank, rows in enumerate(shares):
            own = rows.loaded[rows.own]
            assert torch.equal(own, rows.everyone[rank])
            assert torch.equal(rows.loaded[rows.partners], (own + 1) % total)
            assert torch.equal(rows_of(rank, size, count, repeats, mixes=False).loaded, own)
    with pytest.raises(ValueError, match="3 samples, too few for 4 processes to share; use fewer processes"):
        rows_of(0, 4, 3, 1, False)


class Ending(Waveforms):
    """Ends one of several processes, or stops them all, in the third epoch."""

    name = "ending"
    how: str = ""

    def augment(self, batch, random, strengths):
        if random is not None and random.epoch == 2 and self.how and len(batch["input"]) < 30:
            if self.how == "killed" and torch.distributed.get_rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "stopped":
                os.kill(os.getppid(), signal.SIGTERM)
        return super().augment(batch, random, strengths)


@pytest.mark.parametrize(("how", "error", "said"), [
    ("killed", ProcessLost, r"process 2 of 2 of this run was ended by SIGKILL \(out of memory\?\), and the others"),
    ("stopped", Stopped, r"stopped in epoch 3, after step [123]; run it again to go on")], ids=["killed", "stopped"])
def test_what_is_ended_goes_on_with_any_number_of_processes(tmp_path, how, error, said):
    task = Ending()
    job = waveforms(task, tmp_path)
    alone = carry_out(job, 1, tmp_path / "alone")
    task.how, began = how, time.monotonic()
    with pytest.raises(error, match=said):
        carry_out(job, 2, tmp_path / "begun")
    assert time.monotonic() - began < 60
    task.how = ""
    for size in (1, 4):
        shutil.copytree(tmp_path / "begun", tmp_path / str(size))
        record = carry_out(job, size, tmp_path / str(size))
        assert (record.environment.processes, record.resumed) == ((2, size), 1)
        assert max(differences(alone, record, (tmp_path / "alone", tmp_path / str(size))).values()) <= 1e-10


def test_what_one_process_raises_is_the_runs_error():
    def compute(rank, meeting, report):
        if rank == 1:
            raise ValueError("this one fails")
        time.sleep(600)

    with pytest.raises(ValueError, match="this one fails") as caught:
        compute_together(3, compute, lambda done, total, text: None)
    assert "in compute" in str(caught.value.__cause__)


def is_alive(pid: str) -> bool:
    """Whether a process is there, and not ended without anyone having taken note"""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_processes_end_with_the_one_that_watches_them(tmp_path):
    def compute(rank, meeting, report):
        (tmp_path / str(rank)).write_text(str(os.getpid()))
        time.sleep(600)

    watching = multiprocessing.get_context("fork").Process(
        target=compute_together, args=(2, compute, lambda done, total, text: None))
    watching.start()
    until = time.monotonic() + 60
    while len(pids := [path.read_text() for path in tmp_path.iterdir()]) < 2 or "" in pids:
        assert time.monotonic() < until
        time.sleep(0.05)
    watching.kill()
    watching.join()
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_command_shares_its_runs_and_a_killed_one_is_tried_again(plugins, tmp_path, capsys):
    (plugins / "die-at-1").touch()
    assert main(["run", "--matrix", "smoke", "-t", "mortal", "--arm", "finetune", "--set", "shape.depth=1", "--set",
                 "recipe.epochs=2", "--plugins", str(plugins), "--results", str(tmp_path), "--device", "cpu", "-j", "1",
                 "--processes-per-run", "2", "--verbose"]) == 0
    printed = capsys.readouterr().out
    assert "2 processes for each" in printed
    assert "of this run was ended by SIGKILL (out of memory?), and the others were stopped" in printed
    records, problems = Store(tmp_path).records()
    assert not problems
    assert {record.environment.processes for record in records} == {(2,)}
    assert all("processes" in record.code and "stack" not in record.code for record in records)


def test_runs_of_other_numbers_of_processes_are_not_paired():
    def run(arm: str, processes: tuple[int, ...] | None) -> Run:
        spec = make_spec(arm=arm, auxiliary="point" if arm == "m2pt" else None)
        return Run(record=make_record(spec, environment={"processes": processes}))

    for ours, theirs, paired in ((None, None, True), ((8,), (8,), True), ((8,), None, False), ((4, 8), (8,), False)):
        found = pair_runs((run("m2pt", ours), run("finetune", theirs)))
        assert bool(found.baseline_of) == paired
        if not paired:
            (remark,) = (remark for remark in found.remarks if "another environment" in remark.kind)
            assert f"by {' and then '.join(map(str, ours))} processes" in remark.detail
