"""Records and failures of a results folder, on disk.

    RESULTS/runs/NAME/record.json    a finished run, where it can be read
    RESULTS/runs/NAME/failure.json   the last failure of a run since its record, if it has one, was written
    RESULTS/samples/TASK-PROFILE.npz    what the task is shown, for the report's pictures
    RESULTS/work/NAME/               weights, checkpoint and log: big, local, never needed to read results

A run that is computed again keeps its record, and what is beside it, until the new one is whole. Then all of the new is in
RESULTS/runs/.NAME.whole, and takes the place of the old in an order by which a reader, or what a killed process leaves, never
has files of both: what was beside the old record goes, the new record comes, what is beside it comes. `settle` ends what was
interrupted. In the working folder `code.json` says that a run has been begun and no record has been written since: weights
that lie there then are of no record. It names the code, and the weights that were there to start from.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from benchmark.records.beside import digest_of
from benchmark.records.earlier import RecordError
from benchmark.records.headers import MISSING, Header, read_headers
from benchmark.records.lease import PREFIX, Lease, claim, holder_of
from benchmark.records.record import Record, may_be, names_under, read_record, record_text, records_under, spares_of, write_json
from benchmark.spec.recipes import Frozen
from benchmark.spec.runspec import RunSpec, canonical_json

RECORD, FAILURE = "record.json", "failure.json"
BEGUN, START = "code.json", "start: "  # in a working folder; before roles in that file, whose other names are parts of code
NEW, WHOLE = ".new", ".whole"  # ends of the names of folders that take the place of others


class Failure(Frozen):
    """Why a run has no record."""

    spec: RunSpec
    error: str  # one line
    traceback: str
    log: str = ""  # its last lines


class Held(NamedTuple):
    """What a results folder has."""

    records: list[Record]  # one of each run and code
    problems: list[str]  # a line for each file that cannot be read
    spares: list[tuple[str, Record, Record]]  # a folder with a copy or another record of a run; it; what counts


class Store:
    """One results folder. Raises `ValueError` in one line where it cannot be written."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._places: dict[str, str] = {}  # by identity, as last read

    def prepare(self) -> None:
        """Make the folder and see that it can be written."""
        try:
            (self.folder / "runs").mkdir(parents=True, exist_ok=True)
            (self.folder / "work").mkdir(exist_ok=True)
            self._settle_all()
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

    def folder_of(self, record: Record) -> Path:
        """The folder that a record was last read from, with the files that its run left: a folder that was renamed or copied is
        not called as its run is."""
        return self.folder / "runs" / self._places.get(record.identity, record.spec.name)

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
        return self.has_weights(spec) and self.headers([spec.name]).get(spec.name, MISSING).run_id == spec.run_id

    def has_weights(self, spec: RunSpec) -> bool:
        """Whether the weights are here, and no attempt that left no record may have written them."""
        return self.weights(spec).is_file() and not self.is_begun(spec)

    def weights_hold(self, spec: RunSpec) -> bool:
        """Whether the weights are here, and those of the run's record, where it has one that says which they are."""
        if not self.has_weights(spec):
            return False
        said = self.headers([spec.name]).get(spec.name, MISSING).weights
        return not said or self.digest_of_weights(spec) == said

    def digest_of_weights(self, spec: RunSpec) -> str:
        """SHA-256 of the weights that are here; "" where there are none."""
        try:
            return digest_of(self.weights(spec))
        except FileNotFoundError:
            return ""

    def is_begun(self, spec: RunSpec) -> bool:
        """Whether an attempt at the run has not come to its record, or not yet."""
        return (self.folder / "work" / spec.name / BEGUN).is_file()

    def changed_ns(self, spec: RunSpec) -> int | None:
        """When the run's record was written, in nanoseconds; None where there is none. Raises `OSError` where that cannot be
        seen."""
        try:
            return os.stat(self.run_folder(spec) / RECORD).st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return None

    def keep_to(self, spec: RunSpec, code: Mapping[str, str], starts: Mapping[str, str]) -> bool:
        """Remove an unfinished run's checkpoints where other code than `code` left them, or from weights of other digests than
        those that `starts` has by role: no run is computed by, or from, two. Whether they stay."""
        held = dict(code) | {f"{START}{role}": digest for role, digest in starts.items()}
        file, text = self.work(spec) / BEGUN, canonical_json(held)
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            return True
        self.weights(spec).unlink(missing_ok=True)  # before what says that they are of no record
        self._drop_checkpoints(spec)
        write_json(file, text)
        return False

    def began_from(self, spec: RunSpec) -> dict[str, str]:
        """SHA-256, by role, of the weights that were there to start from when an unfinished run was begun; {} where none has
        been."""
        try:
            held = json.loads((self.folder / "work" / spec.name / BEGUN).read_bytes())
        except (OSError, ValueError):
            return {}
        return {role.removeprefix(START): digest for role, digest in held.items() if role.startswith(START)}

    def forget_stack(self, spec: RunSpec) -> None:
        """Remove what a stack would go on from, which lies with its first run."""
        for file in self.work(spec).glob("checkpoint.pt.stack*"):
            file.unlink(missing_ok=True)

    def headers(self, names: Iterable[str]) -> dict[str, Header]:
        """What the records of these runs say of their origin; those without a record are left out."""
        return read_headers(self.folder, names)

    def staged(self, spec: RunSpec) -> Path:
        """A folder for what `save` is to leave beside the run's record, made when first asked for."""
        path = self._aside(spec, NEW)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def save(self, record: Record) -> None:
        """Put the record and what is `staged` in the place of an earlier one, of all beside it and of a failure, and forget
        the checkpoint. Raises `OSError`."""
        spec = record.spec
        beside = {path.name: digest_of(path) for path in sorted(self.staged(spec).iterdir()) if path.name != RECORD}
        write_json(self.staged(spec) / RECORD, record_text(record.model_copy(update={"beside": beside})))
        shutil.rmtree(self._aside(spec, WHOLE), ignore_errors=True)
        self._aside(spec, NEW).rename(self._aside(spec, WHOLE))
        self._put_in_place(spec.name)
        self._drop_checkpoints(spec)

    def settle(self, spec: RunSpec) -> None:
        """End what was interrupted while it was saved. For who holds the run's lease. Raises `OSError`, also where the
        record of another run would be lost, as somebody gave its folder this run's name."""
        shutil.rmtree(self._aside(spec, NEW), ignore_errors=True)
        self._put_in_place(spec.name)
        held = self.headers([spec.name]).get(spec.name, MISSING)
        if not held.fault and held.run_id != spec.run_id:
            raise OSError(f"{self.run_folder(spec)} has the record of another run, {held.run_id}; rename it as that is called")

    def _aside(self, spec: RunSpec, what: str) -> Path:
        return self.folder / "runs" / f".{spec.name}{what}"

    def _put_in_place(self, name: str) -> None:
        """May be interrupted anywhere, and begun again."""
        place, whole = self.folder / "runs" / name, self.folder / "runs" / f".{name}{WHOLE}"
        if not whole.is_dir():
            return
        if not place.is_dir():
            whole.rename(place)
            return
        if (whole / RECORD).is_file():
            for old in place.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
                elif old.name != RECORD:
                    old.unlink()
            (whole / RECORD).replace(place / RECORD)
        for new in whole.iterdir():
            new.replace(place / new.name)
        whole.rmdir()

    def _settle_all(self) -> None:
        """What was interrupted when its record was in place already: no run comes upon it, as none is left to do."""
        for path in (self.folder / "runs").glob(f".*{WHOLE}"):
            name = path.name[1:].removesuffix(WHOLE)
            work = self.folder / "work" / name
            work.mkdir(exist_ok=True)
            if (lease := claim(work)) is not None:
                self._put_in_place(name)
                lease.release()

    def _drop_checkpoints(self, spec: RunSpec) -> None:
        folder = self.work(spec)
        for file in (folder / BEGUN, *folder.glob("checkpoint.pt*"), folder / ".checkpoint.pt.partial"):
            file.unlink(missing_ok=True)

    def save_failure(self, spec: RunSpec, error: str, traceback: str) -> None:
        """Beside the records, never as one; the next `run` tries again."""
        folder = self.run_folder(spec)
        folder.mkdir(parents=True, exist_ok=True)
        failure = Failure(spec=spec, error=error, traceback=traceback, log=self.log_tail(spec))
        write_json(folder / FAILURE, failure.model_dump_json(indent=1))

    def failure(self, spec: RunSpec) -> Failure | None:
        """The last failure of a run, if it has one."""
        return read_failure(self.run_folder(spec) / FAILURE)

    def read(self) -> Held:
        """All that is recorded, in a stable order."""
        records, problems = {}, []
        for path in records_under(self.folder):
            try:
                records[path.parent.name] = read_record(path)
            except RecordError as error:
                problems.append(str(error))
        by_code: dict[str, dict[str, tuple[str, str]]] = {}  # results of a run by other code are no other results of it
        for name, record in records.items():
            by_code.setdefault(canonical_json(record.code), {})[name] = (record.run_id, record.spec.name)
        spares = {spare: counts for same in by_code.values() for spare, counts in spares_of(same).items()}
        counted = {name: record for name, record in records.items() if name not in spares}
        self._places = {record.identity: name for name, record in counted.items()}
        return Held(list(counted.values()), problems,
                    [(name, records[name], records[counts]) for name, counts in sorted(spares.items())])

    def records(self) -> tuple[list[Record], list[str]]:
        """A readable record of every run and code that has one, in a stable order, and one line for each file that is none."""
        held = self.read()
        return held.records, held.problems

    def failures(self) -> list[Failure]:
        """The last recorded failure of every run that has no readable record, neither in its own folder nor in this one."""
        runs = self.folder / "runs"
        found = {name: failure for name in names_under(self.folder) if may_be(f"{runs}/{name}/{FAILURE}")
                 and (failure := read_failure(runs / name / FAILURE)) is not None}
        headers = self.headers(dict.fromkeys([*found, *(failure.spec.name for failure in found.values())]))
        left = {name: failure for name, failure in found.items()
                if headers.get(name, MISSING).fault and headers.get(failure.spec.name, MISSING).run_id != failure.spec.run_id}
        spares = spares_of({name: (failure.spec.run_id, failure.spec.name) for name, failure in left.items()})
        return [failure for name, failure in left.items() if name not in spares]

    def clear(self, spec: RunSpec) -> None:
        """Remove all that earlier attempts at a run have left to work with, but the lease that the caller holds, and the log.
        The record stays until there is another."""
        self.weights(spec).unlink(missing_ok=True)
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
