"""The method: pathways from a transformer of another modality (Zhang et al., CVPR 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveFloat

from benchmark.spec.contracts import Arm, Start
from benchmark.spec.recipes import Setting

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.model.encoder import TransformerModel
    from benchmark.model.pathway import Pathway


class M2PT(Arm):
    """y = x (W + s A)^T + b in every linear layer of the blocks; in the setting `fix` only scales and head train.

    Controls override `auxiliary_blocks`, and so differ from the method in the origin of A alone.
    """

    name: ClassVar[str] = "m2pt"
    summary: ClassVar[str] = "pathways from an auxiliary modality's pretrained blocks, merged after training"
    source: ClassVar[str] = "section 3.2, equation 6; Tables 1-4"
    uses_auxiliary: ClassVar[bool] = True
    is_method: ClassVar[bool] = True

    layers: tuple[str, ...] | None = None  # names inside a block, e.g. ("attn.qkv",); None: all (Table 5)
    scale_init: float = 0.0  # Table 5
    train_scale: bool = True  # Table 5
    train_auxiliary: bool = True
    order: Literal["same", "reversed", "permuted"] = "same"  # of the auxiliary's blocks (Table 6)
    maturity: float = Field(1.0, gt=0, le=1)  # share of its epochs after which the auxiliary left pretraining (Table 6)
    scale_per_output: bool = False  # one s for every output of a layer, not one for all
    join_bias: bool = False  # b + s b_A; the paper leaves the auxiliary's bias out
    scale_lr_factor: PositiveFloat = 1.0  # on the learning rate that the recipe gives to s
    auxiliary_lr_factor: PositiveFloat = 1.0  # on the learning rate that the recipe gives to A
    auxiliary_decay: bool = True  # whether A has the recipe's weight decay
    origin: Literal["own", "target"] = "own"  # whose initial blocks the auxiliary's pretraining begins with

    later: ClassVar[frozenset[str]] = frozenset({"origin"})

    def starts(self, modality: str, auxiliary: str | None, setting: Setting, seed: int) -> dict[str, Start]:
        starts = super().starts(modality, auxiliary, setting, seed)
        if "auxiliary" in starts:
            shared = modality if self.origin == "target" else None
            starts["auxiliary"] = replace(starts["auxiliary"], share=self.maturity, origin=shared)
        return starts

    def build(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList], random: torch.Generator) -> list[Pathway]:
        from benchmark.model.connect import connect

        auxiliary = self.auxiliary_blocks(model, blocks, random)
        return connect(model.blocks, in_order(auxiliary, self.order, random), layers=self.layers, scale_init=self.scale_init,
                       train_scale=self.train_scale, train_auxiliary=self.train_auxiliary,
                       scale_per_output=self.scale_per_output, join_bias=self.join_bias)

    def auxiliary_blocks(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList],
                         random: torch.Generator) -> nn.ModuleList:
        """The blocks whose weights A starts from."""
        return blocks["auxiliary"]

    def tune(self, name: str, lr_scale: float, weight_decay: float) -> tuple[float, float]:
        from benchmark.model.pathway import is_auxiliary, is_scale

        if is_scale(name):
            lr_scale *= self.scale_lr_factor
        if is_auxiliary(name):
            lr_scale *= self.auxiliary_lr_factor
            weight_decay = weight_decay if self.auxiliary_decay else 0.0
        return lr_scale, weight_decay


def in_order(blocks: nn.ModuleList, order: str, random: torch.Generator) -> nn.ModuleList:
    """The same blocks, as they are, from last to first, or in a random order in which none keeps its place."""
    import torch
    from torch import nn

    places = torch.arange(len(blocks))
    if order == "reversed":
        places = places.flip(0)
    elif order == "permuted" and len(blocks) > 1:
        places = torch.randperm(len(blocks), generator=random)
        while bool((places == torch.arange(len(blocks))).any()):
            places = torch.randperm(len(blocks), generator=random)
    return nn.ModuleList(blocks[place] for place in places.tolist())


ARM = M2PT()
