#!/usr/bin/env bash
# The order of numbers in memory (memory_format=torch.channels_last) is for speed and no matter to results. torch's group_norm on a CPU is
# right far from zero where numbers lie in the usual order. Of channels_last it takes the mean of squares less the square of the mean, in
# float32: of numbers with a deviation of 1 about 100 (temperatures, decibels, first features of a picture that is not centred) what comes
# out is off by 0.02, about 1,000 by 1.9, where all of it should lie between -4.3 and 4, and about 10,000 by over 1,000. In the usual
# order the error is 0.001 at most. Gradients follow. batch_norm, instance_norm and layer_norm keep their answer in both orders.
# model.to(memory_format=torch.channels_last), which is advised for convolutions on a CPU, so changes what a model with GroupNorm gives.
# Nothing is said. x.contiguous() before the layer cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch.nn import functional

print(f"torch {torch.__version__}; features (4, 32, 16, 16) of deviation 1, float32; largest difference from float64")
norms = {"group_norm": lambda x: functional.group_norm(x, 8), "instance_norm": functional.instance_norm,
         "batch_norm": lambda x: functional.batch_norm(x, None, None, training=True),
         "layer_norm": lambda x: functional.layer_norm(x, x.shape[1:])}
drawn = torch.randn(4, 32, 16, 16, generator=torch.Generator().manual_seed(0))
coming = torch.randn(4, 32, 16, 16, generator=torch.Generator().manual_seed(1))


def gradient(x: torch.Tensor) -> torch.Tensor:
    x = x.detach().requires_grad_()
    norms["group_norm"](x).backward(coming.to(x.dtype).contiguous(memory_format=torch.channels_last)
                                    if x.is_contiguous(memory_format=torch.channels_last) else coming.to(x.dtype))
    return x.grad


apart, slopes = {}, {}
for level in (0, 10, 100, 1000, 10_000):
    x = level + drawn
    last = x.contiguous(memory_format=torch.channels_last)
    for name, norm in norms.items():
        right = norm(x.double())
        apart[name, level] = [float((norm(way) - right).abs().max()) for way in (x, last)]
    exact = gradient(x.double())
    slopes[level] = [float((gradient(way) - exact).abs().max()) for way in (x, last)]
    print(f"about {level}: " + "; ".join(f"{name} {apart[name, level][0]:.1g} as usual, {apart[name, level][1]:.2g} channels_last"
                                         for name in norms)
          + f"; group_norm's gradients {slopes[level][0]:.1g} and {slopes[level][1]:.2g}")
print(f"group_norm of all should lie between {functional.group_norm(drawn.double(), 8).min():.1f} and "
      f"{functional.group_norm(drawn.double(), 8).max():.1f}")
others = [value for (name, _), values in apart.items() for order, value in enumerate(values) if name != "group_norm" or order == 0]
sys.exit(0 if max(others) < 0.05 and apart["group_norm", 0][1] < 1e-5 and apart["group_norm", 100][1] > 5e-3
         and apart["group_norm", 1000][1] > 0.3 and slopes[1000][1] > 10 * slopes[1000][0] else 1)
PYTHON
