"""What a matrix costs besides its training: planning, status, start-up and idle cores."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

from benchmark.bench.measure import Bench, Result, alternate, ratios, seconds_of
from benchmark.plan.matrix import Plan
from benchmark.plan.presets import plan_matrix
from benchmark.records.record import Environment, Measurement, Record, record_text
from benchmark.records.store import Store
from benchmark.runner.machine import count_cores, default_jobs
from benchmark.runner.preload import preloaded
from benchmark.spec.runspec import RunSpec

PLANNED, STORED = 100_000, 10_000  # runs
ARMS_AT_ONCE = 8
MATRIX = """summary: a baseline and seven arms that need no pretraining
seeds: "0"
groups:
- {arms: [scratch, random-init], settings: [scratch], targets: [imagenet],
   options: [{}, {scale_init: 0.1}, {scale_init: 0.01}, {scale_init: 0.001}, {scale_init: 1.0e-4}, {scale_init: 1.0e-5},
     {scale_init: 1.0e-6}]}
"""
SHORTENED = ("--set", "recipe.epochs=10", "--set", "recipe.warmup_epochs=0")  # enough to outlast the start of a run
SHORTENED_ON_GPU = ("--set", "recipe.epochs=4", "--set", "recipe.warmup_epochs=0")


def measure_planning(bench: Bench) -> Iterator[Result]:
    """Planning 100,000 runs, and `status` over 10,000 records, each as long as those of the tiny profile."""
    def plan(runs: int) -> Plan:
        return plan_matrix(bench.study.matrices["full"], bench.tasks, bench.arms, "tiny", range(runs // once))

    once = len(plan_matrix(bench.study.matrices["full"], bench.tasks, bench.arms, "tiny", [0]).jobs)  # runs of one seed
    planned, stored = plan(PLANNED), plan(STORED)
    seconds = tuple(seconds_of(lambda: plan(PLANNED)) for _ in range(bench.repeats))
    yield Result("matrix", f"planning {len(planned.jobs):,} runs", seconds, 5.0, "s")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for spec in stored.specs:
            path = store.run_folder(spec) / "record.json"
            path.parent.mkdir(parents=True)
            path.write_text(record_of(spec), encoding="utf-8")
        command = [sys.executable, "-m", "benchmark", "status", "--results", folder, "--seeds", f"0-{STORED // once - 1}"]
        seconds = tuple(seconds_of(lambda: _run(command)) for _ in range(bench.repeats))
        yield Result("matrix", f"status over {len(stored.jobs):,} records", seconds, 5.0, "s", "start of Python included")


def measure_sharing(bench: Bench) -> Iterator[Result]:
    """Small arms of one seed in lock-step, and in processes side by side, over one after another; start of Python included."""
    gpu = bench.device.type == "cuda"
    profile, device, where = ("small", "cuda:0", "one GPU") if gpu else ("tiny", "cpu", "the cores")
    jobs = min(ARMS_AT_ONCE, default_jobs(profile, device, count_cores(), 1))

    def run(at_once: int, lockstep: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            matrix = Path(folder) / "arms.yaml"
            matrix.write_text(MATRIX, encoding="utf-8")
            _run([sys.executable, "-m", "benchmark", "run", "--matrix", str(matrix), "--profile", profile, "--device", device,
                  "-j", str(at_once), "--lockstep", str(lockstep), "--results", f"{folder}/results",
                  *(SHORTENED_ON_GPU if gpu else SHORTENED)])

    works = {"lock-step": partial(run, 1, ARMS_AT_ONCE), "processes": partial(run, jobs, 1), "alone": partial(run, 1, 1)}
    seconds = alternate(works, 1, warm_up=0)
    for how, what, most in (("lock-step", f"in lock-step on {where}", 0.25 if gpu else None),
                            ("processes", f"in {jobs} processes at once on {where}", None)):
        yield Result("matrix", f"{ARMS_AT_ONCE} small arms {what}, over one after another",
                     ratios(seconds[how], seconds["alone"]), most,
                     detail=f"{median(seconds[how]):.0f} s and {median(seconds['alone']):.0f} s")


def measure_smoke(bench: Bench) -> Iterator[Result]:
    """`run --matrix smoke` by the clock over the seconds that its runs trained and evaluated, shared by the cores."""
    cores = count_cores()
    takes = []
    modules = preloaded(plan_matrix(bench.study.matrices["smoke"], bench.tasks, bench.arms, "tiny", [0]).jobs)
    load = [sys.executable, "-c", f"import os, {', '.join(modules)}; os._exit(0)"]  # to take it all down costs a second
    for _ in range(1 if bench.device.type == "cuda" else bench.repeats):
        imports = seconds_of(partial(_run, load))
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "benchmark", "run", "--matrix", "smoke", "--device", bench.device.type,
                       "--results", folder]
            wall = seconds_of(partial(_run, command))
            records, _ = Store(Path(folder)).records()
        busy = busy_seconds(records) / cores
        beside = sum(record.seconds["wall"] for record in records) / cores - busy
        takes.append({"wall": wall, "imports": imports, "beside": beside, "rest": wall - imports - busy - beside,
                      "ratio": wall / busy, "floor": (imports + busy) / busy})
    middle = {name: median([take[name] for take in takes]) for name in takes[0]}
    yield Result("matrix", "smoke by the clock, over training and evaluation shared by the cores",
                 tuple(take["ratio"] for take in takes), 1.35,
                 detail=f"{len(records)} runs, {cores} cores, {middle['wall']:.1f} s: imports {middle['imports']:.1f}, in runs "
                        f"beside training and evaluation {middle['beside']:.1f} (inputs, first gradients, merged against "
                        "unmerged outputs, what blocks make of a split, time of a sample), processes and planning "
                        f"{middle['rest']:.1f}; floor {middle['floor']:.2f}, as nothing can train before one process has "
                        "imported torch, timm and scikit-learn")


def measure_evidence(bench: Bench) -> Iterator[Result]:
    """`run --matrix evidence` from nothing under the profile tiny, in minutes; with 6 seeds, as the bound is for."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmark", "run", "--matrix", "evidence", "--device", bench.device.type,
                   "--seeds", "0-5", "--results", folder]
        minutes = seconds_of(partial(_run, command)) / 60
        count = len(Store(Path(folder)).records()[0])
    yield Result("matrix", "the whole evidence, six seeds, from nothing", (minutes,),
                 20.0 if bench.device.type == "cuda" else None, "min", f"{count} records")


def measure_records(records: Sequence[Record]) -> Iterator[Result]:
    """The same of a matrix that has been run, from its records: hours in which no run was going on do not count."""
    if not records:
        return
    spans = []
    for record in records:
        began = datetime.fromisoformat(record.started)
        spans.append((began, began + timedelta(seconds=record.seconds.get("wall", 0))))
    wall, last = timedelta(), None
    for began, ended in sorted(spans):
        wall += max(timedelta(), ended - max(began, last or began))
        last = max(ended, last or ended)
    jobs, seconds = jobs_of(spans), wall.total_seconds()
    yield Result("matrix", f"{len(records)} recorded runs by the clock, over training and evaluation shared by the cores",
                 (seconds * jobs / busy_seconds(records),), 1.10, detail=f"{seconds / 60:.0f} minutes, {jobs} at once")


def busy_seconds(records: Sequence[Record]) -> float:
    """In which runs trained and evaluated"""
    return sum(record.seconds.get("train", 0) + record.seconds.get("evaluate", 0) for record in records)


def jobs_of(spans: Sequence[tuple[datetime, datetime]]) -> int:
    """How many runs went on at once for most of the time, of when each began and ended"""
    steps = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    spent: dict[int, timedelta] = {}
    running = 0
    for (since, change), (until, _) in pairwise(steps):
        running += change
        spent[running] = spent.get(running, timedelta()) + (until - since)
    return max((count for count in spent if count), key=lambda count: spent[count], default=1)


def record_of(spec: RunSpec) -> str:
    """A record as a run of 48 epochs leaves it."""
    rows = [Measurement(split=split, metric=metric, step=step, value=50.0)
            for step in range(1, 49) for split, metric in (("train", "loss"), ("val", "top1"), ("test", "top1"))]
    return record_text(Record(
        run_id=spec.run_id, spec=spec, measurements=rows, seconds={"train": 1.0}, started="2026-01-01T00:00:00+00:00",
        environment=Environment(python="", torch="", platform="", processor="", device="", threads=1, deterministic=True)))


def _run(command: list[str]) -> None:
    """Raises `ValueError` with the command's last words where it fails."""
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{' '.join(command[1:])} failed after {time.monotonic() - began:.0f} s: {done.stderr.strip()[-300:]}")
