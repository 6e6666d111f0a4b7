"""The command `export-logs`: results folders in, files that other tools open out."""

from __future__ import annotations

import argparse

from benchmark.cli.conditions import conditions_told
from benchmark.cli.context import refuse_unwritable
from benchmark.cli.reading import given_results
from benchmark.plan.names import pick
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.spec.plural import counted

FORMATS = ("tensorboard", "csv", "parquet")


def export_logs(options: argparse.Namespace, command: str) -> int:
    from benchmark.report.logs import check_packages, write_logs

    formats = pick([options.to], dict.fromkeys(FORMATS), "format")
    if not formats:
        raise ValueError(f"--to: expected some of {', '.join(FORMATS)}")
    check_packages(formats)
    refuse_unwritable(options.out, "folder")
    runs: dict[str, tuple[Record, Store]] = {}
    problems, older = [], 0
    for folder in given_results(options):
        store = Store(folder)
        records, unreadable, spares = store.read()
        problems += unreadable
        problems += [f"{folder}/runs/{name}: has another record, or a copy, of the run of {counts.spec.name}"
                     for name, _, counts in spares]
        for record in records:
            known = runs.get(record.run_id)
            older += known is not None
            if known is None or record.started > known[0].started:
                runs[record.run_id] = (record, store)
    try:
        written = write_logs(list(runs.values()), conditions_told(), formats, options.out)
    except OSError as error:
        raise ValueError(f"{options.out} cannot be written ({error.strerror or error}); choose another folder with "
                         "--out") from error
    for line in problems:
        print(f"left out: {line}")
    if older:
        print(f"left out: {counted(older, 'older record')} of runs that have several")
    print(f"{counted(len(runs), 'run')}: " + ", ".join(f"{name} in {path}" for name, path in written.items()))
    if "tensorboard" in written:
        print(f"look at them: tensorboard --logdir {written['tensorboard']}")
    return 0
