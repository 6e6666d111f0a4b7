"""Trainings of ViT-B's size with pathways that several processes share, beside the same of one: by hand, as it takes long.

    python tests/vit_b.py imagenet --processes 2 --steps 20

By the recipe and shape of the profile `paper`, on small official data, from untrained encoders, with four samples a batch. It
prints the largest differences, and exits with 1 where they are above their bounds. In double precision a process of a training
of twelve blocks takes some 8 GiB of memory (`--single`: half), and 7 GiB of the disk for a while; `--depth` makes it less.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import torch
from shared import (
    FILES,
    Run,
    counted,
    differences,
    largest_difference,
    make_auxiliary,
    make_files,
    plan_jobs,
    weights_apart,
)

from benchmark.model.weights import save_weights
from benchmark.train.setup import build_autoencoder
from tasks import TASKS

BATCH = 4
JUDGED = ("losses of steps", "measurements")  # in single precision, where AdamW makes whole steps of what is 0 but for rounding
SHORTER = {"kinetics": ("recipe.test_views.temporal=2", "recipe.test_views.spatial=1")}  # tests, whose views are many


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", choices=sorted(FILES))
    parser.add_argument("--processes", type=sizes_of, default="2", help=f"numbers of them, such as 2,{BATCH} (default: 2)")
    parser.add_argument("--steps", type=positive, default=20)
    parser.add_argument("--depth", type=positive, default=12, help="blocks (default: ViT-B's 12)")
    parser.add_argument("--setting", choices=("pretrained", "fix"), default="pretrained")
    parser.add_argument("--single", action="store_true", help="single precision (default: double)")
    parser.add_argument("--folder", type=Path, help="for files meanwhile (default: where temporary files lie)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vit-b-", dir=options.folder) as folder:
        return compare(options, Path(folder))


def positive(text: str) -> int:
    """A number from 1 on"""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 1 on")
    return int(text)


def sizes_of(text: str) -> list[int]:
    """Numbers of processes, each of which has a sample of every batch"""
    sizes = [positive(part) for part in text.split(",")]
    if any(not 1 < size <= BATCH for size in sizes):
        raise argparse.ArgumentTypeError(f"{text}: expected numbers from 2 to {BATCH}, as a batch has {BATCH} samples")
    return sizes


def compare(options: argparse.Namespace, folder: Path) -> int:
    """Carry out the training by one process, then by several; 1 where a number lies above its bound."""
    os.environ["M2PT_DATA"] = str(folder / "data")
    make_files(options.task, folder, 2 * BATCH * options.steps)  # some are held out
    make_auxiliary(folder / "auxiliary.safetensors", 768, options.depth, 12)
    changes = [f"shape.depth={options.depth}", "recipe.precision=fp32", f"recipe.batch_size={BATCH}", "recipe.accumulation=1",
               "recipe.epochs=1", "recipe.eval_every=1", "recipe.warmup_epochs=0", "recipe.lr=1e-3",
               *SHORTER.get(options.task, ())]
    pretraining, training = plan_jobs(TASKS[options.task], "paper", "m2pt", changes, folder / "auxiliary.safetensors",
                                      options.setting, limit=BATCH * options.steps)
    save_weights(build_autoencoder(pretraining.spec, TASKS[options.task]).encoder, folder / "target.safetensors")
    print(f"{options.task}, {options.setting}: {training.spec.shape.depth} blocks of {training.spec.shape.embed_dim}, "
          f"{'single' if options.single else 'double'} precision, torch {torch.__version__}", flush=True)
    alone, worst = None, 0.0
    for size in (1, *options.processes):
        began = time.monotonic()
        run = counted(training, size, folder / str(size), folder / "target.safetensors", not options.single)
        (folder / str(size) / "checkpoint.pt").unlink()
        print(describe(size, run, time.monotonic() - began), flush=True)
        alone = alone or run
        if run is alone:
            continue
        found = differences(alone.record, run.record, (folder / "1", folder / str(size)))
        found["losses of steps"] = largest_difference(alone.losses, run.losses)
        apart = weights_apart(folder / "1", folder / str(size))
        worst_named = sorted(apart, key=apart.__getitem__)[-4:]
        print("  " + ", ".join(f"{name} {value:.1e}" for name, value in found.items()),
              "of weights: " + ", ".join(f"{name} {apart[name]:.1e}" for name in worst_named), sep="\n  ", flush=True)
        found.pop("before norms")
        worst = max(worst, *(value for name, value in found.items() if name in JUDGED or not options.single))
    bound = 1e-4 if options.single else 1e-10
    print(f"largest difference {worst:.1e}, bound {bound:.0e}")
    return int(worst > bound)


def describe(size: int, run: Run, seconds: float) -> str:
    """What a run took"""
    record, steps = run.record, len(run.losses)
    memory, exchanged = (record.peak_memory_bytes or 0) / 2**30, run.exchanged_bytes / max(run.exchanges, 1)
    return (f"{size} process{'es' * (size > 1)}: {steps} steps of {record.seconds['train'] / steps:.1f} s, {seconds:.0f} s in "
            f"all, {memory:.1f} GiB; losses from {run.losses[0]:.6f} to {run.losses[-1]:.6f};\n  "
            f"{exchanged:.0f} bytes an exchange, {record.parameters['merged']} merged numbers, "
            f"{record.parameters['trainable']} trained")


if __name__ == "__main__":
    sys.exit(main())
