"""The source of every number of the paper's profile: read from a file, shown by `info`. No torch."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from benchmark.contracts import ProfileSpec
from benchmark.recipes import Frozen

PUBLISHED = Path(__file__).parents[1] / "baselines" / "m2pt" / "sources.yaml"
SPREAD = ("augment", "test_views")  # fields that hold numbers by name


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
def load_sources(path: Path = PUBLISHED) -> Sources:
    """Raises `ValueError` for a file that is not ours."""
    import yaml

    try:
        return Sources.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ValueError(f"{path} holds no sources of recipes: {error}") from error


def sections_of(spec: ProfileSpec) -> dict[str, Frozen]:
    """What a profile sets numbers in, by the name that `Sources` has for it"""
    return {"shape": spec.shape, "pretrain": spec.pretrain, **{str(setting): recipe for setting, recipe in spec.train.items()}}


def numbers_of(section: Frozen) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a shape or recipe sets, with augmentations and views by themselves ("augment.crop"), and what it leaves as it is."""
    chosen: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if name in section.model_fields_set:
            chosen |= {f"{name}.{part}": number for part, number in value.items()} if name in SPREAD else {name: value}
    return chosen, {name: value for name, value in section.model_dump().items() if name not in section.model_fields_set}
