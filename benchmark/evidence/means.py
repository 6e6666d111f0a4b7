"""Runs of a method, its baseline and its controls in; what the method is worth over all pairs, and how the null behaves, out.

One value per seed: the mean over the pairs of target and auxiliary, so that what pairs of a seed share (the plain model, the
draw of a noise) is counted once. Means over targets are made only of metrics in per cent that are to be high.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from statistics import fmean

import pandas as pd

from benchmark.evidence.claims import Claim
from benchmark.evidence.collect import Collection, values_of_runs
from benchmark.evidence.estimates import DIFFERENCE, difference_of
from benchmark.evidence.pairing import Run
from benchmark.evidence.rule import BASELINE, alike
from benchmark.evidence.stats import ALPHA
from benchmark.records.record import Selection

ALL = ""  # in place of a target: all of them
MEAN_COLUMNS = ["section", "task", "arm", "reference", "pairs", *DIFFERENCE, "published", "left_out"]
NULL_COLUMNS = ["section", "arms", "comparisons", "significant", "expected", "draws", "drawn"]
BySeed = Mapping[int, float]
Pair = tuple[str, str]  # target, auxiliary


def main_sections(collection: Collection) -> list[int]:
    """Those of all samples by the profile's own recipe"""
    return [number for number, section in enumerate(collection.sections)
            if section.limit is None and not section.conditions]


def cells_by_seed(
    collection: Collection, section: int, select: Selection = "last"
) -> dict[tuple[str, str, str], dict[int, Run]]:
    """The measured runs of a section, arms without options, by (task, arm, auxiliary) and seed."""
    measured = values_of_runs(collection, select)
    cells: dict[tuple[str, str, str], dict[int, Run]] = {}
    for run in collection.runs_of(section):
        spec = run.spec
        if not run.variant and run in measured:
            cells.setdefault((spec.task, spec.arm or "none", spec.auxiliary or ""), {})[spec.seed] = run
    return cells


def estimate_means(collection: Collection, method: str, references: Sequence[str], claims: Iterable[Claim],
                   select: Selection = "last") -> pd.DataFrame:
    """One row for each main section, target (`ALL`: over all targets), and reference: the baseline, and every arm named.

    The rows of a reference minus the baseline stand beside those of the method: `arm` says which. `published` is the mean
    gain that is printed for the same pairs, where one is printed for each. Pairs and seeds of the method beside the baseline
    are those of `together`; its other pairs are named in `left_out`, such as "images + sounds (1 seed)". Other rows are of
    these pairs and seeds, or of fewer.
    """
    values = values_of_runs(collection, select)
    printed = printed_gains(claims)
    rows = []
    for section in main_sections(collection):
        cells = cells_by_seed(collection, section, select)
        pairs = [(task, auxiliary) for task, arm, auxiliary in cells if arm == method and auxiliary]
        own: dict[str, tuple[list[Pair], list[int]]] = {}  # by target: pairs and seeds of the method beside the baseline
        for arm, reference in ((method, BASELINE), *((method, name) for name in references),
                               *((name, BASELINE) for name in references)):
            found = {(task, auxiliary): gained for task, auxiliary in pairs
                     if (gained := _differences(collection, cells, (task, auxiliary), arm, reference, values))}
            targets = [task for task in collection.tasks if any(task == target for target, _ in found)]
            for task in [*targets, *([ALL] if len(targets) > 1 and _common(collection, targets) else [])]:
                ours: dict[Pair, BySeed] = {pair: gained for pair, gained in found.items() if task in (ALL, pair[0])}
                if task in own:
                    ours = _within(ours, *own[task])
                kept, seeds = together(ours)
                if not kept:
                    continue
                left_out = "" if task in own else _named({pair: gained for pair, gained in ours.items() if pair not in kept})
                if (arm, reference) == (method, BASELINE):
                    own[task] = kept, seeds
                ours = {pair: ours[pair] for pair in kept}
                means = [fmean(gained[seed] for gained in ours.values()) for seed in seeds]
                gains = [printed.get((target, collection.sections[section].setting, auxiliary,
                                      collection.tasks[target].metrics[0].name)) for target, auxiliary in ours]
                published = fmean(gain for gain in gains if gain is not None) if None not in gains else None
                rows.append({"section": section, "task": task, "arm": arm, "reference": reference, "pairs": len(ours),
                             "published": published, "left_out": left_out, **difference_of(seeds, means, [0.0] * len(seeds))})
    return pd.DataFrame(rows, columns=MEAN_COLUMNS)


def _within(values: Mapping[Pair, BySeed], pairs: Sequence[Pair], seeds: Sequence[int]) -> dict[Pair, BySeed]:
    """What there is of these pairs and seeds; pairs without any are gone"""
    found = {pair: {seed: values[pair][seed] for seed in seeds if seed in values[pair]} for pair in pairs if pair in values}
    return {pair: by_seed for pair, by_seed in found.items() if by_seed}


def _named(values: Mapping[Pair, BySeed]) -> str:
    """E.g. "images + sounds (1 seed)", with commas between"""
    return ", ".join(f"{target} + {auxiliary} ({len(by_seed)} seed{'s' * (len(by_seed) != 1)})"
                     for (target, auxiliary), by_seed in values.items())


def together(values: Mapping[Pair, BySeed]) -> tuple[list[Pair], list[int]]:
    """The pairs and seeds with a value of every one of these pairs under every one of these seeds, with a pair of every target
    among `values`: of such rectangles a large one, so that one pair with one seed does not cost all others theirs. Of equals
    that of most pairs; without any, nothing.

    Looked at are the seeds of every pair, those that two have in common, and those that the k pairs with most seeds have.
    """
    held = sorted((frozenset(gained) for gained in values.values()), key=lambda seeds: -len(seeds))
    looked_at = {one & other for one in held for other in held}
    looked_at |= {frozenset.intersection(*held[:number]) for number in range(1, len(held) + 1)}
    best: tuple[int, int, list[Pair], list[int]] = (0, 0, [], [])
    for seeds in sorted(looked_at, key=sorted):
        pairs = [pair for pair in values if seeds <= values[pair].keys()]
        size = (len(pairs) * len(seeds), len(pairs))
        if seeds and size > best[:2] and {target for target, _ in pairs} == {target for target, _ in values}:
            best = (*size, pairs, sorted(seeds))
    return best[2:]


def _differences(collection: Collection, cells: Mapping[tuple[str, str, str], Mapping[int, Run]], pair: tuple[str, str],
                 arm: str, reference: str, values: Mapping[Run, float]) -> dict[int, float]:
    """By seed, of one pair of target and auxiliary; an arm without that auxiliary is taken as it is."""
    task, auxiliary = pair
    treated = cells.get((task, arm, auxiliary)) or cells.get((task, arm, "")) or {}
    others = cells.get((task, reference, auxiliary)) or cells.get((task, reference, "")) or {}
    found = {}
    for seed, run in sorted(treated.items()):
        other = collection.paired.baseline_of.get(run) if reference == BASELINE else others.get(seed)
        if other is not None and alike(run, other) and other in values:
            found[seed] = values[run] - values[other]
    return found


def _common(collection: Collection, targets: Iterable[str]) -> bool:
    metrics = [collection.tasks[task].metrics[0] for task in targets]
    return all(metric.unit == "%" and metric.higher_is_better for metric in metrics)


def printed_gains(claims: Iterable[Claim]) -> dict[tuple[str, str, str, str], float]:
    """What is printed first for a task, setting, auxiliary and metric, of the method as it is"""
    gains: dict[tuple[str, str, str, str], float] = {}
    for claim in claims:
        test = claim.test
        if (test is not None and test.quantity == "gain" and not test.options and test.metric and test.auxiliary
                and claim.absolute_gain is not None):
            gains.setdefault((test.task, test.setting, test.auxiliary, test.metric), claim.absolute_gain)
    return gains


def estimate_null(collection: Collection, noise: Sequence[str], references: Sequence[str],
                  select: Selection = "last") -> pd.DataFrame:
    """How often a paired t-test at `ALPHA` finds what is not there, in each main section: between the cells of one arm of
    `noise` under different auxiliaries; and between any two cells of a target that are no method, which is null only as far
    as no reference does anything. `arms`: those that were there to be compared.

    `draws`: how many independent draws stand behind the comparisons with noise. Where a run's options do not say that its cell
    has draws of its own, all targets, auxiliaries and settings of a seed share one. `drawn` says which: "shared", "own", or
    "mixed" where it is the one for some runs and the other for others.
    """
    values = values_of_runs(collection, select)
    rows = []
    for section in main_sections(collection):
        cells = cells_by_seed(collection, section, select)
        for arms in dict.fromkeys([tuple(noise), (BASELINE, *references)] if noise else []):
            tested, compared = [], set[str]()
            for one, other in combinations(sorted(cells), 2):
                kinds = [BASELINE if next(iter(cells[cell].values())).spec.role == "baseline" else cell[1]
                         for cell in (one, other)]
                if one[0] != other[0] or not set(kinds) <= set(arms) or (arms == tuple(noise) and kinds[0] != kinds[1]):
                    continue
                seeds = sorted(seed for seed in cells[one].keys() & cells[other].keys()
                               if alike(cells[one][seed], cells[other][seed]))
                sides = [[values[cells[cell][seed]] for seed in seeds] for cell in (one, other)]
                p = difference_of(seeds, *sides)["p"] if len(seeds) > 1 else None
                tested += [] if p is None else [float(str(p))]
                compared |= set() if p is None else {*kinds}
            if tested:
                behind = [(cell, seed, run.spec.options.get("draws") == "own") for cell, by_seed in cells.items()
                          if cell[1] in noise for seed, run in by_seed.items()]
                draws = {(arm, seed, *((task, auxiliary) if own else ())) for (task, arm, auxiliary), seed, own in behind}
                drawn = sorted({"own" if own else "shared" for *_, own in behind})
                rows.append({"section": section, "arms": " ".join(arm for arm in arms if arm in compared),
                             "comparisons": len(tested),
                             "significant": sum(p < ALPHA for p in tested), "expected": ALPHA * len(tested),
                             "draws": len(draws) or None,
                             "drawn": "mixed" if len(drawn) > 1 else next(iter(drawn), None)})
    return pd.DataFrame(rows, columns=NULL_COLUMNS)
