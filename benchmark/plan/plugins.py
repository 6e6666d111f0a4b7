"""Our own tasks and arms in, with those of other distributions and of a folder of plugins out."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from benchmark.spec.contracts import Arm, Task


def extend(tasks: Mapping[str, Task], arms: Mapping[str, Arm],
           folder: Path | None = None) -> tuple[dict[str, Task], dict[str, Arm]]:
    """Add entry points of the groups `benchmark.tasks` and `benchmark.arms`, and `TASK` and `ARM` of each file in `folder`.

    Raises `ValueError` for a file that cannot be imported or defines neither, and for a name that is taken.
    """
    tasks, arms = dict(tasks), dict(arms)
    found: list[object] = [point.load() for group in ("benchmark.tasks", "benchmark.arms")
                           for point in entry_points(group=group)]
    if folder is not None:
        found += _plugins_in(folder)
    for value in found:
        if not isinstance(value, Task | Arm):
            raise ValueError(f"plugin {value!r} is neither a Task nor an Arm")
        if value.name in (tasks if isinstance(value, Task) else arms):
            raise ValueError(f"plugin {value.name!r}: there is one of this name already")
        if isinstance(value, Task):
            tasks[value.name] = value
        else:
            arms[value.name] = value
    return tasks, arms


def _plugins_in(folder: Path) -> list[object]:
    if not folder.is_dir():
        raise ValueError(f"--plugins {folder}: no such folder")
    sys.path.insert(0, str(folder.resolve()))  # runs are given it too, and import the plugin by its name
    found: list[object] = []
    for file in sorted(folder.glob("*.py")):
        module = _import_plugin(file)
        defined = [value for name in ("TASK", "ARM") if (value := getattr(module, name, None)) is not None]
        if not defined:
            raise ValueError(f"--plugins: {file} defines neither TASK nor ARM")
        found += defined
    return found


def _import_plugin(file: Path) -> ModuleType:
    try:
        module = importlib.import_module(file.stem)
    except Exception as error:  # a plugin may raise anything
        raise ValueError(f"--plugins: {file} cannot be imported ({type(error).__name__}: {error})") from error
    if module.__file__ is None or Path(module.__file__).resolve() != file.resolve():
        raise ValueError(f"--plugins: {file} has the name of another module, {module.__file__}; rename it")
    return module
