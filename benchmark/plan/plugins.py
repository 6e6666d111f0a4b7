"""Our own tasks and arms in, with those of other distributions and of files of plugins out."""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from importlib.machinery import PathFinder
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from benchmark.plan.declared import check_needed, check_profiles
from benchmark.plan.given import FOREIGN
from benchmark.provenance.code import PACKAGES, parsed, top_names
from benchmark.spec.contracts import Arm, Start, Task, Trained
from benchmark.spec.recipes import SETTINGS, Setting

Origin = TypeVar("Origin", Start, Trained)
NEAR = 0.85  # of two names, how alike they are, from 0 to 1
_MADE_IN: dict[tuple[str, str], str] = {}  # the module in which a plugin's object is made, by its kind and name


class Unfit(ValueError):
    """What a method of a user's own gave back is not what was asked of it; the text says all."""


def modules_of(value: Task | Arm) -> tuple[str, ...]:
    """The module in which the class of a task or an arm is written, and that in which the object is made, if it is another."""
    made = _MADE_IN.get((_kind(value), value.name))
    return tuple(dict.fromkeys(name for name in (type(value).__module__, made) if name))


def _kind(value: Task | Arm) -> str:
    return "task" if isinstance(value, Task) else "arm"


def extend(tasks: Mapping[str, Task], arms: Mapping[str, Arm],
           places: Sequence[Path] = ()) -> tuple[dict[str, Task], dict[str, Arm]]:
    """Add entry points of the groups `benchmark.tasks` and `benchmark.arms`, and `TASK` and `ARM` of each of the files
    `places`, or of each file in one of them that is a folder.

    Raises `ValueError` for a file that cannot be imported or defines neither, and for a name that is taken or cannot be one.
    """
    tasks, arms = dict(tasks), dict(arms)
    found: list[tuple[str, object, str]] = [(point.name, point.load(), point.module)
                                            for group in ("benchmark.tasks", "benchmark.arms")
                                            for point in entry_points(group=group)]
    files = {file.resolve(): file for place in places for file in _files_of(place)}
    for file in files.values():
        found += [(str(file), value, file.stem) for value in _defined_in(file)]
    check_beside(files.values())
    for place, value, module in found:
        if isinstance(value, type) and issubclass(value, Task | Arm):
            said = f"{'TASK' if issubclass(value, Task) else 'ARM'} is the class {value.__name__}"
            raise ValueError(f"plugin {place}: {said}; make an object of it: {said.split()[0]} = {value.__name__}()")
        if not isinstance(value, Task | Arm):
            raise ValueError(f"plugin {place}: an object of {type(value).__name__} is neither a Task nor an Arm; let the class "
                             "inherit from one of benchmark.spec.contracts")
        check_names(value, place)
        check_needed(value, place)
        if isinstance(value, Arm):
            check_facts(value, place)
        else:
            check_profiles(value, place)
        if value.name in (tasks if isinstance(value, Task) else arms):
            raise ValueError(f"plugin {value.name!r}: there is one of this name already")
        _MADE_IN[_kind(value), value.name] = module
        if isinstance(value, Task):
            tasks[value.name] = value
        else:
            arms[value.name] = value
    return tasks, arms


def check_names(value: Task | Arm, place: str) -> None:
    """Raises `ValueError` for what can be no part of a file's name: the folders of runs are called by these."""
    for part in ("name", "modality") if isinstance(value, Task) else ("name",):
        given = getattr(value, part, None)
        plain = given.replace("-", "_") if isinstance(given, str) and part == "name" else given
        if not isinstance(plain, str) or not FOREIGN.fullmatch(plain):
            raise ValueError(f"plugin {place}: {part} is {given!r}; make it a text of a letter and up to 29 letters, digits"
                             f"{' or _' if part == 'modality' else ', _ or -'} after it")


def check_facts(arm: Arm, place: str) -> None:
    """Raises `ValueError` where an arm says of itself what would be read as something else: settings that there are not, a text
    for a yes or no or for several names, and options that a run's id cannot hold."""
    for flag in ("uses_auxiliary", "is_baseline", "is_method", "adds"):
        if not isinstance(getattr(arm, flag), bool):
            raise ValueError(f"plugin {place}: {flag} is {getattr(arm, flag)!r}; make it True or False")
    rivals: object = arm.rivals
    if not isinstance(rivals, tuple | list) or not all(isinstance(rival, str) for rival in rivals):
        raise ValueError(f"plugin {place}: rivals is {rivals!r}; make it a tuple of names of arms, such as ('fresh-noise',)")
    positive: object = arm.positive
    if not isinstance(positive, str) or "," in positive:
        raise ValueError(f"plugin {place}: positive is {positive!r}; make it the name of the one arm that must gain, or ''")
    given: object = arm.settings
    if not isinstance(given, tuple | list) or not given or any(setting not in SETTINGS for setting in given):
        raise ValueError(f"plugin {place}: settings is {given!r}; make it a tuple of one or more of {', '.join(SETTINGS)}, "
                         "such as ('pretrained',)")
    for name, value in arm:
        if _has_set(value):
            raise ValueError(f"plugin {place}: option {name} is {str(value)[:80]}, and the order of a set, which enters a "
                             "run's id, is another in every process; make it a tuple")
        try:
            arm.model_dump(mode="json", include={name})
        except ValueError as error:
            raise ValueError(f"plugin {place}: option {name} is {str(value)[:80]}, which is no value of JSON; make it a "
                             "number, a text or a tuple of texts") from error


def _has_set(value: object) -> bool:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return isinstance(value, Set) or any(map(_has_set, parts))


def misspelt(value: Task | Arm) -> list[str]:
    """A line for each name in a class of a user's own that is nearly one of those that are asked for and that it leaves as it
    is: nothing calls it, and what it was to do is not done."""
    kind: type[Task | Arm] = Task if isinstance(value, Task) else Arm
    classes = [each for each in type(value).__mro__ if issubclass(each, kind)]
    ours = [each.__module__.partition(".")[0] in PACKAGES for each in classes]
    names = [[name for name in (*vars(each), *_annotated(each)) if not name.startswith("_")] for each in classes]
    own, known = (dict.fromkeys(name for each, its in zip(names, ours, strict=True) if its is wanted for name in each)
                  for wanted in (False, True))
    asked = [name for name in names[classes.index(kind)] if name not in own]
    near = {name: difflib.get_close_matches(name, asked, 1, NEAR) for name in own if name not in known}
    return [f"{kind.__name__.lower()} {value.name}: {name} is no part of {kind.__name__}, and {close[0]} is: if that is meant, "
            "rename it, as nothing looks at it" for name, close in near.items() if close]


def _annotated(kind: type) -> Mapping[str, object]:
    try:
        return kind.__annotations__
    except NameError:  # from Python 3.14 on, of what is imported for a checker alone
        return {}


def by_role(arm: Arm, kind: type[Origin], method: str, found: Mapping[str, Origin]) -> Mapping[str, Origin]:
    """What `starts` or `trained` of an arm gave back; raises `Unfit` where it is something else than is asked."""
    if not isinstance(found, Mapping) or not all(isinstance(one, kind) for one in found.values()) or any(
            isinstance(one, Trained) and not isinstance(one.arm, Arm) for one in found.values()):
        wanted = "Start(modality, seed)" if kind is Start else "Trained(arm, setting, seed), the arm an object and no name,"
        raise Unfit(f"arm {arm.name}: {method}() returned {str(found)[:80]}; return a dict of {wanted} by role, or {{}}")
    return found


def check_digests(task: Task, found: dict[str, str]) -> dict[str, str]:
    """What `data_digests` of a task gave back; raises `Unfit` where it is something else than is asked."""
    if not isinstance(found, dict) or not all(isinstance(part, str) for pair in found.items() for part in pair):
        raise Unfit(f"task {task.name}: data_digests() returned {str(found)[:80]}; return a dict of SHA-256 by name, both "
                    "texts")
    return found


def check_draws(arm: Arm, task: Task, setting: Setting, auxiliary: str | None) -> None:
    """Raises `Unfit` where an arm says otherwise than is asked how it draws random numbers, or how many inputs it wants."""
    stream: object = arm.stream(task.name, setting, auxiliary)
    if not isinstance(stream, tuple | list) or not all(isinstance(part, str | int) for part in stream):
        raise Unfit(f"arm {arm.name}: stream() returned {stream!r}; return a tuple of texts, such as ('arm', {arm.name!r})")
    inputs: object = arm.num_inputs
    if not isinstance(inputs, int) or inputs < 0:
        raise Unfit(f"arm {arm.name}: num_inputs is {inputs!r}; make it a whole number, 0 or more")


def _files_of(place: Path) -> list[Path]:
    if not place.exists():
        raise ValueError(f"--plugins {place}: no such file or folder")
    if place.is_dir():  # with the tests that `benchmark new` writes, and modules that plugins import
        found = [file for file in sorted(place.glob("*.py")) if not file.name.startswith(("test_", "_"))]
        if not found:
            raise ValueError(f"--plugins {place}: no plugin is in this folder: a file whose name ends with .py and begins "
                             "neither with test_ nor with _")
        return found
    if place.suffix != ".py":
        raise ValueError(f"--plugins {place}: expected a file of Python (.py) that defines TASK or ARM, or a folder of such")
    return [place]


def _defined_in(file: Path) -> list[object]:
    folder = str(file.parent.resolve())
    if folder not in sys.path:
        sys.path.append(folder)  # runs are given it too, and import the plugin by its name; nothing of it hides a package
    module = _import_plugin(file)
    defined = [value for name in ("TASK", "ARM") if (value := getattr(module, name, None)) is not None]
    if not defined:
        raise ValueError(f"--plugins: {file} defines neither TASK nor ARM; end it with one, such as ARM = MyArm(); a file "
                         "that others import is left out of a folder of plugins where its name begins with _")
    return defined


def check_beside(files: Iterable[Path]) -> None:
    """Raises `ValueError` where a plugin, or what it imports of its own folder, imports a module that is beside it, and Python
    takes another of that name: of another plugin's folder, which came first, or an installed one. Python's own are meant, and
    this suite's, whatever is beside."""
    waiting = [file.parent.resolve() / file.name for file in files]  # of a link what is beside the link
    seen: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        imports = (node for node in ast.walk(parsed(file)) if isinstance(node, ast.Import | ast.ImportFrom))  # anywhere in it
        for name in top_names(imports) - sys.stdlib_module_names - PACKAGES:
            beside = [place for place in (file.parent / name / "__init__.py", file.parent / f"{name}.py") if place.is_file()]
            loaded = sys.modules.get(name)
            spec = PathFinder.find_spec(name) if loaded is None else getattr(loaded, "__spec__", None)
            taken = None if spec is None else spec.origin
            if beside and (taken is None or Path(taken).resolve() not in map(Path.resolve, beside)):
                raise ValueError(f"--plugins: {file} imports {name}, and Python takes {taken or 'another'} and not the one "
                                 f"beside it; rename {beside[0]}")
            waiting += beside[:1]


def _import_plugin(file: Path) -> ModuleType:
    if "." in file.stem:
        raise ValueError(f"--plugins: {file} has a dot in its name, and Python imports none by such a name; rename it")
    try:
        module = importlib.import_module(file.stem)
    except SystemExit as error:
        raise ValueError(f"--plugins: {file} ends the program as it is imported; put what it does as a program below "
                         "if __name__ == '__main__':") from error
    except Exception as error:  # a plugin may raise anything
        said = " ".join(str(error).split())
        raise ValueError(f"--plugins: {file} cannot be imported ({type(error).__name__}: {said})") from error
    place = getattr(module, "__file__", None)  # what is built into Python has none
    if place is None or Path(place).resolve() != file.resolve():
        raise ValueError(f"--plugins: {file} has the name of another module, {place or file.stem}; rename it")
    return module
