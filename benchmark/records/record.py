"""What a finished run says about itself: one JSON file, enough to recompute every table, figure and verdict.

Reading and writing need no torch.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic_core import from_json

from benchmark.records.earlier import RecordError, translated
from benchmark.spec.recipes import Frozen
from benchmark.spec.runspec import Count, RunSpec, canonical_json

SCHEMA_VERSION = 3  # what is written; `benchmark.records.earlier` reads 1 and 2
READABLE = (1, 2, SCHEMA_VERSION)
LARGEST = 1e100  # of a value: its square is a number, too
Value = Annotated[float, Field(gt=-LARGEST, lt=LARGEST)]
Seconds = Annotated[float, Field(ge=0, lt=1e100)]
NEWER = "a newer one wrote it"
UNMEASURED = "unmeasured"  # what a reader says that wants no measurements
Selection = Literal["last", "best_val", "oracle"]


class Environment(Frozen):
    """Where a run was computed."""

    commit: str | None = None  # of the suite's own repository; None where it is installed without one
    dirty: bool | None = None
    changes: str | None = None  # digest of what differs from the commit; absent where nothing does
    python: str
    torch: str
    packages: dict[str, str] = Field(default_factory=dict)
    platform: str
    processor: str
    arithmetic: str | None = None  # of a run on a CPU how that computes, as `arithmetic_digest`; absent in earlier records
    device: str
    threads: int
    deterministic: bool
    lockstep: int | None = None  # places of the stack in which it was trained with others; absent where it trained alone
    processes: tuple[int, ...] | None = None  # that shared the run, each number of them that there was; absent: one
    before: tuple[str, ...] | None = None  # of a run that was stopped and went on: where it was computed otherwise, in words
    lockstep_how: str | None = None  # how the stack computes attention, and whether its steps were captured

    @property
    def processor_name(self) -> str:
        """Without its cores: of how many a machine has, no bit depends."""
        return re.sub(r", \d+ cores$", "", self.processor)

    @property
    def place(self) -> str:
        """What computed: the GPU, or the processor by its name."""
        return self.processor_name if self.device == "cpu" else self.device


class Measurement(Frozen):
    """One value: a metric of a split after `step` epochs."""

    split: str
    metric: str
    step: Count
    value: Value


class _Series(Frozen):
    """Measurements of a split and metric, as `record_text` writes them."""

    split: str
    metric: str
    steps: list[Count]
    values: list[Value]


def _rows(held: Any, info: ValidationInfo) -> Any:
    """Measurements one by one, of series as `record_text` writes them; none of them where the reader wants none and they are
    sound."""
    if not isinstance(held, list):
        return held
    if info.context == UNMEASURED and all(len(one.steps) == len(one.values) for one in _SERIES.validate_python(held)):
        return []
    rows = []
    for item in held:
        if isinstance(item, dict) and "values" in item:
            shared = {key: value for key, value in item.items() if key not in ("steps", "values")}
            steps, values = item.get("steps"), item["values"]
            if not isinstance(steps, list) or not isinstance(values, list) or len(steps) != len(values):
                raise ValueError("a series needs a list of steps and one of as many values")
            rows += [{**shared, "step": step, "value": value} for step, value in zip(steps, values, strict=True)]
        else:
            rows.append(item)
    return rows


_SERIES = TypeAdapter(list[_Series])  # as strict as one by one, in a tenth of the time


class Layer(Frozen):
    """One pathway after training: W_eff = W + s A, with A0 the auxiliary's weight at the start."""

    name: str  # e.g. "blocks.0.attn.qkv"
    scale: Value  # s
    update_share: Value | None = None  # norm of s A over norm of (W + s A - W0); absent where nothing changed
    auxiliary_cosine: Value | None = None  # cos(A, A0); absent where a norm is 0
    initial_gradient: dict[str, Value] = Field(default_factory=dict)  # norms of "weight", "scale", "auxiliary" at the start


class Record(Frozen):
    """A finished run."""

    schema_version: int = Field(SCHEMA_VERSION, strict=True)
    run_id: str
    spec: RunSpec
    code: dict[str, str] = Field(default_factory=dict)  # digests by part, see `benchmark.provenance.code`
    measurements: Annotated[list[Measurement], BeforeValidator(_rows)]  # those of a split and metric side by side
    layers: list[Layer] = Field(default_factory=list)
    merge_difference: float | None = None  # largest |merged - unmerged| logit over largest |logit|, test split
    parameters: dict[str, Count] = Field(default_factory=dict)  # "trainable", "training" (with pathways), "merged"
    weights: dict[str, str] = Field(default_factory=dict)  # SHA-256 of what it started from and of what it left, by role
    loading: dict[str, list[str]] = Field(default_factory=dict)  # keys that the starting checkpoint lacked or had too many
    beside: dict[str, str] = Field(default_factory=dict)  # SHA-256 of the files that the run left beside its record, by name
    data_notes: dict[str, str] = Field(default_factory=dict)  # of a split: what readers of a result should know of its data
    environment: Environment
    seconds: dict[str, Seconds] = Field(default_factory=dict)  # "train", of it "input" waiting for examples (of the
    # process that waited longest), "evaluate", "wall"; "inference": of one sample, merged
    peak_memory_bytes: Count | None = None
    samples_per_second: Annotated[float, Field(ge=0, lt=1e100)] | None = None  # of training, all processes together
    started: str  # ISO 8601, UTC
    resumed: int = 0  # how often the run was continued from a checkpoint
    command: str = ""

    @functools.cached_property
    def origin(self) -> str:
        """What was asked and what computed it, as one name: one run can have been computed by two states of the code."""
        return f"{self.run_id}-{hashlib.sha256(canonical_json(self.code).encode()).hexdigest()[:8]}"

    @functools.cached_property
    def identity(self) -> str:
        """One result, as a name: also where and when it was computed, as several folders can hold one run."""
        place = canonical_json([self.environment.model_dump(mode="json"), self.started])
        return f"{self.origin}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"

    def given(self, role: str) -> str:
        """SHA-256 of the file that the run was given to start from in this role; "" where that was trained here."""
        digest = self.weights.get(role, "")  # a start is named by its run, or by the first digits of its file's digest
        return digest if role in self.spec.starts and digest.startswith(self.spec.starts[role]) else ""

    @field_validator("measurements")
    @classmethod
    def _side_by_side(cls, rows: list[Measurement]) -> list[Measurement]:
        return [row for series in _series(rows).values() for row in series]

    def curve(self, split: str, metric: str) -> list[tuple[int, float]]:
        """(epoch, value) in order"""
        return [(row.step, row.value) for row in self.measurements if (row.split, row.metric) == (split, metric)]


def _series(rows: Iterable[Measurement]) -> dict[tuple[str, str], list[Measurement]]:
    """Measurements by split and metric, in the order of their first one."""
    found: dict[tuple[str, str], list[Measurement]] = {}
    for row in rows:
        found.setdefault((row.split, row.metric), []).append(row)
    return found


def read_record(path: Path, measured: bool = True) -> Record:
    """The record at `path`; where it need not be `measured`, without measurements, in a third of the time. Raises
    `RecordError` with the reason in one line."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path}: unreadable ({type(error).__name__}: {error})") from error
    try:
        record = Record.model_validate(_today(text, path), context=None if measured else UNMEASURED)
    except ValidationError as error:
        if not measured:  # so that one fault has one name
            return read_record(path)
        raise RecordError(f"{path}: {_first_fault(error)}") from error
    if record.run_id != record.spec.run_id:
        raise RecordError(f"{path}: run_id {record.run_id} does not fit its spec ({record.spec.run_id})")
    return record


def _today(text: bytes, path: Path) -> dict[str, Any]:
    """What a file says, as the fields of a `Record`; raises `RecordError`."""
    try:
        data = from_json(text)
    except ValueError as error:
        raise RecordError(f"{path}: unreadable ({error})") from error
    if not isinstance(data, dict):
        raise RecordError(f"{path}: unreadable (no JSON object)")
    version = data.get("schema_version")
    if version not in READABLE or isinstance(version, bool):
        newer = f" ({NEWER})" if type(version) is int and version > SCHEMA_VERSION else ""
        known = ", ".join(map(str, READABLE))
        raise RecordError(f"{path}: schema version {repr(version)[:40]}, this release reads {known}{newer}")
    return data if version == SCHEMA_VERSION else translated(data, path)


def _first_fault(error: ValidationError) -> str:
    """In one line"""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    said = re.sub(r"\d{16,}", lambda digits: f"{float(digits[0]):g}", first["msg"])  # pydantic writes 1e100 out
    return " ".join(f"{place}: {said}".split())


def write_json(path: Path, text: str) -> None:
    """Write whole or not at all."""
    write_whole(path, text.encode("utf-8"))


def write_whole(path: Path, data: bytes | memoryview, lasting: bool = True) -> None:
    """Write whole or not at all: a temporary name, then rename; `lasting`: on the disk before its name is there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def record_text(record: Record) -> str:
    """Canonical JSON with one series or layer a line, so that records diff well and stay small."""
    data = record.model_dump(mode="json", exclude_none=True, exclude={"schema_version", "measurements", "layers"})
    rows = {
        "measurements": [{"split": split, "metric": metric, "steps": [row.step for row in series],
                          "values": [row.value for row in series]}
                         for (split, metric), series in _series(record.measurements).items()],
        "layers": [layer.model_dump(mode="json", exclude_none=True) for layer in record.layers]}
    lines = [f" {json.dumps(key)}: {json.dumps(value, sort_keys=True, allow_nan=False)}"
             for key, value in {"schema_version": SCHEMA_VERSION, **data}.items()]
    for name, items in rows.items():
        body = ",\n".join("  " + json.dumps(item, allow_nan=False) for item in items)
        lines.append(f" {json.dumps(name)}: [\n{body}\n ]" if items else f" {json.dumps(name)}: []")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def records_under(folder: Path) -> Iterator[Path]:
    """Every record file below a results folder, in a stable order, also those that cannot be reached: reading says why.

    Raises `OSError` as `names_under` does.
    """
    runs = folder / "runs"
    return (runs / name / "record.json" for name in names_under(folder) if may_be(f"{runs}/{name}/record.json"))


def spares_of(runs: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Folders that do not count, as another one has a record of the same run, and which does: the one of the run's own name, or
    else one that ends in the run's id, as an earlier release named it. `runs`: by folder, the id and the name of the run whose
    record it has."""
    of_run: dict[str, list[str]] = {}
    for folder in sorted(runs, key=lambda one: (one != runs[one][1], not one.endswith(f"-{runs[one][0]}"), one)):
        of_run.setdefault(runs[folder][0], []).append(folder)
    return {spare: counts for counts, *spares in of_run.values() for spare in spares}


def may_be(path: str) -> bool:
    """Whether a file is there, or cannot be seen though it may be there"""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def names_under(folder: Path) -> list[str]:
    """What the runs of a results folder are called, recorded or not; raises as `names_in` does."""
    return names_in(folder / "runs")


def names_in(folder: Path) -> list[str]:
    """What is in a folder and not hidden, in a stable order; nothing where there is no such folder. Raises `OSError` where it
    cannot be looked at, which `glob` takes for an empty one."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
