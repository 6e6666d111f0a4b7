"""A computation that several processes of this machine share in, what the first of them made of it out.

The processes are children of this one, which computes nothing: where one is killed or fails, it ends the others, which
would wait for ever, and says which it was; where it ends itself, they end, too. No torch before they start.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from benchmark.spec.runspec import Report

Outcome = TypeVar("Outcome")
LINGER_S = 3.0  # to learn of a process that was killed, from which others have heard before
LEAVE_S = 60.0  # for the others to end after the first has


class ProcessLost(RuntimeError):
    """One of the processes of a run was ended from outside."""


class Elsewhere(Exception):
    """The traceback of another process, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def compute_together(size: int, compute: Callable[[int, str, Report], Outcome], report: Report) -> Outcome:
    """Let `size` processes `compute` with their rank, a file to meet at, and what to report by; what the first returns.

    Raises `ProcessLost` where one of them is ended by a signal or ends by itself, and what one of them raises. SIGTERM is
    passed on to all.
    """
    context = multiprocessing.get_context("fork")  # so that what is to be computed need not be pickled
    with tempfile.TemporaryDirectory(prefix="together-") as folder:
        watched, held = os.pipe()
        processes, connections = [], []
        try:
            for rank in range(size):
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_take_part, name=f"process {rank + 1} of {size}", daemon=False,
                                          args=(compute, rank, str(Path(folder, "meeting")), theirs, watched, held))
                process.start()
                theirs.close()
                processes.append(process)
                connections.append(ours)
            with _terminating(processes):
                outcome: Outcome = _listen(processes, connections, report)
            deadline = time.monotonic() + LEAVE_S
            for process in processes:
                process.join(max(0.0, deadline - time.monotonic()))
            return outcome
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.join()
            for end in (watched, held):
                os.close(end)


@contextmanager
def _terminating(processes: Sequence[Any]) -> Iterator[None]:
    """Pass SIGTERM on, which leaves a checkpoint."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return

    def pass_on(number: int, frame: Any) -> None:
        for process in processes:
            process.terminate()

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _listen(processes: Sequence[Any], connections: Sequence[Connection], report: Report) -> Any:
    """What the first process returns."""
    open_ends = {id(connection): connection for connection in connections}
    while True:
        wait([*open_ends.values(), *(process.sentinel for process in processes if process.exitcode is None)])
        for connection in list(open_ends.values()):
            try:
                while connection.poll():
                    kind, *content = connection.recv()
                    if kind == "epoch":
                        report(*content)
                    elif kind == "failed":
                        _say_who_is_lost(processes, LINGER_S)
                        error, trace = content
                        raise error from Elsewhere(trace)
                    else:
                        return content[0]
            except EOFError:
                del open_ends[id(connection)]
        _say_who_is_lost(processes, 0.0)
        if not open_ends:
            raise ProcessLost("the processes of a run have ended without a result")


def _say_who_is_lost(processes: Sequence[Any], seconds: float) -> None:
    """Raise `ProcessLost` where one ended by a signal, or without a word, within this time."""
    until = time.monotonic() + seconds
    while True:
        for process in processes:
            if process.exitcode is not None and process.exitcode != 0:
                if process.exitcode < 0:
                    name = signal.Signals(-process.exitcode).name
                    how = f"ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
                else:
                    how = f"ended with exit code {process.exitcode} and no result"
                raise ProcessLost(f"{process.name} of this run was {how}, and the others were stopped; run again, it goes on "
                                  "from its last checkpoint, with any number of processes")
        if time.monotonic() >= until:
            return
        time.sleep(0.05)


def _take_part(compute: Callable[[int, str, Report], Any], rank: int, meeting: str, connection: Connection, watched: int,
               held: int) -> None:
    """One process: its outcome is sent, or what it raises."""
    os.close(held)
    threading.Thread(target=_end_with_parent, args=(watched,), daemon=True).start()

    def report(done: int, total: int, text: str) -> None:
        if rank == 0:
            connection.send(("epoch", done, total, text))

    try:
        outcome = compute(rank, meeting, report)
        if rank == 0:
            connection.send(("done", outcome))
    except BaseException as error:  # whatever a task or an arm raises belongs to this run alone
        trace = traceback.format_exc()
        with suppress(OSError):
            connection.send(("failed", _portable(error), trace))
        signal.pause()  # until the others are stopped, too: one that has gone first would be taken for the cause
    connection.close()


def _end_with_parent(watched: int) -> None:
    os.read(watched, 1)  # ends when the parent, which alone holds the other end, has gone
    os._exit(1)


def _portable(error: BaseException) -> BaseException:
    """The error, or one like it where it cannot be pickled"""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
