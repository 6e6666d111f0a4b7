"""Nothing is lost and nothing wrong is kept: runs are killed at any moment, and storage fails at every write.

`KILLS=20 pytest tests/test_faults.py` kills that many runs; by default it is 8.
"""

from __future__ import annotations

import errno
import hashlib
import io
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from sixth_task import Waveforms
from synthetic import make_matrix, make_record, make_spec

from baselines import ARMS
from benchmark.model.weights import read_weights, save_tensors
from benchmark.plan.matrix import Job, Planner
from benchmark.plan.overrides import parse_override
from benchmark.plan.presets import Group, cells_of
from benchmark.records.pictures import read_pictures, write_pictures
from benchmark.records.record import Record, read_record
from benchmark.records.store import Store
from benchmark.runner.preload import preloaded
from benchmark.runner.worker import root_cause
from benchmark.spec.runspec import Pretrained, Site
from benchmark.train.checkpoint import load_checkpoint, save_checkpoint

KILLS = int(os.environ.get("KILLS", "8"))

# --- kills -----------------------------------------------------------------------------------------------------------


class Echoes(Waveforms):
    name, modality = "echoes", "echo"


def jobs() -> list[Job]:
    """Two pretrainings and a training with a pathway and with all that a run can hold, of the sixth task: epochs of some
    hundredths of a second.
    """
    tasks = {task.name: task for task in (Waveforms(), Echoes())}
    group = Group(arms=("m2pt",), targets=("echoes",), auxiliaries=("signal",))
    overrides = [parse_override(text, tasks) for text in (
        "pretrain.epochs=12", "recipe.epochs=6", "recipe.precision=fp16", "recipe.ema_decay=0.8", "recipe.clip_norm=1",
        "recipe.accumulation=2", "recipe.repeats=2")]
    return list(Planner(tasks, "tiny", overrides).plan(cells_of(tasks, ARMS, group), [0]).jobs)


def carry_out(folder: str, index: int, kill_at: tuple[str, int] | None) -> None:
    """One of `jobs` to its record, in this process; it may kill itself at the nth of one operation of a checkpoint."""
    from benchmark.train import checkpoint
    from benchmark.train.execute import execute

    if kill_at is not None:
        name, count = kill_at
        left = [count]

        def counting(function):
            def wrapped(*arguments, **keys):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **keys)
            return wrapped

        where, attribute = {"fsync": (checkpoint.os, "fsync"), "replace": (Path, "replace"),
                            "write": (checkpoint.HashingWriter, "write")}[name]
        setattr(where, attribute, counting(getattr(where, attribute)))
    store, job = Store(Path(folder)), jobs()[index]
    starts = {role: Pretrained(weights=store.weights(need), shape=need.shape) for role, need in job.needs}
    record = execute(job.spec, job.task, job.arm, Site(results=folder), store.work(job.spec), starts)
    store.save(record)


@pytest.fixture(scope="session")
def processes():
    """Processes that have the engine imported, as a runner's are."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preloaded(jobs()))

    def start(*arguments: object):
        process = context.Process(target=carry_out, args=arguments)
        process.start()
        return process

    return start


@pytest.fixture(scope="session")
def uninterrupted(processes, tmp_path_factory) -> tuple[Path, list[Record], list[float]]:
    """Every run, never stopped; and how long each took."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    store, records, seconds = Store(folder), [], []
    store.prepare()
    for index, job in enumerate(jobs()):
        began = time.monotonic()
        process = processes(str(folder), index, None)
        process.join()
        seconds.append(time.monotonic() - began)
        assert process.exitcode == 0
        records.append(read_record(store.run_folder(job.spec) / "record.json"))
    assert [record.spec.kind for record in records] == ["pretrain", "pretrain", "train"]
    return folder, records, seconds


@pytest.mark.parametrize("number", range(KILLS))
def test_a_run_killed_at_any_moment_ends_in_the_same_bits(uninterrupted, processes, tmp_path, number):
    folder, records, seconds = uninterrupted
    chance = random.Random(number)
    index = (0, 2)[number % 2]  # a pretraining, the training
    expected = records[index]
    store = Store(tmp_path)
    store.prepare()
    for weights in folder.glob("work/*/weights.safetensors"):
        if weights.parent.name != expected.spec.name:
            (tmp_path / "work" / weights.parent.name).mkdir()
            (tmp_path / "work" / weights.parent.name / weights.name).write_bytes(weights.read_bytes())
    if number < KILLS // 2:  # at a moment
        process = processes(str(tmp_path), index, None)
        time.sleep(chance.uniform(0.1, 0.95) * seconds[index])
        process.kill()
    else:  # while a checkpoint is written
        name = chance.choice(["fsync", "replace", "write"])
        process = processes(str(tmp_path), index, (name, chance.randint(1, {"fsync": 2, "replace": 4, "write": 300}[name])))
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    again = processes(str(tmp_path), index, None)
    again.join()
    assert again.exitcode == 0
    record = read_record(store.run_folder(expected.spec) / "record.json")
    assert (record.measurements, record.weights, record.layers) == (expected.measurements, expected.weights, expected.layers)
    weights = [hashlib.sha256(one.weights(expected.spec).read_bytes()).digest() for one in (store, Store(folder))]
    assert weights[0] == weights[1]


# --- storage that fails ----------------------------------------------------------------------------------------------


class Failing(io.RawIOBase):
    """A file whose writes count, and fail when their turn comes: with half of what was to be written on the disk."""

    def __init__(self, file, faults: Faults):
        super().__init__()
        self.file, self.faults = file, faults

    def write(self, data):
        try:
            self.faults.count("write", getattr(self.file, "name", ""))
        except OSError:
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            raise
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def fileno(self):
        return self.file.fileno()

    def flush(self):
        if not self.file.closed:
            self.file.flush()

    def close(self):
        self.file.close()
        super().close()

    def writable(self):
        return True


class Faults:
    """Counts operations on storage; the `at`-th fails with error number `number`, and so do all later ones if `lasting`."""

    def __init__(self, at: int = 0, number: int = errno.ENOSPC, lasting: bool = False):
        self.at, self.number, self.lasting, self.done = at, number, lasting, 0

    def count(self, operation: str, path: object) -> None:
        self.done += 1
        if self.at and (self.done == self.at or (self.lasting and self.done > self.at)):
            raise OSError(self.number, os.strerror(self.number), str(path))

    @contextmanager
    def on(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        real_open = io.open

        def opened(file, mode="r", *arguments, **keys):
            if not set(mode) & set("wax+"):
                return real_open(file, mode, *arguments, **keys)
            self.count("open", file)
            handle = real_open(file, mode, *arguments, **keys)
            return Failing(handle, self) if "b" in mode or "w" in mode else handle

        def counted(name: str, function: Callable):
            def wrapped(path, *arguments, **keys):
                self.count(name, path)
                return function(path, *arguments, **keys)
            return wrapped

        with monkeypatch.context() as patch:
            patch.setattr(io, "open", opened)
            for name in ("fsync", "replace", "rename", "mkdir", "unlink"):
                patch.setattr(os, name, counted(name, getattr(os, name)))
            yield


OLD, NEW = (make_record(make_spec(), value) for value in (40.0, 41.0))
TENSORS = [{"a": torch.full((1000,), float(value))} for value in (1, 2)]


def see_record(folder: Path) -> object:
    store = Store(folder)
    path = store.run_folder(OLD.spec) / "record.json"
    _, problems = store.records()
    assert not problems, "a record that is wrong"
    return read_record(path).measurements if path.is_file() else None


def see_checkpoint(folder: Path) -> object:
    state = load_checkpoint(folder / "checkpoint.pt")
    return None if state is None else state["epoch"]


def see_weights(folder: Path) -> object:
    return float(read_weights(folder / "w.safetensors")["a"].mean()) if (folder / "w.safetensors").is_file() else None


def see_pictures(folder: Path) -> object:
    found = read_pictures(folder / "p.npz")
    return None if found is None else int(found["input"].max())


def pictures(value: int) -> dict:
    import numpy as np

    return {"input": np.full((2, 4, 4, 3), value, np.uint8)}


WRITES: dict[str, tuple[Callable, Callable, Callable, tuple]] = {  # old, new, what is there, what may be there: old and new
    "record": (lambda folder: Store(folder).save(OLD), lambda folder: Store(folder).save(NEW), see_record,
               (OLD.measurements, NEW.measurements)),
    "checkpoint": (lambda folder: save_checkpoint({"epoch": 1, "x": torch.ones(1000)}, folder / "checkpoint.pt"),
                   lambda folder: save_checkpoint({"epoch": 2, "x": torch.ones(1000)}, folder / "checkpoint.pt"),
                   see_checkpoint, (1, 2)),
    "weights": (lambda folder: save_tensors(TENSORS[0], folder / "w.safetensors"),
                lambda folder: save_tensors(TENSORS[1], folder / "w.safetensors"), see_weights, (1.0, 2.0)),
    "pictures": (lambda folder: write_pictures(folder / "p.npz", pictures(1)),
                 lambda folder: write_pictures(folder / "p.npz", pictures(2)), see_pictures, (1, 2)),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_write_that_fails_leaves_the_old_or_the_new_and_says_so(what, tmp_path, monkeypatch):
    """At every operation, with every error, once and lasting, over nothing and over an older one."""
    write_old, write_new, see, (old, new) = WRITES[what]
    injected = 0
    for over_old in (False, True):
        counter = Faults()
        folder = tmp_path / f"{over_old}"
        folder.mkdir()
        if over_old:
            write_old(folder)
        with counter.on(monkeypatch):
            write_new(folder)
        assert see(folder) == new
        assert counter.done >= 3
        for number in (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT):
            for lasting in (False, True):
                for at in range(1, counter.done + 1):
                    folder = tmp_path / f"{over_old}-{number}-{lasting}-{at}"
                    folder.mkdir()
                    if over_old:
                        write_old(folder)
                    before = old if over_old else None
                    said = None
                    with Faults(at, number, lasting).on(monkeypatch):
                        try:
                            write_new(folder)
                        except (OSError, RuntimeError) as error:  # torch wraps the former in the latter
                            said = root_cause(error)
                    injected += 1
                    found = see(folder)
                    assert found in (before, new), f"operation {at}, {os.strerror(number)}"
                    if said is None:
                        assert found == new, "reported as saved, and lost"
                    else:
                        assert os.strerror(number) in str(said)
    assert injected >= 50
    print(f"{what}: {injected} faults injected")


def test_a_record_and_what_is_beside_it_are_of_one_run_wherever_saving_stops(tmp_path, monkeypatch):
    """At every operation, as a kill would: a reader finds no mixture, and the next who has the run finds one of both whole."""
    def save(store: Store, record, value: int) -> None:
        write_pictures(store.staged(record.spec) / "p.npz", pictures(value))
        store.save(record)

    def see(store: Store) -> tuple:
        return see_record(store.folder), see_pictures(store.run_folder(OLD.spec))

    def start(name: str) -> Store:
        store = Store(tmp_path / name)
        save(store, OLD, 1)
        store.save_failure(OLD.spec, "of an attempt to compute it again", "")
        return store

    counter, store = Faults(), start("whole")
    with counter.on(monkeypatch):
        save(store, NEW, 2)
    assert (see(store), store.failure(OLD.spec)) == ((NEW.measurements, 2), None)
    seen, settled = set(), set()
    names = {(OLD.measurements[0].value, 1): "old", (OLD.measurements[0].value, None): "old alone",
             (NEW.measurements[0].value, None): "new alone", (NEW.measurements[0].value, 2): "new"}
    for at in range(1, counter.done + 1):
        store = start(str(at))
        with Faults(at, errno.EIO, lasting=True).on(monkeypatch), pytest.raises(OSError, match=os.strerror(errno.EIO)):
            save(store, NEW, 2)
        rows, beside = see(store)
        seen.add(names[rows[0].value, beside])
        store.prepare() if at % 2 else store.settle(OLD.spec)
        rows, beside = see(store)
        settled.add(names[rows[0].value, beside])
        assert (store.failure(OLD.spec) is None) == (beside == 2)
    assert seen == {"old", "old alone", "new alone", "new"}
    assert settled == {"old", "new"}


def test_a_full_disk_fails_the_runs_that_need_it_and_says_so(tmp_path):
    """A whole matrix whose files may not grow beyond 100 kB, as on a full disk: no checkpoint fits, and nothing else breaks."""
    import resource
    import subprocess

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    command = [sys.executable, "-m", "benchmark", "run", "--matrix", "smoke", "-t", "imagenet", "--arm", "scratch",
               "--limit", "64", "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False, cwd=Path(__file__).parents[1])
    assert done.returncode == 1, done.stderr
    assert "OSError: [Errno 27] File too large" in done.stdout
    assert "Traceback" not in done.stderr
    store = Store(tmp_path)
    assert store.records() == ([], [])
    (failure,) = store.failures()
    assert "File too large" in failure.error
    assert "save_checkpoint" in failure.traceback
    whole = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    assert whole.returncode == 0, whole.stdout
    assert len(store.records()[0]) == 1
    assert not store.failures()


def test_records_of_a_matrix_survive_faults_at_every_write(tmp_path, monkeypatch):
    """Every record that was reported as saved is there and right, whatever happened to the others."""
    records = make_matrix(["imagenet", "audioset"], ["image", "audio"], range(3))
    chance = random.Random(0)
    store = Store(tmp_path)
    store.prepare()
    saved = {}
    for record in records:
        with Faults(chance.randint(0, 25), chance.choice([errno.ENOSPC, errno.EIO]), chance.random() < 0.3).on(monkeypatch):
            try:
                store.save(record)
            except OSError:
                continue
        saved[record.run_id] = record
    found, problems = store.records()
    assert not problems
    assert saved.keys() <= {record.run_id for record in found}
    assert all(record == next(one for one in records if one.run_id == record.run_id) for record in found)
    assert 0 < len(saved) < len(records)
