"""Events of a matrix in, something to watch out: a live grid on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from benchmark.runner.pool import Event
from benchmark.spec.runspec import RunSpec

GLYPHS = {"waiting": ("·", "dim"), "kept": ("✓", "dim"), "done": ("✓", "green"), "failed": ("✗", "bold red"),
          "started": ("▸", "yellow"), "elsewhere": ("⋯", "cyan")}


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
        self.fractions: dict[str, float] = {}
        self.started: dict[str, float] = {}
        self.sharing: dict[str, int] = {}  # runs that the run's process trains
        self.alone: list[Event] = []
        self.durations: dict[tuple[str, str], list[float]] = defaultdict(list)

    def take(self, event: Event) -> None:
        """Note one event."""
        run_id = event.spec.run_id
        if event.kind == "epoch":
            self.fractions[run_id] = event.done / event.total
            return
        self.states[run_id] = "waiting" if event.kind in ("alone", "again") else event.kind
        if event.kind == "started":
            self.started[run_id] = time.monotonic()
            self.sharing[run_id] = event.sharing
        elif event.kind == "alone":
            self.alone.append(event)
            self.fractions.pop(run_id, None)
        elif event.kind == "done":
            self.durations[event.spec.kind, event.spec.task].append(event.seconds)

    @property
    def elapsed(self) -> float:
        """Seconds since the start"""
        return time.monotonic() - self.began

    def count(self, *states: str) -> int:
        """How many runs are in one of `states`."""
        return sum(state in states for state in self.states.values())

    def seconds_left(self) -> float | None:
        """From finished runs of the same kind and task, and from how far the running ones are; None before any."""
        known = {key: sum(values) / len(values) for key, values in self.durations.items()}
        for spec in self.specs:
            fraction = self.fractions.get(spec.run_id, 0.0)
            if self.states[spec.run_id] == "started" and fraction > 0:
                spent = time.monotonic() - self.started[spec.run_id]
                known.setdefault((spec.kind, spec.task), spent / fraction / self.sharing[spec.run_id])
        if not known:
            return None
        typical = sum(known.values()) / len(known)
        left = sum(known.get((spec.kind, spec.task), typical) * (1 - self.fractions.get(spec.run_id, 0.0))
                   for spec in self.specs if self.states[spec.run_id] in ("waiting", "started"))
        return left / self.jobs

    def line(self) -> str:
        """One line on where the matrix stands."""
        left = self.seconds_left()
        finished = self.count("kept", "done", "failed")
        failed = self.count("failed")
        parts = [f"{finished}/{len(self.states)} runs", f"{self.count('started')} running"]
        parts += [f"{failed} failed"] if failed else []
        parts += [f"{clock(self.elapsed)} elapsed"]
        parts += [f"about {clock(left)} left"] if left is not None and finished < len(self.states) else []
        return ", ".join(parts)

    def grid(self) -> Table:
        """Targets by arms; one glyph a seed, and how far the running ones are."""
        rows: dict[str, dict[str, list[RunSpec]]] = defaultdict(lambda: defaultdict(list))
        for spec in self.specs:
            column = spec.auxiliary or ("pretraining" if spec.kind == "pretrain" else spec.arm or "")
            rows[spec.modality if spec.kind == "pretrain" else spec.task][column].append(spec)
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        table = Table(caption=Text(self.line()), caption_justify="left", box=None, pad_edge=False, padding=(0, 2))
        table.add_column("target")
        for column in columns:
            table.add_column(Text(column))
        for name, row in rows.items():
            table.add_row(Text(name), *(self._cell(row.get(column, [])) for column in columns))
        return table

    def _cell(self, specs: list[RunSpec]) -> Text:
        text = Text()
        for spec in specs:
            state = self.states[spec.run_id]
            glyph, style = GLYPHS[state]
            if state == "started":
                glyph += f"{self.fractions.get(spec.run_id, 0.0):.0%} "
            text.append(glyph, style)
        return text


@contextmanager
def watch(specs: tuple[RunSpec, ...], jobs: int, verbose: bool = False) -> Iterator[View]:
    """A `View` whose events show as they come: give it each event through `take`.

    `verbose`: a line for every epoch, too, also on a terminal.
    """
    console = Console()
    if verbose:
        yield EpochView(specs, jobs)
    elif console.is_terminal:
        progress = View(specs, jobs)
        with Live(get_renderable=progress.grid, console=console, refresh_per_second=2, transient=False):
            yield progress
    else:
        yield LineView(specs, jobs)


class LineView(View):
    """Prints a line when a run ends, for logs and pipes."""

    def take(self, event: Event) -> None:
        super().take(event)
        if text := self.tell(event):
            try:
                print(f"[{self.line()}] {event.spec.cell} seed {event.spec.seed} {text}", flush=True)
            except BrokenPipeError:  # the reader has gone, as `head` does, which is no reason to stop training
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def tell(self, event: Event) -> str:
        """What is said of an event; "" where nothing is"""
        told = {"done": f"done in {event.seconds:.0f} s", "again": f"failed: {event.text}, and is tried again",
                "alone": f"goes on alone: {event.text}", "failed": f"failed: {event.text}"}
        return told.get(event.kind, "")


class EpochView(LineView):
    """Prints a line when a run starts and after each epoch, too."""

    def tell(self, event: Event) -> str:
        """As of `LineView`"""
        if event.kind == "epoch":
            return f"epoch {event.done} of {event.total}: {event.text}"
        return "started" if event.kind == "started" else super().tell(event)
