"""What runs left beside their records in, which of these files are gone or others now out.

To read the files of thousands of runs takes seconds. So their digests are kept in RESULTS/work/beside.json, and a file is read
again when it is another one: other inode, size or time of its last change.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic_core import from_json, to_json

from benchmark.records.record import write_whole

MANY = 1000  # files: so many take a second to read
KEPT = "beside.json"
Mark = tuple[int, int, int]  # inode, size in bytes, time of the last change in ns: of one file, one version


def altered_beside(folder: Path, beside: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Of the files that runs of a results folder left beside their records, those that are gone or others now, and which of the
    two, by run and name. `beside`: their SHA-256 as `Record.beside` has them, by run."""
    many = sum(map(len, beside.values())) >= MANY
    kept = _load(folder) if many else {}
    seen = {}
    found: dict[str, dict[str, str]] = {}
    for run, digests in beside.items():
        for name, digest in digests.items():
            path = f"{folder}/runs/{run}/{name}"
            try:
                mark = mark_of(path)
                known = kept.get(f"{run}/{name}")
                seen[f"{run}/{name}"] = known if known is not None and known[0] == mark else (mark, digest_of(path))
                if seen[f"{run}/{name}"][1] != digest:
                    found.setdefault(run, {})[name] = "is not what the run left"
            except OSError as error:
                gone = isinstance(error, FileNotFoundError | NotADirectoryError)
                found.setdefault(run, {})[name] = "is gone" if gone else f"cannot be read ({error.strerror})"
    if many and any(kept.get(place) != value for place, value in seen.items()):
        _keep(folder, kept | seen)
    return found


def mark_of(path: str) -> Mark:
    """Raises `OSError`."""
    state = os.stat(path)
    return (state.st_ino, state.st_size, state.st_mtime_ns)


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file; raises `OSError`."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load(folder: Path) -> dict[str, tuple[Mark, str]]:
    try:
        held = from_json((folder / "work" / KEPT).read_bytes())
        return {str(place): ((inode, size, changed), str(digest)) for place, ((inode, size, changed), digest) in held.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _keep(folder: Path, digests: Mapping[str, tuple[Mark, str]]) -> None:
    if not (folder / "work").is_dir():  # a folder in which nothing is computed is left as it is
        return
    try:
        write_whole(folder / "work" / KEPT, to_json(digests), lasting=False)
    except OSError:  # they are read anew then
        return
