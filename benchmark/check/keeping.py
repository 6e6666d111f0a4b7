"""A task in, the same out for a check of many steps, each of which reads its data."""

from __future__ import annotations

import copy
import functools

from benchmark.spec.contracts import Task


def keeping(task: Task) -> Task:
    """The task, which loads its data, and digests them, once: a data set of one's own may take minutes, and a check has some
    forty steps. `type(task).load(task, profile)` loads anew."""
    kept = copy.copy(task)
    for name in ("load", "data_digests"):
        kept.__dict__[name] = functools.cache(getattr(task, name))
    return kept
