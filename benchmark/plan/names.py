"""Names and numbers as they are typed, in; which known ones are meant, or what is wrong with them, out. No torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST_SEEDS, MOST_DIGITS = 100_000, 15


def nearest(name: str, known: Iterable[str]) -> str:
    """ "did you mean X? known: ..." for an error message"""
    names = list(known)
    lower = {known.lower(): known for known in reversed(names)}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    hint = f"did you mean {lower[close[0]]!r}? " if close else ""
    return f"{hint}known: {', '.join(names)}"


def pick(names: Sequence[str] | None, known: Mapping[str, Any], what: str) -> list[str]:
    """Check names (each may hold several, separated by commas) against what is known; None picks nothing."""
    chosen = [name for text in names or () for name in map(str.strip, text.split(",")) if name]
    for name in chosen:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}; {nearest(name, known)}")
    return chosen


def parse_seeds(text: str, place: str = "--seeds") -> list[int]:
    """ "0-2,5" -> [0, 1, 2, 5]; `place`, where it stands, begins messages"""
    seeds: list[int] = []
    for part in map(str.strip, text.split(",")):
        low, dash, high = map(str.strip, part.partition("-"))
        if not low.isdecimal() or (dash and not high.isdecimal()) or max(len(low), len(high)) > MOST_DIGITS:
            raise ValueError(f"{place} {text[:80]}: expected numbers and ranges such as 0-2,5")
        if int(high or low) - int(low) + len(seeds) > MOST_SEEDS:
            raise ValueError(f"{place} {text[:80]}: more than {MOST_SEEDS} seeds")
        if dash and int(high) < int(low):
            raise ValueError(f"{place} {text[:80]}: {low}-{high} runs backwards; write {high}-{low}")
        seeds += range(int(low), int(high or low) + 1)
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"{place} {text}: names no seed, or one twice")
    return seeds
