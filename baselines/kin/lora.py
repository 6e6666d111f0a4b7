"""LoRA: y = x (W + (alpha / r) B A)^T + b, with B = 0 at first (Hu et al., ICLR 2022, section 4.1).

No claim is tested here: it is what a pathway is compared with at equal trained numbers or equal time, and it has nothing of any
other model. In the setting `fix` W is frozen, as published; in `pretrained` it trains beside B and A, as beside a pathway.
Other than published, every linear layer of the blocks has one, not those of attention alone, and B and A have no weight decay.

Cost: r (out + in) more trained numbers a layer, and a product of that size a step; nothing once merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import PositiveFloat, PositiveInt

from baselines.kin.origin import Control, Setting

if TYPE_CHECKING:
    from baselines.kin.origin import Blocks, Model, Pathways, Random


class Lora(Control):
    """A is normal with variance 1 / in_features, so that A x is of the size of x."""

    name: ClassVar[str] = "lora"
    summary: ClassVar[str] = "low-rank adapters of every linear layer of the blocks, which know nothing at first"
    source: ClassVar[str] = "Hu et al., ICLR 2022, section 4.1; what a pathway of equal cost is compared with"
    settings: ClassVar[tuple[Setting, ...]] = ("pretrained", "fix")

    rank: PositiveInt = 8
    alpha: PositiveFloat | None = None  # None: r, so that B A counts as it is

    def build(self, model: Model, blocks: Blocks, random: Random) -> Pathways:
        import torch

        from baselines.kin.factored import connect_factors
        from benchmark.model.connect import linear_layers

        pathways = []
        for name, linear in list(linear_layers(model.blocks)):
            left = torch.zeros(linear.out_features, self.rank)
            right = torch.randn(linear.in_features, self.rank, generator=random) / linear.in_features**0.5
            pathways.append(connect_factors(name, linear, left, right, scale=(self.alpha or self.rank) / self.rank))
        return pathways
