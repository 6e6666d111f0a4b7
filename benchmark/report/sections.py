"""Specs in, sections of the report out: runs share a section only where they share their conditions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmark.recipes import SETTINGS
from benchmark.spec import RunSpec, canonical_json

PROFILES = ("tiny", "small", "paper")  # in the order of their size; others follow by name


@dataclass(frozen=True)
class Section:
    """One profile and setting, a sample limit (None: all), and how its conditions differ from the main ones ("")."""

    profile: str
    setting: str
    limit: int | None = None
    conditions: str = ""

    @property
    def title(self) -> str:
        parts = [f"profile {self.profile}", f"setting {self.setting}"]
        if self.limit is not None:
            parts.append(f"at most {self.limit} samples of each split")
        return ", ".join([*parts, *([self.conditions] if self.conditions else [])])

    @property
    def slug(self) -> str:
        """File name part; `unique_slugs` settles clashes."""
        limit = f"limit{self.limit}" if self.limit is not None else ""
        return slugify("-".join(part for part in (self.profile, self.setting, limit, self.conditions) if part))

    @property
    def order(self) -> tuple[object, ...]:
        """Small profiles first, whole data before limited, main conditions before others."""
        return (
            place(self.profile, PROFILES),
            -1 if self.limit is None else self.limit,
            bool(self.conditions),
            place(self.setting, SETTINGS),
            self.conditions,
        )


def place(name: str, known: Iterable[str]) -> tuple[int, str]:
    """Sort key: known names in their order, then the others by name."""
    names = list(known)
    return (names.index(name) if name in names else len(names), name)


def slugify(text: str) -> str:
    """Lower-case letters, digits and single hyphens: safe in any file system and link."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:80].rstrip("-") or "unnamed"


def unique_slugs(sections: Iterable[Section]) -> dict[Section, str]:
    """A slug of each section, numbered where two would share one."""
    slugs: dict[Section, str] = {}
    for section in sections:
        slug, number = section.slug, 2
        while slug in slugs.values():
            slug, number = f"{section.slug}-{number}", number + 1
        slugs[section] = slug
    return slugs


def assign_sections(specs: Iterable[RunSpec], weights: Mapping[str, tuple[int, int, str]]) -> dict[str, Section]:
    """The section of each `spec.comparison`.

    Of several comparisons of one task, profile, setting and limit, the heaviest is the main one; others go to sections
    named after what differs. `weights` is (runs of the current code, runs, newest start) by comparison.
    """
    groups: dict[tuple[str, str, str, int | None], dict[str, RunSpec]] = {}
    for spec in specs:
        key = (spec.task, spec.profile, spec.setting or "none", spec.limit)
        groups.setdefault(key, {}).setdefault(spec.comparison, spec)
    sections = {}
    for (_, profile, setting, limit), group in groups.items():
        ranked = sorted(group, key=lambda comparison: (weights.get(comparison, (0, 0, "")), comparison), reverse=True)
        for comparison in ranked:
            conditions = "" if comparison == ranked[0] else describe_difference(group[ranked[0]], group[comparison])
            sections[comparison] = Section(profile, setting, limit, conditions)
    return sections


def describe_difference(main: RunSpec, other: RunSpec) -> str:
    """What `other` has instead of the conditions of `main`, e.g. "epochs=2, lr=0.001"."""
    ours, theirs = _conditions(main), _conditions(other)
    changed = [key for key in sorted(ours | theirs) if ours.get(key) != theirs.get(key)]
    return ", ".join(f"{key}={theirs.get(key, 'absent')}" for key in changed)


def _conditions(spec: RunSpec) -> dict[str, str]:
    shape = {f"shape.{key}": value for key, value in spec.shape.model_dump(mode="json").items()}
    data = {f"data.{key}": value[:8] for key, value in spec.data.items()}
    everything = {**spec.compared_recipe(), **shape, **data, "num_classes": spec.num_classes}
    return {key: value if isinstance(value, str) else canonical_json(value) for key, value in everything.items()}
