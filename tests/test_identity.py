"""What a run is called: which edits make a result stale, and which fields make another run."""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from baselines import ARMS
from benchmark.plan.matrix import code_of
from benchmark.plan.plugins import extend
from benchmark.provenance import code, packages
from benchmark.provenance.code import ENGINE, code_parts, find_ours, own_files, reachable_code, spelled
from benchmark.provenance.packages import code_with_packages, own_packages
from benchmark.spec.recipes import SETTINGS, ModelShape, PretrainRecipe, TrainRecipe
from benchmark.spec.runspec import LABELS, ManySeeds, Role, RunSpec, Site, canonical_json
from tasks import TASKS

GOLDEN = RunSpec(
    kind="train", task="imagenet", modality="image", profile="tiny", seed=3,
    shape=ModelShape(embed_dim=96, depth=4, num_heads=3, input_size=(32, 32), patch_size=(8, 8), decoder_embed_dim=64,
                     decoder_depth=2, decoder_num_heads=4),
    recipe=TrainRecipe(epochs=30, batch_size=64, lr=1e-3, layer_decay=0.8, augment={"flip": 0.5, "crop": 0.25}),
    num_classes=22, limit=128, setting="pretrained", arm="m2pt",
    options={"scale_init": 0.0, "layers": ["attn.qkv"], "train_scale": True}, auxiliary="audio",
    starts={"target": "0123456789ab", "auxiliary": "ba9876543210"}, pretrained={"target": "0a1b2c3d4e5f"},
    data={"image_emoji": "ab" * 32},
    role="method", variant="layers=attn.qkv")
PRETRAIN = RunSpec(
    kind="pretrain", task="imagenet", modality="image", profile="tiny", seed=0, shape=GOLDEN.shape,
    recipe=PretrainRecipe(epochs=60, batch_size=64, lr=1e-3), data={"image_emoji": "ab" * 32},
    role="pretraining")
# From `print(GOLDEN.run_id, PRETRAIN.run_id)`. Another value means that no record of any user is current any more.
GOLDEN_IDS = ("438075317ac2", "b487d15e59ad")
SPELLED = "9628d1cebdd1bea2"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A plugin of a few modules; `write` edits one, `digest` is that of the code of its arm."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return Package(tmp_path)


class Package:
    def __init__(self, folder: Path):
        self.folder, self.edits = folder, 0
        self.write("other_suite/__init__.py", "")
        self.write("other_suite/arm.py", "import math\nfrom other_suite.layers import scale\n\n\ndef build(x):\n"
                   '    """Double it."""\n    from .late import shift\n    return shift(scale(x)) + math.pi\n')
        self.write("other_suite/layers.py", "def scale(x):\n    return 2 * x\n")
        self.write("other_suite/late.py", "from . import deep\n\n\ndef shift(x):\n    return x + deep.OFFSET\n")
        self.write("other_suite/deep.py", "OFFSET = 1\n")
        self.write("other_suite/unrelated.py", "VALUE = 1\n")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.edits += 1
        os.utime(path, (1e9 + self.edits, 1e9 + self.edits))

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def digest(self, root: str = "other_suite.arm") -> str:
        importlib.invalidate_caches()
        own_files.cache_clear()
        code_parts.cache_clear()  # they last as long as a process, in which code does not change
        return code_parts("tasks.imagenet", root, None)["arm"]


@pytest.mark.parametrize(("name", "old", "new"), [
    ("arm.py", "import math\n", "# a comment\nimport math  # another\n"),
    ("arm.py", "Double it.", "Multiply it by two."),
    ("arm.py", '    """Double it."""\n', ""),
    ("arm.py", "shift(scale(x)) + math.pi", "(\n        shift(scale(x))\n        + math.pi\n    )"),
    ("layers.py", "def scale", '"""Now with a docstring."""\n\n\ndef scale'),
    ("unrelated.py", "1", "2"),
], ids=("comment", "docstring", "no docstring", "formatting", "module docstring", "unrelated module"))
def test_edits_that_change_no_result_leave_the_digest(package, name, old, new):
    before = package.digest()
    package.edit(f"other_suite/{name}", old, new)
    assert package.digest() == before


@pytest.mark.parametrize(("name", "old", "new"), [
    ("arm.py", "math.pi", "math.e"),
    ("layers.py", "2 * x", "3 * x"),
    ("late.py", "x + deep", "x - deep"),
    ("deep.py", "1", "2"),
    ("__init__.py", "", "import sys\n"),
], ids=("the arm", "an import", "an import inside a function", "an import of an import", "the package"))
def test_edits_that_can_change_a_result_change_the_digest(package, name, old, new):
    before = package.digest()
    package.edit(f"other_suite/{name}", old, new)
    after = package.digest()
    assert after != before
    package.edit(f"other_suite/{name}", new, old)
    assert package.digest() == before


def test_a_string_that_is_no_docstring_counts(package):
    package.edit("other_suite/deep.py", "OFFSET = 1\n", 'OFFSET = 1\nNAME = "a"\n')
    before = package.digest()
    package.edit("other_suite/deep.py", '"a"', '"b"')
    assert package.digest() != before


def test_profiles_and_type_only_imports_do_not_count(package):
    package.write("other_suite/profiles.py", "EPOCHS = 1\n")
    package.write("other_suite/typed.py", "Number = int\n")
    package.edit("other_suite/arm.py", "import math\n", "import math\nfrom typing import TYPE_CHECKING\n"
                 "from other_suite.profiles import EPOCHS\n"
                 "if TYPE_CHECKING:\n    from other_suite.typed import Number\n")
    before = package.digest()
    package.edit("other_suite/profiles.py", "1", "2")
    package.edit("other_suite/typed.py", "int", "float")
    package.edit("other_suite/arm.py", "    from other_suite.typed import Number", "    from other_suite import typed")
    assert package.digest() == before


@pytest.mark.parametrize(("imported", "files"), [
    ("import lone_helper", ["lone_helper.py"]),
    ("from lone_helpers import FACTOR", ["lone_helpers/__init__.py"]),
    ("from lone_helpers.deep import FACTOR", ["lone_helpers/deep.py", "lone_helpers/__init__.py"])])
def test_what_a_plugin_takes_from_a_file_or_a_folder_beside_it_counts(package, imported, files):
    package.write("lone_arm.py", f"import json\n{imported}\n")
    for file in files:
        package.write(file, "FACTOR = 1\n")
    before = package.digest("lone_arm")
    package.edit(files[0], "1", "2")
    assert package.digest("lone_arm") != before


@pytest.mark.parametrize(("imported", "file"), [
    ("import far_helper", "elsewhere/far_helper.py"),
    ("from far_helpers import FACTOR", "elsewhere/far_helpers/__init__.py"),
    ("from far_space.deep import FACTOR", "elsewhere/far_space/deep.py")], ids=("file", "package", "folder without __init__"))
def test_what_a_plugin_takes_from_another_folder_of_the_user_s_counts(package, monkeypatch, imported, file):
    monkeypatch.syspath_prepend(str(package.folder / "elsewhere"))
    package.write("lone_arm.py", f"import json\nimport torch\n{imported}\n")
    (package.folder / file).parent.mkdir(parents=True, exist_ok=True)
    package.write(file, "from deeper import FACTOR\n")
    package.write("deeper.py", "FACTOR = 1\n")
    before = package.digest("lone_arm")
    package.edit("deeper.py", "1", "2")
    between = package.digest("lone_arm")
    package.edit(file, "FACTOR", "FACTOR as TIMES")
    assert len({before, between, package.digest("lone_arm")}) == 3
    assert set(own_files(("lone_arm",))) == {str(package.folder / name) for name in ("lone_arm.py", file, "deeper.py")}


def test_what_an_installer_put_in_a_folder_does_not_count(package, monkeypatch):
    monkeypatch.syspath_prepend(str(package.folder / "installed"))
    (package.folder / "installed/some_package-1.0.dist-info").mkdir(parents=True)
    package.write("lone_arm.py", "import torch\nimport some_package\n")
    package.write("installed/some_package.py", "FACTOR = 1\n")
    before = package.digest("lone_arm")
    package.edit("installed/some_package.py", "1", "2")
    assert package.digest("lone_arm") == before
    package.write("lone_arm.py", "import torch\n")
    assert set(dict(reachable_code(("lone_arm",)))) == {"lone_arm"}


def test_the_version_of_a_package_that_a_plugin_imports_counts(package, monkeypatch):
    def installed(version: str) -> None:
        folder = package.folder / "installed" / "spectra_kit-0.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: spectra-kit\nVersion: {version}\n")
        (folder / "top_level.txt").write_text("spectra\n")
        package.write("installed/spectra.py", "FACTOR = 1\n")

    def code() -> dict[str, str]:
        package.digest("lone_arm")
        own_packages.cache_clear()
        packages.distributions.cache_clear()
        return code_with_packages("tasks.imagenet", ("lone_arm",), None)

    monkeypatch.syspath_prepend(str(package.folder / "installed"))
    installed("1.0")
    package.write("lone_arm.py", "import numpy\nfrom lone_helper import rows\n")
    package.write("lone_helper.py", "def rows():\n    import spectra.deep\n")
    before, digest = code(), package.digest("lone_arm")
    assert own_packages(("lone_arm",)) == {"spectra-kit": "1.0"}, "those that the suite computes with are told beside"
    installed("1.1")
    after = code()
    assert package.digest("lone_arm") == digest
    assert own_packages(("lone_arm",)) == {"spectra-kit": "1.1"}
    assert [part for part in before if before[part] != after[part]] == ["arm"]
    package.write("lone_helper.py", "def rows():\n    return 1\n")
    assert code()["arm"] == package.digest("lone_arm"), "what imports no others has the digest of old"
    assert code_with_packages("tasks.imagenet", "baselines.m2pt", None) == code_parts("tasks.imagenet", "baselines.m2pt", None)


@pytest.mark.parametrize("edited", ["exporting_arm.py", "made_elsewhere.py"])
def test_of_a_plugin_whose_class_is_another_module_s_both_files_count(package, monkeypatch, edited):
    for name in ("exporting_arm", "made_elsewhere"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    package.write("made_elsewhere.py", "from baselines.m2pt import M2PT\n\n\nclass Own(M2PT):\n    name = 'elsewhere'\n")
    package.write("exporting_arm.py", "from made_elsewhere import Own\n\nOwn.factor = 1\nARM = Own()\n")
    importlib.invalidate_caches()
    arm = extend({}, {}, [package.folder / "exporting_arm.py"])[1]["elsewhere"]
    changed = arm.model_validate(arm.model_dump())  # as overrides leave it

    def digest() -> str:
        code_parts.cache_clear()
        return code_of(TASKS["imagenet"], changed, "tiny")["arm"]

    before = digest()
    package.edit(edited, *(("= 1", "= 2") if edited == "exporting_arm.py" else ("M2PT):\n", "M2PT):\n    other = 1\n")))
    assert digest() != before


def test_what_a_plugin_takes_from_this_suite_counts(package):
    package.write("lone_arm.py", "from baselines.m2pt import M2PT\nfrom tasks.shapenet import ShapeNet\n")
    reached = dict(reachable_code(("lone_arm",)))
    assert {"lone_arm", "baselines.m2pt", "benchmark.model.pathway", "tasks.shapenet", "tasks.shapenet.model"} <= set(reached)


def test_what_computes_results_is_reached_and_what_shows_them_is_not():
    reached = set(dict(reachable_code((ENGINE, "tasks.shapenet", "tasks.shapenet.embedded", "baselines.m2pt"))))
    assert {"benchmark.train.execute", "benchmark.train.loop", "benchmark.train.evaluate", "benchmark.model.pathway",
            "benchmark.model.mae", "benchmark.data.seeds", "benchmark.data.embedded", "tasks.shapenet.embedded",
            "baselines.m2pt"} <= reached
    shown = ("benchmark.cli", "benchmark.train.pictures", "benchmark.report", "benchmark.runner", "benchmark.records",
             "benchmark.plan", "benchmark.evidence", "tasks.imagenet", "baselines.plain")
    assert not [name for name in reached if name.startswith(shown)]


def test_each_part_has_its_own_modules_and_a_digest_of_them_alone():
    parts = code_of(TASKS["shapenet"], ARMS["m2pt"], "tiny")
    assert list(parts) == ["engine", "modality", "task", "arm", "reader", "stack", "processes"]
    pretraining = code_of(TASKS["shapenet"], None, "tiny")
    alone = {"arm", "stack"}  # without an arm, stacks bring in themselves what it else brings in
    assert pretraining.keys() == parts.keys() - {"arm"}
    assert {part: pretraining[part] for part in pretraining.keys() - alone} == {
        part: parts[part] for part in parts.keys() - alone}
    other = code_of(TASKS["imagenet"], ARMS["m2pt"], "tiny")
    assert {part for part in parts if parts[part] == other[part]} == {"engine", "arm", "stack", "processes"}
    paper = code_of(TASKS["shapenet"], ARMS["m2pt"], "paper")
    assert {part for part in parts if parts[part] != paper[part]} == {"reader"}
    roots = (ENGINE, "tasks.shapenet", "baselines.m2pt")
    assert not [name for name, _ in reachable_code(roots) if "embedded" in name]


def test_digests_are_found_without_importing_what_they_cover():
    program = ("import sys\nfrom benchmark.provenance.code import ENGINE, code_parts\n"
               "print(code_parts('tasks.shapenet', None, None))\n"
               "sys.exit(f'imported {ENGINE}' if ENGINE in sys.modules or 'torch' in sys.modules else 0)\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False,
                          cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(code_parts("tasks.shapenet", None, None))


def test_every_python_spells_a_tree_alike():
    """The text is written down, so that a version of Python that spells it otherwise is seen."""
    tree = ast.parse('def f(x: int = 1, *, y=None):\n    """D."""\n    return f"{x!r:>{y}}" if x else {**y, "a": b"c"}\n')
    digest = hashlib.sha256(spelled(tree, []).encode()).hexdigest()[:16]
    assert digest == SPELLED


def test_run_ids_are_those_of_old():
    assert (GOLDEN.run_id, PRETRAIN.run_id) == GOLDEN_IDS


def altered(field: str) -> object:
    """Another value of a field of `GOLDEN`."""
    return {
        "kind": "pretrain", "task": "kinetics", "modality": "video", "profile": "small", "seed": 4,
        "shape": GOLDEN.shape.model_copy(update={"depth": 5}),
        "recipe": GOLDEN.recipe.model_copy(update={"epochs": 31}), "num_classes": 23, "limit": None,
        "origin": "video", "setting": "scratch", "arm": "finetune", "options": {**GOLDEN.options, "scale_init": 0.1},
        "auxiliary": "video", "starts": {**GOLDEN.starts, "target": "ffffffffffff"}, "pretrained": {"target": "f" * 12},
        "data": {"image_emoji": "ac" * 32}, "role": "control", "variant": "another",
        "published": {"auxiliary": {"model.bin": "1a" * 32}},
    }[field]


@pytest.mark.parametrize("field", RunSpec.model_fields)
def test_every_field_makes_another_run_but_labels_do_not(field):
    other = GOLDEN.model_copy(update={field: altered(field)})
    assert getattr(other, field) != getattr(GOLDEN, field)
    assert (other.run_id == GOLDEN.run_id) == (field in LABELS)


def other_value(value: object, kind: object) -> object:
    """Some other value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, tuple):
        return value[::-1] if value != value[::-1] else (*value[:-1], 2 * value[-1])
    if isinstance(value, dict):
        return {**value, "another": 2}
    if isinstance(value, str):
        return next(choice for choice in get_args(kind) if choice != value)
    if bool in get_args(kind):
        return True
    return 2 if int in get_args(kind) or any(int in get_args(part) for part in get_args(kind)) else 0.5


@pytest.mark.parametrize(("part", "field"), [
    *(("shape", field) for field in ModelShape.model_fields),
    *(("recipe", field) for field in TrainRecipe.model_fields),
])
def test_every_field_of_shape_and_recipe_makes_another_run(part, field):
    value = getattr(GOLDEN, part)
    new = other_value(getattr(value, field), type(value).model_fields[field].annotation)
    changed = GOLDEN.model_copy(update={part: value.model_copy(update={field: new})})
    assert changed.run_id != GOLDEN.run_id


@pytest.mark.parametrize("spec", [GOLDEN, PRETRAIN], ids=["training", "pretraining"])
def test_a_run_under_another_seed_has_the_id_that_it_has_by_itself(spec):
    seeds = ManySeeds(spec)
    for seed, starts in ((0, {}), (7, {"target": "0123456789ab"}), (10**9, {"target": "a", "auxiliary": "b"})):
        fast = seeds.under(seed, starts)
        assert fast == RunSpec.model_validate({**spec.model_dump(), "seed": seed, "starts": starts})
        assert fast.run_id == RunSpec.model_validate(fast.model_dump()).run_id
        assert fast.model_copy(update={"seed": seed + 1}).run_id != fast.run_id
        assert (fast.seed, fast.starts) == (seed, starts)


def test_equal_values_written_differently_are_one_run():
    data = json.loads(json.dumps(GOLDEN.model_dump(mode="json")))
    data["recipe"] = dict(reversed(data["recipe"].items())) | {"lr": 0.0010, "warmup_epochs": 5, "epochs": 30.0}
    data["options"] = dict(reversed(data["options"].items()))
    data["starts"] = dict(reversed(data["starts"].items()))
    assert RunSpec.model_validate(data).run_id == GOLDEN.run_id


def test_where_a_run_is_carried_out_is_no_part_of_its_spec():
    assert not set(Site.model_fields) & set(RunSpec.model_fields)


def test_specs_are_frozen_and_know_their_fields():
    with pytest.raises(ValueError, match="frozen"):
        GOLDEN.seed = 4
    with pytest.raises(ValueError, match="Extra inputs"):
        RunSpec.model_validate({**GOLDEN.model_dump(), "device": "cuda"})
    assert set(get_args(Role)) == {"pretraining", "baseline", "method", "control"}


@pytest.mark.parametrize("bad", [{"lr": float("inf")}, {"lr": float("nan")}, {"epochs": 0}, {"layer_decay": 1.5}])
def test_recipes_refuse_values_out_of_range(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        TrainRecipe.model_validate({**GOLDEN.recipe.model_dump(), **bad})


def test_canonical_json_has_one_spelling():
    assert canonical_json({"b": 1, "a": [True, None, "é"]}) == '{"a":[true,null,"\\u00e9"],"b":1}'
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))


def test_what_runs_must_share_to_be_compared_leaves_out_arm_auxiliary_seed_and_scale_rate():
    same = {"arm": "finetune", "auxiliary": None, "seed": 9, "starts": {}, "options": {},
            "role": "baseline", "variant": "", "recipe": GOLDEN.recipe.model_copy(update={"scale_lr": 0.1})}
    assert GOLDEN.model_copy(update=same).comparison == GOLDEN.comparison
    for field in ("task", "profile", "shape", "recipe", "num_classes", "limit", "setting", "data"):
        assert GOLDEN.model_copy(update={field: altered(field)}).comparison != GOLDEN.comparison, field


@pytest.mark.parametrize(("changes", "cell", "name"), [
    ({}, "imagenet m2pt(audio) [layers=attn.qkv]", "imagenet-pretrained-m2pt-audio-layers=attn.qkv-s3"),
    ({"variant": "", "setting": "fix"}, "imagenet m2pt(audio) fix", "imagenet-fix-m2pt-audio-s3"),
    ({"variant": "", "arm": "fix", "auxiliary": None, "role": "baseline", "setting": "fix"}, "imagenet fix",
     "imagenet-fix-fix-s3"),
])
def test_runs_have_names_for_people(changes, cell, name):
    spec = GOLDEN.model_copy(update=changes)
    assert spec.cell == cell
    assert spec.name == f"{name}-{spec.run_id}"
    assert (PRETRAIN.cell, PRETRAIN.name) == ("image pretraining", f"image-pretrain-s0-{PRETRAIN.run_id}")
    assert spec.setting in SETTINGS


def test_no_module_of_ours_is_looked_up_twice(monkeypatch):
    """`status` asks for the code of each kind of run: of 77 kinds it took a third of its time."""
    asked, find = [], code.PathFinder.find_spec
    monkeypatch.setattr(code.PathFinder, "find_spec", lambda name, places: asked.append(name) or find(name, places))
    for cached in (code_parts, find_ours):
        cached.cache_clear()
    parts = [code_parts("tasks.imagenet", arm, "benchmark.data.pixels") for arm in ("baselines.m2pt", "baselines.plain")]
    assert parts[0]["engine"] == parts[1]["engine"]
    assert "benchmark.train.execute" in asked
    assert len(asked) == len(set(asked))
