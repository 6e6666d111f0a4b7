"""Doses of a known solution: which cosine is found, what auxiliaries have, and endpoints that no verdict rests on."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from sklearn.metrics import average_precision_score
from synthetic import OTHER_CODE, make_pretraining, make_record, make_spec

from baselines import ARMS, STUDY
from benchmark.evidence.analysis import Extras, analyse
from benchmark.evidence.cosines import FILE, cosines_of, note_cosines, noted_cosines
from benchmark.evidence.frames import rows_of
from benchmark.evidence.inputs import gather
from benchmark.evidence.rule import BASELINE, HELPS, NO_EVIDENCE
from benchmark.evidence.secondary import POINTS, PROBABILITY, WEIGHTED, endpoints_of, weighted_precision
from benchmark.plan.presets import plan_matrix
from benchmark.records.record import Measurement
from benchmark.records.store import Store
from benchmark.report.answer import answer
from benchmark.report.doses import dose_line, dose_table, draw_doses
from benchmark.report.write import write_report
from tasks import TASKS

INFOS = gather([], TASKS, ARMS)[2]
GAINS = {1.0: 12.0, 0.3: 5.0, 0.1: 1.5, 0.03: 0.0}


def records_of(gains: dict[float, float] = GAINS, seeds=range(6), matrix: str = "dose"):
    """Of the frozen setting, with gains by cosine"""
    found = []
    for spec in plan_matrix(STUDY.matrices[matrix], TASKS, ARMS, "tiny", seeds).specs:
        if spec.kind == "train" and spec.setting == "fix":
            gain = gains[spec.options["rho"]] if spec.arm == "solution" else 0.0
            value = random.Random(f"{spec.seed} {spec.task}").gauss(40, 1) + gain
            value += random.Random(f"{spec.seed} {spec.task} {spec.arm} {spec.variant}").gauss(0, 0.3)
            rows = [Measurement(split="test", metric=TASKS[spec.task].metric.name, step=spec.recipe.epochs, value=value)]
            found.append(make_record(spec, measurements=rows, layers=[]))
    return found


def noted(records) -> dict:
    """As if a real auxiliary were known"""
    return {record.identity: {"solution": "x", "layers": ["a", "b"], "cosine": [0.003, -0.004], "all": -0.001,
                            "numbers": [10000, 10000]} for record in records if record.spec.task == "imagenet"
            and record.spec.arm == "fix" and record.spec.seed == 0}


@pytest.fixture(scope="module")
def found():
    # The rule asks for a copy of the target's own weights, too.
    copies = [record for record in records_of(matrix="known-solution") if record.spec.arm == "self-copy"]
    records = [*records_of(), *copies]
    return analyse(records, [], tasks=INFOS, study=STUDY, extras=Extras(cosines=noted(records)))


def test_doses_are_held_against_noise_of_the_solutions_size_whatever_their_cosine(found):
    doses = found.doses
    assert set(doses["reference"]) == {BASELINE, "solution-noise", "self-copy"}
    assert len(doses) == 4 * 4 * 3
    for row in doses.itertuples():
        assert row.difference == pytest.approx(GAINS[row.cosine], abs=0.6)
        assert row.n == 6
        assert row.verdict == (HELPS if row.cosine > 0.05 else NO_EVIDENCE)
    assert list(dict.fromkeys(doses["cosine"])) == [1.0, 0.3, 0.1, 0.03]


def test_a_variant_that_differs_in_more_than_its_cosine_is_no_dose(found):
    altered = []
    for record in found.collection.records:
        spec = record.spec
        if spec.arm == "solution" and spec.options["rho"] == 0.3:
            spec = spec.model_copy(update={"variant": f"{spec.variant},scale_init=0.1",
                                           "options": {**spec.options, "scale_init": 0.1}})
            rows = [row.model_copy(update={"value": row.value + 20.0}) for row in record.measurements]
            altered.append(make_record(spec, measurements=rows, layers=[]))
    more = analyse([*found.collection.records, *altered], [], tasks=INFOS, study=STUDY)
    assert (more.contrasts["variant"] == "rho=0.3,scale_init=0.1").any()
    same = [name for name in found.doses if name != "verdict"]  # all variants are one family
    pd.testing.assert_frame_equal(more.doses[same], found.doses[same])


def test_the_cosine_that_is_found_is_named_beside_what_auxiliaries_have(found, tmp_path):
    detected = found.detected.set_index("task")
    assert set(detected["detected"]) == {0.1}
    assert set(detected["smallest"]) == {0.03}
    assert detected.loc["imagenet", "rms"] == pytest.approx(np.sqrt((0.003**2 + 0.004**2) / 2))
    assert detected.loc["imagenet", "chance"] == pytest.approx(0.01)
    assert detected["auxiliaries"].to_dict() == {"imagenet": 1, "shapenet": 0, "kinetics": 0, "audioset": 0}
    write_report(found, tmp_path, "", ("md", "png"), ("mechanism",))
    page = " ".join((tmp_path / "report.md").read_text(encoding="utf-8").split())
    assert ("a cosine of 0.1 is found (6 seeds), 0.03 is not (6 seeds); 1 auxiliary has 0.004 a layer (rms; chance 0.010)"
            in page)
    assert (tmp_path / "figures" / "dose-fix.png").is_file()
    assert "Gain against cosine: profile tiny, setting fix" in page


def test_a_dose_that_the_rule_does_not_judge_is_not_called_not_found(tmp_path):
    """Without the copy that the rule asks for nothing is judged; of 0.3 in one seed alone, only the others are"""
    bare = analyse(records_of(), [], tasks=INFOS, study=STUDY)
    assert bare.detected[["detected", "smallest"]].isna().all(axis=None)
    assert dose_line(bare, bare.doses["section"].iloc[0]).count("no cosine is judged, as controls or seeds are missing") == 4
    copies = [record for record in records_of(matrix="known-solution") if record.spec.arm == "self-copy"]
    some = [record for record in (*records_of(), *copies) if record.spec.seed == 0 or record.spec.options.get("rho") != 0.3]
    line = dose_line(analyse(some, [], tasks=INFOS, study=STUDY), 0)
    assert line.count("a cosine of 0.1 is found (6 seeds), 0.03 is not (6 seeds)") == 4


def test_a_report_without_any_pair_begins_with_what_its_controls_are_worth():
    copies = [record for record in records_of(matrix="known-solution") if record.spec.arm == "self-copy"]
    (said,) = answer(analyse([*records_of(), *copies], [], tasks=INFOS, study=STUDY))
    assert said.startswith("Profile tiny, setting fix: "
                           "Pathways from what fine-tuning adds: 4 of 4 targets gain beyond every control.")
    assert answer(analyse(records_of(), [], tasks=INFOS, study=STUDY)) == [
        "No target x auxiliary pair has been measured on all data yet."], "nothing is judged without the copies"


def test_an_endpoint_that_one_run_of_a_cell_lacks_is_that_of_the_others():
    records = [record for record in records_of() if record.spec.task == "imagenet"]
    ours = [record for record in records if record.spec.arm == "solution"]
    kept = {record.identity: {PROBABILITY: 30.0 + record.spec.seed, **({POINTS: 50.0} if record.spec.seed else {})}
            for record in records}
    found = analyse(records, [], tasks=INFOS, study=STUDY, extras=Extras(endpoints=kept)).secondary
    seeds = {row.endpoint: (row.seeds_kept, row.n) for row in rows_of(found) if row.arm == "solution"}
    assert seeds == {PROBABILITY: (6, 6), POINTS: (5, 5)}
    assert len(ours) == 24


def test_doses_that_lower_an_error_rate_gain():
    error = replace(INFOS["imagenet"].metrics[0], higher_is_better=False)
    falling = {**INFOS, "imagenet": replace(INFOS["imagenet"], metrics=(error,))}
    lost = {cosine: -gain for cosine, gain in GAINS.items()}
    made = [record for record in records_of(lost) if record.spec.task == "imagenet"]
    analysis = analyse(made, [], tasks=falling, study=STUDY)
    section = analysis.doses["section"].iloc[0]
    (first, *_) = rows_of(analysis.doses[(analysis.doses["cosine"] == 1.0) & (analysis.doses["reference"] == BASELINE)])
    assert first.difference == pytest.approx(-12, abs=0.6), "frames hold what was measured"
    (row, *_) = dose_table(analysis, section).rows
    assert row[1][0].text == "1"
    assert row[3][0].text.startswith(f"+{-first.difference:.2f} [+{-first.high:.2f}, +{-first.low:.2f}], p ")
    (axes,) = draw_doses(analysis, section).axes
    assert [-first.high, -first.low] in [list(line.get_ydata()) for line in axes.lines]
    (curve,) = (line for line in axes.lines if line.get_linestyle() == "-" and line.get_marker() == "o")
    assert curve.get_ydata()[-1] == -first.difference
    hollow = [line.get_ydata()[0] for line in axes.lines if line.get_marker() == "o" and line is not curve]
    assert hollow == pytest.approx([0.0] * 4, abs=0.6), "noise gains nothing"


def test_the_figure_of_doses_has_the_unit_of_its_metric():
    slow = {**INFOS, "imagenet": replace(INFOS["imagenet"], metrics=(replace(INFOS["imagenet"].metrics[0], unit="ms"),))}
    analysis = analyse([record for record in records_of() if record.spec.task == "imagenet"], [], tasks=slow, study=STUDY)
    (axes,) = draw_doses(analysis, analysis.doses["section"].iloc[0]).axes
    assert axes.get_ylabel() == "gain over the plain model (ms)"


def test_doses_of_one_setting_in_two_profiles_have_files_each(tmp_path):
    tiny = [record for record in records_of(seeds=range(2)) if record.spec.task == "imagenet"]
    small = []
    for record in tiny:
        spec = record.spec.model_copy(update={"profile": "small"})
        small.append(record.model_copy(update={"spec": spec, "run_id": spec.run_id}))
    both = analyse([*tiny, *small], [], tasks=INFOS, study=STUDY)
    assert len(set(both.doses["section"])) == 2
    write_report(both, tmp_path, "", ("md", "png"), ("mechanism",))
    page = (tmp_path / "report.md").read_text(encoding="utf-8").splitlines()
    for profile in ("tiny", "small"):
        ((table, text),) = [(path.stem, text) for path in (tmp_path / "tables").glob("dose-*.md")
                            if f"profile {profile}, setting fix" in (text := path.read_text(encoding="utf-8"))]
        assert "Gain against cosine" in text
        (line,) = [line for line in page if f"figures/{table}.png" in line]
        assert f"profile {profile}, setting fix" in line
        assert (tmp_path / "figures" / f"{table}.png").is_file()


def test_a_gap_ends_what_is_found_and_without_doses_nothing_is_shown(tmp_path):
    copies = [record for record in records_of(matrix="known-solution") if record.spec.arm == "self-copy"]
    gap = analyse([*records_of({1.0: 12.0, 0.3: 0.0, 0.1: 3.0, 0.03: 0.0}), *copies], [], tasks=INFOS, study=STUDY)
    assert set(gap.detected["detected"]) == {1.0}
    none = analyse([record for record in records_of() if record.spec.arm == "fix"], [], tasks=INFOS, study=STUDY)
    assert none.doses.empty
    assert none.detected.empty
    write_report(none, tmp_path, "", ("md", "png"), ("mechanism",))
    assert "cosine" not in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_what_no_training_has_changed_has_a_cosine_of_nothing(tmp_path):
    """A trial of one step, whose rate is 0, ends where it began."""
    files = [tmp_path / name for name in ("auxiliary", "start", "trained")]
    for path in files:
        save_file({"blocks.0.attn.proj.weight": torch.ones(4, 4)}, path)
    assert cosines_of(*files) == (["blocks.0.attn.proj"], [0.0], 0.0)


def test_cosines_of_auxiliaries_are_noted_where_all_weights_are_here(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    image, audio = make_pretraining("image"), make_pretraining("audio")
    linear = make_record(make_spec(arm="finetune-linear", starts={"target": image.run_id}))
    solution = make_record(make_spec(arm="solution", starts={"target": image.run_id, "solution": linear.run_id}))
    method = make_record(make_spec(arm="m2pt", auxiliary="audio", starts={"target": image.run_id, "auxiliary": audio.run_id}))
    aligned = make_record(make_spec(arm="aligned", auxiliary="audio",
                                    starts={"target": image.run_id, "auxiliary": audio.run_id}))
    for record in (image, audio, linear, solution, method, aligned):
        store.save(record)
    assert note_cosines(store, "m2pt") == 0, "no weights are here"
    generator = torch.Generator().manual_seed(0)
    start, tau, noise = ({f"blocks.{block}.attn.proj.weight": torch.randn(8, 8, generator=generator) for block in range(2)}
                         for _ in range(3))
    kept = {image.run_id: start, audio.run_id: {name: 0.6 * tau[name] + noise[name] for name in tau},
            linear.run_id: {name: start[name] + 0.01 * tau[name] for name in tau}}
    for record in (image, audio, linear):
        save_file({**kept[record.run_id], "blocks.0.norm1.weight": torch.ones(8), "head.weight": torch.ones(3, 8)},
                  store.work(record.spec) / "weights.safetensors")
    assert note_cosines(store, "m2pt") == 1
    assert note_cosines(store, "m2pt") == 0, "it is noted already"
    content = noted_cosines(store, [image, audio, linear, solution, method, aligned])
    assert content.keys() == {method.identity}
    one = content[method.identity]
    expected = {name: torch.nn.functional.cosine_similarity(kept[audio.run_id][name].flatten(), tau[name].flatten(), 0).item()
                for name in tau}
    assert dict(zip(one["layers"], one["cosine"], strict=True)) == pytest.approx(
        {name.removesuffix(".weight"): value for name, value in expected.items()}, abs=1e-4)
    whole = [torch.cat([side[name].flatten() for name in tau]) for side in (kept[audio.run_id], tau)]
    assert one["all"] == pytest.approx(torch.nn.functional.cosine_similarity(*whole, 0).item(), abs=1e-4)
    assert (one["solution"], one["numbers"]) == (linear.run_id, [64, 64])
    left = [linear.model_copy(update={"weights": {"result": letter * 64}}) for letter in "ab"]
    store.save(left[0])
    assert note_cosines(store, "m2pt") == 1, "which weights these were is known now"
    assert noted_cosines(store, [left[0], method]).keys() == {method.identity}
    assert noted_cosines(store, [left[1], method]) == {}, "computed anew since"
    path = store.run_folder(method.spec) / FILE
    path.write_text(json.dumps({"solution": 1}))
    assert noted_cosines(store, [method]) == {}


def test_average_precision_is_that_of_scikit_learn_with_ties_too():
    random_numbers = np.random.default_rng(0)
    labels = random_numbers.random((60, 7)) < 0.2
    labels[:, 3] = False
    for scores in (random_numbers.normal(size=(60, 7)), random_numbers.integers(0, 4, (60, 7)).astype(float)):
        present = labels.any(0)
        expected = average_precision_score(labels[:, present], scores[:, present], average="weighted")
        assert weighted_precision(scores, labels) == pytest.approx(expected)
        assert endpoints_of({"score": scores, "label": labels}) == {WEIGHTED: pytest.approx(100 * expected)}
    with pytest.raises(ValueError, match="no sample has a tag"):
        weighted_precision(scores, np.zeros((60, 7), bool))


def test_secondary_endpoints_are_shown_as_such_and_of_runs_that_left_outputs(tmp_path):
    assert endpoints_of({"label": np.arange(2), "predicted": np.arange(2), "probability": np.array([0.5, 0.25])}) == {
        PROBABILITY: 37.5}
    assert endpoints_of({"correct": np.array([1.0, 0.5])}) == {POINTS: 75.0}
    records = [record for record in records_of() if record.spec.task == "imagenet"]
    kept = {record.identity: {PROBABILITY: 30 + record.spec.seed + (2.0 if record.spec.arm == "solution" else 0.0)}
            for record in records if record.spec.arm in ("solution", "solution-noise")}
    found = analyse(records, [], tasks=INFOS, study=STUDY, extras=Extras(endpoints=kept))
    rows = found.secondary[found.secondary["variant"] == ""].set_index("arm")
    assert rows.loc["solution", "difference"] == pytest.approx(2)
    assert rows.loc["solution", "reference"] == "solution-noise"
    assert rows.loc["solution-noise", "mean"] == pytest.approx(32.5)
    assert rows.loc["solution-noise", "reference"] == ""
    write_report(found, tmp_path, "", ("md",), ("secondary",))
    page = " ".join((tmp_path / "report.md").read_text(encoding="utf-8").split())
    assert f"{len(kept)} of {len(records)} runs left what they say of every test sample" in page
    assert PROBABILITY in page
    older = [record.model_copy(update={"code": OTHER_CODE}) for record in records if record.spec.arm == "solution"]
    assert older
    again = analyse([*records, *older], [], tasks=INFOS, study=STUDY, extras=Extras(endpoints=kept | {"superseded": {}}))
    write_report(again, tmp_path / "again", "", ("md",), ("secondary",))
    page = " ".join((tmp_path / "again" / "report.md").read_text(encoding="utf-8").split())
    assert f"{len(kept)} of {len(records)} runs left what they say of every test sample" in page
    write_report(analyse(records, [], tasks=INFOS, study=STUDY), tmp_path / "none", "", ("md",), ("secondary",))
    assert "Secondary" not in (tmp_path / "none" / "report.md").read_text(encoding="utf-8")
