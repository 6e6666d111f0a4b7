"""The audio task: its waveform path, its metric, its augmentation and its sizes."""

from __future__ import annotations

import io
import math
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
import torchaudio.compliance.kaldi
import torchaudio.functional
from sklearn.metrics import average_precision_score

from benchmark.data import embedded
from benchmark.data.embedded import DataError
from benchmark.data.seeds import SampleRandom
from benchmark.model.encoder import TransformerModel
from benchmark.model.mae import MaskedAutoencoder
from tasks.audioset import TASK, spectrogram, waveform
from tasks.audioset.metrics import AveragePrecisionMeter, mean_average_precision

STRENGTHS = {"gain_db": 6.0, "roll": 0.5, "time_mask": 16.0, "freq_mask": 16.0}

# One row a frame (0, 30, 60, 97 and 0, 20, 40, 63), one column a mel bin, of the chirp below.
KALDI_GOLDEN = [
    [-8.3336, -5.6213, -15.9424, -15.9424, -15.9424],
    [-8.0561, -15.9424, -12.4669, -15.9424, -15.9424],
    [-13.0112, -15.9424, -8.4999, -15.9424, -15.9424],
    [-11.2886, -15.9424, -15.9424, -14.2060, -15.9424],
]
CLIP_GOLDEN = [
    [17.5832, 6.5098, -15.8999, -27.4130, -30.1562],
    [-59.9656, -58.0910, -48.5939, -59.9982, -60.0000],
    [-59.9837, -59.9608, -41.1651, -59.9807, -59.9997],
    [-59.9996, -59.9990, -59.9043, -58.6603, -59.9996],
]


@pytest.fixture(scope="module")
def splits():
    return TASK.load("tiny")


@pytest.fixture(scope="module")
def ogg():
    return embedded.arrays_of("audio_tags_wave_ogg")


def clip_bytes(ogg, split: str, index: int) -> bytes:
    begin, end = ogg[f"off_{split}"][index : index + 2]
    return ogg[f"ogg_{split}"][begin:end].tobytes()


def chirp(rate: int = 16_000, num_samples: int | None = None) -> torch.Tensor:
    """One second from 200 Hz to 3200 Hz."""
    seconds = torch.arange(num_samples or rate, dtype=torch.float64) / rate
    return (0.5 * torch.sin(2 * math.pi * (200 * seconds + 1500 * seconds**2))).float()


def write_wave(samples: torch.Tensor, rate: int, to) -> None:
    soundfile.write(to, samples.numpy(), rate, format="WAV", subtype="FLOAT")


# The waveform path

def test_kaldi_fbank_equals_torchaudio_called_as_audiomae_does():
    sound = chirp() + 0.1
    expected = torchaudio.compliance.kaldi.fbank(
        (sound - sound.mean())[None], htk_compat=True, sample_frequency=16000, use_energy=False, window_type="hanning",
        num_mel_bins=128, dither=0.0, frame_shift=10)
    assert torch.equal(waveform.kaldi_fbank(sound), expected)


def test_kaldi_fbank_of_a_chirp_has_its_known_values():
    fbank = waveform.kaldi_fbank(chirp())
    assert fbank.shape == (98, 128)
    rows, columns = torch.tensor([0, 30, 60, 97]), torch.tensor([0, 20, 60, 100, 127])
    golden = torch.tensor(KALDI_GOLDEN)  # torchaudio 2.11
    torch.testing.assert_close(fbank[rows][:, columns], golden, rtol=0, atol=0.02)


def test_clip_log_mel_of_a_chirp_has_its_known_values():
    log_mel = waveform.clip_log_mel(chirp(num_samples=waveform.CLIP_SAMPLES))
    assert log_mel.shape == (64, 64)
    rows, columns = torch.tensor([0, 20, 40, 63]), torch.tensor([0, 10, 30, 50, 63])
    golden = torch.tensor(CLIP_GOLDEN)  # log_mel of docs/embedded_data/audio.py
    torch.testing.assert_close(log_mel[rows][:, columns].float(), golden, rtol=0, atol=0.01)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_decoded_clips_agree_with_the_stored_spectrograms(ogg, splits, split):
    """Opus is lossy and the store has steps of 2 dB: 2 dB mean difference where there is sound, correlation 0.95."""
    differences, correlations = [], []
    for index in range(0, 200, 10):
        stored = waveform.dequantise_clip(splits[split].columns["input"][index])
        decoded = waveform.clip_log_mel(waveform.decode(clip_bytes(ogg, split, index))).clamp(-60, 40).float()
        differences.append((decoded - stored)[stored > 0].abs().mean())
        correlations.append(torch.corrcoef(torch.stack([decoded.flatten(), stored.flatten()]))[0, 1])
    differences = torch.stack(differences)[~torch.stack(differences).isnan()]
    assert differences.mean() < 2
    assert torch.stack(correlations).quantile(0.1) > 0.95


def test_stored_values_survive_quantisation():
    stored = torch.arange(0, 251, 5, dtype=torch.uint8)
    assert torch.equal(waveform.quantise_clip(waveform.dequantise_clip(stored)), stored)


def test_waves_and_spectrograms_have_the_same_labels_in_the_same_order(ogg):
    tags = embedded.arrays_of("audio_tags")
    assert (tags["tags"] == ogg["tags"]).all()
    for split in ("train", "val", "test"):
        assert (tags[f"y_{split}"] == ogg[f"y_{split}"]).all()
        assert len(ogg[f"off_{split}"]) == len(tags[f"y_{split}"]) + 1


def test_stereo_file_is_mixed_and_resampled(tmp_path):
    left, right = chirp(44_100), 0.5 * chirp(44_100)
    write_wave(torch.stack([left, right], 1), 44_100, tmp_path / "sound.wav")
    decoded = waveform.decode(tmp_path / "sound.wav")
    torch.testing.assert_close(decoded, torchaudio.functional.resample(0.75 * left, 44_100, 16_000), rtol=0, atol=1e-6)
    assert torch.corrcoef(torch.stack([decoded, 0.75 * chirp()]))[0, 1] > 0.999


def test_file_and_its_bytes_decode_alike(tmp_path):
    write_wave(chirp(), 16_000, tmp_path / "sound.wav")
    assert torch.equal(waveform.decode(tmp_path / "sound.wav"), chirp())
    assert torch.equal(waveform.decode((tmp_path / "sound.wav").read_bytes()), chirp())


def test_paper_input_is_cut_or_filled_to_its_frames():
    buffer = io.BytesIO()
    write_wave(chirp(), 16_000, buffer)
    long, short = (waveform.read_fbank(buffer.getvalue(), frames) for frames in (1024, 50))
    assert long.shape == (1024, 128)
    assert torch.equal(long[:50], short)
    assert (long[98:] == 0).all()


def test_unreadable_sounds_raise_data_errors(tmp_path):
    empty = io.BytesIO()
    write_wave(torch.zeros(0), 16_000, empty)
    (tmp_path / "text.ogg").write_text("not a sound")
    for source in (b"not a sound", b"", empty.getvalue(), tmp_path / "text.ogg", tmp_path / "missing.ogg"):
        with pytest.raises(DataError, match=r"cannot be read|no samples"):
            waveform.decode(source)
    with pytest.raises(DataError, match="25 ms"):
        waveform.kaldi_fbank(torch.zeros(399))


# Data and metric

def test_normalisation_constants_are_those_of_the_training_split(splits):
    decibels = waveform.dequantise_clip(splits["train"].columns["input"]).double()
    assert decibels.mean().item() == pytest.approx(spectrogram.CLIP_MEAN_DB, abs=1e-3)
    assert decibels.std().item() == pytest.approx(spectrogram.CLIP_STD_DB, abs=1e-3)
    ready = TASK.augment(splits["train"].columns | {}, None, {})["input"]
    assert ready.shape == (1486, 1, 64, 64)
    assert ready.mean().abs() < 1e-3
    assert abs(ready.std() - 1) < 1e-3


def test_chance_is_what_a_constant_score_reaches_on_the_test_split(splits):
    meter = TASK.meter("tiny")
    meter.update(torch.zeros(len(splits["test"]), 38), splits["test"].columns)
    for profile in ("tiny", "small"):
        assert TASK.profiles[profile].chance == pytest.approx(meter.compute()["mAP"], abs=0.01)


def test_random_scores_reach_more_than_a_constant_one(splits):
    reached = []
    for seed in range(30):
        meter = TASK.meter("tiny")
        random = torch.Generator().manual_seed(seed)
        meter.update(torch.randn(len(splits["test"]), 38, generator=random), splits["test"].columns)
        reached.append(meter.compute()["mAP"])
    assert TASK.profiles["tiny"].shortcuts["random scores"] == pytest.approx(np.mean(reached), abs=0.15)


def test_map_equals_scikit_learn_over_batches_with_ties():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(100, 7)).round(1), rng.random((100, 7)) < 0.2
    meter = AveragePrecisionMeter()
    for part in np.array_split(np.arange(100), 3):
        meter.update(torch.tensor(scores[part]), {"label": torch.tensor(labels[part]).float()})
    result = meter.compute()
    assert result["mAP"] == pytest.approx(100 * average_precision_score(labels, scores, average="macro"), abs=1e-9)
    assert result["classes without positives"] == 0
    assert set(result) == {metric.name for metric in TASK.metrics}


def test_classes_without_positives_are_left_out_and_counted():
    scores = np.array([[0.9, 0.1, 0.3], [0.2, 0.8, 0.2], [0.4, 0.3, 0.1]])
    labels = np.array([[1, 0, 0], [0, 0, 0], [1, 0, 1]], bool)
    value, absent = mean_average_precision(scores, labels)
    assert absent == 1
    assert value == pytest.approx(100 * (1 + 1 / 3) / 2)
    with pytest.raises(ValueError, match="undefined"):
        mean_average_precision(scores, np.zeros_like(labels))


def test_loss_is_binary_cross_entropy_and_refuses_smoothing():
    recipe = TASK.profiles["tiny"].train["pretrained"]
    logits, label = torch.randn(4, 38), torch.rand(4, 38)
    p = logits.sigmoid()
    expected = -(label * p.log() + (1 - label) * (1 - p).log()).mean()
    torch.testing.assert_close(TASK.loss(logits, {"label": label}, recipe), expected)
    assert torch.equal(TASK.probabilities(logits), p)
    with pytest.raises(ValueError, match="smoothing"):
        TASK.loss(logits, {"label": label}, recipe.model_copy(update={"label_smoothing": 0.1}))


# Augmentation

@pytest.mark.parametrize("strengths", [{}, dict.fromkeys(STRENGTHS, 0.0)], ids=["absent", "zero"])
def test_augmentation_of_strength_zero_changes_nothing(splits, strengths):
    indices = torch.arange(8)
    batch = splits["train"].batch(indices)
    altered = TASK.augment(batch, SampleRandom(0, 0, indices), strengths)["input"]
    assert torch.equal(altered, TASK.augment(batch, None, STRENGTHS)["input"])


@pytest.mark.parametrize("strength", STRENGTHS)
def test_every_augmentation_alters_and_depends_on_the_sample_alone(splits, strength):
    def altered(indices, epoch=0):
        batch = splits["train"].batch(indices)
        return TASK.augment(batch, SampleRandom(0, epoch, indices), {strength: STRENGTHS[strength]})["input"]

    order = torch.tensor([5, 2, 7, 11])
    assert torch.equal(altered(torch.arange(12))[order], altered(order))
    assert torch.equal(altered(order[:1]), altered(order)[:1])
    assert not torch.equal(altered(order), altered(order, epoch=1))
    plain = TASK.augment(splits["train"].batch(order), None, {})["input"]
    assert not torch.equal(altered(order), plain)


def test_gain_is_in_decibels_and_roll_keeps_every_frame():
    indices = torch.arange(6)
    decibels = torch.randn(6, 64, 64) * 20
    gain = spectrogram.augment(decibels, 1.0, SampleRandom(0, 0, indices), {"gain_db": 6.0}) - decibels
    torch.testing.assert_close(gain.flatten(1).std(1), torch.zeros(6), rtol=0, atol=1e-5)
    assert gain.abs().max() <= 6.0001
    rolled = spectrogram.augment(decibels, 1.0, SampleRandom(0, 0, indices), {"roll": 0.5})
    assert torch.equal(rolled.sort(1).values, decibels.sort(1).values)


def test_kaldi_gain_is_that_of_the_waveform():
    fbank = torch.stack([waveform.kaldi_fbank(chirp())] * 2)
    batch = {"input": fbank, "index": torch.arange(2)}
    random, plain = SampleRandom(0, 0, batch["index"]), TASK.augment(batch, None, {})["input"]
    shift = (TASK.augment(batch, random, {"gain_db": 6.0})["input"] - plain)[:, 0, 0, 0]
    gain_db = random.uniform("gain", low=-6, high=6)
    louder = waveform.kaldi_fbank(chirp() * 10 ** (gain_db[0].item() / 20))
    loud = fbank[0] > -5
    expected = (louder - fbank[0])[loud].mean() / (2 * waveform.FBANK_STD)
    assert shift[0].item() == pytest.approx(expected.item(), abs=1e-4)


def test_masks_are_bands_of_at_most_their_width():
    ones = torch.ones(200, 64, 64)
    masked = spectrogram.augment(ones, 1.0, SampleRandom(0, 0, torch.arange(200)), {"time_mask": 8.0})
    frames = (masked == 0).all(2)
    widths = frames.sum(1)
    assert widths.max() == 8
    assert widths.min() == 0
    assert ((frames[:, 1:] & ~frames[:, :-1]).sum(1) + frames[:, 0] <= 1).all()
    assert ((masked == 0) == frames[:, :, None]).all()


def test_unknown_or_impossible_strengths_are_named(splits):
    batch = splits["train"].batch(torch.arange(2))
    random = SampleRandom(0, 0, batch["index"])
    with pytest.raises(ValueError, match=r"flip.*freq_mask"):
        TASK.augment(batch, random, {"flip": 0.5})
    with pytest.raises(ValueError, match="time_mask 65"):
        TASK.augment(batch, random, {"time_mask": 65.0})


# Sizes

def test_paper_model_has_the_published_sizes():
    shape = TASK.profiles["paper"].shape
    tokenizer = TASK.tokenizer(shape)
    model = TransformerModel(tokenizer, TASK.head(shape, 527, "pretrained"), shape)
    with torch.no_grad():
        assert model({"input": torch.zeros(1, 1, 1024, 128)}).shape == (1, 527)
    assert tokenizer.pos_embed.shape == (1, 513, 768)
    assert not tokenizer.pos_embed.requires_grad
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trainable == 85_659_407  # 85.66M, as in the released code
    assert (shape.decoder_depth, shape.decoder_embed_dim, shape.decoder_num_heads) == (16, 512, 16)


def test_paper_shapes_run_end_to_end_with_a_shallow_model():
    shape = TASK.profiles["paper"].shape.model_copy(update={"depth": 1, "decoder_depth": 1})
    batch = TASK.augment({"input": torch.randn(1, 1024, 128), "index": torch.zeros(1, dtype=torch.long)}, None, {})
    model = TransformerModel(TASK.tokenizer(shape), TASK.head(shape, 527, "pretrained"), shape)
    tokens = model.tokenizer(batch)
    assert tokens.embedded.shape == (1, 512, 768)
    assert model(batch).abs().max() < 0.01  # head of std 2e-5
    autoencoder = MaskedAutoencoder(TASK.tokenizer(shape), TASK.masked_target(shape), shape)
    assert autoencoder(batch, SampleRandom(0, 0, batch["index"]), 0.8).isfinite()


@pytest.mark.parametrize("setting", ["pretrained", "fix", "scratch"])
def test_every_head_gives_one_logit_for_each_class(splits, setting):
    profile = TASK.profiles["tiny"]
    model = TransformerModel(TASK.tokenizer(profile.shape), TASK.head(profile.shape, 38, setting), profile.shape)
    [batch] = TASK.views(splits["val"].batch(torch.arange(4)), profile.shape, {})
    logits = model(batch)
    assert logits.shape == (4, 38)
    assert TASK.loss(logits, batch, profile.train[setting]).isfinite()


def test_official_data_that_is_not_prepared_is_refused_with_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("M2PT_DATA", str(tmp_path))
    for call in (TASK.load, TASK.load_pretraining, TASK.data_digests):
        with pytest.raises(DataError, match="data set audioset_20k is not prepared"):
            call("paper")
    assert set(TASK.data_digests("tiny")) == {"audio_tags"}


def test_pretraining_pool_is_the_training_split_without_labels(splits):
    pool = TASK.load_pretraining("tiny")
    assert set(pool.columns) == {"input"}
    assert torch.equal(pool.columns["input"], splits["train"].columns["input"])


def test_importing_the_task_imports_no_torch():
    code = "import sys, tasks.audioset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
