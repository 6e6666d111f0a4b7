"""Specs in, sections of the report out: runs share a section only where they share their conditions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmark.spec.recipes import SETTINGS, ModelShape
from benchmark.spec.runspec import RunSpec, canonical_json

Conditions = Mapping[str, str]
NO_RUNS = (0, 0, 0, "")

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
            rank_in(self.profile, PROFILES),
            -1 if self.limit is None else self.limit,
            bool(self.conditions),
            rank_in(self.setting, SETTINGS),
            self.conditions,
        )


def rank_in(name: str, known: Iterable[str]) -> tuple[int, str]:
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


def assign_sections(specs: Iterable[RunSpec], weights: Mapping[str, tuple[int, int, int, str]],
                    own: Mapping[tuple[str, str, str], Conditions] | None = None) -> dict[str, Section]:
    """The section of each `spec.comparison`.

    Of several comparisons of one task, profile, setting and limit, the main one is that of the profile's own conditions:
    `own`, by task, profile and setting. All others go to sections named after what differs, also where the profile's own
    were not run. Several that fit, and all where the profile's own are not known, go by weight: (1 where one is by the
    profile's pretraining, runs of the current code, runs, newest start) by comparison. So do runs on a few samples, which
    are evidence of nothing.
    """
    groups: dict[tuple[str, str, str, int | None], dict[str, RunSpec]] = {}
    for spec in specs:
        key = (spec.task, spec.profile, spec.setting or "none", spec.limit)
        groups.setdefault(key, {}).setdefault(spec.comparison, spec)
    sections = {}
    for (task, profile, setting, limit), group in groups.items():
        ranked = sorted(group, key=lambda comparison: (weights.get(comparison, NO_RUNS), comparison), reverse=True)
        stated = (own or {}).get((task, profile, setting)) if limit is None else None
        fitting = [name for name in ranked if stated is not None and stated.items() <= conditions_of(group[name]).items()
                   and (name not in weights or weights[name][0])]
        expected = {**conditions_of(group[(fitting or ranked)[0]]), **(stated or {})}
        if stated is not None and not weights.get(ranked[0], (1,))[0]:
            expected.pop("start", None)  # none is from the profile's own pretraining, so that each start is told
        for comparison in ranked:
            sections[comparison] = Section(profile, setting, limit,
                                           describe_difference(expected, conditions_of(group[comparison])))
    return sections


def describe_difference(main: Conditions, other: Conditions) -> str:
    """What `other` has instead of `main`, e.g. "epochs=2, lr=0.001"."""
    changed = [key for key in sorted(main.keys() | other.keys()) if main.get(key) != other.get(key)]
    return ", ".join(f"{key}={other.get(key, 'absent')}" for key in changed)


def share_of(conditions: str) -> float | None:
    """Of the labels, where nothing else differs from the main conditions; None where something does"""
    found = re.fullmatch(r"label_share=([0-9.e-]+)", conditions)
    return float(found[1]) if found else None if conditions else 1.0


def has_few_labels(section: Section) -> bool:
    """Whether it differs from the main conditions in a smaller share of the labels alone: all such are one family of tests"""
    return (share_of(section.conditions) or 1) < 1


def conditions_of(spec: RunSpec) -> dict[str, str]:
    """All that runs of one section share, as text by name."""
    data = {f"data.{key}": value[:8] for key, value in spec.data.items()}
    start = {"start": spec.shared_pretraining[:8]} if spec.shared_pretraining else {}
    return stated_conditions(spec.shape, spec.compared_recipe(), spec.num_classes) | data | start


def stated_conditions(shape: ModelShape, recipe: Mapping[str, object], num_classes: int | None) -> dict[str, str]:
    """Those of a shape and a recipe (`RunSpec.compared_recipe`)."""
    shapes = {f"shape.{key}": value for key, value in shape.model_dump(mode="json").items()}
    everything = {**recipe, **shapes, "num_classes": num_classes}
    return {key: value if isinstance(value, str) else canonical_json(value) for key, value in everything.items()}
