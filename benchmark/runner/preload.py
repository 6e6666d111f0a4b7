"""Jobs in, out what is imported once for all of them, by the server that forks their processes. No torch."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.plan.matrix import Job
from benchmark.provenance.code import reachable_code

ALWAYS = ["benchmark.train.stack", "tasks", "baselines"]
FIRST, LAST = "benchmark.runner.collect_later", "benchmark.runner.collect_again"
TASKS = "tasks"  # our own; a plugin is imported by its runs alone, as what it does is their affair


def preloaded(jobs: Iterable[Job]) -> list[str]:
    """Modules: the engine, and those of the tasks that are to be carried out, whose libraries take their time, too."""
    roots = {name for job in jobs for name in (type(job.task).__module__, job.task.profiles[job.spec.profile].reader)
             if name and is_ours(name)}
    return in_order([*ALWAYS, *sorted(module for module, _ in reachable_code(roots) if is_ours(module))])


def in_order(modules: Iterable[str]) -> list[str]:
    """With what spares a quarter of the time that imports take: no search for garbage between them."""
    return [FIRST, *modules, LAST]


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == TASKS
