"""No draw of any augmentation of any recipe fails or is no number: twenty thousand of each, on tiny inputs; and extremes."""

from __future__ import annotations

import builtins
import importlib
import math
import pkgutil

import numpy as np
import pytest
import torch
from PIL import Image

import tasks
from benchmark.data.augment import draw_share, mix, prepare_pixels
from benchmark.data.pictures import rand_augment, seeded
from benchmark.data.seeds import SampleRandom
from benchmark.model.points import prepare_points
from benchmark.spec.contracts import ProfileSpec, add_up
from tasks import TASKS
from tasks.audioset.spectrogram import prepare as prepare_sounds
from tasks.imagenet.official import Pictures
from tasks.kinetics.official import Clips
from tasks.partnet import OFFSETS
from tasks.partnet.model import FinePartMeter
from tasks.shapenet.model import PartMeter

DRAWS = 20_000
LARGEST, SMALLEST = 2**24 - 1, 0


def recipes(*modalities: str) -> dict[str, dict[str, float]]:
    """Every different set of strengths of a modality's recipes, by the first recipe that has it"""
    found: dict[str, dict[str, float]] = {}
    for task in TASKS.values():
        for name, profile in task.profiles.items():
            for setting, recipe in {"pretraining": profile.pretrain, **profile.train}.items():
                if task.modality in modalities and recipe.augment and recipe.augment not in found.values():
                    found[f"{task.name} {name} {setting}"] = recipe.augment
    return found


class Extreme(SampleRandom):
    """Draws the same number of 24 bits each time"""

    bits = LARGEST

    def _bits(self, use, size):
        bits = self.bits << 40
        return torch.full((len(self.indices), *size), bits - 2**64 if bits >= 2**63 else bits, dtype=torch.int64)


@pytest.mark.parametrize("strengths", recipes("image", "video").values(), ids=recipes("image", "video"))
def test_every_draw_of_pictures_gives_finite_pixels(strengths):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8))
    on_pixels = {name: value for name, value in strengths.items() if name not in Pictures.alters | Clips.alters}
    reading = {name: value for name, value in strengths.items() if name not in on_pixels}
    if {"rand_augment", "clamped_crop", "multi_scale"} & set(strengths):  # paper's, which readers alter
        for draw in range(DRAWS):
            if "multi_scale" in strengths or not set(reading) <= Pictures.alters:
                altered = Clips((16, 8, 8), **reading).altered(picture.size, np.random.default_rng(draw))(picture)
            else:
                altered = Pictures((8, 8), **reading).altered(picture, np.random.default_rng(draw))
            assert (altered.size, altered.mode) == ((8, 8), "RGB")
    else:
        on_pixels |= {name: value for name, value in reading.items() if name != "rand_augment"}
    x = torch.from_numpy(np.asarray(picture).transpose(2, 0, 1).copy()).expand(DRAWS, -1, -1, -1)
    assert prepare_pixels(x, SampleRandom(0, 0, torch.arange(DRAWS)), on_pixels).isfinite().all()


@pytest.mark.parametrize(("magnitude", "layers"), [(9.0, 2), (7.0, 4), (7.5, 2), (10.0, 2), (100.0, 2), (0.1, 2)])
def test_every_draw_of_rand_augment_is_a_picture(magnitude, layers):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    policy = rand_augment(magnitude, (8, 8), layers)
    with seeded(np.random.default_rng(0)):
        assert {policy(picture).mode for _ in range(DRAWS // 4)} == {"RGB"}


def test_a_picture_of_which_no_bit_is_kept_is_black_and_others_as_ever():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    (operation,) = [each for each in rand_augment(10, (8, 8)).ops if each.name == "PosterizeIncreasing"]
    made = {bits: np.asarray(operation.aug_fn(picture, bits)) for bits in range(9)}
    assert not made[0].any()
    for bits in range(1, 9):
        assert (made[bits] == np.asarray(picture) & (256 - 2 ** (8 - bits))).all()
    magnitudes = {each.magnitude for each in rand_augment(7.5, (8, 8)).ops}
    assert magnitudes == {7.5}


@pytest.mark.parametrize("strengths", recipes("point").values(), ids=recipes("point"))
def test_every_draw_of_clouds_is_finite(strengths):
    small = {name: min(value, 24 if name == "pool" else 20) if name in {"points", "pool", "labelled"} else value
             for name, value in strengths.items() if name != "fold"}
    points = torch.rand(24, 3).expand(DRAWS, -1, -1)
    batch = {"input": points, "label": torch.zeros(DRAWS, 24, dtype=torch.int64)}
    for kind in (SampleRandom, Extreme):
        made = prepare_points(batch, kind(0, 0, torch.arange(DRAWS)), small | {"jitter": 0.01, "rotate": 3.0})
        assert made["input"].isfinite().all()


@pytest.mark.parametrize("strengths", recipes("audio").values(), ids=recipes("audio"))
def test_every_draw_of_sounds_is_finite(strengths):
    strengths = {name: value for name, value in strengths.items() if name not in {"mix", "drop_time", "drop_frequency"}}
    sounds = torch.randn(200, 192, 48, generator=torch.Generator().manual_seed(0))
    for kind in (SampleRandom, Extreme):
        for epoch in range(DRAWS // len(sounds) if kind is SampleRandom else 1):
            assert prepare_sounds(sounds, kind(0, epoch, torch.arange(len(sounds))), strengths).isfinite().all()


@pytest.mark.parametrize("bits", [LARGEST, LARGEST - 1, 2**23, 2**23 - 1, 1, SMALLEST])
def test_normal_numbers_are_finite_at_every_extreme(bits):
    random = Extreme(0, 0, torch.arange(2))
    random.bits = bits
    (value,) = set(random.normal("any", 3).flatten().tolist())
    place = (bits + 0.5) / 2**24
    assert math.isfinite(value)
    assert abs(value) <= 5.42
    assert value == pytest.approx(torch.special.ndtri(torch.tensor(place, dtype=torch.float64)).item(), abs=0.2)


def test_all_other_normal_numbers_keep_their_bits():
    random = SampleRandom(3, 1, torch.arange(400))
    before = torch.special.ndtri((random.uniform("noise", 5000) + 2.0**-25).double()).float()
    after = random.normal("noise", 5000)
    finite = before.isfinite()
    assert torch.equal(before[finite], after[finite])
    assert after.isfinite().all()


@pytest.mark.parametrize("bits", [LARGEST, 2**23, SMALLEST])
def test_every_augmentation_of_pixels_is_finite_at_the_extremes(bits):
    random = Extreme(0, 0, torch.arange(4))
    random.bits = bits
    strengths = {"crop": 1.0, "translate": 1.0, "flip": 1.0, "recolour": 1.0, "jitter": 1.0, "erase": 1.0}
    x = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    made = prepare_pixels(x, random, strengths)
    assert made.isfinite().all()
    mixed = mix({"input": made, "label": torch.arange(4)}, 5, random, 0.8, 1.0)
    assert mixed["input"].isfinite().all()
    assert mixed["label"].sum(1).tolist() == pytest.approx([1.0] * 4)


@pytest.mark.parametrize("alpha", [1e-310, 1e-300, 1e-8, 0.2, 1.0, 10.0, 1e8, 1e300])
def test_shares_of_mixtures_are_shares(alpha):
    draws = np.random.default_rng(0)
    shares = np.array([draw_share(draws, alpha) for _ in range(2000)])
    assert ((shares >= 0) & (shares <= 1)).all()
    assert shares.mean() == pytest.approx(0.5, abs=0.05)


# What may round otherwise elsewhere, and what a profile may hold

def test_metrics_add_from_left_to_right_whatever_sum_does(monkeypatch):
    values = [0.1] * 10 + [1e16, 1.0, -1e16]
    plain = 0.0
    for value in values:
        plain += value
    monkeypatch.setattr(builtins, "sum", lambda values, start=0: math.fsum(values) + start)  # as from Python 3.12 on, or better
    assert add_up(values) == plain != math.fsum(values)
    parts = PartMeter((0, 2, 4))
    parts.by_category = [values[:10], values[:3]]
    of_first, of_second = add_up(values[:10]), add_up(values[:3])
    assert parts.compute() == {"instance mIoU": 100 * ((of_first + of_second) / 13),
                               "class mIoU": 100 * (of_first / 10 + of_second / 3) / 2}
    fine = FinePartMeter(OFFSETS)
    fine.actual[1], fine.both[1], fine.either[1], fine.of_shapes = 1, 1, 1, values[:10]
    assert fine.compute()["shape mIoU"] == 100 * of_first / 10


def test_modules_of_profiles_hold_profiles_and_nothing_else():
    for found in pkgutil.iter_modules(tasks.__path__, "tasks."):
        if not found.ispkg:
            continue
        module = importlib.import_module(f"{found.name}.profiles")
        imported = {name for name, value in vars(module).items()
                    if type(value).__name__ == "module" or (getattr(value, "__module__", module.__name__) != module.__name__
                    and not isinstance(value, ProfileSpec | dict | tuple))}
        odd = {name for name, value in vars(module).items()
               if not name.startswith("_") and name not in imported and not isinstance(value, ProfileSpec)}
        assert not odd, f"{module.__name__} has {odd}: values of profiles enter a run's spec, all else is code elsewhere"
        own = [name for name, value in vars(module).items() if callable(value) and value.__module__ == module.__name__]
        assert not own, f"{module.__name__} defines {own}"


def test_partnet_has_a_class_for_every_label():
    assert TASKS["partnet"].profiles["paper"].num_classes == OFFSETS[-1]
