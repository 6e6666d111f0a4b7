"""The ledger is complete, every verdict follows from records by the stated rules, and another record changes it."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
import yaml
from synthetic import TASKS as SYNTHETIC
from synthetic import make_matrix, make_record, make_spec, standings_of

from baselines import ARMS, STUDY
from benchmark.cli.main import main
from benchmark.evidence.analysis import FINDINGS, analyse
from benchmark.evidence.claims import Evidence, Verdict, judge_count, judge_gain, judge_ratio, judge_value, load_claims
from benchmark.evidence.collect import collect
from benchmark.evidence.estimates import estimate_cells, estimate_effects
from benchmark.evidence.frames import first_row
from benchmark.evidence.inputs import Problem, TaskInfo, gather
from benchmark.evidence.rule import (
    HELPS,
    NO_EVIDENCE,
    NO_SPREAD,
    NOT_JUDGED,
    NOT_PAIRED,
    ONE_SEED,
    estimate_contrasts,
    judge_contrasts,
)
from benchmark.evidence.sections import stated_conditions
from benchmark.evidence.stats import holm, minimal_detectable_effect
from benchmark.evidence.verdicts import judge_claims
from benchmark.plan.presets import plan_matrix
from benchmark.records.record import Measurement
from benchmark.records.store import Store
from benchmark.report.answer import answer, summarise_verdicts
from benchmark.report.tables import contrasts_table
from benchmark.report.write import write_report
from benchmark.spec.contracts import Metric
from tasks import TASKS

INFOS = SYNTHETIC | {
    "imagenet": TaskInfo("image", (Metric("top1"), Metric("top5")), sources=frozenset({"A", "B"}), pretrains=True),
    "audioset": TaskInfo("audio", (Metric("mAP"),), sources=frozenset({"B", "C"}), pretrains=True)}


def test_the_ledger_has_every_claim_joined_to_a_cell_that_exists():
    claims = load_claims(STUDY)
    assert len(claims) == 125
    assert sum(claim.test is not None for claim in claims) == 75
    for claim in claims:
        if claim.test is not None:
            task, arm = TASKS[claim.test.task], ARMS[claim.test.arm]
            assert claim.test.setting in arm.settings
            assert claim.test.metric in (None, *(metric.name for metric in task.metrics)), claim.id
            assert (claim.test.auxiliary is not None) == arm.uses_auxiliary, claim.id
            assert claim.test.auxiliary != task.modality
            variant = type(arm).model_validate({**arm.model_dump(), **claim.test.options})
            assert len(claim.test.options) == len([part for part in variant.variant.split(",") if part]), claim.id


def test_gains_are_the_difference_of_what_was_published():
    for claim in load_claims(STUDY):
        if claim.absolute_gain is not None and claim.unit in ("%", "points"):
            gain = claim.reported_value - claim.reported_baseline_value
            assert claim.absolute_gain == pytest.approx(gain, abs=1e-6), claim.id


@pytest.mark.parametrize(("change", "said"), [
    ({"untested": "why"}, "needs either"), ({"absolute_gain": None}, "no gain to test"),
    ({"test": {"task": "imagenet"}}, "Field required")])
def test_a_ledger_that_is_wrong_is_refused(tmp_path, change, said):
    content = yaml.safe_load(STUDY.claims.read_text(encoding="utf-8"))
    content["claims"] = [{**claim, **change} for claim in content["claims"] if claim["id"] == "t1-m2pt-point-tune"]
    file = tmp_path / "claims.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=said):
        load_claims(replace(STUDY, claims=file))


@pytest.mark.parametrize(("published", "mean", "low", "high", "p", "mde", "verdict"), [
    (0.6, 0.55, 0.4, 0.7, 0.001, 0.2, Verdict.REPRODUCED),
    (0.6, 0.9, 0.7, 1.1, 0.001, 0.3, Verdict.REPRODUCED),
    (0.6, 0.2, 0.1, 0.3, 0.01, 0.15, Verdict.DIRECTION_ONLY),
    (0.6, 0.05, -0.1, 0.2, 0.4, 0.2, Verdict.NOT_REPRODUCED),
    (0.6, 0.3, -0.6, 1.2, 0.4, 1.1, Verdict.INCONCLUSIVE),
    (0.6, 0.5, 0.1, 0.9, 0.08, 0.5, Verdict.INCONCLUSIVE),  # significant before Holm only
    (0.6, 0.3, 0.1, 0.5, 0.08, 0.5, Verdict.NOT_REPRODUCED),
    (0.6, 0.42, -0.02, 0.86, 0.06, 0.59, Verdict.INCONCLUSIVE),  # holds 0 and what was published
    (0.6, -0.4, -0.6, -0.2, 0.01, 0.3, Verdict.CONTRADICTED),
    (0.6, 0.6, None, None, None, None, Verdict.INCONCLUSIVE),
    (-5.0, -4.0, -6.0, -2.0, 0.01, 2.5, Verdict.REPRODUCED),  # lower is better
    (-5.0, 4.0, 2.0, 6.0, 0.01, 2.5, Verdict.CONTRADICTED)])
def test_a_gain_is_judged_by_its_interval_and_by_what_could_have_been_found(published, mean, low, high, p, mde, verdict):
    judgement = judge_gain(published, Evidence(5, mean, low, high, p, mde))
    assert judgement.verdict == verdict
    assert "n=5" in judgement.reason


def test_absolute_values_allow_for_the_rounding_of_print():
    assert judge_value(83.3, Evidence(4, 83.4, 83.34, 83.46)).verdict == Verdict.REPRODUCED
    assert judge_value(83.3, Evidence(4, 83.6, 83.5, 83.7)).verdict == Verdict.NOT_REPRODUCED
    assert judge_value(83.3, Evidence(1, 83.3, None, None)).verdict == Verdict.INCONCLUSIVE
    assert judge_value(83.3, Evidence(2, 75.0, 60.0, 90.0)).verdict == Verdict.INCONCLUSIVE, "too wide to tell"
    assert judge_value(83.3, Evidence(2, 75.0, 70.0, 80.0)).verdict == Verdict.NOT_REPRODUCED, "wide, and yet excludes it"
    assert judge_value(87.0, Evidence(4, 86.9, 86.8, 86.98)).verdict == Verdict.REPRODUCED
    assert judge_value(87.0, Evidence(4, 86.7, 86.6, 86.8)).verdict == Verdict.NOT_REPRODUCED, "printed as 87.0, not as 87"
    assert judge_count(172.6, Evidence(1, 171.5, None, None)).verdict == Verdict.REPRODUCED
    assert judge_count(172.6, Evidence(1, 150.0, None, None)).verdict == Verdict.NOT_REPRODUCED
    assert judge_ratio(1.347, Evidence(3, 1.04, 1.02, 1.06)).verdict == Verdict.NOT_REPRODUCED
    assert judge_ratio(1.347, Evidence(3, 1.33, 1.28, 1.38)).verdict == Verdict.REPRODUCED
    assert judge_ratio(1.347, Evidence(3, 1.1, 0.6, 2.0)).verdict == Verdict.INCONCLUSIVE


def verdicts_of(records, tasks=INFOS):
    collection = collect(records, tasks=tasks)
    frame = judge_claims(collection, load_claims(STUDY), estimate_cells(collection), estimate_effects(collection))
    return frame.set_index("id")


def imagenet(seed, arm, auxiliary, final, profile="paper"):
    record = make_record(make_spec("imagenet", arm, auxiliary, seed, profile=profile), final)
    rows = [row.model_copy(update={"metric": {"top-1": "top1", "top-5": "top5"}.get(row.metric, row.metric)})
            for row in record.measurements]
    seconds = 100.0 if arm == "finetune" else 134.75 + (seed - 2) / 4
    return record.model_copy(update={"measurements": rows, "seconds": {"train": seconds}})


def paper_scale(gain, seeds=5, profile="paper"):
    wiggle = (0.03, -0.02, 0.01, -0.03, 0.01)
    return [imagenet(seed, arm, auxiliary, 83.3 + 0.1 * seed + (gain + wiggle[seed]) * (arm == "m2pt"), profile)
            for seed in range(seeds) for arm, auxiliary in (("finetune", None), ("m2pt", "point"))]


def test_verdicts_follow_the_records():
    assert set(verdicts_of([])["verdict"]) == {"not run"}
    assert verdicts_of(paper_scale(0.6)).loc["t1-m2pt-point-tune", "verdict"] == "reproduced"
    assert verdicts_of(paper_scale(0.2)).loc["t1-m2pt-point-tune", "verdict"] == "direction only"
    assert verdicts_of(paper_scale(0.0)).loc["t1-m2pt-point-tune", "verdict"] == "not reproduced"
    assert verdicts_of(paper_scale(-0.3)).loc["t1-m2pt-point-tune", "verdict"] == "contradicted"
    assert verdicts_of(paper_scale(0.6, seeds=1)).loc["t1-m2pt-point-tune", "verdict"] == "inconclusive"
    found = verdicts_of(paper_scale(0.6))
    assert found.loc["t7-train-hours", "verdict"] == "reproduced"
    assert found.loc["t1-m2pt-audio-tune", "verdict"] == "not run"
    assert "-x audio" in found.loc["t1-m2pt-audio-tune", "reason"]
    assert found.loc["t1-mae-tune", "n"] == 5


@pytest.mark.parametrize("select", ["last", "best_val", "oracle"])
def test_claims_are_judged_after_the_last_epoch_whatever_the_other_tables_select(select):
    records = paper_scale(0.6)
    found = analyse(records, [], select, tasks=INFOS, study=STUDY)
    assert found.judged.set_index("id")["measured"].dropna().to_dict() == pytest.approx(
        verdicts_of(records)["measured"].dropna().to_dict())
    gain = first_row(found.effects, {"arm": "m2pt", "metric": "top1"}).difference
    assert (gain == pytest.approx(found.judged.set_index("id").loc["t1-m2pt-point-tune", "measured"])) == (select != "best_val")


def test_the_embedded_scale_never_judges_a_published_number():
    found = verdicts_of(paper_scale(0.6, profile="tiny"))
    assert found.loc["t1-m2pt-point-tune", "verdict"] == "not comparable"
    assert "profile tiny" in found.loc["t1-m2pt-point-tune", "reason"]
    assert not set(found["verdict"]) - {"not comparable", "not run"}


def test_another_recipe_never_judges_a_published_number():
    """At the paper's scale, but by a recipe that is not the profile's."""
    own = paper_scale(0.6)
    stated = stated_conditions(own[0].spec.shape, own[0].spec.compared_recipe(), own[0].spec.num_classes)
    tasks = INFOS | {"imagenet": replace(INFOS["imagenet"], conditions={("paper", "pretrained"): stated})}
    assert verdicts_of(own, tasks).loc["t1-m2pt-point-tune", "verdict"] == "reproduced"
    quick = own[0].spec.recipe.model_copy(update={"epochs": 3})
    specs = [record.spec.model_copy(update={"recipe": quick}) for record in own]
    other = [record.model_copy(update={"spec": spec, "run_id": spec.run_id}) for record, spec in zip(own, specs, strict=True)]
    found = verdicts_of(other, tasks)
    assert found.loc["t1-m2pt-point-tune", "verdict"] == "not comparable"
    assert "epochs=3" in found.loc["t1-m2pt-point-tune", "reason"]
    assert found.loc["t7-train-hours", "verdict"] == "not comparable"


def with_controls(effect, noise=0.1, self_copy=0.0, without=()):
    """Six seeds of imagenet under every arm, m2pt with audio and point."""
    records = []
    for seed in range(6):
        wiggle = noise * (1, -1, 0.5, -0.5, 0.8, -0.8)[seed]
        values = {("finetune", None): 0.0, ("self-copy", None): self_copy, ("m2pt", "audio"): effect + wiggle,
                  ("m2pt", "point"): wiggle, ("random-norm", "audio"): wiggle / 2, ("random-norm", "point"): -wiggle}
        records += [imagenet(seed, arm, auxiliary, 46 + seed + value, "tiny")
                    for (arm, auxiliary), value in values.items() if arm not in without]
    return records


def moved(record, **fields):
    spec = record.spec.model_copy(update=fields)
    return record.model_copy(update={"spec": spec, "run_id": spec.run_id})


def judged(records):
    collection = collect(records, tasks=INFOS)
    contrasts = estimate_contrasts(collection, STUDY.rivals)
    return contrasts, judge_contrasts(collection, contrasts).set_index("auxiliary", drop=False)


def test_an_auxiliary_helps_where_it_beats_the_baseline_and_every_control():
    contrasts, verdicts = judged(with_controls(1.0))
    assert verdicts.loc["audio", "verdict"] == HELPS
    assert verdicts.loc["point", "verdict"] == NO_EVIDENCE
    assert verdicts.loc["point", "excluded_above"] == pytest.approx(0.09, abs=0.02)
    audio = contrasts[contrasts["auxiliary"] == "audio"].set_index("reference")
    assert audio.loc["baseline", "difference"] == pytest.approx(1.0, abs=1e-6)
    assert audio.loc["random-norm", "n"] == 6
    assert verdicts.loc["audio", "p"] == pytest.approx(audio["p"].max())
    assert verdicts["p_holm"].tolist() == pytest.approx(holm(verdicts["p"].tolist()))
    hardest = max(minimal_detectable_effect(sd, 6, 0.05 / 2, 1 - 0.2 / 3, spread_df=5) for sd in audio["sd"])
    assert verdicts.loc["audio", "found_beyond_all_from"] == pytest.approx(hardest)


def test_effects_are_excluded_by_the_reference_that_leaves_least_room():
    """Ahead of the baseline by 1, but behind a copy of its own weights by as much."""
    _, verdicts = judged(with_controls(1.0, self_copy=2.0))
    assert verdicts.loc["audio", "verdict"] == NO_EVIDENCE
    assert verdicts.loc["audio", "excluded_above"] == pytest.approx(-0.91, abs=0.02)


def test_of_a_metric_that_is_to_be_low_the_gains_are_excluded_that_would_lower_it_by_more():
    """Accuracies turned into errors: the same effects are excluded, and the table says which way its numbers go."""
    rows = with_controls(1.0)
    errors = [record.model_copy(update={"measurements": [row.model_copy(update={"value": 100 - row.value})
                                                         for row in record.measurements]}) for record in rows]
    main, *others = INFOS["imagenet"].metrics
    low = INFOS | {"imagenet": replace(INFOS["imagenet"], metrics=(replace(main, higher_is_better=False), *others))}
    tables = []
    for records, infos in ((rows, INFOS), (errors, low)):
        found = analyse(records, [], tasks=infos, study=STUDY)
        assert set(found.verdicts["verdict"]) == {HELPS, NO_EVIDENCE}
        tables.append((found.verdicts["excluded_above"].tolist(), contrasts_table(found.collection, found.contrasts,
                                                                                  found.verdicts, 0)))
    (high_edges, high_table), (low_edges, low_table) = tables
    assert low_edges == pytest.approx(high_edges)
    column = high_table.header.index("Excluded above")
    assert [row[column] for row in low_table.rows] == [row[column] for row in high_table.rows]
    assert "what is excluded is a gain" in " ".join(low_table.notes)
    assert "what is excluded is a gain" not in " ".join(high_table.notes)


def test_an_arm_beside_the_rule_is_shown_and_decides_nothing():
    records = with_controls(1.0)
    records += [imagenet(seed, "same-modality", None, 46 + seed + 3.0, "tiny") for seed in range(6)]
    collection = collect(records, tasks=INFOS)
    contrasts = estimate_contrasts(collection, STUDY.rivals, beside={"m2pt": ("same-modality",)})
    shown = contrasts[~contrasts["in_rule"].astype(bool)]
    assert shown["reference"].tolist() == ["same-modality"] * 2
    assert shown["difference"].iloc[0] == pytest.approx(-2.0, abs=0.1)
    verdicts = judge_contrasts(collection, contrasts)
    assert verdicts["references"].tolist() == ["baseline random-norm self-copy"] * 2
    assert verdicts["verdict"].tolist() == judged(with_controls(1.0))[1]["verdict"].tolist()


def test_references_stand_in_one_order_whichever_arm_comes_first():
    """An arm with another control, ahead in the alphabet, alters no column of the others."""
    records = with_controls(1.0)
    records += [imagenet(seed, "ceiling", None, 46 + seed + 0.1 * seed, "tiny") for seed in range(6)]
    collection = collect(records, tasks=INFOS)
    rivals = {**STUDY.rivals, "ceiling": ("self-copy",)}
    contrasts = estimate_contrasts(collection, rivals, beside={"m2pt": ("ceiling",)})
    assert contrasts["arm"].iloc[0] == "ceiling"
    table = contrasts_table(collection, contrasts, judge_contrasts(collection, contrasts), 0)
    assert [name for name in table.header if name.startswith("Minus")] == [
        "Minus baseline", "Minus random-norm", "Minus self-copy", "Minus ceiling (not in the rule)"]


def test_a_gain_that_a_control_has_too_is_no_evidence():
    _, verdicts = judged(with_controls(1.0, self_copy=1.0))
    assert set(verdicts["verdict"]) == {NO_EVIDENCE}


def test_without_its_controls_nothing_is_said():
    _, verdicts = judged(with_controls(1.0, without=("self-copy",)))
    assert set(verdicts["verdict"]) == {NOT_JUDGED}
    assert set(verdicts["missing"]) == {"self-copy"}
    assert summarise_verdicts(verdicts) == "Not judged: controls are missing (self-copy)."


def elsewhere(record, **where):
    return record.model_copy(update={"environment": record.environment.model_copy(update=where)})


def test_what_two_machines_have_run_in_whole_is_judged_as_what_one_has():
    """In opposite orders, so that of a seed's arms some are newer on one, and some on the other"""
    here, there = with_controls(1.0), [elsewhere(record, processor="Another CPU") for record in with_controls(1.0)]
    arms = len(here) // 6
    copies = [record.model_copy(update={"started": f"2025-02-01T00:00:{second:02d}+00:00"})
              for machine, order in ((here, 1), (there, -1))
              for number, record in enumerate(machine) for second in [order * (number % arms) % arms]]
    contrasts, verdicts = judged(copies)
    assert verdicts["verdict"].tolist() == judged(here)[1]["verdict"].tolist()
    assert set(verdicts["not_paired"]) == {""}
    assert set(contrasts["n"]) == set(judged(here)[0]["n"])


@pytest.mark.parametrize(("change", "said"), [
    (lambda record: elsewhere(record, threads=4), "self-copy in another environment"),
    (lambda record: moved(record, seed=record.spec.seed + 20), "self-copy in other seeds"),
    (lambda record: moved(record, starts={"target": "f" * 12}), "self-copy from another target checkpoint"),
], ids=["machine", "seeds", "checkpoint"])
def test_a_control_that_was_run_apart_from_the_arm_is_not_called_missing(change, said):
    """Two machines, each with another control of the same cell: nothing can be compared, but no control is missing"""
    records = [change(record) if record.spec.arm == "self-copy" else record for record in with_controls(1.0)]
    contrasts, verdicts = judged(records)
    assert set(verdicts["verdict"]) == {NOT_PAIRED}
    assert set(verdicts["not_paired"]) == {said}
    assert set(verdicts["missing"]) == {""}
    assert summarise_verdicts(verdicts) == f"Not judged: controls were run, but not together with the arm ({said})."
    collection = collect(records, tasks=INFOS)
    table = contrasts_table(collection, contrasts, verdicts, 0)
    cell = table.rows[0][table.header.index("Minus self-copy")]
    assert [line.text for line in cell] == ["not paired", said.removeprefix("self-copy ")]


def test_of_two_machines_that_each_hold_another_control_the_one_that_is_not_shown_is_named():
    first = with_controls(1.0, without=("self-copy",))
    second = [elsewhere(record, threads=4) for record in with_controls(1.0, without=("random-norm",))]
    _, verdicts = judged([*first, *second])
    assert set(verdicts["verdict"]) == {NOT_PAIRED}
    assert set(verdicts["not_paired"]) == {"self-copy in another environment"}
    _, whole = judged([*with_controls(1.0), *second])
    assert whole["verdict"].to_dict() == {"audio": HELPS, "point": NO_EVIDENCE}, "one machine has all that it takes"


def test_a_baseline_of_another_machine_is_not_called_missing():
    records = [elsewhere(record, threads=4) if record.spec.arm == "finetune" else record for record in with_controls(1.0)]
    _, verdicts = judged(records)
    assert set(verdicts["not_paired"]) == {"baseline in another environment"}


@pytest.mark.parametrize("effect", [5.0, 0.0])
def test_a_gain_whose_controls_are_missing_is_said_not_to_be_judged(effect):
    """Else "1 gains" stood alone, and read as an answer"""
    records = make_matrix(["imagenet"], ["audio"], range(4), {("imagenet", "audio"): effect}, scratch=False)
    (said,) = answer(analyse(records, [], tasks=SYNTHETIC, study=STUDY))
    assert (" 1 gains over" in said) == (effect > 0)
    assert said.endswith(" Whether that is another modality's knowledge is not judged: controls are missing (random-norm, "
                         "self-copy).") == (effect > 0)


def test_tuned_arms_are_compared_in_the_variants_that_validation_chose():
    """m2pt gains by its second variant, and so does its control: no evidence, though the default shows nothing at all."""
    records = []
    for seed in range(6):
        for arm, auxiliary, gain in (("finetune", None, 0), ("m2pt", "audio", 1), ("random-norm", "audio", 1),
                                     ("self-copy", None, 0)):
            for variant in ("",) if arm == "finetune" else ("", "scale_lr_factor=10.0"):
                final = 46 + seed + gain * bool(variant) + 0.01 * (-1) ** seed * (arm == "m2pt")
                record = imagenet(seed, arm, auxiliary, final, "tiny")
                options = {"scale_lr_factor": 10.0 if variant else 1.0}
                spec = record.spec.model_copy(update={"variant": variant, "options": options})
                records.append(record.model_copy(update={"spec": spec, "run_id": spec.run_id}))
    collection = collect(records, tasks=INFOS)
    contrasts = estimate_contrasts(collection, STUDY.rivals)
    tuned = contrasts[contrasts["tuned"]].set_index("reference")
    assert set(tuned["variant"]) == {"scale_lr_factor=10.0"}
    assert tuned.loc["baseline", "difference"] == pytest.approx(1.0, abs=1e-6)
    assert tuned.loc["random-norm", "difference"] == pytest.approx(0.0, abs=1e-6)
    verdicts = judge_contrasts(collection, contrasts)
    assert list(verdicts.loc[verdicts["tuned"], "verdict"]) == [NO_EVIDENCE]
    altered = verdicts["variant"] == "scale_lr_factor=10.0"
    assert list(verdicts.loc[altered & ~verdicts["tuned"], "verdict"]) == [NO_EVIDENCE], "each beside its own kind"
    alone = [record for record in records if record.spec.arm in ("finetune", "m2pt") or not record.spec.variant]
    collection = collect(alone, tasks=INFOS)
    verdicts = judge_contrasts(collection, estimate_contrasts(collection, STUDY.rivals)).set_index("variant")
    assert verdicts.loc["scale_lr_factor=10.0", "verdict"] == NOT_JUDGED, "no control was given this chance"
    assert verdicts.loc["", "verdict"] == NO_EVIDENCE


def tuned_against(plain_gain, without=(), variants=2, ablated=None):
    """The tuned contrasts of an m2pt that gains 1 by its second variant, its controls nothing, the plain model `plain_gain` by
    its own second variant; by one that no control has, m2pt gains twice `ablated`."""
    records = []
    for seed in range(6):
        for arm, auxiliary, name, gain in (
                ("m2pt", "audio", "scale_lr_factor", 1), ("random-norm", "audio", "scale_lr_factor", 0),
                ("self-copy", None, "scale_lr_factor", 0), ("higher-lr", None, "lr_factor", plain_gain),
                ("finetune", None, "", 0)):
            tries = variants if arm != "higher-lr" else 2
            for value in (1.0, 10.0, 20.0)[:tries] if name else (1.0,):
                variant = f"{name}={value}" if value > 1 else ""
                if arm in without or (arm == "higher-lr" and not variant):
                    continue
                wiggle = random.Random(f"{seed} {arm} {variant}").gauss(0, 0.05)
                record = imagenet(seed, arm, auxiliary, 46 + seed + gain * (value == 10.0) + wiggle, "tiny")
                spec = record.spec.model_copy(update={"variant": variant, "options": {name: value} if name else {}})
                records.append(record.model_copy(update={"spec": spec, "run_id": spec.run_id}))
        if ablated is not None:
            record = imagenet(seed, "m2pt", "audio", 46 + seed + 2 * ablated, "tiny")
            records.append(moved(record, variant="components=qkv", options={"components": "qkv"}))
    collection = collect(records, tasks=INFOS)
    contrasts = estimate_contrasts(collection, STUDY.rivals, tuned_baseline=STUDY.tuned_baseline)
    verdicts = judge_contrasts(collection, contrasts)
    return contrasts[contrasts["tuned"]].set_index("reference"), verdicts[verdicts["tuned"]].iloc[0]


def test_a_tuned_arm_must_beat_the_plain_model_tuned_as_well():
    found, verdict = tuned_against(0)
    assert verdict["verdict"] == HELPS
    assert found.loc["tuned-baseline", "difference"] == pytest.approx(1.0, abs=0.1)
    found, verdict = tuned_against(1)
    assert verdict["verdict"] == NO_EVIDENCE, "what tuning alone brings is no other modality's knowledge"
    assert found.loc["tuned-baseline", "difference"] == pytest.approx(0.0, abs=0.1)
    assert found.loc["baseline", "difference"] == pytest.approx(1.0, abs=0.1)
    _, verdict = tuned_against(0, variants=3)
    assert (verdict["verdict"], verdict["missing"]) == (NOT_JUDGED, "tuned-baseline"), "two tries against three"
    _, verdict = tuned_against(0, without=("higher-lr",))
    assert (verdict["verdict"], verdict["missing"]) == (NOT_JUDGED, "tuned-baseline")


def test_of_a_tuned_arm_those_variants_count_that_its_controls_were_run_in_too():
    """As where another matrix, such as that of the ablation, is read with it: a pair was left out of the family in silence"""
    for value in (1.0, -1.0):
        found, verdict = tuned_against(0, ablated=value)
        assert verdict["verdict"] == HELPS
        assert set(found["variant"]) == {"scale_lr_factor=10.0"}


def test_variants_are_tried_as_one_family():
    """Eight variants of an arm, of which chance makes one look well, are eight chances."""
    records = []
    for seed in range(6):
        for arm, variant in (("finetune", ""), *(("m2pt", f"scale_init={number}") for number in range(8)), ("m2pt", "")):
            noise = random.Random(f"{seed} {arm} {variant}").gauss(46, 1)
            record = imagenet(seed, arm, None if arm == "finetune" else "audio", noise, "tiny")
            spec = record.spec.model_copy(update={"variant": variant, "options": {"scale_init": variant}})
            records.append(record.model_copy(update={"spec": spec, "run_id": spec.run_id}))
    collection = collect(records, tasks=INFOS)
    effects = estimate_effects(collection)
    effects = effects[effects["metric"] == "top1"]
    contrasts = estimate_contrasts(collection, {"m2pt": ()})
    for found in (effects, judge_contrasts(collection, contrasts)):
        assert len(found) == 9
        altered = found[found["variant"] != ""]
        assert altered["p_holm"].tolist() == pytest.approx(holm(altered["p"].tolist()))
        as_it_is = found[found["variant"] == ""].iloc[0]
        assert as_it_is["p_holm"] == pytest.approx(as_it_is["p"])
    as_it_is = effects[effects["variant"] == ""].iloc[0]
    assert as_it_is["found_from"] == pytest.approx(as_it_is["found_alone_from"])
    row = effects[effects["variant"] != ""].iloc[0]
    assert row["found_from"] == pytest.approx(minimal_detectable_effect(row["sd"], 6, 0.05 / 8, spread_df=5))


def test_the_planted_effect_is_held_against_the_plain_baseline_from_scratch():
    """It starts from a checkpoint, which is what it is about."""
    plan = plan_matrix(STUDY.matrices["planted"], TASKS, ARMS, "tiny", range(6))
    gains = {"merge-whole": 3.0, "merge-own": 0.5, "ceiling": 0.3}
    records = []
    for spec in (spec for spec in plan.specs if spec.kind == "train"):
        noise = random.Random(f"{spec.seed} {spec.task} {spec.arm}").gauss(gains.get(spec.arm, 0.0), 0.3)
        level = random.Random(f"{spec.seed} {spec.task}").gauss(40, 1)
        name = TASKS[spec.task].metric.name
        rows = [Measurement(split="test", metric=name, step=spec.recipe.epochs, value=level + noise)]
        records.append(make_record(spec, measurements=rows))
    collection = collect(records, tasks=gather([], TASKS, ARMS)[2])
    assert not collection.remarks
    assert len(collection.sections) == 1
    verdicts = judge_contrasts(collection, estimate_contrasts(collection, STUDY.rivals))
    found = {arm: set(group["verdict"]) for arm, group in verdicts.groupby("arm")}
    assert found.pop("merge-whole") == {HELPS}
    assert found.keys() == {"merge-whole-random", "merge-own", "merge-random", "ceiling"}
    assert found["merge-whole-random"] == found["merge-random"] == {NO_EVIDENCE}
    assert summarise_verdicts(verdicts[verdicts["arm"] == "merge-whole"]) == "4 of 4 targets gain beyond every control."


def test_one_seed_is_no_evidence_of_anything(tmp_path):
    records = [record for record in with_controls(1.0) if record.spec.seed == 0]
    assert answer(analyse(records, [], tasks=INFOS, study=STUDY)) == [
        "Profile tiny, setting pretrained: 2 target x auxiliary pairs ran in one seed, which tells nothing of chance."]
    _, verdicts = judged(records)
    assert set(verdicts["verdict"]) == {ONE_SEED}
    assert summarise_verdicts(verdicts) == "Not judged: one seed tells nothing of chance."
    write_report(analyse(records, [], tasks=INFOS, study=STUDY), tmp_path, formats=("md",))
    assert "<br>tiny: +0.10 (n=1)" in (tmp_path / "report.md").read_text(encoding="utf-8")  # beside what is published of it


def test_a_difference_that_is_the_same_in_every_seed_is_not_judged():
    """There is no p, and "no evidence" would say that help had been looked for"""
    flat = []
    for record in with_controls(1.0):
        value = 50.0 + record.spec.seed + (record.spec.arm == "m2pt")
        rows = [row.model_copy(update={"value": value}) for row in record.measurements]
        flat.append(record.model_copy(update={"measurements": rows}))
    _, verdicts = judged(flat)
    assert set(verdicts["verdict"]) == {NO_SPREAD}
    assert summarise_verdicts(verdicts) == ("Not judged: a difference that is the same in every seed tells nothing of chance.")


def test_pairs_that_share_a_source_are_named_and_counted_apart():
    _, verdicts = judged(with_controls(1.0))
    assert verdicts.loc["audio", "shared_sources"] == "B"
    assert verdicts.loc["point", "shared_sources"] == ""
    assert summarise_verdicts(verdicts) == (
        "1 of 2 pairs help beyond every control; without pairs that share a data source: "
        "0 of 1 pair helps beyond every control.")
    assert summarise_verdicts(verdicts.loc[["audio"]]) == (
        "1 of 1 pair helps beyond every control; every pair shares a data source.")
    made = [record for record in with_controls(1.0) if record.spec.auxiliary != "point"]
    (line,) = answer(analyse(made, [], tasks=INFOS, study=STUDY))
    assert " Every pair shares a data source. 1 of 1 pair helps" in line, "of none there is nothing to count"


def test_pairs_that_share_a_source_are_named_also_where_no_control_was_run(tmp_path):
    records = [record for record in with_controls(1.0) if record.spec.arm in ("finetune", "m2pt")]
    analysis = analyse(records, [], tasks=INFOS, study=STUDY)
    (line,) = answer(analysis)
    assert "of 2 target x auxiliary pairs, 1 gains over their baseline and 0 lose beyond" in line
    assert "Of the 1 that shares no data source, 0 gain and 0 lose." in line
    write_report(analysis, tmp_path, parts=["matrix"])
    assert "**Pairs that share a data source:** imagenet + audio (B)" in (tmp_path / "report.md").read_text()


def test_the_report_shows_controls_and_the_ledger(tmp_path):
    parts = ["controls", "claims"]
    write_report(analyse(with_controls(1.0), [], tasks=INFOS, study=STUDY), tmp_path, parts=parts)
    page = (tmp_path / "report.md").read_text()
    assert "1 of 2 pairs help beyond every control" in page
    assert "125 published numbers: " in page
    assert " not comparable, " in page
    ledger = (tmp_path / "tables" / "claims.csv").read_text().splitlines()
    assert len(ledger) == 126
    write_report(analyse(make_matrix(), [], tasks=SYNTHETIC, study=STUDY), tmp_path / "plain", parts=parts)
    assert "Beyond every control" not in (tmp_path / "plain" / "report.md").read_text()


def test_an_analysis_counts_what_a_report_may_fail_on(tmp_path):
    failed = Problem("x", "NaN", spec=make_spec("imagenet", "m2pt", "video"))
    records = paper_scale(-0.3)
    analysis = analyse(records, [failed, Problem("y", "cut off", "unreadable")], tasks=INFOS, study=STUDY,
                       standings=standings_of(records, outdated=records[:1]))
    counts = {finding: analysis.count(finding) for finding in FINDINGS}
    assert counts == {"contradicted": 4, "not-reproduced": counts["not-reproduced"], "other-code": 1,
                      "other-data": 0, "missing": 1, "failed": 1,  # missing: the baseline of what failed
                      "unreadable": 1, "conflicting": 0, "in-doubt": 0}
    others = [make_spec("audioset", arm, name, profile="paper") for arm, name in (("finetune", None), ("m2pt", "image"))]
    more = [imagenet(0, "m2pt", "audio", 83.0), *(make_record(spec, 40.0) for spec in others)]
    assert analyse(records + more, [], tasks=INFOS, study=STUDY).count("missing") == 1, "audioset with point"
    written = write_report(analysis, tmp_path, formats=("csv", "json"), parts=["claims", "scales"])
    assert {path.suffix for path in written} == {".csv", ".json"}
    rows = json.loads((tmp_path / "tables" / "claims.json").read_text())
    assert len(rows) == 125
    assert {row["verdict"] for row in rows if row["id"] == "t1-m2pt-point-tune"} == {"contradicted"}


def test_info_and_list_show_the_state_of_a_claim(tmp_path, monkeypatch, capsys):
    """Gains of the paper's profile, from records on the disk: other records, another state."""
    for name, gain in (("found", 0.6), ("absent", 0.0)):
        store = Store(tmp_path / name)
        store.prepare()
        for record in paper_scale(gain):
            own = TASKS["imagenet"].profiles["paper"]
            spec = record.spec.model_copy(update={
                "recipe": own.train["pretrained"], "shape": own.shape, "num_classes": own.num_classes,
                "options": ARMS[record.spec.arm].model_dump(mode="json")})
            store.save(record.model_copy(update={"spec": spec, "run_id": spec.run_id}))
    for name, state in (("found", "state: reproduced (+0.60"), ("absent", "state: not reproduced (+0.00")):
        assert main(["info", "t1-m2pt-point-tune", "--results", str(tmp_path / name)]) == 0
        assert state in capsys.readouterr().out
    assert main(["info", "t1-m2pt-audio-tune", "--results", str(tmp_path / "found")]) == 0
    assert "state: not run (no record; benchmark run --profile paper -t imagenet" in capsys.readouterr().out
    assert main(["list", "claims", "--results", str(tmp_path / "found")]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "t1-m2pt-point-tune " in line)
    assert line.endswith("83.9 against 83.3 (+0.6)  (reproduced)")
    assert main(["info", "t1-m2pt-point-tune", "--results", str(tmp_path / "nowhere")]) == 2
    assert "no results in" in capsys.readouterr().err
    (tmp_path / "results").mkdir()
    (tmp_path / "found").rename(tmp_path / "results" / "found")
    Store(tmp_path / "results" / "begun").prepare()
    monkeypatch.chdir(tmp_path)
    assert main(["info", "t1-m2pt-point-tune"]) == 0, "a matrix that has no record yet takes no others away"
    assert "state: reproduced (+0.60" in capsys.readouterr().out
