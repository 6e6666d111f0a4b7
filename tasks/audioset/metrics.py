"""Scores and labels of a split in, mean average precision out.

Shapes: N samples of the split, C classes.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score
from torch import Tensor

from benchmark.data.examples import Batch


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
    """(N, C) scores, (N, C) 0/1 labels -> mAP in percent, number of classes without positives, which it leaves out.

    The unweighted mean over classes of scikit-learn's average precision; raises `ValueError` where no class has any.
    """
    present = labels.any(0)
    if not present.any():
        raise ValueError(f"mAP is undefined: none of {labels.shape[1]} classes has a positive in {len(labels)} samples")
    precisions = [average_precision_score(labels[:, c], scores[:, c]) for c in np.flatnonzero(present)]
    return 100 * float(np.mean(precisions)), int((~present).sum())


class AveragePrecisionMeter:
    """Collects the scores of one split. Any increasing function of the probabilities serves: only the order counts."""

    def __init__(self) -> None:
        self.scores: list[np.ndarray] = []
        self.labels: list[np.ndarray] = []

    def update(self, logits: Tensor, batch: Batch) -> None:
        """(B, C) scores, with batch["label"] (B, C)"""
        self.scores.append(logits.detach().float().cpu().numpy())
        self.labels.append(batch["label"].cpu().numpy() > 0.5)

    def compute(self) -> dict[str, float]:
        """ "mAP" in percent and "classes without positives" """
        value, num_absent = mean_average_precision(np.concatenate(self.scores), np.concatenate(self.labels))
        return {"mAP": value, "classes without positives": float(num_absent)}
