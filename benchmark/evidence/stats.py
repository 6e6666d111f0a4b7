"""Numbers of repeated runs in, estimates with their uncertainty out. Pure functions; no torch.

Values are in the unit of the metric. One value, or values without any spread, have no interval: `interval` is None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

from benchmark.spec.contracts import add_up

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.8
ROUNDING = 1e-12  # a spread below this share of the largest value is rounding, not spread


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` values with its Student-t interval."""

    n: int
    mean: float
    sd: float | None  # ddof 1; None for one value
    interval: tuple[float, float] | None

    @property
    def half_width(self) -> float | None:
        return None if self.interval is None else (self.interval[1] - self.interval[0]) / 2


@dataclass(frozen=True)
class PairedDifference(Estimate):
    """The mean of treated minus reference over paired seeds, with the two-sided paired t-test."""

    p_value: float | None  # None for one pair, and for equal differences other than 0
    minimal_detectable_effect: float | None  # of a new experiment of as many pairs, at ALPHA and POWER


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Mean and two-sided t-interval; raises ValueError without values or with one that is not finite."""
    if not values:
        raise ValueError("no values to average")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"not every value is finite: {list(values)}")
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(1, mean, None, None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    if sd <= ROUNDING * max(abs(value) for value in values):
        return Estimate(n, mean, 0.0, None)
    half = t_quantile((1 + confidence) / 2, n - 1) * sd / math.sqrt(n)
    return Estimate(n, mean, sd, (mean - half, mean + half))


def ratio_interval(ratios: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Geometric mean of ratios above 0 with the t-interval of their logarithms; `sd` is that of the logarithms."""
    logs = mean_interval([math.log(ratio) for ratio in ratios], confidence)
    interval = None if logs.interval is None else (math.exp(logs.interval[0]), math.exp(logs.interval[1]))
    return Estimate(logs.n, math.exp(logs.mean), logs.sd, interval)


def paired_difference(treated: Mapping[int, float], reference: Mapping[int, float]) -> PairedDifference:
    """Mean of treated - reference over seeds; raises ValueError where the seeds are not the same."""
    if treated.keys() != reference.keys():
        raise ValueError(f"seeds differ: {sorted(treated)} and {sorted(reference)}; pair them first")
    seeds = sorted(treated)
    largest = max((abs(value) for side in (treated, reference) for value in side.values()), default=0.0)
    differences = [treated[seed] - reference[seed] for seed in seeds]
    estimate = mean_interval(differences)
    n, mean, sd = estimate.n, estimate.mean, estimate.sd
    if sd is None:
        return PairedDifference(n, mean, None, None, None, None)
    if sd <= ROUNDING * largest:  # 46.1 - 46.0 and 45.1 - 45.0 differ by rounding alone
        unchanged = abs(mean) <= ROUNDING * largest
        return PairedDifference(n, mean, 0.0, None, 1.0 if unchanged else None, None)
    p_value = two_sided_p(mean / (sd / math.sqrt(n)), n - 1)
    return PairedDifference(n, mean, sd, estimate.interval, p_value, minimal_detectable_effect(sd, n, spread_df=n - 1))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment over one family, in the given order. None (no test) stays None and is not counted."""
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, index) in enumerate(tested):
        running = max(running, min(1.0, p * (len(tested) - rank)))
        adjusted[index] = running
    return adjusted


def minimal_detectable_effect(
    sd: float, n: int, alpha: float = ALPHA, power: float = POWER, spread_df: int | None = None
) -> float | None:
    """The true mean difference that a two-sided paired t-test on `n` new pairs finds with probability `power`.

    `sd` is the spread of the differences: the true one, or one measured with `spread_df` degrees of freedom. Six pairs
    (5 degrees) tell a spread roughly; taken as the true one it would state effects of which a new experiment finds 0.70
    rather than 0.8. None where there is no test (one pair, or no spread).
    """
    if n < 2 or sd <= 0:
        return None
    return sd / math.sqrt(n) * detectable_noncentrality(n - 1, alpha, power, spread_df)


def pooled_sd(spreads: Sequence[tuple[float, int]]) -> tuple[float, int] | None:
    """The common spread of groups that scatter alike and its degrees of freedom, of the sd and number of values of each;
    None without any spread.
    """
    known = [(sd, n - 1) for sd, n in spreads if n > 1 and sd > 0]
    freedom = sum(df for _, df in known)
    return (math.sqrt(add_up(sd**2 * df for sd, df in known) / freedom), freedom) if known else None


def seeds_needed(
    effect: float, sd: float, alpha: float = ALPHA, power: float = POWER, spread_df: int | None = None, most: int = 100_000
) -> int | None:
    """The fewest pairs with which an effect of this size is found with probability `power`; None above `most`.

    `sd` and `spread_df` as of `minimal_detectable_effect`. Raises ValueError for an effect of 0.
    """
    if effect == 0 or sd <= 0:
        raise ValueError(f"needs an effect other than 0 and a spread, got {effect} and {sd}")

    def enough(n: int) -> bool:
        return (minimal_detectable_effect(sd, n, alpha, power, spread_df) or math.inf) <= abs(effect)

    low, high = 1, 2  # `low` is never enough
    while not enough(high):
        low, high = high, 2 * high
        if high > 2 * most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high if high <= most else None


def equivalence_p(mean: float, sd: float, n: int, margin: float) -> float | None:
    """p of two one-sided paired t-tests (Schuirmann, 1987): small where the difference surely lies within +-`margin`.

    None for one pair or without spread. Raises ValueError for a margin that is not positive.
    """
    if margin <= 0:
        raise ValueError(f"the margin of equivalence must be positive, got {margin}")
    if n < 2 or sd <= 0:
        return None
    from scipy.special import stdtr

    error = sd / math.sqrt(n)
    below, above = stdtr(n - 1, (mean - margin) / error), stdtr(n - 1, -(mean + margin) / error)
    return float(max(below, above))


def one_sided_p(mean: float, sd: float, n: int) -> float:
    """p of the one-sided t-test that the mean of `n` values of this spread is above 0; `n` at least 2, `sd` above 0."""
    from scipy.special import stdtr

    return float(stdtr(n - 1, -mean / (sd / math.sqrt(n))))


def tie_groups(names: Sequence[str], differ: Mapping[frozenset[str], bool]) -> dict[str, str]:
    """Letters for names in order of rank, best first: two names that share a letter are not shown to differ.

    `differ` says for each pair whether it is. Two names share a letter if and only if they are not: as pairs of seeds differ
    by more or less, the best may tie with the third and not with the second (insert and absorb; Piepho, 2004).
    """
    groups = [set(names)]
    for one, other in combinations(names, 2):
        if differ.get(frozenset((one, other)), False):
            split = [part for group in groups
                     for part in ((group - {one}, group - {other}) if {one, other} <= group else (group,))]
            groups = [group for i, group in enumerate(split) if not any(
                group < rest or (group == rest and j < i) for j, rest in enumerate(split))]
    groups.sort(key=lambda group: sorted(map(names.index, group)))
    return {name: "".join(_letter(number) for number, group in enumerate(groups) if name in group) for name in names}


def _letter(number: int) -> str:
    """0 -> a, 25 -> z, 26 -> aa"""
    text = ""
    while number >= 0:
        text, number = chr(ord("a") + number % 26) + text, number // 26 - 1
    return text


@lru_cache(maxsize=4096)
def detectable_noncentrality(df: float, alpha: float, power: float, spread_df: float | None = None) -> float:
    """The noncentrality at which P(|T| > t critical) equals `power`; with `spread_df`, in units of a measured spread, of
    which the true one is spread_df / chi-squared of as many degrees, over which the probability is averaged.

    |T| > t is T^2 > t^2, and T^2 is noncentral F(1, df): that counts both tails, and stays accurate where the
    noncentral t distribution does not (large noncentrality).
    """
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import chdtri, ncfdtr

    critical = t_quantile(1 - alpha / 2, df) ** 2
    ratios, weights = np.ones(1), np.ones(1)
    if spread_df is not None:
        places, weights = _gauss_legendre()
        ratios, weights = chdtri(spread_df, (1 - places) / 2) / spread_df, weights / 2

    def missing(noncentrality: float) -> float:
        lost = np.nan_to_num(ncfdtr(1, df, noncentrality**2 * ratios, critical), nan=0.0)  # nan where it is too small to tell
        return math.fsum(weights * (1 - lost)) - power  # a product of vectors has other last bits on other processors

    upper = 1.0
    while missing(upper) < 0:
        upper *= 2
    return float(brentq(missing, 0.0, upper, xtol=1e-13, rtol=1e-14))


@cache
def _gauss_legendre() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places in (-1, 1) and weights of a quadrature of 256 points.

    By Newton's method on the recurrence of Legendre's polynomials, from Tricomi's first guess. Libraries take eigenvalues, of
    which the last bits are others on another processor, and what a report writes is to be the same on all.
    """
    import numpy as np

    number = 256
    places = np.array([math.cos(math.pi * (index + 0.75) / (number + 0.5)) for index in range(number)])
    for _ in range(8):
        before, value = np.ones(number), places
        for degree in range(2, number + 1):
            before, value = value, ((2 * degree - 1) * places * value - (degree - 1) * before) / degree
        slope = number * (places * value - before) / (places * places - 1)
        places = places - value / slope
    return places, 2 / ((1 - places * places) * slope * slope)


@lru_cache(maxsize=4096)
def t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))


def two_sided_p(t: float, df: int) -> float:
    """P(|T| > |t|) of Student's t distribution."""
    from scipy.special import stdtr

    return float(2 * stdtr(df, -abs(t)))
