"""Records in, every estimate and verdict of a report out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.evidence.claims import Claim, load_claims
from benchmark.evidence.collect import Collection, collect
from benchmark.evidence.compare import OutputsBeside, compare
from benchmark.evidence.cost import estimate_cost
from benchmark.evidence.directions import estimate_directions, predict_gains
from benchmark.evidence.doses import DOSE_COLUMNS, detected_cosines, estimate_doses
from benchmark.evidence.doubts import SEVERAL_VERSIONS, STARTED_OTHERWISE
from benchmark.evidence.equal import estimate_equal_cost
from benchmark.evidence.estimates import (
    estimate_cells,
    estimate_effects,
    estimate_pretraining,
)
from benchmark.evidence.inputs import Problem, TaskInfo
from benchmark.evidence.matrix import MISSING, count_missing
from benchmark.evidence.means import estimate_means, estimate_null
from benchmark.evidence.pairing import CONTRADICTS
from benchmark.evidence.ranks import estimate_power, rank_cells
from benchmark.evidence.rule import BASELINE, estimate_contrasts, judge_contrasts
from benchmark.evidence.rule2 import RULE2_COLUMNS, estimate_rule2
from benchmark.evidence.sanity import estimate_sanity
from benchmark.evidence.scales import layer_sizes, scale_agreement
from benchmark.evidence.secondary import estimate_secondary
from benchmark.evidence.shares import estimate_shares
from benchmark.evidence.verdicts import judge_claims
from benchmark.plan.study import Study
from benchmark.provenance.currency import Standing
from benchmark.records.record import Record, Selection
from benchmark.records.signed import Signed

if TYPE_CHECKING:
    from benchmark.records.pictures import Pictures

# what `report --fail-on` knows
FINDINGS = ("contradicted", "not-reproduced", "other-code", "other-data", MISSING, "failed", "unreadable", "conflicting",
            "in-doubt")


@dataclass(frozen=True)
class Extras:
    """What lies beside the records and is shown where it is there: of a record by its identity, of a run's cell by its name."""

    alignments: Mapping[str, Sequence[float]] = field(default_factory=dict)  # of runs with their baselines
    samples: Mapping[tuple[str, str], Pictures] = field(default_factory=dict)  # by task and profile
    reconstructions: Mapping[str, Pictures] = field(default_factory=dict)  # of pretrainings
    cosines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of auxiliaries with what fine-tuning adds
    endpoints: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # secondary ones
    signed: Mapping[str, Signed] = field(default_factory=dict)  # what pathways were worth to the loss
    unchanged: Mapping[str, int] = field(default_factory=dict)  # cells that answer as their baseline, with their seeds
    outputs_beside: OutputsBeside | None = None  # those of other results


@dataclass(frozen=True)
class Analysis:
    """Everything that a report says, before it is written."""

    study: Study
    collection: Collection
    select: Selection
    cells: pd.DataFrame
    effects: pd.DataFrame
    pretraining: pd.DataFrame
    contrasts: pd.DataFrame
    verdicts: pd.DataFrame
    second: pd.DataFrame  # the second rule
    second_lacks: str  # for its verdict
    means: pd.DataFrame
    null: pd.DataFrame
    scales: pd.DataFrame  # how alike they are
    layers: pd.DataFrame  # their sizes
    ranks: pd.DataFrame
    power: pd.DataFrame
    cost: pd.DataFrame
    equal: pd.DataFrame  # gains beside costs
    sanity: pd.DataFrame
    doses: pd.DataFrame  # of a known solution
    detected: pd.DataFrame  # the cosines that are found
    directions: pd.DataFrame  # where A points
    predicted: pd.DataFrame  # the gains that doses predict of it
    secondary: pd.DataFrame
    shares: pd.DataFrame
    claims: Sequence[Claim]
    judged: pd.DataFrame  # the claims with their verdicts
    extras: Extras
    compared: Collection | None = None  # other results
    comparison: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def question(self) -> str:
        """The study's; none in particular of runs of which none is of its method or takes an auxiliary: they do not ask it"""
        runs = self.collection.paired.runs
        asked = not runs or any(run.spec.auxiliary or run.spec.arm == self.study.method for run in runs)
        return self.study.question if asked else Study().question

    def stand_ins(self, section: int) -> Mapping[str, str]:
        """By task: what its data are in a section, e.g. "drawings (stands in for Photos-1K)", where its name does not say it"""
        return {} if self.collection.sections[section].profile == self.study.profile else self.study.stand_ins

    def data_of(self, section: int, task: str) -> str:
        """As `stand_ins`, or the task's name"""
        return self.stand_ins(section).get(task, task)

    def count(self, finding: str) -> int:
        """How often one of `FINDINGS` occurs."""
        if finding in ("contradicted", "not-reproduced"):
            return int((self.judged["verdict"] == finding.replace("-", " ")).sum())
        if finding == MISSING:
            return count_missing(self.collection, self.cells, self.effects)
        if finding in ("other-code", "other-data"):
            return sum(run.standing.state == finding.replace("-", " ") for run in self.collection.paired.runs)
        if finding == "conflicting":
            return sum(remark.kind == CONTRADICTS for remark in self.collection.remarks)
        if finding == "in-doubt":
            return (sum(remark.kind in (STARTED_OTHERWISE, SEVERAL_VERSIONS) for remark in self.collection.remarks)
                    + sum(problem.in_doubt for problem in self.collection.problems))
        return sum(problem.state == finding for problem in self.collection.problems)


def analyse(
    records: Iterable[Path | Record],
    problems: Iterable[Problem],
    select: Selection = "last",
    *,
    tasks: Mapping[str, TaskInfo],
    study: Study | None = None,
    standings: Mapping[str, Standing] | None = None,
    spares: Iterable[tuple[str, Record, Record]] = (),
    extras: Extras | None = None,
    compared: Iterable[Path | Record] | None = None,
    compared_problems: Iterable[Problem] = (),
) -> Analysis:
    """All estimates and verdicts.

    `tasks` says what records do not: modality, metrics and chance, in the order of the tables. `study` is what the runs are
    asked; without one no gain has a rival and nothing was published. `standings` holds how each record stands to today's code
    and data by its origin, if known. `spares`: see `Gathered`. `compared` are other records, to set beside these cell by cell,
    and `compared_problems` what of them has none.
    """
    study = study or Study()
    claims = load_claims(study)
    collection = collect(records, problems, tasks, standings, spares)
    cells, effects = estimate_cells(collection), estimate_effects(collection, select)
    last = effects if select == "last" else estimate_effects(collection, "last")
    rivals, beside, told = (tuple(named.get(study.method, ())) for named in (study.rivals, study.beside, study.told))
    outside = {arm: (*study.beside.get(arm, ()), *study.told.get(arm, ())) for arm in (*study.beside, *study.told)}
    contrasts = estimate_contrasts(collection, study.rivals, select, study.tuned_baseline, outside)
    extras = extras or Extras()
    verdicts = judge_contrasts(collection, contrasts)
    cost = estimate_cost(collection)
    equal = estimate_equal_cost(collection, cost, select)
    directions = estimate_directions(collection, extras.signed, study)
    doses = (pd.DataFrame(columns=DOSE_COLUMNS) if study.dose is None else
             estimate_doses(collection, contrasts, verdicts, *study.dose))
    second, second_lacks = ((pd.DataFrame(columns=RULE2_COLUMNS), "") if study.second_rule is None else
                            estimate_rule2(collection, study.method, study.second_rule, rivals, beside, claims))
    other = None if compared is None else collect(compared, compared_problems, tasks)
    return Analysis(
        study, collection, select, cells, effects, estimate_pretraining(collection, select), contrasts,
        verdicts, second, second_lacks,
        estimate_means(collection, study.method, (*rivals, *beside, *told), claims, select),
        estimate_null(collection, study.noise, (*rivals, *beside), select), scale_agreement(collection, study.method),
        layer_sizes(collection), rank_cells(collection, select), estimate_power(collection, effects, claims),
        cost, equal, estimate_sanity(collection, study.equal, select),
        doses, detected_cosines(collection, doses, extras.cosines), directions, predict_gains(directions, equal, study),
        estimate_secondary(collection, extras.endpoints, study.rivals), estimate_shares(collection, effects),
        claims, judge_claims(collection, claims, cells, last), extras, other,
        compare(collection, other, select) if other is not None else pd.DataFrame())


def has_controls(analysis: Analysis, section: int) -> bool:
    """Whether anything but its baseline that an arm is compared with, in the rule or beside it, was run in a section."""
    contrasts = analysis.contrasts
    measured = contrasts[(contrasts["section"] == section) & (contrasts["n"].astype(float) > 0)]
    return not set(measured["reference"]) <= {BASELINE}
