"""Certificates in, what they carry out: that a change of code or packages was seen to alter no bit.

A certificate is a small JSON file under `results/certificates`, written by `benchmark certify`. It
lists replays: one run of each class of records, computed before and after the change on one
machine, and compared bit for bit. What is equal carries the records of its class. It is evidence
and no proof: a class that differs in what its replay did not reach is carried all the same.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from benchmark.records.record import Environment, names_in
from benchmark.spec.recipes import Frozen
from benchmark.spec.runspec import Form, RunSpec, canonical_json

FOLDER = "certificates"
SUITE = Path(__file__).parents[2] / "results" / FOLDER  # those that the suite itself comes with
COMPUTING = ("numpy", "timm", "numba", "torchvision", "torchaudio", "scikit-learn", "safetensors")
READING = ("pillow", "av", "soundfile", "trimesh", "h5py")
FROM_FILES = "paper"  # the profile whose data lie in files; those of the others are embedded as arrays
Extent = Literal["short", "whole"]  # of a replay: a few samples and epochs, or as it was recorded


class Side(Frozen):
    """What computed one side of a comparison."""

    commit: str | None
    dirty: bool | None = None
    torch: str
    packages: dict[str, str]
    python: str


class Replay(Frozen):
    """One run computed on both sides; `difference` is the first value that differs, absent where none does."""

    group: Annotated[str, Field(alias="class")]
    run: str
    extent: Extent
    before: dict[str, str]  # digests of the code by part
    after: dict[str, str]
    values: int  # that were compared
    weights: int  # digests of weights among them
    from_files: bool = False  # whether packages that read files had a part in it
    difference: str | None = None


class Certificate(Frozen):
    """What was replayed, where, and with which outcome."""

    schema_version: Literal[1] = 1
    made: str  # ISO 8601, UTC
    command: str
    platform: str
    processor: str
    device: str
    threads: int
    before: Side
    after: Side
    replays: list[Replay]


def class_of(form: Form, device: str, lockstep: int, processes: Sequence[int] = (1,)) -> str:
    """The class of a run for replays: runs of one class go through the same code, whatever their seed and auxiliary.

    The run's form, device, stack, and whether processes shared it.
    """
    stacked = "stacked" if lockstep > 1 else "shared" if max(processes) > 1 else "alone"
    return f"{form.label} {'cpu' if device == 'cpu' else 'gpu'} {stacked} {form.switches}"


@dataclass(frozen=True)
class Step:
    """One change that a record was carried over."""

    certificate: str  # file name
    extent: Extent


class Certificates:
    """All certificates at hand, as steps from one state of code to another."""

    def __init__(self, named: Mapping[str, Certificate]):
        self.named = named
        self.steps: dict[tuple[str, str], list[tuple[str, Step]]] = {}
        self.alike: dict[str, list[tuple[str, str]]] = {}
        for name, certificate in named.items():
            for replay in certificate.replays:
                if replay.difference is None:
                    step = Step(name, replay.extent)
                    key = (replay.group, canonical_json(replay.before))
                    self.steps.setdefault(key, []).append((canonical_json(replay.after), step))
                    sides = (certificate.before, certificate.after)
                    one, other = (_spelled(side, replay.from_files) for side in sides)
                    if one != other:
                        self.alike.setdefault(replay.group, []).append((one, other))

    def way(self, group: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[Step] | None:
        """The steps by which runs of a class are carried from one code to another: the fewest, of these the best shown."""
        start, end = canonical_json(dict(before)), canonical_json(dict(after))
        ways: dict[str, list[Step]] = {start: []}
        front = [start]
        while front and end not in ways:
            reached: dict[str, list[Step]] = {}
            for code in front:
                for following, step in self.steps.get((group, code), ()):
                    better = following not in reached or step.extent == "whole"
                    if following not in ways and better:
                        reached[following] = [*ways[code], step]
            ways |= reached
            front = list(reached)
        return ways.get(end)

    def place(self, group: str, place: str) -> str:
        """One name for the packages that a class of runs was seen to be equal under, this one's among them."""
        known, front = {place}, [place]
        while front:
            here = front.pop()
            for pair in self.alike.get(group, ()):
                if here in pair and (there := pair[1 - pair.index(here)]) not in known:
                    known.add(there)
                    front.append(there)
        return min(known)


def place_of(environment: Environment, spec: RunSpec) -> str:
    """The packages that a result may depend on, as text"""
    return _spelled(environment, reads_files(spec))


def reads_files(spec: RunSpec) -> bool:
    """Whether a run's data lie in files, so that the packages that read them count, too"""
    return spec.profile == FROM_FILES


def differing_packages(spec: RunSpec, one: Environment, other: Environment) -> list[str]:
    """Those of a run whose versions two environments do not share, as "timm 1.0.30" of the first."""
    return [f"{name} {one.packages.get(name, 'none')}" for name in _counted(reads_files(spec))
            if one.packages.get(name) != other.packages.get(name)]


def _counted(from_files: bool) -> tuple[str, ...]:
    return (*COMPUTING, *READING) if from_files else COMPUTING


def _spelled(place: Environment | Side, from_files: bool) -> str:
    return canonical_json([place.torch, [place.packages.get(name) for name in _counted(from_files)]])


def load_certificates(results: Sequence[Path] = ()) -> Certificates:
    """Those of the suite, and those beside the given results folders; raises `ValueError` for a file that is none."""
    folders = dict.fromkeys([SUITE, *(folder.resolve().parent / FOLDER for folder in results)])
    return Certificates({path.name: read_certificate(path) for path in _files(folders)})


def _files(folders: Iterable[Path]) -> Iterable[Path]:
    return (folder / name for folder in folders for name in names_in(folder) if name.endswith(".json"))


def read_certificate(path: Path) -> Certificate:
    """Raises `ValueError` in one line."""
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache
def _read(path: Path, _changed_ns: int) -> Certificate:
    try:
        return Certificate.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path} is no certificate ({place}: {first['msg']}); remove it, or restore it") from error
