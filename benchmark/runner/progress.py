"""Events of a matrix in, its state out: which runs are done, running and to come, and about how long the rest takes."""

from __future__ import annotations

import time
from collections import Counter, defaultdict

from benchmark.runner.pool import Event
from benchmark.spec.runspec import RunSpec

FINISHED = ("kept", "done", "failed")


def clock(seconds: float) -> str:
    """ "1:02:03" """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"


class View:
    """State of every run of a plan, with an estimate of the time left."""

    def __init__(self, specs: tuple[RunSpec, ...], jobs: int):
        self.specs, self.jobs = specs, jobs
        self.began = time.monotonic()
        self.states = {spec.run_id: "waiting" for spec in specs}
        self.epochs: dict[str, tuple[int, int, str]] = {}  # done, all, and what was told after the last
        self.started: dict[str, float] = {}
        self.sharing: dict[str, int] = {}  # runs that the run's process trains
        self.alone: list[Event] = []
        self.durations: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.stopping = False

    def take(self, event: Event) -> None:
        """Note one event."""
        run_id = event.spec.run_id
        if event.kind == "epoch":
            self.epochs[run_id] = event.done, event.total, event.text
            return
        if event.kind == "stopping":
            self.stopping = True
            return
        self.states[run_id] = "waiting" if event.kind in ("alone", "again") else event.kind
        if event.kind == "started":
            self.started[run_id] = time.monotonic()
            self.sharing[run_id] = event.sharing
        elif event.kind == "alone":
            self.alone.append(event)
            self.epochs.pop(run_id, None)
        elif event.kind == "done":
            self.durations[event.spec.kind, event.spec.task].append(event.seconds)

    @property
    def elapsed(self) -> float:
        """Seconds since the start"""
        return time.monotonic() - self.began

    def count(self, *states: str) -> int:
        """How many runs are in one of `states`."""
        return sum(state in states for state in self.states.values())

    def fraction(self, spec: RunSpec) -> float:
        """Of its epochs, those that are done"""
        done, total, _ = self.epochs.get(spec.run_id, (0, 1, ""))
        return done / total

    def finished(self) -> float:
        """Runs that are, and parts of those that are running"""
        return self.count(*FINISHED) + sum(self.fraction(spec) for spec in self.specs if self.states[spec.run_id] == "started")

    def seconds_left(self) -> float | None:
        """From finished runs of the same kind and task, and from how far the running ones are; None before any."""
        known = {key: sum(values) / len(values) for key, values in self.durations.items()}
        for spec in self.specs:
            fraction = self.fraction(spec)
            if self.states[spec.run_id] == "started" and fraction > 0:
                spent = time.monotonic() - self.started[spec.run_id]
                known.setdefault((spec.kind, spec.task), spent / fraction / self.sharing[spec.run_id])
        if not known:
            return None
        typical = sum(known.values()) / len(known)
        left = sum(known.get((spec.kind, spec.task), typical) * (1 - self.fraction(spec))
                   for spec in self.specs if self.states[spec.run_id] in ("waiting", "started"))
        return left / self.jobs

    def line(self) -> str:
        """One line on where the matrix stands."""
        left = self.seconds_left()
        finished = self.count(*FINISHED)
        failed = self.count("failed")
        parts = [f"{finished}/{len(self.states)} runs", f"{self.count('started')} running"]
        parts += [f"{failed} failed"] if failed else []
        parts += [f"{clock(self.elapsed)} elapsed"]
        parts += [f"about {clock(left)} left"] if left is not None and finished < len(self.states) else []
        return ", ".join(parts)

    def awaited(self) -> str:
        """What is being waited for where nothing moves yet; "" where something does"""
        if self.stopping:
            return "stopping: what is running leaves a checkpoint after its step; Ctrl-C again ends it at once"
        states = Counter(self.states.values())
        if self.epochs or states["done"]:
            return ""
        if states["started"]:
            return "the first runs read their data and train; each tells of its epochs as they end"
        if states["elsewhere"]:
            return "other runners have these runs; what they leave is taken over"
        return "loading torch and the engine, which takes some seconds" if states["waiting"] else ""
