"""The report pairs what can be paired, shows what is missing, and is the same each time."""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pandas as pd
import pytest
from synthetic import OTHER_CODE, TASKS, make_matrix, make_pretraining, make_record, make_spec, standings_of

from benchmark.evidence.analysis import analyse
from benchmark.evidence.collect import collect
from benchmark.evidence.estimates import estimate_cells, estimate_effects, estimate_pretraining
from benchmark.evidence.inputs import Problem, TaskInfo
from benchmark.evidence.matrix import list_matrices, matrix_frame
from benchmark.evidence.sections import Section, slugify, stated_conditions, unique_slugs
from benchmark.evidence.stats import paired_difference
from benchmark.plan.study import Study
from benchmark.records.earlier import RecordError
from benchmark.records.record import Measurement, Record, read_record, record_text
from benchmark.report.answer import answer, badges
from benchmark.report.markup import MINUS, Table, entry, escape_latex, escape_markdown, show_p, to_latex, to_markdown
from benchmark.report.tables import cell_label, effects_table, matrix_table
from benchmark.report.write import write_report
from benchmark.spec.contracts import Metric
from benchmark.spec.runspec import canonical_json

HOSTILE = "<img src=x onerror=alert(1)>|$\\frac{a_b}&#%~^*`[x](http://evil)\n\x00"


def pair(finals: list[float], gain: float = 1.0, **changes) -> list:
    """Baseline and m2pt(audio) of imagenet, a pair for each seed, with gains that differ by seed."""
    records = []
    for seed, final in enumerate(finals):
        records.append(make_record(make_spec(seed=seed), final, **changes))
        records.append(make_record(make_spec("imagenet", "m2pt", "audio", seed), final + gain + 0.1 * seed, **changes))
    return records


def effect_of(collection, **keys) -> pd.Series:
    frame = estimate_effects(collection)
    for column, value in ({"metric": "top-1"} | keys).items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def matrix_of(collection, section: int = 0) -> str:
    (arm, variant), *_ = list_matrices(collection, section)
    cells, effects = estimate_cells(collection), estimate_effects(collection)
    return to_markdown(matrix_table(collection, cells, effects, section, arm, variant))


def kinds(collection) -> set[str]:
    return {remark.kind for remark in collection.remarks}


def test_a_difference_is_the_mean_of_the_differences_of_equal_seeds():
    effect = effect_of(collect(pair([40.0, 50.0, 45.0]), tasks=TASKS))
    expected = paired_difference({0: 41.0, 1: 51.1, 2: 46.2}, {0: 40.0, 1: 50.0, 2: 45.0})
    assert (effect["n"], effect["seeds"]) == (3, "0 1 2")
    assert effect["difference"] == pytest.approx(1.1)
    pairs = collect(pair([40.0, 50.0, 45.0]), tasks=TASKS).pairs
    assert sorted(pairs.loc[pairs["metric"] == "top-1", "last"]) == pytest.approx([1.0, 1.1, 1.2])
    assert (effect["low"], effect["high"]) == pytest.approx(expected.interval)
    assert effect["p"] == pytest.approx(expected.p_value)
    assert effect["found_alone_from"] == pytest.approx(expected.minimal_detectable_effect)


def test_holm_counts_every_target_and_auxiliary_of_the_matrix_whatever_its_metric_is_called():
    effects = estimate_effects(collect(make_matrix(), tasks=TASKS))
    main = effects[[row.metric == TASKS[row.task].metrics[0].name for row in effects.itertuples()]]
    assert len(main) == 12
    smallest = main.loc[main["p"].idxmin()]
    assert smallest["p_holm"] == pytest.approx(min(1.0, 12 * smallest["p"]))


def test_a_metric_with_one_value_everywhere_is_tested_nowhere_and_counts_in_no_family():
    counted = Metric("classes without positives", "classes", higher_is_better=False)
    tasks = TASKS | {"audioset": replace(TASKS["audioset"], metrics=(Metric("mAP"), counted))}

    def add(record: Record, value: float) -> Record:
        found = [row.model_copy(update={"metric": counted.name, "value": value}) for row in record.measurements
                 if row.metric == "mAP"]
        return record.model_copy(update={"measurements": [*record.measurements, *found]})

    def second(values: dict[int, float]) -> pd.DataFrame:
        records = [add(record, values.get(record.spec.seed, 2.0)) if record.spec.task == "audioset" else record
                   for record in make_matrix(scratch=False)]
        effects = estimate_effects(collect(records, tasks=tasks))
        return effects[[row.metric == tasks[row.task].metrics[1].name for row in effects.itertuples()]]

    one = second({})
    still = one["task"] == "audioset"
    assert still.sum() == 3
    assert one.loc[still, ["p", "p_holm", "found_from"]].isna().all(axis=None)
    assert set(one.loc[still, "untested"]) == {"every run has the same value"}
    assert (one.loc[still, "difference"] == 0).all()
    assert set(one.loc[~still, "untested"]) == {""}
    assert set(one["tests"]) == {9}
    assert one.loc[~still, "p_holm"].min() == pytest.approx(9 * one["p"].min())
    spread = second({0: 3.0})
    assert set(spread["tests"]) == {12}, "equal within each seed, and not over seeds: the arms could have differed"
    assert (spread.loc[spread["task"] == "audioset", "p"] == 1).all()


def test_where_a_table_would_have_a_p_it_says_that_every_run_has_the_same_value():
    records = [make_record(record.spec, 50.0) for record in pair([50.0] * 3)]
    collection = collect(records, tasks=TASKS)
    assert "+0.00 (no spread: no interval)<br>every run has the same value" in matrix_of(collection)
    (row,) = effects_table(collection, estimate_effects(collection), 0).rows
    assert [line.text for cell in row[-3:] for line in cell] == ["every run has the same value", "—", "—"]


@pytest.mark.parametrize("environment", [
    {"device": "Example GPU"}, {"threads": 2}, {"torch": "2.10.0"}, {"processor": "Another CPU, 2 cores"}])
def test_pairing_ignores_a_baseline_of_another_environment(environment):
    records = pair([40.0, 50.0])
    elsewhere = records[0].environment.model_copy(update=environment)
    records[0] = records[0].model_copy(update={"environment": elsewhere})
    collection = collect(records, tasks=TASKS)
    assert effect_of(collection)["seeds"] == "1"
    assert kinds(collection) == {"Not paired: the baseline ran in another environment"}
    assert str(next(iter(environment.values()))).removesuffix(", 2 cores") in collection.remarks[0].detail


def on(records, **environment):
    return [record.model_copy(update={"environment": record.environment.model_copy(update=environment)}) for record in records]


def test_runs_of_two_processors_are_paired_on_a_gpu_alone_and_that_is_told():
    here, there = {"processor": "Intel(R) Xeon(R) Processor, 2 cores"}, {"processor": "AMD EPYC, 2 cores"}
    plain, treated = ([record for record in pair([40.0, 50.0]) if record.spec.arm == arm] for arm in ("finetune", "m2pt"))
    cores = collect([*on(plain, **here), *on(treated, processor="Intel(R) Xeon(R) Processor, 8 cores")], tasks=TASKS)
    assert (effect_of(cores)["n"], kinds(cores)) == (2, set()), "how many cores there are moves no bit"

    apart = collect([*on(plain, **here), *on(treated, **there)], tasks=TASKS)
    assert apart.pairs.empty
    assert {(remark.kind, "cpu (AMD EPYC)" in remark.detail, "cpu (Intel(R) Xeon(R) Processor)" in remark.detail)
            for remark in apart.remarks} == {("Not paired: the baseline ran in another environment", True, True)}

    gpu = collect([*on(plain, device="Example GPU", **here), *on(treated, device="Example GPU", **there)], tasks=TASKS)
    assert effect_of(gpu)["n"] == 2
    assert {(remark.kind, "AMD EPYC" in remark.detail) for remark in gpu.remarks} == {("Paired across two processors", True)}


def test_folders_of_two_processors_read_together_pair_each_run_with_the_baseline_of_its_own():
    here = on(pair([40.0, 50.0]), processor="Intel(R) Xeon(R) Processor, 2 cores")
    there = on([*pair([30.0, 20.0], started="2026-01-01T00:00:00+00:00")], processor="AMD EPYC, 2 cores")
    theirs = [record for record in there if record.spec.arm == "finetune"]
    other = [record.model_copy(update={"spec": spec, "run_id": spec.run_id}) for record in there if record.spec.arm == "m2pt"
             for spec in [record.spec.model_copy(update={"arm": "low-rank"})]]
    effects = estimate_effects(collect([*here, *theirs, *other], tasks=TASKS))
    found = effects[effects["metric"] == "top-1"].set_index("arm")["difference"]
    alone = [estimate_effects(collect(side, tasks=TASKS)) for side in (here, [*theirs, *other])]
    assert found["m2pt"] == alone[0].loc[0, "difference"]
    assert found["low-rank"] == alone[1].loc[0, "difference"]


def test_a_run_in_two_environments_counts_once_and_with_its_own_baseline():
    here, there = pair([40.0, 50.0]), pair([30.0], torch="2.10.0", started="2026-01-01T00:00:00+00:00")
    collection = collect([*here, *there], tasks=TASKS)
    effect = effect_of(collection)
    assert (effect["n"], effect["difference"]) == (2, pytest.approx(1.05))
    assert "Repeats a cell and seed in another environment" in kinds(collection)


def test_pairs_of_old_and_current_code_are_named_and_no_others():
    records = pair([40.0, 50.0])
    records = [record if record.spec.arm == "finetune" else record.model_copy(update={"code": OTHER_CODE})
               for record in records]
    collection = collect(records, tasks=TASKS, standings=standings_of(records))
    assert kinds(collection) == set(), "every arm has code of its own"
    old = next(record for record in records if record.spec.arm == "finetune" and record.spec.seed == 0)
    remarks = collect(records, tasks=TASKS, standings=standings_of(records, outdated=[old])).remarks
    assert [(remark.kind, remark.detail) for remark in remarks] == [
        ("Paired across two versions of the code", "its baseline is older")]


def test_a_run_without_a_baseline_of_its_seed_or_conditions_is_named():
    lonely = make_record(make_spec("imagenet", "m2pt", "audio", seed=7), 50.0)
    other = make_record(make_spec("imagenet", "m2pt", "audio", seed=0, epochs=5), 50.0)
    collection = collect([*pair([40.0]), lonely, other], tasks=TASKS)
    assert {(r.kind, r.name) for r in collection.remarks} == {
        ("Not paired: no baseline run of this seed", lonely.spec.name),
        ("Not paired: no baseline run under the same conditions", other.spec.name),
    }


def test_of_two_baselines_the_one_from_the_same_target_checkpoint_is_the_partner():
    records = pair([40.0])
    other = make_spec(seed=0, starts={"target": "feedfeedfeed"}, variant="mask_ratio=0.5")
    collection = collect([*records, make_record(other, 20.0)], tasks=TASKS)
    assert effect_of(collection)["difference"] == pytest.approx(1.0)


def test_a_baseline_that_cannot_be_told_from_another_pairs_with_nothing():
    specs = [make_spec(seed=0, variant=variant, options={"x": variant}) for variant in ("a", "b")]
    records = [make_record(spec, 40.0) for spec in specs]
    records.append(make_record(make_spec("imagenet", "m2pt", "audio"), 41.0))
    assert kinds(collect(records, tasks=TASKS)) == {"Not paired: several baselines fit"}


def test_of_duplicates_the_newest_counts_and_the_other_is_named():
    records = pair([40.0, 50.0])
    old = make_spec("imagenet", "m2pt", "audio", seed=0)
    older = make_record(old, 99.0, code=OTHER_CODE, started="2020-01-01T00:00:00+00:00")
    collection = collect([*records, older], tasks=TASKS)
    assert effect_of(collection)["difference"] == pytest.approx(1.05)
    (remark,) = collection.remarks
    assert (remark.kind, remark.name) == ("Repeats a cell and seed", old.name)
    assert "other code" in remark.detail


def test_of_two_results_of_one_run_that_differ_the_contradiction_is_told_and_not_a_repeat():
    records = pair([40.0, 50.0])
    again = next(record for record in records if record.spec.arm == "m2pt" and record.spec.seed == 0)
    copied = collect([*records, again.model_copy()], tasks=TASKS)
    (remark,) = copied.remarks
    assert remark.kind == "Repeats a cell and seed"
    assert "differ" not in remark.detail
    rows = [row.model_copy(update={"value": math.nextafter(row.value, 99)}) if (row.split, row.step) == ("test", 1) else row
            for row in again.measurements]
    for changes in ({}, {"started": "2020-01-01T00:00:00+00:00"}):  # two copies of a file, of which one was altered, too
        altered = again.model_copy(update={"measurements": rows, **changes})
        (remark,) = collect([*records, altered], tasks=TASKS).remarks
        assert (remark.kind, remark.name) == ("Contradicts another result of the same run", again.spec.name)
        assert f"2 of {len(rows)} measurements differ: the first, test top-1 after epoch 1, is " in remark.detail
        assert remark.detail.endswith(" in what is used, though one spec and one code computed both")
    elsewhere = altered.model_copy(update={"environment": again.environment.model_copy(update={"torch": "2.10.0"})})
    (remark,) = collect([*records, elsewhere], tasks=TASKS).remarks
    assert remark.kind == "Repeats a cell and seed in another environment"
    assert "measurements differ" in remark.detail


def test_of_duplicates_the_one_of_the_current_code_counts_even_if_it_is_older():
    records = pair([40.0, 50.0])
    newer = make_record(make_spec("imagenet", "m2pt", "audio"), 99.0, code=OTHER_CODE, started="2030-01-01T00:00:00+00:00")
    standings = standings_of([*records, newer], outdated=[newer])
    collection = collect([*records, newer], tasks=TASKS, standings=standings)
    assert effect_of(collection)["difference"] == pytest.approx(1.05)
    assert effect_of(collect([*records, newer], tasks=TASKS))["difference"] > 10


def test_stale_runs_are_marked():
    records = pair([40.0, 50.0])
    collection = collect(records, tasks=TASKS, standings=standings_of(records, outdated=records))
    assert "†" in matrix_of(collection)
    assert "†" not in matrix_of(collect(pair([40.0, 50.0]), tasks=TASKS))


def test_one_seed_gives_no_interval_and_says_so():
    collection = collect(pair([40.0]), tasks=TASKS)
    effect = effect_of(collection)
    assert effect[["low", "high", "p", "p_holm", "found_alone_from"]].isna().all()
    assert "40.0 (n=1)" in matrix_of(collection)
    assert "+1.00 (one seed: no interval)" in matrix_of(collection)


def test_missing_failed_and_same_modality_cells_are_told_apart():
    failed = Problem("run", "NaN loss", spec=make_spec("imagenet", "m2pt", "video"))
    absent = Problem("run", "not run", "missing", make_spec("kinetics", "m2pt", "audio"))
    point = [make_record(make_spec("shapenet")), make_record(make_spec("shapenet", "m2pt", "audio"))]
    unpaired = make_record(make_spec("audioset"))
    collection = collect([*pair([40.0, 50.0]), *point, unpaired], [failed, absent], TASKS)
    rows = {line.split("<br>")[0].strip("| "): line for line in matrix_of(collection).splitlines()}
    cells = {name: [text.strip() for text in row.strip("|").split("|")][1:] for name, row in rows.items()}
    video, audio = range(1, 3)
    assert "+ image" not in matrix_of(collection), "nobody asked for it"
    assert cells["imagenet (image)"][video] == "failed"
    assert "+1.05" in cells["imagenet (image)"][audio]
    assert cells["shapenet (point)"][video] == "missing"
    assert cells["kinetics (video)"][video] == "—"
    assert cells["kinetics (video)"][0] == "missing"  # its baseline
    assert "audioset (audio)" not in cells, "nothing was to be paired with it"
    (arm, variant), *_ = list_matrices(collection, 0)
    frame = matrix_frame(collection, estimate_cells(collection), estimate_effects(collection), 0, arm, variant)
    states = frame.set_index(["target", "auxiliary"])["state"]
    assert states["imagenet", "video"] == "failed"
    assert states["kinetics", "video"] == "same modality"


@pytest.mark.parametrize(("tasks", "said"), [
    (["imagenet"], "embedded data"), (["grasping"], "data of grasping"),
    (["imagenet", "grasping"], "embedded data and data of grasping")])
def test_data_of_ones_own_are_not_called_embedded(tasks, said):
    shipped = {name: replace(info, shipped=frozenset({"tiny"})) for name, info in TASKS.items()}
    analysis = analyse([make_record(make_spec(task)) for task in tasks], [], tasks=shipped)
    assert badges(analysis)[0] == f"Profile tiny: {said} at a small scale, not comparable with published numbers"


def test_smoke_limits_and_other_conditions_get_sections_of_their_own():
    records = [*pair([40.0, 50.0]), make_record(make_spec(limit=128), 10.0), make_record(make_spec(epochs=5), 20.0)]
    collection = collect(records, tasks=TASKS)
    assert [section.title for section in collection.sections] == [
        "profile tiny, setting pretrained",
        "profile tiny, setting pretrained, epochs=5",
        "profile tiny, setting pretrained, at most 128 samples of each split",
    ]
    assert "45.0" in matrix_of(collection, 0)
    assert list_matrices(collection, 1) == []


def test_the_main_section_is_that_of_the_current_code():
    stale = [make_record(make_spec(seed=seed, epochs=5), 20.0) for seed in range(9)]
    fresh = make_record(make_spec(), 40.0)
    collection = collect([*stale, fresh], tasks=TASKS, standings=standings_of([*stale, fresh], outdated=stale))
    assert [section.conditions for section in collection.sections] == ["", "epochs=5"]
    assert collection.section_of[fresh.spec.comparison] == 0


def test_the_main_section_is_that_of_the_profiles_own_recipe_however_many_runs_others_have():
    own = make_spec()
    stated = stated_conditions(own.shape, own.compared_recipe(), own.num_classes)
    tasks = TASKS | {"imagenet": replace(TASKS["imagenet"], conditions={("tiny", "pretrained"): stated})}
    shuffled = own.recipe.model_copy(update={"shuffle_labels": True})
    others = [make_record(make_spec(seed=seed, recipe=shuffled), 20.0) for seed in range(9)]
    collection = collect([*others, make_record(own, 40.0)], tasks=tasks)
    assert [section.conditions for section in collection.sections] == ["", "shuffle_labels=true"]
    assert collection.section_of[own.comparison] == 0
    alone = collect(others, tasks=tasks)
    assert [section.conditions for section in alone.sections] == ["shuffle_labels=true"], "also where the own was not run"
    limited = [make_record(make_spec(seed=seed, recipe=shuffled, limit=8), 20.0) for seed in range(9)]
    assert [section.conditions for section in collect(limited, tasks=tasks).sections] == [""], "of a few samples: no evidence"


def test_another_start_is_another_section_and_never_averaged_with_the_main_one():
    given = [make_record(make_spec(seed=seed, pretrained={"target": "0123456789ab"}), 10.0) for seed in range(2)]
    collection = collect([*pair([40.0, 50.0, 45.0]), *given], tasks=TASKS)
    assert [section.conditions for section in collection.sections] == ["", "start=01234567"]
    cells = estimate_cells(collection)
    plain = cells[(cells["arm"] == "finetune") & (cells["metric"] == "top-1")].set_index("section")
    assert plain["last_n"].to_dict() == {0: 3, 1: 2}
    assert plain["last_mean"].to_dict() == pytest.approx({0: 45.0, 1: 10.0})


def test_a_pretraining_by_another_recipe_is_not_the_main_section_however_many_runs_start_from_it():
    own = make_spec()
    stated = stated_conditions(own.shape, own.compared_recipe(), own.num_classes)
    pretraining = make_pretraining("imagenet").spec
    info = replace(TASKS["imagenet"], conditions={("tiny", "pretrained"): stated}, pretraining={
        "tiny": stated_conditions(pretraining.shape, pretraining.recipe.model_dump(mode="json"), None)})
    tasks = TASKS | {"imagenet": info}
    quick = pretraining.recipe.model_copy(update={"epochs": 1})
    records = []
    for seed, recipe in ((0, pretraining.recipe), *((seed, quick) for seed in range(1, 5))):
        start = make_pretraining("imagenet", seed)
        start = start.model_copy(update={"spec": start.spec.model_copy(update={"recipe": recipe})})
        start = start.model_copy(update={"run_id": start.spec.run_id})
        spec = make_spec(seed=seed, starts={"target": start.run_id}, pretrained={"target": start.spec.comparison})
        records += [start, make_record(spec, 40.0)]
    collection = collect(records, tasks=tasks)
    other = records[-1].spec
    assert [section.conditions for section in collection.sections] == ["", f"start={other.pretrained['target'][:8]}"]
    assert collection.section_of[records[1].spec.comparison] == 0
    assert [run.own for run in collection.paired.runs] == [True, False, False, False, False]
    (alone,) = collect(records[2:], tasks=tasks).sections
    assert alone.conditions.startswith("start="), "also where nothing starts from the profile's own"


def test_another_rate_of_the_scales_is_another_variant_and_never_averaged_with_the_profiles():
    tasks = TASKS | {"imagenet": replace(TASKS["imagenet"], scale_lr={("tiny", "pretrained"): None})}
    faster = make_spec().recipe.model_copy(update={"scale_lr": 0.1})
    records = [make_record(make_spec(seed=seed), 40.0) for seed in range(4)]
    records += [make_record(make_spec("imagenet", "m2pt", "audio", seed=seed), 41.0) for seed in range(2)]
    records += [make_record(make_spec("imagenet", "m2pt", "audio", seed=seed, recipe=faster), 60.0,
                            started="2030-01-01T00:00:00+00:00") for seed in range(1, 4)]
    collection = collect(records, tasks=tasks)
    effects = estimate_effects(collection)
    found = {row.variant: (row.n, row.difference) for row in effects[effects["metric"] == "top-1"].itertuples()}
    assert found == {"": (2, pytest.approx(1.0)), "scale_lr=0.1": (3, pytest.approx(20.0))}
    assert not kinds(collection)


def test_auxiliaries_pretrained_by_another_recipe_are_another_variant_and_never_averaged_with_the_profiles():
    """Else seeds of either recipe made one mean, and runs of another recipe alone stood as the profile's own."""
    pretraining = make_pretraining("audioset").spec
    stated = stated_conditions(pretraining.shape, pretraining.recipe.model_dump(mode="json"), None)
    tasks = TASKS | {"audioset": replace(TASKS["audioset"], pretraining={"tiny": stated})}
    quick = pretraining.recipe.model_copy(update={"epochs": 1})
    records = []
    for seed, (recipe, gain) in enumerate([(pretraining.recipe, 0.0)] * 3 + [(quick, 5.0)] * 3):
        start = make_pretraining("audioset", seed)
        start = start.model_copy(update={"spec": start.spec.model_copy(update={"recipe": recipe})})
        start = start.model_copy(update={"run_id": start.spec.run_id})
        plain = make_spec(seed=seed)
        starts = {**plain.starts, "auxiliary": start.run_id}
        records += [start, make_record(plain, 40.0),
                    make_record(make_spec("imagenet", "m2pt", "audio", seed=seed, starts=starts), 40.0 + gain)]
    for these, expected in ((records, {"": (3, 0.0), "auxiliary.epochs=1": (3, 5.0)}),
                            (records[9:], {"auxiliary.epochs=1": (3, 5.0)})):
        effects = estimate_effects(collect(these, tasks=tasks))
        shown = effects[effects["metric"] == "top-1"]
        assert {row.variant: (row.n, pytest.approx(row.difference)) for row in shown.itertuples()} == expected
    longer = stated_conditions(plain.shape, {**plain.compared_recipe(), "epochs": 99}, plain.num_classes)
    short = tasks | {"imagenet": replace(TASKS["imagenet"], conditions={("tiny", "pretrained"): longer})}
    (section,) = (alone := collect(records[9:], tasks=short)).sections
    assert section.conditions == "epochs=12"
    assert set(estimate_effects(alone)["variant"]) == {""}, "where the recipe differs, too, as a whole matrix may have it"


def from_file(digest: str, arm: str = "m2pt", seed: int = 0):
    """A run whose auxiliary is a file; "": a pretraining of its seed"""
    spec = make_spec("imagenet", arm, "audio", seed=seed)
    return spec.model_copy(update={"starts": {**spec.starts, "auxiliary": digest or f"000000000{seed:03d}"},
                                   "pretrained": {"auxiliary": digest or "cccccccc0000"}})


def test_files_of_one_name_are_neither_averaged_nor_compared_with_each_others_controls():
    """Else the mean of two auxiliaries stood as one, and a gain of one beside the noise of the other."""
    first, second = "aaaaaaaa0000", "bbbbbbbb0000"
    plain = [make_record(make_spec(seed=seed), 40.0) for seed in range(4)]

    def shown(runs):
        analysis = analyse([*plain, *(make_record(spec, value) for spec, value in runs)], [], tasks=TASKS,
                           study=Study(method="m2pt", rivals={"m2pt": ("random-norm",)}))
        effects = analysis.effects[analysis.effects["metric"] == "top-1"]
        beyond = analysis.contrasts[analysis.contrasts["reference"] == "random-norm"]
        return ({(row.arm, row.variant): (row.n, pytest.approx(row.difference)) for row in effects.itertuples()},
                {row.variant: row.n for row in beyond.itertuples()})

    one = [(from_file(first, "m2pt", seed), 41.0) for seed in range(4)]
    noise = [(from_file(first, "random-norm", seed), 40.5) for seed in range(4)]
    assert shown(one + noise) == ({("m2pt", ""): (4, 1.0), ("random-norm", ""): (4, 0.5)}, {"": 4}), "one file needs no name"
    mixed = one[:2] + [(from_file(second, "m2pt", seed), 51.0) for seed in (2, 3)]
    for other in (noise, [(from_file(first, "random-norm", seed), 40.5) for seed in range(2)]):
        effects, beyond = shown(mixed + other)
        assert effects["m2pt", "auxiliary=aaaaaaaa"] == (2, 1.0)
        assert effects["m2pt", "auxiliary=bbbbbbbb"] == (2, 11.0)
        assert beyond == {"auxiliary=aaaaaaaa": 2, "auxiliary=bbbbbbbb": 0}
    apart = [(from_file(second, "m2pt", seed), 51.0) for seed in range(4)]
    assert shown(apart + noise)[1] == {"auxiliary=bbbbbbbb": 0}, "each arm by a file of its own"
    own = [(from_file("", "m2pt", seed), 41.0) for seed in range(2)]
    effects, beyond = shown(own + apart[2:] + noise)
    assert effects["m2pt", ""] == (2, 1.0), "a pretraining of the suite's own beside a file"
    assert effects["m2pt", "auxiliary=bbbbbbbb"] == (2, 11.0)
    assert beyond == {"": 0, "auxiliary=bbbbbbbb": 0}


def test_a_run_from_weights_that_were_computed_anew_since_is_named():
    start = make_pretraining("audioset").model_copy(update={"weights": {"result": "b" * 64}})
    plain = make_spec()
    spec = make_spec("imagenet", "m2pt", "audio", starts={**plain.starts, "auxiliary": start.run_id})
    for weights, expected in (("a" * 64, {"Started from weights that were computed anew since"}), ("b" * 64, set())):
        run = make_record(spec, 41.0).model_copy(update={"weights": {"auxiliary": weights}})
        assert kinds(collect([start, make_record(plain, 40.0), run], tasks=TASKS)) == expected


def test_seeds_of_several_versions_of_code_that_is_not_loaded_are_named():
    records = [make_record(make_spec("grasping", seed=seed), 70.0) for seed in range(3)]
    assert kinds(collect(records, tasks=TASKS)) == {"Task is not loaded"}
    records[1] = records[1].model_copy(update={"code": OTHER_CODE})
    found = collect(records, tasks=TASKS)
    assert kinds(found) == {"Task is not loaded", "Seeds of one cell are of several versions of the code"}
    assert [(remark.name, remark.detail) for remark in found.remarks if "several" in remark.kind] == [
        ("grasping finetune", "2 versions")]


def test_a_section_of_failures_alone_is_reported(tmp_path):
    failed = Problem("x", "NaN", spec=make_spec(epochs=3))
    write_report(analyse(pair([40.0, 50.0]), [failed], tasks=TASKS), tmp_path)
    assert "x: NaN" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_run_that_was_last_tested_before_its_end_is_named():
    """What stands as after the last epoch was of an earlier one, without a word"""
    records = pair([40.0, 50.0])
    rows = [row for row in records[-1].measurements if (row.split, row.step) != ("test", 12)]
    collection = collect([*records[:-1], records[-1].model_copy(update={"measurements": rows})], tasks=TASKS)
    (remark,) = collection.remarks
    assert remark.kind == "Counted as after the last epoch, and last tested before it"
    assert remark.detail == "after epoch 11 of 12"
    assert not collect(records, tasks=TASKS).remarks


def test_runs_of_a_method_without_a_baseline_are_told_from_none():
    alone = [record for record in pair([40.0, 50.0]) if record.spec.arm == "m2pt"]
    assert answer(analyse(alone, [], tasks=TASKS)) == [
        "No target x auxiliary pair can be compared yet: 2 runs of a method have no baseline to be paired with; what is left "
        "out says why."]


def test_a_foreign_task_is_shown_by_its_first_test_metric():
    spec, other = make_spec("grasping"), make_spec("grasping", "m2pt", "audio")
    collection = collect([make_record(spec, 70.0), make_record(other, 71.5)], tasks=TASKS)
    assert collection.tasks["grasping"] == TaskInfo("tactile", (Metric("grasp rate", unit=""),))
    assert kinds(collection) == {"Task is not loaded"}
    assert "grasp rate" in matrix_of(collection)
    assert "+1.5" in matrix_of(collection)


def test_every_selection_takes_the_value_that_it_says():
    rng = random.Random(0)
    record = make_record(make_spec(epochs=30), 40.0)
    noisy = [m.model_copy(update={"value": rng.uniform(0, 100)}) for m in record.measurements]
    record = record.model_copy(update={"measurements": noisy})
    cells = estimate_cells(collect([record], tasks=TASKS)).set_index("metric")
    val, test = (dict(record.curve(split, "top-1")) for split in ("val", "test"))
    assert cells.loc["top-1", "last_mean"] == test[30]
    assert cells.loc["top-1", "best_val_mean"] == test[max(val, key=val.__getitem__)]
    assert cells.loc["top-1", "oracle_mean"] == max(test.values())
    assert cells.loc["top-1", "optimism_mean"] == pytest.approx(max(test.values()) - test[30])
    # the main metric chooses the epoch for the others too
    assert cells.loc["top-5", "best_val_mean"] == dict(record.curve("test", "top-5"))[max(val, key=val.__getitem__)]


def test_optimism_of_a_metric_that_should_be_low_is_positive_too():
    tasks = {"imagenet": TaskInfo("image", (Metric("error", higher_is_better=False),))}
    rows = [Measurement(split="test", metric="error", step=step, value=value) for step, value in [(1, 30.0), (2, 35.0)]]
    cells = estimate_cells(collect([make_record(make_spec(), measurements=rows)], tasks=tasks))
    assert cells.loc[0, "oracle_mean"] == 30.0
    assert cells.loc[0, "optimism_mean"] == 5.0
    assert pd.isna(cells.loc[0, "best_val_mean"])


def test_a_run_without_its_main_metric_is_named():
    record = make_record(make_spec(), measurements=[Measurement(split="train", metric="loss", step=1, value=1.0)])
    assert kinds(collect([record], tasks=TASKS)) == {"No test measurement of the main metric"}


def test_pretraining_is_compared_with_scratch_by_seed():
    records = [make_record(make_spec(seed=seed), 50.0 + seed) for seed in range(3)]
    records += [make_record(make_spec(arm="scratch", seed=seed), 40.0 + 1.5 * seed) for seed in range(1, 4)]
    frame = estimate_pretraining(collect(records, tasks=TASKS))
    assert list(frame["seeds"]) == ["1 2"]
    assert frame.loc[0, "difference"] == pytest.approx(((51 - 41.5) + (52 - 43)) / 2)


def test_unreadable_and_foreign_files_are_named_without_their_place(tmp_path):
    paths = []
    good = record_text(pair([40.0])[0])
    for name, text in [("good", good), ("cut", '{"schema_version": 1'), ("new", '{"schema_version": 9}')]:
        paths.append(tmp_path / name / "record.json")
        paths[-1].parent.mkdir()
        paths[-1].write_text(text)
    collection = collect([*paths, tmp_path / "absent" / "record.json"], tasks=TASKS)
    assert len(collection.records) == 1
    assert [problem.name.split("/")[0] for problem in collection.problems] == ["absent", "cut", "new"]
    assert all(str(tmp_path) not in problem.reason for problem in collection.problems)


def earlier_text(record: Record, version: int, starts: dict[str, str]) -> tuple[str, str]:
    """A record as releases before this one wrote it, and its run id: the code's digest was a field of the spec."""
    data = json.loads(record_text(record)) | {"schema_version": version}
    code = data.pop("code")["whole"]
    data["spec"] |= {"code": code, "starts": starts}
    asked = {name: value for name, value in data["spec"].items() if name not in ("role", "variant")}
    data["run_id"] = hashlib.sha256(canonical_json(asked).encode()).hexdigest()[:12]
    if version == 1:
        data["measurements"] = [row.model_dump() for row in record.measurements]
    return json.dumps(data), data["run_id"]


@pytest.mark.parametrize("version", [1, 2])
def test_a_record_of_an_earlier_version_reads_as_the_same_record(tmp_path, version):
    code = {"whole": "c0de" * 16}
    pretraining = make_pretraining("image").model_copy(update={"code": code})
    text, earlier = earlier_text(pretraining, version, {})
    assert earlier != pretraining.run_id
    folder = tmp_path / "runs" / f"image-pretrain-s0-{earlier}"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(text)
    assert read_record(folder / "record.json") == pretraining
    record = make_record(make_spec(arm="m2pt", auxiliary="audio", starts={"target": pretraining.run_id}), code=code)
    text, _ = earlier_text(record, version, {"target": earlier})
    path = tmp_path / "runs" / "training" / "record.json"
    path.parent.mkdir()
    path.write_text(text)
    assert read_record(path) == record, "and starts from the pretraining beside it, by its id of today"
    path.write_text(text.replace("c0de" * 16, "beef" * 16))
    with pytest.raises(RecordError, match="does not fit its spec"):
        read_record(path)
    for wrong in ("here", ["here"], 3):
        path.write_text(json.dumps(json.loads(text) | {"environment": wrong}))
        with pytest.raises(RecordError, match="expected names with values"):
            read_record(path)
    path.write_text(record_text(record))
    assert read_record(path) == record


def test_markdown_shows_a_hostile_name_as_text():
    text = to_markdown(Table(HOSTILE, (HOSTILE, "x"), ((entry(HOSTILE, bold=True), entry("1", "2")),), (HOSTILE,)))
    assert "<img" not in text
    assert "http://" not in text
    assert "\x00" not in text
    body = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in body} == {3}  # no cell broke out of its column
    assert escape_markdown("a_b*c") == r"a\_b\*c"


def test_latex_escapes_every_special_character():
    escaped = escape_latex("\\{}$&#^_~%<>|")
    assert escaped == (r"\textbackslash{}\{\}\$\&\#\textasciicircum{}\_\textasciitilde{}\%"
                       r"\textless{}\textgreater{}\textbar{}")  # fmt: skip
    text = to_latex(Table(HOSTILE, (HOSTILE, "x"), ((entry(HOSTILE), entry(f"{MINUS}1 ± 2", "3")),)))
    assert {len(re.findall(r"(?<!\\)&", line)) for line in text.splitlines() if line.endswith((r"\\", "em]"))} == {1}
    assert r"$-$1 $\pm$ 2" in text


def test_p_values_are_never_shown_as_zero():
    assert [show_p(p) for p in (1e-9, 0.0123, 0.5, None)] == ["<0.001", "0.012", "0.50", "—"]


def test_slugs_are_safe_and_unique():
    assert slugify("../Etc/PASSWD <x>") == "etc-passwd-x"
    sections = [Section("a b", "fix"), Section("a-b", "fix"), Section("a_b", "fix")]
    assert sorted(unique_slugs(sections).values()) == ["a-b-fix", "a-b-fix-2", "a-b-fix-3"]


def test_the_report_is_complete_and_the_same_bytes_in_any_order(tmp_path):
    from benchmark.evidence.analysis import analyse
    from benchmark.report.write import write_report

    records = [*make_matrix(["imagenet", "audioset"], ["image", "audio"], range(2)), make_pretraining("image")]
    failed = Problem("a", "NaN loss", spec=make_spec("imagenet", "m2pt", "video"))
    problems = [failed, Problem("b", "cut off", "unreadable")]
    first = write_report(analyse(records, problems, tasks=TASKS), tmp_path / "a")
    second = write_report(analyse(records[::-1], problems[::-1], tasks=TASKS), tmp_path / "b")
    assert first[0] == tmp_path / "a" / "report.md"
    assert {path.relative_to(tmp_path / "a") for path in first} == {
        path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()
    }
    for ours, theirs in zip(first, second, strict=True):
        assert ours.read_bytes() == theirs.read_bytes(), ours.name
    pages = {name: (tmp_path / "a" / name).read_text() for name in ("report.html", "appendix.html")}
    for html in pages.values():
        for found in re.findall(r'(?:href|src|xlink:href)="([^"]+)"', html):
            file, _, place = found.partition("#")
            assert found.startswith(("#", "data:image/png;base64,")) or (tmp_path / "a" / file).is_file(), found
            assert not place or f'id="{place}"' in pages.get(file, html), found
        ids = re.findall(r'\bid="([^"]+)"', html)
        assert len(set(ids)) == len(ids)
        assert "not comparable with published numbers" in html
    for words in ("NaN loss", "cut off", "Example CPU", "0123456789abcdef"):
        assert words in pages["appendix.html"], words
    page = first[0].read_text()
    for link in re.findall(r"\]\(([^)]+)\)", page):
        assert (tmp_path / "a" / link).is_file(), link
    for words in ("NaN loss", "cut off", "torch", "Example CPU", "0123456789abcdef", "benchmark report", "failed"):
        assert words in page.replace("Torch", "torch"), words
    for path in first:
        if path.suffix == ".svg":
            ElementTree.parse(path)
        if path.suffix == ".csv":
            pd.read_csv(path)


def test_hostile_names_break_no_output(tmp_path):
    from benchmark.evidence.analysis import analyse
    from benchmark.report.write import write_report

    spec = make_spec("grasping").model_copy(update={"task": HOSTILE, "arm": HOSTILE, "profile": HOSTILE})
    other = spec.model_copy(update={"role": "method", "auxiliary": HOSTILE, "variant": HOSTILE, "arm": "m2pt"})
    record = make_record(make_spec("imagenet", "m2pt", "audio"))
    records = [record.model_copy(update={"spec": s, "run_id": s.run_id, "command": HOSTILE}) for s in (spec, other)]
    paths = write_report(analyse(records, [Problem(HOSTILE, HOSTILE)], tasks=TASKS), tmp_path / "out")
    assert all(path.resolve().is_relative_to(tmp_path / "out") for path in paths)
    assert "<img" not in paths[0].read_text()
    for name in ("report.html", "appendix.html"):
        html = (tmp_path / "out" / name).read_text()
        assert "<img" not in html
        assert html.count("<script>") == 1
    for path in paths:
        if path.suffix == ".svg":
            assert not [e for e in ElementTree.parse(path).iter() if e.tag.endswith("img")]


def test_an_empty_results_folder_makes_a_report_that_says_so(tmp_path):
    from benchmark.evidence.analysis import analyse
    from benchmark.report.write import write_report

    paths = write_report(analyse([], [], tasks=TASKS), tmp_path)
    assert "There is no finished run" in paths[0].read_text()


def test_statistics_and_report_import_no_torch():
    code = "import sys, benchmark.evidence.stats, benchmark.report.write; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_statistics_import_no_scipy():
    code = "import sys, benchmark.evidence.stats; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_record_made_where_there_is_no_git_reads_back(tmp_path):
    record = make_record(make_spec())
    record = record.model_copy(update={"environment": record.environment.model_copy(update={"commit": None, "dirty": None})})
    path = tmp_path / "record.json"
    path.write_text(record_text(record), encoding="utf-8")
    assert read_record(path) == record


@pytest.mark.parametrize("what", ["run id", "bytes"])
def test_a_baseline_from_another_target_checkpoint_is_no_partner(what):
    baseline, treated = pair([40.0])
    if what == "run id":
        baseline = make_record(baseline.spec.model_copy(update={"starts": {"target": "feedfeedfeed"}}), 40.0)
    else:
        baseline, treated = (record.model_copy(update={"weights": {"target": digest}})
                             for record, digest in ((baseline, "a" * 64), (treated, "b" * 64)))
    collection = collect([baseline, treated], tasks=TASKS)
    assert not len(collection.pairs)
    assert [r.kind for r in collection.remarks] == ["Not paired: the baseline started from another checkpoint"]


@pytest.mark.parametrize(("variant", "shown"), [
    ("maturity=0.06666666666666667", " [maturity=0.0667]"), ("layers=attn.qkv", " [layers=attn.qkv]"), ("", ""),
    ("scale_init=0.0001,join_bias=True", " [scale_init=0.0001,join_bias=True]"),
    ("maturity=0.7333333333333333,rho=0.03", " [maturity=0.733,rho=0.03]")])
def test_long_numbers_of_a_variant_are_shown_in_three_digits(variant, shown):
    assert cell_label("m2pt", "point", variant) == f"m2pt(point){shown}"
