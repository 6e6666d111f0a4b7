"""Where paper, released code and sources disagree: the choices that are not the default, by name, as overrides."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from benchmark.matrix import SCOPES, Override, Plan, nearest, parse_override
from benchmark.recipes import Frozen, Setting

PUBLISHED = Path(__file__).parents[1] / "baselines" / "m2pt" / "variants.yaml"
PROFILE = "paper"  # whose recipes they alter


class Variant(Frozen):
    """A choice of the paper or its code that the profile does not make."""

    name: str
    summary: str
    source: str
    set: tuple[str, ...] = ()  # as --set has it; (): not offered, and the summary says why, or what does it
    settings: tuple[Setting, ...] = ()  # that it is of; (): every one

    @property
    def tasks(self) -> list[str]:
        """Whose recipes or shapes it alters, where it names them"""
        return sorted({text.partition(".")[0] for text in self.set} - set(SCOPES))


@functools.cache
def load_variants(path: Path = PUBLISHED) -> dict[str, Variant]:
    """By name; raises `ValueError` for a file that is not ours."""
    import yaml

    try:
        return {entry["name"]: Variant.model_validate(entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))}
    except (OSError, yaml.YAMLError, ValidationError, TypeError, KeyError) as error:
        raise ValueError(f"variants {path} cannot be read: {error}") from error


def overrides_of(names: Iterable[str], profile: str, tasks: Iterable[str]) -> list[Override]:
    """What these variants alter; raises `ValueError` for an unknown one, one that is not offered, and another profile."""
    known, tasks, found = load_variants(), list(tasks), []
    for name in names:
        if name not in known:
            raise ValueError(f"unknown variant {name!r}; {nearest(name, known)}")
        if profile != PROFILE:
            raise ValueError(f"--variant {name} alters recipes of the paper; add --profile {PROFILE}")
        if not known[name].set:
            raise ValueError(f"variant {name} is no choice of recipes: {known[name].summary}")
        found += [parse_override(text, tasks, may_fit_nothing=True) for text in known[name].set]
    return found


def check_use(names: Sequence[str], plan: Plan) -> None:
    """Raises `ValueError` for a variant that alters no run of the plan, and for runs of a setting that it is not of."""
    runs = [(job.spec.task, job.spec.setting) for job in plan.jobs]
    for name in names:
        variant = load_variants()[name]
        if variant.tasks and not {task for task, _ in runs} & set(variant.tasks):
            raise ValueError(f"--variant {name} changes nothing in this matrix; add -t {','.join(variant.tasks)}")
        others = {setting for task, setting in runs if setting and task in variant.tasks} - set(variant.settings)
        if variant.settings and others:
            raise ValueError(f"--variant {name} is of setting {', '.join(variant.settings)} alone; "
                             f"add --setting {variant.settings[0]}")
