"""Planned runs in, those out that are trained as one: which fit a stack, which are alike, and when all of them can start.

No torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from benchmark.plan.matrix import Job
from benchmark.spec.runspec import RunSpec

Key = tuple[object, ...]


def why_alone(spec: RunSpec) -> str:
    """Why a run cannot be trained in a stack, in a few words; "" where it can."""
    recipe = spec.recipe
    reasons = {
        "LARS has a rate for every weight of a model": recipe.optimizer != "adamw",
        "a loss that is scaled for fp16 has a factor for every model": recipe.precision == "fp16",
        "an average of weights follows one model": getattr(recipe, "ema_decay", None) is not None,
        "a block that is computed again keeps no activations of a stack": bool(recipe.checkpoint_blocks)}
    return next((reason for reason, holds in reasons.items() if holds), "")


def stack_key(spec: RunSpec) -> Key | None:
    """What runs of one stack share: everything but arm, auxiliary, seed and the rate of scales; None for one that is alone."""
    fold = spec.recipe.augment.get("fold")  # seeds of other folds are tested on other samples
    return None if why_alone(spec) else (spec.kind, spec.task, spec.comparison, fold)


class Stacks:
    """The runs of a plan by what they share, and how many places each is to have."""

    def __init__(self, jobs: Iterable[Job], places: int):
        self.keys = {job.spec.run_id: stack_key(job.spec) if places > 1 else None for job in jobs}
        self.places = places
        self.room: dict[str, int] = {}  # of runs that are to have fewer neighbours than places, or none (0)

    def room_of(self, job: Job) -> int:
        """How many runs may be trained together with this one, itself included; 0: it is alone."""
        return self.room.get(job.spec.run_id, self.places) if self.keys[job.spec.run_id] is not None else 0

    def gathered(self, startable: Sequence[Job], waiting: Sequence[Job]) -> Job | None:
        """The first run that has no others to wait for: all that are like it can start, or as many as have places."""
        ready, all_of = (Counter(map(self._group, jobs)) for jobs in (startable, waiting))
        return next((job for job in startable if not self.room_of(job) or ready[self._group(job)] in (
            all_of[self._group(job)], *range(self.room_of(job), len(startable) + 1))), None)

    def stack_of(self, job: Job, startable: Iterable[Job]) -> list[Job]:
        """Those of `startable` to train together with a run, itself first; none where it is alone."""
        room = self.room_of(job)
        others = [other for other in startable if other is not job and self._group(other) == self._group(job)]
        return [job, *others[: room - 1]] if room else []

    def _group(self, job: Job) -> Key:
        key = self.keys[job.spec.run_id]
        return (job.spec.run_id,) if key is None else (*key, self.room_of(job))
