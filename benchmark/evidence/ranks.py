"""Runs of a target's arms in, their order with ties out; and which effects its seeds could show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from statistics import fmean

import pandas as pd

from benchmark.evidence.claims import Claim
from benchmark.evidence.collect import CELL, Collection, main_values, sign_of
from benchmark.evidence.frames import rows_of
from benchmark.evidence.stats import (
    ALPHA,
    equivalence_p,
    holm,
    paired_difference,
    seeds_needed,
    tie_groups,
)
from benchmark.records.record import Selection

RANK_COLUMNS = [*CELL, "metric", "select", "n", "mean", "ties"]
POWER_COLUMNS = [*CELL, "metric", "select", "n", "sd", "found_from", "published", "p_equivalent", "seeds_needed"]
MOST_RANKED = 60  # cells of one target; more pairs than that tell nothing after their adjustment


def rank_cells(collection: Collection, select: Selection = "last") -> pd.DataFrame:
    """Every cell of a section and target by its mean, best first; cells that share a letter are not shown to differ.

    Two cells differ where the test paired by seed, environment and target checkpoint is significant after Holm's
    adjustment over all pairs of the target's cells.
    """
    runs = {run.record.run_id: run for run in collection.paired.runs}
    main = {task: info.metrics[0] for task, info in collection.tasks.items()}
    values: dict[tuple[int, str], dict[tuple[str, str, str], dict[object, float]]] = {}
    for row, value in main_values(collection, select):
        run = runs[row.run]
        cells = values.setdefault((row.section, row.task), {})
        place = (run.comparison, row.seed, run.environment, run.checkpoint)
        cells.setdefault((row.arm, row.auxiliary, row.variant), {})[place] = value
    rows = []
    for (section, task), cells in sorted(values.items(), key=lambda item: (item[0][0], list(main).index(item[0][1]))):
        metric = main[task]
        means = {cell: fmean(by_place.values()) for cell, by_place in cells.items()}
        order = sorted(cells, key=lambda cell: (-sign_of(metric) * means[cell], cell))
        letters = _letters(order, cells)
        for cell in order:
            rows.append(dict(zip(CELL, (section, task, *cell), strict=True)) | {
                "metric": metric.name, "select": select, "n": len(cells[cell]), "mean": means[cell],
                "ties": letters.get(cell)})
    return pd.DataFrame(rows, columns=RANK_COLUMNS)


def _letters(order: Sequence[tuple[str, str, str]], cells: dict[tuple[str, str, str], dict[object, float]],
             ) -> dict[tuple[str, str, str], str]:
    if not 1 < len(order) <= MOST_RANKED:
        return {}
    pairs, p_values = list(combinations(order, 2)), []
    for one, other in pairs:
        shared = sorted(cells[one].keys() & cells[other].keys(), key=str)
        sides = [{i: cells[cell][place] for i, place in enumerate(shared)} for cell in (one, other)]
        p_values.append(paired_difference(*sides).p_value if shared else None)
    if all(p is None for p in p_values):
        return {}
    names = {cell: str(i) for i, cell in enumerate(order)}
    differ = {frozenset((names[one], names[other])): p is not None and p < ALPHA
              for (one, other), p in zip(pairs, holm(p_values), strict=True)}
    letters = tie_groups(list(names.values()), differ)
    return {cell: letters[name] for cell, name in names.items()}


def published_gains(claims: Iterable[Claim]) -> dict[tuple[str, str, str], float]:
    """The smallest gain, without its sign, that the paper prints for a task, setting and metric, defaults only."""
    gains: dict[tuple[str, str, str], float] = {}
    for claim in claims:
        test = claim.test
        if test is not None and test.quantity == "gain" and not test.options and test.metric and claim.absolute_gain:
            key = (test.task, test.setting, test.metric)
            gains[key] = min(gains.get(key, abs(claim.absolute_gain)), abs(claim.absolute_gain))
    return gains


def estimate_power(collection: Collection, effects: pd.DataFrame, claims: Iterable[Claim]) -> pd.DataFrame:
    """Of each cell's main metric: the effect that its adjusted test finds; and beside the smallest gain that the paper prints
    for the target and setting, whether the cell is shown to differ from its baseline by less, and how many seeds would find it.
    """
    gains = published_gains(claims)
    main = {task: info.metrics[0].name for task, info in collection.tasks.items()}
    rows = []
    for effect in rows_of(effects):
        if effect.metric != main[effect.task]:
            continue
        gain = gains.get((effect.task, collection.sections[effect.section].setting, effect.metric))
        row = {name: getattr(effect, name) for name in (*CELL, "metric", "select", "n", "sd", "found_from")}
        row |= {"published": gain}
        if gain is not None and effect.n > 1 and effect.sd > 0:
            row["p_equivalent"] = equivalence_p(effect.difference, effect.sd, effect.n, gain)
            row["seeds_needed"] = seeds_needed(gain, effect.sd, ALPHA / max(effect.tests, 1), spread_df=effect.n - 1)
        rows.append(row)
    return pd.DataFrame(rows, columns=POWER_COLUMNS)
