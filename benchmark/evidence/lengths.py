"""Finished runs in, how long runs of their kind take out. Light, as whoever submits jobs asks it, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from benchmark.records.record import Record
from benchmark.spec.recipes import PretrainRecipe
from benchmark.spec.runspec import RunSpec


def known_lengths(records: Iterable[Record], *, of_all_processes: bool = False) -> dict[tuple[object, ...], list[float]]:
    """Seconds of finished runs, by `length_of` their specs; `of_all_processes`: each of those that shared a run had its own"""
    known: dict[tuple[object, ...], list[float]] = {}
    for record in records:
        if "wall" in record.seconds:
            sharing = (record.environment.processes or (1,))[-1] if of_all_processes else 1
            known.setdefault(length_of(record.spec), []).append(record.seconds["wall"] * sharing)
    return known


def length_of(spec: RunSpec) -> tuple[object, ...]:
    """What runs that take about equally long have in common"""
    recipe = spec.recipe
    return (spec.task, spec.kind, spec.profile, spec.setting, spec.limit, recipe.repeats, epochs_run(spec),
            spec.auxiliary is None)


def epochs_run(spec: RunSpec) -> int:
    """Epochs after which a run ends: fewer than those of its schedule where it is to stop before"""
    recipe = spec.recipe
    return recipe.stop_epoch or recipe.epochs if isinstance(recipe, PretrainRecipe) else recipe.epochs


def expected_length(known: Mapping[tuple[object, ...], Sequence[float]], spec: RunSpec) -> float | None:
    """Seconds of a run, from `known_lengths`; of one that stops early, if need be, its part of those of the whole schedule.
    None where neither has run."""
    if (key := length_of(spec)) in known:
        return fmean(known[key])
    if isinstance(spec.recipe, PretrainRecipe) and spec.recipe.stop_epoch is not None:
        whole = length_of(spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"stop_epoch": None})}))
        if whole in known:
            return fmean(known[whole]) * epochs_run(spec) / spec.recipe.epochs
    return None
