"""Logits and labels of one-label tasks in, loss and accuracy out.

Shapes: B batch, C classes.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from benchmark.data import Batch


def soft_cross_entropy(logits: Tensor, label: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """(B, C) logits and labels, (B,) classes or (B, C) probabilities -> scalar mean.

    Probabilities come from mixing, which has smoothed them already: only classes are smoothed here.
    """
    if label.is_floating_point():
        return functional.cross_entropy(logits, label)
    return functional.cross_entropy(logits, label, label_smoothing=label_smoothing)


class AccuracyMeter:
    """Top-1 and top-5 accuracy in percent, over all samples seen."""

    def __init__(self) -> None:
        self.hits = {"top1": 0, "top5": 0}
        self.num_samples = 0

    def update(self, logits: Tensor, batch: Batch) -> None:
        """(B, C) scores; batch["label"] (B,) classes"""
        hit = logits.topk(min(5, logits.shape[1])).indices == batch["label"][:, None]
        self.hits["top1"] += int(hit[:, 0].sum())
        self.hits["top5"] += int(hit.sum())
        self.num_samples += len(logits)

    def compute(self) -> dict[str, float]:
        """Percent by metric; raises `ValueError` before the first sample."""
        if not self.num_samples:
            raise ValueError("accuracy of no samples")
        return {name: 100 * hits / self.num_samples for name, hits in self.hits.items()}
