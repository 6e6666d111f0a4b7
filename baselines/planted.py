"""An effect planted on purpose: a pipeline that does not find it is blind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from baselines.controls import Merge
from benchmark.spec.contracts import Arm, Start
from benchmark.spec.recipes import Setting

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.model.encoder import TransformerModel
    from benchmark.model.pathway import Pathway


class MergeWhole(Merge):
    """As `MergeOwn`, with the tokenizer that the blocks grew up with. Added after `MergeOwn` had been seen to fail."""

    name: ClassVar[str] = "merge-whole"
    summary: ClassVar[str] = "from scratch, the target modality's own pretrained encoder, its blocks added to fresh ones"
    source: ClassVar[str] = "planted effect, the second attempt"
    settings: ClassVar[tuple[Setting, ...]] = ("scratch",)
    uses_auxiliary: ClassVar[bool] = False

    def starts(self, modality: str, auxiliary: str | None, setting: Setting, seed: int) -> dict[str, Start]:
        return {"target": Start(modality, seed)}

    def build(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList], random: torch.Generator) -> list[Pathway]:
        import torch

        from benchmark.model.connect import linear_layers
        from benchmark.model.encoder import draw_weight

        self.alter(model, random)
        for _, linear in linear_layers(model.blocks):
            fresh = draw_weight(torch.empty_like(linear.weight, requires_grad=False), model.init_std, random)
            linear.weight.data = fresh + self.merge_scale * linear.weight.detach()
        return []


    def alter(self, model: TransformerModel, random: torch.Generator) -> None:
        """What is done to the encoder before it is merged."""


class MergeWholeRandom(MergeWhole):
    """Noise of the planted effect's size, merged the same way."""

    name: ClassVar[str] = "merge-whole-random"
    summary: ClassVar[str] = "from scratch, as merge-whole, with noise of its norm in place of every weight of that encoder"
    source: ClassVar[str] = "control of the planted effect"

    def alter(self, model: TransformerModel, random: torch.Generator) -> None:
        """Norms and biases, of which noise would make another model, begin as untrained ones do."""
        import torch

        for name, parameter in model.named_parameters():
            if name.startswith("head.") or not parameter.requires_grad:  # fixed positions know nothing
                continue
            if parameter.ndim > 1:
                drawn = torch.randn(parameter.shape, generator=random)
                parameter.data = drawn * (parameter.detach().norm() / drawn.norm())
            else:
                parameter.data.fill_(1.0 if name.endswith("weight") else 0.0)
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()


class TokenizerOnly(Arm):
    """What of the planted effect is the tokenizer's: the pretrained one, before blocks that are as fresh as from scratch."""

    name: ClassVar[str] = "tokenizer-only"
    summary: ClassVar[str] = "from scratch, with the pretrained tokenizer of the target's own modality before fresh blocks"
    source: ClassVar[str] = "control of the planted effect: the part that needs no blocks"
    is_method: ClassVar[bool] = False
    settings: ClassVar[tuple[Setting, ...]] = ("scratch",)

    def starts(self, modality: str, auxiliary: str | None, setting: Setting, seed: int) -> dict[str, Start]:
        return {"target": Start(modality, seed)}

    def stream(self, task: str, setting: Setting, auxiliary: str | None) -> tuple[str, ...]:
        """Without its name: an arm that it is a rival of begins with the same fresh blocks."""
        return ("fresh", task, setting)

    def build(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList], random: torch.Generator) -> list[Pathway]:
        import torch

        from benchmark.model.connect import linear_layers
        from benchmark.model.encoder import draw_weight

        linears = {f"{name}.weight" for name, _ in linear_layers(model.blocks)}
        for part in (model.blocks, model.norm):
            for name, parameter in part.named_parameters():
                if part is model.blocks and name in linears:
                    parameter.data = draw_weight(torch.empty_like(parameter.data), model.init_std, random)
                else:  # norms and biases
                    parameter.data.fill_(1.0 if name.endswith("weight") else 0.0)
        return []


PLANTED: tuple[Arm, ...] = (MergeWhole(), MergeWholeRandom(), TokenizerOnly())
