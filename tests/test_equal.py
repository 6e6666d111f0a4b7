"""Arms at equal cost, and where A points before and after its units are put in order: sums by hand, and of runs really made."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import TASKS, make_record, make_spec

from baselines import ARMS, STUDY
from benchmark.cli.main import main
from benchmark.evidence.analysis import Extras, analyse
from benchmark.evidence.directions import WHOLE, arms_beside, kept_signed, predicted
from benchmark.evidence.inputs import gather
from benchmark.plan.study import with_rivals
from benchmark.records.signed import SERIES, Signed
from benchmark.records.store import Store
from benchmark.report.directions import add_directions, prediction_table
from benchmark.report.document import Document
from benchmark.report.equal import draw_equal, equal_table
from benchmark.report.markup import MINUS
from benchmark.report.write import write_report
from benchmark.spec.contracts import Metric
from tasks import TASKS as OWN

RIVALS = with_rivals(STUDY, ARMS)
TRIAL = ["--seeds", "0-1", "--limit", "16", "--set", "recipe.epochs=2", "--set", "recipe.warmup_epochs=1", "--set",
         "pretrain.epochs=2", "--set", "pretrain.warmup_epochs=1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Records of a few steps of some arms"""
    folder = tmp_path_factory.mktemp("made")
    assert main(["run", "--matrix", "kin", "-t", "imagenet", "-x", "audio", "--arm", "finetune,m2pt,lora,aligned,aligned-noise",
                 "--quiet", "--results", str(folder), *TRIAL]) == 0
    return folder


def analysis_of(folder: Path, **changes):
    records, problems, infos, standings, by_store, _ = gather([Store(folder)], OWN, ARMS)
    signed = kept_signed(by_store, RIVALS)
    return analyse(records, problems, tasks=infos, standings=standings, extras=Extras(signed=signed),
                   study=replace(RIVALS, **changes)), signed


def test_a_gain_stands_beside_what_its_arm_trains_and_the_time_of_a_step():
    records = []
    for seed in range(3):
        seconds, parameters = {"wall": 60.0, "train": 10.0}, {"trainable": 1000, "training": 1000, "merged": 1000}
        records.append(make_record(make_spec(seed=seed), 40.0, seconds=seconds, parameters=parameters))
        for auxiliary, gain in (("audio", 1.0), ("video", 3.0)):
            records.append(make_record(make_spec(arm="m2pt", auxiliary=auxiliary, seed=seed), 40.0 + gain + 0.1 * seed,
                                       seconds={"wall": 60.0, "train": 12.0}, parameters={**parameters, "trainable": 2500}))
        if seed < 2:  # of one auxiliary alone a seed is no mean over both
            records.append(make_record(make_spec(arm="m2pt", auxiliary="point", seed=seed), 42.0 + 0.1 * seed,
                                       seconds={"wall": 60.0, "train": 12.0}, parameters={**parameters, "trainable": 2500}))
        records.append(make_record(make_spec(arm="gain", seed=seed), 40.5, seconds={"wall": 60.0, "train": 5.0},
                                   parameters={**parameters, "trainable": 400}))
    found = analyse(records, [], tasks=TASKS, study=STUDY).equal
    assert list(found["arm"]) == ["gain", "m2pt"], "from few trained numbers to many"
    gain, method = found.iloc[0], found.iloc[1]
    assert (gain.trained, gain.trained_ratio, gain.time_ratio) == (-600, pytest.approx(0.4), pytest.approx(0.5))
    assert (method.trained, method.trained_ratio, method.time_ratio) == (1500, pytest.approx(2.5), pytest.approx(1.2))
    assert (method.auxiliaries, method.n, method.seeds) == (3, 2, "0 1")
    assert method.difference == pytest.approx((2.0 + 2.1) / 2)
    assert (gain.difference, gain.n) == (pytest.approx(0.5), 3)


def test_one_slow_run_does_not_carry_off_the_time_of_its_arm_and_is_seen():
    records, ratios = [], (1.0, 1.1, 11.0)  # a machine that stood still
    for seed, ratio in enumerate(ratios):
        parameters = {"trainable": 1000, "training": 1000, "merged": 1000}
        records += [make_record(make_spec(arm=arm, seed=seed), 40.0 + seed, seconds={"wall": 600.0, "train": 10.0 * times},
                                parameters=parameters) for arm, times in (("finetune", 1.0), ("gain", ratio))]
    analysis = analyse(records, [], tasks=TASKS, study=STUDY)
    (row,) = analysis.equal.itertuples()
    assert [row.time_ratio, row.time_low, row.time_high] == pytest.approx([1.1, 1.0, 11.0])
    assert equal_table(analysis, 0).rows[0][5][0].text == "1.10 (1.00 to 11.00)"
    alone = analyse(records[:2], [], tasks=TASKS, study=STUDY)
    assert equal_table(alone, 0).rows[0][5][0].text == "1.00", "of one seed there is no range"


@pytest.mark.parametrize(("ratios", "cut"), [
    ((0.1, 1.1, 11.0), {"<", ">"}), ((1.0, 1.1, 11.0), {">"}), ((1.49, 1.5, 1.51), set())])
def test_a_range_of_times_that_goes_on_beyond_the_axis_says_so(ratios, cut):
    records = []
    for seed, ratio in enumerate(ratios):
        parameters = {"trainable": 1000, "training": 1000, "merged": 1000}
        records += [make_record(make_spec(arm=arm, seed=seed), 40.0 + seed, seconds={"wall": 600.0, "train": 10.0 * times},
                                parameters=parameters)
                    for arm, times in (("finetune", 1.0), ("gain", ratio), ("zero", 1.5))]
    figure = draw_equal(analyse(records, [], tasks=TASKS, study=STUDY), 0)
    axes = figure.axes[-1]
    assert "arrow: it goes on" in axes.get_xlabel()
    arrows = {line.get_marker(): line.get_xdata()[0] for line in axes.lines if line.get_marker() in ("<", ">")}
    assert arrows == {mark: edge for mark, edge in zip("<>", axes.get_xlim(), strict=True) if mark in cut}


def test_an_auxiliary_that_shares_no_seed_with_the_others_does_not_cost_the_arm_its_row():
    records = []
    for seed in range(6):
        parameters = {"trainable": 1000, "training": 1000, "merged": 1000}
        records.append(make_record(make_spec(seed=seed), 40.0, parameters=parameters))
        for auxiliary, gain, seeds in (("audio", 1.0, range(6)), ("video", 3.0, range(3, 6)), ("point", 9.0, range(2))):
            if seed in seeds:
                records.append(make_record(make_spec(arm="m2pt", auxiliary=auxiliary, seed=seed), 40.0 + gain + 0.1 * seed,
                                           parameters={**parameters, "trainable": 2500 if auxiliary != "point" else 9000}))
    analysis = analyse(records, [], tasks=TASKS, study=STUDY)
    (row,) = analysis.equal.itertuples()
    assert (row.auxiliaries, row.left_out, row.seeds, row.trained) == (2, "point", "3 4 5", 1500)
    assert row.difference == pytest.approx((1.0 + 3.0) / 2 + 0.4)
    assert equal_table(analysis, 0).rows[0][2][0].text == "2 (without point)"


def test_the_report_compares_arms_that_were_run_at_equal_cost(made, tmp_path):
    analysis, _ = analysis_of(made)
    rows = analysis.equal.set_index(["arm", "variant"])
    by_arm = {record.spec.arm: record for record in gather([Store(made)], OWN, ARMS)[0] if record.spec.kind == "train"}
    for arm in ("m2pt", "lora", "aligned", "aligned-noise"):
        plain, own = (by_arm[name].parameters["trainable"] for name in ("finetune", arm))
        assert rows.loc[arm, ""].trained == own - plain > 0
        assert rows.loc[arm, ""].trained_ratio == pytest.approx(own / plain)
        assert rows.loc[arm, ""].n == 2
        assert rows.loc[arm, ""].time_ratio > 0
    assert rows.loc["lora", ""].trained < rows.loc["m2pt", ""].trained == rows.loc["aligned", ""].trained
    write_report(analysis, tmp_path, "", ("md", "png"), ("cost",))
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Gain at equal cost: profile tiny, setting pretrained" in page
    assert page.index("| lora |") < page.rindex("| aligned |")
    assert list(tmp_path.glob("figures/equal-cost-*.png"))


def test_cosines_before_and_after_alignment_are_those_that_runs_noted(made, tmp_path):
    analysis, signed = analysis_of(made)
    records = {record.identity: record for record in gather([Store(made)], OWN, ARMS)[0]}
    assert {records[identity].spec.arm for identity in signed} == {"m2pt", "aligned", "aligned-noise"}
    frame = analysis.directions
    (pretrained,) = (number for number, section in enumerate(analysis.collection.sections) if section.setting == "pretrained")
    for arm, variant in (("m2pt", ""), ("aligned", ""), ("aligned", "by=activations")):
        kept = [one for identity, one in signed.items() if (spec := records[identity].spec).setting == "pretrained"
                and (spec.arm, spec.variant) == (arm, variant)]
        assert len(kept) == 2
        ours = frame[(frame["section"] == pretrained) & (frame["arm"] == arm) & (frame["variant"] == variant)]
        ours = ours.set_index("layer")
        place = kept[0].layers.index("blocks.1.mlp.fc1")
        for column, epoch, series in (("start", 0, "gradient_cosine"), ("change", 2, "change_cosine")):
            values = [one.rows[epoch][series] for one in kept]
            assert ours.loc["blocks.1.mlp.fc1", column] == pytest.approx(math.hypot(*(row[place] for row in values)) / 2**0.5)
            every = [value for row in values for value in row]
            assert ours.loc[WHOLE, column] == pytest.approx(math.hypot(*every) / len(every)**0.5)
    assert analysis.predicted["predicted"].isna().all(), "no doses were run"
    write_report(analysis, tmp_path, "", ("md", "png"), ("mechanism",))
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    for line in ("Does order predict the gain?", "Where A points, by layer"):
        assert line in page
    (layers,) = tmp_path.glob("tables/directions-layers-pretrained-*.md")
    assert f"tables/{layers.name}" in page
    assert "| emoji (stands in for ImageNet) | 2.mlp.fc2 |" in layers.read_text(encoding="utf-8")
    assert list(tmp_path.glob("figures/directions-*.png"))


def test_without_such_runs_the_report_says_so(made, tmp_path):
    analysis, _ = analysis_of(made)
    none = replace(analysis, directions=analysis.directions[analysis.directions["arm"] == "m2pt"])
    write_report(none, tmp_path / "a", "", ("md",), ("mechanism",))
    page = " ".join((tmp_path / "a" / "report.md").read_text(encoding="utf-8").split())
    others = ", ".join(arms_beside(RIVALS)[1:])
    assert "aligned" in others
    assert f"No section has runs of m2pt beside runs of {others} that noted what their pathways are worth" in page
    asked = analysis_of(made, beside={})[0]
    write_report(asked, tmp_path / "b", "", ("md",), ("mechanism",))
    assert "put in order" not in (tmp_path / "b" / "report.md").read_text(encoding="utf-8"), "nothing of the kind is asked"


def test_a_report_of_other_runs_says_nothing_of_units_in_order(tmp_path):
    """Every report said that it had no such runs"""
    records = [make_record(make_spec("imagenet", arm, name, seed), 40.0 + seed) for seed in range(2)
               for arm, name in (("finetune", None), ("m2pt", "audio"))]
    document = Document(tmp_path, ())
    add_directions(document, analyse(records, [], tasks=TASKS, study=STUDY))
    assert document.blocks == []


@pytest.mark.parametrize(("cosine", "gain"), [(0.0, -1.0), (0.01, -1.0), (0.055, 2.0), (0.1, 5.0), (0.2, 7.5), (0.9, 10.0)])
def test_a_gain_is_predicted_straight_between_two_doses(cosine, gain):
    assert predicted([(0.3, 10.0), (0.01, -1.0), (0.1, 5.0)], cosine) == pytest.approx(gain)


def test_nothing_is_predicted_of_one_dose_or_of_no_cosine():
    assert predicted([(0.3, 10.0), (0.3, 8.0)], 0.3) is None
    assert predicted([(0.3, 10.0), (0.1, 8.0)], None) is None


def test_doses_and_noise_of_their_size_predict_by_their_own_cosines_the_gain_of_what_is_aligned():
    gains = {"finetune": 0.0, "solution": 10.0, "solution-noise": -2.0, "m2pt": 0.5, "aligned": 4.5, "self-copy": 90.0}
    cosines = {"solution": 0.5, "solution-noise": 0.1, "m2pt": 0.1, "aligned": 0.3, "self-copy": 0.2}
    assert "self-copy" in RIVALS.rivals["solution"], "which is no dose, and no noise of one"
    records, signed = [], {}
    for seed in range(3):
        for arm, gain in gains.items():
            auxiliary = "audio" if arm in ("m2pt", "aligned") else None
            options = {"rho": 1.0} if arm == "solution" else {}
            record = make_record(make_spec(arm=arm, auxiliary=auxiliary, seed=seed, options=options), 40.0 + seed + gain)
            records.append(record)
            if arm in cosines:
                row = {name: [(-1) ** seed * cosines[arm]] for name in SERIES}
                signed[record.identity] = Signed(["blocks.0.attn.qkv"], {0: row, 12: row})
    assert arms_beside(RIVALS)[0] == "m2pt"
    found = analyse(records, [], tasks=TASKS, study=RIVALS, extras=Extras(signed=signed)).predicted.set_index("arm")
    assert found["predicted"].to_dict() == {"m2pt": pytest.approx(-2.0), "aligned": pytest.approx(4.0)}
    assert found["difference"].to_dict() == {"m2pt": pytest.approx(0.5), "aligned": pytest.approx(4.5)}
    assert found["start"].to_dict() == {"m2pt": pytest.approx(0.1), "aligned": pytest.approx(0.3)}
    falling = {**TASKS, "imagenet": replace(TASKS["imagenet"], metrics=(Metric("top-1", higher_is_better=False),))}
    table = prediction_table(analyse(records, [], tasks=falling, study=RIVALS, extras=Extras(signed=signed)), 0)
    shown = {row[1][0].text.partition("(")[0]: [cell[0].text for cell in row[-2:]] for row in table.rows}
    assert shown["aligned"][0] == f"{MINUS}4.00", "of an error rate more is no gain"
    assert shown["aligned"][1].startswith(f"{MINUS}4.50")
    assert shown["m2pt"][0] == "+2.00"
