"""Samples that changed sides against the baseline are counted and shown; an arm that changes none is said so."""

from __future__ import annotations

import html
import json
import re

import numpy as np
import pytest
from PIL import Image
from synthetic import make_matrix, make_record, make_spec

from benchmark.cli.commands import build_parser
from benchmark.cli.context import make_plan
from benchmark.cli.main import main
from benchmark.data.names import class_names
from benchmark.evidence.sides import changes_of, unchanged_cells
from benchmark.records.outputs import FILE, write_outputs
from benchmark.records.store import Store
from tasks import TASKS

LABELS = np.arange(16, dtype=np.uint8) % 4


def answers(wrong: list[int]) -> dict[str, np.ndarray]:
    """Every label right but those of the samples that are `wrong`"""
    predicted = LABELS.copy()
    predicted[wrong] = 3 - LABELS[wrong]
    return {"label": LABELS, "predicted": predicted, "probability": np.full(16, 0.5, np.float16)}


def test_one_label_changes_sides_where_one_alone_is_right():
    found = changes_of(answers([1, 5]), answers([1, 2]))
    assert [(change.sample, change.gained, change.said) for change in found] == [
        (2, True, "is 2: 1 -> 2"), (5, False, "is 1: 1 -> 2")]


def test_tags_and_points_change_sides():
    label = np.array([[True, False], [True, False]])
    tags = changes_of({"label": label, "score": np.array([[1.0, -1.0], [-1.0, -2.0]])},
                      {"label": label, "score": np.array([[-1.0, -1.0], [1.0, -1.0]])})
    assert [(change.sample, change.gained, change.said) for change in tags] == [
        (0, True, "tag 0 on, right"), (1, False, "tag 0 off, wrong")]
    points = changes_of({"correct": np.array([0.5, 0.25])}, {"correct": np.array([0.5, 0.75])})
    assert [(change.sample, change.gained, change.said) for change in points] == [
        (1, False, "75 -> 25 % of points right")]


def test_classes_and_tags_are_told_by_name_where_these_are_known():
    found = changes_of(answers([1]), answers([2]), ["apple", "bear", "cat", "dog"])
    assert [change.said for change in found] == ["is bear: bear -> cat", "is cat: bear -> cat"]
    label = np.array([[True, False]])
    (tag,) = changes_of({"label": label, "score": np.array([[1.0, -1.0]])},
                        {"label": label, "score": np.array([[-1.0, -1.0]])}, ["bell", "rain"])
    assert tag.said == "bell on, right"


def folder_of(tmp_path, wrong: dict[str, list[list[int]]]) -> Store:
    store = Store(tmp_path)
    store.prepare()
    for record in make_matrix(["imagenet"], ["audio"], range(2), scratch=False):
        store.save(record)
        if record.spec.arm in wrong:
            write_outputs(store.run_folder(record.spec) / FILE, answers(wrong[record.spec.arm][record.spec.seed]))
    return store


@pytest.mark.parametrize(("m2pt", "equal", "found"), [
    ([[1], [2]], (), {"imagenet m2pt(audio), profile tiny": 2}), ([[1], [3]], (), {}), ([[1], [2]], ("m2pt",), {})])
def test_an_arm_that_answers_as_its_baseline_on_every_seed_is_said_so(m2pt, equal, found, tmp_path, capsys):
    store = folder_of(tmp_path, {"finetune": [[1], [2]], "m2pt": m2pt})
    assert unchanged_cells([(store, store.records()[0])], equal) == found
    if not equal:
        assert main(["report", "--results", str(tmp_path), "--format", "md", "--only", "matrix"]) == 0
        page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
        said = "Answers as its baseline does on every test sample and seed: imagenet m2pt(audio), profile tiny (2 seeds)"
        assert (said in page.replace("\\", "")) == bool(found)


def test_a_cell_is_judged_in_each_profile_and_under_each_condition_by_itself(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    few = make_spec().recipe.model_copy(update={"label_share": 0.1})
    records = []
    for changes in ({}, {"profile": "small"}, {"recipe": few}):
        for arm, auxiliary in (("finetune", None), ("m2pt", "audio")):
            for seed in range(2):
                records.append(make_record(make_spec(arm=arm, auxiliary=auxiliary, seed=seed, **changes)))
                store.save(records[-1])
                changed = auxiliary and "recipe" in changes
                write_outputs(store.run_folder(records[-1].spec) / FILE, answers([3] if changed else [1]))
    assert unchanged_cells([(store, records)]) == {"imagenet m2pt(audio), profile tiny, label_share=1.0": 2,
                                               "imagenet m2pt(audio), profile small": 2}


def test_a_cell_that_another_folder_shows_to_differ_is_not_said_to_answer_as_its_baseline(tmp_path):
    places = []
    for name, said in (("a", [[1], [2]]), ("b", [[1], [3]])):
        store = folder_of(tmp_path / name, {"finetune": [[1], [2]], "m2pt": said})
        places.append((store, store.records()[0]))
    assert unchanged_cells(places[:1])
    assert not unchanged_cells(places)
    assert not unchanged_cells(places[::-1])


def test_runs_that_left_no_outputs_are_not_judged(tmp_path):
    store = folder_of(tmp_path, {"m2pt": [[1], [2]]})
    assert not unchanged_cells([(store, store.records()[0])])


@pytest.fixture
def viewed(tmp_path) -> tuple[str, list[str]]:
    """A run on the embedded data, whose outputs and whose baseline's are there; its name, and the options for its folder."""
    options = ["--matrix", "smoke", "-t", "imagenet", "-x", "audio", "--limit", "16", "--results", str(tmp_path / "runs")]
    plan, store = make_plan(build_parser().parse_args(["run", *options]))
    store.prepare()
    names = {}
    for spec in plan.specs:
        store.save(make_record(spec))
        if spec.kind == "train":
            names[spec.arm] = spec.name
            write_outputs(store.run_folder(spec) / FILE, answers([1, 5, 6] if spec.arm == "m2pt" else [1, 2]))
    return names["m2pt"], ["--results", str(store.folder)]


def test_a_sheet_and_a_page_show_what_changed_sides(viewed, tmp_path, capsys):
    name, folder = viewed
    sheet, page = tmp_path / "sheet.png", tmp_path / "page.html"
    assert main(["view", name, *folder, "--out", str(sheet)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"3 test samples changed sides against imagenet-pretrained-finetune-\S+: 1 gained, 2 lost", said[0])
    assert said[1].startswith("3 of them, + gained and - lost")
    assert Image.open(sheet).width > 300
    assert main(["view", name, *folder, "--number", "2", "--out", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    names = class_names(TASKS["imagenet"].profiles["tiny"])
    assert [html.unescape(told) for told in re.findall(r"<figcaption>(.*?)</figcaption>", text)] == [
        f"+ 2 is {names[2]}: {names[1]} -> {names[2]}", f"- 5 is {names[1]}: {names[1]} -> {names[2]}"]
    assert text.count('src="data:image/png;base64,') == text.count("<img") == 2
    assert "http" not in text


def test_what_cannot_be_shown_is_refused(viewed, tmp_path, capsys):
    name, folder = viewed
    assert main(["view", name.replace("m2pt-audio", "finetune"), *folder]) == 2
    assert main(["view", name, *folder, "--number", "0"]) == 2
    assert main(["view", name, *folder, "--out", str(tmp_path / "nowhere" / "x.png")]) == 2
    error = capsys.readouterr().err
    assert "cannot be written" in error
    (tmp_path / "runs" / "runs" / name / FILE).unlink()
    assert main(["view", name, *folder]) == 2
    assert "left nothing of what it says of samples, as older runs did; compute both anew" in capsys.readouterr().err
    file = tmp_path / "runs" / "runs" / name / "record.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"beside": {"pathways.json": "0" * 64}}))
    assert main(["view", name, *folder]) == 2
    error = capsys.readouterr().err
    assert "as its task keeps nothing of them" in error, "to compute it anew would not help"
    assert "compute both anew" not in error
