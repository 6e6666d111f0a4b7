"""Text out to whatever reads it: signs that its encoding has not are written plainly, never a reason to stop."""

from __future__ import annotations

import codecs
import io
import sys

PLAIN = {"✓": "v", "✗": "x", "▸": ">", "⋯": "~", "·": ".", "\u00d7": "x", "±": "+-", "\u2212": "-", "\u2013": "-",
         "\u2014": "-", "→": "->", "≥": ">=", "≤": "<=", "≈": "~", "\u2019": "'", "…": "..."}
HANDLER = "benchmark.plain"


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
