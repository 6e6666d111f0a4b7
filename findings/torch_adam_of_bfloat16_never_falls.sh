#!/usr/bin/env bash
# The second moment of Adam is an average over the last thousand squares of gradients: where gradients fall, it falls after them, so that
# steps stay near the learning rate. Where weights are bfloat16, torch keeps it in bfloat16, which has 8 bits: 0.999 of a number rounds
# back to that number, so the average never falls, whatever comes. After 100 steps with gradients of deviation 1 and 2,900 with 0.01 it is
# 0.0993, as after the 100, where float32 has 0.0053; Adam and AdamW, plain, foreach and fused, are alike. It only rises: of gradients
# that stay as they are it is 1.67 in place of 0.95 after 3,000 steps, as large ones add to it and small ones take nothing away. Steps
# then become too small by what gradients have fallen since their largest. With beta2 of 0.99 it falls too little, with 0.95 as it should.
# A moving average of weights (torch's AveragedModel) stands still alike: with decays of 0.999 and more it never leaves its first weights,
# with 0.99 it goes a fifth of the way. Nothing is said. Weights of float32 under autocast have none of it. Exits with 1 where that has
# changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from collections.abc import Callable

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

PLACES = (100, 1000, 3000)


def second_moment(dtype: torch.dtype, deviation: Callable[[int], float], kind: type = torch.optim.Adam, beta2: float = 0.999,
                  **options: bool) -> list[float]:
    """Its mean over 500 weights, after each of PLACES steps"""
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(500, dtype=dtype))
    optimizer = kind([weight], lr=0.0, betas=(0.9, beta2), **options)
    found = []
    for step in range(1, PLACES[-1] + 1):
        weight.grad = (deviation(step) * torch.randn(500, generator=generator)).to(dtype)
        optimizer.step()
        if step in PLACES:
            found.append(float(optimizer.state[weight]["exp_avg_sq"].float().mean()))
    return found


def falls(step: int) -> float:
    return 1.0 if step <= 100 else 0.01


def stays(step: int) -> float:
    return 1.0


def show(name: str, values: list[float]) -> None:
    print(f"{name}: " + ", ".join(f"{value:.4g} after {place}" for value, place in zip(values, PLACES, strict=True)))


print(f"torch {torch.__version__}; mean second moment, gradients of deviation 1 for 100 steps, then 0.01")
ways = {"Adam": (torch.optim.Adam, {}), "Adam foreach": (torch.optim.Adam, {"foreach": True}),
        "Adam fused": (torch.optim.Adam, {"fused": True}), "AdamW": (torch.optim.AdamW, {})}
held = True
for name, (kind, options) in ways.items():
    wide, narrow = (second_moment(dtype, falls, kind, **options) for dtype in (torch.float32, torch.bfloat16))
    show(f"{name}, float32", wide)
    show(f"{name}, bfloat16", narrow)
    held &= wide[-1] < 0.006 and narrow[0] == narrow[1] == narrow[2] > 0.09
for beta2 in (0.99, 0.95):
    wide, narrow = (second_moment(dtype, falls, beta2=beta2)[1] for dtype in (torch.float32, torch.bfloat16))
    print(f"beta2 {beta2}, after 1000: float32 {wide:.4g}, bfloat16 {narrow:.4g}")
held &= narrow < 1.3 * wide
constant = {dtype: second_moment(dtype, stays)[-1] for dtype in (torch.float32, torch.bfloat16)}
print(f"gradients of deviation 1 throughout, after {PLACES[-1]}: float32 {constant[torch.float32]:.3f}, "
      f"bfloat16 {constant[torch.bfloat16]:.3f}")
averages = {}
for dtype in (torch.float32, torch.bfloat16):
    for decay in (0.9, 0.99, 0.999, 0.9999):
        model = torch.nn.Linear(8, 8, bias=False, dtype=dtype)
        torch.nn.init.constant_(model.weight, 1.0)
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
        average.update_parameters(model)
        torch.nn.init.constant_(model.weight, 1.5)
        for _ in range(3000):
            average.update_parameters(model)
        averages[dtype, decay] = float(average.module.weight.detach().float().mean())
print("moving average of weights that went from 1 to 1.5 3000 steps ago: "
      + ", ".join(f"{dtype} with {decay} {value:.4f}" for (dtype, decay), value in averages.items()))
sys.exit(0 if held and constant[torch.float32] < 1 and constant[torch.bfloat16] > 1.3 and averages[torch.float32, 0.999] > 1.45
         and averages[torch.bfloat16, 0.999] == averages[torch.bfloat16, 0.9999] == 1 and averages[torch.bfloat16, 0.99] < 1.2 else 1)
PYTHON
