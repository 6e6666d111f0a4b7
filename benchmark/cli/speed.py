"""The command that measures this machine: `bench`."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmark.cli.context import load_registry, load_study, refuse_unwritable, require_torch
from benchmark.plan.names import pick
from benchmark.runner.machine import count_cores, count_gpus


def run_bench(options: argparse.Namespace, command: str) -> int:
    """Exit code 1 where a bound is not kept and `--strict` is set."""
    require_torch()
    import torch

    from benchmark.bench.measure import Bench
    from benchmark.bench.run import (
        BY_NAME_ONLY,
        MEASUREMENTS,
        busy_elsewhere,
        describe,
        folder_name,
        summary,
        write_bench,
        write_numbers,
    )
    from benchmark.bench.run import run_bench as measure
    from benchmark.provenance.environment import describe_environment

    if options.repeats < 1 or options.threads < 0:
        raise ValueError("--repeats is at least 1, --threads at least 0")
    chosen = pick(options.only.split(",") if options.only else None, MEASUREMENTS, "measurement")
    if options.gpu and options.device == "cpu":
        raise ValueError("--gpu measures a GPU; leave out --device cpu")
    if options.gpu and not torch.cuda.is_available():
        raise ValueError("--gpu: torch finds no GPU here")
    if options.gpu and options.results:
        raise ValueError("--gpu measures no recorded runs; leave out --results")
    if options.time_limit and not options.gpu:
        raise ValueError("--time-limit is for --gpu")
    cuda = options.gpu or options.device == "cuda" or (options.device == "auto" and count_gpus())
    device = torch.device("cuda" if cuda else "cpu")
    if options.threads:
        torch.set_num_threads(options.threads)
    environment, load = describe_environment(device), busy_elsewhere(count_cores())
    folder = options.out or Path("results") / "speed" / folder_name(environment)
    refuse_unwritable(folder, "folder")
    print("\n".join([describe(environment), *([f"note: {load}"] if load else [])]), flush=True)
    bench = Bench(device, options.repeats, *load_registry(), load_study())
    missing: dict[str, str] = {}

    def say(line: str) -> None:
        print(line, flush=True)

    if options.gpu:
        from benchmark.bench.limited import ELSE_LIMIT, GPU_LIMITS, run_limited

        limits = {name: GPU_LIMITS.get(name, ELSE_LIMIT) for name in chosen or GPU_LIMITS}
        results, missing = run_limited(
            bench, limits, options.time_limit or sum(limits.values()), say,
            lambda found, left_out: write_numbers(found, environment, folder, left_out, load))
    else:
        results = measure(bench, chosen or [name for name in MEASUREMENTS if name not in BY_NAME_ONLY], options.results, say,
                          lambda found: write_numbers(found, environment, folder, load=load))
    written = write_bench(results, environment, folder, missing, load)
    beyond = [result.what for result in results if result.kept is False]
    print("\n".join(["", *summary(results, missing)]))
    print(f"{len(results)} measurements, {len(beyond)} beyond their bounds, {len(missing)} not finished; in {folder}: "
          f"{', '.join(path.name for path in written)}")
    beyond += missing
    return 1 if beyond and options.strict else 0
