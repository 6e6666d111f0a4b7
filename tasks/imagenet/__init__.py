"""Image classification: ImageNet-1K at paper scale, drawings of 22 kinds of things (six artists' emoji) embedded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmark.contracts import Meter, Metric, ProfileSpec, Split, Task
from benchmark.recipes import ModelShape, Setting, TrainRecipe
from tasks.imagenet.profiles import PAPER, SMALL, TINY

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.data import Batch, Examples
    from benchmark.encoder import Head
    from benchmark.mae import MaskedTarget
    from benchmark.patches import PatchTokenizer
    from benchmark.seeds import SampleRandom


class ImageNet(Task):
    """ViT with class token: mean of patch tokens -> LayerNorm -> linear; pretrained as a masked autoencoder (MAE)."""

    name = "imagenet"
    summary = "image classification: ImageNet-1K; embedded: emoji of 22 kinds"
    modality = "image"
    metrics = (Metric("top1"), Metric("top5"))
    sources = frozenset({"Noto Emoji", "Twemoji", "OpenMoji", "Fluent Emoji", "EmojiOne"})
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"tiny": TINY, "small": SMALL, "paper": PAPER}

    def data_digests(self, profile: str) -> dict[str, str]:
        from tasks.imagenet.data import digests

        return digests(profile)

    def load(self, profile: str) -> dict[Split, Examples]:
        from tasks.imagenet.data import load

        return load(profile)

    def load_pretraining(self, profile: str) -> Examples:
        from benchmark.data import Examples

        return Examples({"input": self.load(profile)["train"].columns["input"]})

    def tokenizer(self, shape: ModelShape) -> PatchTokenizer:
        from benchmark.patches import PatchTokenizer

        return PatchTokenizer(shape)

    def head(self, shape: ModelShape, num_classes: int, setting: Setting) -> Head:
        from benchmark.patches import MeanPoolHead, ProbeHead

        if setting == "fix":
            return ProbeHead(shape.embed_dim, num_classes, pool="cls")
        return MeanPoolHead(shape.embed_dim, num_classes)

    def masked_target(self, shape: ModelShape) -> MaskedTarget:
        from benchmark.patches import PixelTarget

        return PixelTarget(shape)

    def augment(self, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
        """(B, 3, H, W) bytes -> normalised floats"""
        from benchmark.augment import prepare_pixels

        return {**batch, "input": prepare_pixels(batch["input"], random, strengths)}

    def loss(self, logits: Tensor, batch: Batch, recipe: TrainRecipe) -> Tensor:
        from benchmark.classification import soft_cross_entropy

        return soft_cross_entropy(logits, batch["label"], recipe.label_smoothing)

    def meter(self, profile: str) -> Meter:
        from benchmark.classification import AccuracyMeter

        return AccuracyMeter()


TASK = ImageNet()
