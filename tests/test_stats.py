"""Statistics agree with scipy, and say nothing where there is nothing to say."""

from __future__ import annotations

import gc
import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from benchmark.evidence.stats import (
    detectable_noncentrality,
    equivalence_p,
    holm,
    mean_interval,
    minimal_detectable_effect,
    one_sided_p,
    paired_difference,
    ratio_interval,
    seeds_needed,
    tie_groups,
)

samples = st.lists(st.floats(-100, 100, allow_nan=False), min_size=2, max_size=30).filter(lambda v: np.std(v) > 1e-3)


@given(samples)
def test_interval_agrees_with_scipy(values):
    estimate = mean_interval(values)
    expected = scipy_stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy_stats.sem(values))
    assert estimate.interval == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert estimate.sd == pytest.approx(np.std(values, ddof=1), rel=1e-9)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2, max_size=20))
def test_paired_test_agrees_with_scipy(pairs):
    treated, reference = np.array(pairs).T
    if np.std(treated - reference) < 1e-3:
        return
    result = paired_difference(dict(enumerate(treated)), dict(enumerate(reference)))
    expected = scipy_stats.ttest_rel(treated, reference)
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-9)
    interval = expected.confidence_interval(0.95)
    assert result.interval == pytest.approx((interval.low, interval.high), rel=1e-9, abs=1e-9)


def test_interval_of_three_values_by_hand():
    estimate = mean_interval([1.0, 2.0, 3.0])  # sd 1
    half = 0.95 / math.sqrt(2 * 0.975 * 0.025) / math.sqrt(3)  # the t quantile has a closed form for two degrees
    assert (estimate.n, estimate.mean, estimate.sd) == (3, 2.0, 1.0)
    assert estimate.interval == pytest.approx((2 - half, 2 + half), abs=1e-12)
    assert estimate.half_width == pytest.approx(half)


def test_one_value_has_no_interval():
    estimate = mean_interval([46.1])
    assert (estimate.n, estimate.mean, estimate.sd, estimate.interval) == (1, 46.1, None, None)
    difference = paired_difference({0: 46.1}, {0: 45.9})
    assert difference.mean == pytest.approx(0.2)
    assert (difference.interval, difference.p_value, difference.minimal_detectable_effect) == (None, None, None)


def test_identical_runs_are_no_effect_and_have_no_interval():
    result = paired_difference({0: 46.1, 1: 45.1}, {0: 46.1, 1: 45.1})
    assert (result.mean, result.sd, result.interval, result.p_value) == (0.0, 0.0, None, 1.0)


def test_equal_differences_are_not_significant_by_accident():
    result = paired_difference({0: 46.1, 1: 45.1}, {0: 46.0, 1: 45.0})  # differ by rounding alone
    assert (result.sd, result.interval, result.p_value, result.minimal_detectable_effect) == (0.0, None, None, None)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_nothing_and_non_finite_values_are_errors(values):
    with pytest.raises(ValueError, match=r"no values|not every value is finite"):
        mean_interval(values)


def test_unpaired_seeds_are_an_error():
    with pytest.raises(ValueError, match="seeds differ"):
        paired_difference({0: 1.0, 1: 2.0}, {0: 1.0, 2: 2.0})


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04, then made monotone.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.fixture(scope="module")
def nothing_to_collect():
    """statsmodels' multipletests collects garbage at every call: 0.1 s where torch is loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_agrees_with_statsmodels(nothing_to_collect, p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist(), abs=1e-9)


@given(samples, st.floats(0.1, 5))
def test_equivalence_agrees_with_statsmodels(values, margin):
    estimate = mean_interval(values)
    expected = DescrStatsW(np.array(values)).ttost_mean(-margin, margin)[0]
    assert equivalence_p(estimate.mean, estimate.sd, estimate.n, margin) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("n", [3, 6, 10, 40])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 12])
def test_minimal_detectable_effects_agree_with_statsmodels(n, alpha):
    power = TTestPower().power(minimal_detectable_effect(1.0, n, alpha), n, alpha, alternative="two-sided")
    assert power == pytest.approx(0.8, abs=1e-9)


@given(samples)
def test_one_sided_test_agrees_with_scipy(values):
    estimate = mean_interval(values)
    expected = scipy_stats.ttest_1samp(values, 0, alternative="greater").pvalue
    assert one_sided_p(estimate.mean, estimate.sd, estimate.n) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_holm_does_not_count_what_was_not_tested():
    assert holm([0.01, None, 0.04]) == [0.02, None, 0.04]


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    in_order = [a for _, a in sorted(zip(p_values, adjusted, strict=True))]
    assert in_order == sorted(in_order)


@pytest.mark.parametrize("n", [2, 3, 4, 6, 10, 30, 100])
@pytest.mark.parametrize("sd", [0.2, 3.0])
def test_a_test_finds_its_minimal_detectable_effect_with_the_stated_power(n, sd):
    effect = minimal_detectable_effect(sd, n)
    critical = scipy_stats.t.ppf(0.975, n - 1)
    noncentrality = effect / (sd / math.sqrt(n))
    upper = scipy_stats.nct.sf(critical, n - 1, noncentrality)
    lower = scipy_stats.nct.cdf(-critical, n - 1, noncentrality)
    assert upper + np.nan_to_num(lower) == pytest.approx(0.8, abs=1e-9)


def test_minimal_detectable_effect_agrees_with_a_published_sample_size():
    # Standardised effect 0.5, alpha 0.05 two-sided, power 0.8: 34 pairs (Cohen 1988; G*Power).
    assert minimal_detectable_effect(1.0, 34) <= 0.5 < minimal_detectable_effect(1.0, 33)


def test_a_measured_spread_states_larger_effects_the_fewer_seeds_have_measured_it():
    known = minimal_detectable_effect(1.0, 6)
    measured = [minimal_detectable_effect(1.0, 6, spread_df=df) for df in (2, 5, 15, 10**5)]
    assert measured == sorted(measured, reverse=True)
    assert measured[0] > known
    assert measured[-1] == pytest.approx(known, rel=1e-4)
    spreads = np.sqrt(np.random.default_rng(5).chisquare(5, 200_000) / 5)  # what six seeds measure of a spread of 1
    power = 1 - scipy_stats.ncf.cdf(scipy_stats.t.ppf(0.975, 5) ** 2, 1, 5, 6 * (measured[1] * spreads) ** 2)
    assert power.mean() == pytest.approx(0.8, abs=0.002)
    assert seeds_needed(1.0, 1.0, spread_df=5) > seeds_needed(1.0, 1.0)


def test_minimal_detectable_effect_needs_a_spread():
    assert minimal_detectable_effect(0.0, 3) is None
    assert minimal_detectable_effect(1.0, 1) is None
    assert detectable_noncentrality(2, 0.05, 0.9) > detectable_noncentrality(2, 0.05, 0.8)


@pytest.mark.parametrize(("effect", "sd", "n"), [(0.5, 1.0, 34), (0.2, 1.0, 199), (10.0, 1.0, 3)])
def test_seeds_needed_agree_with_published_sample_sizes(effect, sd, n):
    assert seeds_needed(effect, sd) == n  # the first two: G*Power
    assert minimal_detectable_effect(sd, n) <= effect < minimal_detectable_effect(sd, n - 1)


def test_seeds_needed_give_up_and_refuse():
    assert seeds_needed(1e-9, 1.0) is None
    with pytest.raises(ValueError, match="an effect other than 0"):
        seeds_needed(0.0, 1.0)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=12).filter(lambda values: np.std(values) > 0.1), st.floats(0.1, 5))
def test_equivalence_agrees_with_two_one_sided_tests_of_scipy(values, margin):
    estimate = mean_interval(values)
    expected = max(scipy_stats.ttest_1samp(values, margin, alternative="less").pvalue,
                   scipy_stats.ttest_1samp(values, -margin, alternative="greater").pvalue)
    assert equivalence_p(estimate.mean, estimate.sd, estimate.n, margin) == pytest.approx(expected, abs=1e-9)


def test_equivalence_needs_a_spread_and_a_margin():
    assert equivalence_p(0.0, 0.0, 5, 1.0) is None
    assert equivalence_p(0.0, 1.0, 1, 1.0) is None
    with pytest.raises(ValueError, match="margin"):
        equivalence_p(0.0, 1.0, 5, 0.0)


def test_ratios_are_averaged_as_logarithms_and_never_fall_below_0():
    estimate = ratio_interval([0.5, 2.0, 0.1])
    expected = scipy_stats.t.interval(0.95, 2, np.mean(np.log([0.5, 2.0, 0.1])), scipy_stats.sem(np.log([0.5, 2.0, 0.1])))
    assert estimate.mean == pytest.approx(scipy_stats.gmean([0.5, 2.0, 0.1]), rel=1e-12)
    assert estimate.interval == pytest.approx(np.exp(expected), rel=1e-9)
    assert ratio_interval([1.2]).interval is None


def test_names_that_share_a_letter_are_not_shown_to_differ():
    differ = {frozenset("ac"): True, frozenset("ad"): True, frozenset("bd"): True}
    assert tie_groups("abcd", differ) == {"a": "a", "b": "ab", "c": "bc", "d": "c"}
    assert tie_groups("abc", {}) == {"a": "a", "b": "a", "c": "a"}
    assert set(tie_groups("abc", {frozenset(pair): True for pair in ("ab", "bc", "ac")}).values()) == {"a", "b", "c"}
    assert tie_groups([], {}) == {}
    assert tie_groups("PVFI", {frozenset("PF"): True}) == {"P": "a", "V": "ab", "F": "b", "I": "ab"}


@given(st.integers(1, 8), st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=16))
def test_a_letter_is_shared_exactly_where_no_difference_is_shown(size, drawn):
    names = [str(i) for i in range(size)]
    differ = {frozenset(map(str, pair)): True for pair in drawn if pair[0] != pair[1]}
    letters = tie_groups(names, differ)
    for one, other in combinations(names, 2):
        assert bool(set(letters[one]) & set(letters[other])) != (frozenset((one, other)) in differ)


class TestCalibration:
    """What the intervals, the family-wise test and the stated effects promise, over simulated experiments."""

    EXPERIMENTS, SEEDS, CELLS = 4000, 6, 12

    @pytest.fixture(scope="class")
    @classmethod
    def noise(cls):
        """(EXPERIMENTS, CELLS, 2, SEEDS): runs that share what a seed decides, as paired runs do"""
        random = np.random.default_rng(2024)
        shared = random.normal(0, 1.0, (cls.EXPERIMENTS, cls.CELLS, 1, cls.SEEDS))
        return 46 + shared + random.normal(0, 0.4, (cls.EXPERIMENTS, cls.CELLS, 2, cls.SEEDS))

    def differences(self, experiment, effect=0.0):
        seeds = range(self.SEEDS)
        return [paired_difference(dict(zip(seeds, treated + effect, strict=True)), dict(zip(seeds, plain, strict=True)))
                for treated, plain in experiment]

    def test_intervals_hold_the_truth_95_times_in_100(self, noise):
        inside = [d.interval[0] <= 0.3 <= d.interval[1] for cells in noise[:, :3] for d in self.differences(cells, 0.3)]
        assert np.mean(inside) == pytest.approx(0.95, abs=0.015)

    def test_experiments_without_an_effect_are_significant_at_most_5_times_in_100(self, noise):
        found = [min(holm([d.p_value for d in self.differences(cells)])) < 0.05 for cells in noise]
        assert np.mean(found) <= 0.06
        assert np.mean(found) > 0.02, "a test that never fires would pass too"

    def test_an_effect_of_the_minimal_detectable_size_is_found_4_times_in_5(self, noise):
        effect = minimal_detectable_effect(0.4 * math.sqrt(2), self.SEEDS)
        found = [d.p_value < 0.05 for cells in noise for d in self.differences(cells, effect)]
        assert np.mean(found) >= 0.80 - 3 * math.sqrt(0.8 * 0.2 / len(found)), "0.8 to 1e-9 above; here as far as draws tell"

    def test_an_effect_of_the_size_that_is_stated_from_a_measured_spread(self, noise):
        """As reports state it, in a new experiment, whose spread may be larger than what six seeds have measured."""
        anew = [again.p_value < 0.05 for cells, others in zip(noise[:, :3], noise[:, 3:6], strict=True)
                for measured, other in zip(self.differences(cells), others, strict=True)
                for again in self.differences([other], measured.minimal_detectable_effect)]
        assert np.mean(anew) == pytest.approx(0.80, abs=0.015)

    def beyond_every_reference(self, advantages, seed):
        """Whether the rule of the embedded scale holds for each of (EXPERIMENTS, CELLS) pairs, of an arm that is ahead of
        three references by (CELLS, 3); paired runs share what a seed decides."""
        random = np.random.default_rng(seed)
        shape = (2000, self.CELLS, 1, self.SEEDS)
        shared, ours = random.normal(0, 1.0, shape), random.normal(0, 0.4, shape)
        theirs = random.normal(0, 0.4, (2000, self.CELLS, 3, self.SEEDS)) - np.asarray(advantages)[..., None]
        tests = scipy_stats.ttest_rel(46 + shared + ours, 46 + shared + theirs, axis=-1)
        ahead = (tests.statistic > 0).all(-1)
        adjusted = np.array([holm(list(pairs)) for pairs in tests.pvalue.max(-1)])
        return ahead & (adjusted < 0.05)

    def test_no_pair_that_one_reference_equals_helps_more_often_than_5_times_in_100(self):
        """At worst far ahead of all references but one, whichever it is."""
        advantages = np.full((self.CELLS, 3), 9.0)
        advantages[range(self.CELLS), [cell % 3 for cell in range(self.CELLS)]] = 0.0
        found = self.beyond_every_reference(advantages, 1).any(axis=1)
        assert found.mean() <= 0.06
        assert found.mean() > 0.01, "a rule that never holds would pass too"  # one tail of two

    def test_an_advantage_of_the_size_that_a_verdict_states_is_found_4_times_in_5(self):
        advantages = np.zeros((self.CELLS, 3))
        advantages[0] = minimal_detectable_effect(0.4 * math.sqrt(2), self.SEEDS, 0.05 / self.CELLS, 1 - 0.2 / 3)
        assert self.beyond_every_reference(advantages, 2)[:, 0].mean() >= 0.8
