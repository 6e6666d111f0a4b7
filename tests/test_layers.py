"""Imports point down the layers, and what only reads results or plans runs never imports torch."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from synthetic import make_matrix

from benchmark.records.store import Store

ROOT = Path(__file__).parents[1]
OWN = ("benchmark", "tasks", "baselines")
MAY_IMPORT = {  # of each folder: the folders that its modules may import, from what knows nothing to what knows all
    "benchmark": "",
    "spec": "",
    "records": "spec",
    "provenance": "spec records",
    "data": "spec records provenance",
    "model": "spec records provenance data",
    "train": "spec records provenance data model",
    "plan": "spec records provenance",
    "tasks": "spec records provenance data model",
    "baselines": "spec data model plan",
    "evidence": "spec records provenance plan",
    "report": "spec records provenance evidence",
    "runner": "spec records provenance train plan evidence",
    "transfer": "spec records data model",
    "bench": "spec records provenance data model train plan evidence runner report",
    "check": "spec records data model train plan",
    "cli": "benchmark check spec records provenance data plan tasks baselines evidence report runner transfer bench",
    "api": "spec records plan evidence runner cli",
    "__main__": "cli",
}
LONGEST = 350  # lines of a module
WITHOUT_TORCH = ("spec", "records", "provenance.code", "provenance.environment", "plan", "evidence", "report", "runner", "cli",
                 "data.embedded", "data.catalogue", "data.examples", "train.pictures")
FOR_READERS = ("matplotlib", "PIL", "jinja2", "markupsafe", "rich")  # what makes text and figures


@cache
def modules() -> dict[str, Path]:
    """Every module of the three packages."""
    found = {}
    for package in OWN:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if not name.startswith("docs.embedded_data"):
                found[name] = path
    return found


@cache
def imports_of(name: str, everywhere: bool) -> tuple[str, ...]:
    """What `name` imports: at module level, or also inside functions. Type-only imports do not count."""
    return tuple(walk_imports(name, everywhere))


def walk_imports(name: str, everywhere: bool) -> Iterator[str]:
    path = modules()[name]
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                yield inner if inner in modules() else origin
        elif everywhere or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


def own_imports(name: str, everywhere: bool = True) -> set[str]:
    return {target for target in imports_of(name, everywhere) if target.split(".")[0] in OWN and target != name}


def folder_of(name: str) -> str:
    """Of a module: the folder of the engine that it is in, or else its package"""
    package, _, rest = name.partition(".")
    return rest.partition(".")[0] if package == "benchmark" and rest else package


def test_every_folder_says_what_it_may_import():
    assert {folder_of(name) for name in modules()} == set(MAY_IMPORT)
    TopologicalSorter({folder: allowed.split() for folder, allowed in MAY_IMPORT.items()}).prepare()  # no circle


def test_imports_go_where_they_may():
    wrong = [f"{name} imports {target}" for name in modules() for target in own_imports(name)
             if folder_of(target) not in (folder_of(name), *MAY_IMPORT[folder_of(name)].split())]
    assert not wrong, "\n".join(wrong)


def test_every_folder_says_what_enters_and_what_leaves():
    for folder in MAY_IMPORT.keys() - {"__main__"}:
        name = folder if folder in OWN else f"benchmark.{folder}"
        assert ast.get_docstring(ast.parse(modules()[name].read_text(encoding="utf-8"))), name


@pytest.mark.parametrize("name", [name for name in modules() if folder_of(name) == "evidence"])
def test_numbers_know_no_text_and_no_figure(name):
    named = {target.partition(".")[0] for target in imports_of(name, everywhere=True)}
    assert not named & set(FOR_READERS), name


def test_the_page_on_the_code_has_every_folder_and_names_what_is_there():
    page = (ROOT / "docs" / "code.md").read_text(encoding="utf-8")
    inner = MAY_IMPORT.keys() - {"__main__", "api", "benchmark"}
    folders = {folder if folder in OWN else f"benchmark/{folder}" for folder in inner}
    assert folders == set(re.findall(r"^\| \[([a-z/]+)\]", page, re.M))
    for file, place in (("README.md", ROOT), ("docs/code.md", ROOT / "docs")):
        text = (ROOT / file).read_text(encoding="utf-8")
        lost = [link for link in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", text) if not (place / link).exists()]
        assert not lost, file


def test_no_module_is_long():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    assert not {name: length for name, length in lengths.items() if length > LONGEST}


def private_names(path: Path) -> list[str]:
    """What a file takes from another module though it is that one's own: imported, or as an attribute of an import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported: dict[str, str] = {}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").partition(".")[0] in OWN):
            found += [f"{node.module}.{alias.name}" for alias in node.names if is_private(alias.name)]
            imported |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and is_private(node.attr) \
                and imported.get(node.value.id) in modules():
            found.append(f"{imported[node.value.id]}.{node.attr}")
    return found


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_no_module_takes_what_is_private_to_another(tmp_path):
    probe = tmp_path / "probe.py"
    probe.write_text("from benchmark.train import execute\nfrom benchmark.train.loop import _own\nexecute._train()\n")
    assert private_names(probe) == ["benchmark.train.loop._own", "benchmark.train.execute._train"]
    files = [*modules().values(), *sorted((ROOT / "tests").glob("*.py"))]
    wrong = [f"{path.relative_to(ROOT)} takes {name}" for path in files for name in private_names(path)]
    assert not wrong, "\n".join(wrong)


def test_no_imports_in_a_circle():
    try:
        TopologicalSorter({name: own_imports(name) for name in modules()}).prepare()
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' <- '.join(error.args[1])}")


def test_only_the_commands_know_tasks_and_arms():
    wrong = [f"{name} imports {target}" for name in modules() for target in own_imports(name)
             if target.split(".")[0] in OWN[1:] and name.split(".")[0] != target.split(".")[0]
             and not name.startswith("benchmark.cli")]
    assert not wrong, "\n".join(wrong)
    assert {"tasks", "baselines"} <= own_imports("benchmark.cli.context")


def test_the_walk_sees_what_it_is_to_find():
    assert "benchmark.train.execute" in own_imports("benchmark.runner.worker"), "an import inside a function"
    assert "benchmark.train.execute" not in own_imports("benchmark.runner.worker", everywhere=False)
    assert "benchmark.model.encoder" not in own_imports("benchmark.spec.contracts"), "a type-only import"
    assert "torch" in set(imports_of("benchmark.train.loop", everywhere=False))


def chain_to_torch(name: str) -> list[str] | None:
    """How importing `name` comes to import torch, or None where it does not."""
    chains = [[name]]
    seen = {name}
    for chain in chains:  # which grows, the shortest first
        parents = {chain[-1].rsplit(".", cut)[0] for cut in range(1, chain[-1].count(".") + 1)}
        for target in sorted({*imports_of(chain[-1], everywhere=False), *parents}):
            if target.split(".")[0] in ("torch", "torchvision", "torchaudio", "timm", "safetensors"):
                return [*chain, target]
            if target in modules() and target not in seen:
                seen.add(target)
                chains.append([*chain, target])
    return None


LIGHT = [name for name in modules() if name in ("tasks", "baselines")
         or name.removeprefix("benchmark.").startswith(WITHOUT_TORCH)]


@pytest.mark.parametrize("name", LIGHT)
def test_light_modules_name_no_torch(name):
    chain = chain_to_torch(name)
    assert chain is None, f"{name} must not import torch: {' -> '.join(chain)}"


def run_python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=ROOT,
                          check=False)


def test_importing_the_light_modules_imports_no_torch():
    """What the walk over syntax trees cannot see: third-party packages that import torch themselves."""
    program = ("import importlib, sys\n"
               "for name in sys.argv[1:]:\n"
               "    importlib.import_module(name)\n"
               "    if 'torch' in sys.modules:\n"
               "        sys.exit(f'{name} imports torch')\n")
    assert len(LIGHT) > 15
    done = run_python(program, *LIGHT)
    assert done.returncode == 0, done.stderr


COMMANDS = (["--help"], ["list"], ["info", "imagenet"], ["status", "--matrix", "full"])


HEAVY = {"torch", "numpy", "pandas", "scipy", "matplotlib", "jinja2", "rich", "PIL"}
MOST_MODULES = 500  # a thousandth of a second each; pandas alone brings as many


def call(arguments: list[str]) -> list[str]:
    """Call the command in a process of its own; the modules that this imported."""
    program = ("import sys\n"
               "from benchmark.cli.main import main\n"
               "try:\n"
               "    code = main(sys.argv[1:])\n"
               "except SystemExit as done:\n"
               "    code = done.code\n"
               "print(code or 0, *sys.modules, file=sys.stderr)\n")
    done = run_python(program, *arguments)
    code, *loaded = done.stderr.split()
    assert code == "0"
    assert done.stdout
    return loaded


def test_a_plan_with_a_task_of_ones_own_waits_for_no_timm(plugins, tmp_path):
    """The file of a task imports torch and our building blocks; timm takes longer than both, and plans build no model."""
    loaded = call(["run", "--matrix", "smoke", "-t", "waveforms", "--arm", "scratch", "--plugins", str(plugins), "--dry-run",
                   "--results", str(tmp_path)])
    assert "sixth_task" in loaded
    assert "timm" not in loaded


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_looking_at_things_loads_little(arguments, tmp_path):
    """What makes it slow to start is what it imports; that is counted, as seconds are the machine's."""
    if "--matrix" in arguments:
        arguments = [*arguments, "--results", str(tmp_path)]
    loaded = call(arguments)
    assert not HEAVY.intersection(loaded)
    assert len(loaded) < MOST_MODULES


def test_results_are_read_where_only_the_light_requirements_are_installed(tmp_path):
    """`pip install .` without the extra `run` brings none of these."""
    store = Store(tmp_path)
    store.prepare()
    for record in make_matrix(["imagenet"], ["audio"], range(2), scratch=False):
        store.save(record)
    program = ("import sys\n"
               "class Refuse:\n"
               "    def find_spec(self, name, path=None, target=None):\n"
               "        if name.split('.')[0] in ('torch', 'torchvision', 'torchaudio', 'timm', 'open3d', 'trimesh',\n"
               "                                  'sklearn', 'safetensors', 'soundfile', 'av', 'h5py', 'numba'):\n"
               "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
               "sys.meta_path.insert(0, Refuse())\n"
               "from benchmark.cli.main import main\n"
               "sys.exit(main(sys.argv[1:]))\n")
    for arguments in (["report", "--only", "matrix,claims,provenance"], ["status"], ["run", "--dry-run"]):
        done = run_python(program, *arguments, "--results", str(tmp_path))
        assert done.returncode == 0, done.stderr
    assert "top" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    refused = run_python(program, "run", "--matrix", "smoke", "--results", str(tmp_path / "new"))
    assert refused.returncode == 2
    assert refused.stderr.startswith("benchmark: training needs packages that are not installed (torch); pip install ")
    assert refused.stderr.count("\n") == 1


def test_a_report_is_made_without_torch(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    for record in make_matrix(["imagenet"], ["audio"], range(2), scratch=False):
        store.save(record)
    assert "torch" not in call(["report", "--results", str(tmp_path)])
    assert (tmp_path / "report" / "report.md").is_file()
