"""The effects that a test finds with probability `POWER`: one name for each, wherever a number of it is shown.

A column of a frame has the same name with "_" for each space.
"""

from __future__ import annotations

from benchmark.evidence.stats import ALPHA, POWER

PAIR = "found from"  # one pair against the plain model, or one cell against its reference, as strict as its adjusted p
BEYOND = "found beyond all from"  # one pair against the plain model and every control at once: the first rule
MEAN = "mean found from"  # the mean of a target's auxiliaries against that of the controls: the second rule
EACH = "mean found beyond each from"  # the same against each control
ALONE = "found alone from"  # by one test that is adjusted for no other: what is planned with

MEANS = {
    PAIR: f"the true difference that this test, adjusted as its p is, finds with probability {POWER:g} in a new experiment of "
          f"as many seeds (level {ALPHA:g}), as the spread is known from these seeds only; what is smaller may be there and "
          "missed",
    BEYOND: f"an advantage over every reference that this rule would find with probability {POWER:g} or more in a new "
            "experiment of as many seeds",
    MEAN: f"the true mean difference that the adjusted test finds with probability {POWER:g} in as many new seeds, if arms "
          "scatter alike; where chance widens errors it takes a twentieth more",
    EACH: "the same over each control at once",
    ALONE: f"the true difference that a two-sided test by itself, adjusted for no other, finds with probability {POWER:g} in a "
           "new experiment of as many seeds; among several tests it takes more"}


def heading(name: str) -> str:
    """As the head of a column"""
    return name[0].upper() + name[1:]


def explain(name: str) -> str:
    """A sentence"""
    return f"{heading(name)}: {MEANS[name]}."


def show_points(value: float) -> str:
    """An effect in percentage points: one decimal, two where it is small"""
    return f"{value:.{1 if round(value, 2) >= 1 else 2}f}"
