"""Runs of one task, setting and recipe, of any arms and seeds, in; a record and weights of each out, from one pass for all.

A small model leaves a GPU waiting for the next kernel. Here K of them are trained, tested and described as one. What depends
on (seed, epoch, sample) alone, batches, augmentation and masks, is drawn once for all arms of a seed. Places that no run
takes hold a copy: what a run computes depends on K, and not on its neighbours.

The bits are not those of a run alone (rounding differs), so K is part of a record's environment, and no run is trained
partly in a stack: its checkpoint is the stack's own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import torch

from benchmark.records.record import Record
from benchmark.spec.runspec import Report, Site
from benchmark.train import setup
from benchmark.train.members import Member
from benchmark.train.stacked_model import structure
from benchmark.train.stacked_runs import Stack


def train_stack(members: Sequence[Member], site: Site, finish: Callable[[Record], None],
                report: Report = lambda done, total, text: None) -> dict[str, str]:
    """Train runs of one comparison, at most `site.lockstep` of them; `finish` is given the record of each.

    Returns why some were left out, by run id: they cannot be built or stacked, or their loss stops being a number. Raises
    `Stopped` as `train` does, and goes on from there when it is called again with the same. Deterministic on one device.
    """
    device = setup.take_device(site)
    left_out: dict[str, str] = {}
    stacks: dict[Hashable, list[Member]] = {}
    for member in members:
        try:
            member.build()
            alike = structure(member.model)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever an arm raises is its own affair
            left_out[member.spec.run_id] = f"{type(error).__name__}: {' '.join(str(error).split())}"
            continue
        stacks.setdefault(alike, []).append(member)  # one stack, unless a model is odd
    for stacked in stacks.values():
        stack = Stack(stacked, site.lockstep, device)
        left_out |= stack.left_out
        if stack.members:
            left_out |= stack.run(site, finish, report)
    return left_out
