"""The command `status`: a results folder in, the state of its runs, or of those of a matrix, out. No torch."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from benchmark.cli.context import load_registry, make_plan
from benchmark.plan.matrix import Plan
from benchmark.provenance.currency import STATES, Judge, carried_note
from benchmark.records.record import names_under
from benchmark.records.store import Store


def show_status(options: argparse.Namespace, command: str) -> int:
    if options.matrix is None and not names_a_choice(options):
        return print_held(options)
    plan, store = make_plan(options)
    if options.json:
        print(json.dumps(states_of(plan, store), indent=1))
        return 0
    return print_states(plan, store)


def names_a_choice(options: argparse.Namespace) -> bool:
    """Whether the options choose runs, of a matrix that they do not name."""
    chosen = ("target", "aux", "arm", "setting", "seeds", "limit", "overrides", "variants", "start")
    return any(getattr(options, name) for name in chosen)


def print_held(options: argparse.Namespace) -> int:
    """What a results folder holds: how many runs of each cell are in each state."""
    from benchmark.evidence.inputs import standing_of

    store = Store(options.results or Path("results") / options.profile)
    tasks, arms = load_registry(options.plugins)
    judge = Judge.beside(store)
    records, unreadable = store.records()
    states: dict[str, Counter[str]] = {}
    for record in records:
        held = standing_of(record, tasks, arms, judge).state
        states.setdefault(record.spec.cell, Counter())[held] += 1
    for failure in store.failures():
        states.setdefault(failure.spec.cell, Counter())["failed"] += 1
    total = sum(states.values(), Counter[str]())
    if options.json:
        print(json.dumps({"folder": str(store.folder), "runs": total.total(), "states": total, "cells": states,
                          "unreadable": unreadable}, indent=1))
        return 0
    if not total and not unreadable:
        raise ValueError(f"no results in {store.folder}; run a matrix first, for example: benchmark run --matrix smoke, or "
                         "name one with --matrix to see its runs")
    width = max(map(len, states), default=0)
    for cell, counts in sorted(states.items()):
        print(f"{cell:<{width}}  {', '.join(f'{counts[state]} {state}' for state in STATES if counts[state])}")
    for line in unreadable:
        print(f"unreadable  {line}")
    print(f"{total.total()} runs of {len(states)} cells in {store.folder}: "
          + ", ".join(f"{total[state]} {state}" for state in STATES if total[state])
          + "; --matrix NAME shows which runs of a matrix are there and which are missing")
    return 0


def states_of(plan: Plan, store: Store) -> dict[str, object]:
    """The state of every planned run, as JSON has it."""
    standings = Judge.beside(store).of_plan(store, [(job.spec, job.code) for job in plan.jobs])
    runs = [{"run": spec.name, "cell": spec.cell, "seed": spec.seed, "state": standing.state, "detail": standing.detail}
            for spec, standing in zip(plan.specs, standings, strict=True)]
    return {"folder": str(store.folder), "states": Counter(standing.state for standing in standings), "runs": runs}


def print_states(plan: Plan, store: Store) -> int:
    """One line a cell with the state of each seed, then why some have none of today's, and how many are in each state."""
    headers = store.headers(names_under(store.folder))
    standings = Judge.beside(store).of_plan(store, [(job.spec, job.code) for job in plan.jobs], headers)
    cells: dict[str, list[str]] = {}
    notes: dict[str, list[str]] = {}
    for spec, standing in zip(plan.specs, standings, strict=True):
        cells.setdefault(spec.cell, []).append(f"{spec.seed}:{standing.state}")
        if standing.state == "failed":
            notes.setdefault(f"failed  {spec.name}: {standing.detail}", [])
        elif standing.state == "other code":
            notes.setdefault(f"other code  {standing.detail} changed since", []).append(spec.name)
    width = max(len(cell) for cell in cells)
    for cell, states in cells.items():
        print(f"{cell:<{width}}  {'  '.join(states)}")
    for note, names in notes.items():
        print(note + (f": {len(names)} runs, such as {names[0]}" if names else ""))
    planned = {spec.name for spec in plan.specs}
    for name, header in headers.items():
        if header.fault and name not in planned:
            print(f"unreadable  {name}/record.json: {header.fault}")
    counts = Counter(standing.state for standing in standings)
    print(f"{len(plan.jobs)} runs in {store.folder}: " + ", ".join(f"{counts[state]} {state}" for state in STATES
                                                                  if counts[state]))
    if note := carried_note(standings):
        print(note)
    return 0
