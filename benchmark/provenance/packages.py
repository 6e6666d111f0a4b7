"""Modules of the user's own in, versions of the packages that they import out. No torch."""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from benchmark.provenance.certificates import COMPUTING
from benchmark.provenance.code import DIGITS, PACKAGES, Modules, code_parts, is_own, own_files, parsed, spelled, top_names
from benchmark.spec.runspec import canonical_json


def code_with_packages(task: Modules, arm: Modules, reader: Modules) -> dict[str, str]:
    """As `code_parts`; of the user's own modules also by which versions of other packages than the suite computes with."""
    parts = dict(code_parts(task, arm, reader))
    for part, named in (("task", task), ("arm", arm), ("reader", reader)):
        if versions := own_packages((named,) if isinstance(named, str) else named or ()):
            text = f"{parts.get(part, '')} {canonical_json(dict(versions))}"
            parts[part] = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
    return parts


@functools.lru_cache
def own_packages(roots: tuple[str, ...]) -> Mapping[str, str]:
    """Version by name of each distribution that modules of the user's own import, those that the roots reach; but for those by
    whose versions runs are paired, whatever they import."""
    tops: set[str] = set()
    for path in own_files(roots):
        met: list[ast.Import | ast.ImportFrom] = []
        spelled(parsed(Path(path)), met)  # which leaves out what is for types alone
        tops |= top_names(met)
    tops -= {"", "torch", "sklearn", *COMPUTING, *PACKAGES, *sys.stdlib_module_names}
    others = {top for top in tops if not is_own(top)}
    installed = distributions() if others else {}  # which takes half a second
    found = {name.lower().replace("_", "-") for top in others for name in installed.get(top, ())}
    return {name: known for name in sorted(found - {"torch", *COMPUTING}) if (known := _version(name))}


@functools.cache
def distributions() -> Mapping[str, list[str]]:
    """By the name of a module, those that it is installed by"""
    return packages_distributions()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
