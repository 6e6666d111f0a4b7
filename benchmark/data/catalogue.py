"""Official data sets on this machine: where they lie, which files of each split are used, and their digest.

`benchmark data prepare` looks at every file once and writes, into the catalogue folder,

    NAME.json       root, digest, classes, counts, files that are missing or cannot be read
    NAME.SPLIT.tsv  one line a sample: path below the root, label, bytes, SHA-256

The catalogue is a folder `data` beside the results, or the environment variable M2PT_DATA. Training reads what is listed
there and nothing else, so the digest says exactly what a result was made of.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from benchmark.data.embedded import DataError
from benchmark.spec.recipes import SPLITS, Split

CATALOGUE = "M2PT_DATA"
ALLOW_MISSING = "M2PT_ALLOW_MISSING"
VALIDATION_SHARE = 0.05  # of the training samples, where a data set has no validation split of its own


@dataclass(frozen=True)
class Entry:
    """One sample of a split as its list names it."""

    path: str  # below the root, with forward slashes
    label: str = ""  # as the task writes it: a class index, or several separated by commas


@dataclass(frozen=True)
class Item:
    """One sample that was looked at."""

    path: str
    label: str
    size: int
    sha256: str


@dataclass
class Listing:
    """What a layout's lists say, before any file is opened."""

    splits: dict[Split, list[Entry]]
    classes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # of the lists themselves


@dataclass(frozen=True)
class Layout:
    """One official data set as it is distributed. A reader module lists its own under `LAYOUTS`."""

    name: str  # as in `ProfileSpec.data_sets`
    description: str  # what lies where below ROOT, for people
    enumerate_files: Callable[[Path], Listing]  # raises `DataError` where the lists themselves are missing
    look: Callable[[Path], None]  # raises `DataError` for a file that cannot be used
    facts: Callable[[Prepared], dict[str, Any]] | None = None  # measured over what can be used, such as a mean


@dataclass(frozen=True)
class Prepared:
    """A data set as the catalogue has it."""

    name: str
    root: Path
    digest: str
    classes: list[str]
    counts: dict[str, int]
    missing: dict[str, list[str]]  # by split: files that are not there
    unreadable: dict[str, list[str]]  # by split: "path: why"
    facts: dict[str, Any]  # what the layout adds, such as the mean of its spectrograms
    problems: list[str] = field(default_factory=list)  # of the lists, such as a class without any file

    def note(self, split: Split) -> str:
        """What readers of a result should know of a split; "" where all is there."""
        lost = len(self.missing.get(split, ())) + len(self.unreadable.get(split, ()))
        whole = self.counts.get(split, 0) + lost
        return f"{100 * lost / whole:.1f} % of {split} missing" if lost else ""


def folder() -> Path:
    """The catalogue's folder."""
    return Path(os.environ.get(CATALOGUE) or "data")


def check_spelling(path: str) -> None:
    """Raises `DataError` for a path that leaves any root by its spelling."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not path or "\0" in path:
        raise DataError(f"{path!r} leads out of the data folder; lists name files below it")


def inside(root: Path, path: str) -> Path:
    """`root`/`path`; raises `DataError` for a path that leaves the root, also through a link."""
    check_spelling(path)
    full = root / path
    try:
        if not full.resolve().is_relative_to(root.resolve()):
            raise DataError(f"{path!r} is a link out of the data folder {root}; put the file itself there")
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path!r} cannot be followed: {error}") from error
    return full


def below(root: Path, path: str) -> str:
    """A list's path as an entry has it, below the root; an absolute one that leads elsewhere stays, for `inside` to refuse."""
    pure = PurePosixPath(path)
    for base in (root.absolute(), root.resolve()):
        if pure.is_relative_to(base):
            pure = pure.relative_to(base)
            break
    return str(pure)


def carve_validation(entries: Sequence[Entry], share: float = VALIDATION_SHARE) -> tuple[list[Entry], list[Entry]]:
    """(train, val): a sample is validation where the hash of its path says so, whatever else is in the list.

    At least one is, where there are two.
    """
    places = {entry.path: int(hashlib.sha256(entry.path.encode()).hexdigest()[:8], 16) / 2**32 for entry in entries}
    limit = max(share, min(places.values()) * (1 + 1e-9) if len(places) > 1 else 0.0)
    return ([entry for entry in entries if places[entry.path] >= limit],
            [entry for entry in entries if places[entry.path] < limit])


def prepare(layout: Layout, root: Path, jobs: int = 1, say: Callable[[str], None] = lambda line: None, *,
            write: bool = True) -> Prepared:
    """Look at every file of a data set, `jobs` at once, and `write` the catalogue's entry.

    Raises `DataError` where `root` is no folder, its lists are missing, or no file of train or test can be used.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder; give the data set's with --root")
    name, listing = layout.name, layout.enumerate_files(root)
    found: dict[Split, list[Item]] = {}
    missing: dict[str, list[str]] = {}
    unreadable: dict[str, list[str]] = {}
    look = functools.partial(_look, root, layout.look)
    with ProcessPoolExecutor(jobs) as pool:
        for split in SPLITS:
            entries, seen = listing.splits.get(split, []), set()
            found[split] = []
            results = pool.map(look, [entry.path for entry in entries], chunksize=16)
            for number, (entry, (state, size, digest)) in enumerate(zip(entries, results, strict=True), 1):
                if entry.path in seen:
                    unreadable.setdefault(split, []).append(f"{entry.path}: listed twice")
                elif state == "":
                    found[split].append(Item(entry.path, entry.label, size, digest))
                elif state == "missing":
                    missing.setdefault(split, []).append(entry.path)
                else:
                    unreadable.setdefault(split, []).append(f"{entry.path}: {state}")
                seen.add(entry.path)
                if number % 10_000 == 0:
                    say(f"{name} {split}: {number:,} of {len(entries):,} files looked at")
    if not found["train"] or not found["test"]:
        raise DataError(f"{name} under {root} has {len(found['train'])} training and {len(found['test'])} test files that can "
                        f"be read{_first(listing.problems, missing, unreadable)}; see its layout with: benchmark data list")
    rows = [(split, item) for split in SPLITS for item in found[split]]
    text = "\n".join(f"{split}\t{item.path}\t{item.label}\t{item.sha256}" for split, item in rows)
    digest = hashlib.sha256(text.encode()).hexdigest()
    counts: dict[str, int] = {split: len(found[split]) for split in SPLITS}
    prepared = Prepared(name, root.resolve(), digest, listing.classes, counts, missing, unreadable, {},
                        listing.problems)
    if not write:
        return prepared
    folder().mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        with (folder() / f"{name}.{split}.tsv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, dialect="excel-tab", lineterminator="\n").writerows(
                (item.path, item.label, item.size, item.sha256) for item in found[split])
    if layout.facts is not None:
        prepared = replace(prepared, facts=layout.facts(prepared))
    data = asdict(prepared) | {"root": str(prepared.root)}
    (folder() / f"{name}.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
    return prepared


def _first(problems: Iterable[str], *lost: Mapping[str, list[str]]) -> str:
    every = [*problems, *(line for by_split in lost for lines in by_split.values() for line in lines)]
    return f" (first of {len(every)} problems: {every[0]})" if every else ""


def _look(root: Path, look: Callable[[Path], None], path: str) -> tuple[str, int, str]:
    """("", size, SHA-256) of a file that can be used; ("missing" or why not, 0, "") of another."""
    try:
        full = inside(root, path)
        if not full.is_file():
            return "missing", 0, ""
        look(full)
        with full.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return "", full.stat().st_size, digest
    except (DataError, OSError) as error:
        return " ".join(str(error).split()), 0, ""


def find(name: str) -> Prepared:
    """A prepared data set; raises `DataError` where it is not, or has missing files that were not allowed."""
    prepared = read(name)
    lost = {split: note for split in SPLITS if (note := prepared.note(split))}
    if lost and os.environ.get(ALLOW_MISSING) != "1":
        raise DataError(f"{name}: {', '.join(lost.values())}; see which with: benchmark data verify, "
                        "or train on the rest with --allow-missing")
    return prepared


def read(name: str) -> Prepared:
    """The catalogue's entry, whatever is missing; raises `DataError` where there is none or it cannot be read."""
    path = folder() / f"{name}.json"
    if not path.is_file():
        raise DataError(f"data set {name} is not prepared; do so with: benchmark data prepare TASK --root DIR")
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache
def _read(path: Path, _modified_ns: int) -> Prepared:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        counts = {str(split): int(count) for split, count in data["counts"].items()}
        return Prepared(str(data["name"]), Path(data["root"]), str(data["digest"]), [str(name) for name in data["classes"]],
                        counts,
                        {str(split): [str(line) for line in lines] for split, lines in data["missing"].items()},
                        {str(split): [str(line) for line in lines] for split, lines in data["unreadable"].items()},
                        dict(data["facts"]), [str(line) for line in data.get("problems", [])])
    except (OSError, ValueError, OverflowError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"catalogue {path} cannot be read ({reason}); prepare the data set again") from error


def items(prepared: Prepared, split: Split) -> list[Item]:
    """The samples of a split; raises `DataError` for a damaged list, a path out of the root, or another number of samples."""
    path = folder() / f"{prepared.name}.{split}.tsv"
    found = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.reader(file, dialect="excel-tab"):
                name, label, size, digest = row
                check_spelling(name)
                found.append(Item(name, label, int(size), digest))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"catalogue {path} cannot be read ({error}); prepare the data set again") from error
    if len(found) != prepared.counts.get(split):
        raise DataError(f"catalogue {path} has {len(found)} lines instead of {prepared.counts.get(split)}; prepare it again")
    return found


def digests(names: Sequence[str]) -> dict[str, str]:
    """The digest of each prepared data set; raises as `find` does."""
    return {name: find(name).digest for name in names}
