"""Two states of the code or of the packages in, a certificate out: both compute one run of each class of records.

The two sides are driven through the command line alone, which outlives what is behind it: a clone
of an earlier commit computes with its own code. What each leaves is compared bit for bit. No torch.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmark.plan.given import file_digest
from benchmark.plan.matrix import pretraining_tasks, stop_after
from benchmark.provenance.certificates import Certificate, Extent, Replay, Side, class_of, reads_files
from benchmark.records.record import Record, record_text, write_json
from benchmark.records.store import Store
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.recipes import Frozen, PretrainRecipe
from benchmark.spec.runspec import RunSpec, canonical_json

ROOT = Path(__file__).parents[2]
SHORT = {"epochs": 2, "warmup_epochs": 1}  # of a short replay, on as few samples as a smoke run sees
TOLD = {"beside", "seconds", "environment", "started", "resumed", "command", "peak_memory_bytes", "samples_per_second",
        "code", "run_id", "spec"}
CATALOGUE, FBANKS = "M2PT_DATA", "M2PT_FBANK_CACHE"  # see `benchmark.data.catalogue` and `tasks.audioset.official`
Say = Callable[[str], None]


@dataclass(frozen=True)
class Tree:
    """A checkout and the Python that computes with it."""

    folder: Path
    python: Path


@dataclass(frozen=True)
class Sample:
    """A class of records, and the one of them that is replayed."""

    group: str
    record: Record
    extent: Extent
    expected: RunSpec  # what both sides are asked
    files: Mapping[str, Path]  # by modality, what it starts from instead of pretraining


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A clone of this repository at a commit; raises `ValueError` where there is none."""
    with TemporaryDirectory(prefix="certify-") as folder:
        for command in (["git", "clone", "-q", "--shared", "--no-checkout", str(ROOT), folder],
                        ["git", "-C", folder, "checkout", "-q", "--detach", commit]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise ValueError(f"commit {commit} cannot be checked out: {' '.join(done.stderr.split())[:300]}")
        yield Path(folder)


def classes(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Records by class, those of the smallest seed first"""
    found: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda one: (one.spec.seed, one.spec.name)):
        found.setdefault(group_of(record), []).append(record)
    return dict(sorted(found.items()))


def group_of(record: Record) -> str:
    """The class of a record"""
    return class_of(record.spec.form, record.environment.device, record.environment.lockstep or 1,
                    record.environment.processes or (1,))


def files_of(record: Record, given: Mapping[str, Path]) -> dict[str, Path]:
    """Of the files that are `given` by modality those that the run of a record starts from.

    Raises `ValueError` where one of them is missing.
    """
    found: dict[str, Path] = {}
    for role in record.spec.starts:
        if digest := record.given(role):
            modality = record.spec.modality if role == "target" else record.spec.auxiliary or record.spec.modality
            path = given.get(modality)
            if path is None or not digest.startswith(file_digest(path)):
                raise ValueError(f"it starts from a file with SHA-256 {digest}; give that by --start {modality}=FILE")
            found[modality] = path
    return found


def replayable(grouped: Mapping[str, Sequence[Record]], given: Mapping[str, Path], say: Say) -> dict[str, list[Record]]:
    """The records by class without those whose files are not given; says which classes are left out.

    Raises `ValueError` where a file is given that nothing starts from.
    """
    found: dict[str, list[Record]] = {}
    unused = dict(given)
    for group, records in grouped.items():
        fault = ""
        for record in records:
            try:
                files = files_of(record, given)
            except ValueError as error:
                fault = fault or str(error)
                continue
            found.setdefault(group, []).append(record)
            unused = {name: path for name, path in unused.items() if name not in files}
        if group not in found:
            say(f"not compared: {group}: {fault}")
    for name, path in unused.items():
        raise ValueError(f"--start {name}={path}: none of these records starts from this file")
    return found


def choose(grouped: Mapping[str, Sequence[Record]], full: int, tasks: Mapping[str, Task], given: Mapping[str, Path],
           say: Say) -> list[Sample]:
    """One run to replay of each class whose files are `given`; the `full` that took least time at their recorded size, the
    others short."""
    first = representatives(replayable(grouped, given, say))
    cheapest = sorted(first, key=lambda group: first[group].seconds.get("wall", 0.0))[:full]
    asked = {group: record.spec if group in cheapest else shortened(record.spec, tasks) for group, record in first.items()}
    return [Sample(group, record, "whole" if group in cheapest else "short", asked[group], files_of(record, given))
            for group, record in first.items()]


def representatives(grouped: Mapping[str, Sequence[Record]]) -> dict[str, Record]:
    """One record of each class: the first, or of a class of trainings one that starts from a pretraining that is one, too,
    and that no other would have computed."""
    found = {group: records[0] for group, records in grouped.items()}
    starting = {record.run_id: {group: one for group, records in grouped.items() for one in reversed(records)
                                if record.run_id in one.spec.starts.values()}
                for record in found.values() if record.spec.kind == "pretrain"}
    kept: set[str] = set()  # classes whose run is chosen for a pretraining
    for run_id, by_group in sorted(starting.items(), key=lambda item: len(item[1])):  # those with the fewest choices first
        there = [group for group in by_group if run_id in found[group].spec.starts.values()]
        free = there or [group for group in by_group if group not in kept]
        if free and kept.isdisjoint(there):
            kept.add(free[0])
            if not there:
                found[free[0]] = by_group[free[0]]
    return found


def shortened(spec: RunSpec, tasks: Mapping[str, Task]) -> RunSpec:
    """The same on few samples for two epochs, or for the same share of them"""
    recipe = spec.recipe.model_copy(update=SHORT)
    if isinstance(recipe, PretrainRecipe) and recipe.stop_epoch is not None:
        share = recipe.stop_epoch / spec.recipe.epochs
        recipe = recipe.model_copy(update={"stop_epoch": stop_after(share, recipe.epochs)})
    limit = tasks[spec.task].profiles[spec.profile].smoke_limit
    return spec.model_copy(update={"recipe": recipe, "limit": limit})


def replay(samples: Sequence[Sample], tree: Tree, out: Path, tasks: Mapping[str, Task], arms: Mapping[str, Arm],
           device: str, cores: int, say: Say) -> dict[str, Record]:
    """Compute the samples with a tree; returns what was computed by `RunSpec.asked`. What is in `out` already is kept."""
    out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Record] = {}
    calls: dict[tuple[str, int, int, int, int, Extent, tuple[tuple[str, Path], ...]], list[Sample]] = {}
    pretrained = pretraining_tasks(tasks)
    for sample in samples:
        spec, where = sample.record.spec, sample.record.environment
        if spec.kind == "train":  # pretrainings are computed for what starts from them
            key = (spec.profile, spec.seed, where.threads, where.lockstep or 1, (where.processes or (1,))[-1], sample.extent,
                   tuple((name, path) for name, path in sorted(sample.files.items()) if name in pretrained))
            calls.setdefault(key, []).append(sample)
    for (profile, seed, threads, lockstep, processes, extent, instead), chosen in calls.items():
        shared = [] if processes == 1 else [f"--{'processes' if device == 'cpu' else 'gpus'}-per-run", str(processes)]
        place = out / "-".join([f"{profile}-{seed}-{threads}-{lockstep}", *shared[1:], extent, *(name for name, _ in instead)])
        place.mkdir(exist_ok=True)
        matrix = place / "replay.yaml"
        groups = [group_text(sample.expected, tasks, arms) for sample in chosen]
        quick = [f"{scope}.{name}={value}" for scope in ("recipe", "pretrain") for name, value in SHORT.items()]
        short = {"limited": True, "quick": quick} if extent == "short" else {}
        matrix.write_text(json.dumps({"summary": "replays", "seeds": str(seed), "groups": groups, **short}, indent=1),
                          encoding="utf-8")
        say(f"  {len(chosen)} trainings of seed {seed}, {extent}, with {tree.folder.name}")
        command = [str(tree.python), "-m", "benchmark", "run", "--matrix", str(matrix), "--profile", profile, "--device",
                   device, "--results", str(place), "-j", str(max(1, cores // (threads * processes))),
                   "--lockstep", str(lockstep), *shared]
        for name, path in {name: path for sample in chosen for name, path in sample.files.items()}.items():
            command += ["--start", f"{name}={path}"]
        with (place / "log.txt").open("a", encoding="utf-8") as log:
            done = subprocess.run(command, cwd=tree.folder, stdout=log, stderr=subprocess.STDOUT, check=False,
                                  env=environment_of(tree))
        if done.returncode == 2:
            lines = (place / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
            raise ValueError(f"{tree.folder.name} cannot compute the replays: {lines[-1] if lines else 'no word'}")
        records, _ = Store(place).records()
        found |= {record.spec.asked: record for record in records}
    return found


def environment_of(tree: Tree) -> dict[str, str]:
    """What the commands of a tree, which run in its folder, find in their environment: the catalogue of this folder, and no
    filter banks that other code has kept."""
    there = {name: value for name, value in os.environ.items() if name != FBANKS}
    return there | {"PYTHONPATH": str(tree.folder), CATALOGUE: str(Path(there.get(CATALOGUE) or "data").absolute())}


def group_text(spec: RunSpec, tasks: Mapping[str, Task], arms: Mapping[str, Arm]) -> dict[str, Any]:
    """The group of a matrix that asks for one run, with what of its recipe is not its profile's."""
    profile = tasks[spec.task].profiles[spec.profile]
    assert spec.arm is not None
    assert spec.setting is not None
    assert isinstance(spec.recipe, type(profile.train[spec.setting]))
    changed = [*differences("recipe", profile.train[spec.setting], spec.recipe),
               *differences("shape", profile.shape, spec.shape)]
    known = type(arms[spec.arm]).model_fields
    return {"arms": [spec.arm], "settings": [spec.setting], "targets": [spec.task],
            **({"auxiliaries": [spec.auxiliary]} if spec.auxiliary else {}),
            "options": [{name: value for name, value in spec.options.items() if name in known}], "set": changed}


def differences(scope: str, usual: Frozen, own: Frozen) -> list[str]:
    """What turns one value into another, as --set has it; a fold is the seed's"""
    before, after = usual.model_dump(mode="json"), own.model_dump(mode="json")
    found = []
    for name, value in after.items():
        if isinstance(value, dict) and isinstance(before[name], dict):
            found += [f"{scope}.{name}.{inner}={json.dumps(part)}" for inner, part in value.items()
                      if before[name].get(inner) != part and inner != "fold"]
        elif value != before[name]:
            found.append(f"{scope}.{name}={json.dumps(value)}")
    return found


def compare(group: str, extent: Extent, before: Record, after: Record) -> Replay:
    """Everything that two records of one run say of its result, bit for bit."""
    ours, theirs = (flatten(json.loads(record_text(record))) for record in (after, before))
    names = list(dict.fromkeys([*theirs, *ours]))
    difference = next((f"{name}: {theirs.get(name, 'absent')} before, {ours.get(name, 'absent')} after"
                       for name in names if theirs.get(name) != ours.get(name)), None)
    return Replay.model_validate({
        "class": group, "run": f"{after.spec.cell} seed {after.spec.seed}", "extent": extent,
        "before": before.code, "after": after.code, "values": len(names), "difference": difference,
        "weights": sum(name.startswith("weights.") for name in names),
        "from_files": reads_files(after.spec)})


def flatten(value: Any, name: str = "") -> dict[str, str]:
    """Every number and text of a record's result by its place, spelled so that equal text is equal bits"""
    if not name:
        value = {key: part for key, part in value.items() if key not in TOLD}
    if isinstance(value, dict):
        return {inner: text for key, part in value.items()
                for inner, text in flatten(part, f"{name}.{key}" if name else key).items()}
    if isinstance(value, list):
        label = [f"{one['split']} {one['metric']}" if isinstance(one, dict) and "metric" in one else str(index)
                 for index, one in enumerate(value)]
        return {inner: text for key, part in zip(label, value, strict=True)
                for inner, text in flatten(part, f"{name}.{key}").items()}
    return {name: canonical_json(value)}


def certificate_of(replays: Sequence[Replay], before: Record, after: Record, command: str) -> Certificate:
    """`before`, `after`: a record of either side, for where it was computed"""
    def side(record: Record) -> Side:
        where = record.environment
        return Side(commit=where.commit, dirty=where.dirty, torch=where.torch, packages=where.packages, python=where.python)

    where = after.environment
    return Certificate(made=datetime.now(UTC).isoformat(timespec="seconds"), command=command,
                       platform=where.platform, processor=where.processor, device=where.device, threads=where.threads,
                       before=side(before), after=side(after), replays=list(replays))


def write_certificate(certificate: Certificate, folder: Path) -> Path:
    """Under a name of date and commits, which no other certificate there has"""
    folder.mkdir(parents=True, exist_ok=True)
    sides = [(side.commit or "unknown")[:7] + ("+" if side.dirty else "") for side in (certificate.before, certificate.after)]
    stem = "-".join([certificate.made[:10], *sides])
    path = next(path for number in range(1, 1000)
                if not (path := folder / (f"{stem}.json" if number == 1 else f"{stem}-{number}.json")).exists())
    write_json(path, certificate_text(certificate))
    return path


def certificate_text(certificate: Certificate) -> str:
    """One replay a line, so that certificates are read and compared with ease"""
    data = certificate.model_dump(mode="json", by_alias=True, exclude_none=True)
    replays = data.pop("replays")
    head = [f" {json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in data.items()]
    body = ",\n".join("  " + json.dumps(one, sort_keys=True) for one in replays)
    return "{\n" + ",\n".join(head) + f',\n "replays": [\n{body}\n ]\n}}\n'
