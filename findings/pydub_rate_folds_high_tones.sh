#!/usr/bin/env bash
# To bring sound to 16 kHz, what lies above 8 kHz has to go first, as it cannot be held, and resamplers take it out. pydub's
# set_frame_rate(16000), a usual line before a speech model, draws straight lines between samples and reads them off at the new rate: what
# was above comes back below, mirrored. From 48 kHz a tone of 14 kHz is one of 2 kHz after it, as loud as before, and one of 9 kHz one of
# 7 kHz. Noise from 10 to 15 kHz, as of an s or a cymbal, which should leave nothing, keeps all of its power, and half of it from 44.1
# kHz, in the range of speech. Upwards, from 8 to 16 kHz, a tone of 3 kHz gets a second one of 5 kHz, a third as high. SciPy's
# resample_poly leaves at most 3 hundredths of a tone, and nothing of the noise. Nothing is said. pydub's documentation says that a lower
# rate is a loss of quality, not that something is added. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pydub==0.25.1 numpy==2.4.6 scipy==1.17.1 "audioop-lts==0.2.2; python_version >= '3.13'"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import scipy
from pydub import AudioSegment
from scipy.signal import resample_poly

print(f"pydub {version('pydub')}, scipy {scipy.__version__}, numpy {np.__version__}")


def changed(sound: np.ndarray, old: int, new: int) -> dict[str, np.ndarray]:
    """The sound at another rate, by pydub and by SciPy"""
    segment = AudioSegment(sound.astype(np.int16).tobytes(), frame_rate=old, sample_width=2, channels=1)
    common = np.gcd(old, new)
    return {"pydub": np.array(segment.set_frame_rate(new).get_array_of_samples(), float),
            "SciPy": resample_poly(sound, new // common, old // common)}


def strongest(sound: np.ndarray, rate: int, above: float = 0) -> tuple[float, float]:
    """The strongest tone above a frequency, and its amplitude"""
    spectrum = abs(np.fft.rfft(sound * np.hanning(len(sound)))) * 4 / len(sound)
    frequencies = np.fft.rfftfreq(len(sound), 1 / rate)
    place = np.where(frequencies > above, spectrum, 0).argmax()
    return float(frequencies[place]), float(spectrum[place])


time = np.arange(48_000) / 48_000
right = True
for tone in (9_000, 11_000, 14_000):
    for name, sound in changed(10_000 * np.sin(2 * np.pi * tone * time), 48_000, 16_000).items():
        where, height = strongest(sound[500:-500], 16_000)
        print(f"a tone of {tone} Hz at 48 kHz, to 16 kHz by {name}: strongest {where:.0f} Hz, {height / 10_000:.4f} of its amplitude")
        right &= (height > 6_000 and abs(where - (16_000 - tone)) < 20) if name == "pydub" else height < 700
spectrum = np.fft.rfft(np.random.default_rng(0).normal(size=48_000))
spectrum[:10_000] = spectrum[15_000:] = 0
noise = np.fft.irfft(spectrum)
noise *= 3_000 / noise.std()
for rate, source in ((48_000, noise), (44_100, resample_poly(noise, 147, 160))):
    for name, sound in changed(source, rate, 16_000).items():
        share = float((sound[500:-500] ** 2).mean() / 3_000 ** 2)
        print(f"noise from 10 to 15 kHz at {rate} Hz, to 16 kHz by {name}: {share:.4f} of its power")
        right &= share > 0.3 if name == "pydub" else share < 0.01
for name, sound in changed(10_000 * np.sin(2 * np.pi * 3_000 * np.arange(8_000) / 8_000), 8_000, 16_000).items():
    where, height = strongest(sound[500:-500], 16_000, above=4_000)
    print(f"a tone of 3000 Hz at 8 kHz, to 16 kHz by {name}: strongest above 4 kHz {where:.0f} Hz, {height / 10_000:.4f} of its amplitude")
    right &= height > 1_000 if name == "pydub" else height < 500
sys.exit(0 if right else 1)
PYTHON
