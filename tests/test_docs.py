"""The documentation: every command of it is one that exists, those in blocks run as written, and the site is built of it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import notebook
import pytest
from synthetic import make_matrix

from benchmark.cli.main import build_parser, main
from benchmark.records.store import Store

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
RUN = ["own-matrix.md", "paper-scale.md", "read-a-report.md"]  # own-arm.md and own-task.md: test_own.py
PROGRAM = re.compile(r"(?:\.venv/bin/)?benchmark\s")


def blocks_of(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def commands_of(page: Path) -> list[str]:
    """Every `benchmark ...` of a page: in blocks, and in a line of text."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    indented = ["\n".join(re.findall(r"^ {4}(.*)$", text, re.M))]
    lines = "\n".join([*fenced, *indented]).replace("\\\n", " ").splitlines()
    return [" ".join(command.split()) for command in [*lines, *re.findall(r"`([^`]+)`", text)] if PROGRAM.match(command)]


def arguments_of(command: str) -> list[str]:
    """Without what a shell would do with the rest of the line"""
    return shlex.split(re.split(r"\s[>|#&;](?:\s|$)", command.replace("\\|", "|"))[0], comments=True)[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_one_that_is_understood(page):
    parser = build_parser()
    wrong = []
    for command in commands_of(page):
        arguments = [word for word in arguments_of(command.replace("arm|task", "arm")) if word != "..."]
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
