#!/usr/bin/env bash
# Fine tuning by layer decay gives deep layers the learning rate and each layer before them a share of the next one's. timm's
# create_optimizer_v2(layer_decay=0.65) takes it and makes a group for each layer, but sets one rate for all: the share is only noted
# in the group, as lr_scale, which no optimizer reads. What applies it is a scheduler of timm's. With a constant rate, or with any of
# torch's schedulers (cosine, one cycle, linear), the first layer of a ViT-Tiny learns at 1e-3 like its head and not at 3.7e-6, 270 times
# too fast, with no word said, and runs with layer_decay of 0.1 and of 1 have equal weights. With timm's cosine each layer has its rate.
# A training that was moved from timm's scheduler to torch's so loses its layer decay. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q timm==1.0.31 torch==2.14.1 torchvision==0.29.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from collections.abc import Callable

import timm
import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch.optim import Optimizer, lr_scheduler

WATCHED = ("patch_embed.proj.weight", "blocks.5.mlp.fc1.weight", "blocks.11.mlp.fc1.weight", "head.weight")
pictures, labels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 7])


def train(decay: float, schedule: Callable[[Optimizer], None]) -> tuple[dict[str, float], dict[str, torch.Tensor], list[float]]:
    """The largest change of each watched weight in one step of AdamW at 1e-3, the weights after it, and the groups' lr_scale"""
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=10)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.0, layer_decay=decay)
    schedule(optimizer)
    torch.nn.functional.cross_entropy(model(pictures), labels).backward()
    optimizer.step()
    after = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    scales = [group.get("lr_scale", 1.0) for group in optimizer.param_groups]
    return {name: float((after[name] - before[name]).abs().max()) for name in WATCHED}, after, scales


schedules: dict[str, Callable[[Optimizer], object]] = {
    "no scheduler": lambda optimizer: None,
    "torch's cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 100),
    "torch's linear warmup, from 1": lambda optimizer: lr_scheduler.LinearLR(optimizer, 1.0, total_iters=5),
    "torch's one cycle, from 1": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=100, div_factor=1.0),
    "timm's cosine": lambda optimizer: create_scheduler_v2(optimizer, "cosine", num_epochs=100, warmup_epochs=0)[0].step(0)}
print(f"timm {timm.__version__}, torch {torch.__version__}; the first step of AdamW changes a weight by its learning rate at most")
moved = {}
for name, schedule in schedules.items():
    moved[name], _, scales = train(0.65, schedule)
    print(f"layer_decay=0.65, {name}: " + ", ".join(f"{layer.removesuffix('.weight')} by {change:.1e}"
                                                    for layer, change in moved[name].items())
          + f"; lr_scale noted in the groups {min(scales):.4f} to {max(scales):.4f}")
one, other = (train(decay, schedules["torch's cosine"])[1] for decay in (0.1, 1.0))
equal = all(torch.equal(one[name], other[name]) for name in one)
print("layer_decay of 0.1 and of 1, torch's cosine: weights after a step equal:", equal)
right = moved.pop("timm's cosine")
sys.exit(0 if equal and right["head.weight"] > 9e-4 and right["patch_embed.proj.weight"] < 1e-5
         and all(change > 9e-4 for changes in moved.values() for change in changes.values()) else 1)
PYTHON
