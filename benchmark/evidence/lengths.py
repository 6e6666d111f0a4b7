"""Finished runs in, how long runs of their kind take out. Light, as whoever submits jobs asks it, too."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.records.record import Record
from benchmark.spec.runspec import RunSpec


def known_lengths(records: Iterable[Record]) -> dict[tuple[object, ...], list[float]]:
    """Seconds of finished runs, by `length_of` their specs"""
    known: dict[tuple[object, ...], list[float]] = {}
    for record in records:
        if "wall" in record.seconds:
            known.setdefault(length_of(record.spec), []).append(record.seconds["wall"])
    return known


def length_of(spec: RunSpec) -> tuple[object, ...]:
    """What runs that take about equally long have in common"""
    return (spec.task, spec.kind, spec.profile, spec.setting, spec.limit, spec.recipe.epochs, spec.auxiliary is None)
