"""Logits of points in, intersection over union of fine-grained parts out, as PartNet's authors measure it.

Shapes: B batch, N points, L labels of all categories.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmark.data.examples import Batch
from benchmark.spec.contracts import add_up


class FinePartMeter:
    """Part mIoU and shape mIoU, in percent. Category c has the labels from offsets[c] up to offsets[c + 1].

    The first label of a category, "other", is never predicted, and points that have it count nowhere. Part mIoU: the
    intersection over union of a part over all shapes, its mean over the parts of a category that any shape has, and that
    mean over categories. Shape mIoU: the mean over the parts that are in a shape or its prediction, and that mean over shapes.
    """

    def __init__(self, offsets: Sequence[int]):
        self.offsets = offsets
        self.actual = torch.zeros(offsets[-1], dtype=torch.int64)
        self.both = torch.zeros(offsets[-1], dtype=torch.int64)
        self.either = torch.zeros(offsets[-1], dtype=torch.int64)
        self.of_shapes: list[float] = []

    def update(self, logits: Tensor, batch: Batch) -> None:
        """(B, N, L), "label" (B, N), "category" (B,)"""
        for scores, label, category in zip(logits, batch["label"], batch["category"].tolist(), strict=True):
            first, end = self.offsets[category : category + 2]
            known = label > first
            actual, predicted = label[known] - first, scores[known, first + 1 : end].argmax(-1) + 1
            counts = [torch.bincount(part, minlength=end - first).cpu() for part in (
                actual[actual == predicted], actual, predicted)]
            either = counts[1] + counts[2] - counts[0]
            self.actual[first:end] += counts[1]
            self.both[first:end] += counts[0]
            self.either[first:end] += either
            if (occur := either > 0).any():
                self.of_shapes.append((counts[0][occur] / either[occur]).double().mean().item())

    def compute(self) -> dict[str, float]:
        """Raises `ValueError` where nothing was collected."""
        shares, occur = self.both / self.either, self.actual > 0
        means = [shares[first:end][occur[first:end]].mean().item()
                 for first, end in zip(self.offsets, self.offsets[1:], strict=False) if occur[first:end].any()]
        if not means:
            raise ValueError("no predictions were collected")
        return {"part mIoU": 100 * add_up(means) / len(means),
                "shape mIoU": 100 * add_up(self.of_shapes) / len(self.of_shapes)}
