"""Augmentations: shape, identity, pairing across batches; mixing; loss and accuracy against references."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, top_k_accuracy_score

from benchmark.data.augment import (
    colour_jitter,
    horizontal_flip,
    mix,
    prepare_pixels,
    random_erasing,
    recolour,
    resized_crop,
    translate,
)
from benchmark.data.seeds import SampleRandom
from benchmark.model.classification import AccuracyMeter, soft_cross_entropy

Augmentation = Callable[[torch.Tensor, SampleRandom, float], torch.Tensor]
EACH = pytest.mark.parametrize("alter", [resized_crop, translate, horizontal_flip, recolour, colour_jitter, random_erasing],
                               ids=lambda f: f.__name__)
SIZES = pytest.mark.parametrize("size", [(3, 16, 24), (3, 4, 16, 24)], ids=["image", "clip"])


def pixels(count: int, *size: int) -> torch.Tensor:
    return torch.rand(count, *size, generator=torch.Generator().manual_seed(1))


def draws(*indices: int, epoch: int = 0, seed: int = 0) -> SampleRandom:
    return SampleRandom(seed, epoch, torch.tensor(indices))


@EACH
@SIZES
def test_augmentation_keeps_shape_and_type_and_changes_pixels(alter: Augmentation, size: tuple[int, ...]):
    x = pixels(8, *size)
    before = x.clone()
    altered = alter(x, draws(*range(8)), 0.5)
    assert altered.shape == x.shape
    assert altered.dtype == x.dtype
    assert torch.equal(x, before)
    assert not torch.equal(altered, x)


@EACH
@SIZES
def test_augmentation_of_strength_0_is_the_identity(alter: Augmentation, size: tuple[int, ...]):
    x = pixels(4, *size)
    assert torch.equal(alter(x, draws(*range(4)), 0.0), x)


@EACH
@SIZES
def test_augmentation_depends_on_the_sample_and_not_on_its_batch(alter: Augmentation, size: tuple[int, ...]):
    x = pixels(6, *size)
    together = alter(x, draws(10, 11, 12, 13, 14, 15), 0.8)
    order = torch.tensor([4, 0, 3])
    apart = alter(x[order], draws(14, 10, 13), 0.8)
    torch.testing.assert_close(apart, together[order], rtol=0, atol=1e-6)


@EACH
def test_augmentation_differs_between_samples_epochs_and_seeds(alter: Augmentation):
    x = pixels(1, 3, 16, 24).expand(16, -1, -1, -1)
    altered = alter(x, draws(*range(16)), 0.5)
    assert len(altered.flatten(1).unique(dim=0)) > 1
    assert not torch.equal(altered, alter(x, draws(*range(16), epoch=1), 0.5))
    assert not torch.equal(altered, alter(x, draws(*range(16), seed=1), 0.5))


@pytest.mark.parametrize("alter", [resized_crop, translate, horizontal_flip, recolour, colour_jitter],
                         ids=lambda f: f.__name__)
def test_frames_of_a_clip_are_altered_alike(alter: Augmentation):
    still = pixels(6, 3, 1, 16, 24).expand(-1, -1, 5, -1, -1)
    altered = alter(still, draws(*range(6)), 0.7)
    torch.testing.assert_close(altered, altered[:, :, :1].expand_as(altered), rtol=0, atol=1e-6)
    image = alter(still[:, :, 0], draws(*range(6)), 0.7)
    torch.testing.assert_close(altered[:, :, 0], image, rtol=0, atol=1e-5)


def test_erased_box_is_at_the_same_place_in_all_frames_and_of_the_stated_area():
    x = torch.zeros(64, 3, 4, 32, 32)
    erased = random_erasing(x, draws(*range(64)), 1.0) != 0
    assert (erased == erased[:, :1, :1]).all()
    area = erased[:, 0, 0].float().mean((1, 2))
    assert area.min() > 0.01
    assert 0.2 < area.max() < 0.37
    half = random_erasing(x, draws(*range(64)), 0.5).flatten(1).any(1).float().mean()
    assert 0.3 < half < 0.7


def test_translation_moves_whole_pixels_and_repeats_the_border():
    x = pixels(32, 3, 16, 24)
    shifted = translate(x, draws(*range(32)), 0.25)
    for before, after in zip(x, shifted, strict=True):
        padded = torch.nn.functional.pad(before[None], (6, 6, 4, 4), mode="replicate")[0]
        windows = padded.unfold(1, 16, 1).unfold(2, 24, 1)
        assert (windows == after[:, None, None]).all((0, 3, 4)).any()


def test_recolouring_gives_the_channels_every_order_and_leaves_the_stated_share_as_it_is():
    x = torch.arange(3.0).view(1, 3, 1, 1, 1).expand(600, 3, 2, 4, 4)
    orders, counts = recolour(x, draws(*range(600)), 0.6)[:, :, 0, 0, 0].unique(dim=0, return_counts=True)
    assert orders.tolist() == [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    assert all(30 < count < 90 for count in counts[1:].tolist())
    assert 240 < counts[0] < 360  # the two fifths that are left, and a sixth of the others


def test_crop_shows_a_part_of_the_image_without_padding():
    ramp = torch.linspace(0, 1, 32).view(1, 1, 1, 32).expand(64, 3, 32, 32)
    cropped = resized_crop(ramp, draws(*range(64)), 0.5)[:, 0, 0]
    assert (cropped.diff(dim=1) > -1e-6).all()
    span = cropped[:, -1] - cropped[:, 0]
    assert span.min() > 0.5
    assert span.max() < 1 + 1e-6


def test_flip_mirrors_about_the_stated_share():
    x = pixels(400, 3, 4, 6)
    flipped = horizontal_flip(x, draws(*range(400)), 0.5)
    mirrored = (flipped == x.flip(-1)).flatten(1).all(1)
    assert (mirrored | (flipped == x).flatten(1).all(1)).all()
    assert 0.4 < mirrored.float().mean() < 0.6


def test_cropping_equals_torchs_sampling_grid():
    x, random, strength = pixels(32, 3, 16, 24), draws(*range(32)), 0.6
    area = random.uniform("crop-area", low=1 - strength, high=1)
    aspect = random.uniform("crop-aspect", low=-math.log(4 / 3), high=math.log(4 / 3)).exp()
    scale = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], 1).clamp(max=1)
    centre = random.uniform("crop-centre", 2, low=-1, high=1) * (1 - scale)
    grid = torch.nn.functional.affine_grid(torch.cat([torch.diag_embed(scale), centre[:, :, None]], 2), list(x.shape),
                                           align_corners=False)
    expected = torch.nn.functional.grid_sample(x, grid, "bilinear", "border", align_corners=False)
    torch.testing.assert_close(resized_crop(x, random, strength), expected, atol=1e-4, rtol=1e-4)


def test_jitter_stays_in_range():
    altered = colour_jitter(pixels(32, 3, 8, 8), draws(*range(32)), 0.9)
    assert altered.min() >= 0
    assert altered.max() <= 1


def test_bytes_become_normalised_floats_and_are_not_altered_without_randomness():
    x = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    prepared = prepare_pixels(x, None, {"flip": 1.0, "crop": 0.9, "erase": 1.0})
    assert prepared[0, :, 0, 0].tolist() == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    assert prepared[1, :, 0, 0].tolist() == pytest.approx([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225])
    assert prepared[0].std((1, 2)).max() < 1e-6


def test_unknown_augmentation_is_named():
    with pytest.raises(ValueError, match="unknown augmentation rand_augment; known: crop"):
        prepare_pixels(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), None, {"rand_augment": 9})


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0), (0.8, 1.0), (0.0, 0.0)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@SIZES
def test_mixing_conserves_label_mass(mixup: float, cutmix: float, smoothing: float, size: tuple[int, ...]):
    for epoch in range(20):
        batch = {"input": pixels(5, *size), "label": torch.tensor([0, 3, 1, 2, 3])}
        mixed = mix(batch, 4, draws(*range(5), epoch=epoch), mixup, cutmix, label_smoothing=smoothing)
        assert mixed["input"].shape == batch["input"].shape
        assert mixed["label"].shape == (5, 4)
        torch.testing.assert_close(mixed["label"].sum(1), torch.ones(5))
        assert mixed["label"].min() >= smoothing / 4 - 1e-6


@pytest.mark.parametrize(("mixup", "cutmix"), [(1.0, 0.0), (0.0, 1.0)])
def test_mixed_labels_say_how_much_of_every_sample_is_seen(mixup: float, cutmix: float):
    x = torch.eye(4).view(4, 4, 1, 1).expand(4, 4, 16, 16)
    shares = []
    for epoch in range(30):
        mixed = mix({"input": x, "label": torch.arange(4)}, 4, draws(*range(4), epoch=epoch), mixup, cutmix)
        torch.testing.assert_close(mixed["input"].mean((2, 3)), mixed["label"])
        shares.append(mixed["label"][0, 0].item())
    assert np.std(shares) > 0.1


def test_mixing_of_multiple_labels_keeps_their_number():
    label = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    mixed = mix({"input": pixels(3, 1, 8, 8), "label": label}, 3, draws(0, 1, 2), 0.8, 0.0)
    torch.testing.assert_close(mixed["label"].sum(1), torch.full((3,), 2.0))
    with pytest.raises(ValueError, match="label smoothing"):
        mix({"input": pixels(3, 1, 8, 8), "label": label}, 3, draws(0, 1, 2), 0.8, 0.0, label_smoothing=0.1)


def test_mixing_repeats_and_leaves_the_global_generators_alone():
    batch = {"input": pixels(4, 3, 8, 8), "label": torch.arange(4), "index": torch.arange(4)}
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (mix(batch, 4, draws(*range(4)), 0.8, 1.0) for _ in range(2))
    prepare_pixels((batch["input"] * 255).byte(), draws(*range(4)), {"crop": 0.5, "erase": 0.5, "jitter": 0.5})
    assert torch.equal(first["input"], second["input"])
    assert torch.equal(first["label"], second["label"])
    assert torch.equal(first["index"], batch["index"])
    assert torch.equal(state, torch.get_rng_state())
    assert (legacy == np.random.get_state()[1]).all()  # noqa: NPY002


def test_soft_cross_entropy_of_probabilities_equals_its_formula_and_that_of_classes():
    logits, label = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 5
    smoothed = torch.nn.functional.one_hot(label, 5) * 0.9 + 0.02
    expected = -(smoothed * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(soft_cross_entropy(logits, smoothed, 0.1), expected)
    torch.testing.assert_close(soft_cross_entropy(logits, label, 0.1), expected)


def test_accuracy_equals_scikit_learns():
    random = np.random.default_rng(0)
    label, scores = random.integers(0, 12, 101), random.normal(size=(101, 12)).astype(np.float32)
    meter = AccuracyMeter()
    for part in torch.arange(101).split(32):
        meter.update(torch.from_numpy(scores)[part], {"label": torch.from_numpy(label)[part]})
    assert meter.compute() == pytest.approx({
        "top1": 100 * accuracy_score(label, scores.argmax(1)),
        "top5": 100 * top_k_accuracy_score(label, scores, k=5, labels=range(12))})


def test_accuracy_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="no samples"):
        AccuracyMeter().compute()


def test_of_equal_scores_the_lowest_class_comes_first():
    """As bf16 rounds them; top-1 is `argmax`, whatever order `topk` gives."""
    logits = torch.randn(4000, 1000, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert (logits.topk(2).values.diff()[:, 0] == 0).any()
    meter = AccuracyMeter()
    meter.update(logits, {"label": logits.float().argmax(1)})
    assert meter.compute()["top1"] == 100
    order = logits.float().sort(dim=1, descending=True, stable=True).indices
    for place, expected in ((1, (0, 100)), (4, (0, 100)), (5, (0, 0))):
        meter = AccuracyMeter()
        meter.update(logits, {"label": order[:, place]})
        assert tuple(meter.compute().values()) == expected
    meter.update(torch.full((2, 10), torch.nan), {"label": torch.zeros(2, dtype=torch.long)})
    assert meter.hits == {"top1": 0, "top5": 0}
