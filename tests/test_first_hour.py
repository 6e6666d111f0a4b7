"""What a newcomer types first: quick, status, a matrix that came computed; and what is said of it."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from rich.console import Console
from synthetic import make_matrix, make_record

from benchmark.cli.commands import build_parser
from benchmark.cli.context import load_registry, load_study, make_plan
from benchmark.cli.main import main
from benchmark.cli.terminal import write_plainly
from benchmark.evidence.inputs import gather
from benchmark.plan.fit import without_baseline
from benchmark.provenance.code import used_code
from benchmark.records.store import Store
from benchmark.report import console
from benchmark.report.document import Document
from benchmark.runner.pool import Event
from benchmark.runner.reproduce import find_record
from benchmark.runner.screen import Grid, watch

SMALL = ("--matrix", "smoke", "-t", "imagenet", "-x", "audio")


def planned(*arguments: str):
    return make_plan(build_parser().parse_args(["run", *arguments]))


@pytest.fixture
def computed_elsewhere(tmp_path) -> tuple[str, ...]:
    """Every run of a matrix has a record of today's code, and none its weights, as in a clone."""
    options = (*SMALL, "--results", str(tmp_path / "theirs"))
    save_records(*options)
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


def save_records(*arguments: str) -> None:
    plan, store = planned(*arguments)
    store.prepare()
    for job in plan.jobs:
        store.save(make_record(job.spec, code=used_code(job.code, stacked=False, shared=False)))


def test_runs_without_a_baseline_are_said_to_answer_nothing_until_there_is_one(tmp_path, capsys):
    alone = (*SMALL, "--arm", "m2pt", "--results", str(tmp_path))
    note = ("note: nothing can be compared: imagenet m2pt(audio) seed 0 has no baseline of its conditions, neither among these "
            f"runs nor in {tmp_path}; add it: --arm finetune,m2pt")
    assert main(["run", *alone, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == note
    save_records(*alone)
    assert main(["run", *alone]) == 0
    printed = capsys.readouterr().out
    assert note in printed
    caption = "Nothing here is compared with a baseline of its seed: these numbers answer nothing."
    assert caption in " ".join(printed.split())
    save_records(*SMALL, "--arm", "finetune", "--results", str(tmp_path))
    assert main(["run", *alone]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "can be compared" not in printed
    assert caption not in printed
    assert main(["run", *alone, "--set", "recipe.lr=1e-5", "--dry-run"]) == 0
    assert "note: nothing can be compared" in capsys.readouterr().out, "one of other conditions does not serve"
    some = ["--arm", "finetune,m2pt", "--setting", "pretrained,scratch", "--results", str(tmp_path)]
    assert main(["run", *SMALL, *some, "--dry-run"]) == 0
    assert "note: 1 of 2 runs cannot be compared: imagenet m2pt(audio) scratch seed 0 has no baseline of its conditions, " in (
        said := capsys.readouterr().out)
    assert "add it: --arm scratch,m2pt" in said


@pytest.mark.parametrize("name", sorted(set(load_study().matrices) - {"real"}))  # which needs files
def test_every_run_of_a_named_matrix_has_a_baseline(name):
    assert without_baseline(planned("--matrix", name, "--seeds", "0")[0]) == []


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


def test_status_of_a_folder_whose_records_are_all_broken_is_a_whole_sentence(tmp_path, capsys):
    (tmp_path / "runs" / "broken").mkdir(parents=True)
    (tmp_path / "runs" / "broken" / "record.json").write_text("{")
    assert main(["status", "--results", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"0 runs of 0 cells in {tmp_path}; --matrix NAME shows ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_that_finds_no_room_or_no_place_is_no_traceback(monkeypatch, capsys):
    with open("/dev/full", "w", encoding="utf-8") as full:  # closed below: nothing of it is written once more
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["list"]) == 2
    assert "what is printed, or a file, cannot be written (No space left on device)" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["list"]) == 0


def test_a_run_that_is_named_without_its_id_is_the_one_that_is_meant():
    records = make_matrix(["imagenet"], ["audio"], range(3), scratch=False)
    wanted = records[0].spec.name
    with pytest.raises(ValueError, match=f"did you mean '{re.escape(wanted)}'"):
        find_record(wanted.rpartition("-")[0], records)


def test_a_run_whose_record_cannot_be_read_is_no_unknown_one(tmp_path, capsys):
    record, other = make_matrix(["imagenet"], ["audio"], range(1), scratch=False)[:2]
    for one in (record, other):
        Store(tmp_path).save(one)
    file = tmp_path / "runs" / record.spec.name / "record.json"
    file.write_bytes(file.read_bytes()[:500])
    for command in ("view", "reproduce"):
        for name in (record.spec.name, record.run_id):
            assert main([command, name, "--results", str(tmp_path)]) == 2
            said = capsys.readouterr().err
            assert f"the record of {record.spec.name} cannot be read, and the run is to be computed again: {file}: " in said
            assert said.count("\n") == 1


def test_a_folder_that_is_given_twice_counts_once(tmp_path, capsys):
    results = tmp_path / "results"
    record, other = make_matrix(["imagenet"], ["audio"], range(1), scratch=False)[:2]
    for one in (record, other):
        Store(results).save(one)
    (results / "runs" / record.spec.name / "record.json").write_text("{}")
    (tmp_path / "link").symlink_to(results)
    twice = ["--results", str(results), "--results", f"{tmp_path}/link/"]
    assert main(["report", *twice, "--format", "md", "--only", "provenance"]) == 0
    said = capsys.readouterr().out
    assert f"{results}/report/report.md, and 1 other page, table or figure, from 1 record; 1 run or file has no" in said
    assert "copy" not in said
    assert main(["export-logs", *twice, "--out", str(tmp_path / "logs")]) == 0
    said = capsys.readouterr().out
    assert said.count("left out: ") == 1
    assert "older record" not in said


def test_a_report_of_a_folder_whose_name_is_no_text_is_written(tmp_path):
    document = Document(tmp_path, ("html",))
    assert document.file("report.html", "benchmark report --results lat\udce4in", "html")
    assert (tmp_path / "report.html").read_bytes() == b"benchmark report --results lat?in"


def test_the_folder_of_runs_is_told_from_the_results_folder(computed_elsewhere, capsys):
    folder = computed_elsewhere[-1]
    for command in ("report", "status", "export-logs"):
        assert main([command, "--results", f"{folder}/runs"]) == 2
        assert f"which is the one above it: --results {folder}\n" in capsys.readouterr().err


def test_status_of_a_matrix_as_json_has_every_run(computed_elsewhere, capsys):
    assert main(["status", *computed_elsewhere, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["states"] == {"up to date": 4}
    assert [run["seed"] for run in told["runs"]] == [0] * 4


@pytest.mark.parametrize("folder", ["", "runs", "runs/begun"])
@pytest.mark.parametrize("command", ["status", "report"])
def test_a_folder_without_a_result_says_how_to_begin(command, folder, tmp_path, capsys):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    assert main([command, "--results", str(tmp_path)]) == 2
    assert f"no results in {tmp_path}; run a matrix first" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


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
    view = Grid(tuple(spec.model_copy(update={"task": "imagenet [b]"}) for spec in plan.specs), 1)
    out = io.StringIO()
    Console(file=out, width=120).print(view.draw(120))
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
    shutil.copytree("results/tiny", "mine")
    for states, said in (("none", "nothing left to compute"), ("all", "about 0:04:04 of computing left, ")):
        assert main(["run", "--dry-run", *own, "--overwrite", states]) == 0
        assert said in capsys.readouterr().out, states
    shutil.rmtree("mine")
    more = ["--set", "recipe.epochs=4", "--set", "recipe.warmup_epochs=1"]
    assert main(["run", "--dry-run", *own, *more]) == 0
    assert "about 0:06:06 of computing left, " in capsys.readouterr().out, "two pretrainings, and two runs of twice the epochs"


def watched(*arguments: str) -> tuple[Grid, list]:
    plan, _ = planned(*arguments)
    return Grid(plan.specs, 2), list(plan.specs)


def drawn_on(view: Grid, width: int, **terminal: object) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, **terminal).print(view.draw(width))
    return out.getvalue().splitlines()


def test_progress_says_what_it_waits_for_then_each_running_run_its_epoch_and_what_is_left():
    view, specs = watched("--matrix", "smoke", "-t", "imagenet", "-x", "audio", "--arm", "m2pt",
                          "--set", "arm.layers=attn.qkv")
    assert drawn_on(view, 80)[-1] == "loading torch and the engine, which takes some seconds"
    view.take(Event("started", specs[0]))
    assert drawn_on(view, 80)[-1].startswith("the first runs read their data and train")
    view.take(Event("done", specs[0], seconds=60.0))
    view.take(Event("started", specs[-1]))
    view.take(Event("epoch", specs[-1], 3, 20, "loss 1.234, val top1 41.2"))
    lines = drawn_on(view, 80)
    (running,) = [line for line in lines if line.startswith("▸ imagenet m2pt(audio) [layers=")]
    assert "epoch 3/20  loss 1.234, val top1 41.2  0:00:0" in running
    assert "✓ done  ▸ running  · to come" in lines[-3].strip()
    assert "1/3 runs, 1 running, 0:00:0" in lines[-1]
    assert " left" in lines[-1]
    view.take(Event("stopping", specs[-1]))
    assert drawn_on(view, 100)[-1].startswith("stopping: what is running leaves a checkpoint after its step; Ctrl-C again")


def test_progress_of_a_large_matrix_is_counted_and_fits_a_narrow_screen():
    view, specs = watched("--matrix", "evidence")
    for spec in specs[: len(specs) // 2]:
        view.take(Event("kept", spec))
    for spec in specs[-3:]:
        view.take(Event("started", spec))
    view.take(Event("failed", specs[-4], text="x"))
    lines = drawn_on(view, 80)
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 20
    assert lines[0].split() == ["target", "pretraining", "no", "auxiliary", "point", "video", "audio", "image"]
    counted = [match for line in lines[:9] for match in re.findall(r"(\d+)/(\d+)", line)]
    assert sum(int(all_) for _, all_ in counted) == len(specs)
    assert sum(int(done) for done, _ in counted) == len(specs) // 2
    assert "done/all  ▸ running  ✗ failed" in lines[9]


def test_progress_on_a_terminal_that_knows_only_ascii(monkeypatch):
    view, specs = watched("--matrix", "smoke", "-t", "imagenet", "-x", "audio")
    view.take(Event("started", specs[0]))
    held = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(held, encoding="ascii"))
    write_plainly()
    with watch(view.specs, 2, screen=sys.stdout):
        Console(file=sys.stdout, width=80, force_terminal=True).print(view.draw(80))
    sys.stdout.flush()
    assert "> image pretraining seed 0" in held.getvalue().decode("ascii")


def test_a_quiet_run_says_nothing_and_its_log_all(computed_elsewhere, tmp_path, capsys):
    log = tmp_path / "log.txt"
    assert main(["run", *computed_elsewhere, "--quiet", "--log", str(log)]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")
    lines = log.read_text(encoding="utf-8").splitlines()
    stamped = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
    assert all(stamped.match(line) for line in lines if line)
    assert lines[0].endswith(shlex.join(["benchmark", "run", *computed_elsewhere, "--quiet", "--log", str(log)]))
    assert any("0 runs done, 4 kept, 0 failed" in line for line in lines)
    assert main(["run", *computed_elsewhere, "--log", str(tmp_path)]) == 2
    assert "cannot be written (Is a directory)" in capsys.readouterr().err


def test_a_report_says_its_answer_and_where_it_is(tmp_path, monkeypatch, capsys):
    store = Store(tmp_path)
    for record in make_matrix(["imagenet"], ["audio"], range(2), scratch=False):
        store.save(record)
    command = ["report", "--results", str(tmp_path), "--only", "provenance"]
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    assert main([*command, "--format", "html", "--open"]) == 0
    said, empty, place = capsys.readouterr().out.splitlines()
    assert (said.endswith("."), empty) == (True, "")
    assert place.startswith(f"{tmp_path}/report/report.html, and ")
    assert opened == [(tmp_path / "report" / "report.html").as_uri()]
    assert main([*command, "--format", "html", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["answer"][0], told["records"]) == (said, len(store.records()[0]))
    assert told["page"] == f"{tmp_path}/report/report.html"
    assert main([*command, "--format", "csv", "--open"]) == 2
    assert "--open shows the page, which is html" in capsys.readouterr().err
    assert main([*command, "--format", "html", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
