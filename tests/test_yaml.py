"""YAML as people write it: what it means is read, what it may hide is refused by line, in the words of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from baselines import STUDY
from benchmark.cli.main import main
from benchmark.evidence.claims import load_claims
from benchmark.plan.sources import load_sources
from benchmark.plan.study import Study, find_matrix
from benchmark.plan.variants import load_variants
from benchmark.spec.yamlfile import read_yaml

ROOT = Path(__file__).parents[1]
GROUP = "groups:\n- arms: [scratch, m2pt]\n  settings: [scratch]\n  targets: [imagenet]\n  auxiliaries: [point]\n"


def plan(tmp_path: Path, text: str | bytes, capsys) -> tuple[int, str]:
    """Exit code and output of `status` for a matrix file."""
    path = tmp_path / "m.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    code = main(["status", "--matrix", str(path), "--results", str(tmp_path / "results")])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


@pytest.mark.parametrize(("text", "shown"), [
    (GROUP, "9 runs"), ("\ufeff" + GROUP, "9 runs"), (GROUP.replace("\n", "\r\n"), "9 runs"),
    ("seeds: [0, 1]\n" + GROUP, "6 runs"), ("seeds: 3\n" + GROUP, "3:missing"), ("seeds: 0-1\n" + GROUP, "6 runs"),
    ('seeds: "0, 1"\n' + GROUP, "6 runs"), ("seeds: [0-1, 4]\n" + GROUP, "4:missing"),
    (GROUP + "  set: {recipe.lr: 0.001}\n", "9 runs"), (GROUP + "  set: [recipe.lr=1e-3]\n", "9 runs"),
    (GROUP + "  set: {recipe: {lr: 0.001}, imagenet: {recipe: {augment: {crop: 0.5}}}}\n", "9 runs"),
    (GROUP + "  options:\n  - {}\n  - {scale_init: 1e-4}\n", "[scale_init=0.0001]"),
    (GROUP + "  options:\n  - {train_scale: no}\n", "[train_scale=False]"),
    (GROUP + "  options:\n  - {layers: attn.qkv}\n", "[layers=attn.qkv]"),
    (GROUP + '  options:\n  - {layers: "attn.qkv,mlp.fc1"}\n', "[layers=attn.qkv+mlp.fc1]"),
    (GROUP.replace("[point]", "['point , audio', point]"), "m2pt(audio)"),
    (GROUP.replace("m2pt", "'m2pt '"), "9 runs"), (GROUP.replace("[imagenet]", "null"), "kinetics m2pt(point)"),
    ("seeds: ['08']\n" + GROUP, "8:missing"),
    ("groups:\n- &first\n  arms: [scratch]\n  settings: [scratch]\n  targets: [imagenet]\n- <<: *first\n"
     "  targets: [shapenet]\n", "shapenet scratch")])
def test_a_matrix_means_what_its_author_meant(text, shown, tmp_path, capsys):
    code, printed = plan(tmp_path, text, capsys)
    assert code == 0, printed
    assert shown in printed


SEEDS = "seeds: expected numbers and ranges such as 0-2, or a list such as [0, 3]"


@pytest.mark.parametrize(("text", "said"), [
    (GROUP + "  targets: [shapenet]\n", "targets is given twice, in lines 4 and 6"),
    ("seeds: 0\n" + GROUP + "seeds: 1\n", "seeds is given twice, in lines 1 and 7"),
    (GROUP + "  options:\n  - {scale_init: 1, scale_init: 2}\n", "scale_init is given twice, in lines 7 and 7"),
    (GROUP.replace("  ", "\t"), "line 3: it is indented by a tab; YAML wants spaces"),
    (("summary: Größe\n" + GROUP).encode("latin-1"), "is not UTF-8 (at byte 11); save it so"),
    (GROUP.replace("- arms", "  arms"), "groups: expected a list: begin every group with a dash"),
    (GROUP.replace("[imagenet]", "imagenet"), "group 1: targets: expected a list, such as [imagenet]"),
    (GROUP.replace("targets", "target"), "group 1: target: there is no such field; did you mean 'targets'?"),
    ("seed: 0\n" + GROUP, "seed: there is no such field; did you mean 'seeds'?"),
    ("seeds: 0..2\n" + GROUP, "seeds 0..2: expected numbers and ranges"), ("seeds: 1.5\n" + GROUP, SEEDS),
    (GROUP.replace("[scratch]", "[scrtach]"), "group 1: settings.1: 'scrtach' is none of these; 'pretrained', 'fix' or"),
    ("groups: []\n", "groups: expected at least one group"),
    (GROUP.replace("[imagenet]", "[]"), "group 1: targets: expected at least one in the list"),
    (GROUP.replace(" [imagenet]", ""), "line 4: targets has no value; give it one, or leave it out"),
    (GROUP.replace(" [point]", "  # to come"), "line 5: auxiliaries has no value; give it one, or leave it out"),
    ("seeds:\n" + GROUP, "line 1: seeds has no value; give it one, or leave it out"),
    (GROUP + "  set: {recipe.lr: }\n", "line 6: recipe.lr has no value; give it one, or leave it out"),
    ("seeds: []\n" + GROUP, SEEDS),
    ("seeds: [0.0, 1]\n" + GROUP, SEEDS),
    ("seeds: 1e3\n" + GROUP, SEEDS),
    ("seeds: true\n" + GROUP, SEEDS), ("seeds: 010\n" + GROUP, "line 1: 010 is 8 to YAML; write it without a zero before it"),
    ("limited: false\nseeds: [1:30]\n" + GROUP, "line 2: 1:30 is 90 to YAML; write it without"),
    ("limited: false\nseeds: [1:30.5]\n" + GROUP, "line 2: 1:30.5 is 90.5 to YAML; write it without a colon"),
    (GROUP.replace("point", "no"), "group 1: auxiliaries.1: expected a text, and YAML takes what is there for False; put it"),
    (GROUP.replace("m2pt", "''"), "group 1: arms: an empty text is no name"),
    ("seeds: 3-1\n" + GROUP, "seeds 3-1: 3-1 runs backwards; write 1-3"),
    (GROUP + "  options: {scale_init: 0.1}\n", "group 1: options: expected a list, such as [{scale_init: 0.1}]"),
    ("summary: x\n", "groups: is not there"),
    ("group:\n- arms: [finetune]\n", "group: there is no such field; did you mean 'groups'?"),
    ("- a\n", "expected a mapping with groups, in YAML"),
    ("groups:\n- arms\n", "group 1: expected fields such as arms and targets"), ("groups: [\n", "line 2: "),
    ("[" * 2000, "nested too deeply")])
def test_what_does_not_fit_a_matrix_is_said_in_the_words_of_its_file(text, said, tmp_path, capsys):
    code, printed = plan(tmp_path, text, capsys)
    assert code == 2, printed
    (line,) = printed.splitlines()
    assert line.startswith(f"benchmark: matrix {tmp_path / 'm.yaml'}")
    assert said in line
    assert "valid tuple" not in line


@pytest.mark.parametrize(("given", "said"), [
    ("{recipe.epoch: 1}", "recipe.epoch: no such field; did you mean 'epochs'?"),
    ("{recipe.epochs: few}", "recipe.epochs: expected a whole number, not 'few'"),
    ("{recipe.lr: 2024-01-01}", "recipe.lr: expected a number, not '2024-01-01'"),
    ("{recipe.lr: true}", "recipe.lr: expected a number, where true or false is given"),
    ("{recipe.augment.x.y: 1}", "recipe.augment.x.y: x has no named parts"),
    ("{recipe: 1}", "expected [TASK.]SCOPE.FIELD=VALUE; name a field of it, too, as in recipe.epochs"),
    ("[recipe.lr]", "recipe.lr: expected [TASK.]SCOPE.FIELD=VALUE; the value is missing, as in recipe.lr=VALUE"),
    ("{arm.scale_int: 1}", "arm.scale_int changes nothing in this matrix")])
def test_a_value_of_a_file_is_refused_with_the_group_that_it_stands_in(given, said, tmp_path, capsys):
    other = GROUP.replace("groups:\n", "").replace("[imagenet]", "[audioset]")
    code, printed = plan(tmp_path, f"{GROUP}{other}  set: {given}\n", capsys)
    assert code == 2
    assert printed.startswith("benchmark: group 2 of matrix m: set "), printed
    assert said in printed


@pytest.mark.parametrize(("wrong", "said"), [
    (("m2pt", "mp2t"), "unknown arm 'mp2t'; did you mean 'm2pt'?"),
    (("audioset", "audoset"), "unknown task 'audoset'; did you mean 'audioset'?"),
    (("point", "pint"), "unknown auxiliary modality 'pint'; did you mean 'point'?"),
    (("scale_init", "scale_int"), "unknown option 'scale_int' of arms scratch, m2pt; did you mean 'scale_init'?")])
def test_a_name_of_a_file_that_is_unknown_is_refused_with_its_group(wrong, said, tmp_path, capsys):
    other = GROUP.replace("groups:\n", "").replace("[imagenet]", "[audioset]") + "  options: [{scale_init: 0.1}]\n"
    code, printed = plan(tmp_path, GROUP + other.replace(*wrong), capsys)
    assert code == 2
    assert printed.startswith(f"benchmark: group 2 of matrix m: {said}"), printed


@pytest.mark.parametrize("name", STUDY.matrices)
def test_what_info_shows_of_a_matrix_is_the_matrix(name, tmp_path, capsys):
    assert main(["info", name]) == 0
    path = tmp_path / f"{name}.yaml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert find_matrix(str(path), STUDY) == STUDY.matrices[name]


@pytest.mark.parametrize("read", [load_variants, load_claims, lambda study: load_sources(study.sources)],
                         ids=["variants", "claims", "sources"])
def test_equal_keys_are_refused_in_every_file_of_ours(read, tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text("- name: a\n  summary: b\n  name: c\n", encoding="utf-8")
    with pytest.raises(ValueError, match="name is given twice, in lines 1 and 3"):
        read(Study(claims=path, sources=path, variants=path))


def test_no_file_is_read_as_yaml_in_another_way():
    wrong = [path for folder in ("benchmark", "tasks", "baselines") for path in sorted((ROOT / folder).rglob("*.py"))
             if "yaml.safe_load" in (text := path.read_text(encoding="utf-8")) or "yaml.load" in text]
    assert wrong == [ROOT / "benchmark" / "spec" / "yamlfile.py"]


def test_numbers_without_a_point_are_numbers_and_other_texts_are_not(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("[1e-4, -2E3, 1.5e-3, 7, 0-2, e1, 1e, 12e3x]", encoding="utf-8")
    assert read_yaml(path) == [1e-4, -2e3, 1.5e-3, 7, "0-2", "e1", "1e", "12e3x"]
