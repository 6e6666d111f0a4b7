"""Records in, what each says of its origin out.

A folder of thousands of records takes seconds to read, and `status` is typed often. So what was read is kept in
RESULTS/work/headers.json, and a file is read again when it is another one: other inode, size or time of its last change.
Records that cannot be read are never kept, and nothing is where other code would read them.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import field_validator
from pydantic_core import from_json, to_json

from benchmark.records import earlier
from benchmark.records import record as record_module
from benchmark.records.earlier import RecordError
from benchmark.records.record import SCHEMA_VERSION, Record, Value, altered_beside, read_record, write_whole
from benchmark.spec import recipes, runspec
from benchmark.spec.recipes import Frozen
from benchmark.spec.runspec import Count, Form

MANY, PART = 1000, 250  # records: so many take a second to read, and from there on processes do, each a part at a time
KEPT = "headers.json"
NO_FORM = Form("", "")
Mark = tuple[int, int, int]  # inode, size in bytes, time of the last change in ns: of one file, one version


@dataclass(frozen=True)
class Header:
    """What a record says of its origin, or why it cannot be read."""

    run_id: str = ""
    asked: str = ""  # `RunSpec.asked`
    cell: str = ""  # `RunSpec.cell`
    task: str = ""
    arm: str | None = None
    profile: str = ""
    form: Form = NO_FORM  # `RunSpec.form`
    data: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    lockstep: int = 1  # places of the stack in which it was trained
    processes: tuple[int, ...] = (1,)  # that shared it
    device: str = ""
    commit: str | None = None
    changed_ns: int = 0  # when its file was written
    wall: float | None = None  # seconds
    weights: str = ""  # SHA-256 of what it left behind
    starts: Mapping[str, str] = field(default_factory=dict)  # `RunSpec.starts`
    began: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of the weights that it started from, by role
    altered: Mapping[str, str] = field(default_factory=dict)  # of the files beside it, those that are gone or others now
    beside: Mapping[str, Mark] = field(default_factory=dict)  # those that it names, as they were when they were looked at
    fault: str = ""

    @classmethod
    def of(cls, record: Record, changed_ns: int = 0) -> Header:
        """Of a record that was read, without what is beside it."""
        spec, environment = record.spec, record.environment
        return cls(record.run_id, spec.asked, spec.cell, spec.task, spec.arm, spec.profile, spec.form, spec.data, record.code,
                   environment.lockstep or 1, environment.processes or (1,), environment.device, environment.commit,
                   changed_ns, record.seconds.get("wall"), record.weights.get("result", ""), spec.starts,
                   {role: record.weights[role] for role in spec.starts if role in record.weights})


MISSING = Header(fault="there is none")


def read_headers(folder: Path, names: Iterable[str]) -> dict[str, Header]:
    """Of these runs of a results folder, by name; those without a record are left out."""
    marks = {name: mark for name in names if (mark := _mark(f"{folder}/runs/{name}/record.json")) is not None}
    if len(marks) < MANY:
        return {name: _read(f"{folder}/runs/{name}/record.json") for name in marks}
    kept = _load(folder)
    found = {name: kept[name][1] for name, mark in marks.items()
             if name in kept and kept[name][0] == mark
             and (kept[name][1].beside == _beside(f"{folder}/runs/{name}", kept[name][1].beside))}
    unread = [name for name in marks if name not in found]
    paths = [f"{folder}/runs/{name}/record.json" for name in unread]
    if len(paths) < MANY:
        found |= zip(unread, map(_read, paths), strict=True)
    else:
        with ProcessPoolExecutor(min(os.cpu_count() or 1, -(-len(paths) // PART))) as pool:
            found |= zip(unread, pool.map(_read, paths, chunksize=PART), strict=True)
    if len(unread) >= PART:
        _keep(folder, kept | {name: (marks[name], found[name]) for name in unread})
    return {name: found[name] for name in marks}


def _mark(path: str) -> Mark | None:
    try:
        state = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # what is wrong is told by reading it
        return (0, 0, 0)
    return (state.st_ino, state.st_size, state.st_mtime_ns)


def _beside(folder: str, names: Iterable[str]) -> dict[str, Mark]:
    return {name: _mark(f"{folder}/{name}") or (0, 0, 0) for name in names}


def _read(path: str) -> Header:
    folder = os.path.dirname(path)
    try:
        record = _outline(path) or read_record(Path(path))
        header = Header.of(record, os.stat(path).st_mtime_ns)
        if not record.beside:
            return header
        marks = _beside(folder, record.beside)
        return replace(header, beside=marks, altered=altered_beside(folder, record.beside))
    except (OSError, RecordError) as error:
        return Header(fault=str(error).removeprefix(f"{path}: "))


class _Series(Frozen):
    """Measurements of a split and metric, as `record_text` writes them."""

    split: str
    metric: str
    steps: list[Count]
    values: list[Value]


class _Outline(Record):
    """A record whose measurements are looked at a series at a time: as strictly, in half the time."""

    measurements: list[_Series]  # type: ignore[assignment]

    @field_validator("measurements")
    @classmethod
    def _side_by_side(cls, rows: list[_Series]) -> list[_Series]:  # type: ignore[override]
        if any(len(series.steps) != len(series.values) for series in rows):
            raise ValueError("a series needs a list of steps and one of as many values")
        return rows


def _outline(path: str) -> Record | None:
    """None where a record is not of today's schema, or anything is wrong with it: reading it whole says what."""
    try:
        with open(path, "rb") as file:
            held = from_json(file.read())
        record = _Outline.model_validate(held) if held.get("schema_version") == SCHEMA_VERSION else None
    except (AttributeError, OSError, ValueError):
        return None
    return record if record is not None and record.run_id == record.spec.run_id else None


def _load(folder: Path) -> dict[str, tuple[Mark, Header]]:
    """What was kept, with the mark of the file that it was read from; nothing where it is of other code or no such file."""
    try:
        held: dict[str, Any] = from_json((folder / "work" / KEPT).read_bytes())
        if held["reader"] != _reader():
            return {}
        return {name: ((mark[0], mark[1], mark[2]), _header(fields)) for name, (mark, fields) in held["headers"].items()}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _header(fields: dict[str, Any]) -> Header:
    marks = {name: (mark[0], mark[1], mark[2]) for name, mark in fields["beside"].items()}
    return Header(**{**fields, "form": Form(*fields["form"]), "processes": tuple(fields["processes"]), "beside": marks})


def _keep(folder: Path, headers: Mapping[str, tuple[Mark, Header]]) -> None:
    if not (folder / "work").is_dir():  # a folder in which nothing is computed is left as it is
        return
    good = {name: (mark, asdict(header)) for name, (mark, header) in headers.items() if not header.fault}
    try:
        write_whole(folder / "work" / KEPT, to_json({"reader": _reader(), "headers": good}), lasting=False)
    except OSError:  # it is read anew then
        return


@functools.cache
def _reader() -> str:
    """Digest of the code that says which records can be read."""
    modules = (earlier, record_module, recipes, runspec)
    sources = [Path(__file__), *(Path(module.__file__) for module in modules if module.__file__)]
    return hashlib.sha256(b"".join([version("pydantic").encode(), *(path.read_bytes() for path in sources)])).hexdigest()
