#!/usr/bin/env bash
# Under autocast, torch casts each weight to half precision once and keeps the cast until the block ends. It does not notice that an
# optimizer has stepped: with the whole training loop inside one `with torch.autocast(...)`, every forward pass is that of the first
# weights. Gradients are then always those of the start, so the loss that is logged stays the same to the last bit, while the weights
# walk away along one direction. Seen: 200 steps of AdamW, loss 1.694 at every step, and 5,994 with the weights that come out; with a
# block for each step, 0.0002. Nothing is said. cache_enabled=False inside, or clear_autocast_cache() after each step, cure it, and
# without autocast's own casts (a weight that is in bfloat16 already) there is none to go stale. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import contextlib
import sys

import torch


def train(around_all: bool, cached: bool = True, clear: bool = False) -> tuple[list[float], float]:
    """The loss at each of 200 steps, and that of the weights after them, in float32"""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    x = torch.randn(256, 16)
    wanted = x[:, :1] * x[:, 1:2] + x[:, 2:3]
    losses = []

    def half() -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, cache_enabled=cached)

    with half() if around_all else contextlib.nullcontext():
        for _ in range(200):
            with contextlib.nullcontext() if around_all else half():
                loss = (model(x).float() - wanted).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if clear:
                torch.clear_autocast_cache()
    return losses, (model(x) - wanted).square().mean().item()


print(f"torch {torch.__version__}")
each, outer = train(False), train(True)
uncached, cleared = train(True, cached=False), train(True, clear=True)
for name, (losses, after) in {"a block for each step": each, "one block for all": outer, "one block, cache_enabled=False": uncached,
                              "one block, cleared after each step": cleared}.items():
    print(f"{name}: loss {losses[0]:.4f} at the first step, {losses[-1]:.4f} at the last, {len(set(losses))} different; "
          f"{after:.4f} with the weights after it")
stale = len(set(outer[0])) == 1 and outer[1] > 100 * outer[0][0]
cured = all(after < 0.01 for _, after in (each, uncached, cleared))
sys.exit(0 if stale and cured else 1)
PYTHON
