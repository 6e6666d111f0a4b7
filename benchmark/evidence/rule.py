"""Runs of an arm, its baseline and its controls in; what the arm is worth beyond each of them, and verdicts, out.

The first rule, at the scale of the data that was run. It is no rule of unseen data: it was altered after the first seed of the
controls had been seen (adjusted were all differences before, not the largest p of each pair). An auxiliary *helps* a target
where the arm beats the plain baseline and every rival control, each difference paired by seed, positive, and significant. As
all must be, the largest of their p values is that of the pair (an intersection-union test), and Holm's adjustment is over the
pairs of the section: every target and auxiliary of that arm that has all its controls (all smaller shares of the labels are one
family). Otherwise there is *no evidence*, and the smallest upper end of the intervals says which effects beyond every control
are excluded. Where a control has not been run, or never in one seed and environment (device, threads, packages) with the arm,
or in one seed only, or where differences are the same in every seed, so that there is no test, nothing is said.

A variant of an arm is held against the same variant of each control, as a method that was tuned beats controls that were
not; a control without an auxiliary that has none of these options is taken as it is. One that validation chose is held also
against the plain model, tuned. All variants but the arm as it is are adjusted together: who tries eight has eight chances.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from types import MappingProxyType

import pandas as pd

from benchmark.evidence.collect import CELL, Collection, find_metric, sign_of, values_of_runs
from benchmark.evidence.estimates import (
    DIFFERENCE,
    difference_of,
    holm_of,
    known,
)
from benchmark.evidence.pairing import Run
from benchmark.evidence.sections import has_few_labels
from benchmark.evidence.stats import (
    ALPHA,
    POWER,
    minimal_detectable_effect,
)
from benchmark.records.record import Selection

Place = tuple[str, str, str, str]  # comparison, arm, auxiliary, variant
NOWHERE: Place = ("", "", "", "")
CONTRAST_COLUMNS = [*CELL, "tuned", "metric", "select", "reference", "in_rule", "unpaired", *DIFFERENCE]
VERDICT_COLUMNS = [*CELL, "tuned", "metric", "references", "missing", "p", "p_holm", "found_beyond_all_from",
                   "verdict", "excluded_above"]
VERDICT_COLUMNS += ["shared_sources", "not_paired"]
BASELINE, TUNED = "baseline", "tuned-baseline"
HELPS, NO_EVIDENCE, NOT_JUDGED, ONE_SEED, NO_SPREAD = "helps", "no evidence", "controls missing", "one seed", "no spread"
NOT_PAIRED = "controls not paired"  # they were run, but not so that they could be compared
ABSENT = "missing"  # and why others have no pairs
OTHER_SEEDS, ELSEWHERE, OTHER_START = "in other seeds", "in another environment", "from another target checkpoint"
AMBIGUOUS = "of which several fit"


def estimate_contrasts(
    collection: Collection, rivals: Mapping[str, Sequence[str]], select: Selection = "last", tuned_baseline: str | None = None,
    beside: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> pd.DataFrame:
    """One row for each cell of an arm that has rivals, and reference: the baseline, every rival, and, for information and
    not `in_rule`, the arms named in `beside` that were run.

    Paired are runs of one comparison, seed, environment and target checkpoint. A rival that starts from an auxiliary is
    taken with the same one, and each in the same variant. A reference without pairs has n = 0, and `unpaired` says why:
    it was not run (`ABSENT`), or never as the arm was: in other seeds, in another environment, from another checkpoint of the
    target. Of several variants that the arm and all its rivals were run in, a further row (`tuned`) compares the one of each
    that the validation split chose; one more reference is then the baseline, tuned: the best by validation of itself and of
    the variants of `tuned_baseline`, the plain model under other options, of which there must be as many as of the arm.
    """
    value = values_of_runs(collection, select)
    runs: dict[Place, dict[int, Run]] = {}
    for run in collection.paired.runs:
        if run in value:
            runs.setdefault(run.cell, {})[run.spec.seed] = run
    baselines: dict[str, dict[int, Run]] = {}
    for run in collection.paired.runs:
        if run in value and run.spec.role == "baseline":
            baselines.setdefault(run.comparison, {})[run.spec.seed] = run
    rows = []
    for place, others, tuned in _contrasts(collection, rivals, runs, tuned_baseline, beside):
        comparison, arm, auxiliary, variant = place
        treated = runs[place]
        task = next(iter(treated.values())).spec.task
        key = dict(zip(CELL, (collection.section_of[comparison], task, arm, auxiliary, variant), strict=True))
        key |= {"tuned": tuned, "metric": collection.tasks[task].metrics[0].name, "select": select}
        for reference, other_place in others.items():
            pairs: dict[int, tuple[float, float]] = {}
            for seed, run in sorted(treated.items()):
                other = collection.paired.baseline_of.get(run) if other_place is None else runs.get(other_place, {}).get(seed)
                if other is not None and alike(run, other) and other in value:
                    pairs[seed] = (value[run], value[other])
            unpaired = "" if pairs else _why_unpaired(treated, baselines.get(comparison, {}) if other_place is None else
                                                      runs.get(other_place, {}))
            sides = zip(*pairs.values(), strict=True)
            measured = difference_of(pairs, *sides) if pairs else dict.fromkeys(DIFFERENCE) | {"n": 0}
            rows.append({**key, "reference": reference, "in_rule": reference not in beside.get(arm, ()),
                         "unpaired": unpaired, **measured})
    tasks, modalities = list(collection.tasks), ["", *collection.modalities]
    rows.sort(key=lambda row: (row["section"], tasks.index(str(row["task"])), str(row["arm"]),
                               modalities.index(str(row["auxiliary"])), bool(row["tuned"]), str(row["variant"])))
    return pd.DataFrame(rows, columns=CONTRAST_COLUMNS)


def _why_unpaired(runs: Mapping[int, Run], others: Mapping[int, Run]) -> str:
    """Of two cells by seed without a pair, the nearest that they come to one"""
    if not others:
        return ABSENT
    both = [(runs[seed], others[seed]) for seed in sorted(runs.keys() & others.keys())]
    if not both:
        return OTHER_SEEDS
    if any(alike(run, other) for run, other in both):
        return AMBIGUOUS
    return OTHER_START if any(run.environment == other.environment for run, other in both) else ELSEWHERE


def _contrasts(
    collection: Collection, rivals: Mapping[str, Sequence[str]], runs: Mapping[Place, Mapping[int, Run]],
    tuned_baseline: str | None, beside: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Place, dict[str, Place | None], bool]]:
    """Each cell to judge with its references by name (None: the baseline of each run), and whether it was tuned for."""
    variants: dict[tuple[str, str, str], list[str]] = {}
    for comparison, arm, auxiliary, variant in runs:
        variants.setdefault((comparison, arm, auxiliary), []).append(variant)
    for (comparison, arm, auxiliary), own in variants.items():
        if arm not in rivals:
            continue
        others = {other: (comparison, other, auxiliary if (comparison, other, auxiliary) in variants else "")
                  for other in (*rivals[arm], *beside.get(arm, ()))}
        places = {rival: others[rival] for rival in rivals[arm]}
        for variant in own:
            same = {other: (*place, "" if _lacks(runs, place, variant) else variant) for other, place in others.items()}
            yield (comparison, arm, auxiliary, variant), {
                BASELINE: None, **{other: place for other, place in same.items() if other in places or place in runs}}, False
        tried = [variant for variant in own if all(variant in variants.get(place, ()) for place in places.values())]
        if len(tried) > 1 and places:
            chosen = {place: _chosen_on_val(collection, runs, [(*place, variant) for variant in tried])
                      for place in ((comparison, arm, auxiliary), *places.values())}
            if NOWHERE in chosen.values():  # no seed that all variants have
                continue
            plain = [place for place, there in runs.items() if place[0] == comparison
                     and (place[1] == tuned_baseline or next(iter(there.values())).spec.role == "baseline")]
            best = {TUNED: _chosen_on_val(collection, runs, plain) if len(plain) >= len(tried) else NOWHERE}
            yield chosen[comparison, arm, auxiliary], {
                BASELINE: None, **(best if tuned_baseline else {}),
                **{rival: chosen[place] for rival, place in places.items()}}, True


def _lacks(runs: Mapping[Place, Mapping[int, Run]], place: tuple[str, str, str], variant: str) -> bool:
    """Whether an arm that was run there, without an auxiliary, has none of the options that a variant names."""
    named = {part.partition("=")[0] for part in variant.split(",") if part}
    plain = runs.get((*place, ""), {})
    return bool(named and not place[2] and plain and (*place, variant) not in runs
                and not named & next(iter(plain.values())).spec.options.keys())


def _chosen_on_val(
    collection: Collection, runs: Mapping[Place, Mapping[int, Run]], places: Sequence[Place]
) -> Place:
    """Which has the best mean validation value after the last epoch, over the seeds that all have; `NOWHERE` without any."""
    by_place = {place: runs[place] for place in sorted(places)}
    seeds = set.intersection(*(set(by_seed) for by_seed in by_place.values()))
    means = {}
    for place, by_seed in by_place.items():
        spec = next(iter(by_seed.values())).spec
        metric = collection.tasks[spec.task].metrics[0]
        curves = [by_seed[seed].record.curve("val", metric.name) for seed in sorted(seeds)]
        values = [max(curve)[1] for curve in curves if curve]
        if values:
            means[place] = fmean(values) * sign_of(metric)
    return max(means, key=lambda place: means[place], default=NOWHERE)


def judge_contrasts(collection: Collection, contrasts: pd.DataFrame) -> pd.DataFrame:
    """One row a cell: the verdict of the rule above, and the sources that target and auxiliary share."""
    rows, groups = [], []
    ruled = contrasts[contrasts["in_rule"].astype(bool)]
    for key, group in ruled.groupby([*CELL, "tuned", "metric"], sort=False, dropna=False):
        *cell, tuned, name = key
        row = dict(zip(CELL, cell, strict=True)) | {"tuned": tuned, "metric": name}
        sign = sign_of(find_metric(collection, str(row["task"]), str(name)))
        why = {reference: text for reference, text in zip(group["reference"], group["unpaired"], strict=True) if text}
        missing = [reference for reference, text in why.items() if text == ABSENT]
        apart = [f"{reference} {text}" for reference, text in why.items() if text != ABSENT]
        ahead = bool((sign * group["difference"].astype(float) > 0).all())
        edges = sign * group["high" if sign > 0 else "low"].astype(float)
        rows.append(row | {
            "references": " ".join(group["reference"]), "missing": " ".join(missing),
            "not_paired": ", ".join(apart),
            "verdict": NOT_JUDGED if missing else NOT_PAIRED if apart else ONE_SEED if group["n"].min() < 2
                       else NO_SPREAD if group["p"].isna().any()
                       else HELPS if ahead else NO_EVIDENCE,
            "p": known(group["p"].astype(float).max(skipna=False)),
            "excluded_above": known(edges.min(skipna=False)),  # a gain: in the better direction
            "shared_sources": ", ".join(shared_sources(collection, str(row["task"]), str(row["auxiliary"])))})
        groups.append(group)
    frame = pd.DataFrame(rows, columns=VERDICT_COLUMNS).astype({"p": "float64"})
    altered = ~frame["tuned"].astype(bool) & (frame["variant"] != "")
    family_of = {number: f"few labels, {section.profile}, {section.setting}, {section.limit}"
                 if has_few_labels(section) else str(number)
                 for number, section in enumerate(collection.sections)}
    families = frame["p"].groupby([frame["section"].map(family_of), frame["arm"], altered, frame["tuned"]], sort=False)
    found = [_found_from(group, tests) for group, tests in zip(groups, families.transform("count"), strict=True)]
    frame = frame.assign(p_holm=families.transform(holm_of),
                         found_beyond_all_from=pd.Series(found, frame.index, dtype="float64"))
    frame.loc[(frame["verdict"] == HELPS) & ~(frame["p_holm"] < ALPHA), "verdict"] = NO_EVIDENCE
    return frame


def _found_from(references: pd.DataFrame, tests: int) -> float | None:
    """The advantage over each reference at once that the rule finds with probability `POWER` or more, where it finds no other
    of so many pairs: each test may miss it with the same part of what is left.
    """
    found = [minimal_detectable_effect(
                 float(sd), int(n), ALPHA / max(tests, 1), 1 - (1 - POWER) / len(references), int(n) - 1)
             if n > 1 and sd > 0 else None for sd, n in zip(references["sd"], references["n"], strict=True)]
    return None if None in found else max(effect for effect in found if effect is not None)


def shared_sources(collection: Collection, task: str, auxiliary: str) -> list[str]:
    """The makers whose work is in the target's data and in what the auxiliary was pretrained on"""
    return sorted(collection.tasks[task].sources & collection.pretraining_sources.get(auxiliary, frozenset()))


def alike(run: Run, other: Run) -> bool:
    """Whether two runs differ in their arms alone, and in the seed: one comparison, environment and target checkpoint"""
    return (run.comparison, run.environment, run.checkpoint) == (other.comparison, other.environment, other.checkpoint)
