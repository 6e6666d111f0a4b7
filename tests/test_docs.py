"""The documentation: every command of it is one that exists, those in blocks run as written, and the site is built of it."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import notebook
import pytest
from synthetic import make_matrix

from benchmark.cli.main import build_parser, main
from benchmark.records.store import Store

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
RUN = ["own-matrix.md", "paper-scale.md", "read-a-report.md"]  # own-arm.md and own-task.md: test_own.py
BROUGHT = (  # what a command needs that is not here, and what is said of it
    (r" (convert|align) |--start \w+=", "cannot be read"),
    (r"^(?!.*--executor slurm).*--gpus-per-run 8", "GPUs can be used here"),
    (r" data prepare imagenet", "is no folder"),
    (r" data prepare TASK", "has 0 training and 0 test files"),
    (r" data verify | status --profile paper", "is not prepared"),
    (r" export RUN", "has a record in results/tiny and no weights"),
    (r" view RUN", "left nothing of what it says"),
    (r"--check", "cannot be checked here"),
    (r" report --results results/(paper|real|kin)", "no results in"))
PROGRAM = re.compile(r"(?:\.venv/bin/)?benchmark\s")


def blocks_of(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def commands_of(page: Path) -> list[str]:
    """Every `benchmark ...` of a page: in blocks, and in a line of text."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    text = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.M | re.S)  # else a fence is the end of what follows it
    indented = ["\n".join(re.findall(r"^ {4}(.*)$", text, re.M))]
    lines = "\n".join([*fenced, *indented]).replace("\\\n", " ").splitlines()
    return [" ".join(command.split()).replace("\\|", "|").replace("arm|task", "arm")
            for command in [*lines, *re.findall(r"`([^`]+)`", text)] if PROGRAM.match(command)]


def arguments_of(command: str) -> list[str]:
    """Without what a shell would do with the rest of the line, and without the dots that stand for more"""
    words = shlex.split(re.split(r"\s[>|#&;](?:\s|$)", command)[0], comments=True)[1:]
    return [word for word in words if word != "..."]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_one_that_is_understood(page):
    parser = build_parser()
    wrong = []
    for command in commands_of(page):
        arguments = arguments_of(command)
        try:
            parser.parse_args(arguments)
        except ValueError as error:
            if len(arguments) > 1 or "are required" not in str(error):  # else it is the name of a command, in a sentence
                wrong.append((command, str(error)))
    assert not wrong


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with results of its own to read."""
    store = Store(tmp_path / "results" / "tiny")
    store.prepare()
    for record in make_matrix(["imagenet"], ["audio"], range(2), scratch=False):
        store.save(record)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def narrowed(command: str, run: str) -> list[str]:
    """Arguments with names in place of what stands for a name; a plan is made and not carried out, a report is one part."""
    named = {"RUN": run, "TASK": "imagenet", "NAME": "own-name" if " new " in command else "audioset", "DIR": "results/tiny"}
    arguments = [named.get(word, word) for word in arguments_of(command)]
    part = "compare" if "--compare" in arguments else "provenance"
    more = {"run": ["--dry-run"], "report": ["--only", part, "--format", "md"]}.get(arguments[0], [])
    if "--config" in arguments:
        arguments[arguments.index("--config") + 1] = "options.yaml"
    return [*(word.replace("tensorboard,csv,parquet", "csv") for word in arguments), *more]


def test_every_other_command_runs_as_far_as_it_can_here(here, capsys):
    """Those of all pages but the ones whose blocks run whole; what a reader brings is told to be missing, by its name."""
    assert main(["info", "ablation"]) == 0
    (here / "mine.yaml").write_text(capsys.readouterr().out)
    (here / "options.yaml").write_text("limit: 16\n")
    run = next((here / "results" / "tiny" / "runs").glob("*m2pt*")).name
    elsewhere = [*RUN, "own-arm.md", "own-task.md"]
    commands = dict.fromkeys(command for page in PAGES if page.name not in elsewhere for command in commands_of(page))
    carried_out = 0
    for command in commands:
        arguments = narrowed(command, run)
        if arguments[:1] in ([], ["bench"], ["check"], ["reproduce"]):
            continue  # minutes, which have tests of their own
        code = main(arguments)
        printed, said = capsys.readouterr()
        if len(arguments) == 1 and "are required" in said:
            continue  # the name of a command, in a sentence
        lacks = [told for needs, told in BROUGHT if re.search(needs, command)]
        assert code == (2 if lacks else 0), f"{command}: {said}"
        assert all(told in said for told in lacks), f"{command}: {said}"
        assert lacks or printed or "--quiet" in command, command
        carried_out += not lacks
    assert carried_out > 45


def test_what_is_installed_by_a_page_is_an_extra_of_the_package():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {extra for page in PAGES for found in re.findall(r"install [^\n`]*?(?:\.|m2pt-bench)\[([\w,-]+)\]",
                                                             page.read_text(encoding="utf-8")) for extra in found.split(",")}
    assert {"run", "slurm", "test"} <= named <= extras.keys()


@pytest.mark.parametrize("page", RUN)
def test_every_block_of_the_page_runs(page, here, capsys):
    for block in blocks_of(ROOT / "docs" / page, "yaml"):
        (here / re.match(r"# (\S+\.yaml)\n", block)[1]).write_text(block)
    commands = "".join(blocks_of(ROOT / "docs" / page, "sh")).splitlines()
    assert len(commands) >= 3
    for command in commands:
        assert main(arguments_of(command)) == 0, command + capsys.readouterr().err
        printed = capsys.readouterr().out
        assert printed, command
        if goes_to := re.search(r"> (\S+)$", command):
            (here / goes_to[1]).write_text(printed)


def test_the_question_of_the_page_is_the_matrix_that_it_says(here, capsys):
    """Two starts of the scale for what has a scale, and the plain model once."""
    (block,) = blocks_of(ROOT / "docs" / "own-matrix.md", "yaml")
    (here / "few-labels.yaml").write_text(block)
    assert main(["run", "--matrix", "few-labels.yaml", "-x", "audio", "--seeds", "0", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert len(re.findall(r"^imagenet fix ", shown, re.M)) == 1
    assert len(re.findall(r"^imagenet m2pt\(audio\)", shown, re.M)) == 2
    assert "scale_init=0.1" in shown


def test_the_notebook_runs_and_says_what_was_committed(tmp_path):
    committed, anew = notebook.code_cells(notebook.read()), notebook.read()
    notebook.carry_out(anew, tmp_path)
    assert len(committed) == len(notebook.code_cells(anew)) >= 8
    for number, (old, new) in enumerate(zip(committed, notebook.code_cells(anew), strict=True), 1):
        assert old["execution_count"] == number
        assert [output["output_type"] for output in old["outputs"]] == [output["output_type"] for output in new["outputs"]]
        if notebook.VARIES not in old["metadata"].get("tags", []):
            assert notebook.texts(old) == notebook.texts(new), "write it anew with: PYTHONPATH=. python tests/notebook.py"
