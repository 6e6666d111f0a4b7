"""Text out to whatever reads it: a terminal, a pipe, a log.

Signs that the encoding has not are written plainly, and are never a reason to stop.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

PLAIN = {"✓": "v", "✗": "x", "▸": ">", "⋯": "~", "·": ".", "\u00d7": "x", "±": "+-", "\u2212": "-", "\u2013": "-",
         "\u2014": "-", "→": "->", "≥": ">=", "≤": "<=", "≈": "~", "\u2019": "'", "…": "..."}
HANDLER = "benchmark.plain"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # of a terminal: colours and the like


def write_plainly() -> None:
    """Let standard output and error take any text from here on."""
    codecs.register_error(HANDLER, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What stands for the signs at fault: "?", where nothing like them is known"""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


class Log(io.TextIOBase):
    """A file of lines, each with the time of this machine before it."""

    def __init__(self, file: TextIO):
        self.file, self.at_start = file, True

    def write(self, text: str) -> int:
        """Without a terminal's colours"""
        for line in CONTROL.sub("", text).splitlines(keepends=True):
            if self.at_start and line.strip():
                self.file.write(time.strftime("%Y-%m-%d %H:%M:%S "))
            self.file.write(line)
            self.at_start = line.endswith("\n")
        self.file.flush()
        return len(text)


class Both(io.TextIOBase):
    """What is printed, to the screen, unless it is to be quiet, and to a log, where there is one."""

    def __init__(self, screen: TextIO, quiet: bool, log: Log | None):
        self.screen, self.quiet, self.log = screen, quiet, log

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The screen's"""
        return self.screen.encoding

    def write(self, text: str) -> int:
        """To both"""
        if self.log is not None:
            self.log.write(text)
        return len(text) if self.quiet else self.screen.write(text)

    def flush(self) -> None:
        """Of the screen; the log is after each line"""
        self.screen.flush()

    def isatty(self) -> bool:
        """Whether somebody watches"""
        return self.screen.isatty() and not self.quiet

    def fileno(self) -> int:
        """The screen's"""
        return self.screen.fileno()


@contextmanager
def directed(quiet: bool, log: Path | None, command: str) -> Iterator[None]:
    """Let what is printed in the block go to a log, too, and on no screen where it is to be quiet.

    Raises `ValueError` for a log that cannot be written.
    """
    if not quiet and log is None:
        yield
        return
    try:
        file = None if log is None else log.open("a", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"--log {log} cannot be written ({error.strerror})") from error
    before, kept = sys.stdout, None if file is None else Log(file)
    sys.stdout = Both(before, quiet, kept)
    try:
        if kept is not None:
            kept.write(f"{command}\n")
        yield
    except BaseException as error:
        if kept is not None:
            kept.write(f"ended by {type(error).__name__}: {error}\n")
        raise
    finally:
        sys.stdout = before
        if file is not None:
            file.close()


def log_and_screen() -> tuple[Log | None, TextIO | None]:
    """The log of the command that is being carried out, if it has one, and then what is no log of standard output"""
    return (sys.stdout.log, sys.stdout.screen) if isinstance(sys.stdout, Both) else (None, None)
