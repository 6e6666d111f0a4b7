"""What a task or an arm of a user's own says of itself in; what is lacking, or of another type than is read, out. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from numbers import Integral, Real
from typing import Any

from benchmark.plan.names import nearest
from benchmark.spec.contracts import Arm, Metric, ProfileSpec, Task
from benchmark.spec.recipes import SETTINGS, ModelShape, PretrainRecipe, TrainRecipe

NEEDED = {  # without a default in the class: an example of each
    Arm: {"summary": "'what it does, in one line'", "source": "'the section of a paper, or why this control exists'"},
    Task: {"summary": "'what it is, in one line'", "metrics": "(Metric('top1'),)", "sources": "frozenset({'generated'})",
           "profiles": "{'tiny': ProfileSpec(...)}"}}
SET_OF = {"sources": "generated", "shares": "flip"}  # of the fields of a task that are sets of texts: one of them
Fits = Callable[[Any], bool]


def _is_count(value: object) -> bool:
    return type(value) is not bool and isinstance(value, Integral) and int(value) > 0


def _are_recipes(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(
        setting in SETTINGS and isinstance(recipe, TrainRecipe) for setting, recipe in value.items())


PROFILE: dict[str, tuple[Fits, str]] = {  # of fields: what fits, in code and in words
    "data_sets": (lambda value: isinstance(value, tuple | list) and all(isinstance(one, str) for one in value),
                  "a tuple of names, such as ('mine',)"),
    "num_classes": (_is_count, "a whole number, 1 or more"),
    "chance": (lambda value: value is None or (isinstance(value, Real) and not isinstance(value, bool)),
               "a number in the unit of the first metric, or None"),
    "shape": (lambda value: isinstance(value, ModelShape), "a ModelShape"),
    "train": (_are_recipes, f"a dict of TrainRecipe by setting, some of {', '.join(SETTINGS)}"),
    "smoke_limit": (_is_count, "a whole number, 1 or more"),
    "reader": (lambda value: isinstance(value, str), "the name of a module, or ''")}


def check_needed(value: Task | Arm, place: str) -> None:
    """Raises `ValueError` for what must be said and is not, for a summary that is no text, and for no sets of texts."""
    for name, example in NEEDED[Task if isinstance(value, Task) else Arm].items():
        if getattr(value, name, None) is None:
            raise ValueError(f"plugin {place}: {name} is not there; give the class one, such as {name} = {example}")
    if not isinstance(summary := getattr(value, "summary", None), str):
        raise ValueError(f"plugin {place}: summary is {str(summary)[:80]}; make it a text of one line")
    for name, one in SET_OF.items() if isinstance(value, Task) else ():
        given: object = getattr(value, name)
        if not isinstance(given, Set) or not all(isinstance(text, str) for text in given):  # of a text each letter would be one
            raise ValueError(f"plugin {place}: {name} is {repr(given)[:80]}; make it a frozenset of texts, such as "
                             f"{name} = frozenset({{{one!r}}})")


def check_profiles(task: Task, place: str) -> None:
    """Raises `ValueError` where profiles are not what is read: everything that plans, shows and trains a task begins there."""
    profiles: object = task.profiles
    if not isinstance(profiles, Mapping) or not profiles or not all(
            isinstance(name, str) and isinstance(spec, ProfileSpec) for name, spec in profiles.items()):
        raise ValueError(f"plugin {place}: profiles is {str(profiles)[:80]}; make it a dict of ProfileSpec by name, such as "
                         "{'tiny': ProfileSpec(...)}")
    own = {} if task.pretrained_by else {  # of which that of the other is read
        "pretrain": (lambda value: isinstance(value, PretrainRecipe), "a PretrainRecipe")}
    for name, spec in profiles.items():
        for field, (fits, wanted) in (PROFILE | own).items():
            if not fits(given := getattr(spec, field)):
                raise ValueError(f"plugin {place}: {field} of the profile {name} is {repr(given)[:80]}; make it {wanted}")


def fault_of_metrics(task: Task) -> str:
    """What is wrong with the type of a task's metrics, and what to write; "" where nothing is"""
    metrics: object = task.metrics  # of whoever writes a task without types
    if isinstance(metrics, Sequence) and metrics and all(isinstance(one, Metric) for one in metrics):
        return ""
    name = next((one for one in metrics if isinstance(one, str)), "top1") if isinstance(metrics, Sequence) else "top1"
    return f"metrics is {metrics!r}; make it Metric objects of benchmark.spec.contracts, such as (Metric({name!r}),)"


def check_pretrained_by(task: Task, tasks: Mapping[str, Task]) -> None:
    """Raises `ValueError` where what a task starts from is no pretraining of its modality."""
    given: object = task.pretrained_by
    if given is None:
        return
    said = f"task {task.name} is pretrained by {given!r}"
    if not isinstance(given, str) or given not in tasks:
        raise ValueError(f"{said}; {nearest(str(given), tasks)}")
    other = tasks[given]
    if other.pretrained_by is not None:
        do = "leave pretrained_by out" if other.pretrained_by == task.name or other is task else f"name {other.pretrained_by}"
        raise ValueError(f"{said}, which has no pretraining of its own; {do}")
    if other.modality != task.modality:
        raise ValueError(f"{said}, which pretrains {other.modality!r}, and its modality is {task.modality!r}; make that "
                         f"{other.modality!r}, or leave pretrained_by out")
