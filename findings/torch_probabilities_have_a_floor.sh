#!/usr/bin/env bash
# A distribution made of probabilities gives each event the logarithm of its probability. torch's Categorical and Bernoulli first raise
# what lies below the type's epsilon to that, so no event is less probable than 1.2e-7 in float32, 1/1,024 in float16 and 1/128 in
# bfloat16. Of a vocabulary of 32,768 words that are equally probable, in bfloat16, each has a log probability of -4.84 in place of
# -10.40: a perplexity of 127 where 32,768 is right, of 1,022 in float16, and the entropy is as wrong. In float32 a word of probability
# 1e-10 costs 15.9 and not 23.0, and one that cannot come (0, a masked action) costs no more: a model that excludes what happens has a
# finite loss. Ratios of two policies are 1 where both are below the floor. The probs that it holds are as they were given, kl_divergence
# knows of the 0 and is infinite, and Categorical of logits is right. Nothing is said, and validation does not object. Exits with 1 where
# that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import math
import sys

import torch
from torch.distributions import Bernoulli, Categorical, kl_divergence

WORDS = 32_768
print(f"torch {torch.__version__}; {WORDS} equally probable words: log probability {-math.log(WORDS):.3f} each")
right = True
for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
    same = torch.full((WORDS,), 1 / WORDS, dtype=dtype)
    by_probs, by_logits = Categorical(probs=same), Categorical(logits=same.float().log().to(dtype))
    word, entropy = by_probs.log_prob(torch.tensor(7)).item(), by_probs.entropy().item()
    from_logits = by_logits.log_prob(torch.tensor(7)).item()
    print(f"{dtype}: log probability {word:.3f}, perplexity {math.exp(-word):.0f}, entropy {entropy:.3f}; of logits {from_logits:.3f}")
    floored = dtype in (torch.float16, torch.bfloat16)
    right &= (word > -7) == floored and abs(from_logits + math.log(WORDS)) < 0.1
    if floored:
        right &= abs(word - math.log(torch.finfo(dtype).eps)) < 0.01
rare = torch.tensor([1.0, 1e-10, 0.0])
model = Categorical(probs=rare)
costs = [-model.log_prob(torch.tensor(event)).item() for event in range(3)]
of_logits = [-Categorical(logits=rare.log()).log_prob(torch.tensor(event)).item() for event in range(3)]
coin = -Bernoulli(probs=torch.tensor(0.0)).log_prob(torch.tensor(1.0)).item()
older, newer = Categorical(probs=torch.tensor([1.0, 1e-8])), Categorical(probs=torch.tensor([1.0, 1e-12]))
ratio = (newer.log_prob(torch.tensor(1)) - older.log_prob(torch.tensor(1))).exp().item()
gap = kl_divergence(Categorical(probs=torch.tensor([0.5, 0.0, 0.5])), model).item()
print(f"float32, events of probability {model.probs.tolist()}: cost {[round(cost, 2) for cost in costs]}, by the log of the probabilities "
      f"{[round(cost, 2) for cost in of_logits]}; a coin that never shows 1 shows 1: {coin:.2f}")
print(f"probability of an event falls from 1e-8 to 1e-12: ratio {ratio:.4g}; KL divergence to what cannot come: {gap}")
sys.exit(0 if right and abs(costs[1] - 15.94) < 0.01 and abs(costs[2] - 15.94) < 0.01 and abs(of_logits[1] - 23.03) < 0.01
         and math.isinf(of_logits[2]) and abs(coin - 15.94) < 0.01 and abs(ratio - 1) < 1e-3 and math.isinf(gap) else 1)
PYTHON
