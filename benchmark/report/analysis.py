"""Records in, everything that a report says before it is written out. No torch."""

from __future__ import annotations

from collections.abc import Collection as AbstractCollection
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.evidence.claims import TESTED_PROFILE, Claim
from benchmark.evidence.collect import Collection, collect
from benchmark.evidence.estimates import estimate_cells, estimate_effects, estimate_pretraining, pooled_spread
from benchmark.evidence.inputs import Problem, TaskInfo
from benchmark.evidence.stats import ALPHA, minimal_detectable_effect
from benchmark.records.record import Record, Selection
from benchmark.report.compare import compare
from benchmark.report.cost import estimate_cost
from benchmark.report.evidence import (
    BASELINE,
    estimate_contrasts,
    judge_claims,
    judge_contrasts,
    shared_sources,
    summarise_verdicts,
)
from benchmark.report.ranks import estimate_power, rank_cells
from benchmark.report.sanity import WRONG, estimate_sanity
from benchmark.report.shares import estimate_shares

if TYPE_CHECKING:
    from numpy.typing import NDArray

FINDINGS = ("contradicted", "not-reproduced", "stale", "missing", "failed", "unreadable")  # what `report --fail-on` knows
Gallery = Mapping[str, "Mapping[str, NDArray[Any]]"]


@dataclass(frozen=True)
class Extras:
    """What lies beside the records and is shown where it is there."""

    alignments: Mapping[str, Sequence[float]] = field(default_factory=dict)  # of runs with their baselines, by run id
    samples: Mapping[tuple[str, str], Mapping[str, NDArray[Any]]] = field(default_factory=dict)  # by task and profile
    reconstructions: Gallery = field(default_factory=dict)  # by run id of the pretraining


@dataclass(frozen=True)
class Analysis:
    """Everything that a report says, before it is written."""

    collection: Collection
    select: Selection
    cells: pd.DataFrame
    effects: pd.DataFrame
    pretraining: pd.DataFrame
    contrasts: pd.DataFrame
    verdicts: pd.DataFrame
    ranks: pd.DataFrame
    power: pd.DataFrame
    cost: pd.DataFrame
    sanity: pd.DataFrame
    shares: pd.DataFrame
    claims: Sequence[Claim]
    judged: pd.DataFrame  # the claims with their verdicts
    extras: Extras
    compared: Collection | None = None  # other results
    comparison: pd.DataFrame = field(default_factory=pd.DataFrame)

    def count(self, finding: str) -> int:
        """How often one of `FINDINGS` occurs."""
        if finding in ("contradicted", "not-reproduced"):
            return int((self.judged["verdict"] == finding.replace("-", " ")).sum())
        if finding == "stale":
            return sum(run.stale for run in self.collection.paired.runs)
        return sum(problem.state == finding for problem in self.collection.problems)


def analyse(
    records: Iterable[Path | Record],
    problems: Iterable[Problem],
    select: Selection = "last",
    *,
    tasks: Mapping[str, TaskInfo],
    current: AbstractCollection[str] | None = None,
    rivals: Mapping[str, Sequence[str]] | None = None,
    beside: Mapping[str, Sequence[str]] | None = None,
    tuned_baseline: str | None = None,
    equal: AbstractCollection[str] = (),
    claims: Sequence[Claim] = (),
    extras: Extras | None = None,
    compared: Iterable[Path | Record] | None = None,
) -> Analysis:
    """All estimates and verdicts.

    `tasks` says what records do not: modality, metrics and chance, in the order of the tables. `current` holds the run
    ids that the current code would compute, if known; all other runs are marked as stale. `rivals` are the controls by arm
    that a gain must beat, `beside` others that it is compared with for information, and the variants of `tuned_baseline`
    those of the baseline that a tuned arm must beat; arms in `equal` are the baseline by construction; `claims` is the ledger
    to judge; `compared` other records, to set beside these cell by cell.
    """
    collection = collect(records, problems, tasks, current)
    cells, effects = estimate_cells(collection), estimate_effects(collection, select)
    contrasts = estimate_contrasts(collection, rivals or {}, select, tuned_baseline, beside or {})
    other = None if compared is None else collect(compared, (), tasks)
    return Analysis(
        collection, select, cells, effects, estimate_pretraining(collection, select), contrasts,
        judge_contrasts(collection, contrasts), rank_cells(collection, select), estimate_power(collection, effects, claims),
        estimate_cost(collection), estimate_sanity(collection, equal, select), estimate_shares(collection, effects),
        claims, judge_claims(collection, claims, cells, effects), extras or Extras(), other,
        compare(collection, other, select) if other is not None else pd.DataFrame())


def has_controls(analysis: Analysis, section: int) -> bool:
    """Whether any control that a gain must beat was run in a section."""
    contrasts = analysis.contrasts
    measured = contrasts[(contrasts["section"] == section) & (contrasts["n"].astype(float) > 0) & contrasts["in_rule"]]
    return not set(measured["reference"]) <= {BASELINE}


def control_verdicts(analysis: Analysis, section: int) -> list[tuple[str, str]]:
    """Each arm and variant of a section, and the variants that validation chose, with their sentence"""
    ours = analysis.verdicts[analysis.verdicts["section"] == section]
    found: dict[str, str] = {}
    for arm, variant, tuned in dict.fromkeys(zip(ours["arm"], ours["variant"], ours["tuned"], strict=True)):
        name = f"{arm}, each in the variant chosen on val" if tuned else f"{arm} [{variant}]" if variant else arm
        same = ours[(ours["arm"] == arm) & (ours["tuned"] == tuned) & (tuned | (ours["variant"] == variant))]
        found.setdefault(name, summarise_verdicts(same))
    return list(found.items())


def answer(analysis: Analysis) -> list[str]:
    """The first thing that a reader sees: what the complete sections say, a sentence each."""
    collection, effects = analysis.collection, analysis.effects
    if not collection.records:
        return ["There is no finished run."]
    main = {task: info.metrics[0] for task, info in collection.tasks.items()}
    lines = []
    for number, section in enumerate(collection.sections):
        ours = effects[(effects["section"] == number) & (effects["role"] == "method") & (effects["variant"] == "")]
        ours = ours[[metric == main[task].name for task, metric in zip(ours["task"], ours["metric"], strict=True)]]
        if section.conditions or section.limit is not None or ours.empty:
            continue
        title = section.title[0].upper() + section.title[1:]
        single = int((ours["n"].astype(float) < 2).sum())
        ours = ours[ours["n"].astype(float) >= 2]
        if ours.empty:
            lines.append(f"{title}: {single} target x auxiliary pairs ran in one seed, which tells nothing of chance.")
            continue
        sign = [1 if main[task].higher_is_better else -1 for task in ours["task"]]
        found, better = ours["p_holm"].astype(float) < ALPHA, ours["difference"] * sign > 0
        text = (f"{title}: of {len(ours)} target x auxiliary pairs, {int((found & better).sum())} gain over their baseline and "
                f"{int((found & ~better).sum())} lose beyond chance (paired by seed, Holm-adjusted")
        edges = [f"{task} {edge:.1f}" for task in dict.fromkeys(ours["task"])
                 if (edge := _found_from(ours[ours["task"] == task], len(ours))) is not None]
        text += f"; effects that could have been found: from {', '.join(edges)})." if edges else ")."
        apart = [not shared_sources(collection, str(task), str(name)) for task, name in zip(ours["task"], ours["auxiliary"],
                                                                                            strict=True)]
        if not all(apart):
            text += (f" Of the {sum(apart)} that share no data source, {int((found & better)[apart].sum())} gain and "
                     f"{int((found & ~better)[apart].sum())} lose.")
        if single:
            text += f" {single} more ran in one seed, which tells nothing of chance."
        judged = dict(control_verdicts(analysis, number)).get("m2pt", "")
        lines.append(text + (f" {judged}" if judged and not judged.startswith("Not judged") else ""))
    return lines or ["No target x auxiliary pair has been measured on all data yet."]


def _found_from(effects: pd.DataFrame, tests: int) -> float | None:
    """What the test of one of so many pairs finds with probability `POWER` where a target's pairs scatter alike."""
    effects = effects[effects["sd"].astype(float) > 0]
    pooled = pooled_spread(effects)
    if pooled is None:
        return None
    return minimal_detectable_effect(pooled[0], int(effects["n"].min()), ALPHA / tests, spread_df=pooled[1])


def badges(analysis: Analysis) -> list[str]:
    """Reservations about all that follows"""
    collection = analysis.collection
    profiles = sorted({section.profile for section in collection.sections} - {TESTED_PROFILE})
    found = [f"Profile {', '.join(profiles)}: embedded data at a small scale, not comparable with published numbers"] \
        if profiles else []
    if any(section.limit is not None for section in collection.sections):
        found.append("Some rows saw a few samples only: they show that everything runs, and nothing else")
    stale = sum(run.stale for run in collection.paired.runs)
    wrong = int((analysis.sanity["outcome"] == WRONG).sum())
    if wrong:
        found.append(f"{wrong} of {len(analysis.sanity)} sanity checks failed: nothing here is to be relied on")
    if stale:
        found.append(f"{stale} of {len(collection.paired.runs)} runs were not computed by the current code")
    return found
