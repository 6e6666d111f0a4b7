"""A file of a data set in, whether it can be used out, or why not; by several processes, of which one may be killed."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from benchmark.data.embedded import DataError
from benchmark.data.listing import inside, printable


@contextmanager
def processes(count: int, option: str) -> Iterator[ProcessPoolExecutor]:
    """Processes that read files; raises `DataError`, which names the `option` of their number, where one of them is killed."""
    try:
        with ProcessPoolExecutor(count, initializer=_use_one_thread) as pool:
            yield pool
    except BrokenProcessPool as error:
        raise DataError("a process that reads files was killed, as where memory runs out; use fewer of them, or a machine with "
                        f"more memory ({option})") from error


def _use_one_thread() -> None:
    """Several processes have the cores; and one that is forked from a process whose torch has computed with several threads
    would wait for threads that it has not."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


def look_at(root: Path, links: bool, look: Callable[[Path], None], path: str) -> tuple[str, int, str, int]:
    """("", size, SHA-256, time) of a file that can be used; ("missing" or why not, 0, "", 0) of another."""
    try:
        full = inside(root, path, links)
        if not full.is_file():
            return printable(_why_no_file(full)), 0, "", 0
        before = full.stat()
        look(full)
        digest, after = digest_of(full), full.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            return "is being written to", 0, "", 0
        return "", after.st_size, digest, after.st_mtime_ns
    except Exception as error:  # whatever a library does not expect is one file's fault: the others are looked at
        expected = isinstance(error, (DataError, OSError)) and str(error)
        said = (expected or f"{type(error).__name__}: {error}").replace(str(root / path), printable(path))
        return printable(" ".join(said.split())), 0, "", 0


def _why_no_file(path: Path) -> str:
    """What is in the place of a file, and what to do; "missing" where nothing is."""
    if path.is_symlink():
        return f"is a link to {os.readlink(path)}, which is not there; put the file itself in its place"
    if path.exists():
        return f"is {'a folder' if path.is_dir() else 'a device or a pipe'} and no file; remove it, or correct the list"
    other = _spellings(path.parent).get(_spelling(path.name))
    return "missing" if other is None else (f"is not there, and {other!r} is, which is spelled in other letters; rename it or "
                                            "correct the list")


def _spelling(name: str) -> str:
    """What is equal for names that file systems of Windows and macOS take for one"""
    return unicodedata.normalize("NFC", name).casefold()


@functools.lru_cache(maxsize=16)
def _spellings(folder: Path) -> dict[str, str]:
    try:
        return {_spelling(name): name for name in os.listdir(folder)}
    except OSError:
        return {}


def digest_of(path: Path) -> str:
    """SHA-256 of a file"""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
