"""A data folder and its lists in, the samples of each split out, before any file of them is opened.

What the readers of official data sets share: text of lists, names of files, leftovers of other software.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from benchmark.data.embedded import DataError
from benchmark.spec.recipes import Split

VALIDATION_SHARE = 0.05  # of the training samples, where a data set has no validation split of its own
LEFTOVERS = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found",
             "system volume information"}
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
SHOWN = 3  # names in a note
INSTEAD = (  # first bytes, in lower case: what it is, and what to do
    ((b"version https://git-lfs",), "it is a pointer of Git LFS; fetch the file itself with git lfs pull"),
    ((b"<!doctype html", b"<html"), "it is a page of the web, as a download without permission leaves it"),
    ((b"\x1f\x8b", b"pk\x03\x04", b"7z\xbc\xaf", b"rar!", b"bzh", b"\xfd7zxz", b"\x28\xb5\x2f\xfd"),
     "it is an archive; unpack it first"))
BRANDS = {b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1", b"ftypavif", b"ftypavis"}
NETPBM = (b"p1", b"p2", b"p3")  # pictures that are text


@dataclass(frozen=True)
class Root:
    """A data folder, how lists of another machine named it (`prefix`), and whether links may lead out of it."""

    path: Path
    prefix: str = ""
    links: bool = False

    def below(self, path: str) -> str:
        """A list's path as an entry has it; an absolute one that leads elsewhere stays, for `inside` to refuse.

        Backslashes part folders, as in lists of Windows, unless there is a file that has them in its name.
        """
        prefix = self.prefix
        if "\\" in path and "/" not in path and "\0" not in path and not (self.path / path).exists():
            path, prefix = path.replace("\\", "/"), prefix.replace("\\", "/")
        pure = PurePosixPath(path)
        bases = [PurePosixPath(prefix)] if prefix else []
        for base in (*bases, self.path.absolute(), self.path.resolve()):
            if pure.is_relative_to(base):
                pure = pure.relative_to(base)
                break
        return str(pure)

    def inside(self, path: str) -> Path:
        """See `inside`."""
        return inside(self.path, path, self.links)


@dataclass(frozen=True)
class Entry:
    """One sample of a split as its list names it."""

    path: str  # below the root, with forward slashes
    label: str = ""  # as the task writes it: a class index, or several separated by commas


@dataclass
class Listing:
    """What a layout's lists say, before any file is opened."""

    splits: dict[Split, list[Entry]]
    classes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # of the lists themselves
    notes: list[str] = field(default_factory=list)  # what was passed over, and is no fault


def check_spelling(path: str) -> None:
    """Raises `DataError` for a path that leaves any root by its spelling, or that no file can have."""
    pure = PurePosixPath(path)
    absolute = pure.is_absolute() or re.match(r"[A-Za-z]:/", path) is not None
    if absolute or ".." in pure.parts or not path or "\0" in path:
        hint = "; where lists are of another machine, prepare with --strip-prefix" if absolute else ""
        raise DataError(f"{path!r} leads out of the data folder; lists name files below it{hint}")
    try:
        path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise DataError(f"{path!r} is no name that a file can have: {error.reason}") from error


def inside(root: Path, path: str, links: bool = False) -> Path:
    """`root`/`path`; raises `DataError` for a path that leaves the root, unless `links` may lead out of it."""
    check_spelling(path)
    full = root / path
    try:
        if not links and not full.resolve().is_relative_to(root.resolve()):
            raise DataError(f"{path!r} is a link out of the data folder {root}; put the file itself there, or prepare with "
                            "--follow-links")
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path!r} cannot be followed: {error}") from error
    return full


def read_text(path: Path) -> str:
    """The text of a list, without a byte-order mark. Bytes that are no UTF-8 are kept as names of files have them.

    Raises `OSError` where there is no such file and `UnicodeDecodeError` for broken UTF-16.
    """
    data = path.read_bytes()
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return data[len(mark):].decode(encoding, "surrogateescape")
    return data.decode("utf-8", "surrogateescape")


def parse_json(text: str) -> Any:
    """What a text of JSON says; raises `ValueError` for keys that are given twice, too, of which the last would win."""
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise ValueError(f"{name!r} is given twice")
        return made

    return json.loads(text, object_pairs_hook=distinct)


def found_instead(path: Path) -> str:
    """See `found_in`, of a file"""
    try:
        with path.open("rb") as file:
            return found_in(file.read(512))
    except OSError:
        return ""


def found_in(head: bytes) -> str:
    """What begins so, of what downloads, phones and archives leave in the place of data; "" where it is none of these."""
    begin = head.lstrip().lower()
    other = next((what for starts, what in INSTEAD if begin.startswith(starts)), "")
    if other or begin.startswith(NETPBM):
        return other
    if not begin.strip(b"\0"):
        return "it is nothing but zeros, as a copy that stopped leaves it" if begin else "it is empty or blank"
    if begin[4:12] in BRANDS:
        return "it is a picture of HEIC or AVIF; write it anew as JPEG or PNG"
    text = " ".join(head.decode("utf-8-sig", "replace" if len(head) == 512 else "backslashreplace").split())
    return f"it is text, which begins with {text[:60]!r}" if text[:60].isprintable() and head.isascii() else ""


def printable(text: object) -> str:
    """One line that any screen and any record takes: line breaks and bytes that are no text are spelled out."""
    plain = str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in plain)


def is_leftover(path: str) -> bool:
    """Whether a path has a part that no data set names: hidden, or what file managers and archives leave behind."""
    return any((part.startswith(".") and part not in {".", ".."}) or part.lower() in LEFTOVERS
               for part in PurePosixPath(path).parts)


def tidy(entries: Sequence[Entry], where: str) -> tuple[list[Entry], list[str]]:
    """Entries without leftovers of other software and without exact repeats, and what was dropped."""
    kept = [entry for entry in entries if not is_leftover(entry.path)]
    distinct = list(dict.fromkeys(kept))
    counts = Counter(kept)
    return distinct, [*passed_over(f"{where}: leftovers of other software", (e.path for e in entries if is_leftover(e.path))),
                      *passed_over(f"{where}: lines that repeat another", (
                          entry.path for entry in distinct for _ in range(counts[entry] - 1)))]


def passed_over(what: str, names: Iterable[str]) -> list[str]:
    """One line that counts what was passed over and names the first of them; none where nothing was."""
    return counted(f"{what}, passed over", names)


def counted(what: str, names: Iterable[str]) -> list[str]:
    """One line that counts what there is and names the first of them; none where there is nothing."""
    found = list(names)
    if not found:
        return []
    more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    return [f"{what}: {len(found):,} ({', '.join(map(printable, found[:SHOWN]))}{more})"]


def one_sided(train: Iterable[Entry], test: Iterable[Entry], classes: Sequence[str]) -> list[str]:
    """Problems of lists: each class that has samples to train on and none to test on, or the other way round.

    Samples without a class are passed over, and so are lists that have no other: they are for pretraining. So are samples that
    are listed with several, which are not used.
    """
    trained, tested = map(_used_labels, (train, test))
    return [f"class {printable(classes[label])} is in {'train' if label in trained else 'test'} and not in "
            f"{'test' if label in trained else 'train'}" for label in sorted(trained ^ tested) if trained and tested]


def _used_labels(entries: Iterable[Entry]) -> set[int]:
    labels: dict[str, set[str]] = {}
    for entry in entries:
        labels.setdefault(entry.path, set()).add(entry.label)
    return {int(label) for several in labels.values() if len(several) == 1 for label in several if label.isdecimal()}


def carve_validation(entries: Sequence[Entry], share: float = VALIDATION_SHARE) -> tuple[list[Entry], list[Entry]]:
    """(train, val): a sample is validation where the hash of its path says so, whatever else is in the list.

    At least one is, where there are two.
    """
    places = {entry.path: int(hashlib.sha256(entry.path.encode(errors="backslashreplace")).hexdigest()[:8], 16) / 2**32
              for entry in entries}
    limit = max(share, min(places.values()) * (1 + 1e-9) if len(places) > 1 else 0.0)
    return ([entry for entry in entries if places[entry.path] >= limit],
            [entry for entry in entries if places[entry.path] < limit])


def commonest(faults: Iterable[str], most: int = 3) -> str:
    """The commonest kinds of faults, lines "file: why", with their counts; the one reason where there is one fault."""
    lines = list(faults)
    if len(lines) < 2:
        return "".join(lines)
    whys = [why.replace(name, "it") or name for name, _, why in (line.partition(": ") for line in lines)]
    kinds = Counter(re.sub(r"\d+", "N", why) for why in whys)
    alone = {re.sub(r"\d+", "N", why): why for why in whys}
    others = len(lines) - sum(count for _, count in kinds.most_common(most))
    return "; ".join([*(f"{count:,} x {kind if count > 1 else alone[kind]}" for kind, count in kinds.most_common(most)),
                      *([f"{others:,} others"] if others else [])])
