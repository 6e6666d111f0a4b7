"""From names and overrides to a plan: what is planned, in which order, under which values."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch

from baselines import ARMS, STUDY
from baselines.m2pt.study import REAL, group
from benchmark.plan.fit import check_blocks, check_recipes, note_warmup, smallest_part
from benchmark.plan.matrix import Cell, Planner, pretraining_tasks
from benchmark.plan.names import nearest, parse_seeds, pick
from benchmark.plan.overrides import parse_override
from benchmark.plan.presets import Matrix, cells_of, check_groups, narrow, plan_matrix
from benchmark.plan.study import find_matrix
from benchmark.spec.recipes import SETTINGS
from benchmark.spec.weightfile import NAME, BlockShape, Origin
from benchmark.train.feed import micro_batches
from tasks import TASKS

MODALITIES = sorted(pretraining_tasks(TASKS))
RUN_IDS = {  # digests of what each matrix plans; another is another matrix
    "smoke": "6a966973", "quick": "defc6624", "full": "6d64e0e3", "auxiliaries": "b9f6cc19",
    "settings": "96b26f2e", "ablation": "654f456d", "order": "0415b0af", "maturity": "93ad18f4", "cost": "cf46a8ac",
    "controls": "c204e53e", "evidence": "2346b696", "unseen": "dee92e3a", "lead": "04cc7d23",
    "shared-origin": "5413e928", "planted": "1eb59f58", "known-solution": "9b5dae77", "dose": "9f3d9500",
    "kin": "b3b9ab75", "kin-shared-origin": "945bccc5", "shuffled-labels": "16beb1a0", "real": "cd5b725a",
    "fifth-modality": "b9fe65f4", "labels": "a2ea6a69", "steelman": "2871954f"}


def cells(targets=("imagenet",), auxiliaries=(), chosen=("finetune", "m2pt"), settings=("pretrained",)):
    return cells_of(TASKS, ARMS, group(targets=targets, auxiliaries=auxiliaries, arms=chosen, settings=settings))


def plan_of(matrix, *overrides, seeds=None, given=None):
    chosen = [parse_override(text, TASKS) for text in overrides]
    return plan_matrix(matrix, TASKS, ARMS, "tiny", parse_seeds(seeds or matrix.seeds), chosen, given)


def converted(path, **sizes):
    """A file as benchmark convert writes it, as far as planning reads it: its head alone"""
    said = Origin(blocks=BlockShape(embed_dim=384, mlp_ratio=4, **sizes), format="x", sources={"published.bin": "ab" * 32})
    head = json.dumps({"__metadata__": {NAME: said.text()}}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head)
    return path


def real_files(folder):
    return {name: converted(folder / f"{name}.safetensors", depth=depth, num_heads=heads) for name, depth, heads in REAL}


def plan(*overrides, seeds=(0,), limited=False, **chosen):
    planner = Planner(TASKS, "tiny", [parse_override(text, TASKS) for text in overrides], limited)
    return planner.plan(cells(**chosen), seeds)


def spec_of(planned, task=None, kind="train", arm=None):
    (spec,) = [spec for spec in planned.specs
               if spec.kind == kind and task in (None, spec.task) and arm in (None, spec.arm)]
    return spec


def test_cells_never_pair_a_modality_with_itself_and_leave_out_no_other_pair():
    found = cells(targets=tuple(TASKS), chosen=tuple(ARMS), settings=SETTINGS)
    pairs = {(cell.task.name, cell.auxiliary) for cell in found if cell.arm.name == "m2pt"}
    assert pairs == {(name, modality) for name, task in TASKS.items() for modality in MODALITIES
                     if modality != task.modality and modality != "prose"}, "which takes part on request"
    assert all((cell.auxiliary is not None) == cell.arm.uses_auxiliary for cell in found)
    assert all(cell.setting in cell.arm.settings for cell in found)
    assert len(set(map(repr, found))) == len(found)


def test_a_baseline_is_one_cell_whatever_the_auxiliaries():
    assert len(cells(chosen=("finetune",))) == len(cells(chosen=("finetune",), auxiliaries=("audio", "video"))) == 1


@pytest.mark.parametrize("preset", STUDY.matrices.values(), ids=lambda preset: preset.name)
def test_every_preset_plans_runs_that_names_tell_apart(preset, tmp_path):
    specs = plan_of(preset, seeds="0-1", given=real_files(tmp_path) if preset.name == "real" else None).specs
    assert len(specs) > 2
    assert all(any(spec.role == "baseline" and spec.comparison == other.comparison for spec in specs)
               for other in specs if other.kind == "train"), "every run has a baseline in its matrix"
    assert len({spec.name for spec in specs}) == len({spec.run_id for spec in specs}) == len(specs)
    assert all("/" not in spec.name and len(spec.name) < 200 for spec in specs)
    assert {spec.limit is not None for spec in specs} == {preset.limited}
    identities = "".join(sorted(spec.run_id for spec in specs))
    assert hashlib.sha256(identities.encode()).hexdigest()[:8] == RUN_IDS[preset.name], "of seeds 0 and 1"


def test_an_auxiliary_of_no_task_is_planned_from_its_file_in_the_sizes_that_it_says(tmp_path):
    given = real_files(tmp_path)
    plan = plan_of(STUDY.matrices["real"], seeds="0-1", given=given)
    check_blocks(plan)
    joined = [job for job in plan.jobs if job.spec.auxiliary]
    assert {(job.spec.task, job.spec.auxiliary, job.spec.setting, job.spec.arm) for job in joined} == {
        (task, name, setting, arm) for task in ("imagenet", "audioset") for name in given for setting in SETTINGS
        for arm in ("m2pt", "random-norm", "shuffled", "aux-init")}
    for job in joined:
        digest = hashlib.sha256(given[job.spec.auxiliary].read_bytes()).hexdigest()
        assert job.spec.starts["auxiliary"] == job.spec.pretrained["auxiliary"] == digest[:12]
        assert job.spec.published == {"auxiliary": {"published.bin": "ab" * 32}}
        assert dict(job.files)["auxiliary"].weights == given[job.spec.auxiliary]
        assert job.spec.model_copy(update={"published": None}).run_id == job.spec.run_id
    assert all(job.spec.published is None for job in plan.jobs if not job.spec.auxiliary)
    few = plan_of(narrow(STUDY.matrices["real"], arms=("scratch", "m2pt"), auxiliaries=("text",)), seeds="0", given=given)
    assert {(spec.arm, spec.auxiliary) for spec in few.specs if spec.setting == "scratch"} == {
        ("scratch", None), ("m2pt", "text")}
    with pytest.raises(ValueError, match=r"m2pt\(speech\) has blocks of depth 3, and its auxiliary of depth 4"):
        check_blocks(plan_of(STUDY.matrices["real"], "shape.depth=3", seeds="0", given=given))
    with pytest.raises(ValueError, match=r"unknown auxiliary modality 'speech'.*given by file: --start NAME=FILE"):
        plan_of(STUDY.matrices["real"], seeds="0")


@pytest.mark.parametrize(("content", "said"), [
    (b"\x10", "does not say how its blocks are made"), (b"", "does not say how its blocks are made"),
    ((2).to_bytes(8, "little") + b"{}", "does not say how its blocks are made"),
    (b"\xff" * 8 + b"{}", "does not say how its blocks are made"),
    ((46).to_bytes(8, "little") + b'{"__metadata__": {"m2pt-bench": "{\\"a\\": 1}"}}', "what is not understood"),
    (None, "cannot be read")])
def test_a_file_that_says_nothing_of_itself_is_no_auxiliary_of_no_task(content, said, tmp_path):
    if content is not None:
        (tmp_path / "x.safetensors").write_bytes(content)
    matrix = Matrix(name="one", groups=(group(targets=("imagenet",), auxiliaries=("smell",)),))
    with pytest.raises(ValueError, match=said):
        plan_of(matrix, seeds="0", given={"smell": tmp_path / "x.safetensors"})


def test_the_full_matrix_is_the_papers():
    (group,) = STUDY.matrices["full"].groups
    assert len(cells_of(TASKS, ARMS, group)) == 12 + 4
    assert len(parse_seeds(STUDY.matrices["full"].seeds)) >= 3


def test_the_ablation_has_the_rows_of_table_5():
    specs = [spec for spec in plan_of(STUDY.matrices["ablation"], seeds="0").specs if spec.arm == "m2pt"]
    assert {(spec.task, spec.auxiliary) for spec in specs} == {("imagenet", "point"), ("shapenet", "video")}
    assert [spec.variant for spec in specs if spec.task == "imagenet"] == [
        "layers=attn.qkv", "layers=attn.proj", "layers=mlp.fc1", "layers=mlp.fc2", "", "scale_init=0.01,train_scale=False",
        "scale_init=0.01", "scale_init=0.0001", "scale_init=1e-06"]


def test_an_early_auxiliary_is_a_pretraining_of_its_own_that_ends_early():
    specs = plan_of(STUDY.matrices["maturity"], seeds="0").specs
    stops = {(spec.modality, spec.recipe.epochs, spec.recipe.stop_epoch) for spec in specs if spec.kind == "pretrain"}
    epochs = TASKS["shapenet"].profiles["tiny"].pretrain.epochs
    assert {("point", epochs, None), ("point", epochs, round(epochs / 15)), ("point", epochs, round(epochs * 11 / 15))} <= stops


def test_the_control_of_the_same_modality_starts_from_another_seed():
    (spec,) = [spec for spec in plan(chosen=("same-modality",), settings=("scratch",)).specs if spec.kind == "pretrain"]
    assert (spec.modality, spec.seed) == ("image", 1000)


def test_options_make_variants_of_the_arms_that_have_them_and_leave_the_others_alone():
    found = cells_of(TASKS, ARMS, group(targets=("imagenet",), auxiliaries=("audio",), arms=("finetune", "m2pt", "gain"),
                                        options=({}, {"scale_lr_factor": 10}, {"layers": ["attn.qkv"]})))
    assert [(cell.arm.name, getattr(cell.arm, "scale_lr_factor", None)) for cell in found] == [
        ("finetune", None), ("m2pt", 1), ("m2pt", 10), ("m2pt", 1), ("gain", 1), ("gain", 10)]
    arms = ("finetune", "m2pt", "random-norm", "self-copy")  # of a set of options each takes the fields that it has
    both = group(targets=("imagenet",), auxiliaries=("audio",), arms=arms, options=({"scale_init": 0.1, "draws": "own"},))
    assert [(cell.arm.name, getattr(cell.arm, "scale_init", None), getattr(cell.arm, "draws", None))
            for cell in cells_of(TASKS, ARMS, both)] == [
        ("finetune", None, None), ("m2pt", 0.1, None), ("random-norm", 0.1, "own"), ("self-copy", 0.1, None)]
    (few,) = narrow(Matrix(name="two", groups=(both,)), arms=("m2pt",), known=ARMS).groups
    assert few.options == ({"scale_init": 0.1},)
    with pytest.raises(ValueError, match="option scale_init of arm m2pt: expected a number"):
        cells_of(TASKS, ARMS, group(options=({"scale_init": True},)))
    with pytest.raises(ValueError, match=r"unknown option 'scale_lr' .* did you mean 'scale_lr_factor'"):
        cells_of(TASKS, ARMS, group(options=({"scale_lr": 1},)))
    with pytest.raises(ValueError, match="option maturity of arm m2pt"):
        cells_of(TASKS, ARMS, group(options=({"maturity": 2},)))


def test_a_matrix_from_a_file_is_planned_as_a_named_one(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("""
seeds: 0,4
groups:
  - {arms: [finetune, m2pt], targets: [audioset], auxiliaries: [image], set: [recipe.label_share=0.1]}
  - {arms: [m2pt], targets: [audioset], auxiliaries: [image], options: [{layers: [attn.qkv]}]}
""")
    specs = plan_of(find_matrix(str(file), STUDY)).specs
    trainings = [(spec.seed, spec.arm, spec.variant, spec.recipe.label_share) for spec in specs if spec.kind == "train"]
    assert trainings == [(seed, *rest) for seed in (0, 4) for rest in (
        ("finetune", "", 0.1), ("m2pt", "", 0.1), ("m2pt", "layers=attn.qkv", 1.0))]


@pytest.mark.parametrize(("text", "said"), [
    ("groups: [{arm: [m2pt]}]", "group 1: arm: there is no such field"), ("groups: []", "groups: expected at least one group"),
    ("- 1", "expected a mapping"), ("a: [", "line 1: expected the node"), ("groups: [{}]\nseeds: x", "expected numbers"),
    ("groups: [{targets: [imagent]}]", "did you mean 'imagenet'"), ("groups: [{set: [recipe.lrr=1]}]", "did you mean 'lr'")])
def test_a_file_that_is_no_matrix_is_refused_in_one_line(tmp_path, text, said):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        plan_of(find_matrix(str(file), STUDY))


def test_names_of_the_command_line_replace_what_one_group_has_and_select_from_several():
    narrowed = narrow(STUDY.matrices["full"], arms=("zero",), settings=("fix",))
    assert narrowed.groups == (group(arms=("zero",), settings=("fix",)),)
    several = Matrix(name="two", groups=(group(targets=("imagenet",)), group(targets=("audioset",), arms=("gain", "m2pt"))))
    assert narrow(several, targets=("imagenet",)).groups == several.groups[:1]
    lead = narrow(STUDY.matrices["lead"], arms=("fix", "m2pt"), known=ARMS)  # `draws` went with the arms that have it
    assert lead.groups[0].options == ({},)
    assert narrow(STUDY.matrices["lead"], arms=("permuted",), known=ARMS).groups[0].options == ({"draws": "own"},)
    assert [group.arms for group in narrow(several, arms=("m2pt",)).groups] == [("m2pt",), ("m2pt",)]
    assert narrow(several, auxiliaries=("audio",)).groups[1].auxiliaries == ("audio",)
    with pytest.raises(ValueError, match="matrix two has no cell with targets kinetics"):
        narrow(several, targets=("kinetics",))


def test_a_group_without_a_run_is_named_unless_the_command_line_left_it_none():
    several = Matrix(name="two", groups=(group(), group(arms=("scratch", "ceiling"), targets=("imagenet",))))
    with pytest.raises(ValueError, match=r"^group 2 of matrix two: no run fits: targets imagenet; arms scratch, ceiling; "
                                         r"settings pretrained; auxiliaries all; benchmark info ARM says"):
        check_groups(several, TASKS, ARMS)
    own = group(arms=("m2pt",), targets=("imagenet",), auxiliaries=("image",))
    with pytest.raises(ValueError, match=r"group 1 of matrix two: .*; settings pretrained; auxiliaries image; benchmark"):
        check_groups(Matrix(name="two", groups=(own, group())), TASKS, ARMS)
    for matrix in STUDY.matrices.values():
        check_groups(matrix, TASKS, ARMS)
    fitting = Matrix(name="two", groups=(group(), group(arms=("scratch", "ceiling"), settings=("scratch",))))
    check_groups(fitting, TASKS, ARMS)
    assert {spec.arm for spec in plan_of(narrow(fitting, settings=("scratch",)), seeds="0").specs if spec.kind == "train"} == {
        "scratch", "ceiling"}
    joined = Matrix(name="two", groups=(group(), group(arms=("m2pt",), targets=("imagenet",))))
    narrowed = narrow(joined, targets=("imagenet",), auxiliaries=("image",))
    with pytest.raises(ValueError, match="no target takes the auxiliary image"):
        plan_of(narrowed, seeds="0")
    assert plan_of(narrow(joined, auxiliaries=("image",)), seeds="0").specs, "the second group is left out"


def test_a_group_keeps_its_number_in_the_file_where_others_are_left_out():
    wrong = group(targets=("audioset",), set=("recipe.epoch=1",))
    several = Matrix(name="three", groups=(group(targets=("imagenet",)), group(targets=("kinetics",)), wrong))
    for narrowed in (several, narrow(several, targets=("audioset",)),
                     narrow(narrow(several, targets=("audioset", "kinetics")), targets=("audioset",))):
        with pytest.raises(ValueError, match=r"group 3 of matrix three: set recipe\.epoch: no such field"):
            plan_of(narrowed, seeds="0")


def test_values_that_were_recorded_and_are_not_planned_any_more_can_still_be_read():
    (spec,) = [spec for spec in plan().specs if spec.kind == "train" and spec.arm == "finetune"]
    for update in ({"min_lr": 1.0}, {"augment": {"crop": 2.0}}):
        said = spec.model_copy(update={"recipe": spec.recipe.model_copy(update=update)})
        assert type(spec).model_validate_json(said.model_dump_json()) == said


@pytest.mark.parametrize("profile", ["tiny", "small", "paper"])
def test_values_of_every_profile_fit_each_other(profile):
    every = [Cell(task, ARMS[name], setting) for task in TASKS.values() if profile in task.profiles
             for name, setting in (("finetune", "pretrained"), ("fix", "fix"), ("scratch", "scratch"))]
    planned = Planner(TASKS, profile, unprepared={}).plan(every, [0])
    check_recipes(planned)
    assert note_warmup(planned) == []


def test_the_smallest_micro_batch_is_the_one_that_a_run_will_have():
    (spec,) = [spec for spec in plan().specs if spec.kind == "train" and spec.arm == "finetune"]
    for batch_size, limit, repeats in ((12, None, 1), (13, 5, 1), (7, 100, 2), (16, 9, 3), (1, None, 1)):
        chosen = torch.arange(min(batch_size, limit or batch_size))
        for parts in range(1, batch_size + 1):
            recipe = spec.recipe.model_copy(update={"batch_size": batch_size, "accumulation": parts, "repeats": repeats})
            asked = spec.model_copy(update={"recipe": recipe, "limit": limit})
            assert smallest_part(asked, parts) == min(map(len, micro_batches(chosen, recipe)))


@pytest.mark.parametrize(("task", "overrides", "said"), [
    ("modelnet", ("recipe.batch_size=7", "recipe.accumulation=3"), "; set recipe.accumulation to 1"),
    ("shapenet", ("recipe.batch_size=8", "recipe.accumulation=8"), "; set recipe.accumulation to 4"),
    ("modelnet", ("recipe.batch_size=1",), "; give batches more than one sample"),
    ("modelnet", ("recipe.batch_size=8", "recipe.accumulation=8", "recipe.repeats=2"), ""),
    ("modelnet", ("recipe.batch_size=8", "recipe.accumulation=4"), ""),
    ("imagenet", ("recipe.batch_size=8", "recipe.accumulation=8"), "")])
def test_micro_batches_of_one_sample_under_a_batch_norm_are_not_planned(task, overrides, said):
    planned = plan(*overrides, targets=(task,), chosen=("finetune",))
    if said:
        with pytest.raises(ValueError, match=f"^{task} finetune: recipe has a micro-batch of one sample, which the batch norm "
                                             f"in the task's head cannot train on{said}"):
            check_recipes(planned)
    else:
        check_recipes(planned)


def test_a_warm_up_as_long_as_the_training_is_told_once_for_each_kind_of_run():
    assert note_warmup(plan("recipe.epochs=3", "recipe.warmup_epochs=1")) == []
    long = plan("recipe.epochs=2", "pretrain.warmup_epochs=1000", targets=("imagenet", "audioset"), seeds=(0, 1))
    check_recipes(long)
    assert note_warmup(long) == [
        "note: pretrain.warmup_epochs is no less than pretrain.epochs (audio, image, point, video), so the learning rate never "
        "reaches its peak; for more than a trial, set pretrain.warmup_epochs lower",
        "note: recipe.warmup_epochs is no less than recipe.epochs (audioset, imagenet), so the learning rate never reaches its "
        "peak; for more than a trial, set recipe.warmup_epochs lower"]


def test_a_plan_is_topologically_ordered_and_deduplicated():
    planned = plan(targets=("imagenet", "audioset", "modelnet"), seeds=(0, 1), chosen=tuple(ARMS), settings=SETTINGS)
    seen = set()
    for job in planned.jobs:
        assert {need.run_id for _, need in job.needs} == set(job.spec.starts.values()) <= seen, job.spec.name
        assert job.spec.run_id not in seen, job.spec.name
        seen.add(job.spec.run_id)
    twice = Planner(TASKS, "tiny").plan([*cells(), *cells()], (0,))
    assert twice.specs == plan().specs


def test_a_pretraining_is_shared_by_every_cell_of_its_seed():
    planned = plan(targets=("imagenet", "audioset"), seeds=(0, 1), auxiliaries=("image", "audio"))
    pretrainings = [spec for spec in planned.specs if spec.kind == "pretrain"]
    assert sorted((spec.modality, spec.seed) for spec in pretrainings) == [
        ("audio", 0), ("audio", 1), ("image", 0), ("image", 1)]
    by_id = {spec.run_id: spec for spec in pretrainings}
    for spec in (spec for spec in planned.specs if spec.kind == "train"):
        started = {role: (by_id[run_id].modality, by_id[run_id].seed) for role, run_id in spec.starts.items()}
        expected = {"target": (spec.modality, spec.seed)}
        if spec.auxiliary:
            expected["auxiliary"] = (spec.auxiliary, spec.seed)
        assert started == expected


def test_what_starts_from_another_pretraining_is_another_run():
    before = plan(auxiliaries=("audio",))
    after = plan("audioset.pretrain.epochs=1", auxiliaries=("audio",))
    assert spec_of(before, arm="finetune").run_id == spec_of(after, arm="finetune").run_id
    assert spec_of(before, arm="m2pt").run_id != spec_of(after, arm="m2pt").run_id


def test_from_scratch_needs_no_pretraining():
    planned = plan(chosen=("scratch",), settings=("scratch",))
    assert [(spec.arm, spec.starts) for spec in planned.specs] == [("scratch", {})]


def test_the_overrides_of_a_preset_need_not_fit_every_choice_of_its_cells():
    matrix = narrow(STUDY.matrices["smoke"], targets=("imagenet",), arms=("scratch",), settings=("scratch",))
    (spec,) = plan_of(matrix).specs
    assert spec.recipe.epochs == 2


def test_a_task_without_a_pretraining_of_its_own_starts_from_its_modalitys():
    borrowers = [task for task in TASKS.values() if task.pretrained_by is not None and "tiny" in task.profiles]
    assert borrowers, "no task borrows a pretraining any more: drop this test"
    for task in borrowers:
        assert spec_of(plan(targets=(task.name,), chosen=("finetune",)), kind="pretrain").task == task.pretrained_by


def test_an_override_applies_to_every_task_of_its_scope_only():
    plain, altered = (plan(*texts, targets=("imagenet", "audioset"), chosen=("finetune",))
                      for texts in ((), ("recipe.epochs=77",)))
    for task in ("imagenet", "audioset"):
        assert spec_of(altered, task).recipe.epochs == 77
        assert spec_of(altered, task).recipe == spec_of(plain, task).recipe.model_copy(update={"epochs": 77})
        assert spec_of(altered, task, "pretrain") == spec_of(plain, task, "pretrain")


def test_an_override_of_one_task_leaves_the_others_alone():
    plain, altered = (plan(*texts, targets=("imagenet", "audioset"), chosen=("finetune",))
                      for texts in ((), ("imagenet.pretrain.mask_ratio=0.5",)))
    assert spec_of(altered, "imagenet", "pretrain").recipe.mask_ratio == 0.5
    assert spec_of(altered, "audioset", "pretrain") == spec_of(plain, "audioset", "pretrain")
    assert spec_of(altered, "audioset") == spec_of(plain, "audioset")


def test_under_the_papers_profile_rates_follow_the_batch_unless_they_are_set():
    def recipe_of(profile, *texts):
        planner = Planner(TASKS, profile, [parse_override(text, TASKS) for text in texts])
        return planner._override(TASKS["imagenet"].profiles[profile].train["pretrained"], "recipe", TASKS["imagenet"])

    published = recipe_of("paper")
    halved = recipe_of("paper", f"recipe.batch_size={published.batch_size // 2}")
    assert (halved.lr, halved.min_lr) == (pytest.approx(published.lr / 2), pytest.approx(published.min_lr / 2))
    assert recipe_of("paper", "recipe.batch_size=64", "recipe.lr=0.01").lr == 0.01
    typed = recipe_of("paper", f"recipe.batch_size={published.batch_size // 4}", "recipe.min_lr=1e-5")
    assert (typed.lr, typed.min_lr) == (pytest.approx(published.lr / 4), 1e-5)
    assert recipe_of("tiny", "recipe.batch_size=32").lr == TASKS["imagenet"].profiles["tiny"].train["pretrained"].lr
    with pytest.raises(ValueError, match="batch_size"):
        recipe_of("paper", "recipe.batch_size=many")


def test_an_override_of_the_shape_reaches_pretraining_and_training():
    planned = plan("shape.depth=1", auxiliaries=("audio",))
    assert {spec.shape.depth for spec in planned.specs} == {1}


def test_an_override_of_the_arm_reaches_the_arms_that_have_the_option():
    planned = plan("arm.scale_init=0.25", auxiliaries=("audio",))
    assert spec_of(planned, arm="m2pt").options["scale_init"] == 0.25
    assert "scale_init=0.25" in spec_of(planned, arm="m2pt").variant
    assert spec_of(planned, arm="finetune") == spec_of(plan(auxiliaries=("audio",)), arm="finetune")


def test_an_override_reaches_one_strength_and_keeps_the_others():
    before = spec_of(plan(chosen=("finetune",))).recipe.augment
    after = spec_of(plan("imagenet.recipe.augment.flip=0.125", chosen=("finetune",))).recipe.augment
    assert after == {**before, "flip": 0.125}
    assert before["flip"] != 0.125


def test_of_two_overrides_of_one_field_the_later_counts():
    assert spec_of(plan("recipe.epochs=3", "recipe.epochs=4", chosen=("finetune",))).recipe.epochs == 4


def test_values_are_json_or_text():
    values = {text: parse_override(f"recipe.x={text}", ()).value for text in ("1", "0.5", "true", "[1, 2]", "bf16", "")}
    assert values == {"1": 1, "0.5": 0.5, "true": True, "[1, 2]": [1, 2], "bf16": "bf16", "": ""}


@pytest.mark.parametrize(("text", "said"), [
    ("recipe.epoch=1", "did you mean 'epochs'"),
    ("imagnet.recipe.epochs=1", "did you mean 'imagenet'"),
    ("recip.epochs=1", "did you mean 'recipe'"),
    ("recipe.epochs", "expected [TASK.]SCOPE.FIELD=VALUE"),
    ("recipe=1", "expected [TASK.]SCOPE.FIELD=VALUE"),
    ("=1", "expected [TASK.]SCOPE.FIELD=VALUE"),
    ("recipe.epochs=many", "recipe.epochs: expected a whole number, not 'many'"),
    ("recipe.lr=-1", "recipe.lr: Input should be greater than 0"),
    ("recipe.lr=NaN", "recipe.lr"),
    ("recipe.lr=Infinity", "recipe.lr"),
    ("recipe.lr.peak=1", "lr has no named parts"),
    ("recipe.precision=fp8", "'fp32', 'bf16' or 'fp16'"),
    ("shape.depth=0", "shape.depth"),
    ("arm.scale_int=1", "did you mean 'scale_init'"),
    ("arm.train_scale=perhaps", "arm.train_scale"),
    ("kinetics.recipe.epochs=1", "changes nothing in this matrix"),
])
def test_an_override_that_does_not_fit_is_refused_with_what_would(text, said):
    with pytest.raises(ValueError, match="--set") as refused:
        plan(text, auxiliaries=("audio",))
    assert said in str(refused.value)


def test_an_unknown_profile_names_those_of_the_task():
    with pytest.raises(ValueError, match=r"imagenet has no profile 'huge'; it has tiny, small, paper"):
        Planner(TASKS, "huge").plan(cells(), (0,))


def test_a_modality_that_nothing_pretrains_is_refused():
    audio = TASKS["audioset"]
    with pytest.raises(ValueError, match="no task pretrains modality 'image'; there are audio"):
        Planner({"audioset": audio}, "tiny").plan([Cell(audio, ARMS["m2pt"], "pretrained", "image")], (0,))


@pytest.mark.parametrize(("text", "seeds"), [("0", [0]), ("0-2", [0, 1, 2]), ("5,0-1", [5, 0, 1]), ("7-7", [7])])
def test_seeds_are_numbers_and_ranges(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "-1", "1-", "2-1", "0,0", "0-2,1", "1.5", "0,,1", "0-1-2"])
def test_other_seeds_are_refused(text):
    with pytest.raises(ValueError, match="--seeds"):
        parse_seeds(text)


def test_names_may_be_repeated_or_listed():
    assert pick(["imagenet,audioset", "kinetics"], TASKS, "task") == ["imagenet", "audioset", "kinetics"]
    assert pick(None, TASKS, "task") == []
    with pytest.raises(ValueError, match=r"unknown task 'imagenett'; did you mean 'imagenet'\? known: imagenet, "):
        pick(["imagenett"], TASKS, "task")


def test_a_name_far_from_all_is_answered_with_the_list_alone():
    assert nearest("zzzzzz", ["audio", "image"]) == "known: audio, image"


def test_specs_survive_json():
    for spec in plan("arm.layers=[\"attn.qkv\"]", auxiliaries=("audio",), limited=True).specs:
        again = type(spec).model_validate(json.loads(json.dumps(spec.model_dump(mode="json"))))
        assert (again, again.run_id) == (spec, spec.run_id)


def test_a_pathway_without_an_auxiliary_is_refused():
    with pytest.raises(ValueError, match="needs an auxiliary"):
        ARMS["m2pt"].starts("image", None, "pretrained", 0)


def test_a_shared_origin_begins_pretraining_with_the_targets_initial_blocks():
    from benchmark.train.setup import build_autoencoder, build_model

    planner = Planner(TASKS, "tiny")
    arm = ARMS["m2pt"].model_copy(update={"origin": "target"})
    job = planner.plan([Cell(TASKS["imagenet"], arm, "pretrained", "audio")], [4]).jobs[-1]
    own, shared = (dict(job.needs)[role] for role in ("target", "auxiliary"))
    assert (own.origin, shared.origin, shared.cell) == (None, "image", "audio pretraining [origin=image]")
    started = {spec.run_id: build_autoencoder(spec, TASKS[spec.task]).encoder.blocks.state_dict() for spec in (own, shared)}
    usual = spec_of(plan(auxiliaries=("audio",), seeds=(4,)), "audioset", kind="pretrain")
    other = build_autoencoder(usual, TASKS["audioset"])
    for name, tensor in started[own.run_id].items():
        assert torch.equal(tensor, started[shared.run_id][name])
        assert torch.equal(tensor, build_model(job.spec, TASKS["imagenet"]).blocks.state_dict()[name])
    assert not torch.equal(other.encoder.blocks[0].attn.qkv.weight, started[own.run_id]["0.attn.qkv.weight"])
    tokenizers = [build_autoencoder(spec, TASKS["audioset"]).encoder.tokenizer.state_dict() for spec in (usual, shared)]
    assert all(torch.equal(tensor, tokenizers[1][name]) for name, tensor in tokenizers[0].items())
    assert usual.comparison != shared.comparison
