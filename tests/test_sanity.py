"""What must come out a known way is checked, and what comes out another way is told; gains by the share of labels."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from scipy import stats as scipy_stats
from synthetic import TASKS, make_record, make_spec

from baselines import ARMS, STUDY
from benchmark.evidence.analysis import analyse
from benchmark.evidence.collect import collect
from benchmark.evidence.estimates import estimate_effects
from benchmark.evidence.rule import estimate_contrasts, judge_contrasts
from benchmark.evidence.sanity import AS_EXPECTED, UNDECIDED, UNTESTED, WRONG, estimate_sanity
from benchmark.evidence.sections import stated_conditions
from benchmark.evidence.shares import estimate_shares
from benchmark.evidence.stats import holm
from benchmark.plan.study import Study
from benchmark.records.record import Measurement
from benchmark.report.answer import badges
from benchmark.report.markup import to_markdown
from benchmark.report.sanity import sanity_table
from benchmark.report.write import write_report
from benchmark.spec.contracts import Metric

RECIPE = make_spec().recipe
OWN = stated_conditions(make_spec().shape, make_spec().compared_recipe(), make_spec().num_classes)
INFOS = TASKS | {"imagenet": replace(TASKS["imagenet"], conditions={("tiny", "pretrained"): OWN})}
DEALT = RECIPE.model_copy(update={"shuffle_labels": True})


def dealt_out(level, seeds=5):
    """Trained on labels dealt out at random; chance is 2.1 for imagenet, 12.5 for kinetics."""
    return [make_record(make_spec(task, seed=seed, recipe=DEALT), value + random.Random(f"{task} {seed}").gauss(0, 0.1))
            for task, value in (("imagenet", level), ("kinetics", 12.4)) for seed in range(seeds)]


def test_labels_dealt_out_at_random_must_leave_a_model_at_chance():
    sanity = estimate_sanity(collect(dealt_out(2.1), tasks=TASKS), ())
    assert set(sanity["outcome"]) == {AS_EXPECTED}
    sanity = estimate_sanity(collect(dealt_out(4.0), tasks=TASKS), ()).set_index("task")
    assert sanity["outcome"].to_dict() == {"imagenet": WRONG, "kinetics": AS_EXPECTED}
    values = [record.curve("test", "top-1")[-1][1] for record in dealt_out(4.0)[:5]]
    expected = scipy_stats.ttest_1samp(values, 2.15, alternative="greater").pvalue  # 2.1 is stated to a tenth
    assert sanity.loc["imagenet", "p"] == pytest.approx(expected, rel=1e-9)
    assert sanity["p_holm"].tolist() == pytest.approx(holm(sanity["p"].tolist()))
    below = estimate_sanity(collect(dealt_out(0.5), tasks=TASKS), ()).set_index("task")
    assert below.loc["imagenet", "outcome"] == AS_EXPECTED, "below chance nothing leaks"


def equal_arms(nudge=0.0):
    records = []
    for seed in range(3):
        plain = make_record(make_spec(seed=seed), 40.0 + seed, weights={"result": f"{seed}"})
        zero = make_record(make_spec(arm="zero", seed=seed), 40.0 + seed + nudge * (seed == 2), weights={"result": f"{seed}"})
        scale = Measurement(split="train", metric="mean |scale|", step=1, value=0.0)  # as runs with pathways have
        records += [plain, zero.model_copy(update={"measurements": [*zero.measurements, scale]})]
    return records


def test_an_arm_that_is_its_baseline_by_construction_must_agree_to_the_last_bit():
    (row,) = estimate_sanity(collect(equal_arms(), tasks=TASKS), STUDY.equal).to_dict("records")
    assert (row["arm"], row["measured"], row["n"], row["outcome"]) == ("zero", 3, 3, AS_EXPECTED)
    (row,) = estimate_sanity(collect(equal_arms(1e-9), tasks=TASKS), STUDY.equal).to_dict("records")
    assert (row["measured"], row["outcome"]) == (2, WRONG)
    other = [record if record.spec.arm != "zero" else record.model_copy(update={"weights": {"result": "x"}})
             for record in equal_arms()]
    (row,) = estimate_sanity(collect(other, tasks=TASKS), STUDY.equal).to_dict("records")
    assert (row["measured"], row["outcome"]) == (0, WRONG)


@pytest.mark.parametrize("change", [
    {"environment": {"processor": "another"}}, {"environment": {"arithmetic": "another"}},
    {"environment": {"deterministic": False}}, {"variant": "scale_init=0.1"}])
def test_arms_that_need_not_agree_are_not_held_to_it(change):
    records = []
    for record in equal_arms(1.0):
        if record.spec.arm == "zero":
            environment = record.environment.model_copy(update=change.get("environment", {}))
            spec = record.spec.model_copy(update={"variant": change.get("variant", "")})
            record = record.model_copy(update={"environment": environment, "spec": spec})
        records.append(record)
    sanity = estimate_sanity(collect(records, tasks=TASKS), STUDY.equal)
    assert set(sanity["outcome"]) <= {UNTESTED}


def test_what_seeds_cannot_tell_is_not_called_as_expected():
    def outcome(values, limit=None, shortcuts=None):
        tasks = TASKS | {"imagenet": replace(TASKS["imagenet"], shortcuts={"tiny": shortcuts or {}})}
        records = [make_record(make_spec(seed=seed, recipe=DEALT, limit=limit), value) for seed, value in enumerate(values)]
        return estimate_sanity(collect(records, tasks=tasks), ())["outcome"].tolist()

    assert outcome([2.0, 14.0, 20.0]) == [UNDECIDED], "wide spread: a leak may hide"
    assert outcome([100.0, 100.0, 100.0]) == [WRONG], "a leak without any spread"
    assert outcome([2.1, 2.1, 2.1]) == [AS_EXPECTED]
    assert outcome([50.0]) == [UNTESTED]
    assert outcome([12.0, 12.5, 12.2, 12.3], limit=8) == [], "few samples have another chance level"
    assert outcome([6.5, 6.6, 6.4, 6.6]) == [WRONG]
    assert outcome([6.5, 6.6, 6.4, 6.6], shortcuts={"random scores": 6.6}) == [AS_EXPECTED]


def test_a_report_opens_with_a_check_that_failed(tmp_path):
    assert set(STUDY.equal) <= set(ARMS)
    analysis = analyse([*equal_arms(1e-9), *dealt_out(2.1)], [], tasks=TASKS, study=Study(equal=STUDY.equal))
    assert any(text.startswith("1 of 3 sanity checks failed") for text in badges(analysis))
    write_report(analysis, tmp_path, parts=["sanity"])
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "2 of 3 runs" in page
    assert "chance, 2.1" in page
    assert "Labels dealt out" in page
    assert "An arm that is its baseline" in page
    tasks = TASKS | {"imagenet": replace(TASKS["imagenet"], shortcuts={"tiny": {"random scores": 6.6}})}
    dealt = analyse(dealt_out(2.1)[:5], [], tasks=tasks)
    table = to_markdown(sanity_table(dealt.collection, dealt.sanity))
    assert "random scores, 6.6" in table
    assert "An arm that is its baseline" not in table
    fine = analyse(equal_arms(), [], tasks=TASKS, study=Study(equal=STUDY.equal))
    assert not any("sanity" in text for text in badges(fine))


def by_share(gains):
    """Two auxiliaries and a control of imagenet, on shares of the labels"""
    records = []
    for share, gain in gains.items():
        recipe = RECIPE.model_copy(update={"label_share": share})
        for seed in range(4):
            for arm, auxiliary, worth in (("finetune", None, 0), ("m2pt", "audio", gain), ("m2pt", "point", 0),
                                          ("self-copy", None, 0)):
                noise = random.Random(f"{share} {seed} {arm} {auxiliary}").gauss(0, 0.1)
                records.append(make_record(make_spec("imagenet", arm, auxiliary, seed, recipe=recipe), 40 + worth + noise))
    return records


def test_gains_stand_side_by_side_by_share_of_the_labels(tmp_path):
    records = by_share({0.05: 3.0, 0.1: 1.0, 1.0: 0.0})
    collection = collect(records, tasks=INFOS)
    shares = estimate_shares(collection, estimate_effects(collection))
    audio = shares[(shares["arm"] == "m2pt") & (shares["auxiliary"] == "audio")].set_index("share")["difference"]
    assert audio.to_dict() == pytest.approx({0.05: 3.0, 0.1: 1.0, 1.0: 0.0}, abs=0.3)
    ours = shares[shares["arm"] == "m2pt"]
    assert len(ours) == 6, "two auxiliaries, three shares"
    assert ours["p_holm"].tolist() == pytest.approx(holm(ours["p"].tolist())), "one family, whatever the share"
    verdicts = judge_contrasts(collection, estimate_contrasts(collection, {"m2pt": ("self-copy",)}))
    few = verdicts[[collection.sections[section].conditions != "" for section in verdicts["section"]]]
    assert len(few) == 4
    assert few["p_holm"].tolist() == pytest.approx(holm(few["p"].tolist())), "one family, what was run on few labels"
    trial = [make_record(record.spec.model_copy(update={"limit": 64}), 40.0 + record.spec.seed) for record in records]
    more = collect([*records, *trial], tasks=INFOS)
    beside = judge_contrasts(more, estimate_contrasts(more, {"m2pt": ("self-copy",)}))
    beside = beside[[more.sections[section].limit is None for section in beside["section"]]]
    assert beside["p_holm"].tolist() == pytest.approx(verdicts["p_holm"].tolist()), "a trial on a few samples is none of it"
    study = Study(rivals={"m2pt": ("self-copy",)})
    write_report(analyse(records, [], tasks=INFOS, study=study), tmp_path, parts=["verdicts", "controls", "labels"])
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| 5 % | 10 % | 100 % |" in page
    said, *_ = page.split("\n## Beyond every control?")
    assert ("**First rule, profile tiny, setting pretrained, label\\_share=0.05.** M2pt: 1 of 2 pairs help beyond every "
            "control. Smaller shares of the labels are adjusted together.") in said, "what the runs were made for"
    tables = [(tmp_path / "tables" / f"controls-tiny-pretrained{name}.md").read_text(encoding="utf-8")
              for name in ("-label-share-0-1", "")]
    assert ["auxiliaries of the arm on all smaller shares of the labels" in text for text in tables] == [True, False]
    assert (tmp_path / "figures" / "labels-tiny-pretrained.svg").is_file()
    one = [make_record(make_spec("kinetics", arm, aux, seed), 40.0 + seed + random.Random(f"{seed}{aux}").gauss(0, 1))
           for seed in range(4) for arm, aux in (("finetune", None), ("m2pt", "audio"))]
    both = collect([*records, *one], tasks=INFOS)
    assert estimate_shares(both, estimate_effects(both)).equals(shares), "a target of one share is no part of the family"
    alone = collect(by_share({1.0: 0.0}), tasks=INFOS)
    assert estimate_shares(alone, estimate_effects(alone)).empty


def test_the_matrices_have_what_their_question_needs():
    labels, steelman, controls = (STUDY.matrices[name].groups for name in ("labels", "steelman", "controls"))
    assert all({"finetune", "m2pt", "random-norm", "self-copy"} <= set(group.arms) for group in labels)
    tuned = [group for group in steelman if group.arms == ("higher-lr",)]
    other = [group for group in steelman if group.arms != ("higher-lr",)]
    assert len(tuned) == len(other) == 2
    for plain, method in zip(tuned, other, strict=True):
        assert plain.set == method.set
        assert len(plain.options) + 1 == len(method.options), "the plain model as it is counts, too: the same budget"
    options = [option for group in controls for option in group.options]
    assert {"order": "permuted"} in options
    assert {"maturity": 20 / 300} in options


def test_a_report_opens_with_values_that_look_like_fractions_where_the_unit_is_percent():
    def doubts(values: list[float], chance: float = 10.0, **metric) -> list[str]:
        tasks = TASKS | {"imagenet": replace(TASKS["imagenet"], chance={"tiny": chance}, metrics=(Metric("top-1", **metric),))}
        records = [make_record(make_spec(seed=seed, epochs=1), value) for seed, value in enumerate(values)]
        analysis = analyse(records, [], tasks=tasks, study=Study())
        assert [remark.kind for remark in analysis.collection.remarks] == [
            "Values look like fractions, and their unit is %"] * sum("fractions" in text for text in badges(analysis))
        return [text for text in badges(analysis) if "fractions" in text]

    (said,) = doubts([0.44, 0.46])
    assert "imagenet (no run of the profile tiny has more than 0.46 % top-1, and chance is 10 %" in said
    assert doubts([0.44, 46.0]) == [], "one run failed"
    assert doubts([0.44, 0.46], chance=0.1) == [], "of a thousand classes"
    assert doubts([0.44, 0.46], unit="") == []
    assert doubts([0.44, 0.46], higher_is_better=False) == [], "a small error"
    assert doubts([0.0, 0.0]) == [], "a few samples, all of them wrong"
