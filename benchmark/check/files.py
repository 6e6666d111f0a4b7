"""A task in; files that it reads and that no digest of its data covers, out."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.check.finding import Finding
from benchmark.check.keeping import keeping
from benchmark.records.beside import digest_of
from benchmark.spec.contracts import Task

ENGINE = Path(__file__).parents[2]
SHIPPED = [ENGINE / name for name in ("benchmark", "tasks", "baselines")]
NOT_DATA = [*SHIPPED, *map(Path, {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()}),
            *map(Path, ("/proc", "/sys", "/dev", "/etc", "/usr"))]  # of this suite, of Python and packages, of the system
CODE = {".py", ".pyc", ".pyi", ".so", ".pyd", ".nbi", ".nbc"}  # which other digests cover, or which is made anew
SHOWN = 3
_heard: list[tuple[set[str], set[str]]] = []  # of those who listen: files that were read, and written


@contextmanager
def listening(written: bool = False) -> Iterator[set[str]]:
    """The files that Python opens for reading meanwhile, and no library by itself; of those that were `written` meanwhile, as a
    list that is kept for the next time, none where that is not asked for."""
    _install()
    read: set[str] = set()
    own = (read, set[str]())
    _heard.append(own)
    try:
        yield read
    finally:
        _heard.remove(own)
        if not written:
            read -= own[1]


@functools.cache
def _install() -> None:
    """Once, as it stays for as long as the process"""
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or not _heard or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    mode, flags = arguments[1], arguments[2]
    writes = (isinstance(mode, str) and any(letter in mode for letter in "wax+")) or (
        mode is None and isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) != 0)
    for read, written in _heard:
        (written if writes else read).add(os.path.abspath(os.fsdecode(arguments[0])))


def check_files(task: Task, profile: str, imported: set[str]) -> Iterator[Finding]:
    """Whether what is read, as the task was `imported` and by `load` and `load_pretraining`, is covered by `data_digests`: it
    reads the file, too, or gives its SHA-256. A file of which neither is so may be covered by what was read before.

    Of a task that raises nothing is said, as `check_task` says it.
    """
    try:
        with listening(written=True) as digested:  # a copy that it makes and reads is covered
            digests = set(task.data_digests(profile).values())
        with listening() as loaded:
            kept = keeping(task)  # as most pretrain on what they load
            kept.load(profile)
            if task.pretrained_by is None:
                kept.load_pretraining(profile)
    except Exception:  # of whatever kind
        return
    imported = {path for path in imported if not is_kept_for_its_user(path)}
    files = sorted(path for path in {*imported, *loaded} - digested if is_data(path) and _digest_of(path) not in digests)
    if not files:
        yield Finding("ok", "no file is read that data_digests() does not cover")
        return
    covered = any(map(is_data, digested)) or imported.intersection(files)
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    yield Finding("note" if covered and digests else "error",
                  f"{', '.join(files[:SHOWN])}{more}: read, and neither read by data_digests() nor among what it gives, so "
                  "that results may stay up to date when it is edited; give its SHA-256 there, too")


def is_data(path: str) -> bool:
    """Whether a file that was opened may be data: none of Python, of a package, of this suite or of the system, and no code"""
    file = Path(path)
    if file.parent.suffix in (".egg-info", ".dist-info"):  # of a package that was installed where it is edited
        return False
    return file.suffix not in CODE and file.is_file() and not any(map(file.is_relative_to, NOT_DATA))


def is_kept_for_its_user(path: str) -> bool:
    """Whether a library keeps it in a hidden folder of the home, such as a list of fonts, which it reads as it is imported"""
    home = Path.home()
    return Path(path).is_relative_to(home) and any(part.startswith(".") for part in Path(path).relative_to(home).parts[:-1])


def _digest_of(path: str) -> str:
    """SHA-256; "" where it cannot be read."""
    try:
        return digest_of(path)
    except OSError:
        return ""
