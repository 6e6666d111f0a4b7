"""Video classification: Kinetics-400 at paper scale, actions of animated characters from five games embedded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmark.contracts import Meter, Metric, ProfileSpec, Split, Task
from benchmark.recipes import ModelShape, Setting, TrainRecipe
from tasks.kinetics.profiles import PAPER, SMALL, TINY

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.data import Batch, Examples
    from benchmark.encoder import Head
    from benchmark.mae import MaskedTarget
    from benchmark.patches import PatchTokenizer
    from benchmark.seeds import SampleRandom


class Kinetics(Task):
    """ViT over tubelets, no class token: mean of tokens -> LayerNorm -> linear; pretrained as VideoMAE (tube masking).

    Logits' softmax is averaged over the clip and its mirror image.
    """

    name = "kinetics"
    summary = "video classification: Kinetics-400; embedded: 6 actions of game characters"
    modality = "video"
    metrics = (Metric("top1"), Metric("top5"))
    sources = frozenset({"Battle for Wesnoth", "Widelands", "Flare: Empyrean Campaign", "FreedroidRPG",
                         "Seven Kingdoms"})
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"tiny": TINY, "small": SMALL, "paper": PAPER}

    def data_digests(self, profile: str) -> dict[str, str]:
        from tasks.kinetics.data import digests

        return digests(profile)

    def load(self, profile: str) -> dict[Split, Examples]:
        from tasks.kinetics.data import load

        return load(profile)

    def load_pretraining(self, profile: str) -> Examples:
        from benchmark.data import Examples

        return Examples({"input": self.load(profile)["train"].columns["input"]})

    def tokenizer(self, shape: ModelShape) -> PatchTokenizer:
        from benchmark.patches import PatchTokenizer

        return PatchTokenizer(shape, class_token=False, flat_position=True)

    def head(self, shape: ModelShape, num_classes: int, setting: Setting) -> Head:
        from benchmark.patches import MeanPoolHead, ProbeHead

        if setting == "fix":
            return ProbeHead(shape.embed_dim, num_classes)
        return MeanPoolHead(shape.embed_dim, num_classes)

    def masked_target(self, shape: ModelShape) -> MaskedTarget:
        from benchmark.patches import PixelTarget

        return PixelTarget(shape, per_channel=True, tubes=True, flat_position=True)

    def augment(self, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
        """(B, 3, T, H, W) bytes -> normalised floats"""
        from benchmark.augment import prepare_pixels

        return {**batch, "input": prepare_pixels(batch["input"], random, strengths)}

    def views(self, batch: Batch) -> list[Batch]:
        clip = self.augment(batch, None, {})
        return [clip, {**clip, "input": clip["input"].flip(-1)}]

    def loss(self, logits: Tensor, batch: Batch, recipe: TrainRecipe) -> Tensor:
        from benchmark.classification import soft_cross_entropy

        return soft_cross_entropy(logits, batch["label"], recipe.label_smoothing)

    def meter(self, profile: str) -> Meter:
        from benchmark.classification import AccuracyMeter

        return AccuracyMeter()


class SingleFrame(Kinetics):
    """`kinetics` with every frame replaced by the middle one: what is known without motion."""

    name = "kinetics-frame"
    summary = "control of kinetics: the middle frame in place of the clip"
    pretrained_by = "kinetics"

    def augment(self, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
        clip = batch["input"]
        middle = clip.shape[2] // 2
        return super().augment({**batch, "input": clip[:, :, middle : middle + 1].expand_as(clip)}, random, strengths)


TASK = Kinetics()
SINGLE_FRAME = SingleFrame()
