"""Image classification: ImageNet-1K at paper scale, drawings of 22 kinds of things (six artists' emoji) embedded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmark.contracts import Meter, Metric, ProfileSpec, Task
from benchmark.recipes import ModelShape, Setting, TrainRecipe
from tasks.imagenet.profiles import PAPER, SMALL, TINY

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.data import Batch, Examples, Split
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

    def load(self, profile: str) -> dict[Split, Examples]:
        """ "input" (3, 32, 32) RGB bytes, "label"; all drawings of one concept are in one split."""
        from benchmark.data.embedded import load_pixels

        return load_pixels(self.profiles[profile].data_sets[0])

    def tokenizer(self, shape: ModelShape) -> PatchTokenizer:
        from benchmark.patches import PatchTokenizer

        return PatchTokenizer(shape)

    def head(self, shape: ModelShape, num_classes: int, setting: Setting) -> Head:
        from benchmark.classification import MeanPoolHead, ProbeHead, class_token

        if setting == "fix":
            return ProbeHead(shape.embed_dim, num_classes, class_token)
        return MeanPoolHead(shape.embed_dim, num_classes)

    def masked_target(self, shape: ModelShape) -> MaskedTarget:
        from benchmark.patches import PixelTarget

        return PixelTarget(shape)

    def augment(self, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
        """(B, 3, H, W) bytes -> normalised floats"""
        from benchmark.augment import prepare_pixels

        return {**batch, "input": prepare_pixels(batch["input"], random, strengths)}

    def views(self, batch: Batch, shape: ModelShape, counts: Mapping[str, int]) -> Iterator[Batch]:
        """See `benchmark.augment.view_windows`."""
        from benchmark.augment import view_windows

        for view in view_windows(batch["input"], shape.input_size, counts):
            yield self.augment({**batch, "input": view}, None, {})

    def loss(self, logits: Tensor, batch: Batch, recipe: TrainRecipe) -> Tensor:
        from benchmark.classification import soft_cross_entropy

        return soft_cross_entropy(logits, batch["label"], recipe.label_smoothing)

    def meter(self, profile: str) -> Meter:
        from benchmark.classification import AccuracyMeter

        return AccuracyMeter()


TASK = ImageNet()
