#!/usr/bin/env bash
# The delay between two recordings is where their cross-correlation is largest, and a recording of 16 bits is what scipy.io.wavfile and
# pydub give. scipy.signal.correlate keeps the type of what it is given, and adds products of int16, which reach 1e10 in all, in int16. Of
# noise that comes 37 samples later the delay is found as 132 in 300 samples and as 3,159 in 4,000; in int32 it is wrong, too, in float64
# it is 37. method="fft" computes in floats and casts them to int16 at the end. convolve, convolve2d and correlate2d, and numpy's
# correlate and convolve do alike. wiener, which gives floats, squares before that in int16: of a tone 1,000 high with noise it is up to
# 31,000 off, and of a uint8 picture with a deviation of 9 after it the deviation is 40. lfilter, filtfilt, resample, welch and medfilt
# are right. Nothing is said. astype(float) first cures it. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import scipy
from scipy import signal

rng = np.random.default_rng(0)
print(f"scipy {scipy.__version__}, numpy {np.__version__}")
DELAY = 37
noise = np.clip(8000 * rng.normal(size=4000), -32_000, 32_000).round()
delays = {}
for length in (300, 4000):
    early, late = noise[:length], np.roll(noise, DELAY)[:length]
    lags = signal.correlation_lags(length, length)
    for kind in (np.int16, np.int32, np.float64):
        a, b = early.astype(kind), late.astype(kind)
        delays[length, np.dtype(kind).name, "direct"] = int(lags[signal.correlate(b, a, method="direct").argmax()])
        delays[length, np.dtype(kind).name, "numpy"] = int(np.correlate(b, a, "full").argmax()) - length + 1
        if length == 300:
            delays[length, np.dtype(kind).name, "default"] = int(lags[signal.correlate(b, a).argmax()])
        print(f"{length} samples of {np.dtype(kind)}, {DELAY} late: delay by each method "
              f"{ {method: found for (size, name, method), found in delays.items() if (size, name) == (length, np.dtype(kind).name)} }")
tone = (8000 * np.sin(np.arange(2000) / 50)).round()
sums = {}
for name, run in {"convolve": signal.convolve, "numpy.convolve": np.convolve, "correlate": signal.correlate}.items():
    given = run(tone.astype(np.int16), np.ones(16, np.int16))
    sums[name] = float(np.abs(given - run(tone, np.ones(16))).max())
    print(f"{name} of int16 with 16 ones, a tone of 8,000: {given.dtype}, up to {given.max()}, off by up to {sums[name]:.0f}")
picture = np.clip(rng.normal(128, 20, (32, 32)), 0, 255).round()
wave = (1000 * np.sin(np.arange(200) / 10) + rng.normal(0, 100, 200)).round()
off = {}
for name, values, kind, size in (("int16 sound", wave, np.int16, 9), ("int32 sound", wave, np.int32, 9),
                                 ("uint8 picture", picture, np.uint8, 3)):
    given = signal.wiener(values.astype(kind), size)
    true = signal.wiener(values, size)
    off[name] = float(np.abs(given - true).max())
    print(f"wiener of {name}: {given.dtype}, off by up to {off[name]:.4g}, deviation {given.std():.4g} where {true.std():.4g} is right")
others = {"lfilter": lambda x: signal.lfilter([0.2, 0.3], [1, -0.5], x), "filtfilt": lambda x: signal.filtfilt([0.2, 0.3], [1, -0.5], x),
          "resample": lambda x: signal.resample(x, 1000), "welch": lambda x: signal.welch(x)[1], "medfilt": lambda x: signal.medfilt(x, 5),
          "savgol_filter": lambda x: signal.savgol_filter(x, 9, 2), "hilbert": lambda x: np.abs(signal.hilbert(x))}
right = {name: bool(np.allclose(run(tone.astype(np.int16)), run(tone), rtol=1e-3, atol=1)) for name, run in others.items()}
print(f"right of int16: {right}")
sys.exit(0 if all((delay == DELAY) == (kind == "float64") for (_, kind, _), delay in delays.items()) and off["int16 sound"] > 5000
         and off["int32 sound"] < 1e-6 and off["uint8 picture"] > 100 and min(sums.values()) > 60_000 and all(right.values()) else 1)
PYTHON
