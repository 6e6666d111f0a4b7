"""Pathways from units in the target's order: is A of another origin of use once it is permuted towards W0?

Git Re-Basin (Ainsworth et al., ICLR 2023, section 3) puts units of one network into the order of another's before weights are
added: by weights or, with `by=activations`, by what they do on the target's training inputs. Then comes a pathway. Controls:
the same search on noise, and on A with rows and columns permuted. Positive control: the target's own fine-tuned blocks in
random order; less W0, what is found is the known solution. Cost: a pathway's, and the search before; nothing once merged."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from baselines.controls import Permuted, RandomNorm
from baselines.kin.origin import M2PT, Control, Kin, Setting
from baselines.solution import ROLE, Solution

if TYPE_CHECKING:
    from baselines.kin.origin import Blocks, Model, ModuleList, Random


class Aligned(Kin, M2PT):
    name: ClassVar[str] = "aligned"
    summary: ClassVar[str] = "pathways from the auxiliary's blocks, their units permuted towards the target's"
    source: ClassVar[str] = "Git Re-Basin (Ainsworth et al., ICLR 2023), section 3"
    settings: ClassVar[tuple[Setting, ...]] = ("pretrained", "fix")
    rivals: ClassVar[tuple[str, ...]] = ("aligned-noise", "aligned-permuted")
    later: ClassVar[frozenset[str]] = M2PT.later | {"by"}
    by: Literal["weights", "activations"] = "weights"

    @property
    def num_inputs(self) -> int:
        return 32 if self.by == "activations" else 0

    def auxiliary_blocks(self, model: Model, blocks: Blocks, random: Random) -> ModuleList:
        from baselines.kin.activations import in_order_of
        return in_order_of(model, super().auxiliary_blocks(model, blocks, random))


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
        from baselines.kin.activations import in_order_of, scrambled

        return self.whose.auxiliary_blocks(model, {ROLE: in_order_of(model, scrambled(blocks[ROLE], random))}, random)
