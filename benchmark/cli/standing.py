"""The command `status`: a results folder in, the state of its runs, or of those of a matrix, out. No torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli.context import load_registry, make_plan, names_a_choice, not_there, refuse_inner
from benchmark.plan.matrix import Plan
from benchmark.provenance.currency import AGAIN, STATES, Judge, Standing, carried_note, doubts_of
from benchmark.records.headers import Header, spare_folders
from benchmark.records.record import names_under
from benchmark.records.store import Store
from benchmark.spec.plural import counted

if TYPE_CHECKING:
    from benchmark.runner.jobs import JobState

ALIVE = ("running", "queued")  # states of jobs that are shown instead of those of their runs


def show_status(options: argparse.Namespace, command: str) -> int:
    if options.matrix is None and not names_a_choice(options):
        return print_held(options)
    plan, store = make_plan(options)
    if options.json:
        print(json.dumps(states_of(plan, store), indent=1))
        return 0
    return print_states(plan, store)


def print_held(options: argparse.Namespace) -> int:
    """What a results folder holds: how many runs of each cell are in each state."""
    from benchmark.evidence.inputs import standings_of_headers

    store = Store(options.results or Path("results") / options.profile)
    tasks, arms = load_registry(options.plugins)
    judge = Judge.beside(store)
    headers = store.headers(names_under(store.folder))
    unreadable = [f"{store.folder}/runs/{name}/record.json: {header.fault}" for name, header in headers.items() if header.fault]
    states: dict[str, Counter[str]] = {}
    spares = spare_folders(headers)
    counting = {name: header for name, header in headers.items() if not header.fault and name not in spares}
    for name, standing in standings_of_headers(counting, tasks, arms, judge).items():
        states.setdefault(counting[name].cell, Counter())[standing.state] += 1
    for failure in store.failures():
        states.setdefault(failure.spec.cell, Counter())["failed"] += 1
    total = sum(states.values(), Counter[str]())
    doubts = doubts_of(store, headers, headers)
    alive = Counter[str](job.state for job in jobs_of(store).values() if job.state in ALIVE)
    if options.json:
        print(json.dumps({"folder": str(store.folder), "runs": total.total(), "states": total, "cells": states,
                          "unreadable": unreadable, "doubts": doubts, "spares": spares, "jobs": alive}, indent=1))
        return 0
    if alive:
        print("on Slurm, by runs: " + ", ".join(f"{alive[state]} {state}" for state in ALIVE if alive[state])
              + "; --matrix NAME says which and where")
        if not total and not unreadable:
            return 0
    if not total and not unreadable:
        refuse_inner(store.folder)
        raise ValueError(f"no results in {store.folder}{not_there(store.folder)}; run a matrix first, for example: "
                         "benchmark run --matrix smoke, or name one with --matrix to see its runs")
    width = max(map(len, states), default=0)
    for cell, counts in sorted(states.items()):
        print(f"{cell:<{width}}  {', '.join(f'{counts[state]} {state}' for state in STATES if counts[state])}")
    for line in (*(f"unreadable  {line}" for line in unreadable), *tell_doubts(doubts, store), *tell_spares(headers)):
        print(line)
    in_states = ", ".join(f"{total[state]} {state}" for state in STATES if total[state])
    print(f"{counted(total.total(), 'run')} of {counted(len(states), 'cell')} in {store.folder}{in_states and f': {in_states}'}"
          + "; --matrix NAME shows which runs of a matrix are there and which are missing")
    return 0


def tell_doubts(doubts: Mapping[str, Sequence[str]], store: Store) -> list[str]:
    """A line for each that `doubts_of` found, with what to do"""
    return [f"in doubt  {what}: {naming(names)}; what was recorded is kept: to compute it again, remove these folders below "
            f"{store.folder}/runs" for what, names in doubts.items()]


def naming(names: Sequence[str]) -> str:
    """The one run, or how many and one of them"""
    return names[0] if len(names) == 1 else f"{len(names)} runs, such as {names[0]}"


def tell_spares(headers: Mapping[str, Header], run_ids: Collection[str] | None = None) -> list[str]:
    """A line for each folder whose record does not count or is found by no `run`, with what to do; of these runs alone, where
    they are given"""
    spares = spare_folders(headers)
    found = []
    for name, header in headers.items():
        if header.fault or (run_ids is not None and header.run_id not in run_ids):
            continue
        counts = headers[spares.get(name, name)]
        if header.weights != counts.weights and header.code == counts.code:
            found.append(f"contradicts  {name}: has another result of the run of {spares[name]}, which counts; remove one")
        elif name in spares:
            found.append(f"not counted  {name}: has another record, or a copy, of the run of {spares[name]}; remove one")
        elif name != header.name and not name.endswith(f"-{header.run_id}"):  # as an earlier release may have called it
            found.append(f"called otherwise  {name}: has the record of {header.name}, by which `run` looks for it; rename it")
    return found


def states_of(plan: Plan, store: Store) -> dict[str, object]:
    """The state of every planned run, as JSON has it."""
    jobs = jobs_of(store)
    headers = store.headers(names_under(store.folder))
    standings = with_jobs(plan, Judge.beside(store).of_plan(store, [(job.spec, job.code) for job in plan.jobs], headers), jobs)
    runs = []
    planned = {spec.run_id for spec in plan.specs}
    for spec, standing in zip(plan.specs, standings, strict=True):
        run = {"run": spec.name, "cell": spec.cell, "seed": spec.seed, "state": standing.state, "detail": standing.detail}
        if (job := jobs.get(spec.run_id)) is not None and job.state in ALIVE:
            run |= {"job": job.job, "job_state": job.state, "node": job.node, "since": job.since,
                    "log": str(job.submission.log(job.index))}
        runs.append(run)
    return {"folder": str(store.folder), "states": Counter(standing.state for standing in standings),
            "doubts": doubts_of(store, [spec.name for spec in plan.specs], headers),
            "spares": {name: counts for name, counts in spare_folders(headers).items() if headers[name].run_id in planned},
            "runs": runs}


def jobs_of(store: Store) -> dict[str, JobState]:
    """By run id, the job on Slurm that a run was given to last; says so where Slurm cannot be asked."""
    if not (store.folder / "slurm").is_dir():
        return {}
    from benchmark.runner.jobs import states_of_jobs

    try:
        return states_of_jobs(store)
    except ValueError as error:
        print(f"note: what is in the queue is not known: {error}", file=sys.stderr)
        return {}


def with_jobs(plan: Plan, standings: Sequence[Standing], jobs: dict[str, JobState]) -> list[Standing]:
    """How runs stand of which nobody wrote down that their jobs were lost: failed, and not missing."""
    if not jobs:
        return list(standings)
    from benchmark.runner.jobs import with_ends

    ended = {spec.run_id for spec, standing in zip(plan.specs, standings, strict=True)
             if standing.state == "missing" and spec.run_id in jobs and jobs[spec.run_id].state == "ended"}
    known = with_ends(jobs, ended)
    return [Standing("failed", known[spec.run_id].tell()) if spec.run_id in ended else standing
            for spec, standing in zip(plan.specs, standings, strict=True)]


def print_states(plan: Plan, store: Store, headers: Mapping[str, Header] | None = None) -> int:
    """One line a cell with the state of each seed, then why some have none of today's, and how many are in each state.

    `headers`: of the folder's records, where they are read already.
    """
    headers = store.headers(names_under(store.folder)) if headers is None else headers
    jobs = jobs_of(store)
    standings = with_jobs(plan, Judge.beside(store).of_plan(store, [(job.spec, job.code) for job in plan.jobs], headers), jobs)
    cells: dict[str, list[str]] = {}
    notes: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    for spec, standing in zip(plan.specs, standings, strict=True):
        job = None if standing.holds else jobs.get(spec.run_id)
        state = job.state if job is not None and job.state in ALIVE else standing.state
        counts[state] += 1
        cells.setdefault(spec.cell, []).append(f"{spec.seed}:{state}")
        if job is not None and job.state == "running":
            notes.setdefault(f"running  {spec.name}: {job.tell()}", [])
        elif job is not None and job.state == "queued":
            notes.setdefault(f"queued  {job.tell()}", []).append(spec.name)
        elif standing.state == "failed":
            notes.setdefault(f"failed  {spec.name}: {standing.detail}", [])
        elif standing.state == "other code":
            notes.setdefault(f"other code  {standing.detail} changed since", []).append(spec.name)
        if standing.state in AGAIN and (failure := store.failure(spec)) is not None:
            notes.setdefault(f"failed again  {spec.name}: {failure.error}; its earlier record is kept", [])
    width = max(len(cell) for cell in cells)
    for cell, states in cells.items():
        print(f"{cell:<{width}}  {'  '.join(states)}")
    for note, names in notes.items():
        print(note + (f": {naming(names)}" if names else ""))
    planned = {spec.name for spec in plan.specs}
    for line in (*tell_doubts(doubts_of(store, [spec.name for spec in plan.specs], headers), store),
                 *tell_spares(headers, {spec.run_id for spec in plan.specs})):
        print(line)
    for name, header in headers.items():
        if header.fault and name not in planned:
            print(f"unreadable  {name}/record.json: {header.fault}")
    print(f"{counted(len(plan.jobs), 'run')} in {store.folder}: "
          + ", ".join(f"{counts[state]} {state}" for state in (*STATES, *ALIVE) if counts[state]))
    if note := carried_note(standings):
        print(note)
    return 0
