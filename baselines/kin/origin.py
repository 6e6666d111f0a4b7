"""What arms of this folder share: whose blocks they are given, and random numbers of their own for every cell."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from baselines.m2pt import M2PT as M2PT
from baselines.planted import TokenizerOnly
from benchmark.spec.contracts import Arm, Trained
from benchmark.spec.recipes import Setting as Setting

if TYPE_CHECKING:  # of what an arm is given, and gives
    import torch
    from torch import Tensor as Tensor
    from torch.nn import ModuleList as ModuleList

    from benchmark.data.examples import Batch as Batch
    from benchmark.model.encoder import Features as Features
    from benchmark.model.encoder import TransformerModel
    from benchmark.model.pathway import Pathway
    from benchmark.spec.contracts import Start as Start

    Model: TypeAlias = TransformerModel
    Blocks: TypeAlias = Mapping[str, ModuleList]
    Random: TypeAlias = torch.Generator
    Pathways: TypeAlias = list[Pathway]


class Kin(Arm):
    """An arm and its controls differ in `whose` alone: the method, or a control of it, that says what A begins as."""

    whose: ClassVar[M2PT] = M2PT()

    def auxiliary_blocks(self, model: Model, blocks: Blocks, random: Random) -> ModuleList:
        """The blocks that the arm makes use of."""
        return self.whose.auxiliary_blocks(model, blocks, random)

    def trained(self, setting: Setting, seed: int) -> dict[str, Trained]:
        """What those are made from"""
        return self.whose.trained(setting, seed)

    def stream(self, task: str, setting: Setting, auxiliary: str | None) -> tuple[str, ...]:
        """One draw for all cells of a seed would make of many comparisons with noise one."""
        return ("arm", self.name, task, setting, auxiliary or "")


class Adding(Kin):
    """An arm with new layers of its own, which begin alike under the arm, whatever its auxiliary, and under its controls."""

    def stream(self, task: str, setting: Setting, auxiliary: str | None) -> tuple[str, ...]:
        """That of `tokenizer-only`, so that fresh blocks are those of that rival, too."""
        return TokenizerOnly().stream(task, setting, auxiliary)


class Control(Kin):
    """What the gain of another arm is held against: no answer to the question, and itself held against nothing else."""

    is_method: ClassVar[bool] = False
    rivals: ClassVar[tuple[str, ...]] = ()


def difference(blocks: ModuleList, before: ModuleList) -> ModuleList:
    """Blocks whose parameters are what `blocks` have beyond those of `before`."""
    added = copy.deepcopy(blocks)
    for own, other in zip(added.parameters(), before.parameters(), strict=True):
        own.data = own.detach() - other.detach()
    return added
