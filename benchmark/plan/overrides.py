"""One `--set` as a text in, as a value out; what was meant by one that names no scope. No torch."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.plan.names import nearest
from benchmark.spec.recipes import Frozen, ModelShape, PretrainRecipe, TrainRecipe

SCOPES = ("recipe", "pretrain", "shape", "arm")
FIELDS = {"recipe": TrainRecipe.model_fields, "pretrain": PretrainRecipe.model_fields, "shape": ModelShape.model_fields}


@dataclass(frozen=True)
class Override:
    """One `--set [TASK.]SCOPE.FIELD=VALUE`."""

    said: str  # where and as what it was given, for messages: --set recipe.lr
    task: str | None  # None: every task
    scope: str
    path: tuple[str, ...]
    value: Any
    may_fit_nothing: bool = False  # of a preset: not every choice of its cells has a pretraining, say
    variant: str = ""  # that it is a part of, of which one part at least fits something


def parse_override(text: str, tasks: Iterable[str], may_fit_nothing: bool = False, place: str = "--set") -> Override:
    """`[TASK.]SCOPE.FIELD=VALUE`; the value is JSON where it can be, else text. `place`, where it stands, begins messages."""
    key, equals, raw = text.partition("=")
    parts = key.strip().split(".")
    known = list(tasks)
    task = parts.pop(0) if parts[0] in known else None
    if len(parts) < 2 or parts[0] not in SCOPES:
        hint = scope_hint(text, parts) or nearest(parts[0] if parts else "", [*SCOPES, *known])
        raise ValueError(f"{place} {text}: expected [TASK.]SCOPE.FIELD=VALUE; {hint}")
    if not equals:
        raise ValueError(f"{place} {text}: expected [TASK.]SCOPE.FIELD=VALUE; the value is missing, as in {key.strip()}=VALUE")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):  # no JSON, or a number of more digits than Python reads
        value = raw
    return Override(f"{place} {key}", task, parts[0], tuple(parts[1:]), value, may_fit_nothing)


def named_fields(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values of `--set` as a file has them. Names in one another are one with dots, as TOML reads `recipe.lr = 0.1`:
    {"recipe": {"lr": 0.1}} is "recipe.lr". What a whole name of a field has, such as "recipe.augment", is its value."""
    for name, value in values.items():
        parts = name.split(".") if isinstance(name, str) else []
        if isinstance(value, Mapping) and value and parts and not any(part in SCOPES for part in parts[:-1]):
            yield from ((f"{name}.{inner}", item) for inner, item in _leaves(value))
        else:
            yield name, value


def _leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from ((f"{name}.{inner}", item) for inner, item in _leaves(value))
        else:
            yield name, value


def scope_hint(text: str, parts: Sequence[str]) -> str:
    """What may have been meant by a `--set` whose `parts`, after its task, begin with no scope; "" where nothing shows"""
    name = parts[0] if parts else ""
    start, rest = ("", text.strip()) if text.strip().startswith(name) else text.strip().split(".", 1)
    whole = [f"{start}{'.' if start else ''}{scope}.{rest}" for scope, fields in FIELDS.items() if name in fields]
    if whole:
        return f"did you mean {' or '.join(whole)}?"
    if len(parts) == 1 and name in FIELDS:
        return f"name a field of it, too, as in {text.partition('=')[0].strip()}.{next(iter(FIELDS[name]))}"
    if name and len(parts) == 1 and name not in (*FIELDS, "arm"):
        return f"of an arm it is arm.{rest}; the other scopes are recipe, pretrain and shape"
    return ""


def check_number(owner: type[Frozen], name: str, value: Any, said: str) -> None:
    """Raises `ValueError`, with `said` before it, for true or false in a field of numbers: they would be taken for 1 and 0."""
    kinds = set(_kinds(owner.model_fields[name].annotation))
    if kinds & {int, float} and bool not in kinds and _has_switch(value):
        raise ValueError(f"{said}: expected a number, where true or false is given")


def _kinds(annotation: Any) -> list[Any]:
    """A type, and those that it is made of"""
    return [annotation, *(kind for part in typing.get_args(annotation) for kind in _kinds(part))]


def _has_switch(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return isinstance(value, bool) or any(map(_has_switch, parts))


def as_field(owner: type[Frozen], name: str, value: Any) -> Any:
    """A value as its field has it: for one of several texts also one text, with commas between them."""
    kind = owner.model_fields[name].annotation
    several = any(typing.get_origin(part) is tuple for part in (kind, *typing.get_args(kind)))
    return [part.strip() for part in value.split(",")] if several and isinstance(value, str) else value


def seeds_as_text(value: Any) -> Any:
    """Seeds as `benchmark.plan.matrix.parse_seeds` reads them: a number, or a list of numbers and ranges, says the same as a
    text; all else is given back as it is."""
    parts = value if isinstance(value, list | tuple) else [value]
    return ",".join(map(str, parts)) if parts and all(type(part) in (int, str) for part in parts) else value
