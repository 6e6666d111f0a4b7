"""A teacher of another modality: features of the auxiliary's blocks on the target's tokens as a second target, from scratch.

To the loss comes the mean squared error of the model's features, mapped linearly, to the teacher's (Romero et al., ICLR 2015,
section 2.2). Control: an untrained teacher. Positive control: the target's own pretrained blocks teach fresh ones, other than
they began as, behind their tokenizer. Cost: a forward pass of the teacher and a linear map a step; nothing once merged."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import PositiveFloat

from baselines.controls import RandomInit, SelfCopy
from baselines.kin.origin import M2PT, Adding, Control, Setting
from baselines.planted import TokenizerOnly

if TYPE_CHECKING:
    from baselines.kin.origin import Batch, Blocks, Features, Model, Pathways, Random, Start, Tensor


class Distil(Adding):
    name: ClassVar[str] = "distil"
    summary: ClassVar[str] = "from scratch, features of the auxiliary's blocks on the target's tokens as a second target"
    source: ClassVar[str] = "FitNets (Romero et al., ICLR 2015), section 2.2, after Hinton et al., 2015"
    settings: ClassVar[tuple[Setting, ...]] = ("scratch",)
    uses_auxiliary: ClassVar[bool] = True
    rivals: ClassVar[tuple[str, ...]] = ("distil-random",)
    weight: PositiveFloat = 1.0  # of the further term

    def build(self, model: Model, blocks: Blocks, random: Random) -> Pathways:
        from baselines.kin.teacher import Teacher

        model.add_module("teacher", Teacher(self.auxiliary_blocks(model, blocks, random), random))
        return []

    def further_loss(self, model: Model, batch: Batch, features: Features, logits: Tensor) -> Tensor:
        return model.get_submodule("teacher")(model, features, batch.get("ids_keep")) * self.weight  # type: ignore[no-any-return]

    def merge(self, model: Model) -> None:
        del model.teacher


class DistilRandom(Control, Distil):
    name: ClassVar[str] = "distil-random"
    summary: ClassVar[str] = "as distil, a teacher that is untrained"
    uses_auxiliary: ClassVar[bool] = False
    whose: ClassVar[M2PT] = RandomInit()


class DistilOwn(DistilRandom):
    name: ClassVar[str] = "distil-own"
    summary: ClassVar[str] = "positive control: the target's own pretrained blocks teach fresh ones, behind the same tokenizer"
    rivals: ClassVar[tuple[str, ...]] = ("tokenizer-only",)
    whose: ClassVar[M2PT] = SelfCopy()

    def starts(self, modality: str, auxiliary: str | None, setting: Setting, seed: int) -> dict[str, Start]:
        return TokenizerOnly().starts(modality, auxiliary, setting, seed)

    def build(self, model: Model, blocks: Blocks, random: Random) -> Pathways:
        return [*super().build(model, blocks, random), *TokenizerOnly().build(model, blocks, random)]  # the teacher has copied
