"""What is said of the next claims is what their records say: results/kin, with the doses of results/known beside them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from readme import README, ROOT, in_words, interval

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

KIN = ROOT / "results" / "kin" / "README.md"
CALLED = {"imagenet": "images", "shapenet": "parts", "kinetics": "video", "audioset": "sounds"}
TRAINED, FROZEN, SCRATCH = "pretrained", "fix", "scratch"
CLAIMS = {TRAINED: ("aligned", "low-rank"), FROZEN: ("aligned", "low-rank", "task-vector"),
          SCRATCH: ("fpt", "frozen-block", "distil")}
VARIANTS = {"aligned": ("", "by=activations"), "task-vector": ("", "merge_scale=0.3", "merge_scale=0.1"),
            "fpt-own": ("", "tokenizer=own")}


@functools.cache
def analysis() -> Analysis:
    study = load_study(ARMS)
    stores = [Store(ROOT / "results" / name) for name in ("kin", "known")]
    records, problems, infos, _, by_store, _ = gather(stores, TASKS, ARMS)
    return analyse(records, problems, tasks=infos, study=study, extras=Extras(signed=kept_signed(by_store, study)))


def number(setting: str) -> int:
    (found,) = (place for place, section in enumerate(analysis().collection.sections) if section.setting == setting)
    return found


def by_target(rows: Any, setting: str, arm: str, variant: str = "", **more: str) -> Mapping[str, Any]:
    """Rows of one arm as it was declared, by target, of its main metric after the last epoch"""
    metrics = {task: info.metrics[0].name for task, info in analysis().collection.tasks.items()}
    wanted = {"section": number(setting), "arm": arm, "variant": variant, "select": "last", "tuned": False, **more}
    ours = [row for row in rows_of(rows) if getattr(row, "metric", metrics[row.task]) == metrics[row.task]
            and all(getattr(row, name, value) == value for name, value in wanted.items())]
    assert [row.task for row in ours] == list(CALLED), "four targets, each once, in their order"
    return {row.task: row for row in ours}


def between(values: list[float]) -> str:
    return f"{show_points(min(values))} to {show_points(max(values))}"


def test_no_claim_helps_and_how_many_comparisons_say_so():
    verdicts = analysis().verdicts
    judged = [row for row in rows_of(verdicts) if row.arm in CLAIMS[analysis().collection.sections[row.section].setting]]
    as_declared = [row for row in judged if not row.tuned]
    assert {row.verdict for row in as_declared} == {"no evidence"}
    chosen = [(analysis().collection.sections[row.section].setting, row.arm, row.verdict) for row in judged if row.tuned]
    assert {place: chosen.count(place) for place in chosen} == {
        (TRAINED, "aligned", "controls missing"): 4, **{(FROZEN, arm, "no evidence"): 4 for arm in ("aligned", "task-vector")}}
    assert "nor in any of 8 more with frozen blocks, of `aligned` and `task-vector`" in in_words(KIN)
    assert "With trained blocks 4 such comparisons of `aligned` are not judged" in in_words(KIN)
    assert f"in none of {len(as_declared)} comparisons" in in_words(KIN)
    assert f"in none of {len(as_declared)} comparisons" in in_words(README)
    assert {row.n for setting, arms in CLAIMS.items() for arm in arms
            for row in by_target(analysis().effects, setting, arm).values()} == {3}


def test_where_a_gain_could_have_been_seen_is_where_positive_controls_are_found():
    text, readme, verdicts = in_words(KIN), in_words(README), analysis().verdicts
    cells = [(setting, arm, variant) for setting in (TRAINED, FROZEN) for arm in CLAIMS[setting]
             for variant in VARIANTS.get(arm, ("",))]
    controls = {cell: by_target(verdicts, cell[0], f"{cell[1]}-known", cell[2]) for cell in cells}
    seen = {cell: [task for task, row in rows.items() if row.verdict == HELPS] for cell, rows in controls.items()}
    three, two = ["shapenet", "kinetics", "audioset"], ["kinetics", "audioset"]
    assert {cell: tasks for cell, tasks in seen.items() if tasks} == {
        (FROZEN, "low-rank", ""): three, (FROZEN, "task-vector", ""): three, (FROZEN, "aligned", ""): two,
        (FROZEN, "task-vector", "merge_scale=0.3"): ["shapenet"], (FROZEN, "aligned", "by=activations"): two}
    count = sum(map(len, seen.values()))
    assert f"So in {count} of the 48 comparisons" in text
    assert f"In {count} of them, all with frozen blocks" in readme
    own = [row for arm in CLAIMS[SCRATCH] for variant in VARIANTS.get(f"{arm}-own", ("",))
           for row in by_target(verdicts, SCRATCH, f"{arm}-own", variant).values()]
    assert {row.verdict for row in own} == {"no evidence"}

    bounds = {(by_target(verdicts, FROZEN, arm, variant)[task].excluded_above, arm, task)
              for (_, arm, variant), tasks in seen.items() for task in tasks}
    assert "above {} (`{}` on {}) to {} points (`{}` on {})".format(*(
        said for bound, arm, task in (min(bounds), max(bounds)) for said in (show_points(bound), arm, CALLED[task]))) in text
    gains = {cell: by_target(analysis().effects, cell[0], f"{cell[1]}-known", cell[2]) for cell in cells}
    found = [gains[cell][task].difference for cell, tasks in seen.items() for task in tasks]
    assert f"which gains {min(found):.0f} to {max(found):.0f} points" in readme
    for arm, tasks in (("low-rank", three), ("task-vector", three), ("aligned", two)):
        said = [interval(gains[FROZEN, arm, ""][task]) for task in tasks]
        assert f"({', '.join(said[:-1])} and {said[-1]}" in text, arm
    assert "On images the three are ahead of the plain model by {}, {} and {}".format(
        *(interval(gains[FROZEN, arm, ""]["imagenet"]) for arm in ("low-rank", "task-vector", "aligned"))) in text
    assert f"that of `aligned` on parts by {interval(gains[FROZEN, 'aligned', '']['shapenet'])}" in text
    teacher = by_target(analysis().effects, SCRATCH, "distil-own")["imagenet"]
    assert f"(that of `distil` on images by {interval(teacher)})" in text
    ends = ([row.found_beyond_all_from for cell in cells if cell[0] == TRAINED for row in controls[cell].values()],
            [row.found_beyond_all_from for row in own])
    assert ("four times in five, from {:.1f} to {:.1f} points with trained blocks and from {:.1f} to {:.1f} from "
            "scratch").format(*(edge(values) for values in ends for edge in (min, max))) in text


def test_what_is_said_of_order_is_what_the_runs_noted():
    text, contrasts = in_words(KIN), analysis().contrasts
    for setting, blocks in ((TRAINED, "is with trained blocks"), (FROZEN, "with frozen ones")):
        rows = by_target(contrasts, setting, "aligned", reference="m2pt")
        assert f"{blocks} " + ", ".join(f"{interval(row)} ({CALLED[task]})" for task, row in rows.items()) in text
        assert all(row.low < 0 < row.high for row in rows.values())
    ahead = {arm: by_target(analysis().effects, FROZEN, arm, "by=activations")["shapenet"]
             for arm in ("aligned", "aligned-noise", "aligned-permuted")}
    assert ("it is ahead of the plain model by {}, and so are noise, by {}, and the auxiliary permuted, by {},".format(
        *map(interval, ahead.values()))) in text
    assert all(row.low > 0 for row in ahead.values())
    pairs = analysis().collection.pairs
    runs = {arm: pairs[(pairs["section"] == number(FROZEN)) & (pairs["arm"] == arm) & (pairs["variant"] == "")].set_index(
        ["task", "metric", "seed"])["treated_last"] for arm in ("aligned-known", "solution")}
    equal = runs["aligned-known"].eq(runs["solution"].reindex(runs["aligned-known"].index)).groupby(["task", "seed"]).all()
    assert (len(equal), list(equal[~equal].index)) == (12, [("shapenet", 0)])
    assert f"they are found again in {equal.sum()} of 12 runs with frozen blocks" in text
    known, solution = (by_target(analysis().effects, FROZEN, arm)["shapenet"] for arm in ("aligned-known", "solution"))
    assert f"parts gain {show_points(known.difference)} in place of {show_points(solution.difference)}" in text
    cosines = {(setting, arm): [row.start for row in by_target(analysis().predicted, setting, arm).values()]
               for setting in (TRAINED, FROZEN) for arm in ("m2pt", "aligned", "aligned-noise")}
    for setting, line in ((TRAINED, "with trained blocks"), (FROZEN, "with frozen ones")):
        said = [f"{min(cosines[setting, arm]):.4f} to {max(cosines[setting, arm]):.4f}"
                for arm in ("m2pt", "aligned", "aligned-noise")]
        assert "{} {} before, {} after, and of noise put in order alike {}".format(line, *said) in text
    sounds = [by_target(analysis().predicted, FROZEN, arm)["audioset"].start for arm in ("aligned", "aligned-noise")]
    beyond = by_target(contrasts, FROZEN, "aligned", reference="aligned-noise")["audioset"]
    assert "on sounds it is more ({:.4f} and {:.4f} with frozen blocks), without a gain beyond noise ({})".format(
        *sounds, interval(beyond)) in text
    whole = analysis().directions[analysis().directions["layer"] == WHOLE]
    starts = {variant: [first_row(whole, {"section": number(FROZEN), "task": task, "arm": "solution", "variant": variant}).start
                        for task in CALLED] for variant in ("", "rho=0.3")}
    assert "the solution itself has a cosine of {:.4f} to {:.4f} with it, and diluted to 0.3 of {:.4f} to {:.4f}".format(
        *(edge(values) for values in starts.values() for edge in (min, max))) in text


def test_what_doses_predict_of_order_and_what_came_of_it():
    text = in_words(KIN)
    trained, frozen = (by_target(analysis().predicted, setting, "aligned") for setting in (TRAINED, FROZEN))
    assert f"With trained blocks doses predict hardly anything ({between([row.predicted for row in trained.values()])})" in text
    others = [row for task, row in frozen.items() if task != "audioset"]
    assert all(row.low < row.predicted < row.high for row in others)
    assert (f"with frozen blocks {between([row.predicted for row in others])} was predicted of `aligned`, within the intervals "
            "of what came") in text
    far = by_target(analysis().predicted, FROZEN, "aligned")["audioset"]
    assert far.high < far.predicted
    assert f"{show_points(far.predicted)} was predicted and {interval(far)} came" in text
    method = by_target(analysis().predicted, FROZEN, "m2pt")["audioset"]
    assert method.high < method.predicted
    assert f"of the plain pathway {show_points(method.predicted)} and {interval(method)}" in text


def test_what_is_said_of_adapters_is_what_they_gained_and_trained():
    text, equal = in_words(KIN), analysis().equal
    adapters, pathways = (by_target(equal, FROZEN, arm) for arm in ("lora", "m2pt"))
    assert ({row.trained for row in adapters.values()}, {row.trained for row in pathways.values()}) == ({27648}, {12})
    said = [f"{interval(row)} on {CALLED[task]}" for task, row in adapters.items()]
    assert f"adapters gain {', '.join(said[:-1])} and {said[-1]}" in text
    assert f"where pathways gain {between([row.difference for row in pathways.values()])}" in text
    assert "train 27,648 numbers where pathways train 12" in text
    behind = [interval(row) for row in by_target(analysis().contrasts, FROZEN, "low-rank", reference="lora").values()]
    assert f"Pathways of a low rank differ from adapters by {', '.join(behind[:-1])} and {behind[-1]}" in text
    images = adapters["imagenet"], pathways["imagenet"]
    assert "(on images {:.2f} and {:.2f} times the plain model's)".format(*(row.time_ratio for row in images)) in text
    trained = [[row.difference for row in by_target(equal, TRAINED, arm).values()] for arm in ("lora", "m2pt")]
    assert "With trained blocks they gain {} and {}".format(*map(between, trained)) in text
    gains = [row.difference for row in adapters.values()]
    assert (f"gain {min(gains):.1f} to {max(gains):.1f} points with frozen blocks, for steps about as long"
            ) in in_words(README)
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
    assert "The two linear layers alone differ from it by {} and {}".format(
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
    assert f"A block of images on sounds is ahead of an untrained one ({interval(block)})" in text
    assert f"a teacher of video on parts is ahead of an untrained one ({interval(teacher['shapenet'])})" in text
    tokenizer = by_target(contrasts, SCRATCH, "fpt-own", "tokenizer=own", reference="fpt-random")["imagenet"]
    fresh = by_target(contrasts, SCRATCH, "fpt-own", reference="fpt-random")
    assert f"by {interval(fresh['imagenet'])} on images and {interval(fresh['audioset'])} on sounds" in text
    assert f"together with the tokenizer that they grew up with, by {interval(tokenizer)}" in text
    assert [task for task, row in fresh.items() if row.low > 0] == ["audioset"]
