"""A time limit and how long runs take in, whether a run may begin out: from recorded runs, and from what is seen meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from benchmark.evidence.lengths import expected_length, known_lengths, length_of
from benchmark.records.record import Record
from benchmark.spec.plural import counted
from benchmark.spec.runspec import RunSpec

if TYPE_CHECKING:
    from benchmark.runner.pool import Event

STOPPING = 0.03  # share of the limit that is kept for runs to leave their checkpoints, ...
STOPPING_S = 10.0  # ... and at most so many seconds


class Budget:
    """The seconds that a command may take, from now on."""

    def __init__(self, seconds: float, records: Iterable[Record]):
        self.seconds = seconds - min(STOPPING_S, STOPPING * seconds)
        self.began = time.monotonic()
        self.known = known_lengths(records)
        self.seen: dict[tuple[object, ...], float] = {}  # seconds of runs that are on their way
        self.started: dict[str, float] = {}
        self.sharing: dict[str, int] = {}

    @property
    def left(self) -> float:
        """Seconds until what is running has to stop"""
        return self.began + self.seconds - time.monotonic()

    def take(self, event: Event) -> None:
        """Learn from an event: how long a run took, or where none of its kind is known, how fast it goes."""
        run_id, key = event.spec.run_id, length_of(event.spec)
        if event.kind == "started":
            self.started[run_id], self.sharing[run_id] = time.monotonic(), event.sharing
        elif event.kind == "done":
            self.known.setdefault(key, []).append(event.seconds)
        elif event.kind == "epoch" and event.done and run_id in self.started:
            spent = (time.monotonic() - self.started[run_id]) / self.sharing[run_id]
            self.seen[key] = spent * event.total / event.done

    def forecast(self, spec: RunSpec) -> float | None:
        """Seconds of a run, or its share of those of a stack; None where no run of its kind has shown it."""
        key = length_of(spec)
        return self.seen[key] if key in self.seen and key not in self.known else expected_length(self.known, spec)

    def allows(self, spec: RunSpec, together: int = 1) -> bool:
        """Whether a run, or so many at once, may begin: they will be done in time, nobody knows, or no whole limit would do
        for one alone, so that it has to go on from checkpoint to checkpoint."""
        seconds = self.forecast(spec)
        return self.left > 0 and (seconds is None or together * seconds <= self.left or seconds > self.seconds)

    def tell_left(self, specs: Sequence[RunSpec], jobs: int) -> str | None:
        """What the next call has to do, of runs that this one did not finish; None where it finished all."""
        if not specs:
            return None
        begun = sum(spec.run_id in self.started for spec in specs)
        lengths = [self.forecast(spec) for spec in specs]
        known = [seconds for seconds in lengths if seconds is not None]
        about = f", about {timedelta(seconds=round(sum(known) / jobs))} from nothing" if known else ""
        unknown = f" and {len(specs) - len(known)} of unknown length" if known and len(known) < len(specs) else ""
        return (f"the time limit is reached: {counted(len(specs), 'run is', 'runs are')} left, {begun} of them with a "
                f"checkpoint if they finished a step{about}{unknown}; run the same command again to go on")
