"""The second rule: level and power as its protocol states them, in simulated experiments; verdicts on unseen seeds alone."""

from __future__ import annotations

import re
from statistics import fmean

import numpy as np
import pandas as pd
import pytest
from readme import ROOT
from scipy.stats import f_oneway, ttest_ind
from scipy.stats import t as student

from baselines import STUDY
from benchmark.evidence.claims import load_claims
from benchmark.evidence.means import printed_gains
from benchmark.evidence.rule import BASELINE
from benchmark.evidence.rule2 import judge_values
from benchmark.evidence.stats import ALPHA
from tasks import TASKS

EXPERIMENTS = 2000
SPREADS = np.array([0.42, 0.20, 0.72, 0.84])  # of the protocol: images, parts, video, sounds
METHOD, REFERENCES = "m2pt", (BASELINE, "random-norm", "self-copy")
ARMS = (BASELINE, *[METHOD] * 3, *["random-norm"] * 3, "self-copy", "same-modality")
SEEDS = len(STUDY.second_rule.seeds)
ALLOWED = 0.05 + 2 * np.sqrt(0.05 * 0.95 / EXPERIMENTS)  # of a level of 5 %, as so many experiments tell it


def experiments(shift: dict[str, float] | None = None, effect: np.ndarray | None = None, seed: int = 0, shared: float = 0.0):
    """(EXPERIMENTS, 4, 9, SEEDS) values: `shift` of every row of an arm in spreads, `effect` of the method by target in
    points, `shared` the part of the method's variance that its three arms have in common."""
    random = np.random.default_rng(seed)
    values = random.standard_normal((EXPERIMENTS, 4, len(ARMS), SEEDS))
    common = random.standard_normal((EXPERIMENTS, 4, 1, SEEDS))
    rows = [arm == METHOD for arm in ARMS]
    values[:, :, rows] = np.sqrt(1 - shared) * values[:, :, rows] + np.sqrt(shared) * common
    values += 3 * random.standard_normal((EXPERIMENTS, 4, 1, SEEDS))  # of a seed: paired away
    values += np.array([(shift or {}).get(arm, 0.0) for arm in ARMS])[:, None]
    values *= SPREADS[:, None, None]
    if effect is not None:
        values += effect[:, None, None] * np.array(rows)[:, None]
    return values


def holm_rejects(p: np.ndarray) -> np.ndarray:
    """(EXPERIMENTS, 4) p values -> which are significant by Holm's step-down procedure"""
    order = np.argsort(p, axis=1)
    passed = np.take_along_axis(p, order, 1) * (p.shape[1] - np.arange(p.shape[1])) < ALPHA
    found = np.zeros(p.shape, bool)
    np.put_along_axis(found, order, np.logical_and.accumulate(passed, axis=1), 1)
    return found


def judged(values: np.ndarray) -> dict[str, np.ndarray]:
    """Significant or not: of the contrast and beyond each by target, and of both over all pairs"""
    one, whole = judge_values(values, ARMS, METHOD, REFERENCES)
    each, every = (np.max([test.p for test in side.each.values()], axis=0) for side in (one, whole))
    return {"contrast": holm_rejects(one.contrast.p), "each": holm_rejects(each), "all": whole.contrast.p < ALPHA,
            "all each": every < ALPHA}


def stated(row: str) -> np.ndarray:
    text = STUDY.second_rule.protocol.read_text(encoding="utf-8")
    (line,) = re.findall(rf"^\| {row} finds, in four of five experiments, from \| (.*) \|$", text, re.M)
    return np.array([float(value) for value in line.split(" | ")])


def test_the_level_is_five_per_cent_without_any_effect():
    found = judged(experiments())
    assert found["contrast"].any(1).mean() <= ALLOWED
    assert found["all"].mean() <= ALLOWED
    assert found["all"].mean() > 0.01, "a test that never finds anything has no level"


@pytest.mark.parametrize("shift", [{"random-norm": -0.5}, {"random-norm": -1.0}, {"random-norm": -3.0},
                                   {BASELINE: -0.5, "random-norm": -0.5}, {BASELINE: -3.0, "random-norm": -3.0},
                                   {"random-norm": -3.0, "self-copy": -3.0}, {BASELINE: -3.0, "self-copy": -3.0}], ids=str)
def test_help_has_its_level_whatever_the_references_do_and_their_mean_alone_has_not(shift):
    """The method is worth what the references are that are not shifted: no knowledge of another modality."""
    found = judged(experiments(shift))
    assert (found["each"] & found["contrast"]).any(1).mean() <= ALLOWED
    assert (found["all each"] & found["all"]).mean() <= ALLOWED
    if min(shift.values()) == -1.0:
        assert found["contrast"].any(1).mean() > 0.2, "which is why the mean of references is not enough"


def test_arms_of_the_method_that_scatter_together_do_not_break_the_level():
    assert judged(experiments(shared=0.3))["contrast"].any(1).mean() <= ALLOWED + 0.01


@pytest.mark.parametrize(("row", "name"), [("2", "contrast"), ("3", "each")])
@pytest.mark.parametrize("target", range(4))
def test_stated_effects_are_found_in_four_of_five_experiments(row, name, target):
    effect = np.where(np.arange(4) == target, stated(row)[:4], 0.0)
    assert judged(experiments(effect=effect, seed=target))[name][:, target].mean() >= 0.8


@pytest.mark.parametrize(("row", "name"), [("2", "all"), ("3", "all each")])
def test_a_stated_mean_over_all_pairs_is_found_in_four_of_five_experiments(row, name):
    effect = stated(row)[4] * SPREADS / SPREADS.mean()
    assert judged(experiments(effect=effect))[name].mean() >= 0.8


def test_spread_and_contrast_are_those_of_an_analysis_of_variance():
    values = np.random.default_rng(3).standard_normal((1, len(ARMS), SEEDS))
    one, _ = judge_values(values, ARMS, METHOD, REFERENCES)
    centred = values[0] - values[0].mean(0)  # of each seed
    between = f_oneway(*centred).statistic  # whose within has A (S - 1) degrees of freedom; ours has (A - 1) (S - 1)
    arms_ms = SEEDS * centred.mean(1).var(ddof=1)
    within_df, df = len(ARMS) * (SEEDS - 1), (len(ARMS) - 1) * (SEEDS - 1)
    assert one.spread[0] ** 2 == pytest.approx(arms_ms / between * within_df / df)
    assert one.contrast.difference[0] == pytest.approx(values[0, 1:4].mean() - values[0][[0, 4, 5, 6, 7]].mean())
    assert one.contrast.df[0] == df
    assert one.widened[0] >= 1


def test_how_often_chance_widens_errors_as_much_as_in_the_seeds_that_were_seen():
    """The protocol says one time in twelve, by an F of independent parts; but the contrast is a part of the spread"""
    one, _ = judge_values(experiments()[..., :6], ARMS, METHOD, REFERENCES)
    assert (one.widened[:, 0] >= 1.2287).mean() == pytest.approx(1 / 20, abs=0.012)


def test_p_is_one_sided_students():
    one, _ = judge_values(np.random.default_rng(4).standard_normal((4, len(ARMS), SEEDS)), ARMS, METHOD, REFERENCES)
    t, df = one.contrast.difference[0] / one.contrast.error[0], int(one.contrast.df[0])
    halves = np.array([-1.0, 1.0]) * np.sqrt(df / 4)  # two samples with this t and as many degrees of freedom
    first = np.resize(halves, df // 2 + 1)
    first = (first - first.mean()) / first.std(ddof=1)
    second = first + t * np.sqrt(2 / len(first))
    assert len(first) * 2 - 2 == df
    assert one.contrast.p[0] == pytest.approx(ttest_ind(second, first, alternative="greater").pvalue)


@pytest.mark.parametrize("results", ["tiny", "unseen"])
def test_intervals_have_the_degrees_of_freedom_of_their_p_also_where_these_are_no_whole_number(results):
    rows = pd.read_csv(ROOT / "results" / results / "report" / "tables" / "second-rule.csv")
    assert rows["df"].iloc[-1] % 1
    error = rows["difference"] / student.isf(rows["p"], rows["df"])
    half = student.ppf(0.975, rows["df"]) * error
    for name, side in (("low", -1), ("high", 1)):
        assert rows[name].tolist() == pytest.approx((rows["difference"] + side * half).tolist(), rel=1e-9)


def test_a_missing_reference_and_a_single_seed_are_refused():
    values = np.zeros((4, len(ARMS), SEEDS))
    with pytest.raises(ValueError, match="no values of self-copy"):
        judge_values(values[:, :7], ARMS[:7], METHOD, REFERENCES)
    with pytest.raises(ValueError, match="two seeds"):
        judge_values(values[..., :1], ARMS, METHOD, REFERENCES)


def test_the_protocol_names_the_seeds_and_margins_that_are_judged():
    text = STUDY.second_rule.protocol.read_text(encoding="utf-8")
    seeds = STUDY.second_rule.seeds
    assert f"--seeds {seeds[0]}-{seeds[-1]}" in text
    margins = [float(value) for value in re.findall(r"(?:images|parts|video|sounds|pairs) (\d\.\d\d)(?:,| points)",
                                                    text.partition("*Equivalence.*")[2].partition("## ")[0])]
    gains = printed_gains(load_claims(STUDY))
    printed = [[gain for (name, setting, _, metric), gain in gains.items()
                if (name, setting, metric) == (task, STUDY.second_rule.setting, TASKS[task].metric.name)]
               for task in STUDY.targets]
    assert [len(each) for each in printed] == [3, 3, 3, 3]
    assert margins == pytest.approx([fmean(each) for each in printed] + [fmean(map(fmean, printed))], abs=0.005)
