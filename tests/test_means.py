"""Means over pairs, null pairs and likeness of scales agree with numpy and scipy; the second rule judges unseen seeds alone."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel
from synthetic import TASKS, make_record, make_spec

from baselines import STUDY
from benchmark.evidence.analysis import analyse
from benchmark.evidence.collect import collect
from benchmark.evidence.frames import first_row
from benchmark.evidence.means import ALL, estimate_means, estimate_null
from benchmark.evidence.rule import BASELINE
from benchmark.evidence.rule2 import AHEAD, HELPS, NO_EVIDENCE, PLANNING
from benchmark.evidence.scales import layer_sizes, scale_agreement
from benchmark.report.means import headline
from benchmark.report.rule2 import protocol_line

TARGETS = ("imagenet", "audioset")
PAIRS = [(task, auxiliary) for task in TARGETS for auxiliary in ("image", "point", "audio")
         if auxiliary != TASKS[task].modality]
ARMS = (("finetune", False), ("m2pt", True), ("random-norm", True), ("self-copy", False), ("same-modality", False))
RULE = replace(STUDY.second_rule, seeds=range(6, 10))
ASKED = replace(STUDY, second_rule=RULE)


def value(task, arm, auxiliary, seed, shift):
    noise = np.random.default_rng([TARGETS.index(task), [name for name, _ in ARMS].index(arm), len(auxiliary), seed])
    return 50 + 3 * np.sin(seed) + 0.3 * noise.standard_normal() + shift.get(arm, 0.0)


def records(seeds, shift=None):
    """Both targets with two auxiliaries each, every arm; `shift` of an arm in points"""
    made = []
    for task, seed, (arm, uses) in itertools.product(TARGETS, seeds, ARMS):
        for auxiliary in [name for target, name in PAIRS if target == task] if uses else [""]:
            spec = make_spec(task, arm, auxiliary or None, seed)
            made.append(make_record(spec, value(task, arm, auxiliary, seed, shift or {})))
    return made


def values(seeds, task, arm, auxiliary=""):
    return np.array([value(task, arm, auxiliary, seed, {}) for seed in seeds])


def test_a_mean_over_pairs_has_one_value_a_seed():
    seeds = range(5)
    frame = estimate_means(collect(records(seeds), tasks=TASKS), "m2pt", ("random-norm", "self-copy"), [])
    against = {BASELINE: lambda task, _: values(seeds, task, "finetune"),
               "self-copy": lambda task, _: values(seeds, task, "self-copy"),
               "random-norm": lambda task, name: values(seeds, task, "random-norm", name)}
    for reference, other in against.items():
        by_seed = np.mean([values(seeds, task, "m2pt", name) - other(task, name) for task, name in PAIRS], axis=0)
        row = first_row(frame, {"task": ALL, "arm": "m2pt", "reference": reference})
        expected = ttest_1samp(by_seed, 0)
        assert (row.pairs, row.n) == (4, 5)
        assert row.difference == pytest.approx(by_seed.mean())
        assert row.p == pytest.approx(expected.pvalue)
        assert (row.low, row.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
        one = first_row(frame, {"task": "imagenet", "arm": "m2pt", "reference": reference})
        assert one.difference == pytest.approx(np.mean(
            [values(seeds, task, "m2pt", name) - other(task, name) for task, name in PAIRS if task == "imagenet"]))


def test_a_seed_that_one_pair_lacks_counts_for_none():
    some = [record for record in records(range(4)) if (record.spec.auxiliary, record.spec.seed) != ("point", 3)]
    row = first_row(estimate_means(collect(some, tasks=TASKS), "m2pt", (), []), {"task": ALL})
    assert row.seeds == "0 1 2"


def test_null_pairs_are_counted_as_paired_tests_find_them():
    seeds = range(6)
    frame = estimate_null(collect(records(seeds), tasks=TASKS), ("random-norm",), ("random-norm", "self-copy"))
    noise, references = frame.itertuples()
    p = [ttest_rel(values(seeds, task, "random-norm", one), values(seeds, task, "random-norm", other)).pvalue
         for task, one, other in (("imagenet", "point", "audio"), ("audioset", "image", "point"))]
    assert (noise.comparisons, noise.significant, noise.draws) == (2, sum(x < 0.05 for x in p), 6)
    assert references.comparisons == 2 * 6, "any two of four cells, on two targets"


def test_scales_are_compared_as_numpy_compares_them():
    found = records(range(3))
    rng = np.random.default_rng(1)
    changed = []
    for record in found:
        if record.spec.arm in ("m2pt", "random-norm"):
            layers = make_record(make_spec("imagenet", "m2pt", "audio")).layers
            layers = [layer.model_copy(update={"scale": float(x)}) for layer, x in
                      zip(layers, rng.standard_normal(len(layers)), strict=True)]
            record = record.model_copy(update={"layers": layers})
        changed.append(record)
    collection = collect(changed, tasks=TASKS)
    table = {(r.spec.task, r.spec.arm, r.spec.auxiliary, r.spec.seed): np.array([layer.scale for layer in r.layers])
             for r in changed if r.spec.arm in ("m2pt", "random-norm")}
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for task, name in PAIRS for a, b in itertools.combinations(
        [table[task, "m2pt", name, seed] for seed in range(3)], 2)]
    sizes = {arm: np.concatenate([np.mean([np.log(np.abs([table[task, arm, name, seed] for seed in range(3)]).mean(0))
                                           for target, name in PAIRS if target == task], axis=0) for task in TARGETS])
             for arm in ("m2pt", "random-norm")}
    frame = scale_agreement(collection, "m2pt")
    ours, noise = (first_row(frame, {"arm": arm}) for arm in ("m2pt", "random-norm"))
    assert ours.cosine == pytest.approx(np.mean(cosines))
    assert noise.correlation == pytest.approx(np.corrcoef(sizes["m2pt"], sizes["random-norm"])[0, 1])
    within = [size.reshape(len(TARGETS), -1) for size in sizes.values()]
    centred = [(size - size.mean(1, keepdims=True)).ravel() for size in within]
    assert noise.correlation_within == pytest.approx(np.corrcoef(*centred)[0, 1])
    assert noise.layers == len(layer_sizes(collection)) / 2


@pytest.mark.parametrize(("shift", "verdict"), [
    ({}, NO_EVIDENCE), ({"m2pt": 2.0}, HELPS), ({"m2pt": -2.0}, NO_EVIDENCE),
    ({"m2pt": 2.0, "self-copy": 2.0}, AHEAD)], ids=["nothing", "help", "harm", "a copy does the same"])
def test_the_second_rule_says_what_the_seeds_of_its_protocol_show(shift, verdict):
    seen = records(range(6), {"m2pt": 5.0})
    analysis = analyse(seen + records(RULE.seeds, shift), [], tasks=TASKS, study=ASKED)
    assert set(analysis.second["verdict"]) == {verdict}
    assert set(analysis.second["seeds"]) == {"6 7 8 9"}
    assert "judged on seeds 6 to 9 and no others" in protocol_line(analysis)


def test_the_second_rule_judges_nothing_before_all_its_seeds_are_there():
    analysis = analyse(records(range(9), {"m2pt": 5.0}), [], tasks=TASKS, study=ASKED)
    assert set(analysis.second["verdict"]) == {PLANNING}
    assert set(analysis.second["seeds"]) == {"0 1 2 3 4 5"}
    assert "nothing is judged" in protocol_line(analysis)


@pytest.mark.parametrize(("gain", "said"), [
    (0.0, "is not shown to help"), (3.0, "helps on average"), (-3.0, "hurts on average")])
def test_the_headline_says_what_the_mean_shows(gain, said):
    analysis = analyse(records(range(5), {"m2pt": gain}), [], tasks=TASKS, study=STUDY)
    text = headline(analysis)
    assert said in text
    assert text.count(". ") == 0, "one sentence"
    assert "over 4 pairs of modalities and five seeds" in text
    assert headline(analyse([], [], tasks=TASKS, study=STUDY)) == ""
