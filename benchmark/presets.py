"""The named matrices: which cells, how many seeds, at what cost. Pure lists, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.contracts import Arm, Task
from benchmark.matrix import Cell, Override, pretraining_tasks
from benchmark.recipes import SETTINGS, Setting

PAPER_TARGETS = ("imagenet", "shapenet", "kinetics", "audioset")


@dataclass(frozen=True)
class Preset:
    """A named matrix. Filters of the command line replace `targets`, `arms` and `settings`."""

    name: str
    summary: str
    seeds: str
    targets: tuple[str, ...] | None = PAPER_TARGETS  # None: every task that is registered
    arms: tuple[str, ...] = ("finetune", "m2pt")
    settings: tuple[Setting, ...] = ("pretrained",)
    limited: bool = False
    overrides: tuple[Override, ...] = ()


def _quick(scope: str, name: str, value: object) -> Override:
    return Override(f"{scope}.{name}", None, scope, (name,), value, may_fit_nothing=True)


PRESETS: dict[str, Preset] = {preset.name: preset for preset in (
    Preset("smoke", "every cell of the paper's matrix on a few samples for two epochs: does everything run?", "0",
           limited=True, overrides=tuple(_quick(scope, name, value) for scope in ("recipe", "pretrain")
                                         for name, value in (("epochs", 2), ("warmup_epochs", 1)))),
    Preset("full", "every target x auxiliary pair of the paper against its fine-tuned baseline", "0-2"),
    Preset("auxiliaries", "do the auxiliaries know anything? pretrained against scratch, for every task", "0-2",
           targets=None, arms=("finetune", "scratch"), settings=("pretrained", "scratch")),
)}


def cells_of(tasks: Mapping[str, Task], arms: Mapping[str, Arm], *, targets: Sequence[str], auxiliaries: Sequence[str],
             chosen: Sequence[str], settings: Sequence[Setting]) -> list[Cell]:
    """Every valid combination: an arm in each setting it allows, with each auxiliary of another modality if it uses one.

    Empty `auxiliaries` means every modality that some task pretrains for.
    """
    modalities = list(auxiliaries) or list(pretraining_tasks(tasks))
    cells = []
    for target in targets:
        task = tasks[target]
        for setting in (setting for setting in SETTINGS if setting in settings):
            for arm in (arms[name] for name in chosen):
                if setting not in arm.settings:
                    continue
                if not arm.uses_auxiliary:
                    cells.append(Cell(task, arm, setting))
                else:
                    cells += [Cell(task, arm, setting, modality) for modality in modalities if modality != task.modality]
    return cells
