"""Jobs in, out what the server that forks their processes has: its environment, and what it imports once for all. No torch."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.plan.matrix import Job
from benchmark.provenance.code import reachable_code

ALWAYS = ["benchmark.train.stack", "tasks", "baselines"]
FIRST, LAST = "benchmark.runner.collect_later", "benchmark.runner.collect_again"
TASKS = "tasks"  # our own; a plugin is imported by its runs alone, as what it does is their affair

# Keep freed memory: small models spend a tenth of their time on returning it to the kernel and asking for it again.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "2000000000",
             "MALLOC_TOP_PAD_": "268435456"}
# How often a thread looks for work before it sleeps. Left alone it looks for milliseconds, in which a busy core would have done
# other work: beside two programs on two cores a small model's step on two threads took forty times as long as on one. With
# this number it took four times as long (GNU's OpenMP, which torch's packages for Linux bring); on idle cores it lost nothing.
SPIN = {"GOMP_SPINCOUNT": "10000"}
CUBLAS = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # without it, matrix products on a GPU are not deterministic


def environment(threads: int) -> dict[str, str]:
    """What processes of so many threads each are started with"""
    return {"OMP_NUM_THREADS": str(threads), **ALLOCATOR, **SPIN, **CUBLAS}


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
