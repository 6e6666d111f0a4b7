#!/usr/bin/env bash
# Twice the amplitude is 6.02 dB more, and loudness by BS.1770, after which clips are made equally loud, is a level like others: two
# linear filters, then a mean of squares. torchaudio.functional.loudness is below that for loud sounds that lie between -1 and 1 as they
# should: a tone of 3 kHz at full scale by 2.3 dB, compressed noise with peaks of 1 by 1.5. The first filter raises high sounds by 4 dB,
# and each of torchaudio's filters (highpass_biquad, treble_biquad, equalizer_biquad and so on) cuts what comes out to between -1 and 1,
# without a word; lfilter and filtfilt do by default and can be told not to, the others have no such argument. So they are not
# linear: samples in the scale of 16 bits, as Kaldi's features take them, and mixtures with peaks above 1, come out of a filter that
# lets everything pass as nothing but -1 and 1. scipy's filters with the same coefficients have no limit. Exits with 1 if that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 torchaudio==2.11.0 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import math
import sys

import numpy as np
import torch
import torchaudio
from scipy.signal import lfilter
from torchaudio import functional

RATE = 48_000
generator = torch.Generator().manual_seed(0)
time = torch.arange(2 * RATE, dtype=torch.float64) / RATE
spectrum = torch.fft.rfft(torch.randn(2 * RATE, generator=generator, dtype=torch.float64))
pink = torch.fft.irfft(spectrum / torch.arange(len(spectrum)).clamp(min=1).sqrt(), 2 * RATE)
sounds = {"tone of 100 Hz": torch.sin(2 * math.pi * 100 * time), "tone of 1 kHz": torch.sin(2 * math.pi * 1000 * time),
          "tone of 3 kHz": torch.sin(2 * math.pi * 3000 * time), "pink noise, compressed": torch.tanh(1.5 * pink / pink.std())}


def reference(sound: torch.Tensor) -> float:
    """BS.1770 of one channel without gates (the sounds are steady), with torchaudio's coefficients and scipy's filter"""
    amplitude, angle = 10 ** (4.0 / 40), 2 * math.pi * 1500 / RATE
    alpha, cosine = math.sin(angle) / (2 / math.sqrt(2)), math.cos(angle)
    root = 2 * math.sqrt(amplitude) * alpha
    b = [amplitude * (amplitude + 1 + (amplitude - 1) * cosine + root), -2 * amplitude * (amplitude - 1 + (amplitude + 1) * cosine),
         amplitude * (amplitude + 1 + (amplitude - 1) * cosine - root)]
    a = [amplitude + 1 - (amplitude - 1) * cosine + root, 2 * (amplitude - 1 - (amplitude + 1) * cosine),
         amplitude + 1 - (amplitude - 1) * cosine - root]
    shelved = lfilter(b, a, sound.numpy())
    angle = 2 * math.pi * 38 / RATE
    alpha, cosine = math.sin(angle), math.cos(angle)  # Q of 0.5
    passed = lfilter([(1 + cosine) / 2, -1 - cosine, (1 + cosine) / 2], [1 + alpha, -2 * cosine, 1 - alpha], shelved)
    return float(-0.691 + 10 * np.log10(np.mean(passed**2)))


print(f"torchaudio {torchaudio.__version__}")
short = {}
for name, sound in sounds.items():
    sound = sound / sound.abs().max()
    levels = {peak: (functional.loudness(peak * sound[None], RATE).item(), reference(peak * sound)) for peak in (1.0, 0.5, 0.1)}
    short[name] = {peak: ours - theirs for peak, (ours, theirs) in levels.items()}
    print(f"{name}: " + "; ".join(f"peak {peak}: {ours:.2f} dB, by scipy {theirs:.2f}" for peak, (ours, theirs) in levels.items()))
tone = 20_000 * sounds["tone of 1 kHz"].float()
filters = {"highpass_biquad at 20 Hz": functional.highpass_biquad(tone, RATE, 20.0),
           "bass_biquad, 0 dB": functional.bass_biquad(tone, RATE, 0.0),
           "equalizer_biquad, 0 dB": functional.equalizer_biquad(tone, RATE, 1000.0, 0.0),
           "lfilter": functional.lfilter(tone, torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0])),
           "lfilter, clamp=False": functional.lfilter(tone, torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0]), clamp=False)}
print("a tone with a peak of 20,000 through filters that leave it alone:",
      "; ".join(f"{name}: peak {result.abs().max():.0f}" for name, result in filters.items()))
free = filters.pop("lfilter, clamp=False")
sys.exit(0 if all(abs(off[0.5]) < 0.3 and abs(off[0.1]) < 0.3 for off in short.values()) and abs(short["tone of 100 Hz"][1.0]) < 0.3
         and short["tone of 3 kHz"][1.0] < -2 and short["pink noise, compressed"][1.0] < -1 and free.abs().max() > 19_000
         and all(result.abs().max() == 1 for result in filters.values()) else 1)
PYTHON
