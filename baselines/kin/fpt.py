"""Frozen pretrained transformers as universal computation engines (Lu et al., AAAI 2022, section 2).

The blocks are the auxiliary's, frozen but for their norms; tokenizer, final norm and head train from random weights (near to
Meta-Transformer's frozen encoder). Controls: untrained blocks, frozen alike; the auxiliary's weights, shuffled. Positive
control, `fpt-own`: blocks of the target's own modality, pretrained under another seed; by option with their tokenizer.
Cost: the plain model's passes, and fewer trained numbers (norms, tokenizer, head); nothing at inference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from baselines.controls import OTHER_SEED, SelfCopy, Shuffled
from baselines.kin.origin import M2PT, Control, Kin, Setting
from benchmark.spec.contracts import Start

if TYPE_CHECKING:
    from baselines.kin.origin import Blocks, Model, ModuleList, Pathways, Random


class Fpt(Kin):
    name: ClassVar[str] = "fpt"
    summary: ClassVar[str] = "from scratch, blocks that are the auxiliary's, frozen but for their norms"
    source: ClassVar[str] = "Lu et al., AAAI 2022, section 2"
    settings: ClassVar[tuple[Setting, ...]] = ("scratch",)
    uses_auxiliary: ClassVar[bool] = True
    rivals: ClassVar[tuple[str, ...]] = ("fpt-random", "fpt-shuffled")

    def build(self, model: Model, blocks: Blocks, random: Random) -> Pathways:
        model.blocks.load_state_dict(self.auxiliary_blocks(model, blocks, random).state_dict())
        for name, parameter in model.blocks.named_parameters():
            parameter.requires_grad_(".norm" in name)
        return []


class FptShuffled(Control, Fpt):
    name: ClassVar[str] = "fpt-shuffled"
    summary: ClassVar[str] = "as fpt, the entries of every weight of the auxiliary's linear layers shuffled"
    whose: ClassVar[M2PT] = Shuffled()


class FptRandom(FptShuffled):
    name: ClassVar[str] = "fpt-random"
    summary: ClassVar[str] = "as fpt, blocks that are untrained"
    uses_auxiliary: ClassVar[bool] = False
    whose: ClassVar[M2PT] = SelfCopy()  # from scratch, the model's own blocks know nothing


class FptOwn(FptRandom):
    name: ClassVar[str] = "fpt-own"
    summary: ClassVar[str] = "positive control: as fpt, blocks that were pretrained on the target's own modality"
    rivals: ClassVar[tuple[str, ...]] = ("fpt-random",)

    tokenizer: Literal["fresh", "own"] = "fresh"  # own: the pretrained one, with its blocks

    def starts(self, modality: str, auxiliary: str | None, setting: Setting, seed: int) -> dict[str, Start]:
        return {"auxiliary" if self.tokenizer == "fresh" else "target": Start(modality, seed + OTHER_SEED)}

    def auxiliary_blocks(self, model: Model, blocks: Blocks, random: Random) -> ModuleList:
        return blocks.get("auxiliary", model.blocks)
