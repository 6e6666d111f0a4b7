"""Sounds in, tags out: AudioSet-20K at paper scale, clips of game sound and instrument notes where data is embedded.

Shapes: B batch, F frames, M mel bins, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmark.spec.contracts import Meter, Metric, ProfileSpec, Task
from benchmark.spec.recipes import ModelShape, Setting, TrainRecipe
from tasks.audioset.profiles import PAPER, SMALL, TINY

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.data.examples import Batch
    from benchmark.data.seeds import SampleRandom
    from benchmark.model.encoder import Head, Tokenizer
    from benchmark.model.mae import MaskedTarget


class AudioSet(Task):
    """Multi-label tagging of spectrograms: patches, class token, mean of patch tokens -> LayerNorm -> Linear.

    Masked pretraining reconstructs normalised patches, hidden without structure, through a decoder of plain blocks with
    global attention, where AudioMAE has 16 Swin blocks.
    """

    name: ClassVar[str] = "audioset"
    summary: ClassVar[str] = "multi-label tagging of sounds (AudioSet-20K; embedded: game sounds and instrument notes)"
    modality: ClassVar[str] = "audio"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mAP"), Metric("classes without positives", unit="classes", higher_is_better=False))
    sources: ClassVar[frozenset[str]] = frozenset({"0 A.D.", "Flare: Empyrean Campaign", "FluidR3 GM"})
    profiles: ClassVar[Mapping[str, ProfileSpec]] = {"tiny": TINY, "small": SMALL, "paper": PAPER}
    shares: ClassVar[frozenset[str]] = frozenset({"roll", "mix", "drop_time", "drop_frequency"})

    def tokenizer(self, shape: ModelShape) -> Tokenizer:
        """(B, 1, F, M) -> tokens of `patch_size` (frames, mel bins), with a class token"""
        from benchmark.model.patches import PatchTokenizer

        return PatchTokenizer(shape, in_chans=1)

    def head(self, shape: ModelShape, num_classes: int, setting: Setting) -> Head:
        """Mean of patch tokens -> fc_norm -> Linear, std 2e-5; setting "fix": MAE's probe of the mean patch token"""
        from benchmark.model.classification import MeanPoolHead, ProbeHead

        if setting == "fix":
            return ProbeHead(shape.embed_dim, num_classes)
        return MeanPoolHead(shape.embed_dim, num_classes, norm_eps=shape.norm_eps)

    def masked_target(self, shape: ModelShape) -> MaskedTarget:
        """Values of every hidden patch, normalised patch by patch"""
        from benchmark.model.patches import PixelTarget

        return PixelTarget(shape, in_chans=1)

    def augment(self, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
        """(B, F, M) as stored -> (B, 1, F, M) normalised. Strengths: `tasks.audioset.spectrogram.STRENGTHS`."""
        from tasks.audioset.spectrogram import prepare

        return {**batch, "input": prepare(batch["input"], random, strengths)}

    def loss(self, logits: Tensor, batch: Batch, recipe: TrainRecipe) -> Tensor:
        """Binary cross-entropy, mean over samples and classes; raises `ValueError` where labels are to be smoothed."""
        import torch

        if recipe.label_smoothing:
            raise ValueError("audioset has no label smoothing: labels are independent yes/no answers; set it to 0")
        return torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), batch["label"])

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, C): every class by itself"""
        return logits.sigmoid()

    def outputs(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """(B, C) logits; of several test views, which none of the embedded profiles has, logarithms of probabilities"""
        return {"label": batch["label"] > 0.5, "score": logits}

    def meter(self, profile: str) -> Meter:
        """Mean average precision over all samples of a split"""
        from tasks.audioset.metrics import AveragePrecisionMeter

        return AveragePrecisionMeter()


TASK = AudioSet()
