"""Features of a cloud in, class logits out, and logits to accuracies.

Shapes: B batch, D embed_dim, h hidden_dim, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.data.examples import Batch
from benchmark.model.encoder import Features, Head
from benchmark.spec.recipes import ModelShape


def pooled(features: Features) -> Tensor:
    """(B, 2D): the class token and the maximum over the others"""
    return torch.cat([features.sequence[:, 0], features.patches.amax(1)], 1)


class PointClassifier(Head):
    """2D -> h BN ReLU dropout .5 -> h BN ReLU dropout .5 -> C (Point-MAE)."""

    normalised = True
    least_samples = 2

    def __init__(self, shape: ModelShape, num_classes: int):
        super().__init__()
        width = shape.hidden_dim
        self.layers = nn.Sequential(
            nn.Linear(2 * shape.embed_dim, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.Linear(width, num_classes))

    def forward(self, features: Features, batch: Batch) -> Tensor:
        """(B, C)"""
        logits: Tensor = self.layers(pooled(features))
        return logits


class ClassAccuracyMeter:
    """Overall accuracy, and the mean over the classes that occur of the accuracy on each; in percent."""

    def __init__(self, num_classes: int):
        self.correct = torch.zeros(num_classes, dtype=torch.int64)
        self.total = torch.zeros(num_classes, dtype=torch.int64)

    def update(self, logits: Tensor, batch: Batch) -> None:
        """(B, C), "label" (B,)"""
        label = batch["label"].cpu()
        hit = logits.argmax(-1).cpu() == label
        self.correct += label[hit].bincount(minlength=len(self.total))
        self.total += label.bincount(minlength=len(self.total))

    def compute(self) -> dict[str, float]:
        """Raises `ValueError` where nothing was collected."""
        seen = self.total > 0
        if not seen.any():
            raise ValueError("no predictions were collected")
        by_class = self.correct[seen].double() / self.total[seen]
        return {"accuracy": 100 * float(self.correct.sum() / self.total.sum().double()),
                "mean class accuracy": 100 * float(by_class.mean())}
