"""Stored spectrograms in, normalised and altered ones out, sample by sample: no sample's result depends on its batch.

Shapes: B batch, F frames, M mel bins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from benchmark.data.seeds import SampleRandom
from tasks.audioset.waveform import dequantise_clip, normalise_fbank

CLIP_MEAN_DB, CLIP_STD_DB = -17.6015, 25.6235  # of the embedded training split
_FBANK_UNIT = math.log(10) / 10 / (2 * 4.5689974)  # one dB in normalised filter banks, which hold natural logarithms

STRENGTHS = {
    "gain_db": "largest gain in dB, up or down",
    "roll": "largest circular shift in time, as a fraction of the frames, forward or back",
    "time_mask": "largest number of neighbouring frames masked (SpecAugment)",
    "freq_mask": "largest number of neighbouring mel bins masked (SpecAugment)",
}


def normalise(stored: Tensor) -> Tensor:
    """(B, F, M) -> (B, F, M) float32 of about zero mean.

    Embedded uint8 gets unit variance on the training split; Kaldi filter banks (float) get AudioMAE's, a quarter.
    """
    if stored.dtype == torch.uint8:
        return (dequantise_clip(stored) - CLIP_MEAN_DB) / CLIP_STD_DB
    return normalise_fbank(stored.float())


def augment(x: Tensor, decibel: float, random: SampleRandom, strengths: Mapping[str, float],
            masked: float | None = None) -> Tensor:
    """(B, F, M) -> (B, F, M), both normalised, where one dB is `decibel` high; `ValueError` for unknown strengths.

    Masks are of the mean and up to their width; with a value `masked` of that one, and narrower, as torchaudio's are.
    """
    unknown = sorted(set(strengths) - set(STRENGTHS))
    if unknown:
        raise ValueError(f"unknown augmentation strengths {unknown} for audio; known: {sorted(STRENGTHS)}")
    num_frames, num_bins = x.shape[1:]
    if gain := strengths.get("gain_db"):
        x = x + decibel * random.uniform("gain", low=-gain, high=gain)[:, None, None]
    if roll := strengths.get("roll"):
        shift = (random.uniform("roll", low=-roll, high=roll) * num_frames).round().long()
        frames = (torch.arange(num_frames, device=x.device) - shift[:, None]) % num_frames
        x = x.gather(1, frames[:, :, None].expand_as(x))
    if width := strengths.get("time_mask"):
        band = _band(random, "time_mask", width, num_frames, masked is None)
        x = x.masked_fill(band[:, :, None], masked or 0)
    if width := strengths.get("freq_mask"):
        band = _band(random, "freq_mask", width, num_bins, masked is None)
        x = x.masked_fill(band[:, None, :], masked or 0)
    return x


def prepare(stored: Tensor, random: SampleRandom | None, strengths: Mapping[str, float]) -> Tensor:
    """(B, F, M) as stored -> (B, 1, F, M) for the tokenizer; randomly altered unless `random` is None"""
    x = normalise(stored)
    if random is not None:
        if stored.dtype == torch.uint8:
            x = augment(x, 1 / CLIP_STD_DB, random, strengths)
        else:  # AudioMAE masks before it normalises, with the 0 that it fills short sounds up with
            x = augment(x, _FBANK_UNIT, random, strengths, normalise_fbank(torch.zeros(())).item())
    return x[:, None]


def _band(random: SampleRandom, use: str, max_width: float, size: int, inclusive: bool) -> Tensor:
    """(B, size) bool, true where masked: a band of 0 to `max_width` places (or less), anywhere that it fits"""
    if not 0 <= max_width <= size:
        raise ValueError(f"{use} {max_width:g} is not a width within the spectrogram's {size}")
    width = random.integers(use, max(1, int(max_width) + inclusive))
    start = (random.uniform(use + "_start") * (size - width + 1)).long()
    places = torch.arange(size, device=width.device)
    return (places >= start[:, None]) & (places < (start + width)[:, None])
