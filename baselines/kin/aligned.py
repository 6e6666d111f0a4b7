"""Pathways from units in the target's order: is A of another origin of use once it is permuted towards W0?

Git Re-Basin (Ainsworth et al., ICLR 2023, section 3.2) puts units of one network into the order of another's before weights are
added. Here A is permuted so, by weights (`baselines.kin.matching`), then a pathway as in the method; by activations it cannot
be, as `build` is given no samples. Controls: the same search on noise, and on A with rows and columns of every weight permuted.
Positive control, `aligned-known`: the target's own fine-tuned blocks, units in random order; less W0, what the search makes of
them is the known solution if it finds every unit. Cost: a pathway's, and the search before training; nothing once merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from baselines.controls import Permuted, RandomNorm
from baselines.kin.origin import M2PT, Control, Kin, Setting
from baselines.solution import ROLE, Solution

if TYPE_CHECKING:
    from baselines.kin.origin import Blocks, Model, ModuleList, Random


class Aligned(Kin, M2PT):
    name: ClassVar[str] = "aligned"
    summary: ClassVar[str] = "pathways from the auxiliary's blocks, their units permuted towards the target's by weights"
    source: ClassVar[str] = "Git Re-Basin (Ainsworth et al., ICLR 2023), section 3.2"
    settings: ClassVar[tuple[Setting, ...]] = ("pretrained", "fix")
    rivals: ClassVar[tuple[str, ...]] = ("aligned-noise", "aligned-permuted")

    def auxiliary_blocks(self, model: Model, blocks: Blocks, random: Random) -> ModuleList:
        from baselines.kin.matching import matched

        found: ModuleList = matched(super().auxiliary_blocks(model, blocks, random), model.blocks)
        return found


class AlignedNoise(Control, Aligned):
    name: ClassVar[str] = "aligned-noise"
    summary: ClassVar[str] = "as aligned, from noise of the auxiliary's norm"
    whose: ClassVar[M2PT] = RandomNorm()


class AlignedPermuted(AlignedNoise):
    name: ClassVar[str] = "aligned-permuted"
    summary: ClassVar[str] = "as aligned, from the auxiliary with rows and columns of every weight permuted before"
    whose: ClassVar[M2PT] = Permuted()


class AlignedKnown(AlignedNoise):
    name: ClassVar[str] = "aligned-known"
    summary: ClassVar[str] = "positive control: pathways from the known solution, found again among units in random order"
    uses_auxiliary: ClassVar[bool] = False
    whose: ClassVar[M2PT] = Solution()
    rivals: ClassVar[tuple[str, ...]] = ("solution-noise",)

    def auxiliary_blocks(self, model: Model, blocks: Blocks, random: Random) -> ModuleList:
        from baselines.kin.matching import matched, scrambled

        found = matched(scrambled(blocks[ROLE], random), model.blocks)
        return self.whose.auxiliary_blocks(model, {ROLE: found}, random)
