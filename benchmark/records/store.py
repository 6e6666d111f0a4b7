"""Records and failures of a results folder, on disk.

    RESULTS/runs/NAME/record.json    a finished run, where it can be read
    RESULTS/runs/NAME/failure.json   the last failure of a run that has no record
    RESULTS/samples/TASK-PROFILE.npz    what the task is shown, for the report's pictures
    RESULTS/work/NAME/               weights, checkpoint and log: big, local, never needed to read results
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from benchmark.records.earlier import RecordError
from benchmark.records.headers import MISSING, Header, read_headers
from benchmark.records.lease import PREFIX, Lease, claim, holder_of
from benchmark.records.record import Record, read_record, record_text, records_under, write_json
from benchmark.spec.recipes import Frozen
from benchmark.spec.runspec import RunSpec, canonical_json


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

    def claim(self, spec: RunSpec) -> Lease | None:
        """The right to carry out a run, for as long as it is kept alive; None where another has it."""
        return claim(self.work(spec))

    def holder_of(self, spec: RunSpec) -> str:
        """Which machine and process have the right to a run, for people; "" where none has."""
        return holder_of(self.work(spec))

    def is_complete(self, spec: RunSpec) -> bool:
        """Whether there is a readable record, and the weights that others may start from."""
        return self.weights(spec).is_file() and not self.headers([spec.name]).get(spec.name, MISSING).fault

    def changed_ns(self, spec: RunSpec) -> int | None:
        """When the run's record was written, in nanoseconds; None where there is none."""
        try:
            return os.stat(self.run_folder(spec) / "record.json").st_mtime_ns
        except OSError:
            return None

    def keep_to_code(self, spec: RunSpec, code: Mapping[str, str]) -> None:
        """Remove an unfinished run's checkpoints where other code than `code` left them: no run is computed by two."""
        file, text = self.work(spec) / "code.json", canonical_json(dict(code))
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            self._drop_checkpoints(spec)
            write_json(file, text)

    def headers(self, names: Iterable[str]) -> dict[str, Header]:
        """What the records of these runs say of their origin; those without a record are left out."""
        return read_headers(self.folder, names)

    def save(self, record: Record) -> None:
        """Write the record, and forget an earlier failure and the checkpoint."""
        folder = self.run_folder(record.spec)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "record.json", record_text(record))
        (folder / "failure.json").unlink(missing_ok=True)
        self._drop_checkpoints(record.spec)

    def _drop_checkpoints(self, spec: RunSpec) -> None:
        folder = self.work(spec)
        for file in (*folder.glob("checkpoint.pt*"), folder / "code.json", folder / ".checkpoint.pt.partial"):
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

    def failures(self) -> list[Failure]:
        """Every recorded failure."""
        found = [read_failure(path) for path in sorted(self.folder.glob("runs/*/failure.json"))]
        return [failure for failure in found if failure is not None]

    def clear(self, spec: RunSpec) -> None:
        """Remove all that earlier attempts at a run have left, but the lease that the caller holds, and the log."""
        shutil.rmtree(self.run_folder(spec), ignore_errors=True)
        for file in self.work(spec).iterdir():
            if file.name != "log.txt" and not file.name.startswith(PREFIX):
                file.unlink(missing_ok=True)

    def log_tail(self, spec: RunSpec, lines: int = 20) -> str:
        """The last lines of a run's log; "" where there is none."""
        try:
            text = (self.folder / "work" / spec.name / "log.txt").read_bytes()[-8192:].decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def read_failure(path: Path) -> Failure | None:
    """None where there is none or it cannot be read: a failure is a hint for people, never a result."""
    try:
        return Failure.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        return None
