"""Runs whose outcome is known beforehand in; whether it came out that way, out. What fails here casts doubt on all else."""

from __future__ import annotations

from collections.abc import Collection as AbstractCollection
from collections.abc import Iterable

import pandas as pd

from benchmark.recipes import TrainRecipe
from benchmark.record import Selection
from benchmark.report.canvas import known
from benchmark.report.collect import CELL, Collection, main_values
from benchmark.report.markup import NONE, Table, show_p, show_value, text_rows
from benchmark.report.pairing import Run
from benchmark.report.tables import cell_label, chance_of, find_metric, rows_of
from benchmark.stats import ALPHA, holm, mean_interval, one_sided_p

SANITY_COLUMNS = [*CELL, "metric", "check", "n", "expected", "measured", "low", "high", "p", "p_holm", "outcome"]
CHANCE, EQUAL = "labels dealt out at random", "equal to its baseline"
AS_EXPECTED, WRONG, UNTESTED = "as expected", "wrong", "not tested"


def estimate_sanity(collection: Collection, equal: AbstractCollection[str], select: Selection = "last") -> pd.DataFrame:
    """One row for each cell whose outcome is known beforehand.

    Trained on labels that were dealt out at random: not better than chance on the test split, by a one-sided t-test over
    seeds, Holm-adjusted over all such cells; without a spread, by the mean. Arms named in `equal`: every measurement and
    the weights are those of the baseline of the same seed to the last bit; `measured` is then how many of `n` pairs are.
    """
    values = {row.run: value for row, value in main_values(collection, select)}
    dealt: dict[tuple[object, ...], list[Run]] = {}
    same: dict[tuple[object, ...], list[Run]] = {}
    for run in collection.paired.runs:
        key = (collection.section_of[run.comparison], run.spec.task, *run.cell[1:])
        if isinstance(run.spec.recipe, TrainRecipe) and run.spec.recipe.shuffle_labels and run.record.run_id in values:
            dealt.setdefault(key, []).append(run)
        if run.spec.arm in equal and run in collection.paired.baseline_of:
            same.setdefault(key, []).append(run)
    rows = [_against_chance(collection, key, [values[run.record.run_id] for run in runs]) for key, runs in dealt.items()]
    rows += [_against_baseline(collection, key, runs) for key, runs in same.items()]
    frame = pd.DataFrame(rows, columns=SANITY_COLUMNS)
    frame["p_holm"] = pd.Series(holm([known(p) for p in frame["p"]]), dtype="float64")
    tested = frame["p_holm"].notna()
    frame.loc[tested, "outcome"] = frame.loc[tested, "p_holm"].map(lambda p: WRONG if p < ALPHA else AS_EXPECTED)
    return frame


def _against_chance(collection: Collection, key: tuple[object, ...], values: list[float]) -> dict[str, object]:
    place = dict(zip(CELL, key, strict=True))
    metric = collection.tasks[str(place["task"])].metrics[0]
    chance = chance_of(collection, str(place["task"]), collection.sections[int(str(place["section"]))].profile)
    estimate = mean_interval(values)
    low, high = estimate.interval or (None, None)
    row = {**place, "metric": metric.name, "check": CHANCE, "n": estimate.n, "expected": chance, "measured": estimate.mean,
           "low": low, "high": high, "p": None, "outcome": UNTESTED}
    sign = 1 if metric.higher_is_better else -1
    if chance is not None and estimate.sd:
        row["p"] = one_sided_p(sign * (estimate.mean - chance), estimate.sd, estimate.n)
    elif chance is not None and sign * estimate.mean <= sign * chance:
        row["outcome"] = AS_EXPECTED
    return row


def _against_baseline(collection: Collection, key: tuple[object, ...], runs: Iterable[Run]) -> dict[str, object]:
    place = dict(zip(CELL, key, strict=True))
    pairs = [(run.record, collection.paired.baseline_of[run].record) for run in runs]
    equal = [ours.measurements == theirs.measurements and ours.weights.get("result") == theirs.weights.get("result")
             for ours, theirs in pairs]
    return {**place, "metric": collection.tasks[str(place["task"])].metrics[0].name, "check": EQUAL, "n": len(pairs),
            "expected": len(pairs), "measured": sum(equal), "outcome": AS_EXPECTED if all(equal) else WRONG}


def sanity_table(collection: Collection, sanity: pd.DataFrame) -> Table:
    """Every check."""
    rows = []
    for row in rows_of(sanity):
        metric, section = find_metric(collection, row.task, row.metric), collection.sections[row.section]
        if row.check == EQUAL:
            expected, measured = f"{row.n} of {row.n} runs", f"{int(row.measured)} of {row.n} runs"
        else:
            expected = NONE if pd.isna(row.expected) else f"chance, {show_value(row.expected, metric)}"
            half = "" if pd.isna(row.low) else f" ± {show_value((row.high - row.low) / 2, metric)}"
            measured = show_value(row.measured, metric) + half
        rows.append([row.task, cell_label(row.arm, row.auxiliary, row.variant), f"{section.profile}, {section.setting}",
                     row.check, str(row.n), expected, measured, show_p(row.p_holm), row.outcome])
    header = ("Target", "Cell", "Profile, setting", "What is checked", "n", "Expected", "Measured", "p (Holm)", "Outcome")
    notes = ("Labels dealt out at random leave nothing to learn that holds on the test split: a mean above chance (one-sided "
             f"t-test over seeds, adjusted p < {ALPHA:g}) would be a leak. An arm that is equal to its baseline by "
             "construction is to agree with it in every measurement and weight, to the last bit.",)
    return Table("Runs whose outcome is known beforehand", header, text_rows(rows), notes, num_labels=4)
