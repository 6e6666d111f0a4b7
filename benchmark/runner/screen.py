"""Events of a matrix in, something to watch out: a live grid on a terminal, plain lines elsewhere, and lines in a log."""

from __future__ import annotations

import io
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from benchmark.runner.pool import Event
from benchmark.runner.progress import View, clock
from benchmark.spec.runspec import RunSpec

GLYPHS = {"kept": ("✓", "dim"), "done": ("✓", "green"), "started": ("▸", "yellow"), "waiting": ("·", "dim"),
          "elsewhere": ("⋯", "cyan"), "failed": ("✗", "bold red")}
MEANING = {"kept": "was there", "done": "done", "started": "running", "waiting": "to come", "elsewhere": "another runner's",
           "failed": "failed"}
FEW = 6  # runs of a cell, of which each has a sign of its own
SHOWN = 8  # running ones, a line each


class Grid(View):
    """Targets by arms, a line for each running run, and a bar."""

    def draw(self, width: int) -> Group:
        """What is shown on a screen of so many columns."""
        parts: list[RenderableType] = [self.table(width), *self.running(width), self.bar(width)]
        parts += [Text(self.awaited(), "italic", no_wrap=True, overflow="ellipsis")] if self.awaited() else []
        return Group(*parts)

    def table(self, width: int) -> Group:
        """A sign for each run where they have room, else counts; then also with arms without an auxiliary in one column."""
        apart, together = self._rows(lambda spec: spec.arm or ""), self._rows(lambda spec: "no auxiliary")
        signs, counts = (self._signs, self._legend), (self._counts, self._legend_of_counts)
        few = all(len(specs) <= FEW for row in apart.values() for specs in row.values())
        for rows, (cell, legend) in (*[(apart, signs)] * few, (apart, counts), (together, counts)):
            columns = list(dict.fromkeys(column for row in rows.values() for column in row))
            table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
            table.add_column("target", no_wrap=True)
            for column in columns:
                table.add_column(Text(column), no_wrap=True)
            for name, row in rows.items():
                table.add_row(Text(name), *(cell(row.get(column, [])) for column in columns))
            console = Console(width=1000)
            shown = Group(table, legend())
            if Measurement.get(console, console.options, table).maximum <= width:
                break
        return shown

    def _rows(self, plain: Callable[[RunSpec], str]) -> dict[str, dict[str, list[RunSpec]]]:
        """By target and column: the auxiliary, pretraining, or what `plain` says of a training without an auxiliary"""
        rows: dict[str, dict[str, list[RunSpec]]] = defaultdict(lambda: defaultdict(list))
        for spec in self.specs:
            column = spec.auxiliary or ("pretraining" if spec.kind == "pretrain" else plain(spec))
            rows[spec.modality if spec.kind == "pretrain" else spec.task][column].append(spec)
        return rows

    def _signs(self, specs: Sequence[RunSpec]) -> Text:
        text = Text()
        for spec in specs:
            glyph, style = GLYPHS[self.states[spec.run_id]]
            text.append(glyph, style)
        return text

    def _counts(self, specs: Sequence[RunSpec]) -> Text:
        """ "12/18 ▸1 ✗2" """
        if not specs:
            return Text()
        counts = Counter(self.states[spec.run_id] for spec in specs)
        finished = counts["kept"] + counts["done"]
        text = Text(f"{finished}/{len(specs)}", "green" if finished == len(specs) else "")
        for state in ("started", "elsewhere", "failed"):
            if counts[state]:
                text.append(f" {GLYPHS[state][0]}{counts[state]}", GLYPHS[state][1])
        return text

    def _legend(self) -> Text:
        """Of what is to be seen"""
        here = set(self.states.values())
        return self._explained([state for state in GLYPHS if state in here])

    def _legend_of_counts(self) -> Text:
        here = set(self.states.values())
        return Text("done/all", "dim").append("  ").append_text(
            self._explained([state for state in ("started", "elsewhere", "failed") if state in here]))

    def _explained(self, states: Sequence[str]) -> Text:
        text = Text()
        for state in states:
            text.append(GLYPHS[state][0], GLYPHS[state][1]).append(f" {MEANING[state]}  ", "dim")
        return text

    def running(self, width: int) -> Iterator[Text]:
        """One line a running run: which, its epoch, what it told, and since when"""
        running = [spec for spec in self.specs if self.states[spec.run_id] == "started"]
        for spec in running[:SHOWN]:
            done, total, told = self.epochs.get(spec.run_id, (0, 0, "begins"))
            epoch = f"epoch {done}/{total}  " if total else ""
            since = clock(self.elapsed - (self.started[spec.run_id] - self.began))
            name, rest = f"▸ {spec.cell} seed {spec.seed}", f"  {epoch}{told}  {since}"
            room = max(16, width - len(rest))
            name = name if len(name) <= room else f"{name[: room - 1]}…"
            yield Text(f"{name}{rest}", "yellow", no_wrap=True, overflow="ellipsis")
        if len(running) > SHOWN:
            yield Text(f"  and {len(running) - SHOWN} more", "yellow")

    def bar(self, width: int) -> RenderableType:
        """How far all is, and how long the rest takes"""
        line = Text(self.line(), no_wrap=True, overflow="ellipsis")
        room = width - line.cell_len - 1
        bar = ProgressBar(total=max(len(self.states), 1), completed=self.finished(),
                          width=min(room if room >= 20 else width, 40))
        if room < 20:
            return Group(bar, line)
        table = Table.grid(padding=(0, 1))
        table.add_row(bar, line)
        return table


class LineView(View):
    """Prints a line when a run ends, for logs and pipes, and one at first that says what is being waited for."""

    def __init__(self, specs: tuple[RunSpec, ...], jobs: int, say: Callable[[str], None]):
        super().__init__(specs, jobs)
        self.say = say
        self.begun = False

    def take(self, event: Event) -> None:
        stops = event.kind == "stopping" and not self.stopping
        super().take(event)
        if stops or (event.kind == "started" and not self.begun):
            self.begun = True
            self.say(f"[{self.line()}] {self.awaited()}")
        if text := self.tell(event):
            self.say(f"[{self.line()}] {event.spec.cell} seed {event.spec.seed} {text}")

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


@contextmanager
def watch(specs: tuple[RunSpec, ...], jobs: int, verbose: bool = False, quiet: bool = False,
          log: io.TextIOBase | None = None, screen: TextIO | None = None) -> Iterator[View]:
    """A `View` whose events show as they come: give it each event through `take`.

    `verbose`: a line for every epoch, too, also on a terminal. `quiet`: nothing is shown. `log`: takes a line for every epoch.
    `screen`: where all others go (None: standard output).
    """
    console = Console(file=screen)

    def say_on(text: str) -> None:
        out = screen or sys.stdout
        try:
            print(text, file=out, flush=True)
        except BrokenPipeError:  # the reader has gone, as `head` does, which is no reason to stop training
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())

    view: View
    if quiet:
        view = View(specs, jobs)
    elif verbose:
        view = EpochView(specs, jobs, say_on)
    elif console.is_terminal:
        view = Grid(specs, jobs)
    else:
        view = LineView(specs, jobs, say_on)
    if log is not None:
        _log_too(view, EpochView(specs, jobs, lambda text: print(text, file=log, flush=True)))
    if isinstance(view, Grid):
        with Live(get_renderable=lambda: view.draw(console.width), console=console, refresh_per_second=2, transient=False):
            yield view
    else:
        yield view


def _log_too(view: View, logged: EpochView) -> None:
    show = view.take

    def take(event: Event) -> None:
        logged.take(event)
        show(event)

    view.take = take  # type: ignore[method-assign]
