"""A file in, the source of every number of a paper's profile out, for `info` to show. No torch."""

from __future__ import annotations

import functools
from collections.abc import Container
from pathlib import Path
from typing import Any

from pydantic import Field

from benchmark.spec.contracts import Task
from benchmark.spec.recipes import Frozen

SPREAD = ("augment", "test_views")  # fields that hold numbers by name
NEUTRAL: tuple[object, ...] = (None, 0, 1, (), {})  # a field of these, left as it is, does nothing


class Repository(Frozen):
    """Whose lines are meant: at `commit`, or for some files at another."""

    url: str
    commit: str
    files: dict[str, str] = Field(default_factory=dict)


class Sources(Frozen):
    """Of a task, a section ("shape", "pretrain" or a setting) and a name: the value, and where it is from."""

    repositories: dict[str, Repository]
    recipes: dict[str, dict[str, dict[str, tuple[Any, str]]]]


@functools.cache
def load_sources(path: Path) -> Sources:
    """Raises `ValueError` for a file that is not ours."""
    from benchmark.spec.yamlfile import read_yaml

    try:
        return Sources.model_validate(read_yaml(path))
    except ValueError as error:
        raise ValueError(f"{path} holds no sources of recipes: {error}") from error


def sections_of(task: Task, profile: str) -> dict[str, Frozen]:
    """What a profile has numbers in, by the name that `Sources` has for it; no pretraining where another task does it"""
    spec = task.profiles[profile]
    pretrain = {} if task.pretrained_by else {"pretrain": spec.pretrain}
    return {"shape": spec.shape, **pretrain, **{str(setting): recipe for setting, recipe in spec.train.items()}}


def numbers_of(section: Frozen, sourced: Container[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The numbers in force, with augmentations and views by themselves ("augment.crop"), and those that alter nothing.

    The latter are defaults of none, false, 0 or 1 that are not among `sourced`.
    """
    numbers: dict[str, Any] = {}
    neutral: dict[str, Any] = {}
    for name, value in section.model_dump().items():
        if name in SPREAD and value:
            numbers |= {f"{name}.{part}": number for part, number in value.items()}
        elif name in section.model_fields_set or name in sourced or value is True or value not in NEUTRAL:
            numbers[name] = value
        else:
            neutral[name] = value
    return numbers, neutral
