#!/usr/bin/env bash
# A loader that does not shuffle, with no workers, has nothing to draw, so a pass over validation data leaves random numbers alone, and
# a training that is validated twice as often has the same masks, noise and order. Not so with torch: iter() of any DataLoader draws a
# seed for workers, also where there are none, from the global generator, so each pass over validation data shifts all that is drawn
# after it. Seen: a training with dropout that is validated every epoch, every second, or never ends with three different weights from
# one seed. With a generator of the loader's own all three are equal to the last bit. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import torch
from torch.utils.data import DataLoader, TensorDataset

samples = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
data = TensorDataset(samples, samples.sum(1))


def trained(every: int, own: bool) -> torch.Tensor:
    """The weights after four epochs with dropout, validated after every so many of them (0: never)"""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Dropout(0.5), torch.nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    validation = DataLoader(data, 8, shuffle=False, num_workers=0, generator=torch.Generator().manual_seed(2) if own else None)
    for epoch in range(4):
        model.train()
        for start in range(0, 32, 8):  # in a fixed order, with no loader
            loss = (model(samples[start:start + 8])[:, 0] - samples[start:start + 8].sum(1)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if every and epoch % every == 0:
            model.eval()
            with torch.no_grad():
                for inputs, _ in validation:
                    model(inputs)
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


print(f"torch {torch.__version__}")
differ = {}
for own in (False, True):
    ends = {every: trained(every, own) for every in (0, 1, 2)}
    differ[own] = [not torch.equal(ends[0], ends[every]) for every in (1, 2)] + [not torch.equal(ends[1], ends[2])]
    print(f"{'a generator of its own' if own else 'as it is'}: validated every epoch the weights are up to "
          f"{(ends[1] - ends[0]).abs().max():.3f} from those without, every second {(ends[2] - ends[0]).abs().max():.3f}")
sys.exit(0 if all(differ[False]) and not any(differ[True]) else 1)
PYTHON
