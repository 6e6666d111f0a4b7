"""What a processor computes with, told by a digest: one name can stand for several."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from synthetic import make_record, make_spec

from benchmark.evidence.collect import collect
from benchmark.evidence.pairing import Run, by_arithmetic, pair_runs
from benchmark.provenance.arithmetic import arithmetic_digest
from benchmark.provenance.currency import Standing
from benchmark.provenance.environment import describe_environment, processor_name
from benchmark.records.store import Store

ROOT = Path(__file__).parents[1]
OTHERWISE = {"ATEN_CPU_CAPABILITY": "default"}  # without vectors, which no processor of today has by itself
RUN = ("run", "-t", "imagenet", "-x", "point", "--setting", "pretrained", "--seeds", "0", "--limit", "8",
       "--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0",
       "--set", "pretrain.epochs=1", "--set", "pretrain.warmup_epochs=0", "-j", "1")
WITH_VECTORS = pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT",
                                  reason="this processor has nothing that could be switched off")


def python(*arguments: str, **variables: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=os.environ | variables, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_digest_is_of_the_arithmetic_and_of_nothing_else():
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    arithmetic_digest.cache_clear()
    ours = arithmetic_digest()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert len(ours) == 16
    assert describe_environment(torch.device("cpu")).arithmetic == ours
    text = "from benchmark.provenance.arithmetic import arithmetic_digest; print(arithmetic_digest())"
    assert {python("-c", text, OMP_NUM_THREADS=number).strip() for number in ("1", "3")} == {ours}
    other = python("-c", text, **OTHERWISE).strip()
    assert (other == ours) == (torch.backends.cpu.get_cpu_capability() == "DEFAULT")


@WITH_VECTORS
def test_runs_that_were_computed_otherwise_under_one_name_are_not_paired(tmp_path):
    results = ("--results", str(tmp_path / "mine"))
    python("-m", "benchmark", *RUN, *results, "--arm", "finetune")
    printed = python("-m", "benchmark", *RUN, *results, "--arm", "finetune,m2pt", **OTHERWISE)
    name = processor_name()
    assert f"note: recorded runs were computed on another kind of {name}, or by other packages, 1 of them; runs of" in printed
    records = Store(tmp_path / "mine").records()[0]
    assert len({record.environment.arithmetic for record in records}) == 2
    assert {record.environment.processor_name for record in records} == {name}
    collection = collect(records)
    assert not collection.paired.baseline_of
    (remark,) = (remark for remark in collection.remarks if "ran in another environment" in remark.kind)
    ours, theirs = (next(one.environment.arithmetic for one in records if one.spec.arm == arm) for arm in ("m2pt", "finetune"))
    assert f"ran on cpu ({name}, arithmetic {ours})" in remark.detail
    assert f"its baseline on cpu ({name}, arithmetic {theirs})" in remark.detail


@WITH_VECTORS
def test_a_run_that_went_on_where_bits_are_others_says_so_and_is_not_paired_with_one_that_did_not(plugins, tmp_path):
    run = ["-m", "benchmark", "run", "--matrix", "smoke", "-t", "mortal", "-x", "signal", "--set", "shape.depth=1", "-j", "1",
           "--set", "recipe.epochs=4", "--plugins", str(plugins), "--results", str(tmp_path / "mine"), "--retries", "0"]
    python(*run, "--arm", "m2pt")
    (plugins / "die-at-2").touch()
    with pytest.raises(AssertionError, match="SIGKILL"):
        python(*run, "--arm", "finetune", **OTHERWISE)
    python(*run, "--arm", "finetune")
    records = {record.spec.arm: record for record in Store(tmp_path / "mine").records()[0]}
    plain, m2pt = records["finetune"].environment, records["m2pt"].environment
    assert (plain.arithmetic, m2pt.before, records["finetune"].resumed) == (m2pt.arithmetic, None, 1)
    (before,) = plain.before
    assert before.startswith(f"{plain.processor_name}, arithmetic ")
    assert plain.arithmetic not in before
    assert f" thread{'s' * (plain.threads > 1)}, torch {plain.torch}, numpy {plain.packages['numpy']}, " in before
    found = collect(list(records.values()))
    assert not found.paired.baseline_of
    (remark,) = (remark for remark in found.remarks if "ran in another environment" in remark.kind)
    assert f"begun on ({before})" in remark.detail


@pytest.mark.parametrize(("ours", "theirs", "third", "paired"), [
    ("a", "a", None, True), ("a", "b", None, False), (None, None, None, True),
    ("a", None, None, True), (None, "a", "a", True),  # an earlier release's, beside one kind
    (None, "a", "b", False), ("a", None, "b", False), (None, None, "a", True), ("a", "a", "b", True)])
def test_what_is_not_known_counts_by_its_name_while_all_of_that_name_compute_alike(ours, theirs, third, paired):
    def run(arithmetic: str | None, **asked: object) -> Run:
        return Run(make_record(make_spec(**asked), environment={"arithmetic": arithmetic}))

    m2pt, plain = run(ours, arm="m2pt", auxiliary="point"), run(theirs)
    beside = [run(third, seed=1)] if third else []
    found = pair_runs(by_arithmetic([m2pt, plain, *beside]))
    assert bool(found.baseline_of) == paired


def test_packages_that_compute_otherwise_are_no_other_processor():
    """They are compared as packages are, by certificates."""
    plain = make_record(make_spec(), environment={"arithmetic": "a", "packages": {"timm": "1.0"}})
    m2pt = make_record(make_spec(arm="m2pt", auxiliary="point"), environment={"arithmetic": "b", "packages": {"timm": "1.1"}})
    shown_equal = [Run(record, Standing("up to date", place="equal")) for record in (plain, m2pt)]
    assert len(pair_runs(by_arithmetic(shown_equal)).baseline_of) == 1
    assert not pair_runs(by_arithmetic([Run(plain), Run(m2pt)])).baseline_of


def test_a_processor_without_a_name_is_told_by_its_numbers(tmp_path):
    arm = tmp_path / "arm"
    arm.write_text("processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd40\n\n"
                   "processor\t: 1\nCPU implementer\t: 0x41\nCPU part\t: 0xd41\n")
    assert processor_name(arm).endswith(" 0x41 0xd40")
    named = tmp_path / "named"
    named.write_text("processor\t: 0\nmodel name\t: AMD EPYC\ncache size\t: 1024 KB\n")
    assert processor_name(named) == "AMD EPYC"
    assert processor_name(tmp_path / "none") != ""
