#!/usr/bin/env bash
# A linear filter of a signal twice as loud gives the result twice as loud, and a high-pass lets a tone through whatever its size is. The
# filters of torchaudio.functional (highpass_biquad, lowpass_biquad, bandpass_biquad, allpass_biquad, equalizer_biquad, bass_biquad and
# treble_biquad) cut what comes out at -1 and 1, and have no argument that would leave it. Samples of 16 bits as floats, which the
# features of Kaldi ask for, are square waves afterwards: a tone of amplitude 10,000 has a peak of 1, and harmonics of 0.48 times its size
# that were not there. So is a signal in volts, acceleration, or one that was brought to a deviation of 1. Of sound between -1 and 1 what
# a boost of 6 dB lifts above 1 is cut, and a cut of 6 dB after it does not give it back: a tone of 0.8 is 0.36 off after both. lfilter
# has clamp=True and says so; the pages of the others do not. scipy's lfilter with the same numbers is linear, and so is lfilter with
# clamp=False. Nothing is said. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.14.1 torchaudio==2.11.0 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import math
import sys

import torch
import torchaudio
import torchaudio.functional as audio
from scipy.signal import lfilter

RATE = 16_000
tone = torch.sin(2 * math.pi * 440 * torch.arange(RATE, dtype=torch.float64) / RATE)
FILTERS = {
    "highpass_biquad": lambda x: audio.highpass_biquad(x, RATE, 50.0), "lowpass_biquad": lambda x: audio.lowpass_biquad(x, RATE, 5000.0),
    "bandpass_biquad": lambda x: audio.bandpass_biquad(x, RATE, 440.0), "allpass_biquad": lambda x: audio.allpass_biquad(x, RATE, 5000.0),
    "equalizer_biquad": lambda x: audio.equalizer_biquad(x, RATE, 440.0, 0.0),
    "bass_biquad": lambda x: audio.bass_biquad(x, RATE, 0.0), "treble_biquad": lambda x: audio.treble_biquad(x, RATE, 0.0),
}
print(f"torchaudio {torchaudio.__version__}, torch {torch.__version__}")
peaks = {}
for name, run in FILTERS.items():
    for amplitude in (0.5, 10_000.0):
        out = run(amplitude * tone)[RATE // 2:]
        peaks[name, amplitude] = float(out.abs().max())
        spectrum = torch.fft.rfft(out).abs() ** 2
        first = spectrum[220]  # half a second of 440 Hz
        print(f"{name} of a tone of amplitude {amplitude:g}: peak {peaks[name, amplitude]:.4g}, "
              f"harmonics {float(((spectrum.sum() - first - spectrum[0]) / first).clamp(min=0).sqrt()):.3f} of the tone")
up, down = (lambda x: audio.equalizer_biquad(x, RATE, 440.0, 6.0)), (lambda x: audio.equalizer_biquad(x, RATE, 440.0, -6.0))
off = {}
for amplitude in (0.4, 0.8):
    off[amplitude] = float((down(up(amplitude * tone)) - amplitude * tone)[RATE // 2:].abs().max())
    print(f"6 dB up and 6 dB down of amplitude {amplitude}: off by {off[amplitude]:.4f}")
b, a = torch.tensor([0.2, 0.3], dtype=torch.float64), torch.tensor([1.0, -0.5], dtype=torch.float64)
loud = 10_000 * tone
by_scipy = torch.from_numpy(lfilter(b.numpy(), a.numpy(), loud.numpy()))
plain = audio.lfilter(loud, a, b, clamp=False)
print(f"lfilter of amplitude 10000: peak {float(audio.lfilter(loud, a, b).abs().max()):.4g}, clamp=False {float(plain.abs().max()):.4g}, "
      f"scipy {float(by_scipy.abs().max()):.4g}")
sys.exit(0 if all(0.4 < peaks[name, 0.5] < 0.6 and peaks[name, 10_000.0] == 1 for name in FILTERS) and off[0.4] < 1e-6 and off[0.8] > 0.1
         and torch.allclose(plain, by_scipy) else 1)
PYTHON
