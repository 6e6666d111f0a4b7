"""A known solution, and doses of it: what a pathway brings where A is known to hold what the target needs.

First the linear layers of the blocks are fine-tuned alone (`finetune-linear`): tau is what their weights gain. Then a pathway
gets A = tau, so that s = 1 in every layer is the trained model, or A of the same size that shares with tau a cosine of rho.

The head is fresh in every arm, as in the baselines, and trains: what the solution is worth comes through its pathways alone,
and the trained head, which would be a second way in, is not inherited. (Under the setting `fix` a head may be of another kind
than the trained one; the blocks at s = 1 are those of the trained model all the same.) Rates are those of the method.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from baselines.m2pt import M2PT
from benchmark.spec.contracts import Arm, Trained
from benchmark.spec.recipes import Setting

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from benchmark.model.encoder import TransformerModel
    from benchmark.model.pathway import Pathway

ROLE = "solution"  # of the training that tau is taken from


class FinetuneLinear(Arm):
    """Fine-tuning of what pathways can reach: the weights of the linear layers of the blocks, and the head.

    All else stays as pretraining left it, statistics of batch norms and tokens that pretraining did without included, so that
    the trained model differs from the pretrained one in these weights, and in the head, alone.
    """

    name: ClassVar[str] = "finetune-linear"
    summary: ClassVar[str] = "pretrained, then only the weights of the blocks' linear layers and the head are fine-tuned"
    source: ClassVar[str] = "makes the known solution; what of fine-tuning can go through pathways"
    is_method: ClassVar[bool] = False
    settings: ClassVar[tuple[Setting, ...]] = ("pretrained",)

    def build(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList], random: torch.Generator) -> list[Pathway]:
        from torch.nn.modules.batchnorm import _BatchNorm

        from benchmark.model.connect import linear_layers

        model.requires_grad_(False)
        model.head.requires_grad_(True)
        for _, linear in linear_layers(model.blocks):
            linear.weight.requires_grad_(True)
        for part in (model.tokenizer, model.blocks, model.norm):
            for module in part.modules():
                if isinstance(module, _BatchNorm):
                    module.momentum = 0.0  # its statistics stay
        return []


class _Known(M2PT):
    """The method with an A that is made from tau; `mixed` says how."""

    settings: ClassVar[tuple[Setting, ...]] = ("pretrained", "fix")
    uses_auxiliary: ClassVar[bool] = False
    is_method: ClassVar[bool] = False

    def trained(self, setting: Setting, seed: int) -> dict[str, Trained]:
        return {ROLE: Trained(FINETUNE_LINEAR, "pretrained", seed)}

    def stream(self, task: str, setting: Setting, auxiliary: str | None) -> tuple[str, ...]:
        """Of its own for every target and setting."""
        return (*super().stream(task, setting, auxiliary), task, setting, auxiliary or "")

    def auxiliary_blocks(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList],
                         random: torch.Generator) -> nn.ModuleList:
        import torch

        from benchmark.data.seeds import generator
        from benchmark.model.connect import linear_layers

        made = copy.deepcopy(blocks[ROLE])
        start = dict(linear_layers(model.blocks))
        for name, linear in linear_layers(made):
            tau = linear.weight.detach() - start[name].weight.detach()
            own = generator(random.initial_seed(), "layer", name)  # so that no layer's size shifts another's noise
            linear.weight.data = self.mixed(tau, torch.randn(tau.shape, generator=own, dtype=tau.dtype))
        return made

    def mixed(self, tau: Tensor, noise: Tensor) -> Tensor:
        """tau and normal noise of its shape -> A, of the size of tau"""
        raise TypeError(f"{type(self).__name__} does not define mixed")


class Solution(_Known):
    """A = rho tau + noise at right angles to it, so that cos(A, tau) = rho and \\|A\\| = \\|tau\\| in every layer."""

    name: ClassVar[str] = "solution"
    summary: ClassVar[str] = "pathways from what fine-tuning adds to the linear layers, diluted with noise to cosine rho"
    source: ClassVar[str] = "known solution: which cosine with the target's own change does the pipeline detect?"

    rho: float = Field(1.0, gt=0, le=1)  # 1: s = 1 in every layer is the trained model

    def mixed(self, tau: Tensor, noise: Tensor) -> Tensor:
        size = tau.norm()
        across = noise - tau * ((noise * tau).sum() / size.square().clamp_min(1e-30))
        made: Tensor = self.rho * tau + (1 - self.rho**2) ** 0.5 * across * (size / across.norm())
        return made


class SolutionNoise(_Known):
    """A of the size of tau, and of no direction of it."""

    name: ClassVar[str] = "solution-noise"
    summary: ClassVar[str] = "pathways from Gaussian noise of the known solution's norm, layer by layer"
    source: ClassVar[str] = "control of the known solution"

    def mixed(self, tau: Tensor, noise: Tensor) -> Tensor:
        made: Tensor = noise * (tau.norm() / noise.norm())
        return made


FINETUNE_LINEAR = FinetuneLinear()
SOLUTIONS: tuple[Arm, ...] = (FINETUNE_LINEAR, Solution(), SolutionNoise())
