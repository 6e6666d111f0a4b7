"""Heads, loss and accuracy of tasks with one label, or several, for a whole input.

Shapes: B batch, N tokens, P prefix tokens, D embed_dim, F features, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.data.examples import Batch
from benchmark.model.encoder import Features, Head, initialise_linear, layer_norm


def class_token(features: Features) -> Tensor:
    """(B, D)"""
    return features.sequence[:, 0]


def mean_of_patches(features: Features) -> Tensor:
    """(B, D), the mean of all tokens but the prefix"""
    return features.patches.mean(1)


class MeanPoolHead(Head):
    """Mean of the patch tokens -> LayerNorm -> Linear; weights start small so that logits start near 0 (MAE)."""

    def __init__(self, embed_dim: int, num_classes: int, init_std: float = 2e-5, norm_eps: float | None = None):
        super().__init__()
        self.fc_norm = layer_norm(norm_eps)(embed_dim)
        self.head = nn.Linear(embed_dim, num_classes)
        initialise_linear(self.head, init_std)

    def forward(self, features: Features, batch: Batch) -> Tensor:
        """(B, P+N, D) -> (B, C)"""
        logits: Tensor = self.head(self.fc_norm(mean_of_patches(features)))
        return logits


class ProbeHead(Head):
    """BatchNorm without affine -> Linear, of normalised features that `pool` takes (MAE's linear probe)."""

    normalised = True
    least_samples = 2

    def __init__(self, num_features: int, num_classes: int, pool: Callable[[Features], Tensor] = mean_of_patches):
        super().__init__()
        self.pool = pool
        self.batch_norm = nn.BatchNorm1d(num_features, affine=False, eps=1e-6)
        self.head = nn.Linear(num_features, num_classes)
        initialise_linear(self.head, 0.01)

    def forward(self, features: Features, batch: Batch) -> Tensor:
        """(B, P+N, D) -> pooled (B, F) -> (B, C)"""
        logits: Tensor = self.head(self.batch_norm(self.pool(features)))
        return logits


def soft_cross_entropy(logits: Tensor, label: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """(B, C) logits and labels, (B,) classes or (B, C) probabilities -> scalar mean.

    Probabilities come from mixing, which has smoothed them already: only classes are smoothed here.
    """
    if label.is_floating_point():
        return functional.cross_entropy(logits, label)
    return functional.cross_entropy(logits, label, label_smoothing=label_smoothing)


class AccuracyMeter:
    """Top-1 and top-5 accuracy in percent, over all samples seen.

    Of classes with equal scores, as bf16 makes them, the one of the lowest index comes first: top-1 is that of `argmax`.
    """

    def __init__(self) -> None:
        self.hits = {"top1": 0, "top5": 0}
        self.num_samples = 0

    def update(self, logits: Tensor, batch: Batch) -> None:
        """(B, C) scores; batch["label"] (B,) classes"""
        label = batch["label"][:, None]
        own = logits.gather(1, label)
        lower = torch.arange(logits.shape[1], device=logits.device) < label
        ahead = (~(logits <= own) | ((logits == own) & lower)).sum(1)  # what is no number is ahead, and behind all
        for name, places in (("top1", 1), ("top5", 5)):
            self.hits[name] += int((ahead < places).sum())
        self.num_samples += len(logits)

    def compute(self) -> dict[str, float]:
        """Percent by metric; raises `ValueError` before the first sample."""
        if not self.num_samples:
            raise ValueError("accuracy of no samples")
        return {name: 100 * hits / self.num_samples for name, hits in self.hits.items()}
