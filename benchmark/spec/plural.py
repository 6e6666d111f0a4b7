"""A count and what is counted in, as text of a line out."""

from __future__ import annotations


def counted(count: int, what: str, several: str = "") -> str:
    """E.g. "1 run", "12 runs"; `several` where it is not `what` with an s: "2 copies" """
    return f"{count} {worded(count, what, several)}"


def worded(count: int, what: str, several: str = "") -> str:
    """What is counted alone: "run" of 1, "runs" of any other count"""
    return what if count == 1 else several or f"{what}s"
