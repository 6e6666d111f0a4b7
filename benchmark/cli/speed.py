"""The command that measures this machine: `bench`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmark.cli.context import load_registry, load_study, require_torch
from benchmark.plan.matrix import pick
from benchmark.runner.machine import count_gpus


def run_bench(options: argparse.Namespace, command: str) -> int:
    """Exit code 1 where a bound is not kept and `--strict` is set."""
    require_torch()
    import torch

    from benchmark.bench.measure import Bench
    from benchmark.bench.run import MEASUREMENTS, describe, folder_name, write_bench
    from benchmark.bench.run import run_bench as measure
    from benchmark.provenance.environment import describe_environment

    if options.repeats < 1 or options.threads < 0:
        raise ValueError("--repeats is at least 1, --threads at least 0")
    names = pick(options.only.split(",") if options.only else None, MEASUREMENTS, "measurement") or list(MEASUREMENTS)
    device = torch.device("cuda" if options.device == "cuda" or (options.device == "auto" and count_gpus()) else "cpu")
    if options.threads:
        torch.set_num_threads(options.threads)
    tasks, arms = load_registry()
    environment = describe_environment(device)
    print(describe(environment), flush=True)
    bench = Bench(device, options.repeats, tasks, arms, load_study())
    results = measure(bench, names, options.results, lambda line: print(line, flush=True))
    folder = options.out or Path("results") / "speed" / folder_name(environment)
    written = write_bench(results, environment, folder)
    beyond = [result.what for result in results if result.kept is False]
    print(f"{len(results)} measurements, {len(beyond)} beyond their bounds; in {folder}: "
          f"{', '.join(path.name for path in written)}")
    return 1 if beyond and options.strict else 0
