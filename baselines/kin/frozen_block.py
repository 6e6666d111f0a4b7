"""A frozen block of another modality as one more layer (Pang et al., ICLR 2024, section 3), from scratch.

Behind the last block come a linear layer, the last of the auxiliary's blocks, frozen, and another linear layer; all else trains
from random weights. (Published of language models.) Controls: an untrained block; nothing between the linear layers. Positive
control, `frozen-block-own`: a block of the target's own modality, pretrained under another seed. Cost: a block and two linear
layers more, in training and, as the merged model keeps them (`adds`), in use.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar

from baselines.controls import RandomInit, SameModality
from baselines.kin.origin import M2PT, Adding, Control, Setting

if TYPE_CHECKING:
    from baselines.kin.origin import Blocks, Model, Pathways, Random, Start


class FrozenBlock(Adding):
    name: ClassVar[str] = "frozen-block"
    summary: ClassVar[str] = "from scratch, a frozen block of the auxiliary's between two linear layers, after the last block"
    source: ClassVar[str] = "Pang et al., ICLR 2024, section 3"
    settings: ClassVar[tuple[Setting, ...]] = ("scratch",)
    uses_auxiliary: ClassVar[bool] = True
    adds: ClassVar[bool] = True
    rivals: ClassVar[tuple[str, ...]] = ("frozen-block-random", "frozen-block-none")
    holds_block: ClassVar[bool] = True

    def build(self, model: Model, blocks: Blocks, random: Random) -> Pathways:
        from baselines.kin.appended import append

        frozen = copy.deepcopy(self.auxiliary_blocks(model, blocks, random)[-1]) if self.holds_block else None
        append(model.blocks[-1], frozen, random)
        return []


class FrozenBlockRandom(Control, FrozenBlock):
    name: ClassVar[str] = "frozen-block-random"
    summary: ClassVar[str] = "as frozen-block, a block that is untrained"
    uses_auxiliary: ClassVar[bool] = False
    whose: ClassVar[M2PT] = RandomInit()


class FrozenBlockNone(FrozenBlockRandom):
    name: ClassVar[str] = "frozen-block-none"
    summary: ClassVar[str] = "as frozen-block, with nothing between the two linear layers"
    holds_block: ClassVar[bool] = False


class FrozenBlockOwn(FrozenBlockRandom):
    name: ClassVar[str] = "frozen-block-own"
    summary: ClassVar[str] = "positive control: as frozen-block, a block of the target's own modality, another seed's"
    rivals: ClassVar[tuple[str, ...]] = ("frozen-block-random",)
    whose: ClassVar[M2PT] = M2PT()

    def starts(self, modality: str, auxiliary: str | None, setting: Setting, seed: int) -> dict[str, Start]:
        return SameModality().starts(modality, auxiliary, setting, seed)
