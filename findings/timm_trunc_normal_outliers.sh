#!/usr/bin/env bash
# timm's trunc_normal_ is to draw weights that are nearly all below three or four standard deviations; models of timm begin with it,
# with a deviation of 0.02. It takes the inverse error function of a uniform number, and where that number is exactly -1 or 1 the
# result is infinite and is set to the bound, which is 2: a weight of a hundred deviations. In float32 that is one weight in 2^24, so
# a ViT-B of 86 million has about five. With create_model(dtype=torch.bfloat16) it is one in 512: the weights of a fresh ViT-B then
# have a standard deviation of 0.090, not 0.020. float16 is between. torch.nn.init.trunc_normal_ of the same torch has none of it.
# Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 torchvision==0.29.2 timm==1.0.31 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import timm
import torch

print(f"timm {timm.__version__}, torch {torch.__version__}; standard deviation asked for: 0.02")
torch.manual_seed(0)
far = {}
for name, draw in (("timm", timm.layers.trunc_normal_), ("torch", torch.nn.init.trunc_normal_)):
    for dtype, repeats in ((torch.float32, 16), (torch.bfloat16, 1), (torch.float16, 1)):
        weight = torch.empty(3072, 3072, dtype=dtype)
        count = 0
        for _ in range(repeats):
            draw(weight, std=0.02)
            count += int((weight.abs() > 1).sum())
        far[name, dtype] = count / repeats / weight.numel()
        print(f"{name}, {dtype}: {count} of {repeats * weight.numel()} weights beyond 1, the largest {weight.abs().max().item():.4g} "
              f"(of the last {weight.numel()}); standard deviation {weight.float().std().item():.4f}")
spread = {}
for dtype in (torch.float32, torch.bfloat16):
    model = timm.create_model("vit_base_patch16_224", dtype=dtype)
    spread[dtype] = torch.cat([block.mlp.fc1.weight.detach().float().flatten() for block in model.blocks]).std().item()
    print(f"fc1 of a fresh vit_base_patch16_224 in {dtype}: standard deviation {spread[dtype]:.4f}")
as_told = (0 < far["timm", torch.float32] < 3e-7 and far["timm", torch.bfloat16] > 1e-3 and far["timm", torch.float16] > 1e-4
           and not any(share for (name, _), share in far.items() if name == "torch") and spread[torch.bfloat16] > 0.08)
sys.exit(0 if as_told else 1)
PYTHON
