"""A reproducibility benchmark of cross-modal re-parameterization (Multimodal Pathway, CVPR 2024).

As a library: the names of `__all__`, each loaded when it is first asked for, as some need torch (docs/library.md).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmark.api import load, make_plan, make_report, run
    from benchmark.evidence.stats import mean_interval, paired_difference
    from benchmark.model.connect import connect
    from benchmark.model.pathway import merge
    from benchmark.spec.contracts import Arm, Metric, ProfileSpec, Task

__version__ = "0.2.0"
__all__ = ["Arm", "Metric", "ProfileSpec", "Task", "connect", "load", "make_plan", "make_report", "mean_interval", "merge",
           "paired_difference", "run"]

_HOMES = {
    "benchmark.api": ("load", "make_plan", "make_report", "run"),
    "benchmark.evidence.stats": ("mean_interval", "paired_difference"),
    "benchmark.model.connect": ("connect",),
    "benchmark.model.pathway": ("merge",),
    "benchmark.spec.contracts": ("Arm", "Metric", "ProfileSpec", "Task"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'benchmark' has no name {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
