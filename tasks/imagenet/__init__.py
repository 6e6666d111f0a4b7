"""Image classification: ImageNet-1K at paper scale, drawings of 22 kinds of things (six artists' emoji) embedded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmark.spec.contracts import ProfileSpec
from benchmark.spec.recipes import ModelShape, Setting
from tasks.imagenet.profiles import PAPER, SMALL, TINY
from tasks.pixels import PixelClassification

if TYPE_CHECKING:
    from benchmark.model.encoder import Head
    from benchmark.model.mae import MaskedTarget
    from benchmark.model.patches import PatchTokenizer


class ImageNet(PixelClassification):
    """ViT with class token: mean of patch tokens -> LayerNorm -> linear; pretrained as a masked autoencoder (MAE)."""

    name = "imagenet"
    summary = "image classification: ImageNet-1K; embedded: emoji of 22 kinds"
    modality = "image"
    sources = frozenset({"Noto Emoji", "Twemoji", "OpenMoji", "Fluent Emoji", "EmojiOne"})
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"tiny": TINY, "small": SMALL, "paper": PAPER}

    def tokenizer(self, shape: ModelShape) -> PatchTokenizer:
        from benchmark.model.patches import PatchTokenizer

        return PatchTokenizer(shape)

    def head(self, shape: ModelShape, num_classes: int, setting: Setting) -> Head:
        from benchmark.model.classification import MeanPoolHead, ProbeHead, class_token

        if setting == "fix":
            return ProbeHead(shape.embed_dim, num_classes, class_token)
        return MeanPoolHead(shape.embed_dim, num_classes, norm_eps=shape.norm_eps)

    def masked_target(self, shape: ModelShape) -> MaskedTarget:
        from benchmark.model.patches import PixelTarget

        return PixelTarget(shape)


TASK = ImageNet()
