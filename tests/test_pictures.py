"""What the report shows of data and of masked pretraining is what was there, and a damaged file of it is named."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.text import Text

from baselines import ARMS
from benchmark.data.names import class_names, sample_names
from benchmark.model.patches import patchify
from benchmark.plan.matrix import Cell, Planner, pretraining_tasks
from benchmark.plan.presets import Group, cells_of
from benchmark.records.pictures import UNSEEN, read_pictures, write_pictures
from benchmark.report.canvas import house_style
from benchmark.report.pictures import draw_reconstructions, draw_samples
from benchmark.spec.sounds import SoundProfile
from benchmark.train.loop import fit
from benchmark.train.pictures import (
    RECONSTRUCTED,
    SHOWN,
    as_seen,
    depict_reconstruction,
    depict_samples,
    unpatchify,
)
from benchmark.train.setup import build_autoencoder
from tasks import TASKS
from tasks.audioset.waveform import CLIP_SAMPLES, SAMPLE_RATE, clip_log_mel, kaldi_fbank


@pytest.mark.parametrize(("shape", "patch"), [((3, 8, 12), (4, 2)), ((3, 4, 8, 8), (2, 4, 2)), ((1, 6, 4), (3, 4))])
def test_patches_are_put_back_where_they_were(shape, patch):
    x = torch.randn(2, *shape)
    assert torch.equal(unpatchify(patchify(x, patch), shape, patch), x)


@pytest.mark.parametrize("groups", [1, 3])
def test_a_perfect_prediction_shows_the_true_pixels(groups):
    patches = torch.rand(2, 5, 12)
    split = patches.unflatten(2, (groups, -1))
    perfect = ((split - split.mean(3, keepdim=True)) / split.std(3, keepdim=True)).flatten(2)
    torch.testing.assert_close(as_seen(perfect, patches, groups), patches)


@pytest.mark.parametrize("task", [task for task in TASKS.values() if "tiny" in task.profiles], ids=lambda task: task.name)
def test_every_task_has_a_contact_sheet_of_its_training_split(task, tmp_path):
    (spec,) = Planner(TASKS, "tiny").plan([Cell(task, ARMS["scratch"], "scratch")], [0]).specs
    pictures = depict_samples(spec, task)
    stored = task.load("tiny")["train"].take(SHOWN).columns["input"]
    assert len(pictures["input"]) == SHOWN == len(stored)
    if stored.dtype == torch.uint8 and stored.ndim > 3:
        assert np.array_equal(pictures["input"], stored.movedim(1, -1).numpy())
    if task.modality == "point":
        np.testing.assert_allclose(pictures["input"], stored.float().numpy() / 127, atol=1e-3)
    first = task.load("tiny")["train"].take(SHOWN).columns
    names = class_names(task.profiles["tiny"])
    told = [names.index(name) for name in pictures["name"]] if task.modality != "audio" else [
        [float(tag in name.split(", ")) for tag in names] for name in pictures["name"]]
    assert told == first.get("category", first["label"]).tolist(), "each sample is under the name of its own class"
    write_pictures(tmp_path / "a.npz", pictures)
    again = read_pictures(tmp_path / "a.npz")
    assert again is not None
    assert all(np.array_equal(again[name], pictures[name]) for name in pictures)
    before = (tmp_path / "a.npz").read_bytes()
    write_pictures(tmp_path / "a.npz", pictures)
    assert (tmp_path / "a.npz").read_bytes() == before
    with house_style():
        drawing = draw_samples(task.name, "tiny", pictures, task.modality)
        said = " ".join(text.get_text() for text in drawing.findobj(Text)).replace("\n", " ")
    assert all(name in said for name in pictures["name"])
    assert ("seconds" in said, "hertz" in said) == (task.modality == "audio", task.modality == "audio")
    assert ("Frames 1, 3, 6, 8 of 8" in said) == (task.modality == "video")


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_samples_are_upright_in_full_contrast_and_their_range_is_told(channels):
    digit = np.zeros((2, 8, 8, channels), np.uint8)
    digit[:, :2, 5:] = 16  # a mark at the top, to the right
    with house_style():
        drawing = draw_samples("digits", "tiny", {"input": digit}, "glyph")
        shown = drawing.axes[0].images[0].get_array()
        assert np.array_equal(shown, np.repeat(digit[0, ..., :1] // 16 * 255, 3, -1))
        assert "Values from 0 to 16" in drawing.get_suptitle()
        turned = draw_samples("sounds", "tiny", {"input": digit[..., :1]}, "audio").axes[0].images[0].get_array()
        assert not np.array_equal(turned[..., 0] > turned.min(), digit[0, ..., 0] > 0), "time is to the right"
        hidden = np.zeros((2, 8, 8), bool)
        made = draw_reconstructions("glyph", "text", {"input": digit, "reconstruction": digit, "hidden": hidden})
        assert np.array_equal(made.axes[0].images[0].get_array()[:8, :8], np.repeat(digit[0, ..., :1], 3, -1))


def test_axes_of_spectrograms_are_those_of_the_filters_that_made_them():
    for name, profile in TASKS["audioset"].profiles.items():
        assert isinstance(profile, SoundProfile)
        frames, bins = profile.shape.input_size
        assert profile.seconds == (CLIP_SAMPLES / SAMPLE_RATE if name != "paper" else frames / 100)
        tone = profile.bin_hertz()[40]
        wave = torch.sin(torch.arange(CLIP_SAMPLES) * (2 * np.pi * tone / SAMPLE_RATE))
        spectrum = clip_log_mel(wave) if name != "paper" else kaldi_fbank(wave, bins)
        assert spectrum.mean(0).argmax() == 40, "a tone at the middle of a bin is loudest in that bin"


def test_a_fold_of_few_classes_is_not_shown_under_the_names_of_all():
    profile = TASKS["imagenet"].profiles["tiny"]
    batch = {"label": torch.tensor([0, 1])}
    assert sample_names(profile, batch) == class_names(profile)[:2]
    assert sample_names(replace(profile, num_classes=5), batch) == []
    assert sample_names(replace(profile, data_sets=()), batch) == []
    assert sample_names(replace(profile, data_sets=("of one's own",)), batch) == []


@pytest.mark.parametrize("modality", pretraining_tasks(TASKS))
def test_a_reconstruction_keeps_what_was_seen_and_makes_the_rest(modality, tmp_path):
    task = pretraining_tasks(TASKS)[modality]
    planner = Planner(TASKS, "tiny", [], limited=True)
    group = Group(arms=("finetune",), targets=(task.name,))
    spec = next(job.spec for job in planner.plan(cells_of(TASKS, ARMS, group), [0]).jobs if job.spec.kind == "pretrain")
    recipe = spec.recipe.model_copy(update={"epochs": 1, "warmup_epochs": 0})
    spec = spec.model_copy(update={"recipe": recipe})
    assert depict_reconstruction(spec, task, tmp_path / "checkpoint.pt") == {}
    model = build_autoencoder(spec, task)
    fit(model, lambda batch, random: model(task.augment(batch, random, recipe.augment), random, recipe.mask_ratio), recipe,
        spec.shape.depth, task.load_pretraining("tiny").take(8), 0, torch.device("cpu"), tmp_path / "checkpoint.pt")
    pictures = depict_reconstruction(spec, task, tmp_path / "checkpoint.pt")
    assert len(pictures["input"]) == RECONSTRUCTED
    if pictures["input"].dtype.kind == "U":
        texts = zip(*(pictures[name].tolist() for name in ("input", "visible", "reconstruction")), strict=True)
        for whole, seen, made in texts:
            assert len(whole) == len(seen) == len(made) == spec.shape.input_size[0]
            assert [letter for letter, shown in zip(made, seen, strict=True) if shown != UNSEEN] == [
                letter for letter in seen if letter != UNSEEN]
            assert seen.count(UNSEEN) / len(seen) == recipe.mask_ratio
            assert whole != made
    elif "hidden" in pictures:
        hidden = pictures["hidden"]
        assert np.array_equal(pictures["reconstruction"][~hidden], pictures["input"][~hidden])
        assert (pictures["reconstruction"][hidden] != pictures["input"][hidden]).mean() > 0.2
        assert hidden.mean() == pytest.approx(recipe.mask_ratio, abs=0.05)
    else:
        groups, size = spec.shape.patch_size
        assert pictures["visible"].shape[1] + pictures["reconstruction"].shape[1] == groups * size
    write_pictures(tmp_path / "a.npz", pictures)
    assert read_pictures(tmp_path / "a.npz") is not None
    with house_style():
        assert draw_reconstructions(modality, "text", pictures).axes


def packed(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("input.npy", bytes(100 * 2**20))
    return buffer.getvalue()


GRID = np.zeros((2, 4, 4, 3), np.uint8)


@pytest.mark.parametrize("content", [
    b"", b"not a zip", packed(input=GRID)[:-30], packed(label=np.arange(2)), packed(input=GRID.astype("float64")),
    packed(input=GRID, reconstruction=GRID[:1], hidden=GRID[..., 0] > 0), packed(input=GRID, label=np.arange(3)),
    packed(input=np.array([{"a": 1}], dtype=object)), packed(input=GRID, extra=GRID), packed(input=GRID, name=np.array(["1"])),
    packed(input=GRID, seconds=np.ones(1)), packed(input=GRID, seconds=np.ones(1), hertz=np.ones(3)), bomb()], ids=range(13))
def test_a_file_that_is_not_sound_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"^pictures a\.npz cannot be read: [^\n]+$"):
        read_pictures(tmp_path / "a.npz")


def test_where_there_is_nothing_nothing_is_written_or_read(tmp_path):
    write_pictures(tmp_path / "a.npz", {})
    assert read_pictures(tmp_path / "a.npz") is None
