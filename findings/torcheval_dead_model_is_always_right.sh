#!/usr/bin/env bash
# A model that says nothing is right as often as chance: its top-5 accuracy of 1,000 classes is 0.5 %. torcheval counts how many classes
# have a score above that of the right one, and calls it right where they are fewer than five. A model whose outputs are all NaN, as after
# a run that diverged, has none above, and so a top-5 accuracy of 100 %, a hit rate of 1 and a mean reciprocal rank of 1, and so has one
# whose outputs are all equal (a dead last layer): the best row of a search is a dead run. With k=1 the same outputs have 0.1 %, as there
# it takes argmax. It needs no dead model: in bfloat16, where numbers about 10 are 1/16 apart, scores that are drawn at random (deviation
# 0.05) have 3.5 %. torchmetrics and topk of the very same give chance. Nothing is said. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torcheval==0.0.7 torchmetrics==1.9.0 torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import torch
import torchmetrics.functional
from torcheval.metrics import MulticlassAccuracy
from torcheval.metrics.functional import hit_rate, multiclass_accuracy, reciprocal_rank

CLASSES, SAMPLES = 1000, 2000
generator = torch.Generator().manual_seed(0)
labels = torch.randint(0, CLASSES, (SAMPLES,), generator=generator)
drawn = torch.randn(SAMPLES, CLASSES, generator=generator)
scores = {"NaN": torch.full((SAMPLES, CLASSES), float("nan")), "all equal": torch.zeros(SAMPLES, CLASSES), "drawn": drawn,
          "drawn about 10 with a deviation of 0.05, bfloat16": (10 + 0.05 * drawn).bfloat16()}
print(f"torcheval {version('torcheval')}, torchmetrics {torchmetrics.__version__}, torch {torch.__version__}; {CLASSES} classes")
found = {}
for name, score in scores.items():
    metric = MulticlassAccuracy(k=5)
    metric.update(score, labels)
    found[name] = {
        "torcheval k=1": float(multiclass_accuracy(score, labels, k=1)), "k=5": float(multiclass_accuracy(score, labels, k=5)),
        "k=5 by batches": float(metric.compute()), "hit rate of 5": float(hit_rate(score, labels, k=5).mean()),
        "reciprocal rank": float(reciprocal_rank(score, labels).mean()),
        "torchmetrics k=5": float(torchmetrics.functional.accuracy(score, labels, task="multiclass", num_classes=CLASSES, top_k=5,
                                                                    average="micro")),
        "topk": float((score.topk(5).indices == labels[:, None]).any(1).float().mean())}
    print(f"{name}: " + ", ".join(f"{way} {value:.4f}" for way, value in found[name].items()))
dead = [found[name][way] for name in ("NaN", "all equal") for way in ("k=5", "k=5 by batches", "hit rate of 5", "reciprocal rank")]
sys.exit(0 if set(dead) == {1.0} and found["NaN"]["torcheval k=1"] < 0.01 and found["drawn"]["k=5"] < 0.01
         and found["drawn about 10 with a deviation of 0.05, bfloat16"]["k=5"] > 0.02
         and all(values[way] < 0.02 for values in found.values() for way in ("torchmetrics k=5", "topk")) else 1)
PYTHON
