#!/usr/bin/env bash
# An area under the ROC curve is a matter of ranks, so how rare what is looked for is changes it little. river's ROCAUC counts at ten
# thresholds between 0 and 1, and events that come once in fifty cases (fraud, clicks, faults) have probabilities that nearly all lie below
# the third of them. Its page says that the error "is not significant as long as the predicted probabilities are well calibrated", and that
# the metric can "in any case" be used "to reliably compare models". Of a model that gives each case exactly the probability of its event the
# area is 0.81, and river's too, where half are events. Where 2 % are, it is 0.84 and river's 0.64; where 0.2 % are, 0.86 and 0.51, which is
# chance. A second model that ranks worse, with 0.76, and tells 20 times the odds has 0.75 by river, and looks better than the first. keras'
# AUC has 200 thresholds: 0.75 where 0.2 % are events, 0.58 in place of 0.86 where one in 2,000 is, as with clicks. Exits with 1 where that
# has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q river==0.26.1 keras==3.15.1 jax==0.10.2 scipy==1.17.1 numpy==2.4.6
KERAS_BACKEND=jax "$folder/venv/bin/python" - <<'PYTHON'
import sys

import keras
import numpy as np
import river
from river.metrics import ROCAUC
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import rankdata

print(f"river {river.__version__}, keras {keras.__version__}, numpy {np.__version__}")
generator = np.random.default_rng(0)
COUNT = 100_000


def by_ranks(events: np.ndarray, scores: np.ndarray) -> float:
    """The share of pairs of an event and another case in which the event has the higher score"""
    many = events.sum()
    return float((rankdata(scores)[events].sum() - many * (many + 1) / 2) / many / (len(events) - many))


def by_river(events: np.ndarray, scores: np.ndarray) -> float:
    metric = ROCAUC()
    for event, score in zip(events.tolist(), scores.tolist(), strict=True):
        metric.update(event, score)
    return metric.get()


def by_keras(events: np.ndarray, scores: np.ndarray) -> float:
    metric = keras.metrics.AUC()
    metric.update_state(events.astype(np.float32), scores.astype(np.float32))
    return float(metric.result())


seen = {}
for rate in (0.5, 0.02, 0.002, 0.0005):
    signal = 1.5 * generator.normal(size=COUNT if rate > 0.001 else 4 * COUNT)
    odds = brentq(lambda moved: expit(signal + moved).mean() - rate, -20, 5)  # noqa: B023  # it is called here alone
    probabilities = expit(signal + odds)
    events = generator.random(len(signal)) < probabilities  # so probabilities are calibrated by construction
    worse = expit(signal + 1.5 * generator.normal(size=len(signal)) + odds + np.log(20))
    seen[rate] = [(by_ranks(events, scores), by_river(events, scores), by_keras(events, scores))
                  for scores in (probabilities, worse)]
    for name, (right, streamed, binned) in zip(("calibrated", "worse and 20 times the odds"), seen[rate], strict=True):
        print(f"{rate:.2%} are events, {name}: by ranks {right:.3f}, river {streamed:.3f}, keras {binned:.3f}; "
              f"99 % of the probabilities are below {np.quantile(probabilities if name == 'calibrated' else worse, 0.99):.4f}")
off = {rate: [abs(found - first[0]) for found in first] for rate, (first, _) in seen.items()}
sys.exit(0 if off[0.5][1] < 0.02 and off[0.02][1] > 0.15 and off[0.002][1] > 0.3 and off[0.002][2] > 0.08
         and off[0.0005][2] > 0.2 and seen[0.02][1][0] < seen[0.02][0][0] and seen[0.02][1][1] > seen[0.02][0][1] else 1)
PYTHON
