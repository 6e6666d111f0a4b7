"""Statistics agree with scipy, and say nothing where there is nothing to say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from benchmark.stats import (
    detectable_noncentrality,
    holm,
    mean_interval,
    minimal_detectable_effect,
    paired_difference,
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


def test_minimal_detectable_effect_needs_a_spread():
    assert minimal_detectable_effect(0.0, 3) is None
    assert minimal_detectable_effect(1.0, 1) is None
    assert detectable_noncentrality(2, 0.05, 0.9) > detectable_noncentrality(2, 0.05, 0.8)
