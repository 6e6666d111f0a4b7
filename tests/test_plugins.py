"""Files of one's own arms: several of them, methods unless they say otherwise, with rivals; and shapes that must agree."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import TASKS, make_matrix, make_record, make_spec, standings_of

from baselines import ARMS, STUDY
from baselines.kin import KIN
from baselines.m2pt import M2PT
from benchmark.cli.closing import own_choice
from benchmark.cli.commands import build_parser
from benchmark.cli.context import load_study, make_plan
from benchmark.cli.main import main
from benchmark.evidence.analysis import analyse
from benchmark.plan.study import with_rivals
from benchmark.provenance.code import reachable_code, used_code
from benchmark.report.answer import answer, control_verdicts, positive_verdicts
from benchmark.report.means import headline
from benchmark.report.write import sentences
from benchmark.spec.contracts import Arm

ARM = """from benchmark.spec.contracts import Arm

class Own(Arm):
    name, summary, source = "{name}", "one of several", "a test"
    settings = ("pretrained",)
    uses_auxiliary = True

ARM = Own()
"""


@pytest.fixture
def files(tmp_path, monkeypatch) -> list[str]:
    """Two files in two folders, each with an arm; the options that name them."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    given = []
    for name in ("own_one", "own_two"):
        file = tmp_path / name / f"{name}.py"
        file.parent.mkdir()
        file.write_text(ARM.format(name=name.replace("_", "-")))
        given += ["--plugins", str(file)]
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("_layers", "_others"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return given


def test_several_files_are_methods_with_the_study_s_rivals(files, capsys):
    assert main(["list", "arms", "--json", *files, "--plugins", str(Path(files[1]).parent)]) == 0, "one may be named twice"
    told = {arm["name"]: arm for arm in json.loads(capsys.readouterr().out)["arms"]}
    assert [told[name]["is_method"] for name in ("own-one", "own-two", "m2pt", "random-norm", "finetune")] == [
        True, True, True, False, False]
    plan, _ = make_plan(build_parser().parse_args(["run", "--arm", "own-one,own-two,finetune", "-t", "imagenet", *files]))
    assert {spec.arm: spec.role for spec in plan.specs if spec.arm} == {
        "own-one": "method", "own-two": "method", "finetune": "baseline"}


@pytest.mark.parametrize("when", ["as it is loaded", "as a model is built"])
def test_what_two_plugins_import_by_one_name_is_each_its_own_or_refused(files, when, capsys):
    """Python has one module of a name: the second plugin would compute by what the first one imports, in silence."""
    loaded = "from _layers import FACTOR\n"
    for number, file in enumerate(map(Path, files[1::2])):
        text = ARM.format(name=file.stem.replace("_", "-"))
        file.write_text(loaded + text if when == "as it is loaded" else text.replace(
            "\nARM", "    def build(self, model, blocks, random):\n        " + loaded + "        return []\n\nARM"))
        (file.parent / "_layers.py").write_text(f"FACTOR = {number}\n")
    first, second = map(Path, files[1::2])
    assert main(["list", "arms", *files[:2]]) == 0
    assert main(["list", "arms", *files]) == 2
    assert capsys.readouterr().err == (f"benchmark: --plugins: {second} imports _layers, and Python takes "
                                       f"{first.parent / '_layers.py'} and not the one beside it; rename "
                                       f"{second.parent / '_layers.py'}\n")
    (second.parent / "_layers.py").rename(second.parent / "_others.py")
    second.write_text(second.read_text().replace("_layers", "_others"))
    sys.modules.pop("own_two", None)
    assert main(["list", "arms", *files]) == 0


def test_what_lies_beside_a_plugin_hides_no_package(files, capsys):
    file = Path(files[1])
    for name in ("timm", "torch", "_pytest", "own_notes"):
        (file.parent / f"{name}.py").write_text("raise RuntimeError('this was imported')\n")
    run = ["run", "--matrix", "smoke", "-t", "imagenet", "--arm", "finetune,own-one", "-x", "audio", *files[:2], "--dry-run"]
    assert main(run) == 0
    file.write_text("import timm\n" + file.read_text())
    sys.modules.pop("own_one", None)
    assert main(run) == 2
    taken = importlib.import_module("timm").__file__
    assert f"own_one.py imports timm, and Python takes {taken} and not the one beside it" in capsys.readouterr().err


@pytest.mark.parametrize(("coding", "start"), [("utf-8-sig", ""), ("latin-1", "# -*- coding: latin-1 -*-\n"), ("utf-8", "")])
def test_a_plugin_may_have_a_mark_of_byte_order_or_another_encoding(files, coding, start, tmp_path, capsys):
    file = Path(files[1])
    file.write_text(start + file.read_text().replace("one of several", "one of sévéral"), encoding=coding, newline="\r\n")
    chosen = ["-t", "imagenet", "-x", "audio", "--arm", "finetune,own-one", *files[:2], "--results", str(tmp_path / "results")]
    assert main(["run", "--matrix", "smoke", *chosen, "--dry-run"]) == 0
    assert main(["list", "arms", *files[:2]]) == 0
    assert "one of sévéral" in capsys.readouterr().out
    digest = dict(reachable_code(["own_one"]))["own_one"]
    file.write_text(file.read_text(encoding=coding).removeprefix(start), encoding="utf-8")
    assert dict(reachable_code(["own_one"]))["own_one"] == digest


def test_what_a_plugin_imports_later_and_is_no_python_is_told_in_one_line(files, capsys):
    file = Path(files[1])
    file.write_text(file.read_text().replace("\nARM", "    def build(self, *given):\n        import _layers\n\nARM"))
    (file.parent / "_layers.py").write_text("def build(:\n")
    assert main(["run", "-t", "imagenet", "-x", "audio", "--arm", "finetune,own-one", *files[:2], "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"benchmark: {file.parent / '_layers.py'}, a part of the code of runs, is no Python: invalid syntax")


@pytest.mark.parametrize(("name", "said"), [
    ("time.py", "has the name of another module, time; rename it"), ("timm.py", "has the name of another module, /"),
    ("my.arm.py", "has a dot in its name"), ("", "no plugin is in this folder")])
def test_a_name_that_no_plugin_can_have_and_a_folder_without_one_are_told(name, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / (name or "test_only.py")).write_text(ARM.format(name="own"))
    assert main(["list", "arms", "--plugins", str(tmp_path / name)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


@pytest.mark.parametrize(("field", "said"), [
    ("frozenset[str] = frozenset({'a', 'b'})", "and the order of a set, which enters a run's id, is another in every process"),
    ("tuple[frozenset[int], ...] = (frozenset({1}),)", "and the order of a set"),
    ("dict[str, frozenset[int]] = {'a': frozenset({1})}", "and the order of a set"),
    (r"bytes = b'\xff'", "which is no value of JSON; make it a number, a text or a tuple of texts"),
    ("object = len", "option which is <built-in function len>, which is no value of JSON")])
def test_an_option_that_no_run_can_be_known_by_is_told_as_the_arm_is_loaded(field, said, files, capsys):
    file = Path(files[1])
    file.write_text(file.read_text().replace("\nARM", f"    which: {field}\n\nARM"))
    assert main(["list", "arms", *files[:2]]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"benchmark: plugin {file}: option which is ")
    assert said in line


def test_an_option_of_numbers_in_a_tuple_names_its_variant_as_one_of_texts_does(files, capsys):
    file = Path(files[1])
    file.write_text(file.read_text().replace("\nARM", "    which: tuple[int, ...] = (0, 2)\n\nARM"))
    chosen = ["run", "-t", "imagenet", "-x", "audio", "--arm", "finetune,own-one", *files[:2], "--dry-run"]
    assert main(chosen) == 0
    assert "which=" not in capsys.readouterr().out
    assert main([*chosen, "--set", "arm.which=[1,3]"]) == 0
    assert "which=1+3" in capsys.readouterr().out


def test_a_rival_that_is_no_arm_is_refused_before_anything_runs(files, tmp_path, capsys):
    """Else everything would be computed, and then the table at the end refused."""
    file = Path(files[1])
    file.write_text(file.read_text().replace("uses_auxiliary", 'rivals = ("shufled",)\n    uses_auxiliary'))
    small = ["--matrix", "smoke", "-t", "imagenet", "-x", "audio", "--arm", "finetune,own-one", *files]
    for command in ("run", "status"):
        assert main([command, *small, "--results", str(tmp_path / "results")]) == 2
        assert "unknown rival of arm own-one, 'shufled'; did you mean 'shuffled'?" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_what_comes_next_repeats_every_file(files, tmp_path, capsys):
    small = ["--matrix", "smoke", "-t", "imagenet", "-x", "audio", "--arm", "finetune,own-one", "--limit", "8", *files,
             "--results", str(tmp_path / "theirs")]
    plan, store = make_plan(build_parser().parse_args(["run", *small]))
    store.prepare()
    for job in plan.jobs:
        store.save(make_record(job.spec, code=used_code(job.code, stacked=False, shared=False)))
    assert main(["run", *small]) == 0
    printed = capsys.readouterr().out
    chosen = "-t imagenet -x audio --arm finetune,own-one,random-norm,self-copy"
    assert printed.splitlines()[-1].endswith(" ".join(["benchmark run --matrix quick", chosen, *files]))
    assert " ".join(["benchmark report --results mine", *files, "--compare"]) in printed
    starts = ["--start", "speech=a.safetensors", "--start", "image=b.safetensors"]
    unused = ["--start", "video=c.safetensors"]
    typed = build_parser().parse_args(["run", "-t", "imagenet", "-x", "speech", *files, *starts, *unused])
    assert own_choice(typed) == ["-t", "imagenet", "-x", "speech", *starts], "and the files that they start from"


def test_rivals_are_the_arm_s_those_that_it_inherits_or_those_of_the_study():
    class Heir(M2PT):
        name = "heir"

    class Named(Heir):
        name, rivals = "named", ("random-init",)

    class Nephew(Named):
        name = "nephew"

    class Alone(Arm):
        name, summary, source = "alone", "of no auxiliary", "a test"

    class Control(Alone):
        name, is_method = "control", False

    own = {arm.name: arm for arm in (Heir(), Named(), Nephew(), Alone(), Control())}
    rivals = with_rivals(STUDY, {**ARMS, **own}).rivals
    assert [tuple(rivals.get(name, ())) for name in own] == [
        STUDY.rivals["m2pt"], ("random-init",), ("random-init",), ("self-copy",), ()]
    declared = {arm.name: arm.rivals for arm in KIN if arm.rivals}
    kept = {name: tuple(arms) for name, arms in load_study(ARMS).rivals.items()}
    assert kept == STUDY.rivals | declared, "whose own arms keep theirs"

    class Wrong(Heir):
        name, rivals = "wrong", ("random-nrom",)

    with pytest.raises(ValueError, match="unknown rival of arm wrong, 'random-nrom'; did you mean 'random-norm'"):
        with_rivals(STUDY, {**ARMS, "wrong": Wrong()})


def test_an_arm_of_one_s_own_names_its_positive_control():
    class Own(M2PT):
        name, positive = "own", "own-known"

    class Known(M2PT):
        name, is_method, rivals = "own-known", False, ("random-norm",)

    study = with_rivals(STUDY, {**ARMS, "own": Own(), "own-known": Known()})
    assert study.positive == {**STUDY.positive, "own": "own-known"}
    records = make_matrix(["imagenet"], ["audio"], range(3), {("imagenet", "audio"): 0.0}, scratch=False)
    for seed, level in enumerate((46.0, 47.5, 47.0)):
        records += [make_record(make_spec("imagenet", "own", "audio", seed, role="method"), level),
                    make_record(make_spec("imagenet", "random-norm", "audio", seed), level),
                    make_record(make_spec("imagenet", "own-known", "audio", seed), level + 8 + seed / 10)]
    (said,) = positive_verdicts(analyse(records, [], tasks=TASKS, study=study, standings=standings_of(records)), 0)
    assert said[0] == "Could a gain of own have been seen?"
    assert said[1].startswith("own-known gains beyond its controls on 1 of 1 target (emoji).")

    class Wrong(M2PT):
        name, positive = "wrong", "self-cpoy"

    with pytest.raises(ValueError, match="unknown positive control of arm wrong, 'self-cpoy'; did you mean 'self-copy'"):
        with_rivals(STUDY, {**ARMS, "wrong": Wrong()})


def test_a_new_method_has_a_number_and_a_verdict_of_its_own():
    records = make_matrix(["imagenet"], ["audio"], range(3), {("imagenet", "audio"): 0.0}, scratch=False)
    for seed, level in enumerate((46.0, 47.5, 47.0)):
        records += [make_record(make_spec("imagenet", "own", "audio", seed, role="method"), level + 8 + seed / 10),
                    make_record(make_spec("imagenet", "random-norm", "audio", seed), level),
                    make_record(make_spec("imagenet", "self-copy", None, seed), level)]

    class Own(M2PT):
        name = "own"

    found = analyse(records, [], tasks=TASKS, study=with_rivals(STUDY, {**ARMS, "own": Own()}),
                    standings=standings_of(records))
    sentences = answer(found)
    assert len(sentences) == 2
    assert sentences[0].startswith("Profile tiny, setting pretrained: of 1 target x auxiliary pair, 0 gain ")
    assert sentences[1].startswith("Profile tiny, setting pretrained, own: of 1 target x auxiliary pair, 1 gains ")
    assert dict(control_verdicts(found, 0))["own"] == "1 of 1 pair helps beyond every control."


def own_beside(auxiliary):
    """The study's method without its controls, and one's own with its rival, on two targets"""
    records = make_matrix(["imagenet", "audioset"], ["point"], range(4), {("imagenet", "point"): 1.0}, scratch=False)
    for task in ("imagenet", "audioset"):
        for seed in range(4):
            plain = next(record for record in records if (record.spec.task, record.spec.arm, record.spec.seed) == (
                task, "finetune", seed)).curve("test", TASKS[task].metrics[0].name)[-1][1]
            for arm, role, gain in (("own", "method", 5.0 * (task == "imagenet") + seed / 10), ("own-noise", "control", 0.0)):
                records.append(make_record(make_spec(task, arm, auxiliary, seed, role=role), plain + gain))
    study = replace(STUDY, rivals={**STUDY.rivals, "own": ("own-noise",)})
    return analyse(records, [], tasks=TASKS, study=study, standings=standings_of(records))


def test_a_report_on_other_methods_than_the_studys_begins_with_what_they_are_worth():
    """It began with the study's own, of which no control was run"""
    found = own_beside("point")
    assert headline(found).startswith("Adding the weights of a transformer of another modality")
    assert sentences(found)[0] == (
        "By the first rule, 1 of 2 comparisons shows an arm (own) to help beyond the plain model and each of its controls (a "
        "comparison: a target, and an auxiliary where the arm takes one, in one setting and variant, adjusted for the others "
        "of its arm).")
    own, method = sentences(found)[1:]
    assert own.startswith("Profile tiny, setting pretrained, own: of 2 target x auxiliary pairs, 1 gains over ")
    assert method.startswith("Profile tiny, setting pretrained, m2pt: of 2 target x auxiliary pairs, ")
    controls = [make_record(make_spec("imagenet", arm, name, seed), 47.0 + seed) for seed in range(4)
                for arm, name in (("random-norm", "point"), ("self-copy", None))]
    asked = analyse([*found.collection.records, *controls], [], tasks=TASKS, study=found.study)
    assert sentences(asked)[0] == headline(asked), "with its controls it is what is asked"


def test_a_method_without_auxiliaries_is_counted_by_its_targets():
    own = sentences(own_beside(None))[1]
    assert own.startswith("Profile tiny, setting pretrained, own: of 2 targets, 1 gains over their baseline and ")
    assert "; every target is found from: " in own
    assert own.endswith("1 of 2 targets gain beyond every control.")


@pytest.mark.parametrize(("chosen", "said"), [
    ("imagenet.shape.depth=2", "imagenet m2pt(audio) has blocks of depth 2, and its auxiliary of depth 3"),
    ("imagenet.shape.num_heads=4", "of num_heads 4, and its auxiliary of num_heads 3"),
    ("audioset.shape.embed_dim=48", "m2pt(audio) has blocks of embed_dim 96, and its auxiliary of embed_dim 48")])
def test_shapes_that_cannot_be_joined_are_refused_before_anything_is_trained(chosen, said, tmp_path, capsys):
    code = main(["run", "--matrix", "smoke", "-t", "imagenet", "-x", "audio", "--set", chosen, "--results", str(tmp_path)])
    error = capsys.readouterr().err
    assert code == 2
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_value_that_no_folder_can_be_named_by_is_refused_before_anything_is_trained(files, tmp_path, capsys):
    """The run would fail when it is saved, with folders left anywhere."""
    file = Path(files[1])
    file.write_text(file.read_text().replace("    uses_aux", "    pick: str = ''\n    uses_aux"))
    command = ["run", "--matrix", "smoke", "-t", "imagenet", "-x", "audio", "--arm", "finetune,own-one", "--plugins", str(file),
               "--results", str(tmp_path / "results"), "--dry-run", "--set"]
    for value, said in (("a/b", "has a character that no folder's name has"), ("../b", "has a character that no folder's name"),
                        ("ü" * 120, "its name would have 2")):
        assert main([*command, f"arm.pick={value}"]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert main([*command, "arm.pick=ü ö.x"]) == 0


def test_a_plain_model_may_have_any_shape():
    arguments = ["run", "--matrix", "smoke", "-t", "imagenet", "--arm", "finetune", "--set", "imagenet.shape.depth=2"]
    plan, _ = make_plan(build_parser().parse_args(arguments))
    assert {spec.shape.depth for spec in plan.specs} == {2}
