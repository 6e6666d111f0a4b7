"""What parsers of all commands share: refusals in one line, and values that several options take."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from benchmark.provenance.currency import STATES, State


class Parser(argparse.ArgumentParser):
    """Refuses in one line, as everything here does, and says what it was given."""

    def __init__(self, *arguments: Any, **keys: Any):
        super().__init__(*arguments, **keys)
        self.commands: Mapping[str, Parser] = {}

    def arguments(self) -> Sequence[argparse.Action]:
        """All that it takes"""
        return self._actions

    def options(self) -> Mapping[str, argparse.Action]:
        """By each of its names, such as --limit and -t"""
        return {name: action for action in self._actions for name in action.option_strings}

    def given(self, arguments: Sequence[str]) -> dict[str, Any]:
        """What is typed, by the name of its value, and nothing of what it is by default."""
        defaults = [(action, action.default) for action in self._actions]
        try:
            for action, _ in defaults:
                action.default = argparse.SUPPRESS
            return {name: value for name, value in vars(self.parse_args(arguments)).items() if name not in self._defaults}
        finally:
            for action, default in defaults:
                action.default = default

    def excluded_by(self, given: Iterable[str]) -> set[str]:
        """Names of values that are given, and of those that may not be given with them."""
        names = set(given)
        groups = [{action.dest for action in group._group_actions} for group in self._mutually_exclusive_groups]
        return names.union(*(group for group in groups if group & names))

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Raises `ValueError` for what is not taken, with what it may be meant for."""
        first = args[0] if self.commands and args else ""
        if first.startswith("-") and first not in self.options():
            self.error(f"{first} is given before a command; options follow it, such as {self.prog} run {' '.join(args or ())}")
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            own = next((self.commands[word] for word in args or () if word in self.commands), self)
            own.error(f"unrecognized arguments: {' '.join(rest)}{own.meant(rest[0])}")
        return options

    def meant(self, word: str) -> str:
        """What may be meant by a word that is not taken: an option of a name like it, or one that takes it as its value."""
        name, options = word.partition("=")[0], self.options()
        if word.startswith("-"):
            long = {option.strip("-"): option for option in options if option.startswith("--")}
            values = {str(action.metavar).lower(): option for option, action in options.items() if option.startswith("--")}
            close = difflib.get_close_matches(name.strip("-"), {**values, **long}, n=1)
            return f"; did you mean {({**values, **long})[close[0]]}?" if close else ""
        taken = "--results" if "/" in word else "--plugins" if word.endswith(".py") else "--matrix"
        return f"; did you mean {taken} {word}?" if taken in options else ""

    def error(self, message: str) -> NoReturn:
        """Raises `ValueError`."""
        raise ValueError(f"{message}; see {self.prog} --help")


def parse_states(text: str) -> tuple[State, ...]:
    """States of recorded runs, from "carried,other-code", "all" or "none"; raises `argparse.ArgumentTypeError`."""
    known = {state.replace(" ", "-"): state for state in STATES if state not in ("failed", "missing")}
    names = {"all": list(known), "none": []}.get(text, [name for name in text.split(",") if name])
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r}: expected some of {', '.join(known)}, or all, or none")
    return tuple(known[name] for name in names)


def parse_duration(text: str) -> float:
    """Seconds, from "90", "90s", "30m", "1.5h"; raises `argparse.ArgumentTypeError`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if found is None or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a time such as 90s, 30m or 2h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]
