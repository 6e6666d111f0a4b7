"""The smoke matrix on a real Slurm of two nodes, with every misfortune in one run of it; and what needs no Slurm of it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import pytest
from slurm import Cluster, lacking

from benchmark.cli.commands import build_parser
from benchmark.cli.context import make_plan
from benchmark.cli.main import main
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.runner.jobs import JobState, Submission, read_submissions, states_of_jobs
from benchmark.runner.machine import count_cores
from benchmark.runner.slurm import parse_resources, plan_arrays
from benchmark.spec.runspec import RunSpec

ROOT = Path(__file__).parents[1]
MATRIX = ("--matrix", "smoke")
PATIENCE = 1800  # seconds that a test waits for what takes a few on an idle machine
needs_slurm = pytest.mark.skipif(bool(lacking()) and "CI" not in os.environ, reason=f"no Slurm can be started: {lacking()}")


def await_(holds: Callable[[], object], what: str, every: float = 0.3) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(every)


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


def end(process: subprocess.Popen[str], code: int = 0) -> str:
    """What a command has printed that ends so."""
    printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, printed
    return printed


class Calls:
    """Commands of the suite for the matrix, here and on a cluster, and its jobs there. What still runs at the end is ended."""

    def __init__(self, cluster: Cluster, folder: Path):
        self.cluster, self.here, self.there = cluster, folder / "here", folder / "there"
        self.store, self.struck, self.started = Store(self.there), list[RunSpec](), list[subprocess.Popen[str]]()
        made = Path(os.environ.get("SMOKE_RESULTS", self.here), "runs")
        if made.is_dir():  # tox has run the matrix before: what of it is up to date is not computed again
            shutil.copytree(made, self.here / "runs")

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.started:
            process.terminate()
            process.wait()

    def start(self, verb: str, results: Path, *more: str) -> subprocess.Popen[str]:
        """A command, its output to be read."""
        self.started.append(subprocess.Popen(
            [sys.executable, "-m", "benchmark", verb, *MATRIX, "--results", str(results), *more], cwd=ROOT,
            env={**os.environ, **self.cluster.environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return self.started[-1]

    def run(self, *more: str) -> subprocess.Popen[str]:
        return self.start("run", self.there, "--executor", "slurm", "--slurm", "time=1h,cpus=1", *more)

    def status(self) -> str:
        return end(self.start("status", self.there))

    def catch(self, saved: bool) -> JobState:
        """The job of a training with pathways, its processes stopped: before it has `saved` its first epoch, or afterwards."""
        tried = [spec.run_id for spec in self.struck]

        def look() -> bool:
            there = [spec for spec in smoke_plan().specs
                     if spec.auxiliary and spec.run_id not in tried and self.is_there(spec, saved)]
            jobs = {run_id: JobState(one, index, "running").job for one in (read_submissions(self.store) if there else ())
                    for index, group in enumerate(one.groups) for run_id in group}
            for spec in there:
                if spec.run_id in jobs:
                    self.cluster.signal_job(jobs[spec.run_id], signal.SIGSTOP)
                    if self.is_there(spec, saved):
                        self.struck.append(spec)
                        return True
                    self.cluster.signal_job(jobs[spec.run_id], signal.SIGCONT)
                    tried.append(spec.run_id)
            return False

        await_(look, "training to be caught", every=0.02)
        return states_of_jobs(self.store)[self.struck[-1].run_id]

    def is_there(self, spec: RunSpec, saved: bool) -> bool:
        """Whether a training is between its first weights and the end of its first epoch, or between that and its record."""
        folder = self.store.weights(spec).parent
        if saved:
            return (folder / "checkpoint.pt").exists() and not self.store.is_complete(spec)
        return (folder / "initial.safetensors").exists() and not (folder / "checkpoint.pt").exists()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("slurm")
    with Cluster(folder) as started, pytest.MonkeyPatch.context() as patch:
        for name, value in started.environment.items():
            patch.setenv(name, value)
        yield started


@needs_slurm
def test_jobs_die_in_every_way_and_each_run_is_done_once_as_it_is_done_here(cluster, tmp_path):
    """Of the smoke matrix's trainings one is killed, one preempted, one cancelled, and one loses its node, while two commands
    look after it; and all records are those of a matrix that is carried out here."""
    with Calls(cluster, tmp_path) as calls:
        here = calls.start("run", calls.here, "-j", str(count_cores()))  # one thread each, as jobs of one core have
        first = calls.run()
        cluster.signal_job(calls.catch(saved=True).job, signal.SIGKILL)
        second = calls.run()  # from another login node
        preempted = calls.catch(saved=False)
        cluster.call("scancel", "--signal=USR2", preempted.job)
        cluster.signal_job(preempted.job, signal.SIGCONT)
        cancelled = calls.catch(saved=False)
        cluster.call("scancel", cancelled.job)
        cluster.signal_job(cancelled.job, signal.SIGCONT)
        unlucky = calls.catch(saved=True)
        cluster.switch_off(unlucky.node)
        await_(lambda: "down" in cluster.call("sinfo", "-hN", "-o", "%T"), "node that is down")
        cluster.switch_on(unlucky.node)
        for watching in (first, second):
            printed = end(watching, 1)
            assert re.search(r"\d+ runs? done, \d+ kept, 1 failed", printed), printed
            assert re.search(r"failed: .*: its job \S+ ended without a result \(cancelled\)", printed), printed
            assert "its job was preempted, or came near its time limit, and is tried again" in printed
        assert re.search("(run is|runs are) in the queue already", printed)
        submitted = len(read_submissions(calls.store))

        printed = end(calls.run("--detach"))
        assert "20 runs, 1 to do on Slurm" in printed
        printed = calls.status()
        assert re.search(r"^(queued|running)  ", printed, re.M), printed
        assert "19 up to date, 1 " in printed
        end(here)
        await_(lambda: len(calls.store.records()[0]) == 20, "end of the matrix")
        assert "20 runs in" in (printed := calls.status())
        assert "20 up to date" in printed
    with redirect_stdout(io.StringIO()):
        assert main(["report", "--results", str(calls.there), "--format", "md"]) == 0
    assert outcomes_of(calls.there) == outcomes_of(calls.here)
    records = calls.store.records()[0]
    resumed = {record.run_id for record in records if record.resumed}
    assert resumed >= {calls.struck[place].run_id for place in (0, 1, 3)}  # a job that is cancelled has three seconds to save
    assert len(read_submissions(calls.store)) == submitted + 1
    told = told_in(calls.there)
    assert Counter(one["run"] for one in told if one["kind"] == "done") == {record.run_id: 1 for record in records}
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


@cache
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
    found = parse_resources(["partition=gpu,long,time=20h,exclude=n1,m[3,5-7]", "mail-type=BEGIN,END"])
    assert found.named == {"partition": "gpu,long", "exclude": "n1,m[3,5-7]"}
    assert (found.others, found.minutes) == ({"mail-type": "BEGIN,END"}, 1200)
    times = {"90m": 90, "20h": 1200, "2d": 2880, "90": 90, "30:00": 30, "90:00": 90, "30:01": 31, "0:30": 1, "20:00:00": 1200,
             "00:00:30": 1, "1-12": 2160, "0-1": 60, "1-02:00": 1560, "1-02:03:04": 1564}  # as the page of sbatch has them
    assert {text: parse_resources([f"time={text}"]).minutes for text in times} == times


@pytest.mark.parametrize(("arguments", "said"), [
    (["--slurm", "time=1h"], "--slurm is for --executor slurm"),
    (["--detach"], "--detach is for --executor slurm"),
    (["--executor", "slurm"], "--slurm time=TIME is needed"),
    (["--executor", "slurm", "--slurm", "time=soon"], "--slurm time=soon: expected a time such as 90m"),
    (["--executor", "slurm", "--slurm", "time=1-"], "--slurm time=1-: expected a time such as 90m"),
    (["--executor", "slurm", "--slurm", "time=1:2:3:4"], "or as sbatch takes it: MINUTES:SECONDS"),
    (["--executor", "slurm", "--slurm", "time=0"], "expected at least a minute"),
    (["--executor", "slurm", "--slurm", "time"], "expected NAME=VALUE"),
    (["--executor", "slurm", "--slurm", "time=1h,2h"], "--slurm 2h: expected NAME=VALUE"),
    (["--executor", "slurm", "--slurm", "partition=gpu", "--slurm", "time"], "--slurm time: expected NAME=VALUE"),
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


def test_ten_thousand_runs_are_planned_and_looked_at_in_seconds_and_little_memory(tmp_path):
    printed, seconds = measure("run", "--seeds", "0-499", "--results", str(tmp_path), "--executor", "slurm", "--slurm",
                               "time=1h", "--dry-run")
    assert "in all: 10000 runs in 10000 jobs of 14 arrays" in printed
    assert seconds < 5 * SLOW
    printed, seconds = measure("status", "--seeds", "0-499", "--results", str(tmp_path))
    assert "10000 missing" in printed
    assert seconds < 3 * SLOW
