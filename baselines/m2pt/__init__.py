"""The method: pathways from a transformer of another modality (Zhang et al., CVPR 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmark.contracts import Arm

if TYPE_CHECKING:
    import torch
    from torch import nn

    from benchmark.encoder import TransformerModel
    from benchmark.pathway import Pathway


class M2PT(Arm):
    """y = x (W + s A)^T + b in every linear layer of the blocks; in the setting `fix` only scales and head train."""

    name: ClassVar[str] = "m2pt"
    summary: ClassVar[str] = "pathways from an auxiliary modality's pretrained blocks, merged after training"
    source: ClassVar[str] = "section 3.2, equation 6; Tables 1-4"
    uses_auxiliary: ClassVar[bool] = True
    is_method: ClassVar[bool] = True

    layers: tuple[str, ...] | None = None  # names inside a block, e.g. ("attn.qkv",); None: all
    scale_init: float = 0.0
    train_scale: bool = True
    train_auxiliary: bool = True

    def build(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList], random: torch.Generator) -> list[Pathway]:
        from benchmark.pathway import connect

        return connect(model.blocks, blocks["auxiliary"], layers=self.layers, scale_init=self.scale_init,
                       train_scale=self.train_scale, train_auxiliary=self.train_auxiliary)


ARM = M2PT()
