"""Values of every arm of a target by seed in; what the mean of the method's arms is worth, by the second rule, out.

The rule in short (its protocol, named by the study, says it in full): all arms of a target scatter alike around their mean and
that of their seed, so their spread is one number with many degrees of freedom. *Ahead of the controls* is a target where the
mean of the method's arms is above the mean of all reference arms. It *helps* where that mean is also above the baseline, and
above each control by itself, each at the same level: only then it is not what one of the controls can do as well. Tests are
one-sided; Holm's adjustment is over the targets, and the mean over all targets is one test of its own.

Shapes: ... any leading dimensions (simulated experiments), T targets, A arms, S seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.evidence.claims import Claim
from benchmark.evidence.collect import Collection, sign_of, values_of_runs
from benchmark.evidence.means import ALL, cells_by_seed, main_sections, printed_gains
from benchmark.evidence.pairing import Run
from benchmark.evidence.rule import BASELINE, NO_SPREAD, alike
from benchmark.evidence.stats import ALPHA, CONFIDENCE, POWER, detectable_noncentrality, holm, t_quantile
from benchmark.plan.study import SecondRule

if TYPE_CHECKING:
    from numpy.typing import NDArray

HELPS, AHEAD, NO_EVIDENCE, PLANNING = "helps", "ahead of the controls' mean alone", "no evidence", "planning values"
UNLIKE = ", which were run in another environment, or from another checkpoint, than the plain model"
ROUNDING = 1e-12  # of sums of values, relative to them
RULE2_COLUMNS = ["section", "task", "pairs", "seeds", "spread", "df", "widened", "difference", "low", "high", "p", "p_holm",
                 "mean_found_from", "found_alone_from", "p_each", "p_each_holm", "mean_found_beyond_each_from", "over_baseline",
                 "over_low", "over_high", "published", "p_equivalent", "verdict"]


@dataclass(frozen=True)
class Tests:
    """One-sided t-tests of a difference, each field (..., T), or (...) for all targets together."""

    difference: NDArray[Any]
    error: NDArray[Any]  # standard error, widened
    df: NDArray[Any]

    @property
    def p(self) -> NDArray[Any]:
        """That the true difference is above 0"""
        from scipy.special import stdtr

        return stdtr(self.df, -self.difference / self.error)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Judged:
    """What the rule needs, by target or over all."""

    spread: NDArray[Any]  # of one run around its arm and seed
    widened: NDArray[Any]  # factor on every error: of all targets, the same
    contrast: Tests  # method minus the mean of the reference arms
    each: dict[str, Tests]  # method minus one reference, by its name


def judge_values(values: NDArray[Any], arms: Sequence[str], method: str, references: Sequence[str]) -> tuple[Judged, Judged]:
    """(..., T, A, S) values -> the tests by target, and over all targets at equal weights.

    `arms` names the arm of each row; several rows of one name are its auxiliaries. Rows of other names than `method` and
    `references` count for the spread alone. Errors are widened, and never narrowed, where the contrast itself scatters over
    seeds more than the spread of the arms says (mean over targets). Raises `ValueError` where an arm has no row.
    """
    import numpy as np

    num_arms, num_seeds = values.shape[-2:]
    rows = {name: [place for place, arm in enumerate(arms) if arm == name] for name in (method, *references)}
    if lost := [name for name, places in rows.items() if not places]:
        raise ValueError(f"no values of {', '.join(lost)}; the second rule needs the method and every reference")
    if num_seeds < 2:
        raise ValueError("the second rule needs two seeds or more")
    refs = [place for name in references for place in rows[name]]
    residual = _residual(values)
    df = (num_arms - 1) * (num_seeds - 1)
    spread = np.sqrt((residual**2).sum((-2, -1)) / df)
    by_seed = {name: values[..., places, :].mean(-2) for name, places in (*rows.items(), (ALL, refs))}  # (..., T, S)
    share = {name: 1 / len(rows[method]) + 1 / len(places) for name, places in (*rows.items(), (ALL, refs))}
    own = (by_seed[method] - by_seed[ALL]).var(-1, ddof=1)
    widened = np.sqrt(np.maximum(1.0, (own / (spread**2 * share[ALL])).mean(-1)))[..., None]

    def tests(name: str) -> tuple[Tests, Tests]:
        difference = (by_seed[method] - by_seed[name]).mean(-1)
        error = widened * spread * np.sqrt(share[name] / num_seeds)
        squared = error * error  # a fourth power has other last bits on other processors, products have not
        together = Tests(difference.mean(-1), np.sqrt(squared.sum(-1)) / error.shape[-1],
                         df * squared.sum(-1) ** 2 / (squared * squared).sum(-1))  # Satterthwaite
        return Tests(difference, error, np.full(difference.shape, float(df))), together

    found = {name: tests(name) for name in (ALL, *references)}
    one, whole = ({name: pair[side] for name, pair in found.items()} for side in (0, 1))
    mean_spread = np.sqrt((spread**2).mean(-1))
    return (Judged(spread, np.broadcast_to(widened, spread.shape), one.pop(ALL), one),
            Judged(mean_spread, widened[..., 0], whole.pop(ALL), whole))


def detectable(error: float, df: float, level: float, power: float = POWER) -> float:
    """The true difference that a one-sided test at `level` finds with probability `power`, its error known from `df`."""
    return error * detectable_noncentrality(df, 2 * level, power, df)


def estimate_rule2(collection: Collection, method: str, rule: SecondRule, references: Sequence[str],
                   beside: Sequence[str], claims: Iterable[Claim]) -> tuple[pd.DataFrame, str]:
    """One row for each target of the rule, and one over all (`ALL`), by the metric after the last epoch; differences are in the
    direction in which the target's main metric is better. And what is lacking for a verdict, "" where nothing is or where the
    method was not run in the rule's profile and setting.

    Judged are the targets, auxiliaries and seeds that the protocol names, all of them and no others. Where one is not there,
    the rows are those of the seeds before, as planning values without a verdict, or none where these are not whole either.
    """
    printed = printed_gains(claims)
    lacking = ""
    for section in main_sections(collection):
        place = collection.sections[section]
        if (place.profile, place.setting) != (rule.profile, rule.setting):
            continue
        table = _Table.of(collection, section, method, (*references, *beside), rule)
        if not table.has(method):
            continue
        lacking = table.lacking(rule.seeds)
        judged = not lacking
        seeds = list(rule.seeds) if judged else [seed for seed in table.shared() if seed < min(rule.seeds)]
        if len(seeds) < 2 or table.lacking(seeds):
            continue
        one, whole = judge_values(table.array(seeds), table.arms, method, (BASELINE, *references))
        gains: dict[str, list[float | None]] = {}
        for task in table.tasks:
            metric = collection.tasks[task].metrics[0]
            of_pairs = [printed.get((task, place.setting, auxiliary, metric.name)) for auxiliary in rule.pairs[task]]
            gains[task] = [None if gain is None else sign_of(metric) * gain for gain in of_pairs]
        found = [_row(one, index, len(table.tasks), gains[task]) | {"task": task, "pairs": len(gains[task])}
                 for index, task in enumerate(table.tasks)]
        for name in ("p", "p_each"):
            for row, p in zip(found, holm([float(str(row[name])) for row in found]), strict=True):
                row[f"{name}_holm"] = p
        every = [gain for task in table.tasks for gain in gains[task]]
        found.append(_row(whole, None, 1, every) | {"task": ALL, "pairs": len(every)})
        found[-1] |= {"p_holm": found[-1]["p"], "p_each_holm": found[-1]["p_each"]}
        for row in found:
            helps, ahead = (float(str(row[name])) < ALPHA for name in ("p_each_holm", "p_holm"))
            row["verdict"] = PLANNING if not judged else HELPS if helps and ahead else AHEAD if ahead else NO_EVIDENCE
            row |= {"section": section, "seeds": " ".join(map(str, seeds))}
        return pd.DataFrame(found, columns=RULE2_COLUMNS), lacking
    return pd.DataFrame(columns=RULE2_COLUMNS), lacking


def _row(judged: Judged, index: int | None, tests: int, gains: Sequence[float | None]) -> dict[str, object]:
    def at(array: NDArray[Any]) -> float:
        return float(array if index is None else array[index])

    contrast, df = judged.contrast, at(judged.contrast.df)
    half = t_quantile((1 + CONFIDENCE) / 2, df)
    base = judged.each[BASELINE]
    published = fmean(gain for gain in gains if gain is not None) if gains and None not in gains else None
    equivalent = None
    if published:
        equivalent = max(_below(at(base.difference) * side, at(base.error), df, abs(published)) for side in (1, -1))
    each_power = 1 - (1 - POWER) / len(judged.each)  # each test may miss with the same part of what is left
    return {
        "spread": at(judged.spread), "df": df, "widened": at(judged.widened), "difference": at(contrast.difference),
        "low": at(contrast.difference) - half * at(contrast.error), "high": at(contrast.difference) + half * at(contrast.error),
        "p": at(contrast.p), "mean_found_from": detectable(at(contrast.error) / at(judged.widened), df, ALPHA / tests),
        "found_alone_from": detectable(at(contrast.error) / at(judged.widened), df, ALPHA / 2),  # two-sided, of one target
        "p_each": max(at(test.p) for test in judged.each.values()),
        "mean_found_beyond_each_from": max(detectable(at(test.error) / at(judged.widened), df, ALPHA / tests, each_power)
                          for test in judged.each.values()),
        "over_baseline": at(base.difference), "over_low": at(base.difference) - half * at(base.error),
        "over_high": at(base.difference) + half * at(base.error), "published": published, "p_equivalent": equivalent}


def _below(difference: float, error: float, df: float, margin: float) -> float:
    """p that the true difference is not below the margin"""
    from scipy.special import stdtr

    return float(stdtr(df, (difference - margin) / error))


@dataclass(frozen=True)
class _Table:
    """The values of every cell that a rule asks for, after the last epoch, in the better direction."""

    tasks: tuple[str, ...]
    arms: tuple[str, ...]  # of the cells of a target, in their order
    names: dict[str, tuple[str, ...]]  # by task: of its cells, as "arm(auxiliary)"
    values: dict[str, list[dict[int, float]]]  # by task: of each cell by seed
    gone: tuple[str, ...]  # tasks of the rule that there are no runs of
    apart: dict[str, list[set[int]]]  # by task: of each cell the seeds that were run, but not as the plain model was
    other_units: tuple[str, ...]  # tasks whose metric has another unit than the first one's

    @classmethod
    def of(cls, collection: Collection, section: int, method: str, others: Sequence[str], rule: SecondRule) -> _Table:
        """A reference that any target has for one of its auxiliaries is asked for under all of them"""
        values = values_of_runs(collection, "last")
        cells: dict[tuple[str, str, str], dict[int, Run]] = {}
        for (task, arm, auxiliary), by_seed in cells_by_seed(collection, section, "last").items():
            plain = next(iter(by_seed.values())).spec.role == "baseline"
            cells[task, BASELINE if plain else arm, auxiliary] = by_seed
        paired = {method, *(arm for task, arm, auxiliary in cells if auxiliary in rule.pairs.get(task, ()) and arm in others)}
        tasks = tuple(task for task in collection.tasks if task in rule.pairs)
        asked = {task: [(arm, auxiliary) for arm in (BASELINE, method, *others)
                        for auxiliary in (rule.pairs[task] if arm in paired else ("",))] for task in tasks}
        plain_of = {task: cells.get((task, BASELINE, ""), {}) for task in tasks}
        units = {task: collection.tasks[task].metrics[0].unit for task in tasks}
        return cls(
            tasks, tuple(arm for arm, _ in asked[tasks[0]]) if tasks else (),
            {task: tuple(f"{arm}({auxiliary})" if auxiliary else arm for arm, auxiliary in asked[task]) for task in tasks},
            {task: [{seed: sign_of(collection.tasks[task].metrics[0]) * values[run]
                     for seed, run in cells.get((task, *cell), {}).items()
                     if seed in plain_of[task] and alike(run, plain_of[task][seed]) and run in values}
                    for cell in asked[task]] for task in tasks},
            tuple(task for task in rule.pairs if task not in tasks),
            {task: [{seed for seed, run in cells.get((task, *cell), {}).items()
                     if seed in plain_of[task] and not alike(run, plain_of[task][seed])}
                    for cell in asked[task]] for task in tasks},
            tuple(task for task in tasks if units[task] != units[tasks[0]]))

    def has(self, arm: str) -> bool:
        return any(by_seed for cells in self.values.values() for name, by_seed in zip(self.arms, cells, strict=True)
                   if name == arm)

    def shared(self) -> list[int]:
        """The seeds that every cell has"""
        held = [set(by_seed) for cells in self.values.values() for by_seed in cells]
        return sorted(set.intersection(*held)) if held else []

    def lacking(self, seeds: Sequence[int]) -> str:
        """What there must be, and is not, for a verdict on these seeds, in words; "" where all is there"""
        if self.gone:
            return f"there are no runs of {', '.join(self.gone)}"
        if self.other_units:
            return f"the metric of {', '.join(self.other_units)} has another unit than that of {self.tasks[0]}"
        lost = {f"{task} {name}": [seed for seed in seeds if seed not in by_seed] for task, names in self.names.items()
                for name, by_seed in zip(names, self.values[task], strict=True)}
        if all(len(each) == len(seeds) for each in lost.values()):
            return "none of them is here"
        every = next(iter(lost.values()))
        if every and all(each == every for each in lost.values()):
            return f"seeds {' '.join(map(str, every))} are missing in every cell"
        unlike = dict(zip(lost, (seeds for task in self.names for seeds in self.apart[task]), strict=True))
        if gone := [f"{cell} (seeds {' '.join(map(str, each))}{UNLIKE if unlike[cell].issuperset(each) else ''})"
                    for cell, each in lost.items() if each]:
            return f"lacking are {len(gone)} of {len(lost)} cells: " + "; ".join([*gone[:3], *(["..."] if gone[3:] else [])])
        still = [task for task, each in zip(self.tasks, self.array(seeds), strict=True)  # all arms go up and down together
                 if abs(_residual(each)).max() <= ROUNDING * abs(each).max()]
        return f"the values of {', '.join(still)} have {NO_SPREAD}" if still else ""

    def array(self, seeds: Sequence[int]) -> NDArray[Any]:
        """(T, A, S)"""
        import numpy as np

        return np.array([[[by_seed[seed] for seed in seeds] for by_seed in self.values[task]] for task in self.tasks])


def _residual(values: NDArray[Any]) -> NDArray[Any]:
    """(..., A, S) values -> what is left of them without the mean of their arm and that of their seed"""
    left: NDArray[Any] = (values - values.mean(-1, keepdims=True) - values.mean(-2, keepdims=True)
                          + values.mean((-2, -1), keepdims=True))
    return left
