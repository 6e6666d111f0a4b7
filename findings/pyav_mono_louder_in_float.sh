#!/usr/bin/env bash
# A stereo sound whose two channels are equal has a plain mono form: either channel. PyAV's AudioResampler makes it in s16, s16p and s32,
# where both channels weigh 0.5. In flt, fltp and dbl both weigh 0.707, so the same call gives a sound that is 3 dB louder (1.41 times),
# and one that peaks at 0.8 then passes 1 and is cut when it is written. It hangs on the format that is asked for, not on the file's: a
# decoder's fltp asked for s16 is halved, s16 asked for flt is not. From six channels (5.1) the two are 10.7 dB apart. Back to two
# channels a mono sound loses 3 dB in either format, so mono, stereo, mono keeps its level in float and loses 3 dB in s16. Clips that a
# reader takes as float and clips that went through 16 bits, or mono files and stereo files, differ in level so, without a word.
# Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import av
import numpy as np

RATE = 16_000
FULL = {"s16": 2**15, "s16p": 2**15, "s32": 2**31, "flt": 1, "fltp": 1, "dbl": 1}  # what a sample of 1.0 is in each format
tone = 0.8 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)


def convert(samples: np.ndarray, source: str, layout: str, to: str, to_layout: str) -> np.ndarray:
    """The samples, with one row for each channel, in another format and layout, at the same rate"""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format=source, layout=layout)
    frame.sample_rate = RATE
    resampler = av.AudioResampler(format=to, layout=to_layout, rate=RATE)
    return np.concatenate([out.to_ndarray() for out in resampler.resample(frame) + resampler.resample(None)], axis=1)


def peak(samples: np.ndarray, sample_format: str) -> float:
    return float(abs(samples.astype(np.float64)).max() / FULL[sample_format])


print(f"PyAV {av.__version__}; every channel the same tone with a peak of 0.8, so the mean of the channels has 0.8, too")
peaks = {}
for layout, channels in (("stereo", 2), ("5.1", 6)):
    for source in ("fltp", "s16p"):
        planes = np.stack([tone] * channels).astype(np.float32)
        planes = planes if source == "fltp" else np.round(planes * 32767).astype(np.int16)
        for to in FULL:
            peaks[layout, source, to] = peak(convert(planes, source, layout, to, "mono"), to)
        print(f"{layout} {source} to mono:", ", ".join(f"{to} {peaks[layout, source, to]:.3f}" for to in FULL))
back = {}
for middle in ("fltp", "s16p"):
    start = tone[None].astype(np.float32) if middle == "fltp" else np.round(tone[None] * 32767).astype(np.int16)
    stereo = convert(start, middle, "mono", middle, "stereo")
    back[middle] = (peak(stereo, middle), peak(convert(stereo, middle, "stereo", middle, "mono"), middle))
    print(f"mono to stereo to mono in {middle}: {back[middle][0]:.3f}, then {back[middle][1]:.3f}")
right = True
for (layout, _, to), value in peaks.items():
    wanted = 0.8 if to.startswith("s") else 0.8 * 2**0.5 if layout == "stereo" else 2.731
    right &= abs(value - wanted) < 1e-3
right &= abs(back["fltp"][1] - 0.8) < 1e-3 and abs(back["s16p"][1] - 0.8 / 2**0.5) < 1e-3
sys.exit(0 if right else 1)
PYTHON
