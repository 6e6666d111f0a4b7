#!/usr/bin/env bash
# A learning rate of 1, five epochs of warmup, then a cosine: it rises to 1 and falls. With timm's scheduler, as create_scheduler_v2
# makes it, it never gets there. Warmup aims at 1 and its last step is 0.8; the next is already where a cosine that began at epoch 0
# would be at epoch 5, so the highest rate of 10 epochs is 0.8, of 20 epochs 0.854, and of 100 epochs 0.994. What a recipe states as
# its learning rate is then none that was used, and a short run with the warmup of a long one is a run at another rate. With
# warmup_prefix=True the cosine begins after warmup and the peak is reached. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q timm==1.0.31 torch==2.14.1 torchvision==0.29.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import timm
import torch
from timm.scheduler import create_scheduler_v2

WARMUP = 5


def rates(epochs: int, **options: bool) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, total = create_scheduler_v2(optimizer, sched="cosine", num_epochs=epochs, warmup_epochs=WARMUP, warmup_lr=0.0,
                                           min_lr=0.0, **options)
    found = []
    for epoch in range(total):
        scheduler.step(epoch)
        found.append(optimizer.param_groups[0]["lr"])
    return found


print(f"timm {timm.__version__}, torch {torch.__version__}; learning rate 1, warmup of {WARMUP} epochs")
print("20 epochs:", " ".join(f"{rate:.3f}" for rate in rates(20)))
peaks = {epochs: (max(rates(epochs)), max(rates(epochs, warmup_prefix=True))) for epochs in (10, 20, 100)}
for epochs, (plain, prefixed) in peaks.items():
    print(f"{epochs} epochs: highest rate {plain:.3f}; with warmup_prefix {prefixed:.3f}")
missed = [plain for plain, _ in peaks.values()]
sys.exit(0 if missed[0] < 0.81 and missed[1] < 0.86 and missed[2] < 0.995 and all(p > 0.999 for _, p in peaks.values()) else 1)
PYTHON
