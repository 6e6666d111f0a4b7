"""Modules in, digests of their code by part out: what made a result, told apart so that an edit is seen where it counts.

A digest covers the syntax trees of the modules of a part. Comments, formatting, docstrings and
type-only imports do not count, and the text of a tree is the same under every version of Python.
Modules that only hold values which enter a `RunSpec` themselves (recipes by profile) are left out.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

ENGINE = "benchmark.train.execute"  # root of all that computes a result
STACKS = "benchmark.train.stack"  # root of what trains several at once
PROCESSES = "benchmark.train.processes"  # root of what lets several processes share a run
# These carry results, and compute none.
CARRIERS = {"benchmark.records.record", "benchmark.records.outputs", "benchmark.records.signed", "benchmark.spec.runspec",
            "benchmark.provenance.environment"}
PACKAGES = {"benchmark", "tasks", "baselines"}  # their modules count, and those of the roots' own packages
VALUES_ONLY = "profiles"  # last name of a module whose values are in the spec
PARTS = ("engine", "modality", "task", "arm", "reader", "stack", "processes")
DIGITS = 16  # of a part's digest: enough to tell versions of one project apart


Modules = str | tuple[str, ...] | None  # one name, or several


@functools.lru_cache
def code_parts(task: Modules, arm: Modules, reader: Modules) -> dict[str, str]:
    """Digests of the code that a run may depend on, by part; the names are those of modules. Of a plugin there may be two:
    where its class is written, and where the object is made.

    "engine": what every run goes through. "modality": what else of this package the task uses, its
    tokenizer and head. "task", "arm" and "reader" (of the data): theirs alone. "stack": what trains
    several runs at once beyond the engine. "processes": what several share a run by. A module belongs
    to the first part that reaches it.
    """
    given = {"engine": ENGINE, "task": task, "arm": arm, "reader": reader, "stack": STACKS, "processes": PROCESSES}
    roots = {part: (named,) if isinstance(named, str) else named or () for part, named in given.items()}
    every = [root for names in roots.values() for root in names]
    own: dict[str, list[str]] = {}
    seen: set[str] = set()
    for part, names in roots.items():
        for module, tree in reachable_code(names, beside=every):
            if module not in seen:
                seen.add(module)
                engines = part == "task" and module.partition(".")[0] == ENGINE.partition(".")[0]
                own.setdefault("modality" if engines else part, []).append(f"{module} {tree}")
    return {part: hashlib.sha256("\n".join(sorted(own[part])).encode()).hexdigest()[:DIGITS]
            for part in PARTS if part in own}


def used_code(parts: Mapping[str, str], stacked: bool, shared: bool) -> dict[str, str]:
    """Of `code_parts`, without those that only runs in a stack, or shared by processes, go through where one is not."""
    left_out = {name for name, used in (("stack", stacked), ("processes", shared)) if not used}
    return {part: digest for part, digest in parts.items() if part not in left_out}


def reachable_code(roots: Iterable[str], beside: Iterable[str] = ()) -> Iterator[tuple[str, str]]:
    """Each module that the roots import, directly or not, also inside functions, and its tree's digest.

    `beside`: further roots, whose packages count, too. Where any of these is no module of ours, so does all that is imported
    from the user's own folders, wherever they are; what was installed does not.
    """
    waiting = list(roots)
    packages = {root.split(".")[0] for root in (*waiting, *beside)} | PACKAGES
    foreign = bool(packages - PACKAGES)
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        left_out = module in seen | CARRIERS or module.rsplit(".", 1)[-1] == VALUES_ONLY
        path = None if left_out else _source(module)
        seen.add(module)
        if path is not None:
            tree, imports = _parse(path, path.stat().st_mtime_ns, module)
            yield module, tree
            waiting += [name for name in imports if (top := name.split(".")[0]) in packages or (foreign and is_own(top))]


@functools.lru_cache
def own_files(roots: tuple[str, ...]) -> dict[str, str]:
    """SHA-256 of each file of the user's own that the roots reach, by its path; nothing where all is this suite's."""
    ours = all(root.split(".")[0] in PACKAGES for root in roots)
    paths = [_source(module) for module, _ in ([] if ours else reachable_code(roots)) if module.split(".")[0] not in PACKAGES]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path is not None}


def edited_since(files: Mapping[str, str]) -> list[str]:
    """Of `own_files`, those that are others now"""
    return [path for path, digest in files.items()
            if not Path(path).is_file() or hashlib.sha256(Path(path).read_bytes()).hexdigest() != digest]


def is_own(top: str) -> bool:
    """Whether a module of this name, with no dot in it, is in a folder of the user's: neither Python's nor installed."""
    if top in sys.stdlib_module_names:
        return False
    spec = _spec_of(top)
    places = [] if spec is None else [*(spec.submodule_search_locations or ())] or [spec.origin or ""]
    return any(place.endswith(".py") or Path(place).is_dir() for place in places) and not any(
        _is_installed(Path(place).parent) for place in places)


@functools.cache
def _is_installed(folder: Path) -> bool:
    """Whether an installer put something there, such as site-packages: it leaves a note beside each package."""
    return any(folder.glob("*.dist-info"))


def _spec_of(top: str) -> ModuleSpec | None:
    """Where a module with no dot in its name is, found without importing it."""
    loaded = sys.modules.get(top)
    if loaded is not None:
        return getattr(loaded, "__spec__", None)
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _source(module: str) -> Path | None:
    """The file of a module, found without importing anything; None where the name is no module (a function, say)."""
    top, *rest = module.split(".")
    spec, name = _spec_of(top), top
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        places = tuple(spec.submodule_search_locations)
        spec = find_ours(name, places) if top in PACKAGES else PathFinder.find_spec(name, places)
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


@functools.cache
def find_ours(name: str, places: tuple[str, ...]) -> ModuleSpec | None:
    """What is in these folders by this name, looked up once: every kind of run asks for the same, and most are no modules."""
    return PathFinder.find_spec(name, places)


@functools.cache
def _parse(path: Path, _modified_ns: int, module: str) -> tuple[str, tuple[str, ...]]:
    """(digest of the syntax tree without docstrings, names that may be imported modules)"""
    found: list[ast.Import | ast.ImportFrom] = []
    text = spelled(parsed(path), found)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports: list[str] = []
    for node in found:
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        else:
            origin = node.module or ""
            if node.level:
                origin = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], origin]).rstrip(".")
            imports += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return hashlib.sha256(text.encode()).hexdigest(), tuple(dict.fromkeys(imports))


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file in any encoding that it declares; raises `ValueError` where it is no Python."""
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{path}, a part of the code of runs, is no Python: {error}") from error


def top_names(imports: Iterable[ast.Import | ast.ImportFrom]) -> set[str]:
    """Of the modules that are imported by their whole names, without what is in them; "" where nothing is named"""
    names: set[str] = set()
    for node in imports:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


def spelled(value: object, imports: list[ast.Import | ast.ImportFrom]) -> str:
    """A syntax tree as text that every version of Python agrees on, without docstrings and what is for types alone.

    `ast.dump` of some tells fields that are empty, and 3.12 ends the format of a nested f-string with
    an empty text. One walk does it all, as every command begins with it: the imports met are added to `imports`.
    """
    if isinstance(value, ast.AST):
        kind = type(value)
        if kind is ast.Constant:
            return f"Constant({value.value!r})"  # type: ignore[attr-defined]
        if isinstance(value, ast.JoinedStr):
            parts = [part for part in value.values if not isinstance(part, ast.Constant) or part.value != ""]
            return f"JoinedStr({spelled(parts, imports)})"
        if isinstance(value, (ast.Import, ast.ImportFrom)):
            imports.append(value)
        told = []
        for name in kind._fields:
            part = getattr(value, name, None)
            if type(part) is list:
                part = _told(value, name, part)
            if part is not None and part != []:
                told.append(f"{name}={spelled(part, imports)}")
        return f"{kind.__name__}({', '.join(told)})"
    if isinstance(value, list):
        return f"[{', '.join([spelled(part, imports) for part in value])}]"
    return repr(value)


def _told(node: ast.AST, name: str, parts: list[ast.AST]) -> list[ast.AST]:
    """What counts of a list of statements, or of anything else, in a field of a node."""
    if any(type(part) is ast.If for part in parts):
        parts = [each for part in parts for each in _without_types(part)]
    if (name == "body" and parts and isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and type(parts[0]) is ast.Expr and type(parts[0].value) is ast.Constant and type(parts[0].value.value) is str):
        return parts[1:]
    return parts


def _without_types(statement: ast.AST) -> list[ast.AST]:
    if isinstance(statement, ast.If) and isinstance(statement.test, ast.Name) and statement.test.id == "TYPE_CHECKING":
        return [each for part in statement.orelse for each in _without_types(part)]
    return [statement]
