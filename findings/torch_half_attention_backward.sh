#!/usr/bin/env bash
# On a CPU, torch's fused attention is there to be faster than its parts, and in half precision more so. Forward it is. Backward, in
# bfloat16 and float16, it takes about 0.13 ms for every head of every sample before it does any work, so that with few tokens it is
# slower than its parts one after another (SDPBackend.MATH), and slower than in float32: of 64 samples, 6 heads of size 64 and 17
# tokens, forward and backward take 48 ms fused and 8 in parts in bfloat16, 52 and 8 in float16, 8 and 6 in float32. At 1,024
# tokens the fused kernel is ahead in all three. Four blocks of a transformer of width 384 spend four fifths of a step in bfloat16
# on it, with 17 tokens. Seen on one core of a CPU with amx_bf16. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
grep -m 1 -o -w -e amx_bf16 -e avx512_bf16 /proc/cpuinfo || echo "a CPU without instructions for bfloat16"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

torch.set_num_threads(1)
torch.manual_seed(0)
KINDS = {"fused": SDPBackend.FLASH_ATTENTION, "in parts": SDPBackend.MATH}


def milliseconds(work, repeats=7):
    """Of processor time, the least of several"""
    took = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        took.append(1000 * (time.process_time() - began))
    return min(took)


ratios = {}
for samples, heads, tokens in ((64, 6, 17), (64, 6, 65), (2, 12, 1024)):
    for kind in (torch.float32, torch.bfloat16, torch.float16):
        inputs = [torch.randn(samples, heads, tokens, 64, dtype=kind, requires_grad=True) for _ in range(3)]
        gradient = torch.randn(samples, heads, tokens, 64, dtype=kind)
        seen = {}
        for name, backend in KINDS.items():
            with sdpa_kernel(backend):
                with torch.no_grad():
                    seen[name, "forward"] = milliseconds(lambda: scaled_dot_product_attention(*inputs))
                seen[name, "both"] = milliseconds(
                    lambda: torch.autograd.grad(scaled_dot_product_attention(*inputs), inputs, gradient))
        ratios[tokens, kind] = seen["fused", "both"] / seen["in parts", "both"]
        print(f"torch {torch.__version__}, {samples} x {heads} heads, {tokens} tokens, {kind}: forward {seen['fused', 'forward']:.1f} ms "
              f"fused, {seen['in parts', 'forward']:.1f} in parts; and backward {seen['fused', 'both']:.1f} and "
              f"{seen['in parts', 'both']:.1f}: {ratios[tokens, kind]:.1f} times")
slow = min(ratios[17, kind] for kind in (torch.bfloat16, torch.float16))
sys.exit(0 if slow > 2.5 and ratios[17, torch.float32] < 2 else 1)
PYTHON
