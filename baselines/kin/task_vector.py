"""Task arithmetic: W0 + c (A - A0) before training, in the linear layers of the blocks (Ilharco et al., ICLR 2023, section 2).

A0 is the auxiliary after the first epoch of its pretraining, the earliest that a run can start from; `origin=target` begins it
as the target began. c (`merge_scale`) is chosen on validation, as published, of the values in a matrix; so it is for controls:
noise of every weight's norm; rows and columns permuted. Positive control: what fine-tuning adds. Blocks stay so in the setting
`fix`, as published, and train in `pretrained`. Cost: a sum, and an epoch of pretraining more; nothing after."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from baselines.controls import Merge, Permuted, RandomNorm
from baselines.kin.origin import M2PT, Control, Kin, Setting, difference
from baselines.solution import Solution

if TYPE_CHECKING:
    from baselines.kin.origin import Blocks, Model, ModuleList, Pathways, Random, Start


class TaskVectorKnown(Kin, Merge):
    name: ClassVar[str] = "task-vector-known"
    summary: ClassVar[str] = "positive control: what fine-tuning adds to the linear layers, added before training"
    source: ClassVar[str] = "Ilharco et al., ICLR 2023, section 2"
    settings: ClassVar[tuple[Setting, ...]] = ("pretrained", "fix")
    uses_auxiliary: ClassVar[bool] = False
    rivals: ClassVar[tuple[str, ...]] = ("solution-noise",)
    whose: ClassVar[M2PT] = Solution()

    def build(self, model: Model, blocks: Blocks, random: Random) -> Pathways:
        return super().build(model, {"auxiliary": self.auxiliary_blocks(model, blocks, random)}, random)


class TaskVector(TaskVectorKnown):
    name: ClassVar[str] = "task-vector"
    summary: ClassVar[str] = "what pretraining on the other modality added to the auxiliary's weights, added to the target's"
    uses_auxiliary: ClassVar[bool] = True
    is_method: ClassVar[bool] = True
    rivals: ClassVar[tuple[str, ...]] = ("task-vector-noise", "task-vector-permuted")
    whose: ClassVar[M2PT] = M2PT()
    origin: Literal["own", "target"] = "own"

    def starts(self, modality: str, auxiliary: str | None, setting: Setting, seed: int) -> dict[str, Start]:
        starts = M2PT(origin=self.origin).starts(modality, auxiliary, setting, seed)
        return {**starts, "beginning": replace(starts["auxiliary"], share=1e-9)}

    def auxiliary_blocks(self, model: Model, blocks: Blocks, random: Random) -> ModuleList:
        return super().auxiliary_blocks(model, {"auxiliary": difference(blocks["auxiliary"], blocks["beginning"])}, random)


class TaskVectorNoise(Control, TaskVector):
    name: ClassVar[str] = "task-vector-noise"
    summary: ClassVar[str] = "as task-vector, noise of its norm in place of every weight of it"
    whose: ClassVar[M2PT] = RandomNorm()


class TaskVectorPermuted(TaskVectorNoise):
    name: ClassVar[str] = "task-vector-permuted"
    summary: ClassVar[str] = "as task-vector, rows and columns of every weight of it permuted"
    whose: ClassVar[M2PT] = Permuted()
