"""What a caller hands to the report beside the records: facts about tasks, and runs that have no result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmark.contracts import Metric
from benchmark.spec import RunSpec


@dataclass(frozen=True)
class TaskInfo:
    """What records do not say about their task. The order of a mapping of these is the order of the tables."""

    modality: str
    metrics: tuple[Metric, ...]  # the first is the main one
    chance: Mapping[str, float] = field(default_factory=dict)  # of the main metric, by profile
    shortcuts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # what cheats reach, by profile and name


@dataclass(frozen=True)
class Problem:
    """A run or file without a result. With its spec, the run's cell shows `state` where there is no value."""

    name: str
    reason: str
    state: Literal["failed", "missing", "unreadable"] = "failed"
    spec: RunSpec | None = None


@dataclass(frozen=True)
class Remark:
    """One thing left out, or shown with a reservation. `kind` is a heading, `name` the run, task or file."""

    kind: str
    name: str
    detail: str = ""
