"""Every part of the report says what the records say: costs, order and ties, published beside measured, comparisons."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import OTHER_CODE, make_matrix, make_pretraining, make_record, make_spec
from synthetic import TASKS as SYNTHETIC

from baselines import ARMS, STUDY
from benchmark.cli.main import main
from benchmark.evidence.analysis import Extras, analyse
from benchmark.evidence.claims import Evidence, judge_gain, load_claims
from benchmark.evidence.compare import OutputsBeside, compare, compare_outputs
from benchmark.evidence.inputs import Problem, TaskInfo
from benchmark.evidence.means import printed_gains
from benchmark.evidence.ranks import published_gains
from benchmark.evidence.sections import stated_conditions
from benchmark.evidence.stats import equivalence_p, paired_difference, seeds_needed
from benchmark.evidence.verdicts import judge_claims
from benchmark.records.outputs import FILE, write_outputs
from benchmark.records.record import record_text
from benchmark.records.store import Store
from benchmark.report.answer import answer, answer_table
from benchmark.report.compare import say_others, say_outputs, say_unread, summarise
from benchmark.report.cost import cost_table
from benchmark.report.curves import draw_scales
from benchmark.report.document import FORMATS, Document, Heading, Paragraph, without_empty
from benchmark.report.figures import draw_forest, draw_matrix
from benchmark.report.first import reading_table
from benchmark.report.markup import MINUS, show_value, to_markdown
from benchmark.report.parts import PARTS
from benchmark.report.provenance import command_of, facts
from benchmark.report.published import draw_claims, list_sources, published_lines, published_table, show_measured
from benchmark.report.tables import matrix_table
from benchmark.report.write import write_report
from benchmark.spec.contracts import Metric

TASKS = SYNTHETIC | {"imagenet": TaskInfo("image", (Metric("top1"), Metric("top5")))}  # its name in the ledger

PUBLISHED = replace(STUDY, rivals={}, beside={}, tuned_baseline=None)  # what the paper prints, and no rule


def analysis_of(records, **keys):
    return analyse(records, [], tasks=TASKS, study=PUBLISHED, **keys)


def imagenet(finals, arm="finetune", auxiliary=None, **changes):
    """A run of imagenet for each value: its last test top1."""
    made = []
    for seed, final in enumerate(finals):
        record = make_record(make_spec("imagenet", arm, auxiliary, seed), final, **changes)
        rows = [row.model_copy(update={"metric": row.metric.replace("-", "")}) for row in record.measurements]
        made.append(record.model_copy(update={"measurements": rows}))
    return made


def test_costs_are_ratios_to_the_baseline_of_the_same_seed():
    parameters = {"trainable": 2_000_000, "training": 3_000_000, "merged": 1_000_000}
    plain = [record.model_copy(update={"seconds": {"train": 10.0 + seed}, "peak_memory_bytes": 100})
             for seed, record in enumerate(imagenet([40, 41]))]
    ours = [record.model_copy(update={"seconds": {"train": 2 * (10.0 + seed)}, "peak_memory_bytes": 150,
                                      "parameters": parameters})
            for seed, record in enumerate(imagenet([40, 41], "m2pt", "audio"))]
    (row,) = analysis_of([*plain, *ours]).cost.itertuples()
    assert (row.n, row.time_ratio, row.memory_ratio) == (2, 2.0, 1.5)
    assert (row.trainable, row.merged) == (2_000_000, 1_000_000)


def test_times_and_memory_are_compared_within_one_command_and_where_a_record_tells_them():
    """Another command had the machine on another day; and a millisecond is as short as a record knows."""
    def run(arm, auxiliary, seed, command, train, inference):
        (record,) = imagenet([40.0], arm, auxiliary)
        spec = record.spec.model_copy(update={"seed": seed})
        return record.model_copy(update={"spec": spec, "run_id": spec.run_id, "command": command,
                                         "seconds": {"train": train, "inference": inference},
                                         "peak_memory_bytes": 100 + 50 * (arm == "m2pt") + 900 * ("full" in command)})

    records = [run("finetune", None, 0, "benchmark run --matrix full", 50.0, 0.1),
               run("m2pt", "audio", 0, "benchmark run --matrix evidence", 100.0, 0.1)]
    records += [run("finetune", None, 1, "benchmark run --matrix evidence", 50.0, 0.003),
                run("m2pt", "audio", 1, "benchmark run --matrix evidence", 60.0, 0.007)]
    analysis = analysis_of(records)
    (row,) = analysis.cost.itertuples()
    assert (row.n, row.time_n, row.time_ratio) == (2, 1, pytest.approx(1.2))
    assert row.memory_ratio == pytest.approx(1.5), "another command's processes held other things, too"
    assert pd.isna(row.inference_ratio)
    text = to_markdown(cost_table(analysis.collection, analysis.cost, 0))
    assert "| 2 | 1.20 (n=1) | — |" in text


def test_every_learned_scale_lies_within_its_panel():
    """The second target's are the larger, and panels share their axis."""
    records = []
    for task, factor in (("imagenet", 1.0), ("shapenet", 5.0)):
        for seed in range(2):
            record = make_record(make_spec(task, "m2pt", "audio", seed))
            layers = [layer.model_copy(update={"scale": factor * layer.scale}) for layer in record.layers]
            records.append(record.model_copy(update={"layers": layers}))
    analysis = analyse(records, [], tasks=SYNTHETIC)
    largest = max(abs(layer.scale) for record in records for layer in record.layers)
    figure = draw_scales(analysis.collection, 0, "m2pt", "")
    for axes in figure.axes[:2]:
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] >= largest


def test_parts_without_a_file_of_the_formats_are_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing to write: these parts have no file of these formats"):
        write_report(analysis_of(make_matrix(["imagenet"], ["audio"])), tmp_path, formats=("csv",), parts=("limits",))


def test_the_forest_has_a_legend_what_was_published_and_what_noise_is_worth_and_no_interval_hides_the_others():
    records = imagenet([40.0, 41.0, 42.0]) + imagenet([40.5, 41.4, 42.6], "m2pt", "audio") + imagenet(
        [40.2, 41.1, 42.4], "random-norm", "audio") + imagenet([39.0, 46.0], "same-modality")
    analysis = analysis_of(records)
    gain = printed_gains(analysis.claims)["imagenet", "pretrained", "audio", "top1"]
    figure = draw_forest(analysis.collection, analysis.effects, 0, "m2pt", printed_gains(analysis.claims))
    axes, (legend,) = figure.axes[0], figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["+ audio", "method", "control", "published, other data and scale"]
    points = {(line.get_marker(), round(float(line.get_xdata()[0]), 3)) for line in axes.lines if len(line.get_xdata()) == 1}
    assert {("D", round(gain, 3)), ("o", 0.5), ("s", 0.233), ("s", 2.0)} < points
    low, high = axes.get_xlim()
    assert -3 < low < high < 3, "the interval of two seeds is 76 points long, and ends in arrows"
    assert {("<", round(low, 3)), (">", round(high, 3))} < points
    assert "arrow" in axes.get_xlabel()


def test_the_figure_of_claims_spells_a_variant_as_its_runs_do():
    """It had a spelling of its own, in whatever order the ledger has the options"""
    arm = ARMS["m2pt"].model_validate({"scale_init": 0.01, "train_scale": False})
    records = imagenet([40.0, 41.0, 42.0])
    for record in imagenet([40.5, 41.4, 42.6], "m2pt", "point"):
        spec = record.spec.model_copy(update={"options": arm.options(), "variant": arm.variant})
        records.append(record.model_copy(update={"spec": spec, "run_id": spec.run_id}))
    claims = [claim if claim.test is None else claim.model_copy(update={"test": claim.test.model_copy(update={
        "options": dict(reversed(claim.test.options.items()))})}) for claim in load_claims(STUDY)]
    found = analysis_of(records)
    judged = judge_claims(found.collection, claims, found.cells, found.effects)
    (row,) = judged[judged["variant"].fillna("") != ""].itertuples()
    assert row.variant == arm.variant == "scale_init=0.01,train_scale=False"
    figure = draw_claims(claims, judged, "paper")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [f"+ point, top1 [{arm.variant}]"]


def test_a_cell_of_the_heat_map_is_coloured_where_its_interval_is_without_0():
    records = make_matrix(["imagenet"], ["point", "audio"], range(4), {("imagenet", "point"): 3.0, ("imagenet", "audio"): 0.0})
    analysis = analyse(records, [], tasks=SYNTHETIC)
    figure = draw_matrix(analysis.collection, analysis.cells, analysis.effects, 0, "m2pt", "")
    (shown,) = figure.axes[0].images[0].get_array()
    marks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert [marks[place] for place, hidden in enumerate(shown.mask) if not hidden] == ["+ point"]


def test_heat_map_and_table_say_the_same_of_cells_without_a_difference():
    records = [record for record in make_matrix(["imagenet", "audioset"], ["point", "audio", "image"], range(3))
               if (record.spec.task, record.spec.arm) != ("audioset", "finetune") and record.spec.auxiliary != "audio"]
    failed = Problem("x", "NaN", spec=make_spec("imagenet", "m2pt", "audio"))
    analysis = analyse(records, [failed], tasks=SYNTHETIC)
    figure = draw_matrix(analysis.collection, analysis.cells, analysis.effects, 0, "m2pt", "")
    drawn = [text.get_text() for text in figure.axes[0].texts]
    table = matrix_table(analysis.collection, analysis.cells, analysis.effects, 0, "m2pt", "")
    shown = [[line.text for line in entry] for row in table.rows for entry in row[1:]]
    for state, count in (("failed", 1), ("not paired", 2), ("missing", 1)):
        assert drawn.count(state) == sum(state in lines for lines in shown) == count, state


def test_a_difference_of_fewer_pairs_than_its_mean_says_so():
    records = [record for record in make_matrix(["imagenet", "audioset"], ["point"], range(4))
               if (record.spec.task, record.spec.arm, record.spec.seed) != ("imagenet", "finetune", 3)]
    analysis = analyse(records, [], tasks=SYNTHETIC, study=STUDY)
    table = matrix_table(analysis.collection, analysis.cells, analysis.effects, 0, "m2pt", "")
    cells = [[line.text for line in row[table.header.index("+ point")]] for row in table.rows]
    assert [(lines[0].endswith("(n=4)"), lines[1].endswith("] (3 pairs)")) for lines in cells] == [(True, True), (True, False)]
    assert "mean over four seeds" in reading_table(analysis).rows[0][1][0].text


@pytest.mark.parametrize("seeds", [1, 4])
def test_each_line_of_a_cell_is_explained_by_what_it_is(seeds):
    records = make_matrix(["imagenet", "audioset"], ["point"], range(seeds))
    rows = [[entry[0].text for entry in row] for row in reading_table(analyse(records, [], tasks=SYNTHETIC, study=STUDY)).rows]
    kinds = {"(n=": "mean over", "p ": "how often chance", "paper": "what is printed"}
    for line, said in rows:
        kind = [text for mark, text in kinds.items() if line.startswith(mark) or line.endswith(f"{mark}{seeds})")]
        assert (kind or ["difference to"])[0] in said, line
    assert len(rows) == (2 if seeds == 1 else 3) + any(line.startswith("paper") for line, _ in rows)
    assert ("none with one seed" in rows[0][1]) == (seeds == 1)


def test_what_quick_gives_is_an_answer_that_settles_nothing_until_there_is_a_whole_one():
    short = make_matrix(["imagenet"], ["audio"], range(2), {("imagenet", "audio"): 0.5}, epochs=5)
    own = make_spec("imagenet")
    stated = stated_conditions(own.shape, own.recipe.model_dump(mode="json", exclude={"scale_lr"}), own.num_classes)
    tasks = SYNTHETIC | {"imagenet": replace(SYNTHETIC["imagenet"], conditions={("tiny", "pretrained"): stated})}
    (said,) = answer(analyse(short, [], tasks=tasks, study=STUDY))
    assert said.startswith("Profile tiny, setting pretrained, epochs=5: of 1 target x auxiliary pair, ")
    assert re.search(r"Gain over the plain model: emoji \+ audio .[\d.]+ \[\S+, \S+\]\.", said)
    assert said.endswith("A first answer, by another recipe than the profile's own: it settles nothing.")
    assert answer_table(analyse(short, [], tasks=tasks, study=STUDY)) is None
    (whole,) = answer(analyse(short + make_matrix(["imagenet"], ["audio"], range(2)), [], tasks=tasks, study=STUDY))
    assert "epochs=5" not in whole
    trial = make_matrix(["imagenet"], ["audio"], range(2), limit=16)
    assert answer(analyse(trial, [], tasks=tasks, study=STUDY)) == [
        "No target x auxiliary pair has been measured on all data yet."]


def test_pairs_that_were_run_under_other_options_alone_are_not_told_as_not_measured():
    plain = [make_record(make_spec(seed=seed), 45.0 + seed) for seed in range(3)]
    variants = [make_record(make_spec("imagenet", "m2pt", "audio", seed, variant=f"scale_init={start}",
                                      options={"scale_init": start}), 46.0 + seed + start)
                for seed in range(3) for start in (0.1, 0.2)]
    one, two = (answer(analyse(plain + records, [], tasks=SYNTHETIC, study=STUDY)) for records in (variants[::2], variants))
    start = "No target x auxiliary pair has been measured on all data with a method's options as they are; m2pt"
    assert one == [f"{start} [scale_init=0.1] has been: what came out is below, in the matrix of each."]
    assert two == [f"{start} [scale_init=0.1] and 1 other have been: what came out is below, in the matrix of each."]
    assert answer(analyse(plain, [], tasks=SYNTHETIC, study=STUDY)) == [
        "No target x auxiliary pair has been measured on all data yet."]


def test_runs_of_no_method_are_asked_what_they_ask_themselves():
    """Of pretrained models beside others from scratch it began with pairs that nobody had run"""
    plain = make_matrix(auxiliaries=(), seeds=range(6))
    found = analyse(plain, [], tasks=SYNTHETIC, study=STUDY)
    assert found.question == "What do these runs show?"
    assert answer(found) == ["Profile tiny: masked pretraining gains over scratch on 4 of 4 targets and loses on 0 beyond "
                             "chance (paired by seed, Holm-adjusted)."]
    for records in ([], make_matrix(["imagenet"], ["audio"], range(2))):
        assert analyse(records, [], tasks=SYNTHETIC, study=STUDY).question == STUDY.question


def test_the_counts_of_the_first_screen_are_those_of_its_sentences():
    effects = {(task, auxiliary): 3.0 * (auxiliary == "audio") for task in ("imagenet", "shapenet")
               for auxiliary in ("image", "point", "audio")}
    analysis = analyse(make_matrix(["imagenet", "shapenet"], ["image", "point", "audio"], range(4), effects), [],
                       tasks=SYNTHETIC, study=STUDY)
    (row,) = answer_table(analysis).rows
    assert [line.text for entry in row for line in entry][:5] == ["tiny, setting pretrained", "4", "2", "0", "not judged"]
    (sentence,) = answer(analysis)
    assert "of 4 target x auxiliary pairs, 2 gain over their baseline and 0 lose" in sentence
    assert answer_table(analyse(make_matrix(["imagenet"], ["audio"], [0]), [], tasks=SYNTHETIC, study=STUDY)) is None


def test_cells_that_are_not_shown_to_differ_share_a_letter():
    noise = [0.0, 0.4, -0.3, 0.1]
    records = imagenet([40 + x for x in noise])
    records += imagenet([40.05 + 0.9 * x for x in noise], "self-copy")
    records += imagenet([45 + 1.1 * x for x in noise], "m2pt", "audio")
    ranks = analysis_of(records).ranks
    assert list(ranks["arm"]) == ["m2pt", "self-copy", "finetune"]
    ties = dict(zip(ranks["arm"], ranks["ties"], strict=True))
    assert ties == {"m2pt": "a", "self-copy": "b", "finetune": "b"}


def test_power_is_stated_against_the_smallest_published_gain():
    base, treated = [40.0, 41.0, 42.0], [40.2, 41.1, 42.3]
    power = analysis_of(imagenet(base) + imagenet(treated, "m2pt", "video")).power
    row = power[power["metric"] == "top1"].iloc[0]
    gains = [claim.absolute_gain for claim in load_claims(STUDY) if claim.test and claim.test.task == "imagenet"
             and claim.test.setting == "pretrained" and claim.test.quantity == "gain" and not claim.test.options]
    difference = paired_difference(dict(enumerate(treated)), dict(enumerate(base)))
    assert row["published"] == published_gains(load_claims(STUDY))["imagenet", "pretrained", "top1"] == min(gains)
    assert row["p_equivalent"] == pytest.approx(equivalence_p(difference.mean, difference.sd, 3, min(gains)))
    assert row["seeds_needed"] == seeds_needed(min(gains), difference.sd, spread_df=difference.n - 1)


def test_published_and_measured_stand_in_one_cell_and_another_scale_gives_no_verdict():
    claims = load_claims(STUDY)
    analysis = analysis_of(imagenet([40, 41, 42]) + imagenet([40.5, 41.6, 42.4], "m2pt", "point"))
    table = published_table(claims, analysis.judged, "Table 1", "paper")
    rows = {row[0][0].text: row for row in table.rows}
    column = table.header.index("ImageNet-1K top-1 accuracy")
    assert [line.text for line in rows["M2PT-Point"][column]] == ["83.9 (+0.6)", "tiny: +0.50 [+0.25, +0.75] (n=3)"]
    assert [line.text for line in rows["MAE"][column]] == ["83.3", "tiny: 41.00 [38.52, 43.48] (n=3)"]
    assert len(rows["M2PT-Point"][table.header.index("COCO 2017 APbox")]) == 1
    judged = analysis.judged.set_index("id")
    assert judged.loc["t1-m2pt-point-tune", "verdict"] == "not comparable"
    assert judged.loc["t1-m2pt-point-tune", "profile"] == "tiny"
    at_scale = [record.model_copy(update={"spec": (spec := record.spec.model_copy(update={"profile": "paper"})),
                                          "run_id": spec.run_id}) for record in analysis.collection.records]
    judged = analysis_of(at_scale).judged.set_index("id")
    assert judged.loc["t1-m2pt-point-tune", "verdict"] == "reproduced"


def test_every_table_of_the_paper_is_made_and_the_matrix_has_its_numbers():
    sources = list_sources(load_claims(STUDY))
    assert sources == ["Table 1", "Table 2", "Table 3", "Table 4", "Figure 3", "Table 5", "Table 6", "Table 7"]
    analysis = analysis_of(imagenet([40, 41]))
    tables = {source: published_table(load_claims(STUDY), analysis.judged, source, STUDY.profile) for source in sources}
    assert len(tables["Table 5"].rows) == 10
    assert tables["Table 6"].header == ("Row", "ImageNet-1K top-1 accuracy")
    assert all(len(row) == len(table.header) for table in tables.values() for row in table.rows)
    lines = published_lines(load_claims(STUDY), "pretrained")
    assert lines["imagenet", "point", "top1"] == "paper 83.9 (+0.6)"
    assert lines["imagenet", "", "top1"] == "paper 83.3"
    assert published_lines(load_claims(STUDY), "fix")["imagenet", "point", "top1"] == "paper 67.8 (+2.2)"


def test_what_the_paper_prints_of_its_method_stands_under_no_other_method(tmp_path):
    records = [*imagenet([40, 41]), *imagenet([40.5, 41.6], "m2pt", "audio")]
    for seed, final in enumerate([40.2, 41.9]):
        (made,) = imagenet([final], "m2pt", "audio")
        spec = made.spec.model_copy(update={"arm": "low-rank", "seed": seed})
        records.append(made.model_copy(update={"spec": spec, "run_id": spec.run_id}))
    write_report(analysis_of(records), tmp_path, formats=("md",), parts=("matrix",))
    ours, other = (next((tmp_path / "tables").glob(f"matrix-*{arm}*.md")).read_text() for arm in ("m2pt", "low-rank"))
    assert "paper 83.3" in ours
    assert "paper 83.7 (+0.4)" in ours
    assert "paper 83.3" in other, "the plain model is the same"
    assert "(+0.4)" not in other


def test_a_comparison_counts_equal_seeds_and_names_what_only_one_side_has():
    ours = imagenet([40.0, 41.0, 42.0]) + imagenet([40.5, 41.5, 42.5], "m2pt", "audio")
    theirs = imagenet([40.0, 41.0, 42.25], torch="9.9")
    analysis = analysis_of(ours, compared=theirs)
    both, alone = (analysis.comparison[analysis.comparison["arm"] == arm].iloc[0] for arm in ("finetune", "m2pt"))
    assert (both["n"], both["equal"], both["difference"]) == (3, 2, pytest.approx(-0.25 / 3))
    assert alone["state"] == "only here"
    assert summarise(analysis.comparison) == (
        "1 cell is in both: 0 with the same values to the last bit, 0 that differ beyond chance; 1 only here.")
    same = compare(analysis.collection, analysis.collection)
    assert (same["equal"] == same["n"]).all()
    assert same["p_holm"].isna().all() or (same["p_holm"].dropna() == 1).all()


def test_a_comparison_is_of_every_metric():
    ours = imagenet([40.0, 41.0, 42.0])
    rows = [row.model_copy(update={"value": row.value + (row.metric == "top5")}) for row in ours[0].measurements]
    analysis = analysis_of(ours, compared=[ours[0].model_copy(update={"measurements": rows}), *ours[1:]])
    found = analysis.comparison.set_index("metric")
    assert list(found.index) == ["top1", "top5"]
    assert list(found["main"]) == [True, False]
    assert list(found["equal"]) == [3, 2]
    assert found.loc["top5", "difference"] == pytest.approx(-1 / 3)
    assert found["p_holm"].isna()["top5"], "which is adjusted with no other"
    assert summarise(analysis.comparison).startswith("1 cell is in both: 0 with the same values to the last bit")
    assert say_others(analysis.comparison) == (
        "Of 1 metric of these cells beside the main ones, 0 have the same values to the last bit.")
    same = analysis_of(ours, compared=ours).comparison
    assert summarise(same).startswith("1 cell is in both: 1 with the same values to the last bit")
    assert "1 has the same" in say_others(same)


def test_a_comparison_counts_runs_that_say_the_same_of_every_sample(tmp_path):
    records = imagenet([40.0, 41.0, 42.0, 43.0])
    said = {"label": np.arange(4), "predicted": np.arange(4), "probability": np.full(4, 0.5)}
    sides = []
    for side in ("here", "there"):
        store = Store(tmp_path / side)
        store.prepare()
        for seed, record in enumerate(records):
            if (side, seed) != ("there", 3):
                other = {"predicted": np.array([0, 1, 0, 0])} if (side, seed) == ("there", 1) else {}
                close = {"probability": np.full(4, 0.5 + 2**-40)} if (side, seed) == ("there", 2) else {}
                write_outputs(store.staged(record.spec) / FILE, {**said, **other, **close})
            store.save(record)
        sides.append([(store, store.records()[0])])
    found = compare_outputs(*sides)
    assert (found.runs, found.equal, found.samples, found.answered) == (3, 1, 8, 2)
    assert say_outputs(found) == ("Of 3 runs that left on both sides what they said of each test sample, 1 said the same to "
                                  "the last bit; the others answer 2 of 8 samples otherwise.")
    assert say_outputs(OutputsBeside(1, 0, 1, 1)) == (
        "Of 1 run that left on both sides what it said of each test sample, 0 said the same to the last bit; the other answers "
        "1 of 1 sample otherwise.")
    assert say_outputs(OutputsBeside(0, 0, 0, 0)).startswith("No run")
    assert main(["report", "--results", str(tmp_path / "here"), "--compare", str(tmp_path / "there")]) == 0
    page = " ".join((tmp_path / "here" / "report" / "report.md").read_text().split())
    assert say_outputs(found) in page
    assert "cannot be read" not in page
    broken = tmp_path / "there" / "runs" / records[0].spec.name / "record.json"
    broken.write_text("{")
    assert main(["report", "--results", str(tmp_path / "here"), "--compare", str(tmp_path / "there"), "--only", "compare",
                 "--format", "md"]) == 0
    page = " ".join((tmp_path / "here" / "report" / "report.md").read_text().split())
    assert f"A file of the other results cannot be read: {records[0].spec.name}/record.json." in page, "it is not only here"
    unread = [Problem(name, "", "unreadable") for name in "ab"]
    assert say_unread([*unread, *unread]) == "2 files of the other results cannot be read, such as a."
    assert say_unread([Problem("c", "", "failed")]) == ""


def test_the_command_of_a_row_computes_it_with_its_baseline():
    records = imagenet([40, 41], "m2pt", "audio")
    assert command_of(records) == ("benchmark run --profile tiny -t imagenet --arm finetune,m2pt --setting pretrained -x audio "
                                   "--seeds 0,1")
    spec = records[0].spec.model_copy(update={"variant": "layers=attn.qkv", "options": {"layers": ("attn.qkv",), "x": 1}})
    variant = [records[0].model_copy(update={"spec": spec})]
    assert command_of(variant).endswith("""--set 'arm.layers=["attn.qkv"]' --seeds 0""")
    assert command_of(records, "epochs=5") == records[0].command
    for more in ("--plugins my_arm.py", "--plugins=my_arm.py", "--start audio=a.safetensors"):
        typed = f"benchmark run --arm finetune,m2pt {more}"
        own = [record.model_copy(update={"command": typed}) for record in records]
        assert command_of(own) == typed, "nothing else finds what is in these files"


def test_only_the_parts_and_formats_that_are_asked_for_are_written(tmp_path):
    analysis = analysis_of([*make_matrix(["imagenet", "audioset"], ["image", "audio"], range(2)), make_pretraining("image")])
    written = write_report(analysis, tmp_path, formats=("md", "html"), parts=("claims", "left-out"))
    names = {path.relative_to(tmp_path).as_posix() for path in written}
    assert names == {"report.md", "report.html", "appendix.html", "tables/claims.md"}
    page = (tmp_path / "report.md").read_text()
    assert "## Published claims" in page
    assert "## Target x auxiliary" not in page


@pytest.mark.parametrize("formats", [("md", "html", "svg"), ("md", "html"), ("html", "latex", "pdf", "png"), FORMATS])
def test_pages_name_every_file_of_their_formats_and_no_other(formats, tmp_path):
    analysis = analysis_of(make_matrix(["imagenet", "audioset"], ["image", "audio"], range(2)))
    files = {path.relative_to(tmp_path).as_posix() for path in write_report(analysis, tmp_path, formats=formats)}
    assert files == {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    page = "".join((tmp_path / name).read_text() for name in ("report.html", "appendix.html"))
    linked = set(re.findall(r'href="((?:tables|figures)/[^"]+)"', page))
    assert linked == {name for name in files if name.endswith((".tex", ".pdf")) or (name.endswith(".md") and "/" in name)}
    assert page.count("<svg") == len(re.findall("<figure[ >]", page)) > 3
    if "md" in formats:
        linked = set(re.findall(r"\]\(((?:tables|figures)/[^)]+)\)", (tmp_path / "report.md").read_text()))
        assert linked <= files
        shown = ".png" if "png" in formats else ".svg"
        assert {name for name in linked if "figures/" in name} == {name for name in files if name.endswith(shown)}


def test_a_part_with_nothing_to_say_leaves_no_heading(tmp_path):
    document = Document(tmp_path)
    blocks = [Heading("a", 1), Heading("empty"), Heading("b"), Heading("empty too", 3), Heading("c", 3), Paragraph("text"),
              Heading("last")]
    assert [getattr(block, "text", "") for block in without_empty(blocks)] == ["a", "b", "c", "text"]
    nothing = analyse([], [Problem("x", "broken", "unreadable")], tasks=TASKS)
    for name, part in PARTS.items():
        if name not in ("left-out", "provenance"):
            part.add(document, nothing)
    assert document.blocks == []


def test_numbers_behind_every_figure_are_written_at_full_precision(tmp_path):
    analysis = analyse(make_matrix(["imagenet", "audioset"], ["image", "audio"], range(3)), [], tasks=SYNTHETIC)
    write_report(analysis, tmp_path, formats=("csv", "json"))
    frame = pd.read_csv(tmp_path / "tables" / "differences.csv")
    ours = analysis.effects
    assert frame["difference"].to_list() == pytest.approx(ours["difference"].to_list(), rel=1e-15)
    rows = json.loads((tmp_path / "tables" / "order.json").read_text())
    assert {row["task"] for row in rows} == {"imagenet", "audioset"}
    assert not list(tmp_path.glob("*.md"))


def test_a_significant_gain_is_bold_and_no_other_is():
    analysis = analysis_of(imagenet([40, 41, 42]) + imagenet([45.0, 46.1, 46.9], "m2pt", "point")
                           + imagenet([40.5, 40.6, 42.3], "m2pt", "audio"))
    text = to_markdown(published_table(load_claims(STUDY), analysis.judged, "Table 1", STUDY.profile))
    assert text.count("**tiny: +") == 1


def test_help_names_every_part(capsys):
    with pytest.raises(SystemExit):
        main(["report", "--help"])
    assert ",".join(PARTS) in "".join(capsys.readouterr().out.split())


ALLOWED = {"begin", "end", "centering", "small", "caption", "toprule", "midrule", "bottomrule", "textbf", "pm", "endhead",
           "endfoot", "dagger",
           "cdot", "textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater", "textbar"}


def check_latex(text: str) -> None:
    """What pdflatex with booktabs would stumble over: braces, environments, columns, commands, bare special characters."""
    plain = re.sub(r"\\[{}$&#_%\\]", lambda found: " " if found[0] != r"\\" else r"\\", text)
    depth = 0
    for character in plain:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    begun = re.findall(r"\\begin\{(\w+)\}", text)
    assert begun == re.findall(r"\\end\{(\w+)\}", text)[::-1]
    assert begun in (["table", "tabular"], ["longtable"])
    (columns,) = re.findall(r"\\begin\{(?:tabular|longtable)\}\{((?:[lc]|p\{5cm\})+)\}", text)
    columns = columns.replace("p{5cm}", "p")
    rows = [line for line in plain.splitlines() if re.search(r"\\\\(\[[\d.]+em\])?$", line) and "caption" not in line]
    assert rows
    assert {line.count("&") for line in rows} == {len(columns) - 1}
    assert set(re.findall(r"\\([a-zA-Z]+)", plain)) <= ALLOWED
    assert plain.count("$") % 2 == 0
    assert not re.search(r"[#%~^_]", plain)
    assert text.isascii()


def test_every_latex_table_is_sound_and_compiles_where_there_is_latex(tmp_path):
    records = make_matrix(["imagenet", "audioset"], ["image", "audio"], range(3))
    records += [make_record(make_spec(task, "random-norm", aux, seed), 50 + seed) for task, aux in
                (("imagenet", "audio"), ("audioset", "image")) for seed in range(3)]
    analysis = analyse(records, [], tasks=SYNTHETIC, study=replace(PUBLISHED, rivals={"m2pt": ("random-norm",)}),
                       compared=records)
    write_report(analysis, tmp_path, formats=("latex",))
    tables = sorted((tmp_path / "tables").glob("*.tex"))
    assert len(tables) > 15
    for path in tables:
        check_latex(path.read_text(encoding="utf-8"))
    latex = shutil.which("tectonic")
    if shutil.which("pdflatex") and shutil.which("kpsewhich") and subprocess.run(
            ["kpsewhich", "booktabs.sty"], capture_output=True, check=False).returncode == 0:
        latex = shutil.which("pdflatex")
    if latex is not None:
        inputs = "\n".join(rf"\input{{tables/{path.stem}}}\clearpage" for path in tables)
        (tmp_path / "all.tex").write_text("\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage{booktabs,longtable}"
                                          f"\\begin{{document}}{inputs}\\end{{document}}")
        options = ["-interaction=nonstopmode", "-halt-on-error"] if "pdflatex" in latex else []
        done = subprocess.run([latex, *options, "all.tex"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]


# --- hostile records -------------------------------------------------------------------------------------------------

SCRIPT = "<script>alert(1)</script>"


def bad_records() -> dict[str, tuple[str, str]]:
    """Text of a record file by the name of its folder, and what is said of it."""
    good = json.loads(record_text(make_record(make_spec(seed=9))))

    def changed(**changes) -> str:
        return json.dumps(good | changes)

    row = {"split": "val", "metric": "loss", "step": 1, "value": 1.0}  # as version 1 has them
    series = {"split": "val", "metric": "loss", "steps": [1, 2], "values": [1.0]}
    layer = {"name": "blocks.0.attn.qkv", "scale": 1.0}
    spec = good["spec"]
    return {
        "truncated": (record_text(make_record(make_spec(seed=9)))[:900], "unreadable ("),
        "empty": ("", "unreadable ("), "list": ("[]", "unreadable (no JSON object)"),
        "text-version": (changed(schema_version="1"), "schema version '1', this release reads 1, 2, 3"),
        "unknown": (json.dumps(good | {"a\nb": 1}), "a b: Extra inputs are not permitted"),
        "schema": (changed(schema_version=99), "schema version 99, this release reads 1, 2, 3"),
        "unversioned": (json.dumps({key: good[key] for key in good if key != "schema_version"}), "schema version None"),
        "no-fields": ('{"schema_version": 3}', "Field required"),
        "no-code": ('{"schema_version": 1}', "no digest of the code"),
        "no-spec-field": (changed(spec={key: spec[key] for key in spec if key != "task"}), "spec.task: Field required"),
        "other-id": (changed(run_id="0" * 12), "does not fit its spec"),
        "nan": (changed(measurements=[row | {"value": float("nan")}]), "value: Input should be a finite number"),
        "huge": (changed(measurements=[row | {"value": 1e308}]), "measurements.0.value: Input should be less than 1e+100"),
        "step": (changed(measurements=[row | {"step": 10**30}]), "measurements.0.step: Input should be less than"),
        "layer": (changed(layers=[layer | {"scale": 1e200}]), "layers.0.scale: Input should be less than 1e+100"),
        "seconds": (changed(seconds={"train": -1.0}), "seconds.train: Input should be greater than or equal to 0"),
        "series": (changed(measurements=[series]), "measurements: Value error, a series needs a list of steps"),
        "no-steps": (changed(measurements=[{"values": [1.0]}]), "a series needs a list of steps"),
        "text": (changed(measurements="many"), "Input should be a valid list"),
        "deep": ("[" * 100_000, "unreadable ("),
        SCRIPT.replace("/", ""): ("{}", "schema version None"),
    }


@pytest.fixture
def hostile(tmp_path) -> Path:
    """Six good records, one of them twice under another code, and everything that is no record."""
    store = Store(tmp_path / "results")
    store.prepare()
    for record in make_matrix(["audioset"], ["image"], range(3), scratch=False):
        store.save(record)
    other = make_record(make_spec("audioset", seed=0), 99.0, code=OTHER_CODE, started="2020-01-01T00:00:00+00:00")
    folder = tmp_path / "results" / "runs" / "copied by hand"
    folder.mkdir()
    (folder / "record.json").write_text(record_text(other), encoding="utf-8")
    for name, (text, _) in bad_records().items():
        folder = tmp_path / "results" / "runs" / name
        folder.mkdir()
        (folder / "record.json").write_text(text, encoding="utf-8")
    (tmp_path / "results" / "runs" / "binary").mkdir()
    (tmp_path / "results" / "runs" / "binary" / "record.json").write_bytes(bytes(range(256)))
    return tmp_path / "results"


def test_a_report_of_hostile_records_says_what_it_left_out_and_why(hostile, capsys, monkeypatch):
    monkeypatch.chdir(hostile.parent)
    assert main(["report", "--results", hostile.name, "--only", "matrix,left-out,provenance"]) == 0
    assert f"from 7 records; {len(bad_records()) + 1} runs or files have no result" in capsys.readouterr().out
    rows = pd.read_csv(hostile / "report" / "tables" / "remarks.csv").fillna("")
    for name, (_, said) in bad_records().items():
        (detail,) = rows.loc[rows["name"] == f"{name}/record.json", "detail"]
        assert said in detail, name
    assert "Repeats a cell and seed" in set(rows["reason"])
    for name in ("report.html", "appendix.html"):
        html = (hostile / "report" / name).read_text(encoding="utf-8")
        assert "<script>alert" not in html
        assert html.count("<script>") == 1
        assert str(hostile) not in html
    page = (hostile / "report" / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "(n=3)" in page, "the good ones count"


def test_a_report_fails_on_hostile_records_only_when_asked(hostile, capsys):
    assert main(["report", "--results", str(hostile), "--only", "claims", "--fail-on", "unreadable,failed"]) == 1
    assert f"failing, as asked: {len(bad_records()) + 1} unreadable" in capsys.readouterr().err
    assert main(["report", "--results", str(hostile), "--only", "claims", "--fail-on", "failed,contradicted"]) == 0


def test_data_of_which_files_are_missing_are_named_and_whole_ones_are_not():
    whole = make_record(make_spec(seed=0))
    lacking = make_record(make_spec(seed=1)).model_copy(update={"data_notes": {"val": "6.1 % of val missing"}})
    assert not [line for line in facts([whole]) if "of the data" in line]
    (line,) = [line for line in facts([whole, lacking]) if "of the data" in line]
    assert line == "To know of the data: imagenet: 6.1 % of val missing"


def test_weights_from_files_are_named_by_their_digests_and_those_that_were_trained_here_are_not():
    given, published = "ab" * 32, "cd" * 32
    spec = make_spec(arm="m2pt", auxiliary="speech", starts={"target": "0123456789ab", "auxiliary": given[:12]},
                     published={"auxiliary": {"model.bin": published}})
    record = make_record(spec).model_copy(update={"weights": {"target": "ef" * 32, "auxiliary": given}})
    (line,) = [line for line in facts([record, record]) if "from files" in line]
    assert line == f"Weights from files: speech, SHA-256 {given[:16]}, converted from model.bin, SHA-256 {published[:16]}"
    assert not [line for line in facts([make_record(make_spec())]) if "from files" in line]


def test_a_results_folder_of_one_seed_has_a_matrix_without_intervals(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    for record in make_matrix(["audioset"], ["speech"], range(1), scratch=False):
        store.save(record)
    assert main(["report", "--results", str(tmp_path), "--only", "matrix"]) == 0
    assert "speech" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


def test_tables_and_figures_of_an_earlier_report_are_told(tmp_path, capsys):
    store = Store(tmp_path)
    store.prepare()
    for record in make_matrix(["audioset"], ["speech"], range(1), scratch=False):
        store.save(record)
    make = ["report", "--results", str(tmp_path), "--format", "md,csv", "--only"]
    for parts in ("matrix", "matrix", "matrix,cost"):
        assert main([*make, parts]) == 0
        assert "earlier report" not in capsys.readouterr().err
    assert main([*make, "cost", "--out", str(tmp_path / "other")]) == 0
    first, other = ({path.name for path in (tmp_path / place / "tables").iterdir()} for place in ("report", "other"))
    assert len(first - other) > 1
    assert "earlier report" not in capsys.readouterr().err
    assert main([*make, "cost"]) == 0
    assert f"note: an earlier report left {len(first - other)} tables or figures beside these, such as {tmp_path}" in (
        capsys.readouterr().err)


def test_a_matrix_says_of_what_is_printed_only_where_something_is():
    """Of parts with frozen blocks the paper prints nothing, and the note stood there"""
    notes = []
    for task in ("imagenet", "shapenet"):
        made = make_matrix([task], ["audio"], range(2), setting="fix", scratch=False)
        found = analyse(made, [], tasks=SYNTHETIC, study=STUDY)
        printed = {("imagenet", "audio", "top-1"): "paper 67.8 (+2.2)"}
        table = matrix_table(found.collection, found.cells, found.effects, 0, "m2pt", "", printed)
        notes.append(("paper 67.8 (+2.2)" in to_markdown(table).replace("\\", ""),
                      any(note.startswith("Paper: ") for note in table.notes)))
    assert notes == [(True, True), (False, False)]


def test_a_reconstruction_is_of_a_whole_pretraining_of_the_modalitys_own_and_says_what_it_is_of(tmp_path):
    whole = make_pretraining("image", seed=1)
    spec = whole.spec.model_copy(update={
        "variant": "early", "recipe": whole.spec.recipe.model_copy(update={"stop_epoch": 2})})
    early = whole.model_copy(update={"spec": spec, "run_id": spec.run_id})
    grid = {name: np.zeros((2, 8, 8, 3), np.uint8) for name in ("input", "reconstruction")}
    pictures = {**grid, "hidden": np.zeros((2, 8, 8), bool)}
    assert early.spec.name < whole.spec.name
    for records, said in (([early, whole], "seed 1, 5 epochs"), ([early], "seed 1, 2 epochs, early")):
        extras = Extras(reconstructions={record.identity: pictures for record in records})
        document = Document(tmp_path, ("svg",))
        PARTS["pretraining"].add(document, analyse(records, [], tasks=SYNTHETIC, extras=extras))
        (svg,) = (tmp_path / "figures").glob("reconstruction-image.svg")
        assert said in svg.read_text()


def test_a_pretraining_that_two_folders_computed_alike_stands_once_among_the_losses(tmp_path):
    """As of results/kin beside results/known, where each stood twice"""
    one = make_pretraining("image")
    again = one.model_copy(update={"started": "2026-01-01T00:00:00+00:00"})
    other = again.model_copy(update={"measurements": [row.model_copy(update={"value": 2 * row.value})
                                                      for row in one.measurements]})
    for records, rows in (([one, again], 1), ([one, other], 2), ([one, again, make_pretraining("image", 1)], 2)):
        document = Document(tmp_path, ())
        PARTS["pretraining"].add(document, analyse(records, [], tasks=SYNTHETIC))
        (table,) = (block.table for block in document.blocks if getattr(block, "name", "") == "pretraining-losses")
        assert len(table.rows) == rows


def test_of_the_best_test_epoch_no_report_says_that_validation_chose(tmp_path):
    for select, said in (("oracle", "Test split, best test epoch (selects on test)."),
                         ("best_val", "Test split, epoch chosen on val; selection on the validation split only.")):
        write_report(analysis_of(make_matrix(["imagenet"], ["audio"], [0]), select=select), tmp_path, "", ("md",), ("limits",))
        assert said in (tmp_path / "report.md").read_text().splitlines()


def test_what_is_said_alike_of_many_variants_is_said_once(tmp_path):
    records = make_matrix(["imagenet"], ["audio"], scratch=False)
    records += [make_record(make_spec("imagenet", arm, "audio", seed), 40.0 + seed) for arm in ("random-norm", "self-copy")
                for seed in range(3)]
    records += [make_record(make_spec("imagenet", "m2pt", "audio", seed, variant=f"layers={part}", options={"layers": part}),
                            41.0 + seed) for part in ("attn.qkv", "mlp.fc1") for seed in range(3)]
    write_report(analyse(records, [], tasks=SYNTHETIC, study=STUDY), tmp_path, "", ("md",), ("controls",))
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert page.count("Not judged: controls are missing") == 1
    assert ("**m2pt \\[layers=attn.qkv\\]; m2pt \\[layers=mlp.fc1\\]:** Not judged: controls are missing (random-norm, "
            "self-copy).") in page
    assert "**m2pt:** " in page


@pytest.mark.parametrize(("value", "shown"), [(-0.001, "+0.00"), (0.001, "+0.00"), (-0.006, f"{MINUS}0.01")])
def test_a_measured_gain_of_nothing_has_one_sign(value, shown):
    row = pd.Series({"measured": value, "low": value - 1, "high": value + 1, "n": 6})
    assert show_measured(row, "gain").startswith(f"{shown} [{MINUS}")
    said = judge_gain(1.0, Evidence(6, value, value - 1, value + 1, 0.9, 0.5)).reason
    assert said.startswith(f"{shown} (-1.0".replace(MINUS, "-"))
    assert judge_gain(1.0, Evidence(1, value, None, None)).reason.startswith(f"{shown}, n=1".replace(MINUS, "-"))


@pytest.mark.parametrize(("value", "shown"), [(-0.04, "0.0"), (-0.06, f"{MINUS}0.1"), (0.04, "0.0")])
def test_a_measured_value_of_nothing_has_no_sign(value, shown):
    """Of a correlation in percent, say"""
    assert show_value(value, Metric("r")) == shown
    assert show_value(-0.0, Metric("r", "")) == "0"


def test_secondary_endpoints_stand_by_section_and_target():
    records = make_matrix(["kinetics", "imagenet"], ["audio"])
    found = analyse(records, [], tasks=SYNTHETIC, study=STUDY,
                    extras=Extras(endpoints={record.identity: {"endpoint": 1.0} for record in records})).secondary
    places = list(dict.fromkeys(zip(found["section"], found["task"], strict=True)))
    assert places == [(0, "imagenet"), (0, "kinetics"), (1, "imagenet"), (1, "kinetics")]
