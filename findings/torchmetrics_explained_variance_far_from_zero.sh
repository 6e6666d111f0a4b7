#!/usr/bin/env bash
# How much of the variance a model explains (R2) does not hang on where zero is. torchmetrics and torcheval keep sums of targets and of
# their squares in float32, from batch to batch, and the variance is what is left of one less the square of the other. Of targets with a
# deviation of 1, of which a model explains 75 %, all in float32, R2 is right about 0 and 100; about 1,000 it is 0.64 by torchmetrics and
# 0.69 by torcheval, about 10,000 (pascals, prices, days) 0 and minus infinity, and about 100,000 it is 1.0001 by both, more than all.
# ExplainedVariance and RelativeSquaredError follow. PearsonCorrCoef of torchmetrics keeps means and is right for all, as is scikit-learn's
# r2_score of the very same numbers in float32. So which model is best hangs on the unit. Nothing is said. Subtracting a constant from both
# first cures it, as does metric.set_dtype(torch.float64) with both as float64. An R2 above 1 is torchmetrics' issue 3077. Exits with 1
# where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torchmetrics==1.9.0 torcheval==0.0.7 torch==2.14.1 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import torch
import torcheval.metrics
import torchmetrics
from sklearn.metrics import r2_score

print(f"torchmetrics {torchmetrics.__version__}, torcheval {version('torcheval')}, torch {torch.__version__}")
generator = torch.Generator().manual_seed(0)
truth = torch.randn(10_000, generator=generator, dtype=torch.float64)
answer = truth + 0.5 * torch.randn(10_000, generator=generator, dtype=torch.float64)


def kept(metric, answers: torch.Tensor, truths: torch.Tensor, size: int = 500) -> float:
    for start in range(0, len(truths), size):
        metric.update(answers[start:start + size], truths[start:start + size])
    return float(metric.compute())


rows = {}
for level in (0, 100, 1000, 10_000, 100_000):
    truths, answers = (level + truth).float(), (level + answer).float()
    wide = torchmetrics.R2Score().set_dtype(torch.float64)
    rows[level] = {
        "scikit-learn": r2_score(truths.numpy(), answers.numpy()), "torchmetrics": kept(torchmetrics.R2Score(), answers, truths),
        "torcheval": kept(torcheval.metrics.R2Score(), answers, truths),
        "explained variance": kept(torchmetrics.ExplainedVariance(), answers, truths),
        "relative squared error": kept(torchmetrics.RelativeSquaredError(), answers, truths),
        "squared Pearson": kept(torchmetrics.PearsonCorrCoef(), answers, truths) ** 2,
        "numpy's squared Pearson": float(np.corrcoef(truths, answers)[0, 1] ** 2),
        "torchmetrics in float64": kept(wide, answers.double(), truths.double())}
    print(f"about {level}: " + ", ".join(f"{way} {value:.4f}" for way, value in rows[level].items()))
near = [abs(row[way] - row["scikit-learn"]) for row in rows.values() for way in ("torchmetrics in float64",)]
sys.exit(0 if max(near) < 1e-3 and max(abs(row["squared Pearson"] - row["numpy's squared Pearson"]) for row in rows.values()) < 1e-3
         and all(abs(rows[0][way] - rows[0]["scikit-learn"]) < 1e-3 for way in ("torchmetrics", "torcheval"))
         and all(abs(rows[level][way] - rows[level]["scikit-learn"]) > 0.01 for level in (1000, 10_000, 100_000)
                 for way in ("torchmetrics", "torcheval")) else 1)
PYTHON
