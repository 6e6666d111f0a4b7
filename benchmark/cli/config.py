"""A file of a command's options in, the command line that says the same out: `--config FILE`."""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.cli.parsing import Parser
from benchmark.plan.names import nearest
from benchmark.plan.overrides import named_fields, seeds_as_text
from benchmark.spec.yamlfile import read_yaml

OPTION = "--config"


def with_config(arguments: Sequence[str], parser: Parser) -> list[str]:
    """The arguments, with those of a file that `--config` names among them, unless they are given beside it.

    Raises `ValueError` in one line for a file that cannot be read, for what is no option of the command, and for a value
    that its option does not take.
    """
    command = parser.commands.get(next(iter(arguments), ""))
    if command is None or OPTION not in command.options():
        return list(arguments)
    typed = list(arguments[1:])
    if {"-h", "--help"} & set(typed):  # which tells defaults, and `given` has none
        return list(arguments)
    given = command.given(typed)
    file = given.pop("config", None)
    if file is None:
        return list(arguments)
    read = {key: list(_arguments(key, value, command, file)) for key, value in _load(file).items()}
    try:
        for tokens in read.values():
            command.parse_args(tokens)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    beside = command.excluded_by(given)
    kept = [token for key, tokens in read.items() if command.options()[_name(key)].dest not in beside for token in tokens]
    return [arguments[0], *kept, *_without(typed)]


def _name(key: str) -> str:
    return f"--{key.removeprefix('--').replace('_', '-')}"


def _load(file: Path) -> Mapping[str, Any]:
    if file.suffix not in (".yaml", ".yml", ".toml"):
        raise ValueError(f"{OPTION} {file}: expected a .yaml or .toml file")
    if file.suffix != ".toml":
        held = read_yaml(file)
    else:
        try:
            held = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {error.strerror or error}") from error
        except ValueError as error:  # of TOML, or of text
            raise ValueError(f"{file}: {error}") from error
    if not isinstance(held, dict) or not all(isinstance(key, str) for key in held):
        raise ValueError(f"{file}: expected options and their values, such as matrix: full")
    return held


def _arguments(key: str, value: Any, command: Parser, file: Path) -> Iterator[str]:
    """What would be typed for it; of a flag that is false nothing."""
    options = {name: action for name, action in command.options().items() if name.startswith("--")
               and name not in (OPTION, "--help")}
    name = _name(key)
    if name not in options:
        known = [option.removeprefix("--") for option in options]
        raise ValueError(f"{file}: {command.prog} has no option {key!r}; {nearest(key.replace('_', '-'), known)}")
    if options[name].nargs == 0:
        if not isinstance(value, bool):
            raise ValueError(f"{file}: {key}: expected true or false, not {value!r}")
        yield from [name] if value else []
        return
    if isinstance(value, Mapping):  # of --set and --slurm
        value = [f"{field}={_text(item)}" for field, item in (named_fields(value) if name == "--set" else value.items())]
    several = isinstance(options[name], argparse._AppendAction)
    if name == "--seeds":
        value = seeds_as_text(value)  # as a matrix's file may have them
    if isinstance(value, list) and not several:
        raise ValueError(f"{file}: {key}: expected one value, not several")
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, bool | Mapping | list) or item is None:
            raise ValueError(f"{file}: {key}: expected a text or a number, not {item!r}")
        yield f"{name}={item}"


def _text(item: Any) -> str:
    return item if isinstance(item, str) else json.dumps(item, default=str)  # of a date, say, what its field then refuses


def _without(typed: Sequence[str]) -> list[str]:
    """What was typed, without the file, of which all is said now"""
    kept, skip = [], False
    for token in typed:
        if not skip and token != OPTION and not token.startswith(f"{OPTION}="):
            kept.append(token)
        skip = token == OPTION
    return kept
