"""Runs of a target's arms in, their order with ties out; and which effects its seeds could show. Numbers and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from statistics import fmean

import pandas as pd

from benchmark.evidence.claims import Claim, as_printed
from benchmark.evidence.collect import CELL, Collection, main_values
from benchmark.evidence.stats import ALPHA, POWER, equivalence_p, holm, paired_difference, seeds_needed, tie_groups
from benchmark.records.record import Selection
from benchmark.report.markup import NONE, Table, show_p, show_spread, show_value, text_rows
from benchmark.report.tables import cell_label, find_metric, rows_of, unit_label

RANK_COLUMNS = [*CELL, "metric", "select", "n", "mean", "ties"]
POWER_COLUMNS = [*CELL, "metric", "select", "n", "sd", "mde", "published", "p_equivalent", "seeds_needed"]
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
        order = sorted(cells, key=lambda cell: (-means[cell] if metric.higher_is_better else means[cell], cell))
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


def rank_table(collection: Collection, ranks: pd.DataFrame, section: int) -> Table:
    """All cells of a section by target, best first."""
    rows = []
    for row in rows_of(ranks[ranks["section"] == section]):
        metric = find_metric(collection, row.task, row.metric)
        rows.append([row.task, cell_label(row.arm, row.auxiliary, row.variant), unit_label(metric), str(row.n),
                     show_value(row.mean, metric), NONE if pd.isna(row.ties) else row.ties])
    notes = ("Best first, by the mean over the n seeds that the cell has. Cells of a target that share a letter are not shown "
             f"to differ: paired by the seeds that both have, Holm-adjusted over all pairs of its cells, level {ALPHA:g}.",)
    return Table(f"Order and ties: {collection.sections[section].title}",
                 ("Target", "Cell", "Metric", "n", "Mean", "Ties"), text_rows(rows), notes, num_labels=3)


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
    """Of each cell's main metric: the detectable effect; and beside the smallest gain that the paper prints for the target
    and setting, whether the cell is shown to differ from its baseline by less, and how many seeds would find it.
    """
    gains = published_gains(claims)
    main = {task: info.metrics[0].name for task, info in collection.tasks.items()}
    rows = []
    for effect in rows_of(effects):
        if effect.metric != main[effect.task]:
            continue
        gain = gains.get((effect.task, collection.sections[effect.section].setting, effect.metric))
        row = {name: getattr(effect, name) for name in (*CELL, "metric", "select", "n", "sd", "mde")} | {"published": gain}
        if gain is not None and effect.n > 1 and effect.sd > 0:
            row["p_equivalent"] = equivalence_p(effect.difference, effect.sd, effect.n, gain)
            row["seeds_needed"] = seeds_needed(gain, effect.sd, spread_df=effect.n - 1)
        rows.append(row)
    return pd.DataFrame(rows, columns=POWER_COLUMNS)


def power_table(collection: Collection, power: pd.DataFrame, section: int) -> Table:
    """What the seeds of each cell of a section could show."""
    rows = []
    for row in rows_of(power[power["section"] == section]):
        metric = find_metric(collection, row.task, row.metric)
        spreads = [NONE if pd.isna(value) else show_spread(value, metric) for value in (row.sd, row.mde)]
        gain = NONE if pd.isna(row.published) else as_printed(row.published)
        needed = NONE if pd.isna(row.seeds_needed) else str(int(row.seeds_needed))
        rows.append([row.task, cell_label(row.arm, row.auxiliary, row.variant), unit_label(metric), str(row.n), *spreads,
                     gain, show_p(row.p_equivalent), needed])
    header = ("Target", "Cell", "Metric", "n", "Spread", "MDE", "Smallest published gain", "p (within it)", "Seeds to find it")
    notes = (
        "Spread: standard deviation over seeds of the difference to the baseline. MDE: the true difference that as many new "
        f"seeds find with probability {POWER:g}, as few seeds tell a spread roughly. p (within it): two one-sided tests, each "
        f"cell by itself; below {ALPHA:g}, the cell differs from its baseline by less than the smallest gain that the paper "
        "prints for this target and setting. Seeds to find it: "
        f"how many new ones show a true effect of that size with probability {POWER:g}.",)
    return Table(f"What these seeds could show: {collection.sections[section].title}", header, text_rows(rows), notes,
                 num_labels=3)
