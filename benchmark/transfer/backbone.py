"""Merged image weights in, a backbone with a feature pyramid out (Li et al., ViTDet, ECCV 2022).

Shapes: B batch, D width of the ViT, C channels of the pyramid.
"""

from __future__ import annotations

import argparse
import math
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from benchmark.model.weights import CheckpointError, read_weights

STRIDES = (4, 8, 16, 32)


def load_vit(path: Path, **changes: Any) -> nn.Module:
    """timm's ViT with the weights that `benchmark export` wrote, for images of any size; its head is left out.

    `changes` go to timm's ViT-B/16. Raises `CheckpointError` where anything but a head or fixed positions is left over, or of
    another size.
    """
    model: nn.Module = timm.create_model("vit_base_patch16_224", num_classes=0, global_pool="", dynamic_img_size=True,
                                         dynamic_img_pad=True, **changes)
    tensors, own = read_weights(path), model.state_dict()
    other = next((name for name, tensor in own.items() if name in tensors and tensors[name].shape != tensor.shape), None)
    if other is not None:
        raise CheckpointError(f"weights {path} are no ViT-B/16, which is built here: {other} is {tuple(tensors[other].shape)}, "
                              f"and {tuple(own[other].shape)} is wanted; export a run of the profile paper")
    found = model.load_state_dict(tensors, strict=False)
    wrong = [f"missing {name}" for name in found.missing_keys if not name.startswith("norm.")]
    wrong += [f"left over {name}" for name in found.unexpected_keys if not name.startswith(("head.", "fc_norm."))]
    if wrong:
        raise CheckpointError(f"weights {path} are no ViT of this shape: {', '.join(wrong)}")
    return model


def check_options(options: argparse.Namespace) -> torch.device:
    """The device of an example; raises `ValueError` for one that is not here, and for numbers with which nothing is trained."""
    for name in ("steps", "batch_size", "size", "depth", "classes"):
        if getattr(options, name, 1) < 1:
            raise ValueError(f"--{name.replace('_', '-')} {getattr(options, name)}: expected at least 1")
    if not 0 < options.lr < math.inf:
        raise ValueError(f"--lr {options.lr:g}: expected a number above 0")
    try:
        device = torch.device(options.device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"--device {options.device} cannot be used here: {str(error).splitlines()[0]}") from error
    return device


def descend(model: nn.Module, losses: Callable[[], Tensor], steps: int, lr: float, weight_decay: float) -> list[float]:
    """`steps` steps of AdamW down what `losses` gives; returns the losses. Raises `ArithmeticError` where one is no number."""
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=lr,
                                  weight_decay=weight_decay)
    found = []
    model.train()
    for _ in range(steps):
        loss = losses()
        if not loss.isfinite():
            raise ArithmeticError(f"the loss is {loss.item()}; lower --lr")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


class Pyramid(nn.Module):
    """The last feature map of a plain ViT at strides 4 to 32, by deconvolution and pooling alone."""

    def __init__(self, vit: nn.Module, out_channels: int = 256):
        super().__init__()
        self.vit, self.out_channels = vit, out_channels
        width: int = vit.embed_dim  # type: ignore[assignment]
        self.resize = nn.ModuleList([
            nn.Sequential(nn.ConvTranspose2d(width, width // 2, 2, 2), nn.GELU(),
                          nn.ConvTranspose2d(width // 2, width // 4, 2, 2)),
            nn.ConvTranspose2d(width, width // 2, 2, 2), nn.Identity(), nn.MaxPool2d(2)])
        self.project = nn.ModuleList([
            nn.Sequential(nn.Conv2d(channels, out_channels, 1), nn.GroupNorm(1, out_channels),
                          nn.Conv2d(out_channels, out_channels, 3, padding=1))
            for channels in (width // 4, width // 2, width, width)])

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """(B, 3, H, W) -> by stride, (B, C, H/stride, W/stride) each; sides are padded to multiples of the patch"""
        height, width = (-(-size // 16) for size in x.shape[-2:])
        tokens = self.vit.forward_features(x)[:, self.vit.num_prefix_tokens :]  # type: ignore[operator]
        features = tokens.mT.unflatten(2, (height, width))
        return OrderedDict((str(stride), project(resize(features)))
                           for stride, resize, project in zip(STRIDES, self.resize, self.project, strict=True))
