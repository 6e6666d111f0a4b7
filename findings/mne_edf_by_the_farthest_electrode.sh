#!/usr/bin/env bash
# EDF holds 16 bits, and for each channel the range that they stand for, so that each has steps of its own: of an EEG of 10 uV they are 1 nV.
# mne's export_raw gives all channels of a type one range, from the least to the greatest value of them all. One of eight electrodes with an
# offset of 0.1 V, as a loose one has at an amplifier without a high pass, makes the steps of the seven others 1.5 uV: an EEG with a
# deviation of 11 uV is 53 distinct values, and its power from 60 to 120 Hz is 2.6 times what it was. A marker channel of 0 and 255 beside
# them, all left at the type that create_info gives by itself (misc), makes steps of 4 mV: each electrode is one number from start to end,
# and the EEG is gone. Clean channels lose nothing, so that of a study some recordings have fast rhythms in them that others have not. Nothing
# is said at writing or reading. The page says "the minimum and maximum values per channel type"; physical_range="channelwise" gives steps of
# 1 nV to all, which is what EDF has its ranges for. BDF, of 24 bits, is coarser by the same. Exits with 1 where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mne==1.13.2 edfio==0.4.18 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" -W error::RuntimeWarning - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version

import mne
import numpy as np
from scipy.signal import welch

print(f"mne {mne.__version__}, edfio {version('edfio')}, numpy {np.__version__}")
mne.set_log_level("WARNING")
RATE, SECONDS, ELECTRODES = 500, 60, 8
generator = np.random.default_rng(0)
time = np.arange(RATE * SECONDS) / RATE
drift = generator.normal(size=(ELECTRODES, len(time))).cumsum(1) * 0.3e-6  # volts; brown noise, less what is slow
drift -= np.stack([np.polyval(np.polyfit(time, channel, 5), time) for channel in drift])
eeg = 20e-6 * np.sin(2 * np.pi * 10 * time) * np.sin(np.pi * time / 3) ** 2 + drift + 0.2e-6 * generator.normal(size=drift.shape)
loose = eeg.copy()
loose[0] += 0.1
markers = np.where(np.arange(len(time)) % RATE == 0, 255.0, 0.0)


def fast(channel: np.ndarray) -> float:
    """Mean power density from 60 to 120 Hz"""
    frequencies, power = welch(channel, RATE, nperseg=512)
    return float(power[(frequencies > 60) & (frequencies < 120)].mean())


seen = {}
for name, data, kinds in (("clean", eeg, "eeg"), ("one loose electrode", loose, "eeg"), ("markers, all misc", np.vstack([eeg, markers]), "misc"),
                          ("markers as stim", np.vstack([eeg, markers]), ["eeg"] * ELECTRODES + ["stim"])):
    raw = mne.io.RawArray(data, mne.create_info(len(data), RATE, kinds))
    for way in ("auto", "channelwise"):
        path = f"{sys.argv[1]}/recording.edf"
        mne.export.export_raw(path, raw, overwrite=True, physical_range=way)
        read = mne.io.read_raw_edf(path, preload=True).get_data()[1, :len(time)]  # a sound electrode
        steps = np.diff(np.unique(read))
        seen[name, way] = len(steps) + 1, float(steps.min()) if len(steps) else np.inf, fast(read) / fast(eeg[1]), float(np.std(read))
        values, step, power, deviation = seen[name, way]
        print(f"{name}, physical_range={way!r}: of a sound electrode {values} distinct values, steps {step * 1e6:.4g} uV, deviation "
              f"{deviation * 1e6:.2f} uV (before {np.std(eeg[1]) * 1e6:.2f}), power from 60 to 120 Hz times {power:.3f}")
sys.exit(0 if seen["one loose electrode", "auto"][0] < 100 and seen["one loose electrode", "auto"][2] > 2
         and seen["markers, all misc", "auto"][0] == 1
         and all(found[0] > 10_000 and abs(found[2] - 1) < 0.001 for key, found in seen.items()
                 if key not in (("one loose electrode", "auto"), ("markers, all misc", "auto"))) else 1)
PYTHON
