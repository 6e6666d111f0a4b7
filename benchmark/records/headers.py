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
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from benchmark.records import earlier
from benchmark.records import record as record_module
from benchmark.records.beside import Mark, mark_of
from benchmark.records.earlier import RecordError
from benchmark.records.record import Record, read_record, spares_of, write_whole
from benchmark.spec import recipes, runspec
from benchmark.spec.runspec import Form

MANY, PART = 1000, 250  # records: so many take a second to read, and from there on processes do, each a part at a time
KEPT = "headers.json"
NO_FORM = Form("", "")


@dataclass(frozen=True)
class Header:
    """What a record says of its origin, or why it cannot be read."""

    run_id: str = ""
    asked: str = ""  # `RunSpec.asked`
    name: str = ""  # `RunSpec.name`
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
    beside: Mapping[str, str] = field(default_factory=dict)  # `Record.beside`
    threads: int = 1
    place: str = ""  # `Environment.place`
    arithmetic: str = ""  # `Environment.arithmetic`
    fault: str = ""

    @classmethod
    def of(cls, record: Record, changed_ns: int = 0) -> Header:
        """Of a record that was read."""
        spec, environment = record.spec, record.environment
        return cls(record.run_id, spec.asked, spec.name, spec.cell, spec.task, spec.arm, spec.profile, spec.form, spec.data,
                   record.code, environment.lockstep or 1, environment.processes or (1,), environment.device,
                   environment.commit, changed_ns, record.seconds.get("wall"), record.weights.get("result", ""), spec.starts,
                   {role: record.weights[role] for role in spec.starts if role in record.weights}, record.beside,
                   environment.threads, environment.place, environment.arithmetic or "")


MISSING = Header(fault="there is none")


def read_headers(folder: Path, names: Iterable[str]) -> dict[str, Header]:
    """Of these runs of a results folder, by name; those without a record are left out."""
    marks = {name: mark for name in names if (mark := _mark(f"{folder}/runs/{name}/record.json")) is not None}
    if len(marks) < MANY:
        return {name: _read(f"{folder}/runs/{name}/record.json") for name in marks}
    kept = _load(folder)
    found = {name: kept[name][1] for name, mark in marks.items()
             if name in kept and kept[name][0] == mark}
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


def spare_folders(headers: Mapping[str, Header]) -> dict[str, str]:
    """As `spares_of`, of what was read of a results folder."""
    return spares_of({name: (header.run_id, header.name) for name, header in headers.items() if not header.fault})


def _mark(path: str) -> Mark | None:
    try:
        return mark_of(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:  # what is wrong is told by reading it
        return (0, 0, 0)


def _read(path: str) -> Header:
    try:
        return Header.of(read_record(Path(path), measured=False), os.stat(path).st_mtime_ns)
    except (OSError, RecordError) as error:
        return Header(fault=str(error).removeprefix(f"{path}: "))


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
    return Header(**{**fields, "form": Form(*fields["form"]), "processes": tuple(fields["processes"])})


def _keep(folder: Path, headers: Mapping[str, tuple[Mark, Header]]) -> None:
    if not (folder / "work").is_dir():  # a folder in which nothing is computed is left as it is
        return
    good = {name: held for name, held in headers.items() if not held[1].fault}
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
