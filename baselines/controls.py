"""The controls: what a gain must beat before it may be called another modality's knowledge.

Most differ from the method in the origin of A alone (`M2PT.auxiliary_blocks`), and so keep its number of parameters, its
optimizer and its merge. The others alter what a pathway alters, without one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveFloat

from baselines.m2pt import M2PT
from benchmark.spec.contracts import Arm, Start
from benchmark.spec.recipes import Setting

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from benchmark.model.encoder import TransformerModel
    from benchmark.model.pathway import Pathway

OTHER_SEED = 1000  # added to the seed of a run for the pretraining that no other run of it starts from


class _Origin(M2PT):
    """The method with another origin of A."""

    uses_auxiliary: ClassVar[bool] = False
    is_method: ClassVar[bool] = False


class _Drawn(_Origin):
    """A control whose A is drawn at random."""

    later: ClassVar[frozenset[str]] = _Origin.later | {"draws"}
    unnamed: ClassVar[frozenset[str]] = frozenset({"draws"})

    draws: Literal["shared", "own"] = "shared"  # one stream a seed for all cells, or each target, auxiliary and setting its own

    def stream(self, task: str, setting: Setting, auxiliary: str | None) -> tuple[str, ...]:
        """One draw for all would make of many comparisons one; runs of seeds 0 to 5 were recorded with it."""
        shared = super().stream(task, setting, auxiliary)
        return shared if self.draws == "shared" else (*shared, task, setting, auxiliary or "")


class RandomInit(_Drawn):
    """A as an untrained transformer has it."""

    name: ClassVar[str] = "random-init"
    summary: ClassVar[str] = "pathways from untrained blocks (weights as from scratch, biases 0)"
    source: ClassVar[str] = "control of section 4.4.1, which compares with a number of another setting"

    def auxiliary_blocks(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList],
                         random: torch.Generator) -> nn.ModuleList:
        from torch.nn.init import zeros_

        from benchmark.model.encoder import draw_weight

        return _rewritten(model.blocks,
                          lambda held: draw_weight(held, model.init_std, random) if held.ndim > 1 else zeros_(held))


class RandomNorm(_Drawn):
    """A of the auxiliary's size and of nothing else of it."""

    name: ClassVar[str] = "random-norm"
    summary: ClassVar[str] = "pathways from Gaussian noise of the auxiliary's norm, layer by layer"
    source: ClassVar[str] = "control: more parameters of the same size, without knowledge"
    uses_auxiliary: ClassVar[bool] = True

    def auxiliary_blocks(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList],
                         random: torch.Generator) -> nn.ModuleList:
        return _gaussian(blocks["auxiliary"], random)


class Shuffled(_Drawn):
    """A with the auxiliary's values and without their places."""

    name: ClassVar[str] = "shuffled"
    summary: ClassVar[str] = "pathways from the auxiliary, the entries of every weight shuffled"
    source: ClassVar[str] = "control: the distribution of the weights without their structure"
    uses_auxiliary: ClassVar[bool] = True

    def auxiliary_blocks(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList],
                         random: torch.Generator) -> nn.ModuleList:
        import torch

        def shuffle(weight: Tensor) -> Tensor:
            return weight.flatten()[torch.randperm(weight.numel(), generator=random)].view_as(weight)

        return _rewritten(blocks["auxiliary"], shuffle)


class Permuted(_Drawn):
    """A with the auxiliary's singular values, its rows and columns in another order."""

    name: ClassVar[str] = "permuted"
    summary: ClassVar[str] = "pathways from the auxiliary, rows and columns of every weight permuted"
    source: ClassVar[str] = "control: the spectrum of the weights, not aligned with the target's channels"
    uses_auxiliary: ClassVar[bool] = True

    def auxiliary_blocks(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList],
                         random: torch.Generator) -> nn.ModuleList:
        import torch

        def permute(values: Tensor) -> Tensor:
            for axis, size in enumerate(values.shape):
                values = values.index_select(axis, torch.randperm(size, generator=random))
            return values

        return _rewritten(blocks["auxiliary"], permute)


class SameModality(_Origin):
    """A of the target's own modality, pretrained under a seed that nothing else here starts from."""

    name: ClassVar[str] = "same-modality"
    summary: ClassVar[str] = "pathways from the target's own modality, pretrained under another seed"
    source: ClassVar[str] = "control: is another modality needed?"

    def starts(self, modality: str, auxiliary: str | None, setting: Setting, seed: int) -> dict[str, Start]:
        starts = super().starts(modality, auxiliary, setting, seed)
        return {**starts, "auxiliary": Start(modality, seed + OTHER_SEED, self.maturity)}


class SelfCopy(_Origin):
    """A = W0: a pathway that brings nothing new, with all its parameters and its learning dynamics."""

    name: ClassVar[str] = "self-copy"
    summary: ClassVar[str] = "pathways from the target's own weights as they are before training"
    source: ClassVar[str] = "control: twice the parameters, no other model"

    def auxiliary_blocks(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList],
                         random: torch.Generator) -> nn.ModuleList:
        return model.blocks


class Zero(_Origin):
    """A = 0: at scale 0 neither gets a gradient, so this must equal the baseline bit for bit."""

    name: ClassVar[str] = "zero"
    summary: ClassVar[str] = "pathways from weights that are all 0; equal to the baseline, or the pipeline is wrong"
    source: ClassVar[str] = "sanity"

    def auxiliary_blocks(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList],
                         random: torch.Generator) -> nn.ModuleList:
        import torch

        return _rewritten(model.blocks, torch.zeros_like)


class Ceiling(_Origin):
    """A of the target's own pretraining, into fresh blocks with a fresh tokenizer.

    No bound on anything, whatever its name says: blocks without the tokenizer that they were trained with need not help, and
    an arm that starts from a solution can do better. The fresh weights are, bit for bit, those from which the pretraining of
    that seed began, so that A is W0 and what training added: in part a `self-copy`.
    """

    name: ClassVar[str] = "ceiling"
    summary: ClassVar[str] = "from scratch, pathways from the target modality's own pretrained blocks"
    source: ClassVar[str] = "control: an auxiliary of the same modality, in a target that knows nothing"
    settings: ClassVar[tuple[Setting, ...]] = ("scratch",)

    def starts(self, modality: str, auxiliary: str | None, setting: Setting, seed: int) -> dict[str, Start]:
        return {"auxiliary": Start(modality, seed, self.maturity)}


class Gain(Arm):
    """W (1 + s): what a scale can do without any second weight."""

    name: ClassVar[str] = "gain"
    summary: ClassVar[str] = "a trainable gain on every linear layer of the blocks, no auxiliary"
    source: ClassVar[str] = "control: the part of a pathway that changes the size of W alone"
    is_method: ClassVar[bool] = False

    scale_lr_factor: PositiveFloat = 1.0

    def build(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList], random: torch.Generator) -> list[Pathway]:
        from benchmark.model.connect import connect_gain

        return connect_gain(model.blocks)

    def tune(self, name: str, lr_scale: float, weight_decay: float) -> tuple[float, float]:
        from benchmark.model.pathway import is_scale

        return lr_scale * (self.scale_lr_factor if is_scale(name) else 1), weight_decay


class HigherRate(Arm):
    """The plain model with a higher learning rate, as W and A together move faster than W alone."""

    name: ClassVar[str] = "higher-lr"
    summary: ClassVar[str] = "the plain model, all learning rates times lr_factor"
    source: ClassVar[str] = "control: an effective learning rate"
    is_method: ClassVar[bool] = False

    lr_factor: PositiveFloat = 2.0

    def tune(self, name: str, lr_scale: float, weight_decay: float) -> tuple[float, float]:
        return lr_scale * self.lr_factor, weight_decay


class AuxInit(Arm):
    """The target's blocks begin as the auxiliary's: transfer without a pathway."""

    name: ClassVar[str] = "aux-init"
    summary: ClassVar[str] = "blocks initialised with the auxiliary's, no pathway"
    source: ClassVar[str] = "control: is a pathway needed to use the auxiliary?"
    is_method: ClassVar[bool] = False
    uses_auxiliary: ClassVar[bool] = True

    def build(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList], random: torch.Generator) -> list[Pathway]:
        model.blocks.load_state_dict(blocks["auxiliary"].state_dict())
        return []


class Merge(Arm):
    """W0 + c A before training, and nothing of A after."""

    name: ClassVar[str] = "merge"
    summary: ClassVar[str] = "the auxiliary's weights, times merge_scale, added to the target's once, before training"
    source: ClassVar[str] = "control: the starting point of a pathway without its training"
    is_method: ClassVar[bool] = False
    uses_auxiliary: ClassVar[bool] = True

    merge_scale: float = 1.0

    def build(self, model: TransformerModel, blocks: Mapping[str, nn.ModuleList], random: torch.Generator) -> list[Pathway]:
        from benchmark.model.connect import linear_layers

        added = dict(linear_layers(self.added_blocks(blocks["auxiliary"], random)))
        for name, linear in linear_layers(model.blocks):
            if linear.weight.shape != added[name].weight.shape:
                raise ValueError(f"layer {name}: target weight is {tuple(linear.weight.shape)}, "
                                 f"auxiliary weight is {tuple(added[name].weight.shape)}; only equal shapes can be merged")
            linear.weight.data += self.merge_scale * added[name].weight.detach()
        return []

    def added_blocks(self, auxiliary: nn.ModuleList, random: torch.Generator) -> nn.ModuleList:
        """The blocks whose weights are added."""
        return auxiliary


class MergeOwn(Merge):
    """The first attempt at an effect planted on purpose, and one that failed: without the tokenizer that they grew up with,
    the added weights are not shown to help. `MergeWhole` came after that was seen. What is added began as the very weights that
    it is added to, so that it lies along them, as noise of its size does not."""

    name: ClassVar[str] = "merge-own"
    summary: ClassVar[str] = "from scratch, the target modality's own pretrained weights added before training"
    source: ClassVar[str] = "planted effect, the first attempt"
    settings: ClassVar[tuple[Setting, ...]] = ("scratch",)
    uses_auxiliary: ClassVar[bool] = False

    def starts(self, modality: str, auxiliary: str | None, setting: Setting, seed: int) -> dict[str, Start]:
        return {"auxiliary": Start(modality, seed)}


class MergeRandom(MergeOwn):
    """Noise of the size of what `MergeOwn` adds."""

    name: ClassVar[str] = "merge-random"
    summary: ClassVar[str] = "from scratch, noise of the norm of those weights added before training"
    source: ClassVar[str] = "control of the planted effect"

    def added_blocks(self, auxiliary: nn.ModuleList, random: torch.Generator) -> nn.ModuleList:
        return _gaussian(auxiliary, random)


def _gaussian(blocks: nn.ModuleList, random: torch.Generator) -> nn.ModuleList:
    """The same blocks, weights and biases of linear layers replaced by normal noise of their norms."""
    import torch

    def draw(values: Tensor) -> Tensor:
        drawn = torch.randn(values.shape, generator=random, dtype=values.dtype)
        noise: Tensor = drawn * (values.norm() / drawn.norm())
        return noise

    return _rewritten(blocks, draw)


def _rewritten(blocks: nn.ModuleList, rewrite: Callable[[Tensor], Tensor]) -> nn.ModuleList:
    """A copy of the blocks, what linear layers hold replaced by what `rewrite` makes of it; weights before biases, which only
    pathways with joined biases use, so that these alter no weight."""
    from benchmark.model.connect import linear_layers

    rewritten = copy.deepcopy(blocks)
    linears = [linear for _, linear in linear_layers(rewritten)]
    for held in (*(linear.weight for linear in linears), *(linear.bias for linear in linears if linear.bias is not None)):
        held.data = rewrite(held.detach())
    return rewritten


CONTROLS: tuple[Arm, ...] = (
    RandomInit(), RandomNorm(), Shuffled(), Permuted(), SameModality(), SelfCopy(), Zero(), Ceiling(), Gain(), HigherRate(),
    AuxInit(), Merge(), MergeOwn(), MergeRandom())
