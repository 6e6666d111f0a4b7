#!/usr/bin/env bash
# An area under the ROC curve is one of all samples together: in which batches they came does not matter, and neither do scores'
# sizes, as it counts their order. torchmetrics takes logits as well as probabilities, and decides which they are anew at each update:
# a batch with one number outside 0 to 1 goes through a sigmoid, a batch that happens to have none does not. Stored side by side they have
# another order. Of 2,000 logits the AUROC is 0.851 in batches of 8 and more, 0.802 one by one; of the same logits times 0.3, 0.501 one by
# one, which is chance, 0.67 in pairs and 0.81 by fours. Average precision and accuracy follow: 0.564 in place of 0.7615. Nothing is said.
# A last batch of a few samples is enough to move it. With a sigmoid taken before, or all in one call, it does not matter. The
# documentation names the sigmoid, not that it is by batch. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torchmetrics==1.9.0 torch==2.14.1 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torchmetrics
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.classification import BinaryAccuracy, BinaryAUROC, BinaryAveragePrecision

generator = torch.Generator().manual_seed(0)
labels = torch.randint(0, 2, (2000,), generator=generator)
logits = torch.randn(2000, generator=generator) + 0.7 * (2 * labels - 1)


def measure(scores: torch.Tensor, size: int) -> tuple[float, ...]:
    metrics = (BinaryAUROC(), BinaryAveragePrecision(), BinaryAccuracy())
    for metric in metrics:
        for start in range(0, len(scores), size):
            metric.update(scores[start:start + size], labels[start:start + size])
    return tuple(round(float(metric.compute()), 4) for metric in metrics)


print(f"torchmetrics {torchmetrics.__version__}, torch {torch.__version__}; AUROC, average precision, accuracy")
right = (float(roc_auc_score(labels, logits)), float(average_precision_score(labels, logits)),
         float(((logits > 0) == labels).float().mean()))
print("scikit-learn:", tuple(round(value, 4) for value in right))
found = {}
for name, scores in {"logits": logits, "logits times 0.3": 0.3 * logits, "sigmoid of logits times 0.3": (0.3 * logits).sigmoid()}.items():
    for size in (1, 2, 4, 8, 2000):
        found[name, size] = measure(scores, size)
    print(f"{name}: " + "; ".join(f"batches of {size} {found[name, size]}" for size in (1, 2, 4, 8, 2000)))
safe = [values for (name, size), values in found.items() if name.startswith("sigmoid") or size == 2000]
sys.exit(0 if all(abs(a - b) < 1e-3 for values in safe for a, b in zip(values, right, strict=True))
         and found["logits", 1][0] < 0.82 and found["logits times 0.3", 1][0] < 0.55 and found["logits times 0.3", 1][2] < 0.6
         and found["logits times 0.3", 4][0] < 0.83 else 1)
PYTHON
