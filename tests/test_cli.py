"""What is typed: bad input is refused in one line with what would fit, exit code 2; looking at things shows them."""

from __future__ import annotations

import errno
import gc
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import torch
from synthetic import make_record, make_spec

from baselines import ARMS, STUDY
from benchmark import __version__
from benchmark.bench.run import MEASUREMENTS
from benchmark.check.choices import check_choices
from benchmark.cli import closing, reading
from benchmark.cli.commands import build_parser
from benchmark.cli.config import with_config
from benchmark.cli.context import make_plan, refuse_unwritable
from benchmark.cli.main import SELDOM, main
from benchmark.data import embedded
from benchmark.model.weights import read_weights, save_tensors
from benchmark.plan.fit import set_otherwise
from benchmark.plan.overrides import named_fields
from benchmark.plan.plugins import check_names
from benchmark.plan.variants import load_variants
from benchmark.provenance.code import used_code
from benchmark.records.store import Store
from benchmark.runner import machine
from benchmark.spec.runspec import RunSpec
from tasks import TASKS

ROOT = Path(__file__).parents[1]
SMALL = ("--matrix", "smoke", "-t", "imagenet", "-x", "audio")


@pytest.fixture
def refused(capsys):
    """Call the command, see that it refuses as it should, and give its one line."""

    def call(*arguments: str) -> str:
        assert main(arguments) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        (line,) = printed.err.splitlines()
        assert line.startswith("benchmark: ")
        return line

    return call


@pytest.mark.parametrize(("arguments", "said"), [
    (["-t", "imagenett"], "unknown task 'imagenett'; did you mean 'imagenet'? known: imagenet, "),
    (["-t", "imagenet,audoset"], "unknown task 'audoset'; did you mean 'audioset'?"),
    (["--arm", "m2tp"], "unknown arm 'm2tp'; did you mean 'm2pt'?"),
    (["-x", "audoi"], "unknown auxiliary modality 'audoi'; did you mean 'audio'?"),
    (["-x", "sound"], "unknown auxiliary modality 'sound'; known: image, "),
    (["-x", "imagenet"], "unknown auxiliary modality 'imagenet'; did you mean 'image'?"),
    (["--matrix", "smok"], "unknown matrix 'smok'; did you mean 'smoke'?"),
    (["--profile", "tinny"], "invalid choice: 'tinny' (choose from 'tiny', 'small', 'paper')"),
    (["--setting", "scrtach"], "unknown setting 'scrtach'; did you mean 'scratch'? known: pretrained, fix, scratch"),
    (["--seeds", "0..2"], "--seeds 0..2: expected numbers and ranges such as 0-2,5"),
    (["--seeds", "1,1"], "--seeds 1,1: names no seed, or one twice"),
    (["--set", "recipe.epoch=1"], "--set recipe.epoch: no such field; did you mean 'epochs'?"),
    (["--set", "imagnet.recipe.epochs=1"], "did you mean 'imagenet'?"),
    (["--set", "recipe.epochs=few"], "--set recipe.epochs: expected a whole number, not 'few'"),
    (["--set", "recipe.epochs=2.5"], "--set recipe.epochs: expected a whole number, not 2.5"),
    (["--set", "shape.patch_size=8"], "--set shape.patch_size: expected several values, with commas between, not 8"),
    (["--set", "recipe.test_views=3"], "--set recipe.test_views: expected names with values, such as {\"NAME\": 0.5}, not 3"),
    (["--set", "recipe.lr=fast"], "--set recipe.lr: expected a number, not 'fast'"),
    (["--set", "recipe.epochs=0"], "--set recipe.epochs: Input should be greater than 0"),
    (["--set", "recipe.epochs=true"], "--set recipe.epochs: expected a number, where true or false is given"),
    (["--set", "recipe.augment.flip=true", "-t", "imagenet"], "--set recipe.augment.flip: expected a number, where true"),
    (["--set", "recipe.min_lr=1"], "recipe.min_lr is 1, above the 0.003 of recipe.lr, from which the rate falls to it; set"),
    (["--set", "pretrain.stop_epoch=500", "-t", "imagenet", "-x", "audio"],
     "stop_epoch is 500, and the schedule ends after 320 epochs; set pretrain.stop_epoch to 320 or less"),
    (["--set", "shape.num_heads=5"], "shape.num_heads is 5, which does not divide 96, shape.embed_dim; set one to"),
    (["--set", "shape.decoder_num_heads=5"], "shape.decoder_num_heads is 5, which does not divide"),
    (["--set", "recipe.betas=0.9,1.5"], "recipe.betas is 0.9,1.5, of which a moving mean keeps each share of what it was; set"),
    (["--set", "recipe.accumulation=128"], "accumulation is 128, and a batch of 64 has not so many parts; set it to 64 or"),
    (["--set", "imagenet.recipe.augment.flip=1.5"], "recipe.augment.flip is 1.5, and it is a share or a probability; set"),
    (["--set", "audioset.pretrain.augment.roll=-1"], "pretrain.augment.roll is -1, and it is a share or a probability"),
    (["--set", "recipe.lr=1e999"], "--set recipe.lr: Input should be a finite number"),
    (["--set", "arm.scale_int=1"], "--set arm.scale_int changes nothing in this matrix; did you mean 'scale_init'?"),
    (["--set", "kinetics.recipe.epochs=1", "-t", "imagenet"], "--set kinetics.recipe.epochs changes nothing"),
    (["-t", "imagenet", "-x", "image", "--arm", "m2pt"], "no target takes the auxiliary image: it is the target's own"),
    (["-t", "imagenet", "-x", "image"], "no target takes the auxiliary image: it is the target's own modality"),
    (["--set", "lr=1e-3"], "expected [TASK.]SCOPE.FIELD=VALUE; did you mean recipe.lr=1e-3 or pretrain.lr=1e-3?"),
    (["--set", "imagenet.lr=1e-3"], "did you mean imagenet.recipe.lr=1e-3 or imagenet.pretrain.lr=1e-3?"),
    (["--set", "scale_init=1"], "of an arm it is arm.scale_init=1"),
    (["--set", "recipe.lr"], "--set recipe.lr: expected [TASK.]SCOPE.FIELD=VALUE; the value is missing, as in recipe.lr=VALUE"),
    (["--arm", "finetune", "--setting", "scratch"], "no run fits"),
    (["--plugins", "no/such/folder"], "--plugins no/such/folder: no such file or folder"),
    (["--epochs", "1"], "unrecognized arguments: --epochs 1; see benchmark "),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
@pytest.mark.parametrize("command", [("status",), ("run", "--dry-run")], ids=" ".join)
def test_bad_choices_are_refused_with_what_would_fit(refused, tmp_path, command, arguments, said):
    assert said in refused(*command, *arguments, "--results", str(tmp_path / "results"))
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("arguments", "said"), [
    (["--set", "recipe.test_views.x=3"], "imagenet finetune cannot have recipe.test_views.x 3: test_views {'x': 3}: known"),
    (["--set", "recipe.augment.flp=0.5"], "imagenet finetune cannot have recipe.augment.flp 0.5: unknown augmentation flp"),
    (["--set", "pretrain.augment.flp=0.5"], "image pretraining cannot have pretrain.augment.flp 0.5: unknown augmentation flp"),
    (["--set", "pretrain.mask_ratio=0.99"], "image pretraining cannot have pretrain.mask_ratio 0.99: mask_ratio 0.99 keeps 0"),
    (["--set", "arm.layers=foo"], "imagenet m2pt(audio) [layers=foo] cannot be built: block 0 has no linear layer ['foo']"),
    (["--set", "shape.patch_size=[5,7]"], "cannot have shape.patch_size (5, 7): patch_size (5, 7) does not divide input"),
    (["--set", "imagenet.shape.input_size=[48,48]"], "shape.input_size (48, 48): the tokenizer takes inputs of shape (B"),
    (["-t", "audioset", "--arm", "finetune", "--set", "recipe.label_smoothing=0.1"], "audioset has no label smoothing"),
    (["--arm", "low-rank", "--set", "arm.rank=1000"], "[rank=1000] cannot be built: arm.rank=1000: layer 0.attn.qkv has"),
    (["-t", "modelnet", "--arm", "finetune", "--set", "recipe.batch_size=2000", "--set", "recipe.accumulation=59"],
     "modelnet finetune: recipe has a micro-batch of one sample, which the batch norm in the task's head cannot train on; set "
     "recipe.accumulation to 50"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
@pytest.mark.parametrize("command", [("run",), ("run", "--dry-run")], ids=" ".join)
def test_what_a_task_or_an_arm_does_not_know_is_refused_before_a_run(refused, tmp_path, command, arguments, said):
    chosen = [] if "-t" in arguments else ["-t", "imagenet", "-x", "audio"]
    assert said in refused(*command, *chosen, *arguments, "--seeds", "0", "--results", str(tmp_path / "results"))
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("matrix", ["controls", "dose"])
def test_every_option_of_our_own_matrices_is_one_that_its_arm_knows(matrix):
    plan, _ = make_plan(build_parser().parse_args(["run", "--matrix", matrix, "--seeds", "0"]))
    assert any(job.arm.variant for job in plan.jobs if job.arm is not None)
    check_choices(plan.jobs)


@pytest.mark.parametrize("changed", ["recipe.label_share=0.3", "recipe.augment.erase=0.1", "shape.patch_size=[8,4]"])
def test_what_is_set_otherwise_and_fits_is_planned(changed):
    plan, _ = make_plan(build_parser().parse_args(["run", "-t", "imagenet", "--arm", "finetune", "--set", changed]))
    ours = [set_otherwise(job) for job in plan.jobs]
    assert any(list(one) == [changed.partition("=")[0]] for one in ours)
    check_choices(plan.jobs)


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "required: COMMAND; see benchmark --help"),
    (["rnu"], "invalid choice: 'rnu' (choose from 'run'"),
    (["info"], "required: NAME; see benchmark info --help"),
    (["info", "m2tp"], "unknown name 'm2tp'; did you mean 'm2pt'?"),
    (["info", "M2PT"], "unknown name 'M2PT'; did you mean 'm2pt'?"),
    (["info", "ImageNet"], "unknown name 'ImageNet'; did you mean 'imagenet'?"),
    (["data", "list", "imagnet"], "unknown task 'imagnet'; did you mean 'imagenet'?"),
    (["list", "armz"], "invalid choice: 'armz'"),
    (["run", "--task", "imagenet"], "unrecognized arguments: --task imagenet; did you mean --target?"),
    (["run", "quick"], "unrecognized arguments: quick; did you mean --matrix quick?"),
    (["run", "my_arm.py"], "did you mean --plugins my_arm.py?"),
    (["report", "results/quick"], "unrecognized arguments: results/quick; did you mean --results results/quick?; see benchmark "
                                  "report --help"),
    (["view", "RUN", "--plot"], "unrecognized arguments: --plot; see benchmark view --help"),
    (["--matrix", "quick"], "--matrix is given before a command; options follow it, such as benchmark run --matrix quick"),
    (["new"], "required: arm|task, NAME; see benchmark new --help"),
    (["check", "mine/my_arm.py"], "is a file, and what it defines is checked by its name: benchmark check NAME "),
    (["check", "my-arm"], "unknown task or arm 'my-arm'; "),
    (["run", "--arm", "my-arm", "--dry-run"], "; one of your own is found with --plugins FILE"),
    (["run", "-t", "my-task", "--dry-run"], "; one of your own is found with --plugins FILE"),
    (["view", "RUN", "--results", "no/such/folder"], "no run 'RUN': there is no record in this results folder"),
    (["run", "--device", "gpu"], "--device gpu: expected auto, cpu, cuda or cuda:N"),
    (["run", "-j", "-1"], "--jobs -1: expected at least 1"),
    (["run", "-j", "0"], "--jobs 0: expected at least 1"),
    (["run", "--lockstep", "0"], "--lockstep 0: expected at least 1, each run alone"),
    (["run", "--matrix", "cost", "--lockstep", "8"], "the runs of this matrix are compared by time, so each must train alone"),
    (["run", "--processes-per-run", "0"], "--processes-per-run 0: expected at least 1"),
    (["run", "--gpus-per-run", "2", "--device", "cpu"], "--gpus-per-run 2: 0 GPUs can be used here; on a CPU it is"),
    (["run", "--gpus-per-run", "2", "--device", "cuda:1"], "--device cuda:1, which is one GPU: use --device cuda"),
    (["run", "--gpus-per-run", "2", "--processes-per-run", "2"], "give one of them"),
    (["run", "--processes-per-run", "2", "--device", "cpu", "--lockstep", "4"], "are to share one run: give one of the two"),
    (["run", "--processes-per-run", "2", "--device", "cpu", "--debug"], "leave out --gpus-per-run and --processes-per-run"),
    (["run", "--limit", "0"], "--limit 0: expected at least 1"),
    (["run", "-j", "two"], "invalid int value: 'two'"),
    (["report", "--results", "no/such/folder"], "no results in no/such/folder (there is no such folder); run a matrix first"),
    (["report", "--compare", "there", "--only", "verdicts"], "--compare is shown in the part compare: name it in --only, too"),
    (["list", "variants", "--results", "mine"], "--results says by which records claims are judged; use it with: benchmark"),
    (["info", "nothing-like-it"], "unknown name 'nothing-like-it'; all names: benchmark list, list variants, list claims; "),
    (["report", "--select", "best"], "invalid choice: 'best' (choose from 'last', 'best-val', 'oracle')"),
    (["export", "x", "--results", "no/such/folder"], "no single run 'x' with weights in no/such/folder"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_bad_commands_are_refused(refused, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert said in refused(*arguments)


def test_names_may_have_spaces_after_their_commas():
    chosen = ["-t", "imagenet, kinetics", "-x", "audio", "--arm", "finetune, m2pt"]
    plan, _ = make_plan(build_parser().parse_args(["run", *chosen]))
    assert {(spec.task, spec.arm) for spec in plan.specs if spec.kind == "train"} == {
        (task, arm) for task in ("imagenet", "kinetics") for arm in ("finetune", "m2pt")}


def test_a_matrix_named_without_the_end_of_its_file_is_said_to_be_here(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("")
    assert refused("run", "--matrix", "mine") == "benchmark: unknown matrix 'mine'; did you mean the file mine.yaml?"
    Path("mine.toml").write_text("seeds = 3\n")
    assert refused("run", "--matrix", "mine.toml") == ("benchmark: unknown matrix 'mine.toml'; a matrix is a YAML file, "
                                                       "whose name ends in .yaml; benchmark info full shows one")


def test_official_data_that_is_not_prepared_is_said_to_be(refused, tmp_path, monkeypatch):
    monkeypatch.setenv("M2PT_DATA", str(tmp_path))
    for names, tasks in (("imagenet1k",), ("imagenet",)), (("kinetics400", "audioset_20k"), ("kinetics", "audioset")):
        message = refused("status", "--profile", "paper", "-t", ",".join(tasks), "--arm", "scratch", "--setting", "scratch")
        assert message == "benchmark: " + "; ".join(
            f"data set {name} is not prepared; do so with: benchmark data prepare {task} --root DIR"
            for name, task in zip(names, tasks, strict=True))


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """A copy of the embedded data that may be damaged."""
    folder = tmp_path / "embedded"
    folder.mkdir()
    for path in embedded.FOLDER.iterdir():
        (folder / path.name).symlink_to(path)
    monkeypatch.setattr(embedded, "FOLDER", folder)
    return folder


@pytest.mark.parametrize("command", ["run", "status"])
def test_a_missing_data_set_is_named_and_nothing_is_started(refused, data, tmp_path, command):
    (data / "image_emoji.npz").unlink()
    line = refused(command, *SMALL, "--results", str(tmp_path / "results"))
    assert "image_emoji.npz is missing; restore it with: git checkout" in line
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("damage", ["truncated", "one byte", "empty"])
def test_a_damaged_data_set_is_named(refused, data, damage):
    path = data / "image_emoji.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes({"truncated": content[:1000], "one byte": content, "empty": b""}[damage])
    line = refused("status", *SMALL)
    assert "image_emoji.npz is damaged" in line
    assert "restore it" in line


def test_other_tasks_do_without_a_damaged_data_set(data, tmp_path, capsys):
    (data / "image_emoji.npz").unlink()
    results = ["--results", str(tmp_path)]
    assert main(["status", "--matrix", "smoke", "-t", "audioset", "-x", "point", *results]) == 0
    assert "audioset m2pt(point)" in capsys.readouterr().out
    assert main(["info", "imagenet"]) == main(["list"]) == 0


@pytest.mark.parametrize("place", ["below a file", "a file", "proc"])
def test_a_results_folder_that_cannot_be_written_is_refused(refused, tmp_path, place):
    file = tmp_path / "file"
    file.write_text("kept")
    folder = {"below a file": file / "results", "a file": file, "proc": Path("/proc/results")}[place]
    line = refused("run", *SMALL, "--results", str(folder))
    assert line.startswith(f"benchmark: results folder {folder} cannot be written (")
    assert "choose another with --results" in line
    assert file.read_text() == "kept"


@pytest.fixture
def open_folder(monkeypatch) -> Iterator[Path]:
    """An empty folder to work in that others may enter, as they may not a folder of pytest's"""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.chdir(folder)
        yield Path(folder)
        monkeypatch.undo()


@contextmanager
def another_user() -> Iterator[None]:
    """One who has no right to what is closed, as root has"""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.parametrize(("closed", "command"), [
    *((place, command) for place in ("results", "results/runs")
      for command in ("status", "status --matrix smoke", "run --dry-run --matrix smoke", "list claims", "export x", "view x")),
    ("results/work", "export x"), ("results/slurm", "cancel"), ("certificates", "status")])
def test_a_folder_that_may_not_be_read_is_named_in_one_line(open_folder, capsys, closed, command):
    for folder in ("results/runs/a", "results/work/a", "results/slurm/0001", "certificates"):
        Path(folder).mkdir(parents=True)
    Path("results/runs/a/failure.json").write_text("{}")
    arguments = [*command.split(), "--results", "results"]
    main(arguments)  # what it imports may not be open to the other user either
    capsys.readouterr()
    Path(closed).chmod(0)
    try:
        with another_user():
            assert main(arguments) == 2
    finally:
        Path(closed).chmod(0o700)
    printed = capsys.readouterr()
    assert re.fullmatch(rf"benchmark: \S*{closed}\S* cannot be read or written \(Permission denied\); .*\n", printed.err)


@pytest.mark.parametrize("how", ["closed", "a loop"])
def test_a_run_that_cannot_be_looked_at_is_named_and_not_left_out(open_folder, how):
    store = Store(Path("results"))
    store.prepare()
    specs = [make_spec(seed=seed) for seed in range(3)]
    for spec in specs:
        store.save(make_record(spec))
    (store.folder / "runs" / "notes.txt").write_text("no run")
    place = store.run_folder(specs[1])
    if how == "closed":
        place.chmod(0)
    else:
        shutil.rmtree(place)
        place.symlink_to(place.name)
    with another_user():
        records, problems = store.records()
        headers = store.headers(os.listdir("results/runs"))
        with pytest.raises(OSError, match=place.name):
            store.changed_ns(specs[1])
    place.chmod(0o700) if how == "closed" else place.unlink()
    assert {record.spec.seed for record in records} == {0, 2}
    (problem,) = problems
    why = "Permission denied" if how == "closed" else "Too many levels of symbolic links"
    assert problem.startswith(f"results/runs/{place.name}/record.json: unreadable (")
    assert why in problem
    assert [name for name, header in headers.items() if header.fault] == [place.name]
    assert len(headers) == 3


@pytest.mark.parametrize(("error", "more"), [
    (OSError(errno.EIO, "Input/output error", "file"), []), (PermissionError(errno.EACCES, "Permission denied"), []),
    (PermissionError(errno.EACCES, "Permission denied", "file"), ["--debug"])], ids=["disk", "no file", "debug"])
def test_what_may_be_a_fault_of_ours_keeps_its_traceback(monkeypatch, error, more):
    def run(options, text):
        raise error

    monkeypatch.setattr("benchmark.cli.running.run_matrix", run)
    with pytest.raises(OSError, match=error.strerror):
        main(["run", "--matrix", "smoke", *more])


@pytest.mark.parametrize(("name", "text", "said"), [
    ("broken.py", "def (:\n", "broken.py cannot be imported (SyntaxError"),
    ("needy.py", "import no_such_module\n", "needy.py cannot be imported (ModuleNotFoundError: No module named"),
    ("nothing.py", "VALUE = 1\n", "nothing.py defines neither TASK nor ARM; end it with one, such as ARM = MyArm()"),
    ("number.py", "TASK = 1\n", "an object of int is neither a Task nor an Arm; let the class inherit"),
    ("beside.py", "VALUE = 1\n", "a file that others import is left out of a folder of plugins where its name begins with _"),
    ("class_arm.py", "from baselines.m2pt import M2PT as ARM\n", "ARM is the class M2PT; make an object of it: ARM = M2PT()"),
    ("class_task.py", "from tasks import TASKS\nTASK = type(TASKS['imagenet'])\n", "; make an object of it: TASK = "),
    ("spaced.py", "from baselines.m2pt import M2PT\nclass A(M2PT):\n    name = 'my arm/2'\nARM = A()\n",
     "name is 'my arm/2'; make it a text of a letter and up to 29 letters, digits, _ or - after it"),
    ("odd.py", "from tasks import TASKS\nclass A(type(TASKS['imagenet'])):\n    name, modality = 'own', 'my glyph/2'\n"
     "TASK = A()\n", "modality is 'my glyph/2'; make it a text of a letter and up to 29 letters, digits or _ after it"),
    ("unnamed.py", "from benchmark.spec.contracts import Arm\nclass A(Arm):\n    pass\nARM = A()\n", "name is None; make it"),
    ("double.py", "from baselines.m2pt import ARM\n", "plugin 'm2pt': there is one of this name already"),
    ("random.py", "ARM = 1\n", "random.py has the name of another module"),
])
def test_plugins_that_do_not_fit_are_refused(refused, tmp_path, monkeypatch, name, text, said):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / name).write_text(text)
    assert said in refused("list", "--plugins", str(tmp_path))


def test_a_folder_of_plugins_may_hold_modules_that_they_import(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "_of_plugins.py").write_text("SUMMARY = 'imported from beside it'\n")
    (tmp_path / "importing_arm.py").write_text("from _of_plugins import SUMMARY\nfrom baselines.m2pt import M2PT\n\n\n"
                                               "class A(M2PT):\n    name, summary = 'importing', SUMMARY\n\n\nARM = A()\n")
    assert main(["list", "arms", "--plugins", str(tmp_path)]) == 0
    assert "imported from beside it" in capsys.readouterr().out


def test_every_name_of_ours_is_one_that_a_plugin_may_have():
    for value in [*TASKS.values(), *ARMS.values()]:
        check_names(value, "ours")


def test_a_plugin_arm_is_listed_and_planned(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "tenfold_arm.py").write_text(
        "from baselines.m2pt import M2PT\n\n\nclass Tenfold(M2PT):\n    name = 'tenfold'\n    summary = 'ten scales'\n\n\n"
        "ARM = Tenfold(scale_init=10)\n")
    plugins = ["--plugins", str(tmp_path)]
    assert main(["list", "arms", *plugins]) == 0
    assert "ten scales" in capsys.readouterr().out
    assert main(["status", *SMALL, "--arm", "tenfold", *plugins, "--results", str(tmp_path / "results")]) == 0
    assert "imagenet tenfold(audio) [scale_init=10.0]  0:missing" in capsys.readouterr().out


def without_stack(code: dict[str, str]) -> dict[str, str]:
    return used_code(code, stacked=False, shared=False)


@pytest.fixture
def states(tmp_path) -> tuple[str, ...]:
    """A results folder with runs in every state; gives the options that name its matrix."""
    options = (*SMALL, "-x", "video", "--results", str(tmp_path))
    plan, store = make_plan(build_parser().parse_args(["status", *options]))
    specs: dict[str, RunSpec] = {spec.cell: spec for spec in plan.specs}
    store.prepare()
    codes = {job.spec.cell: job.code for job in plan.jobs}
    store.save(make_record(specs["image pretraining"], code=without_stack(codes["image pretraining"])))
    store.save_failure(specs["audio pretraining"], "ValueError: too loud", "Traceback ...")
    moved = {**without_stack(codes["imagenet finetune"]), "arm": "0" * 16}
    store.save(make_record(specs["imagenet finetune"], code=moved))
    broken = tmp_path / "runs" / "imagenet-broken"
    broken.mkdir()
    (broken / "record.json").write_text("{")
    return options


@pytest.mark.parametrize("many", [1, 1000], ids=["by all cores", "by one"])
@pytest.mark.parametrize("command", [("status",), ("run", "--dry-run")], ids=" ".join)
def test_every_state_is_shown(states, capsys, command, many, monkeypatch):
    monkeypatch.setattr("benchmark.records.headers.MANY", many)
    assert main([*command, *states]) == 0
    lines = capsys.readouterr().out.splitlines()
    if "--dry-run" in command:
        assert re.match(r"\d runs to do; how long they take is not known|about \d:\d\d:\d\d of computing left", lines.pop())
    last = lines.pop()
    cells = dict(re.split(r" {2,}", line) for line in lines)
    assert cells.pop("failed").endswith(": ValueError: too loud")
    assert "imagenet-broken/record.json: unreadable" in cells.pop("unreadable")
    assert cells.pop("other code").startswith("arm changed since: imagenet-pretrained-finetune-s0-")
    assert cells == {"image pretraining": "0:up to date", "audio pretraining": "0:failed", "video pretraining": "0:missing",
                     "imagenet finetune": "0:other code", "imagenet m2pt(audio)": "0:missing",
                     "imagenet m2pt(video)": "0:missing"}
    assert last.startswith("6 runs in ")
    assert set(last.partition(": ")[2].split(", ")) == {"1 up to date", "1 failed", "1 other code", "3 missing"}


def test_looking_changes_nothing(states, tmp_path):
    def content() -> dict[Path, float]:
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    before = content()
    assert main(["status", *states]) == main(["run", "--dry-run", *states]) == 0
    assert content() == before


@pytest.mark.parametrize(("profile", "device", "gpus", "expected"), [
    ("tiny", "auto", 0, 16), ("tiny", "cpu", 4, 16), ("tiny", "cuda:3", 4, 8), ("small", "auto", 1, 8),
    ("small", "cuda", 4, 16), ("paper", "auto", 4, 4), ("paper", "cuda:1", 4, 1), ("small", "auto", 32, 32)])
def test_small_runs_share_a_gpu_and_large_ones_do_not(profile, device, gpus, expected, monkeypatch):
    monkeypatch.setattr(machine, "count_gpus", lambda: gpus)
    assert machine.default_jobs(profile, device, 16, 1) == expected
    stacked = profile != "paper" and device != "cpu" and gpus > 0
    for free, tiny, small in ((0, 1, 1), (10_000, 8, 2), (70_000, 48, 16), (140_000, 48, 32)):
        monkeypatch.setattr(machine, "free_memory_mib", lambda free=free: free)
        assert machine.default_lockstep(profile, device) == ({"tiny": tiny, "small": small}[profile] if stacked else 1)
    if stacked:
        assert machine.default_jobs(profile, device, 16, 8) == (2 if ":" in device else min(2 * gpus, max(16, gpus)))


@pytest.mark.parametrize(("files", "groups", "share"), [
    ({"cpu.max": "200000 100000\n"}, "0::/\n", 2), ({"cpu.max": "max 100000\n"}, "0::/\n", math.inf),
    ({"pod/cpu.max": "150000 100000\n", "pod/own/cpu.max": "max 100000\n"}, "0::/pod/own\n", 1.5),
    ({"cpu.max": "50000 100000\n"}, "0::/of/the/host\n", 0.5),
    ({"cpu,cpuacct/slurm/cpu.cfs_quota_us": "400000\n", "cpu,cpuacct/slurm/cpu.cfs_period_us": "100000\n"},
     "12:pids:/\n4:cpu,cpuacct:/slurm\n0::/\n", 4),
    ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "1:cpu:/\n", math.inf), ({}, "", math.inf)],
    ids=["container", "no limit", "of a group around it", "group of the host", "version 1", "no limit, version 1",
         "nothing said"])
def test_a_share_of_cores_is_read_of_control_groups(files, groups, share, tmp_path, monkeypatch):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine.share_of_cores(tmp_path, groups) == share
    (tmp_path / "groups").write_text(groups)
    monkeypatch.setattr(machine, "SHARES", tmp_path)
    monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(3)), raising=False)
    assert machine.count_cores() == max(1, min(3, math.floor(min(share, 3))))


@pytest.mark.parametrize("text", ["#!/bin/sh\nsleep 5\n", "no program"], ids=["silent", "damaged"])
def test_a_driver_that_does_not_answer_is_none(tmp_path, monkeypatch, text):
    (tmp_path / "nvidia-smi").write_text(text)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "PATIENCE_S", 0.2)
    assert (machine.count_gpus(), machine.free_memory_mib()) == (0, 0)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nif [ $1 = -L ]; then echo GPU 0: one; echo GPU 1: other; else echo 70; "
                                         "echo 60; fi\n")
    monkeypatch.setattr(machine, "PATIENCE_S", 30)
    assert (machine.count_gpus(), machine.free_memory_mib()) == (2, 60)


def test_a_limit_is_of_every_run_and_has_a_folder_of_its_own():
    plan, store = make_plan(build_parser().parse_args(["run", "--limit", "8", "-t", "audioset"]))
    assert {spec.limit for spec in plan.specs} == {8}
    assert store.folder == Path("results/smoke")
    plan, _ = make_plan(build_parser().parse_args(["run", "--matrix", "smoke", "--limit", "8"]))
    assert {spec.limit for spec in plan.specs} == {8}


def test_the_help_of_bench_names_every_measurement(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    assert ",".join(MEASUREMENTS) in "".join(capsys.readouterr().out.split())


def test_lists_name_every_task_arm_and_matrix(capsys):
    assert main(["list"]) == 0
    everything = capsys.readouterr().out
    for kind, known in (("tasks", TASKS), ("arms", ARMS), ("matrices", STUDY.matrices), ("variants", load_variants(STUDY))):
        assert main(["list", kind]) == 0
        part = capsys.readouterr().out
        assert (part in everything) == (kind != "variants")
        assert [line.split()[0] for line in part.splitlines()] == [f"{kind}:", *known]


@pytest.mark.parametrize("name", [*TASKS, *ARMS, *STUDY.matrices, *load_variants(STUDY)])
def test_everything_that_is_listed_is_explained(name, capsys):
    assert main(["info", name]) == 0
    printed = capsys.readouterr().out.removeprefix("# ")  # a matrix is shown as a file, with comments
    known = {**TASKS, **ARMS, **STUDY.matrices, **load_variants(STUDY)}[name]
    assert printed.startswith(f"{name}: {known.summary}\n")
    if name in TASKS:
        assert all(part in printed for part in ("chance", "\nshape: ", "embed_dim=", "recipe, pretrained:"))
        assert ("\npretrain: " in printed) == (TASKS[name].pretrained_by is None)
    elif name in ARMS:
        assert all(f"--set arm.{option}=" in printed for option in type(known).model_fields)
    elif name in STUDY.matrices:
        assert f"run it: benchmark run --matrix {name}" in printed
    else:
        assert (f"run it: {known.command}" in printed) == bool(known.set)
        assert all(f"--set {text}" in printed for text in known.set)


def test_a_run_is_explained_by_its_record_and_a_failed_one_by_its_error(tmp_path, monkeypatch, capsys):
    store = Store(tmp_path / "results" / "tiny")
    treated, failed = make_record(make_spec(arm="m2pt", auxiliary="point"), 46.25), make_record(make_spec(seed=1))
    store.prepare()
    store.save(treated)
    store.save_failure(failed.spec, "it went wrong here", "the traceback")
    monkeypatch.chdir(tmp_path)  # found below results/ without being told where
    assert main(["info", treated.spec.name]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{treated.spec.name}: m2pt on imagenet with weights from point, profile tiny, setting pretrained, seed 0"
    assert said[1] == f"file: results/tiny/runs/{treated.spec.name}/record.json"
    assert any(line.startswith("test: top-1 46.25") and line.endswith(" after 12 epochs") for line in said)
    assert said[-1] == f"again: benchmark reproduce {treated.spec.name} --results results/tiny"
    assert main(["info", failed.spec.name, "--results", "results/tiny"]) == 0
    assert "error: it went wrong here\n" in capsys.readouterr().out
    assert main(["info", treated.spec.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run_id"] == treated.run_id
    assert main(["info", treated.spec.name[:-1]]) == 2
    assert "a run is named as its folder below results/PROFILE/runs" in capsys.readouterr().err


@pytest.mark.parametrize("profile", ["tiny", "small", "paper"])
def test_recipes_of_every_profile_are_shown(profile, capsys):
    assert main(["info", "imagenet", "--profile", profile]) == 0
    assert f"embed_dim={TASKS['imagenet'].profiles[profile].shape.embed_dim}" in re.split(r"[ ,]+", capsys.readouterr().out)


def test_export_copies_the_weights_of_the_run_that_is_named(tmp_path, refused, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path)
    first, second = (make_spec("finetune", seed=seed) for seed in (0, 1))
    for number, spec in enumerate((first, second)):
        store.work(spec)
        save_tensors({"blocks.0.norm1.bias": torch.full((3,), float(number))}, store.weights(spec))
    results = ["--results", str(tmp_path)]
    assert f"run {first.name} has weights and no record" in refused("export", first.run_id, *results)
    for spec in (first, second):
        store.save(make_record(spec))
    assert main(["export", second.run_id, *results]) == 0
    assert read_weights(tmp_path / f"{second.name}.safetensors")["blocks.0.norm1.bias"].tolist() == [1, 1, 1]
    assert main(["export", first.name, *results, "--out", "chosen.safetensors"]) == 0
    assert read_weights(tmp_path / "chosen.safetensors")["blocks.0.norm1.bias"].tolist() == [0, 0, 0]
    assert 'load_file("chosen.safetensors")' in capsys.readouterr().out
    assert f"did you mean '{first.name}'?" in refused("export", first.name[:-3], *results)
    line = refused("export", first.run_id, *results, "--out", "no/such/folder/file")
    assert "no/such/folder/file cannot be written (No such file or directory); choose another file with --out" in line


@pytest.mark.parametrize("command", [
    "report --results results --plugins no.py", "export-logs --results results", "align --start no.pth --trained no.pth",
    "convert no.pth imagenet", "view no", "data view imagenet --profile paper", "bench --only planning"])
def test_what_cannot_be_written_is_said_before_anything_is_read(command, tmp_path, monkeypatch, refused):
    """A report was analysed first, and a matrix certified"""
    monkeypatch.chdir(tmp_path)
    Path("results/runs/a").mkdir(parents=True)
    Path("results/runs/a/record.json").write_text("{")
    Path("file").write_text("")
    out = f"file/{'x.safetensors' if command.startswith('convert') else 'x.png' if 'view' in command else 'x'}"
    what = "file" if Path(out).suffix else "folder"
    assert refused(*command.split(), "--out", out) == (
        f"benchmark: {out} cannot be written (Not a directory); choose another {what} with --out")


@pytest.mark.parametrize(("path", "what", "makes_folders", "said"), [
    ("new/a", "folder", True, None), ("new/a", "file", True, None), ("new/a", "file", False, "No such file or directory"),
    ("full", "folder", True, None), ("full", "file", True, "Is a directory"), ("text", "file", False, None),
    ("text", "folder", True, "Not a directory"), ("a" * 300, "folder", True, "File name too long")])
def test_whether_something_can_be_written_is_seen_without_making_anything(tmp_path, path, what, makes_folders, said):
    (tmp_path / "full").mkdir()
    (tmp_path / "text").write_text("")
    before = sorted(tmp_path.iterdir())
    told = pytest.raises(ValueError, match=rf"cannot be written \({said}\); choose another {what} with --out") if said \
        else nullcontext()
    with told:
        refuse_unwritable(tmp_path / path, what, makes_folders=makes_folders)
    assert sorted(tmp_path.iterdir()) == before


def test_weights_of_a_committed_run_are_not_there_and_how_to_have_them_is_said(states, tmp_path, refused):
    line = refused("export", "image-pretrain", "--results", str(tmp_path))
    assert "did you mean" in line or "there are none: run a matrix first" in line
    name = next(path.name for path in (tmp_path / "runs").iterdir() if path.name.startswith("image-pretrain"))
    for asked in (name, name.rpartition("-")[2]):
        line = refused("export", asked, "--results", str(tmp_path))
        assert f"run {name} has a record in {tmp_path} and no weights" in line
        assert f"benchmark reproduce {name} --results {tmp_path} --out DIR" in line


def test_one_task_s_data_sets_are_listed_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("M2PT_DATA", str(tmp_path))
    assert main(["data", "list", "imagenet"]) == 0
    one = capsys.readouterr().out
    assert one.startswith("imagenet  imagenet1k\n")
    assert "kinetics400" not in one
    assert main(["data", "list"]) == 0
    assert one in (every := capsys.readouterr().out)
    assert "kinetics400" in every


def test_runs_at_paper_scale_are_listed_before_their_data_are_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("M2PT_DATA", str(tmp_path / "data"))
    arguments = ["run", "--profile", "paper", "-t", "imagenet", "-x", "point", "--seeds", "0", "--results", str(tmp_path / "r")]
    assert main([*arguments, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"imagenet m2pt\(point\) +0:missing", printed)
    assert "not ready: imagenet: data set imagenet1k is not prepared" in printed
    assert main(arguments) == 2
    assert "data set imagenet1k is not prepared" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_layers_are_given_as_text_or_as_a_list(capsys, tmp_path):
    names = []
    for value in ("attn.qkv", '["attn.qkv"]'):
        assert main(["status", *SMALL, "--set", f"arm.layers={value}", "--results", str(tmp_path)]) == 0
        printed = capsys.readouterr().out
        assert "imagenet m2pt(audio) [layers=attn.qkv]  0:missing" in printed
        names.append(make_plan(build_parser().parse_args(["status", *SMALL, "--set", f"arm.layers={value}"]))[0].specs)
    assert names[0] == names[1], "the same runs"
    spaced, tight = (make_plan(build_parser().parse_args(["status", *SMALL, "--set", f"arm.layers={value}"]))[0].specs
                     for value in ("attn.qkv, mlp.fc1", "attn.qkv,mlp.fc1"))
    assert spaced == tight


@pytest.mark.parametrize("arguments", [("info", "evidence"), ("list",), ("info", "imagenet", "--profile", "paper"),
                                       ("status", "--matrix", "smoke"), ("list", "claims")], ids=" ".join)
def test_a_terminal_that_knows_only_ascii_is_written_to(arguments, tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "benchmark", *arguments], capture_output=True, env=environment, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()


def test_signs_that_a_terminal_has_not_are_written_plainly():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    code = "from benchmark.cli.terminal import write_plainly; write_plainly(); print('✓ 1.0 ± 0.2 \u00d7 3 → \u4e2d')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True)
    assert done.stdout == b"v 1.0 +- 0.2 x 3 -> ?\n"


def test_runs_go_on_when_the_reader_of_their_lines_has_gone(tmp_path):
    """`run | head -1`: what trains does not hang on who looks on."""
    command = subprocess.Popen(
        [sys.executable, "-m", "benchmark", "run", "--arm", "scratch", "-t", "modelnet", "--seeds", "0-1", "--limit", "8",
         "-j", "2", "--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0", "--results", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    first = command.stdout.readline()
    assert first.startswith("2 runs, 2 to do")
    assert f"the log of each run in {tmp_path}/work/RUN/log.txt" in first
    command.stdout.close()
    assert command.stderr.read() == ""
    assert command.wait() == 0
    assert len(Store(tmp_path).records()[0]) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_what_a_batch_system_sends_ends_runs_as_ctrl_c_does(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), closing.stopped_like_ctrl_c():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_the_module_is_the_command():
    shown = [subprocess.run([*start, "--version"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
             for start in ([sys.executable, "-m", "benchmark"], [shutil.which("benchmark", path=Path(sys.executable).parent)])]
    assert shown == [f"benchmark {__version__}\n"] * 2


def test_a_reader_that_goes_away_is_no_traceback():
    command = subprocess.Popen([sys.executable, "-m", "benchmark", "info", "imagenet"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, cwd=ROOT)
    command.stdout.close()
    assert command.stderr.read() == ""
    assert command.wait() == 1


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"\n    {name}" in printed for name in ("run", "status", "list", "info", "report", "export"))
    assert "benchmark run --matrix smoke" in printed


@pytest.mark.parametrize("command", build_parser().commands)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: benchmark {command} ")
    parser = build_parser().commands[command]
    assert (parser.description or "").endswith("."), "a sentence that says what it does"
    assert [action.dest for action in parser._actions if not action.help] == [], "each argument says what it is"


def test_help_says_what_a_command_does_without_a_matrix(capsys):
    said = {"run": "(default: full)", "status": "what the folder holds is counted", "cancel": "all jobs of the folder"}
    for command, text in said.items():
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert text in " ".join(capsys.readouterr().out.split())


def test_records_and_failures_of_a_folder_are_found_again(states, tmp_path):
    records, problems = Store(tmp_path).records()
    assert [len(records), len(problems)] == [2, 1]
    (failure,) = Store(tmp_path).failures()
    assert (failure.spec.cell, failure.error, failure.traceback) == ("audio pretraining", "ValueError: too loud",
                                                                     "Traceback ...")


def test_a_command_line_that_is_no_text_can_be_recorded(monkeypatch):
    """Names of files may have any bytes, which Python holds as half of a pair of surrogates."""
    seen = []
    monkeypatch.setattr(reading, "show_list", lambda options, command: seen.append(command) or 0)
    assert main(["list", "tasks", "--plugins", "caf\udce9"]) == 0
    assert seen == ["benchmark list tasks --plugins 'caf\\udce9'"]


# --- options from a file, and by a shell -----------------------------------------------------------------------------


def lines_of(capsys, *arguments: str) -> str:
    assert main(["run", "--dry-run", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("name", "text"), [
    ("a.yaml", "matrix: smoke\ntarget: imagenet\naux: [audio]\narm: m2pt\nset: {recipe.lr: 1e-3, arm.layers: [attn.qkv]}\n"),
    ("a.toml", 'matrix = "smoke"\ntarget = ["imagenet"]\naux = "audio"\narm = "m2pt"\nset = ["recipe.lr=1e-3", '
               '"arm.layers=attn.qkv"]\nallow-missing = false\n'),
    ("a.toml", '\ufeffmatrix = "smoke"\ntarget = "imagenet"\naux = "audio"\narm = "m2pt"\n'  # as editors of Windows save it
               'set = ["recipe.lr=1e-3", "arm.layers=attn.qkv"]\n'),
    ("a.toml", 'matrix = "smoke"\ntarget = "imagenet"\naux = "audio"\narm = "m2pt"\n[set]\nrecipe.lr = 1e-3\n'
               'arm.layers = ["attn.qkv"]\n'),
    ("a.yaml", "matrix: smoke\ntarget: imagenet\naux: audio\narm: m2pt\nset:\n  recipe:\n    lr: 1e-3\n  arm:\n"
               "    layers: [attn.qkv]\n")])
def test_options_come_from_a_file_and_what_is_typed_wins(name, text, tmp_path, capsys):
    file, results = tmp_path / name, ["--results", str(tmp_path / "r")]
    file.write_text(text, encoding="utf-8")
    typed = ["--matrix", "smoke", "--arm", "m2pt", "--set", "recipe.lr=1e-3", "--set", "arm.layers=attn.qkv", *results]
    here = lines_of(capsys, "--config", str(file), *results)
    assert here == lines_of(capsys, *typed, "-t", "imagenet", "-x", "audio")
    assert lines_of(capsys, f"--config={file}", "-t", "audioset", "-x", "image", *results) == lines_of(
        capsys, *typed, "-t", "audioset", "-x", "image")
    file.with_name("seeds.yaml").write_text("matrix: smoke\nseeds: [0, 2-3]\n")
    assert with_config(["run", "--config", str(file.with_name("seeds.yaml"))], build_parser())[1:] == [
        "--matrix=smoke", "--seeds=0,2-3"], "as a file of a matrix has it"
    parser = build_parser()
    assert with_config(["run", "--config", str(file), "--arm", "zero"], parser)[-2:] == ["--arm", "zero"]
    assert "--arm=m2pt" not in with_config(["run", "--config", str(file), "--arm", "zero"], parser)
    assert with_config(["run", "--config", str(file)], parser)[1:3] == ["--matrix=smoke", "--target=imagenet"]


@pytest.mark.parametrize(("name", "text", "said"), [
    ("a.yaml", "matrx: smoke", "benchmark run has no option 'matrx'; did you mean 'matrix'?"),
    ("a.yaml", "config: b.yaml", "benchmark run has no option 'config'; "),
    ("a.yaml", "limit: many", "argument --limit: invalid int value: 'many'"),
    ("a.yaml", "limit: [1, 2]", "limit: expected one value, not several"),
    ("a.yaml", "seeds: [0, [1]]", "seeds: expected one value, not several"),
    ("a.yaml", "target: [[imagenet]]", "target: expected a text or a number, not ['imagenet']"),
    ("a.yaml", "dry-run: 1", "dry-run: expected true or false, not 1"),
    ("a.yaml", "- smoke", "expected options and their values, such as matrix: full"),
    ("a.toml", "matrix = smoke", "Invalid value"),
    ("a.json", "{}", "expected a .yaml or .toml file"),
    ("none.yaml", None, "cannot be read: No such file or directory")])
def test_a_file_of_options_that_does_not_fit_is_refused(name, text, said, refused, tmp_path):
    if text is not None:
        (tmp_path / name).write_text(text)
    line = refused("run", "--config", str(tmp_path / name))
    assert said in line
    assert str(tmp_path / name) in line


@pytest.mark.parametrize(("values", "named"), [
    ({"recipe.lr": 1, "shape.patch_size": [8, 8]}, {"recipe.lr": 1, "shape.patch_size": [8, 8]}),
    ({"recipe": {"lr": 1, "augment": {"crop": 0.5}}}, {"recipe.lr": 1, "recipe.augment.crop": 0.5}),
    ({"imagenet": {"recipe": {"lr": 1}}, "imagenet.recipe": {"epochs": 2}},
     {"imagenet.recipe.lr": 1, "imagenet.recipe.epochs": 2}),
    ({"recipe.augment": {"crop": 0.5}}, {"recipe.augment": {"crop": 0.5}})],
    ids=["with dots", "in one another", "of a task", "a whole value"])
def test_names_in_one_another_are_one_as_far_as_a_field_is_not_named(values, named):
    assert dict(named_fields(values)) == named


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "set: {recipe.lr: 2024-01-31}"),
                                            ("a.toml", "set.recipe.lr = 2024-01-31")])
def test_a_date_is_refused_by_the_field_that_it_is_given_to(name, text, refused, tmp_path):
    (tmp_path / name).write_text(text)
    line = refused("run", "--dry-run", "--config", str(tmp_path / name))
    assert "--set recipe.lr: expected a number, not '2024-01-31'" in line


def test_what_is_typed_wins_over_what_excludes_it(tmp_path):
    (tmp_path / "a.yaml").write_text("verbose: true")
    assert with_config(["run", "--config", str(tmp_path / "a.yaml"), "-q"], build_parser()) == ["run", "-q"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash is here")
def test_a_shell_completes_commands_options_names_and_files(tmp_path, capsys):
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "complete.sh"
    script.write_text(capsys.readouterr().out)
    (tmp_path / "results" / "tiny" / "runs" / "imagenet-fix-s0-abc").mkdir(parents=True)
    (tmp_path / "mine.yaml").touch()
    wanted = {"export-": "export-logs", "run --matr": "--matrix", "run --matrix evi": "evidence",
              "run --matrix mi": "mine.yaml", "run -t image": "imagenet", "run --arm self": "self-copy",
              "run --arm finetune,m2p": "finetune,m2pt", "run -t imagenet,aud": "imagenet,audioset",
              "status -x image,vid": "image,video", "run --setting fix,": "fix,pretrained fix,scratch",
              "info steel": "steelman", "export imagenet-f": "imagenet-fix-s0-abc", "report --results resu": "results",
              "run --profile pa": "paper"}
    program = f"source {script}\n" + "\n".join(
        f"COMP_WORDS=(benchmark {typed}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); COMPREPLY=(); _shtab_benchmark; "
        'echo "${COMPREPLY[*]}"' for typed in wanted)
    done = subprocess.run(["bash", "--norc", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == list(wanted.values()), done.stderr
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef benchmark")


@pytest.mark.parametrize("arguments", [["list", "tasks"], ["info", "nothing of that name"]])
def test_a_command_leaves_the_garbage_collector_as_it_was(arguments, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr("benchmark.cli.main.build_parser", lambda: seen.append(gc.get_threshold()) or build_parser())
    before = gc.get_threshold()
    main(arguments)
    assert (seen, gc.get_threshold()) == ([SELDOM], before)
