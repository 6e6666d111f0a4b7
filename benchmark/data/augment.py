"""Batches of images or clips in, randomly altered batches out.

Every alteration is drawn once for a sample (all frames of a clip share it) from `SampleRandom`, so that it depends on
(seed, epoch, sample) alone; strength 0 returns the input itself. Mixing is the exception that needs the whole batch.

Shapes: B batch, C channels, T frames; x is (B, C, H, W) or (B, C, T, H, W); K classes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmark.data.examples import Batch
from benchmark.data.seeds import SampleRandom

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
STRENGTHS = ("crop", "translate", "flip", "recolour", "jitter", "erase")


def prepare_pixels(x: Tensor, random: SampleRandom | None, strengths: Mapping[str, float]) -> Tensor:
    """RGB bytes -> floats, altered by `strengths` unless `random` is None, normalised by ImageNet's mean and deviation.

    Strengths: crop (largest share of the area that is cut away), translate (share of the side), flip, recolour (colour
    channels in a random order) and erase (probabilities), jitter (of brightness, contrast, saturation). Raises
    `ValueError` for any other name.
    """
    unknown = sorted(set(strengths) - set(STRENGTHS))
    if unknown:
        raise ValueError(f"unknown augmentation {', '.join(unknown)}; known: {', '.join(STRENGTHS)}")
    if random is not None:
        x = horizontal_flip(x, random, strengths.get("flip", 0.0))  # while it is bytes, a quarter of the size
        x = recolour(x, random, strengths.get("recolour", 0.0))
    x = x.to(torch.float32, copy=True).div_(255)
    if random is not None:
        x = resized_crop(x, random, strengths.get("crop", 0.0))
        x = translate(x, random, strengths.get("translate", 0.0))
        x = colour_jitter(x, random, strengths.get("jitter", 0.0))
    x = x.sub_(_per_channel(x, IMAGENET_MEAN)).div_(_per_channel(x, IMAGENET_STD))  # ours alone since the conversion
    if random is not None:
        x = random_erasing(x, random, strengths.get("erase", 0.0))
    return x


def _per_channel(x: Tensor, values: tuple[float, ...]) -> Tensor:
    """C values that broadcast along the channels of x"""
    return x.new_tensor(values).view(-1, *[1] * (x.ndim - 2))


def _per_sample(values: Tensor, x: Tensor) -> Tensor:
    """(B,) -> a view that broadcasts along the samples of x"""
    return values.view(-1, *[1] * (x.ndim - 1))


def view_windows(x: Tensor, size: Sequence[int], counts: Mapping[str, int]) -> Iterator[Tensor]:
    """Views of `size` ((H, W) or (T, H, W)) of images or clips that may be larger, as they are tested.

    `counts` by kind: "temporal" windows of T frames, evenly spaced; "spatial" windows, evenly spaced along the longer
    side and centred on the other (default of both: 1, in the middle); "mirror" 2 adds the mirror image of each. Raises
    `ValueError` for any other kind or number, where the input is smaller than `size` or has no room for different views.
    """
    known = {"temporal", "spatial", "mirror"} if len(size) == 3 else {"spatial", "mirror"}
    if not set(counts) <= known or counts.get("mirror", 1) > 2:
        raise ValueError(f"test_views {dict(counts)}: known are {', '.join(sorted(known))}, and mirror is 1 or 2")
    room = [have - want for have, want in zip(x.shape[2:], size, strict=True)]
    longer = max((-2, -1), key=lambda axis: room[axis])
    windows = dict.fromkeys(range(-len(size), 0), 1) | {longer: counts.get("spatial", 1)}
    if len(size) == 3:
        windows[-3] = counts.get("temporal", 1)
    if min(room) < 0 or any(count > room[axis] + 1 for axis, count in windows.items()):
        raise ValueError(f"inputs of {tuple(x.shape[2:])} have no room for test_views {dict(counts)} of {tuple(size)}; "
                         "ask for fewer")
    starts = [window_starts(room[axis], count) for axis, count in windows.items()]
    for corner in itertools.product(*starts):
        view = x
        for axis, (start, length) in enumerate(zip(corner, size, strict=True), 2):
            view = view.narrow(axis, start, length)
        yield view
        if counts.get("mirror", 1) == 2:
            yield view.flip(-1)


def window_starts(room: int, count: int) -> list[int]:
    """Where `count` windows begin in this much room: evenly spaced from its start to its end, rounded down as VideoMAE does
    it; one alone in the middle.
    """
    return [round(room / 2)] if count == 1 else [int(place * (room / (count - 1))) for place in range(count)]


def _sample_axis(scale: Tensor, centre: Tensor, size: int) -> Tensor:
    """(B,) half-sizes and (B,) centres of windows in [-1, 1] -> (B, size, size) bilinear weights, output by input.

    Row i has the weights of the input pixels for output pixel i; beyond the border the border pixel is repeated.
    """
    place = (torch.arange(size, device=scale.device) * 2 + 1) / size - 1
    pixel = (((scale[:, None] * place + centre[:, None] + 1) * size - 1) / 2).clamp(0, size - 1)
    return (1 - (pixel[:, :, None] - torch.arange(size, device=scale.device)).abs()).clamp_(min=0)


def resized_crop(x: Tensor, random: SampleRandom, strength: float, max_ratio: float = 4 / 3) -> Tensor:
    """A window of 1 - strength to 1 of the area, aspect 1/max_ratio to max_ratio, stretched to the frame (bilinear).

    A window that would be too wide or too high is clamped to the frame.
    """
    if not strength:
        return x
    area = random.uniform("crop-area", low=1 - strength, high=1)
    aspect = random.uniform("crop-aspect", low=-math.log(max_ratio), high=math.log(max_ratio)).exp()
    scale = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], 1).clamp(max=1)
    centre = random.uniform("crop-centre", 2, low=-1, high=1) * (1 - scale)
    columns, rows = (_sample_axis(scale[:, axis], centre[:, axis], x.shape[-1 - axis]).to(x.dtype) for axis in (0, 1))
    # The window is axis-aligned, so two products with small matrices do what a sampling grid does, in a fraction of the time.
    height, width = x.shape[-2:]
    across = columns @ x.reshape(len(x), -1, width).mT
    return (across.view(len(x), -1, height) @ rows.mT).view(len(x), width, *x.shape[1:-1]).movedim(1, -1)


def translate(x: Tensor, random: SampleRandom, strength: float) -> Tensor:
    """Shift by whole pixels, up to `strength` of the side in both axes; the border is repeated."""
    if not strength:
        return x
    side = torch.tensor([x.shape[-1], x.shape[-2]], device=x.device)
    pixels = (random.uniform("translate", 2, low=-strength, high=strength) * side).round()
    for axis in (0, 1):
        size = x.shape[-1 - axis]
        place = torch.arange(size, device=x.device) + pixels[:, axis, None].long()
        index = _per_sample_and_axis(place.clamp_(0, size - 1), x, axis)
        x = x.gather(-1 - axis, index.expand_as(x))
    return x


def _per_sample_and_axis(values: Tensor, x: Tensor, axis: int) -> Tensor:
    """(B, size) -> a view that broadcasts along the samples and the last (axis 0) or second last (axis 1) axis of x"""
    return values.view(len(x), *[1] * (x.ndim - 2 - axis), -1, *[1] * axis)


def horizontal_flip(x: Tensor, random: SampleRandom, probability: float) -> Tensor:
    """Mirror left and right."""
    if not probability:
        return x
    chance = random.chance("flip", probability)
    if x.is_cuda:  # which to ask how many they are would mean to wait for it
        return torch.where(_per_sample(chance, x), x.flip(-1), x)
    chosen = chance.nonzero()[:, 0]
    return x.index_copy(0, chosen, x[chosen].flip(-1))


def recolour(x: Tensor, random: SampleRandom, probability: float) -> Tensor:
    """Put the colour channels of a sample in a random order, with the given probability."""
    if probability <= 0:
        return x
    order = random.uniform("recolour order", x.shape[1]).argsort(dim=1, stable=True)
    order = torch.where(random.chance("recolour", probability)[:, None], order, torch.arange(x.shape[1], device=x.device))
    return x[torch.arange(len(x), device=x.device)[:, None], order]


def colour_jitter(x: Tensor, random: SampleRandom, strength: float) -> Tensor:
    """Brightness, contrast, then saturation, each by a factor of 1 - strength to 1 + strength; RGB in [0, 1]."""
    if not strength:
        return x
    factors = random.uniform("jitter", 3, low=max(0.0, 1 - strength), high=1 + strength)
    brightness, contrast, saturation = (_per_sample(factor, x) for factor in factors.unbind(1))
    x = (x * brightness).clamp_(0, 1)
    mean = _grey(x).mean(list(range(1, x.ndim)), keepdim=True)
    x.lerp_(mean, 1 - contrast).clamp_(0, 1)
    return x.lerp_(_grey(x), 1 - saturation).clamp_(0, 1)


def _grey(x: Tensor) -> Tensor:
    """(B, 3, ...) -> (B, 1, ...), luma of ITU-R BT.601"""
    return (x.new_tensor((0.299, 0.587, 0.114)) @ x.flatten(2)).view(len(x), 1, *x.shape[2:])


def random_erasing(x: Tensor, random: SampleRandom, probability: float, min_area: float = 0.02,
                   max_area: float = 1 / 3, max_ratio: float = 10 / 3) -> Tensor:
    """Replace a box by standard normal noise, at the same place in all frames (Zhong et al., AAAI 2020)."""
    if not probability:
        return x
    chosen = random.chance("erase", probability).nonzero()[:, 0]
    if not len(chosen):
        return x
    some = random.among(chosen)
    area = some.uniform("erase-area", low=min_area, high=max_area)
    aspect = some.uniform("erase-aspect", low=-math.log(max_ratio), high=math.log(max_ratio)).exp()
    share = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], 1).clamp(max=1)  # height, width
    sides = torch.tensor(x.shape[-2:], device=x.device)
    size = (share * sides).round().clamp(min=1)
    start = (some.uniform("erase-place", 2) * (sides - size + 1)).floor()
    inside = [_inside(start[:, axis], size[:, axis], x.shape[axis - 2]) for axis in (0, 1)]
    box = (inside[0][:, :, None] & inside[1][:, None, :]).view(-1, *[1] * (x.ndim - 3), *x.shape[-2:])
    x = x.clone()
    x[chosen] = torch.where(box, some.normal("erase-noise", *x.shape[1:]).to(x.dtype), x[chosen])
    return x


def _inside(start: Tensor, size: Tensor, length: int) -> Tensor:
    """(B,), (B,) -> (B, length) bool, true from start to start + size"""
    place = torch.arange(length, device=start.device)
    return (place >= start[:, None]) & (place < (start + size)[:, None])


def mix(batch: Batch, num_classes: int, random: SampleRandom, mixup: float, cutmix: float, switch: float = 0.5,
        label_smoothing: float = 0.0, pairs: tuple[Tensor, Tensor] | None = None) -> Batch:
    """Mixup (Zhang et al., ICLR 2018) or CutMix (Yun et al., ICCV 2019) of every sample with the next in the batch.

    `mixup` and `cutmix` are the alphas of Beta(alpha, alpha), 0 is off; where both are on, `switch` is the chance of
    CutMix. One share is drawn for the batch, from its first sample; of several seeds, one for the samples of each, which
    are mixed among themselves. "label", (B,) classes or (B, K) floats, becomes (B, K): classes are smoothed by
    `label_smoothing`, floats are not and raise `ValueError` where it is asked for. `pairs`, of one seed, are the places of
    the samples to be mixed and those of their partners, each (b,), where not every sample is to be mixed with the next.
    """
    label = batch["label"]
    if not label.is_floating_point():
        label = functional.one_hot(label, num_classes) * (1 - label_smoothing) + label_smoothing / num_classes
    elif label_smoothing:
        raise ValueError("label smoothing needs one class for every sample, got soft or multiple labels")
    if not mixup and not cutmix:
        return {**batch, "label": label}
    draws = random.of_leaders().integers("mix", 2**24).tolist()
    following, other_label = (values.unflatten(0, (len(draws), -1)).roll(-1, 1) if pairs is None else values[pairs[1]][None]
                              for values in (batch["input"], label))
    if pairs is not None:
        batch, label = {name: column[pairs[0]] for name, column in batch.items()}, label[pairs[0]]
    x, label = (values.unflatten(0, (len(draws), -1)) for values in (batch["input"], label))
    mixings = [_Mixing(np.random.default_rng(draw), mixup, cutmix, switch, x.shape[-2:]) for draw in draws]
    cuts = [mixing.cuts for mixing in mixings]
    mixed = x
    if not all(cuts):
        kept, other = _shares(mixings, x)
        mixed = x * kept + following * other
    if any(cuts):
        boxes = torch.stack([mixing.box for mixing in mixings]).to(x.device)
        cut = torch.where(boxes.view(len(boxes), *[1] * (x.ndim - 3), *boxes.shape[1:]), following, x)
        chosen = torch.tensor(cuts, device=x.device).view(-1, *[1] * (x.ndim - 1))
        mixed = cut if all(cuts) else torch.where(chosen, cut, mixed)
    kept, other = _shares(mixings, label)
    label = label * kept + other_label * other
    return {**batch, "input": mixed.flatten(0, 1), "label": label.flatten(0, 1)}


class _Mixing:
    """How the samples of one seed are mixed: `kept` of each, and where it is `cuts`, in a `box` (H, W) the next one's."""

    def __init__(self, draws: np.random.Generator, mixup: float, cutmix: float, switch: float, size: torch.Size):
        self.cuts = draws.random() < switch if mixup and cutmix else bool(cutmix)
        alpha = cutmix if self.cuts else mixup
        self.kept = draw_share(draws, alpha)
        self.box = torch.zeros(size, dtype=torch.bool)
        if self.cuts:
            self.box, self.kept = _box(size[0], size[1], self.kept, draws)


def _shares(mixings: Sequence[_Mixing], values: Tensor) -> Tensor:
    """(2, S, 1, ...): what of each of S seeds is kept of its `values` (S, B, ...), and what is the next sample's"""
    shares = torch.tensor([[mixing.kept for mixing in mixings], [1 - mixing.kept for mixing in mixings]],
                          dtype=values.dtype, device=values.device)
    return shares.view(2, -1, *[1] * (values.ndim - 1))


def draw_share(draws: np.random.Generator, alpha: float) -> float:
    """From Beta(alpha, alpha); of an alpha near 0, for which numpy may divide 0 by 0, one of the ends."""
    share = float(draws.beta(alpha, alpha))
    return share if math.isfinite(share) else float(draws.random() < 0.5)


def _box(height: int, width: int, kept: float, draws: np.random.Generator) -> tuple[Tensor, float]:
    """(H, W) bool, true in a box of about 1 - kept of the area cut at the border; and the share outside it."""
    side = math.sqrt(1 - kept) / 2
    centre_y, centre_x = draws.random(2)
    top, bottom = (round(min(max(centre_y + part, 0.0), 1.0) * height) for part in (-side, side))
    left, right = (round(min(max(centre_x + part, 0.0), 1.0) * width) for part in (-side, side))
    box = torch.zeros(height, width, dtype=torch.bool)
    box[top:bottom, left:right] = True
    return box, 1 - (bottom - top) * (right - left) / (height * width)
