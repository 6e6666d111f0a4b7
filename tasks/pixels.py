"""What classification of images and of clips shares: one class for each input, RGB pixels, windows as test views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from benchmark.spec.contracts import Meter, Metric, Task
from benchmark.spec.recipes import ModelShape, TrainRecipe

if TYPE_CHECKING:
    from torch import Tensor

    from benchmark.data.examples import Batch
    from benchmark.data.seeds import SampleRandom


class PixelClassification(Task):
    """Base of tasks whose input is (C, H, W) or (C, T, H, W) RGB bytes and whose label is one class."""

    metrics = (Metric("top1"), Metric("top5"))
    shares = frozenset({"crop", "clamped_crop", "multi_scale", "translate", "flip", "recolour", "erase"})

    def augment(self, batch: Batch, random: SampleRandom | None, strengths: Mapping[str, float]) -> Batch:
        """Bytes -> normalised floats; see `benchmark.data.augment.prepare_pixels`."""
        from benchmark.data.augment import prepare_pixels

        return {**batch, "input": prepare_pixels(batch["input"], random, strengths)}

    def views(self, batch: Batch, shape: ModelShape, counts: Mapping[str, int]) -> Iterator[Batch]:
        """See `benchmark.data.augment.view_windows`."""
        from benchmark.data.augment import view_windows

        for view in view_windows(batch["input"], shape.input_size, counts):
            yield self.augment({**batch, "input": view}, None, {})

    def loss(self, logits: Tensor, batch: Batch, recipe: TrainRecipe) -> Tensor:
        """Cross-entropy with classes or with probabilities."""
        from benchmark.model.classification import soft_cross_entropy

        return soft_cross_entropy(logits, batch["label"], recipe.label_smoothing)

    def meter(self, profile: str) -> Meter:
        """Share of samples whose class is the first, and among the first five"""
        from benchmark.model.classification import AccuracyMeter

        return AccuracyMeter()
