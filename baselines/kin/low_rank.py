"""A pathway at a fraction of its cost: y = x (W + s U V^T)^T + b, with U V^T the best approximation of A of rank r.

Of the method's A (section 3.2) that is what its r largest singular values make. s starts at 0; U and V train, or are frozen
(`train_factors=false`, and the setting `fix`). Control: the same of noise. Positive control, `low-rank-known`: of what
fine-tuning adds to the layer (`baselines.solution`), which must beat pathways from noise of that size.

Cost: r (out + in) + 1 more trained numbers a layer, where a pathway has out x in + 1; nothing once merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import PositiveInt

from baselines.controls import RandomNorm
from baselines.kin.origin import M2PT, Control, Kin, Setting
from baselines.solution import Solution

if TYPE_CHECKING:
    from baselines.kin.origin import Blocks, Model, Pathways, Random


class LowRank(Kin):
    name: ClassVar[str] = "low-rank"
    summary: ClassVar[str] = "pathways from the auxiliary's weights, cut to a low rank"
    source: ClassVar[str] = "section 3.2, at a fraction of its cost"
    settings: ClassVar[tuple[Setting, ...]] = ("pretrained", "fix")
    uses_auxiliary: ClassVar[bool] = True
    rivals: ClassVar[tuple[str, ...]] = ("low-rank-noise",)

    rank: PositiveInt = 8
    train_factors: bool = True

    def build(self, model: Model, blocks: Blocks, random: Random) -> Pathways:
        from baselines.kin.factored import connect_low_rank

        made = self.auxiliary_blocks(model, blocks, random)
        return connect_low_rank(model.blocks, made, blocks.get("auxiliary", made), self.rank, self.train_factors)


class LowRankNoise(Control, LowRank):
    name: ClassVar[str] = "low-rank-noise"
    summary: ClassVar[str] = "pathways from noise of low rank, of the size of what is left of the auxiliary's weights"
    whose: ClassVar[M2PT] = RandomNorm()


class LowRankKnown(LowRankNoise):
    name: ClassVar[str] = "low-rank-known"
    summary: ClassVar[str] = "positive control: pathways from what fine-tuning adds to the linear layers, cut to a low rank"
    uses_auxiliary: ClassVar[bool] = False
    whose: ClassVar[M2PT] = Solution()
    rivals: ClassVar[tuple[str, ...]] = ("solution-noise",)
