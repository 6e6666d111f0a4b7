#!/usr/bin/env bash
# torch's FlopCounterMode counts the operations of a model, attention among them. On a CPU it counts none of attention: the fused
# kernel that scaled_dot_product_attention takes there has no formula, and what has none counts as nothing, without a word, forward
# and backward. With SDPBackend.MATH the same call counts in full. A model with a share of attention in its operations of 4 % (ViT-B,
# 197 tokens) or 18 % (1,024 tokens) is that much too cheap, and two models that differ in attention alone compare equal.
# Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

samples, heads, tokens, size = 2, 12, 197, 64
expected = 2 * 2 * samples * heads * tokens**2 * size
counted = {}
for name, kernel in (("as it comes", contextlib.nullcontext()), ("SDPBackend.MATH", sdpa_kernel(SDPBackend.MATH))):
    inputs = [torch.randn(samples, heads, tokens, size, requires_grad=True) for _ in range(3)]
    with kernel:
        with FlopCounterMode(display=False) as forward:
            result = scaled_dot_product_attention(*inputs)
        with FlopCounterMode(display=False) as backward:
            result.sum().backward()
    counted[name] = forward.get_total_flops(), backward.get_total_flops()
    print(f"torch {torch.__version__}, attention of {samples} x {heads} heads, {tokens} tokens, {name}: {counted[name][0]} operations "
          f"forward and {counted[name][1]} backward; two products are {expected}")
sys.exit(0 if counted == {"as it comes": (0, 0), "SDPBackend.MATH": (expected, 2 * expected)} else 1)
PYTHON
