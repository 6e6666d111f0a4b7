"""The plain baselines: what every pathway is compared with. No block is altered."""

from typing import ClassVar

from benchmark.spec.contracts import Arm
from benchmark.spec.recipes import Setting


class Finetune(Arm):
    """The target's masked-pretrained model, all weights trained."""

    name: ClassVar[str] = "finetune"
    summary: ClassVar[str] = "pretrained on the target's own modality, then fine-tuned"
    source: ClassVar[str] = "Table 1, pretrained setting"
    settings: ClassVar[tuple[Setting, ...]] = ("pretrained",)
    is_baseline: ClassVar[bool] = True


class Fix(Arm):
    """The target's masked-pretrained model with everything frozen but the head: a linear probe where the head is linear."""

    name: ClassVar[str] = "fix"
    summary: ClassVar[str] = "pretrained on the target's own modality, then frozen but for the head"
    source: ClassVar[str] = "Table 1, fix setting"
    settings: ClassVar[tuple[Setting, ...]] = ("fix",)
    is_baseline: ClassVar[bool] = True


class Scratch(Arm):
    """The target's model from random weights."""

    name: ClassVar[str] = "scratch"
    summary: ClassVar[str] = "randomly initialised, trained on the target alone"
    source: ClassVar[str] = "Table 4, from scratch"
    settings: ClassVar[tuple[Setting, ...]] = ("scratch",)
    is_baseline: ClassVar[bool] = True


FINETUNE, FIX, SCRATCH = Finetune(), Fix(), Scratch()
