"""What is said of the next claims is what their records say: results/kin, with the doses of results/known beside them."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from baselines import ARMS
from benchmark.cli.context import load_study
from benchmark.evidence.analysis import Analysis, Extras, analyse
from benchmark.evidence.directions import WHOLE, kept_signed
from benchmark.evidence.frames import first_row, rows_of
from benchmark.evidence.inputs import gather
from benchmark.evidence.rule import BASELINE, HELPS
from benchmark.records.store import Store
from benchmark.report.markup import show_points
from tasks import TASKS

ROOT = Path(__file__).parents[1]
KIN = ROOT / "results" / "kin" / "README.md"
CALLED = {"imagenet": "images", "shapenet": "parts", "kinetics": "video", "audioset": "sounds"}
TRAINED, FROZEN, SCRATCH = "pretrained", "fix", "scratch"
CLAIMS = {TRAINED: ("aligned", "low-rank"), FROZEN: ("aligned", "low-rank", "task-vector"),
          SCRATCH: ("fpt", "frozen-block", "distil")}


@functools.cache
def analysis() -> Analysis:
    study = load_study(ARMS)
    stores = [Store(ROOT / "results" / name) for name in ("kin", "known")]
    records, problems, infos, _, by_store, _ = gather(stores, TASKS, ARMS)
    return analyse(records, problems, tasks=infos, study=study, extras=Extras(signed=kept_signed(by_store, study)))


def in_words(page: Path) -> str:
    """On one line, brackets as a reader sees them"""
    return re.sub(r"\\([\[\]_])", r"\1", " ".join(page.read_text(encoding="utf-8").split()))


def number(setting: str) -> int:
    (found,) = (place for place, section in enumerate(analysis().collection.sections) if section.setting == setting)
    return found


def by_target(rows: Any, setting: str, arm: str, variant: str = "", **more: str) -> Mapping[str, Any]:
    """Rows of one arm as it is tested at the end, by target, of its main metric"""
    metrics = {task: info.metrics[0].name for task, info in analysis().collection.tasks.items()}
    found = {row.task: row for row in rows_of(rows) if (row.section, row.arm, row.variant) == (number(setting), arm, variant)
             and getattr(row, "select", "last") == "last" and getattr(row, "metric", metrics[row.task]) == metrics[row.task]
             and all(getattr(row, name) == value for name, value in more.items())}
    assert list(found) == list(CALLED), "four targets, in their order"
    return found


def interval(row: Any) -> str:
    return f"{show_points(row.difference)} [{show_points(row.low)}, {show_points(row.high)}]"


def between(values: list[float]) -> str:
    return f"{show_points(min(values))} to {show_points(max(values))}"


def test_no_claim_helps_and_how_many_comparisons_say_so():
    verdicts = analysis().verdicts
    judged = [row for row in rows_of(verdicts) if row.arm in CLAIMS[analysis().collection.sections[row.section].setting]]
    as_declared = [row for row in judged if not row.tuned]
    assert {row.verdict for row in as_declared} == {"no evidence"}
    assert HELPS not in {row.verdict for row in judged}
    assert f"in none of {len(as_declared)} comparisons" in in_words(KIN)
    assert f"in none of {len(as_declared)} comparisons" in in_words(ROOT / "README.md")
    assert {row.n for setting, arms in CLAIMS.items() for arm in arms
            for row in by_target(analysis().effects, setting, arm).values()} == {3}


def test_where_a_gain_could_have_been_seen_is_where_positive_controls_are_found():
    text, verdicts = in_words(KIN), analysis().verdicts
    found = {(setting, arm): [CALLED[task] for task, row in by_target(verdicts, setting, f"{arm}-known").items()
                              if row.verdict == HELPS]
             for setting in (TRAINED, FROZEN) for arm in CLAIMS[setting]}
    assert {place: targets for place, targets in found.items() if targets} == {
        (FROZEN, "aligned"): ["video", "sounds"], (FROZEN, "low-rank"): ["parts", "video", "sounds"],
        (FROZEN, "task-vector"): ["parts", "video", "sounds"]}
    own = {(arm, row.verdict) for arm in CLAIMS[SCRATCH] for row in by_target(verdicts, SCRATCH, f"{arm}-own").values()}
    assert own == {(arm, "no evidence") for arm in CLAIMS[SCRATCH]}
    gains = {arm: by_target(analysis().effects, FROZEN, f"{arm}-known") for arm in CLAIMS[FROZEN]}
    for arm, targets in (("low-rank", ("shapenet", "kinetics", "audioset")),
                         ("task-vector", ("shapenet", "kinetics", "audioset")), ("aligned", ("kinetics", "audioset"))):
        said = [interval(gains[arm][task]) for task in targets]
        assert f"{', '.join(said[:-1])} and {said[-1]}" in text, arm
    assert ("On images the three are ahead of the plain model by {}, {} and {}".format(
        *(interval(gains[arm]["imagenet"]) for arm in ("low-rank", "task-vector", "aligned")))) in text
    assert f"that of `aligned` on parts by {interval(gains['aligned']['shapenet'])}" in text
    variants = {"aligned": ("", "by=activations"), "fpt": ("", "tokenizer=own")}
    ends = {setting: [row.found_beyond_all_from for arm in arms for variant in variants.get(arm, ("",))
                      for row in by_target(verdicts, setting, f"{arm}-{name}", variant).values()]
            for setting, arms, name in ((TRAINED, CLAIMS[TRAINED], "known"), (SCRATCH, CLAIMS[SCRATCH], "own"))}
    assert ("three seeds would have found them from {:.1f} to {:.1f} points with trained blocks and from {:.1f} to {:.1f} from "
            "scratch").format(*(edge(ends[setting]) for setting in (TRAINED, SCRATCH) for edge in (min, max))) in text
    teacher = by_target(analysis().effects, SCRATCH, "distil-own")["imagenet"]
    assert f"(that of `distil` on images by {interval(teacher)})" in text


def test_what_is_said_of_order_is_what_the_runs_noted():
    text, contrasts = in_words(KIN), analysis().contrasts
    for setting, blocks in ((TRAINED, "is with trained blocks"), (FROZEN, "with frozen ones")):
        rows = by_target(contrasts, setting, "aligned", reference="m2pt")
        assert f"{blocks} " + ", ".join(f"{interval(row)} ({CALLED[task]})" for task, row in rows.items()) in text
        assert all(row.low < 0 < row.high for row in rows.values())
    known, solution = (by_target(analysis().effects, FROZEN, arm) for arm in ("aligned-known", "solution"))
    same = [task for task in CALLED if known[task].difference == pytest.approx(solution[task].difference, abs=0.005)]
    assert same == ["imagenet", "kinetics", "audioset"]
    assert (f"on parts {show_points(known['shapenet'].difference)} of {show_points(solution['shapenet'].difference)}") in text
    cosines = {(setting, arm): [row.start for row in by_target(analysis().predicted, setting, arm).values()]
               for setting in (TRAINED, FROZEN) for arm in ("m2pt", "aligned", "aligned-noise")}
    for setting, line in ((TRAINED, "with trained blocks"), (FROZEN, "with frozen ones")):
        said = [f"{min(cosines[setting, arm]):.4f} to {max(cosines[setting, arm]):.4f}"
                for arm in ("m2pt", "aligned", "aligned-noise")]
        assert "{} {} before, {} after, and of noise put in order alike {}".format(line, *said) in text
    whole = analysis().directions[analysis().directions["layer"] == WHOLE]
    starts = {variant: [first_row(whole, {"section": number(FROZEN), "task": task, "arm": "solution", "variant": variant}).start
                        for task in CALLED] for variant in ("", "rho=0.3")}
    assert "the solution itself has {:.4f} to {:.4f}, and diluted to 0.3 it has {:.4f} to {:.4f}".format(
        *(edge(values) for values in starts.values() for edge in (min, max))) in text


def test_what_doses_predict_of_order_and_what_came_of_it():
    text = in_words(KIN)
    for setting, line in ((TRAINED, "With trained blocks"), (FROZEN, "With frozen ones")):
        rows = by_target(analysis().predicted, setting, "aligned")
        predicted, measured = ([getattr(row, name) for row in rows.values()] for name in ("predicted", "difference"))
        assert f"{line} they predict {between(predicted)} of `aligned`, and {between(measured)} came" in text
    far = by_target(analysis().predicted, FROZEN, "aligned")["audioset"]
    assert far.high < far.predicted
    assert f"on sounds {show_points(far.predicted)} was predicted and {interval(far)} came" in text
    method = by_target(analysis().predicted, FROZEN, "m2pt")["audioset"]
    assert method.high < method.predicted
    assert f"of the plain pathway {show_points(method.predicted)} and {interval(method)}" in text


def test_what_is_said_of_adapters_is_what_they_gained_and_trained():
    text, equal = in_words(KIN), analysis().equal
    adapters, pathways = (by_target(equal, FROZEN, arm) for arm in ("lora", "m2pt"))
    assert ({row.trained for row in adapters.values()}, {row.trained for row in pathways.values()}) == ({27648}, {12})
    said = [f"{interval(row)} on {CALLED[task]}" for task, row in adapters.items()]
    assert f"adapters of 27,648 trained numbers gain {', '.join(said[:-1])} and {said[-1]}" in text
    assert f"pathways, of 12, gain {between([row.difference for row in pathways.values()])}" in text
    images = adapters["imagenet"], pathways["imagenet"]
    assert "(on images {:.2f} and {:.2f} times the plain model's)".format(*(row.time_ratio for row in images)) in text
    trained = [[row.difference for row in by_target(equal, TRAINED, arm).values()] for arm in ("lora", "m2pt")]
    assert "With trained blocks they gain {} and {}".format(*map(between, trained)) in text
    gains = [row.difference for row in adapters.values()]
    assert (f"gain {min(gains):.1f} to {max(gains):.1f} points with frozen blocks, for steps as long"
            ) in in_words(ROOT / "README.md")
    ahead = [row.task for arm in ("lora", "m2pt") for row in by_target(equal, TRAINED, arm).values() if row.low > 0]
    assert not ahead, "of which none is shown"


def test_what_is_said_of_claims_from_scratch_is_what_they_gained_over_the_plain_model_and_their_controls():
    text, effects, contrasts = in_words(KIN), analysis().effects, analysis().contrasts
    plain = {arm: by_target(effects, SCRATCH, arm) for arm in CLAIMS[SCRATCH]}
    behind = {arm: [CALLED[task] for task, row in rows.items() if row.high < 0] for arm, rows in plain.items()}
    assert behind == {"fpt": ["images", "parts", "video"], "frozen-block": ["images", "video"], "distil": []}
    for arm, targets in (("fpt", ("imagenet", "shapenet", "kinetics")), ("frozen-block", ("imagenet", "kinetics")),
                         ("distil", ("imagenet", "audioset"))):
        for task in targets:
            assert f"{interval(plain[arm][task])} on {CALLED[task]}" in text, (arm, task)
    layers = by_target(effects, SCRATCH, "frozen-block-none")
    assert "the two linear layers alone cost {} and {}".format(
        *(interval(layers[task]) for task in ("imagenet", "kinetics"))) in text
    teacher = by_target(contrasts, SCRATCH, "distil", reference="distil-random")
    for task in ("imagenet", "audioset"):
        assert f"{interval(teacher[task])} on {CALLED[task]}" in text
    ahead = {(arm, reference): [CALLED[task] for task, row in
                                by_target(contrasts, SCRATCH, arm, reference=reference).items() if row.low > 0]
             for arm, reference in (("fpt", "fpt-random"), ("fpt", "fpt-shuffled"), ("frozen-block", "frozen-block-random"),
                                    ("frozen-block", "frozen-block-none"), ("distil", "distil-random"), ("distil", BASELINE))}
    assert {place: targets for place, targets in ahead.items() if targets} == {
        ("frozen-block", "frozen-block-random"): ["sounds"], ("distil", "distil-random"): ["parts"]}
    block = by_target(contrasts, SCRATCH, "frozen-block", reference="frozen-block-random")["audioset"]
    assert f"a block of images on sounds is ahead of an untrained one ({interval(block)})" in text
    assert f"a teacher of video on parts is ahead of an untrained one ({interval(teacher['shapenet'])})" in text
    tokenizer = by_target(contrasts, SCRATCH, "fpt-own", "tokenizer=own", reference="fpt-random")["imagenet"]
    fresh = by_target(contrasts, SCRATCH, "fpt-own", reference="fpt-random")["imagenet"]
    assert (f"on images by {interval(tokenizer)} with the tokenizer that they grew up with, and by {interval(fresh)} with a "
            "fresh one") in text
