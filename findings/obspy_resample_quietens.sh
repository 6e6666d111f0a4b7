#!/usr/bin/env bash
# A record at another sampling rate has the same ground motion at all frequencies that both rates hold. obspy's resample (of a Trace or a
# Stream) multiplies the spectrum by a Hann window from 0 to half of the old rate, unless one says otherwise: at a tenth of the old rate
# 0.905 of an amplitude is left, at a fifth 0.65, at three tenths 0.35, at four tenths 0.10. It does so also up to a higher rate, and to
# the rate that the record has, where nothing need be done, so that a loop that brings all records to 100 Hz changes those that are at 100
# Hz, and again each time: four times leave 0.18 of 20 Hz. Local earthquakes of 10 to 20 Hz lose 0.04 to 0.18 of a magnitude. Records do not
# agree: of one motion recorded at 200 Hz and at 100 Hz, both brought to 50 Hz, 20 Hz has 0.90 and 0.65. decimate and interpolate keep 5 Hz
# to 1 %. The page says "window applied to the signal in the Fourier domain", where one thinks of tapered ends, and no_filter=True, a default
# as well, sounds as if nothing were filtered. Nothing is said. window=None leaves the amplitude as it is, to 1e-3. Exits with 1 where that
# has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "setuptools<81" obspy==1.5.1 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import math
import sys

import numpy as np
import obspy

print(f"obspy {obspy.__version__}, numpy {np.__version__}")


def tone(frequency: float, rate: float, seconds: float = 60) -> obspy.Trace:
    """A sine of amplitude 1, which rises and falls slowly at its ends, as the Fourier method takes it for periodic"""
    time = np.arange(round(rate * seconds)) / rate
    return obspy.Trace(np.sin(2 * np.pi * frequency * time) * np.sin(np.pi * time / seconds) ** 2, {"sampling_rate": rate})


def amplitude(trace: obspy.Trace, frequency: float, seconds: float = 60) -> float:
    """What there is of that frequency, by the product with it"""
    time = trace.times()
    wave = np.sin(np.pi * time / seconds) ** 2 * np.exp(-2j * np.pi * frequency * time)
    return float(2 * abs(np.mean(trace.data * wave)) / np.mean(np.sin(np.pi * time / seconds) ** 4))


seen = {}
for frequency in (1, 5, 10, 20, 30, 40):
    for old, new in ((100, 100), (100, 200), (100, 50), (200, 50)):
        if 2 * frequency < min(old, new):
            seen[frequency, old, new] = (amplitude(tone(frequency, old).resample(new), frequency),
                                         amplitude(tone(frequency, old).resample(new, window=None), frequency))
            print(f"{frequency} Hz from {old} to {new} samples a second: {seen[frequency, old, new][0]:.3f} of its amplitude is left "
                  f"(a magnitude of {math.log10(seen[frequency, old, new][0]):.2f}), with window=None {seen[frequency, old, new][1]:.4f}")
again = tone(20, 100)
for _ in range(4):
    again.resample(100)
others = {"decimate(2)": tone(5, 100).decimate(2), "interpolate(50, lanczos)": tone(5, 100).interpolate(50, method="lanczos", a=20)}
print(f"20 Hz from 100 to 100 four times: {amplitude(again, 20):.3f}; of 5 Hz from 100 to 50: "
      + ", ".join(f"{name} {amplitude(trace, 5):.3f}" for name, trace in others.items()))
right = {key: (1 + math.cos(2 * math.pi * key[0] / key[1])) / 2 for key in seen}  # the Hann window at that frequency
sys.exit(0 if all(abs(seen[key][0] - right[key]) < 0.01 and abs(seen[key][1] - 1) < 1e-3 for key in seen)
         and amplitude(again, 20) < 0.25 and all(abs(amplitude(trace, 5) - 1) < 0.02 for trace in others.values()) else 1)
PYTHON
