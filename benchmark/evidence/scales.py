"""Run records with learned scales in; how alike the scales of seeds, and of arms, are, out.

A scale that carries what the auxiliary knows has the same sign under every seed, and another size than that of noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean

import pandas as pd

from benchmark.evidence.collect import Collection
from benchmark.evidence.means import cells_by_seed, main_sections
from benchmark.records.record import Layer
from benchmark.spec.contracts import add_up

SCALE_COLUMNS = ["section", "arm", "cells", "seeds", "rms", "cosine", "cosine_low", "cosine_high", "layers", "correlation",
                 "correlation_within"]
LAYER_COLUMNS = ["section", "task", "arm", "layer", "log_scale"]


def layer_sizes(collection: Collection) -> pd.DataFrame:
    """One row for each main section, task, arm and layer: the logarithm of |s|, averaged over seeds before, and over
    auxiliaries after, it is taken. Left out are layers of which a scale is 0 in every seed."""
    rows = []
    for section in main_sections(collection):
        sizes: dict[tuple[str, str, str], list[float]] = {}
        for (task, arm, _), by_seed in cells_by_seed(collection, section).items():
            for layer, values in _by_layer([_scales(run.record.layers) for run in by_seed.values()]).items():
                mean = fmean(map(abs, values))
                if mean > 0:
                    sizes.setdefault((task, arm, layer), []).append(math.log(mean))
        rows += [(section, *key, fmean(logs)) for key, logs in sizes.items()]
    return pd.DataFrame(rows, columns=LAYER_COLUMNS)


def scale_agreement(collection: Collection, method: str) -> pd.DataFrame:
    """One row for each main section and arm with scales.

    `cosine`: between the signed scales of two seeds, mean over pairs of seeds and over cells, with the smallest and largest
    cell. `correlation`: of the sizes of `layer_sizes` with those of the method, over targets and layers; `_within`: the same
    after each target's mean is taken off, so that no target's level counts.
    """
    sizes = layer_sizes(collection)
    rows = []
    for section in main_sections(collection):
        cosines: dict[str, list[float]] = {}
        seeds: dict[str, set[int]] = {}
        squares: dict[str, list[float]] = {}
        for (_, arm, _), by_seed in cells_by_seed(collection, section).items():
            vectors = {seed: _scales(run.record.layers) for seed, run in by_seed.items() if run.record.layers}
            if not vectors:
                continue
            seeds.setdefault(arm, set()).update(vectors)
            squares.setdefault(arm, []).extend(s * s for vector in vectors.values() for s in vector.values())
            found = [value for one, other in combinations(vectors.values(), 2) if (value := _cosine(one, other)) is not None]
            cosines.setdefault(arm, []).extend([fmean(found)] if found else [])
        ours = sizes[sizes["section"] == section]
        of_method = _place_by_size(ours, method)
        for arm, means in cosines.items():
            theirs = _place_by_size(ours, arm)
            shared = [place for place in of_method if place in theirs] if arm != method else []
            sides = [[side[place] for place in shared] for side in (of_method, theirs)]
            centred = [_without_means(side, [task for task, _ in shared]) for side in sides]
            rows.append({
                "section": section, "arm": arm, "cells": len(means), "seeds": len(seeds[arm]),
                "rms": math.sqrt(fmean(squares[arm])), "cosine": fmean(means) if means else None,
                "cosine_low": min(means, default=None), "cosine_high": max(means, default=None),
                "layers": len(shared) or None, "correlation": _correlation(*sides),
                "correlation_within": _correlation(*centred)})
    frame = pd.DataFrame(rows, columns=SCALE_COLUMNS)
    order = [(row.section, row.arm != method, row.arm) for row in frame.itertuples(index=False, name="Row")]
    return frame.iloc[sorted(range(len(frame)), key=order.__getitem__)].reset_index(drop=True)


def _scales(layers: Sequence[Layer]) -> dict[str, float]:
    return {layer.name: float(layer.scale) for layer in layers}


def _by_layer(vectors: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    names = dict.fromkeys(name for vector in vectors for name in vector)
    return {name: [vector[name] for vector in vectors if name in vector] for name in names}


def _place_by_size(sizes: pd.DataFrame, arm: str) -> dict[tuple[str, str], float]:
    ours = sizes[sizes["arm"] == arm]
    return {(str(task), str(layer)): float(size)
            for task, layer, size in zip(ours["task"], ours["layer"], ours["log_scale"], strict=True)}


def _without_means(values: Sequence[float], groups: Sequence[str]) -> list[float]:
    means = {group: fmean(v for v, g in zip(values, groups, strict=True) if g == group) for group in set(groups)}
    return [value - means[group] for value, group in zip(values, groups, strict=True)]


def _cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float | None:
    if one.keys() != other.keys():
        return None
    sizes = math.sqrt(add_up(s * s for s in one.values()) * add_up(s * s for s in other.values()))
    return add_up(one[name] * other[name] for name in one) / sizes if sizes > 0 else None


def _correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's; None of fewer than three points, or without spread"""
    if len(one) < 3:
        return None
    a, b = ([value - fmean(side) for value in side] for side in (one, other))
    sizes = math.sqrt(add_up(x * x for x in a) * add_up(x * x for x in b))
    return add_up(x * y for x, y in zip(a, b, strict=True)) / sizes if sizes > 0 else None
