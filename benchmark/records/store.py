"""Records and failures on disk: which runs of a results folder are done, failed, stale or missing.

    RESULTS/runs/NAME/record.json    a finished run; presence means done
    RESULTS/runs/NAME/failure.json   the last failure of a run that has no record
    RESULTS/samples/TASK-PROFILE.npz    what the task is shown, for the report's pictures
    RESULTS/work/NAME/               weights, checkpoint and log: big, local, never needed to read results
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import IO, Literal

from pydantic import ValidationError

from benchmark.records.record import Record, RecordError, names_under, read_record, record_text, records_under, write_json
from benchmark.spec.recipes import Frozen
from benchmark.spec.runspec import RunSpec

MANY, PART = 1000, 250  # records: so many take a second to read, and from there on processes do, each a part at a time
State = Literal["done", "failed", "stale", "missing"]


class Failure(Frozen):
    """Why a run has no record."""

    spec: RunSpec
    error: str  # one line
    traceback: str
    log: str = ""  # its last lines


class Store:
    """One results folder. Raises `ValueError` in one line where it cannot be written."""

    def __init__(self, folder: Path):
        self.folder = folder

    def prepare(self) -> None:
        """Make the folder and see that it can be written."""
        try:
            (self.folder / "runs").mkdir(parents=True, exist_ok=True)
            (self.folder / "work").mkdir(exist_ok=True)
            probe = self.folder / "runs" / ".writable"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise ValueError(f"results folder {self.folder} cannot be written ({error.strerror}); "
                             "choose another with --results") from error

    def work(self, spec: RunSpec) -> Path:
        """The run's own working folder, made when first asked for."""
        path = self.folder / "work" / spec.name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def weights(self, spec: RunSpec) -> Path:
        """What the run left behind: an encoder (pretraining) or a merged model under timm's names (training)."""
        return self.folder / "work" / spec.name / "weights.safetensors"

    def run_folder(self, spec: RunSpec) -> Path:
        """Where the run's record is, or will be."""
        return self.folder / "runs" / spec.name

    def samples(self, task: str, profile: str) -> Path:
        """A contact sheet of a task's data under a profile."""
        return self.folder / "samples" / f"{task}-{profile}.npz"

    def try_lock(self, spec: RunSpec) -> IO[str] | None:
        """The right to carry out a run, held until the file is closed or the process ends; None where another has it.

        A POSIX record lock: the kernel releases it with its owner, however that ends, also over NFS.
        """
        file = (self.work(spec) / ".lock").open("a", encoding="utf-8")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.close()
            return None
        return file

    def is_complete(self, spec: RunSpec) -> bool:
        """Whether there is a record, and the weights that others may start from."""
        return self.state(spec) == "done" and self.weights(spec).is_file()

    def state(self, spec: RunSpec) -> State:
        """Of one planned run; stale: there is a record of this cell and seed under another identity only."""
        return self.states([spec])[0]

    def states(self, specs: Iterable[RunSpec]) -> list[State]:
        """The state of each planned run; the folder is listed once."""
        runs, present = self.folder / "runs", set(names_under(self.folder))
        of_cell: dict[str, list[str]] = {}
        for name in present:
            of_cell.setdefault(name.rpartition("-")[0], []).append(name)

        def has(name: str, file: str) -> bool:
            return name in present and os.path.isfile(f"{runs}/{name}/{file}")  # pathlib takes as long as the disk

        def state(name: str) -> State:
            if has(name, "record.json"):
                return "done"
            if has(name, "failure.json"):
                return "failed"
            others = of_cell.get(name.rpartition("-")[0], [])
            return "stale" if any(has(other, "record.json") for other in others) else "missing"

        return [state(spec.name) for spec in specs]

    def stack_of(self, spec: RunSpec) -> tuple[int, str | None] | None:
        """Of a recorded run: the places of the stack in which it was trained (1: alone), and the digest of the code that did;
        None where there is no readable record.
        """
        path = self.run_folder(spec) / "record.json"
        try:
            if b'"lockstep"' not in path.read_bytes():  # a hundred times faster than to read what it says
                return (1, None)
            environment = read_record(path).environment
        except (OSError, RecordError):
            return None
        return (environment.lockstep or 1, environment.lockstep_code)

    def save(self, record: Record) -> None:
        """Write the record, and forget an earlier failure and the checkpoint."""
        folder = self.run_folder(record.spec)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "record.json", record_text(record))
        (folder / "failure.json").unlink(missing_ok=True)
        folder = self.work(record.spec)
        for file in (*folder.glob("checkpoint.pt*"), folder / ".checkpoint.pt.partial"):
            file.unlink(missing_ok=True)

    def save_failure(self, spec: RunSpec, error: str, traceback: str) -> None:
        """Beside the records, never as one; the next `run` tries again."""
        folder = self.run_folder(spec)
        folder.mkdir(parents=True, exist_ok=True)
        failure = Failure(spec=spec, error=error, traceback=traceback, log=self.log_tail(spec))
        write_json(folder / "failure.json", failure.model_dump_json(indent=1))

    def failure(self, spec: RunSpec) -> Failure | None:
        """The last failure of a run, if it has one."""
        return read_failure(self.run_folder(spec) / "failure.json")

    def records(self) -> tuple[list[Record], list[str]]:
        """Every readable record in a stable order, and one line for each that is not."""
        records, problems = [], []
        for path in records_under(self.folder):
            try:
                records.append(read_record(path))
            except RecordError as error:
                problems.append(str(error))
        return records, problems

    def unreadable(self) -> list[str]:
        """One line for each record that is not readable."""
        paths = list(records_under(self.folder))
        if len(paths) < MANY:
            return [fault for path in paths if (fault := _fault_of(path))]
        with ProcessPoolExecutor(min(os.cpu_count() or 1, -(-len(paths) // PART))) as pool:
            return [fault for fault in pool.map(_fault_of, paths, chunksize=PART) if fault]

    def failures(self) -> list[Failure]:
        """Every recorded failure."""
        found = [read_failure(path) for path in sorted(self.folder.glob("runs/*/failure.json"))]
        return [failure for failure in found if failure is not None]

    def clear(self, spec: RunSpec) -> None:
        """Remove all that earlier attempts at a run have left, but the lock that the caller holds, and the log."""
        shutil.rmtree(self.run_folder(spec), ignore_errors=True)
        for file in self.work(spec).iterdir():
            if file.name not in (".lock", "log.txt"):
                file.unlink(missing_ok=True)

    def log_tail(self, spec: RunSpec, lines: int = 20) -> str:
        """The last lines of a run's log; "" where there is none."""
        try:
            text = (self.folder / "work" / spec.name / "log.txt").read_bytes()[-8192:].decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def _fault_of(path: Path) -> str:
    try:
        read_record(path)
    except RecordError as error:
        return str(error)
    return ""


def read_failure(path: Path) -> Failure | None:
    """None where there is none or it cannot be read: a failure is a hint for people, never a result."""
    try:
        return Failure.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        return None
