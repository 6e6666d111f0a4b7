#!/usr/bin/env bash
# A quantile lies between the least and the greatest value, and the quantile of 0.5 is the median. numpy widens integers for a mean, a
# deviation and a median. percentile, quantile and nanpercentile take the difference of two neighbouring values in their own type before
# they interpolate, and where it does not fit, it wraps: of -100 and 100 in int8 the quantile of 0.5 is 128, which int8 does not have, and
# np.median is 0. It takes two neighbours in rank that are far apart, so it does not come with many values, but with few: where four
# quantised models vote in int8, and two of them are sure of one class and two of the other, each quantile of 0.5 is 128 too high, and all
# are for the same class. Samples of loud sound (int16), int32 and method="midpoint" are alike; unsigned types are right. A box of
# Matplotlib has its median above its whiskers. Of one vector and one quantile numpy warns of an overflow; along an axis, or of several
# quantiles, nothing is said. Reported to numpy as issue 29315. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 matplotlib==3.11.2
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import matplotlib
import numpy as np
from matplotlib import cbook

print(f"numpy {np.__version__}, matplotlib {matplotlib.__version__}")
right, seen = True, {}
for dtype in (np.int8, np.int16, np.int32, np.uint8, np.uint16):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    pair = np.array([low + high // 5, high - high // 5], dtype)
    kinds = {"percentile": np.percentile(pair, [50])[0], "quantile of a row": np.quantile(pair[None], 0.5, axis=1)[0],
             "nanpercentile": np.nanpercentile(pair, [50])[0],
             "midpoint": np.percentile(pair[None], 50, axis=1, method="midpoint")[0]}
    others = {"median": np.median(pair), "percentile of float64": np.percentile(pair.astype(float), 50)}
    print(f"{np.dtype(dtype)} {pair.tolist()}: " + ", ".join(f"{name} {value:.6g}" for name, value in (kinds | others).items()))
    outside = [name for name, value in kinds.items() if not low <= value <= high]
    right &= len(outside) == (len(kinds) if np.dtype(dtype).kind == "i" else 0)
    right &= all(low + high // 5 < value < high - high // 5 for value in others.values())
generator = np.random.default_rng(0)
votes = generator.choice([-1, 1], (1000, 4)) * generator.integers(90, 128, (1000, 4))
split = (votes > 0).sum(axis=1) == 2
found = np.quantile(votes.astype(np.int8), 0.5, axis=1)
true = np.quantile(votes, 0.5, axis=1)
off = abs(found - true)
print(f"1000 samples, four votes each in int8: {split.sum()} are split; of these off by {off[split].min()} to {off[split].max()}, "
      f"{(found[split] > 0).mean():.0%} above 0 ({(true[split] > 0).mean():.0%} in int64); of the others off by {off[~split].max()}")
sound = generator.normal(0, 12_000, (4, 16_000)).clip(-32_768, 32_767).astype(np.int16)
middle = np.percentile(sound, 50, axis=0)
wrong = middle != np.median(sound, axis=0)
print(f"four loud sounds of 16,000 samples in int16: {wrong.sum()} medians by percentile are wrong, up to {middle.max()}")
box = cbook.boxplot_stats(np.array([-100, -90, 90, 100], np.int8))[0]
print(f"matplotlib's box of -100, -90, 90, 100 in int8: median {box['med']}, whiskers {box['whislo']} to {box['whishi']}")
sys.exit(0 if right and off[split].min() > 100 and off[~split].max() == 0 and (found[split] > 0).all() and wrong.sum() > 5
         and box["med"] > box["whishi"] else 1)
PYTHON
