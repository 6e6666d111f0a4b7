"""Features of tokens in, part logits of every point out, and logits to intersection over union.

Shapes: B batch, N points, G tokens, D embed_dim, h hidden_dim, T taps (3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear, one_hot

from benchmark.data.examples import Batch
from benchmark.model.encoder import Features, Head
from benchmark.model.points import PointNorm, interpolation_weights
from benchmark.spec.contracts import add_up
from benchmark.spec.recipes import ModelShape


class PartSegmenter(Head):
    """Point-MAE's segmentation head: feature propagation of three taps, joined by global features and the category.

    TD tokens interpolated, concat xyz -> 4D BN ReLU -> 4h BN ReLU; concat global (max TD, mean TD, category h/4) ->
    2h BN ReLU dropout .5 -> h BN ReLU -> parts. A 1x1 convolution of interpolated tokens is the interpolation of
    convolved tokens, and what acts on the global part is the same for all points, so neither runs point by point.
    """

    normalised = True
    least_samples = 2  # of the category

    def __init__(self, shape: ModelShape, num_classes: int, num_categories: int):
        super().__init__()
        width, depth = shape.hidden_dim, shape.depth
        self.taps = sorted({max(0, round(depth * third / 3) - 1) for third in (1, 2, 3)})
        self.num_categories = num_categories
        tapped = len(self.taps) * shape.embed_dim
        self.category_conv = nn.Linear(num_categories, max(1, width // 4), bias=False)
        self.category_norm = PointNorm(max(1, width // 4))
        self.propagation = nn.Sequential(*_convolve(tapped + 3, 4 * shape.embed_dim),
                                         *_convolve(4 * shape.embed_dim, 4 * width))
        num_global = 2 * tapped + self.category_conv.out_features
        self.layers = nn.Sequential(*_convolve(4 * width + num_global, 2 * width), nn.Dropout(0.5),
                                    *_convolve(2 * width, width), nn.Linear(width, num_classes))

    def forward(self, features: Features, batch: Batch) -> Tensor:
        """ "query" or else "input" (B, N, 3), "category" (B,) -> (B, N, parts)"""
        tokens = torch.cat([tap[:, features.num_prefix_tokens :] for tap in features.taps], 2)
        local = self.propagate(tokens, features.tokens.geometry["centres"],
                               batch.get("query", batch["input"]))
        first = self.layers[0]
        assert isinstance(first, nn.Linear)
        on_local, on_global = first.weight.split([local.shape[2], first.in_features - local.shape[2]], 1)
        shared = linear(self.global_features(tokens, batch["category"]), on_global, first.bias)
        logits: Tensor = self.layers[1:](linear(local, on_local) + shared[:, None])
        return logits

    def propagate(self, tokens: Tensor, centres: Tensor, points: Tensor) -> Tensor:
        """(B, G, TD), (B, G, 3), (B, N, 3) -> (B, N, 4h)"""
        first = self.propagation[0]
        assert isinstance(first, nn.Linear)
        on_tokens, on_points = first.weight.split([tokens.shape[2], 3], 1)
        convolved = linear(tokens, on_tokens)
        # One product interpolates, adds the part of xyz and the bias: passes over (B, N, 4D) are what costs here.
        rest = torch.cat([on_points.T, first.bias[None]]).to(convolved.dtype).expand(len(tokens), -1, -1)
        weights = torch.cat([interpolation_weights(points, centres), points, torch.ones_like(points[..., :1])], 2)
        joint = weights.to(convolved.dtype) @ torch.cat([convolved, rest], 1)
        propagated: Tensor = self.propagation[1:](joint)
        return propagated

    def global_features(self, tokens: Tensor, category: Tensor) -> Tensor:
        """(B, G, TD), (B,) -> (B, 2TD + h/4)"""
        hot = one_hot(category, self.num_categories).to(self.category_conv.weight.dtype)
        named = leaky_relu(self.category_norm(self.category_conv(hot)), 0.2)
        return torch.cat([tokens.amax(1), tokens.mean(1), named.to(tokens.dtype)], 1)


def _convolve(fan_in: int, fan_out: int) -> list[nn.Module]:
    """A 1x1 convolution, BatchNorm and ReLU, with channels last."""
    return [nn.Linear(fan_in, fan_out), PointNorm(fan_out), nn.ReLU(inplace=True)]


def shape_iou(prediction: Tensor, label: Tensor, num_parts: int) -> Tensor:
    """(B, N), (B, N), both in [0, num_parts) -> (B,): mean over parts of the intersection over union, 1 where a part is
    in neither"""
    predicted, actual = one_hot(prediction, num_parts), one_hot(label, num_parts)
    both = (predicted & actual).sum(1)
    either = (predicted | actual).sum(1)
    return torch.where(either > 0, both / either.clamp(min=1), 1.0).double().mean(1)


def correct_points(logits: Tensor, batch: Batch, offsets: Sequence[int]) -> Tensor:
    """(B, N, parts) -> (B, N) bool, the prediction being the best of the parts from offsets[c] up to offsets[c + 1]"""
    first, end = (torch.tensor(edge, device=logits.device)[batch["category"]] for edge in (offsets[:-1], offsets[1:]))
    parts = torch.arange(logits.shape[-1], device=logits.device)
    other = (parts < first[:, None]) | (parts >= end[:, None])
    return logits.masked_fill(other[:, None], -math.inf).argmax(-1) == batch["label"]


class PartMeter:
    """Instance mIoU, the mean over shapes, and class mIoU, the mean over the categories that occur of the mean over
    their shapes; in percent. Category c has the parts from offsets[c] up to offsets[c + 1]: only they are predicted."""

    def __init__(self, offsets: Sequence[int]):
        self.offsets = offsets
        self.by_category: list[list[float]] = [[] for _ in offsets[1:]]

    def update(self, logits: Tensor, batch: Batch) -> None:
        """(B, N, parts), "label" (B, N), "category" (B,)"""
        for category, found in enumerate(self.by_category):
            rows = batch["category"] == category
            if rows.any():
                first, end = self.offsets[category : category + 2]
                prediction = logits[rows, :, first:end].argmax(-1)
                found += shape_iou(prediction, batch["label"][rows] - first, end - first).tolist()

    def compute(self) -> dict[str, float]:
        """Raises `ValueError` where nothing was collected."""
        collected = [found for found in self.by_category if found]
        if not collected:
            raise ValueError("no predictions were collected")
        sums = [add_up(found) for found in collected]
        means = [total / len(found) for total, found in zip(sums, collected, strict=True)]
        instance = add_up(sums) / sum(map(len, collected))
        return {"instance mIoU": 100 * instance, "class mIoU": 100 * add_up(means) / len(means)}
