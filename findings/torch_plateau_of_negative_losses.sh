#!/usr/bin/env bash
# ReduceLROnPlateau lowers the learning rate when a loss has not fallen for some epochs, and to have fallen it has to lie below the best
# so far by a ten-thousandth of that. torch takes best * (1 - 0.0001) for the mark, which lies below the best where that is above 0, and
# above it where it is negative. A log-likelihood of densities, an ELBO, a negative Dice or SI-SDR is negative. Then a loss that stands
# still is better than itself each time: at 100 the rate falls from 1 to 1e-8 within 50 epochs, at -100 it stays at 1 for ever. One that
# grows worse by 0.005 % an epoch is better, too, and the best on record gets worse with it; with mode="max" and a negative score it is
# the same. What ought to keep noise from counting as progress so takes decline for it. threshold=0 or threshold_mode="abs" is right, and
# so is a loss raised above 0. Nothing is said. Reported to PyTorch as issue 47513. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

print(f"torch {torch.__version__}")


def trained(start: float, change: float, **options: object) -> tuple[float, float, float]:
    """Learning rate after 50 epochs, best loss on record, last loss; `change` is the share by which the loss moves an epoch"""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = ReduceLROnPlateau(optimizer, patience=3, **options)
    for epoch in range(50):
        loss = start + epoch * change * abs(start)
        scheduler.step(loss)
    return optimizer.param_groups[0]["lr"], scheduler.best, loss


rates = {}
cases = {"a loss that stands still": (0.0, {}), "a loss that rises by 0.005 % an epoch": (5e-5, {}),
         "a score that stands still, mode max": (0.0, {"mode": "max"}), "a score that falls by 0.005 %, mode max": (-5e-5, {"mode": "max"}),
         "a loss that stands still, threshold 0": (0.0, {"threshold": 0}),
         "a loss that rises, threshold absolute": (5e-5, {"threshold_mode": "abs"})}
for name, (change, options) in cases.items():
    for start in (100.0, -100.0, -0.5):
        rate, best, last = trained(start, change, **options)
        rates[name, start] = rate
        print(f"{name}, from {start}: rate {rate:.3g} after 50 epochs, best on record {best:.4f}, last {last:.4f}")
stuck = list(cases)[:4]
sys.exit(0 if all((rate == 1) == (name in stuck and start < 0) for (name, start), rate in rates.items()) else 1)
PYTHON
