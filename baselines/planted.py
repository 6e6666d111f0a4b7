"""An effect planted on purpose: a pipeline that does not find it is blind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from baselines.controls import Merge
from benchmark.contracts import Start
from benchmark.recipes import Setting

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.encoder import TransformerModel
    from benchmark.pathway import Pathway


class MergeWhole(Merge):
    """As `MergeOwn`, with what the blocks grew up with: without its tokenizer their knowledge has nothing to act on."""

    name: ClassVar[str] = "merge-whole"
    summary: ClassVar[str] = "from scratch, the target modality's own pretrained encoder, its blocks added to fresh ones"
    source: ClassVar[str] = "planted effect"
    settings: ClassVar[tuple[Setting, ...]] = ("scratch",)
    uses_auxiliary: ClassVar[bool] = False

    def starts(self, modality: str, auxiliary: str | None, setting: Setting, seed: int) -> dict[str, Start]:
        return {"target": Start(modality, seed)}

    def build(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList], random: torch.Generator) -> list[Pathway]:
        import torch

        from benchmark.pathway import linear_layers

        for _, linear in linear_layers(model.blocks):
            fresh = torch.empty_like(linear.weight, requires_grad=False)
            torch.nn.init.xavier_uniform_(fresh, generator=random)
            linear.weight.data = fresh + self.merge_scale * linear.weight.detach()
        return []


ARM = MergeWhole()
