#!/usr/bin/env bash
# Silence at another rate is silence. soxr takes int16 as well as int32 and floats, and to int16 it adds random numbers as it rounds: of
# 16 seconds of zeros every fourth sample comes out as -1 or 1, by resample and by ResampleStream. That is dither, as studios want for the
# last step to a disc. The documentation of both does not name it, no argument turns it off, and the other three types have none. So clips
# of digital silence and padding are never all zero again, a test for them fails, and a silent clip scaled to a peak of 1 is noise with a
# deviation of 0.48. Noise is 5 dB more than by rounding, for a tone of amplitude 3 it is 9 dB more. Resampled as float32 and rounded
# after, zeros stay. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q soxr==1.1.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import numpy as np
import soxr

print(f"soxr {soxr.__version__} ({soxr.__libsoxr_version__}), numpy {np.__version__}")
noise = {}
for dtype in (np.int16, np.int32, np.float32, np.float64):
    silence = np.zeros(16 * 44_100, dtype)
    result = soxr.resample(silence, 44_100, 16_000)
    stream = soxr.ResampleStream(44_100, 16_000, 1, dtype=dtype).resample_chunk(silence, last=True)
    values, counts = np.unique(result, return_counts=True)
    noise[dtype.__name__] = (float((result != 0).mean()), float((stream != 0).mean()))
    print(f"16 s of zeros as {dtype.__name__}, from 44,100 to 16,000 Hz: " + ", ".join(
        f"{value} {count} times" for value, count in zip(values.tolist(), counts.tolist(), strict=True)) + f"; by a stream, "
        f"{int((stream != 0).sum())} of {len(stream)} are not 0")
silent = soxr.resample(np.zeros(44_100, np.int16), 44_100, 16_000).astype(float)
print(f"a silent second, int16, scaled to a peak of 1: deviation {(silent / np.abs(silent).max()).std():.2f}")
power = {}
for amplitude in (3, 30, 3000):
    tone = np.round(amplitude * np.sin(2 * np.pi * 440 * np.arange(44_100 * 4) / 44_100)).astype(np.int16)
    exact = soxr.resample(tone.astype(np.float64), 44_100, 16_000)[1000:-1000]
    error = soxr.resample(tone, 44_100, 16_000)[1000:-1000] - exact
    rounded = np.round(exact) - exact
    power[amplitude] = float((error**2).mean() / (rounded**2).mean())
    decibels = [10 * np.log10((difference**2).mean() / (exact**2).mean()) for difference in (error, rounded)]
    print(f"tone of amplitude {amplitude}: error {decibels[0]:.1f} dB of the tone's power; rounded from float64 {decibels[1]:.1f} dB")
sys.exit(0 if min(noise["int16"]) > 0.1 and all(max(noise[name]) == 0 for name in ("int32", "float32", "float64"))
         and all(ratio > 2 for ratio in power.values()) else 1)
PYTHON
