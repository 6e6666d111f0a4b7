"""A name in, what is known of it as values that JSON has out: what `list --json` and `info --json` print. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from benchmark.evidence.claims import Judgement, load_claims
from benchmark.plan.declared import fault_of_metrics
from benchmark.plan.study import Study
from benchmark.plan.variants import load_variants
from benchmark.spec.contracts import Arm, Task


def names_of(kind: str, tasks: Mapping[str, Task], arms: Mapping[str, Arm], study: Study) -> list[str]:
    """Every name of a kind: tasks, arms, matrices, variants or claims."""
    known = {"tasks": lambda: list(tasks), "arms": lambda: list(arms), "matrices": lambda: list(study.matrices),
             "variants": lambda: list(load_variants(study)), "claims": lambda: [claim.id for claim in load_claims(study)]}
    return known[kind]()


def facts_of(name: str, tasks: Mapping[str, Task], arms: Mapping[str, Arm], study: Study, profile: str | None = None,
             judged: Mapping[str, Judgement] | None = None) -> dict[str, Any]:
    """Of a known name; "kind" says what it is the name of. Of a task under a profile (None: tiny, or the first it has)."""
    if name in tasks:
        return _of_task(tasks[name], profile)
    if name in arms:
        arm = arms[name]
        return {"kind": "arm", "name": name, "summary": arm.summary, "source": arm.source, "settings": arm.settings,
                "uses_auxiliary": arm.uses_auxiliary, "is_baseline": arm.is_baseline,
                "is_method": arm.is_method and not arm.is_baseline, "rivals": arm.rivals,
                "options": arm.model_dump(mode="json")}
    if name in study.matrices:
        return {"kind": "matrix", **study.matrices[name].model_dump(mode="json")}
    variants = load_variants(study)
    if name in variants:
        return {"kind": "variant", **variants[name].model_dump(mode="json")}
    claim = next(claim for claim in load_claims(study) if claim.id == name)
    verdict = (judged or {}).get(name)
    # What the claim is of is its own "kind", too.
    return {**claim.model_dump(mode="json"), "of": claim.kind, "kind": "claim",
            **({"verdict": verdict.verdict, "reason": verdict.reason} if verdict else {})}


def _of_task(task: Task, profile: str | None) -> dict[str, Any]:
    profile = profile or ("tiny" if "tiny" in task.profiles else next(iter(task.profiles)))
    if fault := fault_of_metrics(task):
        raise ValueError(f"task {task.name}: {fault}")
    spec = task.profiles[profile]
    return {"kind": "task", "name": task.name, "summary": task.summary, "modality": task.modality,
            "pretrained_by": task.pretrained_by, "metrics": [asdict(metric) for metric in task.metrics],
            "sources": sorted(task.sources), "profiles": list(task.profiles), "profile": profile,
            "data_sets": spec.data_sets, "num_classes": spec.num_classes, "chance": spec.chance,
            "shortcuts": dict(spec.shortcuts or {}), "shape": spec.shape.model_dump(mode="json"),
            "pretrain": None if task.pretrained_by else spec.pretrain.model_dump(mode="json"),
            "train": {setting: recipe.model_dump(mode="json") for setting, recipe in spec.train.items()}}
