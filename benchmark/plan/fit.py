"""A plan in; whether blocks that are to be joined or loaded have one shape, and which runs will have no baseline, said before
anything is trained. No torch."""

from __future__ import annotations

from collections.abc import Collection

from benchmark.plan.matrix import Plan
from benchmark.spec.runspec import RunSpec

SHARED = ("depth", "embed_dim", "num_heads", "mlp_ratio")  # of a shape: what blocks must have in common


def check_blocks(plan: Plan) -> None:
    """Raises `ValueError` naming the first run whose blocks differ from those that it starts from in depth, width or heads."""
    for job in plan.jobs:
        shapes = [*((role, run.shape) for role, run in job.needs), *((role, file.shape) for role, file in job.files)]
        for role, shape in shapes:
            wrong = [name for name in SHARED if getattr(job.spec.shape, name) != getattr(shape, name)]
            if wrong:
                ours, theirs = (", ".join(f"{name} {getattr(each, name):g}" for name in wrong)
                                for each in (job.spec.shape, shape))
                fields = " and ".join(f"shape.{name}" for name in wrong)
                raise ValueError(f"{job.spec.cell} has blocks of {ours}, and its {role} of {theirs}: they are joined one "
                                 f"to one, so set {fields} alike, for every task or for none")


def without_baseline(plan: Plan, held: Collection[RunSpec] = ()) -> list[RunSpec]:
    """The plan's trainings that no baseline of their seed can be compared with, neither of the plan nor of those `held`."""
    baselines = {(spec.comparison, spec.seed) for spec in (*plan.specs, *held) if spec.role == "baseline"}
    return [spec for spec in plan.specs if spec.kind == "train" and spec.role != "baseline"
            and (spec.comparison, spec.seed) not in baselines]
