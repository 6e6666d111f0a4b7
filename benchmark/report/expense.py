"""What runs will take of a cluster in, lines for people out."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import timedelta

from benchmark.evidence.expense import SIZES, Expense, Speeds
from benchmark.spec.plural import counted

GIB = 2**30


def expense_lines(rows: Sequence[Expense], speeds: Speeds, disk: tuple[float, float], data: Collection[str], *, jobs: int,
                  arrays: int, gpus: int, shared_by: int, minutes: int, at_once: int | None) -> list[str]:
    """By cell, then in all; `gpus` of a job, of which a run uses `shared_by`, `minutes` before it is requeued."""
    if not rows:
        return ["nothing left to compute"]
    unit = "GPU-hours" if gpus else "hours of a job"
    width = max(len(row.cell) for row in rows)
    lines = []
    for row in rows:
        length = "unknown" if row.hours is None else f"{_hours(row.hours)} {unit}"
        speed = f", {row.samples_per_second:,.0f} samples/s of a GPU" if row.samples_per_second else ""
        cores = f", {row.cores} core{'s' * (row.cores > 1)} to feed it" if row.cores else ""
        lines.append(f"{row.cell:<{width}}  {counted(row.runs, 'run')}  {length}{speed}{cores}")
    known = [row for row in rows if row.hours is not None]
    hours = math.fsum(row.hours or 0.0 for row in known)
    unknown = sum(row.runs for row in rows if row.hours is None)
    runs = sum(row.runs for row in rows)
    lines.append(f"in all: {counted(runs, 'run')} in {counted(jobs, 'job')} of {counted(arrays, 'array')}, "
                 f"{_hours(hours)} {unit}"
                 + (f", and {counted(unknown, 'run')} of unknown length" if unknown else ""))
    if at_once and hours:
        left = hours / (at_once * max(1, shared_by))
        lines.append(f"with {at_once} jobs at once: {timedelta(seconds=round(3600 * left))}")
    longest = max((row.hours / row.runs for row in known if row.hours is not None), default=0.0) / max(1, shared_by)
    if longest * 60 > minutes:
        lines.append(f"the longest run takes {_hours(longest)} hours: it is requeued and goes on "
                     f"{math.ceil(longest * 60 / minutes) - 1} times")
    if gpus > shared_by:
        lines.append(f"note: each job asks for {gpus} GPUs, of which its run uses {shared_by}; with --gpus-per-run {gpus} it "
                     f"would use all. As it is {_hours(hours * gpus / shared_by)} GPU-hours are taken")
    if any(row.origin == "measured" for row in rows):
        lines.append("hours that no record shows follow from the speed at which "
                     f"{speeds.device} was measured to train ViT-B in bf16 ({speeds.operations / 1e12:.0f} Tflop/s): at least "
                     "so many, as evaluation, waiting for input and exchange between GPUs are not counted, and fp32 is slower")
    size = sum(SIZES[name][1] for name in data if name in SIZES)
    stays, going = disk
    lines.append(f"disk: {stays / GIB:.1f} GiB of weights that stay, up to {going / GIB:.1f} GiB of checkpoints for each run "
                 "that goes on" + (f", about {size:.0f} GB of official data" if size else ""))
    return lines


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}"
