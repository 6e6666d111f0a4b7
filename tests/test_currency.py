"""Which results count as today's: the one judge, what certificates carry, and what a replay compares."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from safetensors.torch import save_file
from synthetic import CODE, OTHER_CODE, TASKS, make_record, make_spec, standings_of

from baselines import ARMS, STUDY
from benchmark.cli.certifying import sides
from benchmark.evidence.collect import collect
from benchmark.evidence.inputs import standings_of_headers
from benchmark.evidence.pairing import Run, pair_runs
from benchmark.model.encoder import build_blocks
from benchmark.plan.presets import Matrix, plan_matrix
from benchmark.provenance.certificates import (
    Certificate,
    Certificates,
    Replay,
    Side,
    class_of,
    load_certificates,
    read_certificate,
)
from benchmark.provenance.currency import Judge, Standing, carried_note
from benchmark.records.headers import Header
from benchmark.records.record import Environment, Record
from benchmark.records.store import Store
from benchmark.runner.certify import (
    SHORT,
    Tree,
    certificate_text,
    choose,
    compare,
    files_of,
    group_text,
    replay,
    replayable,
    representatives,
    shortened,
    write_certificate,
)
from benchmark.spec.recipes import PretrainRecipe
from benchmark.spec.weightfile import NAME, BlockShape, Origin
from tasks import TASKS as REAL_TASKS

THIRD_CODE = {"engine": "0123" * 4}
ROOT = Path(__file__).parents[1]


def replay_of(record, before, after, extent="short", difference=None) -> Replay:
    group = class_of(record.spec.form, record.environment.device, record.environment.lockstep or 1)
    return Replay.model_validate({"class": group, "run": record.spec.cell, "extent": extent, "before": before,
                                  "after": after, "values": 9, "weights": 2, "difference": difference})


def certificate(*replays: Replay, places: Sequence[Environment] = ()) -> Certificate:
    side = Side(commit="0" * 40, torch="2.11.0", packages={}, python="3.11.9")
    sides = [side.model_copy(update={"torch": place.torch, "packages": place.packages}) for place in places] or [side] * 2
    return Certificate(made="2026-01-01T00:00:00+00:00", command="benchmark certify", platform="Linux",
                       processor="Example CPU", device="cpu", threads=1, before=sides[0], after=sides[1],
                       replays=list(replays))


def judge_with(**named: Certificate) -> Judge:
    return Judge(Certificates(named))


def standing(judge: Judge, record, today=CODE, data=None) -> Standing:
    return judge.of_record(record, today, record.spec.data if data is None else data)


def test_a_record_of_todays_code_is_up_to_date_and_another_is_not():
    judge, spec = judge_with(), make_spec()
    assert standing(judge, make_record(spec)).state == "up to date"
    moved = standing(judge, make_record(spec, code={**CODE, "arm": "1" * 16}), {**CODE, "arm": "2" * 16})
    assert (moved.state, moved.detail, moved.holds) == ("other code", "arm", False)
    assert standing(judge, make_record(spec), data={"imagenet data": "0" * 64}).state == "other data"
    assert standing(judge, make_record(spec, code={})).state == "other code", "no word of its code is no leave"


def test_what_records_are_compared_with_is_looked_at_once_for_each_kind_of_run():
    looked = []

    class Watched(type(REAL_TASKS["imagenet"])):
        def data_digests(self, profile):
            looked.append(profile)
            return super().data_digests(profile)

    task = Watched()
    data = REAL_TASKS["imagenet"].data_digests("tiny")
    specs = [make_spec(seed=seed, arm=arm, data=data) for arm in ("finetune", "scratch") for seed in range(3)]
    headers = {spec.name: Header.of(make_record(spec)) for spec in specs}
    headers["moved"] = Header.of(make_record(make_spec(seed=9, data={**data, "image_emoji": "0"})))
    found = standings_of_headers(headers, {"imagenet": task}, ARMS, judge_with())
    assert {name: standing.state for name, standing in found.items()} == {
        **{spec.name: "other code" for spec in specs}, "moved": "other data"}
    assert looked == ["tiny", "tiny"]


def test_the_code_of_stacks_counts_for_what_a_stack_trained_alone():
    judge, today = judge_with(), {**CODE, "stack": "5" * 16}
    assert standing(judge, make_record(make_spec()), today).state == "up to date"
    stacked = make_record(make_spec(), environment={"lockstep": 8})
    found = standing(judge, stacked, today)
    assert (found.state, found.detail) == ("other code", "stack")


def test_certificates_carry_step_by_step_their_own_class_alone():
    record = make_record(make_spec(), code=OTHER_CODE)
    first = certificate(replay_of(record, OTHER_CODE, THIRD_CODE, "whole"))
    second = certificate(replay_of(record, THIRD_CODE, CODE))
    assert standing(judge_with(a=first), record).state == "other code"
    found = standing(judge_with(a=first, b=second), record)
    assert (found.state, [step.certificate for step in found.steps]) == ("carried", ["a", "b"])
    assert found.extent == "mixed"
    direct = certificate(replay_of(record, OTHER_CODE, CODE, "whole"))
    assert standing(judge_with(a=first, b=second, c=direct), record).extent == "whole"
    assert standing(judge_with(a=direct), record, {**CODE, "arm": "1" * 16}).state == "other code"
    for other in (make_spec("kinetics"), make_spec(arm="scratch"), make_spec(profile="small")):
        assert standing(judge_with(c=direct), make_record(other, code=OTHER_CODE)).state == "other code"
    many = make_record(make_spec(seed=5), code=OTHER_CODE)
    assert standing(judge_with(c=direct), many).state == "carried", "other seeds are of the class"
    stacked = make_record(make_spec(), code=OTHER_CODE, environment={"lockstep": 8})
    assert standing(judge_with(c=direct), stacked).state == "other code"
    gpu = make_record(make_spec(), code=OTHER_CODE, environment={"device": "NVIDIA H200"})
    assert standing(judge_with(c=direct), gpu).state == "other code"


def test_what_differs_is_not_carried():
    record = make_record(make_spec(), code=OTHER_CODE)
    wrong = certificate(replay_of(record, OTHER_CODE, CODE, difference="weights.result: a before, b after"))
    assert standing(judge_with(a=wrong), record).state == "other code"


@pytest.mark.parametrize("changes", [
    {"recipe": {"shuffle_labels": True}}, {"recipe": {"mixup": 0.8}}, {"recipe": {"ema_decay": 0.999}},
    {"recipe": {"precision": "bf16"}}, {"recipe": {"clip_norm": 1.0}}, {"options": {"join_bias": True}},
])
def test_a_switch_makes_another_class_and_a_number_does_not(changes):
    spec = make_spec("imagenet", "m2pt", "audio")
    recipe = spec.recipe.model_copy(update=changes.get("recipe", {}))
    other = spec.model_copy(update={"recipe": recipe, "options": changes.get("options", spec.options)})
    assert class_of(other.form, "cpu", 1) != class_of(spec.form, "cpu", 1)
    faster = spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"lr": 0.5, "epochs": 99}), "seed": 7})
    assert class_of(faster.form, "cpu", 1) == class_of(spec.form, "cpu", 1)


@pytest.mark.parametrize(("changes", "said"), [
    ({"weights": {"result": "b" * 64}}, "weights.result"), ({"merge_difference": 2e-7}, "merge_difference"),
    ({"parameters": {"training": 1, "merged": 1_800_000}}, "parameters.training"), ({"layers": []}, "layers.0"),
])
def test_a_replay_names_the_first_value_that_differs(changes, said):
    record = make_record(make_spec("imagenet", "m2pt", "audio"), weights={"result": "a" * 64})
    assert compare("class", "short", record, record.model_copy(update={"code": OTHER_CODE})).difference is None
    found = compare("class", "short", record, record.model_copy(update=changes))
    assert found.difference is not None
    assert found.difference.startswith(said)


def test_the_last_bit_of_a_measurement_counts_and_times_do_not():
    record = make_record(make_spec())
    rows = list(record.measurements)
    rows[3] = rows[3].model_copy(update={"value": rows[3].value * (1 + 2**-52)})
    found = compare("class", "short", record, record.model_copy(update={"measurements": rows}))
    assert "measurements." in found.difference
    later = record.model_copy(update={"seconds": {"wall": 1.0}, "started": "x", "command": "y", "resumed": 2})
    assert compare("class", "short", record, later).difference is None


def test_a_certificate_is_written_read_and_named_where_it_is_none(tmp_path):
    record = make_record(make_spec(), code=OTHER_CODE)
    written = certificate(replay_of(record, OTHER_CODE, CODE))
    folder = tmp_path / "certificates"
    paths = [write_certificate(written, folder) for _ in range(2)]
    assert [path.name for path in paths] == ["2026-01-01-0000000-0000000.json", "2026-01-01-0000000-0000000-2.json"]
    assert read_certificate(paths[0]) == written
    assert certificate_text(written) == paths[0].read_text(encoding="utf-8")
    store = Store(tmp_path / "mine")
    assert Judge.beside(store).of_record(record, CODE, record.spec.data).state == "carried"
    paths[0].write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="is no certificate"):
        load_certificates([store.folder])


def test_the_note_counts_what_is_carried_by_which_evidence():
    record = make_record(make_spec(), code=OTHER_CODE)
    judge = judge_with(first=certificate(replay_of(record, OTHER_CODE, CODE, "whole")))
    note = carried_note([standing(judge, record), standing(judge, make_record(make_spec()))])
    assert note.startswith("1 of 2 runs was computed by earlier code and is carried over")
    assert "(1 by replays at their full size, 0 by such and then by short ones, 0 by short ones)" in note
    assert "first" in note
    assert carried_note([standing(judge, make_record(make_spec()))]) == ""


@pytest.mark.parametrize("package", ["timm", "numba", "numpy", "torch"])
def test_runs_under_another_package_are_paired_only_where_a_certificate_shows_them_equal(package):
    def under(version: str, spec, value: float):
        packages = dict.fromkeys(("timm", "numba", "numpy"), "1.0")
        torch = version if package == "torch" else "2.11.0"
        if package != "torch":
            packages[package] = version
        return make_record(spec, value, torch=torch, environment={"packages": packages})

    baseline = under("1.0", make_spec(), 40.0)
    ours = under("1.1", make_spec("imagenet", "m2pt", "audio"), 41.0)
    found = pair_runs([Run(baseline), Run(ours)])
    assert not found.baseline_of
    (remark,) = found.remarks
    assert remark.kind == "Not paired: the baseline ran in another environment"
    assert ("torch 1.1" if package == "torch" else f"{package} 1.1") in remark.detail
    places = [record.environment for record in (baseline, ours)]
    shown = certificate(replay_of(ours, CODE, CODE), replay_of(baseline, CODE, CODE), places=places)
    judge = judge_with(a=shown)
    runs = [Run(record, judge.of_record(record, CODE, None)) for record in (baseline, ours)]
    assert len(pair_runs(runs).baseline_of) == 1


def test_a_report_marks_what_is_of_other_code():
    records = [make_record(make_spec()), make_record(make_spec("imagenet", "m2pt", "audio"))]
    collection = collect(records, tasks=TASKS, standings=standings_of(records, outdated=records[:1]))
    assert [run.stale for run in collection.paired.runs] == [record is records[0] for record in
                                                             (run.record for run in collection.paired.runs)]


CELL = ("-t", "imagenet", "-x", "speech", "--arm", "finetune,m2pt", "--setting", "pretrained", "--start",
        "speech=speech.safetensors", "--results", "results/own")
CERTIFY = ("certify", "--results", "results/own", "--start", "speech=speech.safetensors")


def test_a_run_that_starts_from_a_file_is_replayed_with_that_file_alone(tmp_path):
    (path := tmp_path / "speech.safetensors").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    plain = make_record(make_spec())
    joined = make_record(make_spec("imagenet", "m2pt", "speech", starts={"target": "0" * 12, "auxiliary": digest[:12]}),
                         weights={"auxiliary": digest, "target": "1" * 64})
    own = make_record(make_spec(starts={"target": digest[:12]}), weights={"target": digest})
    grouped = {"plain": [plain], "joined": [joined]}
    assert files_of(plain, {"speech": path}) == {}
    assert files_of(joined, {"speech": path, "image": path}) == {"speech": path}
    assert files_of(own, {"speech": path, "image": path}) == {"image": path}
    said: list[str] = []
    assert replayable(grouped, {"speech": path}, said.append) == grouped
    assert replayable(grouped, {}, said.append) == {"plain": [plain]}
    assert said == [f"not compared: joined: it starts from a file with SHA-256 {digest}; give that by --start speech=FILE"]
    with pytest.raises(ValueError, match=r"--start audio=\S+: none of these records starts from this file"):
        replayable(grouped, {"audio": path}, said.append)
    path.with_name("other").write_bytes(b"others")
    with pytest.raises(ValueError, match="none of these records starts from this file"):
        replayable(grouped, {"speech": path.with_name("other")}, said.append)


def test_a_pretraining_that_ends_early_is_replayed_for_that_share_of_the_short_schedule():
    maturity = STUDY.matrices["maturity"]
    brief = [f"{scope}.{name}={value}" for scope in ("recipe", "pretrain") for name, value in SHORT.items()]
    asked = maturity.model_copy(update={"limited": True, "quick": tuple(brief)})
    recorded, replayed = (plan_matrix(matrix, REAL_TASKS, ARMS, "tiny", [0]).specs for matrix in (maturity, asked))
    assert {spec.recipe.stop_epoch for spec in recorded if spec.kind == "pretrain"} == {None, 2, 12, 22, 132}
    assert {shortened(spec, REAL_TASKS).asked for spec in recorded} == {spec.asked for spec in replayed}


def test_a_run_of_another_schedule_than_its_profiles_is_replayed_short_too():
    """What a group sets comes after what all groups are short by."""
    brief = [f"{scope}.{name}={value}" for scope in ("recipe", "pretrain") for name, value in SHORT.items()]
    asked = Matrix(name="own", seeds="0", groups=({"arms": ["scratch"], "settings": ["scratch"], "targets": ["imagenet"],
                                                   "set": ["recipe.epochs=16", "recipe.warmup_epochs=3", "recipe.lr=0.0003"]},))
    (recorded,) = plan_matrix(asked, REAL_TASKS, ARMS, "tiny", [0]).specs
    expected = shortened(recorded, REAL_TASKS)
    group = group_text(expected, REAL_TASKS, ARMS)
    replays = Matrix(name="replays", seeds="0", groups=(group,), limited=True, quick=tuple(brief))
    (replayed,) = plan_matrix(replays, REAL_TASKS, ARMS, "tiny", [0]).specs
    assert (replayed.recipe.epochs, replayed.recipe.lr) == (2, 0.0003)
    assert replayed.asked == expected.asked


def test_of_each_class_that_run_is_replayed_which_has_its_pretraining_computed():
    def started(name: str, seed: int, variant: str = "") -> Record:
        return make_record(make_spec("imagenet", "m2pt", "audio", seed, starts={"auxiliary": name}, variant=variant))

    whole, early = (make_record(make_spec(kind="pretrain", arm=None, setting=None, recipe=PretrainRecipe(
        epochs=30, batch_size=32, lr=1e-3, stop_epoch=stop))) for stop in (None, 2))
    plain, others = started(whole.run_id, 0), [started(early.run_id, seed, "maturity=0.1") for seed in (0, 1)]
    noise = make_record(make_spec("imagenet", "random-norm", "audio", starts={"auxiliary": whole.run_id}))
    grouped = {"m2pt": [plain, *others], "noise": [noise], "pretrain": [whole], "pretrain early": [early]}
    assert representatives(grouped) == {"m2pt": others[0], "noise": noise, "pretrain": whole, "pretrain early": early}
    assert representatives({**grouped, "m2pt": [plain]})["m2pt"] is plain


def test_both_sides_find_what_is_named_from_here(tmp_path, monkeypatch):
    """They run in folders of their own, and read no filter banks that other code has kept."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("M2PT_DATA", raising=False)
    monkeypatch.setenv("M2PT_FBANK_CACHE", "1")
    Path("interpreter").write_text('#!/bin/sh\npwd\nenv\nfor each; do echo "$each"; done\n')
    Path("interpreter").chmod(0o755)
    Path("python").symlink_to("interpreter")
    options = argparse.Namespace(python="python", work=Path("replays"), base=None)
    with sides(options, "HEAD") as (before, after, out):
        assert (before.folder, before.python, after.python) == (ROOT, tmp_path / "python", Path(sys.executable))
        samples = choose({"one": [make_record(make_spec())]}, 0, REAL_TASKS, {}, print)
        elsewhere = Tree(tmp_path / "elsewhere", before.python)
        elsewhere.folder.mkdir()
        for name, catalogue in (("default", "data"), ("named", "sets")):
            assert replay(samples, elsewhere, out / name, REAL_TASKS, ARMS, "cpu", 1, print) == {}
            (log,) = Path("replays", name).glob("*/log.txt")
            said = log.read_text().splitlines()
            assert said[0] == str(elsewhere.folder)
            for line in (f"M2PT_DATA={tmp_path / catalogue}", f"PYTHONPATH={elsewhere.folder}", str(log.parent.absolute())):
                assert line in said
            assert not any(line.startswith("M2PT_FBANK_CACHE") for line in said)
            monkeypatch.setenv("M2PT_DATA", "sets")


def write_blocks(path: Path) -> None:
    """Untrained blocks as images have them, of a modality that no task has, as benchmark convert writes them"""
    shape = REAL_TASKS["imagenet"].profiles["tiny"].shape
    blocks = build_blocks(shape.embed_dim, shape.depth, shape.num_heads, shape.mlp_ratio, shape.qkv_bias)
    made = BlockShape(depth=shape.depth, embed_dim=shape.embed_dim, num_heads=shape.num_heads, mlp_ratio=shape.mlp_ratio)
    said = Origin(blocks=made, format="x", sources={"published.bin": "ab" * 32})
    save_file({f"blocks.{name}": value for name, value in blocks.state_dict().items()}, path, {NAME: said.text()})


class Checkout:
    """A copy of this suite's code in a repository of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("benchmark", "tasks", "baselines"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        self.git("init", "-q")
        self.commit("as it is")

    def git(self, *arguments: str) -> None:
        who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        subprocess.run(["git", *who, *arguments], cwd=self.folder, check=True, capture_output=True)

    def commit(self, message: str) -> None:
        self.git("add", "-A", "benchmark", "tasks", "baselines")
        self.git("commit", "-q", "-m", message)

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def call(self, *arguments: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, "-m", "benchmark", *arguments], cwd=self.folder, text=True, check=False,
                              capture_output=True, env={**os.environ, "PYTHONPATH": str(self.folder)})
        return done.returncode, done.stdout + done.stderr


@pytest.mark.timeout(1200)
def test_an_edit_that_alters_nothing_is_carried_and_one_that_does_is_not(tmp_path):
    """Through the whole path: runs, an edit, `certify`, `status`, `report`."""
    suite = Checkout(tmp_path / "suite")
    write_blocks(suite.folder / "speech.safetensors")
    code, printed = suite.call("run", "--matrix", "smoke", *CELL, "-j", "2")
    assert code == 0, printed
    suite.edit("benchmark/model/connect.py", "but auxiliary has", "and the auxiliary has")
    (suite.folder / "benchmark" / "model" / "loops.py").rename(suite.folder / "benchmark" / "model" / "compiled.py")
    for path in [*suite.folder.glob("benchmark/**/*.py"), *suite.folder.glob("tasks/**/*.py")]:
        text = path.read_text(encoding="utf-8")
        moved = text.replace("from benchmark.model import loops", "from benchmark.model import compiled as loops")
        path.write_text(moved.replace("benchmark.model.loops", "benchmark.model.compiled"), encoding="utf-8")
    status = ("status", "--matrix", "smoke", *CELL)
    assert "3 other code" in (printed := suite.call(*status)[1]), printed
    assert "engine" in printed
    code, printed = suite.call(*CERTIFY)
    assert code == 0, printed
    assert "3 of 3 records are carried" in printed
    assert "3 runs in results/own: 3 carried" in (printed := suite.call(*status)[1]), printed
    assert "3 to do" not in suite.call("run", "--dry-run", "--matrix", "smoke", *CELL)[1]
    assert "nothing to certify" in suite.call("certify", "--results", "results/own")[1]
    code, printed = suite.call(*CERTIFY, "--check")
    assert code == 0, printed
    assert re.search(r"^\S+\.json: 3 classes, before: [0-9a-f]{12}, after: this tree$", printed, re.M)
    assert "3 of 3 classes are equal to the last bit (0 replayed whole, 3 short: evidence, and no proof)" in printed
    assert printed.splitlines()[-1] == "it holds"
    suite.commit("a word, and a module's name")
    suite.edit("benchmark/train/optim.py", "lr=recipe.lr, betas=recipe.betas", "lr=recipe.lr, betas=recipe.betas, eps=1e-3")
    code, printed = suite.call("certify", "--results", "results/own", "--base", "HEAD~1")
    assert code == 1, printed
    assert "nothing is carried, and no certificate is written" in printed
    assert "differs: " in printed
    assert "before, " in printed
    assert re.search(r"^not compared: train imagenet tiny m2pt .*: it starts from a file with SHA-256 [0-9a-f]{64}; "
                     "give that by --start speech=FILE$", printed, re.M)
    assert "3 other code" in suite.call(*status)[1]
