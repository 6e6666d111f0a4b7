"""A run in, how its recipe and shape differ from those of its profile out. No torch."""

from __future__ import annotations

import functools
from collections.abc import Callable

from benchmark.cli.context import load_registry
from benchmark.evidence.inputs import profile_conditions
from benchmark.evidence.sections import Conditions, describe_difference, stated_conditions
from benchmark.spec.recipes import Setting
from benchmark.spec.runspec import RunSpec


def conditions_told() -> Callable[[RunSpec], str | None]:
    """What says how a run's recipe and shape differ from those of its profile; None where that is not known."""
    tasks, _ = load_registry()

    @functools.cache
    def stated(task: str, profile: str, setting: Setting | None) -> Conditions | None:
        own = tasks[task].profiles.get(profile) if task in tasks else None
        if own is None or (setting is not None and setting not in own.train):
            return None
        return (stated_conditions(own.shape, own.pretrain.model_dump(mode="json"), None) if setting is None
                else profile_conditions(own, setting))

    def told(spec: RunSpec) -> str | None:
        expected = stated(spec.task, spec.profile, spec.setting)
        found = stated_conditions(spec.shape, spec.compared_recipe(), spec.num_classes)
        return None if expected is None else describe_difference({**found, **expected}, found)

    return told
