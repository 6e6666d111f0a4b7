"""Where paper, released code and sources disagree: the choices that are not the default, by name, as overrides."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.plan.matrix import Plan
from benchmark.plan.names import nearest
from benchmark.plan.overrides import SCOPES, Override, parse_override
from benchmark.plan.study import Study
from benchmark.spec.recipes import Frozen, Setting


class Variant(Frozen):
    """A choice of a paper or its code that the profile made after them does not make."""

    name: str
    summary: str
    source: str
    set: tuple[str, ...] = ()  # as --set has it; (): not offered, and the summary says why, or what does it
    settings: tuple[Setting, ...] = ()  # that it is of; (): every one
    profile: str  # whose recipes it alters
    arms: tuple[str, ...]  # that show what it changes
    joined: bool = True  # whether it fits arms with an auxiliary

    @property
    def tasks(self) -> list[str]:
        """Whose recipes or shapes it alters, where it names them"""
        return sorted({text.partition(".")[0] for text in self.set} - set(SCOPES))

    @property
    def command(self) -> str:
        """What trains its tasks and arms with it"""
        targets = [f"-t {','.join(self.tasks)}"] if self.tasks else []
        return " ".join([f"benchmark run --profile {self.profile} --variant {self.name}", *targets,
                         f"--arm {','.join(self.arms)}", *(f"--setting {name}" for name in self.settings)])


def load_variants(study: Study) -> dict[str, Variant]:
    """Those of a study by name; raises `ValueError` for a file that is not ours."""
    return {} if study.variants is None else _read(study.variants, study.profile, study.arms)


@functools.cache
def _read(path: Path, profile: str, arms: tuple[str, ...]) -> dict[str, Variant]:
    from benchmark.spec.yamlfile import read_yaml

    try:
        return {entry["name"]: Variant.model_validate({"profile": profile, "arms": arms, **entry}) for entry in read_yaml(path)}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"variants {path} cannot be read: {error}") from error


def overrides_of(study: Study, names: Iterable[str], profile: str, tasks: Iterable[str]) -> list[Override]:
    """What these variants alter; raises `ValueError` for an unknown one, one that is not offered, and another profile."""
    known, tasks, found = load_variants(study), list(tasks), []
    for name in names:
        if name not in known:
            raise ValueError(f"unknown variant {name!r}; {nearest(name, known)}")
        if profile != study.profile:
            raise ValueError(f"--variant {name} alters recipes of the paper; add --profile {study.profile}")
        if not known[name].set:
            raise ValueError(f"variant {name} is no choice of recipes: {known[name].summary}")
        found += [replace(parse_override(text, tasks, may_fit_nothing=True), variant=name) for text in known[name].set]
    return found


def check_use(study: Study, names: Sequence[str], plan: Plan) -> None:
    """Raises `ValueError` for runs of a setting or with an auxiliary that a variant does not fit."""
    for variant in (load_variants(study)[name] for name in names):
        for spec in (job.spec for job in plan.jobs if job.spec.task in variant.tasks and job.spec.kind == "train"):
            if (variant.settings and spec.setting not in variant.settings) or (spec.auxiliary and not variant.joined):
                raise ValueError(f"--variant {variant.name} does not fit {spec.cell} (setting {spec.setting}); "
                                 f"try: {variant.command}")
