"""Sound files in, log-mel spectrograms out: the waveform path of AudioSet, and the one that made the embedded clips.

Shapes: S samples at 16 kHz, F frames, M mel bins.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torchaudio.compliance.kaldi
import torchaudio.functional
from torch import Tensor

from benchmark.data.embedded import DataError
from benchmark.spec.sounds import from_mel, to_mel
from tasks.audioset.sound import read_samples, to_one_channel

SAMPLE_RATE = 16_000
LARGEST_FILTER = 2**21  # numbers of torchaudio's, which it makes anew for every sound
FBANK_MEAN, FBANK_STD = -4.2677393, 4.5689974  # of AudioSet's Kaldi filter banks; AudioMAE divides by twice the latter

CLIP_SAMPLES = 16_384  # of an embedded clip: 1.024 s
_CLIP_WINDOW, _CLIP_HOP, _CLIP_BINS = 512, 256, 64
_CLIP_LOWEST_HZ, _CLIP_HIGHEST_HZ = 50.0, 7800.0


def decode(source: str | Path | bytes) -> Tensor:
    """(S,) float32 in about [-1, 1]: a file, or a file's bytes, mixed to one channel and resampled to 16 kHz.

    Raises `DataError` as `read_samples` does.
    """
    samples, rate = read_samples(source)
    return resample(torch.from_numpy(to_one_channel(samples)), rate)


def resample(waveform: Tensor, rate: int) -> Tensor:
    """(S at `rate`,) -> (S,): a windowed sinc of width 6 and rolloff 0.99, as torchaudio has it.

    torchaudio keeps a filter for every place that an output sample can have between two of the input, which are too many where
    the rates have no large divisor in common; there filters are made as they are needed.
    """
    common = math.gcd(rate, SAMPLE_RATE)
    if rate == SAMPLE_RATE:
        return waveform
    if rate // common * (SAMPLE_RATE // common) <= LARGEST_FILTER:
        resampled: Tensor = torchaudio.functional.resample(waveform, rate, SAMPLE_RATE)
        return resampled
    base = 0.99 * min(rate, SAMPLE_RATE)
    reach = math.ceil(6 * rate / base) + 1
    padded = torch.nn.functional.pad(waveform.double(), (reach, reach + 1))
    made = []
    for places in torch.arange(math.ceil(SAMPLE_RATE * len(waveform) / rate)).split(2**14):
        middle = (places * rate).div(SAMPLE_RATE, rounding_mode="floor")
        inputs = middle[:, None] + torch.arange(-reach, reach + 1)
        time = ((inputs.double() / rate - places[:, None].double() / SAMPLE_RATE) * base).clamp_(-6, 6)
        weights = torch.sinc(time) * (time * (math.pi / 12)).cos() ** 2 * (base / rate)
        made.append((padded[(inputs + reach).clamp_(max=len(padded) - 1)] * weights).sum(1))
    return torch.cat(made).float()


def kaldi_fbank(waveform: Tensor, num_mel_bins: int = 128) -> Tensor:
    """(S,) -> (F, M), natural log of mel power: mean removed, 25 ms Hanning windows every 10 ms, no dither (AudioMAE).

    Of 128 bins the fourth lies between two frequencies of the spectrum and is log(eps) in every frame, as in what is published.
    Raises `DataError` for a sound shorter than one window.
    """
    if len(waveform) < SAMPLE_RATE // 40:
        raise DataError(f"a sound of {len(waveform)} samples is shorter than one window of 25 ms at 16 kHz")
    centred = (waveform - waveform.mean())[None]
    fbank: Tensor = torchaudio.compliance.kaldi.fbank(
        centred, sample_frequency=SAMPLE_RATE, num_mel_bins=num_mel_bins, frame_length=25.0, frame_shift=10.0,
        window_type="hanning", dither=0.0, use_energy=False, htk_compat=True)
    return fbank


def fit_frames(fbank: Tensor, num_frames: int) -> Tensor:
    """(F, M) -> (num_frames, M): cut at the end, or filled up with zeros"""
    return torch.nn.functional.pad(fbank[:num_frames], (0, 0, 0, max(0, num_frames - len(fbank))))


def normalise_fbank(fbank: Tensor) -> Tensor:
    """About zero mean and a standard deviation of one half, as AudioMAE has it; any shape."""
    return (fbank - FBANK_MEAN) / (2 * FBANK_STD)


def read_fbank(source: str | Path | bytes, num_frames: int = 1024, num_mel_bins: int = 128) -> Tensor:
    """A sound -> (num_frames, num_mel_bins), not yet normalised: what the paper-scale task stores as its input."""
    return fit_frames(kaldi_fbank(decode(source), num_mel_bins), num_frames)


def clip_log_mel(waveform: Tensor) -> Tensor:
    """(16384,) -> (64, 64) frames x mel bins in dB: Hann windows of 512 every 256 samples, power floor -60 dB."""
    if waveform.shape != (CLIP_SAMPLES,):
        raise DataError(f"an embedded clip has {CLIP_SAMPLES} samples, this one has shape {tuple(waveform.shape)}")
    padded = torch.nn.functional.pad(waveform.double(), (_CLIP_WINDOW // 2, _CLIP_WINDOW // 2))
    windows = padded.unfold(0, _CLIP_WINDOW, _CLIP_HOP)[: CLIP_SAMPLES // _CLIP_HOP]
    power = torch.fft.rfft(windows * torch.hann_window(_CLIP_WINDOW, dtype=torch.float64)).abs() ** 2
    return 10 * torch.log10(power @ _clip_filters().T + 1e-6)


def quantise_clip(log_mel_db: Tensor) -> Tensor:
    """dB -> uint8 as stored: from -60 to 40 dB in steps of 2 dB, 5 units each"""
    return ((log_mel_db + 60) / 2).clamp(0, 50).round().mul(5).byte()


def dequantise_clip(stored: Tensor) -> Tensor:
    """uint8 as stored -> dB, float32"""
    return stored.float() * 0.4 - 60


def _clip_filters() -> Tensor:
    """(64, 257): triangles, equally spaced on the mel scale, each of height 1"""
    ends = to_mel(_CLIP_LOWEST_HZ), to_mel(_CLIP_HIGHEST_HZ)
    edges = from_mel(torch.linspace(*ends, _CLIP_BINS + 2, dtype=torch.float64))
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    hertz = torch.arange(_CLIP_WINDOW // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / _CLIP_WINDOW
    return torch.minimum((hertz - low) / (centre - low), (high - hertz) / (high - centre)).clamp(min=0)
