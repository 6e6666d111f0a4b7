"""What a run and its baseline said of every test sample in; which samples changed sides, and arms that change none, out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark.evidence.pairing import Run, pair_records
from benchmark.evidence.sections import conditions_of
from benchmark.records.outputs import FILE, read_outputs
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.spec.runspec import RunSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

PREDICTIONS = ("predicted", "score", "correct")  # of the arrays of outputs, those that say what the model answers
SHOWN = 0.01  # share of a shape's points: less is no change of sides


@dataclass(frozen=True)
class Change:
    """A test sample on which a run and its baseline differ."""

    sample: int  # its place in the test split
    gained: bool  # whether the run is right where its baseline is wrong, or more often so
    said: str  # the true answer, the baseline's and the run's


def changes_of(ours: Arrays, theirs: Arrays, names: Sequence[str] = ()) -> list[Change]:
    """Every sample that changed sides from the baseline (`theirs`) to the run (`ours`), in the order of the split.

    Of one label: right on one side alone. Of tags: a score on the other side of 0. Of points: another share that is right.
    `names` are of classes or tags, in the order of labels; without them their numbers are said.
    """
    if "predicted" in ours:
        called = dict(enumerate(names))
        return [Change(place, bool(now == true), f"is {called.get(true, true)}: {called.get(was, was)} -> "
                       f"{called.get(now, now)}")
                for place, (true, was, now) in enumerate(zip(ours["label"].tolist(), theirs["predicted"].tolist(),
                                                             ours["predicted"].tolist(), strict=True))
                if (was == true) != (now == true)]
    if "score" in ours:
        return [change for place in range(len(ours["score"])) if (change := _of_tags(place, ours, theirs, names)) is not None]
    return [Change(place, now > was, f"{100 * was:.0f} -> {100 * now:.0f} % of points right")
            for place, (was, now) in enumerate(zip(theirs["correct"].tolist(), ours["correct"].tolist(), strict=True))
            if abs(now - was) >= SHOWN]


def _of_tags(place: int, ours: Arrays, theirs: Arrays, names: Sequence[str]) -> Change | None:
    """None where every tag is on the side where it was"""
    true = ours["label"][place]
    was, now = (arrays["score"][place] > 0 for arrays in (theirs, ours))
    tags = (was != now).nonzero()[0].tolist()
    right = sum(1 if now[tag] == true[tag] else -1 for tag in tags)
    called = dict(enumerate(names))
    said = "; ".join(f"{called.get(tag, f'tag {tag}')} {'on' if now[tag] else 'off'}, "
                     f"{'right' if now[tag] == true[tag] else 'wrong'}" for tag in tags)
    return Change(place, right > 0, said) if tags else None


def baseline_of(run: Record, records: Iterable[Record]) -> Record | None:
    """The run that the report compares a run with; None where there is none."""
    paired = pair_records(records)
    return next((other.record for own, other in paired.baseline_of.items() if own.record.run_id == run.run_id), None)


def unchanged_cells(by_store: Iterable[tuple[Store, Iterable[Record]]], equal: Collection[str] = ()) -> dict[str, int]:
    """Cells whose answers are the baseline's on every sample and seed, each with how many seeds that is.

    Of runs that left what they said, each compared with the baseline in its own folder; arms that are to be `equal` to their
    baseline are left out. A cell is judged in each profile and under each condition by itself, and named with these.
    """
    same: dict[tuple[str, str], dict[int, bool]] = {}
    compared: list[Run] = []
    for store, records in by_store:
        paired = pair_records(record for record in records if record.spec.limit is None)
        compared += paired.baseline_of
        for run, baseline in paired.baseline_of.items():
            if run.spec.arm in equal or not _has_outputs(store, run) or not _has_outputs(store, baseline):
                continue
            found = same.setdefault((run.comparison, run.spec.cell), {})
            if all(found.values()):  # else one seed has shown a difference already
                found[run.spec.seed] = _answers_alike(store, run, baseline)
    named = _names_of(compared)
    return {named[place]: len(found) for place, found in same.items() if all(found.values())}


def _names_of(runs: Iterable[Run]) -> dict[tuple[str, str], str]:
    """By comparison and cell: the cell with its profile, and where that has several, with what others of it have not"""
    places: dict[str, dict[str, RunSpec]] = {}
    for run in runs:
        places.setdefault(run.spec.cell, {}).setdefault(run.comparison, run.spec)
    names = {}
    for cell, specs in places.items():
        for comparison, spec in specs.items():
            ours = conditions_of(spec)
            beside = [conditions_of(other) for other in specs.values() if other.profile == spec.profile]
            names[comparison, cell] = ", ".join([
                cell, f"profile {spec.profile}",
                *(f"{key}={value}" for key, value in ours.items() if any(other.get(key) != value for other in beside))])
    return names


def _has_outputs(store: Store, run: Run) -> bool:
    return (store.folder_of(run.record) / FILE).is_file()


def _answers_alike(store: Store, run: Run, baseline: Run) -> bool:
    import numpy as np

    try:
        ours, theirs = (read_outputs(store.folder_of(each.record) / FILE) or {} for each in (run, baseline))
    except ValueError:  # damaged, which the report names where it reads secondary endpoints
        return False
    return all(name in theirs and np.array_equal(ours[name], theirs[name]) for name in PREDICTIONS if name in ours)
