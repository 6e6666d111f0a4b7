"""Groups of cells in, every run of them out: a matrix is a value, and so is what the command line takes of it. No torch."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, ValidationError, field_validator

from benchmark.plan.matrix import Cell, Plan, Planner, join_plans, pretraining_tasks
from benchmark.plan.names import nearest, pick
from benchmark.plan.overrides import Override, as_field, check_number, named_fields, parse_override, seeds_as_text
from benchmark.spec.contracts import Arm, Task
from benchmark.spec.recipes import SETTINGS, Frozen, Setting


class Group(Frozen):
    """The product of some arms, settings, targets, auxiliaries and options, without what does not fit together."""

    arms: tuple[str, ...] = Field(min_length=1)
    settings: tuple[Setting, ...] = Field(("pretrained",), min_length=1)
    targets: tuple[str, ...] | None = Field(None, min_length=1)  # None: every task that has the profile, but those on request
    auxiliaries: tuple[str, ...] = ()  # modalities; (): every other one, but those on request
    options: tuple[dict[str, Any], ...] = Field(({},), min_length=1)  # variants of the arms that have these options
    set: tuple[str, ...] = ()  # as --set has it

    @field_validator("set", mode="before")
    @classmethod
    def _set_by_name(cls, value: Any) -> Any:
        """Names with values say the same as a list of texts."""
        return ([f"{key}={json.dumps(item, default=str)}" for key, item in named_fields(value)] if isinstance(value, dict)
                else value)

    @field_validator("arms", "targets", "auxiliaries")
    @classmethod
    def _bare_names(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """A text may hold several names, with commas and blanks between them, as on the command line."""
        names = [name.strip() for text in value or () for name in text.split(",")]
        if not all(names):
            raise ValueError("an empty text is no name")
        return None if value is None else tuple(dict.fromkeys(names))


class Matrix(Frozen):
    """Groups of cells, under some seeds."""

    name: str
    summary: str = ""
    seeds: str = "0-2"
    groups: tuple[Group, ...] = Field(min_length=1)
    limited: bool = False  # a few samples of each split only
    timed: bool = False  # its runs are compared by time, so one after another
    quick: tuple[str, ...] = ()  # as --set has it, for all groups; each may fit nothing
    _numbers: tuple[int, ...] = PrivateAttr(())  # places of the groups in the file, where it was narrowed to some of them

    @property
    def numbered(self) -> list[tuple[int, Group]]:
        """Each group with its place in the file, from 1 on"""
        return list(zip(self._numbers or range(1, len(self.groups) + 1), self.groups, strict=True))

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds_as_text(cls, value: Any) -> Any:
        return seeds_as_text(value)


def explain(error: ValidationError) -> str:
    """What is wrong with a matrix, in the words of its file: a field that there is not before one that is missing"""
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    place = [str(part + 1) if isinstance(part, int) else part for part in first["loc"]]
    where = f"group {place[1]}" if place[:1] == ["groups"] and len(place) > 1 else place[0] if place else ""
    where = ": ".join(filter(None, [where, ".".join(place[2:] if where.startswith("group ") else place[1:])]))
    given = first["input"]
    known = Group.model_fields if where.startswith("group ") else [name for name in Matrix.model_fields if name != "name"]
    said = {
        "tuple_type": f"expected a list, such as [{_as_written(given)}]",
        "too_short": f"expected at least one {'group' if where == 'groups' else 'in the list'}",
        "model_type": "expected fields such as arms and targets", "dict_type": "expected names with values",
        "extra_forbidden": f"there is no such field; {nearest(str(place[-1]) if place else '', known)}",
        "string_type": f"expected a text, and YAML takes what is there for {given!r}; put it in quotes",
        "value_error": first["msg"].removeprefix("Value error, "),
        "missing": "is not there, and must be", "invalid_key": "names must be texts; put them in quotes",
        "literal_error": f"{given!r} is none of these; {first['msg'].removeprefix('Input should be ')}"}
    if place == ["seeds"]:
        return "seeds: expected numbers and ranges such as 0-2, or a list such as [0, 3]"
    if first["type"] == "tuple_type" and where == "groups":
        return "groups: expected a list: begin every group with a dash (- arms: [...])"
    return f"{where}: {said.get(str(first['type']), first['msg'])}"


def _as_written(value: Any) -> str:
    """A text, or names with values, as a file has them; of all else dots"""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {item}" for name, item in value.items()) + "}"
    return value if isinstance(value, str) else "..."


def narrow(matrix: Matrix, *, targets: Sequence[str] = (), auxiliaries: Sequence[str] = (), arms: Sequence[str] = (),
           settings: Sequence[Setting] = (), known: Mapping[str, Arm] | None = None) -> Matrix:
    """What the command line chose: instead of what a matrix of one group has, or from what a matrix of several has.

    Empty means no choice. A field of an option that only arms have which are left out goes with them, as far as arms are
    `known`.
    Raises `ValueError` where nothing is left.
    """
    chosen = {"targets": tuple(targets), "auxiliaries": tuple(auxiliaries), "arms": tuple(arms), "settings": tuple(settings)}
    groups, numbers = [], []
    for number, group in matrix.numbered:
        fields: dict[str, tuple[str, ...]] = {}
        for name, wanted in chosen.items():
            own = getattr(group, name)
            if wanted:
                fields[name] = wanted if len(matrix.groups) == 1 or not own else tuple(x for x in own if x in wanted)
        if all(fields.values()):
            had, has = (_fields(known or {}, names) for names in (group.arms, fields.get("arms", group.arms)))
            options = tuple({field: value for field, value in option.items() if field not in had - has}
                            for option in group.options)
            groups.append(group.model_copy(update={**fields, "options": options}))
            numbers.append(number)
    if not groups:
        asked = "; ".join(f"{name} {', '.join(wanted)}" for name, wanted in chosen.items() if wanted)
        raise ValueError(f"matrix {matrix.name} has no cell with {asked}; benchmark info {matrix.name} says what it has")
    narrowed = matrix.model_copy(update={"groups": tuple(groups)})
    narrowed._numbers = tuple(numbers)
    return narrowed


def _fields(arms: Mapping[str, Arm], names: Iterable[str]) -> set[str]:
    """The options that any of these arms has"""
    return {option for name in names if name in arms for option in type(arms[name]).model_fields}


def plan_matrix(matrix: Matrix, tasks: Mapping[str, Task], arms: Mapping[str, Arm], profile: str, seeds: Sequence[int],
                overrides: Sequence[Override] = (), given: Mapping[str, Path] | None = None, limit: int | None = None,
                unprepared: dict[str, str] | None = None) -> Plan:
    """Every run of a matrix; raises `ValueError` for names, options and overrides that fit nothing.

    `given` are weights by modality that take the place of its pretraining; `limit` is of samples of each split;
    `unprepared` takes note of data that cannot be read (see `Planner`).
    """
    quick = [parse_override(text, tasks, may_fit_nothing=True) for text in matrix.quick]
    every = tuple(name for name, task in tasks.items() if profile in task.profiles and not task.on_request)
    parts = []
    for number, group in matrix.numbered:
        own = [parse_override(text, tasks, place=f"group {number} of matrix {matrix.name}: set") for text in group.set]
        planner = Planner(tasks, profile, [*quick, *own, *overrides], matrix.limited, limit, given or {}, unprepared)
        chosen = group if group.targets else group.model_copy(update={"targets": every})
        try:
            parts.append((planner, cells_of(tasks, arms, chosen, planner.given)))
        except ValueError as error:  # in a name of the file: what was typed has been looked at before
            raise ValueError(f"group {number} of matrix {matrix.name}: {error}") from error
    _check_auxiliaries(matrix, arms, [cell for _, cells in parts for cell in cells])
    if not any(cells for _, cells in parts):
        raise ValueError(_nothing_fits(matrix.groups[0], tasks))
    return replace(join_plans(parts, seeds), timed=matrix.timed)


def check_groups(matrix: Matrix, tasks: Mapping[str, Task], arms: Mapping[str, Arm]) -> None:
    """Raises `ValueError` naming a group of several that has no run by itself, before the command line narrows the matrix.

    What is unknown is left to `plan_matrix`, which may have less of it to do with, and so is a matrix of one group, whose
    choices may be replaced.
    """
    for number, group in matrix.numbered if len(matrix.groups) > 1 else ():
        try:
            fitting = cells_of(tasks, arms, group, group.auxiliaries)
        except ValueError:
            continue
        if not fitting:
            raise ValueError(f"group {number} of matrix {matrix.name}: {_nothing_fits(group, tasks)}; benchmark info ARM says "
                             "in which settings an arm is; an auxiliary is of another modality than its target")


def _nothing_fits(group: Group, tasks: Iterable[str]) -> str:
    return (f"no run fits: targets {', '.join(group.targets or tasks)}; arms {', '.join(group.arms)}; "
            f"settings {', '.join(group.settings)}; auxiliaries {', '.join(group.auxiliaries) or 'all'}")


def _check_auxiliaries(matrix: Matrix, arms: Mapping[str, Arm], cells: Sequence[Cell]) -> None:
    """Raises `ValueError` where auxiliaries were named, an arm uses one, and no cell has any."""
    groups = [group for group in matrix.groups if group.auxiliaries and any(
        arms[name].uses_auxiliary and set(arms[name].settings) & set(group.settings) for name in group.arms if name in arms)]
    if groups and not any(cell.auxiliary for cell in cells):
        raise ValueError(f"no target takes the auxiliary {' or '.join(groups[0].auxiliaries)}: it is the target's own "
                         "modality, and an auxiliary is of another; choose one of those, or arms that use none")


def cells_of(tasks: Mapping[str, Task], arms: Mapping[str, Arm], group: Group, given: Collection[str] = ()) -> list[Cell]:
    """Every valid combination: an arm in each setting it allows, with each auxiliary of another modality if it uses one.

    An auxiliary that a group names is of a modality that a task pretrains, or that is `given`.
    """
    modalities = list(group.auxiliaries) or [name for name, task in pretraining_tasks(tasks).items() if not task.on_request]
    pick(group.targets, tasks, "task")
    pick(group.arms, arms, "arm")
    pick_auxiliaries(group.auxiliaries, tasks, given)
    variants = _variants([arms[name] for name in group.arms], group.options)
    cells = []
    for task in (tasks[name] for name in group.targets or tasks):
        for setting in (setting for setting in SETTINGS if setting in group.settings):
            for arm in variants:
                if setting not in arm.settings:
                    continue
                if not arm.uses_auxiliary:
                    cells.append(Cell(task, arm, setting))
                else:
                    cells += [Cell(task, arm, setting, modality) for modality in modalities if modality != task.modality]
    return cells


def pick_auxiliaries(names: Sequence[str] | None, tasks: Mapping[str, Task], given: Collection[str]) -> list[str]:
    """Check names of modalities (each text may hold several) against what tasks pretrain and what was given."""
    known = dict.fromkeys([*pretraining_tasks(tasks), *given])
    try:
        return pick(names, known, "auxiliary modality")
    except ValueError as error:
        raise ValueError(f"{error}; weights of one that no task has are given by file: --start NAME=FILE, which "
                         "benchmark convert writes (docs/real-auxiliaries.md)") from None


def _variants(arms: Sequence[Arm], options: Sequence[Mapping[str, Any]]) -> list[Arm]:
    """Each arm with each set of options, of which it takes the fields that it has: none of them, once, as it is."""
    known = {name for arm in arms for name in type(arm).model_fields}
    for name in (name for option in options for name in option):
        if name not in known:
            raise ValueError(f"unknown option {name!r} of arms {', '.join(arm.name for arm in arms)}; {nearest(name, known)}")
    found: list[Arm] = []
    for arm in arms:
        for option in options:
            own = {name: value for name, value in option.items() if name in type(arm).model_fields}
            for name, value in own.items():
                check_number(type(arm), name, value, f"option {name} of arm {arm.name}")
            try:
                given = {name: as_field(type(arm), name, value) for name, value in own.items()}
                variant = type(arm).model_validate({**arm.model_dump(), **given})
            except ValidationError as error:
                first = error.errors()[0]
                raise ValueError(f"option {'.'.join(map(str, first['loc']))} of arm {arm.name}: {first['msg']}") from error
            if variant not in found:
                found.append(variant)
    return found
