"""Means over pairs, null pairs and likeness of scales agree with numpy and scipy; the second rule judges unseen seeds alone."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp, ttest_rel
from synthetic import TASKS, make_record, make_spec

from baselines import STUDY
from benchmark.evidence.analysis import analyse, has_controls
from benchmark.evidence.collect import collect
from benchmark.evidence.frames import first_row, rows_of
from benchmark.evidence.means import ALL, estimate_means, estimate_null, together
from benchmark.evidence.rule import BASELINE
from benchmark.evidence.rule2 import AHEAD, HELPS, NO_EVIDENCE, PLANNING
from benchmark.evidence.scales import layer_sizes, scale_agreement
from benchmark.report.answer import count_pairs
from benchmark.report.canvas import INK
from benchmark.report.equal import draw_equal, equal_table
from benchmark.report.first import draw_first
from benchmark.report.markup import show_p, show_points
from benchmark.report.means import headline, headline_section, means_table, null_table, scales_table
from benchmark.report.rule2 import protocol_line
from benchmark.report.tables import contrasts_table
from benchmark.spec.contracts import Metric

TARGETS = ("imagenet", "audioset")
PAIRS = [(task, auxiliary) for task in TARGETS for auxiliary in ("image", "point", "audio")
         if auxiliary != TASKS[task].modality]
ARMS = (("finetune", False), ("m2pt", True), ("random-norm", True), ("self-copy", False), ("same-modality", False))
RULE = replace(STUDY.second_rule, seeds=range(6, 10), pairs={"imagenet": ("point", "audio"), "audioset": ("image", "point")})
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


def test_arms_that_are_told_alone_stand_in_the_tables_and_in_no_rule_spread_or_null():
    seeds, told = range(6, 10), STUDY.told["m2pt"][0]
    made = records(seeds)
    more = [make_record(make_spec(task, told, name, seed), value(task, "m2pt", name, seed, {}) - (1, 2)[seed % 2])
            for task, name in PAIRS for seed in seeds]
    without, found = (analyse(some, [], tasks=TASKS, study=ASKED) for some in (made, [*made, *more]))
    for name in ("second", "null", "verdicts"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(without, name))
    rows = found.contrasts[found.contrasts["reference"] == told]
    assert (set(rows["in_rule"]), set(rows["difference"])) == ({False}, {1.5})
    mean = first_row(found.means, {"task": ALL, "arm": "m2pt", "reference": told})
    assert (mean.difference, mean.pairs, mean.n) == (pytest.approx(1.5), 4, 4)
    heads = contrasts_table(found.collection, found.contrasts, found.verdicts, 0).header
    assert f"Minus {told} (not in the rule)" in heads
    assert f"Beyond {STUDY.called[told]}" in means_table(found, 0).header


def test_arms_that_no_rule_has_are_compared_where_they_alone_were_run():
    """As in results/lead: without noise and copies nothing is judged, and what was asked is told all the same."""
    told = STUDY.told["m2pt"][0]
    made = [record for record in records(range(4)) if record.spec.arm in ("finetune", "m2pt")]
    assert not has_controls(analyse(made, [], tasks=TASKS, study=STUDY), 0)
    made += [make_record(make_spec(task, told, name, seed), 50.0 + seed) for task, name in PAIRS for seed in range(4)]
    found = analyse(made, [], tasks=TASKS, study=STUDY)
    assert has_controls(found, 0)
    assert set(found.verdicts["verdict"]) == {"controls missing"}
    assert means_table(found, 0).header[5:] == ("Gain over the plain model", f"Beyond {STUDY.called[told]}")


def test_a_seed_that_one_pair_lacks_counts_for_none():
    some = [record for record in records(range(4)) if (record.spec.auxiliary, record.spec.seed) != ("point", 3)]
    row = first_row(estimate_means(collect(some, tasks=TASKS), "m2pt", (), []), {"task": ALL})
    assert row.seeds == "0 1 2"


@pytest.mark.parametrize("late", [0, 7])
def test_a_pair_that_came_late_does_not_take_their_seeds_from_the_others(late):
    """Seed 0 is one of theirs, seed 7 is none."""
    made = [record for record in records(range(4)) if record.spec.auxiliary != "point" or record.spec.task != "imagenet"]
    made += [record for record in records([late]) if (record.spec.task, record.spec.auxiliary) == ("imagenet", "point")]
    if late not in range(4):
        made += [record for record in records([late]) if (record.spec.task, record.spec.arm) == ("imagenet", "finetune")]
    analysis = analyse(made, [], tasks=TASKS, study=STUDY)
    rows = {task: first_row(analysis.means, {"task": task, "arm": "m2pt", "reference": BASELINE})
            for task in ("imagenet", "audioset", ALL)}
    assert {task: (row.pairs, row.seeds, row.left_out) for task, row in rows.items()} == {
        "imagenet": (1, "0 1 2 3", "imagenet + point (1 seed)"), "audioset": (2, "0 1 2 3", ""),
        ALL: (3, "0 1 2 3", "imagenet + point (1 seed)")}
    kept = [pair for pair in PAIRS if pair != ("imagenet", "point")]
    assert rows[ALL].difference == pytest.approx(np.mean(
        [values(range(4), task, "m2pt", name) - values(range(4), task, "finetune") for task, name in kept]))
    said = "left out, for lack of seeds that the others have: imagenet + point (1 seed)"
    assert "over 3 pairs of modalities and four seeds the gain" in headline(analysis)
    assert headline(analysis).endswith(f"setting pretrained; {said}).")
    table = means_table(analysis, headline_section(analysis))
    assert f"L{said[1:]}." in table.notes
    assert [entry[0].text for entry in table.rows[-1][:3]] == ["All targets", "3", "4"]


def test_of_pairs_and_seeds_the_largest_rectangle_counts():
    def gained(**seeds):
        return {("images", name): dict.fromkeys(found, 0.0) for name, found in seeds.items()}

    def chosen(**seeds):
        pairs, common = together(gained(**seeds))
        return "".join(name for _, name in pairs), common

    assert chosen(a=range(3), b=range(3)) == ("ab", [0, 1, 2])
    assert chosen(a=range(4), b=range(3), c=range(3)) == ("abc", [0, 1, 2]), "a matrix that has begun another seed"
    assert chosen(a=range(10), b=[0], c=[0]) == ("a", [*range(10)])
    assert chosen(a=[0, 1], b=[2, 3]) == ("a", [0, 1])
    assert chosen(a=[0, 1], b=[1]) == ("ab", [1]), "of equals the one of most pairs"
    assert chosen(a=range(6), b=range(10, 15), c=range(10, 15), d=range(10, 15)) == ("bcd", [*range(10, 15)])
    two = {**gained(a=range(6), b=[0]), ("sounds", "c"): {0: 0.0}}
    assert together(two) == ([*two], [0]), "a pair of every target, or it is no mean of all"
    assert together({**gained(a=[0]), ("sounds", "c"): {1: 0.0}}) == together({}) == ([], [])


def test_numbers_of_one_row_are_of_the_same_pairs_and_seeds_or_say_that_they_are_of_fewer():
    """The method lacks seeds of one pair, noise of another: their means were of three pairs each, and not of the same."""
    few = {("m2pt", "imagenet", "point"), ("random-norm", "audioset", "image")}
    made = [record for record in records(range(4)) if record.spec.seed == 0
            or (record.spec.arm, record.spec.task, record.spec.auxiliary) not in few]
    analysis = analyse(made, [], tasks=TASKS, study=STUDY)
    rows = {(row.arm, row.reference): row for row in rows_of(analysis.means[analysis.means["task"] == ALL])}
    assert (rows["m2pt", BASELINE].pairs, rows["m2pt", BASELINE].left_out) == (3, "imagenet + point (1 seed)")
    noise, beyond = rows["random-norm", BASELINE], rows["m2pt", "random-norm"]
    assert (noise.pairs, noise.seeds, beyond.pairs, beyond.seeds) == (2, "0 1 2 3", 2, "0 1 2 3")
    assert "] (2 pairs, four seeds); a copy" in headline(analysis)
    both = [("imagenet", "audio"), ("audioset", "point")]
    assert noise.difference == pytest.approx(np.mean(
        [values(range(4), task, "random-norm", name) - values(range(4), task, "finetune") for task, name in both]))
    (left,) = [note for note in means_table(analysis, headline_section(analysis)).notes if note.startswith("Left out")]
    assert left == "Left out, for lack of seeds that the others have: imagenet + point (1 seed)."


def test_null_pairs_are_counted_as_paired_tests_find_them():
    seeds = range(6)
    frame = estimate_null(collect(records(seeds), tasks=TASKS), ("random-norm",), ("random-norm", "self-copy"))
    noise, references = frame.itertuples()
    p = [ttest_rel(values(seeds, task, "random-norm", one), values(seeds, task, "random-norm", other)).pvalue
         for task, one, other in (("imagenet", "point", "audio"), ("audioset", "image", "point"))]
    assert (noise.comparisons, noise.significant, noise.draws) == (2, sum(x < 0.05 for x in p), 6)
    assert references.comparisons == 2 * 6, "any two of four cells, on two targets"
    assert references.arms.split() == [BASELINE, "random-norm", "self-copy"]
    frame = estimate_null(collect(records(seeds), tasks=TASKS), ("random-norm",), ("random-norm", "self-copy", "ceiling"))
    assert frame.iloc[1]["arms"] == references.arms, "of the last there is no run"


@pytest.mark.parametrize(("own", "drawn", "draws", "said", "note"), [
    ((), "shared", 3, "the same noise, scaled for one auxiliary and for another", "settings of a seed share it"),
    (("point", "audio", "image"), "own", 12, "noise of its own for one auxiliary and for another", "has noise of its own"),
    (("audio",), "mixed", 6, "of some the same and of some their own", "Some runs have a draw of their own")])
def test_what_is_said_of_noise_is_how_it_was_drawn(own, drawn, draws, said, note):
    made = []
    for record in records(range(3)):
        spec = record.spec
        if spec.arm == "random-norm" and spec.auxiliary in own:
            spec = spec.model_copy(update={"options": {"draws": "own"}})
        made.append(record.model_copy(update={"spec": spec}))
    analysis = analyse(made, [], tasks=TASKS, study=STUDY)
    row = analysis.null.iloc[0]
    assert (row.drawn, row.draws) == (drawn, draws)
    table = null_table(analysis)
    assert said in table.rows[0][1][0].text
    (told,) = [text for text in table.notes if "A draw" in text or "draw of their own" in text]
    assert note in told
    assert [text for text in ("share it", "has noise of its own", "Some runs") if text in told] == [
        text for text in ("share it", "has noise of its own", "Some runs") if text in note]


def test_what_is_said_of_null_pairs_is_of_those_that_there_are():
    """Without noise it spoke of a first row of each section, and of draws"""
    both = null_table(analyse(records(range(3)), [], tasks=TASKS, study=STUDY)).notes
    assert len(both) == 4
    made = [record for record in records(range(3)) if record.spec.arm != "random-norm"]
    table = null_table(analyse(made, [], tasks=TASKS, study=STUDY))
    assert len(table.rows) == 1
    assert table.notes == (both[0], "Any two cells are null only as far as no reference does anything.")


def test_tables_of_the_answer_call_arms_by_what_they_are():
    analysis = analyse(records(range(3)), [], tasks=TASKS, study=STUDY)
    compared = [row[1][0].text for row in null_table(analysis).rows]
    assert compared[0].startswith("noise of the auxiliary's size: the same noise, ")
    assert compared[1].startswith("any two of the plain model; noise of the auxiliary's size; a copy of the target's own w")
    assert "Sizes against those of pathways" in scales_table(analysis).header


def test_a_number_over_fewer_pairs_and_seeds_says_so():
    made = [record for record in records(range(4)) if record.spec.arm != "random-norm"
            or (record.spec.task, record.spec.seed < 2) == ("imagenet", True)]
    made += [record for record in records(range(2)) if (record.spec.task, record.spec.arm, record.spec.auxiliary) == (
        "audioset", "random-norm", "image")]
    analysis = analyse(made, [], tasks=TASKS, study=STUDY)
    text = headline(analysis)
    assert "over 4 pairs of modalities and four seeds" in text
    (noise,) = [part for part in text.split("; ") if part.startswith("noise")]
    assert noise.endswith("] (3 pairs, two seeds)")
    assert text.count("pairs, ") == 1, "the others are of what the method is of"
    table = means_table(analysis, headline_section(analysis))
    whole = dict(zip(table.header, (entry[0].text for entry in table.rows[-1]), strict=True))
    assert (whole["Pairs"], whole["Seeds"]) == ("4", "4")
    assert {name: cell.endswith(" (3 pairs, two seeds)") for name, cell in whole.items() if ", p " in cell} == {
        name: "noise" in name for name, cell in whole.items() if ", p " in cell}


def test_equal_gains_of_several_seeds_are_not_one_seed():
    made = [make_record(make_spec(task, arm, auxiliary, seed), 50.0 + (arm == "m2pt")) for seed in range(4)
            for task, auxiliary in PAIRS for arm, auxiliary in (("finetune", None), ("m2pt", auxiliary))]
    unique = list({record.run_id: record for record in made}.values())
    text = headline(analyse(unique, [], tasks=TASKS, study=STUDY))
    assert text.startswith("Four seeds are there of all 4 pairs, and the mean gain over the plain model is +1.00 points in")
    one = headline(analyse([record for record in unique if record.spec.seed == 0], [], tasks=TASKS, study=STUDY))
    assert one == "One seed is there of all 4 pairs, which tells nothing of chance."
    more = [record for record in unique if record.spec.seed == 0 or record.spec.task in ("imagenet", "shapenet")]
    assert headline(analyse(more, [], tasks=TASKS, study=STUDY)) == one, "two of the pairs have four"


def test_a_gain_in_an_error_rate_is_what_it_falls_by():
    error = {**TASKS, "imagenet": replace(TASKS["imagenet"], metrics=(Metric("error", higher_is_better=False),))}
    fallen = []
    for record in records(range(5), {"m2pt": -5.0}):
        if record.spec.task == "imagenet":
            rows = [row.model_copy(update={"metric": "error"}) for row in record.measurements if row.metric == "top-1"]
            trained = {"trainable": 2500 if record.spec.arm == "m2pt" else 1000, "training": 2500, "merged": 1000}
            fallen.append(record.model_copy(update={"measurements": rows, "parameters": trained}))
    analysis = analyse(fallen, [], tasks=error, study=STUDY)
    (counts,) = count_pairs(analysis)
    assert (counts.pairs, counts.gain, counts.lose) == (2, 2, 0)
    assert all(re.search(r" \+[45]\.\d\d \[\+[45]\.\d\d, \+[45]\.\d\d\]", each) for each in counts.each)
    (row,) = [row for row in analysis.equal.itertuples() if row.arm == "m2pt"]
    assert row.difference < -4, "frames hold what was measured"
    said = f"{show_points(-row.difference)} [{show_points(-row.high)}, {show_points(-row.low)}], p {show_p(row.p)}"
    assert said in [line.text for entry in equal_table(analysis, 0).rows for line in entry[-1]]
    (target,) = means_table(analysis, 0).rows
    assert said in [line.text for entry in target for line in entry]
    (note, *_) = contrasts_table(analysis.collection, analysis.contrasts, analysis.verdicts, 0).notes
    assert "Helps: every difference of the rule is in the better direction" in note
    (axes,) = (axes for axes in draw_equal(analysis, 0).axes if "gain" in axes.get_ylabel())
    places = {line.get_xdata()[0]: list(line.get_ydata()) for line in axes.lines[1:] if line.get_marker() == "o"}
    assert places[row.trained_ratio] == [-row.difference]
    assert [-row.high, -row.low] in [list(line.get_ydata()) for line in axes.lines[1:]]


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


@pytest.mark.parametrize(("shift", "verdict", "said"), [
    ({}, NO_EVIDENCE, "is not shown to help beyond its controls: over 4 pairs of modalities and four seeds"),
    ({"m2pt": 2.0}, HELPS, "helps on average, beyond each of its controls: over 4 pairs"),
    ({"m2pt": -2.0}, NO_EVIDENCE, "is not shown to help beyond its controls: over 4 pairs"),
    ({"m2pt": 2.0, "self-copy": 2.0}, AHEAD, "is ahead of its controls' mean, but not shown to help beyond each of them: over"),
    ({"m2pt": 2.0, "random-norm": 2.0, "self-copy": 2.0, "same-modality": 2.0}, AHEAD, "is ahead of its controls' mean, but"),
], ids=["nothing", "help", "harm", "a copy does the same", "all do the same"])
def test_the_second_rule_says_what_the_seeds_of_its_protocol_show_and_the_headline_says_it(shift, verdict, said):
    seen = records(range(6), {"m2pt": 5.0})
    analysis = analyse(seen + records(RULE.seeds, shift), [], tasks=TASKS, study=ASKED)
    assert set(analysis.second["verdict"]) == {verdict}
    assert set(analysis.second["seeds"]) == {"6 7 8 9"}
    assert "judged on seeds 6 to 9 and no others, by the last epoch." in protocol_line(analysis)
    (row,) = (row for row in rows_of(analysis.second) if row.task == ALL)
    text = headline(analysis)
    assert said in text
    gain, low, high = map(show_points, (row.over_baseline, row.over_low, row.over_high))
    assert f"the mean gain is {gain} points [{low}, {high}] over the plain model and " in text, "nothing is published here"
    contrast, low, high = map(show_points, (row.difference, row.low, row.high))
    assert (f" and {contrast} points [{low}, {high}] over the mean of its controls: the plain model, noise of the auxiliary's "
            "size, a copy of the target's own weights (95 % intervals; ") in text
    assert text.count(". ") == 0, "one sentence"
    left, _ = draw_first(analysis).axes
    mean = [line.get_xdata().tolist() for line in left.lines if line.get_color() == INK and line.get_ydata()[0] == max(
        each.get_ydata()[0] for each in left.lines)]
    assert [row.over_low, row.over_high] in mean, "the figure's last row has the same interval"


def without(made, *cell):
    return [record for record in made if (record.spec.task, record.spec.arm, record.spec.auxiliary or "") != cell]


@pytest.mark.parametrize(("cell", "said"), [
    (("audioset", "self-copy", ""), "lacking are 1 of 14 cells: audioset self-copy (seeds 6 7 8 9)"),
    (("audioset", "same-modality", ""), "audioset same-modality (seeds 6 7 8 9)"),
    (("imagenet", "m2pt", "audio"), "imagenet m2pt(audio) (seeds 6 7 8 9)"),
    (("imagenet", "random-norm", "point"), "imagenet random-norm(point) (seeds 6 7 8 9)"),
    (("imagenet", "finetune", ""), "lacking are 7 of 14 cells: imagenet baseline (seeds 6 7 8 9); ")], ids=" ".join)
def test_nothing_is_judged_where_a_cell_of_the_protocol_is_not_there(cell, said):
    """A target without all of its cells was left out, and the others were judged as if they were all"""
    made = records(range(10), {"m2pt": 5.0})
    for kept in (made, [record for record in made if record.spec.seed >= 6]):
        analysis = analyse(without(kept, *cell), [], tasks=TASKS, study=ASKED)
        assert analysis.second.empty
        assert said in protocol_line(analysis)
        assert "nothing is judged" in protocol_line(analysis)
        assert "by a rule that was written down" not in headline(analysis)
    seen = analyse([*without(made, *cell), *(record for record in made if record.spec.seed < 6)], [], tasks=TASKS, study=ASKED)
    assert set(seen.second["verdict"]) == {PLANNING}
    assert "planning values of the six seeds before" in protocol_line(seen)
    assert said in protocol_line(seen)


def test_nothing_is_judged_without_a_target_of_the_protocol():
    made = [record for record in records(RULE.seeds, {"m2pt": 5.0}) if record.spec.task == "imagenet"]
    analysis = analyse(made, [], tasks=TASKS, study=ASKED)
    assert analysis.second.empty
    assert "seeds 6 to 9 are not all here (there are no runs of audioset), and nothing is judged." in protocol_line(analysis)


@pytest.mark.parametrize("seeds", [range(3), range(6, 10), range(20)], ids=["some", "judged", "all"])
@pytest.mark.parametrize("targets", [("imagenet",), TARGETS], ids=["one target", "all targets"])
def test_an_auxiliary_that_the_protocol_does_not_name_changes_nothing(seeds, targets):
    made = records(range(10), {"m2pt": 0.2})
    more = [make_record(make_spec(task, arm, "video", seed), 60.0 + seed) for task in targets for seed in seeds
            for arm in ("m2pt", "random-norm")]
    alone, beside = (analyse(found, [], tasks=TASKS, study=ASKED).second for found in (made, [*made, *more]))
    pd.testing.assert_frame_equal(alone, beside)
    assert set(alone["seeds"]) == {"6 7 8 9"}


def test_the_protocol_names_the_last_epoch_whatever_a_report_selects():
    early = []
    for record in records(RULE.seeds):
        main = TASKS[record.spec.task].metrics[0].name
        end = record.curve("test", main)[-1][1]
        early.append(record.model_copy(update={"measurements": [
            row.model_copy(update={"value": end + 3.0 * (record.spec.arm == "m2pt")})
            if (row.split, row.metric, row.step) == ("test", main, 10) else row for row in record.measurements]}))
    last, oracle = (analyse(early, [], select, tasks=TASKS, study=ASKED) for select in ("last", "oracle"))
    assert oracle.effects["difference"].max() > 2, "the selection finds what is there before the last epoch"
    pd.testing.assert_frame_equal(last.second, oracle.second)
    assert headline(oracle) == headline(last)
    assert headline(last).endswith("last epoch).")


def test_values_without_spread_and_of_other_units_are_not_judged():
    still = [make_record(make_spec(task, arm, auxiliary or None, seed), 50.0 + seed + (arm == "m2pt"))
             for task, seed, (arm, uses) in itertools.product(TARGETS, RULE.seeds, ARMS)
             for auxiliary in ([name for target, name in PAIRS if target == task] if uses else [""])]
    analysis = analyse(still, [], tasks=TASKS, study=ASKED)
    assert analysis.second.empty
    assert "cannot be judged (the values of imagenet, audioset have no spread), and nothing is" in protocol_line(analysis)
    other = {**TASKS, "audioset": replace(TASKS["audioset"], metrics=(replace(TASKS["audioset"].metrics[0], unit="points"),))}
    analysis = analyse(records(RULE.seeds), [], tasks=other, study=ASKED)
    assert analysis.second.empty
    assert "the metric of audioset has another unit than that of imagenet" in protocol_line(analysis)


@pytest.mark.parametrize(("p", "said"), [
    (0.04, "] over the plain model (shown to be smaller than the published mean of +0.72) and "),
    (0.06, "] over the plain model (published for these pairs: +0.72) and ")])
def test_the_headline_says_whether_the_gain_is_shown_to_be_smaller_than_what_was_published(p, said):
    analysis = analyse(records(RULE.seeds), [], tasks=TASKS, study=ASKED)
    assert said in headline(replace(analysis, second=analysis.second.assign(published=0.72, p_equivalent=p)))


@pytest.mark.parametrize(("shift", "verdict"), [(-3.0, HELPS), (3.0, NO_EVIDENCE)])
def test_the_second_rule_knows_in_which_direction_a_metric_is_better(shift, verdict):
    """An error that falls is a gain."""
    errors = {name: replace(info, metrics=(replace(info.metrics[0], higher_is_better=False), *info.metrics[1:]))
              for name, info in TASKS.items()}
    second = analyse(records(range(10), {"m2pt": shift}), [], tasks=errors, study=ASKED).second
    assert set(second["verdict"]) == {verdict}
    assert set(second["difference"] > 0) == {shift < 0}


def test_the_second_rule_judges_nothing_before_all_its_seeds_are_there():
    analysis = analyse(records(range(9), {"m2pt": 5.0}), [], tasks=TASKS, study=ASKED)
    assert set(analysis.second["verdict"]) == {PLANNING}
    assert set(analysis.second["seeds"]) == {"0 1 2 3 4 5"}
    assert "nothing is judged" in protocol_line(analysis)
    assert "helps on average: over 4 pairs of modalities and nine seeds the gain" in headline(analysis), "of those there are"


@pytest.mark.parametrize(("seeds", "missing"), [
    (range(6, 9), "9 is missing"), ((6, 9), "7 and 8 are missing"), ((6,), "7 to 9 are missing"),
    ((8,), "6, 7 and 9 are missing"), (range(8), "8 and 9 are missing")], ids=str)
def test_the_headline_of_a_part_of_the_rules_seeds_says_which_are_missing(seeds, missing):
    """It read as though it were the verdict on all of them"""
    analysis = analyse(records(seeds, {"m2pt": 5.0}), [], tasks=TASKS, study=ASKED)
    text = headline(analysis)
    assert text.endswith("; this is no verdict of the rule that was written down before seeds 6 to 9 were run, which judges "
                         f"all of them together: {missing}.")
    gone = " ".join(str(seed) for seed in RULE.seeds if seed not in seeds)
    assert f"seeds 6 to 9 are not all here (seeds {gone} are missing in every cell), and" in protocol_line(analysis)


def test_the_headline_speaks_of_the_rule_only_where_a_part_of_its_seeds_is_here():
    assert "rule" not in headline(analyse(records(range(6)), [], tasks=TASKS, study=ASKED))
    whole = headline(analyse(records(RULE.seeds), [], tasks=TASKS, study=ASKED))
    assert "no verdict" not in whole
    lacking = headline(analyse(without(records(RULE.seeds), "audioset", "self-copy", ""), [], tasks=TASKS, study=ASKED))
    assert lacking.endswith("together: lacking are 1 of 14 cells: audioset self-copy (seeds 6 7 8 9).")


def test_the_second_rule_says_that_a_cell_was_run_on_another_machine():
    made = [record.model_copy(update={"environment": record.environment.model_copy(update={"threads": 4})})
            if (record.spec.task, record.spec.arm) == ("audioset", "self-copy") else record for record in records(RULE.seeds)]
    analysis = analyse(made, [], tasks=TASKS, study=ASKED)
    assert analysis.second.empty
    assert ("lacking are 1 of 14 cells: audioset self-copy (seeds 6 7 8 9, which were run in another environment, or "
            "from another checkpoint, than the plain model)") in protocol_line(analysis)


@pytest.mark.parametrize(("gain", "said"), [
    (0.0, "is not shown to help"), (3.0, "helps on average"), (-3.0, "hurts on average")])
def test_the_headline_says_what_the_mean_shows(gain, said):
    analysis = analyse(records(range(5), {"m2pt": gain}), [], tasks=TASKS, study=STUDY)
    text = headline(analysis)
    assert said in text
    assert text.count(". ") == 0, "one sentence"
    assert "over 4 pairs of modalities and five seeds" in text
    assert headline(analyse([], [], tasks=TASKS, study=STUDY)) == ""
