#!/usr/bin/env bash
# What is drawn with weights 1 and 0.03 is drawn in that proportion, wherever it stands in the list. torch.multinomial with replacement adds
# up weights in their own type, from the first to the last, and looks up where a random number falls: in float32, what is less than half the
# distance between neighbours of the sum so far has no room and is never drawn. Of one weight of 1,000,000 and then a million of 0.03, which
# are 2.9 % in all, none is drawn in a million; of 0.04, first ones are drawn half as often again as they should and the last fifth never.
# With the large one at the end both are right. Of equal weights of 0.1 for each pixel of a map of 4,096 by 4,096 the first quarter is drawn
# 20.8 % of the time, the last 27.1 %. Sorted counts of words are the common case. distributions.Categorical draws the same way, of
# probabilities. In float64 (WeightedRandomSampler takes that) all are right. Nothing is said. Reported to PyTorch as issue 28390. Exits
# with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch

DRAWS = 1_000_000
torch.manual_seed(0)
print(f"torch {torch.__version__}")


def drawn(weights: torch.Tensor) -> torch.Tensor:
    return torch.multinomial(weights, DRAWS, replacement=True)


found, lost = {}, {}
for small in (0.03, 0.04):
    first = torch.cat([torch.tensor([1e6]), torch.full((1_000_000,), small)])
    places = drawn(first)
    ways = {"heavy first": places, "heavy last": 1_000_000 - drawn(first.flip(0)), "float64": drawn(first.double()),
            "Categorical": torch.distributions.Categorical(first).sample((DRAWS,))}
    found[small] = {"right": small / (1 + small)} | {way: float((taken > 0).double().mean()) for way, taken in ways.items()}
    lost[small] = int((places > 800_000).sum())
    print(f"one weight of 1e6 and a million of {small}: share of draws that are of the million: "
          + ", ".join(f"{way} {share:.4f}" for way, share in found[small].items())
          + f"; draws of the last fifth with heavy first {lost[small]}, with float64 {int((ways['float64'] > 800_000).sum())}")
pixels = 4096 * 4096
quarters = {}
for dtype in (torch.float32, torch.float64):
    quarter = drawn(torch.full((pixels,), 0.1, dtype=dtype)) // (pixels // 4)
    quarters[dtype] = [round(float(share), 4) for share in torch.bincount(quarter, minlength=4) / DRAWS]
    print(f"{pixels} equal weights of 0.1, {dtype}: shares of the four quarters {quarters[dtype]}")
sys.exit(0 if found[0.03]["heavy first"] == found[0.03]["Categorical"] == 0 and found[0.04]["heavy first"] > 1.15 * found[0.04]["right"]
         and lost == {0.03: 0, 0.04: 0} and quarters[torch.float32][0] < 0.22
         and all(abs(shares[way] / shares["right"] - 1) < 0.05 for shares in found.values() for way in ("heavy last", "float64"))
         and all(abs(share - 0.25) < 0.005 for share in quarters[torch.float64]) else 1)
PYTHON
