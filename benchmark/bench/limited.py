"""Measurements in, each carried out in a process of its own that is ended at its time limit; what came until then is kept."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from benchmark.bench.measure import Bench, Result
from benchmark.bench.run import MEASUREMENTS, tell
from benchmark.runner.preload import ALWAYS, in_order

# Of a GPU of 80 GB: seconds for each, 360 in all; what is not done by then was never going to be.
GPU_LIMITS = {"check": 40.0, "optimizer": 30.0, "points": 20.0, "steps": 90.0, "tiny": 50.0, "stack": 40.0,
              "inference": 15.0, "trainer": 15.0, "memory": 20.0, "smoke": 40.0}
ELSE_LIMIT = 1800.0  # of what is asked for by name
LEAST_SECONDS = 5.0  # with less left, nothing is begun


def run_limited(bench: Bench, limits: Mapping[str, float], total: float, say: Callable[[str], None],
                keep: Callable[[list[Result], dict[str, str]], object]) -> tuple[list[Result], dict[str, str]]:
    """Carry out the measurements named in `limits` (seconds), in `total` seconds at most.

    `keep` is called with all results, and reasons by name of what was not measured, whenever there is more to keep.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(in_order([*ALWAYS, "sklearn.metrics", "benchmark.bench.run"]))
    found: list[Result] = []
    missing: dict[str, str] = {}
    deadline = time.monotonic() + total
    for number, (name, limit) in enumerate(limits.items(), 1):
        left = deadline - time.monotonic()
        if left < LEAST_SECONDS:
            missing[name] = "not begun: no time was left"
        else:
            limit = min(limit, left)
            say(f"{number} of {len(limits)}: {name}, for at most {limit:.0f} s, {left:.0f} s left in all")
            began = time.monotonic()
            reason = _carry_out(context, bench, name, limit, lambda result: _take(result, found, missing, say, keep))
            if reason is not None:
                missing[name] = f"{reason} after {time.monotonic() - began:.0f} s"
        if name in missing:
            say(f"{name}: {missing[name]}")
            keep(found, missing)
    return found, missing


def _take(result: Result, found: list[Result], missing: dict[str, str], say: Callable[[str], None],
          keep: Callable[[list[Result], dict[str, str]], object]) -> None:
    found.append(result)
    say(f"  {tell(result)}")
    keep(found, missing)


def _carry_out(context: Any, bench: Bench, name: str, limit: float, take: Callable[[Result], None]) -> str | None:
    """Why a measurement was not finished, or None"""
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(name, bench, send))
    ends = time.monotonic() + limit
    process.start()
    send.close()
    try:
        while receive.poll(max(0.0, ends - time.monotonic())):
            message = receive.recv()
            if not isinstance(message, Result):
                return message  # type: ignore[no-any-return]
            take(message)
        return "ended at its time limit"
    except EOFError:
        process.join()
        return f"its process ended with exit code {process.exitcode}"
    finally:
        with suppress(ProcessLookupError):  # it is gone, or had no group of its own yet
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()


def _measure(name: str, bench: Bench, send: Connection) -> None:
    """Sends each result, then None, or in one line why there are no more."""
    os.setsid()  # so that what it starts ends with it
    try:
        for result in MEASUREMENTS[name](bench):
            send.send(result)
        send.send(None)
    except Exception as error:  # whatever it is, it belongs to this measurement alone
        traceback.print_exc()
        send.send(f"failed ({type(error).__name__}: {' '.join(str(error).split())[:300]})")
