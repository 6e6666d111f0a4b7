"""Published claims and what was measured in, every claim with its verdict out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from benchmark.evidence.claims import Claim, ClaimTest, Evidence, Judgement, judge
from benchmark.evidence.collect import CELL, Collection
from benchmark.evidence.estimates import (
    known,
)
from benchmark.evidence.pairing import Run, time_ratios
from benchmark.evidence.sections import PROFILES
from benchmark.evidence.stats import (
    Estimate,
    mean_interval,
    ratio_interval,
)

CLAIM_COLUMNS = ["id", "source", "target", "setting", "method", "published", "verdict", "reason", "consistent", "notes"]
CLAIM_COLUMNS += ["profile", "variant", "n", "measured", "low", "high", "p_holm", "found_from"]


def judge_claims(
    collection: Collection, claims: Iterable[Claim], cells: pd.DataFrame, effects: pd.DataFrame
) -> pd.DataFrame:
    """One row a claim, in the order of the ledger, judged after the last epoch: `effects` are of that selection.

    The verdict counts only runs of the profile that the claim's test names. The measured columns are
    those of the largest profile at which the claim's cell was run, named in `profile`; `variant` is that of its runs.
    """
    runs: dict[tuple[object, ...], list[Run]] = {}
    for run in collection.paired.runs:
        runs.setdefault(_cell_of(run), []).append(run)
    rows = []
    for claim in claims:
        found, other = ({}, []) if claim.test is None else _find(collection, claim.test, runs, cells, effects)
        profile = next((name for name in (*reversed(PROFILES), *sorted(found)) if name in found), None)
        variant, evidence = found.get(profile or "", (None, None))
        elsewhere = "; ".join([*(f"profile {name}" for name in sorted(found)), *other]) or None
        judgement: Judgement = judge(claim, found.get(claim.test.profile, (None, None))[1] if claim.test else None, elsewhere)
        values = (None,) * 6 if evidence is None else (
            evidence.n, evidence.mean, evidence.low, evidence.high, evidence.p_holm, evidence.found_from)
        names = (claim.id, claim.source, claim.target_dataset, claim.setting, claim.method, claim.published)
        rows.append((*names, str(judgement.verdict), judgement.reason, claim.gain_consistent is not False, claim.notes, profile,
                     variant, *values))
    return pd.DataFrame(rows, columns=CLAIM_COLUMNS)


def _find(
    collection: Collection, test: ClaimTest, runs: Mapping[tuple[object, ...], Sequence[Run]], cells: pd.DataFrame,
    effects: pd.DataFrame
) -> tuple[dict[str, tuple[str, Evidence]], list[str]]:
    """The variant and the evidence on a claim's cell by profile, of runs on all samples by the profile's own recipe, and the
    titles of the sections that have the cell under other conditions."""
    found: dict[str, tuple[str, Evidence]] = {}
    other: dict[str, None] = {}
    for run in runs.get((test.task, test.setting, test.arm, test.auxiliary), ()):
        section = collection.section_of[run.comparison]
        there = collection.sections[section]
        if not _has_options(run, test):
            continue
        if there.limit is not None or there.conditions:
            other[there.title] = None
            continue
        if not run.own:
            other[f"{there.title}, by another pretraining or rate of the scales"] = None
            continue
        if there.profile in found:
            continue
        key = dict(zip(CELL, (section, test.task, test.arm, test.auxiliary or "", run.variant), strict=True))
        same = [other for other in runs[_cell_of(run)]
                if (collection.section_of[other.comparison], other.variant) == (section, run.variant)]
        evidence = _evidence(collection, test, key, same, cells, effects)
        if evidence is not None:
            found[there.profile] = (run.spec.variant, evidence)
    return found, list(other)


def _cell_of(run: Run) -> tuple[object, ...]:
    return (run.spec.task, run.spec.setting, run.spec.arm, run.spec.auxiliary)


def _evidence(
    collection: Collection, test: ClaimTest, key: Mapping[str, object], runs: Sequence[Run], cells: pd.DataFrame,
    effects: pd.DataFrame
) -> Evidence | None:
    """What `runs`, all of one cell, say of what the claim is about; `key` finds the cell in the frames."""
    if test.quantity in ("gain", "value"):
        frame, prefix = (effects, "") if test.quantity == "gain" else (cells, "last_")
        for column, wanted in {**key, "metric": test.metric}.items():
            frame = frame[frame[column] == wanted]
        if frame.empty:
            return None
        row = frame.iloc[0]
        if test.quantity == "gain":
            n, mean, low, high, p, found = (row[name] for name in ("n", "difference", "low", "high", "p_holm", "found_from"))
            return Evidence(int(n), float(mean), known(low), known(high), known(p), known(found))
        n, mean, low, high = (row[f"{prefix}{name}"] for name in ("n", "mean", "low", "high"))
        return Evidence(int(n), float(mean), known(low), known(high))
    if test.quantity.endswith(" time"):
        pairs = ((run, other) for run in runs if (other := collection.paired.baseline_of.get(run)) is not None)
        values = time_ratios(pairs, test.quantity.removesuffix(" time"))
    else:
        name = test.quantity.removesuffix(" parameters")
        values = [run.record.parameters[name] / 1e6 for run in runs if name in run.record.parameters]
    if not values:
        return None
    estimate: Estimate = ratio_interval(values) if test.quantity.endswith(" time") else mean_interval(values)
    low, high = estimate.interval or (None, None)
    return Evidence(estimate.n, estimate.mean, low, high)


def _has_options(run: Run, test: ClaimTest) -> bool:
    """Whether the options of a run's arm differ from their defaults as the claim says, and in nothing else."""
    spec = run.spec
    changed = {part.partition("=")[0] for part in spec.variant.split(",") if part}
    return changed == test.options.keys() and all(
        _plain(spec.options.get(name)) == _plain(value) for name, value in test.options.items())


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
