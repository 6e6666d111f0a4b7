"""The smoke matrix on a real Slurm of two nodes, with every misfortune in one run of it; and what needs no Slurm of it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from slurm import Cluster, lacking

from benchmark.cli.commands import build_parser
from benchmark.cli.context import make_plan
from benchmark.cli.main import main
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.runner.jobs import JobState, Submission, read_submissions, states_of_jobs
from benchmark.runner.slurm import parse_resources, plan_arrays

ROOT = Path(__file__).parents[1]
MATRIX = ("--matrix", "smoke", "-t", "mortal", "-x", "signal", "--arm", "finetune,m2pt,random-norm,self-copy",
          "--set", "shape.depth=1", "--set", "recipe.epochs=4")  # four trainings, by twos in an array, and two pretrainings
PATIENCE = 900  # seconds that a test waits for what takes a few on an idle machine
needs_slurm = pytest.mark.skipif(bool(lacking()) and "CI" not in os.environ, reason=f"no Slurm can be started: {lacking()}")


def await_(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.3)


def outcome(record: Record) -> tuple:
    """All that a run computed, without when, where and how fast."""
    return record.run_id, record.measurements, record.layers, record.merge_difference, record.weights, record.parameters


def outcomes_of(results: Path) -> dict[tuple[str, int], tuple]:
    found, problems = Store(results).records()
    assert not problems
    return {(record.spec.cell, record.spec.seed): outcome(record) for record in found}


def told_in(results: Path) -> list[dict]:
    """All that jobs told, in order of submission."""
    return [json.loads(line) for path in sorted(results.glob("slurm/*/events/*.jsonl")) for line in path.open()]


class Calls:
    """Commands of the suite for one matrix on one cluster."""

    def __init__(self, cluster: Cluster, plugins: Path, results: Path):
        self.environment = {**os.environ, **cluster.environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.cluster, self.results = cluster, results
        self.given = [*MATRIX, "--plugins", str(plugins), "--results", str(results)]

    def start(self, verb: str, *more: str) -> subprocess.Popen[str]:
        """One command, its output to be read."""
        return subprocess.Popen([sys.executable, "-m", "benchmark", verb, *self.given, *more], env=self.environment, cwd=ROOT,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def say(self, verb: str, *more: str) -> str:
        """What a command prints that ends well."""
        process = self.start(verb, *more)
        printed, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, printed
        return printed

    def run(self, *more: str) -> subprocess.Popen[str]:
        return self.start("run", "--executor", "slurm", "--slurm", "time=1h,cpus=1", *more)

    def in_third_epoch(self, besides: Collection[str] = ()) -> list[JobState]:
        """The jobs of two trainings that have come there, other than those named."""
        found: list[JobState] = []

        def look() -> bool:
            epochs = Counter(told["run"] for told in told_in(self.results)
                             if told["kind"] == "epoch" and told["total"] == 4)
            found[:] = [state for run_id, state in states_of_jobs(Store(self.results)).items()
                        if state.state == "running" and state.job not in besides and epochs[run_id] == 2]
            return len(found) == 2

        await_(look, "two trainings in their third epoch")
        return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("slurm")
    with Cluster(folder) as started, pytest.MonkeyPatch.context() as patch:
        for name, value in started.environment.items():
            patch.setenv(name, value)
        yield started


@needs_slurm
def test_jobs_die_in_every_way_and_each_run_is_done_once_as_it_is_done_here(cluster, plugins, tmp_path):
    """Of four trainings in their third epoch one is killed, one preempted, one cancelled, and one loses its node, while
    three commands look after the matrix."""
    printed_here = io.StringIO()
    with redirect_stdout(printed_here):
        here = main(["run", *MATRIX, "--plugins", str(plugins), "--results", str(tmp_path / "here"), "-j", "2"])
    assert here == 0, printed_here.getvalue()
    calls = Calls(cluster, plugins, tmp_path / "there")
    store = Store(tmp_path / "there")
    wait = plugins / "wait-at-2"
    wait.touch()
    try:
        first = calls.run()
        killed, preempted = calls.in_third_epoch()
        second = calls.run()  # from another login node
        cluster.kill_job(killed.job)
        cluster.call("scancel", "--signal=USR2", preempted.job)
        cancelled, unlucky = calls.in_third_epoch({killed.job, preempted.job})
        cluster.call("scancel", cancelled.job)
        cluster.switch_off(unlucky.node)
    finally:
        wait.unlink()
    await_(lambda: "down" in cluster.call("sinfo", "-hN", "-o", "%T"), "node that is down")
    cluster.switch_on(unlucky.node)
    for watching in (first, second):
        printed = watching.communicate(timeout=PATIENCE)[0]
        assert watching.returncode == 1, printed
        assert re.search(r"\d runs done, \d kept, 1 failed", printed)
        assert re.search(r"failed: mortal \S+ seed \d: its job \S+ ended without a result \(cancelled\)", printed), printed
        assert "its job was preempted, or came near its time limit, and is tried again" in printed
    assert "runs are in the queue already" in printed
    submitted = len(read_submissions(store))

    last = calls.run("--detach")
    printed = last.communicate(timeout=PATIENCE)[0]
    assert last.returncode == 0, printed
    assert "6 runs, 1 to do on Slurm" in printed
    printed = calls.say("status")
    assert re.search(r"^(queued|running)  ", printed, re.M), printed
    assert "5 up to date, 1 " in printed
    await_(lambda: len(store.records()[0]) == 6, "end of the matrix")
    assert "6 runs in" in (printed := calls.say("status"))
    assert "6 up to date" in printed
    with redirect_stdout(io.StringIO()):
        assert main(["report", "--results", str(store.folder), "--plugins", str(plugins), "--format", "md"]) == 0
    assert outcomes_of(store.folder) == outcomes_of(tmp_path / "here")
    assert len(read_submissions(store)) == submitted + 1
    told = told_in(store.folder)
    assert Counter(one["run"] for one in told if one["kind"] == "done") == {
        record.run_id: 1 for record in store.records()[0]}
    epochs = Counter((one["run"], one["done"]) for one in told if one["kind"] == "epoch")
    assert max(epochs.values()) <= 2
    assert max(Counter(run for (run, _), count in epochs.items() if count > 1).values(), default=0) <= 1, (
        "at most one epoch of a run is lost")


MEASURED = """
import re, resource, sys
from pathlib import Path
from benchmark.cli.main import main
code = main(sys.argv[1:])
own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
seconds = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
memory = re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())  # maxrss has that of the parent in it
print(code, seconds, int(memory[1]) / 1024, "torch" in sys.modules, file=sys.stderr)
"""
MOST_MIB = 300  # of memory
SLOW = 5  # times as slow as an idle machine of today may a machine be


def measure(*arguments: str, **environment: str) -> tuple[str, float]:
    """What a command prints, and the seconds of a core that it takes."""
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True, cwd=ROOT, check=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, timeout=PATIENCE)
    code, seconds, memory, torch = done.stderr.split()[-4:]
    assert (code, torch) == ("0", "False"), done.stderr
    assert float(memory) < MOST_MIB
    print(f"{arguments[0]}: {seconds} s of a core, {memory} MiB")
    return done.stdout, float(seconds)


@needs_slurm
def test_two_thousand_jobs_are_submitted_looked_at_and_cancelled_in_seconds(cluster, tmp_path):
    given = ["--seeds", "0-99", "--results", str(tmp_path / "many")]
    printed, seconds = measure("run", *given, "--executor", "slurm", "--slurm", "time=1h,begin=now+1hour", "--detach")
    assert printed.startswith("2000 runs, 2000 to do on Slurm")
    assert printed.count("submitted: ") == 14
    assert seconds < 5 * SLOW
    printed, seconds = measure("status", *given)
    assert "2000 runs in" in printed
    assert "2000 queued" in printed
    assert seconds < 3 * SLOW
    printed, seconds = measure("run", *given, "--executor", "slurm", "--slurm", "time=1h", "--detach")
    assert "2000 runs are in the queue already" in printed
    assert "submitted: " not in printed
    assert "2000 jobs of" in measure("cancel", *given)[0]
    assert not cluster.call("squeue", "-h").strip()


# --- without a Slurm -------------------------------------------------------------------------------------------------


def smoke_plan(*arguments: str):
    plan, _ = make_plan(build_parser().parse_args(["run", "--matrix", "smoke", *arguments]))
    return plan


def test_arrays_wait_for_what_they_start_from_and_for_nothing_else():
    plan = smoke_plan("--seeds", "0-2")
    arrays = plan_arrays(plan.jobs)
    place = {run_id: number for number, array in enumerate(arrays) for unit in array.units for run_id in unit}
    assert sorted(place) == sorted(spec.run_id for spec in plan.specs)
    assert all(len(unit) == 1 for array in arrays for unit in array.units)
    for job in plan.jobs:
        assert {place[need.run_id] for _, need in job.needs} == set(arrays[place[job.spec.run_id]].after)
        assert all(number < place[job.spec.run_id] for number in arrays[place[job.spec.run_id]].after)
    assert len(arrays) == 4 + 4 + 6, "modalities, plain models, pairs of modalities: seeds ask for no arrays of their own"


def test_arrays_are_cut_where_slurm_wants_it_and_follow_each_other_where_jobs_are_limited():
    plan = smoke_plan("--seeds", "0-2")
    short = plan_arrays(plan.jobs, most=2)
    assert max(len(array.units) for array in short) == 2
    assert sum(len(array.units) for array in short) == len(plan.jobs)
    chained = plan_arrays(plan.jobs, most=10, chained=True)
    assert [array.after for array in chained] == [(), *((number,) for number in range(len(chained) - 1))]
    depths = [{run_id for unit in array.units for run_id in unit} for array in chained]
    pretrained = {spec.run_id for spec in plan.specs if spec.kind == "pretrain"}
    assert set.union(*depths[:2]) == pretrained


def test_what_others_carry_out_is_waited_for_and_stacks_hold_what_can_start_together():
    plan = smoke_plan("-t", "imagenet", "--seeds", "0-1")
    pretrainings = [spec.run_id for spec in plan.specs if spec.kind == "pretrain"]
    trainings = [job for job in plan.jobs if job.spec.kind == "train"]
    (array,) = plan_arrays([trainings[0]], joined=pretrainings)
    assert array.joined == {need.run_id for _, need in trainings[0].needs}
    stacked = plan_arrays(plan.jobs, lockstep=4)
    sizes = Counter(len(unit) for array in stacked for unit in array.units)
    assert sizes == {2: 4, 4: 2}, "two seeds of each pretraining, eight trainings in stacks of four"


def test_resources_are_read_and_what_does_not_fit_is_refused():
    found = parse_resources(["partition=gpu,time=20h", "gpus=h100:8,nice=100"])
    assert (found.minutes, found.gpus) == (1200, 8)
    assert (found.named, found.others) == ({"partition": "gpu", "gpus": "h100:8"}, {"nice": "100"})
    times = {"90": 90, "90m": 90, "2d": 2880, "20:00:00": 1200, "1-02:00": 1560, "00:00:30": 1}
    assert {text: parse_resources([f"time={text}"]).minutes for text in times} == times


@pytest.mark.parametrize(("arguments", "said"), [
    (["--slurm", "time=1h"], "--slurm is for --executor slurm"),
    (["--detach"], "--detach is for --executor slurm"),
    (["--executor", "slurm"], "--slurm time=TIME is needed"),
    (["--executor", "slurm", "--slurm", "time=soon"], "--slurm time=soon: expected a time such as 90m"),
    (["--executor", "slurm", "--slurm", "time=0"], "expected at least a minute"),
    (["--executor", "slurm", "--slurm", "time"], "expected NAME=VALUE"),
    (["--executor", "slurm", "--slurm", "time=1h,time=2h"], "--slurm time is given twice"),
    (["--executor", "slurm", "--slurm", "time=1h,array=0-3"], "are set by the suite itself"),
    (["--executor", "slurm", "--slurm", "time=1h,gpus=all"], "--slurm gpus=all: expected a number"),
    (["--executor", "slurm", "--slurm", "time=1h,cpus=0"], "--slurm cpus=0: expected a number"),
    (["--executor", "slurm", "--slurm", "time=1h", "--max-jobs", "0"], "--max-jobs 0: expected at least 1"),
    (["--executor", "slurm", "--slurm", "time=1h", "-j", "2"], "-j (--max-jobs limits jobs) does not go with it"),
    (["--executor", "slurm", "--slurm", "time=1h", "--debug"], "--debug does not go with it"),
    (["--executor", "slurm", "--slurm", "time=1h,gpus=4", "--gpus-per-run", "8"], "4 GPUs can be used"),
], ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else "")
def test_options_that_do_not_fit_are_refused_in_one_line(capsys, tmp_path, arguments, said):
    assert main(["run", "--matrix", "smoke", "--results", str(tmp_path), *arguments]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_where_no_slurm_is_this_is_said_and_nothing_is_concluded(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    results = tmp_path / "results"
    given = ["--matrix", "smoke", "-t", "imagenet", "--results", str(results)]
    assert main(["run", *given, "--executor", "slurm", "--slurm", "time=1h"]) == 2
    assert "scontrol is not here" in (said := capsys.readouterr().err)
    assert said.count("\n") == 1
    run_id = smoke_plan("-t", "imagenet").specs[0].run_id
    folder = results / "slurm" / "0001"
    folder.mkdir(parents=True)
    Submission(folder=folder, name="benchmark-1", command="", directory="", groups=[[run_id]], todo={run_id: None}).write()
    assert main(["status", *given]) == 0
    printed = capsys.readouterr()
    assert "8 missing" in printed.out
    assert "what is in the queue is not known: squeue is not here" in printed.err
    (folder / "submission.json").write_text("{", encoding="utf-8")
    assert main(["cancel", *given]) == 2
    assert "submission.json cannot be read" in capsys.readouterr().err


def test_ten_thousand_runs_are_planned_in_seconds_and_little_memory(tmp_path):
    printed, seconds = measure("run", "--seeds", "0-499", "--results", str(tmp_path), "--executor", "slurm", "--slurm",
                               "time=1h", "--dry-run")
    assert "in all: 10000 runs in 10000 jobs of 14 arrays" in printed
    assert seconds < 5 * SLOW
