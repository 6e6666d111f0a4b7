"""What pathways were worth to the loss, layer by layer, in; how far A points where it is of use, before and after its units are
put in order, and the gain that doses of a known solution predict of it, out. No torch.

Of use is the way that the loss of the first batch falls (its gradient G before any step), which is the same for all arms of a
seed, as pathways begin at 0; and what training changes. A scale may have either sign, so cosines count by their size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean

import pandas as pd

from benchmark.evidence.collect import Collection
from benchmark.evidence.equal import ARM
from benchmark.evidence.frames import rows_of
from benchmark.evidence.pairing import Run
from benchmark.plan.study import Study
from benchmark.records.record import Record
from benchmark.records.signed import FILE, Signed, read_signed
from benchmark.records.store import Store

DIRECTION_COLUMNS = [*ARM, "layer", "runs", "start", "change"]
PREDICTED_COLUMNS = [*ARM, "runs", "start", "change", "predicted", "n", "difference", "low", "high", "p"]
WHOLE = ""  # in place of a layer: all of them


def arms_beside(study: Study) -> tuple[str, ...]:
    """The method, the arms that are compared with it, and the rivals of these; none where no arm is."""
    held = [arm for arm, others in study.beside.items() if study.method in others]
    return tuple(dict.fromkeys([study.method, *held, *(rival for arm in held for rival in study.rivals.get(arm, ()))])) \
        if held else ()


def dosed_arms(study: Study) -> tuple[str, ...]:
    """The arm of doses and the rivals that are its own, noise of its size; none where no arm has doses. What the method is
    compared with, such as a copy of the target's own weights, is neither a dose nor noise of one."""
    if study.dose is None:
        return ()
    arm, compared = study.dose[0], {*arms_beside(study), *study.rivals.get(study.method, ())}
    return (arm, *(rival for rival in study.rivals.get(arm, ()) if rival not in compared))


def kept_signed(by_store: Iterable[tuple[Store, Sequence[Record]]], study: Study) -> dict[str, Signed]:
    """By the record's identity: what was noted of runs whose A is compared, of doses and of their noise."""
    arms = {*arms_beside(study), *dosed_arms(study)}
    found = [(record.identity, read_signed(store.folder_of(record) / FILE))
             for store, records in by_store for record in records if record.spec.arm in arms]
    return {identity: signed for identity, signed in found if signed is not None and signed.rows}


def estimate_directions(collection: Collection, signed: Mapping[str, Signed], study: Study) -> pd.DataFrame:
    """One row for each section, target, arm, variant and layer, and one for all layers (`WHOLE`); rms over `runs`, all seeds
    and auxiliaries. `start` is the cosine of A with G before any step; `change` that of the first A with what training has
    changed at the end. None where nothing trains, or a norm is 0."""
    groups: dict[tuple[object, ...], list[Signed]] = {}
    for run in collection.paired.runs:
        if run.record.identity in signed:
            groups.setdefault(_place(collection, run), []).append(signed[run.record.identity])
    rows, tasks = [], list(collection.tasks)
    for place, kept in sorted(groups.items(), key=lambda item: (item[0][0], tasks.index(str(item[0][1])), item[0][2:])):
        layers = list(dict.fromkeys(layer for one in kept for layer in one.layers))
        values = {layer: [_values(one, one.layers.index(layer)) for one in kept if layer in one.layers] for layer in layers}
        values[WHOLE] = [pair for of_layer in values.values() for pair in of_layer]
        for layer, pairs in values.items():
            rows.append(dict(zip(ARM, place, strict=True)) | {"layer": layer, "runs": len(kept)}
                        | {name: _rms(pair[side] for pair in pairs) for side, name in enumerate(("start", "change"))})
    return pd.DataFrame(rows, columns=DIRECTION_COLUMNS)


def predict_gains(directions: pd.DataFrame, equal: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row for each section, target, arm and variant that is compared: its cosines over all layers, the gain that doses
    `predicted` of `start`, and the gain that `equal` has.

    Doses of a known solution, and noise of its size, have a cosine with G, too, and a gain: what lies between two of them is
    interpolated, what lies outside is the nearest; None where fewer than two cosines are known.
    """
    whole = directions[directions["layer"] == WHOLE]
    gains = {tuple(getattr(row, name) for name in ARM): row for row in rows_of(equal)}
    curves: dict[tuple[object, ...], list[tuple[float, float]]] = {}
    for row in rows_of(whole[whole["arm"].isin(dosed_arms(study))]):
        gain = gains.get(tuple(getattr(row, name) for name in ARM))
        if gain is not None and not pd.isna(row.start):
            curves.setdefault((row.section, row.task), []).append((row.start, gain.difference))
    rows, arms, tasks = [], arms_beside(study), list(dict.fromkeys(whole["task"]))
    for row in sorted(rows_of(whole[whole["arm"].isin(arms)]),
                      key=lambda row: (row.section, tasks.index(row.task), arms.index(row.arm))):
        gain = gains.get(tuple(getattr(row, name) for name in ARM))
        known = {name: None if gain is None else getattr(gain, name) for name in ("n", "difference", "low", "high", "p")}
        rows.append({name: getattr(row, name) for name in (*ARM, "runs", "start", "change")} | known
                    | {"predicted": predicted(curves.get((row.section, row.task), []), row.start)})
    return pd.DataFrame(rows, columns=PREDICTED_COLUMNS)


def predicted(curve: Sequence[tuple[float, float]], cosine: float | None) -> float | None:
    """The gain at a cosine of a curve of (cosine, gain), straight between its points and level outside of them"""
    points = sorted(curve)
    if len({x for x, _ in points}) < 2 or cosine is None or pd.isna(cosine):
        return None
    if cosine <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in pairwise(points):
        if cosine <= right and right > left:
            return low + (high - low) * (cosine - left) / (right - left)
    return points[-1][1]


def _place(collection: Collection, run: Run) -> tuple[object, ...]:
    return collection.section_of[run.comparison], run.spec.task, run.spec.arm, run.variant


def _values(signed: Signed, place: int) -> tuple[float | None, float | None]:
    """Of a layer: the cosine with G at the start, and that with what had changed at the end"""
    first, last = min(signed.rows), max(signed.rows)
    start = signed.rows[first]["gradient_cosine"][place] if first == 0 else None
    return start, signed.rows[last]["change_cosine"][place] if last > 0 else None


def _rms(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.sqrt(fmean(value**2 for value in known)) if known else None
