"""What a newcomer types first: quick, status, a matrix that came computed; and what is said of it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from synthetic import make_matrix, make_record

from benchmark.cli.context import load_registry, make_plan
from benchmark.cli.main import build_parser, main
from benchmark.evidence.inputs import gather
from benchmark.provenance.code import used_code
from benchmark.report import console
from benchmark.runner.progress import View

SMALL = ("--matrix", "smoke", "-t", "imagenet", "-x", "audio")


def planned(*arguments: str):
    return make_plan(build_parser().parse_args(["run", *arguments]))


@pytest.fixture
def computed_elsewhere(tmp_path) -> tuple[str, ...]:
    """Every run of a matrix has a record of today's code, and none its weights, as in a clone."""
    options = (*SMALL, "--results", str(tmp_path / "theirs"))
    plan, store = planned(*options)
    store.prepare()
    for job in plan.jobs:
        store.save(make_record(job.spec, code=used_code(job.code, stacked=False, shared=False)))
    return options


def test_quick_is_one_pair_with_its_controls_whole_and_in_a_folder_of_its_own():
    plan, store = planned("--matrix", "quick")
    trained = [spec for spec in plan.specs if spec.kind == "train"]
    assert {(spec.task, spec.auxiliary) for spec in trained if spec.auxiliary} == {("imagenet", "audio")}
    assert {spec.arm for spec in trained} == {"finetune", "m2pt", "random-norm", "self-copy"}
    assert {spec.limit for spec in plan.specs} == {None}
    assert store.folder == Path("results/quick")
    assert len(plan.specs) == 2 * 6, "two seeds of two pretrainings and four arms"
    epochs = sum(spec.recipe.epochs for spec in plan.specs)
    assert epochs * 1.3 + len(plan.specs) * 5 < 2 * 180, "seconds of two cores, at 1.3 an epoch and 5 to start a run"


def test_records_that_came_with_a_clone_are_said_to_be_whose_they_are(computed_elsewhere, capsys):
    assert main(["run", *computed_elsewhere]) == 0
    printed = capsys.readouterr().out
    folder = computed_elsewhere[-1]
    assert "note: nothing is computed: these are recorded results, of commit " in printed
    assert f"that came with {folder}. Your own: benchmark run --matrix smoke --results mine, " in printed
    assert f"then benchmark report --results mine --compare {folder}" in printed


def test_a_trial_says_that_its_numbers_mean_nothing_and_smoke_leads_to_quick(computed_elsewhere, capsys):
    assert main(["run", *computed_elsewhere]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == ("next: the numbers above mean nothing, of a few samples each; for a first answer, in about three minutes: "
                    "benchmark run --matrix quick")


def test_status_without_a_matrix_counts_what_the_folder_holds(computed_elsewhere, capsys):
    folder = ["--results", computed_elsewhere[-1]]
    assert main(["status", *folder]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "imagenet m2pt(audio)  1 up to date" in lines
    assert lines[-1].startswith(f"4 runs of 4 cells in {folder[1]}: 4 up to date; --matrix NAME shows ")
    assert main(["status", *folder, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs"] == 4
    assert told["cells"]["imagenet m2pt(audio)"] == {"up to date": 1}


def test_status_of_a_matrix_as_json_has_every_run(computed_elsewhere, capsys):
    assert main(["status", *computed_elsewhere, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["states"] == {"up to date": 4}
    assert [run["seed"] for run in told["runs"]] == [0] * 4


def test_status_of_an_empty_folder_says_how_to_begin(tmp_path, capsys):
    assert main(["status", "--results", str(tmp_path)]) == 2
    assert "no results in" in capsys.readouterr().err


def test_square_brackets_of_a_variant_are_shown(monkeypatch):
    """rich takes them for markup in a text that is not its own."""
    records = make_matrix(["imagenet"], ["audio"], range(2), scratch=False)
    altered = {"variant": "layers=attn.qkv", "options": {"layers": ["attn.qkv"]}}
    specs = [record.spec.model_copy(update=altered if record.spec.arm == "m2pt" else {}) for record in records]
    varied = [make_record(spec) for spec in specs]
    out = io.StringIO()
    monkeypatch.setattr(console, "Console", lambda width=None: Console(file=out, width=160))
    tasks, _ = load_registry()
    infos = gather([], tasks, {})[2]
    console.print_matrices(varied, [], infos, None)
    assert "layers=attn.qkv" in out.getvalue()


def test_a_grid_shows_names_with_square_brackets():
    plan, _ = planned("--matrix", "smoke", "-t", "imagenet", "-x", "audio")
    view = View(tuple(spec.model_copy(update={"task": "imagenet [b]"}) for spec in plan.specs), 1)
    out = io.StringIO()
    Console(file=out, width=120).print(view.grid())
    assert "imagenet [b]" in out.getvalue()


def test_a_forecast_falls_back_to_what_came_with_the_clone_and_says_so(computed_elsewhere, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    Path("theirs").rename("results/tiny")
    own = [*computed_elsewhere[:-1], str(tmp_path / "mine")]
    assert main(["run", "--dry-run", *own]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("about 0:04:04 of computing left, "), "4 runs of 61 s each"
    assert said.endswith("(by the runs in results/tiny, 4 of them)")
    more = ["--set", "recipe.epochs=4", "--set", "recipe.warmup_epochs=1"]
    assert main(["run", "--dry-run", *own, *more]) == 0
    assert "about 0:06:06 of computing left, " in capsys.readouterr().out, "two pretrainings, and two runs of twice the epochs"
