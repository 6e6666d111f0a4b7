"""The command `completion`: the parser of all commands in, a script for a shell out."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from benchmark.cli.context import load_registry, load_study
from benchmark.cli.facts import names_of
from benchmark.cli.parsing import Parser
from benchmark.plan.matrix import pretraining_tasks
from benchmark.spec.recipes import SETTINGS

SHELLS = ("bash", "zsh")
# A file or a name that is no option's choice, as others are taken, too; runs are looked up while one types. Of a list with
# commas what follows the last one is completed, by what is not in it yet.
PREAMBLE = {
    "bash": """
_benchmark_matrices() {{ compgen -W "{matrices}" -- "$1"; compgen -f -X '!*.y*ml' -- "$1"; compgen -d -- "$1"; }}
_benchmark_names() {{ compgen -W "{names}" -- "$1"; }}
_benchmark_runs() {{ compgen -W "$(ls results/*/runs 2>/dev/null | grep -v :)" -- "$1"; }}
_benchmark_some() {{
  local name left="" before=""
  [[ "$1" == *,* ]] && before="${{1%,*}},"
  for name in $2; do [[ ",$before" == *",$name,"* ]] || left+=" $name"; done
  compgen -P "$before" -W "$left" -- "${{1##*,}}"
}}
""",
    "zsh": """
_benchmark_matrices() {{ compadd -- {matrices}; _files -g '*.y*ml' }}
_benchmark_names() {{ compadd -- {names} }}
_benchmark_runs() {{ compadd -- ${{(f)"$(ls results/*/runs 2>/dev/null | grep -v :)"}} }}
"""}
SOME = {"bash": '_benchmark_some_{dest}() {{ _benchmark_some "$1" "{names}"; }}\n',
        "zsh": "_benchmark_some_{dest}() {{ _sequence compadd - {names} }}\n"}


def print_completion(options: argparse.Namespace, command: str) -> int:
    """Of our own tasks and arms, and of those that other distributions have installed."""
    import shtab

    parser: Parser = options.parser
    tasks, arms = load_registry()
    study = load_study()
    names = [name for kind in ("tasks", "arms", "matrices") for name in names_of(kind, tasks, arms, study)]
    lists: dict[str, Iterable[str]] = {"target": tasks, "aux": pretraining_tasks(tasks), "arm": arms, "setting": SETTINGS,
                                       "variants": names_of("variants", tasks, arms, study)}
    functions = {"matrix": "_benchmark_matrices", "run_name": "_benchmark_runs", "name": "_benchmark_names"}
    for own in parser.commands.values():
        for action in own.arguments():
            if action.dest in functions and action.choices is None:
                action.complete = dict.fromkeys(SHELLS, functions[action.dest])  # type: ignore[attr-defined]
            elif action.dest in lists and action.metavar is not None:
                action.complete = dict.fromkeys(SHELLS, f"_benchmark_some_{action.dest}")  # type: ignore[attr-defined]
            elif action.dest == "task" and action.choices is None:
                action.choices = list(tasks)
            elif action.type is Path:
                action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE  # type: ignore[attr-defined]
    preamble = PREAMBLE[options.shell].format(matrices=" ".join(study.matrices), names=" ".join(names))
    preamble += "".join(SOME[options.shell].format(dest=dest, names=" ".join(listed)) for dest, listed in lists.items())
    print(shtab.complete(parser, options.shell, preamble=preamble))
    return 0
