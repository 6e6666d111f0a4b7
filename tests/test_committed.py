"""What is committed agrees: the report with the records, the README with the report."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys

import numpy as np
import pytest
from readme import FIGURE, README, RESULTS, ROOT, UNSEEN, analysis, figure, in_words, interval, parts, shown

from baselines import ARMS, STUDY
from benchmark.cli.main import main
from benchmark.evidence.analysis import analyse
from benchmark.evidence.detectable import MEANS, heading
from benchmark.evidence.frames import first_row, rows_of
from benchmark.evidence.inputs import gather
from benchmark.evidence.means import ALL, printed_gains
from benchmark.evidence.pairing import Run
from benchmark.evidence.rule import BASELINE, HELPS, NO_EVIDENCE
from benchmark.evidence.rule2 import NO_EVIDENCE as RULE2_NO_EVIDENCE
from benchmark.evidence.rule2 import PLANNING
from benchmark.evidence.stats import mean_interval
from benchmark.plan.names import parse_seeds
from benchmark.plan.presets import narrow, plan_matrix
from benchmark.records.record import read_record, records_under
from benchmark.records.store import Store
from benchmark.report.answer import answer_table
from benchmark.report.first import draw_first, first_matrix
from benchmark.report.markup import show_interval, show_points
from benchmark.report.means import POINTS, means_table
from benchmark.report.ranks import power_table
from benchmark.report.rule2 import rule2_table
from benchmark.report.tables import contrasts_table, effects_table
from tasks import TASKS

FORMATS = "md,csv,html,png"  # of the report; the others would double its size, and one command writes them
LARGEST = 72 * 2**20  # bytes of all that is committed below results/, of which runs of shared will be 12


@pytest.mark.parametrize(("name", "beside", "formats"), [("tiny", [], FORMATS), ("kin", ["known"], "md,csv,png"), *(
    (name, [], "md,csv,png") for name in ("unseen", "lead", "known", "fifth", "cost", "real"))])
def test_the_report_is_what_the_records_give(name, beside, formats, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    results = [option for folder in (name, *beside) for option in ("--results", f"results/{folder}")]
    assert main(["report", *results, "--format", formats, "--out", str(tmp_path)]) == 0
    made, committed = ({path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
                       for folder in (tmp_path, ROOT / "results" / name / "report"))
    assert made.keys() == committed.keys()
    changed = [name for name in made if made[name] != committed[name]]
    assert not changed, (f"regenerate it with: benchmark report {' '.join(results)} --out results/{name}/report --format "
                         f"{formats}; other bytes in {', '.join(changed[:5])}")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the variables are of x86")
@pytest.mark.parametrize("results", ["unseen", "known"])  # with the second rule, and with doses
def test_a_report_is_the_same_to_the_last_digit_by_the_code_for_older_processors(results, tmp_path):
    older = {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3 AVX512F AVX2 FMA3"}
    report = [sys.executable, "-W", "ignore", "-m", "benchmark", "report", "--results", f"results/{results}", "--format", "csv"]
    subprocess.run([*report, "--out", str(tmp_path)], cwd=ROOT, env=os.environ | older, check=True, capture_output=True)
    tables = ROOT / "results" / results / "report" / "tables"
    made = {path.name: path.read_bytes() for path in (tmp_path / "tables").glob("*.csv")}
    assert made
    assert [name for name, text in made.items() if text != (tables / name).read_bytes()] == []


WRITE = "write the README's numbers anew with: PYTHONPATH=. python tests/readme.py"


@pytest.mark.parametrize("name", ["first", "how-to-read", "matrix", "second-rule", "mean-effect", "scales-likeness",
                                  "pretraining", "dose-fix"])
def test_the_readme_shows_what_the_records_say(name):
    assert shown().keys() == parts().keys()
    assert shown()[name].strip() == parts()[name].strip(), WRITE


def test_the_readmes_figure_is_that_of_the_records():
    assert f"]({FIGURE.relative_to(ROOT).as_posix()})" in README.read_text(encoding="utf-8")
    assert FIGURE.read_bytes() == figure(), WRITE


def test_the_first_screen_is_in_order_and_says_what_a_pathway_is_before_it_uses_the_word():
    text = README.read_text(encoding="utf-8")
    marks = ("<!-- first -->", "![", "pip install", "<!-- how-to-read -->", "<!-- matrix -->", "## ")
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    assert re.search(r"(?i)pathway", text.partition("-->")[2]).start() == text.partition("-->")[2].index("pathway), ")


def readme_in_words() -> str:
    return in_words(README)


def test_what_the_readme_says_in_words_is_what_the_records_say():
    found, text = analysis(), readme_in_words()
    trainings = [record.spec for record in found.collection.records if record.spec.kind == "train"]
    assert {spec.shape.depth for spec in trainings} == {3}
    assert "models here have three blocks" in text
    verdicts = found.verdicts[(found.verdicts["arm"] == STUDY.method) & (found.verdicts["variant"] == "")]
    assert (len(verdicts), set(verdicts["verdict"])) == (36, {NO_EVIDENCE})
    assert "in none of 36 comparisons" in text
    whole = first_row(found.means, {"section": 0, "task": ALL, "arm": STUDY.method, "reference": BASELINE})
    assert f"On seeds 0 to 5 the same gain averaged {show_interval(whole, POINTS).replace(' [', ' points [')}." in text
    planted = found.verdicts[found.verdicts["arm"] == "merge-whole"].set_index("task")["verdict"]
    assert planted.to_dict() == {"imagenet": HELPS, "shapenet": NO_EVIDENCE, "kinetics": HELPS, "audioset": HELPS}
    for arm in ("merge-own", "merge-whole-random", "ceiling"):
        assert set(found.verdicts.loc[found.verdicts["arm"] == arm, "verdict"]) == {NO_EVIDENCE}, arm
    frozen = first_row(found.means, {"section": 1, "task": ALL, "arm": STUDY.method, "reference": "self-copy"})
    assert found.collection.sections[1].setting == "fix"
    assert f"by {-frozen.difference:.2f} [{-frozen.high:.2f}, {-frozen.low:.2f}]), on parts and on video" in text
    copies = {row.task: row for row in rows_of(found.means)
              if (row.section, row.arm, row.reference) == (1, STUDY.method, "self-copy")}
    assert {task for task, row in copies.items() if row.high < 0} == {"shapenet", "kinetics", ALL}
    assert all(copies[task].low < 0 < copies[task].high for task in ("imagenet", "audioset")), "no difference is shown"
    lead = first_row(found.means, {"section": 1, "task": "kinetics", "arm": STUDY.method, "reference": "random-norm"})
    assert lead.low > 0, "pathways are ahead of noise on video"
    every = first_row(found.means, {"section": 1, "task": ALL, "arm": STUDY.method, "reference": "random-norm"})
    assert every.low > 0
    assert f"and on average over all pairs ({show_interval(every, POINTS)}), two of many tests" in text
    noise = found.null[found.null["arms"] == "random-norm"]
    assert (noise["comparisons"].sum(), noise["significant"].sum(), set(noise["draws"])) == (36, 1, {6})
    assert f"1 of 36 comparisons is significant at 5 %, where chance gives {noise['expected'].sum():.1f}" in text
    any_two = found.null[found.null["arms"] != "random-norm"]
    assert "it is {}, {} and {} of 60 (pretrained, frozen, scratch), where".format(*any_two["significant"]) in text
    assert list(any_two["expected"]) == pytest.approx([3, 3, 3])
    assert set(any_two["comparisons"]) == {60}
    assert [found.collection.sections[row.section].setting for row in rows_of(any_two)] == ["pretrained", "fix", "scratch"]
    below = first_row(found.means, {"section": 1, "task": "kinetics", "arm": "random-norm", "reference": BASELINE})
    assert below.difference < 0 < below.high, "not shown to be more than chance"


def test_what_the_readme_says_of_unseen_seeds_is_what_the_second_rule_says_of_them():
    found, text = analysis(UNSEEN), readme_in_words()
    assert not found.second_lacks
    rows = {row.task: row for row in rows_of(found.second)}
    assert {row.verdict for row in rows.values()} == {RULE2_NO_EVIDENCE}
    assert {row.seeds for row in rows.values()} == {"6 7 8 9 10 11 12 13"}
    said = (f"a mean advantage over the controls of {rows[ALL].mean_found_from:.2f} points over all pairs, and of "
            f"{rows['shapenet'].mean_found_from:.2f} (parts) to {rows['audioset'].mean_found_from:.2f} (sounds) on one target.")
    assert said in text
    targets = [row for task, row in rows.items() if task != ALL]
    assert min(targets, key=lambda row: row.mean_found_from).task == "shapenet"
    assert max(targets, key=lambda row: row.mean_found_from).task == "audioset"
    assert {task for task, row in rows.items() if row.p_equivalent < 0.05} == {ALL, "imagenet", "shapenet"}
    assert "smaller than the published one over all pairs, on images and on parts" in text
    verdicts = found.verdicts[found.verdicts["arm"] == STUDY.method]
    assert (len(verdicts), set(verdicts["verdict"])) == (12, {NO_EVIDENCE})
    assert "nor in any of the twelve on seeds 6 to 13" in text
    gains = printed_gains(found.claims)
    effects = [row for row in rows_of(found.effects) if row.arm == STUDY.method
               and row.metric == found.collection.tasks[row.task].metrics[0].name]
    assert len(effects) == 12
    able = {row.task for row in effects if row.found_from <= gains[row.task, "pretrained", row.auxiliary, row.metric]}
    assert able == {"shapenet"}, "of the pairs by themselves only those of parts would"
    copy = first_row(found.means, {"section": 0, "task": "shapenet", "arm": "self-copy", "reference": BASELINE})
    assert f"(by {copy.difference:.2f} [{copy.low:.2f}, {copy.high:.2f}], one of many" in text
    assert copy.low > 0
    assert all(row.low < 0 < row.high for row in effects if row.task == "shapenet"), "and no other modality is"


@pytest.mark.parametrize(("task", "folder"), [("kinetics", "tiny"), ("imagenet", "tiny"), ("audioset", "tiny"),
                                              ("shapenet", "lead")])
def test_the_lead_needs_no_structure_that_training_gave(task, folder):
    """By seed the mean over auxiliaries, minus that of the same weights permuted and shuffled, and of untrained blocks; of
    video, from where the lead came, also of noise, and of parts of the plain model"""
    found, values = analysis(ROOT / "results" / folder), {}
    metric = found.collection.tasks[task].metrics[0].name
    section = next(each for each in found.collection.sections if each.setting == "fix" and each.profile == "tiny")
    for record in found.collection.records:
        spec = record.spec
        if (spec.kind, spec.task, spec.setting) == ("train", task, section.setting) and not spec.variant:
            tested = [row.value for row in record.measurements if (row.split, row.metric) == ("test", metric)]
            values.setdefault((spec.arm, spec.seed), []).append(tested[-1])
    ahead = {"kinetics": ["random-norm"], "shapenet": ["fix"]}.get(task, [])
    others = (*ahead, "permuted", "shuffled", "random-init")
    means = {arm: np.array([np.mean(values[arm, seed]) for seed in range(6)]) for arm in ("m2pt", *others)}
    text = readme_in_words()
    for other in others:
        apart = mean_interval([*(means["m2pt"] - means[other])])
        low, high = apart.interval
        assert (low > 0) == (other in ahead)
        assert f"{show_points(apart.mean)} [{show_points(low)}, {show_points(high)}]" in text, other
        row = first_row(found.means, {"section": found.collection.sections.index(section), "task": task, "arm": STUDY.method,
                                      "reference": BASELINE if other == "fix" else other})
        assert (row.difference, row.low, row.high) == pytest.approx((apart.mean, low, high)), "the report has it, too"


def test_what_the_readme_says_of_a_known_solution_with_trained_blocks_is_what_the_records_say():
    found, text = analysis(ROOT / "results" / "known"), readme_in_words()
    rows = {row.task: row for row in rows_of(found.doses) if (row.cosine, row.reference) == (1, BASELINE)}
    assert {row.n for row in rows.values()} == {6}
    (limit,) = [line for line in STUDY.limits if "results/known" in line]
    helped = [task for task, row in rows.items() if row.verdict == HELPS]
    assert helped == ["imagenet"]
    assert "are found on one of four targets (profile tiny, results/known), the only one where that is better" in limit

    assert f"found on images alone ({interval(rows['imagenet'])} over the plain model)" in text
    assert (f"on parts its gain is {interval(rows['shapenet'])}, on video {interval(rows['kinetics'])}, on sounds "
            f"{interval(rows['audioset'])} (six seeds") in text
    assert all(row.low < 0 < row.high for task, row in rows.items() if task not in helped)
    source = {row.task: row for row in rows_of(found.effects) if row.arm == "finetune-linear"
              and row.metric == found.collection.tasks[row.task].metrics[0].name}
    assert [task for task, row in source.items() if row.low > 0] == helped
    assert [task for task, row in source.items() if row.high < 0] == ["shapenet"]
    assert (f"is itself ahead of the plain model on images alone ({interval(source['imagenet'])}), behind it on parts "
            f"({interval(source['shapenet'])}), and not shown to differ on video ({interval(source['kinetics'])}) and sounds "
            f"({interval(source['audioset'])}).") in text
    assert rows["imagenet"].difference > source["imagenet"].difference / 2, "most of it"
    diluted = [row for row in rows_of(found.doses) if row.cosine < 1 and row.reference == BASELINE]
    assert {(row.cosine, row.n, row.verdict) for row in diluted} == {(cosine, 6, NO_EVIDENCE) for cosine in (0.3, 0.1, 0.03)}
    gains = [row.difference for row in diluted]
    assert (f"a cosine of 0.3, 0.1 or 0.03 it is found on none (gains of {show_points(min(gains))} to "
            f"{show_points(max(gains))})") in text


def test_what_is_said_of_a_fifth_modality_is_what_the_records_say():
    found = analysis(ROOT / "results" / "fifth")
    effects = {row.task: row for row in rows_of(found.effects) if row.arm == STUDY.method
               and row.metric == found.collection.tasks[row.task].metrics[0].name}
    verdicts = found.verdicts[found.verdicts["arm"] == STUDY.method]
    assert (set(verdicts["task"]), set(verdicts["verdict"])) == ({*effects}, {NO_EVIDENCE})
    mean, noise, copy = (first_row(found.means, {"section": 0, "task": ALL, "arm": arm, "reference": BASELINE})
                         for arm in (STUDY.method, "random-norm", "self-copy"))

    assert (f"on six seeds, gain {interval(mean)} on average over the four targets, where noise gains "
            f"{show_points(noise.difference)} and a copy of the target's own weights {show_points(copy.difference)}; there is "
            "no evidence on any target") in readme_in_words()
    own = in_words(ROOT / "results" / "fifth" / "README.md")
    assert (f"images {interval(effects['imagenet'])}, parts {interval(effects['shapenet'])}, video "
            f"{interval(effects['kinetics'])}, sounds {interval(effects['audioset'])}; on average "
            f"{interval(mean)}. A pair would have been found, adjusted "
            f"for all four, from {effects['shapenet'].found_from:.2f} (parts) to {effects['audioset'].found_from:.1f} points "
            f"(sounds); their mean, by itself, from {mean.found_alone_from:.2f}.") in own
    assert {row.tests for row in effects.values()} == {4}
    assert {row.n for row in effects.values()} == {6}
    (legend,) = draw_first(found).legends
    assert not [text for text in legend.get_texts() if "published" in text.get_text()], "nothing is, of a text's blocks"
    assert min(effects.values(), key=lambda row: row.found_from).task == "shapenet"
    assert max(effects.values(), key=lambda row: row.found_from).task == "audioset"


def test_what_is_said_of_two_processors_is_what_runs_that_were_computed_on_both_gave():
    """Of pairs of records of one run, the difference; of pairs of seeds on one processor, what their spread makes it"""
    found: dict[str, dict[str, Run]] = {}
    for name in ("tiny", "lead", "known"):
        for run in map(Run, Store(ROOT / "results" / name).records()[0]):
            found.setdefault(run.record.run_id, {}).setdefault(run.processor, run)
    twice = [[*runs.values()] for runs in found.values() if len({run.environment[1:] for run in runs.values()}) < len(runs)]
    assert not [one.name for one, other in twice if one.record.weights["result"] == other.record.weights["result"]]
    apart = []
    for task in ("imagenet", "kinetics"):
        plain = [pair for pair in twice if pair[0].spec.name.startswith(f"{task}-pretrained-finetune-s")]
        values = np.array([[[row.value for row in run.record.measurements if (row.split, row.metric) == ("test", "top1")][-1]
                            for run in pair] for pair in plain])
        assert len(values) == 6
        apart.append((np.sqrt(np.mean(np.diff(values) ** 2)), np.sqrt(2 * values.var(axis=0, ddof=1).mean())))
    (images, of_seeds), (video, of_videos) = apart
    assert {tuple(run.processor.split()[0] for run in runs.values()) for runs in found.values() if len(runs) > 1} == {
        ("Intel(R)", "AMD")}
    assert (f"Of the runs in `results/tiny`, {len(twice)} were computed again for `results/known` and `results/lead`, on an "
            "AMD processor in the place of an Intel, with the same packages and threads: not one left the same weights twice. "
            "Fine-tuned under one seed on both, the plain model's two values lie "
            f"{images:.2f} points apart on images and {video:.2f} on video (root mean square over six seeds), where two seeds "
            f"on one processor lie {of_seeds:.2f} and {of_videos:.2f} apart."
            ) in in_words(ROOT / "docs" / "how-results-stay-valid.md")


def test_what_the_readme_says_of_cost_is_what_runs_that_ran_alone_took():
    (cost,) = rows_of((found := analysis(ROOT / "results" / "cost")).cost)
    assert cost.time_n == 3
    hours, text = next(claim for claim in found.claims if claim.id == "t7-train-hours"), readme_in_words()
    assert (f"training with pathways takes {cost.time_ratio:.2f} times as long as the plain model's ([{cost.time_low:.2f}, "
            f"{cost.time_high:.2f}]; in the paper's Table 7 it is "
            f"{hours.reported_value / hours.reported_baseline_value:.2f} times") in text
    assert f"and {cost.memory_ratio:.2f} times the memory; once merged, nothing" in text
    assert cost.merged == {record.parameters["merged"] for record in found.collection.records
                           if record.spec.arm == "finetune"}.pop()
    assert {record.environment.threads for record in found.collection.records if record.spec.kind == "train"} == {2}


def gain_of(task: str, variant: str, place: int = 0):
    """The effect of a variant of the method on a target, by its main metric or another; and that metric"""
    metric = analysis().collection.tasks[task].metrics[place]
    return first_row(analysis().effects, {"section": 0, "task": task, "arm": STUDY.method, "variant": variant,
                                          "metric": metric.name, "select": "last"}), metric


def test_how_far_an_auxiliary_was_trained_and_the_order_of_its_blocks_are_not_shown_to_matter():
    text = readme_in_words()
    changed = [(task, variant) for task in ("imagenet", "shapenet")
               for variant in ("maturity=0.06666666666666667", "maturity=0.7333333333333333", "order=reversed")]
    edges: dict[str, list[float]] = {}
    for task, variant in (*changed, ("imagenet", "order=permuted"), ("shapenet", "order=permuted")):
        row, metric = gain_of(task, variant)
        assert row.low < 0 < row.high
        assert show_interval(row, metric) in text or variant == "order=permuted", (task, variant)
        edges.setdefault(task, []).append(row.found_alone_from)
    said = [f"{min(found):.1f} to {max(found):.1f}" for found in edges.values()]
    assert "found from {} points on images and {} on parts (".format(*said) in text


def test_where_no_evidence_stands_beside_a_small_p_the_arm_is_behind_a_reference_and_the_note_says_so():
    found, cell = analysis(), ["section", "task", "arm", "auxiliary", "variant"]
    small = found.verdicts[(found.verdicts["verdict"] == NO_EVIDENCE) & (found.verdicts["p_holm"] < 0.05)]
    behind = found.contrasts[found.contrasts["in_rule"].astype(bool) & (found.contrasts["difference"].astype(float) < 0)]
    assert 0 < len(small) == len(small.merge(behind[cell].drop_duplicates(), on=cell))
    for section in set(small["section"]):
        table = contrasts_table(found.collection, found.contrasts, found.verdicts, section)
        assert "a difference of the rule is then in the worse direction" in table.notes[0]


def test_which_layers_have_a_pathway_and_where_scales_start_are_not_shown_to_matter():
    text = readme_in_words()
    places = [f"layers={layer}" for layer in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")]
    starts = ["scale_init=0.01,train_scale=False", *(f"scale_init={start}" for start in ("0.01", "0.0001", "1e-06"))]
    for task, said in (("imagenet", "between {} and {} on images"), ("shapenet", "between {} and {} on parts")):
        rows = [gain_of(task, variant)[0] for variant in (*places, *starts)]
        assert {row.n for row in rows} == {3}
        assert all(row.low < 0 < row.high for row in rows)
        gains = [row.difference for row in rows]
        assert said.format(show_points(min(gains)), show_points(max(gains))) in text
    second = [gain_of("shapenet", variant, 1) for variant in (*places, *starts)]
    ((above, metric),) = [(row, metric) for row, metric in second if not row.low < 0 < row.high]
    assert metric.name == "class mIoU"
    assert above.low > 0
    layer = above.variant.removeprefix("layers=")
    assert f"one interval of eight is above 0 (pathways in `{layer}`, {show_interval(above, metric)}" in text


def test_the_page_on_real_auxiliaries_says_what_its_records_say():
    records, problems, infos, *_ = gather([Store(ROOT / "results" / "real")], TASKS, ARMS)
    assert not problems
    found, page = analyse(records, problems, tasks=infos, study=STUDY), in_words(ROOT / "docs" / "real-auxiliaries.md")
    gains: dict[str, list[str]] = {}
    assert {record.given("auxiliary")[:8] for record in records if record.spec.auxiliary} == {"132e735b"}
    for task in ("imagenet", "audioset"):
        metric = found.collection.tasks[task].metrics[0]
        keys = {"section": 0, "task": task, "metric": metric.name, "select": "last"}
        plain = first_row(found.cells, {"section": 0, "task": task, "metric": metric.name, "role": "baseline"})
        assert f"{plain.last_mean:.1f}" in page
        for arm in ("m2pt", "random-norm", "shuffled", "self-copy", "aux-init"):
            row = first_row(found.effects, {**keys, "arm": arm})
            assert row.n == 3
            assert show_interval(row, metric) in page, (task, arm)
            gains.setdefault(arm, []).append(show_interval(row, metric) if arm == STUDY.method else show_points(row.difference))
    assert set(found.verdicts["verdict"]) == {NO_EVIDENCE}
    assert "gain {} points on images and {} on sounds".format(*gains[STUDY.method]) in readme_in_words()
    assert "noise in its place gains {} and {} (".format(*gains["random-norm"]) in readme_in_words()
    seen_from = dict(zip(found.verdicts["task"], found.verdicts["found_beyond_all_from"], strict=True))
    assert f"of {seen_from['imagenet']:.1f} points on, on sounds from {seen_from['audioset']:.0f}," in page
    begun = [record for record in records if record.spec.arm == "aux-init" and record.spec.task == "audioset"]
    plain = {record.spec.seed: record.curve("test", "mAP")[-1][1] for record in records
             if (record.spec.arm, record.spec.task) == ("scratch", "audioset")}
    assert all(record.curve("test", "mAP")[-1][1] > plain[record.spec.seed] for record in begun)


def test_figures_of_the_review_are_what_the_evidence_computes():
    """What a review of these records found, by hand, before there was a table of it"""
    found = analysis()
    first = found.verdicts[(found.verdicts["arm"] == STUDY.method) & (found.verdicts["section"] == 0)]["found_beyond_all_from"]
    assert (first.min(), first.median(), first.max()) == pytest.approx((0.9, 4.1, 7.6), abs=0.06)
    assert list(found.second["found_alone_from"][:4]) == pytest.approx([0.36, 0.17, 0.62, 0.72], abs=0.02)
    whole = first_row(found.means, {"section": 0, "task": ALL, "arm": STUDY.method, "reference": BASELINE})
    assert (whole.difference, whole.low, whole.high, whole.published) == pytest.approx((-0.05, -0.39, 0.29, 0.72), abs=0.005)
    scales = {(row.section, row.arm): row for row in rows_of(found.scales)}
    assert scales[0, "random-norm"].correlation == pytest.approx(0.987, abs=0.0005)
    cosines = [scales[key].cosine for key in ((0, STUDY.method), (0, "random-norm"), (0, "self-copy"), (2, "ceiling"))]
    assert cosines == pytest.approx([0.007, -0.045, 0.75, 0.46], abs=0.005)
    leads = [first_row(found.means, {"section": 1, "task": task, "arm": STUDY.method, "reference": "random-norm"})
             for task in (ALL, "kinetics")]
    assert [bound for row in leads for bound in (row.difference, row.low, row.high)] == pytest.approx(
        [0.20, 0.00, 0.39, 0.56, 0.28, 0.84], abs=0.006)


def test_each_detectable_effect_has_one_name_and_one_value_wherever_it_stands():
    found = analysis()
    tables = {"matrix": first_matrix(found, 0), "differences": effects_table(found.collection, found.effects, 0),
              "power": power_table(found.collection, found.power, 0), "pairs": answer_table(found),
              "means": means_table(found, 0), "controls": contrasts_table(found.collection, found.contrasts, found.verdicts, 0),
              "second": rule2_table(found)}
    names = {name: {head for head in table.header if "found" in head.lower()} for name, table in tables.items()}
    assert names == {"matrix": set(), "differences": {"Found from"}, "power": {"Found from"}, "pairs": {"Found from"},
                     "means": {"Found alone from"}, "controls": {"Found beyond all from"},
                     "second": {"Mean found from", "Mean found beyond each from"}}
    assert {heading(name) for name in MEANS} == set().union(*names.values())
    for heads, table in zip(names.values(), tables.values(), strict=True):
        assert all(f"{head}: " in " ".join(table.notes) for head in heads), "the note says which it is"

    def column(name, head):
        table = tables[name]
        return {(row[0][0].text, row[1][0].text): row[table.header.index(head)][0].text for row in table.rows}

    pairs = {place: text for place, text in column("differences", "Found from").items()
             if place[1].startswith("m2pt(") and "[" not in place[1]}
    assert len(pairs) == 12
    assert pairs == {place: text for place, text in column("power", "Found from").items() if place in pairs}
    cells = [re.search(r"found from (\S+)$", line.text)[1] for row in tables["matrix"].rows for cell in row for line in cell
             if "found" in line.text]
    assert sorted(cells) == sorted(pairs.values())
    least, most = tables["pairs"].rows[0][-1][0].text.split(" to ")
    assert (least, most) == (min(cells, key=float), max(cells, key=float))
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert all(f"\n| {name} |" in glossary for name in MEANS)


def test_planning_values_of_the_protocol_are_those_of_the_records():
    found, text = analysis().second, STUDY.second_rule.protocol.read_text(encoding="utf-8")
    assert set(found["verdict"]) == {PLANNING}
    spreads = re.search(r"images (\S+), parts (\S+), video (\S+), sounds (\S+) points, (\d+) degrees", text).groups()
    measured = [*(f"{spread:.2f}" for spread in found["spread"][:4]), f"{found['df'].iloc[0]:.0f}"]
    assert measured == list(spreads)
    assert f"factor {found['widened'].iloc[0]:.2f} on errors" in text


def test_committed_records_are_whole_small_and_from_committed_code():
    records = [read_record(path) for path in records_under(RESULTS)]
    assert len(records) >= 60
    assert {record.spec.seed for record in records} >= {0, 1, 2}
    assert not [record.spec.name for record in records if record.environment.dirty or not record.environment.commit]
    folders = {path.parent.name for path in records_under(RESULTS)}
    assert folders == {path.name for path in (RESULTS / "runs").iterdir()}


def test_seeds_of_the_second_rule_are_all_there_and_whole():
    store, rule = Store(ROOT / "results" / "unseen"), STUDY.second_rule
    records, unreadable = store.records()
    assert not unreadable
    assert not [record.spec.name for record in records if record.environment.dirty or not record.environment.commit]
    seeds = sorted({record.spec.seed for record in records if record.spec.kind == "train"})
    assert seeds == [*rule.seeds]
    planned = plan_matrix(STUDY.matrices["unseen"], TASKS, ARMS, rule.profile, seeds).specs
    assert {record.run_id for record in records} == {spec.run_id for spec in planned}
    assert all(len({record.environment.processor for record in records if record.spec.seed == seed}) == 1 for seed in seeds)
    assert {path.name for path in store.folder.iterdir()} - {"work"} == {"README.md", "runs", "report"}


@pytest.mark.parametrize(("name", "seeds", "count"), [
    ("lead", range(6), 90), ("known", range(6), 216), ("fifth", range(6), 126), ("cost", range(3), 12)])
def test_what_was_computed_apart_is_whole_and_each_seed_of_one_processor(name, seeds, count):
    store = Store(ROOT / "results" / name)
    records, unreadable = store.records()
    assert not unreadable
    assert not [record.spec.name for record in records if record.environment.dirty or not record.environment.commit]
    assert len(records) == count
    taken = {"lead": {"targets": ["shapenet"], "settings": ["fix"]}, "known": {"settings": ["pretrained"]}}
    called = {"known": ("known-solution", "dose"), "fifth": ("fifth-modality",)}
    matrices = [STUDY.matrices[each] for each in called.get(name, (name,))]
    planned = [spec for matrix in matrices for spec in plan_matrix(
        narrow(matrix, **taken[name]) if name in taken else matrix, TASKS, ARMS, "tiny", seeds).specs]
    assert {record.run_id for record in records} == {spec.run_id for spec in planned}
    assert {record.environment.processor for record in records} == {"AMD EPYC, 2 cores"}


def test_of_the_next_claims_every_run_that_was_declared_is_here_and_each_computed_alike():
    store = Store(ROOT / "results" / "kin")
    records, unreadable = store.records()
    assert not unreadable
    assert not [record.spec.name for record in records if record.environment.dirty or not record.environment.commit]
    declared = set()
    for target, auxiliary in (("imagenet", "point"), ("shapenet", "video"), ("kinetics", "audio"), ("audioset", "image")):
        for name, taken in (("kin", {"auxiliaries": [auxiliary]}), ("dose", {"settings": ["fix"]})):
            matrix = narrow(STUDY.matrices[name], targets=[target], **taken)
            declared |= {spec.run_id for spec in plan_matrix(matrix, TASKS, ARMS, "tiny", range(3)).specs}
    assert {record.run_id for record in records} == declared
    computed = {(where.processor, where.threads) for where in (record.environment for record in records)}
    assert computed == {("AMD EPYC, 2 cores", 1)}
    assert len({record.environment.arithmetic for record in records} - {None}) == 1


def test_of_shared_origins_are_here_runs_that_were_declared_and_the_readme_says_which_seeds_are_whole():
    store, matrix = Store(ROOT / "results" / "shared"), STUDY.matrices["shared-origin"]
    records, unreadable = store.records()
    assert not unreadable
    assert not [record.spec.name for record in records if record.environment.dirty or not record.environment.commit]
    by_id, declared, whole = {record.run_id: record.environment for record in records}, set(), []
    for seed in range(6):
        planned = {spec.run_id for spec in plan_matrix(matrix, TASKS, ARMS, "tiny", [seed]).specs}
        declared |= planned
        here = [by_id[run] for run in planned if run in by_id]
        assert len({(where.processor, where.threads, where.arithmetic) for where in here}) <= 1
        whole += [seed] * (len(here) == len(planned))
    assert by_id.keys() <= declared
    assert f"Whole are seeds {', '.join(map(str, whole))}. All else is missing or begun" in in_words(store.folder / "README.md")
    assert len(whole) == 6 or not (store.folder / "report").exists(), "nothing is judged before all six seeds are there"


def test_the_matrices_that_the_readme_calls_whole_are_recorded_and_no_others():
    recorded = {record.run_id for name in ("tiny", "unseen", "lead", "known", "fifth")
                for record in Store(ROOT / "results" / name).records()[0]}
    planned = {name: plan_matrix(matrix, TASKS, ARMS, "tiny", parse_seeds(matrix.seeds)).specs
               for name, matrix in STUDY.matrices.items() if name != "real"}  # whose auxiliaries are files
    whole = {name for name, specs in planned.items() if {spec.run_id for spec in specs} <= recorded}
    (said,) = re.findall(r"Whole are (.*?); of the other matrices", readme_in_words())
    assert set(re.findall(r"`([\w-]+)`", said)) == whole


FOLDERS = {".ci", ".github", "baselines", "benchmark", "docs", "findings", "results", "tasks", "tests"}


def committed(*under: str) -> list[str]:
    """Names of all files, or of those under some folders; skips where this is no clone"""
    import subprocess

    listed = subprocess.run(["git", "ls-files", "-z", *under], capture_output=True, cwd=ROOT, check=False)
    if listed.returncode:
        pytest.skip("not a clone")
    return [name for name in listed.stdout.decode().split("\0") if name]


def test_every_arm_that_reports_compare_has_a_plain_name():
    arms = {json.loads(path.read_text(encoding="utf-8"))["spec"].get("arm")
            for path in (ROOT / "results").glob("*/runs/*/record.json")}
    assert len(arms) > 15
    assert arms - {None} - {name for name, arm in ARMS.items() if arm.is_baseline} <= STUDY.called.keys()


def test_all_results_together_stay_small():
    assert sum((ROOT / name).stat().st_size for name in committed("results") if (ROOT / name).is_file()) < LARGEST


def test_no_folder_has_come_beside_those_of_the_project():
    assert {folder for folder, slash, _ in (name.partition("/") for name in committed()) if slash} == FOLDERS
