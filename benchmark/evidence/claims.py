"""Published numbers in, verdicts out. A verdict is computed from measured effects and never written down anywhere.

The rules of `judge_gain` and `judge_value` are pure functions of numbers; `report` finds the numbers.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from benchmark.evidence.detectable import PAIR, show_points
from benchmark.evidence.stats import ALPHA
from benchmark.plan.study import Study
from benchmark.spec.recipes import Frozen, Setting

VALUE_MARGIN = 1.0  # points: about the largest gain that is published
RATIO_MARGIN = 0.1  # of a baseline's cost
PARAMETER_TOLERANCE = 0.02  # of parameter counts: 172.6 M is printed for what connects to 171.5 M
Quantity = Literal["gain", "value", "train time", "inference time", "training parameters", "merged parameters"]


class Verdict(StrEnum):
    """What the records say about one claim, the strongest statement first."""

    REPRODUCED = "reproduced"
    DIRECTION_ONLY = "direction only"
    NOT_REPRODUCED = "not reproduced"
    CONTRADICTED = "contradicted"
    INCONCLUSIVE = "inconclusive"
    NOT_COMPARABLE = "not comparable"
    NOT_RUN = "not run"


def cell_command(profile: str, task: str, setting: str, arm: str, auxiliary: str | None) -> list[str]:
    """The words of the command that trains a cell with the plain baseline of its setting, options left out."""
    baseline = {"pretrained": "finetune"}.get(setting, setting)
    arms = arm if arm == baseline else f"{baseline},{arm}"
    words = ["benchmark", "run", "--profile", profile, "-t", task, "--arm", arms, "--setting", setting]
    return words + (["-x", auxiliary] if auxiliary else [])


class ClaimTest(Frozen):
    """The cell that tests a claim, and what is judged of it."""

    profile: str  # the only one whose data, shapes and recipes are those published
    task: str
    setting: Setting
    arm: str
    auxiliary: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)  # of the arm, where they differ from its defaults
    metric: str | None = None  # None: the quantity is no metric
    quantity: Quantity

    @property
    def command(self) -> str:
        """What runs the cell with its baseline."""
        parts = cell_command(self.profile, self.task, self.setting, self.arm, self.auxiliary)
        parts += [f"--set arm.{name}={_as_json(value)}" for name, value in self.options.items()]
        return " ".join(parts)


class Claim(Frozen):
    """One published number. `absolute_gain`, `gain_consistent` and `notes` are this suite's reading of it."""

    id: str
    source: str
    target_dataset: str
    metric: str
    unit: str
    setting: str
    method: str
    aux_modality: str | None = None
    reported_value: float
    reported_baseline_value: float | None = None
    baseline_name: str | None = None
    reported_relative_gain_pct: float | None = None
    recomputed_relative_gain_pct: float | None = None
    reported_standard_error: float | None = None
    absolute_gain: float | None = None
    gain_consistent: bool | None = None
    notes: str = ""
    kind: str = ""
    test: ClaimTest | None = None
    untested: str | None = None

    @property
    def published(self) -> str:
        """E.g. "83.9 against 83.3 (+0.6)"."""
        text = as_printed(self.reported_value)
        if self.reported_baseline_value is not None:
            text += f" against {as_printed(self.reported_baseline_value)}"
        return text if self.absolute_gain is None else f"{text} ({as_printed(self.absolute_gain, signed=True)})"


def as_printed(value: float, signed: bool = False) -> str:
    """A published number with the digits that it is published with, at least one decimal."""
    text = f"{value:{'+' if signed else ''}g}"
    return text if "." in text else f"{text}.0"


@dataclass(frozen=True)
class Evidence:
    """What was measured of a claim's cell, in the claim's unit. A gain is paired with its baseline by seed."""

    n: int
    mean: float
    low: float | None  # 95 % t-interval; None for one seed, or values without spread
    high: float | None
    p_holm: float | None = None  # of a gain
    found_from: float | None = None  # of a gain, see `benchmark.evidence.detectable`


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reason in one line."""

    verdict: Verdict
    reason: str


def load_claims(study: Study) -> tuple[Claim, ...]:
    """Every published number of a study; raises `ValueError` for one that is incomplete or listed twice."""
    return () if study.claims is None else _read(study.claims, study.profile)


@functools.lru_cache
def _read(path: Path, profile: str) -> tuple[Claim, ...]:
    from benchmark.spec.yamlfile import read_yaml

    try:
        content = read_yaml(path)
        claims = tuple(Claim.model_validate(_under(profile, entry)) for entry in content["claims"])
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"claims {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"claims {path} cannot be read: {error}") from error
    if len({claim.id for claim in claims}) != len(claims):
        raise ValueError(f"claims {path}: an id is used twice")
    for claim in claims:
        if (claim.test is None) == (claim.untested is None):
            raise ValueError(f"claims {path}: {claim.id} needs either `test` or `untested`")
        if claim.test is not None and claim.test.quantity == "gain" and not claim.absolute_gain:
            raise ValueError(f"claims {path}: {claim.id} has no gain to test")
    return claims


def _under(profile: str, entry: dict[str, Any]) -> dict[str, Any]:
    """A claim of the file, tested under a profile"""
    test = entry.get("test")
    return {**entry, "test": {"profile": profile, **test}} if isinstance(test, dict) else entry


def judge(claim: Claim, evidence: Evidence | None, elsewhere: str | None = None) -> Judgement:
    """The verdict on one claim. `elsewhere` says at which other scale its cell was run, if it was."""
    if claim.test is None:
        return Judgement(Verdict.NOT_RUN, claim.untested or "")
    if evidence is None:
        if elsewhere is not None:
            return Judgement(Verdict.NOT_COMPARABLE, f"run with {elsewhere} only: not the data, scale and recipe published")
        return Judgement(Verdict.NOT_RUN, f"no record; {claim.test.command}")
    if claim.test.quantity == "gain":
        return judge_gain(claim.absolute_gain or 0.0, evidence)
    if claim.test.quantity.endswith(" time"):
        return judge_ratio(claim.reported_value / (claim.reported_baseline_value or claim.reported_value), evidence)
    if claim.test.quantity in ("training parameters", "merged parameters"):
        return judge_count(claim.reported_value, evidence)
    return judge_value(claim.reported_value, evidence)


def judge_gain(published: float, evidence: Evidence) -> Judgement:
    """A published difference to a baseline against the measured one.

    Significant in its direction: reproduced where the interval reaches the published gain, direction only where all of
    it falls short. Significant in the other direction: contradicted. Not significant: not reproduced where an effect of
    the published size would have been found with the stated power, by a test as strict, and the interval excludes it;
    else inconclusive. Significance is that after Holm's adjustment.
    """
    if evidence.low is None or evidence.high is None:
        return Judgement(Verdict.INCONCLUSIVE, f"{_shown(evidence)}: no interval, so no test")
    sign, printed = 1 if published > 0 else -1, as_printed(published, signed=True)
    far = evidence.high if sign > 0 else -evidence.low
    significant = evidence.p_holm is not None and evidence.p_holm < ALPHA
    if significant and sign * evidence.mean > 0:
        if far >= abs(published):
            return Judgement(Verdict.REPRODUCED, f"{_shown(evidence)} against {printed} published")
        return Judgement(Verdict.DIRECTION_ONLY, f"{_shown(evidence)} is less than the {printed} published")
    if significant and sign * evidence.mean < 0:
        return Judgement(Verdict.CONTRADICTED, f"{_shown(evidence)} against {printed} published")
    found = evidence.found_from
    near = evidence.low if sign > 0 else -evidence.high
    if near > 0 and far >= abs(published):
        return Judgement(Verdict.INCONCLUSIVE, f"{_shown(evidence)} holds {printed} and not 0, but is not significant "
                                               "among so many tests (Holm)")
    if found is not None and found <= abs(published):
        if far >= abs(published):
            return Judgement(Verdict.INCONCLUSIVE, f"{_shown(evidence)} holds both 0 and {printed}")
        return Judgement(Verdict.NOT_REPRODUCED, f"{_shown(evidence)}, which excludes {printed}; {PAIR} "
                                                 f"{show_points(found)}")
    needed = "an unknown size" if found is None else show_points(found)
    return Judgement(Verdict.INCONCLUSIVE, f"{_shown(evidence)}; {PAIR} {needed}, published {printed}")


def judge_value(published: float, evidence: Evidence) -> Judgement:
    """A published absolute number against the interval of the measured mean, and the rounding of what was printed.

    An interval that holds the number and is wider than `VALUE_MARGIN` to each side says too little to reproduce it.
    """
    if evidence.low is None or evidence.high is None:
        return Judgement(Verdict.INCONCLUSIVE, f"{_shown(evidence, signed=False)}: no interval, so no test")
    printed = as_printed(published)
    rounding = 0.5 * 10.0 ** -len(printed.partition(".")[2])
    inside = evidence.low - rounding <= published <= evidence.high + rounding
    if inside and evidence.high - evidence.low > 2 * VALUE_MARGIN:
        return Judgement(Verdict.INCONCLUSIVE, f"{_shown(evidence, signed=False)} holds {printed}, and is too wide to tell")
    verdict = Verdict.REPRODUCED if inside else Verdict.NOT_REPRODUCED
    return Judgement(verdict, f"{_shown(evidence, signed=False)} against {printed} published")


def judge_ratio(published: float, evidence: Evidence) -> Judgement:
    """A published cost over its baseline's, against the measured ratio: reproduced where its interval holds it and is no
    wider than `RATIO_MARGIN` to each side.
    """
    if evidence.low is None or evidence.high is None:
        return Judgement(Verdict.INCONCLUSIVE, f"a factor of {evidence.mean:.3f} (n={evidence.n}): no interval, so no test")
    shown = f"a factor of {evidence.mean:.3f} ({evidence.low:.3f} to {evidence.high:.3f}, n={evidence.n})"
    inside = evidence.low <= published <= evidence.high
    if inside and evidence.high - evidence.low > 2 * RATIO_MARGIN:
        return Judgement(Verdict.INCONCLUSIVE, f"{shown} holds {published:.3f}, and is too wide to tell")
    verdict = Verdict.REPRODUCED if inside else Verdict.NOT_REPRODUCED
    return Judgement(verdict, f"{shown} against {published:.3f} published, on other hardware")


def judge_count(published: float, evidence: Evidence) -> Judgement:
    """A published number of parameters, in millions, against the counted one."""
    verdict = Verdict.REPRODUCED if abs(evidence.mean / published - 1) <= PARAMETER_TOLERANCE else Verdict.NOT_REPRODUCED
    return Judgement(verdict, f"counted {evidence.mean:.2f} M against {as_printed(published)} M published")


def _shown(evidence: Evidence, signed: bool = True) -> str:
    sign = "+" if signed else ""
    mean, *ends = (f"{value:{sign}z.2f}" for value in (evidence.mean, evidence.low, evidence.high) if value is not None)
    interval = f" ({' to '.join(ends)})" if ends else ""
    return f"{mean}{interval}, n={evidence.n}"


def _as_json(value: object) -> str:
    import json
    import shlex

    return shlex.quote(json.dumps(value, separators=(",", ":")))
