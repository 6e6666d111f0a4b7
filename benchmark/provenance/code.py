"""Code in, digest out: what makes a result stale when it is edited, and what does not.

The digest covers the syntax trees of a module and of every module of the project that it imports, directly or not,
also inside functions. Comments, formatting, docstrings and type-only imports do not count. Modules that only hold
values which enter a `RunSpec` themselves (recipes by profile) are left out: an edit of one profile leaves the others
alone.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path

ENGINE = "benchmark.train.execute"  # root of all that computes a result
STACKS = "benchmark.train.lockstep"  # and of what trains several at once: no part of a run, so its digest is in the environment
# These carry results, and compute none.
CARRIERS = {"benchmark.records.record", "benchmark.spec.runspec", "benchmark.provenance.environment"}
PACKAGES = {"benchmark", "tasks", "baselines"}  # imported modules of these count, and those of the roots' own packages
VALUES_ONLY = "profiles"  # last name of a module whose values are in the spec


def is_stacked_by_other_code(digest: str | None) -> bool:
    """Whether code of another digest than today's trained the stack that a run was in; None: it was in none."""
    return digest is not None and digest != code_digest((STACKS,))


@functools.lru_cache
def code_digest(roots: tuple[str, ...]) -> str:
    """Hex digest of the code reachable from the modules named in `roots`."""
    trees = dict(reachable_code(roots))
    return hashlib.sha256("\n".join(f"{name} {trees[name]}" for name in sorted(trees)).encode()).hexdigest()


def reachable_code(roots: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each module that an edit of would make results stale, with the digest of its syntax tree."""
    waiting = list(roots)
    packages = {root.split(".")[0] for root in waiting} | PACKAGES
    plugins = {path.parent for root in waiting if "." not in root and (path := _source(root))
               and path.name != "__init__.py"}  # single files may import the files beside them
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        left_out = module in seen | CARRIERS or module.rsplit(".", 1)[-1] == VALUES_ONLY
        path = None if left_out else _source(module)
        seen.add(module)
        if path is not None:
            tree, imports = _parse(path, path.stat().st_mtime_ns, module)
            yield module, tree
            waiting += [name for name in imports if (top := name.split(".")[0]) in packages
                        or any((folder / f"{top}.py").is_file() for folder in plugins)]


def _source(module: str) -> Path | None:
    """The file of a module, found without importing anything; None where the name is no module (a function, say)."""
    top, *rest = module.split(".")
    loaded = sys.modules.get(top)
    spec = getattr(loaded, "__spec__", None) if loaded else importlib.util.find_spec(top)
    name = top
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, spec.submodule_search_locations)
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


@functools.cache
def _parse(path: Path, _modified_ns: int, module: str) -> tuple[str, tuple[str, ...]]:
    """(digest of the syntax tree without docstrings, names that may be imported modules)"""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports: list[str] = []
    stripped = _Stripper().visit(tree)
    for node in ast.walk(stripped):
        if isinstance(node, ast.Import):
            imports += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                origin = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], origin]).rstrip(".")
            imports += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return hashlib.sha256(ast.dump(stripped).encode()).hexdigest(), tuple(dict.fromkeys(imports))


class _Stripper(ast.NodeTransformer):
    """Removes docstrings and `if TYPE_CHECKING` blocks."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return [self.visit(statement) for statement in node.orelse]
        return self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if (isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
                and ast.get_docstring(node, clean=False) is not None):
            del node.body[0]
        return node

