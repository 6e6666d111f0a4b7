"""Official data sets on this machine: where they lie, which files of each split are used, and their digest.

`benchmark data prepare` looks at every file once and writes, into the catalogue folder,

    NAME.json       root, digest, classes, counts, digests of the lists, files that are missing or cannot be read
    NAME.SPLIT.tsv  one line a sample: path below the root, label, bytes, SHA-256, time of change in ns

The catalogue is a folder `data` beside the results, or the environment variable M2PT_DATA. Training reads what is listed
there and nothing else, and compares each file with its line as it reads it, so that the digest says exactly what a result
was made of.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmark.data.embedded import DataError
from benchmark.data.listing import Listing, Root, check_spelling, commonest, counted, inside, passed_over, printable, tidy
from benchmark.data.looking import digest_of, look_at, processes
from benchmark.records.record import write_json, write_whole
from benchmark.spec.recipes import SPLITS, Split

CATALOGUE = "M2PT_DATA"
ALLOW_MISSING = "M2PT_ALLOW_MISSING"
ESCAPES = (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r"))  # the first of them first
EARLIER: Mapping[Split, tuple[Split, ...]] = {"val": ("train",), "test": ("train", "val")}  # none of whose files is in it
CHEAP = 2**20  # bytes of a file whose content is compared at every reading, in less than a millisecond


@dataclass(frozen=True, slots=True)
class Item:
    """One sample that was looked at."""

    path: str
    label: str
    size: int
    sha256: str
    modified: int  # nanoseconds since 1970


@dataclass(frozen=True)
class Layout:
    """One official data set as it is distributed. A reader module lists its own under `LAYOUTS`."""

    name: str  # as in `ProfileSpec.data_sets`
    description: str  # what lies where below ROOT, for people
    enumerate_files: Callable[[Root], Listing]  # raises `DataError` where the lists themselves are missing
    look: Callable[[Path], None]  # raises `DataError` for a file that cannot be used
    facts: Callable[[Prepared], dict[str, Any]] | None = None  # measured over what can be used, such as a mean
    num_classes: int | None = None  # of the whole data set; None where lists do not bring their classes


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
    notes: list[str] = field(default_factory=list)  # what was passed over, and is no fault
    links: bool = False  # whether links lead out of the root
    short: str = ""  # "3 of 1,000 classes", where some are not there
    prefix: str = ""  # what lists of another machine begin their paths with
    lists: dict[str, str] = field(default_factory=dict)  # by split: SHA-256 of NAME.SPLIT.tsv; earlier entries have none
    repeated: dict[str, int] = field(default_factory=dict)  # by split: files that are in one of `EARLIER`, too

    def lost(self, split: Split) -> str:
        """How many files of a split are missing or cannot be read; "" where all are there."""
        missing, unreadable = len(self.missing.get(split, ())), len(self.unreadable.get(split, ()))
        if not missing + unreadable:
            return ""
        whole = self.counts.get(split, 0) + missing + unreadable
        return (f"{missing:,} missing and {unreadable:,} unreadable files of {whole:,}: "
                f"{_percent(missing + unreadable, whole)} % of {split} missing")

    def odd(self) -> str:
        """How many problems the lists have, and the commonest, such as classes that a split lacks; "" without any."""
        count = len(self.problems)
        return f"{count:,} problem{'s' * (count > 1)} of folders and lists ({commonest(self.problems, 1)})" if count else ""

    def shared(self, split: Split) -> str:
        """How many files of a split are in those of `EARLIER`, too; "" where none is."""
        if not (number := self.repeated.get(split, 0)):
            return ""
        return f"{number:,} of {self.counts[split]:,} {split} files are in {' or '.join(EARLIER[split])}, too"

    def note(self, split: Split) -> str:
        """What readers of a result should know of a split; "" where all is there. Problems of lists are every split's: what
        is tested depends on what was trained."""
        return "; ".join(filter(None, (self.lost(split), self.odd(), self.shared(split), self.short)))

    def faults(self, split: Split | None = None) -> list[str]:
        """Every fault, or those of the files of one split, as "file: why" """
        chosen = SPLITS if split is None else (split,)
        return [*(self.problems if split is None else ()),
                *(f"{path}: missing" for name in chosen for path in self.missing.get(name, ())),
                *(line for name in chosen for line in self.unreadable.get(name, ()))]


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.2g}" if share < 99.5 else f"{share:.0f}"


def folder() -> Path:
    """The catalogue's folder."""
    return Path(os.environ.get(CATALOGUE) or "data")


def prepare(layout: Layout, root: Path, jobs: int = 1, say: Callable[[str], None] = lambda line: None, *,
            prefix: str = "", links: bool = False) -> Prepared:
    """Look at every file of a data set, see `inspect`, and write the catalogue's entry.

    Raises `DataError` as `inspect` does, and before anything is read where the catalogue cannot be written. Where it is
    interrupted while lists are written, the data set is not prepared: no earlier entry stands beside lists of a later one.
    """
    with _writing():
        folder().mkdir(parents=True, exist_ok=True)
        write_whole(folder() / ".writable", b"")
        (folder() / ".writable").unlink(missing_ok=True)
    try:
        prepared, found = inspect(layout, root, jobs, say, prefix=prefix, links=links)
    except BaseException:
        with suppress(OSError):  # of a catalogue with entries
            folder().rmdir()
        raise
    entry = folder() / f"{layout.name}.json"
    with _writing():
        entry.unlink(missing_ok=True)
        lists: dict[str, str] = {}
        for split in SPLITS:
            lines = ("\t".join((escape(item.path), item.label, str(item.size), item.sha256, str(item.modified)))
                     for item in found[split])
            text = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
            write_whole(folder() / f"{layout.name}.{split}.tsv", text)
            lists[split] = hashlib.sha256(text).hexdigest()
    prepared = replace(prepared, lists=lists)
    if layout.facts is not None:
        prepared = replace(prepared, facts=layout.facts(prepared))
    with _writing():
        write_json(entry, json.dumps(asdict(prepared) | {"root": str(prepared.root)}, indent=1))
    return prepared


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"the catalogue's folder {folder()} cannot be written to ({error.strerror}); name another with the "
                        f"environment variable {CATALOGUE}") from error


def inspect(layout: Layout, root: Path, jobs: int = 1, say: Callable[[str], None] = lambda line: None, *,
            prefix: str = "", links: bool = False) -> tuple[Prepared, dict[Split, list[Item]]]:
    """Look at every file of a data set, `jobs` at once; what is there, and the samples that can be used.

    `prefix` is what lists of another machine begin their paths with; `links` may lead out of the root. Raises `DataError`
    where `root` is no folder, its lists are missing, no file of train or test can be used, there are too many classes, or a
    process that looks at files is killed.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder; give the data set's with --root")
    name, listing = layout.name, layout.enumerate_files(Root(root, prefix, links))
    short = _compare_classes(layout, listing)
    found: dict[Split, list[Item]] = {}
    missing: dict[str, list[str]] = {}
    unreadable: dict[str, list[str]] = {}
    look = functools.partial(look_at, root, links, layout.look)
    with processes(jobs, f"-j, now {jobs}") as pool:
        for split in SPLITS:
            entries, dropped = tidy(listing.splits.get(split, []), split)
            listing.notes += dropped
            listed = Counter(entry.path for entry in entries)  # no line repeats another
            if twice := [f"{printable(path)}: listed twice, with other labels" for path in listed if listed[path] > 1]:
                unreadable[split] = twice
            entries = [entry for entry in entries if listed[entry.path] == 1]
            found[split] = []
            results = pool.map(look, [entry.path for entry in entries], chunksize=16)
            for number, (entry, (state, size, digest, modified)) in enumerate(zip(entries, results, strict=True), 1):
                shown = printable(entry.path)
                if state == "":
                    found[split].append(Item(entry.path, entry.label, size, digest, modified))
                elif state == "missing":
                    missing.setdefault(split, []).append(shown)
                else:
                    unreadable.setdefault(split, []).append(f"{shown}: {state}")
                if number % 10_000 == 0:
                    say(f"{name} {split}: {number:,} of {len(entries):,} files looked at")
    repeated: dict[str, int] = {}
    for split, before in EARLIER.items():
        seen = {item.sha256 for other in before for item in found[other]}
        shared = [item.path for item in found[split] if item.sha256 in seen]
        listing.notes += counted(f"{split}: files whose content is in {' or '.join(before)}, too", shared)
        repeated |= {split: len(shared)} if shared else {}
    rows = [(split, item) for split in SPLITS for item in found[split]]
    text = "\n".join(f"{split}\t{item.path}\t{item.label}\t{item.sha256}" for split, item in rows)
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    counts: dict[str, int] = {split: len(found[split]) for split in SPLITS}
    prepared = Prepared(name, root.resolve(), digest, [printable(label) for label in listing.classes], counts, missing,
                        unreadable, {}, listing.problems, listing.notes, links, short, prefix, repeated=repeated)
    if not found["train"] or not found["test"]:
        faults = prepared.faults()
        told = f" ({len(faults):,} faults: {commonest(faults)})" if len(faults) > 1 else f" ({faults[0]})" if faults else ""
        raise DataError(f"{name} under {root} has {counts['train']} training and {counts['test']} test files that can "
                        f"be read{told}; see its layout with: benchmark data list")
    return prepared, found


def _compare_classes(layout: Layout, listing: Listing) -> str:
    """What is noted where there are fewer classes than the whole data set has; raises `DataError` where there are more."""
    there, whole = len(listing.classes), layout.num_classes
    if whole is None or there == whole:
        return ""
    if there > whole:
        (told,) = passed_over("more", listing.classes)
        raise DataError(f"{layout.name} has {whole:,} classes, and there are {there:,} {told.partition(': ')[2]}; "
                        "move what is no class out of the folder")
    return f"{there:,} of {whole:,} classes"


def escape(path: str) -> str:
    """A path in one field of one line"""
    for sign, name in ESCAPES:
        path = path.replace(sign, name)
    return path


def unescape(text: str) -> str:
    """The path that `escape` made this of"""
    names = {name: sign for sign, name in ESCAPES}
    return re.sub(r"\\.", lambda found: names.get(found[0], found[0]), text)


def checked(prepared: Prepared, item: Item, cheap: int = CHEAP) -> Path:
    """The file of an item; raises `DataError` naming it where it is not the one that was prepared.

    Size and time are compared at every reading; the content of a file of up to `cheap` bytes, or whose time is another, as
    that of a copy is. The content of all is compared by `benchmark data verify`.
    """
    path = inside(prepared.root, item.path, prepared.links)
    try:
        state = path.stat()
        same = state.st_size == item.size
        if same and (state.st_size <= cheap or state.st_mtime_ns != item.modified):
            same = digest_of(path) == item.sha256
    except OSError as error:
        raise DataError(f"{printable(path)} cannot be read ({error.strerror}); prepare the data set again") from error
    if not same:
        raise DataError(f"{printable(path)} has changed since it was prepared; put it back, or prepare the data set again")
    return path


def find(name: str) -> Prepared:
    """A prepared data set; raises `DataError` where it is not, or has faults and these were not allowed."""
    prepared = read(name)
    lost = {split: note for split in SPLITS if (note := prepared.lost(split))}
    if prepared.faults() and os.environ.get(ALLOW_MISSING) != "1":
        files = [line for split in SPLITS for line in prepared.faults(split)]
        told = [f"{', '.join(lost.values())} ({commonest(files)})"] if files else []
        raise DataError(f"{name}: {'; '.join(filter(None, (*told, prepared.odd())))}; see which with: benchmark data verify, "
                        "or train on the rest with --allow-missing")
    for split in lost:
        if not prepared.counts.get(split):
            raise DataError(f"{name}: no file of {split} can be used ({commonest(prepared.faults(split))}), so there is "
                            "nothing to measure it on; --allow-missing needs some of every split")
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
                        dict(data["facts"]), [str(line) for line in data["problems"]], [str(line) for line in data["notes"]],
                        data["links"] is True, str(data["short"]), str(data.get("prefix", "")),
                        {str(split): str(digest) for split, digest in data.get("lists", {}).items()},
                        {str(split): int(count) for split, count in data.get("repeated", {}).items()})
    except (OSError, ValueError, OverflowError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"catalogue {path} cannot be read ({reason}); prepare the data set again") from error


def items(prepared: Prepared, split: Split) -> list[Item]:
    """The samples of a split; raises `DataError` for a list that is damaged or of another `prepare`, and a path out of the
    root."""
    path = folder() / f"{prepared.name}.{split}.tsv"
    found = []
    try:
        text = path.read_bytes()
        for row in text.decode("utf-8", "surrogateescape").split("\n")[:-1]:
            name, label, size, digest, modified = row.split("\t")
            name = unescape(name)
            check_spelling(name)
            found.append(Item(name, sys.intern(label), int(size), digest, int(modified)))
    except (OSError, ValueError) as error:
        raise DataError(f"catalogue {path} cannot be read ({error}); prepare the data set again") from error
    if (expected := prepared.lists.get(split)) and hashlib.sha256(text).hexdigest() != expected:
        raise DataError(f"catalogue {path} is not the list that belongs to {prepared.name}.json; prepare the data set again")
    if len(found) != prepared.counts.get(split):
        raise DataError(f"catalogue {path} has {len(found)} lines instead of {prepared.counts.get(split)}; prepare it again")
    return found


def digests(names: Sequence[str]) -> dict[str, str]:
    """The digest of each prepared data set; raises as `find` does."""
    return {name: find(name).digest for name in names}
