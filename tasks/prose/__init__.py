"""Classification of text: passages of Python's manual by chapter, embedded. A fifth modality, foremost as an auxiliary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmark.spec.contracts import Meter, Metric, ProfileSpec, Task
from benchmark.spec.recipes import ModelShape, Setting, TrainRecipe
from tasks.prose.profiles import SMALL, TINY

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.data.examples import Batch
    from benchmark.data.seeds import SampleRandom
    from benchmark.model.encoder import Head
    from benchmark.model.mae import MaskedTarget
    from benchmark.model.patches import PatchTokenizer


class Prose(Task):
    """Characters four at a time as tokens, and a class token: mean of tokens -> LayerNorm -> linear; pretrained by guessing the
    characters of hidden tokens (as BERT guesses words, with the encoder and decoder of MAE).
    """

    name = "prose"
    summary = "text classification; embedded: passages of Python's manual, 12 chapters"
    modality = "prose"
    metrics = (Metric("top1"), Metric("top5"))
    sources = frozenset({"Python documentation"})
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"tiny": TINY, "small": SMALL}
    shares = frozenset({"crop", "typos"})
    mixable = False  # passages of two texts, character on character, are no passage
    on_request = True

    def tokenizer(self, shape: ModelShape) -> PatchTokenizer:
        from benchmark.data.characters import CHARACTERS
        from benchmark.model.patches import PatchTokenizer

        return PatchTokenizer(shape, in_chans=CHARACTERS)

    def head(self, shape: ModelShape, num_classes: int, setting: Setting) -> Head:
        from benchmark.model.classification import MeanPoolHead, ProbeHead

        if setting == "fix":
            return ProbeHead(shape.embed_dim, num_classes)
        return MeanPoolHead(shape.embed_dim, num_classes, norm_eps=shape.norm_eps)

    def masked_target(self, shape: ModelShape) -> MaskedTarget:
        from benchmark.model.patches import CharacterTarget

        return CharacterTarget(shape)

    def augment(self, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
        """Codes -> a window of characters, one-hot; see `tasks.prose.passages.prepare_passages`."""
        from tasks.prose.passages import prepare_passages

        return {**batch, "input": prepare_passages(batch["input"], random, strengths)}

    def loss(self, logits: Tensor, batch: Batch, recipe: TrainRecipe) -> Tensor:
        """Cross-entropy with classes"""
        from benchmark.model.classification import soft_cross_entropy

        return soft_cross_entropy(logits, batch["label"], recipe.label_smoothing)

    def meter(self, profile: str) -> Meter:
        """Share of samples whose class is the first, and among the first five"""
        from benchmark.model.classification import AccuracyMeter

        return AccuracyMeter()


TASK = Prose()
