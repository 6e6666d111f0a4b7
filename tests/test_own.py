"""An arm and a task of one's own: what `new` writes passes `check`, what is wrong is found, and the pages run as written."""

from __future__ import annotations

import hashlib
import json
import re
import runpy
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import Block
from torch import nn
from torch.nn.utils import parametrize

from baselines import STUDY
from baselines.kin.factored import Factored, connect_low_rank
from baselines.kin.low_rank import LowRank
from baselines.m2pt import M2PT
from baselines.plain import FINETUNE
from benchmark.check.arms import STEP, carry_out, check_arm, check_cell
from benchmark.check.data import Plain, check_chance, check_declared, check_duplicates, check_labels, check_task
from benchmark.check.files import check_files, listening
from benchmark.check.gradients import faults_of_pathways
from benchmark.check.overflow import Overflow
from benchmark.cli.commands import build_parser
from benchmark.cli.context import load_registry
from benchmark.cli.describe import describe_task
from benchmark.cli.main import main
from benchmark.cli.own import look_at_own_tasks
from benchmark.data.examples import Examples
from benchmark.model.weights import export_weights, read_weights
from benchmark.plan.matrix import Cell, Planner
from benchmark.plan.overrides import parse_override
from benchmark.plan.plugins import extend, misspelt
from benchmark.spec.contracts import Arm, Metric, Trained
from benchmark.train.members import Member
from benchmark.train.plain import NoPathways
from benchmark.train.setup import build_model
from tasks import TASKS

ROOT = Path(__file__).parents[1]
EXAMPLES = runpy.run_path(str(ROOT / "docs" / "examples" / "parametrized.py"))
GatedPathways, GATED = EXAMPLES["GatedPathways"], EXAMPLES["ARM"]


@pytest.fixture(autouse=True)
def forgotten(monkeypatch, tmp_path_factory):
    """Plugins of one test are no modules of the next."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path_factory.getbasetemp())):
            del sys.modules[name]


def commands_of(page: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("page", ["own-arm.md", "own-task.md"])
def test_every_command_of_the_page_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for file in (ROOT / "docs" / "examples").glob("*.py"):
        shutil.copy(file, tmp_path)
    commands = commands_of(page)
    assert len(commands) >= 3
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "benchmark"
        assert main(arguments) == 0, command + capsys.readouterr().out
    assert re.search(r"^next: .* --plugins \S+\.py$", capsys.readouterr().out, re.M), "the option is in what comes next"


def test_the_test_that_new_writes_is_one_that_runs(tmp_path, capsys):
    assert main(["new", "task", "own-signals", "--out", str(tmp_path)]) == 0
    names: dict[str, object] = {"__file__": str(tmp_path / "test_own_signals.py")}
    exec((tmp_path / "test_own_signals.py").read_text(encoding="utf-8"), names)
    names["test_it_passes_benchmark_check"]()
    assert "own-signals: nothing wrong" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "said"), [
    (["arm", "Low-Rank"], "a name has small letters, digits and single dashes"),
    (["arm", "m2pt"], "there is one of this name already"),
    (["task", "random"], "there is a Python module random already"),
    (["task", "a-name-of-25-characters-x"], "a name has at most 23 characters"),
])
def test_names_that_cannot_be_are_refused(arguments, said, tmp_path, capsys):
    assert main(["new", *arguments, "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_new_writes_over_nothing(tmp_path, capsys):
    (tmp_path / "test_mine_own.py").write_text("kept")
    assert main(["new", "arm", "mine-own", "--out", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["test_mine_own.py"]


def test_the_commonest_class_is_found_where_chance_is_declared_too_low():
    task = TASKS["imagenet"]
    low = replace(task.profiles["tiny"], chance=4.5)

    class Wrong(type(task)):
        profiles: ClassVar = {"tiny": low}

    wrong = [finding.what for finding in check_task(Wrong(), "tiny") if finding.level == "error"]
    assert len(wrong) == 1
    assert re.fullmatch(r"chance is declared as 4.5, but always the commonest class reaches [\d.]+ % top1 .*", wrong[0])


@pytest.mark.parametrize(("chance", "level", "said"), [
    (75.0, "ok", "chance is declared as 75; always the commonest class reaches 75.00 % error on the test split"),
    (90.0, "error", "chance is declared as 90, but always the commonest class reaches 75.00 % error on the test split; declare "
                    "at most that"),
    (25.0, "note", "chance is declared as 25; always the commonest class reaches 75.00 % error on the test split")])
def test_a_declared_chance_of_a_metric_that_is_to_be_low_is_looked_at(chance, level, said):
    from sixth_task import TASK

    class Error(type(TASK)):
        metrics: ClassVar = (Metric("error", higher_is_better=False),)
        profiles: ClassVar = {"tiny": replace(TASK.profiles["tiny"], chance=chance)}

        def meter(self, profile):
            kept = super().meter(profile)
            compute = kept.compute
            kept.compute = lambda: {"error": 100 - compute()["top1"]}
            return kept

    *_, last = check_task(Error(), "tiny")
    assert (last.level, last.what) == (level, said)


@pytest.mark.parametrize(("compute", "said"), [
    (lambda x: x * 2, "makes 400 in uint8, which holds 0 to 255 and wraps around in silence; compute with floats"),
    (lambda x: x - 128, "makes -128 in uint8"),
    (lambda x: x.mul_(2), "makes 400 in uint8"),
    (lambda x: -x, "makes -100 in uint8"),
    (lambda x: 100 - x, "makes -100 in uint8"),
    (lambda x: (x.float() * 1.5).to(torch.uint8), "makes 300 in uint8"),
    (lambda x: x.copy_(x.float() - 1), "makes -1 in uint8"),
    (lambda x: x.to(torch.int8), "makes 200 in int8, which holds -128 to 127"),
    (lambda x: x + 55, ""), (lambda x: 255 - x, ""), (lambda x: x.float() * 2 - 128, ""), (lambda x: x * 2.5, ""),
    (lambda x: (x / 255 * 255).round().to(torch.uint8), ""), (lambda x: x.long() * 2, ""), (lambda x: x.sum(), "")])
def test_whole_numbers_that_wrap_around_are_noticed_and_no_others(compute, said):
    values = torch.tensor([0, 100, 200], dtype=torch.uint8)
    expected = compute(values.clone())
    with Overflow() as overflow:
        found = compute(values.clone())
    assert torch.equal(found, expected)
    assert overflow.found.startswith(said)
    assert bool(overflow.found) == bool(said)


def test_a_check_loads_the_data_three_times_and_not_for_every_step(tmp_path, capsys):
    """For the files that loading reads, for what is looked at and trained on, and once more to compare with."""
    file = spoiled(tmp_path, "return {split: Examples(", "return print('it loads') or {split: Examples(")
    capsys.readouterr()
    assert main(["check", "own-spoiled", "--plugins", str(file)]) == 0
    *found, closing = capsys.readouterr().out.splitlines()
    assert closing == "own-spoiled: nothing wrong"
    assert found.count("it loads") == 3


def with_meter(scale: float, unit: str = "%"):
    """The small waveforms task, whose meter gives its accuracy, its error and a count in another scale"""
    from sixth_task import TASK

    class Scaled(type(TASK)):
        metrics: ClassVar = (Metric("top1", unit), Metric("error", unit, higher_is_better=False), Metric("skipped"))

        def meter(self, profile):
            kept = super().meter(profile)
            compute = kept.compute
            kept.compute = lambda: {"top1": scale * (top1 := compute()["top1"]), "error": scale * (100 - top1), "skipped": 0.5}
            return kept

    return Scaled()


def test_a_meter_that_gives_another_metric_first_is_an_error_as_records_are_read_without_the_task():
    """`benchmark.load` and a report without the plugin take the first for the main one."""
    task = with_meter(1.0)
    task.metrics = task.metrics[1:] + task.metrics[:1]
    wrong = [finding.what for finding in check_task(task, "tiny") if finding.level == "error"]
    assert wrong == ["the meter gives top1 first, and metrics begins with error: let compute() give error first, as who reads "
                     "records without the task takes the first for the main one"]


def test_a_task_of_ones_own_says_of_each_metric_its_unit_and_whether_low_is_good():
    for unit, said in (("%", "top1 [%], error [%, lower is better], skipped [%]"), ("", "top1, error [lower is better], ")):
        assert f"\nmetrics: {said}" in describe_task(with_meter(1.0, unit), STUDY)


def test_a_meter_that_gives_fractions_where_percent_are_declared_is_an_error_of_each_metric():
    wrong = [finding.what for finding in check_task(with_meter(0.01), "tiny") if finding.level == "error"]
    assert wrong == [
        "top1 is 1 where every answer is right, 0 where each is wrong, and its unit is %: measure 100 times as much (46.1 is "
        "46.1 %), or declare Metric('top1', unit=\"\")",
        "error is 0 where every answer is right, 1 where each is wrong, and its unit is %: measure 100 times as much (46.1 is "
        "46.1 %), or declare Metric('error', unit=\"\")"]


@pytest.mark.parametrize("task", [with_meter(1.0), with_meter(0.01, "")])
def test_percent_and_fractions_of_another_unit_are_no_error_nor_is_a_share_that_no_answer_moves(task):
    assert "is right" not in " ".join(finding.what for finding in check_task(task, "tiny"))


def test_data_in_the_order_of_their_classes_are_looked_at_as_a_whole(monkeypatch):
    """Of 64 samples of a split that are the first, all would be of one class or two."""
    task = TASKS["imagenet"]

    class Sorted(type(task)):
        def load(self, profile):
            return {split: Examples({name: column[examples.columns["label"].argsort(stable=True)]
                                     for name, column in examples.columns.items()})
                    for split, examples in super().load(profile).items()}

    whole = [(finding.level, finding.what) for finding in check_task(task, "tiny")][1:]
    monkeypatch.setattr("benchmark.check.data.MOST", 64)
    (limits, *found) = [(finding.level, finding.what) for finding in check_task(Sorted(), "tiny")][1:]
    assert found == whole
    assert {level for level, _ in found} == {"ok"}
    assert limits == ("ok", "inputs that are looked at, spread evenly: 64 of 2,982 in train, 64 of 437 in val, 64 of 1,299 in "
                      "test; of labels all")


def test_a_split_without_samples_is_named_and_nothing_else_is_looked_at(tmp_path, capsys):
    assert main(["new", "task", "own-empty", "--out", str(tmp_path)]) == 0
    file = tmp_path / "own_empty.py"
    file.write_text(file.read_text(encoding="utf-8").replace('"val": 64', '"val": 0'), encoding="utf-8")
    capsys.readouterr()
    assert main(["check", "own-empty", "--plugins", str(file)]) == 1
    loads, *said = capsys.readouterr().out.splitlines()
    assert loads.endswith("train 256, val 0, test 64")
    assert said == ["error  no sample in val: train, val and test need some each", "own-empty: 1 wrong"]


@pytest.mark.parametrize("name", ["imagenet", "modelnet", "kinetics", "audioset"])
def test_declared_chance_fits_the_embedded_data(name):
    task = TASKS[name]
    splits = task.load("tiny")
    held = {split: examples.columns for split, examples in splits.items()}
    assert [finding.level for finding in check_chance(task, "tiny", held, splits)] == ["ok"]


def levels(findings) -> list[str]:
    return [finding.level for finding in findings]


def test_samples_in_two_splits_are_counted():
    inputs = torch.arange(12.0).view(6, 2)
    held = {"train": {"input": inputs[:3]}, "val": {"input": inputs[2:4]}, "test": {"input": inputs[4:]}}
    (found,) = check_duplicates(held)
    assert found.what == "1 of 2 samples of val are in train, too"
    held["val"] = {"input": inputs[3:4]}
    assert levels(check_duplicates(held)) == ["ok"]


@pytest.mark.parametrize(("test", "said"), [
    ([0, 1], None), ([0, 3], "labels from 0 to 3; 3 classes declared"), ([0, -1], "labels from -1 to 2"),
    ([0, 2], None)])
def test_labels_beyond_the_declared_classes_are_found(test, said):
    spec = replace(TASKS["imagenet"].profiles["tiny"], num_classes=3)
    held = {"train": {"label": torch.tensor([0, 1, 2])}, "val": {"label": torch.tensor([0, 1])},
            "test": {"label": torch.tensor(test)}}
    wrong = [finding.what for finding in check_labels(held, spec) if finding.level == "error"]
    assert (said is None and not wrong) or wrong[0].startswith(said)


def test_labels_of_other_whole_numbers_are_noted_with_what_to_do():
    spec = replace(TASKS["imagenet"].profiles["tiny"], num_classes=3)
    for kind, said in ((torch.int64, []), (torch.uint8, ["labels are uint8, which"]),
                       (torch.int32, ["labels are int32, which"])):
        held = {split: {"label": torch.tensor([0, 1, 2]).to(kind)} for split in ("train", "val", "test")}
        found = [finding for finding in check_labels(held, spec) if finding.level != "ok"]
        assert [finding.what[:23] for finding in found] == said
        assert all(finding.level == "note" and "make them int64" in finding.what and not finding.stop for finding in found)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.uint8, torch.bool, torch.float64])
def test_samples_in_two_splits_are_found_whatever_their_numbers_are_stored_in(kind):
    inputs = torch.arange(6).view(6, 1).expand(6, 4) % 2 if kind == torch.bool else torch.arange(24).view(6, 4)
    inputs = inputs.to(kind)
    held = {"train": {"input": inputs[:2]}, "val": {"input": inputs[1:3]}, "test": {"input": inputs[4:]}}
    found = [finding.what for finding in check_duplicates(held) if finding.level == "error"]
    assert found[0] == f"{2 if kind == torch.bool else 1} of 2 samples of val are in train, too"


SPOILED = {  # by what is spoiled: what is written in place of what `new` writes, and the one error
    "labels from 1": ("random), label", "random), label + 1", "labels from 1 to 4; 4 classes declared, so from 0 to 3"),
    "labels from -1": ("random), label", "random), label - 1", "labels from -1 to 2; 4 classes declared, so from 0 to 3"),
    "labels of floats": ("random), label", "random), label.float()", "labels are float32; whole numbers (int64) are wanted"),
    "labels in a column": ("random), label", "random), label[:, None]", "labels have the shape (256, 1); (256,) is wanted"),
    "labels in two columns": ("random), label", "random), label[:, None].expand(-1, 2)",
                              "labels of 64 samples have the shape (64, 2), and the model gives (64, 4), which wants (64,)"),
    "labels that are not known": (
        "random), label", "random), nn.functional.one_hot(label, 4).float().index_fill(0, label[:1], torch.nan)",
        "labels of train and val and test have NaN; put a number from 0 to 1 there, and a column beside them that says which"),
    "sizes of its own": ("embed_dim=96, depth=3, num_heads=3", "embed_dim=24, depth=2, num_heads=2",
                         "the profile's shape has depth 2, embed_dim 24, num_heads 2, and that of image depth 3, embed_dim 96, "
                         "num_heads 3: blocks are joined one to one, so no run has an auxiliary, and no arm with one was"),
    "no meter": ("return AccuracyMeter()", "return None", "meter() returned None; return an object with update and compute"),
    "no batch": ("return {**batch", "{**batch", "augment() returned None; return the batch, a dict of tensors with 'input'"),
    "no loss": ("return soft_cross", "soft_cross", "loss() returned None; return one number as a tensor"),
    "no load": ("return {split: Examples", "{split: Examples", "load() returned None; return a dict of train, val and test"),
    "names of metrics": ('(Metric("top1"), Metric("top5"))', '("top1",)', "metrics is ('top1',); make it Metric objects of"),
    "arrays": ("read(split), strict", "map(torch.Tensor.numpy, read(split)), strict",
               "load() gives the columns 'input' as ndarray and 'label' as ndarray; make them tensors, of an array with"),
    "a column of the engine's": ('("input", "label"), read(split)',
                                 '("input", "label", "index"), (*read(split), read(split)[1])',
                                 "load() gives a column 'index', and a batch has the places of its samples under that name"),
    "numbers that wrap": ("(batch[\"input\"] / 30", "(batch[\"input\"].to(torch.int8) * 4 / 30", "augment() makes "),
    "a step that raises": ("(batch[\"input\"] / 30", "(batch[\"inputs\"] / 30",
                           "augmentation: OwnSpoiled.augment() raised KeyError: 'inputs' (line 78 of "),
    "a part that raises": ("return Tokens(self.embed(patches)", "return Tokens(self.embed(patches[0, 0, :1])",
                           "one test batch: SignalTokenizer.forward() raised RuntimeError: mat1 and mat2 "),
}


def spoiled(folder: Path, before: str, after: str) -> Path:
    assert main(["new", "task", "own-spoiled", "--out", str(folder)]) == 0
    file = folder / "own_spoiled.py"
    written = file.read_text(encoding="utf-8")
    assert before in written
    file.write_text(written.replace(before, after), encoding="utf-8")
    return file


@pytest.mark.parametrize(("before", "after", "said"), SPOILED.values(), ids=SPOILED)
def test_a_mistake_in_a_task_is_one_error_and_the_rest_is_looked_at(before, after, said, tmp_path, capsys):
    file = spoiled(tmp_path, before, after)
    capsys.readouterr()
    assert main(["check", "own-spoiled", "--plugins", str(file)]) == 1
    *found, closing = capsys.readouterr().out.splitlines()
    (wrong,) = [line for line in found if line.startswith("error")]
    assert wrong.startswith(f"error  {said}")
    assert closing == "own-spoiled: 1 wrong"
    assert "raised" not in said or str(file) in wrong
    assert len(found) >= 5 or "load" in said, "what can still be looked at is"


@pytest.mark.parametrize(("before", "after", "said"), [
    SPOILED["labels from 1"], SPOILED["names of metrics"], SPOILED["no meter"],
    ('(Metric("top1"), Metric("top5"))', '(Metric("acc"),)', "the meter measures top1, top5, and not the declared acc"),
], ids=["labels", "metrics", "meter", "measured"])
def test_a_task_that_no_run_can_use_is_refused_before_anything_is_computed(before, after, said, tmp_path, capsys):
    """Else its pretraining would be computed, and each run would fail by itself, or end without a result."""
    file = spoiled(tmp_path, before, after)
    capsys.readouterr()
    results = tmp_path / "results"
    assert main(["run", "--matrix", "smoke", "-t", "own-spoiled", "-x", "audio", "--plugins", str(file), "--results",
                 str(results)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"benchmark: task own-spoiled: {said}")
    assert line.endswith(f"all that is wrong: benchmark check own-spoiled --profile tiny --plugins {file}")
    assert not list(results.rglob("*.json"))


def test_numbers_that_are_none_are_counted_and_what_is_doubtful_is_said_as_a_run_begins(tmp_path, capsys):
    file = spoiled(tmp_path, "read(split), strict",
                   "(x.float().index_fill(0, torch.arange(3), torch.nan) if x.ndim > 1 else x for x in read(split)), strict")
    capsys.readouterr()
    assert main(["check", "own-spoiled", "--plugins", str(file)]) == 1
    said = "inputs have NaN or infinity: 3 of train and 3 of val and 3 of test"
    assert f"error  {said}\n" in capsys.readouterr().out
    (task,) = extend({}, {}, [file])[0].values()
    cells = [Cell(one, FINETUNE, "scratch") for one in (task, TASKS["imagenet"])]
    jobs = Planner(TASKS | {task.name: task}, "tiny").plan(cells, [0]).jobs
    look_at_own_tasks(jobs, build_parser().parse_args(["run", "--plugins", str(file)]))
    printed = capsys.readouterr().out
    assert f"note: task own-spoiled: {said}; see benchmark check own-spoiled --profile tiny --plugins {file}\n" in printed
    assert "imagenet" not in printed, "what is shipped is tested"


OPENED = 'Path(__file__).with_name("steps.csv").read_bytes()'
DIGESTED = 'data = b"".join(tensor.numpy().tobytes() for split in SPLITS for tensor in read(split))'


@pytest.mark.parametrize(("reading", "digested", "level"), [
    ("load", 'data = b"1"', "error"), ("load", 'data = Path(__file__).with_name("other.csv").read_bytes()', "note"),
    ("import", 'data = b"1"', "note"), ("load", f"data = {OPENED}", "ok"), ("load", DIGESTED, "ok"),
    ("load", "return {'steps': STEPS}", "ok"),
    ("load", f"Path(__file__).with_name('steps.csv').write_text('16,40\\n'); data = {OPENED}", "ok")],
    ids=["not digested", "another is digested", "as it is imported", "digested", "digested as it is read", "written down",
         "made and digested"])
def test_a_file_that_a_task_reads_and_no_digest_covers_is_told(reading, digested, level, tmp_path, capsys):
    file = spoiled(tmp_path, DIGESTED, digested)
    (tmp_path / "steps.csv").write_text("16,40\n")
    (tmp_path / "other.csv").write_text("1\n")
    steps = hashlib.sha256(b"16,40\n").hexdigest()
    text = file.read_text().replace("import hashlib\n", "import hashlib\nfrom pathlib import Path\n").replace(
        "def read(split):\n", f"STEPS = {OPENED if reading == 'import' else repr(steps)}\n\n\ndef read(split):\n")
    if reading == "load":
        text = text.replace("    count, random = {", f"    {OPENED}\n    count, random = {{")
    file.write_text(text)
    said = (f"{tmp_path}/steps.csv: read, and neither read by data_digests() nor among what it gives, so that results may stay "
            "up to date when it is edited; give its SHA-256 there, too")
    with listening() as imported:
        (task,) = extend({}, {}, [file])[0].values()
    (finding,) = check_files(task, "tiny", imported)
    assert (finding.level, finding.what) == (
        level, "no file is read that data_digests() does not cover" if level == "ok" else said)
    if level == "error":
        capsys.readouterr()
        assert main(["check", "own-spoiled", "--plugins", str(file)]) == 1
        assert f"error  {said}\n" in capsys.readouterr().out


def test_a_task_that_has_recipes_for_one_setting_alone_is_looked_at_by_that():
    class One(type(TASKS["imagenet"])):
        profiles: ClassVar = {"tiny": replace(spec := TASKS["imagenet"].profiles["tiny"], train={"fix": spec.train["fix"]})}

    assert {finding.level for finding in check_task(One(), "tiny", 64)} == {"ok"}


READ, EMBEDDED = 'Examples(dict(zip(("input", "label"), read(split), strict=True)))', "patches = patchify(batch[\"input\"]"
LENGTHS = """Examples({**dict(zip(("input", "label"), read(split), strict=True)),
                                 "length": 8 + torch.arange(len(read(split)[1])) % 56})"""
GIVEN = """    def load_pretraining(self, profile):
        return Examples({name: column for name, column in self.load(profile)["train"].columns.items() if name != "label"})

    def tokenizer(self, shape):"""


@pytest.mark.parametrize("given", [False, True])
def test_a_tokenizer_that_reads_a_column_which_pretraining_is_not_given_is_found(given, tmp_path, capsys):
    """Inputs of several lengths, padded: else check finds nothing wrong, and no run comes to its first step"""
    file = spoiled(tmp_path, READ, LENGTHS)
    text = file.read_text(encoding="utf-8")
    assert EMBEDDED in text
    text = text.replace(EMBEDDED, 'kept = torch.arange(64) < batch["length"][:, None, None]\n'
                        '        patches = patchify(batch["input"] * kept')
    file.write_text(text.replace("    def tokenizer(self, shape):", GIVEN) if given else text, encoding="utf-8")
    capsys.readouterr()
    assert main(["check", "own-spoiled", "--plugins", str(file)]) == (0 if given else 1)
    found = [line for line in capsys.readouterr().out.splitlines() if "masked pretraining" in line or "raised" in line]
    line = text[: text.index('kept = torch')].count("\n") + 1
    assert found == ["ok     masked pretraining on own-spoiled: one step" if given else
                     "error  masked pretraining on own-spoiled: SignalTokenizer.forward() raised KeyError: 'length' (line "
                     f"{line} of {file}); it is fed with what load_pretraining() gives, as it stands the column 'input' alone"]


ALL_RECIPES = 'train={"pretrained": TRAIN, "fix": TRAIN, "scratch": TRAIN}'


def test_a_task_that_has_a_recipe_for_one_setting_alone_is_checked_seen_and_run_in_that_one(tmp_path, capsys):
    file = spoiled(tmp_path, ALL_RECIPES, 'train={"scratch": TRAIN}')
    given, sheet = ["--plugins", str(file)], tmp_path / "sheet.png"
    assert main(["data", "view", "own-spoiled", *given, "--out", str(sheet)]) == 0
    assert sheet.is_file()
    capsys.readouterr()
    assert main(["check", "own-spoiled", *given]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^ok     m2pt\(\w+\) on own-spoiled, scratch: one step; 12 pathways", said, re.M)
    assert "own-spoiled, pretrained" not in said
    wanted = ["run", "--matrix", "smoke", "-t", "own-spoiled", "-x", "audio", *given, "--results", str(tmp_path), "--dry-run"]
    assert main(wanted) == 2
    assert capsys.readouterr().err == (
        "benchmark: task own-spoiled has no recipe for the setting pretrained under profile tiny; it has scratch: choose one "
        "with --setting, and arms that are in it\n")
    assert main([*wanted, "--setting", "scratch", "--arm", "scratch,m2pt"]) == 0
    assert "own-spoiled m2pt(audio) scratch  0:missing" in capsys.readouterr().out


def test_a_text_where_a_set_of_sources_is_meant_is_found():
    class Sourced(type(TASKS["imagenet"])):
        sources: ClassVar = "UCI"

    (found,) = check_declared(Sourced())
    assert (found.level, found.what) == ("error", "sources is 'UCI'; make it a set of texts: frozenset({'UCI'})")
    for task in TASKS.values():
        assert list(check_declared(task)) == []


class Misspelt(Arm):
    """What would build is never called"""

    name: ClassVar[str] = "misspelt"
    summary: ClassVar[str] = "nothing"
    source: ClassVar[str] = "a test"
    settings: ClassVar = ("pretrained",)
    uses_auxiliary: ClassVar[bool] = True

    def biuld(self, model, blocks, random):
        return []


class Idle(Misspelt):
    """Returns what it is asked for, and alters nothing"""

    def build(self, model, blocks, random):
        return []


class Silent(M2PT):
    """Its pathways are built and kept to itself"""

    def build(self, model, blocks, random):
        super().build(model, blocks, random)


class ByName(M2PT):
    def build(self, model, blocks, random):
        return {pathway.name: pathway for pathway in super().build(model, blocks, random)}


@pytest.mark.parametrize(("arm", "said"), [
    (Misspelt(), "misspelt(audio) on imagenet, pretrained: the arm does nothing: after one step the model is the plain one, to "
                 "the last bit; it defines no build (is the name misspelt?)"),
    (Idle(), "misspelt(audio) on imagenet, pretrained: the arm does nothing: after one step the model is the plain one, to the "
             "last bit"),
    (Silent(), "build() returned None; return a list of pathways, or [] where there are none"),
    (ByName(), "build() returned an object of dict; return a list of pathways, or [] where there are none")],
    ids=lambda value: getattr(type(value), "__name__", ""))
def test_an_arm_that_does_nothing_or_returns_no_list_is_one_error(arm, said):
    tasks, _ = load_registry()
    first, *others = check_arm(arm, {name: tasks[name] for name in ("imagenet", "audioset")}, "tiny")
    assert (first.level, first.what) == ("error", said)
    assert len(others) == ("does nothing" in said), "what `build` returns is said once"


@pytest.mark.parametrize(("arm", "found"), [(Silent(), "None"), (ByName(), "an object of dict")])
def test_a_run_is_refused_as_its_model_is_built_where_build_returns_no_list(arm, found, tmp_path):
    tasks, _ = load_registry()
    plan = Planner(tasks, "tiny", limit=16).plan([Cell(tasks["imagenet"], arm, "pretrained", "audio")], [0])
    with pytest.raises(NoPathways, match=rf"^build\(\) returned {found}; return a list of pathways, or \[\] where"):
        carry_out(plan, tmp_path)


@pytest.mark.parametrize("arm", [Plain(), M2PT()], ids=("plain", "pathways"))
@pytest.mark.parametrize("split", ["train", "val"])
def test_an_input_that_is_no_number_is_named_by_the_run_that_meets_it(split, arm, tmp_path):
    tasks, _ = load_registry()

    class Odd(type(tasks["imagenet"])):
        def load(self, profile):
            splits = super().load(profile)
            columns = splits[split].columns
            columns["input"] = columns["input"].float()
            columns["input"][-1, 0, 0, 0] = torch.nan
            return splits

    overrides = [parse_override(text, tasks, may_fit_nothing=True) for text in (*STEP, "recipe.batch_size=16")]
    auxiliary = "audio" if arm.uses_auxiliary else None
    plan = Planner(tasks, "tiny", overrides, limit=16).plan([Cell(Odd(), arm, "pretrained", auxiliary)], [0])
    with pytest.raises(ArithmeticError, match=r"^the input of sample 15 of 16, counted from 0, has NaN or infinity"):
        carry_out(plan, tmp_path)


@pytest.mark.parametrize(("method", "said"), [
    ({"tune": lambda self, name, lr_scale, weight_decay: (lr_scale, weight_decay, 1)}, "tune() returned an object of tuple; "),
    ({"tune": lambda self, name, lr_scale, weight_decay: None}, "tune() returned None; return two finite numbers"),
    ({"tune": lambda self, name, lr_scale, weight_decay: (-lr_scale, weight_decay)}, "tune() returned an object of tuple; "),
    ({"further_loss": lambda self, model, batch, features, logits: 0.5}, "further_loss() returned an object of float; ")],
    ids=("three", "None", "negative", "a loss that is no tensor"))
def test_what_tune_and_a_further_loss_return_is_looked_at(method, said):
    tasks, _ = load_registry()
    found = check_cell(type("Tuned", (M2PT,), method)(), tasks["imagenet"], "pretrained", tasks, "tiny")
    assert found.level == "error"
    assert found.what.startswith(said)


def given_back(**values):
    """An arm whose methods of these names return these values"""
    return type("Given", (M2PT,), {name: lambda self, *asked, value=value: value for name, value in values.items()})()


@pytest.mark.parametrize(("arm", "said"), [
    (type("Apart", (M2PT,), {"further_loss": lambda self, model, batch, features, logits: logits.square().mean().detach()})(),
     "further_loss() returned a tensor that has no gradient, so that the model is trained without it; compute it of what "
     "trains, and detach nothing on the way"),
    (type("Fewer", (M2PT,), {"num_inputs": property(lambda self: -3)})(), "arm m2pt: num_inputs is -3; make it a whole number, "
     "0 or more"),
    (given_back(starts=None), "arm m2pt: starts() returned None; return a dict of Start(modality, seed) by role, or {}"),
    (given_back(starts={"target": "image"}), "arm m2pt: starts() returned {'target': 'image'}; return a dict of "
     "Start(modality, seed) by role, or {}"),
    (given_back(trained=[]), "arm m2pt: trained() returned []; return a dict of Trained(arm, setting, seed), the arm an object "
     "and no name, by role, or {}"),
    (given_back(trained={"one": Trained("finetune", "pretrained", 0)}), "arm m2pt: trained() returned {'one': Trained(arm="
     "'finetune', setting='pretrained', seed=0)}; return a dict of Trained(arm, setting, seed), the arm an object and no name, "
     "by role, or {}"),
    (given_back(stream="mine"), "arm m2pt: stream() returned 'mine'; return a tuple of texts, such as ('arm', 'm2pt')"),
    (given_back(stream=None), "arm m2pt: stream() returned None; return a tuple of texts, such as ('arm', 'm2pt')")],
    ids=["further_loss", "num_inputs", "starts", "a start", "trained", "a trained arm", "a text as stream", "stream"])
def test_what_an_arm_says_of_its_starts_its_numbers_and_its_loss_is_one_error(arm, said):
    tasks, _ = load_registry()
    (found,) = check_arm(arm, {name: tasks[name] for name in ("imagenet", "audioset")}, "tiny")
    assert (found.level, found.what) == ("error", said)


def test_a_run_of_an_arm_that_says_otherwise_than_is_asked_is_refused_in_one_line(tmp_path, capsys):
    assert main(["new", "arm", "own-starts", "--out", str(tmp_path)]) == 0
    file = tmp_path / "own_starts.py"
    file.write_text(file.read_text().replace("    def build(", "    def starts(self, *asked):\n        pass\n\n    def build("))
    capsys.readouterr()
    assert main(["run", "-t", "imagenet", "--arm", "own-starts", "--plugins", str(file), "--results", str(tmp_path)]) == 2
    assert capsys.readouterr().err == ("benchmark: arm own-starts: starts() returned None; return a dict of Start(modality, "
                                       "seed) by role, or {}\n")


@pytest.mark.parametrize(("before", "after", "said"), [
    ('("pretrained",)', '"pretrained"', "settings is 'pretrained'; make it a tuple of one or more of pretrained, fix, scratch"),
    ('("pretrained",)', '("pretraned",)', "settings is ('pretraned',); make it a tuple"),
    ('("pretrained",)', "()", "settings is (); make it a tuple"),
    ("summary: ClassVar[str] =", "summary_of_it: ClassVar[str] =", "summary is not there; give the class one, such as"),
    ("uses_auxiliary: ClassVar[bool] = True", "uses_auxiliary = 'no'", "uses_auxiliary is 'no'; make it True or False"),
    ("is_method: ClassVar[bool] = True", "rivals = 'random-norm'",
     "rivals is 'random-norm'; make it a tuple of names of arms"),
    ("scale_init: float = 0.0", "scale_init: float", "my_arm.py cannot be imported (ValidationError: 1 validation error "),
    ("ARM = MyArm()", "raise SystemExit(3)", "my_arm.py ends the program as it is imported; put what it does as a program")])
def test_a_file_of_an_arm_that_cannot_be_loaded_is_refused_in_one_line(before, after, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_arm", raising=False)
    assert main(["new", "arm", "my-arm", "--out", str(tmp_path)]) == 0
    file = tmp_path / "my_arm.py"
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after), encoding="utf-8")
    capsys.readouterr()
    assert main(["check", "my-arm", "--plugins", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    sys.modules.pop("my_arm", None)


@pytest.mark.parametrize(("before", "after", "said"), [
    ('name, summary, modality = "own-spoiled", "one line, as `benchmark list tasks` shows it", "own_spoiled_signal"',
     'name, modality = "own-spoiled", "own_spoiled_signal"', "summary is not there; give the class one, such as summary = '"),
    ('    metrics = (Metric("top1"), Metric("top5"))', "", "metrics is not there; give the class one, such as metrics ="),
    ('    sources = frozenset({"generated"})', "", "sources is not there; give the class one"),
    ('    profiles = {"tiny": TINY}', "", "profiles is not there; give the class one"),
    ('{"tiny": TINY}', "[TINY]", "profiles is [NamedProfile(data_sets="),
    ('data_sets=("own-spoiled",)', 'data_sets="own"', "data_sets of the profile tiny is 'own'; make it a tuple of names"),
    ('sources = frozenset({"generated"})', 'sources = "generated"', "sources is 'generated'; make it a frozenset of texts"),
    ('sources = frozenset({"generated"})', 'sources, shares = frozenset({"generated"}), ("flip",)',
     "shares is ('flip',); make it a frozenset of texts"),
    ("num_classes=4,", "num_classes=4, smoke_limit=0,", "smoke_limit of the profile tiny is 0; make it a whole number, 1 or"),
    ("chance=25.0", "chance='25'", "chance of the profile tiny is '25'; make it a number in the unit of the first metric"),
    ("shape=ModelShape(", "shape=dict(", "shape of the profile tiny is {'embed_dim': 96, "),
    ('{"pretrained": TRAIN, ', '{"finetune": TRAIN, ', "make it a dict of TrainRecipe by setting, some of pretrained, fix, "),
    ("pretrain=PretrainRecipe(epochs=2, batch_size=32, lr=1e-3, warmup_epochs=1)", "pretrain=TRAIN",
     "pretrain of the profile tiny is TrainRecipe(epochs=12, "),
    ("chance=25.0", "chance=nn.functional", "chance of the profile tiny is <module 'torch.nn.functional' from ")])
def test_a_task_that_does_not_say_what_is_read_is_refused_in_one_line_by_every_command(before, after, said, tmp_path, capsys):
    file = spoiled(tmp_path, before, after)
    capsys.readouterr()
    for command in (["info", "own-spoiled"], ["list"], ["run", "--dry-run", "-t", "own-spoiled"], ["check", "own-spoiled"]):
        assert main([*command, "--plugins", str(file)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"benchmark: plugin {file}: ")
        assert said in line


def test_names_in_place_of_metrics_are_told_by_what_shows_a_task_as_check_tells_them(tmp_path, capsys):
    before, after, said = SPOILED["names of metrics"]
    file = spoiled(tmp_path, before, after)
    capsys.readouterr()
    for command in (["info", "own-spoiled"], ["info", "own-spoiled", "--json"], ["list", "--json"]):
        assert main([*command, "--plugins", str(file)]) == 2
        assert capsys.readouterr().err.startswith(f"benchmark: task own-spoiled: {said}")


def test_a_task_whose_pretraining_is_anothers_needs_none_of_its_own(tmp_path, capsys):
    file = spoiled(tmp_path, "pretrain=PretrainRecipe(epochs=2, batch_size=32, lr=1e-3, warmup_epochs=1)", "pretrain=None")
    file.write_text(file.read_text().replace("    sources =", '    pretrained_by = "imagenet"\n    sources ='))
    file.write_text(file.read_text().replace('"own_spoiled_signal"', '"image"'))
    assert main(["info", "own-spoiled", "--plugins", str(file)]) == 0
    assert "pretrained by imagenet" in capsys.readouterr().out
    assert main(["info", "own-spoiled", "--json", "--plugins", str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["pretrain"] is None
    results = str(tmp_path / "results")
    assert main(["run", "--dry-run", "--matrix", "smoke", "-t", "own-spoiled", "-x", "audio", "--plugins", str(file),
                 "--results", results]) == 0
    assert "own-spoiled m2pt(audio)" in capsys.readouterr().out


@pytest.mark.parametrize(("modality", "given", "said"), [
    ("own_signal", "'imagenet'", "task own-spoiled is pretrained by 'imagenet', which pretrains 'image', and its modality is "
     "'own_signal'; make that 'image', or leave pretrained_by out"),
    ("point", "'modelnet'", "task own-spoiled is pretrained by 'modelnet', which has no pretraining of its own; name shapenet"),
    ("image", "'own-spoiled'", "task own-spoiled is pretrained by 'own-spoiled', which has no pretraining of its own; leave "
     "pretrained_by out"),
    ("image", "3", "task own-spoiled is pretrained by 3; known: "),
    ("image", "'imagenett'", "task own-spoiled is pretrained by 'imagenett'; did you mean 'imagenet'?")])
def test_a_pretraining_that_is_none_of_its_modality_is_refused_as_runs_are_planned(modality, given, said, tmp_path, capsys):
    file = spoiled(tmp_path, '"own_spoiled_signal"', f'"{modality}"')
    file.write_text(file.read_text().replace("    sources =", f"    pretrained_by = {given}\n    sources ="))
    capsys.readouterr()
    assert main(["run", "--dry-run", "--matrix", "smoke", "-t", "own-spoiled", "-x", "audio", "--plugins", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"benchmark: {said}")


def test_a_task_that_cannot_load_the_pretraining_it_names_is_refused_before_that_is_computed(tmp_path, capsys):
    """A pretraining of minutes came first, and then every run failed with names of tensors"""
    file = spoiled(tmp_path, '"own_spoiled_signal"', '"image"')
    file.write_text(file.read_text().replace("    sources =", '    pretrained_by = "imagenet"\n    sources ='))
    capsys.readouterr()
    said = "it is pretrained by imagenet, and its weights do not fit the model: "
    todo = "; give it the tokenizer and the shape of imagenet, or leave pretrained_by out and give it a modality of its own"
    results = tmp_path / "results"
    assert main(["run", "--matrix", "smoke", "-t", "own-spoiled", "-x", "audio", "--plugins", str(file), "--results",
                 str(results), "--limit", "8"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"benchmark: task own-spoiled: {said}")
    assert line.endswith(todo)
    assert not list(results.rglob("record.json"))
    assert main(["check", "own-spoiled", "--plugins", str(file)]) == 1
    errors = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error")]
    assert [said in line and todo in line for line in errors] == [True]


@pytest.mark.parametrize(("returned", "said"), [
    ("'ab' * 32", "data_digests() returned abab"), ("None", "data_digests() returned None"),
    ("{'own': 3}", "data_digests() returned {'own': 3}; return a dict of SHA-256 by name, both texts")])
def test_digests_of_data_that_are_none_are_refused_in_one_line(returned, said, tmp_path, capsys):
    file = spoiled(tmp_path, 'return {"own-spoiled": hashlib.sha256(data).hexdigest()}', f"return {returned}")
    capsys.readouterr()
    assert main(["run", "--dry-run", "--matrix", "smoke", "-t", "own-spoiled", "-x", "audio", "--plugins", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("benchmark: task own-spoiled: ")
    assert said in line


@pytest.mark.parametrize("name", [name for name, arm in load_registry()[1].items() if not arm.is_baseline])
def test_every_arm_of_ours_does_something_in_one_step(name):
    """Of a kind that only the pathways say, a scale that stays is a note: its weights are all 0."""
    tasks, arms = load_registry()
    found = check_cell(arms[name], tasks["imagenet"], arms[name].settings[0], tasks, "tiny", compare=True)
    assert found.level != "error", found.what
    assert "does nothing" not in found.what


class Drawing(M2PT):
    """Random numbers from elsewhere"""

    def build(self, model, blocks, random):
        pathways = super().build(model, blocks, random)
        pathways[0].cross_modal.weight.data.add_(float(np.random.default_rng().standard_normal()))
        pathways[0].cross_modal.refresh()
        return pathways


class Wrapping(M2PT):
    """Another model by name"""

    def build(self, model, blocks, random):
        model.head.head = nn.Sequential(model.head.head)
        return super().build(model, blocks, random)


class Raising(M2PT):
    """No model"""

    def build(self, model, blocks, random):
        raise RuntimeError("no such block")


class Unmerged(GatedPathways):
    """Other names, as torch's parametrize makes them, and nothing that undoes them"""

    merge = Arm.merge


class Forgetful(GatedPathways):
    """A merge that makes another model"""

    def merge(self, model):
        super().merge(model)
        model.blocks[0].mlp.fc1.weight.data.mul_(-1)


class Appending(Arm):
    """A layer more, and no word of it"""

    name: ClassVar[str] = "appending"

    def build(self, model, blocks, random):
        model.blocks[-1].added = nn.Linear(2, 2)
        return []


class Replacing(Appending):
    """More is declared, and what the plain model has is gone"""

    adds: ClassVar[bool] = True

    def build(self, model, blocks, random):
        model.blocks[-1].mlp.fc1 = nn.Sequential(model.blocks[-1].mlp.fc1)
        return []


class Halfway(GatedPathways):
    """A merge of one layer"""

    def merge(self, model):
        parametrize.remove_parametrizations(model.blocks[0].mlp.fc1, "weight")


class OtherActivation(Arm):
    """Another model by the same weights"""

    name: ClassVar[str] = "other-activation"

    def build(self, model, blocks, random):
        for block in model.blocks:
            block.mlp.act = nn.ReLU()
        return []


class Hooked(M2PT):
    """A layer that computes otherwise, by no weight"""

    def build(self, model, blocks, random):
        model.blocks[0].mlp.fc1.register_forward_hook(lambda layer, given, result: 1.5 * result)
        return super().build(model, blocks, random)


class OtherGradient(Factored):
    """dU of another sign"""

    def pull_back(self):
        super().pull_back()
        self.left.grad.neg_()


class NoGradient(Factored):
    """V trains, and nothing says how"""

    def pull_back(self):
        super().pull_back()
        self.right.grad = None


class OtherSum(Factored):
    """What is merged is another formula; at s = 0, where it begins, it is the same"""

    @torch.no_grad()
    def write_sum(self, rows=slice(None)):
        self.linear.weight.data[rows] = self.weight[rows] + self.scale**2 * self.left[rows] @ self.right.T


class Spoiled(LowRank):
    def build(self, model, blocks, random):
        pathways = super().build(model, blocks, random)
        for pathway in pathways:
            pathway.cross_modal.__class__ = OtherGradient
        return pathways


@pytest.mark.parametrize(("child", "said"), [
    (OtherGradient, "the gradient of left is not that of apart, by its formula"),
    (NoGradient, "right trains, and neither factors nor pull_back gives it a gradient"),
    (OtherSum, "what write_sum writes is not what apart computes, at a scale of 0.3")])
def test_a_sum_or_a_gradient_that_is_not_that_of_the_formula_is_found(child, said):
    model, blocks = (nn.ModuleList(Block(16, 2) for _ in range(2)) for _ in range(2))
    pathways = connect_low_rank(model, blocks, blocks, rank=4, train_factors=True)
    assert list(faults_of_pathways(pathways)) == []
    for pathway in pathways:
        pathway.cross_modal.__class__ = child
    (found,) = faults_of_pathways(pathways)
    assert found == f"{child.__name__} of layer 0.attn.qkv: {said}"


@pytest.mark.parametrize(("arm", "said"), [
    (Drawing(), "two executions end in different weights"),
    (Wrapping(), "the merged model of arm m2pt is not the plain one: without head.head.bias, without head.head.weight"),
    (Raising(), "RuntimeError: no such block"),
    (Unmerged(), "without blocks.0.attn.proj.weight, without blocks.0.attn.qkv.weight, with blocks.0.attn.proj."),
    (Appending(), "with blocks.2.added.bias, with blocks.2.added.weight"), (Replacing(), "without blocks.2.mlp.fc1.bias"),
    (Spoiled(), "OtherGradient of layer 0.attn.qkv: the gradient of left"),
    (OtherActivation(), "the plain model with the weights that are exported differs by "),
    (Hooked(), "the plain model with the weights that are exported differs by "), (Forgetful(), "differs by "),
    (Halfway(), "let its `merge` undo what would be exported under other names")],
    ids=lambda value: getattr(type(value), "__name__", ""))
def test_what_is_wrong_with_an_arm_is_found(arm, said):
    tasks, _ = load_registry()
    found = check_cell(arm, tasks["imagenet"], "pretrained", tasks, "tiny")
    assert found.level == "error"
    assert said in found.what


class Nearly(M2PT):
    """Names that nothing calls beside those that are asked for, options and helpers"""

    name: ClassVar[str] = "nearly"
    is_methd: ClassVar[bool] = False
    rate: float = 1.0

    def tunes(self, name, lr_scale, weight_decay):
        return 0.0, weight_decay

    def stream(self, task, setting, auxiliary):
        return ("arm", "nearly")

    def streams(self):
        return ()

    def auxiliary_block(self):
        return self.rate


def test_names_that_are_nearly_those_that_are_asked_for_are_told(tmp_path, capsys):
    assert misspelt(Nearly()) == [
        f"arm nearly: {name} is no part of Arm, and {meant} is: if that is meant, rename it, as nothing looks at it"
        for name, meant in (("is_methd", "is_method"), ("tunes", "tune"))]
    sixth = runpy.run_path(str(ROOT / "tests" / "sixth_task.py"))["TASK"]
    assert not misspelt(sixth) + misspelt(GATED)
    type(sixth).load_pretrain = lambda self, profile: self.load(profile)["train"].unlabelled()
    (line,) = misspelt(sixth)
    assert "load_pretrain is no part of Task, and load_pretraining is" in line
    assert main(["new", "arm", "my-arm", "--out", str(tmp_path)]) == 0
    file = tmp_path / "my_arm.py"
    text = file.read_text(encoding="utf-8").replace("def tune(", "def tunes(")
    file.write_text(text, encoding="utf-8")
    said = "arm my-arm: tunes is no part of Arm, and tune is"
    chosen = ["-t", "imagenet", "-x", "audio", "--arm", "finetune,my-arm", "--results", str(tmp_path / "results")]
    assert main(["run", *chosen, "--plugins", str(file), "--dry-run"]) == 0
    assert capsys.readouterr().out.count(f"note: {said}") == 1
    file.write_text(text.replace("return connect(", "connect("), encoding="utf-8")
    sys.modules.pop("my_arm")
    assert main(["check", "my-arm", "--plugins", str(file)]) == 1
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(f"note   {said}")
    assert second.startswith("error  build() returned None")


class Thawed(LowRank):
    """Copies of W that train whatever the setting freezes"""

    def build(self, model, blocks, random):
        pathways = super().build(model, blocks, random)
        for pathway in pathways:
            pathway.cross_modal.weight.requires_grad_(True)
        return pathways


@pytest.mark.parametrize(("arm", "level"), [(Thawed(), "error"), (LowRank(), "ok")])
def test_a_copy_of_a_frozen_weight_that_trains_is_found(arm, level):
    tasks, _ = load_registry()
    found = check_cell(arm, tasks["imagenet"], "fix", tasks, "tiny")
    assert found.level == level
    assert ("weight, the copy of the layer's, trains where the setting freezes the layer's: make it with "
            "requires_grad=linear.weight.requires_grad" in found.what) == (level == "error")


def test_a_fusion_of_one_s_own_is_exported_as_a_plain_model(tmp_path):
    """With averaged weights, which are merged, too."""
    tasks, _ = load_registry()
    overrides = [parse_override(text, tasks, may_fit_nothing=True) for text in [*STEP, "recipe.ema_decay=0.5"]]
    plan = Planner(tasks, "tiny", overrides, limit=16).plan([Cell(tasks["imagenet"], GATED, "pretrained", "audio")], [0])
    record = carry_out(plan, tmp_path)
    plain = build_model(plan.jobs[-1].spec, tasks["imagenet"])
    export_weights(plain, tmp_path / "plain.safetensors")
    shapes = [{name: tensor.shape for name, tensor in read_weights(path).items()}
              for path in (tmp_path / "plain.safetensors", tmp_path / "run" / "weights.safetensors")]
    assert shapes[0] == shapes[1]
    assert record.merge_difference == 0.0, "it was looked at, and torch computes the same sum"
    with pytest.raises(ValueError, match="the arm merges its model itself"):
        Member(plan.jobs[-1].spec, tasks["imagenet"], GATED, tmp_path, {}).build()


def test_layers_that_are_one_are_refused_before_anything_is_trained():
    tasks, _ = load_registry()

    class Tied(type(tasks["imagenet"])):
        def head(self, shape, num_classes, setting):
            head = super().head(shape, num_classes, setting)
            head.again = nn.Linear(1, 1)
            head.again.bias = head.head.bias
            return head

    plan = Planner(tasks, "tiny", []).plan([Cell(tasks["imagenet"], FINETUNE, "scratch", None)], [0])
    with pytest.raises(ValueError, match=r"head\.head\.bias and head\.again\.bias share memory"):
        build_model(plan.jobs[-1].spec, Tied())


class Penalised(Arm):
    """A further term of the loss, and nothing beside the plain model"""

    name: ClassVar[str] = "penalised"
    summary: ClassVar[str] = "small logits"
    source: ClassVar[str] = "a test"
    settings: ClassVar = ("scratch",)

    weight: float = 1.0

    def further_loss(self, model, batch, features, logits):
        assert features.sequence.shape[0] == len(logits) == len(batch["index"])
        return self.weight * logits.float().square().mean()


class Overflowing(Penalised):
    """A term beyond single precision"""

    def further_loss(self, model, batch, features, logits):
        return (1e30 * logits.float()).square().mean()


@pytest.mark.parametrize(("arm", "rate", "told"), [(Overflowing(), 1e-3, True), (Plain(), 1e30, False)], ids=["a term", "none"])
def test_of_a_loss_that_is_no_number_the_term_of_its_arm_is_named(arm, rate, told, tmp_path):
    tasks, _ = load_registry()
    changes = (*STEP, "recipe.epochs=3", f"recipe.lr={rate}")
    overrides = [parse_override(text, tasks, may_fit_nothing=True) for text in changes]
    plan = Planner(tasks, "tiny", overrides, limit=16).plan([Cell(tasks["imagenet"], arm, "scratch")], [0])
    with pytest.raises(ArithmeticError, match="lower the learning rate or clip the gradient") as raised:
        carry_out(plan, tmp_path)
    assert str(raised.value).endswith("; or what arm penalised adds to the loss is no finite number") == told


class Halved(Penalised):
    """A term in the precision of the logits"""

    def further_loss(self, model, batch, features, logits):
        return logits.square().mean().to(torch.bfloat16)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_further_term_of_the_loss_is_trained_on_and_one_of_nothing_is_the_plain_model(precision, tmp_path):
    """The plain model of a seed to the last bit where the term is 0 times something; its loss is what both terms make."""
    tasks, _ = load_registry()
    losses, digests = {}, {}
    for arm in (Penalised(weight=0.0), Penalised(weight=100.0), Plain()):
        overrides = [parse_override(text, tasks, may_fit_nothing=True) for text in [*STEP, f"recipe.precision={precision}"]]
        plan = Planner(tasks, "tiny", overrides, limit=16).plan([Cell(tasks["imagenet"], arm, "scratch")], [0])
        record = carry_out(plan, tmp_path / arm.name / arm.variant)
        losses[arm.variant, arm.name], digests[arm.variant, arm.name] = record.curve("train", "loss")[-1][1], record.weights
    plain, none, much = (("", "check-plain"), ("weight=0.0", "penalised"), ("weight=100.0", "penalised"))
    assert digests[none] == digests[plain]
    assert losses[none] == losses[plain]
    assert digests[much] != digests[plain]
    assert losses[much] > losses[plain] + 0.2
    found = check_cell(Halved(), tasks["imagenet"], "scratch", tasks, "tiny")
    assert "what arm penalised adds to the loss is () of torch.bfloat16; make it a scalar, and single precision" in found.what
    with pytest.raises(ValueError, match="the arm adds a term to the loss, and a stack has the task's loss for all"):
        Member(plan.jobs[-1].spec, tasks["imagenet"], Penalised(), tmp_path, {}).build()


def test_a_file_of_another_kind_is_no_plugin(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("")
    assert main(["list", "--plugins", str(tmp_path / "notes.txt")]) == 2
    assert "expected a file of Python (.py)" in capsys.readouterr().err


def test_low_rank_runs_alone_in_a_stack_and_merges_to_the_plain_model(tmp_path, capsys):
    run = ["run", "--matrix", "smoke", "-t", "imagenet", "-x", "audio", "--arm", "low-rank", "--limit", "16", "--lockstep", "2",
           "-j", "2", "--results", str(tmp_path)]
    assert main(run) == 0
    assert "alone, and so not compared with runs in lock-step: imagenet low-rank(audio) seed 0" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "kind"), [(["info", "m2pt"], "arm"), (["info", "imagenet"], "task"),
                                                 (["info", "quick"], "matrix")])
def test_info_as_json_says_what_a_name_is(arguments, kind, capsys):
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["name"]) == (kind, arguments[1])


@pytest.mark.parametrize("what", ["tasks", "arms", "matrices", "variants", "claims"])
def test_list_as_json_has_every_name(what, capsys):
    assert main(["list", what]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert main(["list", what, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)[what]
    assert [line.split()[0] for line in lines] == [one.get("name") or one["id"] for one in told]
